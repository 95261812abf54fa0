"""hx_overlap: agreement of two sets against scipy and by drawing; sets found at exactly which places."""

import numpy as np
import pytest
from scipy import stats

from hx_overlap import OVERLAP, agreement, exact_sets, gene_agreement


def test_agreement_by_hand():
    found = agreement(100, 20, 10, 8)
    assert list(found) == OVERLAP
    assert (found["expected"], found["jaccard"], found["overlap"]) == (2, 8 / 22, 0.8)
    assert found["jaccard_expected"] == pytest.approx(2 / 28) and found["overlap_expected"] == pytest.approx(0.2)


@pytest.mark.parametrize(("tested", "first", "second", "shared"), [(100, 20, 10, 8), (50, 20, 10, 0), (30, 30, 30, 30)])
def test_p_against_fisher(tested, first, second, shared):
    table = [[shared, first - shared], [second - shared, tested - first - second + shared]]
    oracle = stats.fisher_exact(table, alternative="greater").pvalue
    assert agreement(tested, first, second, shared)["p_overlap"] == pytest.approx(oracle, rel=1e-9)


def test_expectation_and_p_of_sets_drawn_at_random():
    """1,000 pairs of sets of independent genes: the expected number is met, p < .05 in no more than 5 %."""
    shared, small = [], 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        found = np.zeros((2, 200), bool)
        for row, size in zip(found, (60, 40), strict=True):
            row[rng.choice(200, size, replace=False)] = True
        one = gene_agreement((np.ones(200, bool),) * 2, tuple(found))
        assert one["expected"] == 12
        shared.append(one["shared"])
        small += one["p_overlap"] <= 0.05
    assert np.mean(shared) == pytest.approx(12, abs=4 * np.std(shared) / np.sqrt(1000))
    assert small <= stats.binom.ppf(0.9995, 1000, 0.05)


def test_genes_that_one_place_did_not_test_do_not_count():
    """Among all genes, a gene that only one tested would pass for a disagreement."""
    tested = np.array([True, True, True, False]), np.array([True, True, False, True])
    found = np.array([True, False, True, False]), np.array([True, False, False, True])
    one = gene_agreement(tested, found)
    assert (one["tested"], one["first"], one["second"], one["shared"], one["jaccard"]) == (2, 1, 1, 1, 1)


def test_empty_sets():
    for sizes in ((10, 0, 3, 0), (10, 0, 0, 0), (0, 0, 0, 0)):
        found = agreement(*sizes)
        assert np.isnan([found[name] for name in ("jaccard", "overlap", "p_overlap")]).all()


def test_exact_sets():
    found = np.array([[1, 1, 0, 0, 1, 0], [1, 0, 0, 1, 1, 0], [0, 0, 1, 0, 0, 0]], bool)
    sets, counts = exact_sets(found)
    assert counts.tolist() == [2, 1, 1, 1] and counts.sum() == found.any(axis=0).sum()
    assert sets.tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert exact_sets(np.zeros((2, 5), bool))[1].size == 0
