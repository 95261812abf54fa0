#!/usr/bin/env python3
"""Sections of the MultiQC report as custom-content files (<id>_mqc.json). All text that comes from data is escaped.

Sections do not know who will read them: they mark what is of single donors or slides, and `write_sections` keeps it
out of a shareable report. In the header of a column: `people` (PEOPLE), it counts donors or slides; `of`, the count
that it is a share of; `only`, the mode that it is shown in. `shareable` of a section makes what stands in its place.
"""

import html
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hx_disclosure import EVERYTHING, FEW, INTERNAL, SHAREABLE, Disclosure, few
from hx_findings import counts_of_people
from hx_io import atomic

MAX_ROWS = 300
MAX_POINTS = 5000
COUNT = {"format": "{:,.0f}", "scale": False}
PEOPLE = {**COUNT, "people": True}  # a count of donors or slides
RATIO = {"format": "{:.3f}", "scale": False}
SMALL_P = {"format": "{:.2e}", "scale": False}
PLAIN = {"scale": False}
MARKS = ("people", "of", "only")
# Between our own text over a section and the sentence that reads its numbers.
THIS_RUN = "<br><strong>This run:</strong> "
# Pixels of a picture in a page: no text, though it may look like one.
PIXELS = re.compile(r"(data:[a-z/]+;base64,[A-Za-z0-9+/=]*)")


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


def section(
    identity: str, name: str, shown: str, wrong: str, plot_type: str, data: object, finding: str = "", **more: object
) -> dict:
    """A section: its description says what is shown and what would look wrong (two sentences, our own text).

    finding: what this run found, one sentence of hx_finding_*, plain text; `disclosed` adds it to the description.
    """
    return {
        "id": identity,
        "section_name": name,
        "description": f"{shown} {wrong}",
        "finding": finding,
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
    by: Sequence[str] = (),
    finding: str = "",
) -> dict:
    """Table section of the first 300 rows of `frame`.

    Args:
        columns: MultiQC header of each column that is shown, in order; a `title` at least.
        published: the TSV that holds all rows, for the description.
        row: head of the column that names the rows.
        names: of the rows; a name that repeats gets a number. Without names the rows are numbered.
        by: of a table whose rows are donors or slides, the columns that a shareable report counts them by.
    """
    if frame.empty:
        return text(identity, name, shown, wrong, ["No row."], finding=finding)
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
    content = section(identity, name, shown, wrong, "table", data, finding, pconfig=pconfig, headers=headers)
    if not by:
        return content
    return content | {
        "shareable": lambda disclosure: counted(content, frame, columns, published, by, disclosure),
    }


def counted(
    content: dict,
    frame: pd.DataFrame,
    columns: dict[str, dict],
    published: str,
    by: Sequence[str],
    disclosure: Disclosure,
) -> dict:
    """In place of a table of donors or slides, how many rows of its `frame` have the same values in columns `by`."""
    texts = frame[list(by)].select_dtypes("object")
    plain = {c: [disclosure.text(str(value), short=c == "reason") for value in texts[c]] for c in texts}
    counts = frame.assign(**plain).groupby(list(by), sort=True, dropna=False).size().rename("count").reset_index()
    counts = counts.sort_values("count", ascending=False, kind="stable", ignore_index=True)
    headers = {column: columns.get(column, {"title": column.capitalize()}) for column in by}
    headers["count"] = {"title": "Number", "description": "So many of them", **PEOPLE}
    wrong = "Counted: a shareable report names none of them."
    return table(content["id"], content["section_name"], content["description"], wrong, counts, headers, published, "")


def lines(
    identity: str,
    name: str,
    shown: str,
    wrong: str,
    series: dict[str, tuple[np.ndarray, np.ndarray]],
    style: dict[str, dict[str, str]],
    finding: str = "",
    **pconfig: object,
) -> dict:
    """Line plot of named series of (x, y); `style` has color and dash of each.

    Raises:
        ValueError: more than 5,000 points: thin them first.
    """
    if not series:
        return text(identity, name, shown, wrong, ["No row."], finding=finding)
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
    return section(identity, name, shown, wrong, "linegraph", data, finding, pconfig=config)


def bars(
    identity: str,
    name: str,
    shown: str,
    wrong: str,
    frame: pd.DataFrame,
    colours: dict[str, str],
    ylab: str,
    people: bool = False,
    finding: str = "",
) -> dict:
    """Stacked bars: a bar a row (index), a part a column with its colour, in the order of the columns.

    people: they count donors or slides.
    """
    if people:
        enough = frame.where((frame == 0) | (frame >= FEW), 0)
        left = f"{shown} Parts of fewer than {FEW} are left out."
        content = bars(identity, name, shown, wrong, frame, colours, ylab, finding=finding)
        return content | {"shareable": lambda _: bars(identity, name, left, wrong, enough, colours, ylab)}
    data = {escape(n): {escape(c): cell(v) for c, v in row.items()} for n, row in frame.to_dict("index").items()}
    parts = {escape(c): {"name": escape(c), "color": colours[c]} for c in frame}
    config = {"id": f"{identity}_plot", "title": f"HistoGEx: {name}", "ylab": ylab, "sort_samples": False}
    return section(identity, name, shown, wrong, "bargraph", data, finding, pconfig=config, categories=parts)


def text(
    identity: str,
    name: str,
    shown: str,
    wrong: str,
    paragraphs: list[str],
    shareable: list[str] | None = None,
    finding: str = "",
) -> dict:
    """Section of plain paragraphs; their text is escaped. shareable: those of a shareable report, where they differ."""
    told = "".join(f"<p>{escape(p)}</p>" for p in paragraphs)
    content = section(identity, name, shown, wrong, "html", told, finding)
    return (
        content
        if shareable is None
        else content | {"shareable": lambda _: text(identity, name, shown, wrong, shareable)}
    )


def disclosed(content: dict, disclosure: Disclosure) -> dict:
    """The section as it may be shown; the marks of its makers are taken off."""
    finding = counts_of_people(content.get("finding", ""), disclosure.shareable)
    if disclosure.shareable and "shareable" in content:
        content = content["shareable"](disclosure)
    content = {key: value for key, value in content.items() if key not in ("shareable", "finding")}
    if finding:
        content |= {"description": f"{content['description']}{THIS_RUN}{escape(finding)}"}
    if "headers" in content:
        content |= _columns(content["headers"], content["data"], disclosure)
    return _without_ids(content, disclosure) if disclosure.shareable else content


def _columns(headers: dict[str, dict], data: dict[str, dict], disclosure: Disclosure) -> dict:
    mode = SHAREABLE if disclosure.shareable else INTERNAL
    kept = {name: header for name, header in headers.items() if header.get("only", mode) == mode}
    counts = {n: header.get("of", n) for n, header in kept.items() if "of" in header or header.get("people")}
    shown = {}
    for row, cells in data.items():
        cells = {name: value for name, value in cells.items() if name in kept}
        small = {n for n, of in counts.items() if disclosure.shareable and of in cells and few(cells[of]) != cells[of]}
        shown[row] = {
            name: escape(few(value)) if counts.get(name) == name and name in small else value
            for name, value in cells.items()
            if name not in small or counts[name] == name
        }
    plain = {name: {key: v for key, v in header.items() if key not in MARKS} for name, header in kept.items()}
    return {"headers": plain, "data": shown}


def _without_ids(value: object, disclosure: Disclosure) -> object:
    """The same without ids in any text or key; a key that then repeats gets a number."""
    if isinstance(value, str):
        parts = PIXELS.split(value)
        return "".join(part if k % 2 else disclosure.text(part) for k, part in enumerate(parts))
    if isinstance(value, list):
        return [_without_ids(part, disclosure) for part in value]
    if not isinstance(value, dict):
        return value
    out: dict = {}
    for key, part in value.items():
        plain = key = disclosure.text(key) if isinstance(key, str) else key
        number = 1
        while key in out:
            number += 1
            key = f"{plain} ({number})"
        out[key] = _without_ids(part, disclosure)
    return out


def write_sections(sections: list[dict], folder: Path, disclosure: Disclosure = EVERYTHING) -> None:
    """Write each section to <folder>/<id>_mqc.json. Keys keep their order: it is that of rows, parts and lines."""
    for content in sections:
        with atomic(folder / f"{content['id']}_mqc.json") as temporary:
            shown = disclosed(content, disclosure)
            temporary.write_text(json.dumps(shown, indent=1, allow_nan=False) + "\n")
