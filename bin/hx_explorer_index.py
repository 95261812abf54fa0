#!/usr/bin/env python3
"""The explorer's list of settings: which there are, which can be browsed, and where pictures and tables of each lie."""

import re
from collections.abc import Container, Mapping, Sequence

import pandas as pd

import hx_report as report
from hx_association import SUMMARY
from hx_explorer_files import PUBLISHED, Files
from hx_sizes import size_value
from hx_verdict import predicted_of, shared_of

KINDS = {  # kinds of table that tell of the settings that ran, as report.settings_of reads them
    "association_summary": SUMMARY,
    "shared_variance": ("setting", "control", "direction", "scaling", "adjusted", "adjusted_share", "p"),
    "prediction_summary": ("setting", "control", "tissue_id", "genes_found"),
    "feature_summary": ("tissue_id", "size", "encoder", "aggregation", "n_donors", "n_features"),
    "confounder_model": ("factor", "in_model", "kind"),
}
SHOWN = [  # of a setting, where the tables have it
    *("pairs", "genes", "hits", "genes_found", "genes_with_hit", "features_with_hit", "lambda_gc", "detectable_r"),
    *("correction", "alpha", "control_hits", "control_genes_found", "shared", "shared_low", "shared_high", "shared_p"),
    *("predicted", "control_predicted", "predicted_gain"),
]
PICTURES = {  # of a gallery, and the table behind each; these tables name slides
    "patches": "gallery_patches",
    "slides": "gallery_slides",
    "sizes": "gallery_patches",
    "mosaic": "gallery_slides",
    "scatter": "description_points",
}


def gathered(files: Files) -> dict[str, pd.DataFrame]:
    """{kind: all tables of that kind} of KINDS that are there."""
    found: dict[str, list[pd.DataFrame]] = {}
    for name in files.by_name:
        *of, kind, suffix = name.split(".")
        if kind in KINDS and suffix == "tsv" and len(of) > 1:
            table = files.read(".".join(of), f"{kind}.tsv", KINDS[kind], None)
            if table is not None:
                found.setdefault(kind, []).append(table.assign(tissue_id=".".join(of[:-1]), size=of[-1]))
    return {kind: pd.concat(parts, ignore_index=True) for kind, parts in found.items()}


def settings(tables: Mapping[str, pd.DataFrame], primary: str) -> pd.DataFrame:
    """A row a setting that ran: SETTING, SHOWN, `primary` (yes in the tissue's declared one) and `browsed` (yes, no).

    Browsed are, in each tissue, all sizes of the encoder and aggregation of its primary setting.
    """
    rows = report.settings_of(tables, primary.split(",")[2])
    if rows.empty:
        return rows.assign(primary="", browsed="")
    chosen = report.primary_settings(rows, primary).set_index("tissue_id")
    if "association_summary" in tables:
        summary = tables["association_summary"]
        more = report.with_control(report.real(summary), summary).set_index("setting")
        rows = rows.join(more[[c for c in SHOWN if c in more]], on="setting")
    if "shared_variance" in tables:
        rows = rows.join(shared_of(tables["shared_variance"]), on="setting", rsuffix="_shared")
    if "prediction_summary" in tables:
        rows = rows.join(predicted_of(tables["prediction_summary"]), on="setting")
    same = [rows[c] == rows["tissue_id"].map(chosen[c]) for c in ("encoder", "aggregation")]
    rows["browsed"] = (same[0] & same[1]).map({True: "yes", False: "no"})
    rows["primary"] = (rows["setting"] == rows["tissue_id"].map(chosen["setting"])).map({True: "yes", False: "no"})
    order = rows["size"].map(size_value)
    rows = rows.assign(_size=order).sort_values(["tissue_id", "_size", "encoder", "aggregation"], kind="stable")
    columns = [*report.SETTING, *SHOWN, "primary", "browsed"]
    return rows[[c for c in columns if c in rows]].reset_index(drop=True)


def pictures_of(
    described: pd.DataFrame, names: Sequence[str], prefix: str, shareable: bool, tables: Container[str] = ()
) -> dict[str, list[dict[str, str]]]:
    """{feature: pictures of it in the order to look at them}: galleries first, then maps; each src, what, of, data.

    The names of maps are those of slides: a run to be shared has none.

    described: rows of descriptions.tsv, whose order is the number in a gallery's name. names: of the files below
    description/, <prefix>/galleries/<number>.<feature>.<what>.png and <prefix>/maps/<sample>.<number>.<name>.png.
    tables: names of the run's tables.
    """
    features = list(described["feature"].astype(str)) if len(described) else []
    found: dict[str, list[tuple]] = {}
    for name in sorted(names):
        gallery = re.fullmatch(re.escape(prefix) + r"/galleries/(\d+)\..*\.(\w+)\.png", name)
        of_map = re.fullmatch(re.escape(prefix) + r"/maps/(.+)\.(\d+)\.(?!.*predicted\.png).*\.png", name)
        number = int((gallery or of_map)[1 if gallery else 2]) if gallery or of_map else 0
        if not 0 < number <= len(features):
            continue
        if (gallery and gallery[2] not in PICTURES) or (of_map and shareable):
            continue
        rank = list(PICTURES).index(gallery[2]) if gallery else len(PICTURES)
        picture = {"src": f"../description/{name}", "what": gallery[2] if gallery else "map"}
        if of_map:
            picture["of"] = of_map[1]
        table = f"{prefix}.{PICTURES[gallery[2]] if gallery else 'feature_maps'}.tsv"
        if table in tables and not shareable:
            picture["data"] = f"../description/{table}"
        found.setdefault(features[number - 1], []).append((rank, name, picture))
    return {feature: [picture for *_, picture in sorted(rows)] for feature, rows in found.items()}


def lacking(files: Files, prefix: str, skipped: Mapping[str, str]) -> None:
    """Note each kind of table that a prefix has not, and why where its stage was left out."""
    stages = {
        "association_genes.parquet": "associate",
        "associations.parquet": "associate",
        "prediction_genes.parquet": "predict_expression",
        "enrichment.parquet": "enrich",
        "confounder_ledger.tsv": "adjust_confounders",
        "descriptions.tsv": "describe_features",
    }
    for kind, stage in stages.items():
        if f"{prefix}.{kind}" not in files.by_name:
            why = f"{stage} was skipped ({skipped[stage]})" if stage in skipped else "no such file in this run"
            files.note(prefix, f"{PUBLISHED[kind][1]}: {prefix}.{kind}: {why}")
