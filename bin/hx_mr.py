#!/usr/bin/env python3
"""Mendelian randomisation with associations of independent variants with an exposure and with an outcome.

Functions on arrays: bx, sx (variants,) effects of the counted allele on the exposure and their standard errors, by, sy
those on the outcome, of the same alleles. Which variants are valid instruments is no matter of these functions.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtr
from scipy.stats import chi2

BOOTSTRAPS = 1000


class Estimate(NamedTuple):
    """An effect of the exposure on the outcome, its standard error and two-sided p."""

    effect: float
    se: float
    p: float


class Weighted(NamedTuple):
    """Inverse-variance weighted mean: with fixed and with random effects, and the heterogeneity of the ratios."""

    fixed: Estimate
    random: Estimate
    q: float
    q_p: float


class Egger(NamedTuple):
    """Slope and intercept of MR-Egger, and I2GX of the associations with the exposure."""

    slope: Estimate
    intercept: Estimate
    i2gx: float


def normal_estimate(effect: float, se: float) -> Estimate:
    """An estimate whose p is that of the standard normal distribution."""
    return Estimate(float(effect), float(se), float(2 * ndtr(-abs(effect) / se)))


def wald(bx: float, sx: float, by: float, sy: float) -> tuple[Estimate, Estimate]:
    """Ratio of one variant's effects, with its first-order and its second-order standard error.

    by / bx; sy / |bx|, which takes bx as known; sqrt(sy^2 / bx^2 + by^2 sx^2 / bx^4), the delta method for independent
    samples (Thomas, Lawlor & Thompson 2007, Ann Epidemiol 17:511).
    """
    effect = by / bx
    first = sy / abs(bx)
    second = math.sqrt(sy**2 / bx**2 + by**2 * sx**2 / bx**4)
    return normal_estimate(effect, first), normal_estimate(effect, second)


def ivw(bx: np.ndarray, by: np.ndarray, sy: np.ndarray) -> Weighted:
    """Inverse-variance weighted mean of the ratios, with first-order weights; two variants or more.

    sum(bx by / sy^2) / sum(bx^2 / sy^2) with standard error sum(bx^2 / sy^2)^-1/2 (Burgess, Butterworth & Thompson
    2013, Genet Epidemiol 37:658; Rees, Wood & Burgess 2017, Stat Med 36:4705, eq. 2); with random effects that times
    max(1, sqrt(Q / (n - 1))), Q being Cochran's statistic of the ratios (Bowden et al. 2017, Stat Med 36:1783).
    """
    weight = bx**2 / sy**2
    effect = float(np.sum(bx * by / sy**2) / weight.sum())
    se = weight.sum() ** -0.5
    q = float(np.sum(weight * (by / bx - effect) ** 2))
    free = len(bx) - 1
    random = se * max(1.0, math.sqrt(q / free))
    return Weighted(normal_estimate(effect, se), normal_estimate(effect, random), q, float(chi2.sf(q, free)))


def egger(bx: np.ndarray, sx: np.ndarray, by: np.ndarray, sy: np.ndarray) -> Egger:
    """Weighted regression of by on bx with an intercept, each variant counted by the allele that raises the exposure.

    Bowden, Davey Smith & Burgess 2015, Int J Epidemiol 44:512: weights sy^-2; standard errors are divided by
    min(1, residual standard error); p from Student's t with n - 2 degrees of freedom. Three variants or more.
    """
    sign = np.where(bx < 0, -1.0, 1.0)
    bx, by = bx * sign, by * sign
    design = np.column_stack([np.ones(len(bx)), bx]) / sy[:, None]
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ (by / sy)
    left = by / sy - design @ coefficients
    free = len(bx) - 2
    sigma = math.sqrt(float(left @ left) / free)
    errors = np.sqrt(np.diag(inverse)) * sigma / min(1.0, sigma)
    both = [
        Estimate(float(b), float(se), float(2 * stdtr(free, -abs(b) / se)))
        for b, se in zip(coefficients, errors, strict=True)
    ]
    return Egger(both[1], both[0], i2gx(bx, sx, sy))


def i2gx(bx: np.ndarray, sx: np.ndarray, sy: np.ndarray) -> float:
    """Share of the variance of the associations with the exposure that is no sampling error; under .9, Egger is biased.

    (Q - (n - 1)) / Q, at least 0, with Q the heterogeneity of the |bx| / sy, whose standard errors are sx / sy (Bowden
    et al. 2016, Int J Epidemiol 45:1961, for a regression weighted by sy^-2): the slope shrinks towards 0 by
    about this factor.
    """
    size, weight = np.abs(bx) / sy, (sy / sx) ** 2
    q = float(np.sum(weight * (size - np.sum(weight * size) / weight.sum()) ** 2))
    return max(0.0, (q - (len(bx) - 1)) / q) if q > 0 else 0.0


def weighted_median_of(ratio: np.ndarray, weight: np.ndarray) -> float:
    """Ratio at which half of the weight lies below, linear between the ratios (Bowden et al. 2016)."""
    order = np.argsort(ratio, kind="stable")
    ratio, weight = ratio[order], weight[order]
    below = (np.cumsum(weight) - weight / 2) / weight.sum()
    return float(np.interp(0.5, below, ratio))


def weighted_median(
    bx: np.ndarray, sx: np.ndarray, by: np.ndarray, sy: np.ndarray, rng: np.random.Generator
) -> Estimate:
    """Median of the ratios weighted by (bx / sy)^2: consistent where half of the weight is on valid instruments.

    Bowden et al. 2016, Genet Epidemiol 40:304. Standard error: standard deviation of the median over BOOTSTRAPS draws
    of bx and by from their normal distributions, the weights kept.
    """
    weight = (bx / sy) ** 2
    drawn_x = rng.normal(bx, sx, (BOOTSTRAPS, len(bx)))
    drawn_y = rng.normal(by, sy, (BOOTSTRAPS, len(by)))
    drawn = [weighted_median_of(y / x, weight) for x, y in zip(drawn_x, drawn_y, strict=True)]
    return normal_estimate(weighted_median_of(by / bx, weight), float(np.std(drawn, ddof=1)))


class Steiger(NamedTuple):
    """Whether instruments go with the exposure rather than with the outcome.

    z > 0: they explain more of the exposure. p: two-sided. flip: the outcome's reliability over that of the exposure
    below which the order of the true shares is the other one; 1 or more where it is as they stand.
    """

    z: float
    p: float
    flip: float


def steiger(r_x: float, r_y: float, n_x: float, n_y: float) -> Steiger:
    """Compare the correlations of the instruments with exposure and outcome, from samples without a common donor.

    Difference of Fisher's z over its standard error (Hemani, Tilling & Davey Smith 2017, PLoS Genet 13:e1007081).
    Measurement error of reliability w leaves w r^2 of r^2: the order flips where w_y / w_x = r_y^2 / r_x^2.
    """
    r_x, r_y = abs(r_x), abs(r_y)
    z = (math.atanh(r_x) - math.atanh(r_y)) / math.sqrt(1 / (n_x - 3) + 1 / (n_y - 3))
    return Steiger(z, float(2 * ndtr(-abs(z))), _flip(r_x, r_y))


def steiger_same_donors(r_x: float, r_y: float, r_xy: float, n: float) -> Steiger:
    """As `steiger`, where both correlations are of the same n donors and exposure and outcome correlate by r_xy.

    Steiger 1980, Psychol Bull 87:245, eq. 14, with the mean of the two correlations in their covariance (Dunn & Clark
    1969). Signs are those with the outcome and r_xy turned so that the instruments' correlations are positive.
    """
    if r_x * r_y < 0:
        r_xy = -r_xy
    r_x, r_y = abs(r_x), abs(r_y)
    mean = (r_x + r_y) / 2
    psi = r_xy * (1 - 2 * mean**2) - mean**2 * (1 - 2 * mean**2 - r_xy**2) / 2
    common = psi / (1 - mean**2) ** 2
    z = (math.atanh(r_x) - math.atanh(r_y)) * math.sqrt((n - 3) / (2 - 2 * common))
    return Steiger(z, float(2 * ndtr(-abs(z))), _flip(r_x, r_y))


def _flip(r_x: float, r_y: float) -> float:
    return r_y**2 / r_x**2 if r_x > 0 else math.inf


def share_explained(bx: np.ndarray, sx: np.ndarray, n: np.ndarray) -> float:
    """Share of a trait's variance that independent variants explain: sum of F / (F + n - 2) with F = (bx / sx)^2."""
    f = (bx / sx) ** 2
    return float(min(np.sum(f / (f + n - 2)), 1 - 1e-12))
