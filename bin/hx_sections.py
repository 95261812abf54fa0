#!/usr/bin/env python3
"""Sections of the report: how each table is shown, and the two sentences over it."""

from collections.abc import Mapping

import pandas as pd

import hx_colours
import hx_finding_run
from hx_disclosure import FEW, Disclosure, few
from hx_mqc import COUNT, PEOPLE, RATIO, SMALL_P, escape, table, text
from hx_report import PEOPLE_KINDS, without_ids
from hx_report import losses as report_losses
from hx_verdict import RULE

COLOURS = [*hx_colours.COLOURS, "#000000"]
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
WITHOUT = {  # what the report lacks without a stage
    "shared_variance": "The report does not say how much of the variance of expression goes with the image.",
    "associate": "The report does not say which features go with which genes, and has no hits, QQ plot or calibration.",
    "compare_associations": "Associations were not looked up in other tissues, patch sizes or a second cohort.",
    "combine_scales": "Shared variance was not compared between settings, nor the study's two claims tested.",
    "compare_settings": "Counts on the same donors, overlaps of settings and the study's own analysis are not there.",
    "predict_expression": "The report does not say which genes features predict in donors left out.",
    "enrich": "Genes were not looked for in gene sets.",
    "combine_enrichment": "Terms were not compared between settings, and no gene has a summary across everything.",
    "associate_annotations": "Features were not compared with pathology or clinical labels.",
    "map_qtl": "Genotypes were not tested against features: nothing is said of variants behind what images show.",
    "test_causality": "Whether genes act on features, or features on genes, was not asked.",
    "describe_features": "The report does not say what features see, and has no galleries or maps.",
}


def named(title: str, description: str, style: dict) -> dict:
    """Header of a table column."""
    return {"title": title, "description": description, **style}


def adjustment(rows: pd.DataFrame, robustness: bool = True) -> tuple[str, str]:
    """(word for titles, sentence) on what is adjusted for, by a column adjusted_for.

    robustness: whether robustness values were computed, to which the sentence then points.
    """
    sets = sorted(set(rows["adjusted_for"].fillna("").astype(str)))
    if not any(sets):
        return "unadjusted", (
            "UNADJUSTED for confounders: ischaemia, centre, age or RNA quality may make image and expression correlate."
        )
    each = " / ".join(escape(text.replace(";", ", ") or "nothing") for text in sets)
    strength = ": robustness values say how strong it would have to be" if robustness else ""
    return "adjusted", (
        f"Adjusted for {each}. What was not measured, or measured with error, is not adjusted for{strength}."
    )


def planted_truths(rows: pd.DataFrame, rule: str, mode: str) -> dict:
    """First table of a simulated cohort; `rule` says when a truth is found."""
    count = int((rows["found"] == "yes").sum())
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
            "n": named("Donors", "Donors tested", PEOPLE),
            "planted_genes": named("Planted", "Genes planted for the property", COUNT),
            "unplanted_genes": named("Unplanted", "Genes planted for nothing", COUNT),
            "link": named("Link", "What links image and these genes in this mode", {}),
        },
        "summary/planted_truths.tsv",
        "Property and setting",
        [f"{row.property}, {row.setting}" for row in rows.itertuples()],
        finding=hx_finding_run.planted_truths(rows),
    )


def verdict(rows: pd.DataFrame) -> dict:
    """A row a tissue, with the columns of the stages that ran."""
    shown, wrong, level = [], [], ""
    if "shared" in rows:
        shown.append(
            "Share of the variance of expression that goes with the image in each tissue's primary setting, less what "
            "chance explains."
        )
        wrong.append("A share far from 0 with donors shuffled would be wrong.")
    if "hits" in rows and len(rows):
        level = f"{LEVELS[rows['correction'].iloc[0]]} &le; {rows['alpha'].iloc[0]:g}"
        shown.append(f"Feature-gene pairs with {level} in the primary setting, beside those with donors shuffled.")
        wrong.append("Hits in the control, or control lambdas on one side of 1 in all tissues, would be wrong.")
    if "predicted" in rows:
        shown.append("Genes that all features together tell beyond the covariates, and their gain in donors left out.")
        wrong.append("Such genes with donors shuffled would be wrong.")
    if (rows["weights"] == "random").any():
        shown.append("The encoder has random weights: it was never trained.")
    word, adjusted = adjustment(rows, robustness="hits" in rows)
    columns = {
        "status": named("Status", "red, amber or green, by the rule over the table", LIGHT),
        "why": named("Why", "What the rule found", {}),
        "donors": named("Donors", "Donors with features and expression", PEOPLE),
        "slides": named("Slides", "Slides in the sheet", PEOPLE),
        "patches": named("Patches", "Of the setting's size, on slides that were read", COUNT),
        "accuracy": named(
            "Accuracy", "Of the tissue's validation patches those that the classifier calls by name", RATIO
        ),
        "shared": named("Shared variance", "Share of expression's variance, less what chance explains", RATIO),
        "shared_low": named("from", "95 % interval, grouped jackknife over donors", RATIO),
        "shared_high": named("to", "Upper end of the interval", RATIO),
        "shared_p": named("p", "Of the shared variance, by permutation", SMALL_P),
        "control_shared": named("Donors shuffled", "Shared variance with donors shuffled", RATIO),
        "control_shared_p": named("its p", "By permutation", SMALL_P),
        "genes": named("Genes", "Genes tested", COUNT),
        "genes_found": named("Genes found", "Genes with q at most alpha, all pairs of a gene together", COUNT),
        "control_genes_found": named("Control genes found", "The same with donors shuffled", COUNT),
        "hits": named("Hits", f"Pairs with {level}", COUNT),
        "control_hits": named("Control hits", "The same with donors shuffled", COUNT),
        "genes_with_hit": named("Genes with a hit", f"Genes with a pair at {level}", COUNT),
        "control_genes_with_hit": named("Control genes", "The same with donors shuffled", COUNT),
        "lambda_gc": named("Lambda", "Median chi-square of p over its expectation", RATIO),
        "control_lambda_gc": named("Control lambda", "The same with donors shuffled", RATIO),
        "lambda_low": named("permuted from", "Smallest lambda of permutations of the features' donors", RATIO),
        "lambda_high": named("permuted to", "Largest of them", RATIO),
        "hits_shuffle_within": named("Hits within strata", "With donors shuffled within their strata", COUNT),
        "detectable_r": named("Detectable |r|", "At 80 % power and the Bonferroni cut over all pairs", RATIO),
        "predicted": named("Genes predicted", "q of the test of all features at most alpha", COUNT),
        "control_predicted": named("Control predicted", "The same with donors shuffled", COUNT),
        "predicted_gain": named("their gain", "Median gain in R2 over the covariates, held-out donors", RATIO),
        "features": named("Features", "Features that vary over donors", COUNT),
        "weights": named("Weights", "Of the encoder; random: never trained", {}),
        "primary": named("Primary", "Whether the setting is the one declared before the run", {}),
        "setting": named("Setting", "tissue.size.encoder.aggregation", {}),
    }
    stands_in = "Primary = no: the declared primary setting is not in this run, another one stands in."
    return table(
        "verdict",
        f"Verdict by tissue ({word})",
        " ".join([*(shown or ["Each tissue's primary setting."]), adjusted]),
        " ".join([*(wrong or ["Fewer donors than you expect would be wrong."]), f"Status: {RULE}.", stands_in]),
        rows,
        {name: header for name, header in columns.items() if name in rows and rows[name].notna().any()},
        "summary/verdict.tsv",
        "Tissue",
        list(rows["tissue_id"]),
        finding=hx_finding_run.verdict(rows),
    )


def left_out(skipped: Mapping[str, str]) -> dict:
    """The one place that tells of stages that were not run; skipped: {stage: why}."""
    return text(
        "hx_skipped",
        "Left out",
        "Stages that were not run: the report has none of their tables and sections.",
        "A stage that your question needs would be wrong here: run again with -resume and without --only or --skip.",
        [f"{stage} was skipped ({why}). {WITHOUT.get(stage, '')}".strip() for stage, why in skipped.items()],
    )


def flow(rows: pd.DataFrame) -> dict:
    """Slides and donors step by step."""
    columns = {
        "slides": named("Slides in sheet", "Rows of the samplesheet", PEOPLE),
        "slides_usable": named("Not excluded", "Neither excluded nor missing", PEOPLE),
        "slides_read": named("Read", "Status ok or partial", PEOPLE),
        "donors": named("Donors in sheet", "Donors of the tissue", PEOPLE),
        "matched_donors": named("With RNA", "Donors with an expression column", PEOPLE),
        "donors_kept": named("In cohort", "Donors of cohort.tsv", PEOPLE),
        "donors_analysed": named("Analysed", "Donors with features and expression", PEOPLE),
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
        finding=hx_finding_run.flow(rows),
    )


def losses(rows: pd.DataFrame, dropped: pd.DataFrame) -> dict:
    """Everything that was dropped. rows: of hx_report.losses; dropped: what they count."""

    def shareable(disclosure: Disclosure) -> dict:
        plain = report_losses(without_ids(dropped, disclosure))
        people = plain["kind"].isin(PEOPLE_KINDS)
        counts = [few(n) if of else n for n, of in zip(plain["count"], people, strict=True)]
        return _losses(plain.assign(count=counts, examples=plain["examples"].mask(people, "")))

    return _losses(rows) | {"finding": hx_finding_run.losses(rows), "shareable": shareable}


def _losses(rows: pd.DataFrame) -> dict:
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


def disclosure(mode: Disclosure, genotypes: bool) -> list[dict]:
    """What the report keeps back, or, of a run with genotypes, that it keeps nothing back; [] of any other run."""
    if mode.shareable:
        told = (
            "Made with --disclosure shareable: no donor, slide or RNA sample is named, no value of a single one is "
            f"shown, counts of fewer than {FEW} of them are '< {FEW}'. Files beside the report keep ids and values: "
            "docs/privacy.md says which, and what a report without them does not protect against."
        )
        return [text("hx_disclosure", "Shareable report", "What is kept back.", "", [told])]
    if not genotypes:
        return []
    told = (
        "Made with --disclosure internal from data with genotypes: it names donors and shows their values. "
        "Do not pass it on; --disclosure shareable with -resume makes one to pass on."
    )
    banner = text("hx_disclosure", "INTERNAL REPORT", "Not to be passed on.", "", [told])
    return [banner | {"data": f'<div class="alert alert-danger">{banner["data"]}</div>'}]
