#!/usr/bin/env python3
"""One direction of a pair by instruments of another study: harmonised, independent, all methods side by side."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_causality import (
    CORRELATED,
    FAILED,
    HELD,
    NO_INSTRUMENT,
    REGION,
    TESTED,
    UNTESTABLE,
    WEAK,
    Assumption,
    Direction,
    associations,
    direction,
    pleiotropy,
    relevance,
    same_variant,
    unconfounded,
)
from hx_causality_sources import NONE, Source
from hx_mr import Estimate, egger, ivw, share_explained, steiger, wald, weighted_median
from hx_mr_alleles import MISMATCH, PALINDROMIC, clump, harmonise
from hx_mr_coloc import Coloc, coloc_abf, log_abf
from hx_mr_crossfit import STRONG_F

INSTRUMENT_P = 5e-8
REGION_WINDOW = 1_000_000  # bases on each side of the variant of smallest p
Linkage = Callable[[np.ndarray], np.ndarray | None]


class Outcome(NamedTuple):
    """Associations of an outcome with the variants of a frame, row by row.

    rows: effect_allele, other_allele, eaf, beta, se, n; beta NaN where the variant is not there. r2: squared
    correlations of the variants at given rows over `donors`, None without genotypes. pcs: whether genotype components
    are covariates.
    """

    name: str
    rows: pd.DataFrame
    r2: Linkage
    donors: int
    pcs: bool


def cohort_outcome(
    exposure: pd.DataFrame, variants: pd.DataFrame, load: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    y: np.ndarray, donors: int, pcs: bool,
) -> Outcome:  # fmt: skip
    """Associations of an outcome of the cohort with the variants of `exposure`, by place and alleles.

    Args:
        variants: of the genotypes file. load: (variants, dim) residual dosages and allele frequencies of sorted places.
        y: (dim,) outcome in the residual space, of mean square 1.
    """
    places = matched(exposure, variants)
    there = places >= 0
    union, back = np.unique(places[there], return_inverse=True)
    a, frequency = load(union)
    beta, se = associations(a, y)
    rows = pd.DataFrame(index=exposure.index, columns=["effect_allele", "other_allele"], data="")
    rows.loc[there, ["effect_allele", "other_allele"]] = variants[["alt", "ref"]].to_numpy()[places[there]]
    for name, values in (("eaf", frequency), ("beta", beta), ("se", se)):
        rows[name] = np.nan
        rows.loc[there, name] = values[back]
    rows["n"] = float(donors)
    index = np.full(len(places), -1)
    index[there] = back

    def r2(which: np.ndarray) -> np.ndarray:
        own = a[index[which]]
        own = own / np.linalg.norm(own, axis=1)[:, None]
        return (own @ own.T) ** 2

    return Outcome("", rows, r2, donors, pcs)


def wanted(exposure: pd.DataFrame) -> pd.DataFrame:
    """Rows of an exposure that are looked at: instruments, and the region of the strongest one. At least one row."""
    return exposure[(exposure["p"] <= INSTRUMENT_P) | _near_lead(exposure)]


def _near_lead(exposure: pd.DataFrame) -> pd.Series:
    lead = exposure.iloc[int(np.argmin(exposure["p"].to_numpy()))]
    return (exposure["chrom"] == lead["chrom"]) & ((exposure["pos"] - lead["pos"]).abs() <= REGION_WINDOW)


def matched(exposure: pd.DataFrame, variants: pd.DataFrame) -> np.ndarray:
    """(rows,) place among `variants` of each row: same position, of several there the one with its alleles; else -1."""
    at: dict[tuple, list[int]] = {}
    near = np.flatnonzero(np.isin(variants["pos"].to_numpy(), exposure["pos"].to_numpy()))
    for place, key in zip(near, variants[["chrom", "pos"]].iloc[near].itertuples(index=False, name=None), strict=True):
        at.setdefault(key, []).append(place)
    ref, alt = variants["ref"].to_numpy(), variants["alt"].to_numpy()
    out = np.full(len(exposure), -1)
    keys = zip(exposure["chrom"], exposure["pos"], exposure["effect_allele"], exposure["other_allele"], strict=True)
    for row, (chrom, pos, first, second) in enumerate(keys):
        here = at.get((chrom, pos), [])
        same = [place for place in here if {ref[place], alt[place]} == {first, second}]
        out[row] = (same or here or [-1])[0]
    return out


def file_outcome(exposure: pd.DataFrame, outcome: pd.DataFrame, name: str) -> Outcome:
    """Associations of an outcome of a summary file with the variants of `exposure`, by place."""
    columns = ["effect_allele", "other_allele", "eaf", "beta", "se", "n"]
    first = outcome.drop_duplicates(["chrom", "pos"]).set_index(["chrom", "pos"])[columns]
    rows = first.reindex(pd.MultiIndex.from_frame(exposure[["chrom", "pos"]])).set_index(exposure.index)
    return Outcome(name, rows.fillna({"effect_allele": "", "other_allele": ""}), lambda which: None, 0, False)


def external_direction(
    source: Source, exposure: pd.DataFrame, outcome: Outcome, slope: float, rng: np.random.Generator
) -> Direction:
    """Effect of an exposure by the variants of a summary file.

    Args:
        exposure: its rows of the file. slope: of the outcome on the exposure in the cohort, for the table.
    """
    counts = {"unmatched": 0, "mismatched": 0, "palindromic": 0, "linked": 0}
    strong = (exposure["p"] <= INSTRUMENT_P).to_numpy()
    if not strong.any():
        return Direction(NO_INSTRUMENT, f"{source.name}: no variant with p <= {INSTRUMENT_P:g}")
    there = outcome.rows["beta"].notna().to_numpy()
    same = harmonise(exposure, outcome.rows)
    counts["unmatched"] = int((strong & ~there).sum())
    counts["mismatched"] = int((strong & there & (same.reason == MISMATCH)).sum())
    counts["palindromic"] = int((strong & there & (same.reason == PALINDROMIC)).sum())
    use = np.flatnonzero(strong & there & same.keep)
    lost = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if not len(use):
        return Direction(NO_INSTRUMENT, f"{source.name}: of {strong.sum()} variants none is left: {lost}")
    rows = exposure.iloc[use]
    places = rows["chrom"].to_numpy(), rows["pos"].to_numpy()
    apart = clump(rows["p"].to_numpy(), *places, outcome.r2(use), outcome.donors)
    counts["linked"] = int((~apart).sum())
    use = use[apart]
    bx, sx = (exposure[name].to_numpy(float)[use] for name in ("beta", "se"))
    by = outcome.rows["beta"].to_numpy(float)[use] * same.sign[use]
    sy = outcome.rows["se"].to_numpy(float)[use]
    n_x, n_y = exposure["n"].to_numpy(float)[use], outcome.rows["n"].to_numpy(float)[use]
    methods, test, agree, numbers = _methods(bx, sx, by, sy, rng)
    f = float(np.min((bx / sx) ** 2))
    numbers |= {"f": f, "r2_exposure": math.nan, "steiger_z": math.nan, "steiger_p": math.nan}
    told = Assumption("direction", UNTESTABLE, "a column n is needed in the summary file")
    if np.isfinite(n_x).all() and np.isfinite(n_y).all():
        shares = share_explained(bx, sx, n_x), share_explained(by, sy, n_y)
        way = steiger(math.sqrt(shares[0]), math.sqrt(shares[1]), float(np.median(n_x)), float(np.median(n_y)))
        told = direction(way.z, way.p)
        numbers |= {"r2_exposure": shares[0], "steiger_z": way.z, "steiger_p": way.p, "flip_reliability": way.flip}
    coloc = _coloc(exposure, outcome, there & same.keep, same.sign)
    if coloc:
        numbers |= {"coloc_h3": coloc.h3, "coloc_h4": coloc.h4}
    numbers |= {"n": float(np.median(n_y)), "variants": len(use), "slope": slope, "overlap": source.overlap, **counts}
    assumptions = (
        relevance(f),
        _independent(source),
        unconfounded(outcome.pcs),
        pleiotropy(len(use), test, agree),
        CORRELATED,
        told,
        same_variant(coloc, len(use)),
    )
    table = tuple(
        {**numbers, "method": name, "effect": e.effect, "se": e.se, "p": e.p, "ci_low": e.effect - 1.959964 * e.se,
         "ci_high": e.effect + 1.959964 * e.se}
        for name, e in methods
    )  # fmt: skip
    variants = tuple(
        {"instrument": k + 1, "id": row.variant, "chrom": row.chrom, "pos": row.pos, "f": (row.beta / row.se) ** 2}
        for k, row in enumerate(exposure.iloc[use].itertuples())
    )
    status = TESTED if f >= STRONG_F else WEAK
    return Direction(status, lost, len(use), methods[0][1].p, table, assumptions, False, variants)


def _methods(
    bx: np.ndarray, sx: np.ndarray, by: np.ndarray, sy: np.ndarray, rng: np.random.Generator
) -> tuple[list[tuple[str, Estimate]], str, float, dict]:
    """Estimates by name, the one that counts first; the test of pleiotropy and its p; further columns."""
    if len(bx) == 1:
        first, second = wald(bx[0], sx[0], by[0], sy[0])
        return [("wald_second_order", second), ("wald_first_order", first)], "", math.nan, {}
    mean = ivw(bx, by, sy)
    numbers = {"heterogeneity": mean.q, "heterogeneity_p": mean.q_p}
    methods = [("ivw_random", mean.random), ("ivw_fixed", mean.fixed)]
    if len(bx) == 2:
        return methods, "Cochran's Q", mean.q_p, numbers
    line = egger(bx, sx, by, sy)
    methods += [("egger", line.slope), ("weighted_median", weighted_median(bx, sx, by, sy, rng))]
    numbers |= {"i2gx": line.i2gx, "intercept": line.intercept.effect, "intercept_p": line.intercept.p}
    # Each at half the level: one of two tests may fail.
    return (
        methods,
        "the smaller of Cochran's Q and Egger's intercept, doubled:",
        min(1.0, 2 * min(mean.q_p, line.intercept.p)),
        numbers,
    )


def _independent(source: Source) -> Assumption:
    """The study picked its variants in other donors than those of the cohort."""
    if source.overlap == NONE:
        return Assumption("independent_selection", HELD, f"{source.name} declares no common donor")
    shared = "" if math.isnan(source.shared) else f" of {source.shared:.0f} donors"
    told = f"{source.name} declares {source.overlap} overlap{shared}: estimates lean to the slope within donors"
    return Assumption("independent_selection", FAILED, told)


def _coloc(exposure: pd.DataFrame, outcome: Outcome, use: np.ndarray, sign: np.ndarray) -> Coloc | None:
    """Colocalisation around the exposure's strongest variant; None where the file has too few variants there."""
    rows = np.flatnonzero(use & _near_lead(exposure).to_numpy())
    if len(rows) < REGION:
        return None
    first = log_abf(*(exposure[name].to_numpy(float)[rows] for name in ("beta", "se")))
    second = outcome.rows["beta"].to_numpy(float)[rows] * sign[rows], outcome.rows["se"].to_numpy(float)[rows]
    return coloc_abf(first, log_abf(*second))
