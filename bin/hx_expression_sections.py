#!/usr/bin/env python3
"""What the report says of genes: histograms of their mean and SD, with the study's cut-offs."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

from hx_gather import Kind
from hx_mqc import escape, lines
from hx_sections import COLOURS

PUBLISHED = "summary/gene_histograms.tsv"
TABLES = {  # of prepare_expression.py: <tissue_id>.<kind>.tsv
    "gene_histograms": Kind(["tissue_id", "what", "left", "right", "genes", "kept", "cut_off", "applied"])
}
CUTS = {"color": "#444444", "width": 1, "dash": "dash"}


def expression_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Histograms of the genes' mean and SD, a line a tissue, the study's cut-offs as vertical lines; [] without any."""
    if "gene_histograms" not in tables:
        return []
    rows = tables["gene_histograms"]
    return [_histogram(part, what) for what in ("mean", "sd") if len(part := rows[rows["what"] == what])]


def _histogram(rows: pd.DataFrame, what: str) -> dict:
    applied = (rows["applied"] == "yes").any()
    series, style, cuts = {}, {}, {}
    for colour, (tissue, part) in zip(cycle(COLOURS), rows.groupby("tissue_id"), strict=False):
        middle = ((part["left"] + part["right"]) / 2).to_numpy(float)
        series[tissue], style[tissue] = (middle, part["genes"].to_numpy(float)), {"color": colour, "dash": "solid"}
        cuts.setdefault(round(part["cut_off"].iloc[0], 4), (tissue, colour))
    known = {value: found for value, found in cuts.items() if pd.notna(value)}
    alone = len(known) == 1
    x_lines = [
        {**CUTS, "value": value, "color": CUTS["color"] if alone else colour, "label": "" if alone else escape(tissue)}
        for value, (tissue, colour) in sorted(known.items())
    ]
    use = "the filter of this run" if applied else "not applied in this run"
    shown, wrong = {
        "mean": (
            f"Genes by mean of their log2 values over donors; dashed: the study's cut-off, a mean of 1 ({use}).",
            "No peak of silent genes near 0 in a whole transcriptome, or a tissue unlike all others, would be wrong. ",
        ),
        "sd": (
            "Genes with a mean above 1 by the SD of their log2 values over donors; dashed: where the study cuts, the "
            f"2,000th largest SD of the tissue ({use}).",
            "A tissue whose SD is large throughout would be wrong: quality of RNA, or two kinds of samples in one. ",
        ),
    }[what]
    return lines(
        f"gene_{what}",
        "Genes by mean" if what == "mean" else "Genes by standard deviation",
        shown,
        f"{wrong}Rows: {PUBLISHED}.",
        series,
        style,
        xlab="Mean of log2 values" if what == "mean" else "SD of log2 values",
        ylab="Genes",
        ymin=0,
        x_lines=x_lines,
    )
