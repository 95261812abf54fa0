#!/usr/bin/env python3
"""Publication figures: widths of a journal's columns, one style, files that are the same bytes each time.

Text is DejaVu Sans, which matplotlib brings along; it stays text in SVG and is embedded as TrueType in PDF.
"""

import contextlib
import logging
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hx_io import atomic

MM = 1 / 25.4  # inches
ONE_COLUMN, TWO_COLUMNS = 88.0, 180.0  # mm
MOST_COLUMNS = 5  # panels side by side, as in the study's figure 3
DPI = 300
PNG_LEVEL = 4  # of compression: twice as quick as the default, for a tenth more bytes
GREY, DARK = "#999999", "#333333"
LETTER_MM = 1.25  # width of a letter of a panel's title
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 3,
    "hatch.linewidth": 0.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a gene or tissue may be named $x$
    "svg.fonttype": "none",
    "svg.hashsalt": "histogex",
    "pdf.fonttype": 42,
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw and save within this: the style above and otherwise matplotlib's own, whatever matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every glyph
        yield


def blank(width_mm: float, height_mm: float) -> Figure:
    """A figure without axes, of this size."""
    return Figure(figsize=(width_mm * MM, height_mm * MM), layout="constrained")


def panels(count: int, height_mm: float, extra_mm: float) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels of one y axis, MOST_COLUMNS a row: one column wide for one panel, else two.

    Args:
        height_mm: of a row. extra_mm: more height, for the legend.
    """
    columns = min(count, MOST_COLUMNS)
    rows = -(-count // columns)
    figure = blank(ONE_COLUMN if count == 1 else TWO_COLUMNS, rows * height_mm + extra_mm)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    axes = list(grid.ravel())
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def lowest(axes: list[Axes]) -> list[Axes]:
    """Panels with no other under them: those that name what the x axis is."""
    return axes[-axes[0].get_subplotspec().get_gridspec().ncols :]


def titled(axis: Axes, tissue_id: str) -> None:
    """The tissue over a panel, on as many lines as its width needs."""
    width = axis.figure.get_figwidth() / MM / axis.get_subplotspec().get_gridspec().ncols
    letters = max(8, int((width - 8) / LETTER_MM))
    axis.set_title("\n".join(textwrap.wrap(tissue_id.replace("_", " "), letters)))


def shortened(name: object, letters: int) -> str:
    """A name of at most so many letters, the middle left out of a longer one."""
    name = str(name)
    half = (letters - 1) // 2
    return name if len(name) <= letters else f"{name[: letters - 1 - half]}…{name[len(name) - half :]}"


def below(figure: Figure, handles: Sequence, columns: int = 4) -> None:
    """A legend under all panels."""
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def signed(value: float) -> str:
    """A number with two decimals and a minus sign that is none of a hyphen's length."""
    return f"{value:.2f}".replace("-", "−")


def percent(values: np.ndarray) -> np.ndarray:
    """Shares as per cent."""
    return 100 * np.asarray(values, float)


def save(figure: Figure, folder: Path, stem: str, title: str) -> list[str]:
    """Write <stem>.svg, .pdf and .png; their names. No date, user or version is written into them."""
    figure.set_dpi(DPI)  # text is narrower in few pixels
    figure.draw_without_rendering()  # lays it out, once for all files
    figure.set_layout_engine("none")
    names = []
    about = {"Title": title, "Creator": "HistoGEx"}
    for suffix, metadata, more in (
        ("svg", {**about, "Date": None}, {}),
        ("pdf", {**about, "Producer": None, "CreationDate": None}, {}),
        ("png", {"Title": title, "Software": "HistoGEx"}, {"pil_kwargs": {"compress_level": PNG_LEVEL}}),
    ):
        name = f"{stem}.{suffix}"
        with atomic(folder / name) as temporary:
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata, facecolor="white", **more)
        names.append(name)
    return names
