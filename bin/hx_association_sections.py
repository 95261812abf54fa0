#!/usr/bin/env python3
"""What the report says around associations: genes of interest, controls, hidden factors, sharing between places."""

from collections.abc import Mapping

import pandas as pd

import hx_finding_tests
from hx_gather import Kind
from hx_mqc import COUNT, PEOPLE, RATIO, SMALL_P, table
from hx_sections import EFFECT, adjustment, named

TABLES = {
    "hidden_factors": Kind(["setting", "factors", "of", "dof", "hits", "genes_found"]),
    "sharing": Kind(
        ["across", "encoder", "aggregation", "found_in", "looked_up_in", "pairs", "pi1", "same_sign", "genes_jaccard"]
    ),
}
CONTROLS = {
    "shuffle_donors": "features of other donors: chance",
    "shuffle_within": "of donors alike in centre, Hardy scale and ischaemia: what these alone make",
    "unadjusted": "the real ones, nothing adjusted for",
    "unadjusted_within": "those of shuffle_within, nothing adjusted for: what centre, Hardy scale and ischaemia make",
    "wrong_tissue": "of the same donors' other tissue: what is the donor's and not the tissue's",
}

LISTED = {"listed_found": named("Listed genes found", "Of --genes, q in their own family at most alpha", COUNT)}
DETECTABLE = "At 80 % power and the Bonferroni cut over all pairs"
WITHIN = (
    " unadjusted_within beside unadjusted says how much of what is found without an adjustment the strata alone make. "
    "Where that is a large part, adjustment carries the result, and shuffle_within cannot show what it leaves when "
    "ischaemia was recorded with error: look at the t that a confounder as strong as ischaemia would leave of each hit "
    "(near 0: the hit is as well explained by what the record missed) and at robustness values."
)


def association_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there: controls, hidden_factors, sharing."""
    shown = []
    if len(controls := tables.get("controls", pd.DataFrame())):
        shown.append(_controls(controls))
    if len(hidden := tables.get("hidden_factors", pd.DataFrame())):
        shown.append(_hidden(hidden))
    if len(sharing := tables.get("sharing", pd.DataFrame())):
        shown.append(_sharing(sharing))
    return shown


def control_rows(summary: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Rows of the verdict's settings and their controls, the real ones first; summary of all settings."""
    rows = summary[summary["setting"].isin(set(chosen["setting"]))]
    order = rows["control"].map({name: i for i, name in enumerate(["none", *CONTROLS])})
    rows = rows.assign(_order=order).sort_values(["tissue_id", "_order"], ignore_index=True)
    columns = ["setting", "tissue_id", "control", "strata", "n", "dof", "pairs", "share_p05", "lambda_gc"]
    columns += ["hits", "genes_found", "genes_with_hit", "features_with_hit"]
    return rows[[*columns, "listed_genes", "listed_found", "listed_hits", "detectable_r"]]


def _controls(rows: pd.DataFrame) -> dict:
    told = "; ".join(f"{name}: {text}" for name, text in CONTROLS.items() if name in set(rows["control"]))
    return table(
        "controls",
        "Negative controls of the primary setting",
        f"The same tests with features given to the wrong donors. {told}.",
        "Hits of shuffle_donors near the real ones would be wrong. Hits of shuffle_within above those of "
        "shuffle_donors are confounding by what the strata hold; hits of wrong_tissue are not of this tissue's "
        f"histology.{WITHIN if 'unadjusted_within' in set(rows['control']) else ''}",
        rows.assign(real=rows["control"].map(lambda name: "real" if name == "none" else name)),
        {
            "real": named("Features of", "real: each donor's own", {}),
            "strata": named("Strata, or tissue", "Within what donors were shuffled, or the other tissue", {}),
            "n": named("Donors", "Donors tested", PEOPLE),
            "share_p05": named("p < .05", "Share of all pairs", RATIO),
            "lambda_gc": named("Lambda", "Median chi-square of p over its expectation", RATIO),
            "hits": named("Hits", "Pairs that the correction passes", COUNT),
            "genes_found": named("Genes found", "q of the gene at most alpha", COUNT),
            "features_with_hit": named("Features with a hit", "Features", COUNT),
            **(LISTED if rows["listed_genes"].gt(0).any() else {}),
            "detectable_r": named("Detectable |r|", DETECTABLE, RATIO),
        },
        "summary/controls.tsv",
        "Tissue",
        list(rows["tissue_id"]),
        finding=hx_finding_tests.controls(rows),
    )


def _hidden(rows: pd.DataFrame) -> dict:
    wide = rows.pivot(index=["setting", "factors"], columns="of", values=["hits", "genes_found", "dof", "detectable_r"])
    wide.columns = [f"{name}_{of}" for name, of in wide.columns]
    wide = wide.reset_index()
    return table(
        "hidden_factors",
        "Hidden factors: a sensitivity series",
        "Hits of the primary setting after k principal components of expression are taken out as well, and after k "
        "columns of noise, which cost as many degrees of freedom. Never the analysis itself: these components hold "
        "cell composition, which is what images see.",
        "To take a fall for proof of a batch would be wrong. With noise as fast, it only tells of few donors. A fall "
        "at the first component may be a batch as well as composition: no number here tells them apart.",
        wide,
        {
            "factors": named("k", "Components, or columns of noise, taken out", COUNT),
            "hits_expression": named("Hits", "After k components of expression", COUNT),
            "hits_noise": named("Hits, noise", "After k columns of noise", COUNT),
            "genes_found_expression": named("Genes found", "After k components of expression", COUNT),
            "genes_found_noise": named("Genes, noise", "After k columns of noise", COUNT),
            "dof_expression": named("dof", "Residual degrees of freedom", COUNT),
            "detectable_r_expression": named("Detectable |r|", DETECTABLE, RATIO),
        },
        "associations/*.hidden_factors.tsv",
        "Setting",
        list(wide["setting"]),
    )


def _sharing(rows: pd.DataFrame) -> dict:
    return table(
        "sharing",
        "Associations looked up elsewhere",
        "The strongest hits of one tissue, patch size or cohort, tested in another with its own donors and covariates. "
        "pi1 estimates the share that is true there too (1 - pi0). Beside them, genes found on both sides, and how "
        "many that would be if they were independent.",
        "To take sharing between sides with donors in common for replication would be wrong: noise in the expression "
        "of the same samples is shared by patch sizes, and donors' traits by tissues.",
        rows,
        {
            "looked_up_in": named("Looked up in", "Tissue and size, or cohort, of the second side", {}),
            "encoder": named("Encoder", "Of the same weights on both sides", {}),
            "aggregation": named("Aggregation", "Of patches", {}),
            "shared_donors": named("Shared donors", "Donors on both sides", PEOPLE),
            "pairs": named("Pairs", "Hits looked up", COUNT),
            "detectable_r": named("Detectable |r|", "There, at 80 % power and p at most .05", RATIO),
            "pi1": named("pi1", "Share of true associations there", RATIO),
            "same_sign": named("Same sign", "Share of pairs", RATIO),
            "sign_p": named("p of sign", "Against one half; takes pairs as independent", SMALL_P),
            "replicated": named("Replicated", "p at most .05 with the same sign", RATIO),
            "genes_shared": named("Genes shared", "Genes found on both sides", COUNT),
            "genes_expected": named("by chance", "Of those tested on both, if independent", RATIO),
            "genes_jaccard": named("Jaccard", "Genes shared, of all found on either side", RATIO),
            "genes_jaccard_expected": named("Jaccard by chance", "At the expected number", RATIO),
        },
        "summary/sharing.tsv",
        "Found in",
        list(rows["found_in"]),
    )


def listed_section(rows: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    """Genes of --genes in the verdict's settings; rows: of listed_genes.parquet; chosen: summary rows."""
    word, adjusted = adjustment(chosen)
    rows = rows.merge(chosen[["setting", "tissue_id"]], on="setting").sort_values(["tissue_id", "gene_p", "gene"])
    return table(
        "listed_genes",
        f"Genes of interest ({word})",
        f"Genes listed in --genes, a family of their own: q is over these genes alone. {adjusted}",
        "A list made by looking at these data first would be wrong: every q here would be too small.",
        rows,
        {
            "tissue_id": named("Tissue", "", {}),
            "gene": named("Gene id", "As in the expression file", {}),
            "gene_p": named("p of gene", "All features together (Cauchy combination)", SMALL_P),
            "gene_q": named("q of gene", "Benjamini-Hochberg over the listed genes", SMALL_P),
            "best_feature": named("Best feature", "Feature of largest |r|", {}),
            "r": named("r", "Partial correlation with the rank-normal gene", RATIO),
            "r_split_half": named("r, split-half", "The feature chosen in other donors", RATIO),
            "beta": named("Beta", "log2 expression per SD of the feature", EFFECT),
            "ci_low": named("95 % from", "Lower end of the interval of beta", EFFECT),
            "ci_high": named("to", "Upper end of the interval of beta", EFFECT),
            "detectable_r": named("Detectable |r|", "At 80 % power, Bonferroni over the listed genes' pairs", RATIO),
        },
        "associations/*.listed_genes.parquet",
        "Gene",
        list(rows["symbol"]),
    )
