"""hx_fdr against statsmodels (oracle O5)."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from hx_fdr import bh, bh_within, bonferroni, cauchy, cauchy_p, tree_q


def many_p(n: int) -> np.ndarray:
    """Uniform p with 10 % signal, ties, zeros and ones."""
    rng = np.random.default_rng(5)
    p = rng.uniform(size=n)
    p[: n // 10] **= 4
    p[rng.integers(0, n, n // 5)] = np.round(p[rng.integers(0, n, n // 5)], 3)
    p[:5], p[5:10] = 0, 1
    return rng.permutation(p)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3, 1.0])
def test_bh_against_statsmodels(alpha):
    p = many_p(200_000)
    reject, oracle, _, _ = multipletests(p, alpha, method="fdr_bh")
    q = bh(p, alpha)
    np.testing.assert_array_equal(~np.isnan(q), oracle <= alpha)
    np.testing.assert_array_equal(~np.isnan(q), reject)
    np.testing.assert_allclose(q[reject], oracle[reject], rtol=1e-12)


@pytest.mark.slow
def test_bh_of_a_million():
    p = many_p(1_000_000)
    oracle = multipletests(p, 0.05, method="fdr_bh")[1]
    q = bh(p, 0.05)
    np.testing.assert_array_equal(~np.isnan(q), oracle <= 0.05)
    np.testing.assert_allclose(q[~np.isnan(q)], oracle[oracle <= 0.05], rtol=1e-12)


def test_a_subset_with_the_size_of_its_family_gives_the_same():
    p = many_p(10_000)
    small = p[p <= 0.05]
    np.testing.assert_array_equal(bh(small, 0.05, tests=len(p)), bh(p, 0.05)[p <= 0.05])


def test_nan_is_no_test():
    p = np.array([0.01, np.nan, 0.02, 0.9])
    np.testing.assert_allclose(bh(p), [0.03, np.nan, 0.03, 0.9])


def test_nothing_to_test():
    assert bh(np.empty(0)).shape == (0,)
    assert np.isnan(bh(np.array([np.nan, np.nan]))).all()
    assert np.isnan(bh(np.array([0.5, 0.9]), 0.05)).all()


def test_input_is_left_alone():
    p = many_p(100)
    before = p.copy()
    bh(p, 0.5)
    np.testing.assert_array_equal(p, before)


def test_impossible_input():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        bh(np.array([0.5, 1.1]))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        bh(np.array([-0.1, 0.5]))
    with pytest.raises(ValueError, match="family of 1"):
        bh(np.array([0.5, 0.6]), tests=1)


def test_bonferroni_against_statsmodels():
    p = many_p(1000)
    np.testing.assert_allclose(bonferroni(p, len(p)), multipletests(p, method="bonferroni")[1], rtol=1e-12)


def test_the_cauchy_combination_against_its_definition():
    rng = np.random.default_rng(3)
    p = rng.uniform(size=(50, 40)) ** rng.integers(1, 3, (50, 1))
    oracle = scipy.stats.cauchy.sf(np.tan((0.5 - p) * np.pi).mean(axis=1))
    np.testing.assert_allclose(cauchy_p(cauchy(p).sum(axis=1), 40), oracle, rtol=1e-8)


def test_the_cauchy_combination_of_extreme_p():
    # One p far below the rest: as many times p as there are tests.
    combined = cauchy_p(cauchy(np.array([1e-250, 0.3, 0.6, 1.0])).sum(), 4)
    assert combined == pytest.approx(4e-250, rel=1e-6)
    assert cauchy_p(cauchy(np.array([1.0, 1.0])).sum(), 2) == pytest.approx(1)
    assert cauchy_p(cauchy(np.array([0.5])).sum(), 1) == pytest.approx(0.5)
    assert np.isfinite(cauchy(np.array([0.0, 1.0]))).all()


def test_the_cauchy_combination_is_calibrated_in_its_tail_when_tests_depend():
    n = 4000
    shared = np.random.default_rng(0).standard_normal((n, 1))
    for weight in (0.0, 0.5, 0.95):
        z = weight * shared + np.sqrt(1 - weight**2) * np.random.default_rng(1).standard_normal((n, 30))
        p = cauchy_p(cauchy(2 * scipy.stats.norm.sf(np.abs(z))).sum(axis=1), 30)
        low, high = scipy.stats.binom.ppf([0.0005, 0.9995], n, 0.01)
        assert low <= (p < 0.01).sum() <= high


def tree_by_hand(p: np.ndarray, gene_p: np.ndarray, level: float) -> np.ndarray:
    """(genes, features) bool: pairs found at a level, the two steps as published."""
    selected = multipletests(gene_p, level, method="fdr_bh")[0]
    found = np.zeros(p.shape, bool)
    for gene in np.flatnonzero(selected):
        found[gene] = multipletests(p[gene], level * selected.sum() / len(p), method="fdr_bh")[0]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_tree_q_against_the_two_steps(seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=(30, 12))
    p[:8] **= 6
    p = np.round(p, 4)  # ties
    gene_p = np.minimum(1, p.min(axis=1) * 12)
    gene = np.repeat(np.arange(30), 12)
    within = np.concatenate([bh(row) for row in p])
    q = tree_q(bh(gene_p), gene, within)
    levels = np.concatenate(
        [np.linspace(0.001, 0.9, 60), q[(q > 0) & (q < 1)] * 1.000001, q[(q > 0) & (q < 1)] * 0.999999]
    )
    for level in levels:
        np.testing.assert_array_equal((q <= level).reshape(p.shape), tree_by_hand(p, gene_p, level))


def test_tree_q_of_what_was_not_kept_is_nan():
    q = tree_q(np.array([0.01, 0.9]), np.array([0, 0, 1]), np.array([0.001, np.nan, 0.5]))
    assert np.isnan(q[1]) and q[0] == pytest.approx(0.01) and q[2] == pytest.approx(0.9)


def test_the_tree_controls_false_pairs_among_selected_genes():
    """Mean share of false pairs over the selected genes, 200 cohorts: at most the level (Benjamini & Bogomolov)."""
    shares = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((100, 20))
        z[:15, :4] += 4
        p = 2 * scipy.stats.norm.sf(np.abs(z))
        gene_q = bh(cauchy_p(cauchy(p).sum(axis=1), 20))
        q = tree_q(gene_q, np.repeat(np.arange(100), 20), np.concatenate([bh(row) for row in p])).reshape(p.shape)
        found = q <= 0.05
        false = found.copy()
        false[:15, :4] = False
        selected = gene_q <= 0.05
        shares.append(np.mean(false[selected].sum(axis=1) / np.maximum(found[selected].sum(axis=1), 1)))
    assert np.mean(shares) <= 0.05 + 2 * np.std(shares) / np.sqrt(200)
    assert np.mean(shares) > 0.005  # it does spend its level


@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_bh_within_groups_against_bh_of_each(alpha):
    rng = np.random.default_rng(9)
    p = np.round(rng.uniform(size=(40, 25)) ** rng.integers(1, 4, (40, 1)), 3)
    group = np.repeat(np.arange(40), 25)
    order = rng.permutation(1000)
    kept = order[p.ravel()[order] <= alpha]
    q = bh_within(p.ravel()[kept], group[kept], 25, alpha)
    oracle = np.concatenate([bh(row, alpha) for row in p])[kept]
    np.testing.assert_allclose(q, oracle, rtol=1e-12)
    assert bh_within(np.empty(0), np.empty(0, int), 5, 0.05).shape == (0,)
