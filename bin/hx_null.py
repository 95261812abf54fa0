#!/usr/bin/env python3
"""What a setting's correlations look like when its features have nothing to do with its genes.

Freedman & Lane 1983 (J Bus Econ Stat 1:292): residuals of the features on the covariates are permuted over donors and
made residuals again. Features keep their correlations with each other, and genes theirs: the null of a median or of a
maximum over pairs that depend on each other comes from nowhere else.
"""

import numpy as np

from hx_linear import ResidualSpace, correlation_tiles, standardise, varying_columns
from hx_scan import BINS

PERMUTATIONS = 20  # their smallest and largest value leave out a new one in 2 of 21 cases
PAIRS = 1_000_000  # of each permutation, at most: more say nothing new of a median, since donors are what limits it


def _permuted(unit: np.ndarray, space: ResidualSpace, generator: np.random.Generator) -> np.ndarray:
    """(donors, features) unit residuals of the permuted residuals; features that become constant are left out."""
    values = unit[generator.permutation(len(unit))]
    return standardise(values[:, varying_columns(values)], space).unit


def null_histograms(
    genes: np.ndarray, features: np.ndarray, space: ResidualSpace, generator: np.random.Generator
) -> np.ndarray:
    """(PERMUTATIONS, BINS) number of pairs by |r|, as in hx_scan, of permuted features with all genes.

    Args:
        genes, features: (donors, m) unit residuals of `standardise` in `space`. Of more features than PAIRS allows, as
            many as it does are drawn, others in each permutation.
    """
    taken = min(features.shape[1], max(1, PAIRS // genes.shape[1]))
    out = np.zeros((PERMUTATIONS, BINS), np.int64)
    for row in out:
        chosen = np.sort(generator.choice(features.shape[1], taken, replace=False))
        for _, r in correlation_tiles(genes, _permuted(features[:, chosen], space, generator)):
            row += np.bincount(np.minimum(np.abs(r) * BINS, BINS - 1).astype(np.intp).ravel(), minlength=BINS)
    return out


def max_null(
    genes: np.ndarray, features: np.ndarray, space: ResidualSpace, generator: np.random.Generator, permutations: int
) -> np.ndarray:
    """(permutations,) largest |r| of all pairs of permuted features with all genes, ascending (Westfall-Young)."""
    largest = [
        max(float(np.abs(r).max()) for _, r in correlation_tiles(genes, _permuted(features, space, generator)))
        for _ in range(permutations)
    ]
    return np.sort(largest)


def familywise_p(r: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Family-wise p of correlations: (b + 1) / (B + 1), b of B permutations having a maximum of at least |r|."""
    above = len(null) - np.searchsorted(null, np.abs(r) * (1 - 1e-12), side="left")
    return (above + 1) / (len(null) + 1)
