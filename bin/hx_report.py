#!/usr/bin/env python3
"""Tables that the report draws, from the tables of the stages. Frames in, frames out; nothing is recomputed."""

import pandas as pd

from hx_sizes import size_value

# Until confounders are adjusted for, a colour can speak of the negative control alone.
RULE = (
    "red: the shuffled control has a hit and its hits exceed alpha times the hits; amber: no hit, or no control was "
    "run; green: otherwise, which says nothing about confounders"
)
EXAMPLES = 3
# Stages that can lose a slide, in the order of the flow.
SLIDE_STAGES = [
    *(
        "prepare_gtex",
        "prepare_tcga",
        "check_cohort",
        "segment_tissue",
        "extract_features",
        "summarise_patches",
        "aggregate_features",
    ),
]


def real(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of the association summary that are no control."""
    return summary[summary["control"] == "none"]


def size_order(sizes: pd.Series) -> pd.Series:
    """Patch sizes as numbers for sorting; `-` (no patches) first."""
    return sizes.astype(str).map(size_value)


def primary_settings(summary: pd.DataFrame, primary: str) -> pd.DataFrame:
    """The one setting a tissue that the verdict speaks of: its summary row and `primary` (yes or no).

    That is the setting <size>,<encoder>,<aggregation> declared before the run, or the only one that ran; in a tissue
    with neither the first by size, encoder and aggregation, with primary = no.
    """
    size, encoder, aggregation = primary.split(",")
    rows = real(summary)
    only = rows.groupby("tissue_id")["setting"].transform("size") == 1
    declared = only | (rows["size"] == size) & (rows["encoder"] == encoder) & (rows["aggregation"] == aggregation)
    rows = rows.assign(primary=declared.map({True: "yes", False: "no"}), _size=size_order(rows["size"]))
    rows = rows.sort_values(
        ["tissue_id", "primary", "_size", "encoder", "aggregation"], ascending=[True, False, True, True, True]
    )
    return rows.drop_duplicates("tissue_id").drop(columns="_size").reset_index(drop=True)


def with_control(rows: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """`rows` of the summary, with hits, genes with a hit and lambda of the shuffled control of the same setting."""
    shown = ["hits", "genes_with_hit", "lambda_gc"]
    control = summary[summary["control"] == "shuffle_donors"].set_index("setting")[shown].add_prefix("control_")
    return rows.join(control, on="setting")


def traffic_light(row: pd.Series) -> str:
    """Status of a verdict row by RULE."""
    if row["control_hits"] >= 1 and row["control_hits"] > row["alpha"] * row["hits"]:
        return "red"
    if not row["hits"] or pd.isna(row["control_hits"]):
        return "amber"
    return "green"


def verdict(summary: pd.DataFrame, matching: pd.DataFrame, primary: str) -> pd.DataFrame:
    """A row a tissue: its primary setting, sizes, hits beside those of the control, calibration, status."""
    rows = with_control(primary_settings(summary, primary), summary)
    rows["status"] = [traffic_light(row) for _, row in rows.iterrows()]
    rows = rows.merge(matching[["tissue_id", "slides"]], on="tissue_id", how="left").rename(columns={"n": "donors"})
    columns = ["tissue_id", "status", "setting", "primary", "donors", "slides", "features", "genes", "pairs", "hits"]
    columns += ["genes_with_hit", "control_hits", "control_genes_with_hit", "lambda_gc", "control_lambda_gc"]
    return rows[[*columns, "detectable_r", "weights", "adjusted_for", "alpha", "correction"]]


def flow(matching: pd.DataFrame, status: pd.DataFrame | None, summary: pd.DataFrame) -> pd.DataFrame:
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
    out["donors_analysed"] = (
        real(summary).query("pairs > 0").groupby("tissue_id")["n"].max().reindex(out.index).fillna(0).astype(int)
    )
    return out.reset_index()


def first_losses(dropped: pd.DataFrame) -> pd.DataFrame:
    """Each loss once: a slide where it was lost first, since later stages miss it again; nothing twice."""
    stage = dropped["stage"].map({stage: i for i, stage in enumerate(SLIDE_STAGES)})
    first = stage.groupby([dropped["id"], dropped["kind"]]).transform("min")
    rows = dropped[(dropped["kind"] != "slide") | (stage == first) | stage.isna()]
    return rows.drop_duplicates().sort_values([*dropped.columns], ignore_index=True)


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
    """A row a setting and control: shares of small p and lambda."""
    rows = summary[summary["pairs"] > 0]
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
    columns += ["p", "nlog10p", "gene_p", "gene_q", "robustness", "t_ischaemia", "t_rin", "hits", "setting"]
    return rows[columns].reset_index(drop=True)


def qq_of_verdict(qq: pd.DataFrame, chosen: pd.DataFrame, limit: int) -> pd.DataFrame:
    """QQ points of the verdict settings and their controls, as many whole lines as `limit` points allow."""
    points = qq[qq["setting"].isin(set(chosen["setting"]))]
    points = points.assign(line=points["setting"] + points["control"].map(lambda c: "" if c == "none" else f" ({c})"))
    lengths = points.groupby("line", sort=False).size().cumsum()
    return points[points["line"].isin(lengths.index[lengths <= limit])].reset_index(drop=True)
