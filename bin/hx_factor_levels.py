#!/usr/bin/env python3
"""Levels of a factor as columns of a linear model, and whether two factors tell the same."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_cli import preview
from hx_factor_cells import number

MIN_LEVEL = 5  # donors of a level, and missing donors that make an indicator of missingness worth its column
OTHER, MISSING = "other", "missing"


class Coded(NamedTuple):
    """0/1 columns of a factor: kind (categorical or multi), (n, c) values, c levels, and what was done, as Factor."""

    kind: str
    values: np.ndarray
    levels: list[str]
    missing: np.ndarray
    transform: str
    rule: str


def too_constant(commonest: str, others: int) -> str:
    """Why a column is no factor when all donors but `others` have its commonest value; "" when it is one."""
    if not others:
        return f"constant: {commonest} in all donors"
    return f"{others} donors differ from {commonest}, at least {MIN_LEVEL} are needed" if others < MIN_LEVEL else ""


def split_labels(text: str) -> tuple[str, ...]:
    """Labels of a cell, in order and each once: "B1, A1" and "A1;B1" are A1 and B1."""
    return tuple(sorted({label.strip() for label in re.split("[,;]", text)} - {""}))


def code_levels(texts: np.ndarray, several: bool) -> Coded | str:
    """A dummy a level but the first, or where a cell holds several labels, an indicator a label.

    Levels of fewer than MIN_LEVEL donors become `other`; when even that has too few, they join the commonest level,
    which costs no column and loses no donor. Missing cells are a level of their own, or join the commonest.

    Args:
        texts: (n,) levels, "" where missing.
        several: cells are lists ("B1, A1" is both).

    Returns:
        The columns, or why there are none: constant, a level a donor, most donors in rare levels.
    """
    cells = [split_labels(text) if several else (text,) * bool(text) for text in texts]
    present = [cell for cell in cells if cell]
    kind = "multi" if max(map(len, cells)) > 1 else "categorical"
    counts = pd.Series([label for cell in present for label in cell]).value_counts()
    rare = set(counts.index[counts < MIN_LEVEL])
    lone = sum(rare.issuperset(cell) for cell in present)
    if len(present) == len(set(present)):
        return "a level of its own for each donor: it names the donors"
    if lone > len(present) / 2:
        few = f"{lone} of {len(present)} donors are in levels of fewer than {MIN_LEVEL}"
        return f"near-unique: {len(counts)} levels, {few}"
    commonest = min(set(present), key=lambda cell: (-present.count(cell), cell))
    if problem := too_constant(", ".join(commonest), sum(cell != commonest for cell in present)):
        return problem
    holders = sum(not rare.isdisjoint(cell) for cell in present)
    # A rare label of a multi factor is left out: its donors have another label, or are the reference.
    target = OTHER if holders >= MIN_LEVEL else commonest[0] if kind == "categorical" else ""
    place = dict.fromkeys(rare, target)
    absent = len(cells) - len(present)
    fill = (MISSING,) if absent >= MIN_LEVEL else commonest
    coded = [{place.get(label, label) for label in cell or fill} for cell in cells]
    order = sorted(set().union(*coded) - {""}, key=_natural)
    matrix = np.array([[label in cell for label in order] for cell in coded], dtype=np.float64).reshape(len(cells), -1)
    chosen = np.arange(1, len(order)) if kind == "categorical" else _independent(matrix)
    if not len(chosen):
        return f"constant: {', '.join(commonest)} but for levels of fewer than {MIN_LEVEL} donors"
    reference = [level for i, level in enumerate(order) if i not in chosen]
    transform = f"against {preview(reference)}" if reference else "an indicator a label"
    if rare:
        said = f"as {target}" if target else "left out"
        transform += f"; levels of fewer than {MIN_LEVEL} donors {said}: {preview(sorted(rare))}"
    rule = f"{'a level' if absent >= MIN_LEVEL else 'the commonest level'} for {absent} of {len(cells)} donors"
    missing = np.array([not cell for cell in cells], dtype=bool)
    levels = [order[i] for i in chosen]
    return Coded(kind, matrix[:, chosen], levels, missing, transform, rule if absent else "")


def _natural(level: str) -> tuple:
    """Numbers by size, then text; `other` and `missing` last, so that neither is the reference."""
    plain = number(level)
    return level in (OTHER, MISSING), plain is None, plain or 0.0, level


def _independent(matrix: np.ndarray) -> np.ndarray:
    """Indices of 0/1 columns that neither the intercept nor rarer columns tell."""
    chosen: list[int] = []
    for i in np.argsort(matrix.sum(axis=0), kind="stable"):
        with_it = np.column_stack([np.ones(len(matrix)), matrix[:, [*chosen, i]]])
        if np.linalg.matrix_rank(with_it) == with_it.shape[1]:
            chosen.append(int(i))
    return np.array(sorted(chosen), dtype=int)


def column_span(values: np.ndarray) -> np.ndarray:
    """(n, rank) orthonormal basis of columns (none constant) less their means."""
    centred = values - values.mean(axis=0)
    u, s, _ = np.linalg.svd(centred / np.linalg.norm(centred, axis=0), full_matrices=False)
    return u[:, s > 1e-9 * s[0]]


def same_span(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two bases span one space, to 1e-6 of a unit vector: tables round their numbers."""
    return one.shape == other.shape and float(np.abs(other - one @ (one.T @ other)).max()) < 1e-6
