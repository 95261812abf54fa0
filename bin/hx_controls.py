#!/usr/bin/env python3
"""Negative controls: orders in which a setting's features are given to the wrong donors."""

from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import comma_list, preview
from hx_donors import named_generator
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


def control_list(text: str) -> list[str]:
    """Comma-separated names of CONTROLS, or none (argparse type)."""
    names = comma_list(text)
    if unknown := sorted(set(names) - {"none", *CONTROLS}):
        raise ArgumentTypeError(f"{preview(unknown)}: choose from none, {', '.join(CONTROLS)}")
    return names


def tissue_strata(cohort: Path | None, prefix: str, donors: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """`strata` of the donors from the rows of cohort.tsv of the tissue of <tissue_id>.<size>; without a file, one."""
    if cohort is None:
        return np.zeros(len(donors), np.int64), []
    rows = tissue_rows(cohort, prefix.rsplit(".", 1)[0]).set_index("donor")
    return strata(rows.reindex(donors).fillna(""))


def shuffled(seed: int, name: str, stratum: np.ndarray) -> np.ndarray:
    """(donors,) permutation within strata that depends on the seed and on the name of its purpose alone."""
    generator = named_generator(seed, name)
    order = np.arange(len(stratum))
    for number in np.unique(stratum):
        where = np.flatnonzero(stratum == number)
        order[where] = generator.permutation(where)
    return order
