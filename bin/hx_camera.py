#!/usr/bin/env python3
"""Competitive and self-contained tests of gene sets for all features at once.

Camera (Wu & Smyth 2012, Nucleic Acids Res. 40:e133) compares the genes of a set with all others by their association
with a feature; that genes of a set go together enters as a variance inflation factor, from the genes' residuals. The
set-score test asks whether the sum of a set's genes is associated at all. Arrays in, arrays out.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import betainc, ndtri, ndtri_exp
from threadpoolctl import threadpool_limits

from hx_pvalue import R_MAX, log_p

NODES = 1 << 14
CHUNK = 1 << 16


class Correlations(NamedTuple):
    """Of the genes of each set: (sets,) mean correlation of pairs, and that of what `strength` looks at."""

    signed: np.ndarray
    strength: np.ndarray


class Scores:
    """Statistics of genes from their correlation with a feature, standard normal for a gene that has no association.

    signed: normal quantile of t, sign(r) Phi^-1(1 - p/2), as limma's zscoreT. strength: Phi^-1(1 - p), which orders
    genes by r^2. Both are functions of |r| for one number of residual degrees of freedom: linear between 16,384 nodes.
    """

    def __init__(self, dof: int):
        # The last node is as near to 1 as p tells apart; the first, at r = 0, where strength is -infinity, half a step.
        r = np.linspace(0, 1, NODES)
        r[-1] = R_MAX
        log = log_p(r, dof)
        signed = -ndtri_exp(log - np.log(2))
        signed[0] = 0.0
        middle = r.copy()
        middle[0] = r[1] / 2
        with np.errstate(divide="ignore"):
            strength = np.where(log < -1, -ndtri_exp(log), ndtri(betainc(0.5, dof / 2, middle**2)))
        self._tables = [(table[:-1].copy(), np.diff(table)) for table in (signed, strength)]

    def of(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(signed, strength) of correlations, arrays of the shape of `r`."""
        flat = np.ravel(r)
        out = np.empty((2, len(flat)))
        # Chunks keep the intermediate arrays in the cache.
        for start in range(0, len(flat), CHUNK):
            part = slice(start, start + CHUNK)
            position = np.abs(flat[part])
            position *= NODES - 1
            node = np.minimum(position, NODES - 2).astype(np.intp)
            position -= node
            for (value, step), target in zip(self._tables, out[:, part], strict=True):
                np.take(step, node, out=target)
                target *= position
                target += value[node]
            np.copysign(out[0, part], flat[part], out=out[0, part])
        return out[0].reshape(np.shape(r)), out[1].reshape(np.shape(r))


def set_scores(unit: np.ndarray, members: sparse.csr_array) -> np.ndarray:
    """(sets, donors) sum of the standardised residuals of each set's genes; unit: (donors, genes)."""
    return np.asarray(members @ np.ascontiguousarray(unit.T))


def set_correlations(unit: np.ndarray, members: sparse.csr_array, scores: np.ndarray, dim: int) -> Correlations:
    """Mean correlation of the pairs of genes of each set, and of their squares.

    With c the correlation of the residuals of two genes, c is that of their r with a feature that has nothing to do
    with either, whatever its direction: rho = (|sum of unit residuals|^2 - m) / (m (m - 1)), limma's
    interGeneCorrelation. That of their r^2 is (dim c^2 - 1) / (dim - 1): the direction is uniform on the sphere in
    `dim` dimensions, E (x_i x_j)^2 = (1 + 2 c^2) / (dim (dim + 2)). Negative means count as 0.

    Args:
        unit: (donors, genes) residuals of length 1. scores: of set_scores. dim: of the residual space.
    """
    m = np.diff(members.indptr).astype(np.float64)
    pairs = np.maximum(m * (m - 1), 1)
    signed = (np.einsum("ij,ij->i", scores, scores) - m) / pairs
    squares = np.empty(len(m))
    by_gene = np.ascontiguousarray(unit.T)
    # Products this small are slower by many threads, which wait for each other, than by one.
    with threadpool_limits(1):
        for k, (start, stop) in enumerate(zip(members.indptr, members.indptr[1:], strict=False)):
            rows = by_gene[members.indices[start:stop]]
            gram = rows @ rows.T if len(rows) <= len(unit) else rows.T @ rows
            squares[k] = np.vdot(gram, gram)
    strength = (dim * (squares - m) / pairs - 1) / (dim - 1)
    return Correlations(np.maximum(signed, 0), np.maximum(strength, 0))


@dataclass(frozen=True)
class Moments:
    """Of the statistics of all genes, for each feature: (features,) mean and variance (n - 1)."""

    genes: int
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Moments":
        """values: (genes, features)."""
        mean = values.mean(axis=0)
        squares = np.einsum("ij,ij->j", values, values) - len(values) * mean**2
        return cls(len(values), mean, squares / (len(values) - 1))


def camera_t(sums: np.ndarray, size: np.ndarray, of_all: Moments, rho: np.ndarray) -> np.ndarray:
    """(sets, features) two-sample t of the genes of each set against all others (limma's cameraPR).

    delta = G / (G - m) (mean of the set - mean of all), s^2 = ((G - 1) variance - delta^2 m (G - m) / G) / (G - 2),
    t = delta / sqrt(s^2 (VIF / m + 1 / (G - m))), VIF = 1 + (m - 1) rho.

    Args:
        sums: (sets, features) of the statistic over the set. size: (sets,) m, at least 1, at most G - 2.
        rho: (sets,) correlation of the statistic of two genes of a set.
    """
    genes, m = of_all.genes, size[:, None].astype(np.float64)
    delta = sums / m
    delta -= of_all.mean
    delta *= genes / (genes - m)
    pooled = delta * delta
    pooled *= -m * (genes - m) / genes
    pooled += (genes - 1) * of_all.variance
    pooled *= ((1 + (m - 1) * rho[:, None]) / m + 1 / (genes - m)) / (genes - 2)
    # A set that holds all of the variance: as large as rounding leaves it.
    np.maximum(pooled, np.finfo(float).tiny, out=pooled)
    delta /= np.sqrt(pooled, out=pooled)
    return delta


def unit_scores(scores: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(sets, donors) scores of length 1; 0 where the genes of a set cancel each other."""
    length = np.sqrt(np.einsum("ij,ij->i", scores, scores))[:, None]
    return np.divide(scores, length, out=np.zeros_like(scores), where=length > 1e-9 * np.sqrt(size)[:, None])
