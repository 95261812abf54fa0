#!/usr/bin/env python3
"""What the report says of labels: predicted labels, features that go with them, cell types, labels that are not used.

Every row is a label: none is of a single donor or slide.
"""

import re
from collections.abc import Mapping

import pandas as pd

import hx_finding_factors
from hx_gather import Kind
from hx_mqc import COUNT, MAX_ROWS, PEOPLE, RATIO, SMALL_P, table
from hx_sections import EFFECT, adjustment, named

TABLES = {  # of associate_annotations.py: <tissue_id>.<size>.<kind>.tsv
    "annotation_summary": Kind(["setting", "control", "analysis", "label", "kind", "n", "hits", "share_p05"]),
    "annotation_prediction": Kind(
        ["setting", "label", "level", "kind", "metric", "n", "image", "gain_image", "status"]
    ),
    "annotation_top": Kind(["setting", "label", "feature", "r", "beta", "p", "q"]),
    "annotation_fractions": Kind(["setting", "test", "n", "hits_without", "hits_with", "hits_kept", "status"]),
    "annotation_labels": Kind(["label", "source", "kind", "status", "n", "positives"], ["tissue_id", "size"]),
}
FOLDER = "annotations/*."


def annotation_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there; [] where no label was looked for.

    tables: the kinds of TABLES, gathered.
    """
    labels = tables.get("annotation_labels", pd.DataFrame())
    if not len(labels):
        return []
    shown = []
    summary = tables.get("annotation_summary", pd.DataFrame())
    if len(summary):
        shown.append(_summary(summary))
    prediction = tables.get("annotation_prediction", pd.DataFrame())
    if len(prediction):
        shown.append(_prediction(prediction))
    top = tables.get("annotation_top", pd.DataFrame())
    if len(top):
        shown.append(_features(top, summary))
    fractions = tables.get("annotation_fractions", pd.DataFrame())
    if len(fractions):
        shown.append(_cells(fractions))
    return [*shown, _labels(labels)]


def _name(row: object, several: bool) -> str:
    level = "" if pd.isna(row.level) or row.level == "" else f" = {row.level}"
    tissue = f", {row.setting.split('.')[0]}" if several else ""
    return f"{row.label}{level}{tissue}"


def shown_settings(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the declared settings, or of all where there is none."""
    primary = rows[rows["analysis"] == "primary"]
    return primary if len(primary) else rows


def _summary(rows: pd.DataFrame) -> dict:
    rows = shown_settings(rows)
    control = rows[rows["control"] == "shuffle_donors"].set_index(["setting", "label"])[["hits", "share_p05"]]
    real = rows[rows["control"] == "none"].join(control.add_prefix("control_"), on=["setting", "label"])
    real = real.sort_values(["hits", "best_p"], ascending=[False, True], kind="stable", ignore_index=True)
    alpha = real["alpha"].iloc[0]
    word, adjusted = adjustment(real, robustness=False)
    several = real["setting"].nunique() > 1
    return table(
        "annotations",
        f"Labels that image features go with ({word})",
        "Each rank-normal feature as response of a linear model of the label and the covariates, the label's own among "
        f"them left out; hits have q &le; {alpha:g} over all labels and features of the setting. {adjusted}",
        "Hits with donors shuffled, or a share of p below .05 far from .05 there, would be wrong. A label that goes "
        "with features is no cause of them: a biopsy site, a batch or a disease may be behind both.",
        real,
        {
            "hits": named("Hits", f"Features with q at most {alpha:g}", COUNT),
            "control_hits": named("Donors shuffled", "Hits with features of other donors", COUNT),
            "features": named("Features", "Features tested", COUNT),
            "share_p05": named("p < .05", "Share of features", RATIO),
            "control_share_p05": named("p < .05, shuffled", "Share of features: near .05", RATIO),
            "best_feature": named("Best feature", "Of smallest p", {}),
            "best_r": named("its r", "Partial correlation; none for levels", EFFECT),
            "best_p": named("its p", "t or F test", SMALL_P),
            "kind": named("Kind", "binary, ordinal, levels or number", {}),
            "n": named("Donors", "Donors who have the label", PEOPLE),
            "positives": named("Fewest", "Donors positive, or of the rarest level", PEOPLE),
        },
        f"{FOLDER}annotation_summary.tsv",
        "Label",
        [f"{r.label}, {r.setting}" if several else str(r.label) for r in real.itertuples()],
        finding=hx_finding_factors.labels(real),
    )


def _prediction(rows: pd.DataFrame) -> dict:
    gain = pd.to_numeric(rows["gain_image"], errors="coerce")
    whole = ~((rows["kind"] == "levels") & rows["level"].notna() & (rows["level"].astype(str) != ""))
    rows = rows.assign(order=gain).loc[whole].sort_values("order", ascending=False, kind="stable", ignore_index=True)
    several = rows["setting"].nunique() > 1
    return table(
        "annotation_prediction",
        "Labels predicted in donors left out",
        "Ridge on all features, the penalty chosen within each training set. AUROC of classes (0.5 is chance; of "
        "levels the mean of one against the rest), R2 of numbers (0 is chance). A gain is what a set adds "
        "to the confounders.",
        "An AUROC far below .5 or an R2 far below 0 with many donors would be wrong. High numbers of the confounders "
        "alone say that the label goes with how donors died or were processed.",
        rows,
        {
            "metric": named("Score", "AUROC or R2", {}),
            "image": named("Image", "From image features alone", RATIO),
            "p_image": named("p", "Labels permuted over donors", SMALL_P),
            "expression": named("Expression", "From gene expression alone", RATIO),
            "both": named("Both", "Image and expression, of equal weight", RATIO),
            "confounders": named("Confounders", "From the covariates of the model alone", RATIO),
            "gain_image": named("Gain, image", "Covariates and image less covariates", RATIO),
            "p_gain_image": named("p of the gain", "Score test of the image given the covariates, permuted", SMALL_P),
            "gain_expression": named("Gain, expression", "Covariates and expression less covariates", RATIO),
            "n": named("Donors", "Donors who have the label", PEOPLE),
            "positives": named("Fewest", "Donors positive, or of the rarest level", PEOPLE),
            "status": named("Status", "Why it was not predicted", {}),
        },
        f"{FOLDER}annotation_prediction.tsv",
        "Label",
        [_name(row, several) for row in rows.itertuples()],
        finding=hx_finding_factors.label_prediction(rows),
    )


def _features(rows: pd.DataFrame, summary: pd.DataFrame) -> dict:
    rows = rows[rows["setting"].isin(shown_settings(summary)["setting"])]
    rows = rows.sort_values(["q", "p"], kind="stable", ignore_index=True).head(MAX_ROWS)
    several = rows["setting"].nunique() > 1
    return table(
        "annotation_features",
        "Features that go with labels",
        "The five features of smallest p of each label. Slope: standard deviations of the feature between the classes, "
        "or a unit or standard deviation of a number.",
        "A small p beside a large one of Kruskal and Wallis, which knows no covariates, is an effect that only the "
        "adjustment shows.",
        rows,
        {
            "feature": named("Feature", "Of the setting", {}),
            "r": named("r", "Partial correlation; none for levels", EFFECT),
            "beta": named("Slope", "Standard deviations of the feature", EFFECT),
            "r2": named("R2", "Share of the feature's variance beside the covariates", RATIO),
            "p": named("p", "t or F test", SMALL_P),
            "q": named("q", "Benjamini-Hochberg over labels and features", SMALL_P),
            "kruskal_p": named("p, ranks", "Kruskal and Wallis, unadjusted", SMALL_P),
            "n": named("Donors", "Donors who have the label", PEOPLE),
        },
        f"{FOLDER}annotation_top.tsv, all hits: annotations/*.annotation_features.parquet",
        "Label",
        [f"{row.label}, {row.setting}" if several else str(row.label) for row in rows.itertuples()],
    )


def _cells(rows: pd.DataFrame) -> dict:
    return table(
        "annotation_cells",
        "Associations given the fractions of cell types",
        "Hits of features with labels and with genes, on the donors whose fractions are supplied, without and with the "
        "log-ratios of the fractions as covariates.",
        "Hits that go are those that composition may explain; that is a finding, not a fault. Fractions estimated from "
        "the same expression take part of its variance with them.",
        rows,
        {
            "tests": named("Tests", "Pairs tested both ways", COUNT),
            "hits_without": named("Without", "Hits without the fractions", COUNT),
            "hits_with": named("With", "Hits with the fractions as covariates", COUNT),
            "hits_kept": named("Both", "Hits both ways", COUNT),
            "n": named("Donors", "Donors with fractions", PEOPLE),
            "status": named("Status", "Why it was not tested", {}),
        },
        f"{FOLDER}annotation_fractions.tsv",
        "Setting and tests",
        [f"{row.setting}, {row.test}" for row in rows.itertuples()],
    )


def reason(status: str) -> str:
    """Why a label is not used, without numbers of donors that may be few, and without the cell of one of them."""
    status = re.sub(r", e\.g\. .*", "", status)
    status = re.sub(r"\b(all|in) \d+ (of \d+ )?(?=donors?)", lambda found: f"{found[1]} ", status)
    return re.sub(r"^\d+ (of \d+ )?(?=donors?)", "too few ", status)


def _labels(rows: pd.DataFrame) -> dict:
    left = rows[rows["status"] != "tested"].drop_duplicates(["tissue_id", "label", "source"])
    left = left.assign(status=left["status"].map(reason)).reset_index(drop=True)
    several = rows["tissue_id"].nunique() > 1
    return table(
        "annotation_labels",
        "Labels that are not used",
        "Labels with too few donors of a class, in one class, told by the confounders, or in free text: no number is "
        "given for them.",
        "A label that should be there and is in neither table: look at the file's key column.",
        left,
        {
            "status": named("Why", "The reason", {}),
            "kind": named("Kind", "binary, ordinal, levels or number", {}),
            "source": named("From", "Cohort table or file", {}),
            "n": named("Donors", "Donors who have a value", PEOPLE),
            "positives": named("Fewest", "Donors positive, or of the rarest level", PEOPLE),
        },
        f"{FOLDER}annotation_labels.tsv",
        "Label",
        [f"{row.label}, {row.tissue_id}" if several else str(row.label) for row in left.itertuples()],
    )
