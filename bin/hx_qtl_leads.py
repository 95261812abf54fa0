#!/usr/bin/env python3
"""Leads of a scan of genotypes: one variant a place, its effect in double precision, and what one donor makes of it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hx_linear import ResidualSpace, r2_of_rows, slopes
from hx_mixture import log_p_ratio
from hx_pvalue import log_p
from hx_qtl import Imputed
from hx_qtl_traits import Traits

NEAR = 1_000_000  # bases: a variant so near a stronger one is not a lead
LINKED, LINKED_WITHIN = 0.1, 10_000_000  # nor one of at least this r2 with it, within so many bases
EXACT_OUT = 5  # carriers whose leaving out is computed again with the embedding's own eigenvalues


def clump(nlog10p: np.ndarray, chrom: np.ndarray, pos: np.ndarray, values: np.ndarray) -> Iterator[np.ndarray]:
    """Groups of variants of one trait, strongest first: places of the lead and then of those that it stands for.

    A variant stands for the weaker ones within NEAR bases, and within LINKED_WITHIN for those linked to it (r2 of the
    donors' dosages).

    Args:
        nlog10p, chrom, pos: (m,) of the variants; ties go to the first. values: (m, n) centred dosages.
    """
    left = np.ones(len(pos), bool)
    for lead in np.argsort(-nlog10p, kind="stable"):
        if not left[lead]:
            continue
        away = np.where(chrom == chrom[lead], np.abs(pos.astype(np.int64) - int(pos[lead])), LINKED_WITHIN + 1)
        near = np.flatnonzero(left & (away <= LINKED_WITHIN))
        taken = near[(away[near] <= NEAR) | (r2_of_rows(values[near], values[lead]) >= LINKED)]
        left[taken] = False
        yield np.concatenate([[lead], taken[taken != lead]])


class Effects(NamedTuple):
    """Of variants with a trait each: partial correlation, slope of the rank-normal trait a copy of the alternative
    allele, its standard error, natural logarithm of p."""

    r: np.ndarray
    beta: np.ndarray
    se: np.ndarray
    log_p: np.ndarray


def effects(variants: np.ndarray, traits: Traits, trait: np.ndarray) -> Effects:
    """Ordinary least squares of trait[i] on variant i, an intercept and the covariates.

    Args:
        variants: (m, n) centred dosages. trait: (m,) columns of traits.normal.
    """
    space, normal = traits.space, traits.normal
    left = space.residuals(variants.T).T
    length = np.linalg.norm(left, axis=1)
    r = np.clip(np.einsum("ij,ji->i", left, normal.unit[:, trait]) / length, -1, 1)
    # |residual trait| = sd left sqrt(n - 1).
    whole = (normal.sd * normal.left)[trait] * np.sqrt(len(normal.unit) - 1)
    beta, se = slopes(r, whole / length, space.dim - 1)
    return Effects(r, beta, se, log_p(r, space.dim - 1))


def embedding_effects(variants: np.ndarray, traits: Traits) -> tuple[np.ndarray, np.ndarray]:
    """(share of the embedding's variance, natural logarithm of p) of (m, n) variants, in double precision."""
    left = traits.space.residuals(variants.T)
    ratio = ((traits.root.T @ left) ** 2).sum(axis=0) / (left**2).sum(axis=0)
    return ratio, traits.embedding_log_p(ratio)


def carriers(block: Imputed) -> np.ndarray:
    """(b, n) bool: donors with a copy of the rarer allele, imputed ones not among them."""
    copies = block.values + (block.copies / np.maximum(block.called, 1))[:, None]
    rarer = np.where((block.copies > block.called)[:, None], 2 - copies, copies)
    return (rarer >= 0.5) & (block.values != 0)


def log_p_without(variant: np.ndarray, trait: np.ndarray, space: ResidualSpace, out: np.ndarray) -> np.ndarray:
    """(m,) natural logarithm of p of a variant with a trait when each of the donors `out` is left out in turn.

    To leave a donor out is to give it a dummy: its residual d on [1, C], of length^2 1 - leverage, is one direction
    that goes (and one degree of freedom); both sides are projected off it. The trait's ranks stay as they are.

    Args:
        variant, trait: (n,), residuals in `space` or not. out: (m,) places of donors.
    """
    g, y = space.residuals(np.column_stack([variant, trait])).T
    kept = 1 - np.einsum("ij,ij->i", space.basis[out], space.basis[out])
    gy, gg, yy = (a @ b - a[out] * b[out] / kept for a, b in ((g, y), (g, g), (y, y)))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.where((gg > 1e-9 * (g @ g)) & (yy > 0), gy / np.sqrt(gg * yy), 0)
    return log_p(np.clip(r, -1, 1), space.dim - 2)


def embedding_log_p_without(variant: np.ndarray, traits: Traits, out: np.ndarray) -> float:
    """Largest of the natural logarithms of the embedding's p when each of the donors `out` is left out in turn.

    The kernel without a donor is projected off the donor's direction d as well; its eigenvalues move little, so that
    all of `out` are ranked by the whole kernel's and the EXACT_OUT of largest p computed with their own.
    """
    space, root = traits.space, traits.root
    g = space.residuals(variant[:, None])[:, 0]
    kept = 1 - np.einsum("ij,ij->i", space.basis[out], space.basis[out])
    # g - d (d'g) / |d|^2, with d the residual of the donor's unit vector: d'g = g[donor], d'root = root[donor].
    along = (root.T @ g)[:, None] - root[out].T * (g[out] / kept)
    length = g @ g - g[out] ** 2 / kept
    ratio = (along**2).sum(axis=0) / np.where(length > 1e-9 * (g @ g), length, np.inf)
    first = np.argsort(-log_p_ratio(ratio, traits.eigenvalues), kind="stable")[:EXACT_OUT]
    turned, largest = space.rotation.T @ root, -np.inf
    for k in first:
        direction = space.rotation[out[k]] / np.linalg.norm(space.rotation[out[k]])
        without = turned - np.outer(direction, direction @ turned)
        # One dimension went: the eigenvalue 0 of its direction goes with it.
        size = np.linalg.eigvalsh(without @ without.T)[1:]
        largest = max(largest, float(log_p_ratio(ratio[k : k + 1], np.maximum(size, 0))[0]))
    return largest
