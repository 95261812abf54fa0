#!/usr/bin/env python3
"""Exact p of a ratio of quadratic forms: y'Ky / y'y of independent normal y, for many values of one kernel K.

With eigenvalues s of K, P(ratio > q) = P(sum_i (s_i - q) z_i^2 > 0), z standard normal: the tail of a mixture of
chi-squares at 0. All values of one kernel share s, so that p is a function of q alone and is tabulated.
"""

import numpy as np
from numpy.polynomial.chebyshev import Chebyshev

STEP = 1 / 16  # of the trapezoidal rule along the contour
REACH = 12.0  # its end, in arsinh of curvature units: the integrand is below 1e-16 of its peak for 5 dimensions or more
NODES = 161  # values of q that are tabulated where there are more
EQUAL = 1e-9  # eigenvalues that differ by less, relative to the largest, are one
BISECTIONS = 60


def log_p_ratio(ratio: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """(m,) natural logarithm of P(y'Ky / y'y > ratio) for y of independent normal coordinates of one variance.

    Up to 161 values are evaluated one by one, more by a Chebyshev interpolation of log p (relative error of p below
    1e-8, tested from p = .99 to 1e-60). A ratio at an end of the eigenvalues, which rounding alone can reach, counts as
    just inside it.

    Args:
        ratio: (m,) observed values, between the smallest and the largest eigenvalue.
        eigenvalues: (dim,) of K, all of them, zeros too.

    Raises:
        ValueError: fewer than 5 eigenvalues, or a value that is not finite.
    """
    ratio, values = np.asarray(ratio, np.float64), np.sort(np.asarray(eigenvalues, np.float64))
    if len(values) < 5 or not (np.isfinite(ratio).all() and np.isfinite(values).all()):
        raise ValueError("5 eigenvalues or more and finite values are needed")
    span = values[-1] - values[0]
    if span <= EQUAL * np.abs(values).max():  # every y has the same ratio
        return np.zeros(len(ratio))
    inside = np.clip(ratio, values[0] + 1e-12 * span, values[-1] - 1e-12 * span)
    if len(inside) <= NODES:
        return _log_tail(inside, values)
    place = np.log((inside - values[0]) / (values[-1] - inside))
    low, high = place.min(), place.max()
    if high - low < 1e-9:
        return np.broadcast_to(_log_tail(inside[:1], values), inside.shape).copy()

    def at(position: np.ndarray) -> np.ndarray:
        return _log_tail(values[0] + span / (1 + np.exp(-position)), values)

    return np.minimum(Chebyshev.interpolate(at, NODES - 1, domain=[low, high])(place), 0)


def _log_tail(q: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """(m,) log P(sum (s - q) z^2 > 0); below the mean of s by the other tail, on whose scale its contour is."""
    values = np.where(np.abs(eigenvalues) < 1e-14 * np.abs(eigenvalues).max(), 0, eigenvalues)
    distinct, count = np.unique(values, return_counts=True)
    upper, out = q >= values.mean(), np.empty(len(q))
    out[upper] = _log_positive(distinct - q[upper, None], count)
    out[~upper] = np.log1p(-np.exp(_log_positive(q[~upper, None] - distinct, count)))
    return out


def _log_positive(weight: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(m,) log P(sum_i count_i weight_i chi2_1 > 0), weights (m, distinct) of both signs.

    The inversion integral of the moment generating function along a vertical line: P = 1/(2 pi i) int exp(K(t)) / t dt
    with K(t) = -1/2 sum log(1 - 2 t weight) (Rice 1980, SIAM J. Sci. Stat. Comput. 1:438). The line crosses the real
    axis where exp(K) / t is smallest, so that nothing cancels and small p keep their digits; Imhof's (1961) integral is
    the same along the line through 0, with absolute error only. With t = c + i w sinh(x), w the curvature at c, the
    trapezoidal rule converges exponentially.
    """
    saddle = _saddle(weight, count)
    left = 1 - 2 * saddle[:, None] * weight
    slope = 2 * weight / left
    curvature = 1 / np.sqrt((slope**2 @ count) / 2 + 1 / saddle**2)
    total = np.zeros(len(weight))
    for place in np.arange(0, REACH + STEP / 2, STEP):
        along = curvature * np.sinh(place)
        # log(1 - 2 t weight) less its value on the real axis is log(1 - i b).
        b = along[:, None] * slope
        size = -0.25 * (np.log1p(b * b) @ count) - 0.5 * np.log1p((along / saddle) ** 2)
        angle = 0.5 * (np.arctan(b) @ count) - np.arctan2(along, saddle)
        total += np.exp(size) * np.cos(angle) * np.cosh(place) * (0.5 if place == 0 else 1)
    peak = -0.5 * (np.log(left) @ count) - np.log(saddle)
    return np.minimum(peak + np.log(STEP * curvature * total / np.pi), 0)


def _saddle(weight: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(m,) real t > 0 where K(t) - log t is smallest: a convex function on (0, 1 / (2 max weight)); by bisection."""
    end = 1 / (2 * weight.max(axis=1))
    low, high = np.zeros(len(weight)), np.ones(len(weight))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        t = (middle * end)[:, None]
        slope = np.sum(count * weight / (1 - 2 * t * weight), axis=1) - 1 / t[:, 0]
        low, high = np.where(slope < 0, middle, low), np.where(slope < 0, high, middle)
    return (low + high) / 2 * end


def ratios(coordinates: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """(columns,) y'Ky / y'y from the (dim, columns) coordinates of y along the eigenvectors of K."""
    squares = coordinates**2
    return (eigenvalues @ squares) / squares.sum(axis=0)
