"""hx_fdr against statsmodels (oracle O5)."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from hx_fdr import bh, bonferroni


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
