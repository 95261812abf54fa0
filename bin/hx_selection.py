#!/usr/bin/env python3
"""Confounders chosen by the data that they then adjust: by a test each, or step by step. Post-selection both."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hx_design import Term
from hx_directions import Block, fit
from hx_factor_tests import orders, permutation_p
from hx_fdr import bh
from hx_layout import layout
from hx_ledger import explained
from hx_linear import residual_space
from hx_variance import adjusted

LEVEL = 0.05
MOST_COLUMNS = 15  # of a forward selection, and at most a tenth of the donors


class Step(NamedTuple):
    """A block that a forward selection added: its p, and the adjusted R2 of all blocks chosen up to it."""

    block: int
    p: float
    adjusted: float


def significant(
    kernels: list[np.ndarray], columns: np.ndarray, blocks: list[np.ndarray], seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """(views, blocks) q of each block by itself, and the (blocks,) mask of those with q < LEVEL on any view.

    The R2 of a redundancy analysis against 999 permutations of the donors, Benjamini-Hochberg over blocks in a view.

    Args:
        columns: (n, k) of hx_directions.orthonormal_blocks.
        blocks: indices of the columns of each candidate.
    """
    n, none = len(columns), np.array([], dtype=int)
    made = fit(columns, np.ones(n, dtype=bool), [Block(block, none) for block in blocks], none)
    p = permutation_p(kernels, made.alone, orders(seed, name, n))[:, : len(blocks)]
    q = np.array([bh(row) for row in p])
    return q, (q < LEVEL).any(axis=0)


def forward(
    kernel: np.ndarray, columns: np.ndarray, blocks: list[np.ndarray], seed: int, name: str, keep_last: bool = True
) -> list[Step]:
    """Forward selection with two stopping rules (Blanchet, Legendre & Borcard 2008, Ecology 89:2623).

    First all candidates together must explain more than chance (permutation p < LEVEL). Then the block that raises the
    adjusted R2 most is added while its permutation p is at most LEVEL. Once the adjusted R2 reaches that of all
    candidates, the block that took it there is the last.

    Args:
        keep_last: False drops that last block instead, as vegan's ordiR2step does by default: where one factor is all
            there is, the noise candidates lower the full model's adjusted R2 below its own, and nothing is chosen.
    """
    n = len(columns)
    everyone, none = np.ones(n, dtype=bool), np.array([], dtype=int)
    total = np.trace(kernel)
    every = fit(columns, everyone, [], np.concatenate([none, *blocks]))
    if not blocks or permutation_p([kernel], every.alone, orders(seed, name, n))[0, -1] >= LEVEL:
        return []
    limit = float(adjusted(explained(kernel, every.alone)[-1] / total, len(every.model.T), n - 1))
    steps: list[Step] = []
    chosen = none
    while len(steps) < len(blocks):
        left = [i for i in range(len(blocks)) if i not in {step.block for step in steps}]
        made = fit(columns, everyone, [Block(blocks[i], none) for i in left], chosen)
        rank = made.beyond.rank[:-1]
        reached = explained(kernel, made.alone)[-1] + explained(kernel, made.beyond)[:-1]
        value = adjusted(reached / total, len(made.model.T) + rank, n - 1)
        value = np.where((rank > 0) & (len(made.model.T) + rank <= min(MOST_COLUMNS, n // 10)), value, np.nan)
        if np.isnan(value).all():
            break
        best = int(np.nanargmax(value))
        space = residual_space(columns[:, chosen], n)
        own = fit(columns, everyone, [Block(blocks[left[best]], none)], chosen).beyond
        turned = space.rotation.T @ kernel @ space.rotation
        rotated = own._replace(values=space.rotate(own.values))
        p = float(permutation_p([turned], rotated, orders(seed, name, space.dim))[0, 0])
        past = value[best] >= limit
        if p > LEVEL or (past and not keep_last):
            break
        steps.append(Step(left[best], p, float(value[best])))
        chosen = np.concatenate([chosen, blocks[left[best]]])
        if past:
            break
    return steps


def narrowed(terms: list[Term], sides: dict[str, list[np.ndarray]], model: str, seed: int, name: str) -> list[Term]:
    """Terms of the model narrowed to those chosen on image or on expression: one model for both sides of every pair.

    Args:
        sides: kernels of each side; of several (settings) the mean is taken, each at trace 1.
        model: significant or forward.
    """
    candidates = [i for i, term in enumerate(terms) if term.role == "base"]
    kernels = {side: sum(k / np.trace(k) for k in parts) / len(parts) for side, parts in sides.items() if parts}
    columns = layout([terms[i] for i in candidates], len(next(iter(kernels.values()))))
    told: dict[int, list[str]] = {i: [] for i in candidates}
    chosen: set[int] = set()
    if model == "significant":
        q, mask = significant(list(kernels.values()), columns.columns, columns.kept, seed, name)
        chosen = {candidates[k] for k in np.flatnonzero(mask)}
        for k, i in enumerate(candidates):
            told[i] = [f"q {value:.3g} on {side}" for side, value in zip(kernels, q[:, k], strict=True)]
    else:
        for side, kernel in kernels.items():
            for number, step in enumerate(forward(kernel, columns.columns, columns.kept, seed, name), 1):
                chosen.add(candidates[step.block])
                told[candidates[step.block]].append(f"step {number} on {side}, p {step.p:.3g}")
    out = list(terms)
    for i in candidates:
        why = f"{model}: {'; '.join(told[i]) or 'no step'}"
        out[i] = replace(terms[i], role="base" if i in chosen else "out", why=why)
    return out
