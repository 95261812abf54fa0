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

from hx_bands import release_memory
from hx_formats import SlideError, link_companions
from hx_rgba import Canvas, composite
from hx_scale import NOMINAL_MPP, Scale, choose_scale, magnification
from hx_slide_file import SlideFile, TileError
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
        self._picture: tuple[int, Overview] | None = None

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

    def _see(self, canvas: Canvas | None = None) -> tuple[Overview, np.ndarray, str]:
        """Overview, glass, its source; from the pixels of the overview where the caller has them."""
        if self._sight is None:
            level, shrink = self._overview_from()
            canvas = self._whole(level, shrink) if canvas is None else self._some(canvas, level)
            every = math.ceil(canvas.rgb[..., 0].size / GLASS_PIXELS)
            sample = np.arange(len(canvas.rgb)) // GLASS_ROWS % every == 0
            picture = canvas.rgb[sample]
            opaque = np.ones(picture.shape[:2], bool) if canvas.alpha is None else canvas.alpha[sample] == 255
            glass, source = glass_colour(picture, opaque)
            if self._background is not None:
                glass = self._background
            elif source == "assumed" and "openslide.background-color" in self.properties:
                glass = np.frombuffer(bytes.fromhex(self.properties["openslide.background-color"]), np.uint8)
            self._sight = Overview(canvas.over(glass), self._factor(level, shrink)), glass, source
            release_memory()
        return self._sight

    def strips(self, um: float, multiple: int = 1, picture_px: int = 0) -> Iterator[Strip]:
        """The whole slide at about `um` micrometres a pixel, from top to bottom, in bounded memory.

        What else comes from the same level is made in passing, so that a slide without a pyramid is decoded once: the
        overview, with the same pixels as when read alone, and the picture for `thumbnail`. Go through the strips first,
        ask for the others after. Only transparent pixels need the glass, and thereby the overview, before.

        Args:
            um: micrometres a pixel, at least; the nominal scale (NOMINAL_MPP) where the slide tells none.
            multiple: rows of a strip are a multiple of it, but for the last strip.
            picture_px: the most that `thumbnail` will be asked for; 0: no picture.

        Raises:
            SlideError: more than MAX_BAD_TILES tiles are damaged.
        """
        level, shrink = self.level_for(um / (self.scale.x or NOMINAL_MPP))
        sources = {"overview": self._overview_from()} if self._sight is None else {}
        if picture_px and max(self._factor(*self._overview_from())) > self._wanted(picture_px):
            sources["picture"] = self._picture_from(picture_px)
        sources = {name: source for name, source in sources.items() if source[0] == level}
        canvases = {name: self._canvas(*source) for name, source in sources.items()}
        done, rest = 0, None
        for rows, *others in self.bands(level, (shrink, *(source[1] for source in sources.values()))):
            for canvas, other in zip(canvases.values(), others, strict=True):
                canvas.add(other)
            rows = rows if rest is None else np.concatenate([rest, rows])
            whole = len(rows) // multiple * multiple
            if whole:
                yield Strip(done, self._on_glass(rows[:whole]), self._factor(level, shrink))
            done, rest = done + whole, rows[whole:]
        if rest is not None and len(rest):
            yield Strip(done, self._on_glass(rest), self._factor(level, shrink))
        if "overview" in canvases:
            self._see(canvases["overview"])
        if "picture" in canvases:
            picture = Overview(self._laid(canvases["picture"]), self._factor(*sources["picture"]))
            self._picture = picture_px, _fit(picture, picture_px)

    def read_level(self, level: int, shrink: int = 1) -> Overview:
        """A whole level, each `shrink` x `shrink` pixels averaged, over the glass colour.

        It is read in blocks, so memory grows with the result alone. Damaged tiles come from the next finer level; those
        of level 0 show the glass colour and are listed in `bad_tiles`.
        """
        return Overview(self._laid(self._whole(level, shrink)), self._factor(level, shrink))

    def thumbnail(self, max_px: int) -> Overview:
        """The whole slide with its longer side at most `max_px` pixels."""
        picture = self.overview
        if max(picture.factor) > self._wanted(max_px):
            if self._picture is not None and max_px <= self._picture[0]:
                picture = self._picture[1]
            else:
                picture = self.read_level(*self._picture_from(max_px))
        return _fit(picture, max_px)

    def _wanted(self, max_px: int) -> float:
        """Level-0 pixels that a pixel of a picture of at most `max_px` spans."""
        return max(self.width, self.height) / max_px

    def _picture_from(self, max_px: int) -> tuple[int, int]:
        """(level, shrink) that give a picture of `max_px` pixels or, unless level 0 is smaller, more."""
        wanted = self._wanted(max_px)
        level, _ = self.level_for(wanted)
        return level, max(1, int(wanted / max(self.factors[level])))

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

    def _laid(self, canvas: Canvas) -> np.ndarray:
        return canvas.rgb if canvas.alpha is None else canvas.over(self.background)

    def _canvas(self, level: int, shrink: int) -> Canvas:
        return Canvas(*(-(-side // shrink) for side in self.dimensions[level]))

    def _whole(self, level: int, shrink: int) -> Canvas:
        canvas = self._canvas(level, shrink)
        for (rows,) in self.bands(level, (shrink,)):
            canvas.add(rows)
        return self._some(canvas, level)

    def _some(self, canvas: Canvas, level: int) -> Canvas:
        if canvas.alpha is not None and not canvas.alpha.any():
            raise SlideError(f"{self.path.name}: no pixel of level {level} can be read")
        return canvas


def _fit(picture: Overview, max_px: int) -> Overview:
    """The picture with its longer side at most `max_px` pixels."""
    h, w = picture.pixels.shape[:2]
    if max(h, w) <= max_px:
        return picture
    size = (max(1, w * max_px // max(h, w)), max(1, h * max_px // max(h, w)))
    small = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA)
    return Overview(small, (picture.factor[0] * w / size[0], picture.factor[1] * h / size[1]))
