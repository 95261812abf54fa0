#!/usr/bin/env python3
"""What the report says of the tests of pairs: QQ plot, calibration, hits by setting, genes."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

import hx_finding_tests
from hx_mqc import COUNT, MAX_POINTS, MAX_ROWS, PEOPLE, RATIO, SMALL_P, lines, table
from hx_report import qq_of_verdict
from hx_sections import COLOURS, EFFECT, adjustment, named

DETECTABLE = named("Detectable |r|", "At 80 % power and the Bonferroni cut over all pairs", RATIO)
OTHER_CONTROLS = {  # where they ran; unadjusted goes with shuffle_within
    "hits_shuffle_within": named("Hits within strata", "Donors shuffled within strata", COUNT),
    "hits_unadjusted": named("Hits, unadjusted", "Of the real features, nothing adjusted for", COUNT),
    "hits_unadjusted_within": named("Within strata, unadjusted", "Donors shuffled within strata", COUNT),
    "hits_wrong_tissue": named("Hits, wrong tissue", "Features of the same donors' other tissue", COUNT),
}


def hits_sections(tables: Mapping[str, pd.DataFrame], chosen: pd.DataFrame) -> list[dict]:
    """Sections of the tables qq, calibration, settings and top_genes; chosen: the verdict's settings."""
    return [
        _qq(tables["qq"], chosen),
        _calibration(tables["calibration"]),
        _settings(tables["settings"]),
        _genes(tables["top_genes"], chosen),
    ]


def _qq(points: pd.DataFrame, chosen: pd.DataFrame) -> dict:
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


def _calibration(rows: pd.DataFrame) -> dict:
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
            "n": named("Donors", "Donors tested", PEOPLE),
            "pairs": named("Pairs", "Feature-gene pairs", COUNT),
            "share_p05": named("p < .05", "Share of pairs", RATIO),
            "share_p001": named("p < .001", "Share of pairs", {"format": "{:.5f}", "scale": False}),
            "lambda_gc": named("Lambda", "Median chi-square over its expectation", RATIO),
            "hits": named("Hits", "Pairs that the correction passes", COUNT),
            "detectable_r": DETECTABLE,
        },
        "summary/calibration.tsv",
        "Setting",
        list(rows["name"]),
        finding=hx_finding_tests.calibration(rows),
    )


def _settings(rows: pd.DataFrame) -> dict:
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
            "n": named("Donors", "Donors tested", PEOPLE),
            "features": named("Features", "Features that vary over donors", COUNT),
            "dead_features": named("Constant", "Features that are constant over donors", COUNT),
            "genes": named("Genes", "Genes tested", COUNT),
            "hits": named("Hits", "Pairs that the correction passes", COUNT),
            "control_hits": named("Control hits", "The same with donors shuffled", COUNT),
            **{name: header for name, header in OTHER_CONTROLS.items() if name in rows},
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
            "detectable_r": DETECTABLE,
        },
        "summary/settings.tsv",
        "Setting",
        list(rows["setting"]),
        finding=hx_finding_tests.settings(rows),
    )


def _genes(rows: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    """Genes of smallest p in the verdict settings; `chosen`: these settings."""
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
            "n": named("Donors", "Donors tested", PEOPLE),
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
            "detectable_r": DETECTABLE,
        },
        "summary/top_genes.tsv, all genes: associations/*.association_genes.parquet",
        "Gene",
        [row.symbol if tissues == 1 else f"{row.symbol}, {row.tissue_id}" for row in rows.itertuples()],
        finding=hx_finding_tests.genes(rows),
    )
