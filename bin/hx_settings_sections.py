#!/usr/bin/env python3
"""What the report says of settings side by side: counts, overlaps, the study's analysis beside the calibrated one."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

from hx_gather import Kind
from hx_mqc import COUNT, PEOPLE, RATIO, SMALL_P, bars, cell, escape, section, table
from hx_sections import COLOURS, named
from hx_settings import ALL, comparable
from hx_sizes import size_value

TABLES = {  # of compare_settings.py: <tissue_id>.<kind>.tsv
    "setting_counts": Kind(["setting", "donors", "n", "hits", "genes_found", "features_with_hit"]),
    "setting_overlaps": Kind(["setting", "other", "donors", "differ_in", "of", "jaccard", "jaccard_expected"]),
    "size_sets": Kind(["tissue_id", "donors", "encoder", "aggregation", "sizes", "genes"]),
    "published_associations": Kind(["setting", "variant", "hits", "null_hits", "top_r2", "null_top_r2"]),
}
MOST_SETS = 20  # bars, the highest
CAUTION = "Genes depend on each other: overlap beyond chance does not say that any one gene is right."


def settings_sections(tables: Mapping[str, pd.DataFrame], chosen: pd.DataFrame) -> list[dict]:
    """Sections of the tables that are there and have rows to show.

    Args:
        tables: the kinds of TABLES, gathered.
        chosen: the verdict's settings: setting, tissue_id, size, encoder, aggregation.
    """
    shown = []
    if len(counts := tables.get("setting_counts", pd.DataFrame())):
        shown.append(_counts(counts, chosen))
    if len(overlaps := comparable(tables.get("setting_overlaps", pd.DataFrame()))):
        shown += [*_sizes(overlaps, chosen), *_choices(overlaps, chosen)]
    if len(sets := comparable(tables.get("size_sets", pd.DataFrame()))):
        shown += _sets(sets, chosen)
    if len(published := tables.get("published_associations", pd.DataFrame())):
        shown.append(_published(published, chosen))
    return shown


def count_rows(counts: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """A row a setting, with its counts on the donors of every size as equal_*; the verdict's encoder and aggregation
    first, by tissue and rising size."""
    names = ["n", "hits", "genes_found", "features_with_hit"]
    rows = counts[counts["donors"] == ALL]
    equal = comparable(counts).set_index("setting")[names].add_prefix("equal_")
    return _ordered(rows.join(equal, on="setting"), chosen)


def _ordered(rows: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    declared = set(chosen[["tissue_id", "encoder", "aggregation"]].itertuples(index=False, name=None))
    named_in = rows[["tissue_id", "encoder", "aggregation"]].itertuples(index=False, name=None)
    rows = rows.assign(_later=[row not in declared for row in named_in], _size=rows["size"].map(size_value))
    order = ["_later", "tissue_id", "encoder", "aggregation", "_size"]
    return rows.sort_values(order, kind="stable", ignore_index=True).drop(columns=["_later", "_size"])


def _counts(counts: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    rows = count_rows(counts, chosen)
    return table(
        "setting_counts",
        "Counts by patch size, encoder and aggregation",
        "Hits, genes and features of each setting on all of its donors, and on the donors that every size of the "
        "tissue tested.",
        "To compare the first counts between sizes, or any between tissues, would be wrong: more donors find smaller "
        "r, so that it compares numbers of donors. Counts on equal donors compare sizes; encoders of unequal numbers "
        "of features compare by the share of their pairs.",
        rows,
        {
            "n": named("Donors", "Donors tested", PEOPLE),
            "hits": named("Hits", "Pairs that the correction passes", COUNT),
            "genes_found": named("Genes found", "q of the gene at most alpha", COUNT),
            "features_with_hit": named("Features", "Features with a hit", COUNT),
            "equal_n": named("Equal donors", "Donors that every size of the tissue tested", PEOPLE),
            "equal_hits": named("Hits, equal", "On those", COUNT),
            "equal_genes_found": named("Genes, equal", "On those", COUNT),
            "equal_features_with_hit": named("Features, equal", "On those", COUNT),
            "hit_share": named("Share", "Hits of all pairs tested, all donors", SMALL_P),
            "pairs": named("Pairs", "Pairs tested", COUNT),
            "detectable_r": named("Detectable |r|", "At 80 % power and the Bonferroni cut over all pairs", RATIO),
            "analysis": named("Analysis", "Declared before the run, or exploratory", {}),
        },
        "associations/*.setting_counts.tsv",
        "Setting",
        list(rows["setting"]),
    )


def _of_verdict(rows: pd.DataFrame, chosen: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Rows that agree with the verdict's setting of their tissue in columns `names`."""
    return rows.merge(chosen[["tissue_id", *names]].astype(str), on=["tissue_id", *names])


def _sizes(overlaps: pd.DataFrame, chosen: pd.DataFrame) -> list[dict]:
    """Heat map: sizes of the verdict's encoder and aggregation against each other, a block a tissue."""
    rows = overlaps[(overlaps["of"] == "genes") & (overlaps["differ_in"] == "size")]
    rows = _of_verdict(rows, chosen, ["encoder", "aggregation"]).astype({"size": str, "other_size": str})
    if not len(rows):
        return []
    cells = {}
    for row in rows.itertuples():
        cells[row.tissue_id, row.size, row.other_size] = cells[row.tissue_id, row.other_size, row.size] = row.jaccard
    columns = sorted({*rows["size"], *rows["other_size"]}, key=size_value)
    places = sorted({(tissue, size) for tissue, size, _ in cells}, key=lambda place: (place[0], size_value(place[1])))
    name = "Genes found at two patch sizes"
    return [
        section(
            "overlap_sizes",
            name,
            "Jaccard index (shared of all found) of the genes found at two patch sizes, of the verdict's encoder and "
            "aggregation, on the donors that every size tested; blank where a size found none.",
            f"Sizes near each other that agree less than distant ones would look wrong. {CAUTION} Rows, with what "
            "chance would give: associations/*.setting_overlaps.tsv.",
            "heatmap",
            [[cell(cells.get((tissue, size, column))) for column in columns] for tissue, size in places],
            xcats=[escape(column) for column in columns],
            ycats=[escape(f"{tissue}, {size}") for tissue, size in places],
            pconfig={
                "id": "overlap_sizes_plot",
                "title": f"HistoGEx: {name}",
                "xlab": "Patch size",
                "ylab": "Tissue and patch size",
                "min": 0,
                "max": 1,
                "square": False,
                "cluster_rows": False,
                "cluster_cols": False,
            },
        )
    ]


def _choices(overlaps: pd.DataFrame, chosen: pd.DataFrame) -> list[dict]:
    """Encoders against each other, and aggregations, at the verdict's size."""
    rows = overlaps[(overlaps["of"] == "genes") & overlaps["differ_in"].isin(["encoder", "aggregation"])]
    rows = _of_verdict(rows.astype({"size": str}), chosen, ["size"])
    if not len(rows):
        return []
    return [
        table(
            "overlap_choices",
            "Genes found by two encoders or aggregations",
            "Genes found in two settings of the verdict's patch size that differ in the encoder (raw against "
            "retrained) or in the aggregation (mean against median) alone, and what sets of that size drawn at random "
            "would share.",
            f"Aggregations of one encoder that agree no more than chance would look wrong. {CAUTION}",
            rows,
            {
                "other": named("Second", "Setting compared with", {}),
                "differ_in": named("Differ in", "", {}),
                "n": named("Donors", "Of both where sizes compare on equal donors", PEOPLE),
                "first": named("Genes, first", "Genes found, of those tested in both", COUNT),
                "second": named("Genes, second", "Genes found, of those tested in both", COUNT),
                "shared": named("Shared", "Genes found in both", COUNT),
                "expected": named("By chance", "If genes found were independent", COUNT),
                "jaccard": named("Jaccard", "Shared of all found", RATIO),
                "jaccard_expected": named("by chance", "At the expected number", RATIO),
                "overlap": named("Overlap", "Shared of the smaller set", RATIO),
                "overlap_expected": named("by chance", "At the expected number", RATIO),
                "p_overlap": named("p", "Hypergeometric; descriptive, since genes depend on each other", SMALL_P),
            },
            "associations/*.setting_overlaps.tsv",
            "First",
            list(rows["setting"]),
        )
    ]


def _sets(sets: pd.DataFrame, chosen: pd.DataFrame) -> list[dict]:
    """UpSet bars: genes found at exactly a set of sizes, of the verdict's encoder and aggregation; a part a tissue."""
    rows = _of_verdict(sets[sets["of"] > 1], chosen, ["encoder", "aggregation"]).astype({"sizes": str})
    if not len(rows):
        return []
    wide = rows.pivot_table(index="sizes", columns="tissue_id", values="genes", aggfunc="sum", fill_value=0)
    wide = wide.loc[wide.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    frame = wide.iloc[:MOST_SETS].rename(index=lambda sizes: sizes.replace(";", " + "))
    cut = f" The {len(frame)} highest of {len(wide)} bars." if len(wide) > len(frame) else ""
    return [
        bars(
            "size_sets",
            "Genes by the patch sizes that find them",
            "Number of genes found at exactly these patch sizes and no other, of the verdict's encoder and "
            "aggregation, on the donors that every size tested.",
            "To read a gene that one size alone finds as one that others lack would be wrong: most miss the cut there "
            f"by little.{cut} Rows: associations/*.size_sets.tsv.",
            frame,
            dict(zip(frame, cycle(COLOURS), strict=False)),
            ylab="Genes",
        )
    ]


def _published(rows: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    rows = _ordered(rows, chosen)
    return table(
        "published_associations",
        "The study's analysis beside the calibrated one",
        "Published: 500 features and 2,000 genes of largest standard deviation, r of log2 values, p with n - 2 degrees "
        "of freedom whatever was taken out, Bonferroni at .05. Calibrated: the same pairs, rank-normal genes, n - 2 - "
        "k. Beside both, the mean of 20 orders of shuffled donors.",
        "Hits of shuffled donors far above .05 (a few come at once, for pairs depend on each other) would be wrong; "
        "with many covariates the published p, which is then too small, has them. The study's own control, residuals "
        "permuted as they are, cannot show it. A top r2 near that of shuffled donors is what the best of so many pairs "
        "reaches by chance.",
        rows,
        {
            "variant": named("Analysis", "Published, or calibrated", {}),
            "n": named("Donors", "Donors tested", PEOPLE),
            "covariate_rank": named("k", "Rank of the covariates taken out", COUNT),
            "dof": named("dof", "Degrees of freedom of p", COUNT),
            "detectable_r": named("Detectable |r|", "At 80 % power and the Bonferroni cut over all pairs", RATIO),
            "hits": named("Hits", "Pairs with Bonferroni p at most .05", COUNT),
            "null_hits": named("Shuffled", "Hits with donors shuffled, covariates then taken out", RATIO),
            "null_hits_residuals": named("Study's control", "Hits with residuals permuted as they are", RATIO),
            "top_r2": named("Top r2", "Of the pair of largest |r|", RATIO),
            "null_top_r2": named("Shuffled top r2", "Median of the largest", RATIO),
            "top_symbol": named("Its gene", "", {}),
            "top_feature": named("Its feature", "", {}),
            "top_nlog10p": named("-log10 p", "Of that pair, one of all", RATIO),
            "features": named("Features", "Tested", COUNT),
            "genes": named("Genes", "Tested", COUNT),
        },
        "associations/*.published_associations.tsv",
        "Setting",
        list(rows["setting"]),
    )
