#!/usr/bin/env python3
"""Figures with pictures of tissue, and the scatter beside them (the study's figures 1 and 2)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

import hx_figure
from hx_colours import BLUE
from hx_figure import DARK, MM, ONE_COLUMN, TWO_COLUMNS, blank, signed
from hx_figure_data import LeftOut


def read_picture(path: Path, width_mm: float = TWO_COLUMNS) -> np.ndarray:
    """(h, w, 3) uint8 of a PNG or JPEG, as wide as `width_mm` has pixels in print.

    Raises:
        LeftOut: not a picture, or cut short.
    """
    try:
        with Image.open(path) as picture:
            width = int(width_mm * MM * hx_figure.DPI)
            size = width, max(1, round(width * picture.height / picture.width))
            return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    except (OSError, Image.DecompressionBombError) as error:
        raise LeftOut(f"the picture {path.name} cannot be read") from error


def picture_figure(pixels: np.ndarray) -> Figure:
    """A picture of read_picture that fills the figure, a pixel a dot."""
    height, width = pixels.shape[:2]
    figure = blank(width / hx_figure.DPI / MM, height / hx_figure.DPI / MM)
    figure.set_layout_engine("none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(pixels, aspect="auto", interpolation="none")
    axis.axis("off")
    return figure


def feature_scatter(rows: pd.DataFrame) -> Figure:
    """A feature against what it tracks: a point a donor, or a bin's median with its quartiles.

    Args:
        rows: x, y; of bins also n (donors), low, high (quartiles of y); feature, term, scale, rho: one value each.
    """
    figure = blank(ONE_COLUMN, 74)
    axis = figure.subplots()
    x, y, told = rows["x"].to_numpy(float), rows["y"].to_numpy(float), rows.iloc[0]
    donors = int(rows["n"].sum()) if "n" in rows else len(rows)
    if "low" in rows:
        axis.vlines(x, rows["low"].to_numpy(float), rows["high"].to_numpy(float), color=DARK, linewidth=0.8)
    axis.plot(x, y, linestyle="", marker="o", markersize=3.2, color=BLUE, alpha=0.75, markeredgewidth=0)
    axis.set_xlabel(", ".join(str(part) for part in (told["term"], told["scale"]) if part))
    axis.set_ylabel(str(told["feature"]))
    bins = " in bins (median, quartiles)" if "low" in rows else ""
    axis.set_title(f"ρ = {signed(told['rho'])}, {donors} donors{bins}", loc="left")
    return figure
