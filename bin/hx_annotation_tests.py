#!/usr/bin/env python3
"""Every feature with every label: the feature, rank-normal, is the response, so that a rare label never separates.

Binary: partial point-biserial r. Ordinal and number: linear. Levels: F test of their indicators beyond the covariates.
Arrays in, arrays out; all features of a label by one matrix product.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc
from scipy.stats import rankdata

from hx_annotation_labels import Label
from hx_association import p_table
from hx_donors import MIN_DOF
from hx_factor_tests import f_p
from hx_linear import SPANNED, ResidualSpace, residual_space


class Against(NamedTuple):
    """A label in the space that the confounders leave of the donors who have it.

    known: (donors,) bool. space: of these donors. directions: (known, df) orthonormal basis of the label's residuals.
    scale: length of the label's residuals, of one column.
    """

    known: np.ndarray
    space: ResidualSpace
    directions: np.ndarray
    scale: float

    @property
    def dof(self) -> int:
        """Residual degrees of freedom of the test."""
        return self.space.dim - self.directions.shape[1]


class Tests(NamedTuple):
    """Of each feature, (features,): r (NaN for levels), beta (slope of the rank-normal feature on the label), r2 (share
    of what the confounders leave), p; NaN for a feature that does not vary or that the confounders span."""

    r: np.ndarray
    beta: np.ndarray
    r2: np.ndarray
    p: np.ndarray


def against(label: Label, covariates: np.ndarray | None, space: ResidualSpace | None = None) -> Against | str:
    """A label given (donors, columns) covariates, or why it cannot be tested.

    space: of the donors who have the label and these covariates, where it is made already.
    """
    known = label.known
    n = int(known.sum())
    space = space or residual_space(None if covariates is None else covariates[known], n)
    left = space.residuals(label.values[known])
    whole = np.linalg.norm(label.values[known] - label.values[known].mean(axis=0))
    basis, size, _ = np.linalg.svd(left, full_matrices=False)
    directions = basis[:, size > SPANNED * whole]
    if not directions.shape[1]:
        return "the confounders tell it"
    # A singular vector has either sign: the label's own.
    directions = directions * np.where(np.einsum("ij,ij->j", directions, left[:, : directions.shape[1]]) < 0, -1, 1)
    made = Against(known, space, directions, float(size[0]))
    if made.dof < MIN_DOF:
        return (
            f"{n} donors and {space.covariate_rank} confounders leave {made.dof} residual degrees of freedom, at least "
            f"{MIN_DOF} are needed"
        )
    return made


def feature_tests(normal: np.ndarray, label: Against) -> Tests:
    """Test all columns of (donors, features) rank-normal values.

    The residuals themselves are not formed: with orthonormal B of [1, C] and Q of the label's residuals, Q'f is their
    product with the label, and |f|^2 - |B'f|^2 their squared length.
    """
    values = normal[label.known]
    basis = label.space.basis
    products = np.hstack([basis, label.directions]).T @ values
    whole = np.einsum("ij,ij->j", values, values)
    inside, along = products[: basis.shape[1]], products[basis.shape[1] :]
    centred = whole - inside[0] ** 2
    left = whole - np.einsum("ij,ij->j", inside, inside)
    usable = (centred > 1e-9 * whole) & (left > SPANNED**2 * centred)
    left = np.where(usable, left, np.nan)
    r2 = np.minimum(np.einsum("ij,ij->j", along, along) / left, 1)
    if label.directions.shape[1] > 1:
        blank = np.full(len(r2), np.nan)
        p = np.where(usable, f_p(r2, 1 - r2, label.directions.shape[1], label.dof), np.nan)
        return Tests(blank, blank, r2, p)
    r = np.clip(along[0] / np.sqrt(left), -1, 1)
    p = np.full(len(r), np.nan)
    p[usable] = p_table(label.dof).p(r[usable])
    return Tests(r, np.where(usable, along[0] / label.scale, np.nan), r2, p)


def ranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(donors, features) ranks, ties their average, and (features,) the factor that ties take from H: Kruskal 1952."""
    n = len(values)
    rank = np.asfortranarray(rankdata(values, axis=0))
    # Sum of squares of the ranks is (n^3 - n) / 12 about their mean, less (t^3 - t) / 12 for each t tied values.
    centred = rank - (n + 1) / 2
    return rank, np.einsum("ij,ij->j", centred, centred) * 12 / (n**3 - n)


def kruskal_p(ranked: tuple[np.ndarray, np.ndarray], groups: np.ndarray) -> np.ndarray:
    """(features,) p of Kruskal and Wallis' H (1952, J. Am. Stat. Assoc. 47:583), chi-square, without covariates.

    Args:
        ranked: of ranks(). groups: (donors, g) indicators, each donor in one group.
    """
    rank, ties = ranked
    n = len(rank)
    sums = groups.T @ rank
    h = 12 / (n * (n + 1)) * (sums**2 / groups.sum(axis=0)[:, None]).sum(axis=0) - 3 * (n + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(ties > 0, chdtrc(groups.shape[1] - 1, np.maximum(h / ties, 0)), np.nan)


def groups_of(label: Label) -> np.ndarray | None:
    """(known, groups) indicators of a binary label or of levels; None for numbers."""
    values = label.values[label.known]
    return {"binary": np.hstack([1 - values, values]), "levels": values}.get(label.kind)
