#!/usr/bin/env python3
"""Principal components of image and expression against each factor: what a factor explains of each, F tests."""

from typing import NamedTuple

import numpy as np

from hx_linear import ResidualSpace, residual_space
from hx_parallel import components_above_noise, largest_columns
from hx_variance import principal, rotated_kernel

MOST = 10  # components of a view


class Leading(NamedTuple):
    """Leading PCs: scores (n, m) unit vectors over donors, share (m,) of the variance of all columns."""

    scores: np.ndarray
    share: np.ndarray


def leading_pcs(
    values: np.ndarray,
    kernel: np.ndarray,
    generator: np.random.Generator,
    space: ResidualSpace | None = None,
    most: int = MOST,
    count: int | None = None,
) -> Leading:
    """PCs above noise (hx_parallel) of centred columns, at least 1 and at most `most`.

    Args:
        values: (n, columns), residuals in `space` where that is given. kernel: (n, n) values values'.
        count: PCs wanted, instead of those above noise.
    """
    space = space or residual_space(None, len(values))
    turned, squares = rotated_kernel(space, kernel), np.einsum("ij,ij->j", values, values)
    pcs = principal(turned)
    if count is None:
        largest = space.rotate(values[:, largest_columns(squares)])
        count = components_above_noise(pcs.variance, largest, squares, np.diagonal(turned), generator)
    count = min(max(1, count), most, pcs.rank)
    return Leading(space.rotation @ pcs.scores[:, :count], pcs.variance[:count] / pcs.variance.sum())
