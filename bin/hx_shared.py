#!/usr/bin/env python3
"""What a setting's shared variance is made of: both sides in a residual space, the numbers of a row, the curve."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_donors import Genes
from hx_linear import ResidualSpace, Standardised
from hx_parallel import components_above_noise, largest_columns
from hx_reml import kernel_share, null_shares, pooled_share
from hx_variance import (
    Pcs,
    Replicate,
    adjusted,
    column_shares,
    column_squares,
    components_to,
    explained_by,
    gram,
    interval,
    jackknife,
    leave_out,
    parts,
    permutation_p,
    permuted_shares,
    principal,
    published_share,
    rotated_kernel,
)

EXPRESSION, IMAGE = "expression_by_image", "image_by_expression"
DIRECTIONS = (EXPRESSION, IMAGE)
SCALINGS = ("covariance", "standardised")
HEADLINE = "standardised"  # of the primary row: every gene counts alike, and rank-normal values have no outliers
POINTS = (1, 2, 5, 10, 20, 50, 0.8, 0.95, 0.999)  # of the curve: numbers of PCs, shares of the predictor's variance
CAP = 5  # PCs are at most a fifth of the dimensions (but 1): beyond, the adjusted share scatters
NULL_DRAWS = 500


class Frame(NamedTuple):
    """Donors given covariates: their residual space, (permutations, dim) orders of it, (n,) jackknife groups."""

    space: ResidualSpace
    orders: np.ndarray
    groups: np.ndarray


class Columns(NamedTuple):
    """Features or genes in one scaling: (n, columns) centred values and their (n, n) gram."""

    values: np.ndarray
    gram: np.ndarray


@dataclass(frozen=True)
class Rotated:
    """Features or genes in a residual space.

    kernel: (dim, dim). pcs: all. total: their variance before covariates were taken out. parallel: PCs above noise.
    m: PCs that predict, `parallel` but at least 1 and at most a fifth of the dimensions. replicates: without each group
    of donors.
    """

    values: np.ndarray
    kernel: np.ndarray
    pcs: Pcs
    total: float
    parallel: int
    m: int
    replicates: list[Replicate]


def last_of(rows: pd.DataFrame) -> str:
    """yes where anything was adjusted, else no: what `adjusted` of a headline is."""
    return "yes" if (rows["adjusted"] == "yes").any() else "no"


def scaled(of: Standardised, scaling: str) -> Columns:
    """Columns as they are (covariance: the variable ones weigh more) or all of one variance (standardised)."""
    values = of.unit if scaling == "standardised" else of.unit * of.sd
    return Columns(values, gram(values))


def rotated(columns: Columns, frame: Frame, generator: np.random.Generator) -> Rotated | None:
    """Columns in the residual space of a frame; None where the covariates leave nothing of them."""
    space = frame.space
    squares = column_squares(space, columns.values)
    if not squares.any():
        return None
    kernel = rotated_kernel(space, columns.gram)
    pcs = principal(kernel)
    largest = space.rotate(columns.values[:, largest_columns(squares)])
    parallel = components_above_noise(pcs.variance, largest, squares, np.diagonal(kernel), generator)
    m = min(max(1, parallel), max(1, space.dim // CAP), pcs.rank)
    replicates = leave_out(pcs, space.rotation, frame.groups, m)
    return Rotated(columns.values, kernel, pcs, float(np.trace(columns.gram)), parallel, m, replicates)


def shared_numbers(
    target: Rotated, predictor: Rotated, frame: Frame, kept: float, generator: np.random.Generator
) -> tuple[dict[str, float], np.ndarray]:
    """Numbers of a row, and the (permutations,) null of its share in standard deviations from the null's mean.

    kept: share of variance that the published S keeps on both sides.
    """
    dim, m, scores = frame.space.dim, predictor.m, predictor.pcs.scores[:, : predictor.m]
    share = float(explained_by(target.kernel, scores)[-1])
    estimate = float(adjusted(share, m, dim))
    low, high, error = interval(estimate, jackknife(target.kernel, predictor.replicates, m)[:, -1])
    null = permuted_shares(target.pcs, scores, frame.orders)
    centre, spread = null.mean(), null.std(ddof=1) or 1.0
    numbers = {"components_parallel": predictor.parallel, "components": m, "share": share, "null_share": m / dim}
    numbers |= {"adjusted_share": estimate, "ci_low": low, "ci_high": high, "se": error}
    numbers |= {"p": permutation_p(share, null), "z": (share - centre) / spread}
    for name, cut in (("published", kept), ("published_95", 0.95)):
        value, pcs = published_share(target.pcs, predictor.pcs, cut)
        numbers |= {name: value, f"{name}_components": pcs, f"{name}_null": pcs / dim}
    technical = 1 - np.trace(target.kernel) / target.total if frame.space.covariate_rank else 0.0
    rank, before = frame.space.covariate_rank, frame.space.dim + frame.space.covariate_rank
    names = ("technical", "shared", "rest")
    numbers |= dict(zip(names, parts(float(adjusted(technical, rank, before)), estimate), strict=True))
    numbers |= {"technical_share": float(technical), "technical_null": rank / before}
    return numbers | kernel_numbers(target, predictor, frame.space, generator), (null - centre) / spread


def kernel_numbers(
    target: Rotated, predictor: Rotated, space: ResidualSpace, generator: np.random.Generator
) -> dict[str, float]:
    """REML shares: the mean over the target's columns and its null mean, all together and the null's 95 % point."""
    variance = predictor.pcs.variance
    own = null_shares(variance, None, NULL_DRAWS, generator)
    pooled = null_shares(variance, target.pcs.variance, NULL_DRAWS, generator)
    return {
        "reml": pooled_share(target.kernel, predictor.pcs.scores, variance),
        "reml_null_95": float(np.quantile(pooled, 0.95)),
        "reml_mean": float(column_kernel_shares(target, predictor, space).mean()),
        "reml_mean_null": float(own.mean()),
    }


def column_kernel_shares(target: Rotated, predictor: Rotated, space: ResidualSpace) -> np.ndarray:
    """(columns,) REML share of each column of the target on the predictor's kernel."""
    coordinates = target.values.T @ (space.rotation @ predictor.pcs.scores)
    return kernel_share(coordinates**2, predictor.pcs.variance)


def curve(target: Rotated, predictor: Rotated, dim: int) -> list[dict[str, object]]:
    """Share against the number of the predictor's PCs: `kept` names the point, a number or a share of variance."""
    shares = explained_by(target.kernel, predictor.pcs.scores[:, : predictor.pcs.rank])
    rows = []
    for point in POINTS:
        count = point if point >= 1 else components_to(predictor.pcs.variance, point)
        if count <= len(shares):
            share = shares[count - 1]
            kept = str(point) if point >= 1 else f"{100 * point:g} %"
            row = {"kept": kept, "components": count, "share": share, "null_share": count / dim}
            rows.append(row | {"adjusted_share": float(adjusted(share, count, dim))})
    return rows


def replicate_shares(target: Rotated, predictor: Rotated, dim: int) -> np.ndarray:
    """(1 + groups, m) adjusted share for the first 1, 2, … m PCs: of all donors (row 0), without each group."""
    m = predictor.m
    whole = adjusted(explained_by(target.kernel, predictor.pcs.scores[:, :m]), np.arange(1, m + 1), dim)
    return np.vstack([whole, jackknife(target.kernel, predictor.replicates, m)])


def gene_numbers(
    genes: Genes,
    frames: dict[str, Frame],
    expression: dict[tuple[str, str], Rotated],
    image: dict[tuple[str, str], Rotated],
) -> pd.DataFrame:
    """A row a gene: what image PCs explain of its total variance and what the covariates do, each less its null.

    total: by image PCs, before covariates are taken out. technical: by the covariates. left: by image PCs, of what the
    covariates leave; shared: the same, of the total; technical_shared: total less shared. reml: of what they leave.
    sides: standardised ones, by (scaling, adjusted).
    """
    before, after = frames["no"], frames.get("yes", frames["no"])
    last = "yes" if "yes" in frames else "no"
    of = {name: (expression["standardised", name], image["standardised", name]) for name in ("no", last)}

    def explained(frame: Frame, name: str) -> tuple[np.ndarray, float]:
        target, predictor = of[name]
        share = column_shares(frame.space, target.values, predictor.pcs.scores[:, : predictor.m])
        return adjusted(share, predictor.m, frame.space.dim), predictor.m / frame.space.dim

    total, total_null = explained(before, "no")
    left, left_null = explained(after, last)
    squares = (column_squares(frame.space, of[last][0].values) for frame in (after, before))
    rank, dim = after.space.covariate_rank, before.space.dim
    technical = adjusted(1 - np.divide(*squares), rank, dim)
    shared = (1 - technical) * left
    return pd.DataFrame(
        {
            "gene": genes.id,
            "symbol": genes.symbol,
            "n": dim + 1,
            "total": total,
            "total_null": total_null,
            "technical": technical,
            "technical_null": rank / dim,
            "left": left,
            "left_null": left_null,
            "shared": shared,
            "technical_shared": total - shared,
            "reml": column_kernel_shares(*of[last], after.space),
        }
    )
