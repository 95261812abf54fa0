#!/usr/bin/env python3
"""Tables of what instruments say of pairs of traits. None holds an individual."""

from typing import NamedTuple

import pandas as pd

from hx_causality import Direction, named_direction
from hx_causality_sources import Source
from hx_causality_traits import Pair, Trait, Unknown

PAIRS = [
    *("setting", "first", "first_kind", "first_label", "second", "second_kind", "second_label", "n", "r", "p"),
    *("verdict", "status", "reason", "adjusted_for", "alpha"),
]
_ENDS = ["exposure", "exposure_kind", "exposure_label", "outcome", "outcome_kind", "outcome_label"]
ESTIMATES = [
    *("setting", "direction", *_ENDS, "source", "overlap", "method", "status", "instruments", "variants", "n", "f"),
    *("r2_exposure", "effect", "se", "ci_low", "ci_high", "p", "q", "confidence_set", "set_shape", "slope", "slope_p"),
    *("heterogeneity", "heterogeneity_p", "i2gx", "intercept", "intercept_p"),
    *("steiger_z", "steiger_p", "flip_reliability", "coloc_h3", "coloc_h4"),
    *("unmatched", "mismatched", "palindromic", "linked", "reason"),
]
ASSUMPTIONS = ["setting", "direction", *_ENDS, "source", "instruments", "assumption", "state", "told"]
INSTRUMENTS = ["setting", "direction", *_ENDS, "source", "instrument", "variant", "chrom", "pos", "folds", "f"]
SOURCES = ["source", "status", "reason", "donor_overlap", "shared_donors", "build", "rows", "unusable", "traits"]
OK, UNKNOWN_NAME, NOT_TESTED = "OK", "UNKNOWN_NAME", "NOT_TESTED"


class Side(NamedTuple):
    """A direction of a pair by one source."""

    exposure: Trait
    outcome: Trait
    name: str
    source: str
    overlap: str
    found: Direction

    def head(self, setting: str) -> dict[str, object]:
        """Columns that the tables begin with."""
        ends = {}
        for end, trait in (("exposure", self.exposure), ("outcome", self.outcome)):
            ends |= {end: trait.name, f"{end}_kind": trait.kind, f"{end}_label": trait.label}
        return {"setting": setting, "direction": self.name, **ends, "source": self.source}


def name_of(pair: Pair, forward: bool) -> str:
    """Name of a direction of a pair."""
    ends = (pair.first.kind, pair.second.kind)
    return named_direction(*(ends if forward else ends[::-1]), forward)


def pair_row(setting: str, pair: Pair, **told: object) -> dict[str, object]:
    """Row of a pair; a name that is unknown has no kind."""
    row: dict[str, object] = {"setting": setting}
    for end, trait in (("first", pair.first), ("second", pair.second)):
        known = not isinstance(trait, Unknown)
        row |= {
            end: trait.name,
            f"{end}_kind": trait.kind if known else "",
            f"{end}_label": trait.label if known else "",
        }
    return row | told


def estimate_rows(setting: str, side: Side, q: float) -> list[dict[str, object]]:
    """A row a method, q on the first; one row with a status and no number where there is no instrument."""
    found = side.found
    told = {"overlap": side.overlap, "status": found.status, "reason": found.reason, "instruments": found.instruments}
    rows = [{**side.head(setting), **told, **row} for row in found.rows or ({},)]
    rows[0]["q"] = q
    return rows


def assumption_rows(setting: str, side: Side) -> list[dict[str, object]]:
    """A row an assumption."""
    head = side.head(setting) | {"instruments": side.found.instruments}
    return [{**head, "assumption": a.name, "state": a.state, "told": a.told} for a in side.found.assumptions]


def source_row(source: Source) -> dict[str, object]:
    """Row of a summary file, used or refused."""
    told = {"source": source.name, "status": source.status, "reason": source.reason, "build": source.build}
    told |= {"donor_overlap": source.overlap, "shared_donors": source.shared}
    return told | {"rows": len(source.rows), "unusable": source.unusable, "traits": source.rows["trait"].nunique()}


def instrument_rows(setting: str, side: Side, variants: pd.DataFrame | None) -> list[dict[str, object]]:
    """A row a variant of an instrument; those of the cohort are named by their place among `variants`."""
    rows = []
    for row in side.found.variants:
        own = dict(row)
        if "place" in own:
            at = variants.iloc[own.pop("place")]
            own |= {"id": at["id"], "chrom": at["chrom"], "pos": at["pos"]}
        own["variant"] = own.pop("id")
        rows.append({**side.head(setting), **own})
    return rows
