#!/usr/bin/env python3
"""The study's factor curve: greedy forward selection of columns by the variance that they explain together.

Jones 2017, figure 4: at each step the column that adds most to sum_k l_k R2_k / sum_k l_k, with l_k the eigenvalue of
principal component k and R2_k the share of it that the chosen columns explain; no stopping rule. It rises on noise, and
faster than columns in a given order would, being chosen: its null is the mean of the same choice on permuted donors.
The cross-validated curve, in which each fold makes its own choice without its donors, is what holds for new donors.
"""

from typing import NamedTuple

import numpy as np

from hx_variance import adjusted, components_to, principal

PC_SHARE = 0.999  # the study's principal components: as many as hold this share of the variance
NOTHING = 1e-10  # squared length, of 1, below which a column is told by those chosen


class Path(NamedTuple):
    """order: (steps,) columns as they were chosen. directions: (n, steps) what each adds, see greedy."""

    order: np.ndarray
    directions: np.ndarray


class Curve(NamedTuple):
    """By step: order (steps,) of columns; r2, adjusted, cv, null (steps,) of the first 1, 2, … columns together."""

    order: np.ndarray
    r2: np.ndarray
    adjusted: np.ndarray
    cv: np.ndarray
    null: np.ndarray


def leading_kernel(kernel: np.ndarray) -> np.ndarray:
    """The kernel's first principal components, as many as it takes to pass PC_SHARE of its trace (scikit-learn's
    PCA(0.999), which the study used).

    Args:
        kernel: (n, n) Y Y' of centred columns.
    """
    variance, scores = principal(kernel)
    keep = components_to(variance, PC_SHARE)
    return (scores[:, :keep] * variance[:keep]) @ scores[:, :keep].T


def greedy(kernel: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> Path:
    """Choose columns one by one, each adding most to tr(Q'KQ), Q an orthonormal basis of those chosen.

    Of equal ones the first is taken. It ends where no column is left that those chosen do not tell.

    Args:
        kernel: (n, n).
        columns: (n, k).
        rows: (n,) bool, the donors that the choice is made from. Directions are orthonormal and centred over them,
            and over the others what the same coefficients give.
    """
    centred = columns - columns[rows].mean(axis=0)
    centred = centred / np.maximum(np.linalg.norm(centred[rows], axis=0), 1e-300)
    own, other = centred[rows], centred[~rows]
    moved = kernel[np.ix_(rows, rows)] @ own
    left = np.full(columns.shape[1], True)
    order, inside, outside = [], [], []
    while len(order) < len(own) - 1:
        length = np.einsum("ij,ij->j", own, own)
        left &= length > NOTHING
        if not left.any():
            break
        gain = np.where(left, np.einsum("ij,ij->j", own, moved) / np.where(left, length, 1), 0.0)
        # To 12 digits, so that the first of equal ones wins on every machine.
        best = int(np.argmax(left & (gain >= gain.max() * (1 - 1e-12))))
        size = np.sqrt(length[best])
        direction, beside, image = own[:, best] / size, other[:, best] / size, moved[:, best] / size
        told = direction @ own
        own, other, moved = (
            own - np.outer(direction, told),
            other - np.outer(beside, told),
            moved - np.outer(image, told),
        )
        left[best] = False
        order.append(best)
        inside.append(direction)
        outside.append(beside)
    directions = np.empty((len(columns), len(order)))
    directions[rows] = np.array(inside).reshape(len(order), len(own)).T
    directions[~rows] = np.array(outside).reshape(len(order), len(other)).T
    return Path(np.array(order, dtype=int), directions)


def factor_curve(kernel: np.ndarray, columns: np.ndarray, folds: np.ndarray, order: np.ndarray) -> Curve:
    """The curve of one view.

    Args:
        kernel: (n, n) Y Y' of centred columns.
        columns: (n, k) candidates, none constant.
        folds: (n,) fold of each donor.
        order: (B, n) permutations of the donors, for the null.
    """
    n = len(kernel)
    leading = leading_kernel(kernel)
    path = greedy(leading, columns, np.ones(n, dtype=bool))
    gains = np.einsum("ij,ij->j", path.directions, leading @ path.directions) / np.trace(leading)
    r2 = np.cumsum(gains)
    steps = np.arange(1, len(r2) + 1)
    null = permuted_paths(leading, columns, order)[:, : len(r2)].mean(axis=0)
    return Curve(path.order, r2, adjusted(r2, steps, n - 1), predicted(kernel, columns, folds, len(r2)), null)


def permuted_paths(kernel: np.ndarray, columns: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(B, steps) share that the first 1, 2, … columns of `greedy` explain together, the donors of the columns permuted.

    The choice needs no more than X'X, which no permutation changes, and X'KX, both taken down by each column that is
    chosen: k x k, all permutations at once.

    Args:
        kernel: (n, n). columns: (n, k). order: (B, n) permutations.
    """
    centred = columns - columns.mean(axis=0)
    centred = centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-300)
    count = centred.shape[1]
    square = np.repeat((centred.T @ centred)[None], len(order), axis=0)
    form = np.empty_like(square)
    for i, rows in enumerate(order):
        moved = centred[rows]
        form[i] = moved.T @ (kernel @ moved)
    each, gains = np.arange(len(order)), np.zeros((len(order), min(count, len(kernel) - 1)))
    for step in range(gains.shape[1]):
        length = np.einsum("bii->bi", square)
        left = length > NOTHING
        gain = np.where(left, np.einsum("bii->bi", form) / np.where(left, length, 1), 0.0)
        best = np.argmax(gain, axis=1)
        gains[:, step] = gain[each, best]
        size = np.where(left[each, best], length[each, best], np.inf)[:, None]
        own, moved = square[each, best], form[each, best]
        told = own / size
        form -= told[:, :, None] * moved[:, None] + moved[:, :, None] * told[:, None]
        form += (moved[each, best][:, None] * told)[:, :, None] * told[:, None]
        square -= told[:, :, None] * own[:, None]
        square[each, best, best] = 0.0
    return np.cumsum(gains, axis=1) / np.trace(kernel)


def predicted(kernel: np.ndarray, columns: np.ndarray, folds: np.ndarray, steps: int) -> np.ndarray:
    """(steps,) cross-validated R2 after each step, the columns chosen anew without each fold; NaN with a single fold.

    1 - sum of squared errors / that of the mean of the other donors. A fold that runs out of columns keeps its last.
    """
    several = np.unique(folds)
    if len(several) < 2:
        return np.full(steps, np.nan)
    falls, baseline = np.zeros(steps), 0.0
    for fold in several:
        train, test = folds != fold, folds == fold
        chosen = greedy(kernel, columns, train).directions[:, :steps]
        own, new = chosen[train], chosen[test]
        moved = kernel[:, train] @ own
        errors = moved[test] - moved[train].mean(axis=0)
        cross = np.einsum("ij,ij->j", new, errors)
        # Predictions of different steps are not orthogonal over the donors left out.
        square = np.cumsum(np.cumsum((new.T @ new) * (own.T @ moved[train]), axis=0), axis=1).diagonal()
        fall = 2 * np.cumsum(cross) - square
        falls += np.pad(fall, (0, steps - len(fall)), mode="edge") if len(fall) else 0
        mean = kernel[:, train].mean(axis=1)
        baseline += kernel.diagonal()[test].sum() - 2 * mean[test].sum() + test.sum() * mean[train].mean()
    return falls / baseline
