#!/usr/bin/env python3
"""What the report says of enriched terms across tissues, sizes and encoders, and of each gene across everything."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

from hx_gather import Kind
from hx_mqc import COUNT, RATIO, SMALL_P, bars, table
from hx_sections import COLOURS, named

TABLES = {  # of combine_enrichment.py, of the whole cohort
    "term_overlaps": Kind(["by", "differ_in", "setting", "other", "shared", "jaccard"]),
    "term_sets": Kind(["by", "differ_in", "alike", "members", "terms", "examples"]),
    "gene_summary": Kind(["gene", "symbol", "best_setting", "delta_r2", "terms"]),
}
AXES = {"tissue_id": "tissues", "size": "patch sizes", "encoder": "encoders and layers"}
MOST_SETS = 20  # bars, the highest


def term_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there and have rows; tables: the kinds of TABLES, gathered."""
    shown = []
    if len(rows := tables.get("term_sets", pd.DataFrame())):
        shown += [_upset(part, axis) for axis in AXES if len(part := rows[rows["differ_in"] == axis])]
        shown.append(_term_sets(rows))
    if len(rows := tables.get("gene_summary", pd.DataFrame())):
        shown.append(_genes(rows))
    return shown


def _upset(rows: pd.DataFrame, axis: str) -> dict:
    rows = rows.astype({"members": str})
    frame = rows.pivot_table(index=["alike", "members"], columns="by", values="terms", aggfunc="sum", fill_value=0)
    order = frame.sum(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_SETS]
    frame = frame.loc[order]
    frame.index = [f"{members.replace(';', ' + ')} ({alike})" for alike, members in frame.index]
    return bars(
        f"term_sets_{axis}",
        f"Terms by the {AXES[axis]} that find them",
        f"Number of sets found in exactly these {AXES[axis]} and no other, all else alike (in brackets): "
        "over-represented among all genes found (genes_found), or by camera with any feature.",
        "To read few shared terms as difference would be wrong: a setting of fewer donors finds fewer. The first "
        f"{len(frame)} combinations; all are in summary/term_sets.tsv.",
        frame,
        dict(zip(frame, cycle(COLOURS), strict=False)),
        ylab="Sets",
    )


def _term_sets(rows: pd.DataFrame) -> dict:
    rows = rows.sort_values(["number", "terms"], ascending=False, kind="stable")
    return table(
        "term_sets",
        "Terms across tissues, sizes and encoders",
        "Terms found in exactly each combination of tissues (patch sizes, encoders, aggregations) of settings that are "
        "alike in all else.",
        "To read few shared terms as difference would be wrong: a setting of fewer donors finds fewer.",
        rows,
        {
            "differ_in": named("Across", "What the settings differ in", {}),
            "alike": named("Settings", "What they have in common", {}),
            "by": named("Found by", "genes_found: all genes found in the setting; camera: with any feature", {}),
            "collection": named("Collection", "markers or gene_sets", {}),
            "terms": named("Terms", "Found there and nowhere else", COUNT),
            "number": named("Found in", "Settings of the combination", COUNT),
            "of": named("of", "Settings compared", COUNT),
            "examples": named("For example", "First terms", {}),
        },
        "summary/term_sets.tsv",
        "Combination",
        list(rows["members"].astype(str)),
    )


def _genes(rows: pd.DataFrame) -> dict:
    return table(
        "gene_summary",
        "Genes across everything",
        "Genes found in any tissue: the setting of smallest p, its feature and patch size, what the image adds to "
        "prediction in held-out donors, the cell type whose markers the gene tracks, and its terms.",
        "The best of many settings flatters: r is that of a pair that was chosen twice over. The gain is held out.",
        rows,
        {
            "tissues_found": named("Tissues", "That found it", COUNT),
            "settings_found": named("Settings", "That found it", COUNT),
            "best_setting": named("Best setting", "Of smallest p of the gene", {}),
            "best_feature": named("Feature", "Of largest |r| there", {}),
            "r": named("r", "Of that pair", RATIO),
            "gene_p": named("p of gene", "All features of the setting together", SMALL_P),
            "delta_r2": named("Gain in R2", "Largest, of models with q at most .05, in held-out donors", RATIO),
            "marker_set": named("Tracks markers of", "Cell type", {}),
            "terms": named("Terms", "Of smallest p of lists that hold it", {}),
        },
        "summary/gene_summary.tsv",
        "Gene",
        list(rows["symbol"].fillna("").where(rows["symbol"].fillna("") != "", rows["gene"])),
    )
