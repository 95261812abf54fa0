#!/usr/bin/env python3
"""Sections of the report: how each table is shown, and the two sentences over it."""

from itertools import cycle

import pandas as pd

from hx_mqc import COUNT, MAX_POINTS, MAX_ROWS, RATIO, SMALL_P, escape, lines, table
from hx_report import RULE, qq_of_verdict

# Okabe and Ito's colours, told apart by colour-blind readers.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
FOUND = {
    "cond_formatting_rules": {"found": [{"s_eq": "found"}], "missed": [{"s_eq": "missed"}]},
    "cond_formatting_colours": [{"found": "#1b7837"}, {"missed": "#b2182b"}],
}
LIGHT = {
    "cond_formatting_rules": {c: [{"s_eq": c}] for c in ("green", "amber", "red")},
    "cond_formatting_colours": [{"green": "#1b7837"}, {"amber": "#b35806"}, {"red": "#b2182b"}],
}
LEVELS = {"tree": "q of the tree", "bh": "q", "bonferroni": "Bonferroni p"}
EFFECT = {"format": "{:.2f}", "scale": False}


def named(title: str, description: str, style: dict) -> dict:
    """Header of a table column."""
    return {"title": title, "description": description, **style}


def adjustment(rows: pd.DataFrame) -> tuple[str, str]:
    """(word for titles, sentence) on what the associations of a table with a column adjusted_for are adjusted for."""
    sets = sorted(set(rows["adjusted_for"].fillna("").astype(str)))
    if not any(sets):
        return "unadjusted", (
            "UNADJUSTED for confounders: ischaemia, centre, age or RNA quality may make image and expression correlate."
        )
    each = " / ".join(escape(text.replace(";", ", ") or "nothing") for text in sets)
    return "adjusted", (
        f"Adjusted for {each}. What was not measured, or measured with error, is not adjusted for: robustness values "
        "say how strong it would have to be."
    )


def planted_truths(rows: pd.DataFrame, rule: str) -> dict:
    """First table of a simulated cohort; `rule` says when a truth is found."""
    count, mode = int((rows["found"] == "yes").sum()), rows["mode"].iloc[0]
    # Only in mode signal is there something to miss.
    words = {"yes": "found", "no": "missed"} if mode == "signal" else {"yes": "yes, found", "no": "not found"}
    return table(
        "planted_truths",
        "Planted truths found",
        f"For each property drawn into the slides (mode {escape(mode)}), the feature of largest |r| with the "
        "drawn value, chosen without expression, and how the genes planted for the property rank by |r| with it among "
        f"genes planted for nothing: found {count} of {len(rows)} ({rule}).",
        "An AUROC near .5 in mode signal, or truths found in mode null in more than 5 % of the rows, would be wrong.",
        rows.assign(found=rows["found"].map(words)),
        {
            "found": named("Found", rule, FOUND),
            "feature": named("Feature", "Feature of largest |r| with the drawn value", {}),
            "r_drawn": named("r drawn", "Correlation of that feature with the drawn value over donors", RATIO),
            "auroc": named("AUROC", "Planted against unplanted genes by |r| with the feature", RATIO),
            "p_permutation": named("p permutation", "One-sided, donors of the feature shuffled", SMALL_P),
            "p_mannwhitney": named("p Mann-Whitney", "One-sided, takes genes as independent", SMALL_P),
            "n": named("Donors", "Donors tested", COUNT),
            "planted_genes": named("Planted", "Genes planted for the property", COUNT),
            "unplanted_genes": named("Unplanted", "Genes planted for nothing", COUNT),
            "link": named("Link", "What links image and these genes in this mode", {}),
        },
        "summary/planted_truths.tsv",
        "Property and setting",
        [f"{row.property}, {row.setting}" for row in rows.itertuples()],
    )


def verdict(rows: pd.DataFrame) -> dict:
    """A row a tissue."""
    alpha, correction = rows["alpha"].iloc[0], rows["correction"].iloc[0]
    untrained = "The encoder has random weights: it was never trained. " if (rows["weights"] == "random").any() else ""
    level = f"{LEVELS[correction]} &le; {alpha:g}"
    word, adjusted = adjustment(rows)
    return table(
        "verdict",
        f"Verdict by tissue ({word})",
        f"Feature-gene pairs with {level} in each tissue's primary setting, beside those of the same data with donors "
        f"shuffled. {untrained}{adjusted}",
        f"Hits in the control, or control lambdas on one side of 1 in all tissues, would be wrong. "
        f"Control check: {RULE}. Primary = no: the declared primary setting is not in this run, another one stands in.",
        rows,
        {
            "status": named("Control check", RULE, LIGHT),
            "donors": named("Donors", "Donors with features and expression", COUNT),
            "slides": named("Slides", "Slides in the sheet", COUNT),
            "genes": named("Genes", "Genes tested", COUNT),
            "hits": named("Hits", f"Pairs with {level}", COUNT),
            "control_hits": named("Control hits", "The same with donors shuffled", COUNT),
            "genes_with_hit": named("Genes with a hit", f"Genes with a pair at {level}", COUNT),
            "control_genes_with_hit": named("Control genes", "The same with donors shuffled", COUNT),
            "lambda_gc": named("Lambda", "Median chi-square of p over its expectation", RATIO),
            "control_lambda_gc": named("Control lambda", "The same with donors shuffled", RATIO),
            "detectable_r": named("Detectable |r|", "At 80 % power and the Bonferroni cut over all pairs", RATIO),
            "features": named("Features", "Features that vary over donors", COUNT),
            "weights": named("Weights", "Of the encoder; random: never trained", {}),
            "primary": named("Primary", "Whether the setting is the one declared before the run", {}),
            "setting": named("Setting", "tissue.size.encoder.aggregation", {}),
        },
        "summary/verdict.tsv",
        "Tissue",
        list(rows["tissue_id"]),
    )


def flow(rows: pd.DataFrame) -> dict:
    """Slides and donors step by step."""
    columns = {
        "slides": named("Slides in sheet", "Rows of the samplesheet", COUNT),
        "slides_usable": named("Not excluded", "Neither excluded nor missing", COUNT),
        "slides_read": named("Read", "Status ok or partial", COUNT),
        "donors": named("Donors in sheet", "Donors of the tissue", COUNT),
        "matched_donors": named("With RNA", "Donors with an expression column", COUNT),
        "donors_kept": named("In cohort", "Donors of cohort.tsv", COUNT),
        "donors_analysed": named("Analysed", "Donors with features and expression", COUNT),
    }
    return table(
        "flow",
        "From sheet to analysis",
        "Slides and donors of each tissue left after each step.",
        "A step that loses most donors would be wrong: the next table says why.",
        rows,
        {name: header for name, header in columns.items() if name in rows},
        "summary/flow.tsv",
        "Tissue",
        list(rows["tissue_id"]),
    )


def losses(rows: pd.DataFrame) -> dict:
    """Everything that was dropped."""
    return table(
        "losses",
        "What was lost and why",
        "Slides, donors, RNA samples, tissues, features and genes that were dropped, by stage and reason.",
        "A reason that you cannot explain would be wrong. Each single id stands in summary/dropped.tsv.",
        rows,
        {
            "kind": named("Kind", "What was dropped", {}),
            "count": named("Number", "Ids dropped", COUNT),
            "stage": named("Stage", "Step of the pipeline", {}),
            "reason": named("Reason", "Why", {}),
            "examples": named("For example", "First ids", {}),
        },
        "summary/losses.tsv",
        "Row",
    )


def qq(points: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    """QQ plot of the verdict settings and their controls."""
    shown = qq_of_verdict(points, chosen, MAX_POINTS)
    series = {
        n: (p["expected_nlog10p"].to_numpy(), p["observed_nlog10p"].to_numpy())
        for n, p in shown.groupby("line", sort=False)
    }
    style = {}
    for colour, (_, part) in zip(cycle(COLOURS), shown.groupby("setting", sort=False), strict=False):
        for line, control in part[["line", "control"]].drop_duplicates().itertuples(index=False):
            style[line] = {"color": colour, "dash": "solid" if control == "none" else "dot"}
    far = max((float(x.max()) for x, _ in series.values()), default=1.0)
    return lines(
        "qq",
        "QQ plot of p values",
        "Observed against expected -log10 p over all pairs of each tissue's verdict setting, and with donors shuffled; "
        "on the dashed line they are equal.",
        "Shuffled lines that all leave the dashed one on the same side would be wrong; a single one may leave it, "
        "for its pairs depend on each other. Points: summary/qq.tsv.",
        series,
        style,
        xlab="Expected -log10 p",
        ylab="Observed -log10 p",
        extra_series=[
            {
                "name": "equal",
                "pairs": [[0, 0], [far, far]],
                "dash": "dash",
                "width": 1,
                "color": "#000000",
                "showlegend": False,
            }
        ],
    )


def calibration(rows: pd.DataFrame) -> dict:
    """Shares of small p."""
    return table(
        "calibration",
        "Calibration of p values",
        "Share of pairs with p < .05 and p < .001, and lambda (median chi-square over its expectation), by setting "
        "and with its donors shuffled.",
        "A mean share of shuffled p < .05 far from .05 over the settings would be wrong; features and genes that "
        "correlate among themselves spread single values around it.",
        rows,
        {
            "n": named("Donors", "Donors tested", COUNT),
            "pairs": named("Pairs", "Feature-gene pairs", COUNT),
            "share_p05": named("p < .05", "Share of pairs", RATIO),
            "share_p001": named("p < .001", "Share of pairs", {"format": "{:.5f}", "scale": False}),
            "lambda_gc": named("Lambda", "Median chi-square over its expectation", RATIO),
            "hits": named("Hits", "Pairs that the correction passes", COUNT),
        },
        "summary/calibration.tsv",
        "Setting",
        list(rows["name"]),
    )


def settings(rows: pd.DataFrame) -> dict:
    """All settings; all but the primary are exploratory."""
    word, adjusted = adjustment(rows)
    return table(
        "settings",
        f"Associations by setting ({word})",
        "Hits of every tissue, patch size, encoder and aggregation, and its strongest pair; all settings but a "
        f"tissue's primary one are exploratory. {adjusted}",
        "Control hits beside no more hits would be wrong; counts compare only between settings of equal donors, "
        "features and genes.",
        rows,
        {
            "n": named("Donors", "Donors tested", COUNT),
            "features": named("Features", "Features that vary over donors", COUNT),
            "dead_features": named("Constant", "Features that are constant over donors", COUNT),
            "genes": named("Genes", "Genes tested", COUNT),
            "hits": named("Hits", "Pairs that the correction passes", COUNT),
            "control_hits": named("Control hits", "The same with donors shuffled", COUNT),
            "genes_found": named("Genes found", "Genes with q at most alpha, all pairs of a gene together", COUNT),
            "hits_tree": named("Tree", "Pairs found within the genes found", COUNT),
            "hits_bh": named("BH", "Pairs with Benjamini-Hochberg q over all pairs at most alpha", COUNT),
            "hits_bonferroni": named("Bonferroni", "Pairs with p times pairs at most alpha", COUNT),
            "genes_with_hit": named("Genes with a hit", "Genes", COUNT),
            "features_with_hit": named("Features with a hit", "Features", COUNT),
            "best_symbol": named("Best gene", "Gene of the pair of largest |r|", {}),
            "best_feature": named("Its feature", "Feature of that pair", {}),
            "best_r": named("r", "Correlation with the rank-normal gene", RATIO),
            "best_p": named("p", "Two-sided", SMALL_P),
            "detectable_r": named("Detectable |r|", "At 80 % power and the Bonferroni cut over all pairs", RATIO),
        },
        "summary/settings.tsv",
        "Setting",
        list(rows["setting"]),
    )


def genes(rows: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    """Genes of smallest p in the verdict settings; `chosen`: the summary rows of those."""
    tissues = len(chosen)
    word, adjusted = adjustment(chosen)
    per_tissue = MAX_ROWS // max(1, tissues)
    rows = rows.groupby("tissue_id").head(per_tissue)
    return table(
        "genes",
        f"Genes with the smallest p ({word})",
        f"Up to {per_tissue} genes a tissue in its verdict setting, each with its best feature. r and p are "
        "of the gene's rank-normal values; beta is log2 expression per standard deviation of the feature, with its "
        "95 % interval. r of the best of many features is too large by the choice; split-half r is taken in donors "
        f"other than those that chose the feature. {adjusted}",
        "A split-half r near 0 beside a large r, one feature that is best for genes that have nothing in common, or a "
        "t that a confounder as strong as ischaemia would bring near 0, would look wrong.",
        rows,
        {
            "gene": named("Gene id", "As in the expression file", {}),
            "best_feature": named("Best feature", "Feature of largest |r|", {}),
            "n": named("Donors", "Donors tested", COUNT),
            "r": named("r", "Partial correlation with the rank-normal gene", RATIO),
            "r_split_half": named("r, split-half", "The feature chosen in other donors", RATIO),
            "beta": named("Beta", "log2 expression per SD of the feature", EFFECT),
            "ci_low": named("95 % from", "Lower end of the interval of beta", EFFECT),
            "ci_high": named("to", "Upper end of the interval of beta", EFFECT),
            "p": named("p", "Two-sided, of this pair", SMALL_P),
            "gene_p": named("p of gene", "All pairs of the gene together (Cauchy combination)", SMALL_P),
            "gene_q": named("q of gene", "Benjamini-Hochberg over genes of p of gene", SMALL_P),
            "robustness": named(
                "Robustness", "Share of both sides' variance that a confounder must explain to remove it", RATIO
            ),
            "t_ischaemia": named("t, ischaemia", "Left by a confounder as strong as ischaemia", RATIO),
            "t_rin": named("t, RIN", "Left by a confounder as strong as RNA integrity", RATIO),
            "hits": named("Hits", "Features that go with the gene", COUNT),
        },
        "summary/top_genes.tsv, all genes: associations/*.association_genes.parquet",
        "Gene",
        [row.symbol if tissues == 1 else f"{row.symbol}, {row.tissue_id}" for row in rows.itertuples()],
    )
