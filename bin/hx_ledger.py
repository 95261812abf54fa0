#!/usr/bin/env python3
"""Variance of many columns at once that each factor explains: in the sample, adjusted, cross-validated, its interval.

All on kernels K = Y Y' (donors x donors) of the centred columns Y of a view; see hx_directions. Factors are blocks of
columns. Row 0 of every result is a block by itself, row 1 what it explains beyond the rest of the model (type II: what
the model loses without a block of its own, or gains with one from outside).
"""

from typing import NamedTuple

import numpy as np

from hx_directions import Block, Directions, Fit, fit
from hx_variance import adjusted, interval


class Shares(NamedTuple):
    """Shares of the variance of one view that blocks explain, each (2, blocks + 1); the model as a whole is the last.

    r2: in the sample. adjusted: less what chance explains. low, high: its 95 % interval by grouped jackknife.
    cv: cross-validated, NaN with a single fold. null: expectation of r2 where a block has no effect. rank: its
    independent columns.
    """

    r2: np.ndarray
    adjusted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cv: np.ndarray
    null: np.ndarray
    rank: np.ndarray


def kernel_of(unit: np.ndarray, sd: np.ndarray | None = None) -> np.ndarray:
    """(n, n) Y Y' of standardised columns (n, m), or of these times their `sd` (m,): the covariance's."""
    values = unit if sd is None else unit * sd
    return values @ values.T


def explained(kernel: np.ndarray, directions: Directions) -> np.ndarray:
    """(blocks,) tr(U'KU) of the directions of each block, over all donors."""
    return directions.sums(np.einsum("ij,ij->j", directions.values, kernel @ directions.values))


def shares(
    kernels: list[np.ndarray],
    columns: np.ndarray,
    blocks: list[Block],
    model: np.ndarray,
    folds: np.ndarray,
    groups: np.ndarray,
) -> list[Shares]:
    """Shares of each view.

    Args:
        kernels: (n, n) a view.
        columns: (n, k) of hx_directions.orthonormal_blocks.
        blocks: what has a row.
        model: indices of the columns of the model.
        folds: (n,) fold of each donor; a fold's donors are predicted from the others.
        groups: (n,) number of each donor's group, 0, 1, …, for the grouped jackknife.
    """
    inside = np.array([len(block.inside) > 0 for block in blocks] + [False], dtype=bool)
    n = len(columns)
    made = fit(columns, np.ones(n, dtype=bool), blocks, model)
    points = [
        _point([explained(kernel, part) for part in made], made, np.trace(kernel), n, inside) for kernel in kernels
    ]
    left_out = _left_out(kernels, columns, blocks, model, groups, inside)
    gains, baseline = np.zeros((len(kernels), *points[0][0].shape)), np.zeros(len(kernels))
    several = np.unique(folds)
    for fold in several[: len(several) if len(several) > 1 else 0]:
        part = fit(columns, folds != fold, blocks, model)
        for i, kernel in enumerate(kernels):
            gain, press = _predicted(kernel, part, folds != fold, inside)
            gains[i] += gain
            baseline[i] += press
    out = []
    for (r2, less, null, rank), others, gain, press in zip(points, left_out, gains, baseline, strict=True):
        ends = np.array(
            [
                interval(value, replicates)[:2]
                for value, replicates in zip(less.ravel(), np.array(others).reshape(len(others), -1).T, strict=True)
            ]
        )
        low, high = ends.T.reshape(2, *less.shape)
        out.append(Shares(r2, less, low, high, gain / (press or np.nan), null, rank))
    return out


def _point(
    sums: list[np.ndarray], made: Fit, total: float, n: int, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """r2, adjusted, null and rank, each (2, blocks), from the (blocks,) variance explained alone and beyond, of n."""
    alone, beyond = (part / total for part in sums)
    rank = [part.rank for part in made]
    model, k = alone[-1], rank[0][-1]
    without, k_without = np.where(inside, model - beyond, model), np.where(inside, k - rank[1], k)
    gain = adjusted(without + beyond, k_without + rank[1], n - 1) - adjusted(without, k_without, n - 1)
    left = np.maximum(n - 1 - k_without, 1)
    null = np.stack([rank[0] / (n - 1), (1 - without) * rank[1] / left])
    return np.stack([alone, beyond]), np.stack([adjusted(alone, rank[0], n - 1), gain]), null, np.stack(rank)


def _left_out(
    kernels: list[np.ndarray],
    columns: np.ndarray,
    blocks: list[Block],
    model: np.ndarray,
    groups: np.ndarray,
    inside: np.ndarray,
) -> list[list[np.ndarray]]:
    """For each view and group of donors left out, `adjusted` (2, blocks) of the others.

    With Z = [1, columns] and weights T of the others' directions, they explain diag(T' Z'KZ T) over the others, and
    Z'KZ over the others is that of all donors less what the group has to do with it: no product of the kernel's size.
    """
    table = np.column_stack([np.ones(len(columns)), columns])
    moved = [kernel @ table for kernel in kernels]
    out: list[list[np.ndarray]] = [[] for _ in kernels]
    for group in range(groups.max() + 1):
        gone = groups == group
        made = fit(columns, ~gone, blocks, model)
        n = int((~gone).sum())
        own, others = table[gone], table[~gone]
        for view, (kernel, all_moved) in enumerate(zip(kernels, moved, strict=True)):
            form = others.T @ (all_moved[~gone] - kernel[np.ix_(~gone, gone)] @ own)
            sums = [part.sums(np.einsum("ij,ij->j", part.weights, form @ part.weights)) for part in made]
            total = kernel.diagonal()[~gone].sum() - form[0, 0] / n
            out[view].append(_point(sums, made, total, n, inside)[1])
    return out


def _predicted(kernel: np.ndarray, made: Fit, train: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, float]:
    """(2, blocks) fall of the squared error of prediction, over the donors not in `train`, and that of the mean alone.

    With U the directions, b = U_train'Y and e the errors without the block, those with it are e - U_test b; so the
    fall is 2 tr(U_test b e') - tr(U_test b b'U_test'), in which Y enters by its kernel alone.
    """
    test, n = ~train, train.sum()
    model = np.where(train[:, None], made.model, 0.0)
    falls = []
    for directions, of_model, sign in zip(made, (False, True), (-1.0, np.where(inside, 1.0, -1.0)), strict=True):
        own = np.where(train[:, None], directions.values, 0.0)
        moved = kernel @ own
        errors = moved[test] - moved[train].mean(axis=0)
        if of_model:
            errors -= made.model[test] @ (model.T @ moved)
        values = directions.values[test]
        same = directions.block[:, None] == directions.block
        square = ((values.T @ values) * (own.T @ moved) * same).sum(axis=1)
        cross = 2 * np.einsum("ij,ij->j", values, errors)
        falls.append(directions.sums(cross) + sign * directions.sums(square))
    from_mean = kernel[np.ix_(test, train)].sum() / n
    press = kernel.diagonal()[test].sum() - 2 * from_mean + test.sum() * (train @ kernel @ train) / n**2
    return np.stack(falls), float(press)
