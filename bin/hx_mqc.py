#!/usr/bin/env python3
"""Sections of the MultiQC report as custom-content files (<id>_mqc.json). All text that comes from data is escaped."""

import html
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from hx_io import atomic

MAX_ROWS = 300
MAX_POINTS = 5000
COUNT = {"format": "{:,.0f}", "scale": False}
RATIO = {"format": "{:.3f}", "scale": False}
SMALL_P = {"format": "{:.2e}", "scale": False}
PLAIN = {"scale": False}


def escape(text: object) -> str:
    """Text of a cell, a name or a sentence as HTML that shows it as it is."""
    return html.escape(str(text), quote=True)


def cell(value: object) -> str | int | float | None:
    """Value of a table cell: text escaped, numbers as the TSV files have them, None for a missing one."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.10g}") if math.isfinite(value) else None
    return None if value is None or value is pd.NA else escape(value)


def section(identity: str, name: str, shown: str, wrong: str, plot_type: str, data: object, **more: object) -> dict:
    """A section: its description says what is shown and what would look wrong (two sentences, our own text)."""
    return {
        "id": identity,
        "section_name": name,
        "description": f"{shown} {wrong}",
        "plot_type": plot_type,
        "data": data,
        **more,
    }


def table(
    identity: str,
    name: str,
    shown: str,
    wrong: str,
    frame: pd.DataFrame,
    columns: dict[str, dict],
    published: str,
    row: str,
    names: list[str] | None = None,
) -> dict:
    """Table section of the first 300 rows of `frame`.

    Args:
        columns: MultiQC header of each column that is shown, in order; a `title` at least.
        published: the TSV that holds all rows, for the description.
        row: head of the column that names the rows.
        names: of the rows; a name that repeats gets a number. Without names the rows are numbered.
    """
    if frame.empty:
        return text(identity, name, shown, wrong, ["No row."])
    rows = frame.iloc[:MAX_ROWS]
    cut = f" The first {len(rows)} of {len(frame)} rows; all are in" if len(frame) > len(rows) else " Rows:"
    keys = pd.Series(range(1, len(rows) + 1) if names is None else names[: len(rows)]).map(escape)
    repeat = keys.groupby(keys).cumcount()
    data = {}
    for k, values in enumerate(rows[list(columns)].itertuples(index=False, name=None)):
        key = f"{keys[k]} ({repeat[k] + 1})" if repeat[k] else keys[k]
        data[key] = {c: v for c, value in zip(columns, values, strict=True) if (v := cell(value)) is not None}
    headers = {c: {"placement": 10 * k, **PLAIN, **header} for k, (c, header) in enumerate(columns.items())}
    pconfig = {
        "id": f"{identity}_table",
        "title": f"HistoGEx: {name}",
        "col1_header": row,
        "no_violin": True,
        "sort_rows": False,
        "only_defined_headers": True,
    }
    wrong = f"{wrong}{cut} {published}."
    return section(identity, name, shown, wrong, "table", data, pconfig=pconfig, headers=headers)


def lines(
    identity: str,
    name: str,
    shown: str,
    wrong: str,
    series: dict[str, tuple[np.ndarray, np.ndarray]],
    style: dict[str, dict[str, str]],
    **pconfig: object,
) -> dict:
    """Line plot of named series of (x, y); `style` has color and dash of each.

    Raises:
        ValueError: more than 5,000 points: thin them first.
    """
    if not series:
        return text(identity, name, shown, wrong, ["No row."])
    points = sum(len(x) for x, _ in series.values())
    if points > MAX_POINTS:
        raise ValueError(f"{points} points in {identity}; at most {MAX_POINTS}")
    data = {
        escape(line): [[cell(float(a)), cell(float(b))] for a, b in zip(x, y, strict=True)]
        for line, (x, y) in series.items()
    }
    config = {
        "id": f"{identity}_plot",
        "title": f"HistoGEx: {name}",
        "colors": {escape(line): look["color"] for line, look in style.items()},
        "dash_styles": {escape(line): look["dash"] for line, look in style.items()},
        **pconfig,
    }
    return section(identity, name, shown, wrong, "linegraph", data, pconfig=config)


def bars(
    identity: str, name: str, shown: str, wrong: str, frame: pd.DataFrame, colours: dict[str, str], ylab: str
) -> dict:
    """Stacked bars: a bar a row (index), a part a column with its colour, in the order of the columns."""
    data = {escape(n): {escape(c): cell(v) for c, v in row.items()} for n, row in frame.to_dict("index").items()}
    parts = {escape(c): {"name": escape(c), "color": colours[c]} for c in frame}
    config = {"id": f"{identity}_plot", "title": f"HistoGEx: {name}", "ylab": ylab, "sort_samples": False}
    return section(identity, name, shown, wrong, "bargraph", data, pconfig=config, categories=parts)


def text(identity: str, name: str, shown: str, wrong: str, paragraphs: list[str]) -> dict:
    """Section of plain paragraphs; their text is escaped."""
    return section(identity, name, shown, wrong, "html", "".join(f"<p>{escape(p)}</p>" for p in paragraphs))


def write_sections(sections: list[dict], folder: Path) -> None:
    """Write each section to <folder>/<id>_mqc.json. Keys keep their order: it is that of rows, parts and lines."""
    for content in sections:
        with atomic(folder / f"{content['id']}_mqc.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
