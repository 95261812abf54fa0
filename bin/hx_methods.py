#!/usr/bin/env python3
"""Methods text for a paper, from assets/methods.toml and the tables of the run."""

import tomllib
from pathlib import Path

import pandas as pd

from hx_cli import DataError
from hx_mqc import text
from hx_report import real, size_order
from hx_sizes import size_text


def span(numbers: pd.Series) -> str:
    """'36' or '427 to 797'."""
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def facts(summary: pd.DataFrame, has_slides: bool, mode: str | None) -> tuple[set[str], dict[str, str]]:
    """Which `when` of methods.toml hold, and the names that its texts may use."""
    rows = real(summary)
    table = rows["size"] == "-"
    holds = {"always", rows["correction"].iloc[0]}
    if mode is not None:
        holds.add("simulated")
    if table.any():
        holds.add("table")
    if not table.all():
        holds.add("slides" if has_slides else "patches")
    if (rows["weights"] == "random").any():
        holds.add("random")
    if (summary["control"] != "none").any():
        holds.add("control")
    if any(encoder.split("-")[0] in ("raw", "retrained") for encoder in rows["encoder"]):
        holds.add("inception")
    adjusted = sorted(set(rows["adjusted_for"].fillna("").astype(str)) - {""})
    holds.add("adjusted" if adjusted else "unadjusted")
    if (rows["encoder"] == "retrained").any():
        holds.add("classifier")
    sizes = rows.loc[~table, "size"].drop_duplicates()
    names = {
        "mode": mode or "",
        "sizes": ", ".join(size_text(size) for size in sizes.iloc[size_order(sizes).argsort()]),
        "encoders": ", ".join(sorted(set(rows["encoder"]))),
        "aggregations": ", ".join(sorted(set(rows["aggregation"]))),
        "tissues": str(rows["tissue_id"].nunique()),
        "donors": span(rows.groupby("tissue_id")["n"].max()),
        "genes": span(rows["genes"].fillna(0)),
        "covariates": " / ".join(text.replace(";", ", ") for text in adjusted),
        "alpha": f"{rows['alpha'].iloc[0]:g}",
    }
    return holds, names


def methods_section(template: Path, summary: pd.DataFrame, has_slides: bool, mode: str | None) -> dict:
    """Report section with the paragraphs and citations of methods.toml that fit the run.

    Raises:
        DataError: no such file, no TOML, or a text with a name that is not known.
    """
    holds, names = facts(summary, has_slides, mode)
    try:
        content = tomllib.loads(template.read_text())
        paragraphs = [p["text"].format_map(names) for p in content["paragraph"] if p["when"] in holds]
        citations = [c["text"] for c in content["citation"] if c["when"] in holds]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{template}: no methods text ({type(error).__name__}: {error})") from error
    numbered = [f"[{k}] {citation}" for k, citation in enumerate(citations, 1)]
    shown = "Text for the methods section of a paper, with its references; it describes the stages that ran."
    return text("hx_methods", "Methods and references", shown, "", [*paragraphs, *numbered])
