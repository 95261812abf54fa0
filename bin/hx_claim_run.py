#!/usr/bin/env python3
"""What reads the tables of a run for a claim of the 2017 study, and the verdicts on it.

A verdict is one of four, by 95 % intervals and p of the calibrated estimate; what the study's own formula gives has no
say in it:
    holds here                          a share: p <= ALPHA and the interval holds the published number; a difference:
                                        its interval lies above 0; of others, as said at their function
    does not hold here                  it differs from its null, but not as claimed
    not distinguishable from its null   a share: p > ALPHA; a difference: its interval holds 0; neither proves the claim
                                        nor that there is nothing
    not testable here                   no table says anything of it
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

ALPHA = 0.05
HOLDS, FAILS, CHANCE, UNTESTABLE = VERDICTS = (
    *("holds here", "does not hold here", "not distinguishable from its null", "not testable here"),
)
STAGE_OF = {  # kind of table: its stage
    "confounder_ledger": "adjust_confounders",
    "factor_curve": "adjust_confounders",
    "shared_variance": "shared_variance",
    "comparisons": "combine_scales",
    "published_associations": "compare_settings",
    "enrichment_table1": "enrich",
    "enrichment_top": "enrich",
    "enrichment_summary": "enrich",
    "description_terms": "describe_features",
    "descriptions": "describe_features",
    "qtl_summary": "map_qtl",
}


class Untestable(Exception):
    """Why no table of the run tells of a claim."""


class Reading(NamedTuple):
    """What a run says of a claim in a setting; NaN for what no table says.

    measure: what `estimate` is, with 95 % interval, p and n donors. formula: what the study's own formula gives here;
    null: what it gives by chance. source: the table.
    """

    setting: str
    source: str
    measure: str
    estimate: float
    verdict: str
    why: str
    ci_low: float = math.nan
    ci_high: float = math.nan
    p: float = math.nan
    n: float = math.nan
    formula: float = math.nan
    null: float = math.nan


def no_reading(setting: str, why: str) -> Reading:
    """Of a claim that cannot be tested."""
    return Reading(setting, "", "", math.nan, UNTESTABLE, why)


class Run(NamedTuple):
    """Gathered tables of a run by kind, and {stage: why} of the stages that it left out."""

    tables: Mapping[str, pd.DataFrame]
    skipped: Mapping[str, str]

    def rows(self, kind: str, columns: list[str], **wanted: str) -> pd.DataFrame:
        """Rows of a kind with these values; `columns` are the others that it must have.

        Raises:
            Untestable: the stage was left out, it wrote none, the table is of another version, or no row is such.
        """
        stage = STAGE_OF[kind]
        if stage in self.skipped:
            raise Untestable(f"{stage} was skipped ({self.skipped[stage]})")
        if kind not in self.tables:
            raise Untestable(f"{stage} wrote no {kind}.tsv")
        table = self.tables[kind]
        if lacking := [name for name in [*columns, *wanted] if name not in table]:
            raise Untestable(f"{kind}.tsv has no column {', '.join(lacking)}: it was made by another version")
        for name, value in wanted.items():
            table = table[table[name] == value]
        if not len(table):
            told = ", ".join(f"{name} {value}" for name, value in wanted.items())
            raise Untestable(f"{kind}.tsv has no row of {told}")
        return table

    def rows_if_any(self, kind: str, columns: list[str], **wanted: str) -> pd.DataFrame:
        """The same, empty where there are none."""
        try:
            return self.rows(kind, columns, **wanted)
        except Untestable:
            return pd.DataFrame(columns=[*columns, *wanted])


def share_verdict(published: float, low: float, high: float, p: float) -> tuple[str, str]:
    """Verdict on a share, and why. Untestable: it has no interval or no p."""
    if any(math.isnan(value) for value in (low, high, p)):
        raise Untestable("the table has no interval or no p of it")
    side = "lies below" if high < published else "lies above" if low > published else "holds"
    why = f"the interval {side} the published {100 * published:.1f} %"
    if p > ALPHA:
        return CHANCE, f"p is above {ALPHA:g}; {why}"
    return HOLDS if side == "holds" else FAILS, why
