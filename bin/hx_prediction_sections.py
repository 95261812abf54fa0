#!/usr/bin/env python3
"""What the report says of prediction: genes found and their gain, honest beside in-sample R2, the strongest genes."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

import hx_finding_tests
from hx_gather import Kind
from hx_mqc import COUNT, MAX_ROWS, PEOPLE, RATIO, SMALL_P, lines, table
from hx_sections import COLOURS, adjustment, named

TABLES = {  # of predict_expression.py: <tissue_id>.<size>.<kind>.tsv
    "prediction_summary": Kind(["setting", "control", "tissue_id", "analysis", "genes_found", "delta_r2_median"]),
    "prediction_histogram": Kind(["setting", "control", "delta_r2", "genes", "share"]),
    "prediction_top": Kind(["setting", "gene", "symbol", "r2cv", "delta_r2", "p", "q"]),
}
MOST_TISSUES = 3  # of which lines are drawn; all are in the tables


def prediction_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there; [] where nothing was predicted. tables: the kinds of TABLES, gathered."""
    rows = tables.get("prediction_summary", pd.DataFrame())
    if not len(rows):
        return []
    settings = shown_settings(rows)
    shown = [_gain(settings), _honesty(settings)]
    names = dict(zip(settings["setting"], _row_names(settings), strict=True))
    bins = tables.get("prediction_histogram", pd.DataFrame())
    if len(bins):
        shown.append(_histogram(bins[bins["setting"].isin(list(names)[:MOST_TISSUES])], names))
    top = tables.get("prediction_top", pd.DataFrame())
    if len(top):
        shown.append(_genes(top[top["setting"].isin(names)], settings))
    return shown


def shown_settings(rows: pd.DataFrame) -> pd.DataFrame:
    """Real rows, primary ones first, with the counts of the same setting with donors shuffled as control_*."""
    key = ["genes_found", "delta_r2_median", "share_p05"]
    control = rows[rows["control"] == "shuffle_donors"].set_index("setting")[key].add_prefix("control_")
    real = rows[rows["control"] == "none"].join(control, on="setting")
    order = real["analysis"].map({"primary": 0}).fillna(1)
    return real.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def _row_names(settings: pd.DataFrame) -> list[str]:
    """The tissue of a primary setting, the whole name of another."""
    primary = settings["analysis"] == "primary"
    return list(settings["tissue_id"].where(primary, settings["setting"]))


def _gain(settings: pd.DataFrame) -> dict:
    word, adjusted = adjustment(settings, robustness=False)
    alpha = settings["alpha"].iloc[0]
    return table(
        "prediction",
        f"Genes predicted in held-out donors ({word})",
        "Each gene predicted by ridge regression in donors that were left out of everything. The gain is what image "
        f"features add to the covariates' R2; found are genes with q &le; {alpha:g} of the test of all features. "
        "A tissue's name alone stands for its primary setting, all others are exploratory. "
        f"{adjusted}",
        "Genes found with donors shuffled, or a median gain above 0 there, would be wrong. A gene without an image "
        "signal has a gain a little below 0: fitting features costs.",
        settings,
        {
            "genes_found": named("Genes found", f"q of the score test at most {alpha:g}", COUNT),
            "genes_gained": named("with gain", "Of these, genes predicted better than by covariates alone", COUNT),
            "control_genes_found": named("Donors shuffled", "Genes found with features of other donors", COUNT),
            "delta_r2_found": named("Gain, found", "Median gain in R2 of the genes found", RATIO),
            "delta_r2_median": named("Gain, all", "Median gain in R2 of all genes", RATIO),
            "control_delta_r2_median": named("Gain, shuffled", "The same with features of other donors", RATIO),
            "r2cv_median": named("R2", "Median over genes, covariates and image", RATIO),
            "r2cv_confounders_median": named("R2, covariates", "Median over genes, covariates alone", RATIO),
            "share_p05": named("p < .05", "Share of genes", RATIO),
            "control_share_p05": named("p < .05, shuffled", "Share of genes with donors shuffled: near .05", RATIO),
            "genes": named("Genes", "Genes predicted", COUNT),
            "features": named("Features", "Features that vary over donors", COUNT),
            "n": named("Donors", "Donors", PEOPLE),
            "folds": named("Folds", "Groups of donors left out in turn", COUNT),
        },
        "prediction/*.prediction_summary.tsv",
        "Tissue or setting",
        _row_names(settings),
        finding=hx_finding_tests.prediction(settings),
    )


def _honesty(settings: pd.DataFrame) -> dict:
    return table(
        "prediction_honesty",
        "What leaving donors out changes",
        "Median R2 over genes of the same two models in the donors that they were fitted to and in donors left out: "
        "least squares on all features, and ridge. Covariates are in both.",
        "An in-sample R2 says nothing: with as many features as donors least squares reaches 1 on any data. The 2017 "
        "study's notebooks have R2 .999996 in training and -2.13 in test donors, and its text does not tell. An R2 in "
        "held-out donors above the in-sample one would be wrong.",
        settings,
        {
            "r2_least_squares_median": named("Least squares, in-sample", "In the donors of the fit", RATIO),
            "r2cv_least_squares_median": named("held out", "In donors left out", RATIO),
            "r2_in_sample_median": named("Ridge, in-sample", "In the donors of the fit", RATIO),
            "r2cv_median": named("held out", "In donors left out, the penalty chosen without them", RATIO),
            "features": named("Features", "Features that vary over donors", COUNT),
            "n": named("Donors", "Donors", PEOPLE),
        },
        "prediction/*.prediction_summary.tsv",
        "Tissue or setting",
        _row_names(settings),
    )


def _histogram(bins: pd.DataFrame, names: Mapping[str, str]) -> dict:
    series, style = {}, {}
    for colour, (setting, part) in zip(cycle(COLOURS), bins.groupby("setting", sort=False), strict=False):
        for control, dash in (("none", "solid"), ("shuffle_donors", "dot")):
            of = part[part["control"] == control]
            if len(of):
                name = names[setting] + ("" if control == "none" else ", donors shuffled")
                series[name] = (of["delta_r2"].to_numpy(float), of["share"].to_numpy(float))
                style[name] = {"color": colour, "dash": dash}
    return lines(
        "prediction_gain",
        "Gain in R2 over covariates alone",
        "Share of genes by what image features add to the R2 of the covariates in held-out donors, in bins of .02; "
        "dotted with donors shuffled.",
        "Dotted lines with a part far above 0 would be wrong. Points: prediction/*.prediction_histogram.tsv.",
        series,
        style,
        xlab="Gain in R2",
        ylab="Share of genes",
    )


def _genes(rows: pd.DataFrame, settings: pd.DataFrame) -> dict:
    tissues = settings.set_index("setting")["tissue_id"]
    several = len(tissues) > 1
    rows = rows.groupby("setting", sort=False).head(max(1, MAX_ROWS // len(tissues)))
    return table(
        "prediction_genes",
        "Genes best predicted by the image",
        "Genes of smallest p of the test of all features given the covariates, with R2 in held-out donors on the "
        "rank-normal scale. Image alone: covariates unknown, as for new slides.",
        "A small p beside a gain below 0, or genes predicted in few of the folds, would look wrong: a few donors then "
        "make the association.",
        rows,
        {
            "gene": named("Gene id", "As in the expression file", {}),
            "delta_r2": named("Gain", "R2 of covariates and image less that of covariates", RATIO),
            "r2cv": named("R2", "Covariates and image", RATIO),
            "r2cv_confounders": named("R2, covariates", "Covariates alone", RATIO),
            "r2cv_image": named("R2, image", "Image alone", RATIO),
            "r_cv": named("r", "Correlation of prediction and value", RATIO),
            "folds_better": named("Folds", "Folds in which the image adds to the covariates", COUNT),
            "p": named("p", "Kernel score test", SMALL_P),
            "q": named("q", "Benjamini-Hochberg over the genes of the setting", SMALL_P),
            "r2_in_sample": named("R2, in-sample", "In the donors of the fit: not a result", RATIO),
        },
        "prediction/*.prediction_top.tsv, all genes: prediction/*.prediction_genes.parquet",
        "Gene",
        [f"{row.symbol}, {tissues[row.setting]}" if several else row.symbol for row in rows.itertuples()],
    )
