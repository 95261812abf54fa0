#!/usr/bin/env python3
"""Whether a factor has any effect: permutations for the many columns of a view at once, F tests for each by itself."""

import numpy as np
from scipy.special import betainc

from hx_directions import Block, Directions, fit
from hx_donors import named_generator
from hx_linear import residual_space
from hx_variance import permutations

PERMUTATIONS = 999
CELLS = 1 << 22  # values permuted at a time: 32 MiB


def orders(seed: int, name: str, count: int, number: int = PERMUTATIONS) -> np.ndarray:
    """(number, count) orders, from the seed, the name and the count alone: the same for all views."""
    return permutations(named_generator(seed, f"{name}.{count}"), number, count)


def permutation_p(kernels: list[np.ndarray], directions: Directions, order: np.ndarray) -> np.ndarray:
    """(views, blocks) p = (b + 1)/(B + 1), b of B permutations in which a block explains at least as much.

    The rows of the directions are permuted against those of the kernels. NaN where a block has no direction.

    Args:
        kernels: (m, m) each; rows exchangeable where a block has no effect.
        directions: values (m, c).
        order: (B, m) permutations.
    """
    values = directions.values
    if not values.shape[1]:
        return np.full((len(kernels), directions.blocks), np.nan)
    actual = [directions.sums(np.einsum("ij,ij->j", values, kernel @ values)) for kernel in kernels]
    count = np.zeros((len(kernels), directions.blocks))
    step = max(1, CELLS // max(1, values.size))
    for first in range(0, len(order), step):
        moved = values[order[first : first + step]]  # (b, m, c)
        flat = np.ascontiguousarray(moved.transpose(1, 2, 0)).reshape(len(values), -1)
        for view, kernel in enumerate(kernels):
            squares = np.einsum("ij,ij->j", flat, kernel @ flat).reshape(values.shape[1], -1)
            count[view] += (directions.sums(squares) >= actual[view][:, None] * (1 - 1e-10)).sum(axis=1)
    p = (count + 1) / (len(order) + 1)
    p[:, directions.rank == 0] = np.nan
    return p


def ledger_p(
    kernels: list[np.ndarray], columns: np.ndarray, blocks: list[Block], model: np.ndarray, seed: int, name: str
) -> np.ndarray:
    """(views, 2, blocks + 1) p of each block alone (row 0) and beyond the rest of the model (1); the model is the last.

    Alone, donors are permuted: exact. Beyond the rest, rows of the residual space of the rest (Huh & Jhun 2001), where
    errors are exchangeable; the residuals themselves are not, and permuting them is anticonservative.

    Args: as hx_ledger.shares.
    """
    n = len(columns)
    made = fit(columns, np.ones(n, dtype=bool), blocks, model)
    p = np.full((len(kernels), 2, len(blocks) + 1), np.nan)
    p[:, 0] = permutation_p(kernels, made.alone, orders(seed, name, n))
    inside = [i for i, block in enumerate(blocks) if len(block.inside)]
    outside = np.array([i for i in range(len(blocks)) if i not in inside], dtype=int)
    tested = [(outside, model)] if len(outside) else []
    tested += [(np.array([i]), np.setdiff1d(model, blocks[i].inside)) for i in inside]
    for which, rest in tested:
        at = np.flatnonzero(np.isin(made.beyond.block, which))
        if not len(at):
            continue
        space = residual_space(columns[:, rest], n)
        turned = [space.rotation.T @ kernel @ space.rotation for kernel in kernels]
        of = np.searchsorted(which, made.beyond.block[at])
        rotated = Directions(space.rotate(made.beyond.values[:, at]), of, len(which))
        p[:, 1, which] = permutation_p(turned, rotated, orders(seed, name, space.dim))
    return p


def f_p(explained: np.ndarray, rest: np.ndarray, rank: int, dof: int) -> np.ndarray:
    """p of the F test of `rank` columns with `dof` residual degrees of freedom.

    F = (explained / rank) / (rest / dof), both sums of squares; P(F > f) = I_x(dof/2, rank/2) with x = rest / (rest +
    explained). NaN without a degree of freedom on either side.
    """
    if rank < 1 or dof < 1:
        return np.full(np.shape(explained), np.nan)
    return betainc(dof / 2, rank / 2, np.clip(rest / (rest + explained), 0, 1))
