#!/usr/bin/env python3
"""What the report draws of single pairs: scatter plots of top hits, principal components against each other."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

from hx_donor_plots import binned
from hx_gather import Kind
from hx_mqc import MAX_POINTS, escape, section
from hx_sections import COLOURS, adjustment

TABLES = {  # of associate.py: <tissue_id>.<size>.<kind>.tsv
    "top_hits": Kind(
        ["setting", "gene", "symbol", "feature", "r", "r_split_half", "robustness", "donor", "feature_value"]
    ),
    "pc_associations": Kind(["setting", "control", "image_pc", "expression_pc", "n", "dof", "r", "p", "q"]),
}
ALPHA = 0.05  # of the q that a sentence counts


def top_hits_sections(tables: Mapping[str, pd.DataFrame], chosen: pd.DataFrame) -> list[dict]:
    """Sections of the kinds of TABLES that are there; chosen: the verdict's (setting, tissue_id, adjusted_for)."""
    shown = []
    for name, make in (("top_hits", _top_hits), ("pc_associations", _pcs)):
        rows = tables.get(name, pd.DataFrame(columns=["setting"]))
        rows = rows.merge(chosen[["setting", "tissue_id"]], on="setting")
        if len(rows):
            shown.append(make(rows, chosen))
    return shown


def shown_hits(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each gene that is drawn: the best of every tissue first, as many as MAX_POINTS points allow."""
    parts = {key: part for key, part in rows.groupby(["tissue_id", "gene"], sort=False)}
    keys = pd.DataFrame(list(parts), columns=["tissue_id", "gene"])
    keys = keys.assign(_place=keys.groupby("tissue_id").cumcount()).sort_values("_place", kind="stable")
    drawn = [parts[key] for key in keys[["tissue_id", "gene"]].itertuples(index=False, name=None)]
    points = pd.Series([len(part) for part in drawn]).cumsum()
    return drawn[: max(1, int((points <= MAX_POINTS).sum()))]


def _top_hits(rows: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    data, labels, donors = [], [], []
    drawn = shown_hits(rows)
    colours = dict(zip(dict.fromkeys(rows["tissue_id"]), cycle(COLOURS), strict=False))
    for part in drawn:
        first = part.iloc[0]
        points = part[["donor", "feature_value", "gene_value"]].itertuples(index=False, name=None)
        colour = colours[first["tissue_id"]]
        data.append({escape(d): {"x": round(x, 4), "y": round(y, 4), "color": colour} for d, x, y in points})
        donors.append(part[["feature_value", "gene_value"]].set_axis(["x", "y"], axis=1))
        half = "none" if pd.isna(first["r_split_half"]) else f"{first['r_split_half']:.2f}"
        title = (
            f"{first['symbol']} with {first['feature']}, {first['tissue_id']}: r {first['r']:.2f}, split-half r {half}"
        )
        labels.append(
            {
                "name": escape(f"{first['symbol']}, {first['tissue_id']}"),
                "title": escape(f"{title}, robustness {first['robustness']:.2f}"),
                "xlab": escape(f"{first['feature']}, residual, SD"),
                "ylab": escape(f"{first['symbol']}, residual of the rank-normal value"),
            }
        )
    word, adjusted = adjustment(chosen)
    name = f"Top hits ({word})"
    pairs = "The best pair of each of the genes of smallest p in a tissue's verdict setting:"
    told = (
        "both sides as residuals. r of the best of many features is too large by the choice; split-half r takes the "
        "feature from other donors; robustness is the share of both sides' variance that an unmeasured confounder must "
        f"explain to remove the association. {_detectable(rows)} {adjusted}"
    )
    content = section(
        "top_hits",
        name,
        f"{pairs} a point a donor, {told}",
        "A line that one or two donors make, two clouds that a batch would make, or a split-half r near 0 would be "
        f"wrong. Drawn are {len(drawn)} of {rows[['setting', 'gene']].drop_duplicates().shape[0]} genes; all are in "
        "associations/*.top_hits.tsv.",
        "scatter",
        data,
        pconfig={
            "id": "top_hits_plot",
            "title": f"HistoGEx: {name}",
            "xlab": "Feature",
            "ylab": "Gene",
            "marker_size": 5,
            "data_labels": labels,
        },
    )
    shown = f"{pairs} median and quartiles of the gene in bins of the feature, {told}"
    return binned(content, shown, list(zip(labels, donors, strict=True)))


def _pcs(rows: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    real = rows[rows["control"] == "none"]
    wide = real.pivot_table(index=["tissue_id", "image_pc"], columns="expression_pc", values="r", sort=True)
    share = real.drop_duplicates(["tissue_id", "image_pc"]).set_index(["tissue_id", "image_pc"])["image_share"]
    counted = "; ".join(
        f"{'real' if control == 'none' else control}: {int((part['q'] <= ALPHA).sum())} of {len(part)} pairs, "
        f"largest |r| {part['r'].abs().max():.2f}"
        for control, part in rows.groupby("control", sort=False)
    )
    word, adjusted = adjustment(chosen)
    name = f"Image components with expression components ({word})"
    return section(
        "pc_associations",
        name,
        "Correlation of each principal component of the image (row, with its share of the features' variance) with "
        "each of the expression (column) in the verdict's settings, features and genes of one variance, components "
        f"above noise. With q at most {ALPHA:g} over the setting's pairs: {escape(counted)}. {_detectable(real)} "
        f"{adjusted}",
        "Components of shuffled donors that correlate as much would be wrong. The sign of a component means nothing by "
        "itself. Rows: associations/*.pc_associations.tsv.",
        "heatmap",
        [[None if pd.isna(value) else round(float(value), 4) for value in row] for row in wide.to_numpy()],
        xcats=[f"expression PC{column}" for column in wide.columns],
        ycats=[escape(f"{t}, image PC{pc} ({100 * share[t, pc]:.1f} %)") for t, pc in wide.index],
        pconfig={
            "id": "pc_associations_plot",
            "title": f"HistoGEx: {name}",
            "xlab": "Expression",
            "ylab": "Image",
            "min": -1,
            "max": 1,
            "square": False,
            "cluster_rows": False,
            "cluster_cols": False,
        },
    )


def _detectable(rows: pd.DataFrame) -> str:
    """What this many donors and tests find, in words."""
    least, most = rows["detectable_r"].min(), rows["detectable_r"].max()
    size = f"{least:.2f}" if f"{least:.2f}" == f"{most:.2f}" else f"{least:.2f} to {most:.2f}, by tissue,"
    return f"Found with 80 % power at the Bonferroni cut over these tests is |r| of {size} and more."
