#!/usr/bin/env python3
"""What stands behind the best pair of a gene: how much of it is the choice, and how much a confounder would need.

Functions on arrays: `features` (donors, features) and `genes` (donors, genes) as they are, before covariates are taken
out, in the same order of donors.
"""

import numpy as np
import pandas as pd

from hx_donors import Side, factor_of
from hx_factors import named_for
from hx_linear import ResidualSpace, carrying_columns, paired_correlations, residual_space, standardise
from hx_robustness import adjusted_t, benchmark_r
from hx_scan import Pairs, scan

BENCHMARKS = {"t_ischaemia": "ischaemia", "t_rin": "rin"}  # of hx_factors.NAMES_OF


def standing(side: Side, values: np.ndarray, halves: np.ndarray, pairs: Pairs) -> dict[str, np.ndarray]:
    """r_split_half and the t of BENCHMARKS of the best pairs of some genes, each (pairs,).

    Args:
        values: (donors, features) before covariates are taken out. halves: (donors,) bool, the first half.
    """
    genes, design = side.genes.values[:, pairs.row], side.design
    found = {"r_split_half": split_half_r(genes, values, None if design is None else design.to_numpy(), halves)}
    for name, what in BENCHMARKS.items():
        factor = None if design is None else named_for(what, {factor_of(column) for column in design})
        left = np.nan
        if factor and len(pairs.r):
            columns = [column for column in design if factor_of(column) == factor]
            left = benchmark_t(genes, values[:, pairs.column], design, columns)
        found[name] = np.broadcast_to(left, len(pairs.r))
    return found


def split_half_r(genes: np.ndarray, features: np.ndarray, design: np.ndarray | None, halves: np.ndarray) -> np.ndarray:
    """Correlation of each gene with the feature that was best for it in the other half of the donors.

    The r of the best of many features is too large by the choice. Here the feature is chosen in one half of the donors
    and its r is taken in the other, with the sign that it had in the first; then the other way round; the mean of both
    is returned, (genes,). What is constant or spanned by the covariates in a half does not take part in it; NaN where
    that leaves nothing.

    Args:
        design: (donors, k) covariates, taken out in each half by itself; None for none.
        halves: (donors,) bool, the donors of the first half.
    """
    parts = []
    for half in (halves, ~halves):
        space = residual_space(None if design is None else design[half], int(half.sum()))
        if space.dim < 4:
            return np.full(genes.shape[1], np.nan)
        parts.append([_units(values[half], space) for values in (genes, features)])
    found = np.full((2, genes.shape[1]), np.nan)
    for out, (first, second) in zip(found, (parts, parts[::-1]), strict=True):
        # Only what varies in both halves can be chosen in one and looked at in the other.
        g, f = (np.flatnonzero(first[side][1] & second[side][1]) for side in (0, 1))
        if not len(g) or not len(f):
            continue
        best = scan(first[0][0][:, g], first[1][0][:, f], 2.0, 1).top_of_rows
        order = np.lexsort((best.row, best.column))
        r = paired_correlations(second[1][0][:, f], second[0][0][:, g], best.column[order], best.row[order])
        out[g[best.row[order]]] = np.sign(best.r[order]) * r
    return found.mean(axis=0)


def _units(values: np.ndarray, space: ResidualSpace) -> tuple[np.ndarray, np.ndarray]:
    """Unit residuals of the columns, zeros for those that carry nothing; and which ones carry something."""
    keep = carrying_columns(values, space)
    unit = np.zeros(values.shape)
    if keep.any():
        unit[:, keep] = standardise(values[:, keep], space).unit
    return unit, keep


def benchmark_t(
    genes: np.ndarray, features: np.ndarray, design: pd.DataFrame, columns: list[str], times: float = 1.0
) -> np.ndarray:
    """t that a confounder `times` as strong as a measured factor would leave of pairs of columns, (pairs,).

    Pair i is column i of `genes` with column i of `features`. The factor's partial R2 with the feature, and with the
    gene given the feature, are those of its columns of the design together (Cinelli & Hazlett 2020, section 4.4). NaN
    where the factor explains so much that no confounder of that strength can exist.

    Args:
        design: covariates of the model by donor. columns: the factor's own ones.
    """
    full = residual_space(design.to_numpy(), len(design))
    without = residual_space(design.drop(columns=columns).to_numpy(), len(design))
    unit = [[standardise(values, space) for values in (genes, features)] for space in (full, without)]
    r, r_without = (np.einsum("ij,ij->j", g.unit, f.unit) for g, f in unit)
    # Residual sums of squares as shares of the column's own variance.
    feature_share = 1 - (unit[0][1].left / unit[1][1].left) ** 2
    rest = (unit[0][0].left / unit[1][0].left) ** 2 * (1 - r**2) / (1 - r_without**2)
    with_feature, with_gene = benchmark_r(r, feature_share, 1 - rest, times)
    return adjusted_t(r, full.dim - 1, with_feature, with_gene)
