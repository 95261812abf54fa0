#!/usr/bin/env python3
"""The directions of donor space in which factors act: each by itself, and each beyond what the model holds already.

With K = Y Y' of centred columns Y and an orthonormal basis U of such directions, tr(U'KU) / tr(K) is the share of the
variance of all columns of Y that they explain (the R2 of a redundancy analysis). So a factor's share costs a product
with a donors x donors matrix, however many genes stand behind it.
"""

from typing import NamedTuple

import numpy as np

# Squared length below which a direction is nothing but rounding; blocks of columns are orthonormal over all donors.
NOTHING = 1e-8


class Block(NamedTuple):
    """Columns of one row of a ledger: indices of all of its columns, and of those of the model (none: outside it)."""

    columns: np.ndarray
    inside: np.ndarray


class Directions(NamedTuple):
    """Directions over all n donors, orthonormal and centred over those that they were made from.

    values: (n, c). block: (c,) index of the block of each, ascending. blocks: number of blocks; one may have none.
    weights: (1 + k, c), values = [1, columns] weights, where they were made from columns.
    """

    values: np.ndarray
    block: np.ndarray
    blocks: int
    weights: np.ndarray | None = None

    @property
    def rank(self) -> np.ndarray:
        """(blocks,) number of directions of each."""
        return np.bincount(self.block, minlength=self.blocks)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(blocks, …) sums of values (c, …) over the directions of each block."""
        first = np.searchsorted(self.block, np.arange(self.blocks + 1))
        total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        return total[first[1:]] - total[first[:-1]]


class Fit(NamedTuple):
    """Directions of blocks by themselves, the model as a whole being the last, and beyond the rest of the model."""

    alone: Directions
    beyond: Directions

    @property
    def model(self) -> np.ndarray:
        """(n, r) directions of the model as a whole."""
        last = self.alone.blocks - 1
        return self.alone.values[:, self.alone.block == last]


def orthonormal_blocks(blocks: list[np.ndarray]) -> np.ndarray:
    """Columns of blocks (n, c), each orthonormal within itself and centred; the first k columns span what they did.

    Columns that those before them tell are centred and of length 1 alone.
    """
    out = []
    for columns in blocks:
        centred = columns - columns.mean(axis=0)
        centred = centred - centred.mean(axis=0)
        unit = centred / np.linalg.norm(centred, axis=0)
        basis, upper = np.linalg.qr(unit)
        out.append(np.where(np.diag(upper) ** 2 > NOTHING, basis, unit))
    return np.hstack(out)


def fit(columns: np.ndarray, rows: np.ndarray, blocks: list[Block], model: np.ndarray) -> Fit:
    """Directions made from some of the donors; over the others they are what the same coefficients give.

    Args:
        columns: (n, k) of orthonormal_blocks.
        rows: (n,) bool, the donors that they are made from. A column of the model that these donors do not tell apart
            from columns before it has no direction, as if it was not there.
        model: indices of the columns of the model.
    """
    centred = columns - columns[rows].mean(axis=0)
    square = centred[rows].T @ centred[rows]
    kept = _independent(square, model)
    root = np.linalg.inv(np.linalg.cholesky(square[kept[:, None], kept]))
    inverse = root.T @ root
    at = {int(column): i for i, column in enumerate(kept)}
    alone, beyond = [], []
    for block in blocks:
        own = block.columns
        alone.append((own, _whiten(square[own[:, None], own])))
        inside = np.array([at[c] for c in block.inside.tolist() if c in at], dtype=int)
        if len(block.inside):
            # Columns of (X'X)^-1 are dual to X: what is left of a column beyond all others (Frisch & Waugh 1933).
            part = inverse[inside[:, None], inside]
            beyond.append((kept, inverse[:, inside] @ _whiten(part)))
            continue
        slope = inverse @ square[kept[:, None], own]
        left = _whiten(square[own[:, None], own] - square[own[:, None], kept] @ slope)
        beyond.append((np.concatenate([own, kept]), np.vstack([left, -slope @ left])))
    # Nothing is left of the model beyond itself.
    alone.append((kept, root.T))
    beyond.append((kept, np.empty((len(kept), 0))))
    mean = columns[rows].mean(axis=0)
    return Fit(_directions(centred, mean, alone), _directions(centred, mean, beyond))


def _directions(centred: np.ndarray, mean: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]]) -> Directions:
    weights = np.zeros((centred.shape[1], sum(w.shape[1] for _, w in parts)))
    first, owner = 0, []
    for block, (index, weight) in enumerate(parts):
        np.add.at(weights[:, first : first + weight.shape[1]], index, weight)
        first += weight.shape[1]
        owner += [block] * weight.shape[1]
    with_mean = np.vstack([-mean @ weights, weights])
    return Directions(centred @ weights, np.array(owner, dtype=int), len(parts), with_mean)


def _independent(square: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Of columns with cross-products `square`, those in `order` that the ones before them do not tell."""
    try:
        root = np.linalg.cholesky(square[order[:, None], order])
        if (np.diag(root) ** 2 > NOTHING).all():
            return order
    except np.linalg.LinAlgError:
        pass
    kept: list[int] = []
    rows = np.empty((0, len(square)))
    for column in order.tolist():
        rest = square[column] - rows[:, column] @ rows
        if rest[column] > NOTHING:
            kept.append(column)
            rows = np.vstack([rows, rest / np.sqrt(rest[column])])
    return np.array(kept, dtype=int)


def _whiten(square: np.ndarray) -> np.ndarray:
    """(d, r) W with W' square W = I, for the r directions of a (d, d) cross-product that are not nothing."""
    if square.shape == (1, 1):
        return np.full((1, 1), square[0, 0] ** -0.5) if square[0, 0] > NOTHING else np.empty((1, 0))
    try:
        root = np.linalg.cholesky(square)
        if (np.diag(root) ** 2 > NOTHING).all():
            return np.linalg.inv(root).T
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(square)
    return vectors[:, values > NOTHING] / np.sqrt(values[values > NOTHING])
