#!/usr/bin/env python3
"""Labels predicted from image, expression and confounders in donors left out. Arrays in, arrays out.

Ridge on the donors' kernel with unpenalised covariates, as hx_predict has it for genes; the penalty of each training
set by generalised cross-validation within it (Golub, Heath & Wahba 1979, Technometrics 21:215), which is closed and
therefore cheap enough to be chosen anew in each permutation. Features are scaled over all donors, held-out ones too:
no label enters that.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from hx_directions import Directions
from hx_factor_tests import permutation_p
from hx_linear import ResidualSpace
from hx_predict import PENALTIES, covariate_hat, diagonal_coordinates, splits

COLUMNS = 1024  # columns of permuted labels worked on at a time


class FoldFit(NamedTuple):
    """What a fold's prediction needs beside the label: see hx_predict.Fit."""

    train: np.ndarray
    test: np.ndarray
    hat: np.ndarray
    rotation: np.ndarray
    size: np.ndarray
    added: np.ndarray


def fold_fits(
    kernel: np.ndarray | None, covariates: np.ndarray | None, folds: np.ndarray, donors: np.ndarray
) -> list[FoldFit]:
    """Fits of all folds; without a kernel the covariates alone predict.

    Args:
        kernel: (n, n) products of the features of donors. covariates: (n, columns). folds, donors: (n,).
    """
    out = []
    for _, train, test in splits(folds, donors):
        hat = covariate_hat(covariates, train, test)
        if kernel is None:
            out.append(FoldFit(train, test, hat, np.empty((len(train), 0)), np.empty(0), np.empty((len(test), 0))))
            continue
        inside = kernel[np.ix_(train, train)]
        rotation, size = diagonal_coordinates(inside, covariates, train)
        added = kernel[np.ix_(test, train)] @ rotation - hat @ (inside @ rotation)
        out.append(FoldFit(train, test, hat, rotation, size, added))
    return out


def held_out(fits: list[FoldFit], values: np.ndarray) -> np.ndarray:
    """(n, columns) predictions of (n, columns) labels, each donor's from the folds without it."""
    out = np.empty(values.shape)
    for of in fits:
        known = values[of.train]
        predicted = of.hat @ known
        if len(of.size):
            coordinates = of.rotation.T @ known
            factor = of.size + PENALTIES[:, None] * of.size.mean()  # (penalties, dim)
            share = 1 - of.size / factor
            # GCV: squared residuals of the training set over the squared trace of I - H.
            error = (share**2 @ coordinates**2) / share.sum(axis=1)[:, None] ** 2
            best = error.argmin(axis=0)
            predicted += of.added @ (coordinates / factor[best].T)
        out[of.test] = predicted
    return out


def auroc_in_folds(predicted: np.ndarray, positive: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(columns,) share of the pairs of a positive and a negative donor of one fold whose predictions are in order.

    Pairs of two folds are not compared: their training sets have other means, the lower the more positives the fold
    holds, and the AUROC of chance would lie below 1/2.

    Args:
        predicted, positive: (n, columns); positive is 0/1.
    """
    right, pairs = np.zeros(predicted.shape[1]), np.zeros(predicted.shape[1])
    for fold in np.unique(folds):
        mine = folds == fold
        is_positive = positive[mine]
        count = is_positive.sum(axis=0)
        rank = rankdata(predicted[mine], axis=0)
        right += (rank * is_positive).sum(axis=0) - count * (count + 1) / 2
        pairs += count * (mine.sum() - count)
    return np.divide(right, pairs, out=np.full(len(right), np.nan), where=pairs > 0)


def r2_in_folds(predicted: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(columns,) 1 - squared error over that of the mean of the other folds."""
    mean = np.empty(truth.shape)
    for fold in np.unique(folds):
        mean[folds == fold] = truth[folds != fold].mean(axis=0)
    error = np.einsum("ij,ij->j", truth - predicted, truth - predicted)
    return 1 - error / np.einsum("ij,ij->j", truth - mean, truth - mean)


def scores(fits: list[FoldFit], values: np.ndarray, folds: np.ndarray, is_class: bool) -> np.ndarray:
    """(columns,) AUROC of 0/1 columns, or R2 of numbers."""
    measure = auroc_in_folds if is_class else r2_in_folds
    return measure(held_out(fits, values), values, folds)


def permuted_score(
    fits: list[FoldFit], values: np.ndarray, folds: np.ndarray, is_class: bool, orders: np.ndarray
) -> tuple[np.ndarray, float]:
    """Score of each column of a label, and p of their mean: (b + 1) / (B + 1), b of B orders reach it.

    Donors are permuted with their labels; the penalty is chosen anew.

    Args:
        values: (n, c), c indicators of levels. orders: (B, n).
    """
    own = scores(fits, values, folds, is_class)
    reached, step = 0, max(1, COLUMNS // values.shape[1])
    for first in range(0, len(orders), step):
        part = orders[first : first + step]
        moved = values[part].transpose(1, 2, 0)  # (n, c, orders)
        null = scores(fits, moved.reshape(len(values), -1), folds, is_class).reshape(values.shape[1], -1)
        reached += int(np.count_nonzero(np.nanmean(null, axis=0) >= np.nanmean(own) - 1e-12))
    return own, (reached + 1) / (len(orders) + 1)


def gain_p(kernels: list[np.ndarray], space: ResidualSpace, directions: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """(kernels,) p of the score test of a kernel given the covariates, by permuted rows of their residual space.

    Args:
        directions: (n, df) orthonormal basis of the label's residuals. orders: (B, space.dim).
    """
    turned = [space.rotation.T @ kernel @ space.rotation for kernel in kernels]
    rotated = space.rotation.T @ directions
    return permutation_p(turned, Directions(rotated, np.zeros(rotated.shape[1], int), 1), orders)[:, 0]
