#!/usr/bin/env python3
"""How many principal components rise above noise: parallel analysis by random signs.

Parallel analysis (Buja & Eyuboglu 1992, Multivariate Behav. Res. 27:509) counts the components whose variance exceeds
that of the same columns made independent. Here random signs make them independent (Hong, Sheng & Dobriban 2020,
arXiv:2012.02985): of a thousand columns, the sum of the rest is drawn as a whole, since permuting 20,000 columns takes
a minute for the settings of a tissue.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.sparse.linalg import eigsh

COLUMNS = 1024  # of largest variance, whose signs are drawn
DRAWS = 19  # the observed value exceeds all of them in one of 20 nulls


def largest_columns(squares: np.ndarray) -> np.ndarray:
    """Indices of the up to 1,024 columns of largest sum of squares, of equal ones the first."""
    return np.argsort(-squares, kind="stable")[:COLUMNS]


def noise_edge(largest: np.ndarray, squares: np.ndarray, diagonal: np.ndarray, generator: np.random.Generator) -> float:
    """Largest eigenvalue in 19 draws of a kernel whose columns are made independent.

    With random signs s, entry (i, k) of the kernel is sum_j s_ij s_kj x_ij x_kj: the diagonal stays. Of the largest
    columns the signs are drawn. Of the others, many and small, the sum is drawn as what it tends to, a normal number of
    variance sum_j x_ij^2 x_kj^2; what its third moment adds is the difference of two known edges (`mean_edge`).

    Args:
        largest: (dim, some columns) coordinates in the residual space of `largest_columns`.
        squares: (columns,) sums of squares of all columns.
        diagonal: (dim,) diagonal of the kernel of all columns.
    """
    dim = len(largest)
    few, rest = np.split(np.sort(squares)[::-1], [largest.shape[1]])
    spread = shift = 0.0
    if rest.any():
        # x_ij^2 is taken as the product of the donor's part of the rest's variance and the column's.
        left = np.maximum(diagonal - np.einsum("ij,ij->i", largest, largest), 0)
        spread = np.sqrt(np.outer(left, left) * np.sum(rest**2)) / rest.sum()
        shift = mean_edge(squares, np.empty(0), dim) - mean_edge(few, rest, dim)
    # Single precision: the edge scatters by far more than its rounding.
    single, top = largest.astype(np.float32), np.empty(DRAWS)
    scatter, ends = (spread / np.sqrt(2)).astype(np.float32) if rest.any() else None, diagonal.astype(np.float32)
    for draw in range(DRAWS):
        signed = single * _signs(single.shape, generator)
        kernel = signed @ signed.T
        if scatter is not None:
            normal = generator.standard_normal((dim, dim), dtype=np.float32)
            kernel += scatter * (normal + normal.T)
        np.fill_diagonal(kernel, ends)
        start = generator.standard_normal(dim, dtype=np.float32)
        top[draw] = eigsh(kernel, 1, which="LA", v0=start, tol=1e-5, return_eigenvectors=False)[0]
    return float(top.max() + shift)


def _signs(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Random signs, -1 or 1, float32; a bit each."""
    count = shape[0] * shape[1]
    bits = np.unpackbits(np.frombuffer(generator.bytes(-(-count // 8)), np.uint8), count=count)
    return np.float32(1) - np.float32(2) * bits.reshape(shape)


def mean_edge(squares: np.ndarray, normal: np.ndarray, dim: int) -> float:
    """Largest eigenvalue of the kernel of independent columns in many dimensions.

    The smallest value over 0 < c < 1 / max t of dim / c + sum_j t_j / (1 - t_j c), t_j = squares_j / dim (El Karoui
    2007, Ann. Probab. 35:663; equal columns: Marchenko and Pastur's edge); of columns in `normal`, whose third and
    higher moments are left out, the summand is t_j + t_j^2 c (Wigner's semicircle).
    """
    t, small = squares[squares > 0] / dim, normal / dim
    scale = t.max()
    t, small = t / scale, small / scale

    def slope(c: float) -> float:
        return float(np.sum((t * c / (1 - t * c)) ** 2) + np.sum((small * c) ** 2)) - dim

    c = brentq(slope, 0, 1 / (1 + 1 / np.sqrt(dim)), xtol=1e-14)
    return float(scale * (dim / c + np.sum(t / (1 - t * c)) + np.sum(small + small**2 * c)))


def components_above_noise(
    variance: np.ndarray,
    largest: np.ndarray,
    squares: np.ndarray,
    diagonal: np.ndarray,
    generator: np.random.Generator,
) -> int:
    """Principal components (of `variance`, falling) above `noise_edge`; of independent columns 0 in 19 of 20 cases."""
    if np.count_nonzero(squares) < 2:
        return 0  # one column has nothing to be independent of
    return int(np.count_nonzero(variance > noise_edge(largest, squares, diagonal, generator)))
