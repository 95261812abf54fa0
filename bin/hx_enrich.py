#!/usr/bin/env python3
"""Over-representation of gene sets among lists of genes: hypergeometric p of all lists x sets by a sparse product."""

import numpy as np
from scipy import sparse
from scipy.special import gammaln, ndtri

SMALLEST_TERM = 1e-17  # of a tail's sum, at which it ends


def hypergeometric_p(overlap: np.ndarray, universe: int, size: np.ndarray, listed: np.ndarray) -> np.ndarray:
    """P(X >= overlap) for X genes of a set of `size` among `listed` of a universe: Fisher's exact test, one-sided.

    Sums of probabilities from the overlap upwards, each from the one before; below the mean, one less the sum
    downwards. Whole numbers that broadcast. What is smaller than the smallest normal double, 2e-308, is that.

    Raises:
        ValueError: a set or a list larger than the universe, or an overlap that cannot be.
    """
    x, m, n = (np.asarray(values, dtype=np.int64) for values in np.broadcast_arrays(overlap, size, listed))
    if np.any((m > universe) | (n > universe) | (x > np.minimum(m, n)) | (x < np.maximum(0, m + n - universe))):
        raise ValueError("sets and lists are parts of the universe, an overlap is a part of both")
    p = np.ones(x.shape)
    above = x > m * (n / universe)
    below = ~above & (x > np.maximum(0, m + n - universe))
    p[above] = _tail(x[above], universe, m[above], n[above], 1)
    p[below] = 1 - _tail(x[below] - 1, universe, m[below], n[below], -1)
    return np.clip(p, np.finfo(float).tiny, 1.0)


def _tail(x: np.ndarray, universe: int, m: np.ndarray, n: np.ndarray, step: int) -> np.ndarray:
    """Sum of the probabilities of x, x + step, ... : away from the mean, so that terms fall."""
    factorial = gammaln(np.arange(universe + 1) + 1.0)
    log_p = factorial[m] + factorial[universe - m] + factorial[n] + factorial[universe - n] - factorial[universe]
    log_p -= factorial[x] + factorial[m - x] + factorial[n - x] + factorial[universe - m - n + x]
    # Relative to the first term, so that a product of 1e-400 and the like keeps its digits until the end.
    total, term, k = np.ones(len(x)), np.ones(len(x)), x.astype(np.float64)
    going = np.arange(len(x))
    rest = (universe - m - n).astype(np.float64)
    m, n = m.astype(np.float64), n.astype(np.float64)
    while len(going):
        i = k[going]
        if step > 0:
            ratio = (m[going] - i) * (n[going] - i) / ((i + 1) * (rest[going] + i + 1))
        else:
            ratio = i * (rest[going] + i) / ((m[going] - i + 1) * (n[going] - i + 1))
        term[going] *= ratio
        total[going] += term[going]
        k[going] += step
        going = going[term[going] > SMALLEST_TERM * total[going]]
    return np.exp(log_p) * total


def over_represented(
    hits: sparse.csr_array, members: sparse.csr_array, p_max: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every list and set with p <= p_max: (n,) list, set, overlap, p; by list, then set.

    A pair that is not returned has a larger p, one with no gene in common p = 1: all lists x sets are the family of
    tests. An overlap with p <= p_max lies at least as far above its mean as a normal number's quantile: those that do
    not are passed over.

    Args:
        hits: (lists, genes), 1 where the gene is on the list; genes are the universe. members: (sets, genes).
        p_max: .05 to .2; a hypergeometric tail is larger than the normal one there, whatever the sizes.
    """
    if not 0.05 <= p_max <= 0.2:
        raise ValueError("p_max lies between .05 and .2")
    universe = hits.shape[1]
    listed, size = np.diff(hits.indptr), np.diff(members.indptr)
    common = sparse.coo_array(hits @ members.T)
    which, set_, overlap = common.coords[0], common.coords[1], np.rint(common.data).astype(np.int64)
    n, m = listed[which].astype(np.float64), size[set_].astype(np.float64)
    mean = n * m / universe
    sd = np.sqrt(mean * (1 - n / universe) * (universe - m) / max(universe - 1, 1))
    many = np.flatnonzero(overlap > mean + 0.98 * ndtri(1 - p_max) * sd)
    many = many[np.lexsort((set_[many], which[many]))]
    which, set_, overlap = which[many], set_[many], overlap[many]
    p = hypergeometric_p(overlap, universe, size[set_], listed[which])
    keep = p <= p_max
    return which[keep], set_[keep], overlap[keep], p[keep]


def overlaps(hits: sparse.csr_array, members: sparse.csr_array, which: np.ndarray, set_: np.ndarray) -> np.ndarray:
    """(n,) genes that list which[i] and set set_[i] have in common."""
    common = sparse.csr_array(hits @ members.T)
    common.sort_indices()
    if not len(which):
        return np.zeros(0, np.int64)
    width = common.shape[1]
    keys = np.repeat(np.arange(common.shape[0]), np.diff(common.indptr)) * width + common.indices
    wanted = np.asarray(which, np.int64) * width + set_
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    return np.where(keys[place] == wanted, np.rint(common.data[place]), 0).astype(np.int64)
