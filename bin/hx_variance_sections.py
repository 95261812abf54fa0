#!/usr/bin/env python3
"""What the report says of shared variance: the headline, its parts, patch sizes, numbers of PCs, genes."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import pandas as pd

import hx_finding_tests
from hx_gather import Kind
from hx_mqc import COUNT, PEOPLE, RATIO, SMALL_P, bars, escape, lines, section, table
from hx_sections import COLOURS, named
from hx_shared import EXPRESSION, HEADLINE, IMAGE, last_of
from hx_sizes import size_value

TABLES = {  # of shared_variance.py: <tissue_id>.<size>.<kind>.tsv
    "shared_variance": Kind(["setting", "direction", "scaling", "adjusted", "adjusted_share", "p", "published"]),
    "shared_variance_curve": Kind(["setting", "direction", "scaling", "adjusted", "components", "share"]),
    "shared_variance_genes": Kind(["setting", "gene", "total", "technical", "technical_shared"]),
}
PARTS = {"technical": "#E69F00", "shared": "#009E73", "rest": "#999999"}
SIDES = {EXPRESSION: "expression by image", IMAGE: "image by expression"}
MOST_TISSUES = 3  # of which lines are drawn; all are in the tables
MOST_GENES = 1000  # of a scatter plot, evenly spaced by rank


def variance_sections(tables: Mapping[str, pd.DataFrame], chosen: pd.DataFrame) -> list[dict]:
    """Sections of the tables that are there; [] where shared variance was not asked for.

    Args:
        tables: the kinds of TABLES, gathered.
        chosen: the verdict's settings: setting, tissue_id, size.
    """
    if not len(rows := headline_rows(tables.get("shared_variance", pd.DataFrame()))):
        return []
    shown = [_headline(rows, chosen), *_parts(rows, chosen), *_sizes(rows, chosen)]
    if len(curve := headline_rows(tables.get("shared_variance_curve", pd.DataFrame()))):
        shown += _curve(curve, chosen)
    shown += _settings_scatter(rows)
    if len(genes := tables.get("shared_variance_genes", pd.DataFrame())):
        shown += _genes_scatter(genes[genes["setting"].isin(set(chosen["setting"]))])
    return shown


def headline_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Standardised rows on all donors, by tissue, rising patch size, encoder and aggregation."""
    if not len(rows):
        return rows
    rows = rows[(rows["scaling"] == HEADLINE) & (rows["donors"] == "all")]
    rows = rows.assign(_size=rows["size"].astype(str).map(size_value))
    order = ["tissue_id", "_size", "encoder", "aggregation"]
    return rows.sort_values(order, kind="stable", ignore_index=True).drop(columns="_size")


def with_control(rows: pd.DataFrame) -> pd.DataFrame:
    """Real rows, with the adjusted share of the same row with donors shuffled as control_share."""
    key = ["setting", "direction", "scaling", "adjusted"]
    control = rows[rows["control"] == "shuffle_donors"].set_index(key)["adjusted_share"].rename("control_share")
    return rows[rows["control"] == "none"].join(control, on=key).reset_index(drop=True)


def _headline(rows: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    rows = with_control(rows[rows["setting"].isin(set(chosen["setting"]))])
    columns = {
        "side": named("Variance of", "What is explained, by the principal components (PCs) of the other", {}),
        "adjusted": named("Adjusted", "Whether the covariates of the model were taken out of both", {}),
        "adjusted_share": named("Shared", "Share explained by the PCs above noise, less what chance explains", RATIO),
        "ci_low": named("from", "95 % interval, grouped jackknife over donors", RATIO),
        "ci_high": named("to", "Upper end of the interval", RATIO),
        "p": named("p", "Permutations in the residual space", SMALL_P),
        "control_share": named("Donors shuffled", "The same with features of other donors: near 0", RATIO),
        "components": named("PCs", "Above noise, at most a fifth of the dimensions", COUNT),
        "published": named("Published S", "The 2017 study's statistic: nears 1 whatever the data", RATIO),
        "published_null": named("its null", "What the published S is for unrelated data", RATIO),
        "reml": named("REML", "Share if all PCs explained in proportion to their variance; too large otherwise", RATIO),
        "reml_null_95": named("REML by chance", "95 % point of it for unrelated data", RATIO),
        "n": named("Donors", "Donors", PEOPLE),
        "dim": named("Dimensions", "n - 1 - rank of the covariates", COUNT),
    }
    return table(
        "shared_variance",
        "Shared variance of the verdict's settings",
        "How much of the variance of expression goes with the image, and the reverse, before and after adjustment on "
        "the same donors; all genes and all features count alike.",
        "An interval of the shuffled rows far from 0 would be wrong, and so is a published S read without its null.",
        rows.assign(side=rows["direction"].map(SIDES)),
        {name: header for name, header in columns.items() if name == "side" or rows[name].notna().any()},
        "shared_variance/*.shared_variance.tsv",
        "Tissue",
        list(rows["tissue_id"]),
        finding=hx_finding_tests.shared_variance(rows),
    )


def _parts(rows: pd.DataFrame, chosen: pd.DataFrame) -> list[dict]:
    real = rows[(rows["control"] == "none") & rows["setting"].isin(set(chosen["setting"]))]
    real = real[real["adjusted"] == last_of(real)]
    if not len(real):
        return []
    names = real["tissue_id"] + ", " + real["direction"].map(SIDES)
    # A share that chance leaves below 0 has no length; the table has its sign.
    frame = real[list(PARTS)].clip(lower=0).set_axis(pd.Index(names), axis=0)
    return [
        bars(
            "shared_variance_parts",
            "Technical, shared and rest",
            "Total variance of each side: what the covariates explain, what the other side explains beyond them, and "
            "the rest, each less what chance explains; they sum to 1.",
            "A technical part that hides the shared one would be wrong to overlook: see what is in the model. "
            "Rows: shared_variance/*.shared_variance.tsv.",
            frame,
            PARTS,
            ylab="Share of variance",
        )
    ]


def _sizes(rows: pd.DataFrame, chosen: pd.DataFrame) -> list[dict]:
    """Shared variance against patch size, where there are several; the control dotted."""
    aggregation = chosen["setting"].str.rsplit(".", n=1).str[1].iloc[0]
    rows = rows[(rows["direction"] == EXPRESSION) & (rows["adjusted"] == last_of(rows))]
    rows = rows[rows["aggregation"].isin([aggregation, "given"])]
    if rows["size"].astype(str).nunique() < 2:
        return []
    series, style = {}, {}
    tissues = list(dict.fromkeys(rows["tissue_id"]))[:MOST_TISSUES]
    groups = rows[rows["tissue_id"].isin(tissues)].groupby(["tissue_id", "encoder"], sort=False)
    for colour, ((tissue, encoder), part) in zip(cycle(COLOURS), groups, strict=False):
        for control, dash in (("none", "solid"), ("shuffle_donors", "dot")):
            of = part[part["control"] == control]
            if len(of):
                name = f"{tissue}, {encoder}" + ("" if control == "none" else ", donors shuffled")
                series[name] = (of["size"].astype(str).map(size_value).to_numpy(float), of["adjusted_share"].to_numpy())
                style[name] = {"color": colour, "dash": dash}
    return [
        lines(
            "shared_variance_sizes",
            "Shared variance against patch size",
            "Share of the variance of expression that goes with the image, adjusted, less what chance explains; dotted "
            "with donors shuffled. Exploratory but for the primary setting.",
            "Dotted lines away from 0 would be wrong. The study saw more with larger patches by a statistic that rises "
            "with the number of PCs; its claim is tested below where both sizes ran.",
            series,
            style,
            xlab="Side of the patch",
            ylab="Share of variance",
            xlog=True,
        )
    ]


def _curve(rows: pd.DataFrame, chosen: pd.DataFrame) -> list[dict]:
    rows = rows[(rows["direction"] == EXPRESSION) & (rows["control"] == "none")]
    rows = rows[rows["setting"].isin(set(chosen["setting"])) & (rows["adjusted"] == last_of(rows))]
    series, style = {}, {}
    for colour, tissue in zip(COLOURS, list(dict.fromkeys(rows["tissue_id"]))[:MOST_TISSUES], strict=False):
        part = rows[rows["tissue_id"] == tissue].drop_duplicates("components").sort_values("components")
        for column, name, dash in (
            ("share", "as it is", "dash"),
            ("null_share", "by chance", "dot"),
            ("adjusted_share", "less chance", "solid"),
        ):
            of, label = part[part[column].notna()], f"{tissue}, {name}"
            series[label] = (of["components"].to_numpy(float), of[column].to_numpy(float))
            style[label] = {"color": colour, "dash": dash}
    return [
        lines(
            "shared_variance_curve",
            "Shared variance against the number of image PCs",
            "Share of the variance of expression that the first PCs of the image explain: as it is (dashed), of "
            "unrelated data (dotted), and less that (solid).",
            "A dashed line that only follows the dotted one is chance: at 99.9 % of the image's variance, the study's "
            "cut, nearly all of it is. Rows: shared_variance/*.shared_variance_curve.tsv.",
            series,
            style,
            xlab="PCs",
            ylab="Share of variance",
            xlog=True,
            ymax=1,
        )
    ]


def scatter(identity: str, name: str, shown: str, wrong: str, points: pd.DataFrame, xlab: str, ylab: str) -> dict:
    """Scatter section; points: index the names, columns x, y and color."""
    data = {}
    for label, x, y, colour in points[["x", "y", "color"]].itertuples(name=None):
        data[escape(label)] = {"x": round(float(x), 5), "y": round(float(y), 5), "color": colour}
    pconfig = {"id": f"{identity}_plot", "title": f"HistoGEx: {name}", "xlab": xlab, "ylab": ylab, "marker_size": 5}
    return section(identity, name, shown, wrong, "scatter", data, pconfig=pconfig)


def technical_shared(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a setting of expression by image: total shared variance (before adjustment), and its technical part.

    The technical part is what adjustment takes from it: the total less what image shares with the rest.
    """
    rows = rows[(rows["direction"] == EXPRESSION) & (rows["control"] == "none")].set_index("setting")
    before, after = (rows[rows["adjusted"] == word] for word in ("no", "yes"))
    out = before[["tissue_id"]].assign(total=before["adjusted_share"]).join(after["shared"], how="inner")
    return out.assign(technical_shared=out["total"] - out["shared"])


def _settings_scatter(rows: pd.DataFrame) -> list[dict]:
    found = technical_shared(rows)
    if not len(found):
        return []
    colours = dict(zip(dict.fromkeys(found["tissue_id"]), cycle(COLOURS), strict=False))
    points = found.assign(x=found["total"], y=found["technical_shared"], color=found["tissue_id"].map(colours))
    return [
        scatter(
            "shared_variance_technical",
            "Total against technical shared variance",
            "A point a setting, a colour a tissue: what expression and image share before adjustment, and the part of "
            "it that the covariates account for.",
            "Points near the diagonal would be wrong to call biology: there all that is shared goes with covariates.",
            points,
            "Shared before adjustment",
            "Technical part of it",
        )
    ]


def _genes_scatter(genes: pd.DataFrame) -> list[dict]:
    genes = genes[genes[["total", "technical_shared"]].notna().all(axis=1)]
    if not len(genes):
        return []
    tissues = genes["setting"].str.split(".").str[0]
    colours = dict(zip(dict.fromkeys(tissues), cycle(COLOURS), strict=False))
    found = genes.assign(tissue=tissues, color=tissues.map(colours)).sort_values(["total", "gene"], ignore_index=True)
    found = found.iloc[np.unique(np.linspace(0, len(found) - 1, min(len(found), MOST_GENES)).round().astype(int))]
    points = found.assign(x=found["total"], y=found["technical_shared"])
    names = points["symbol"].astype(str) + ", " + points["gene"] + ", " + points["tissue"]
    return [
        scatter(
            "shared_variance_genes",
            "Genes: total against technical shared variance",
            "A point a gene of the verdict's settings, a colour a tissue: share of its variance that image PCs explain "
            "before adjustment, and the part of it that the covariates account for.",
            f"Genes on the diagonal follow the covariates. {len(points)} of {len(genes)} genes, evenly by rank; all "
            "are in shared_variance/*.shared_variance_genes.tsv.",
            points.set_axis(pd.Index(names), axis=0),
            "Shared before adjustment",
            "Technical part of it",
        )
    ]
