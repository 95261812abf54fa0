#!/usr/bin/env python3
"""Scales that a training set alone decides: rank-normal scores of genes for donors in and outside it, and back."""

import numpy as np
from scipy.special import ndtri

MOST_LEVELS = 201  # points of a gene's quantile function that a model keeps


def normal_score(rank: np.ndarray, n: int) -> np.ndarray:
    """Phi^-1((rank - 3/8) / (n + 1/4)), Blom (1958); any shape."""
    return ndtri((np.asarray(rank, np.float64) - 0.375) / (n + 0.25))


class Ranked:
    """Genes by rank, so that a training set costs counting and no sorting.

    below, upto: (donors, genes) number of donors whose value is smaller, and at most as large.
    order: (donors, genes) donors by rising value.
    """

    def __init__(self, values: np.ndarray):
        n = len(values)
        order = np.argsort(values, axis=0, kind="stable")
        rising = np.take_along_axis(values, order, axis=0)
        place = np.arange(n, dtype=np.int32)[:, None]
        first = np.ones(rising.shape, bool)
        np.not_equal(rising[1:], rising[:-1], out=first[1:])
        start = np.maximum.accumulate(np.where(first, place, 0), axis=0)
        last = np.vstack([first[1:], np.ones((1, rising.shape[1]), bool)])
        end = np.minimum.accumulate(np.where(last, place + 1, n)[::-1], axis=0)[::-1]
        self.order = order.astype(np.int32)
        self.below, self.upto = np.empty_like(self.order), np.empty_like(self.order)
        np.put_along_axis(self.below, order, start, axis=0)
        np.put_along_axis(self.upto, order, end, axis=0)

    def scores(self, training: np.ndarray, genes: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(donors, genes) rank-normal scores by the training donors alone, for these and for all others.

        A donor's rank is 1/2 + the training donors below it + half of those equal to it: for a training donor its
        average rank among them, for another the middle of the gap that it falls in, half a rank past the end.

        Args:
            training: (donors,) bool.
        """
        order, below, upto = self.order[:, genes], self.below[:, genes], self.upto[:, genes]
        count = np.zeros((len(order) + 1, order.shape[1]), np.int32)
        np.cumsum(training[order], axis=0, out=count[1:])
        twice = np.take_along_axis(count, below, axis=0)
        twice += np.take_along_axis(count, upto, axis=0)
        n = int(np.count_nonzero(training))
        return normal_score((np.arange(2 * n + 1) + 1) / 2, n)[twice]


def quantile_function(log2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(levels,) rank-normal scores, rising, and the (levels, genes) log2 values that have them; at most 201 levels."""
    n = len(log2)
    ranks = np.linspace(1, n, min(n, MOST_LEVELS))
    rising = np.sort(log2, axis=0)
    low = np.minimum(np.floor(ranks).astype(int), n - 1)
    share = (ranks - low)[:, None]
    return normal_score(ranks, n), rising[low - 1] * (1 - share) + rising[low] * share


def from_scores(scores: np.ndarray, levels: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """(donors, genes) log2 values of rank-normal scores; beyond the training donors, the last value.

    The transform is monotone, so that the median of a gene goes over to the median.
    """
    return np.stack([np.interp(scores[:, g], levels, quantiles[:, g]) for g in range(scores.shape[1])], axis=1)
