#!/usr/bin/env python3
"""Instrumental variables in one sample: two-stage least squares, Sargan's test, Anderson-Rubin confidence sets.

Vectors hold coordinates of donors in the residual space of the covariates (hx_linear.ResidualSpace.rotate), so that
neither an intercept nor covariates appear: x (dim,) exposure, y (dim,) outcome, z (dim, q) instruments.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import fdtrc, fdtri, stdtr
from scipy.stats import chi2

from hx_mr import Estimate

Intervals = list[tuple[float, float]]


class TwoStage(NamedTuple):
    """Two-stage least squares; f: F of the first stage; Sargan's statistic and p are NaN with one instrument."""

    effect: Estimate
    f: float
    r2: float
    sargan: float
    sargan_p: float


def projector(z: np.ndarray) -> np.ndarray:
    """(dim, rank) orthonormal basis of the columns of z."""
    left, size, _ = np.linalg.svd(z, full_matrices=False)
    return left[:, size > 1e-10 * size[0]] if len(size) and size[0] > 0 else left[:, :0]


def two_stage(x: np.ndarray, y: np.ndarray, z: np.ndarray, donors: int) -> TwoStage:
    """Effect of x on y with instruments z: b = x'Py / x'Px, P the projector on z.

    Standard error sqrt(e'e / (dim - 1)) (x'Px)^-1/2 with e = y - b x, p from Student's t with dim - 1 degrees of
    freedom. F of the first stage has q and dim - q degrees of freedom. Sargan's statistic is donors e'Pe / e'e,
    chi-squared with q - 1 degrees of freedom (Sargan 1958, Econometrica 26:393; Wooldridge 2010, Econometric Analysis
    of Cross Section and Panel Data, chapters 5 and 6).
    """
    basis = projector(z)
    q, free = basis.shape[1], len(x) - 1
    px, py = basis.T @ x, basis.T @ y
    fitted = float(px @ px)
    effect = float(px @ py) / fitted
    e = y - effect * x
    pe = basis.T @ e
    se = math.sqrt(float(e @ e) / free / fitted)
    f = fitted / q / ((float(x @ x) - fitted) / (len(x) - q))
    sargan = donors * float(pe @ pe) / float(e @ e) if q > 1 else math.nan
    sargan_p = float(chi2.sf(sargan, q - 1)) if q > 1 else math.nan
    p = float(2 * stdtr(free, -abs(effect) / se))
    return TwoStage(Estimate(effect, se, p), f, fitted / float(x @ x), sargan, sargan_p)


def anderson_rubin_p(x: np.ndarray, y: np.ndarray, z: np.ndarray, effect: float = 0.0) -> float:
    """p of the effect being `effect`: F test of z on y - effect x with q and dim - q degrees of freedom.

    Its level holds however weak the instruments are (Anderson & Rubin 1949, Ann Math Stat 20:46).
    """
    basis = projector(z)
    e = y - effect * x
    pe = basis.T @ e
    q, free = basis.shape[1], len(x) - basis.shape[1]
    explained = float(pe @ pe)
    return float(fdtrc(q, free, explained / q / ((float(e @ e) - explained) / free)))


def anderson_rubin_set(x: np.ndarray, y: np.ndarray, z: np.ndarray, level: float = 0.95) -> Intervals:
    """Effects that the Anderson-Rubin test does not reject: intervals in order, [] for none.

    The test at b does not reject where e'Pe <= c e'Me, a quadratic inequality in b (Dufour & Taamouti 2005,
    Econometrica 73:1351, section 3). The set is an interval, two rays, the whole line, or empty (no effect fits all
    instruments).
    """
    basis = projector(z)
    q, free = basis.shape[1], len(x) - basis.shape[1]
    c = q / free * float(fdtri(q, free, level))
    px, py = basis.T @ x, basis.T @ y

    def form(a: np.ndarray, b: np.ndarray, pa: np.ndarray, pb: np.ndarray) -> float:
        return (1 + c) * float(pa @ pb) - c * float(a @ b)

    square, middle, constant = form(x, x, px, px), form(x, y, px, py), form(y, y, py, py)
    discriminant = middle**2 - square * constant
    if discriminant < 0:
        return [] if square > 0 else [(-math.inf, math.inf)]
    if square == 0:
        return [(-math.inf, math.inf)]
    roots = sorted((middle + side * math.sqrt(discriminant)) / square for side in (-1, 1))
    return [(roots[0], roots[1])] if square > 0 else [(-math.inf, roots[0]), (roots[1], math.inf)]


def shape_of(intervals: Intervals) -> str:
    """What a reader is told of a confidence set: bounded, unbounded or empty."""
    if not intervals:
        return "empty"
    return "bounded" if all(math.isfinite(end) for interval in intervals for end in interval) else "unbounded"


def told_set(intervals: Intervals) -> str:
    """Text of a confidence set: '[.1, .5]', '(-inf, -2] or [.1, inf)', 'empty'."""
    if not intervals:
        return "empty"
    ends = [
        ("(-inf" if low == -math.inf else f"[{low:.4g}", "inf)" if high == math.inf else f"{high:.4g}]")
        for low, high in intervals
    ]
    return " or ".join(f"{low}, {high}" for low, high in ends)


def holds(intervals: Intervals, effect: float) -> bool:
    """Whether an effect lies in a confidence set."""
    return any(low <= effect <= high for low, high in intervals)
