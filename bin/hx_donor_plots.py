#!/usr/bin/env python3
"""What a shareable report draws in place of donors: medians and quartiles of bins and groups."""

from collections.abc import Sequence

import pandas as pd

from hx_disclosure import FEW, in_bins
from hx_mqc import escape, section, text

QUARTILES = {  # columns of hx_disclosure.in_bins, and their colours
    "upper quartile": ("high", "#56B4E9"),
    "median": ("middle", "#0072B2"),
    "lower quartile": ("low", "#56B4E9"),
}
Panel = tuple[dict[str, str], pd.DataFrame]


def binned(content: dict, shown: str, panels: Sequence[Panel]) -> dict:
    """A scatter section of donors, with what a shareable report has in its place.

    That draws, panel by panel, lines of the median and quartiles of y in bins of x; of points in groups, for each group
    of FEW or more a cross of five points, the medians and quartiles of both. Panels are all of one kind.

    Args:
        content: the scatter. shown: first sentence of the other section.
        panels: its label as in data_labels, and its donors: x, y; group and color where they are in groups.
    """
    return content | {"shareable": lambda _: _summaries(content, shown, panels)}


def _summaries(content: dict, shown: str, panels: Sequence[Panel]) -> dict:
    grouped = any("group" in points for _, points in panels)
    made = [(label, *(_crosses(points) if grouped else _quartile_lines(points))) for label, points in panels]
    made = [(label, drawn, counts) for label, drawn, counts in made if counts]
    which, name = content["id"], content["section_name"]
    about = {key: content[key] for key in ("parent_id", "parent_name", "parent_description") if key in content}
    if not made:
        return text(which, name, shown, "", ["There are too few donors to be shown in groups."]) | about
    counts = [count for panel in made for count in panel[2]]
    told = f"A shareable report shows no donor; bins and groups are of {min(counts)} to {max(counts)}."
    config = content["pconfig"] | {"data_labels": [label for label, _, _ in made]}
    if not grouped:
        config |= {"colors": {line: colour for line, (_, colour) in QUARTILES.items()}}
        config.pop("marker_size", None)  # lines have none
    kind, data = "scatter" if grouped else "linegraph", [drawn for _, drawn, _ in made]
    return section(which, name, shown, told, kind, data, pconfig=config, **about)


def _quartile_lines(points: pd.DataFrame) -> tuple[dict[str, list], list[int]]:
    """Points of each line, and donors of each bin."""
    rows = in_bins(points["x"], points["y"])
    return {line: rows[["x", column]].to_numpy().tolist() for line, (column, _) in QUARTILES.items()}, list(rows["n"])


def _crosses(points: pd.DataFrame) -> tuple[dict[str, list], list[int]]:
    """Points of each group, and donors of each."""
    drawn, counts = {}, []
    for group, own in points.groupby("group", sort=False):
        if len(own) >= FEW:
            (x0, x, x1), (y0, y, y1) = (
                [float(f"{v:.3g}") for v in own[axis].quantile([0.25, 0.5, 0.75])] for axis in ("x", "y")
            )
            places = [(x, y), (x0, y), (x1, y), (x, y0), (x, y1)]
            drawn[escape(group)] = [{"x": a, "y": b, "color": own["color"].iloc[0]} for a, b in places]
            counts.append(len(own))
    return drawn, counts
