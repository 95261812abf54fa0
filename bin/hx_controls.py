#!/usr/bin/env python3
"""Negative controls: orders in which a setting's features are given to the wrong donors."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_donors import Features, feature_settings, named_generator
from hx_join import MIN_DONORS
from hx_rows import tissue_rows

CONTROLS = ("shuffle_donors", "shuffle_within", "wrong_tissue")
# Columns of a cohort that hold what makes image and expression alike without biology, coarsest first.
STRATA = {"centre": ("SMCENTER", "centre"), "Hardy": ("DTHHRDY", "hardy"), "ischaemia": ("SMTSISCH", "ischaemia")}
TERTILES = 3
ENOUGH = 0.8  # share of the donors that must have another one in their stratum


def strata(cohort: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Stratum of each donor of a cohort, (donors,) whole numbers, and the names of what they are made of.

    Centre x Hardy scale x tertile of ischaemia, as far as the cohort has them. Strata of one donor shuffle nothing: the
    last of the three is left out until ENOUGH donors share theirs.
    """
    parts = {}
    for name, columns in STRATA.items():
        if column := next((c for c in columns if c in cohort), None):
            values = cohort[column].astype(str).str.strip()
            if name == "ischaemia":
                numbers = pd.to_numeric(values, errors="coerce")
                values = pd.cut(numbers.rank(pct=True), TERTILES, labels=False).fillna(-1)
            parts[name] = values
    while parts:
        number = pd.DataFrame(parts).groupby(list(parts), sort=True).ngroup().to_numpy()
        if (np.bincount(number)[number] > 1).mean() >= ENOUGH:
            return number, list(parts)
        parts.popitem()
    return np.zeros(len(cohort), np.int64), []


def tissue_strata(cohort: Path | None, prefix: str, donors: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """`strata` of the donors from the rows of cohort.tsv of the tissue of <tissue_id>.<size>; without a file, one."""
    if cohort is None:
        return np.zeros(len(donors), np.int64), []
    rows = tissue_rows(cohort, prefix.rsplit(".", 1)[0]).set_index("donor")
    return strata(rows.reindex(donors).fillna(""))


def other_features(
    table: AnnData, part: Features, donors: np.ndarray, size: str, name: str
) -> tuple[np.ndarray, Features] | None:
    """Donors of whom another tissue has features too, and those of the same encoder and aggregation; None: too few."""
    both = np.array([donor for donor in donors if donor in set(table.obs_names)], dtype=object)
    if len(both) < MIN_DONORS or part.encoder not in set(table.var["encoder"]):
        return None
    found = feature_settings(table, both, size, [part.aggregation], name)
    return both, next(other for other in found if other.encoder == part.encoder)


def shuffled(seed: int, name: str, stratum: np.ndarray) -> np.ndarray:
    """(donors,) permutation within strata that depends on the seed and on the name of its purpose alone."""
    generator = named_generator(seed, name)
    order = np.arange(len(stratum))
    for number in np.unique(stratum):
        where = np.flatnonzero(stratum == number)
        order[where] = generator.permutation(where)
    return order
