#!/usr/bin/env python3
"""The 2017 study's association analysis beside the same pairs tested as they should be. Functions on arrays.

The study took the 500 features of largest standard deviation over all patch sizes and 2,000 genes (hx_genes), took 51
factors out of both sides, and p of Pearson's r on log2 values with n - 2 degrees of freedom, Bonferroni over all pairs.
r of residuals has n - 2 - k: with k = 51 in 83 donors the study's p makes about 950 hits in a million null pairs.

Its own control could not show that. It permuted the residuals as they were: a permuted residual lies anywhere among the
n - 1 dimensions of centred donors, no longer among the n - 1 - k that residuals have, and so its r with a residual does
have n - 2. Here donors of the features are shuffled first and covariates taken out of them as they then stand.
"""

from typing import NamedTuple

import numpy as np

from hx_linear import ResidualSpace, carrying_columns, correlation_tiles, standardise
from hx_pvalue import PTable, critical_r, detectable_r
from hx_scan import Pairs, scan

MOST_VARIABLE = 500  # features
LEVEL = 0.05  # of the Bonferroni correction
SHUFFLES = 20
PUBLISHED, CALIBRATED = "published", "calibrated"
NUMBERS = [
    *("dof", "pairs", "critical_r", "detectable_r", "hits", "genes_with_hit", "features_with_hit"),
    *("null_hits", "null_hits_residuals", "top_r", "top_r2", "top_nlog10p", "null_top_r2"),
]


class Sides(NamedTuple):
    """The same donors' data: (donors, genes) unit residuals of log2 and of rank-normal values; (donors, features)
    features before covariates are taken out, all of which they leave something of."""

    log2: np.ndarray
    normal: np.ndarray
    features: np.ndarray
    space: ResidualSpace


def most_variable(parts: list[np.ndarray], count: int = MOST_VARIABLE) -> np.ndarray:
    """Sorted positions of the `count` columns of largest SD (n) over the rows of all parts; the first of equal ones.

    Args:
        parts: (donors, features) of each patch size, the same features. Columns that are not finite are left out.
    """
    with np.errstate(invalid="ignore"):  # an infinite cell makes its column's SD NaN, which sorts last
        spread = np.concatenate(parts).std(axis=0, dtype=np.float64)
    first = np.argsort(-spread, kind="stable")[:count]
    return np.sort(first[np.isfinite(spread[first])])


def both_ways(sides: Sides, generator: np.random.Generator) -> dict[str, tuple[Pairs, dict[str, float | int]]]:
    """{PUBLISHED, CALIBRATED: the pair of largest |r| (row: gene, column: feature) and NUMBERS}.

    published: log2 values, n - 2 degrees of freedom whatever was taken out. calibrated: rank-normal values, n - 2 - k.
    Both count pairs that Bonferroni passes at LEVEL. null_hits: mean of them over SHUFFLES with the donors of the
    features shuffled, covariates then taken out; null_top_r2: median of the largest r2. null_hits_residuals: of
    published, the mean over as many permutations of residuals as they are, the study's own control.
    """
    donors = len(sides.features)
    image = standardise(sides.features, sides.space).unit
    ways = {PUBLISHED: (sides.log2, donors - 2), CALIBRATED: (sides.normal, sides.space.dim - 1)}
    pairs = image.shape[1] * sides.log2.shape[1]
    cut = {name: critical_r(LEVEL / pairs, dof) for name, (_, dof) in ways.items()}
    null = {name: np.empty((SHUFFLES, 2)) for name in ways}
    as_they_are = np.empty(SHUFFLES)
    for k in range(SHUFFLES):
        order = generator.permutation(donors)
        shuffled = sides.features[order]
        unit = standardise(shuffled[:, carrying_columns(shuffled, sides.space)], sides.space).unit
        for name, (genes, _) in ways.items():
            null[name][k] = _passing(genes, unit, cut[name])
        as_they_are[k] = _passing(sides.log2, image[order], cut[PUBLISHED])[0]
    out = {}
    for name, (genes, dof) in ways.items():
        found = scan(genes, image, cut[name], 1)
        hits = found.strong.take(np.abs(found.strong.r) >= cut[name])
        top = found.top_of_rows.take(np.argmax(np.round(np.abs(found.top_of_rows.r), 12), keepdims=True))
        r = float(top.r[0])
        numbers = (
            *(
                dof,
                pairs,
                cut[name],
                detectable_r(LEVEL / pairs, dof),
                len(hits.r),
                len(np.unique(hits.row)),
                len(np.unique(hits.column)),
            ),
            *(null[name][:, 0].mean(), as_they_are.mean() if name == PUBLISHED else np.nan),
            *(r, r**2, float(PTable(dof).nlog10p(r)), float(np.median(null[name][:, 1]) ** 2)),
        )
        out[name] = top, dict(zip(NUMBERS, numbers, strict=True))
    return out


def _passing(genes: np.ndarray, features: np.ndarray, cut: float) -> tuple[int, float]:
    """Number of pairs of unit columns with |r| >= cut, and the largest |r|."""
    count, largest = 0, 0.0
    for _, r in correlation_tiles(genes, features):
        absolute = np.abs(r)
        count += int(np.count_nonzero(absolute >= cut))
        largest = max(largest, float(absolute.max()))
    return count, largest
