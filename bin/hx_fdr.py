#!/usr/bin/env python3
"""Multiplicity: Benjamini-Hochberg q without sorting all p, Bonferroni, the Cauchy combination of p values, and the
false discovery rate over a tree of genes and their pairs.
"""

import numpy as np


def bh(p: np.ndarray, alpha: float = 1.0, tests: int | None = None) -> np.ndarray:
    """Benjamini-Hochberg q values, exact for every q <= alpha and NaN elsewhere (alpha 1: all of them).

    q of the i-th smallest of m p values is min over j >= i of m p_(j) / j (Benjamini & Hochberg 1995). For q <= alpha
    that minimum is reached at a p_(j) <= alpha j / m, so that only those p values are sorted.

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
    # Of n p values left, none above alpha n / tests has q <= alpha; so for as long as that spares much sorting.
    while len(fewer := small[p[small] <= alpha * (len(small) / max(tests, 1)) * (1 + 1e-9)]) < 0.9 * len(small):
        small = fewer
    small = small[np.argsort(p[small], kind="stable")]
    scaled = p[small]
    scaled *= tests / np.arange(1, len(small) + 1)
    scaled = np.minimum.accumulate(scaled[::-1])[::-1]
    scaled[scaled > alpha] = np.nan
    q[small] = scaled
    return q


def bh_within(p: np.ndarray, group: np.ndarray, tests: int, alpha: float) -> np.ndarray:
    """Benjamini-Hochberg q values within groups of `tests` p values each, NaN above `alpha`.

    Args:
        p: (n,) every p <= alpha of all groups, and any others. group: (n,) number of each p's group.
    """
    order = np.lexsort((p, group))
    ordered = group[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered, side="left")
    q = p[order] * (tests / (place + 1))
    # Smallest value from here to the end of the group, in steps of doubling length.
    step = 1
    while step <= (place.max() if len(place) else 0):
        same = ordered[step:] == ordered[:-step]
        np.minimum(q[:-step], q[step:], out=q[:-step], where=same)
        step *= 2
    out = np.full(len(p), np.nan)
    out[order] = np.where(q <= alpha, q, np.nan)
    return out


def bonferroni(p: np.ndarray, tests: int) -> np.ndarray:
    """min(1, p * tests), the family-wise adjusted p values of a family of `tests`."""
    return np.minimum(1.0, np.asarray(p, dtype=np.float64) * tests)


def cauchy(p: np.ndarray) -> np.ndarray:
    """cot(pi p) of p values, what the Cauchy combination sums; same shape, finite.

    Liu & Xie 2020, J Am Stat Assoc 115:393, eq. 2: tan((1/2 - p) pi). Where p is so small that the tangent loses its
    digits, 1 / (pi p), their section 2.3. p is kept within [1e-300, 1 - 1e-12].
    """
    p = np.clip(p, 1e-300, 1 - 1e-12)
    return np.where(p < 1e-8, 1 / (np.pi * p), 1 / np.tan(np.pi * p))


def cauchy_p(total: np.ndarray, tests: int) -> np.ndarray:
    """p of the Cauchy combination (ACAT) with equal weights from the sum of `cauchy` over `tests` p values.

    The mean of `tests` values of cot(pi p) is standard Cauchy under the null when tests are independent, and its upper
    tail is nearly so whatever the dependence (Liu & Xie 2020, theorem 1).
    """
    mean = np.asarray(total, dtype=np.float64) / tests
    # arccot in a form that keeps its digits for large values.
    return np.where(mean > 0, np.arctan2(1, np.where(mean > 0, mean, 1)), np.pi / 2 - np.arctan(mean)) / np.pi


def tree_q(gene_q: np.ndarray, gene: np.ndarray, q_within: np.ndarray) -> np.ndarray:
    """Smallest level at which a pair is found by testing genes first, then pairs within the genes that were selected.

    Benjamini & Bogomolov 2014 (J R Stat Soc B 76:297): at level a, Benjamini-Hochberg over genes selects R(a) of G;
    within a selected gene, pairs are tested by Benjamini-Hochberg at level a R(a) / G. This controls the expected mean
    share of false pairs over the selected genes. A pair is found at a when gene_q <= a and q_within <= a R(a) / G; as
    R grows with a, the smallest such a is well defined.

    Args:
        gene_q: (G,) Benjamini-Hochberg q of the genes, none NaN.
        gene: (pairs,) index of each pair's gene.
        q_within: (pairs,) Benjamini-Hochberg q of each pair over its gene's pairs; NaN (above the level that was kept)
            gives NaN.
    """
    levels = np.sort(np.asarray(gene_q, dtype=np.float64))
    target = len(levels) * np.asarray(q_within, dtype=np.float64)
    selected = np.arange(1, len(levels) + 1)
    # a R(a) as it stands at each level; equal levels select together.
    reached = levels * np.searchsorted(levels, levels, side="right")
    first = np.searchsorted(reached, target, side="left")
    # At the level itself, or before it, between it and the level below, where fewer genes are selected.
    at = np.where(first < len(levels), levels[np.minimum(first, len(levels) - 1)], np.inf)
    before = np.divide(target, selected[first - 1], out=np.full(len(target), np.inf), where=first > 0)
    q = np.maximum(np.minimum(at, before), np.asarray(gene_q)[gene])
    return np.where(np.isnan(target), np.nan, np.minimum(q, 1.0))
