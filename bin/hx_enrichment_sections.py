#!/usr/bin/env python3
"""What the report says of gene sets: markers first, terms of features, the study's Table 1, lists, GSEA, g:Profiler."""

from collections.abc import Mapping

import pandas as pd

import hx_finding_tests
from hx_cli import preview
from hx_gather import Kind
from hx_mqc import COUNT, RATIO, SMALL_P, escape, table, text
from hx_sections import named

TABLES = {  # of enrich.py: <tissue_id>.<size>.<kind>.tsv
    "enrichment_summary": Kind(["setting", "control", "collection", "test", "tests", "share_p05", "found", "told"]),
    "enrichment_table1": Kind(["setting", "feature", "collection", "term", "p", "q", "genes"]),
    "enrichment_top": Kind(["setting", "feature", "collection", "term", "p_camera", "q_camera"]),
    "enrichment_lists": Kind(["kind", "list", "given", "setting", "term", "p", "q", "genes"]),
    "gene_lists": Kind(["kind", "list", "given", "setting", "genes", "terms"]),
    "marker_hits": Kind(["setting", "gene", "symbol", "term", "r_marker", "tracks"]),
    "gsea": Kind(["setting", "feature", "ranking", "term", "nes", "p_gsea", "q_gsea", "label"]),
    "gprofiler": Kind(["setting", "query", "source", "name", "p_value", "genes"]),
    "gprofiler_status": Kind(["setting", "status", "url", "message"]),
}
NAMES = {"camera": "camera (headline)", "strength": "camera by r2", "ora": "over-representation", "score": "set score"}
MARKERS = "markers"
SHOWN_GENES = 12


def enrichment_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there and have rows, cell types first; tables: the kinds of TABLES, gathered."""
    shown = []
    best = tables.get("enrichment_top", pd.DataFrame(columns=["collection"]))
    for collection, draw in ((MARKERS, _cell_types), ("", _top)):
        rows = best[(best["collection"] == MARKERS) == (collection == MARKERS)]
        if len(rows):
            shown.append(draw(rows))
        for name, more in FOLLOWING[collection].items():
            if len(rows := tables.get(name, pd.DataFrame())):
                shown.append(more(rows))
    status = tables.get("gprofiler_status", pd.DataFrame())
    failed = status[~status["status"].isin(["ok", "cached"])] if len(status) else status
    if len(failed):
        shown.append(_unreachable(failed))
    return shown


def _few(names: object) -> str:
    """The first genes of a `;`-joined list."""
    return preview(str(names).split(";"), SHOWN_GENES)


def _counts(rows: pd.DataFrame) -> dict:
    cautions = sorted(set(rows["caution"].dropna().astype(str)) - {""})
    warned = "".join(f" CAUTION: {escape(each)}." for each in cautions)
    control = rows[rows["control"] != "none"].set_index(["setting", "collection", "test"])[["found", "share_p05"]]
    real = rows[rows["control"] == "none"].join(control.add_prefix("control_"), on=["setting", "collection", "test"])
    return table(
        "enrichment",
        "Gene sets behind the features",
        "Every set against every feature, markers of cell types first, each collection a family of its own: q is "
        f"Benjamini-Hochberg over all features x sets.{warned}",
        "Sets found with donors shuffled would be wrong. Over-representation takes genes as independent, so that its p "
        "is too small where genes of a set go together; the set score asks for any association and finds most sets "
        "once many genes are associated.",
        real.assign(test=real["test"].map(NAMES)),
        {
            "collection": named("Collection", "markers: --marker_sets; gene_sets: --gene_sets", {}),
            "test": named("Test", "The first is what a term is found by", {}),
            "sets": named("Sets", "With 5 to 500 tested genes", COUNT),
            "features": named("Features", "Features tested", COUNT),
            "genes": named("Genes", "Tested genes: the universe", COUNT),
            "found": named("Found", "Features x sets with q at most .05", COUNT),
            "control_found": named("Control found", "The same with donors shuffled", COUNT),
            "features_found": named("Features with a term", "Features", COUNT),
            "sets_found": named("Sets found", "Sets", COUNT),
            "share_p05": named("p < .05", "Share of all features x sets", RATIO),
            "control_share_p05": named("Control p < .05", "The same with donors shuffled", RATIO),
            "rho_median": named("Correlation", "Median over sets of the mean correlation of their genes", RATIO),
        },
        "enrichment/*.enrichment_summary.tsv",
        "Setting",
        list(real["setting"]),
        finding=hx_finding_tests.enrichment(real),
    )


def _markers(rows: pd.DataFrame) -> dict:
    tracking = rows["tracks"].eq("yes")
    return table(
        "marker_hits",
        "Hits that may be cell composition",
        f"Genes with a hit in the primary setting beside the score of the marker set whose other genes they go with "
        f"most: {int(tracking.sum())} of {len(rows)} track one (|r| at least .5, q at most .05).",
        "To read a gene that tracks a marker score as regulated in a cell would be wrong: the image may see how many "
        "cells of a type there are. Given the score is what is left of its r.",
        rows,
        {
            "setting": named("Setting", "tissue.size.encoder.aggregation", {}),
            "best_feature": named("Best feature", "Of its hits", {}),
            "hits": named("Hits", "Features that it is a hit of", COUNT),
            "term": named("Markers of", "The set it goes with most", {}),
            "in_set": named("A marker", "Is the gene itself in the set", {}),
            "r": named("r", "With the feature", RATIO),
            "r_marker": named("r with score", "Of the set's other genes", RATIO),
            "r_given_marker": named("r given score", "With the feature, the score held fixed", RATIO),
            "tracks": named("Tracks", "|r| with the score at least .5 and q at most .05", {}),
        },
        "enrichment/*.marker_hits.tsv",
        "Gene",
        list(rows["symbol"].fillna("").where(rows["symbol"].fillna("") != "", rows["gene"])),
    )


def _table1(rows: pd.DataFrame) -> dict:
    return table(
        "enrichment_table1",
        "Terms of a feature's genes (the study's Table 1)",
        "The ten features of the primary setting whose hits are most over-represented in some term, up to five terms "
        "of each, and the genes, strongest first. The universe is the genes tested, not the genome.",
        "A small p by itself would be wrong to trust: it takes the genes of a term as independent. Camera does not.",
        rows.assign(shown=rows["genes"].map(_few)),
        {
            "feature": named("Feature", "Its hits are the list", {}),
            "term": named("Term", "Description of the set", {}),
            "p": named("p", "Hypergeometric", SMALL_P),
            "q": named("q", "Over all features x sets of the collection", SMALL_P),
            "overlap": named("Genes in both", "Hits in the set", COUNT),
            "genes_found": named("Hits", "Of the feature", COUNT),
            "size": named("Set", "Tested genes of the set", COUNT),
            "p_camera": named("p, camera", "Correlation of genes taken account of", SMALL_P),
            "shown": named("Genes", "Hits in the set, strongest first", {}),
        },
        "enrichment/*.enrichment_table1.tsv",
        "Setting and set",
        [f"{row.setting}, {row.set}" for row in rows.itertuples()],
    )


def _cell_types(rows: pd.DataFrame) -> dict:
    return _best(
        rows,
        "enrichment_markers",
        "Cell types behind each feature",
        "The best marker set (--marker_sets) of each feature of the primary setting, tested before all other sets and "
        "apart from them. A feature that tracks a cell type's markers sees how many of these cells there are.",
    )


def _top(rows: pd.DataFrame) -> dict:
    return _best(rows, "enrichment_top", "Best set of each feature", "The best of --gene_sets for each feature.")


def _best(rows: pd.DataFrame, identity: str, name: str, shown: str) -> dict:
    return table(
        identity,
        name,
        f"{shown} By camera: do the genes of the set rise (up) or fall (down) with the feature more than other genes "
        "do, given how they go together.",
        "A row without q is not found. A set chosen as the best of many would be wrong to report by its p.",
        rows,
        {
            "setting": named("Setting", "tissue.size.encoder.aggregation", {}),
            "term": named("Term", "Description of the set", {}),
            "direction": named("Direction", "Of the genes with the feature", {}),
            "p_camera": named("p", "Two-sided", SMALL_P),
            "q_camera": named("q", "Over all features x sets of the collection", SMALL_P),
            "q_strength": named("q by r2", "Whatever the direction of each gene", SMALL_P),
            "q_score": named("q, score", "Any association of the sum of the genes", SMALL_P),
            "size": named("Genes", "Tested genes of the set", COUNT),
            "rho": named("Correlation", "Mean over pairs of its genes", RATIO),
        },
        "enrichment/*.enrichment_top.tsv",
        "Feature",
        list(rows["feature"]),
    )


def _lists(rows: pd.DataFrame) -> dict:
    rows = rows[rows["q"] <= 0.05]
    return table(
        "enrichment_lists",
        "Terms of genes found, and of factors",
        "Over-representation in all genes found in a setting, and in the genes of each factor (q < .05 by itself, or "
        "given the rest of the model), against the genes tested.",
        "A term of a factor that is also one of a feature may come through the factor: autolysis, RNA quality. All p "
        "take genes as independent.",
        rows.assign(shown=rows["genes"].map(_few)),
        {
            "kind": named("List of", "setting: all genes found in it; factor: its genes", {}),
            "given": named("Given", "model: beyond the rest of the model", {}),
            "term": named("Term", "Description of the set", {}),
            "p": named("p", "Hypergeometric", SMALL_P),
            "q": named("q", "Over the sets of the collection", SMALL_P),
            "overlap": named("Genes in both", "Of the list and the set", COUNT),
            "expected": named("Expected", "By chance", {"format": "{:.1f}", "scale": False}),
            "listed": named("List", "Genes on the list", COUNT),
            "shown": named("Genes", "Strongest first", {}),
        },
        "enrichment/*.enrichment_lists.tsv",
        "List",
        [row.list if row.kind == "setting" else f"{row.setting} {row.list}" for row in rows.itertuples()],
    )


def _gsea(rows: pd.DataFrame) -> dict:
    return table(
        "gsea",
        "Pre-ranked GSEA of chosen features",
        "WARNING: p comes from permuting genes, as if they were independent. Features without any association find "
        "a set of correlated genes (mean r .1) at p &le; .05 in about 39 % of cases.",
        "To report these p would be wrong; the normalised score (NES) and leading genes describe, camera tests.",
        rows.assign(shown=rows["leading_genes"].map(_few)),
        {
            "setting": named("Setting", "tissue.size.encoder.aggregation", {}),
            "ranking": named("Ranked by", "t: direction; r2: strength, as the study", {}),
            "term": named("Term", "Description of the set", {}),
            "nes": named("NES", "Normalised enrichment score", RATIO),
            "p_gsea": named("Gene-permutation p", "Too small where genes of a set go together", SMALL_P),
            "q_gsea": named("q of it", "Over sets and rankings of the collection", SMALL_P),
            "shown": named("Leading genes", "Up to the highest running sum", {}),
        },
        "enrichment/*.gsea.tsv",
        "Feature",
        list(rows["feature"]),
    )


def _gprofiler(rows: pd.DataFrame) -> dict:
    return table(
        "gprofiler",
        "g:Profiler",
        "Lists of genes, strongest first, sent to g:Profiler with the tested genes as background (ordered, g:SCS).",
        "p is adjusted over the terms of a list, not over lists, and takes genes as independent.",
        rows.assign(shown=rows["genes"].map(_few)),
        {
            "setting": named("Setting", "tissue.size.encoder.aggregation", {}),
            "source": named("Source", "Collection of terms", {}),
            "name": named("Term", "As g:Profiler names it", {}),
            "p_value": named("p", "Adjusted (g:SCS)", SMALL_P),
            "intersection_size": named("Genes in both", "Of the list's best part and the term", COUNT),
            "term_size": named("Term", "Genes of the term among those tested", COUNT),
            "shown": named("Genes", "Of both", {}),
        },
        "enrichment/*.gprofiler.tsv",
        "List",
        list(rows["query"]),
    )


def _unreachable(rows: pd.DataFrame) -> dict:
    lines = [f"{row.setting}: {row.status} ({row.url}): {row.message}" for row in rows.itertuples()]
    return text(
        "gprofiler_status",
        "g:Profiler gave no answer",
        "The lists were not tested by g:Profiler in these settings; all other terms are there.",
        "Run again with -resume --gprofiler once the server can be reached.",
        lines,
    )


# What follows the best sets of markers, and those of other sets.
FOLLOWING = {
    MARKERS: {"marker_hits": _markers, "enrichment_summary": _counts, "enrichment_table1": _table1},
    "": {"enrichment_lists": _lists, "gsea": _gsea, "gprofiler": _gprofiler},
}
