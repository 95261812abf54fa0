#!/usr/bin/env python3
"""One direction of a pair by instruments of the cohort, its assumptions, and the verdict on a pair.

No verdict says that something is causal. One that names a direction needs two instruments at least, since one cannot
tell an effect from a variant that acts on both sides by itself; an assumption that failed leaves a pair undetermined.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hx_mr import steiger_same_donors
from hx_mr_coloc import Coloc, coloc_abf, log_abf
from hx_mr_crossfit import FOLDS, MIN_FOLDS, STRONG_F, best_of_folds, signals
from hx_mr_one_sample import anderson_rubin_p, anderson_rubin_set, holds, shape_of, told_set, two_stage
from hx_pvalue import log_p

CROSSFITTED = "2sls_crossfitted"
TESTED, WEAK, NO_INSTRUMENT = "TESTED", "WEAK_INSTRUMENT", "NO_INSTRUMENT"
HELD, FAILED, UNTESTABLE = "held", "failed", "untestable"
UNDETERMINED, SHARED_CAUSE = "undetermined", "shared_cause"
TEST_LEVEL = 0.05  # of the tests of assumptions
COMMON, DIFFERENT = 0.8, 0.8  # posteriors of colocalisation that decide
REGION = 20  # variants of a region in which colocalisation is asked for, at least


class Assumption(NamedTuple):
    """An assumption of a direction, whether it held, failed or is untestable, and by what."""

    name: str
    state: str
    told: str


@dataclass(frozen=True)
class Direction:
    """What instruments of one source say of an effect of the exposure on the outcome.

    instruments: independent ones. p: of no effect. rows: of the table of estimates, one a method, the first one's p
    being `p`. slope_out: the slope of the outcome on the exposure lies outside the confidence set. variants: rows of
    the table of instruments.
    """

    status: str
    reason: str = ""
    instruments: int = 0
    p: float = math.nan
    rows: tuple[dict, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    slope_out: bool = False
    variants: tuple[dict, ...] = ()

    def failed(self) -> list[str]:
        return [a.name for a in self.assumptions if a.state == FAILED]

    def state(self, name: str) -> str:
        return next((a.state for a in self.assumptions if a.name == name), UNTESTABLE)


class Candidates(NamedTuple):
    """Variants that may be instruments of a trait: (variants, dim) dosages, their places in the genotypes file, the
    largest p of a pick, and whether they are those of one region."""

    a: np.ndarray
    places: np.ndarray
    p: float
    region: bool
    why: str  # reason where there is none


def unit(values: np.ndarray) -> np.ndarray:
    """(dim,) values of mean square 1: effects are then standard deviations of the outcome a standard deviation."""
    return values * math.sqrt(len(values) / float(values @ values))


def associations(a: np.ndarray, trait: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(beta, se) of a trait, (dim,), on each of (variants, dim) by itself; NaN for a constant variant."""
    square = np.einsum("ij,ij->i", a, a)
    square = np.where(square > 0, square, np.nan)
    beta = a @ trait / square
    return beta, np.sqrt(np.maximum(float(trait @ trait) - beta**2 * square, 0) / (len(trait) - 1) / square)


def region_coloc(a: np.ndarray, x: np.ndarray, y: np.ndarray) -> Coloc:
    """Colocalisation of two traits of mean square 1 among the variants of a region."""
    return coloc_abf(*(log_abf(*associations(a, trait)) for trait in (x, y)))


def cohort_direction(
    x: np.ndarray, y: np.ndarray, candidates: Candidates, folds: np.ndarray, donors: int, most: int, pcs: bool
) -> Direction:
    """Effect of x on y by cross-fitted instruments among candidate variants.

    Instruments are the signals of F >= STRONG_F. Without any, the strongest one stands in, or, among the variants of a
    region, the best one of each fold; the status says that it is weak. Then p and the confidence set still hold.

    Args:
        x, y: (dim,) coordinates in the residual space, of mean square 1. donors: behind them. most: picks a fold. pcs:
            whether genotype principal components are among the covariates.
    """
    if not len(candidates.a):
        return Direction(NO_INSTRUMENT, candidates.why)
    found = signals(candidates.a, x, y, folds, candidates.p, most)
    if not found and candidates.region:
        found = [best_of_folds(candidates.a, x, y, folds)]
    if not found or not found[0].z.any():
        return Direction(
            NO_INSTRUMENT,
            f"none of {len(candidates.a)} variants has p <= {candidates.p:g} in {MIN_FOLDS} of {FOLDS} folds",
        )
    strong = [signal for signal in found if signal.f >= STRONG_F]
    used = strong or found[:1]
    z = np.column_stack([signal.z for signal in used])
    fit, p, accepted = two_stage(x, y, z, donors), anderson_rubin_p(x, y, z), anderson_rubin_set(x, y, z)
    slope = float(x @ y) / float(x @ x)
    total = z.sum(axis=1)
    r_x, r_y, r_xy = (_r(total, x), _r(total, y), _r(x, y))
    way = steiger_same_donors(r_x, r_y, r_xy, len(x) + 1)
    coloc = region_coloc(candidates.a, x, y) if candidates.region and len(candidates.a) >= REGION else None
    bounded = accepted[0] if len(accepted) == 1 and shape_of(accepted) == "bounded" else (math.nan, math.nan)
    f = min(signal.f for signal in used)
    numbers = {
        "method": CROSSFITTED, "n": donors, "variants": sum(len(s.variants) for s in used), "f": f,
        "r2_exposure": fit.r2, "effect": fit.effect.effect, "se": fit.effect.se, "p": p, "ci_low": bounded[0],
        "ci_high": bounded[1], "confidence_set": told_set(accepted), "set_shape": shape_of(accepted), "slope": slope,
        "slope_p": anderson_rubin_p(x, y, z, slope), "heterogeneity": fit.sargan, "heterogeneity_p": fit.sargan_p,
        "steiger_z": way.z, "steiger_p": way.p, "flip_reliability": way.flip,
        "coloc_h3": coloc.h3 if coloc else math.nan, "coloc_h4": coloc.h4 if coloc else math.nan,
    }  # fmt: skip
    assumptions = (
        relevance(f),
        Assumption("independent_selection", HELD, f"picked and fitted in the other {FOLDS - 1} folds"),
        unconfounded(pcs),
        pleiotropy(len(used), "Sargan", fit.sargan_p),
        CORRELATED,
        direction(way.z, way.p),
        same_variant(coloc, len(used)),
    )
    reason = "" if strong else f"F {f:.1f} of the strongest instrument is below {STRONG_F}"
    rows = tuple(
        {"instrument": k + 1, "place": int(candidates.places[v]), "folds": int(count), "f": signal.f}
        for k, signal in enumerate(used)
        for v, count in zip(signal.variants, signal.folds, strict=True)
    )
    out = bool(accepted) and not holds(accepted, slope)
    return Direction(TESTED if strong else WEAK, reason, len(used), p, (numbers,), assumptions, out, rows)


def _r(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def relevance(f: float) -> Assumption:
    """The instruments tell the exposure."""
    return Assumption("relevance", HELD if f >= STRONG_F else FAILED, f"smallest F of an instrument {f:.1f}")


def unconfounded(pcs: bool) -> Assumption:
    """Nothing moves variants and outcome together."""
    told = "genotype principal components are covariates" if pcs else "no genotype principal component is a covariate"
    return Assumption("no_confounding_of_variants", UNTESTABLE, told)


def pleiotropy(instruments: int, test: str, p: float) -> Assumption:
    """The instruments act on the outcome through the exposure alone: then they agree on the effect."""
    if instruments < 2:
        return Assumption("no_pleiotropy", UNTESTABLE, "one instrument has nothing to agree with")
    return Assumption(
        "no_pleiotropy", HELD if p >= TEST_LEVEL else FAILED, f"{test} p {p:.3g}, {instruments} instruments"
    )


CORRELATED = Assumption(
    "no_heritable_common_cause", UNTESTABLE, "variants of a common cause agree with one another, too"
)


def direction(z: float, p: float) -> Assumption:
    """The instruments act on the exposure first."""
    state = UNTESTABLE if p >= TEST_LEVEL else HELD if z > 0 else FAILED
    return Assumption("direction", state, f"Steiger z {z:.2f}, p {p:.3g}")


def same_variant(coloc: Coloc | None, instruments: int) -> Assumption:
    """What tells the exposure in the region and what goes with the outcome there is one variant, not two in linkage."""
    if coloc is None or instruments != 1:
        why = f"fewer than {REGION} variants of one region" if coloc is None else "a region of several signals"
        return Assumption("same_variant", UNTESTABLE, why)
    state = HELD if coloc.h4 >= COMMON else FAILED if coloc.h3 >= DIFFERENT else UNTESTABLE
    return Assumption("same_variant", state, f"posterior of one common variant {coloc.h4:.3f}, of two {coloc.h3:.3f}")


class Verdict(NamedTuple):
    """What is said of a pair, and why."""

    verdict: str
    reason: str


def slope_p(x: np.ndarray, y: np.ndarray) -> float:
    """Two-sided p of the correlation of two traits in the residual space."""
    return float(np.exp(log_p(np.array([_r(x, y)]), len(x) - 1))[0])


def named_direction(exposure_kind: str, outcome_kind: str, forward: bool) -> str:
    """gene_to_feature; of two traits of one kind first_to_second or second_to_first."""
    if exposure_kind != outcome_kind:
        return f"{exposure_kind}_to_{outcome_kind}"
    return "first_to_second" if forward else "second_to_first"


def verdict_of(
    kinds: tuple[str, str], forward: Sequence[Direction], back: Sequence[Direction], q: Sequence[Sequence[float]],
    associated: bool, alpha: float,
) -> Verdict:  # fmt: skip
    """Verdict on a pair from the directions of all sources.

    Args:
        kinds: of the first and the second trait. forward, back: of the first on the second, and the other way round, a
            source each. q: of their p, in the same order. associated: whether the two go together in the cohort.
    """
    names = (named_direction(kinds[0], kinds[1], True), named_direction(kinds[1], kinds[0], False))
    sides = (forward, back)
    tried = [d for side in sides for d in side if d.status in (TESTED, WEAK)]
    if not tried:
        return Verdict(NO_INSTRUMENT, "; ".join(dict.fromkeys(d.reason for side in sides for d in side if d.reason)))
    sound, shaky = [], []
    for name, side, values in zip(names, sides, q, strict=True):
        for d, value in zip(side, values, strict=True):
            if d.status != TESTED or not value <= alpha:
                continue
            why = _against(d)
            (shaky if why else sound).append((name, why))
    if len({name for name, _ in sound}) == 1:
        return Verdict(sound[0][0], "two instruments or more agree, and no assumption that can be tested failed")
    if sound:
        return Verdict(UNDETERMINED, "effects are found both ways")
    if shaky:
        return Verdict(UNDETERMINED, "; ".join(f"{name} is found, but {why}" for name, why in shaky))
    excluded = [any(_excludes(d) for d in side) for side in sides]
    if associated and all(excluded):
        return Verdict(
            SHARED_CAUSE, "the two go together, and instruments of both exclude that either explains all of it"
        )
    told = [_open(name, side, out, associated) for name, side, out in zip(names, sides, excluded, strict=True)]
    return Verdict(UNDETERMINED, "; ".join(told))


def _against(d: Direction) -> str:
    """Why an effect that is found is no verdict; '' where it is."""
    if failed := d.failed():
        return f"failed: {', '.join(failed)}"
    if d.instruments < 2:
        return "by one instrument, which cannot tell it from pleiotropy"
    return "" if d.state("direction") == HELD else "what the instruments act on first is not told"


def _excludes(d: Direction) -> bool:
    return d.status == TESTED and d.slope_out and d.instruments > 1 and not d.failed()


def _open(name: str, side: Sequence[Direction], out: bool, associated: bool) -> str:
    """What is left open of a direction in which nothing is found."""
    statuses = {d.status for d in side}
    if TESTED not in statuses:
        return f"{name}: {WEAK if WEAK in statuses else NO_INSTRUMENT}"
    if out:
        return f"{name} is excluded"
    return f"{name} is neither found nor excluded" if associated else f"{name} is not found; the two do not go together"
