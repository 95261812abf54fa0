#!/usr/bin/env python3
"""Two-sided p of a correlation as an exact one-dimensional function of |r|.

With the same residual degrees of freedom nu for all pairs, p depends on |r| alone: p = I_x(nu/2, 1/2) with x = 1 - r^2
(t = r sqrt(nu / (1 - r^2)) against Student's t). A table of log p with its analytic slope, made once for each nu,
therefore replaces a special function for each pair.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaln, nctdtr, ndtri, stdtrit

GRID = 8192
# Up to here the table's error in log p stays under 1e-9 at nu = 1000 (it grows as nu / (1 - r)^4); beyond, the
# continued fraction is evaluated itself: few pairs lie there.
TABLE_TO = 0.95
# The largest double below 1: identical columns get the p of this r, so that log p stays finite.
R_MAX = 1 - 2.0**-53
CHUNK = 65536
CHI2_MEDIAN = 0.454936423119572  # median of chi-square with 1 degree of freedom


def log_p(r: np.ndarray, dof: float) -> np.ndarray:
    """Natural logarithm of the two-sided p of correlations `r` (any shape) with `dof` residual degrees of freedom.

    Where t^2 is under about 3, log(1 - I_{r^2}(1/2, dof/2)); beyond, the continued fraction DLMF 8.17.22 of
    I_x(dof/2, 1/2) with its prefactor in logarithms, so that nothing underflows. |r| is capped at 1 - 2^-53.

    Raises:
        ValueError: dof below 1.
    """
    if not dof >= 1:
        raise ValueError(f"{dof} residual degrees of freedom: at least 1 is needed")
    r = np.minimum(np.abs(np.asarray(r, dtype=np.float64)), R_MAX)
    a = dof / 2
    x = (1 - r) * (1 + r)
    near = x >= (a + 1) / (a + 2.5)
    out = np.empty_like(r)
    out[near] = np.log1p(-betainc(0.5, a, r[near] ** 2))
    far = ~near
    prefactor = a * np.log(x[far]) + np.log(r[far]) - math.log(a) - betaln(a, 0.5)
    out[far] = prefactor + np.log(_continued_fraction(x[far], a))
    return out


def _continued_fraction(x: np.ndarray, a: float) -> np.ndarray:
    """1/(1+ d1/(1+ d2/(1+ ...))) of DLMF 8.17.22 with b = 1/2, by the modified Lentz method; x below (a+1)/(a+2.5)."""
    tiny = 1e-300
    value, c, d = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    for step in range(1, 10000):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + 0.5 + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (0.5 - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away_from_zero(1 + term * d, tiny)
        c = _away_from_zero(1 + term / c, tiny)
        change = c * d
        value *= change
        if not np.any(np.abs(change - 1) > 1e-15):
            return 1 / value
    raise ArithmeticError("the continued fraction of the incomplete beta function did not converge")


def _away_from_zero(values: np.ndarray, tiny: float) -> np.ndarray:
    return np.where(np.abs(values) < tiny, tiny, values)


class PTable:
    """log p, p and -log10 p of correlations for one number of residual degrees of freedom.

    Cubic Hermite interpolation of log p on a uniform grid of |r| with the analytic slope
    d log p / d|r| = -2 (1-r^2)^(dof/2-1) / (B(1/2, dof/2) p); `log_p` itself from |r| = .95 on.

    >>> float(PTable(10).p(np.array([0.0])))
    1.0
    """

    def __init__(self, dof: float):
        self.dof = dof
        nodes = np.linspace(0, TABLE_TO, GRID)
        step = nodes[1]
        value = log_p(nodes, dof)
        density = (dof / 2 - 1) * np.log1p(-(nodes**2)) - betaln(0.5, dof / 2)
        slope = -2 * np.exp(density - value) * step
        rise = np.diff(value)
        left, right = slope[:-1], slope[1:]
        self._scale = 1 / step
        self._coefficients = (value[:-1].copy(), left, 3 * rise - 2 * left - right, left + right - 2 * rise)

    def log_p(self, r: np.ndarray) -> np.ndarray:
        """Natural logarithm of p, same shape as `r`."""
        flat = np.ravel(np.asarray(r, dtype=np.float64))
        out = np.empty_like(flat)
        # Chunks keep the intermediate arrays in the cache: 3 times the rate of whole arrays.
        for start in range(0, len(flat), CHUNK):
            self._interpolate(flat[start : start + CHUNK], out[start : start + CHUNK])
        return out.reshape(np.shape(r))

    def _interpolate(self, r: np.ndarray, out: np.ndarray) -> None:
        position = np.abs(r)
        beyond = np.flatnonzero(position >= TABLE_TO)
        position *= self._scale
        cell = np.minimum(position, GRID - 2).astype(np.intp)
        position -= cell
        c0, c1, c2, c3 = self._coefficients
        np.take(c3, cell, out=out)
        for coefficient in (c2, c1, c0):
            out *= position
            out += coefficient[cell]
        if len(beyond):
            out[beyond] = log_p(r[beyond], self.dof)

    def p(self, r: np.ndarray) -> np.ndarray:
        """Two-sided p, same shape as `r`; 0 where it lies under the smallest double (use `nlog10p` there)."""
        out = np.asarray(self.log_p(r))
        return np.exp(out, out=out)

    def nlog10p(self, r: np.ndarray) -> np.ndarray:
        """-log10 p, same shape as `r`; finite for every r."""
        return self.log_p(r) / -math.log(10)


def critical_r(alpha: float, dof: float) -> float:
    """Smallest |r| whose two-sided p is at most `alpha`: t / sqrt(dof + t^2) with t the upper alpha/2 quantile."""
    t = -stdtrit(dof, alpha / 2)
    return float(t / math.hypot(math.sqrt(dof), t))


def detectable_r(alpha: float, dof: float, power: float = 0.8) -> float:
    """Smallest correlation that a test at level `alpha` with `dof` finds with probability `power`.

    t is noncentral with noncentrality rho sqrt(dof + 1) / sqrt(1 - rho^2): the feature's values are taken as fixed, its
    sum of squares as dof + 1 (Cohen 1988, section 3). The opposite tail is left out: at the levels asked for it holds
    less than 1e-6.
    """
    t = -stdtrit(dof, alpha / 2)

    def shortfall(rho: float) -> float:
        noncentrality = rho * math.sqrt((dof + 1) / ((1 - rho) * (1 + rho)))
        return 1 - nctdtr(dof, noncentrality, t) - power

    # nctdtr loses its digits for a noncentrality far beyond t; power is 1 there.
    upper = (3 * t + 10) / math.hypot(3 * t + 10, math.sqrt(dof + 1))
    return float(brentq(shortfall, 0.0, upper, xtol=1e-8))


def lambda_gc(p_median: float) -> float:
    """Genomic-control lambda: chi-square (1 df) of the median p over its expectation (Devlin & Roeder 1999)."""
    return float(ndtri(p_median / 2) ** 2 / CHI2_MEDIAN)
