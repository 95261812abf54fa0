#!/usr/bin/env python3
"""What the linear model of the confounders assumes, checked: straight lines, equal variance, leverage, VIF."""

import numpy as np
import pandas as pd

from hx_bins import LEAST_IN_BIN, bins_of
from hx_design import Term
from hx_directions import Block, fit
from hx_factor_tests import f_p
from hx_linear import ResidualSpace, residual_space
from hx_splines import natural_spline
from hx_variance import principal

BINS = 20
POINTS = ["plot", "label", "n", "x", "mean", "sd", "line", "spline"]


def first_score(kernel: np.ndarray) -> np.ndarray:
    """(n,) scores of the first principal component in standard deviations; its largest score is positive."""
    score = principal(kernel).scores[:, 0] * np.sqrt(len(kernel) - 1)
    return score * np.sign(score[np.argmax(np.round(np.abs(score), 9))])


def inflation(columns: np.ndarray, blocks: list[Block], model: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(blocks,) variance inflation factor and largest leverage of each block of the model beyond the others.

    Of several columns, the generalised factor of Fox & Monette 1992 (J. Am. Stat. Assoc. 87:178): the product of
    1 / (1 - r^2) over the block's canonical correlations r with the other columns. The leverage is that of the
    block's directions for a single donor: near 1, the donor alone decides.
    """
    own = [block._replace(columns=block.inside) for block in blocks]
    made = fit(columns, np.ones(len(columns), dtype=bool), own, model)
    vif, leverage = np.full(len(blocks), np.nan), np.full(len(blocks), np.nan)
    for i in range(len(blocks)):
        alone = made.alone.values[:, made.alone.block == i]
        beyond = made.beyond.values[:, made.beyond.block == i]
        if alone.shape[1] and alone.shape == beyond.shape:
            vif[i] = 1 / np.prod(np.linalg.svd(alone.T @ beyond, compute_uv=False) ** 2)
            leverage[i] = (beyond**2).sum(axis=1).max()
    return vif, leverage


def lack_of_fit(score: np.ndarray, term: Term, model: np.ndarray) -> float:
    """p of the F test of a number's natural spline against its straight line, the rest of the model as it is.

    Whether the term is bent in the model or not; NaN for levels, and for numbers of too few values to bend.

    Args:
        score: (n,) response. model: (n, k) columns without those that bend the term.
    """
    if term.kind in ("categorical", "multi"):
        return np.nan
    straight, bent = (
        residual_space(columns, len(score))
        for columns in (model, np.hstack([model, natural_spline(term.columns[:, 0])[:, 1:]]))
    )
    rest, left = ((space.residuals(score[:, None]) ** 2).sum() for space in (straight, bent))
    return float(f_p(max(rest - left, 0.0), left, straight.dim - bent.dim, bent.dim))


def unequal_variance(score: np.ndarray, space: ResidualSpace, own: np.ndarray, order: np.ndarray) -> float:
    """p that the residuals' variance goes with a factor: Breusch & Pagan's test, studentised, by permutation.

    The statistic is the R2 of squared residuals on the factor's columns (Koenker 1981, J. Econometrics 17:107). The
    residuals are the coordinates of the residual space, which are independent and of one variance under the null; if
    donor i has variance v_i, coordinate j has sum_i rotation_ij^2 v_i, so that columns are averaged alike. Chi-square
    would reject too often where a few donors lie far out on the factor.

    Args:
        score: (n,) response. space: of the whole model. own: (n, d) columns of the factor.
        order: (B, dim) permutations.
    """
    squares = space.rotate(score[:, None])[:, 0] ** 2
    basis = residual_space((space.rotation**2).T @ own, space.dim).basis[:, 1:]
    actual = ((squares @ basis) ** 2).sum()
    return float((((squares[order] @ basis) ** 2).sum(axis=1) >= actual * (1 - 1e-10)).sum() + 1) / (len(order) + 1)


def factor_points(score: np.ndarray, term: Term) -> pd.DataFrame:
    """Points of a plot of a view's first principal component against a factor: POINTS.

    Numbers in bins of as many donors, with the fitted line and spline of that factor alone; levels by their mean.
    """
    if term.kind in ("categorical", "multi"):
        rows = []
        held = term.columns[:, : term.lines] > 0.5
        levels = [(f"{term.name}: none of these", ~held.any(axis=1)), *zip(term.labels, held.T, strict=False)]
        for label, mask in levels:
            holders = score[mask]
            if len(holders) >= LEAST_IN_BIN:
                rows.append(("factor", label, len(holders), np.nan, holders.mean(), holders.std(ddof=1)))
        return pd.DataFrame(rows, columns=POINTS[:6]).assign(line=np.nan, spline=np.nan)
    x = term.columns[:, 0]
    line, spline = (
        score - residual_space(c, len(x)).residuals(score[:, None])[:, 0] for c in (x[:, None], natural_spline(x))
    )
    return binned("factor", term.name, x, score, line, spline)


def fitted_points(score: np.ndarray, model: np.ndarray) -> pd.DataFrame:
    """Points of a plot of residuals against fitted values of the whole model: POINTS."""
    rest = residual_space(model, len(score)).residuals(score[:, None])[:, 0]
    empty = np.full(len(score), np.nan)
    return binned("fitted", "model", score - rest, rest, empty, empty)


def binned(plot: str, label: str, x: np.ndarray, y: np.ndarray, line: np.ndarray, spline: np.ndarray) -> pd.DataFrame:
    """Means of y and of two curves in up to BINS bins of x, of as many donors each, at least LEAST_IN_BIN.

    Equal x stay together.
    """
    table = pd.DataFrame({"bin": bins_of(x, BINS), "x": x, "y": y, "line": line, "spline": spline})
    out = table.groupby("bin", sort=True).agg(
        n=("x", "size"), x=("x", "mean"), mean=("y", "mean"), sd=("y", "std"), line=("line", "mean"),
        spline=("spline", "mean"),
    )  # fmt: skip
    return out.assign(plot=plot, label=label)[POINTS].reset_index(drop=True)
