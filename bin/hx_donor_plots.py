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
Drawn = tuple[dict[str, list[list[float]]], list[int]]  # points of each line; donors of each bin or group


def binned(content: dict, shown: str, panels: Sequence[Panel]) -> dict:
    """A scatter section of donors, with what a shareable report has in its place.

    That draws, panel by panel, the median and quartiles of y in bins of x; of points in groups, each group of FEW or
    more as a cross of the medians and quartiles of both.

    Args:
        content: the scatter. shown: first sentence of the other section.
        panels: its label as in data_labels, and its donors: x, y; group and color where they are in groups.
    """
    return content | {"shareable": lambda _: _summaries(content, shown, panels)}


def _summaries(content: dict, shown: str, panels: Sequence[Panel]) -> dict:
    data, labels = [], []
    for label, points in panels:
        drawn, counts = _crosses(points) if "group" in points else _quartile_lines(points)
        if drawn:
            data.append({escape(line): pairs for line, pairs in drawn.items()})
            title = label.get("title", content["pconfig"]["title"])
            labels.append(label | {"title": f"{title}; {', '.join(map(str, counts))} donors"})
    about = {key: content[key] for key in ("parent_id", "parent_name", "parent_description") if key in content}
    which, name = content["id"], content["section_name"]
    told = f"A shareable report shows no donor: bins and groups are of at least {FEW}."
    if not data:
        return text(which, name, told, "", ["There are too few donors."]) | about
    config = {key: value for key, value in content["pconfig"].items() if key != "marker_size"}
    config |= {"data_labels": labels, "colors": _colours(panels), "sort_samples": False}
    return section(which, name, shown, told, "linegraph", data, pconfig=config, **about)


def _colours(panels: Sequence[Panel]) -> dict[str, str]:
    """Colour of each line of `binned`."""
    colours = {line: colour for line, (_, colour) in QUARTILES.items()}
    for _, points in panels:
        if "group" in points:
            colours |= {escape(of): colour for of, colour in zip(points["group"], points["color"], strict=True)}
    return colours


def _quartile_lines(points: pd.DataFrame) -> Drawn:
    rows = in_bins(points["x"], points["y"])
    drawn = {line: rows[["x", column]].to_numpy().tolist() for line, (column, _) in QUARTILES.items() if len(rows)}
    return drawn, rows["n"].tolist()


def _crosses(points: pd.DataFrame) -> Drawn:
    drawn, counts = {}, []
    for group, own in points.groupby("group", sort=False):
        if len(own) >= FEW:
            (x0, x, x1), (y0, y, y1) = (
                [float(f"{v:.3g}") for v in own[axis].quantile([0.25, 0.5, 0.75])] for axis in ("x", "y")
            )
            # One stroke: from side to side, back to the middle, then up and down.
            drawn[group] = [[x0, y], [x1, y], [x, y], [x, y0], [x, y1]]
            counts.append(len(own))
    return drawn, counts
