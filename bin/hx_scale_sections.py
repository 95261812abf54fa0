#!/usr/bin/env python3
"""What the report says of settings against each other: the maximum over all of them, and the study's two claims."""

from collections.abc import Mapping

import pandas as pd

import hx_finding_factors
from hx_gather import Kind
from hx_mqc import COUNT, PEOPLE, RATIO, SMALL_P, table
from hx_sections import named
from hx_shared import HEADLINE, last_of
from hx_variance_sections import SIDES

TABLES = {  # of combine_scales.py: <tissue_id>.<kind>.tsv
    "scales": Kind(["setting", "direction", "scaling", "adjusted", "z", "p_familywise", "largest"]),
    "comparisons": Kind(["setting", "other", "claim", "difference", "p"]),
}


def scale_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there and have rows to show; [] where settings were not compared."""
    shown = []
    if len(scales := tables.get("scales", pd.DataFrame())):
        rows = scales[(scales["scaling"] == HEADLINE) & (scales["adjusted"] == last_of(scales))]
        shown.append(_maximum(rows[rows["largest"] == "yes"]))
    if len(rows := tables.get("comparisons", pd.DataFrame())):
        claims = rows[rows["claim"].fillna("") != ""]
        shown += [_claims(claims)] if len(claims) else []
    return shown


def _maximum(rows: pd.DataFrame) -> dict:
    columns = {
        "setting": named("Setting", "Of all that ran, the one of largest statistic", {}),
        "side": named("Variance of", "What is explained", {}),
        "adjusted_share": named("Shared", "On the donors that every size has, less what chance explains", RATIO),
        "p": named("p", "Of this setting by itself", SMALL_P),
        "p_familywise": named("Family-wise p", "Against the maximum over all settings", SMALL_P),
        "settings": named("Settings", "Number looked at", COUNT),
        "n": named("Donors", "Donors at every size", PEOPLE),
    }
    return table(
        "shared_variance_maximum",
        "The most that any setting shares",
        "The setting of each tissue that shares most for its number of PCs, and the chance of as much in any of "
        "them under one permutation of the donors for all.",
        "To report the largest with its own p would be wrong: it was looked for.",
        rows.assign(side=rows["direction"].map(SIDES)),
        columns,
        "shared_variance/*.scales.tsv",
        "Tissue",
        list(rows["tissue_id"]),
    )


def _claims(rows: pd.DataFrame) -> dict:
    columns = {
        "claim": named("Claim of the study", "Declared before the run", {}),
        "setting": named("First", "Setting that is claimed to explain more", {}),
        "other": named("Second", "Setting that it is compared with", {}),
        "difference": named("Difference", "Of the adjusted shares at an equal number of PCs", RATIO),
        "ci_low": named("from", "95 % interval, grouped jackknife over donors", RATIO),
        "ci_high": named("to", "Upper end of the interval", RATIO),
        "p": named("p", "Flipped signs of the jackknife's pseudo-values", SMALL_P),
        "components": named("PCs", "Of both", COUNT),
        "n": named("Donors", "Donors of both", PEOPLE),
    }
    return table(
        "shared_variance_claims",
        "The study's two claims",
        "That larger patches explain more of expression, and raw features more than retrained ones: on the same "
        "donors, at an equal number of PCs, adjusted.",
        "A claim holds where the interval lies above 0. All other pairs of settings are exploratory.",
        rows,
        columns,
        "shared_variance/*.comparisons.tsv",
        "Tissue",
        list(rows["tissue_id"]),
        finding=hx_finding_factors.setting_claims(rows),
    )
