"""hx_published: the study's p makes hits of nothing, ours none (trap T1); its features; numbers against scipy."""

import numpy as np
import pytest
from scipy import stats
from test_calibration import normal_columns

from hx_linear import residual_space, standardise
from hx_published import CALIBRATED, NUMBERS, PUBLISHED, Sides, both_ways, most_variable


def sides(n: int, k: int, genes: int, features: int, seed: int = 0, signal: float = 0.0) -> tuple[Sides, np.ndarray]:
    """Genes and features that share covariates; gene 0 and feature 0 share `signal` besides. And the covariates."""
    rng = np.random.default_rng(seed)
    covariates = rng.normal(size=(n, k))
    log2 = 5 + covariates @ rng.normal(size=(k, genes)) / max(np.sqrt(k), 1) + rng.normal(size=(n, genes))
    image = covariates @ rng.normal(size=(k, features)) / max(np.sqrt(k), 1) + rng.normal(size=(n, features))
    image[:, 0] += signal * log2[:, 0]
    space = residual_space(covariates, n)
    units = (standardise(values, space).unit for values in (log2, normal_columns(log2)))
    return Sides(*units, image, space), covariates


def test_the_published_p_makes_hits_of_nothing():
    """T1: S = 83, k = 51, a million pairs without a link. Hundreds of Bonferroni hits, ours none; and the study's own
    control, residuals permuted as they are, shows none of it."""
    found = both_ways(sides(83, 51, 2000, 500)[0], np.random.default_rng(0))
    published, ours = (found[name][1] for name in (PUBLISHED, CALIBRATED))
    assert (published["dof"], ours["dof"]) == (81, 30) and published["pairs"] == 1_000_000
    for found_by in (published, ours):
        dof, r = found_by["dof"], found_by["detectable_r"]
        cut = stats.t.isf(0.025 / 1_000_000, dof)
        assert stats.nct.sf(cut, dof, r * np.sqrt((dof + 1) / (1 - r**2))) == pytest.approx(0.8, abs=1e-6)
    assert 700 < published["hits"] < 1300 and 700 < published["null_hits"] < 1300
    assert published["null_hits_residuals"] < 1
    assert ours["hits"] <= 1 and ours["null_hits"] < 0.5
    # The largest r2 of nothing is large; what is found stands out from it or does not.
    assert published["top_r2"] > 0.5 and published["null_top_r2"] > 0.5


@pytest.mark.parametrize("k", [0, 8, 25])
def test_hits_of_nulls(k):
    """1,000 nulls (50 cohorts, 20 orders of donors each): Bonferroni at .05 makes .05 hits each; the study's more, with
    covariates, but for its own control."""
    hits = dict.fromkeys((PUBLISHED, CALIBRATED, "residuals"), 0.0)
    for seed in range(50):
        found = both_ways(sides(60, k, 30, 20, seed)[0], np.random.default_rng(seed))
        for name, (_, numbers) in found.items():
            hits[name] += 20 * numbers["null_hits"]
        hits["residuals"] += 20 * found[PUBLISHED][1]["null_hits_residuals"]
    low, high = stats.poisson.interval(0.999, 50)
    assert low <= hits[CALIBRATED] <= high and low <= hits["residuals"] <= high
    assert low <= hits[PUBLISHED] and (hits[PUBLISHED] > high) == (k > 0)


def test_numbers_against_scipy():
    part, covariates = sides(90, 4, 12, 7, signal=1.0)
    x = np.column_stack([np.ones(90), covariates])
    rest = part.features - x @ np.linalg.lstsq(x, part.features, rcond=None)[0]
    found = both_ways(part, np.random.default_rng(0))
    for name, genes, dof in ((PUBLISHED, part.log2, 88), (CALIBRATED, part.normal, 84)):
        top, numbers = found[name]
        assert list(numbers) == NUMBERS
        r = np.array([[stats.pearsonr(rest[:, f], genes[:, g]).statistic for f in range(7)] for g in range(12)])
        p = 2 * stats.t.sf(np.abs(r) * np.sqrt(dof / (1 - r**2)), dof)
        assert (numbers["hits"], numbers["genes_with_hit"], numbers["features_with_hit"]) == (
            (p <= 0.05 / 84).sum(),
            (p <= 0.05 / 84).any(axis=1).sum(),
            (p <= 0.05 / 84).any(axis=0).sum(),
        )
        assert (top.row[0], top.column[0]) == (0, 0)
        assert numbers["top_r2"] == pytest.approx(r[0, 0] ** 2, rel=1e-9)
        assert numbers["top_nlog10p"] == pytest.approx(-np.log10(p[0, 0]), rel=1e-8)


def test_features_of_largest_sd_over_all_sizes():
    """A feature that differs between sizes alone varies over them, as in the study; ties go to the first."""
    rng = np.random.default_rng(0)
    small, large = rng.normal(0, 0.1, (20, 6)), rng.normal(0, 0.1, (15, 6))
    large[:, 4] += 10
    small[:, 1], large[:, 1] = np.nan, 1
    small[0, 2] = np.inf
    assert most_variable([small, large], 1).tolist() == [4]
    assert set(most_variable([small, large], 6)) == {0, 3, 4, 5}
    same = np.tile(rng.normal(size=(10, 1)), 4)
    assert most_variable([same], 2).tolist() == [0, 1]


def test_a_feature_that_shuffling_makes_one_of_the_covariates():
    """A feature of one donor, and a covariate that marks another: some orders leave nothing of it."""
    rng = np.random.default_rng(0)
    marks = np.eye(12)[:, :2]
    space = residual_space(marks[:, :1], 12)
    genes = standardise(rng.normal(size=(12, 3)), space).unit
    found = both_ways(Sides(genes, genes, np.column_stack([marks[:, 1], rng.normal(size=12)]), space), rng)
    assert np.isfinite(found[CALIBRATED][1]["null_top_r2"])
