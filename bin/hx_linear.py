#!/usr/bin/env python3
"""Correlation of every column of one matrix with every column of another, as tiles of one matrix product."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

TILE_CELLS = 1 << 21  # 16 MiB of float64: small enough for the cache, large enough for the full rate of the product


@dataclass(frozen=True)
class Standardised:
    """Columns of a (donors, columns) matrix, centred.

    unit: (donors, columns) float64, each column of mean 0 and length 1. sd: (columns,), sample standard deviation
    (n - 1). dof: residual degrees of freedom of a correlation between two such columns (n - 2).
    """

    unit: np.ndarray
    sd: np.ndarray
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


def standardise(values: np.ndarray) -> Standardised:
    """Centre the columns of a (donors, columns) matrix and scale them to length 1.

    Raises:
        ValueError: fewer than 3 donors (no residual degree of freedom), or a column that is constant or not finite.
    """
    donors = len(values)
    if donors < 3:
        raise ValueError(f"{donors} donors leave no residual degree of freedom")
    if not (finite_columns(values).all() and varying_columns(values).all()):
        raise ValueError("constant and non-finite columns are dropped before standardise()")
    unit = np.array(values, dtype=np.float64, order="C")
    # Twice: the first mean carries a rounding error in proportion to the column's offset.
    unit -= unit.mean(axis=0)
    unit -= unit.mean(axis=0)
    length = np.sqrt(np.einsum("ij,ij->j", unit, unit))
    unit /= length
    return Standardised(unit, length / np.sqrt(donors - 1), donors - 2)


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
    out = np.empty(len(row))
    for first, r in correlation_tiles(rows, columns, tile_cells):
        start, stop = np.searchsorted(row, (first, first + len(r)))
        out[start:stop] = r[row[start:stop] - first, column[start:stop]]
    return np.clip(out, -1, 1, out=out)


def slopes(r: np.ndarray, sd: np.ndarray, dof: int) -> tuple[np.ndarray, np.ndarray]:
    """Slope and standard error of a response of standard deviation `sd` per SD of the predictor, from their r.

    beta = r sd(y), se = sqrt((1 - r^2) / dof) sd(y): ordinary least squares with an intercept.
    """
    return r * sd, np.sqrt((1 - r) * (1 + r) / dof) * sd
