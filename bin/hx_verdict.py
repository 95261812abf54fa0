#!/usr/bin/env python3
"""The verdict table: a row a tissue at its primary setting, and a status by one rule. Frames in, frames out."""

import math
from collections.abc import Mapping

import pandas as pd

from hx_report import headline, real, with_control

ALPHA = 0.05  # of shared variance, and of a row that names no alpha
# Of the shared variance with donors shuffled: at .05 a check that holds would fail in a twentieth of the tissues.
CONTROL_P = 0.01
RED, AMBER, GREEN = "red", "amber", "green"
RULE = (
    "red: with donors shuffled there is a hit, a gene found or a gene predicted, and more of them than alpha times the "
    f"real ones; or their shared variance has p at most {CONTROL_P:g}; or their lambda is twice as far from 1 (in "
    "logarithms) as that of any permutation. Amber: none of these, but nothing was found, no control was run, nothing "
    "was adjusted for, the declared setting is not in the run, or donors shuffled within strata give more hits than "
    "alpha times the real ones. Green: otherwise, which says nothing about confounders that were not measured"
)
COUNTED = {"hits": "hits", "genes_found": "genes found", "predicted": "genes predicted"}


def status(row: Mapping[str, object]) -> tuple[str, str]:
    """(red, amber or green; why) of a row of `verdict`, by RULE; columns that are not there or NaN say nothing.

    Args:
        row: hits, genes_found, predicted, shared_p, each with its control_*; lambda_low, lambda_high and
            control_lambda_gc; hits_shuffle_within; detectable_r, alpha, adjusted_for, primary.
    """
    failed = [*_failed_counts(row), *_failed_shares(row)]
    if failed:
        return RED, "; ".join(failed)
    found = _found(row)
    open_points = _open_points(row, bool(found))
    return (AMBER, "; ".join([*open_points, *found])) if open_points else (GREEN, "; ".join(found))


def _number(row: Mapping[str, object], name: str) -> float:
    """A column as a number; NaN where there is none."""
    value = row.get(name)
    return math.nan if value is None or pd.isna(value) else float(value)


def _alpha(row: Mapping[str, object]) -> float:
    alpha = _number(row, "alpha")
    return ALPHA if math.isnan(alpha) else alpha


def _failed_counts(row: Mapping[str, object]) -> list[str]:
    """Counts that donors shuffled have as well."""
    failed = []
    for name, what in COUNTED.items():
        count, control = _number(row, name), _number(row, f"control_{name}")
        if control >= 1 and control > _alpha(row) * count:
            failed.append(f"{what}: {control:.0f} with donors shuffled, {count:.0f} without")
    return failed


def _failed_shares(row: Mapping[str, object]) -> list[str]:
    """Shared variance and lambda of donors shuffled, where chance does not give them."""
    failed = []
    p = _number(row, "control_shared_p")
    if p <= CONTROL_P:
        failed.append(f"shared variance with donors shuffled has p = {p:.2g}")
    low, high, own = (_number(row, name) for name in ("lambda_low", "lambda_high", "control_lambda_gc"))
    if min(low, high, own) > 0 and abs(math.log(own)) > 2 * max(abs(math.log(low)), abs(math.log(high))):
        failed.append(f"lambda with donors shuffled is {own:.3f}, of permutations {low:.3f} to {high:.3f}")
    return failed


def _found(row: Mapping[str, object]) -> list[str]:
    """What was found, in words."""
    found = []
    for name, what in COUNTED.items():
        if (count := _number(row, name)) >= 1:
            control = _number(row, f"control_{name}")
            beside = "" if math.isnan(control) else f", {control:.0f} with donors shuffled"
            found.append(f"{what}: {count:.0f}{beside}")
    if (p := _number(row, "shared_p")) <= ALPHA:
        found.append(f"shared variance has p = {p:.2g}")
    return found


def _open_points(row: Mapping[str, object], found: bool) -> list[str]:
    """What stands between a row whose checks held and green."""
    points = []
    if row.get("primary") == "no":
        points.append("the declared setting is not in the run")
    if not found:
        least = _number(row, "detectable_r")
        power = "" if math.isnan(least) else f" (|r| of {least:.2f} has 80 % power)"
        points.append(f"nothing was found{power}")
    if all(math.isnan(_number(row, f"control_{name}")) for name in (*COUNTED, "shared_p")):
        points.append("no control was run")
    if not isinstance(row.get("adjusted_for"), str) or not row["adjusted_for"]:
        points.append("nothing was adjusted for")
    within, hits = _number(row, "hits_shuffle_within"), _number(row, "hits")
    if within >= 1 and within > _alpha(row) * hits:
        points.append(f"hits: {within:.0f} with donors shuffled within strata, {hits:.0f} without")
    return points


def shared_of(shared: pd.DataFrame) -> pd.DataFrame:
    """Index setting: the calibrated share of the expression's variance, its interval and p, beside the control's."""
    rows = headline(shared).set_index("setting")
    names = {"adjusted_share": "shared", "ci_low": "shared_low", "ci_high": "shared_high", "p": "shared_p"}
    control = rows.loc[rows["control"] == "shuffle_donors", ["adjusted_share", "p"]]
    return real(rows)[[*names]].rename(columns=names).join(control.rename(columns=names).add_prefix("control_"))


def predicted_of(summary: pd.DataFrame) -> pd.DataFrame:
    """Index setting: genes that the image tells beyond the covariates, beside the control's, and their median gain."""
    rows = summary.set_index("setting")
    control = rows.loc[rows["control"] == "shuffle_donors", ["genes_found"]].add_prefix("control_")
    found = real(rows)[["genes_found"]].join(control).assign(predicted_gain=real(rows)["delta_r2_found"])
    return found.rename(columns=lambda name: name.replace("genes_found", "predicted"))


def patches_of(slides: pd.DataFrame, chosen: pd.DataFrame) -> pd.Series:
    """Index tissue_id: patches of the setting's size on slides that were read; NaN where they were not counted."""
    read = slides[slides["status"].isin(["ok", "partial"])]
    counts = {
        row.tissue_id: pd.to_numeric(read.loc[read["tissue_id"] == row.tissue_id, f"n_patches_{row.size}"]).sum()
        if f"n_patches_{row.size}" in read
        else math.nan
        for row in chosen[["tissue_id", "size"]].itertuples(index=False)
    }
    return pd.Series(counts, dtype=float, name="patches")


def accuracy_of(confusion: pd.DataFrame, chosen: pd.DataFrame) -> pd.Series:
    """Index tissue_id: share of its validation patches that the classifier of the setting's size calls by its name."""
    own = confusion[confusion["variant"].fillna("") == ""].astype({"size": str})
    sizes = chosen[["tissue_id", "size"]].astype(str)
    own = own.merge(sizes, left_on=["truth", "size"], right_on=["tissue_id", "size"])
    right = own["patches"].where(own["predicted"] == own["truth"], 0).groupby(own["truth"]).sum()
    return (right / own.groupby("truth")["patches"].sum()).rename("accuracy")


def verdict(
    chosen: pd.DataFrame,
    matching: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    slides: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A row a tissue: its primary setting, and what the stages that ran say of it, beside its control; its status.

    Args:
        chosen: rows of hx_report.primary_settings.
        tables: association_summary, shared_variance, prediction_summary and confusion, of the stages that ran.
        slides: slide_status.tsv, where slides were read.
    """
    rows = chosen.rename(columns={"n": "donors"})
    rows = rows.merge(matching[["tissue_id", "slides"]], on="tissue_id", how="left")
    first, last = ["setting", "primary", "donors", "slides"], ["features", "weights", "adjusted_for"]
    middle = []
    if slides is not None:
        rows, middle = rows.join(patches_of(slides, chosen), on="tissue_id"), ["patches"]
    if "confusion" in tables:
        rows, middle = rows.join(accuracy_of(tables["confusion"], chosen), on="tissue_id"), [*middle, "accuracy"]
    if "shared_variance" in tables:
        shared = shared_of(tables["shared_variance"])
        rows, middle = rows.join(shared, on="setting"), [*middle, *shared]
    if "association_summary" in tables:
        summary = tables["association_summary"]
        found = with_control(real(summary), summary).set_index("setting")
        hits = ["genes_found", "hits", "genes_with_hit", "lambda_gc"]
        hits = [name for of in hits for name in (of, f"control_{of}")]
        hits = ["genes", "pairs", *hits, "lambda_low", "lambda_high", "detectable_r"]
        hits += [name for name in ("hits_shuffle_within",) if name in found]
        last += ["alpha", "correction"]
        rows, middle = rows.join(found[[*hits, "alpha", "correction"]], on="setting"), [*middle, *hits]
    if "prediction_summary" in tables:
        predicted = predicted_of(tables["prediction_summary"])
        rows, middle = rows.join(predicted, on="setting"), [*middle, *predicted]
    told = [status(row) for row in rows.to_dict("records")]
    rows = rows.assign(status=[of for of, _ in told], why=[why for _, why in told])
    return rows[["tissue_id", "status", "why", *first, *middle, *last]]
