#!/usr/bin/env python3
"""What the explorer shows of a setting past its genes: variants behind features, causes, and labels of donors."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from hx_disclosure import FEW
from hx_explorer_files import Files, of_setting

MAX_ROWS = 20_000  # of a kind of table in a setting; those of smallest p


class Kind(NamedTuple):
    """A kind of table: its file, the columns that it must have and that are shown where there are any; p- and q-values.

    alone: without a row there is nothing to show of its stage, and that is said.
    """

    file: str
    columns: tuple[str, ...]
    more: tuple[str, ...] = ()
    p: tuple[str, ...] = ()
    alone: bool = False


KINDS = {
    "qtl": Kind(
        "qtl_summary.tsv",
        ("setting", "control", "trait", "kind", "n", "tests", "hits", "leads", "gate", "detectable_r2", "alpha"),
        ("half", "scope", "share", "lambda_gc", "lambda_low", "lambda_high", "best_variant", "best_p", "best_p_family",
         "threshold_p"),
        ("best_p", "best_p_family", "threshold_p"),
        alone=True,
    ),
    "leads": Kind(
        "qtl_leads.tsv",
        ("setting", "trait", "variant", "chrom", "pos", "p"),
        ("half", "kind", "alt", "n", "mac", "carriers", "missing", "beta", "se", "r2", "q", "p_family", "significant",
         "p_leave_one_out"),
        ("p", "q", "p_family", "p_leave_one_out"),
    ),
    "manhattan": Kind("qtl_manhattan.tsv", ("setting", "test", "variant", "chrom", "pos", "place", "nlog10p")),
    "causes": Kind(
        "causality_pairs.tsv",
        ("setting", "first", "second", "verdict", "status", "reason"),
        ("first_kind", "first_label", "second_kind", "second_label", "n", "r", "p"),
        ("p",),
        alone=True,
    ),
    "estimates": Kind(
        "causality_estimates.tsv",
        ("setting", "direction", "exposure", "outcome", "source", "method", "status", "p"),
        ("exposure_label", "outcome_label", "instruments", "f", "effect", "ci_low", "ci_high", "q", "confidence_set",
         "slope", "reason"),
        ("p", "q"),
    ),
    "assumptions": Kind(
        "causality_assumptions.tsv",
        ("setting", "direction", "exposure", "outcome", "source", "assumption", "state", "told"),
    ),
    "labels": Kind(
        "annotation_summary.tsv",
        ("setting", "control", "label", "kind", "n", "hits", "best_feature", "best_p"),
        ("positives", "features", "alpha", "share_p05", "best_r", "best_q", "adjusted_for"),
        ("best_p", "best_q"),
        alone=True,
    ),
    "label_features": Kind(
        "annotation_features.parquet",
        ("setting", "label", "feature", "r", "p", "q"),
        ("n", "beta", "r2", "kruskal_p"),
        ("p", "q", "kruskal_p"),
    ),
    "predicted": Kind(
        "annotation_prediction.tsv",
        ("setting", "label", "level", "kind", "metric", "image"),
        ("expression", "both", "confounders", "p_image", "gain_image", "p_gain_image"),
        ("p_image", "p_gain_image"),
    ),
}  # fmt: skip
P_COLUMNS = {name: kind.p for name, kind in KINDS.items()} | {"labels": ("best_p", "best_q", "p_image", "p_gain_image")}
PEOPLE = ("n", "positives", "carriers", "missing")  # columns that count donors


def read_traits(files: Files, prefix: str) -> dict[str, pd.DataFrame]:
    """{kind: table of a prefix, all settings} of KINDS; {} without any. Faults are in the notes of `files`."""
    found = {}
    for name, kind in KINDS.items():
        table = files.read(prefix, kind.file, kind.columns, kind.more, may_be_empty=not kind.alone)
        if table is not None:
            found[name] = table
    return found


def beside_control(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Rows of the real data, with `control_hits`: those of donors or genotypes shuffled."""
    controls = rows[rows["control"].isin(["shuffle_donors", "permute_genotypes"])]
    hits = controls.drop_duplicates(key).set_index(key)["hits"].rename("control_hits")
    return rows[rows["control"] == "none"].join(hits, on=key).drop(columns="control").reset_index(drop=True)


def label_rows(labels: pd.DataFrame, predicted: pd.DataFrame) -> pd.DataFrame:
    """A row a label: features that go with it, and how well it is predicted in donors left out."""
    rows = beside_control(labels, ["label"])
    if predicted.empty:
        return rows
    level = predicted["level"].astype(object).fillna("").astype(str)
    whole = predicted[(predicted["kind"] != "levels") | (level == "")]
    columns = [c for c in whole if c not in rows or c == "label"]
    return rows.merge(whole[columns].drop(columns="level").drop_duplicates("label"), on="label", how="left")


def few_hidden(table: pd.DataFrame) -> pd.DataFrame:
    """Without counts of fewer than FEW donors, of those who carry a variant and those who do not alike."""
    hidden = {}
    for name in (c for c in PEOPLE if c in table):
        number = pd.to_numeric(table[name], errors="coerce")
        shown = (number == 0) | (number >= FEW)
        if name == "carriers" and "n" in table:
            others = table["n"] - number - (table["missing"] if "missing" in table else 0)
            shown &= (others <= 0) | (others >= FEW)
        hidden[name] = number.where(shown)
    return table.assign(**hidden)


def trait_tables(read: Mapping[str, pd.DataFrame], setting: str, shareable: bool) -> dict[str, pd.DataFrame]:
    """{kind: rows of a setting} of read_traits, those of smallest p first; {} where no stage has any."""
    rows = {name: of_setting(read.get(name), setting) for name in KINDS}
    if all(rows[name].empty for name, kind in KINDS.items() if kind.alone):
        return {}
    if len(rows["qtl"]):
        half = rows["qtl"]["half"].fillna("") if "half" in rows["qtl"] else ""
        rows["qtl"] = beside_control(rows["qtl"].assign(half=half), ["half", "trait"]).replace({"half": {"": None}})
    predicted = rows.pop("predicted")
    if len(rows["labels"]):
        rows["labels"] = label_rows(rows["labels"], predicted)
    for name, by in (("leads", "p"), ("label_features", "p"), ("labels", "best_p"), ("manhattan", "place")):
        if len(rows[name]):
            rows[name] = rows[name].sort_values(by, kind="stable").head(MAX_ROWS).reset_index(drop=True)
    return {name: few_hidden(table) if shareable else table for name, table in rows.items()}
