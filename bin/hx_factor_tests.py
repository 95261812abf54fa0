#!/usr/bin/env python3
"""Whether a factor has any effect: permutations for the many columns of a view at once, F tests for each by itself."""

from functools import cache

import numpy as np
from scipy.special import betainc

from hx_design import Term
from hx_directions import Block, Directions, fit
from hx_donors import named_generator
from hx_layout import layout, model_index, term_blocks
from hx_linear import residual_space
from hx_pvalue import PTable
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


def columns_explained(unit: np.ndarray, directions: Directions) -> np.ndarray:
    """(blocks, m) share of each standardised column (n, m) that a block explains."""
    return directions.sums((directions.values.T @ unit) ** 2)


def column_tests(unit: np.ndarray, terms: list[Term]) -> list[dict[str, np.ndarray]]:
    """For each factor its df, and of each standardised column (n, m) the share that it explains with its p.

    r2 and p by itself, r2_unique and p_unique beyond the rest of the model; F tests, exact for normal columns.
    """
    n = len(unit)
    columns, roles = layout(terms, n), ("base", "also")
    model = model_index(terms, columns, roles)
    made = fit(columns.columns, np.ones(n, dtype=bool), term_blocks(terms, columns, roles), model)
    alone, beyond = (columns_explained(unit, part) for part in made)
    whole, k = alone[-1], made.model.shape[1]
    found = []
    for i, term in enumerate(terms):
        inside = term.role in roles
        rest = np.maximum(1 - whole - (0 if inside else beyond[i]), 0)
        rank, rank_beyond = int(made.alone.rank[i]), int(made.beyond.rank[i])
        p = _p(alone[i], 1 - alone[i], rank, n - 1 - rank)
        p_unique = _p(beyond[i], rest, rank_beyond, n - 1 - k - (0 if inside else rank_beyond))
        found.append({"df": rank, "r2": alone[i], "p": p, "r2_unique": beyond[i], "p_unique": p_unique})
    return found


def _p(explained: np.ndarray, rest: np.ndarray, rank: int, dof: int) -> np.ndarray:
    """As f_p; a single column's from the table of |r|, which is ten times as fast once it is made."""
    if rank != 1 or dof < 1:
        return f_p(explained, rest, rank, dof)
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(explained / (explained + rest))
    return _table(dof).p(np.sqrt(np.clip(share, 0, 1)))


@cache
def _table(dof: int) -> PTable:
    """Most factors of a model leave the same degrees of freedom."""
    return PTable(dof)
