#!/usr/bin/env python3
"""Multiplicity: Benjamini-Hochberg q values without sorting all p values, and Bonferroni."""

import numpy as np


def bh(p: np.ndarray, alpha: float = 1.0, tests: int | None = None) -> np.ndarray:
    """Benjamini-Hochberg q values, exact for every q <= alpha and NaN elsewhere (alpha 1: all of them).

    q of the i-th smallest of m p values is min over j >= i of m p_(j) / j (Benjamini & Hochberg 1995). For q <= alpha
    that minimum is reached at a p_(j) <= alpha, so that only those p values are sorted.

    Args:
        p: (tests,) p values; NaN is no test. With `tests` given, any subset that holds every p <= alpha of the family.
        alpha: largest q that is wanted.
        tests: number of tests in the family; by default the p values that are not NaN.

    Raises:
        ValueError: a p value outside [0, 1], or fewer tests than p values.
    """
    p = np.asarray(p, dtype=np.float64)
    known = p.size - int(np.count_nonzero(np.isnan(p)))
    tests = known if tests is None else tests
    if tests < known:
        raise ValueError(f"{known} p values in a family of {tests} tests")
    if known and (np.nanmin(p) < 0 or np.nanmax(p) > 1):
        raise ValueError("p values lie in [0, 1]")
    q = np.full(p.shape, np.nan)
    small = np.flatnonzero(p <= alpha)
    small = small[np.argsort(p[small], kind="stable")]
    scaled = p[small]
    scaled *= tests / np.arange(1, len(small) + 1)
    scaled = np.minimum.accumulate(scaled[::-1])[::-1]
    scaled[scaled > alpha] = np.nan
    q[small] = scaled
    return q


def bonferroni(p: np.ndarray, tests: int) -> np.ndarray:
    """min(1, p * tests), the family-wise adjusted p values of a family of `tests`."""
    return np.minimum(1.0, np.asarray(p, dtype=np.float64) * tests)
