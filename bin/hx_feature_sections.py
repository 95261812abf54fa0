#!/usr/bin/env python3
"""What the report says of the features themselves: reliability against patch size, dead and redundant ones."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

from hx_gather import Kind
from hx_mqc import COUNT, PEOPLE, RATIO, lines, table
from hx_sections import COLOURS, named
from hx_sizes import size_value

PUBLISHED = "summary/feature_summary.tsv"
MEANS = ("mean", "given")
TABLES = {  # of aggregate_features.py: <tissue_id>.<size>.<kind>.tsv
    "feature_summary": Kind(
        ["tissue_id", "size", "encoder", "aggregation", "n_donors", "n_features", "reliability_median"]
    )
}


def feature_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of the means, by tissue, encoder and rising patch size."""
    rows = summary[summary["aggregation"].isin(MEANS)]
    rows = rows.assign(_size=rows["size"].astype(str).map(size_value))
    return rows.sort_values(["tissue_id", "encoder", "_size"], ignore_index=True).drop(columns="_size")


def feature_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Table of the features of each setting and, where patches have halves, reliability against patch size."""
    if "feature_summary" not in tables:
        return []
    rows = feature_rows(tables["feature_summary"])
    curves = rows[rows["reliability_median"].notna()]
    return [_table(rows), *([_curves(curves)] if len(curves) else [])]


def _table(rows: pd.DataFrame) -> dict:
    columns = {
        "size": named("Patch size", "Level-0 pixels, or um; - for a table of features", {}),
        "encoder": named("Encoder", "What made the features", {}),
        "weights_hash": named("Weights", "First characters of the SHA-256 of the encoder's weights", {}),
        "n_donors": named("Donors", "Donors with these features", PEOPLE),
        "n_features": named("Features", "Number", COUNT),
        "n_dead": named("Dead", "Constant over the donors: never tested", COUNT),
        "n_redundant": named("Redundant", "Correlated by more than .99 with an earlier feature", COUNT),
        "reliability_q1": named("Reliability, quartile", "Split-half, Spearman-Brown: first quartile", RATIO),
        "reliability_median": named("Reliability, median", "Split-half, Spearman-Brown", RATIO),
        "reliability_q3": named("Third quartile", "Of the reliability", RATIO),
        "sd_median": named("SD, median", "Over donors, of the living features", RATIO),
    }
    return table(
        "features",
        "Features and their reliability",
        "Features of each encoder and size (means over patches): how many vary, and how well the two halves of a "
        "donor's patches agree on them.",
        "Reliability near 0 would be wrong: what cannot be measured twice cannot be associated with anything.",
        rows,
        {name: header for name, header in columns.items() if rows[name].notna().any()},
        PUBLISHED,
        "Tissue",
        list(rows["tissue_id"]),
    )


def _curves(rows: pd.DataFrame) -> dict:
    series, style = {}, {}
    for colour, (tissue, of_tissue) in zip(cycle(COLOURS), rows.groupby("tissue_id"), strict=False):
        for dash, (encoder, part) in zip(cycle(["solid", "dot", "dash"]), of_tissue.groupby("encoder"), strict=False):
            sizes = part["size"].astype(str).map(size_value).to_numpy(float)
            series[f"{tissue}, {encoder}"] = (sizes, part["reliability_median"].to_numpy(float))
            style[f"{tissue}, {encoder}"] = {"color": colour, "dash": dash}
    return lines(
        "reliability",
        "Reliability against patch size",
        "Median split-half reliability of the features against the side of the patch.",
        "Curves of variance or of hits against patch size that only follow this one would be wrong: larger patches are "
        "fewer.",
        series,
        style,
        xlab="Side of the patch",
        ylab="Reliability",
        xlog=True,
    )
