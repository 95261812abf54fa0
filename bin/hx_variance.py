#!/usr/bin/env python3
"""Variance that image features and expression share, on Gram matrices of donors. Arrays in, arrays out.

All of it runs in the residual space of the covariates (hx_linear.ResidualSpace): a matrix of columns becomes its
(dim, dim) kernel, rotation' X X' rotation. Permuting the coordinates of that space, not the residuals of donors, is
what keeps a test exact (Huh & Jhun 2001; residuals as they are reject 27 % of nulls at 5 %).
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.special import stdtrit

from hx_linear import SPANNED, ResidualSpace

GROUPS = 20  # of donors, for the jackknife: Student's t with 19 degrees of freedom
BATCH_CELLS = 1 << 17  # coordinates of permuted scores held at once: 1 MiB, near the cache
ZERO = 1e-12  # variance below this share of the largest is rounding
LANCZOS = 20  # dimensions for each eigenvector asked for, from which Lanczos' method is the cheaper one


class Pcs(NamedTuple):
    """Principal components: `variance` (k,) sums of squares, falling, from 0; `scores` (dim, k) unit vectors."""

    variance: np.ndarray
    scores: np.ndarray

    @property
    def rank(self) -> int:
        """Components that are more than rounding."""
        return int(np.count_nonzero(self.variance > ZERO * self.variance[:1].sum()))


def gram(values: np.ndarray) -> np.ndarray:
    """(n, n) sums of products of the centred columns of an (n, columns) matrix."""
    centred = values - values.mean(axis=0)
    return centred @ centred.T


def rotated_kernel(space: ResidualSpace, of: np.ndarray) -> np.ndarray:
    """(dim, dim) kernel of a `gram` in the residual space: rotation' X X' rotation."""
    kernel = space.rotation.T @ of @ space.rotation
    return (kernel + kernel.T) / 2


def column_squares(space: ResidualSpace, values: np.ndarray) -> np.ndarray:
    """(columns,) sum of squares of each column of an (n, columns) matrix in the residual space; 0 for a spanned one."""
    centred = values - values.mean(axis=0)
    total = np.einsum("ij,ij->j", centred, centred)
    fitted = space.basis[:, 1:].T @ centred
    left = total - np.einsum("ij,ij->j", fitted, fitted)
    return np.where(left > SPANNED**2 * total, left, 0)


def jackknife_groups(generator: np.random.Generator, donors: int) -> np.ndarray:
    """(donors,) group 0..GROUPS-1 of each donor, of sizes that differ by one at most; a donor a group where few."""
    return generator.permutation(donors) % min(GROUPS, donors)


def principal(kernel: np.ndarray) -> Pcs:
    """All principal components of a (dim, dim) kernel, those of no variance last.

    The sign of a score is arbitrary; nothing here depends on it.
    """
    variance, scores = np.linalg.eigh(kernel)
    return Pcs(np.maximum(variance[::-1], 0), scores[:, ::-1])


def components_to(variance: np.ndarray, share: float) -> int:
    """Leading components that hold more than `share` of the variance: what scikit-learn's PCA(share) keeps."""
    held = np.cumsum(variance) / np.sum(variance)
    return min(int(np.searchsorted(held, share, side="right")) + 1, len(variance))


def published_share(target: Pcs, predictor: Pcs, kept: float) -> tuple[float, int]:
    """The study's S = sum_i l_i sum_j r_ij^2 / sum_i l_i, and the number of predictor PCs.

    i runs over the target's PCs (variances l_i), j over the predictor's, each side cut where it holds `kept` of its
    variance. r_ij, the correlation of two PCs, is the product of their unit scores. S has the null mean m / dim.
    """
    rows, columns = components_to(target.variance, kept), components_to(predictor.variance, kept)
    r = target.scores[:, :rows].T @ predictor.scores[:, :columns]
    explained = np.einsum("ij,ij->i", r, r)
    return float(target.variance[:rows] @ explained / target.variance[:rows].sum()), columns


def explained_by(target: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(m,) share of the target's variance that its first 1, 2, ... m predictor scores explain: tr(U' K U) / tr(K).

    This is the redundancy index (Stewart & Love 1968), the R2 of redundancy analysis. target: (dim, dim) kernel.
    """
    each = np.einsum("ij,ij->j", scores, target @ scores)
    return np.cumsum(each) / np.trace(target)


def adjusted(share: np.ndarray | float, m: np.ndarray | int, dim: int) -> np.ndarray:
    """Share less what m unrelated predictors explain in `dim` dimensions: 1 - (1 - share) dim / (dim - m).

    Ezekiel (1930); for redundancy analysis Peres-Neto et al. (2006, Ecology 87:2614). NaN where m reaches dim - 1.
    """
    share, m = np.asarray(share, np.float64), np.asarray(m)
    defined = m < dim - 1
    return np.where(defined, 1 - (1 - share) * dim / np.where(defined, dim - m, 1), np.nan)


def permutations(generator: np.random.Generator, number: int, dim: int) -> np.ndarray:
    """(number, dim) permutations of the coordinates of the residual space."""
    return generator.permuted(np.tile(np.arange(dim, dtype=np.int32), (number, 1)), axis=1)


def permuted_shares(target: Pcs, scores: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """(permutations,) share of the target that the scores explain when their coordinates are permuted.

    target: its PCs, all of them. scores: (dim, m) of the predictor. orders: (permutations, dim).
    """
    kernel = (target.scores * target.variance) @ target.scores.T
    dim, m = scores.shape
    out = np.empty(len(orders))
    step = max(1, BATCH_CELLS // scores.size)
    for start in range(0, len(orders), step):
        moved = scores.T[:, orders[start : start + step]].reshape(-1, dim)
        squares = np.einsum("ij,ij->i", moved, moved @ kernel)
        out[start : start + step] = squares.reshape(m, -1).sum(axis=0)
    return out / target.variance.sum()


def permutation_p(observed: float, null: np.ndarray) -> float:
    """(b + 1) / (B + 1) with b of B null values at least the observed one (Phipson & Smyth 2010)."""
    return (np.count_nonzero(null >= observed * (1 - 1e-12)) + 1) / (len(null) + 1)


class Replicate(NamedTuple):
    """The first PCs of a predictor without a group of donors.

    out: (dim, at most the group's donors) orthonormal directions of the residual space that the group takes with it.
    """

    out: np.ndarray
    scores: np.ndarray

    @property
    def dim(self) -> int:
        """Dimensions that are left."""
        return self.out.shape[0] - self.out.shape[1]


def leave_out(predictor: Pcs, rotation: np.ndarray, groups: np.ndarray, m: int) -> list[Replicate]:
    """A replicate with up to m PCs for each group of donors left out.

    The residual space of the other donors, their covariates refitted, is the part of the whole one that is orthogonal
    to the left-out donors' rows of the rotation, O say: to leave a donor out is to give it a dummy. With W = scores
    sqrt(variance) of all donors, PCs of (I - OO')W come from the eigenvectors of W'W - (O'W)'(O'W), a diagonal matrix
    less one of the rank of a group: no decomposition of a kernel's size a group.

    Args:
        predictor: its PCs, all of them. groups: (n,) number of each donor's group, 0, 1, …
    """
    root, scores = np.sqrt(predictor.variance[: predictor.rank]), predictor.scores[:, : predictor.rank]
    replicates = []
    for group in range(groups.max() + 1):
        left, size, _ = np.linalg.svd(rotation[groups == group].T, full_matrices=False)
        out = left[:, size > SPANNED]
        variance, vectors = _downdated(root**2, root[:, None] * (scores.T @ out), min(m, len(root)))
        vectors = vectors[:, variance > ZERO * variance[0]]
        kept = scores @ (root[:, None] * vectors)
        kept -= out @ (out.T @ kept)
        replicates.append(Replicate(out, kept / np.linalg.norm(kept, axis=0)))
    return replicates


def _downdated(diagonal: np.ndarray, taken: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """(m,) largest eigenvalues, falling, and (r, m) eigenvectors of diag(diagonal) - taken taken'.

    diagonal: (r,) falling. taken: (r, donors of a group). Lanczos, unless so many are asked for that all are as cheap.
    """
    size = len(diagonal)
    if size < LANCZOS * m:
        values, vectors = eigh(np.diag(diagonal) - taken @ taken.T, subset_by_index=[size - m, size - 1])
    else:

        def product(vector: np.ndarray) -> np.ndarray:
            return diagonal * vector - taken @ (taken.T @ vector)

        start = np.sqrt(diagonal)
        values, vectors = eigsh(LinearOperator((size, size), product, dtype=np.float64), m, which="LA", v0=start)
    order = np.argsort(-values, kind="stable")
    return values[order], vectors[:, order]


def jackknife(target: np.ndarray, replicates: list[Replicate], m: int) -> np.ndarray:
    """(groups, m) adjusted share of the target for the first 1, 2, … m PCs, a group of donors left out a row.

    NaN where so many PCs are not there, or leave no dimension.
    """
    rows = np.full((len(replicates), m), np.nan)
    for row, replicate in zip(rows, replicates, strict=True):
        each = np.einsum("ij,ij->j", replicate.scores, target @ replicate.scores)[:m]
        total = np.trace(target) - np.einsum("ij,ij->", replicate.out, target @ replicate.out)
        row[: len(each)] = adjusted(np.cumsum(each) / total, np.arange(1, len(each) + 1), replicate.dim)
    return rows


def interval(estimate: float, replicates: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """(low, high, standard error) of a grouped jackknife: the variance is (g - 1) / g sum (x_j - mean)^2, t with g - 1.

    NaN where a replicate is.
    """
    g = len(replicates)
    error = float(np.sqrt((g - 1) / g * np.sum((replicates - replicates.mean()) ** 2)))
    reach = stdtrit(g - 1, (1 + level) / 2) * error
    return float(estimate - reach), float(estimate + reach), error


def parts(technical: float, shared: float) -> tuple[float, float, float]:
    """(technical, shared, rest) of the total variance, which sum to 1.

    technical: share of the total that the covariates explain. shared: share of what they leave that the predictor
    explains. Nested models on the same donors: the study took the difference of totals of different ones.
    """
    return technical, (1 - technical) * shared, (1 - technical) * (1 - shared)


def column_shares(space: ResidualSpace, values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(columns,) share of each column that (dim, m) scores explain in the residual space; NaN for a spanned column."""
    squares = column_squares(space, values)
    fitted = (space.rotation @ scores).T @ values
    explained = np.einsum("ij,ij->j", fitted, fitted)
    return np.divide(explained, squares, out=np.full(len(squares), np.nan), where=squares > 0)
