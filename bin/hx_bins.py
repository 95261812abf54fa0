#!/usr/bin/env python3
"""Bins of donors: quantiles of a number, none of so few donors that one of them could be told."""

import numpy as np

LEAST_IN_BIN = 5  # donors: no point of a plot is one donor


def bins_of(x: np.ndarray, most: int) -> np.ndarray:
    """(n,) bin of each x, from 0: up to `most` bins of as many donors each, at least LEAST_IN_BIN, equal x together.

    A bin of fewer is joined with the next, the last one with that before it; fewer donors than that are one bin.
    """
    bins = max(1, min(most, len(x) // LEAST_IN_BIN))
    edges = np.unique(np.quantile(x, np.arange(1, bins) / bins)) if len(x) else np.empty(0)
    place = np.searchsorted(edges, x, side="left")
    joined, held = np.zeros(len(edges) + 1, dtype=int), 0
    for i, count in enumerate(np.bincount(place, minlength=len(edges) + 1)):
        joined[i], held = joined[max(i - 1, 0)] + (held >= LEAST_IN_BIN), count + held * (held < LEAST_IN_BIN)
    if held < LEAST_IN_BIN:
        joined = np.minimum(joined, max(joined[-1] - 1, 0))
    return joined[place]
