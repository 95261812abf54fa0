#!/usr/bin/env python3
"""A whole-slide image: opening, scale, level choice, pixels on the slide's own glass, recovery from bad tiles.

Positions and sizes are level-0 pixels, top-left corner first, unless a docstring says otherwise.
"""

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import openslide

from hx_tissue import glass_colour

MPP_RANGE = (0.1, 2.0)  # micrometres a pixel that a slide scanner can give (100x to 5x); beyond it a tag is wrong
OVERVIEW_UM = 8.0  # micrometres a pixel of the overview: 1.25x, what a person sees without a lens
OVERVIEW_PX = 4096  # longest side of the overview, which bounds the memory of segmentation
NOMINAL_MPP = 0.5  # assumed for the choice of the overview alone, where a slide tells no scale
CACHE_BYTES = 128 << 20  # decoded tiles of one 4096-px block and its neighbours (OpenSlide's own default: 32 MiB)
STRIP_PIXELS = 1 << 22


class SlideError(Exception):
    """A slide that cannot be used; the message says why."""


class TileError(SlideError):
    """A region that stays unreadable after the file was opened anew."""


@dataclass(frozen=True)
class Scale:
    """Micrometres a pixel, None when not known; `source` is sheet, vendor, tiff or none; `warnings` for the user."""

    x: float | None
    y: float | None
    source: str
    warnings: tuple[str, ...] = ()


class Overview(NamedTuple):
    """Whole slide at a low resolution: RGB uint8 (h, w, 3); a pixel of it spans `factor` level-0 pixels in x and y."""

    pixels: np.ndarray
    factor: tuple[float, float]


def composite(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """RGBA uint8 (h, w, 4), straight alpha, over a background colour (3,): RGB uint8 (h, w, 3)."""
    rgb = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    clear = rgba[..., 3] < 255
    if clear.any():
        alpha = rgba[clear, 3:].astype(np.uint32)
        rgb[clear] = (rgba[clear, :3] * alpha + np.asarray(background, np.uint32) * (255 - alpha) + 127) // 255
    return rgb


class Slide:
    """A slide opened with OpenSlide. Reading is safe from several threads.

    Args:
        path: file; formats of file + folder (.mrxs …) find their folder beside it.
        mpp: micrometres a pixel that the user states; goes before what the file says.
        background: RGB of the glass when known from an earlier pass; otherwise seen in the overview when needed.

    Raises:
        SlideError: the file is missing, empty, damaged or of no format that OpenSlide reads.
    """

    def __init__(self, path: str | Path, mpp: float | None = None, background: np.ndarray | None = None):
        self.path = Path(path)
        self._lock = threading.Lock()
        self._handle = self._open()
        self.properties = dict(self._handle.properties)
        self.dimensions = self._handle.level_dimensions
        self._downsamples = self._handle.level_downsamples  # the mean of both axes, by which OpenSlide itself divides
        self.width, self.height = self.dimensions[0]
        self.factors = [(self.width / w, self.height / h) for w, h in self.dimensions]
        self.vendor = self.properties.get("openslide.vendor", "")
        self.bad_tiles: set[tuple[int, int, int]] = set()
        self._sheet_mpp = mpp
        self._background = None if background is None else np.asarray(background, np.uint8)

    def __enter__(self) -> "Slide":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._handle.close()

    def _open(self) -> openslide.OpenSlide:
        if not self.path.exists():
            raise SlideError(f"{self.path.name}: no such file")
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise SlideError(f"{self.path.name}: empty file (0 bytes)")
        try:
            handle = openslide.OpenSlide(self.path)
        except openslide.OpenSlideUnsupportedFormatError:
            raise SlideError(f"{self.path.name}: not a slide that OpenSlide reads, or cut short") from None
        except openslide.OpenSlideError as error:
            raise SlideError(f"{self.path.name}: damaged: {self._plain(error)}") from None
        handle.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        return handle

    def _plain(self, error: Exception) -> str:
        # Messages end up in tables, which are the same wherever the file lies.
        return str(error).replace(str(self.path), self.path.name)

    @cached_property
    def scale(self) -> Scale:
        """Micrometres a pixel: sheet, else the vendor's header, else TIFF tags; each counts only within MPP_RANGE."""
        warnings = []
        for source, x, y in self._stated_scales():
            if all(MPP_RANGE[0] <= value <= MPP_RANGE[1] for value in (x, y)):
                if abs(x / y - 1) > 0.05:
                    warnings.append(f"pixels are not square: mpp {x:g} x {y:g}")
                return Scale(x, y, source, tuple(warnings))
            warnings.append(f"mpp {x:g} x {y:g} of the {source} is outside {MPP_RANGE[0]:g}-{MPP_RANGE[1]:g}: ignored")
        return Scale(None, None, "none", (*warnings, "no mpp: physical sizes are unknown"))

    def _stated_scales(self) -> list[tuple[str, float, float]]:
        stated = []
        if self._sheet_mpp is not None:
            stated.append(("sheet", self._sheet_mpp, self._sheet_mpp))
        source = "tiff" if self.vendor == "generic-tiff" else "vendor"
        x, y = (self._number(f"openslide.mpp-{axis}") for axis in "xy")
        if x and y:
            stated.append((source, x, y))
        unit = {"centimeter": 1e4, "inch": 25400.0}.get(self.properties.get("tiff.ResolutionUnit", ""))
        x, y = (self._number(f"tiff.{axis}Resolution") for axis in "XY")
        if unit and x and y and source == "vendor":
            stated.append(("tiff", unit / x, unit / y))
        return stated

    def _number(self, name: str) -> float | None:
        try:
            return float(self.properties[name])
        except (KeyError, ValueError):
            return None

    def tile_size(self, level: int) -> tuple[int, int]:
        """Width and height of the tiles of a level as they lie in the file, 256 where the format does not tell."""
        width, height = (self._number(f"openslide.level[{level}].tile-{axis}") for axis in ("width", "height"))
        return int(width or 256), int(height or 256)

    def magnification(self) -> int:
        """Objective power of level 0: the header's, else the usual power nearest to 10 / mpp, else 20 (nominal)."""
        power = self._number("openslide.objective-power")
        if power:
            return round(power)
        wanted = 10 / (self.scale.x or NOMINAL_MPP)
        return min((5, 10, 20, 40, 60, 80), key=lambda usual: abs(usual - wanted))

    @cached_property
    def _overview(self) -> tuple[Overview, np.ndarray, str]:
        downsample = max(OVERVIEW_UM / (self.scale.x or NOMINAL_MPP), max(self.width, self.height) / OVERVIEW_PX)
        rgba, factor = self._raw_level(*self.level_for(downsample))
        glass, source = glass_colour(np.ascontiguousarray(rgba[..., :3]), rgba[..., 3] == 255)
        if self._background is not None:
            glass = self._background
        elif source == "assumed" and "openslide.background-color" in self.properties:
            glass = np.frombuffer(bytes.fromhex(self.properties["openslide.background-color"]), np.uint8)
        return Overview(composite(rgba, glass), factor), glass, source

    @property
    def overview(self) -> Overview:
        """The slide at about OVERVIEW_UM micrometres a pixel, what segmentation works on.

        Raises:
            SlideError: no pixel of it can be read.
        """
        return self._overview[0]

    @property
    def background(self) -> np.ndarray:
        """Colour of the slide's own glass, uint8 (3,)."""
        return self._overview[1] if self._background is None else self._background

    @property
    def background_source(self) -> str:
        """How the glass was found, see glass_colour."""
        return self._overview[2]

    def level_for(self, downsample: float) -> tuple[int, int]:
        """(level, shrink) that together come nearest to `downsample` without enlarging pixels."""
        level = max(i for i, factor in enumerate(self.factors) if i == 0 or max(factor) <= 1.25 * downsample)
        return level, max(1, round(downsample / max(self.factors[level])))

    def read_level(self, level: int, shrink: int = 1) -> Overview:
        """A whole level, each `shrink` x `shrink` pixels averaged, over the glass colour.

        It is read in strips, so memory grows with the result alone. Tiles that stay unreadable show the glass colour
        and are listed in `bad_tiles` as (level, column, row).
        """
        rgba, factor = self._raw_level(level, shrink)
        return Overview(composite(rgba, self.background), factor)

    def thumbnail(self, max_px: int) -> Overview:
        """The whole slide with its longer side at most `max_px` pixels."""
        wanted = max(self.width, self.height) / max_px
        picture = self.overview
        if max(picture.factor) > wanted:
            level, _ = self.level_for(wanted)
            picture = self.read_level(level, max(1, int(wanted / max(self.factors[level]))))
        h, w = picture.pixels.shape[:2]
        if max(h, w) <= max_px:
            return picture
        size = (max(1, w * max_px // max(h, w)), max(1, h * max_px // max(h, w)))
        small = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA)
        return Overview(small, (picture.factor[0] * w / size[0], picture.factor[1] * h / size[1]))

    def read(self, x: int, y: int, w: int, h: int) -> np.ndarray:
        """Level-0 pixels: RGB uint8 (h, w, 3). Transparent and off-slide pixels take the glass colour.

        Raises:
            TileError: a tile in the region is damaged.
        """
        rgba = self._read_rgba(0, x, y, w, h)
        if rgba[..., 3].min() == 255:
            return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        return composite(rgba, self.background)

    def _read_rgba(self, level: int, x: int, y: int, w: int, h: int) -> np.ndarray:
        handle = self._handle
        try:
            return np.asarray(handle.read_region((x, y), level, (w, h)))
        except openslide.OpenSlideError:
            # An OpenSlide handle fails for ever after its first error, whichever thread caused it: ask a new one.
            fresh = self._open()
        try:
            rgba = np.asarray(fresh.read_region((x, y), level, (w, h)))
        except openslide.OpenSlideError as error:
            where = f"level {level}, {w} x {h} px at ({x}, {y})"
            raise TileError(f"{self.path.name}: {where}: {self._plain(error)}") from None
        with self._lock:
            if self._handle is handle:
                self._handle = fresh
        return rgba

    def _raw_level(self, level: int, shrink: int) -> tuple[np.ndarray, tuple[float, float]]:
        width, height = self.dimensions[level]
        # Whole rows of tiles, so that a tile is decoded once.
        rows = -(-max(self.tile_size(level)[1], STRIP_PIXELS // width) // shrink) * shrink
        strips = [self._raw_strip(level, top, min(rows, height - top), shrink) for top in range(0, height, rows)]
        rgba = np.concatenate(strips)
        if not rgba[..., 3].any():
            raise SlideError(f"{self.path.name}: no pixel of level {level} can be read")
        return rgba, (self.factors[level][0] * shrink, self.factors[level][1] * shrink)

    def _raw_strip(self, level: int, top: int, rows: int, shrink: int) -> np.ndarray:
        width = self.dimensions[level][0]
        downsample = self._downsamples[level]
        try:
            rgba = self._read_rgba(level, 0, round(top * downsample), width, rows)
        except TileError:
            rgba = self._tile_by_tile(level, top, rows, downsample)
        if shrink == 1:
            return rgba
        if rgba[..., 3].min() < 255:
            rgba = np.dstack([composite(rgba, np.zeros(3)), rgba[..., 3]])  # colour weighs by its opacity
        bottom, right = -rows % shrink, -width % shrink
        rgba = cv2.copyMakeBorder(rgba, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        size = (rgba.shape[1] // shrink, rgba.shape[0] // shrink)
        small = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
        alpha = small[..., 3:].astype(np.float32)
        straight = np.minimum(small[..., :3] * (255 / np.maximum(alpha, 1)), 255).round().astype(np.uint8)
        small[..., :3] = straight
        return small

    def _tile_by_tile(self, level: int, top: int, rows: int, downsample: float) -> np.ndarray:
        width = self.dimensions[level][0]
        side = self.tile_size(level)
        strip = np.zeros((rows, width, 4), np.uint8)
        for row in range(top // side[1], -(-(top + rows) // side[1])):
            upper, lower = max(top, row * side[1]), min(top + rows, (row + 1) * side[1])
            for column in range(-(-width // side[0])):
                left, right = column * side[0], min(width, (column + 1) * side[0])
                corner = (round(left * downsample), round(upper * downsample))
                try:
                    tile = self._read_rgba(level, *corner, right - left, lower - upper)
                except TileError:
                    self.bad_tiles.add((level, column, row))
                    continue
                strip[upper - top : lower - top, left:right] = tile
        return strip
