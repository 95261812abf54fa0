#!/usr/bin/env python3
"""Instruments of a cohort that are picked and tested in the same donors, cross-fitted by folds of donors.

The best of 1000 variants that do nothing has a mean F of 12 where it was picked, and two-stage least squares with it
rejects in about half of all cases (Burgess & Thompson 2011, Stat Med 30:1312, on the bias). So in every fold a variant
is picked, and its effect on the exposure fitted, in the other folds, and what it predicts for the donors of the fold is
their instrument (Denault et al. 2022, PLoS Comput Biol 18:e1010268). That alone does not do: the predictions for a fold
hold the errors of donors of the other folds and the other way round, and where nothing is there to be picked the test
still rejects in 9 % at 5 %. The first stage is therefore fitted to the part of the exposure that is uncorrelated with
the outcome's error under the tested hypothesis of no effect, x - y (x'y) / (y'y) (Kleibergen 2002, Econometrica
70:1781): what is picked then tells nothing of that error.

All arrays are coordinates in the residual space of the covariates (hx_linear.ResidualSpace.rotate), one a donor but for
as many as the covariates take: no intercept, independent errors.
"""

from typing import NamedTuple

import numpy as np

from hx_linear import r2_of_rows
from hx_pvalue import critical_r

FOLDS = 10
MIN_FOLDS = 8  # a signal is one that is picked in so many
STRONG_F = 10  # Staiger & Stock 1997, Econometrica 65:557
LINKED = 0.05  # r2 from which variants stand for one signal: what is left of sampling error in 100 donors
MOST_SIGNALS = 5
SPANNED = 1e-3  # a variant is spanned by picks when less than this share of its sum of squares is left


class Signal(NamedTuple):
    """An instrument: (dim,) out-of-fold prediction of the exposure; its variants, and in how many folds each is picked;
    F of the first stage, of the exposure's part that is uncorrelated with the outcome."""

    z: np.ndarray
    variants: np.ndarray
    folds: np.ndarray
    f: float


def fold_numbers(dim: int, rng: np.random.Generator) -> np.ndarray:
    """(dim,) fold of each coordinate, folds of equal size but for one."""
    return rng.permutation(dim) % FOLDS


class Pick(NamedTuple):
    """A variant picked for a fold, and its effect on the exposure's `null_part`, both in the other folds."""

    fold: int
    variant: int
    effect: float


def null_part(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The exposure less what goes with the outcome's error where the exposure has no effect: that error is y itself."""
    return x - y * (float(x @ y) / float(y @ y))


def picks(a: np.ndarray, x: np.ndarray, y: np.ndarray, folds: np.ndarray, p: float, most: int) -> list[Pick]:
    """Variants picked for each fold in the others, best first.

    The one of largest correlation with `null_part` of the exposure, while its p is at most `p` and it does not
    correlate more with the outcome than with the exposure (such a variant is an instrument of the outcome: Hemani,
    Tilling & Davey Smith 2017, PLoS Genet 13:e1007081); then the next one that is not linked to it, by its partial
    correlation given those before: what goes with the exposure by linkage with a pick is no signal of its own. Effects
    are those of all picks of a fold together.

    Args:
        a: (variants, dim) dosages. x, y: (dim,) exposure, outcome. p: 1 for no bound. most: picks a fold.
    """
    part, found = null_part(x, y), []
    traits = np.column_stack([part, x, y])
    inside = [folds == fold for fold in range(FOLDS)]
    products = np.stack([a[:, rows] @ traits[rows] for rows in inside], axis=-1)
    squares = np.column_stack([np.einsum("ij,ij->i", g, g) for g in (a[:, rows] for rows in inside)])
    whole, floor = squares.sum(axis=1), SPANNED * squares.sum(axis=1)
    for fold, rows in enumerate(inside):
        others, square = ~rows, whole - squares[:, fold]
        product, own, other = (products.sum(axis=-1) - products[..., fold]).T
        length, own_length, other_length = np.einsum("ij,ij->j", traits[others], traits[others])
        free = (square > floor) & (own**2 / own_length >= other**2 / other_length)
        r2 = np.divide(product**2, square * length, out=np.full(len(a), -1.0), where=free)
        cut = critical_r(p, int(others.sum()) - 1) ** 2 if p < 1 else 0.0
        if not free.any() or r2.max() < cut:
            continue
        chosen = [int(np.argmax(r2))]
        if most > 1:
            # Variants that are not linked to a pick lose and gain little by it: those far below the cut stay below.
            near = np.flatnonzero(r2 >= cut / 4)
            chosen = near[_further(a[near], others, part, int(np.searchsorted(near, chosen[0])), p, most)].tolist()
        effects = np.linalg.lstsq(a[chosen][:, others].T, part[others], rcond=None)[0]
        found += [Pick(fold, variant, float(effect)) for variant, effect in zip(chosen, effects, strict=True)]
    return found


def _further(a: np.ndarray, rows: np.ndarray, part: np.ndarray, first: int, p: float, most: int) -> list[int]:
    """Picks of a fold among a few variants, `first` and the ones after it, in the donors of a mask."""
    g, v = a[:, rows], part[rows]
    square = np.einsum("ij,ij->i", g, g)
    floor, left, length = SPANNED * square, g.copy(), float(v @ v)
    free, chosen = np.ones(len(a), bool), [first]
    while len(chosen) < most:
        step = left[chosen[-1]] / np.linalg.norm(left[chosen[-1]])
        # What goes with the pick is taken out of everything (Gram-Schmidt).
        left -= np.outer(left @ step, step)
        length -= float(step @ v) ** 2
        square = np.einsum("ij,ij->i", left, left)
        free &= (linkage(a, chosen[-1]) < LINKED) & (square > floor)
        r2 = np.divide((left @ v) ** 2, square * length, out=np.full(len(a), -1.0), where=free)
        best = int(np.argmax(r2))
        if not free[best] or r2[best] < critical_r(p, len(v) - 1 - len(chosen)) ** 2:
            break
        chosen.append(best)
    return chosen


def prediction(a: np.ndarray, folds: np.ndarray, picked: list[Pick]) -> np.ndarray:
    """(dim,) out-of-fold prediction of the exposure by picks; 0 in folds without one."""
    z = np.zeros(len(folds))
    for pick in picked:
        inside = folds == pick.fold
        z[inside] += a[pick.variant, inside] * pick.effect
    return z


def signals(a: np.ndarray, x: np.ndarray, y: np.ndarray, folds: np.ndarray, p: float, most: int) -> list[Signal]:
    """Signals of the exposure among variants, strongest first; arguments as of `picks`.

    Picks of all folds that are linked are one signal; those picked in fewer than MIN_FOLDS folds are left out.
    """
    picked = picks(a, x, y, folds, p, most)
    if not picked:
        return []
    union = np.unique([pick.variant for pick in picked])
    group = components(np.array([linkage(a[union], k) >= LINKED for k in range(len(union))]))
    part, found = null_part(x, y), []
    for number in range(group.max() + 1):
        mine = [pick for pick in picked if group[np.searchsorted(union, pick.variant)] == number]
        if len({pick.fold for pick in mine}) >= MIN_FOLDS:
            found.append(_signal(a, part, folds, mine))
    found.sort(key=lambda signal: -signal.f)
    # F of each one given the stronger ones before it.
    for k, signal in enumerate(found):
        before = np.column_stack([part, *(other.z for other in found[:k])])[:, 1:]
        left, z = (v - before @ np.linalg.lstsq(before, v, rcond=None)[0] for v in (part, signal.z))
        found[k] = signal._replace(f=min(signal.f, first_stage_f(left, z)))
    return sorted(found, key=lambda signal: -signal.f)


def best_of_folds(a: np.ndarray, x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> Signal:
    """The best variant of each fold as one instrument, whatever its p and whether folds agree; one variant or more."""
    return _signal(a, null_part(x, y), folds, picks(a, x, y, folds, 1.0, 1))


def _signal(a: np.ndarray, part: np.ndarray, folds: np.ndarray, picked: list[Pick]) -> Signal:
    z = prediction(a, folds, picked)
    variants, count = np.unique(np.array([pick.variant for pick in picked], int), return_counts=True)
    return Signal(z, variants, count, first_stage_f(part, z))


def first_stage_f(x: np.ndarray, z: np.ndarray) -> float:
    """F of one instrument, 0 where it predicts the wrong way round: an out-of-fold prediction should not."""
    product, square = float(z @ x), float(z @ z)
    if product <= 0 or square == 0:
        return 0.0
    r2 = product**2 / square / float(x @ x)
    return r2 * (len(x) - 1) / (1 - r2)


def linkage(a: np.ndarray, of: int) -> np.ndarray:
    """(variants,) squared correlation of each row with row `of`; 1 with itself."""
    out = r2_of_rows(a, a[of])
    out[of] = 1.0
    return out


def components(linked: np.ndarray) -> np.ndarray:
    """(n,) number of the connected component of each row of a symmetric (n, n) bool matrix, by first row."""
    out = np.full(len(linked), -1)
    for start in range(len(linked)):
        if out[start] >= 0:
            continue
        number, waiting = int(out.max()) + 1, [start]
        while waiting:
            row = waiting.pop()
            if out[row] < 0:
                out[row] = number
                waiting += np.flatnonzero(linked[row] & (out < 0)).tolist()
    return out
