#!/usr/bin/env python3
"""Where the columns of each factor of the confounder model stand in one matrix."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hx_design import Term
from hx_directions import Block, orthonormal_blocks


class Layout(NamedTuple):
    """Columns of all terms side by side, orthonormal within each; `all` and `kept` index those of each term."""

    columns: np.ndarray
    all: list[np.ndarray]
    kept: list[np.ndarray]


def layout(terms: list[Term], n: int) -> Layout:
    """Columns of the terms; of a term, those that the model keeps come first."""
    parts = [np.hstack([term.columns[:, term.kept], term.columns[:, ~term.kept]]) for term in terms]
    columns = orthonormal_blocks(parts) if parts else np.empty((n, 0))
    first = np.cumsum([0, *(part.shape[1] for part in parts)])
    every = [np.arange(a, b) for a, b in pairwise(first)]
    return Layout(columns, every, [own[: term.kept.sum()] for own, term in zip(every, terms, strict=True)])


def model_index(terms: list[Term], columns: Layout, roles: tuple[str, ...]) -> np.ndarray:
    """Indices of the columns of the model."""
    chosen = [kept for term, kept in zip(terms, columns.kept, strict=True) if term.role in roles]
    return np.concatenate([np.array([], dtype=int), *chosen])


def term_blocks(terms: list[Term], columns: Layout, roles: tuple[str, ...]) -> list[Block]:
    """A block a term."""
    return [
        Block(every, kept if term.role in roles else kept[:0])
        for term, every, kept in zip(terms, columns.all, columns.kept, strict=True)
    ]


def group_blocks(terms: list[Term], columns: Layout, roles: tuple[str, ...]) -> list[tuple[str, Block]]:
    """(group, block) of the terms of a group that are in the model, and of those outside, where they are several."""
    out = []
    for group in dict.fromkeys(term.group for term in terms):
        for inside in (True, False):
            which = [i for i, term in enumerate(terms) if term.group == group and (term.role in roles) == inside]
            # A group that is the whole model has that row.
            if len(which) > 1 and not (inside and len(which) == sum(term.role in roles for term in terms)):
                every = np.concatenate([columns.all[i] for i in which])
                kept = np.concatenate([columns.kept[i] for i in which])
                out.append((group, Block(every, kept if inside else kept[:0])))
    return out
