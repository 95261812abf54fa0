#!/usr/bin/env python3
"""Sentences that read the report's tables of the run itself: verdict, losses, slides, classifier, planted truths."""

import pandas as pd

from hx_findings import count, detectable, each, estimate, names, number, of_rows, people, shuffled
from hx_report import PEOPLE_KINDS
from hx_sizes import size_text


@of_rows
def verdict(rows: pd.DataFrame) -> str:
    """Of summary/verdict.tsv: a part a tissue."""
    parts = []
    for _, row in rows.iterrows():
        told = [people(row["donors"])]
        if not pd.isna(row.get("shared")):
            told.append(f"shared variance {estimate(*row[['shared', 'shared_low', 'shared_high', 'shared_p']])}")
        if not pd.isna(row.get("genes_found")):
            found = f"{count(row['genes_found'], 'gene')} of {number(row['genes'])} found"
            told.append(found + shuffled(row.get("control_genes_found")))
        if not pd.isna(row.get("predicted")):
            gain = row["predicted_gain"]
            gain = "" if pd.isna(gain) else f" with a median gain in R2 of {number(gain)}"
            told.append(f"{count(row['predicted'], 'gene')} predicted{gain}{shuffled(row.get('control_predicted'))}")
        parts.append(f"{row['tissue_id']} is {row['status']}: {', '.join(told)}{detectable(rows.loc[[row.name]])}")
    return each(parts)


@of_rows
def flow(rows: pd.DataFrame) -> str:
    """Of summary/flow.tsv."""
    last = "donors_analysed" if "donors_analysed" in rows else "donors_kept"
    parts = []
    for _, row in rows.iterrows():
        parts.append(f"{row['tissue_id']}: {people(row[last])} analysed, {people(row['donors'])} in the sheet")
    return each(parts)


@of_rows
def losses(rows: pd.DataFrame) -> str:
    """Of summary/losses.tsv: how many reasons there are, and the commonest."""
    top = rows.loc[rows["count"].astype(int).idxmax()]
    n = people(top["count"], "ids", "ids") if top["kind"] in PEOPLE_KINDS else f"{number(top['count'])} ids"
    reasons = f"of {count(len(rows), 'reason')} the commonest, in {top['stage']}, is: {top['reason']}"
    return f"{reasons} ({n} of kind {top['kind']})."


@of_rows
def slide_status(counts: pd.DataFrame) -> str:
    """Of the number of slides by tissue and status."""
    of = counts.sum()
    every = ", ".join(f"{people(of[name], name, name)}".replace("_", " ") for name in counts)
    return f"{people(int(of.sum()), 'slide')} of {count(len(counts), 'tissue')}: {every}."


@of_rows
def classifier(rows: pd.DataFrame) -> str:
    """Of summary/classifier.tsv: the classifier itself, without its controls."""
    own = rows[rows["variant"].fillna("") == ""]
    parts = []
    for _, row in own.iterrows():
        patches, slides, chance = (number(row[name]) for name in ("patch_accuracy", "slide_accuracy", "chance"))
        parts.append(
            f"{size_text(str(row['size']))}: {patches} of patches and {slides} of slides told, {chance} by chance, "
            f"{people(row['validation_donors'], 'validation donor')}"
        )
    return each(parts, most=6, what="patch size")


@of_rows
def planted_truths(rows: pd.DataFrame) -> str:
    """Of summary/planted_truths.tsv."""
    found = rows["found"] == "yes"
    missed = names(rows.loc[~found, "property"])
    return f"{number(int(found.sum()))} of {count(len(rows), 'property', 'properties')} found; not found: {missed}."
