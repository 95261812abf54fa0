#!/usr/bin/env python3
"""What a feature tracks: a short forward regression over donors, judged in donors held out, and the sentence on it.

The response is a feature, the candidates are single columns: companions, covariates, pathology. All are rank-normal
before they come here, so that a slope says how ranks go together and no donor decides alone.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from hx_linear import residual_space, standardise, varying_columns

MOST_TERMS = 3  # a sentence with more is not read
LEAST_DONORS = 20  # four donors a fold
LEAST_FOLDS = 3  # a choice without the donors of a fold needs two others
LEFT_OUT = 20  # parts of the donors, each predicted by the others: with five, a fifth of few donors is missed
PERMUTATIONS = 999
LEVEL = 0.05  # of the largest |r| over all candidates
LEAST_R2 = 0.1  # held out; what explains less names nothing
NOTHING = 1e-10  # squared length, of 1, below which a candidate is told by those chosen
UNEXPLAINED = "unexplained: nothing that was measured predicts it in donors held out"


class Candidate(NamedTuple):
    """A column that a feature may track.

    name: as a sentence says it. group: companion, pathology, or the factor's group (see hx_factors). technical: it
    tells of staining or scanning. values: (donors,), rank-normal or 0/1. shown: the same as measured, for
    figures; scale: what was done to it, '' for nothing.
    """

    name: str
    group: str
    technical: bool
    values: np.ndarray
    shown: np.ndarray
    scale: str = ""


@dataclass(frozen=True)
class Description:
    """What was found of a feature.

    terms: candidates in the order of the regression, none where the feature is unexplained. rho: Spearman's, of each
    with the feature; partial: correlation with it given the other terms. r2_cv: share of the variance in donors held
    out, of terms chosen without them; p: of the largest |r| over all candidates, by permutation.
    """

    terms: list[int]
    rho: list[float]
    partial: list[float]
    r2_cv: float
    p: float


def path(x: np.ndarray, y: np.ndarray, rows: np.ndarray, steps: int) -> tuple[list[int], np.ndarray]:
    """Forward selection: each step adds the column of largest |partial r| with y. Of equal ones the first.

    Args:
        x: (n, k). y: (n,). rows: (n,) bool, the donors that it learns from.

    Returns:
        The columns in order, at most `steps`, and (n, steps + 1) predictions after 0, 1, … steps for all donors; where
        no column is left the last stays.
    """
    mean = y[rows].mean()
    rest = y[rows] - mean
    centred = x - x[rows].mean(axis=0)
    centred = centred / np.maximum(np.linalg.norm(centred[rows], axis=0), 1e-300)
    predicted = np.full((len(y), steps + 1), mean)
    order: list[int] = []
    for step in range(steps):
        own = centred[rows]
        length = np.einsum("ij,ij->j", own, own)
        left = length > NOTHING
        left[order] = False
        if left.any():
            gain = np.where(left, (rest @ own) ** 2 / np.where(left, length, 1), -1.0)
            # To 12 digits, so that the first of equal ones wins on every machine.
            best = int(np.argmax(gain >= gain.max() * (1 - 1e-12)))
            direction = centred[:, best] / np.sqrt(length[best])
            slope = rest @ direction[rows]
            predicted[:, step + 1 :] += (slope * direction)[:, None]
            rest = rest - slope * direction[rows]
            centred = centred - np.outer(direction, direction[rows] @ own)
            order.append(best)
    return order, predicted


def held_out(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(n, steps + 1) predictions of donors by what was learned without their fold, after 0, 1, … MOST_TERMS steps."""
    out = np.empty((len(y), MOST_TERMS + 1))
    for fold in np.unique(folds):
        out[folds == fold] = path(x, y, folds != fold, MOST_TERMS)[1][folds == fold]
    return out


def steps_by(errors: np.ndarray) -> int:
    """Number of steps, at least one: the fewest whose error is within one standard error of the least.

    The rule of Breiman et al. (1984, Classification and Regression Trees, section 3.4.3), with the standard error of
    the paired difference: donors that are hard to predict are so after every step. Whether there is a first term at all
    is for the permutations to say, which have more power: see describe.

    Args:
        errors: (n, steps + 1) squared errors of donors held out.
    """
    best = int(np.argmin(errors.mean(axis=0)))
    excess = errors - errors[:, [best]]
    limit = excess.std(axis=0, ddof=1) / np.sqrt(len(errors))
    return max(1, int(np.argmax(excess.mean(axis=0) <= limit)))


def nested_r2(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> float:
    """1 - squared error / that of the mean of the other donors, over LEFT_OUT parts of the donors.

    Terms and their number are chosen without the part; their number by the folds.
    """
    left = baseline = 0.0
    parts = np.arange(len(y)) % LEFT_OUT
    for part in range(min(LEFT_OUT, len(y))):
        train, test = parts != part, parts == part
        steps = steps_by((y[train, None] - held_out(x[train], y[train], folds[train])) ** 2)
        left += ((y[test] - path(x, y, train, MOST_TERMS)[1][test, steps]) ** 2).sum()
        baseline += ((y[test] - y[train].mean()) ** 2).sum()
    return 1 - left / baseline


def largest_r_p(x: np.ndarray, y: np.ndarray, orders: np.ndarray) -> float:
    """p = (b + 1)/(B + 1) of the largest |r| of y with a column of x, b of B orders of the donors reaching it."""
    columns, one = standardise(x).unit, standardise(y[:, None]).unit[:, 0]
    actual = np.abs(one @ columns).max()
    null = np.abs(one[orders] @ columns).max(axis=1)
    return float((1 + np.count_nonzero(null >= actual * (1 - 1e-12))) / (1 + len(orders)))


def describe(y: np.ndarray, candidates: list[Candidate], folds: np.ndarray, rng: np.random.Generator) -> Description:
    """What a feature tracks.

    It is explained when the largest |r| over all candidates has a permutation p of at most LEVEL, and at least LEAST_R2
    of the variance of donors held out is predicted.

    Args:
        y: (n,) rank-normal feature. folds: (n,) fold of each donor, at least LEAST_FOLDS different ones.
        rng: of the permutations.
    """
    x = np.column_stack([candidate.values for candidate in candidates]) if candidates else np.empty((len(y), 0))
    where = np.flatnonzero(varying_columns(x)) if x.shape[1] else np.empty(0, int)
    nothing = Description([], [], [], np.nan, 1.0)
    if not len(where):
        return nothing
    x = x[:, where]
    p = largest_r_p(x, y, rng.permuted(np.tile(np.arange(len(y)), (PERMUTATIONS, 1)), axis=1))
    r2 = nested_r2(x, y, folds)
    if p > LEVEL or r2 < LEAST_R2:
        return Description([], [], [], r2, p)
    steps = steps_by((y[:, None] - held_out(x, y, folds)) ** 2)
    order, _ = path(x, y, np.ones(len(y), bool), steps)
    rho = [float(spearmanr(x[:, i], y).statistic) for i in order]
    return Description([int(where[i]) for i in order], rho, partial_r(x[:, order], y), r2, p)


def partial_r(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Correlation of y with each column of x given the other columns."""
    out = []
    for i in range(x.shape[1]):
        space = residual_space(np.delete(x, i, axis=1), len(y))
        out.append(float(standardise(x[:, [i]], space).unit[:, 0] @ standardise(y[:, None], space).unit[:, 0]))
    return out


def is_technical(found: Description, candidates: list[Candidate]) -> bool:
    """Whether all that a feature tracks is staining or scanning."""
    return bool(found.terms) and all(candidates[i].technical for i in found.terms)


def sentence(found: Description, candidates: list[Candidate]) -> str:
    """One sentence: rho of the first term, partial correlations of those that are added to it."""
    if not found.terms:
        return UNEXPLAINED
    names = [candidates[i].name for i in found.terms]
    text = f"tracks {names[0]} (rho {signed(found.rho[0])})"
    if names[1:]:
        added = [f"{name} ({signed(r)})" for name, r in zip(names[1:], found.partial[1:], strict=True)]
        text += f" and, given that, {' and '.join(added)}"
    text += f"; {100 * found.r2_cv:.0f} % of its variance in donors held out"
    return text + ("; only stain, colour or scanner" if is_technical(found, candidates) else "")


def signed(r: float) -> str:
    """.82, -.41: a correlation as text."""
    return f"{r:.2f}".replace("0.", ".", 1)
