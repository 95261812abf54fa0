#!/usr/bin/env python3
"""What the report says of the 2017 study's claims: a table with a verdict on each, and each in words."""

import pandas as pd

import hx_finding_tests
from hx_claim_run import ALPHA, CHANCE, FAILS, HOLDS, UNTESTABLE
from hx_gather import Kind
from hx_mqc import PEOPLE, SMALL_P, table, text
from hx_sections import named

TABLES = {  # of describe_features.py: <tissue_id>.<size>.<kind>.tsv; all else that claims read is drawn elsewhere too
    "description_terms": Kind(["setting", "feature", "term"]),
}
VERDICT = {
    "cond_formatting_rules": {name: [{"s_eq": name}] for name in (HOLDS, FAILS, CHANCE, UNTESTABLE)},
    "cond_formatting_colours": [{HOLDS: "#1b7837"}, {FAILS: "#b2182b"}, {CHANCE: "#b35806"}, {UNTESTABLE: "#666666"}],
}
NUMBER = {"format": "{:.3g}", "scale": False}
RULE = (
    f"holds here: of a share, p at most {ALPHA:g} and an interval that holds the published number; of a difference, an "
    "interval above 0; of others as the column Why says. Does not hold here: it differs from its null, but not as "
    f"claimed. Not distinguishable from its null: of a share, p above {ALPHA:g}; of a difference, an interval that "
    "holds 0; neither proves that there is nothing. Not testable here: no table of this run tells of it"
)
MOST_TISSUES = 3  # whose claims stand in words; all are in the table


def claims_sections(rows: pd.DataFrame) -> list[dict]:
    """Sections of the table of hx_claims.claims; [] where no tissue was analysed."""
    if not len(rows):
        return []
    columns = {
        "verdict": named("Verdict", RULE, VERDICT),
        "published": named("Published", "The study's number: a share, an r2, a p or a count", NUMBER),
        "published_null": named("its null", "What chance gives the study's formula on the study's data", NUMBER),
        "formula": named("Formula here", "What the study's formula gives in this run", NUMBER),
        "null": named("its null", "What chance gives it in this run", NUMBER),
        "estimate": named("Calibrated", "Less what chance explains; what it is: in words, below", NUMBER),
        "ci_low": named("from", "95 % interval", NUMBER),
        "ci_high": named("to", "Upper end of the interval", NUMBER),
        "p": named("p", "Of the calibrated estimate", SMALL_P),
        "n": named("Donors", "Donors tested", PEOPLE),
        "why": named("Why", "What the verdict rests on", {}),
        "statement": named("In words", "What the study claims", {}),
        "study_tissue": named("Study's tissue", "Where the study claims it", {}),
        "setting": named("Setting", "tissue.size.encoder.aggregation, or tissue.size for expression", {}),
    }
    shown = table(
        "claims",
        "The study's claims, re-tested",
        "What the 2017 study claims, the number that it gives and what chance would give it; what its formula gives "
        "here, and the calibrated estimate, which alone decides.",
        f"To read the formula without its null would be wrong: it rises with the number of components and factors. "
        f"A claim on another tissue than the study's is a new one. Verdicts: {RULE}.",
        rows,
        {name: header for name, header in columns.items() if name == "verdict" or rows[name].notna().any()},
        "summary/claims.tsv",
        "Claim and tissue",
        [f"{row.claim.replace('_', ' ')}, {row.tissue_id}" for row in rows.itertuples()],
        finding=hx_finding_tests.claims(rows),
    )
    tissues = list(dict.fromkeys(rows["tissue_id"]))
    told = rows[rows["tissue_id"].isin(tissues[:MOST_TISSUES])]
    cut = "" if len(tissues) <= MOST_TISSUES else f" The first {MOST_TISSUES} of {len(tissues)} tissues."
    words = text(
        "claims_in_words",
        "The study's claims in words",
        f"Each claim, and what this run says of it.{cut} All are in summary/claims.tsv.",
        "A sentence that another part of the report contradicts would be wrong.",
        list(told["sentence"]),
    )
    return [shown, words]
