#!/usr/bin/env python3
"""Negative controls: orders in which a setting's features are given to the wrong donors."""

from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_cli import comma_list, log, preview
from hx_donors import Features, Side, feature_settings, named_generator, read_annotated, side_of, usable
from hx_factors import known_cells, named_for, numbers_of
from hx_join import MIN_DONORS
from hx_rows import tissue_rows

SHUFFLE_DONORS, SHUFFLE_WITHIN, WRONG_TISSUE = CONTROLS = ("shuffle_donors", "shuffle_within", "wrong_tissue")
# What goes with shuffle_within where covariates are adjusted for: the real features and those shuffled within strata,
# without the adjustment, which takes out what the strata hold.
UNADJUSTED, UNADJUSTED_WITHIN = "unadjusted", "unadjusted_within"
# What makes image and expression alike without biology, coarsest first: what it is called, and its key in
# hx_factors.NAMES_OF.
STRATA = {"centre": "centre", "Hardy": "hardy", "ischaemia": "ischaemia"}
TERTILES = 3
ENOUGH = 0.8  # share of the donors that must have another one in their stratum


def strata(cohort: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Stratum of each donor of a cohort, (donors,) whole numbers, and the names of what they are made of.

    Centre x Hardy scale x tertile of ischaemia, as far as the cohort has them. Strata of one donor shuffle nothing: the
    last of the three is left out until ENOUGH donors share theirs.
    """
    parts = {}
    for name, what in STRATA.items():
        if column := named_for(what, cohort.columns):
            values = pd.Series(known_cells(cohort[column]))
            if name == "ischaemia":
                minutes = pd.Series(numbers_of(values.to_numpy(), "time")[0])
                values = pd.cut(minutes.rank(pct=True), TERTILES, labels=False).fillna(-1)
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


def shuffled_order(control: str, seed: int, setting: str, stratum: np.ndarray) -> np.ndarray:
    """(donors,) order of a setting's features under shuffle_within, or among all donors under shuffle_donors."""
    return shuffled(seed, f"{setting}.{control}", stratum if control == SHUFFLE_WITHIN else np.zeros_like(stratum))


def feature_orders(
    wanted: list[str], seed: int, setting: str, stratum: np.ndarray, strata: list[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """(control, order of the features' donors) of the setting itself, `none`, and of the shuffled controls wanted."""
    yield "none", np.arange(len(stratum))
    for control in (SHUFFLE_DONORS, *([SHUFFLE_WITHIN] if strata else [])):
        if control in wanted:
            yield control, shuffled_order(control, seed, setting, stratum)


def other_tissue(
    path: Path, expression: AnnData, donors: np.ndarray, design: pd.DataFrame | None, names: tuple[str, str]
) -> tuple[AnnData | None, str, Side | None]:
    """Features of another tissue, their file's name, and the side of the donors that have both; None for too few.

    names: of the expression file, and of what is tested, for messages.
    """
    other = read_annotated(path)
    both = donors[np.isin(donors, other.obs_names.to_numpy(dtype=object))]
    if len(both) < MIN_DONORS:
        log.warning("%s: %d of the donors: no wrong_tissue", path.name, len(both))
        return None, "", None
    return other, path.name, side_of(expression, both, design, names)[0]


class Given(NamedTuple):
    """What a control tests: names of features and their (donors, features) values, and the side that they meet.

    strata: within which donors were shuffled, or the other tissue.
    """

    control: str
    side: Side
    name: np.ndarray
    values: np.ndarray
    strata: str


@dataclass(frozen=True)
class Controls:
    """The controls of a tissue and size.

    wanted: of CONTROLS. stratum, strata: of `strata`. unadjusted: the side without covariates, None where there are
    none anyway. other, other_name: features of the same donors' other tissue and their file, and other_side: genes of
    the donors that have both; see other_tissue.
    """

    wanted: list[str]
    seed: int
    stratum: np.ndarray
    strata: list[str]
    unadjusted: Side | None = None
    other: AnnData | None = None
    other_name: str = ""
    other_side: Side | None = None

    def of(self, setting: str, part: Features, side: Side, name: np.ndarray, values: np.ndarray) -> Iterator[Given]:
        """Those of a setting: `part` names its encoder and aggregation, `name` and `values` are what it tests."""
        for control in (control for control in CONTROLS if control in self.wanted):
            if control == WRONG_TISSUE:
                yield from self._wrong_tissue(part)
            elif control == SHUFFLE_WITHIN and not self.strata:
                log.warning("%s: no strata of enough donors: %s is left out", setting, control)
            else:
                within = control == SHUFFLE_WITHIN
                order = shuffled_order(control, self.seed, setting, self.stratum)
                told = ";".join(self.strata) if within else ""
                yield Given(control, side, name, values[order], told)
                if within and self.unadjusted:
                    yield Given(UNADJUSTED, self.unadjusted, name, values, "")
                    yield Given(UNADJUSTED_WITHIN, self.unadjusted, name, values[order], told)

    def _wrong_tissue(self, part: Features) -> Iterator[Given]:
        if self.other_side is None or part.encoder not in set(self.other.var["encoder"]):
            return
        side = self.other_side
        tissue, size, _ = self.other_name.rsplit(".", 2)
        found = feature_settings(self.other, side.donors, size, [part.aggregation], self.other_name)
        other = next(other for other in found if other.encoder == part.encoder)
        keep, _, _ = usable(other.values, other.name, "feature", self.other_name, side.space)
        yield Given(WRONG_TISSUE, side, other.name[keep], other.values[:, keep], tissue)
