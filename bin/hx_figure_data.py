#!/usr/bin/env python3
"""What each figure shows, as a table: rows of the published tables, chosen and named, with nothing estimated anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_cli import DataError
from hx_disclosure import in_bins
from hx_factors import named_for
from hx_results_tables import read_or_say
from hx_settings import ALL, comparable
from hx_shared import EXPRESSION, HEADLINE, last_of
from hx_sizes import size_value

STAGE_OF = {  # kind of table: the stage that writes it, by the names of --skip
    "shared_variance": "shared_variance",
    "setting_counts": "compare_settings",
    "enrichment_table1": "enrich",
    "descriptions": "describe_features",
    "description_points": "describe_features",
    "gallery_slides": "describe_features",
}
FACTORS = 8  # of a factor curve, as in the study's figure 4
COUNTS = ["hits", "genes_found", "features_with_hit"]
CONTROLS = ["control_hits", "control_genes_found"]  # of settings.tsv: with donors shuffled


class LeftOut(Exception):
    """Why a figure is not drawn."""


class Place(NamedTuple):
    """A tissue and the setting that the verdict speaks of: <tissue_id>.<size>.<encoder>.<aggregation>."""

    tissue_id: str
    setting: str

    @property
    def prefix(self) -> str:
        """<tissue_id>.<size>."""
        size = self.setting.removeprefix(f"{self.tissue_id}.").split(".")[0]
        return f"{self.tissue_id}.{size}"


class Tables:
    """Tables of a run below a folder, by file name; stages that were left out: {stage: why}."""

    def __init__(self, folder: Path, skipped: Mapping[str, str]):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder: give the one with the tables of a run")
        self.folder = folder
        self.by_name = {path.name: path for path in sorted(folder.rglob("*.tsv"))}
        self.skipped = dict(skipped)
        self._known: dict[tuple, pd.DataFrame] = {}

    def read(self, kind: str, columns: list[str], of: str = "", more: list[str] | None = None) -> pd.DataFrame:
        """Columns of a table that has rows; of: what its file name begins with, '' for the whole run.

        Args:
            more: columns that are read where there are any.

        Raises:
            LeftOut: its stage was left out, or it is not there, cannot be read, lacks a column or has no row.
        """
        name = f"{of}.{kind}.tsv" if of else f"{kind}.tsv"
        stage = STAGE_OF.get(kind)
        if stage in self.skipped:
            raise LeftOut(f"{stage} was skipped: {self.skipped[stage]}")
        if name not in self.by_name:
            raise LeftOut(f"there is no table {name}")
        key = (name, *columns, *(more or []))
        if key not in self._known:
            said: list[str] = []
            table = read_or_say(self.by_name[name], name, columns, said.append, more or [])
            if table is None:
                raise LeftOut(said[0])
            self._known[key] = table
        return self._known[key]


def some(rows: pd.DataFrame, why: str) -> pd.DataFrame:
    """The rows, numbered anew; LeftOut where there is none."""
    if rows.empty:
        raise LeftOut(why)
    return rows.reset_index(drop=True)


def by_size(rows: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Rows by these columns, rising patch size within the first of them."""
    rows = rows.assign(_size=rows["size"].map(size_value))
    order = [names[0], "_size", *names[1:]]
    return rows.sort_values(order, kind="stable", ignore_index=True).drop(columns="_size")


def _variance_rows(tables: Tables, scaling: str, aggregation: str, columns: list[str]) -> tuple[pd.DataFrame, ...]:
    """Rows of expression by image, one a tissue, size and encoder: real ones, and those with donors shuffled."""
    keys = ["setting", "direction", "scaling", "adjusted", "control", "donors", "tissue_id", "size"]
    rows = tables.read("shared_variance", [*keys, "encoder", "aggregation", "n", *columns])
    rows = rows[(rows["direction"] == EXPRESSION) & (rows["scaling"] == scaling)]
    rows = comparable(rows[rows["aggregation"].isin([aggregation, "given"])].reset_index(drop=True))
    rows = some(rows, f"shared_variance.tsv has no row of aggregation {aggregation}")
    rows = by_size(rows[rows["adjusted"] == last_of(rows)], "tissue_id", "encoder")
    real = some(rows[rows["control"] == "none"], "shared_variance.tsv has no row but of controls")
    return real, rows[rows["control"] == "shuffle_donors"].drop_duplicates("setting").set_index("setting")


def published_parts(tables: Tables, aggregation: str) -> pd.DataFrame:
    """The study's figure 3 by its own formula: `technical_share`, and S of what that leaves; null likewise.

    Bars of a tissue are on the same donors. explained + technical + unexplained = 1.
    """
    real, _ = _variance_rows(tables, "covariance", aggregation, ["technical_share", "published", "published_null"])
    left = 1 - real["technical_share"]
    shown = real[["tissue_id", "size", "encoder", "aggregation", "n"]].assign(
        explained=left * real["published"],
        technical=real["technical_share"],
        null=left * real["published_null"],
        low=np.nan,
        high=np.nan,
    )
    return shown.assign(unexplained=1 - shown["explained"] - shown["technical"])


def calibrated_parts(tables: Tables, aggregation: str) -> pd.DataFrame:
    """The same less what chance explains, genes alike; null: with donors shuffled; 95 % interval of `explained`.

    The jackknife's interval is of the share of what the covariates leave: it is put on the scale of the whole.
    """
    columns = ["technical", "shared", "rest", "ci_low", "ci_high"]
    real, shuffled = _variance_rows(tables, HEADLINE, aggregation, columns)
    left = 1 - real["technical"]
    names = {"shared": "explained", "rest": "unexplained"}
    shown = real[["tissue_id", "size", "encoder", "aggregation", "n", "technical", "shared", "rest"]]
    return shown.rename(columns=names).assign(
        null=real["setting"].map(shuffled["shared"]), low=left * real["ci_low"], high=left * real["ci_high"]
    )


def factor_curve(tables: Tables, place: Place) -> pd.DataFrame:
    """Steps 0 to FACTORS of both views of a tissue (the study's figure 4)."""
    columns = ["setting", "view", "step", "factor", "r2", "cross_validated", "null"]
    rows = tables.read("factor_curve", columns)
    rows = rows[rows["setting"].isin([place.setting, place.prefix]) & (rows["step"] <= FACTORS)]
    if not (rows["step"] > 0).any():
        raise LeftOut(f"factor_curve.tsv has no factor of {place.setting}")
    return some(rows[columns], "")


def component_cells(tables: Tables, place: Place) -> pd.DataFrame:
    """Components of image and expression against factors."""
    columns = ["setting", "view", "pc", "share", "factor", "r2", "null", "q"]
    rows = tables.read("factor_pcs", columns)
    rows = rows[rows["setting"].isin([place.setting, place.prefix])]
    return some(rows[columns], f"factor_pcs.tsv has no row of {place.setting}")


def gene_histograms(tables: Tables, place: Place) -> pd.DataFrame:
    """Genes of a tissue by mean and SD."""
    columns = ["tissue_id", "what", "left", "right", "genes", "kept", "cut_off"]
    rows = tables.read("gene_histograms", columns)
    rows = some(rows[rows["tissue_id"] == place.tissue_id], f"gene_histograms.tsv has no row of {place.tissue_id}")
    if not rows["genes"].sum():
        raise LeftOut(f"gene_histograms.tsv counts no gene of {place.tissue_id}")
    return rows[columns]


def accuracy(tables: Tables) -> pd.DataFrame:
    """Accuracy of the classifier by patch size; label: what its split and its colours were."""
    columns = ["size", "split", "grey", "patch_accuracy", "slide_accuracy", "chance"]
    try:
        rows = tables.read("classifier", columns)
    except LeftOut as why:
        if "classifier.tsv" in tables.by_name:
            raise
        raise LeftOut(
            "no classifier was trained: one tissue, or the encoder retrained is given or not asked for"
        ) from why
    label = "split by " + rows["split"] + rows["grey"].map({"yes": ", grey"}).fillna("")
    return by_size(rows[columns].assign(label=label), "label").drop(columns=["split", "grey"])


def counts(tables: Tables, place: Place) -> pd.DataFrame:
    """Hits, genes and features found by each setting of a tissue, on donors that every size has.

    Where these are all donors, with donors shuffled (CONTROLS) beside.
    """
    keys = ["setting", "tissue_id", "size", "encoder", "aggregation", "donors", "n"]
    rows = tables.read("setting_counts", [*keys, *COUNTS])
    rows = comparable(rows)
    rows = some(rows[rows["tissue_id"] == place.tissue_id], f"setting_counts.tsv has no row of {place.tissue_id}")
    rows = by_size(rows[[*keys, *COUNTS]], "encoder", "aggregation")
    if not rows[COUNTS].fillna(0).to_numpy(float).any():
        raise LeftOut(f"none of the {len(rows)} settings of {place.tissue_id} found a hit: setting_counts.tsv")
    if (rows["donors"] == ALL).all() and "settings.tsv" in tables.by_name:
        shuffled = tables.read("settings", ["setting"], more=CONTROLS).set_index("setting")
        rows = rows.join(shuffled, on="setting")
    return rows


def first_table(tables: Tables, place: Place) -> pd.DataFrame:
    """The study's Table 1: features of the primary setting, terms of their genes, and which these are."""
    columns = ["setting", "feature", "collection", "term", "p", "q", "genes"]
    rows = tables.read("enrichment_table1", columns)
    why = f"no feature of {place.setting} has a term that its hits are over-represented in (q ≤ 0.05)"
    return some(rows.loc[rows["setting"] == place.setting, columns], why)


def tracked_feature(tables: Tables, place: Place) -> pd.Series:
    """Row of the described features of a tissue that the figure 1 shows, with `number`, its place from 1.

    That which tracks ischaemic time, as in the study, else that of the largest |rho| with what it tracks.
    """
    rows = tables.read("descriptions", ["setting", "feature", "term", "rho"], of=place.prefix)
    rows = rows.assign(number=np.arange(1, len(rows) + 1))
    found = some(
        rows[rows["term"].notna() & (rows["term"].astype(str) != "") & rows["rho"].notna()],
        f"no described feature of {place.prefix} tracks anything that was measured",
    )
    ischaemia = named_for("ischaemia", found["term"].astype(str))
    best = found[found["term"] == ischaemia] if ischaemia else found
    return best.loc[best["rho"].abs().idxmax()]


def tracked_points(tables: Tables, place: Place, feature: pd.Series, shareable: bool) -> pd.DataFrame:
    """Donors of figure 1b: the feature (y) and what it tracks (x); in what is shareable bins of at least 5 donors."""
    columns = ["setting", "feature", "term", "scale", "donor", "term_value", "value"]
    rows = tables.read("description_points", columns, of=place.prefix)
    rows = rows[(rows["setting"] == feature["setting"]) & (rows["feature"] == feature["feature"])]
    rows = some(rows, f"description_points.tsv has no donor of {feature['feature']}")
    told = {name: rows[name].fillna("").iloc[0] for name in ("feature", "term", "scale")}
    shown = rows.rename(columns={"term_value": "x", "value": "y"})[["donor", "x", "y"]]
    if shareable:
        shown = in_bins(shown["x"].to_numpy(float), shown["y"].to_numpy(float)).rename(columns={"middle": "y"})
        shown = some(shown, "a figure that is shareable shows no bin of fewer than 5 donors")
    return shown.assign(**told, rho=feature["rho"])


def tracked_slides(tables: Tables, place: Place, feature: pd.Series, shareable: bool) -> pd.DataFrame:
    """Slides of figure 1a; without names and values in what is shareable."""
    columns = ["feature", "panel", "rank", "sample", "donor", "value"]
    rows = tables.read("gallery_slides", columns, of=place.prefix)
    rows = rows[(rows["feature"] == feature["feature"]) & rows["panel"].isin(["highest", "lowest"])]
    rows = some(rows[columns], f"gallery_slides.tsv has no slide of {feature['feature']}")
    return rows.drop(columns=["sample", "donor", "value"]) if shareable else rows


def shown_slide(
    tables: Tables, place: Place, pictures: Mapping[str, Path], shareable: bool
) -> tuple[pd.DataFrame, Path]:
    """Row and picture of the slide of figure 2: the first of the tissue by name that has a picture."""
    columns = ["sample", "tissue_id", "status"]
    rows = tables.read("slide_status", columns, more=["segmentation", "mpp", "tissue_mm2", "n_patches"])
    rows = rows[(rows["tissue_id"] == place.tissue_id) & rows["sample"].isin(list(pictures))].sort_values("sample")
    rows = some(rows.head(1), f"no picture of the tissue of a slide of {place.tissue_id}")
    path = pictures[rows["sample"].iloc[0]]
    kept = ["tissue_id", "segmentation"]
    return (rows[[name for name in kept if name in rows]] if shareable else rows), path
