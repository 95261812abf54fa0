#!/usr/bin/env python3
"""Prediction of genes from image features in donors left out: ridge with unpenalised covariates. Arrays in, arrays out.

One eigendecomposition of the training donors' kernel serves all genes and all penalties. Of a held-out donor nothing
enters a fit: not the centre or scale of a feature, not the ranks of a gene, not the coefficient of a covariate, not the
penalty, which donors of the training set left out in turn choose.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hx_linear import RANK_CUT, residual_space, standardise, varying_columns
from hx_predict_scale import Ranked

# Ridge penalties in units of the mean eigenvalue of the training kernel: from nearly least squares to nearly nothing.
PENALTIES = np.logspace(-3, 4, 22)
INNER = 5  # folds of a training set that choose the penalty
LEAST = 3  # dimensions that a training set must leave beside intercept and covariates
NULL = 1e-10  # an eigenvalue below this share of the largest is rounding


class Fit(NamedTuple):
    """Ridge on one training set, for every gene and penalty: what does not depend on these.

    use, mean, scale: of the features; a feature constant in the training donors is not used. rotation: (training, dim)
    from training donors to coordinates in which the kernel is diagonal; size: (dim,) its eigenvalues. hat: (tested,
    training) prediction from covariates alone. added: (tested, dim) what the coordinates add by the features, less what
    covariates say of that.
    """

    use: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    rotation: np.ndarray
    size: np.ndarray
    hat: np.ndarray
    added: np.ndarray

    def shrink(self, penalty: int) -> np.ndarray:
        """(dim,) 1 / (eigenvalue + penalty)."""
        return 1 / (self.size + PENALTIES[penalty] * self.size.mean())

    def least_squares(self) -> np.ndarray:
        """(dim,) the same without a penalty: least squares, of minimum norm where features outnumber donors."""
        real = self.size > NULL * self.size[-1]
        return np.where(real, 1 / np.where(real, self.size, 1), 0)


def fit(features: np.ndarray, covariates: np.ndarray | None, train: np.ndarray, test: np.ndarray) -> Fit:
    """Fit on the donors `train` (indices) for prediction of `test`.

    With z the rank-normal genes, X = [1, covariates] and F the standardised features of the training donors, beta =
    F'R (R'FF'R + penalty)^-1 R'z, R an orthonormal basis of the complement of X: ridge with X unpenalised. Covariates
    are refitted to z - F beta.

    Raises:
        ValueError: no feature varies over the training donors, or the covariates leave no dimension.
    """
    use = varying_columns(features[train])
    if not use.any():
        raise ValueError("no feature varies over the training donors")
    part = features[:, use]
    mean, scale = part[train].mean(axis=0), part[train].std(axis=0, ddof=1)
    inside, outside = (part[train] - mean) / scale, (part[test] - mean) / scale
    hat, kernel = covariate_hat(covariates, train, test), inside @ inside.T
    rotation, size = diagonal_coordinates(kernel, covariates, train)
    added = outside @ (inside.T @ rotation) - hat @ (kernel @ rotation)
    return Fit(use, mean, scale, rotation, size, hat, added)


def diagonal_coordinates(
    kernel: np.ndarray, covariates: np.ndarray | None, train: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(training, dim) rotation to coordinates beside covariates in which the kernel is diagonal, (dim,) its diagonal.

    kernel: (training, training). covariates: (n, columns) of all donors. train: indices of the training donors.

    Raises:
        ValueError: the covariates leave no dimension.
    """
    space = residual_space(None if covariates is None else covariates[train], len(train))
    size, vectors = np.linalg.eigh(space.rotation.T @ kernel @ space.rotation)
    if not len(size):
        raise ValueError(f"{len(train)} training donors and {space.covariate_rank} covariates leave no dimension")
    return space.rotation @ vectors, np.maximum(size, 0)


def covariate_hat(covariates: np.ndarray | None, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(tested, training) matrix that predicts from an intercept and covariates by least squares of minimum norm.

    A covariate that is constant over the training donors, a level that none of them has, predicts nothing.
    """
    hat = np.full((len(test), len(train)), 1 / len(train))
    if covariates is None:
        return hat
    part = covariates[:, varying_columns(covariates[train])] if covariates.shape[1] else covariates
    if not part.shape[1]:
        return hat
    of = standardise(part[train])
    centred = (part[test] - part[train].mean(axis=0)) / (of.sd * np.sqrt(len(train) - 1))
    return hat + centred @ np.linalg.pinv(of.unit, rcond=RANK_CUT)


def splits(folds: np.ndarray, donors: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(fold, training, held-out indices) of every fold that has a donor.

    Raises:
        ValueError: a donor is on both sides.
    """
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if twice := set(donors[train]) & set(donors[test]):
            raise ValueError(f"donor {sorted(twice)[0]} is in fold {fold} and in another")
        yield int(fold), train, test


def too_few_for_folds(folds: np.ndarray, covariate_rank: int) -> str:
    """Why these folds cannot be nested, '' where they can: the smallest training set of a training set's own folds must
    leave LEAST dimensions beside the intercept and the covariates, and three folds must have donors."""
    counts = np.unique(folds, return_counts=True)[1]
    if len(counts) < 3:
        return f"donors in {len(counts)} of the folds, at least 3 are needed: add donors, or draw other folds by --seed"
    smallest = len(folds) - counts.max()
    inner = smallest - -(-smallest // INNER)
    left = inner - 1 - covariate_rank
    if left < LEAST:
        return (
            f"{len(folds)} donors in {len(counts)} folds: a training set of its own folds has {inner}, of which "
            f"{covariate_rank} covariates leave {left} dimensions, at least {LEAST} are needed: add donors, or adjust "
            "for fewer covariates (--confounders, --confounder_pcs)"
        )
    return ""


@dataclass(frozen=True)
class CrossValidated:
    """Numbers of each gene, (genes,), on the rank-normal scale of its training donors, over all held-out donors.

    r: correlation of value and prediction from covariates and image. r2, r2_confounders, r2_least_squares: 1 - squared
    error over that of the training mean, of the prediction from both, from covariates alone, from both without a
    penalty. penalty: index of the one that predicts best over the folds, for a fit to all donors. folds_better: folds
    that the image predicts better than covariates alone.
    """

    r: np.ndarray
    r2: np.ndarray
    r2_confounders: np.ndarray
    r2_least_squares: np.ndarray
    penalty: np.ndarray
    folds_better: np.ndarray


def cross_validate(
    features: np.ndarray,
    covariates: np.ndarray | None,
    genes: Ranked,
    folds: np.ndarray,
    donors: np.ndarray,
    generator: Callable[[int], np.random.Generator],
) -> CrossValidated:
    """Nested cross-validation of every gene.

    Args:
        features: (donors, features) finite. covariates: (donors, columns), None for none.
        folds: (donors,) fold of each donor. donors: (donors,) their ids.
        generator: of the inner folds, by the number of the outer one.
    """
    measured = np.empty(genes.order.shape)
    predicted = np.empty_like(measured)
    errors = {name: np.zeros(measured.shape[1]) for name in ("mean", "confounders", "both", "free")}
    grid, better = np.zeros((len(PENALTIES), measured.shape[1])), np.zeros(measured.shape[1], np.int64)
    for fold, train, test in splits(folds, donors):
        choice = inner_errors(features, covariates, genes, train, donors, generator(fold)).argmin(axis=0)
        of, scores = fit(features, covariates, train, test), genes.scores(members(train, len(folds)))
        truth, coordinates = scores[test], of.rotation.T @ scores[train]
        base = of.hat @ scores[train]
        left, both = truth - base, np.empty_like(truth)
        for penalty in range(len(PENALTIES)):
            added = (of.added * of.shrink(penalty)) @ coordinates
            both[:, choice == penalty] = (base + added)[:, choice == penalty]
            grid[penalty] += squares(left - added)
        free = left - (of.added * of.least_squares()) @ coordinates
        told = {"mean": truth - scores[train].mean(axis=0), "confounders": left, "both": truth - both, "free": free}
        mine = {name: squares(wrong) for name, wrong in told.items()}
        better += mine["both"] < mine["confounders"]
        for name, total in mine.items():
            errors[name] += total
        measured[test], predicted[test] = truth, both
    r2 = {name: 1 - errors[name] / errors["mean"] for name in errors}
    return CrossValidated(
        correlation(measured, predicted), r2["both"], r2["confounders"], r2["free"], grid.argmin(axis=0), better
    )


def inner_errors(
    features: np.ndarray,
    covariates: np.ndarray | None,
    genes: Ranked,
    train: np.ndarray,
    donors: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """(penalties, genes) squared error of donors of a training set, left out by turns, with everything fitted anew."""
    folds = generator.permutation(len(train)) % INNER
    total = np.zeros((len(PENALTIES), genes.order.shape[1]))
    for _, inside, outside in splits(folds, donors[train]):
        of = fit(features, covariates, train[inside], train[outside])
        scores = genes.scores(members(train[inside], len(donors)))
        coordinates = of.rotation.T @ scores[train[inside]]
        left = scores[train[outside]] - of.hat @ scores[train[inside]]
        for penalty in range(len(PENALTIES)):
            total[penalty] += squares(left - (of.added * of.shrink(penalty)) @ coordinates)
    return total


class Coefficients(NamedTuple):
    """Ridge of some genes on the image alone in one training set: score = intercept + ((f - mean) / scale)' beta.

    use: (features,) bool. mean, scale, beta: of the features used. intercept: (genes,).
    """

    use: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    intercept: np.ndarray
    beta: np.ndarray


def coefficients(features: np.ndarray, scores: np.ndarray, train: np.ndarray, penalty: np.ndarray) -> Coefficients:
    """Coefficients of the genes of (donors, genes) rank-normal `scores`, each with its own penalty (index)."""
    of = fit(features, None, train, np.empty(0, np.int64))
    loadings = ((features[np.ix_(train, np.flatnonzero(of.use))] - of.mean) / of.scale).T @ of.rotation
    coordinates = of.rotation.T @ scores[train]
    beta = np.empty((len(of.mean), scores.shape[1]), np.float32)
    for each in np.unique(penalty):
        mine = penalty == each
        beta[:, mine] = (loadings * of.shrink(each)) @ coordinates[:, mine]
    return Coefficients(of.use, of.mean, of.scale, scores[train].mean(axis=0), beta)


def in_sample(
    features: np.ndarray, covariates: np.ndarray | None, scores: np.ndarray, penalty: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(genes,) R2 of covariates and image in the donors that they were fitted to: least squares, and ridge."""
    train = np.arange(len(features))
    of = fit(features, covariates, train, np.empty(0, np.int64))
    coordinates = (of.rotation.T @ scores) ** 2
    total = squares(scores - scores.mean(axis=0))
    free = coordinates[of.least_squares() == 0].sum(axis=0)
    ridge = np.empty(len(total))
    for each in np.unique(penalty):
        mine = penalty == each
        ridge[mine] = (1 - of.size * of.shrink(each)) ** 2 @ coordinates[:, mine]
    return 1 - free / total, 1 - ridge / total


def members(indices: np.ndarray, n: int) -> np.ndarray:
    """(n,) bool: is it among the indices."""
    out = np.zeros(n, bool)
    out[indices] = True
    return out


def squares(values: np.ndarray) -> np.ndarray:
    """(columns,) sum of squares of each column."""
    return np.einsum("ij,ij->j", values, values)


def correlation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(columns,) Pearson r of each pair of columns; NaN where one is constant."""
    left, right = left - left.mean(axis=0), right - right.mean(axis=0)
    length = np.sqrt(squares(left) * squares(right))
    product = np.einsum("ij,ij->j", left, right)
    return np.divide(product, length, out=np.full(len(length), np.nan), where=length > 0)
