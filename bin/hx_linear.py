#!/usr/bin/env python3
"""Linear algebra that the statistics share: the residual space of the covariates, and correlation as a matrix product.

Every column of one matrix is correlated with every column of another in tiles of one matrix product.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

TILE_CELLS = 1 << 21  # 16 MiB of float64: small enough for the cache, large enough for the full rate of the product
PAIR_COST = 100  # a pair taken by itself costs as much as so many cells of a matrix product
SPANNED = 1e-5  # a column is spanned by the covariates when less than this share of its length is left
RANK_CUT = 1e-10  # a direction of the scaled covariates is noise below this share of the largest singular value


@dataclass(frozen=True)
class Standardised:
    """Columns of a (donors, columns) matrix, centred, and residuals on the covariates where there are any.

    unit: (donors, columns) float64, each column of mean 0 and length 1. sd: (columns,), sample standard deviation
    (n - 1) before covariates were taken out. left: (columns,), share of that standard deviation that is left in the
    residuals, 1 without covariates. dof: residual degrees of freedom of a correlation between two such columns,
    n - 2 - rank of the covariates.
    """

    unit: np.ndarray
    sd: np.ndarray
    left: np.ndarray
    dof: int


def finite_columns(values: np.ndarray) -> np.ndarray:
    """(columns,) bool: no NaN and no infinity in the column of the (donors, columns) matrix."""
    return np.isfinite(values).all(axis=0)


def varying_columns(values: np.ndarray) -> np.ndarray:
    """(columns,) bool: the column is not constant. `values` is (donors, columns), finite.

    Centring a constant leaves rounding errors (.1 gives 3e-16), whose correlation is a number and means nothing.
    A column is therefore also constant when its centred sum of squares is at most 1e-20 n max(|x|)^2.
    """
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    squares = np.einsum("ij,ij->j", centred, centred)
    largest = np.abs(values).max(axis=0)
    return (values.max(axis=0) != values.min(axis=0)) & (squares > 1e-20 * len(values) * largest**2)


def standardise(values: np.ndarray, space: "ResidualSpace | None" = None) -> Standardised:
    """Centre the columns of a (donors, columns) matrix, take the covariates of `space` out, scale to length 1.

    The correlation of two such columns is the partial correlation given the covariates (Frisch & Waugh 1933).

    Raises:
        ValueError: no residual degree of freedom is left, or a column that is constant, not finite or spanned by the
            covariates.
    """
    dof = len(values) - 2 if space is None else space.dim - 1
    if dof < 1:
        raise ValueError(f"{len(values)} donors leave no residual degree of freedom")
    if not (finite_columns(values).all() and varying_columns(values).all()):
        raise ValueError("constant and non-finite columns are dropped before standardise()")
    unit = np.array(values, dtype=np.float64, order="C")
    # Twice: the first mean carries a rounding error in proportion to the column's offset.
    unit -= unit.mean(axis=0)
    unit -= unit.mean(axis=0)
    length = whole = _lengths(unit)
    if space is not None and space.covariate_rank:
        unit = space.residuals(unit)
        length = _lengths(unit)
        if (length <= SPANNED * whole).any():
            raise ValueError("columns spanned by the covariates are dropped before standardise()")
    unit /= length
    return Standardised(unit, whole / np.sqrt(len(values) - 1), length / whole, dof)


def _lengths(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->j", values, values))


def spanned_columns(values: np.ndarray, space: "ResidualSpace") -> np.ndarray:
    """(columns,) bool: the covariates explain the column but for rounding. `values` is (donors, columns), varying."""
    if not space.covariate_rank:
        return np.zeros(np.shape(values)[1], bool)
    centred = np.asarray(values, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    return _lengths(space.residuals(centred)) <= SPANNED * _lengths(centred)


def r2_of_rows(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    """(m,) squared correlation of (m, n) centred rows with a centred row, (n,); 0 where one of the two is 0."""
    length = np.einsum("ij,ij->i", rows, rows) * (row @ row)
    return np.divide((rows @ row) ** 2, length, out=np.zeros(len(rows)), where=length > 0)


def carrying_columns(values: np.ndarray, space: "ResidualSpace") -> np.ndarray:
    """(columns,) bool: the column varies and the covariates leave something of it. `values` is finite."""
    keep = varying_columns(values)
    keep[keep] = ~spanned_columns(values[:, keep], space)
    return keep


@dataclass(frozen=True)
class ResidualSpace:
    """What is left of n donors once an intercept and covariates are taken out.

    basis: (n, rank) orthonormal basis of [1, C]; its first column is the intercept's. rotation: (n, dim) orthonormal
    basis of the complement. dim: n - rank. covariate_rank: rank - 1. The residual degrees of freedom of a correlation
    in the space are dim - 1 = n - 2 - covariate_rank.
    """

    basis: np.ndarray
    rotation: np.ndarray

    @property
    def dim(self) -> int:
        return self.rotation.shape[1]

    @property
    def covariate_rank(self) -> int:
        return self.basis.shape[1] - 1

    def residuals(self, values: np.ndarray) -> np.ndarray:
        """(n, m) residuals of the columns of an (n, m) matrix on [1, C]."""
        out = np.array(values, dtype=np.float64, order="C")
        # Twice: the first projection carries a rounding error in proportion to the column's offset.
        for _ in range(2):
            out -= self.basis @ (self.basis.T @ out)
        return out

    def rotate(self, values: np.ndarray) -> np.ndarray:
        """(dim, m) coordinates of the columns of an (n, m) matrix in the space: rotation' values.

        Independent equal-variance errors of the donors stay that, which residuals do not: rows may be permuted.
        """
        values = np.asarray(values, dtype=np.float64)
        return self.rotation.T @ (values - values.mean(axis=0))


def residual_space(covariates: np.ndarray | None, n: int) -> ResidualSpace:
    """Residual space of n donors for the model [1, covariates].

    The rank is that of the centred columns at length 1, by singular values (plain QR would take out a spurious
    direction where columns are collinear, a full set of dummies say). Of all bases of the complement (Huh & Jhun
    2001, Commun. Stat. Theory Methods 30:2245) this is the one nearest to `dim` donors as they are (Theil 1965,
    J. Am. Stat. Assoc. 60:1067, BLUS residuals): it depends on the space alone, not on signs or on the order or scale
    of the covariates, and keeps the shape of the donors' distribution as well as any.

    Args:
        covariates: (n, k) finite values, without an intercept; None or k = 0 leaves the intercept alone.

    Raises:
        ValueError: not n rows, or values that are not finite.
    """
    matrix = np.empty((n, 0)) if covariates is None else np.asarray(covariates, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != n or not finite_columns(matrix).all():
        raise ValueError(f"covariates are a finite matrix of {n} rows")
    basis = np.full((n, 1), 1 / np.sqrt(n))
    if matrix.shape[1]:
        matrix = matrix[:, varying_columns(matrix)]
    if matrix.shape[1]:
        left, size, _ = np.linalg.svd(standardise(matrix).unit, full_matrices=False)
        left = left[:, size > RANK_CUT * size[0]]
        basis = np.linalg.qr(np.hstack([basis, left]))[0]
    return ResidualSpace(basis, _complement(basis))


def _complement(basis: np.ndarray) -> np.ndarray:
    """(n, n - rank) orthonormal basis of the complement of orthonormal columns, nearest to n - rank donors."""
    n, rank = basis.shape
    kept, rest = np.ones(n, bool), basis.copy()
    for _ in range(rank):
        # The donors left out are those of largest leverage in what the ones before do not span. Rounded, so that equal
        # donors (the same sex and age) are told apart by their place and not by the last bit.
        leverage = np.where(kept, np.einsum("ij,ij->i", rest, rest), -1)
        donor = int(np.argmax(np.round(leverage, 9)))
        kept[donor] = False
        direction = rest[donor] / np.linalg.norm(rest[donor])
        rest = rest - np.outer(rest @ direction, direction)
    # Polar factor of the projector's columns of the kept donors, in closed form (Theil 1965): with basis[left out] =
    # L diag(t) V', it is I - W diag(1 / (1 + t)) W' in the rows of the kept donors, W = basis[kept] V, and -L W' in
    # those of the others. L and V are unique only together, and enter only together.
    left, size, right = np.linalg.svd(basis[~kept])
    spanned = basis[kept] @ right.T
    out = np.empty((n, n - rank))
    out[kept] = np.eye(n - rank) - (spanned / (1 + size)) @ spanned.T
    out[~kept] = -left @ spanned.T
    return out


def correlation_tiles(
    rows: np.ndarray, columns: np.ndarray, tile_cells: int = TILE_CELLS
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, r) with r[i, j] = correlation of column `first + i` of `rows` with column j of `columns`.

    Both are (donors, m) matrices of `Standardised.unit`. r is a view of a buffer that the next tile overwrites; all
    tiles together are rows.T @ columns, which rounding may take past 1 by 1e-15.
    """
    height = max(1, min(rows.shape[1], tile_cells // max(1, columns.shape[1])))
    buffer = np.empty((height, columns.shape[1]))
    for first in range(0, rows.shape[1], height):
        block = rows[:, first : first + height]
        r = buffer[: block.shape[1]]
        np.matmul(block.T, columns, out=r)
        yield first, r


def paired_correlations(
    rows: np.ndarray, columns: np.ndarray, row: np.ndarray, column: np.ndarray, tile_cells: int = TILE_CELLS
) -> np.ndarray:
    """(pairs,) correlation of column row[i] of `rows` with column column[i] of `columns`; `row` ascends."""
    out = np.zeros(len(row))
    if len(row) * PAIR_COST <= rows.shape[1] * columns.shape[1]:
        for x, y in zip(rows, columns, strict=True):
            out += x[row] * y[column]
        return np.clip(out, -1, 1, out=out)
    for first, r in correlation_tiles(rows, columns, tile_cells):
        start, stop = np.searchsorted(row, (first, first + len(r)))
        out[start:stop] = r[row[start:stop] - first, column[start:stop]]
    return np.clip(out, -1, 1, out=out)


def slopes(r: np.ndarray, scale: np.ndarray, dof: int) -> tuple[np.ndarray, np.ndarray]:
    """Slope of a response per standard deviation of the predictor and its standard error, from their partial r.

    Ordinary least squares with an intercept and the covariates: beta = r |Ry| / |Rx| sd(x), se = beta / t. `scale` is
    |Ry| / |Rx| sd(x) = sd(y) left(y) / left(x) of Standardised, sd(y) without covariates.
    """
    return r * scale, np.sqrt((1 - r) * (1 + r) / dof) * scale
