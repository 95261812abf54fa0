#!/usr/bin/env python3
"""Hits with and without the fractions of cell types among the covariates, on the same donors. Arrays in, arrays out.

What cell composition explains is not wrong, it is another answer: a hit that goes may be the composition's.
"""

from typing import NamedTuple

import numpy as np

from hx_annotation_labels import Label
from hx_annotation_tests import Against, against, feature_tests
from hx_association import associate_pairs
from hx_donors import MIN_DOF
from hx_fdr import bh
from hx_linear import carrying_columns, residual_space, standardise

FRACTIONS = ["setting", "test", "n", "tests", "hits_without", "hits_with", "hits_kept", "status"]


class Kept(NamedTuple):
    """Tests, hits without and with the fractions as covariates, and those that are both."""

    tests: int
    hits_without: int
    hits_with: int
    hits_kept: int


def joined(covariates: np.ndarray | None, ratios: np.ndarray) -> np.ndarray:
    """(n, columns) covariates and log-ratios, side by side."""
    return ratios if covariates is None else np.hstack([covariates, ratios])


def label_hits(
    normal: np.ndarray, labels: list[tuple[Label, np.ndarray | None]], ratios: np.ndarray, alpha: float
) -> Kept:
    """Features with labels, Benjamini-Hochberg over all; a label that lacks room for the fractions is in neither.

    Args:
        normal: (n, features) rank-normal. labels: each with its covariates, (n, columns). ratios: (n, cell types).
    """
    found: tuple[list, list] = ([], [])
    for label, covariates in labels:
        pair = [against(label, covariates), against(label, joined(covariates, ratios))]
        if all(isinstance(made, Against) for made in pair):
            for out, made in zip(found, pair, strict=True):
                out.append(feature_tests(normal, made).p)
    if not found[0]:
        return Kept(0, 0, 0, 0)
    p = [np.concatenate(part) for part in found]
    both = np.isfinite(p[0]) & np.isfinite(p[1])
    hits = [bh(part[both]) <= alpha for part in p]
    return Kept(int(both.sum()), int(hits[0].sum()), int(hits[1].sum()), int((hits[0] & hits[1]).sum()))


def gene_hits(
    features: np.ndarray, genes: np.ndarray, covariates: np.ndarray | None, ratios: np.ndarray, alpha: float
) -> Kept | str:
    """Features with genes as ASSOCIATE tests them, Benjamini-Hochberg over all pairs; why not where there is no room.

    Args:
        features: (n, features). genes: (n, genes) rank-normal.
    """
    spaces = [residual_space(made, len(features)) for made in (covariates, joined(covariates, ratios))]
    if spaces[1].dim - 1 < MIN_DOF:
        return f"{len(features)} donors leave no room for covariates and fractions"
    carried = [[carrying_columns(side, space) for space in spaces] for side in (features, genes)]
    keep = [first & second for first, second in carried]
    if not (keep[0].any() and keep[1].any()):
        return "no feature or no gene varies beside covariates and fractions"
    found = []
    for space in spaces:
        image, expression = (standardise(s[:, k], space).unit for s, k in zip((features, genes), keep, strict=True))
        hits = associate_pairs(expression, image, space.dim - 1, alpha, "bh", 1, 1).hits
        found.append(set(zip(hits.row.tolist(), hits.column.tolist(), strict=True)))
    return Kept(int(keep[0].sum() * keep[1].sum()), len(found[0]), len(found[1]), len(found[0] & found[1]))
