#!/usr/bin/env python3
"""The 2017 study's claims beside what this run says of them: read from the tables of the stages, nothing is recomputed.

A claim is tested in the verdict's setting of each tissue by the calibrated estimate alone. The study's own formula, and
what it gives with donors shuffled, stand beside it wherever a stage computed them.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from hx_claim_readings import (
    best_transcript,
    colour_feature,
    compared,
    factor_share,
    image_share,
    model_share,
    no_variant,
    pathway,
)
from hx_claim_run import UNTESTABLE, Reading, Run, Untestable, no_reading
from hx_scales import LARGER, RAW

SHARE, R2, COUNTS, P = "share", "r2", "count", "p"


class Claim(NamedTuple):
    """A claim of the study.

    statement: what it says, a sentence. tissue: where. published: its number, NaN where it gives none; of: what that
    is. published_null: what chance gives its formula there, NaN where that is not known.
    """

    statement: str
    tissue: str
    of: str = SHARE
    published: float = math.nan
    published_null: float = math.nan


# Nulls: a share of p factors or components has expectation p / (n - 1) by chance: 51 / 227 of the study's factors, 225
# to 230 donors having all of them. The permuted features of the study's final version, read from its figure 5, give
# the image .305 of expression, of the .49 that the factors leave; features as they are .344. The largest r2 of
# 1,024 x 2,000 independent pairs, 81 donors of Liver less 51 factors, has median .61.
CLAIMS = {
    "technical_expression": Claim(
        "Technical factors account for 51.1 % of the variance of expression.", "Lung", SHARE, 0.511, 0.225
    ),
    "technical_image": Claim(
        "Technical factors account for 40.6 % of the variance of image features.", "Lung", SHARE, 0.406, 0.225
    ),
    "rin_image": Claim(
        "RNA integrity is the factor that explains most of the image features: 11.8 %.", "Lung", SHARE, 0.118
    ),
    "ischaemia_expression": Claim(
        "Ischaemic time is the factor that explains most of expression: 12.7 %.", "Lung", SHARE, 0.127
    ),
    "image_expression": Claim(
        "Image features explain 34 % of expression beyond technical factors, 70 % of what these leave.",
        *("Lung", SHARE, 0.344 / 0.49, 0.305 / 0.49),
    ),
    "best_transcript": Claim(
        "A single feature explains as much as 66 % of a transcript beyond technical factors.", "Liver", R2, 0.66, 0.61
    ),
    "larger_patches": Claim("Larger patches explain more of expression.", "all ten tissues"),
    "raw_over_retrained": Claim("Raw features explain more of expression than retrained ones.", "all ten tissues"),
    "pathway": Claim(
        "The genes of feature 501 are enriched for lamellar bodies and surfactant metabolism (p = 1.2e-15).",
        *("Lung", P, 1.21e-15),
    ),
    "colour_ischaemia": Claim(
        "A feature that sees the colour of the tissue tracks ischaemic time (r = -.55).", "Lung", R2, 0.55**2
    ),
    "no_qtl": Claim("No variant in the genes that go with a feature goes with the feature.", "Lung", COUNTS, 0),
}
READERS = {
    "technical_expression": lambda run, place, value: model_share(run, place, "expression_pcs", value),
    "technical_image": lambda run, place, value: model_share(run, place, "image_pcs", value),
    "rin_image": lambda run, place, value: factor_share(run, place, "image_pcs", "rin", value),
    "ischaemia_expression": lambda run, place, value: factor_share(run, place, "expression_pcs", "ischaemia", value),
    "image_expression": image_share,
    "best_transcript": best_transcript,
    "larger_patches": lambda run, place, _value: compared(run, place, LARGER),
    "raw_over_retrained": lambda run, place, _value: compared(run, place, RAW),
    "pathway": lambda run, place, _value: pathway(run, place),
    "colour_ischaemia": lambda run, place, _value: colour_feature(run, place),
    "no_qtl": lambda run, place, _value: no_variant(run, place),
}
COLUMNS = [
    *("claim", "statement", "tissue_id", "study_tissue", "setting", "verdict", "why"),
    *("published", "published_is", "published_null", "formula", "null"),
    *("measure", "estimate", "ci_low", "ci_high", "p", "n", "source", "sentence"),
]


def claims(
    tables: Mapping[str, pd.DataFrame], chosen: pd.DataFrame, skipped: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """A row (COLUMNS) a claim and tissue, claims in the order of CLAIMS.

    Args:
        tables: {kind: gathered table} of the stages that ran.
        chosen: the verdict's settings: setting, tissue_id, size, encoder, aggregation.
        skipped: {stage: why} of the stages that were left out.
    """
    run = Run(tables, skipped or {})
    rows = []
    for name, claim in CLAIMS.items():
        for place in chosen.to_dict("records"):
            try:
                reading = READERS[name](run, place, claim.published)
            except Untestable as reason:
                reading = no_reading(place["setting"], str(reason))
            row = {"claim": name, "statement": claim.statement, "tissue_id": place["tissue_id"]}
            row |= {"study_tissue": claim.tissue, "published": claim.published, "published_is": claim.of}
            row |= {"published_null": claim.published_null} | reading._asdict()
            rows.append(row | {"sentence": sentence(claim, place["tissue_id"], reading)})
    return pd.DataFrame(rows, columns=COLUMNS)


def sentence(claim: Claim, tissue: str, reading: Reading) -> str:
    """The claim, what this run says of it, and the verdict, in words; numbers that are not there are left out.

    >>> sentence(Claim("Larger patches explain more.", "Lung"), "Liver", no_reading("Liver.256.raw.mean", "one size"))
    'Claim (Lung): Larger patches explain more. Liver, Liver.256.raw.mean: not testable here: one size.'
    """
    said = f"Claim ({claim.tissue}): {claim.statement} {tissue}, {reading.setting}: "
    if reading.verdict == UNTESTABLE:
        return f"{said}{reading.verdict}: {reading.why}."
    parts = [f"{reading.measure} {_number(reading.estimate)}"]
    if not math.isnan(reading.ci_low):
        parts.append(f"95 % interval {_number(reading.ci_low)} to {_number(reading.ci_high)}")
    if not math.isnan(reading.p):
        parts.append(f"p = {reading.p:.2g}")
    if not math.isnan(reading.n):
        parts.append(f"{int(reading.n)} donors")
    text = f"{said}{', '.join(parts)}."
    if not math.isnan(reading.formula):
        by_chance = "" if math.isnan(reading.null) else f", by chance {_number(reading.null)}"
        text += f" The study's formula gives {_number(reading.formula)}{by_chance}."
    return f"{text} Verdict: {reading.verdict}: {reading.why}."


def _number(value: float) -> str:
    """Three decimals, whole numbers as they are, small ones with their exponent."""
    if value == int(value):
        return f"{int(value)}"
    return f"{value:.2g}" if abs(value) < 5e-4 else f"{value:.3f}"
