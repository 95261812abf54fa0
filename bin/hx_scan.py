#!/usr/bin/env python3
"""One pass over all pairs of two standardised matrices that keeps the strong pairs and a histogram of |r|."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hx_linear import TILE_CELLS, correlation_tiles

BINS = 1 << 18
# Two r closer than this are the same number with other rounding: the pair of lower index is then kept, so that tile
# size and thread count change nothing.
TIE = 1e-12
BLOCKS = 128
EXACT_BINS = 256  # up to |r| = .001


class Pairs(NamedTuple):
    """Pairs of columns: (n,) row and column index of each, and its correlation."""

    row: np.ndarray
    column: np.ndarray
    r: np.ndarray

    def take(self, which: np.ndarray) -> "Pairs":
        """The pairs at the given positions, or where a mask is true."""
        return Pairs(self.row[which], self.column[which], self.r[which])


@dataclass(frozen=True)
class Scan:
    """What a pass over rows x columns correlations leaves.

    strong: every pair with |r| >= threshold, ordered by row, then column. top_of_rows, top_of_columns: the `top` pairs
    of largest |r| of each, ordered by group, then falling |r|. histogram: (BINS,) number of pairs by |r| in bins of
    width 1 / BINS. row_sums: (rows,) sum over the pairs of a row of a function of |r|, zeros where none was given.
    """

    pairs: int
    strong: Pairs
    top_of_rows: Pairs
    top_of_columns: Pairs
    histogram: np.ndarray
    row_sums: np.ndarray


def _first_of_group(group: np.ndarray, size: np.ndarray, tie: np.ndarray, top: int) -> np.ndarray:
    """Positions of the `top` entries of largest `size` in each group, by group and falling size; ties by `tie`."""
    order = np.lexsort((tie, -np.round(size, 12), group))
    sorted_group = group[order]
    start = np.searchsorted(sorted_group, sorted_group, side="left")
    return order[np.arange(len(order)) - start < top]


def _row_bounds(absolute: np.ndarray, top: int) -> np.ndarray:
    """(rows,) value that at least `top` cells of each row reach: the `top`-th largest of the maxima of blocks."""
    width = absolute.shape[1]
    if width < top:
        return np.full(len(absolute), -1.0)
    blocks = max(BLOCKS, top)
    if width > blocks:
        starts = np.linspace(0, width, blocks, endpoint=False).astype(np.intp)
        absolute = np.maximum.reduceat(absolute, starts, axis=1)
    return np.partition(absolute, -top, axis=1)[:, -top]


class _ColumnTop:
    """The `top` pairs of largest |r| of each column over all tiles so far; `bound` (columns,) is what they reach."""

    def __init__(self, columns: int, top: int):
        self.top = top
        self.bound = np.full(columns, -1.0)
        self.kept = Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))

    def start(self, absolute: np.ndarray) -> None:
        """Raise the bound to the `top`-th largest of each column of the first tile."""
        if len(absolute) > self.top:
            self.bound = np.partition(absolute, -self.top, axis=0)[-self.top]

    def add(self, pairs: Pairs) -> None:
        """Take in the pairs of a tile: at least those with |r| >= bound - TIE."""
        strong = np.abs(pairs.r) >= self.bound[pairs.column] - TIE
        if not strong.any():
            return
        both = Pairs(*(np.concatenate(part) for part in zip(self.kept, pairs.take(strong), strict=True)))
        self.kept = both.take(_first_of_group(both.column, np.abs(both.r), both.row, self.top))
        smallest = np.full(len(self.bound), np.inf)
        np.minimum.at(smallest, self.kept.column, np.abs(self.kept.r))
        full = np.bincount(self.kept.column, minlength=len(self.bound)) == self.top
        self.bound = np.where(full, smallest, -1.0)


def scan(
    rows: np.ndarray,
    columns: np.ndarray,
    threshold: float,
    top: int,
    tile_cells: int = TILE_CELLS,
    function: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Scan:
    """Correlate all columns of `rows` with all columns of `columns` ((donors, m) unit matrices of `standardise`).

    Memory: a few tiles plus the pairs with |r| >= threshold; give the matrix with more columns as `rows`.

    Args:
        threshold: keep every pair with |r| at or above it; it is lowered to the edge of its histogram bin.
        top: pairs kept for each row and for each column whatever their |r|; at least 1.
        function: of |r|, summed over each row. It is evaluated in the middle of a pair's histogram bin, and at |r|
            itself for strong pairs and for those in the first EXACT_BINS, where it may be steep.
    """
    threshold = math.floor(threshold * BINS) / BINS
    histogram = np.zeros(BINS + 1, dtype=np.int64)
    strong, row_top = [], []
    row_sums = np.zeros(rows.shape[1])
    if function is not None:
        # Strong pairs and those in the first bins are added with their own |r|.
        by_bin = function((np.arange(BINS + 1) + 0.5) / BINS)
        by_bin[:EXACT_BINS] = 0
        by_bin[int(threshold * BINS) :] = 0
    column_top = _ColumnTop(columns.shape[1], top)
    width = columns.shape[1]
    for first, r in correlation_tiles(rows, columns, tile_cells):
        absolute = np.abs(r)
        if first == 0:
            column_top.start(absolute)
        bound = _row_bounds(absolute, top)
        lowest = min(threshold, bound.min() - TIE, column_top.bound.min() - TIE)
        cell = np.flatnonzero(absolute.ravel() >= lowest)
        pairs = Pairs(cell // width + first, cell % width, np.clip(r.ravel()[cell], -1, 1))
        size = np.abs(pairs.r)
        strong.append(pairs.take(size >= threshold))
        candidates = pairs.take(size >= bound[pairs.row - first] - TIE)
        row_top.append(candidates.take(_first_of_group(candidates.row, np.abs(candidates.r), candidates.column, top)))
        column_top.add(pairs)
        absolute *= BINS
        bins = absolute.astype(np.intp)
        histogram += np.bincount(bins.ravel(), minlength=BINS + 1)
        if function is not None:
            row_sums[first : first + len(r)] += by_bin[bins].sum(axis=1)
            cell = np.flatnonzero((bins < EXACT_BINS).ravel())
            exact = function(np.abs(r.ravel()[cell]))
            row_sums += np.bincount(cell // width + first, exact, minlength=len(row_sums))
    histogram[-2] += histogram[-1]  # |r| = 1, or above it by rounding
    strong = Pairs(*(np.concatenate(part) for part in zip(*strong, strict=True)))
    if function is not None:
        row_sums += np.bincount(strong.row, function(np.abs(strong.r)), minlength=len(row_sums))
    return Scan(
        pairs=rows.shape[1] * width,
        strong=strong,
        top_of_rows=Pairs(*(np.concatenate(part) for part in zip(*row_top, strict=True))),
        top_of_columns=column_top.kept,
        histogram=histogram[:-1],
        row_sums=row_sums,
    )


def upper_quantile(histogram: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """|r| of the pairs of the given ranks (1 = largest; fractions allowed), interpolated within a histogram bin.

    The error is below the bin's width, 1 / len(histogram).
    """
    at_or_above = np.concatenate([np.cumsum(histogram[::-1])[::-1], [0]])
    rank = np.asarray(rank, dtype=np.float64)
    # The last edge that at least `rank` pairs reach.
    bin_ = len(histogram) - np.searchsorted(at_or_above[::-1], rank, side="left")
    inside = (at_or_above[bin_] - rank + 0.5) / histogram[bin_]
    return (bin_ + np.clip(inside, 0, 1)) / len(histogram)
