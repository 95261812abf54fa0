#!/usr/bin/env python3
"""Sentences that read the tables of the statistics: calibration, controls, hits, shared variance, prediction, terms."""

import pandas as pd

from hx_findings import (
    count,
    each,
    estimate,
    names,
    number,
    of_rows,
    p_value,
    people,
    shuffled,
    shuffled_with_hits,
    span,
)
from hx_report import real
from hx_shared import EXPRESSION, last_of


@of_rows
def calibration(rows: pd.DataFrame) -> str:
    """Of summary/calibration.tsv: the settings with donors shuffled, whose p values are null."""
    null = rows[rows["control"] == "shuffle_donors"]
    if not len(null):
        return "no setting ran with donors shuffled, so that nothing here says whether p values hold."
    own = span(real(rows)["lambda_gc"])
    return (
        f"with donors shuffled the share of p < .05 is {span(null['share_p05'])} and lambda {span(null['lambda_gc'])}, "
        f"in {count(len(null), 'setting')}; as donors are, lambda is {own}."
    )


@of_rows
def controls(rows: pd.DataFrame) -> str:
    """Of summary/controls.tsv: hits of each tissue's primary setting and of its controls."""
    parts = []
    for tissue, part in rows.groupby("tissue_id", sort=False):
        told = [f"{number(row['hits'])} by {row['control']}" for _, row in part[part["control"] != "none"].iterrows()]
        own = count(real(part)["hits"].sum(), "hit")
        parts.append(f"{tissue}: {', '.join([own, *told])}, {people(part['n'].iloc[0])}")
    return each(parts)


@of_rows
def settings(rows: pd.DataFrame) -> str:
    """Of summary/settings.tsv."""
    with_hits = rows[rows["hits"] > 0].sort_values("hits", ascending=False, kind="stable")
    beside = shuffled_with_hits(rows)
    most = f"; most in {with_hits['setting'].iloc[0]} ({number(with_hits['hits'].iloc[0])})" if len(with_hits) else ""
    return f"{number(len(with_hits))} of {count(len(rows), 'setting has', 'settings have')} hits{beside}{most}."


@of_rows
def genes(rows: pd.DataFrame) -> str:
    """Of summary/top_genes.tsv: the gene of smallest p of each tissue."""

    def other(row: pd.Series) -> str:
        return (
            "" if pd.isna(row["r_split_half"]) else f" ({number(row['r_split_half'])} in donors that did not choose it)"
        )

    best = rows.sort_values(["gene_p", "gene"]).drop_duplicates("tissue_id").sort_values("tissue_id")
    parts = [
        f"{row['tissue_id']}: {row['symbol']} with {row['best_feature']}, r {number(row['r'])}"
        f"{other(row)}, {p_value(row['gene_p'])} and q "
        f"{row['gene_q']:.2g} of the gene, {people(row['n'])}"
        for _, row in best.iterrows()
    ]
    return each(parts)


@of_rows
def shared_variance(rows: pd.DataFrame) -> str:
    """Of the headline rows with control_share: expression by image, with the last adjustment there is."""
    side = rows[rows["direction"] == EXPRESSION]
    side = side[side["adjusted"] == last_of(side)] if len(side) else side
    parts = []
    for _, row in side.iterrows():
        beside = shuffled(row["control_share"])
        told = estimate(*row[["adjusted_share", "ci_low", "ci_high", "p"]])
        parts.append(f"{row['tissue_id']}: expression by image {told}{beside}, {people(row['n'])}")
    return each(parts)


@of_rows
def prediction(rows: pd.DataFrame) -> str:
    """Of the real settings with control_*: those of the primary analysis, or all where none is."""
    chosen = rows[rows["analysis"] == "primary"]
    parts = []
    for _, row in (chosen if len(chosen) else rows).iterrows():
        beside = shuffled(row["control_genes_found"])
        gain = "" if pd.isna(row["delta_r2_found"]) else f", their median gain in R2 {number(row['delta_r2_found'])}"
        found = f"{count(row['genes_found'], 'gene')} of {number(row['genes'])} found{beside}{gain}"
        parts.append(f"{row['tissue_id']}: {found}, {people(row['n'])}")
    return each(parts)


@of_rows
def enrichment(rows: pd.DataFrame) -> str:
    """Of the real rows of enrichment_summary.tsv with control_found."""
    parts = []
    for _, row in rows.iterrows():
        beside = shuffled(row["control_found"])
        parts.append(f"{row['setting']}, {row['collection']} by {row['test']}: {number(row['found'])} found{beside}")
    return each(parts, what="row")


@of_rows
def descriptions(rows: pd.DataFrame) -> str:
    """Of *.descriptions.tsv."""
    technical = rows["technical"] == "yes"
    return (
        f"{count(len(rows), 'feature')} described, {number(int(technical.sum()))} of them all technical; R2 in donors "
        f"left out {span(rows['r2_cv'])}; first terms: {names(rows['term'].replace('', None).dropna())}."
    )


@of_rows
def claims(rows: pd.DataFrame) -> str:
    """Of summary/claims.tsv: how many have each verdict."""
    of = rows["verdict"].value_counts()
    told = ", ".join(f"{number(of[name])} {name}" for name in sorted(of.index))
    return f"{count(rows['claim'].nunique(), 'claim')} on {count(rows['tissue_id'].nunique(), 'tissue')}: {told}."
