#!/usr/bin/env python3
"""What the report says of what features see: sentences, structure, components of the donors, maps."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

import hx_finding_tests
from hx_donor_plots import binned
from hx_gather import Kind
from hx_mqc import COUNT, MAX_POINTS, PEOPLE, RATIO, SMALL_P, escape, section, table
from hx_sections import COLOURS, named

OF = ("tissue_id", "size")
TABLES = {  # of describe_features.py and draw_features.py: <tissue_id>.<size>.<kind>.tsv
    "descriptions": Kind(["setting", "feature", "sentence", "technical", "r2_cv", "term", "rho"], OF),
    "feature_structure": Kind(["setting", "features", "dead", "clusters", "effective"], OF),
    "feature_correlations": Kind(["setting", "feature", "other", "r"], OF),
    "feature_pcs": Kind(["setting", "donor", "PC1", "PC2"], OF),
    "feature_pc_factors": Kind(["setting", "factor", "component", "share", "r2"], OF),
    "feature_maps": Kind(["setting", "sample", "name", "what", "n_patches", "mean"], OF),
}
MOST_TISSUES = 3  # with a matrix and a figure of components; all are in the tables
FACTORS = 6  # that the points of a tissue can be coloured by
BINS = 5  # of a number
# Viridis at five even steps: as the colours of the maps.
STEPS = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]
DIVERGING = [[0.0, "#2d006e"], [0.5, "#ffffff"], [1.0, "#a04600"]]


def description_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there and have rows; [] where no feature was described."""
    shown = {name: tables[name] for name in TABLES if len(tables.get(name, ()))}
    made = [_descriptions(shown["descriptions"])] if "descriptions" in shown else []
    if "feature_structure" in shown:
        made.append(_structure(shown["feature_structure"]))
    for name, make in (("feature_correlations", _correlations), ("feature_pcs", _components)):
        if name in shown:
            tissues = list(dict.fromkeys(shown[name]["tissue_id"]))[:MOST_TISSUES]
            made += [make(tissue, shown) for tissue in tissues]
    if "feature_maps" in shown:
        made.append(_maps(shown["feature_maps"]))
    return made


def _descriptions(rows: pd.DataFrame) -> dict:
    columns = {
        "sentence": named("What it tracks", "Terms in the order of a forward regression over donors", {}),
        "technical": named("Technical", "Whether all of it is stain, colour, focus or scanner", {}),
        "r2_cv": named("R2, held out", "Share of its variance in donors left out of the choice of terms", RATIO),
        "p": named("p", "Of the largest |r| over all candidates, by permutation of donors", SMALL_P),
        "candidates": named("Candidates", "Companions, covariates and pathology that were tried", COUNT),
        "chosen_for": named("Chosen as", "Why it is described", {}),
        "n": named("Donors", "Donors with the feature", PEOPLE),
    }
    return table(
        "descriptions",
        "What the features track",
        "The features behind the strongest genes of the primary setting, and those that were named: what predicts each "
        "in donors held out, among measured properties of the patches, covariates and pathology. rho is Spearman's of "
        "the first term; numbers of further terms are correlations given the others.",
        "Features that are all technical would be wrong: their genes go with how slides were stained and scanned. "
        "To track is to go together: no term is a cause.",
        rows,
        {name: header for name, header in columns.items() if name in rows and rows[name].notna().any()},
        "description/*.descriptions.tsv",
        "Feature",
        [f"{row.feature}, {row.tissue_id}" for row in rows.itertuples()],
        finding=hx_finding_tests.descriptions(rows),
    )


def _structure(rows: pd.DataFrame) -> dict:
    columns = {
        "setting": named("Setting", "tissue.size.encoder.aggregation", {}),
        "features": named("Features", "Number", COUNT),
        "dead": named("Dead", "Constant over the donors", COUNT),
        "clusters": named("Clusters", "Groups of mean |r| of .7 or more", COUNT),
        "largest_cluster": named("Largest", "Features in the largest cluster", COUNT),
        "effective": named("Effective", "So many independent ones would hold as much (participation ratio)", RATIO),
        "donors": named("Donors", "Donors with features", PEOPLE),
    }
    return table(
        "feature_structure",
        "How many features there really are",
        "Clusters of features that say the same over donors, and how many independent ones would say as much.",
        "A few effective features beside thousands are no fault of a network: tests of single features are then tests "
        "of the same thing many times.",
        rows,
        columns,
        "description/*.feature_structure.tsv",
        "Tissue",
        list(rows["tissue_id"]),
    )


def _correlations(tissue: str, tables: Mapping[str, pd.DataFrame]) -> dict:
    rows = tables["feature_correlations"]
    rows = rows[rows["tissue_id"] == tissue]
    names = list(dict.fromkeys(rows["feature"]))
    r = rows["r"].to_numpy(float).reshape(len(names), len(names)).round(3)
    data = {
        escape(name): {escape(other): float(r[i, j]) for j, other in enumerate(names)} for i, name in enumerate(names)
    }
    config = {
        "id": f"feature_correlations_{tissue}_plot",
        "title": f"HistoGEx: features against each other, {escape(tissue)}",
        "min": -1,
        "max": 1,
        "square": True,
        "display_values": False,
        "cluster_rows": False,
        "cluster_cols": False,
        "colstops": DIVERGING,
    }
    return section(
        f"feature_correlations_{tissue}",
        f"Features against each other: {escape(tissue)}",
        "Correlation over donors of one feature of each of the largest clusters, in the order of their dendrogram.",
        "Blocks far from the diagonal would be wrong: the dendrogram puts what goes together side by side. All "
        "clusters: description/*.feature_clusters.tsv.",
        "heatmap",
        data,
        pconfig=config,
        parent_id="feature_correlations",
        parent_name="Features against each other",
        parent_description="",
    )


def _components(tissue: str, tables: Mapping[str, pd.DataFrame]) -> dict:
    rows = tables["feature_pcs"]
    rows = rows[rows["tissue_id"] == tissue].iloc[: MAX_POINTS // FACTORS]
    factors = tables.get(
        "feature_pc_factors", pd.DataFrame(columns=["tissue_id", "factor", "component", "r2", "share"])
    )
    factors = factors[(factors["tissue_id"] == tissue) & factors["component"].isin(["PC1", "PC2"])]
    best = factors.sort_values(["r2", "factor"], ascending=[False, True]).drop_duplicates("factor").head(FACTORS)
    share = factors.drop_duplicates("component").set_index("component")["share"]
    names = [name for name in best["factor"] if name in rows] or [""]
    datasets, donors = [], []
    for name in names:
        of, colour = coloured(rows[name]) if name else ([""] * len(rows), [COLOURS[0]] * len(rows))
        points: dict[str, list] = {}
        for x, y, group, shade in zip(rows["PC1"], rows["PC2"], of, colour, strict=True):
            points.setdefault(group or "donors", []).append({"x": round(x, 4), "y": round(y, 4), "color": shade})
        datasets.append(points)
        groups = [group or "donors" for group in of]
        donors.append(pd.DataFrame({"x": rows["PC1"], "y": rows["PC2"], "group": groups, "color": colour}))
    axis = {pc: f"{pc} ({100 * share[pc]:.0f} % of the variance)" if pc in share else pc for pc in ("PC1", "PC2")}
    config = {
        "id": f"feature_pcs_{tissue}_plot",
        "title": f"HistoGEx: components of the donors, {escape(tissue)}",
        "xlab": axis["PC1"],
        "ylab": axis["PC2"],
        "data_labels": [{"name": escape(name) or "donors"} for name in names],
    }
    components = "First two components of the standardised features,"
    told = "the covariates and companions that go most with them (choose one; five colours from low to high)."
    content = section(
        f"feature_pcs_{tissue}",
        f"Principal components of the donors: {escape(tissue)}",
        f"{components} a point a donor, coloured by {told}",
        "Donors that fall into groups by centre or scanner would be wrong: the features see where a slide was made. "
        "All components and factors: description/*.feature_pcs.tsv.",
        "scatter",
        datasets,
        pconfig=config,
        parent_id="feature_pcs",
        parent_name="Principal components of the donors",
        parent_description="",
    )
    shown = f"{components} for each group of donors a cross of medians and quartiles, by {told}"
    return binned(content, shown, list(zip(config["data_labels"], donors, strict=True)))


def coloured(values: pd.Series) -> tuple[list[str], list[str]]:
    """Names and colours of the points by a factor: its levels, or fifths of its values from low to high."""
    numbers = values.to_numpy(float)
    levels = np.unique(numbers)
    if len(levels) <= BINS:
        place = np.searchsorted(levels, numbers)
        colours = [STEPS[round(k * (BINS - 1) / max(1, len(levels) - 1))] for k in range(len(levels))]
        return [f"{levels[k]:.4g}" for k in place], [colours[k] for k in place]
    edges = np.quantile(numbers, np.linspace(0, 1, BINS + 1))
    place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, BINS - 1)
    # The lowest and the highest value are of single donors.
    inner = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges[1:-1])]
    names = [f"up to {edges[1]:.4g}", *inner, f"{edges[-2]:.4g} and more"]
    return [names[k] for k in place], [STEPS[k] for k in place]


def _maps(rows: pd.DataFrame) -> dict:
    columns = {
        "name": named("Mapped", "Feature or gene", {}),
        "what": named("What", "A feature is measured; expression is predicted patch by patch", {}),
        "n_patches": named("Patches", "Patches of the slide", COUNT),
        "mean": named("Mean", "Over the patches: the slide's value, or its prediction", RATIO),
        "picture": named("Picture", "In description/", {}),
    }
    return table(
        "feature_maps",
        "Maps on the tissue",
        "Features, and predicted expression of genes, that were mapped on slides; beside each picture a GeoJSON for "
        "QuPath and an h5ad file hold the values of all patches.",
        "A map that follows the edge of the tissue, folds or ink would be wrong. Predicted expression is not measured: "
        "no patch was ever sequenced.",
        rows,
        {name: header for name, header in columns.items() if name in rows},
        "description/*.feature_maps.tsv",
        "Slide",
        list(rows["sample"]),
        by=["name", "what"],
    )
