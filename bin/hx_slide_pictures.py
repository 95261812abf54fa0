#!/usr/bin/env python3
"""Pixels of the slides that galleries show: patches and thumbnails, each slide opened once."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import log
from hx_formats import SlideError
from hx_grid import resize_patch
from hx_picture import Tile, fitted
from hx_sizes import size_sides
from hx_slide import NOMINAL_MPP, Overview, Slide, TileError, open_slide
from hx_tissue import glass_mask

PATCH_PX, THUMB_PX, SEEN_PX, MAP_PX = 200, 300, 1600, 900
MARGIN = 0.04  # of glass around the tissue of a thumbnail

Place = tuple[str, int, int]  # size, x, y


@dataclass
class Views:
    """What was seen of a slide. patches: by place; thumbnail: its tissue, square; whole: for maps; um: of level 0.

    A patch that cannot be read is not there. fault: why nothing of the slide could be read; '' else.
    """

    patches: dict[Place, Tile] = field(default_factory=dict)
    thumbnail: Tile | None = None
    whole: Overview | None = None
    um: float | None = None
    fault: str = ""


def pixel_um(slide: Slide) -> float | None:
    """Micrometres of a level-0 pixel; None where the slide tells none."""
    scale = slide.scale
    return float(np.sqrt(scale.x * scale.y)) if scale.x and scale.y else None


def thumbnail(slide: Slide, um: float | None) -> Tile:
    """The slide's tissue on its glass, square; the whole slide where no tissue is found."""
    seen, picture = slide.overview, slide.thumbnail(SEEN_PX)
    spans = tuple(factor * (um or NOMINAL_MPP) for factor in seen.factor)
    mask = glass_mask(seen.pixels, slide.background, spans, slide.background_source != "assumed")
    low, high = np.zeros(2), np.array(mask.shape[::-1], float)
    if mask.any():
        for axis in (0, 1):
            along = np.flatnonzero(mask.any(axis=axis))
            low[axis], high[axis] = along[0], along[-1] + 1
        low, high = low - MARGIN * (high - low).max(), high + MARGIN * (high - low).max()
    step = np.array(seen.factor) / picture.factor
    low, high = np.floor(np.maximum(low, 0) * step).astype(int), np.ceil(high * step).astype(int)
    cut = picture.pixels[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    square, shrink = fitted(cut, THUMB_PX, slide.background)
    return Tile(square, "", None if um is None else um * max(picture.factor) * shrink)


def view(folder: Path, row: pd.Series, places: Iterable[Place], sizes: list[str], whole: bool) -> Views:
    """Patches at `places`, the thumbnail and, for a map, the whole of one slide (a row of slides.tsv)."""
    out = Views()
    try:
        with open_slide(folder, row) as slide:
            out.um = pixel_um(slide)
            out.thumbnail = thumbnail(slide, out.um)
            if whole:
                out.whole = slide.thumbnail(2 * MAP_PX)
            sides = size_sides(sizes, out.um)
            for size, x, y in places:
                side = sides[size]
                try:
                    pixels = resize_patch(slide.read(x, y, side, side), PATCH_PX)
                except TileError:
                    continue
                out.patches[size, x, y] = Tile(pixels, "", None if out.um is None else out.um * side / PATCH_PX)
    except SlideError as error:
        log.warning("%s: %s", row["sample"], error)
        return Views(fault=str(error))
    return out


def view_all(
    folder: Path, slides: pd.DataFrame, patches: pd.DataFrame, mapped: set[str], sizes: list[str], threads: int
) -> dict[str, Views]:
    """Views of every slide, by sample; `patches` is the table gallery_patches."""
    places = {
        sample: sorted(set(rows[["size", "x", "y"]].itertuples(index=False, name=None)))
        for sample, rows in patches.groupby("sample")
    }
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(
            lambda row: view(folder, row, places.get(row["sample"], []), sizes, row["sample"] in mapped),
            (row for _, row in slides.iterrows()),
        )
        return dict(zip(slides["sample"], found, strict=True))
