#!/usr/bin/env python3
"""Heat maps of components against factors, and histograms of genes."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hx_colours import BLUE
from hx_figure import DARK, ONE_COLUMN, TWO_COLUMNS, below, blank, percent, shortened

VIEWS = {"image_pcs": "Image features", "expression_pcs": "Expression"}
FOUND = 0.05  # q of a cell with a dot
ROW_MM, CELL_MM = 3.6, 6.5  # height and width of a cell
MARGINS_MM = 52.0  # names of factors and the colour bar
LABEL_LETTERS = 26


def component_cells(rows: pd.DataFrame) -> Figure:
    """Share of each principal component that each factor explains: image on the left, expression on the right.

    Args:
        rows: view, pc (from 1), factor, r2 (share), q, share (of the variance of the view that is in the component).
    """
    factors = list(dict.fromkeys(rows["factor"]))
    views = [view for view in VIEWS if (rows["view"] == view).any()]
    widths = [max(rows.loc[rows["view"] == view, "pc"].nunique(), 3) for view in views]
    width = min(TWO_COLUMNS, MARGINS_MM + CELL_MM * sum(widths))
    figure = blank(width, ROW_MM * len(factors) + 30)
    axes = figure.subplots(1, len(views), squeeze=False, sharey=True, width_ratios=widths)[0]
    top = max(0.01, float(np.nanmax(percent(rows["r2"]))))
    for axis, view in zip(axes, views, strict=True):
        own = rows[rows["view"] == view]
        wide = own.pivot(index="factor", columns="pc", values="r2").reindex(factors)
        q = own.pivot(index="factor", columns="pc", values="q").reindex(factors).to_numpy(float)
        values = percent(wide)
        mesh = axis.pcolormesh(values, cmap="cividis", vmin=0, vmax=top, edgecolors="white", linewidth=0.4)
        for colour, found in (("white", values < 0.6 * top), ("black", values >= 0.6 * top)):
            row, column = np.nonzero((q < FOUND) & found)
            axis.plot(column + 0.5, row + 0.5, linestyle="", marker="o", markersize=2.2, color=colour)
        share = own.drop_duplicates("pc").set_index("pc")["share"]
        axis.set_xticks(np.arange(wide.shape[1]) + 0.5, [f"PC{pc}\n{100 * share[pc]:.0f} %" for pc in wide.columns])
        axis.set_yticks(np.arange(len(factors)) + 0.5, [shortened(name, LABEL_LETTERS) for name in factors])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_title(VIEWS[view])
        axis.set_xlabel("Component (share)")
    axes[0].invert_yaxis()
    bar = figure.colorbar(mesh, ax=axes, aspect=max(20.0, ROW_MM * len(factors) / 3), pad=0.02)
    bar.set_label("Explained by the factor (%)")
    bar.outline.set_visible(False)
    below(figure, [Line2D([], [], linestyle="", marker="o", markersize=2.6, color=DARK, label=f"q < {FOUND:g}")])
    return figure


def gene_histograms(rows: pd.DataFrame) -> Figure:
    """Genes by mean and by standard deviation of their log2 values; the study's cut-offs as dashed lines.

    Args:
        rows: what (mean or sd), left, right, genes, kept (numbers of genes), cut_off (NaN: none).
    """
    names = {"mean": "Mean of log2 expression", "sd": "SD of log2 expression"}
    kinds = [what for what in names if (rows["what"] == what).any()]
    figure = blank(TWO_COLUMNS if len(kinds) > 1 else ONE_COLUMN, 66)
    axes = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axis, what in zip(axes, kinds, strict=True):
        own = rows[rows["what"] == what]
        left, width = own["left"].to_numpy(float), (own["right"] - own["left"]).to_numpy(float)
        axis.bar(left, own["genes"], width, align="edge", color="#CCCCCC")
        axis.bar(left, own["kept"], width, align="edge", color=BLUE)
        cut = own["cut_off"].dropna()
        if len(cut):
            axis.axvline(float(cut.iloc[0]), color=DARK, linestyle="--", linewidth=0.8)
        axis.set_xlabel(names[what])
        axis.set_ylabel("Genes")
        axis.yaxis.get_major_locator().set_params(integer=True)
    handles = [Patch(color=BLUE, label="tested")]
    if (rows["kept"] < rows["genes"]).any():
        handles.append(Patch(color="#CCCCCC", label="left out"))
    if rows["cut_off"].notna().any():
        handles.append(Line2D([], [], color=DARK, linestyle="--", linewidth=0.8, label="the study's cut-off"))
    below(figure, handles)
    return figure
