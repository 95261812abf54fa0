#!/usr/bin/env python3
"""What the report says of causes: verdicts on pairs, estimates both ways, assumptions, and the studies they rest on."""

from collections.abc import Mapping

import pandas as pd

import hx_finding_factors
from hx_gather import Kind
from hx_mqc import COUNT, PEOPLE, RATIO, SMALL_P, table
from hx_sections import EFFECT, named

TABLES = {  # of test_causality.py: <tissue_id>.<size>.<kind>.tsv
    "causality_pairs": Kind(["setting", "first", "second", "verdict", "status", "reason"]),
    "causality_estimates": Kind(["setting", "direction", "exposure", "outcome", "source", "method", "status", "p"]),
    "causality_assumptions": Kind(["setting", "direction", "exposure", "outcome", "assumption", "state", "told"]),
    "causality_sources": Kind(["source", "status", "reason", "donor_overlap"]),
}
STATES = {
    "cond_formatting_rules": {state: [{"s_eq": state}] for state in ("held", "failed", "untestable")},
    "cond_formatting_colours": [{"held": "#1b7837"}, {"failed": "#b2182b"}, {"untestable": "#878787"}],
}


def causality_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there; [] where nothing was asked. tables: the kinds of TABLES, gathered."""
    pairs = tables.get("causality_pairs", pd.DataFrame())
    if not len(pairs):
        return []
    shown = [_verdicts(pairs)]
    estimates = tables.get("causality_estimates", pd.DataFrame())
    if len(estimates):
        shown.append(_estimates(estimates))
    assumptions = tables.get("causality_assumptions", pd.DataFrame())
    if len(assumptions):
        shown.append(_assumptions(assumptions))
    sources = tables.get("causality_sources", pd.DataFrame())
    if len(sources):
        shown.append(_sources(sources))
    return shown


def _several(rows: pd.DataFrame) -> bool:
    return rows["setting"].nunique() > 1


def _name(row: object, first: str, second: str, several: bool) -> str:
    """'SYMBOL and feature', with the setting where the report has several."""
    ends = [getattr(row, f"{end}_label") or getattr(row, end) for end in (first, second)]
    return f"{ends[0]}, {ends[1]}" + (f", {row.setting}" if several else "")


def _verdicts(pairs: pd.DataFrame) -> dict:
    pairs = pairs.fillna({"first_label": "", "second_label": ""})
    return table(
        "causality_verdicts",
        "What acts on what",
        "Pairs of traits that go together, asked both ways by variants that tell one of them (Mendelian "
        "randomisation). A direction is named where at least two instruments agree on an effect and no "
        "assumption that can be tested failed; shared_cause, where instruments of both exclude that either explains "
        "all of the association. Even then a heritable common cause would look the same.",
        "Many named directions with fewer than a thousand donors, or one that a variant makes by itself, would be "
        "wrong: undetermined is what most pairs should say.",
        pairs,
        {
            "verdict": named("Verdict", "Direction, shared_cause, undetermined or NO_INSTRUMENT", {}),
            "reason": named("Why", "What the verdict rests on, or what is open", {}),
            "status": named("Status", "OK, UNKNOWN_NAME or NOT_TESTED", {}),
            "r": named("r", "Correlation of the two given the covariates", RATIO),
            "p": named("p", "Of that correlation", SMALL_P),
            "n": named("Donors", "Donors with both traits and genotypes", PEOPLE),
        },
        "causality/*.causality_pairs.tsv",
        "Pair",
        [_name(row, "first", "second", _several(pairs)) for row in pairs.itertuples()],
        finding=hx_finding_factors.causes(pairs),
    )


def _estimates(rows: pd.DataFrame) -> dict:
    several = _several(rows)
    rows = rows.fillna({"exposure_label": "", "outcome_label": ""})
    columns = {
        "direction": named("Direction", "What is asked", {}),
        "source": named("Instruments of", "The cohort, or another study", {}),
        "method": named("Method", "2sls_crossfitted: picked in nine tenths of the donors, used in the last", {}),
        "status": named("Status", "TESTED, WEAK_INSTRUMENT (F below 10) or NO_INSTRUMENT", {}),
        "instruments": named("Instruments", "Independent ones", COUNT),
        "f": named("F", "Smallest F of an instrument with the exposure", {"format": "{:.1f}", "scale": False}),
        "effect": named("Effect", "Standard deviations of the outcome a standard deviation of the exposure", EFFECT),
        "confidence_set": named("95 % set", "Anderson-Rubin; may be unbounded (weak) or empty (no effect fits)", {}),
        "slope": named("Slope", "Of the outcome on the exposure among donors: what confounding is part of", EFFECT),
        "p": named("p", "Of no effect", SMALL_P),
        "q": named("q", "Benjamini-Hochberg over the pairs of the direction", SMALL_P),
        "heterogeneity_p": named("Agreement p", "Sargan or Cochran's Q: whether instruments agree", SMALL_P),
        "steiger_z": named("Steiger z", "Above 0: the instruments tell the exposure better", EFFECT),
        "flip_reliability": named("Flips at", "Outcome's reliability over the exposure's where z turns", RATIO),
        "coloc_h4": named("PP.H4", "Posterior of one common variant in the region", RATIO),
        "palindromic": named("Palindromic", "Variants dropped: their strand cannot be told", COUNT),
        "mismatched": named("Alleles", "Variants dropped: alleles do not match", COUNT),
        "reason": named("Why", "Of the status", {}),
    }
    return table(
        "causality_estimates",
        "Effects by instruments, both ways",
        "Effect of each trait on the other by variants that tell it. Instruments of the cohort are cross-fitted: "
        "picked in the donors that are then tested, variants that do nothing would find an effect in half of all "
        "pairs.",
        "An effect with F below 10, or a slope far from the effect taken for one, would be wrong. Where there is no "
        "instrument there is no number.",
        rows,
        {name: header for name, header in columns.items() if name in rows and rows[name].notna().any()},
        "causality/*.causality_estimates.tsv",
        "Exposure and outcome",
        [_name(row, "exposure", "outcome", several) for row in rows.itertuples()],
    )


def _assumptions(rows: pd.DataFrame) -> dict:
    several = _several(rows)
    rows = rows.fillna({"exposure_label": "", "outcome_label": ""})
    return table(
        "causality_assumptions",
        "Assumptions of each direction",
        "What the effects rest on: held, failed, or untestable with these data.",
        "A named direction beside an assumption that failed would be wrong. Untestable is no support.",
        rows,
        {
            "direction": named("Direction", "What is asked", {}),
            "source": named("Instruments of", "The cohort, or another study", {}),
            "assumption": named("Assumption", "What must hold", {}),
            "state": named("State", "held, failed or untestable", STATES),
            "told": named("By", "What tells it", {}),
        },
        "causality/*.causality_assumptions.tsv",
        "Exposure and outcome",
        [_name(row, "exposure", "outcome", several) for row in rows.itertuples()],
    )


def _sources(rows: pd.DataFrame) -> dict:
    rows = rows.drop_duplicates(["source", "status", "reason"])
    return table(
        "causality_sources",
        "Studies that gave instruments",
        "Summary files of other studies, whether they were used, and how many donors they share with the cohort.",
        "A study of the cohort's own donors that declares none would be wrong: its effects lean to the slope.",
        rows,
        {
            "status": named("Status", "USED or REFUSED", {}),
            "donor_overlap": named("Overlap", "Declared in the file: none, partial or full", {}),
            "shared_donors": named("Donors shared", "As declared", PEOPLE),
            "rows": named("Rows", "Associations read", COUNT),
            "unusable": named("Not usable", "Rows without a position, a standard error or an effect", COUNT),
            "traits": named("Traits", "Traits in it", COUNT),
            "reason": named("Why", "Why it was refused", {}),
        },
        "causality/*.causality_sources.tsv",
        "File",
        list(rows["source"]),
    )
