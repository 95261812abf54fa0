#!/usr/bin/env python3
"""Line figures: factor curves (the study's figure 4), accuracy and counts against patch size."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hx_colours import BLUE, COLOURS, VERMILION
from hx_figure import DARK, GREY, ONE_COLUMN, TWO_COLUMNS, below, blank, percent, shortened
from hx_figure_bars import encoder_order, size_axis, size_label
from hx_sizes import size_value

CURVES = {  # column: (legend, colour, dashes)
    "r2": ("in the sample", BLUE, "-"),
    "cross_validated": ("in donors left out", VERMILION, ":"),
    "null": ("by chance", DARK, "--"),
}
VIEWS = {"expression_pcs": "Expression variation", "image_pcs": "Image feature variation"}
FLOOR = -10.0  # %: what falls below leaves the panel, and the legend says how far
DASHES = ("-", "--", ":", "-.")
COUNTS = {
    "hits": "Hits (pairs of feature and gene)",
    "genes_found": "Genes found",
    "features_with_hit": "Features with a hit",
}
LABEL_LETTERS = 22


def factor_curves(rows: pd.DataFrame) -> Figure:
    """Cumulative share of variance by factor, greedily added: a panel for expression, one for the image.

    Args:
        rows: view, step (0: none), factor, r2, cross_validated, null (shares).
    """
    views = [view for view in VIEWS if (rows["view"] == view).any()]
    figure = blank(TWO_COLUMNS if len(views) > 1 else ONE_COLUMN, 86)
    axes = figure.subplots(1, len(views), squeeze=False, sharey=True)[0]
    for axis, view in zip(axes, views, strict=True):
        part = rows[rows["view"] == view].sort_values("step")
        for column, (_, colour, dashes) in CURVES.items():
            marker = "o" if column == "r2" else None
            axis.plot(part["step"], percent(part[column]), color=colour, linestyle=dashes, marker=marker)
        names = [shortened(name, LABEL_LETTERS) for name in part["factor"]]
        axis.set_xticks(part["step"], names, rotation=90)
        axis.set_title(VIEWS[view])
        axis.set_xlabel("Factors, in the order that they were added")
    axes[0].set_ylabel("Variance explained (%)")
    drawn = percent(rows[list(CURVES)])
    least = np.nanmin(drawn)
    axes[0].set_ylim(max(FLOOR, min(-2.0, least)), 1.05 * max(5.0, np.nanmax(drawn)))
    told = {"cross_validated": f" (down to −{-least:.0f} %)" if least < FLOOR else ""}
    below(
        figure,
        [
            Line2D([], [], color=colour, linestyle=dashes, label=label + told.get(column, ""))
            for column, (label, colour, dashes) in CURVES.items()
        ],
    )
    return figure


def _size_axis(axis: Axes, sizes: list[str]) -> None:
    axis.set_xticks(range(len(sizes)), [size_label(size) for size in sizes])
    axis.set_xlim(-0.3, len(sizes) - 0.7)
    axis.set_xlabel(size_axis(sizes))


def _at(sizes: pd.Series, order: list[str]) -> list[int]:
    return [order.index(size) for size in sizes]


def accuracy(rows: pd.DataFrame) -> Figure:
    """Accuracy of the classifier against patch size, patches and slides; chance beside it.

    Args:
        rows: size, label (what was trained), patch_accuracy, slide_accuracy, chance (shares).
    """
    order = sorted(set(rows["size"]), key=size_value)
    figure = blank(ONE_COLUMN, 72)
    axis = figure.subplots()
    handles = []
    for colour, (label, part) in zip(COLOURS, rows.groupby("label", sort=False), strict=False):
        x = _at(part["size"], order)
        for column, word, dashes, marker in (("patch", "patches", "-", "o"), ("slide", "slides", "--", "s")):
            axis.plot(x, percent(part[f"{column}_accuracy"]), color=colour, linestyle=dashes, marker=marker)
            name = f"{word}, {label}"
            handles.append(Line2D([], [], color=colour, linestyle=dashes, marker=marker, label=name))
    chance = rows.drop_duplicates("size")
    axis.plot(_at(chance["size"], order), percent(chance["chance"]), color=GREY, linestyle=":", marker="x")
    handles.append(Line2D([], [], color=GREY, linestyle=":", marker="x", label="chance (commonest tissue)"))
    _size_axis(axis, order)
    axis.set_ylim(0, 102)
    axis.set_ylabel("Correct in donors left out (%)")
    below(figure, handles, 2)
    return figure


def counts(rows: pd.DataFrame) -> Figure:
    """Counts against patch size: a panel a kind of count, a colour an encoder, a line style an aggregation.

    Args:
        rows: size, encoder, aggregation and the columns of COUNTS; control_<column>, where it is there, is the same
            with donors shuffled, drawn in grey.
    """
    order = sorted(set(rows["size"]), key=size_value)
    encoders, aggregations = encoder_order(rows["encoder"]), sorted(set(rows["aggregation"]))
    colour_of = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(encoders)}
    dashes_of = {name: DASHES[k % len(DASHES)] for k, name in enumerate(aggregations)}
    figure = blank(TWO_COLUMNS, 66)
    axes = figure.subplots(1, len(COUNTS))
    for axis, (column, word) in zip(axes, COUNTS.items(), strict=True):
        for (encoder, aggregation), part in rows.groupby(["encoder", "aggregation"], sort=True):
            x, style = _at(part["size"], order), {"linestyle": dashes_of[aggregation], "marker": "o", "clip_on": False}
            if (control := f"control_{column}") in part:
                axis.plot(x, part[control].to_numpy(float), color=GREY, linewidth=0.7)
            axis.plot(x, part[column].to_numpy(float), color=colour_of[encoder], **style)
        _size_axis(axis, order)
        axis.set_ylim(bottom=0, top=max(1.0, 1.05 * np.nanmax(axis.dataLim.intervaly)))
        axis.yaxis.get_major_locator().set_params(integer=True)
        axis.set_ylabel(word)
    handles = [Line2D([], [], color=colour, marker="o", label=name) for name, colour in colour_of.items()]
    handles += [Line2D([], [], color=DARK, linestyle=dashes, label=name) for name, dashes in dashes_of.items()]
    if any(f"control_{column}" in rows for column in COUNTS):
        handles.append(Line2D([], [], color=GREY, linewidth=0.7, label="donors shuffled"))
    below(figure, handles, 7)
    return figure
