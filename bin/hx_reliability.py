#!/usr/bin/env python3
"""What the features of a tissue are worth before any expression is looked at: reliability, dead and redundant ones."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_linear import correlation_tiles, standardise, varying_columns

REDUNDANT_R = 0.99
BINS = 40  # of a histogram; 0.05 a bin for correlations
LEAST_DONORS = 3  # fewer leave a correlation no degree of freedom

SUMMARY_COLUMNS = [
    "tissue_id", "size", "encoder", "weights_hash", "aggregation", "n_donors", "n_features", "n_dead", "n_redundant",
    "n_donors_both_halves", "reliability_q1", "reliability_median", "reliability_q3", "sd_q1", "sd_median", "sd_q3",
]  # fmt: skip
HISTOGRAM_COLUMNS = ["encoder", "aggregation", "what", "left", "right", "count"]


class Quality(NamedTuple):
    """Features of one encoder and aggregation.

    dead: (features,) bool, constant over donors. redundant: (features,) bool, see `quality`. sd: (features,) sample
    standard deviation over donors. correlations: (BINS,) pairs of features by correlation, from -1 to 1; None with
    fewer than LEAST_DONORS donors.
    """

    dead: np.ndarray
    redundant: np.ndarray
    sd: np.ndarray
    correlations: np.ndarray | None


def split_half_reliability(half1: np.ndarray, half2: np.ndarray) -> tuple[np.ndarray, int]:
    """Reliability of each feature, and the number of donors behind it.

    Pearson's r over donors between the means of two halves of a donor's patches, stepped up to the whole by
    2 r / (1 + |r|): the formula of Spearman (1910, Br J Psychol 3:271) and Brown (1910, Br J Psychol 3:296), mirrored
    below 0, where it would run off to minus infinity. Pure noise thus scatters evenly around 0.

    Args:
        half1, half2: (donors, features); donors with a NaN in either are left out.

    Returns:
        (features,) float64 in [-1, 1], NaN where a half is constant or fewer than LEAST_DONORS donors have both halves;
        the number of donors that do.
    """
    both = np.isfinite(half1).all(axis=1) & np.isfinite(half2).all(axis=1)
    reliability, donors = np.full(half1.shape[1], np.nan), int(both.sum())
    if donors < LEAST_DONORS:
        return reliability, donors
    alive = varying_columns(half1[both]) & varying_columns(half2[both])
    if alive.any():
        units = (standardise(half[both][:, alive]).unit for half in (half1, half2))
        r = np.clip(np.einsum("ij,ij->j", *units), -1, 1)
        reliability[alive] = 2 * r / (1 + np.abs(r))
    return reliability, donors


def quality(values: np.ndarray) -> Quality:
    """Dead and redundant features, spread and correlations of (donors, features) finite values of one encoder.

    A feature is redundant when its |r| with any earlier feature of the encoder is above REDUNDANT_R. Dead features
    correlate with none. Each pair of living features counts once among the correlations.
    """
    donors, features = values.shape
    dead = ~varying_columns(values) if donors else np.zeros(features, dtype=bool)
    redundant = np.zeros(features, dtype=bool)
    sd = np.std(values, axis=0, ddof=1, dtype=np.float64) if donors > 1 else np.full(features, np.nan)
    if donors < LEAST_DONORS:
        return Quality(dead, redundant, sd, None)
    counts, living = np.zeros(BINS, dtype=np.int64), np.flatnonzero(~dead)
    if len(living):
        unit = standardise(values[:, living]).unit
        for first, r in correlation_tiles(unit, unit):
            rows = first + np.arange(len(r))
            earlier = np.arange(len(living)) < rows[:, None]
            redundant[living[rows]] = (earlier & (np.abs(r) > REDUNDANT_R)).any(axis=1)
            # Rounding may take r past 1, where no bin is.
            counts += np.histogram(np.clip(r[earlier], -1, 1), BINS, (-1, 1))[0]
    return Quality(dead, redundant, sd, counts)


def quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """First quartile, median and third quartile of the values that are not NaN; NaN when there is none."""
    known = values[~np.isnan(values)]
    return tuple(np.quantile(known, [0.25, 0.5, 0.75]).tolist()) if len(known) else (np.nan,) * 3


def histogram_rows(found: Quality) -> list[tuple[str, float, float, int]]:
    """(what, left, right, count): `correlation` of pairs of living features, `sd` over donors of living features."""
    rows = []
    if found.correlations is not None:
        edges = np.linspace(-1, 1, BINS + 1)
        rows += [("correlation", *bin_) for bin_ in zip(edges[:-1], edges[1:], found.correlations, strict=True)]
    living = found.sd[~found.dead]
    if len(living) and np.isfinite(living).all():
        counts, edges = np.histogram(living, BINS, (0, living.max()))
        rows += [("sd", *bin_) for bin_ in zip(edges[:-1], edges[1:], counts, strict=True)]
    return rows


def feature_tables(
    values: dict[str, np.ndarray], var: pd.DataFrame, tissue_id: str, size: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """`var` with the columns dead, redundant and reliability, the summary, and the histograms.

    Args:
        values: (donors, features) by aggregation, `mean` first and `half1`, `half2` where there are halves. dead and
            redundant in `var` are those of `mean`, and so is the reliability.
        var: index feature, columns encoder and weights_hash; the features of an encoder stand together.

    Returns:
        var; a row an encoder x aggregation (SUMMARY_COLUMNS); a row a bin (HISTOGRAM_COLUMNS).
    """
    var = var.assign(dead=False, redundant=False, reliability=np.nan)
    summary, histograms = [], []
    for encoder in var["encoder"].unique():
        columns = (var["encoder"] == encoder).to_numpy()
        halves = None
        if "half1" in values:
            halves = split_half_reliability(values["half1"][:, columns], values["half2"][:, columns])
            var.loc[columns, "reliability"] = halves[0]
        for aggregation in (name for name in values if name not in ("half1", "half2")):
            found = quality(values[aggregation][:, columns])
            reliability, both = (np.full(0, np.nan), "")
            if aggregation == "mean":
                var.loc[columns, "dead"], var.loc[columns, "redundant"] = found.dead, found.redundant
                if halves:
                    reliability, both = halves
            # A table of features was aggregated before it came here.
            name = aggregation if "half1" in values else "given"
            redundant = "" if found.correlations is None else int(found.redundant.sum())
            counts = len(values[aggregation]), int(columns.sum()), int(found.dead.sum()), redundant
            spread = quartiles(found.sd[~found.dead])
            hash_ = var.loc[columns, "weights_hash"].iloc[0]
            summary.append((tissue_id, size, encoder, hash_, name, *counts, both, *quartiles(reliability), *spread))
            histograms += [(encoder, name, *row) for row in histogram_rows(found)]
    return var, pd.DataFrame(summary, columns=SUMMARY_COLUMNS), pd.DataFrame(histograms, columns=HISTOGRAM_COLUMNS)
