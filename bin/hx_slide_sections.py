#!/usr/bin/env python3
"""What the report says of slides: their status, those that need a look, and the quality of each tissue's slides."""

import re

import numpy as np
import pandas as pd

import hx_finding_run
from hx_disclosure import INTERNAL, SHAREABLE
from hx_mqc import COUNT, PEOPLE, RATIO, bars, table, text
from hx_sections import named

STATUS_COLOURS = {"ok": "#0072B2", "partial": "#E69F00", "no_tissue": "#999999", "unreadable": "#D55E00"}
ARTEFACTS = ("pen", "blur", "fold")
PUBLISHED = "summary/slide_status.tsv"
MANY = 20  # slides: of fewer a percentile is the value of one


def slide_counts(status: pd.DataFrame) -> pd.DataFrame:
    """(tissues, status) number of slides."""
    counts = status.groupby(["tissue_id", "status"]).size().unstack(fill_value=0)
    return counts.reindex(columns=[c for c in STATUS_COLOURS if c in counts])


def slide_problems(status: pd.DataFrame) -> pd.DataFrame:
    """Slides that are not ok or have a warning, the worst first: sample, tissue_id, status, reason, warnings."""
    told = status.reindex(columns=["sample", "tissue_id", "status", "reason", "warnings"]).fillna("")
    told = told[(told["status"] != "ok") | (told["warnings"] != "")]
    rank = told["status"].map({name: i for i, name in enumerate(reversed(STATUS_COLOURS))})
    told = told.assign(_rank=rank).sort_values(["_rank", "tissue_id", "sample"], ignore_index=True)
    return told.drop(columns="_rank").assign(kind=[kinds_of(text) for text in told["warnings"]])


def kinds_of(warnings: str) -> str:
    """What a slide is warned of, without its numbers: the start of each warning up to a number, colon or comma."""
    kinds = [re.split(r"[:,]|\d", warning)[0].strip() or "other" for warning in warnings.split(";") if warning.strip()]
    return "; ".join(dict.fromkeys(kinds))


def slide_quality(status: pd.DataFrame) -> pd.DataFrame:
    """A row a tissue, of its usable slides: medians of area and focus, range of scale, scanners, share of artefacts.

    mpp_p05 and mpp_p95 are percentiles, NaN where slides are fewer than MANY.
    """
    usable = status[status["status"].isin(["ok", "partial"])]
    number = {name: pd.to_numeric(usable[name], errors="coerce") for name in usable if name not in ("sample", "status")}
    rows = []
    for tissue, part in usable.groupby("tissue_id"):
        values = {name: column[part.index] for name, column in number.items()}
        row = {
            "tissue_id": tissue,
            "slides": len(part),
            "tissue_mm2": values["tissue_mm2"].median(),
            "focus": values["focus"].median(),
            "mpp_min": values["mpp"].min(),
            "mpp_max": values["mpp"].max(),
            **{f"mpp_p{p:02}": values["mpp"].quantile(p / 100) if len(part) >= MANY else np.nan for p in (5, 95)},
            "scanners": part["scanner"][part["scanner"] != ""].nunique(),
        }
        rows.append(row | {name: values[f"{name}_fraction"].mean() for name in ARTEFACTS})
    columns = ["tissue_id", "slides", "tissue_mm2", "focus", "mpp_min", "mpp_max", "mpp_p05", "mpp_p95", "scanners"]
    columns += ARTEFACTS
    return pd.DataFrame(rows, columns=columns)


def slide_sections(status: pd.DataFrame | None) -> list[dict]:
    """Sections of the report from slide_status.tsv; one that says so where no slide was read."""
    name = "Status of slides"
    if status is None:
        return [text("slide_status", name, "Slides by status.", "", ["No slide was read: features were given."])]
    counts = slide_counts(status)
    shown = [
        bars(
            "slide_status",
            name,
            "Slides by status: ok, partial (part of the pixels is unreadable), no tissue, unreadable.",
            f"Slides without tissue or unreadable ones beyond a few would be wrong. Rows: {PUBLISHED}.",
            counts,
            STATUS_COLOURS,
            "Slides",
            people=True,
            finding=hx_finding_run.slide_status(counts),
        ),
        _problems(slide_problems(status)),
    ]
    # Where features of patches were given, no slide was measured.
    return [*shown, _quality(slide_quality(status))] if "focus" in status else shown


def _problems(rows: pd.DataFrame) -> dict:
    return table(
        "slide_problems",
        "Slides to look at",
        "Slides that were lost, read in part, or have a warning: pen, blur, folds, scale, no glass in the picture.",
        "Many of one kind would be wrong: see slides/thumbnails; warnings take no patch away, --exclude takes slides.",
        rows,
        {
            "tissue_id": named("Tissue", "Tissue", {}),
            "status": named("Status", "ok, partial, no_tissue or unreadable", {}),
            "reason": named("Reason", "Why it is not ok", {}),
            "warnings": named("Warnings", "What was seen on it", {}),
        },
        PUBLISHED,
        "Slide",
        list(rows["sample"]),
        by=["tissue_id", "status", "kind"],
    )


def _quality(rows: pd.DataFrame) -> dict:
    columns = {
        "slides": named("Slides", "Status ok or partial", PEOPLE),
        "tissue_mm2": named("Tissue, mm2", "Median area of tissue of a slide", {**RATIO, "of": "slides"}),
        "focus": named(
            "Focus", "Median over slides of the variance of the Laplacian at level 0", {**RATIO, "of": "slides"}
        ),
        "mpp_min": named("mpp, from", "Smallest micrometres a pixel", {**RATIO, "only": INTERNAL}),
        "mpp_max": named("mpp, to", "Largest micrometres a pixel", {**RATIO, "only": INTERNAL}),
        "mpp_p05": named("mpp, 5 %", "5th percentile over slides", {**RATIO, "only": SHAREABLE}),
        "mpp_p95": named("mpp, 95 %", "95th percentile over slides", {**RATIO, "only": SHAREABLE}),
        "scanners": named("Scanners", "Different scanners that the headers name", COUNT),
    }
    columns |= {
        name: named(name.capitalize(), f"Mean share of the tissue that is flagged as {name}", {**RATIO, "of": "slides"})
        for name in ARTEFACTS
    }
    return table(
        "slide_quality",
        "Quality of slides by tissue",
        "Area, focus, scale, scanners and artefacts of the slides of each tissue.",
        "A tissue that differs from the others in focus, scale or scanner would be wrong: it is told by them.",
        rows,
        columns,
        PUBLISHED,
        "Tissue",
        list(rows["tissue_id"]),
    )
