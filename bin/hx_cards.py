#!/usr/bin/env python3
"""Galleries of a feature: its highest and lowest slides and patches, a mosaic, sizes, and a scatter."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_disclosure import EVERYTHING, Disclosure, in_bins
from hx_picture import Row, Tile, below, beside, fitted, headed, number, scatter, sheet
from hx_sizes import size_text
from hx_slide_pictures import PATCH_PX, THUMB_PX, Views

MOSAIC_PX, MOSAIC_COLUMNS = 170, 8
PATCH_COLUMNS, SIZE_COLUMNS, SLIDE_COLUMNS = 10, 5, 5
UNREAD = (235, 235, 235)


class Words(NamedTuple):
    """What stands over a gallery: the feature as people call it, its setting, its sentence."""

    name: str
    setting: str
    sentence: str

    @property
    def title(self) -> str:
        return f"{self.name}   in {self.setting}"


def blank(px: int) -> np.ndarray:
    """In place of pixels that cannot be read."""
    return np.full((px, px, 3), UNREAD, np.uint8)


def caption(row: object, seen: bool, disclosure: Disclosure) -> str:
    """Donor and value of a row; in what is shareable the pseudonym alone."""
    told = disclosure.name(row.donor) + ("" if disclosure.shareable else f"\n{number(row.value)}")
    return told + ("" if seen else "  (unreadable)")


def patch_tile(views: Mapping[str, Views], row: object, disclosure: Disclosure = EVERYTHING) -> Tile:
    """A row of gallery_patches, with its caption."""
    seen = views[row.sample].patches.get((row.size, row.x, row.y)) if row.sample in views else None
    tile = seen or Tile(blank(PATCH_PX), "", None)
    return tile._replace(caption=caption(row, seen is not None, disclosure))


def slide_tile(
    views: Mapping[str, Views], row: object, px: int = THUMB_PX, disclosure: Disclosure = EVERYTHING
) -> Tile:
    """A row of gallery_slides as a thumbnail."""
    seen = views[row.sample].thumbnail if row.sample in views else None
    tile = seen or Tile(blank(THUMB_PX), "", None)
    if px != THUMB_PX:
        pixels, shrink = fitted(tile.pixels, px, UNREAD)
        tile = Tile(pixels, "", None if tile.um is None else tile.um * shrink)
    return tile._replace(caption=caption(row, seen is not None, disclosure))


def rows_of(table: pd.DataFrame, feature: str, panel: str) -> list:
    """Rows of a feature and panel, by rank."""
    rows = table[(table["feature"] == feature) & (table["panel"] == panel)]
    return list(rows.sort_values(["size", "rank"] if panel == "sizes" else ["rank"]).itertuples(index=False))


def patches_gallery(
    views: Mapping[str, Views], table: pd.DataFrame, feature: str, disclosure: Disclosure = EVERYTHING
) -> np.ndarray | None:
    """Highest and lowest patches of the cohort, at most two a donor."""
    rows = [
        Row(
            f"{side.capitalize()} patches of the cohort",
            [patch_tile(views, row, disclosure) for row in rows_of(table, feature, side)],
        )
        for side in ("highest", "lowest")
    ]
    return sheet(rows, PATCH_PX, PATCH_COLUMNS) if any(row.tiles for row in rows) else None


def slides_gallery(
    views: Mapping[str, Views], table: pd.DataFrame, feature: str, disclosure: Disclosure = EVERYTHING
) -> np.ndarray | None:
    """Highest slides over lowest, as the study's figure 1a."""
    rows = [
        Row(
            f"{side.capitalize()} slides",
            [slide_tile(views, row, disclosure=disclosure) for row in rows_of(table, feature, side)],
        )
        for side in ("highest", "lowest")
    ]
    return sheet(rows, THUMB_PX, SLIDE_COLUMNS) if any(row.tiles for row in rows) else None


def mosaic_gallery(
    views: Mapping[str, Views], table: pd.DataFrame, feature: str, disclosure: Disclosure = EVERYTHING
) -> np.ndarray | None:
    """Slides from the lowest (upper left) to the highest (lower right)."""
    tiles = [slide_tile(views, row, MOSAIC_PX, disclosure) for row in rows_of(table, feature, "mosaic")]
    heading = "Slides by rising value, row by row"
    return sheet([Row(heading, tiles)], MOSAIC_PX, MOSAIC_COLUMNS) if tiles else None


def sizes_gallery(
    views: Mapping[str, Views],
    table: pd.DataFrame,
    feature: str,
    sizes: list[str],
    disclosure: Disclosure = EVERYTHING,
) -> np.ndarray | None:
    """Highest patches at each patch size, smallest first."""
    rows = rows_of(table, feature, "sizes")
    lines = []
    for size in sizes:
        tiles = [patch_tile(views, row, disclosure) for row in rows if row.size == size]
        if tiles:
            lines.append(Row(f"Highest patches of {size_text(size)}", tiles))
    return sheet(lines, PATCH_PX, SIZE_COLUMNS) if lines else None


def scatter_of(
    points: pd.DataFrame, row: Mapping[str, object], disclosure: Disclosure = EVERYTHING
) -> np.ndarray | None:
    """The feature against what it tracks, a point a donor, as the study's figure 1b; None where it is unexplained.

    In what is shareable, median and quartiles of the feature in bins of what it tracks; None of too few donors.
    """
    own = points[(points["feature"] == row["feature"]) & (points["setting"] == row["setting"])]
    if own.empty:
        return None
    x, y = own["term_value"].to_numpy(float), own["value"].to_numpy(float)
    title = f"rho {float(row['rho']):.2f}, {len(own)} donors"
    axis = ", ".join(part for part in (str(row["term"]), own["scale"].iloc[0]) if part)
    if not disclosure.shareable:
        return scatter(x, y, (axis, str(row["feature"])), title)
    rows = in_bins(x, y)
    if rows.empty:
        return None
    bars = rows[["low", "high"]].to_numpy()
    return scatter(
        rows["x"].to_numpy(), rows["middle"].to_numpy(), (axis, str(row["feature"])), f"{title} in bins", bars=bars
    )


def card(words: Words, slides: np.ndarray | None, points: np.ndarray | None, patches: np.ndarray | None) -> np.ndarray:
    """One picture of a feature for the report: slides and scatter over patches."""
    first = [part for part in (slides, points) if part is not None]
    parts = ([beside(*first)] if first else []) + ([patches] if patches is not None else [])
    return headed(below(*parts), words.title, words.sentence)
