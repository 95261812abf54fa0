#!/usr/bin/env python3
"""Methods text for a paper, from assets/methods.toml and the tables of the run."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hx_cli import DataError
from hx_mqc import text
from hx_report import real, size_order
from hx_sizes import size_text


def span(numbers: pd.Series) -> str:
    """'36' or '427 to 797'; 'no' of nothing."""
    if numbers.empty:
        return "no"
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def facts(
    settings: pd.DataFrame, tables: Mapping[str, pd.DataFrame], has_slides: bool, mode: str | None
) -> tuple[set[str], dict[str, str]]:
    """Which `when` of methods.toml hold, and the names that its texts may use.

    Args:
        settings: of hx_report.settings_of.
        tables: of the stages that ran; the name of each is a `when`, and so are words for how the associations were
            corrected.
    """
    rows, summary = settings, tables.get("association_summary", pd.DataFrame())
    table = rows["size"] == "-"
    holds = {"always", *tables}
    if len(summary):
        holds.add(summary["correction"].iloc[0])
        if (summary["control"] != "none").any():
            holds.add("control")
    if mode is not None:
        holds.add("simulated")
    if table.any():
        holds.add("table")
    if not table.all():
        holds.add("slides" if has_slides else "patches")
    if (rows["weights"] == "random").any():
        holds.add("random")
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
        "genes": span(real(summary)["genes"].fillna(0)) if len(summary) else "no",
        "covariates": " / ".join(text.replace(";", ", ") for text in adjusted),
        "alpha": f"{summary['alpha'].iloc[0]:g}" if len(summary) else "",
    }
    return holds, names


def methods_section(
    template: Path, settings: pd.DataFrame, tables: Mapping[str, pd.DataFrame], has_slides: bool, mode: str | None
) -> dict:
    """Report section with the paragraphs and citations of methods.toml that fit the run; arguments as of `facts`.

    Raises:
        DataError: no such file, no TOML, or a text with a name that is not known.
    """
    holds, names = facts(settings, tables, has_slides, mode)
    try:
        content = tomllib.loads(template.read_text())
        paragraphs = [p["text"].format_map(names) for p in content["paragraph"] if p["when"] in holds]
        citations = [c["text"] for c in content["citation"] if c["when"] in holds]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{template}: no methods text ({type(error).__name__}: {error})") from error
    numbered = [f"[{k}] {citation}" for k, citation in enumerate(citations, 1)]
    shown = "Text for the methods section of a paper, with its references; it describes the stages that ran."
    return text("hx_methods", "Methods and references", shown, "", [*paragraphs, *numbered])
