#!/usr/bin/env python3
"""Sentences that read the tables of factors, labels and causes: the ledger, claims of settings, labels, verdicts."""

import pandas as pd

from hx_findings import count, each, estimate, names, number, of_rows, p_value, people, shuffled_with_hits


def _of_side(part: pd.DataFrame, side: str) -> str:
    """The factor that explains most of a side, '' where none was measured against it."""
    share = f"{side}_adjusted"
    known = part[part[share].notna()] if share in part else part.iloc[:0]
    if not len(known):
        return ""
    row = known.loc[known[share].idxmax()]
    return (
        f"{row['factor']} {estimate(row[share], row[f'{side}_adjusted_low'], row[f'{side}_adjusted_high'])} of {side}"
    )


@of_rows
def ledger(rows: pd.DataFrame) -> str:
    """Of hx_confounder_sections.ledger_rows: the factor that explains most of each side, by tissue."""
    parts = []
    for tissue, part in rows.groupby("tissue_id", sort=False):
        told = [side for side in (_of_side(part, "image"), _of_side(part, "expression")) if side]
        parts.append(f"{tissue}: most by {' and '.join(told) or 'no factor'}, of {count(len(part), 'factor')}")
    return each(parts)


@of_rows
def setting_claims(rows: pd.DataFrame) -> str:
    """Of the rows of comparisons.tsv that name a claim: those whose interval lies above 0, and all in short."""
    holds = int((rows["ci_low"] > 0).sum())
    parts = [
        f"{row['setting']} less {row['other']} {estimate(*row[['difference', 'ci_low', 'ci_high', 'p']])}, "
        f"{people(row['n'])}"
        for _, row in rows.iterrows()
    ]
    return f"{number(holds)} of {count(len(rows), 'interval')} above 0: {each(parts, what='row')}"


@of_rows
def labels(rows: pd.DataFrame) -> str:
    """Of the real rows of annotation_summary.tsv with control_hits."""
    hits = rows[rows["hits"] > 0]
    beside = shuffled_with_hits(rows)
    told = f"{number(len(hits))} of {count(len(rows), 'label has', 'labels have')} hits{beside}"
    row = rows.loc[rows["best_p"].idxmin()] if rows["best_p"].notna().any() else None
    least = "" if row is None else f"; smallest {p_value(row['best_p'])} ({row['label']} with {row['best_feature']})"
    return f"{told}{least}."


@of_rows
def label_prediction(rows: pd.DataFrame) -> str:
    """Of the rows of annotation_prediction.tsv that are shown, by falling gain."""
    tested = rows[rows["gain_image"].notna()]
    if not len(tested):
        return f"none of {count(len(rows), 'label')} could be predicted: {names(rows['status'])}."
    parts = [
        f"{row['label']}: {row['metric']} {number(row['image'])} of the image and {number(row['confounders'])} of the "
        f"confounders, gain {estimate(row['gain_image'], p=row['p_gain_image'])}, {people(row['n'])}"
        for _, row in tested.iterrows()
    ]
    return each(parts, what="label")


@of_rows
def causes(pairs: pd.DataFrame) -> str:
    """Of *.causality_pairs.tsv: how many pairs have each verdict."""
    of = pairs["verdict"].fillna("").replace("", "not tested").value_counts()
    return f"{count(len(pairs), 'pair')}: {', '.join(f'{number(of[name])} {name}' for name in sorted(of.index))}."


@of_rows
def donors_by_size(frame: pd.DataFrame) -> str:
    """Of donors by size, wide: index the tissues, the first column the cohort, the last those of every size."""
    parts = []
    for tissue, row in frame.iterrows():
        parts.append(f"{tissue}: {people(row.iloc[-1])} with every size, {people(row.iloc[0])} in the cohort")
    return each(parts)
