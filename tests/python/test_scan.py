"""hx_scan: what a pass over all pairs keeps, against all pairs at once."""

import numpy as np
import pytest

from hx_fdr import cauchy
from hx_linear import standardise
from hx_pvalue import PTable, critical_r
from hx_scan import BINS, scan


def units(donors: int = 60, rows: int = 90, columns: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    genes, features = rng.standard_normal((donors, rows)), rng.standard_normal((donors, columns))
    genes[:, :10] += 2 * features[:, :10]
    return standardise(genes).unit, standardise(features).unit


def test_strong_pairs_are_those_at_the_edge_of_the_bin_of_the_threshold_or_above():
    rows, columns = units()
    r = rows.T @ columns
    edge = np.floor(0.25 * BINS) / BINS
    found = scan(rows, columns, 0.25 + 1e-7, 3).strong
    gene, feature = np.nonzero(np.abs(r) >= edge)
    np.testing.assert_array_equal(found.row, gene)
    np.testing.assert_array_equal(found.column, feature)
    np.testing.assert_allclose(found.r, r[gene, feature], atol=1e-14)


@pytest.mark.parametrize("tile_cells", [64, 1 << 21])
def test_row_sums_of_a_function_of_r(tile_cells):
    rows, columns = units()
    table = PTable(58)

    def function(size):
        return cauchy(table.p(size))

    summed = scan(rows, columns, critical_r(0.05, 58), 2, tile_cells, function).row_sums
    oracle = function(np.abs(rows.T @ columns)).sum(axis=1)
    # Within a bin the function is its value in the middle; cot(pi p) moves by at most .1 in the bins beside the first.
    np.testing.assert_allclose(summed, oracle, rtol=1e-4, atol=0.2)


def test_row_sums_are_exact_where_the_function_is_steep():
    donors = np.linspace(-1, 1, 50)
    rows = standardise(np.stack([donors, donors**2], axis=1)).unit
    columns = standardise(np.stack([donors, donors**3 + 1e-6 * donors**2], axis=1)).unit
    summed = scan(rows, columns, 0.5, 1, function=lambda size: 1 / np.maximum(size, 1e-12)).row_sums
    r = np.abs(rows.T @ columns)
    np.testing.assert_allclose(summed, (1 / np.maximum(r, 1e-12)).sum(axis=1), rtol=1e-9)


def test_no_function_no_sums():
    assert not scan(*units(), 0.5, 1).row_sums.any()
