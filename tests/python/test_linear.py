"""hx_linear and hx_scan against scipy, statsmodels, brute force; invariances (oracles O1, O2, O23; traps T5, T13)."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from threadpoolctl import threadpool_limits

from hx_linear import (
    correlation_tiles,
    finite_columns,
    paired_correlations,
    residual_space,
    slopes,
    standardise,
    varying_columns,
)
from hx_pvalue import PTable, critical_r
from hx_scan import BINS, scan, upper_quantile


def data(n: int = 60, genes: int = 90, features: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, genes) and (n, features) with a common factor in the first ten of each."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(n, 1))
    y, x = rng.normal(5, 2, size=(n, genes)), rng.gamma(2, size=(n, features))
    y[:, :10] += factor
    x[:, :10] += 2 * factor
    return y, x


def all_r(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(genes, features) by NumPy's own correlation matrix."""
    return np.corrcoef(y, x, rowvar=False)[: y.shape[1], y.shape[1] :]


def test_r_and_p_against_pearsonr():
    y, x = data()
    r = standardise(y).unit.T @ standardise(x).unit
    p = PTable(58).p(r)
    rng = np.random.default_rng(1)
    for j, k in zip(rng.integers(0, 90, 200), rng.integers(0, 40, 200), strict=True):
        oracle = stats.pearsonr(y[:, j], x[:, k])
        assert r[j, k] == pytest.approx(oracle.statistic, abs=1e-12)
        assert p[j, k] == pytest.approx(oracle.pvalue, rel=1e-9)


def test_slopes_against_ols():
    """beta, se and t p of the gene on the feature in SD units, without covariates."""
    y, x = data(n=30)
    ys, xs = standardise(y), standardise(x)
    for j, k in [(0, 0), (3, 7), (20, 30), (89, 39)]:
        r = np.array([ys.unit[:, j] @ xs.unit[:, k]])
        beta, se = slopes(r, ys.sd[j : j + 1], ys.dof)
        fit = sm.OLS(y[:, j], sm.add_constant(x[:, k] / x[:, k].std(ddof=1))).fit()
        assert beta[0] == pytest.approx(fit.params[1], rel=1e-9)
        assert se[0] == pytest.approx(fit.bse[1], rel=1e-9)
        assert PTable(ys.dof).p(r)[0] == pytest.approx(fit.pvalues[1], rel=1e-9)


def test_standardise():
    y, _ = data(n=12)
    s = standardise(y + 1e6)
    np.testing.assert_allclose(s.unit.mean(axis=0), 0, atol=1e-16)
    np.testing.assert_allclose((s.unit**2).sum(axis=0), 1, rtol=1e-14)
    np.testing.assert_allclose(s.sd, y.std(axis=0, ddof=1), rtol=1e-8)
    assert s.dof == 10


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.1, -7e8, 1e-300])
def test_constants_are_found(value):
    """Centring .1 or 1000.1 leaves rounding errors: a rule on the centred norm alone would call them data (T13)."""
    columns = np.full((50, 3), value)
    columns[:, 1] = np.arange(50.0)
    # Rounding noise on a constant is a constant too.
    columns[::2, 2] = np.nextafter(value, np.inf)
    np.testing.assert_array_equal(varying_columns(columns), [False, True, False])


def test_small_real_variation_is_not_a_constant():
    column = 1000 + 1e-5 * np.random.default_rng(0).normal(size=(50, 1))
    assert varying_columns(column)[0]
    assert varying_columns(np.eye(50)[:, :1])[0]  # one donor differs


def test_finite_columns():
    values = np.ones((4, 4))
    values[0, 1], values[1, 2], values[2, 3] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(finite_columns(values), [True, False, False, False])


def test_standardise_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="degree of freedom"):
        standardise(np.arange(4.0).reshape(2, 2))
    with pytest.raises(ValueError, match="constant"):
        standardise(np.ones((5, 1)))
    with pytest.raises(ValueError, match="non-finite"):
        standardise(np.array([[1.0], [2], [np.nan]]))


@pytest.mark.parametrize("tile_cells", [1, 100, 1000, 1 << 21])
def test_tiles_together_are_the_product(tile_cells):
    y, x = data()
    y, x = standardise(y).unit, standardise(x).unit
    whole = np.concatenate([r.copy() for _, r in correlation_tiles(y, x, tile_cells)])
    np.testing.assert_allclose(whole, y.T @ x, atol=1e-14)
    row, column = np.array([0, 3, 3, 50, 89]), np.array([7, 0, 39, 12, 39])
    # A few pairs are taken one by one, many by way of the product.
    for times in (1, 100):
        many = np.sort(np.tile(row, times)), np.tile(column, times)
        np.testing.assert_allclose(paired_correlations(y, x, *many, tile_cells), whole[many], atol=1e-14)


def top_pairs(r: np.ndarray, top: int) -> set[tuple[int, int]]:
    return {(i, int(j)) for i in range(len(r)) for j in np.argsort(-np.abs(r[i]), kind="stable")[:top]}


@pytest.mark.parametrize(("genes", "features"), [(90, 40), (300, 700), (1, 5), (5, 1), (1, 1), (2, 129)])
@pytest.mark.parametrize("tile_cells", [50, 1 << 21])
@pytest.mark.parametrize("top", [1, 5])
def test_scan_against_brute_force(genes, features, tile_cells, top):
    y, x = data(genes=max(genes, 10), features=max(features, 10))
    y, x = y[:, :genes], x[:, :features]
    r = all_r(y, x)
    result = scan(standardise(y).unit, standardise(x).unit, 0.25, top, tile_cells)
    assert result.pairs == genes * features
    row, column = np.nonzero(np.abs(r) >= 0.25)
    np.testing.assert_array_equal(result.strong.row, row)
    np.testing.assert_array_equal(result.strong.column, column)
    np.testing.assert_allclose(result.strong.r, r[row, column], atol=1e-12)
    by_row = result.top_of_rows
    assert set(zip(by_row.row.tolist(), by_row.column.tolist(), strict=True)) == top_pairs(r, top)
    by_column = result.top_of_columns
    assert set(zip(by_column.column.tolist(), by_column.row.tolist(), strict=True)) == top_pairs(r.T, top)
    for pairs in (by_row, by_column):
        np.testing.assert_allclose(pairs.r, r[pairs.row, pairs.column], atol=1e-12)
    assert (np.diff(by_row.row) >= 0).all() and (np.diff(by_column.column) >= 0).all()
    assert result.histogram.sum() == genes * features
    expected = np.histogram(np.abs(r), bins=BINS, range=(0, 1))[0]
    assert np.abs(np.cumsum(result.histogram) - np.cumsum(expected)).max() <= 1


def test_identical_columns():
    """r = 1 by rounding lands in the last bin and within [-1, 1]."""
    y, _ = data()
    unit = standardise(np.hstack([y, -y])).unit
    result = scan(unit, standardise(y).unit, 0.999, 2)
    assert len(result.strong.r) == 180
    assert np.abs(result.strong.r).max() <= 1 and np.abs(result.strong.r).min() > 1 - 1e-12
    assert result.histogram[-1] == 180
    assert np.isfinite(PTable(58).nlog10p(result.strong.r)).all()


def test_ties_go_to_the_lower_index_whatever_the_tile():
    y, x = data()
    x = np.hstack([x, x, x])
    for tile_cells in (1, 500, 1 << 21):
        result = scan(standardise(y).unit, standardise(x).unit, 2.0, 1, tile_cells)
        assert result.top_of_rows.column.max() < 40


def test_invariances():
    """Donor order, affine rescaling, column order, tile size, thread count: r to 1e-12 and the same strong pairs."""
    y, x = data(n=80, genes=500, features=300, seed=3)
    reference = scan(standardise(y).unit, standardise(x).unit, critical_r(0.01, 78), 3)

    def same(other, genes=slice(None), limit=None):
        order = np.lexsort((other.strong.column, np.arange(500)[genes][other.strong.row]))
        np.testing.assert_array_equal(np.arange(500)[genes][other.strong.row][order], reference.strong.row)
        np.testing.assert_array_equal(other.strong.column[order], reference.strong.column)
        np.testing.assert_allclose(other.strong.r[order], reference.strong.r, atol=1e-12)

    donors = np.random.default_rng(0).permutation(80)
    same(scan(standardise(y[donors]).unit, standardise(x[donors]).unit, critical_r(0.01, 78), 3))
    same(scan(standardise(3.7 * y + 11).unit, standardise(x / 250 - 2).unit, critical_r(0.01, 78), 3))
    genes = np.random.default_rng(1).permutation(500)
    same(scan(standardise(y[:, genes]).unit, standardise(x).unit, critical_r(0.01, 78), 3), genes)
    same(scan(standardise(y).unit, standardise(x).unit, critical_r(0.01, 78), 3, tile_cells=999))
    for threads in (1, 2):
        with threadpool_limits(threads):
            same(scan(standardise(y).unit, standardise(x).unit, critical_r(0.01, 78), 3))


def test_upper_quantile_against_sorted_values():
    values = np.random.default_rng(0).beta(1, 8, 30_001)
    histogram = np.histogram(values, bins=BINS, range=(0, 1))[0]
    rank = np.array([1, 2, 10, 500, 15_001, 30_001])
    np.testing.assert_allclose(upper_quantile(histogram, rank), np.sort(values)[::-1][rank - 1], atol=1 / BINS)


def one_hot(levels: np.ndarray) -> np.ndarray:
    """(n, levels) indicators of every level, the first too."""
    return (levels[:, None] == np.unique(levels)).astype(float)


def covariates(name: str, n: int) -> tuple[np.ndarray | None, int]:
    """A covariate matrix and its rank beside an intercept."""
    rng = np.random.default_rng(5)
    age = rng.uniform(20, 70, n)
    return {
        "none": (None, 0),
        "no column": (np.empty((n, 0)), 0),
        "constant": (np.full((n, 2), 1000.1), 0),
        "one": (age[:, None], 1),
        "all dummies": (one_hot(rng.integers(0, 6, n)), 5),
        "two factors": (np.hstack([one_hot(rng.integers(0, 6, n)), one_hot(rng.integers(0, 3, n)), age[:, None]]), 8),
        "scales": (np.column_stack([age * 1e-9, age**2 * 1e9, 1e8 + age**3]), 3),
        "copies": (np.column_stack([age, 3 * age + 1, age**2, age + age**2]), 2),
        "more than donors": (rng.normal(size=(n, n + 5)), n - 1),
    }[name]


COVARIATES = ["none", "no column", "constant", "one", "all dummies", "two factors", "scales", "copies"]


@pytest.mark.parametrize("name", [*COVARIATES, "more than donors"])
@pytest.mark.parametrize("n", [12, 83])
def test_residual_space(name, n):
    """Rank, orthonormal parts, and residuals of least squares (statsmodels with pinv) for every shape of C (T5)."""
    matrix, rank = covariates(name, n)
    space = residual_space(matrix, n)
    assert (space.covariate_rank, space.dim) == (rank, n - 1 - rank)
    whole = np.hstack([space.basis, space.rotation])
    np.testing.assert_allclose(whole.T @ whole, np.eye(n), atol=1e-13)
    np.testing.assert_allclose(space.basis[:, 0], space.basis[0, 0], rtol=1e-14)
    y = data(n=n)[0] + 1e6
    design = np.column_stack([np.ones(n), *(standardise(c[:, None]).unit for c in space.basis.T[1:])])
    oracle = np.column_stack([sm.OLS(column, design).fit().resid for column in y.T[:5]])
    np.testing.assert_allclose(space.residuals(y)[:, :5], oracle, atol=1e-8)
    np.testing.assert_allclose(space.rotation @ space.rotate(y), space.residuals(y), atol=1e-9)
    if matrix is not None and matrix.size and space.dim:
        unit = matrix - matrix.mean(axis=0)
        unit /= np.maximum(np.linalg.norm(unit, axis=0), 1e-3 * np.abs(matrix).max(axis=0))
        np.testing.assert_allclose(space.rotation.T @ unit, 0, atol=1e-9)


def test_plain_qr_takes_out_a_spurious_direction():
    """T5: a full set of centred dummies has a null direction that QR without a rank cut makes up."""
    matrix, rank = covariates("all dummies", 100)
    centred = matrix - matrix.mean(axis=0)
    q = np.linalg.qr(centred)[0]
    assert q.shape[1] == rank + 1
    made_up = np.linalg.norm(residual_space(matrix, 100).residuals(q[:, -1:]))
    assert made_up > 0.1
    y = residual_space(matrix, 100).residuals(np.random.default_rng(0).normal(size=(100, 500)))
    assert np.linalg.norm(q.T @ y) ** 2 / np.linalg.norm(y) ** 2 > 0.005


def test_partial_correlation_in_the_residual_space_against_ols():
    """O2: r, and p with n - 2 - k degrees of freedom, of a pair given ten covariates with a collinear one-hot block."""
    y, x = data(n=60)
    matrix, rank = covariates("two factors", 60)
    space = residual_space(matrix, 60)
    ys, xs = standardise(space.residuals(y[:, :3])), standardise(space.residuals(x[:, :3]))
    rotated = [v / np.linalg.norm(v, axis=0) for v in (space.rotate(y[:, :3]), space.rotate(x[:, :3]))]
    for j in range(3):
        design = np.column_stack([np.ones(60), space.basis[:, 1:], x[:, j]])
        fit = sm.OLS(y[:, j], design).fit()
        r = ys.unit[:, j] @ xs.unit[:, j]
        assert fit.df_resid == space.dim - 1 == 60 - 2 - rank
        assert PTable(space.dim - 1).p(np.array([r]))[0] == pytest.approx(fit.pvalues[-1], rel=1e-9)
        assert rotated[0][:, j] @ rotated[1][:, j] == pytest.approx(r, abs=1e-12)


def test_rotation_depends_on_the_space_alone():
    """Signs, scale and order of the covariates, their redundant copies and the number of threads change nothing."""
    matrix, _ = covariates("two factors", 83)
    reference = residual_space(matrix, 83).rotation
    other = np.column_stack([matrix[:, ::-1] * -1e6 + 7, matrix[:, 0] - matrix[:, 3]])
    for threads in (1, 2):
        with threadpool_limits(threads):
            np.testing.assert_allclose(residual_space(other, 83).rotation, reference, atol=1e-10)


def test_rotation_stays_near_the_donors():
    """With an intercept alone each row but one donor's has nearly its whole weight on one donor."""
    space = residual_space(None, 50)
    np.testing.assert_allclose(np.abs(space.rotation).max(axis=0), 1 - 1 / 50, atol=0.01)


def test_residual_space_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="finite matrix of 5 rows"):
        residual_space(np.ones((4, 1)), 5)
    with pytest.raises(ValueError, match="finite"):
        residual_space(np.full((5, 1), np.nan), 5)
