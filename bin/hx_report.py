#!/usr/bin/env python3
"""Tables that the report draws, from the tables of the stages. Frames in, frames out; nothing is recomputed."""

from collections.abc import Mapping

import pandas as pd

from hx_disclosure import ID, Disclosure
from hx_join import MIN_DONORS
from hx_shared import EXPRESSION, HEADLINE
from hx_sizes import size_value

EXAMPLES = 3
PEOPLE_KINDS = ("donor", "slide", "rna")  # of losses
# What tells a setting; n: its donors; tested: whether there was anything to test.
SETTING = [
    *("setting", "tissue_id", "size", "encoder", "aggregation", "weights", "adjusted_for", "n", "features", "tested"),
]
# Stages that can lose a slide, in the order of the flow.
SLIDE_STAGES = [
    *("prepare_gtex", "prepare_tcga", "check_cohort", "segment_tissue", "extract_features", "summarise_patches"),
    "aggregate_features",
]


def real(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows that are no control."""
    return summary[summary["control"] == "none"]


def size_order(sizes: pd.Series) -> pd.Series:
    """Patch sizes as numbers for sorting; `-` (no patches) first."""
    return sizes.astype(str).map(size_value)


def settings_of(tables: Mapping[str, pd.DataFrame], aggregation: str) -> pd.DataFrame:
    """A row a setting that ran (SETTING), as the first of these tells that has rows.

    The associations; shared variance; predictions; the features themselves, for which `aggregation` (of the declared
    primary setting) is taken for the one that ran, and the model of the confounders for what was adjusted for.

    Args:
        tables: association_summary, shared_variance, prediction_summary, feature_summary and confounder_model, as far
            as there are any.
    """
    none = pd.DataFrame(columns=SETTING, dtype=object)
    if len(rows := tables.get("association_summary", none)):
        rows = real(rows).assign(tested=lambda found: found["pairs"] > 0)
    elif len(rows := tables.get("shared_variance", none)):
        rows = real(headline(rows)).assign(tested=True)
    elif len(rows := tables.get("prediction_summary", none)):
        rows = real(rows).assign(tested=True)
    elif len(rows := tables.get("feature_summary", none)):
        rows = rows[rows["aggregation"].isin([aggregation, "given"])]
        rows = rows.rename(columns={"n_donors": "n", "n_features": "features"})
        setting = rows["tissue_id"] + "." + rows["size"] + "." + rows["encoder"] + "." + rows["aggregation"]
        tested = (rows["features"] > rows["n_dead"]) & (rows["n"] >= MIN_DONORS)
        rows = rows.assign(setting=setting, weights=None, adjusted_for=_adjusted_for(rows, tables), tested=tested)
    return rows.reindex(columns=SETTING).reset_index(drop=True)


def _adjusted_for(rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Factors of the confounders' model of each row's tissue and size, `;`-joined."""
    if "confounder_model" not in tables:
        return pd.Series("", rows.index)
    model = tables["confounder_model"].query("in_model == 'yes'")
    sets = model.groupby(["tissue_id", "size"])["factor"].agg(lambda names: ";".join(sorted(set(names))))
    places = pd.MultiIndex.from_frame(rows[["tissue_id", "size"]])
    return pd.Series(sets.reindex(places).fillna("").to_numpy(object), rows.index)


def headline(shared: pd.DataFrame) -> pd.DataFrame:
    """Rows of shared variance for a headline: expression by image, all genes alike, adjusted where that ran."""
    rows = shared[(shared["direction"] == EXPRESSION) & (shared["scaling"] == HEADLINE) & (shared["donors"] == "all")]
    ran = (rows["adjusted"] == "yes").groupby([rows["tissue_id"], rows["size"]]).transform("any")
    return rows[(rows["adjusted"] == "yes") == ran]


def primary_settings(settings: pd.DataFrame, primary: str) -> pd.DataFrame:
    """The one setting a tissue that the verdict speaks of: its row of `settings` and `primary` (yes or no).

    That is the setting <size>,<encoder>,<aggregation> declared before the run, or the only one that ran; in a tissue
    with neither the first by size, encoder and aggregation, with primary = no.
    """
    size, encoder, aggregation = primary.split(",")
    rows = settings
    only = rows.groupby("tissue_id")["setting"].transform("size") == 1
    declared = only | (rows["size"] == size) & (rows["encoder"] == encoder) & (rows["aggregation"] == aggregation)
    rows = rows.assign(primary=declared.map({True: "yes", False: "no"}), _size=size_order(rows["size"]))
    rows = rows.sort_values(
        ["tissue_id", "primary", "_size", "encoder", "aggregation"], ascending=[True, False, True, True, True]
    )
    return rows.drop_duplicates("tissue_id").drop(columns="_size").reset_index(drop=True)


def with_control(rows: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """`rows` of the summary, with hits, genes and lambda of the shuffled control of the same setting.

    Of the other controls that ran, hits and genes found: hits_shuffle_within, genes_found_shuffle_within ...
    """
    by_control = {name: part.set_index("setting") for name, part in summary.groupby("control")}
    shown = ["hits", "genes_found", "genes_with_hit", "lambda_gc"]
    shuffled = by_control.pop("shuffle_donors", summary.iloc[:0].set_index("setting"))
    rows = rows.join(shuffled[shown].add_prefix("control_"), on="setting")
    for name in sorted(set(by_control) - {"none"}):
        rows = rows.join(by_control[name][["hits", "genes_found"]].add_suffix(f"_{name}"), on="setting")
    return rows


def flow(matching: pd.DataFrame, status: pd.DataFrame | None, settings: pd.DataFrame) -> pd.DataFrame:
    """A row a tissue: slides and donors left after each step. Columns of slides are missing without slides."""
    rows = matching.set_index("tissue_id").sort_index()
    out = pd.DataFrame(index=rows.index)
    for name in ("slides", "slides_usable"):
        out[name] = rows[name]
    if status is not None:
        read = status[status["status"].isin(["ok", "partial"])]
        out["slides_read"] = read.groupby("tissue_id").size().reindex(out.index, fill_value=0)
    for name in ("donors", "matched_donors", "donors_kept"):
        out[name] = rows[name]
    most = settings[settings["tested"].astype(bool)].groupby("tissue_id")["n"].max().astype(float)
    out["donors_analysed"] = most.reindex(out.index).fillna(0).astype(int)
    return out.reset_index()


def first_losses(dropped: pd.DataFrame) -> pd.DataFrame:
    """Each loss once: a slide where it was lost first, since later stages miss it again; nothing twice."""
    stage = dropped["stage"].map({stage: i for i, stage in enumerate(SLIDE_STAGES)})
    first = stage.groupby([dropped["id"], dropped["kind"]]).transform("min")
    rows = dropped[(dropped["kind"] != "slide") | (stage == first) | stage.isna()]
    return rows.drop_duplicates().sort_values([*dropped.columns], ignore_index=True)


def without_ids(dropped: pd.DataFrame, disclosure: Disclosure) -> pd.DataFrame:
    """Losses as a shareable report may tell them: no donor, slide or RNA sample in ids and reasons."""
    people = dropped["kind"].isin(PEOPLE_KINDS)
    reasons = [disclosure.text(text, short=of) for text, of in zip(dropped["reason"], people, strict=True)]
    return dropped.assign(id=dropped["id"].map(disclosure.text).mask(people, ID), reason=reasons)


def losses(dropped: pd.DataFrame) -> pd.DataFrame:
    """Losses by kind, stage and reason, with their number and the first ids."""
    groups = dropped.groupby(["kind", "stage", "reason"], sort=True)["id"]
    rows = groups.agg(count="size", examples=lambda ids: ", ".join(sorted(ids)[:EXAMPLES])).reset_index()
    rows = rows.sort_values(
        ["kind", "count", "stage", "reason"], ascending=[True, False, True, True], ignore_index=True
    )
    return rows[["kind", "count", "stage", "reason", "examples"]]


def all_settings(summary: pd.DataFrame) -> pd.DataFrame:
    """A row a setting with the control's counts beside; tissues in order, sizes rising."""
    rows = with_control(real(summary), summary)
    rows = rows.assign(_size=size_order(rows["size"])).sort_values(["tissue_id", "_size", "encoder", "aggregation"])
    return rows.drop(columns=["_size", "control"]).reset_index(drop=True)


def calibration(summary: pd.DataFrame) -> pd.DataFrame:
    """A row a setting and control: shares of small p and lambda; what is not adjusted is not expected to have those."""
    rows = summary[(summary["pairs"] > 0) & ~summary["control"].str.startswith("unadjusted")]
    rows = rows.assign(_size=size_order(rows["size"])).sort_values(
        ["tissue_id", "_size", "encoder", "aggregation", "control"]
    )
    rows = rows.assign(name=rows["setting"] + rows["control"].map(lambda c: "" if c == "none" else f" ({c})"))
    columns = [
        "name",
        "setting",
        "control",
        "n",
        "pairs",
        "share_p05",
        "share_p001",
        "lambda_gc",
        "hits",
        "detectable_r",
    ]
    return rows[columns].reset_index(drop=True)


def top_genes(genes: pd.DataFrame, chosen: pd.DataFrame, limit: int) -> pd.DataFrame:
    """The `limit` genes of smallest p in each tissue's verdict setting."""
    rows = genes[genes["setting"].isin(set(chosen["setting"]))]
    rows = rows.merge(chosen[["setting", "tissue_id"]], on="setting")
    rows = rows.sort_values(["tissue_id", "nlog10p", "gene"], ascending=[True, False, True])
    rows = rows.groupby("tissue_id").head(limit)
    columns = [
        "symbol",
        "tissue_id",
        "gene",
        "best_feature",
        "n",
        "dof",
        "r",
        "r_split_half",
        "beta",
        "ci_low",
        "ci_high",
    ]
    columns += ["p", "nlog10p", "gene_p", "gene_q", "robustness", "t_ischaemia", "t_rin"]
    columns += ["hits", "detectable_r", "setting"]
    return rows[columns].reset_index(drop=True)


def qq_of_verdict(qq: pd.DataFrame, chosen: pd.DataFrame, limit: int) -> pd.DataFrame:
    """QQ points of the verdict settings and their controls, as many whole lines as `limit` points allow."""
    points = qq[qq["setting"].isin(set(chosen["setting"]))]
    points = points.assign(line=points["setting"] + points["control"].map(lambda c: "" if c == "none" else f" ({c})"))
    lengths = points.groupby("line", sort=False).size().cumsum()
    return points[points["line"].isin(lengths.index[lengths <= limit])].reset_index(drop=True)
