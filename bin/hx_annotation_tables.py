#!/usr/bin/env python3
"""Tables of associate_annotations.py: features with labels, their summary, and predicted labels."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from hx_annotation_labels import Label
from hx_annotation_tests import Against, Tests, groups_of, kruskal_p, ranks
from hx_fdr import bh
from hx_io import dictionary_table

BEST = 5  # features of a label that are written, hits or not
TOP = [
    *("setting", "label", "kind", "levels", "feature", "n", "df", "dof"),
    *("r", "beta", "r2", "p", "q", "kruskal_p"),
]
SUMMARY = [
    *("setting", "control", "analysis", "label", "source", "kind", "levels", "n", "positives", "df", "dof"),
    *("adjusted_for", "features", "alpha", "hits", "share_p05", "best_feature", "best_r", "best_p", "best_q"),
]
SETS = ("confounders", "image", "expression", "both")
PREDICTION = [
    *("setting", "label", "level", "source", "kind", "metric", "n", "positives", "folds", "adjusted_for", *SETS),
    *(f"p_{name}" for name in SETS),
    *(f"gain_{name}" for name in SETS[1:]),
    *(f"p_gain_{name}" for name in SETS[1:]),
    *("permutations", "status"),
]


@dataclass(frozen=True)
class Tested:
    """A label with the (donors, columns) covariates that may predict it, and their names for the tables."""

    label: Label
    covariates: np.ndarray | None
    space: Against
    adjusted: str


class SettingTables(NamedTuple):
    """A setting: hits and the best features of each label; a row a label; the best features alone."""

    pairs: pd.DataFrame
    summary: pd.DataFrame
    top: pd.DataFrame


def setting_tables(
    row: dict, labels: list[Tested], tests: list[Tests], names: np.ndarray, normal: np.ndarray
) -> SettingTables:
    """Tables of a setting or control; q over all labels and features. A control has its summary alone.

    Args:
        row: setting, control, analysis, alpha. normal: (donors, features) as tested, for Kruskal and Wallis' test of
            what is written.
    """
    p = np.stack([of.p for of in tests])
    q = bh(p.ravel()).reshape(p.shape)
    parts, tops, rows = [], [], []
    for i, (tested, of) in enumerate(zip(labels, tests, strict=True)):
        label, space = tested.label, tested.space
        order = np.argsort(np.where(np.isnan(of.p), 2, of.p), kind="stable")[:BEST]
        known = np.isfinite(of.p)
        order = order[known[order]]
        hits = np.flatnonzero(q[i] <= row["alpha"])
        told = {"setting": row["setting"], "label": label.name, "kind": label.kind, "levels": ";".join(label.levels)}
        told |= {"n": int(label.known.sum()), "df": space.directions.shape[1], "dof": space.dof}
        best = order[0] if len(order) else None
        rows.append({
            **row, **told, "source": label.source, "positives": label.positives, "adjusted_for": tested.adjusted,
            "features": int(known.sum()), "hits": len(hits),
            "share_p05": (of.p[known] < 0.05).mean() if known.any() else np.nan,
            "best_feature": "" if best is None else names[best],
            **{f"best_{k}": np.nan if best is None else v[best] for k, v in (("r", of.r), ("p", of.p), ("q", q[i]))},
        })  # fmt: skip
        if row["control"] != "none":
            continue
        columns = {"r": of.r, "beta": of.beta, "r2": of.r2, "p": of.p, "q": q[i]}
        which = np.union1d(hits, order).astype(int)
        chosen = {name: values[which] for name, values in columns.items()}
        groups = groups_of(label)
        plain = np.nan if groups is None else kruskal_p(ranks(normal[label.known][:, which]), groups)
        made = pd.DataFrame({**told, "feature": names[which], **chosen, "kruskal_p": plain}, index=range(len(which)))[
            TOP
        ]
        parts.append(made)
        tops.append(made.iloc[np.searchsorted(which, order)])
    empty = pd.DataFrame(columns=TOP)
    return SettingTables(
        pd.concat(parts, ignore_index=True) if parts else empty,
        pd.DataFrame(rows)[SUMMARY],
        pd.concat(tops, ignore_index=True) if tops else empty,
    )


def prediction_rows(
    setting: str,
    tested: Tested,
    status: str,
    told: dict[str, tuple[np.ndarray, float]] | None = None,
    beyond: dict[str, np.ndarray] | None = None,
    p_gain: dict[str, float] | None = None,
    permutations: int = 0,
    folds: int = 0,
) -> list[dict]:
    """A row a label, and for levels one each below it; NaN where it was not predicted.

    Args:
        told: score of each column and p of their mean, by set. beyond: scores with the confounders beside a set.
    """
    label = tested.label
    is_class = label.kind in ("binary", "levels")
    row = {name: np.nan for name in PREDICTION}
    row |= {"setting": setting, "label": label.name, "source": label.source, "kind": label.kind, "status": status}
    row |= {"metric": "AUROC" if is_class else "R2", "n": int(label.known.sum()), "positives": label.positives}
    row |= {"adjusted_for": tested.adjusted, "permutations": permutations, "folds": folds}
    row["level"] = label.levels[0] if label.kind == "binary" else ""
    if told is None:
        return [row]
    confounders = told["confounders"][0]
    numbers = {name: score for name, (score, _) in told.items()}
    numbers |= {f"gain_{name}": score - confounders for name, score in beyond.items()}
    p = {f"p_{name}": value for name, (_, value) in told.items()}
    p |= {f"p_gain_{name}": value for name, value in p_gain.items()}
    rows = [row | p | {name: float(np.nanmean(score)) for name, score in numbers.items()}]
    if label.kind == "levels":
        for i, level in enumerate(label.levels):
            one = {"level": level, "positives": int(label.values[label.known, i].sum())}
            rows.append(row | one | {name: float(score[i]) for name, score in numbers.items()})
    return rows


def parquet_table(settings: list[pd.DataFrame]) -> pa.Table:
    """The pairs of all settings: names as dictionaries, counts as integers."""
    types = dict.fromkeys(("n", "df", "dof"), pa.int32())
    types |= dict.fromkeys(("setting", "label", "kind", "levels", "feature"), pa.dictionary(pa.int32(), pa.string()))
    schema = pa.schema([(column, types.get(column, pa.float64())) for column in TOP])
    return dictionary_table(pd.concat(settings, ignore_index=True), schema) if settings else schema.empty_table()
