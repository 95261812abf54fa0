"""Mendelian randomisation by formula: published numbers, statsmodels, linearmodels, and closed forms."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS
from scipy import stats

from hx_linear import residual_space
from hx_mr import (
    egger,
    i2gx,
    ivw,
    share_explained,
    steiger,
    steiger_same_donors,
    wald,
    weighted_median,
    weighted_median_of,
)
from hx_mr_alleles import MISMATCH, PALINDROMIC, clump, harmonise
from hx_mr_coloc import coloc_abf, log_abf
from hx_mr_one_sample import anderson_rubin_p, anderson_rubin_set, holds, shape_of, told_set, two_stage

# LDL cholesterol and coronary heart disease, 28 variants of Waterworth et al. 2010 (Arterioscler Thromb Vasc Biol
# 30:2264), the example of the R package of Yavorska & Burgess 2017 (Int J Epidemiol 46:1734); PUBLISHED is its output.
BX = np.array(
    [.026, -.044, -.038, -.023, -.017, -.031, -.018, .046, .059, .004, .011, -.005, .004, .022, -.005, -.002, -.002,
     .004, .011, .009, -.011, -.003, -.012, .0003, -.015, -.008, .009, -.036]
)  # fmt: skip
SX = np.array([4, 4, 4, 3, 3, 6, 4, 7, 4, 3, 4, 5, 5, 5, 4, 4, 3, 4, 4, 3, 4, 3, 4, 3, 3, 4, 3, 7]) / 1000
BY = np.array(
    [.0677, -.1625, -.1054, -.0619, -.0834, -.1278, -.0408, .0770, .1570, -.0305, .0100, .1823, -.0408, .1989, .0100,
     .0488, .0100, -.0408, -.0305, -.0408, -.0202, -.0619, .0296, .0677, -.0726, -.0726, .0000, .0198]
)  # fmt: skip
SY = np.array(
    [.0286, .0300, .0310, .0243, .0222, .0667, .0373, .0543, .0306, .0236, .0277, .0403, .0344, .0335, .0378, .0292,
     .0253, .0319, .0316, .0241, .0285, .0217, .0298, .0239, .0220, .0246, .0255, .0647]
)  # fmt: skip
PUBLISHED = {"ivw": (2.834, 0.530), "q": 99.5304, "egger": (3.253, 0.770), "intercept": (-0.011, 0.015)}
PUBLISHED_MEDIAN, PUBLISHED_I2GX = (2.683, 0.419), 0.919


def test_published_example():
    """To the digits that are printed: three of estimates, four of Q."""
    mean, line = ivw(BX, BY, SY), egger(BX, SX, BY, SY)
    assert (round(mean.random.effect, 3), round(mean.random.se, 3)) == PUBLISHED["ivw"]
    assert round(mean.q, 4) == PUBLISHED["q"]
    assert (round(line.slope.effect, 3), round(line.slope.se, 3)) == PUBLISHED["egger"]
    assert (round(line.intercept.effect, 3), round(line.intercept.se, 3)) == PUBLISHED["intercept"]
    assert round(line.i2gx, 3) == PUBLISHED_I2GX
    median = weighted_median(BX, SX, BY, SY, np.random.default_rng(0))
    assert round(median.effect, 3) == PUBLISHED_MEDIAN[0]
    assert abs(median.se - PUBLISHED_MEDIAN[1]) < 0.03  # a bootstrap: 1,000 draws have a standard error of 2 %


def test_ivw_is_weighted_regression_through_the_origin():
    """Rees, Wood & Burgess 2017, eq. 2; the random-effects error is that of the regression (1e-8)."""
    fit, mean = sm.WLS(BY, BX, weights=SY**-2).fit(), ivw(BX, BY, SY)
    assert mean.fixed.effect == pytest.approx(fit.params[0], rel=1e-8)
    assert mean.fixed.se == pytest.approx(fit.bse[0] / math.sqrt(fit.scale), rel=1e-8)
    assert mean.random.se == pytest.approx(fit.bse[0], rel=1e-8) and fit.scale > 1
    assert mean.q == pytest.approx(fit.scale * 27, rel=1e-8)
    assert mean.q_p == pytest.approx(stats.chi2.sf(mean.q, 27), rel=1e-8)
    assert mean.random.p == pytest.approx(2 * stats.norm.sf(mean.random.effect / mean.random.se), rel=1e-8)
    # Ratios that agree too well: random effects do not narrow the interval.
    same = ivw(BX, 2 * BX, SY)
    assert same.random.se == same.fixed.se and same.q == pytest.approx(0, abs=1e-12)


def test_egger_is_weighted_regression_with_an_intercept():
    """Bowden, Davey Smith & Burgess 2015: variants by the allele that raises the exposure, sigma at least 1 (1e-8)."""
    sign = np.sign(BX)
    fit = sm.WLS(BY * sign, sm.add_constant(BX * sign), weights=SY**-2).fit()
    line = egger(BX, SX, BY, SY)
    np.testing.assert_allclose([line.intercept.effect, line.slope.effect], fit.params, rtol=1e-8)
    np.testing.assert_allclose([line.intercept.se, line.slope.se], fit.bse, rtol=1e-8)
    np.testing.assert_allclose([line.intercept.p, line.slope.p], fit.pvalues, rtol=1e-8)
    quiet = egger(BX, SX, 2 * BX + 1e-3 * SY, SY)
    again = sm.WLS((2 * BX + 1e-3 * SY) * sign, sm.add_constant(BX * sign), weights=SY**-2).fit()
    assert quiet.slope.se == pytest.approx(again.bse[1] / math.sqrt(again.scale), rel=1e-8)
    flipped = egger(-BX, SX, -BY, SY)
    assert flipped == line


def test_i2gx_by_hand():
    """Bowden et al. 2016 (Int J Epidemiol), on the scale of a regression weighted by sy^-2."""
    size, weight = np.abs(BX) / SY, (SY / SX) ** 2
    mean = np.average(size, weights=weight)
    q = sum(w * (s - mean) ** 2 for w, s in zip(weight, size, strict=True))
    assert i2gx(BX, SX, SY) == pytest.approx((q - 27) / q, rel=1e-8)
    assert i2gx(np.full(5, 0.1), np.full(5, 0.01), np.full(5, 0.02)) == 0


def test_wald_by_hand():
    """Thomas, Lawlor & Thompson 2007: by / bx = 2; errors .05 / .1 and sqrt(.25 + .04 * .0001 / .0001)."""
    first, second = wald(0.1, 0.01, 0.2, 0.05)
    assert first.effect == second.effect == pytest.approx(2, rel=1e-12)
    assert first.se == pytest.approx(0.5, rel=1e-12)
    assert second.se == pytest.approx(math.sqrt(0.05**2 / 0.1**2 + 0.2**2 * 0.01**2 / 0.1**4), rel=1e-12)
    assert first.p == pytest.approx(2 * stats.norm.sf(4), rel=1e-12)
    assert wald(-0.1, 0.01, 0.2, 0.05)[0].effect == -2


def test_weighted_median_of_the_papers_example():
    """Bowden et al. 2016 (Genet Epidemiol), their worked example of interpolation.

    The third and fourth ratio lie at the percentiles 27.78 and 52.78: the median is the third plus (50 - 27.78) /
    (52.78 - 27.78) of their distance.
    """
    weight = np.array([0, 5.555, 44.45, 5.56, 44.435])
    ratio = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    below = 100 * (np.cumsum(weight) - weight / 2) / weight.sum()
    np.testing.assert_allclose(below[2:4], [27.78, 52.785], atol=0.01)
    expected = 3 + (50 - below[2]) / (below[3] - below[2])
    assert weighted_median_of(ratio[[4, 0, 2, 1, 3]], weight[[4, 0, 2, 1, 3]]) == pytest.approx(expected, rel=1e-12)
    odd = np.array([5.0, -1.0, 2.0])
    assert weighted_median_of(odd, np.ones(3)) == 2


def test_weighted_median_keeps_its_estimate_with_a_minority_of_invalid_variants():
    rng = np.random.default_rng(1)
    bx, sx, sy = rng.uniform(0.05, 0.1, 20), np.full(20, 0.005), np.full(20, 0.005)
    by = 0.4 * bx + rng.normal(0, 0.005, 20)
    by[:6] += 0.1
    assert abs(weighted_median(bx, sx, by, sy, rng).effect - 0.4) < 0.1 < abs(ivw(bx, by, sy).fixed.effect - 0.4)
    again = [weighted_median(bx, sx, by, sy, np.random.default_rng(5)).se for _ in range(2)]
    assert again[0] == again[1]


def test_steiger_by_hand():
    """Hemani et al. 2017: (atanh .3 - atanh .2) / sqrt(1 / 997 + 1 / 497)."""
    found = steiger(0.3, -0.2, 1000, 500)
    assert found.z == pytest.approx((math.atanh(0.3) - math.atanh(0.2)) / math.sqrt(1 / 997 + 1 / 497), rel=1e-12)
    assert found.p == pytest.approx(2 * stats.norm.sf(found.z), rel=1e-12)
    # An outcome of reliability .04 / .09 of the exposure's has the same true share.
    assert found.flip == pytest.approx(0.04 / 0.09, rel=1e-12)
    assert 0.3**2 / 1 == pytest.approx(0.2**2 / found.flip, rel=1e-12)


def test_steiger_of_dependent_correlations_is_calibrated():
    """The same donors on both sides: standard normal where both correlations are equal."""
    n, z = 300, []
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        instrument, cause, e, f = rng.normal(size=(4, n))
        x, y = 0.4 * instrument + 0.6 * cause + 0.7 * e, 0.4 * instrument + 0.6 * cause + 0.7 * f
        r = np.corrcoef([instrument, x, y])
        z.append(steiger_same_donors(r[0, 1], r[0, 2], r[1, 2], n).z)
    low, high = stats.binom.ppf([0.0005, 0.9995], 2000, 0.05)
    assert low <= np.count_nonzero(np.abs(z) > stats.norm.isf(0.025)) <= high
    assert abs(np.std(z) - 1) < 0.06
    turned = steiger_same_donors(-0.4, 0.2, -0.5, 300)
    assert turned == steiger_same_donors(0.4, 0.2, 0.5, 300) and turned.z > 0


def test_share_explained_of_independent_variants():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(2000, 3))
    x = z @ [0.2, 0.3, 0.1] + rng.normal(size=2000)
    fits = [sm.OLS(x, sm.add_constant(z[:, k])).fit() for k in range(3)]
    found = share_explained(*(np.array([getattr(f, a)[1] for f in fits]) for a in ("params", "bse")), np.full(3, 2000))
    assert found == pytest.approx(sum(f.rsquared for f in fits), rel=1e-10)
    assert abs(found - sm.OLS(x, sm.add_constant(z)).fit().rsquared) < 0.01


# One sample


def drawn(seed: int, n: int = 250, instruments: int = 3, effect: float = 0.5, strength: float = 0.3):
    rng = np.random.default_rng(seed)
    covariates = rng.normal(size=(n, 2))
    z = rng.normal(size=(n, instruments)) + 0.2 * covariates[:, :1]
    cause = rng.normal(size=n)
    x = strength * z.sum(axis=1) + cause + covariates @ [0.5, -1] + rng.normal(size=n)
    y = effect * x + cause + covariates @ [1, 0.3] + rng.normal(size=n)
    return covariates, x, y, z


@pytest.mark.parametrize("instruments", [1, 3])
def test_two_stage_is_iv2sls(instruments):
    """linearmodels 7.1: estimate, its error, p, first-stage F and Sargan's test to 1e-9."""
    covariates, x, y, z = drawn(1, instruments=instruments)
    space = residual_space(covariates, len(x))
    fit = two_stage(*(space.rotate(v[:, None])[:, 0] for v in (x, y)), space.rotate(z), len(x))
    theirs = IV2SLS(y, sm.add_constant(covariates), x, z).fit(cov_type="unadjusted", debiased=True)
    assert fit.effect.effect == pytest.approx(theirs.params["endog"], rel=1e-9)
    assert fit.effect.se == pytest.approx(theirs.std_errors["endog"], rel=1e-9)
    assert fit.effect.p == pytest.approx(theirs.pvalues["endog"], rel=1e-9)
    full, base = (sm.OLS(x, sm.add_constant(m)).fit() for m in (np.hstack([covariates, z]), covariates))
    f = full.compare_f_test(base)
    assert fit.f == pytest.approx(f[0], rel=1e-9)
    if instruments == 1:
        assert math.isnan(fit.sargan)
    else:
        assert fit.sargan == pytest.approx(theirs.sargan.stat, rel=1e-9)
        assert fit.sargan_p == pytest.approx(theirs.sargan.pval, rel=1e-9)


@pytest.mark.parametrize("instruments", [1, 3])
def test_anderson_rubin_is_the_f_test_of_the_instruments(instruments):
    """Anderson & Rubin 1949: OLS of y - b x on instruments and covariates; the set ends where p is .05."""
    covariates, x, y, z = drawn(2, instruments=instruments)
    space = residual_space(covariates, len(x))
    (rx, ry), rz = (space.rotate(v[:, None])[:, 0] for v in (x, y)), space.rotate(z)
    for effect in (0.0, 0.4, -2.0):
        full, base = (
            sm.OLS(y - effect * x, sm.add_constant(m)).fit() for m in (np.hstack([covariates, z]), covariates)
        )
        assert anderson_rubin_p(rx, ry, rz, effect) == pytest.approx(full.compare_f_test(base)[1], rel=1e-8)
    found = anderson_rubin_set(rx, ry, rz)
    assert shape_of(found) == "bounded" and len(found) == 1 and holds(found, 0.5)
    for end in found[0]:
        assert anderson_rubin_p(rx, ry, rz, end) == pytest.approx(0.05, rel=1e-6)


def test_anderson_rubin_sets_may_be_unbounded_or_empty():
    """Dufour & Taamouti 2005: checked against the test on a grid."""
    seen = set()
    grid = np.tan(np.linspace(-1.5, 1.5, 401))
    cases = [(seed, 0.0) for seed in range(12)] + [(seed, 0.03) for seed in range(12)]
    for seed, strength in cases:
        _, x, y, z = drawn(seed, n=120, strength=strength)
        z = z - z.mean(axis=0)
        found = anderson_rubin_set(x - x.mean(), y - y.mean(), z)
        inside = [anderson_rubin_p(x - x.mean(), y - y.mean(), z, b) >= 0.05 for b in grid]
        assert [holds(found, b) for b in grid] == inside
        seen.add((shape_of(found), len(found)))
    assert ("unbounded", 1) in seen and ("unbounded", 2) in seen
    # Instruments that act on the outcome each in its own way: no effect fits all.
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 2))
    x, y = z.sum(axis=1) + rng.normal(size=400), z @ [2.0, -2.0] + rng.normal(size=400)
    found = anderson_rubin_set(x, y, z)
    assert found == [] and shape_of(found) == told_set(found) == "empty" and not holds(found, 0.0)
    assert told_set([(-math.inf, -2.0), (0.125, math.inf)]) == "(-inf, -2] or [0.125, inf)"


# Alleles, linkage, colocalisation


def associations(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["effect_allele", "other_allele", "eaf"])


def test_harmonise():
    cases = {  # (exposure, outcome): (kept, sign, reason)
        (("A", "G", 0.3), ("A", "G", 0.3)): (True, 1, ""),
        (("A", "G", 0.3), ("G", "A", 0.7)): (True, -1, ""),
        (("a", "g", 0.3), ("T", "C", 0.3)): (True, 1, ""),
        (("A", "G", 0.3), ("C", "T", 0.7)): (True, -1, ""),
        (("A", "G", 0.3), ("A", "C", 0.3)): (False, 1, MISMATCH),
        (("A", "T", 0.3), ("A", "T", 0.28)): (True, 1, ""),
        (("A", "T", 0.3), ("T", "A", 0.72)): (True, -1, ""),
        # The other strand: the same names, the other allele.
        (("A", "T", 0.3), ("A", "T", 0.72)): (True, -1, ""),
        (("A", "T", 0.3), ("T", "A", 0.28)): (True, 1, ""),
        (("C", "G", 0.45), ("C", "G", 0.45)): (False, 1, PALINDROMIC),
        (("C", "G", 0.42), ("C", "G", 0.43)): (False, 1, PALINDROMIC),
        (("C", "G", 0.2), ("C", "G", math.nan)): (False, 1, PALINDROMIC),
        (("CT", "C", 0.2), ("C", "CT", 0.8)): (True, -1, ""),
    }
    found = harmonise(associations(*(x for x, _ in cases)), associations(*(y for _, y in cases)))
    for k, (kept, sign, reason) in enumerate(cases.values()):
        assert (found.keep[k], found.reason[k]) == (kept, reason), k
        assert not kept or found.sign[k] == sign, k


def test_clump():
    p = np.array([1e-9, 1e-12, 1e-8, 1e-10, 1e-20])
    chrom, pos = (
        np.array(["1", "1", "1", "1", "2"]),
        np.array([1_000_000, 2_000_000, 30_000_000, 30_000_100, 2_000_000]),
    )
    assert clump(p, chrom, pos, None, 0).tolist() == [False, True, False, True, True]
    r2 = np.eye(5)
    r2[0, 1] = r2[1, 0] = 0.0005
    r2[2, 3] = r2[3, 2] = 0.5
    assert clump(p, chrom, pos, r2, 100_000).tolist() == [True, True, False, True, True]
    r2[0, 1] = r2[1, 0] = 0.002
    assert clump(p, chrom, pos, r2, 100_000).tolist() == [False, True, False, True, True]
    assert clump(p, chrom, pos, r2, 449).tolist() == [
        True,
        True,
        False,
        True,
        True,
    ]  # 449 donors cannot tell .002 from 0


def test_coloc_by_enumeration():
    """Giambartolomei et al. 2014: sums over all configurations of three variants, to 1e-10."""
    rng = np.random.default_rng(4)
    beta, se = rng.normal(0, 0.2, (2, 3)), rng.uniform(0.03, 0.06, (2, 3))
    # Wakefield 2009: ratio of the densities of the estimate under N(0, V + W) and N(0, V).
    bayes = np.array(
        [stats.norm.pdf(b, 0, np.hypot(s, 0.15)) / stats.norm.pdf(b, 0, s) for b, s in zip(beta, se, strict=True)]
    )
    logs = [log_abf(b, s) for b, s in zip(beta, se, strict=True)]
    np.testing.assert_allclose(np.exp(logs), bayes, rtol=1e-10)
    weights = [1, 1e-4 * bayes[0].sum(), 1e-4 * bayes[1].sum()]
    weights += [sum(1e-8 * bayes[0, i] * bayes[1, j] for i in range(3) for j in range(3) if i != j)]
    weights += [1e-5 * sum(bayes[0, i] * bayes[1, i] for i in range(3))]
    np.testing.assert_allclose(coloc_abf(*logs), np.array(weights) / sum(weights), rtol=1e-10)
    assert coloc_abf(np.array([5.0]), np.array([5.0])).h3 == 0


def test_coloc_tells_a_common_variant_from_two():
    rng = np.random.default_rng(5)
    z = rng.binomial(2, 0.3, (40, 1500)).astype(float)
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    first, common, other = (0.3 * z[k] + rng.normal(size=1500) for k in (10, 10, 25))

    def bayes(trait: np.ndarray) -> np.ndarray:
        beta = z @ trait / 1500
        return log_abf(beta, np.sqrt((trait.var() - beta**2) / 1498))

    assert coloc_abf(bayes(first), bayes(common)).h4 > 0.95
    assert coloc_abf(bayes(first), bayes(other)).h3 > 0.95
    assert coloc_abf(bayes(first), bayes(rng.normal(size=1500))).h1 > 0.8
