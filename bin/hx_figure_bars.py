#!/usr/bin/env python3
"""Stacked bars of variance, as the study's figure 3: tissues, patch sizes, encoders."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hx_colours import GREEN, ORANGE
from hx_figure import DARK, GREY, below, lowest, panels, percent, titled
from hx_sizes import size_value

PARTS = {"explained": GREEN, "technical": ORANGE, "unexplained": GREY}  # from the bottom, as the study stacks them
HATCHES = ("", "////", r"\\\\")
MOST_ENCODERS = len(HATCHES)
FIRST = ("raw", "retrained")  # left and right bar of the study
BAR = 0.8  # of the room of a patch size
ROW_MM, LEGEND_MM = 48.0, 16.0


def encoder_order(names: pd.Series) -> list[str]:
    """Encoders as they stand beside each other: raw, retrained, the others by name."""
    known = set(names)
    return [*(name for name in FIRST if name in known), *sorted(known - set(FIRST))]


def size_label(name: str) -> str:
    """A patch size under an axis, which names the unit."""
    return "given" if name == "-" else name.removesuffix("um")


def size_axis(sizes: list[str]) -> str:
    """Name of an axis of patch sizes."""
    return "Patch size" if sizes == ["-"] else f"Patch size ({'µm' if sizes[0].endswith('um') else 'px'})"


def _bars(axis: Axes, rows: pd.DataFrame, sizes: list[str], encoders: list[str]) -> None:
    width = BAR / len(encoders)
    for hatch, (k, encoder) in zip(HATCHES, enumerate(encoders), strict=False):
        own = rows[rows["encoder"] == encoder].set_index("size").reindex(sizes)
        x = [i + (k - (len(encoders) - 1) / 2) * width for i in range(len(sizes))]
        bottom = 0.0
        for part, colour in PARTS.items():
            heights = percent(own[part])
            axis.bar(
                x, heights, width * 0.92, bottom, color=colour, hatch=hatch, edgecolor="white", linewidth=0, label=part
            )
            bottom = bottom + heights
        half = width * 0.46
        for at, null, low, high, middle in zip(
            x, *(percent(own[name]) for name in ("null", "low", "high", "explained")), strict=True
        ):
            if null == null:
                axis.plot([at - half, at + half], [null, null], color="black", linewidth=1.4, solid_capstyle="butt")
            if low == low:
                axis.plot([at, at], [low, high], color=DARK, linewidth=0.8)
                axis.plot(at, middle, marker="o", color=DARK, markersize=1.8)


def stacked_bars(rows: pd.DataFrame, null: str) -> Figure:
    """Bars of 100 % of the variance of expression, a panel a tissue, a group a patch size, a bar an encoder.

    Args:
        rows: tissue_id, size, encoder, explained, technical, unexplained (shares, stacked from the bottom), null: where
            `explained` ends for unrelated data (NaN: not drawn), low and high: interval of `explained` (NaN: none).
        null: what the legend says of the null.
    """
    tissues = list(dict.fromkeys(rows["tissue_id"]))
    sizes = sorted(set(rows["size"]), key=size_value)
    encoders = encoder_order(rows["encoder"])[:MOST_ENCODERS]
    figure, axes = panels(len(tissues), ROW_MM, LEGEND_MM)
    for axis, tissue in zip(axes, tissues, strict=True):
        _bars(axis, rows[rows["tissue_id"] == tissue], sizes, encoders)
        axis.set_xticks(range(len(sizes)), [size_label(size) for size in sizes])
        middle, half = (len(sizes) - 1) / 2, max(len(sizes) / 2, 1.0) + 0.1
        axis.set_xlim(middle - half, middle + half)
        axis.tick_params(axis="x", length=0, rotation=90 if len(sizes) > 3 and len(axes) > 2 else 0)
        titled(axis, tissue)
    for axis in lowest(axes):
        axis.set_xlabel(size_axis(sizes))
    figure.supylabel("Variance of expression (%)", fontsize=7)
    axes[0].set_ylim(min(0.0, float(np.nan_to_num(percent(rows[["low", "null"]])).min())), 100)
    handles = [Patch(facecolor=colour, label=part) for part, colour in PARTS.items()]
    handles += [
        Patch(facecolor="white", edgecolor=DARK, linewidth=0.5, hatch=hatch * 2, label=encoder)
        for hatch, encoder in zip(HATCHES, encoders, strict=False)
    ]
    if rows["null"].notna().any():
        handles.append(Line2D([], [], color="black", linewidth=1.4, label=null))
    if rows["low"].notna().any():
        handles.append(Line2D([], [], color=DARK, linewidth=0.8, marker="o", markersize=1.8, label="95 % interval"))
    below(figure, handles, 4)
    return figure
