#!/usr/bin/env python3
"""The study's Table 1 as a figure: features, the terms of their genes, and which genes these are."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hx_cli import preview
from hx_figure import DARK, blank

WIDTHS = {"Feature": 30.0, "Term": 62.0, "p": 15.0, "q": 15.0, "Genes": 58.0}  # mm, two columns together
LETTER_MM = 1.4  # of 6 points, capitals among them
LINE_MM, HEAD_MM = 3.2, 5.2
MOST_GENES = 12


def _wrapped(text: object, width: float) -> str:
    """A text on as many lines as a column of `width` mm needs."""
    return "\n".join(textwrap.wrap(str(text), int((width - 2) / LETTER_MM))) or " "


def cells_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Texts of the table, wrapped; a feature is named in its first row alone.

    Args:
        rows: feature, term, p, q, genes (`;`-joined, strongest first).
    """
    again = rows["feature"].eq(rows["feature"].shift())
    texts = {
        "Feature": rows["feature"].astype(str).where(~again, ""),
        "Term": rows["term"],
        "p": [f"{value:.2g}" for value in rows["p"]],
        "q": [f"{value:.2g}" for value in rows["q"]],
        "Genes": [preview(str(names).split(";"), MOST_GENES) for names in rows["genes"]],
    }
    return pd.DataFrame({name: [_wrapped(cell, WIDTHS[name]) for cell in texts[name]] for name in WIDTHS})


def first_table(rows: pd.DataFrame) -> Figure:
    """Table 1, rules over and under its head as journals set them; rows: see cells_of."""
    table = cells_of(rows)
    lines = [max(cell.count("\n") + 1 for cell in row) for row in table.itertuples(index=False)]
    width, height = sum(WIDTHS.values()), HEAD_MM + LINE_MM * sum(lines) + 1.0
    figure = blank(width, height)
    figure.set_layout_engine("none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.axis("off")
    starts = np.concatenate([[0.0], np.cumsum(list(WIDTHS.values()))[:-1]]) + 1.0
    for x, name in zip(starts, WIDTHS, strict=True):
        axis.text(x, 3.4, name, weight="bold", fontsize=6)
    y = HEAD_MM
    for k, (row, count) in enumerate(zip(table.itertuples(index=False), lines, strict=True)):
        if k % 2 == 0:
            axis.add_patch(Rectangle((0, y), width, LINE_MM * count, color="#F2F2F2", linewidth=0))
        for x, cell in zip(starts, row, strict=True):
            for i, line in enumerate(cell.split("\n")):
                axis.text(x, y + (i + 0.72) * LINE_MM, line, fontsize=6)
        y += LINE_MM * count
    for level in (0.4, HEAD_MM - 0.2, y):
        axis.plot([0, width], [level, level], color=DARK, linewidth=0.7)
    return figure
