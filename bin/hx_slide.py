#!/usr/bin/env python3
"""A whole-slide image: scale, level choice, pixels on the slide's own glass, overview and strips of the whole.

Positions and sizes are level-0 pixels, top-left corner first, unless a docstring says otherwise.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hx_formats import SlideError, link_companions
from hx_scale import NOMINAL_MPP, Scale, choose_scale, magnification
from hx_slide_file import SlideFile, TileError, composite
from hx_tissue import glass_colour

__all__ = ["NOMINAL_MPP", "Overview", "Scale", "Slide", "SlideError", "Strip", "TileError", "composite"]

OVERVIEW_UM = 8.0  # micrometres a pixel of the overview: 1.25x, what a person sees without a lens
OVERVIEW_PX = 4096  # longest side of the overview, which bounds the memory of segmentation
GLASS_PIXELS = 1 << 21  # of the overview that the glass is looked for in, about: bands of rows all over it
GLASS_ROWS = 64


class Overview(NamedTuple):
    """Whole slide at a low resolution: RGB uint8 (h, w, 3); a pixel of it spans `factor` level-0 pixels in x and y."""

    pixels: np.ndarray
    factor: tuple[float, float]


class Strip(NamedTuple):
    """Whole rows of the slide at a low resolution: RGB uint8 (h, w, 3), the first of them row `top` of that picture."""

    top: int
    pixels: np.ndarray
    factor: tuple[float, float]


def open_slide(folder: Path, row: Mapping[str, object], background: np.ndarray | None = None) -> "Slide":
    """The slide of a row of a task's table: columns slide, mpp (NaN: not stated) and, where it has any, parts.

    Raises:
        SlideError: see Slide and hx_formats.link_companions.
    """
    path = folder / row["slide"]
    link_companions(path, [folder / part for part in row.get("parts", "").split(";") if part])
    return Slide(path, None if np.isnan(row["mpp"]) else row["mpp"], background)


class Slide(SlideFile):
    """A slide opened with OpenSlide. Reading is safe from several threads.

    Only pixels of the slide itself are read: never label, macro or thumbnail, and of the header only what tells how the
    slide was scanned (`properties`, see hx_scale.technical).

    Args:
        path: file; formats of file + folder (.mrxs …) find their folder beside it, see hx_formats.link_companions.
        mpp: micrometres a pixel that the user states; goes before what the file says.
        background: RGB of the glass when known from an earlier pass; otherwise seen in the overview when needed.

    Raises:
        SlideError: the file is missing, empty, damaged, too small or of no format that OpenSlide reads.
    """

    def __init__(self, path: str | Path, mpp: float | None = None, background: np.ndarray | None = None):
        super().__init__(path)
        self._sheet_mpp = mpp
        self._background = None if background is None else np.asarray(background, np.uint8)
        self._sight: tuple[Overview, np.ndarray, str] | None = None

    @cached_property
    def scale(self) -> Scale:
        """Micrometres a pixel: sheet, else the vendor's header, else TIFF tags; each counts only within MPP_RANGE."""
        return choose_scale(self.properties, self._sheet_mpp)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the slide, as far as it was read yet: scale, damaged lower levels."""
        found = list(self.scale.warnings)
        if self.replaced_tiles:
            found.append(f"{len(self.replaced_tiles)} damaged tiles of lower levels, made from finer ones")
        return tuple(found)

    def magnification(self) -> int:
        """Objective power of level 0: the header's, else the usual power nearest to 10 / mpp, else 20 (nominal)."""
        return magnification(self.properties, self.scale)

    def level_for(self, downsample: float) -> tuple[int, int]:
        """(level, shrink) that together come nearest to `downsample` without enlarging pixels."""
        level = max(i for i, factor in enumerate(self.factors) if i == 0 or max(factor) <= 1.25 * downsample)
        return level, max(1, round(downsample / max(self.factors[level])))

    @property
    def overview(self) -> Overview:
        """The slide at about OVERVIEW_UM micrometres a pixel, what segmentation works on.

        Raises:
            SlideError: no pixel of it can be read.
        """
        return self._see()[0]

    @property
    def background(self) -> np.ndarray:
        """Colour of the slide's own glass, uint8 (3,)."""
        return self._see()[1] if self._background is None else self._background

    @property
    def background_source(self) -> str:
        """How the glass was found, see glass_colour."""
        return self._see()[2]

    def _overview_from(self) -> tuple[int, int]:
        um = self.scale.x or NOMINAL_MPP
        return self.level_for(max(OVERVIEW_UM / um, max(self.width, self.height) / OVERVIEW_PX))

    def _see(self, rgba: np.ndarray | None = None) -> tuple[Overview, np.ndarray, str]:
        """Overview, glass, its source; from the RGBA of the overview where the caller has it."""
        if self._sight is None:
            level, shrink = self._overview_from()
            rgba = self._whole(level, shrink) if rgba is None else self._some(rgba, level)
            every = math.ceil(rgba[..., 0].size / GLASS_PIXELS)
            sample = rgba[np.arange(len(rgba)) // GLASS_ROWS % every == 0]
            glass, source = glass_colour(np.ascontiguousarray(sample[..., :3]), sample[..., 3] == 255)
            if self._background is not None:
                glass = self._background
            elif source == "assumed" and "openslide.background-color" in self.properties:
                glass = np.frombuffer(bytes.fromhex(self.properties["openslide.background-color"]), np.uint8)
            self._sight = Overview(composite(rgba, glass), self._factor(level, shrink)), glass, source
        return self._sight

    def strips(self, um: float, multiple: int = 1) -> Iterator[Strip]:
        """The whole slide at about `um` micrometres a pixel, from top to bottom, in bounded memory.

        Where the overview comes from the same level it is made in passing, so that a slide without a pyramid is decoded
        once: go through the strips first, ask for `overview` after. Both have the same pixels as when read alone.

        Args:
            um: micrometres a pixel, at least; the nominal scale (NOMINAL_MPP) where the slide tells none.
            multiple: rows of a strip are a multiple of it, but for the last strip.

        Raises:
            SlideError: more than MAX_BAD_TILES tiles are damaged.
        """
        level, shrink = self.level_for(um / (self.scale.x or NOMINAL_MPP))
        overview = self._overview_from()
        both = self._sight is None and overview[0] == level
        done, ready, parts = 0, 0, [[], []]
        for pictures in self.bands(level, (shrink, overview[1]) if both else (shrink,)):
            for part, picture in zip(parts, pictures, strict=False):
                part.append(picture)
            ready += len(pictures[0])
            whole = ready // multiple * multiple
            if whole:
                rgba = np.concatenate(parts[0])
                yield Strip(done, self._on_glass(rgba[:whole]), self._factor(level, shrink))
                done, ready, parts[0] = done + whole, ready - whole, [rgba[whole:]]
        if ready:
            yield Strip(done, self._on_glass(np.concatenate(parts[0])), self._factor(level, shrink))
        if both:
            self._see(np.concatenate(parts[1]))

    def read_level(self, level: int, shrink: int = 1) -> Overview:
        """A whole level, each `shrink` x `shrink` pixels averaged, over the glass colour.

        It is read in blocks, so memory grows with the result alone. Damaged tiles come from the next finer level; those
        of level 0 show the glass colour and are listed in `bad_tiles`.
        """
        return Overview(self._on_glass(self._whole(level, shrink)), self._factor(level, shrink))

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
        return self._on_glass(self.read_rgba(0, x, y, w, h))

    def _on_glass(self, rgba: np.ndarray) -> np.ndarray:
        if rgba[..., 3].min() == 255:
            return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        return composite(rgba, self.background)

    def _factor(self, level: int, shrink: int) -> tuple[float, float]:
        return self.factors[level][0] * shrink, self.factors[level][1] * shrink

    def _whole(self, level: int, shrink: int) -> np.ndarray:
        return self._some(np.concatenate([part for (part,) in self.bands(level, (shrink,))]), level)

    def _some(self, rgba: np.ndarray, level: int) -> np.ndarray:
        if not rgba[..., 3].any():
            raise SlideError(f"{self.path.name}: no pixel of level {level} can be read")
        return rgba
