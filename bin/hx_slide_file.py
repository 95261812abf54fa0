#!/usr/bin/env python3
"""A slide's file: opening, recovery from damage, whole levels in blocks, as RGBA with straight alpha.

OpenSlide does the reading. Its handles fail for ever after their first error, and it takes a tile that cannot be
decoded for the failure of the whole read.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import numpy as np
import openslide

from hx_bands import release_memory
from hx_formats import SlideError
from hx_rgba import Shrinker, resize_rgba
from hx_scale import number, technical

CACHE_BYTES = 128 << 20  # decoded tiles of one 4096-px block and its neighbours (OpenSlide's own default: 32 MiB)
LEVEL_CACHE_BYTES = 32 << 20  # those of a level that is read as a whole, at least
BLOCK_PIXELS = 1 << 22  # read at a time from a level that is read as a whole
MAX_TILE = 4096  # larger "tiles", whole pictures, are read in pieces
MIN_SIDE = 20  # level-0 pixels: the smallest patch has 16
# Headers may lie. The largest slides have some 400,000 px a side; a tile is decoded whole, four bytes a pixel, but for
# the pictures of Hamamatsu's formats.
MAX_SIDE = 1 << 20
MAX_TILE_PIXELS = 1 << 26
MAX_BAD_TILES = 1000  # each costs opening the file anew; a file with more of them is cut short, not scratched


class TileError(SlideError):
    """A region that stays unreadable after the file was opened anew."""


class SlideFile:
    """The file of a slide, opened with OpenSlide. Reading is safe from several threads.

    Attributes:
        properties: what the header tells of how the slide was scanned, see hx_scale.technical.
        dimensions: (width, height) of each level.
        factors: level-0 pixels that a pixel of a level spans in x and y, for each level.
        bad_tiles: (0, column, row) of the tiles of level 0 that were asked for and stayed unreadable.
        replaced_tiles: (level, column, row) of unreadable tiles of lower levels, made from finer ones.

    Raises:
        SlideError: the file is missing, empty, damaged, too small, too large or of no format that OpenSlide reads.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = threading.Lock()
        self._cache: openslide.OpenSlideCache | None = openslide.OpenSlideCache(CACHE_BYTES)
        self._handle = self._open()
        self.properties = technical(self._handle.properties)
        self.vendor = self.properties.get("openslide.vendor", "")
        self.dimensions = self._handle.level_dimensions
        self._downsamples = self._handle.level_downsamples  # the mean of both axes, by which OpenSlide itself divides
        self.width, self.height = self.dimensions[0]
        self.factors = [(self.width / w, self.height / h) for w, h in self.dimensions]
        self.bad_tiles: set[tuple[int, int, int]] = set()
        self.replaced_tiles: set[tuple[int, int, int]] = set()
        if min(self.width, self.height) < MIN_SIDE:
            self.close()
            raise SlideError(f"{self.path.name}: {self.width} x {self.height} px: too small for a slide")
        if max(self.width, self.height) > MAX_SIDE:
            self.close()
            raise SlideError(f"{self.path.name}: {self.width} x {self.height} px: larger than any slide")
        for level in range(len(self.dimensions)):
            width, height = self.tile_size(level)
            if width * height > MAX_TILE_PIXELS and self.vendor != "hamamatsu":
                self.close()
                raise SlideError(f"{self.path.name}: tiles of {width} x {height} px: save it with tiles of up to 4096")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._handle.close()
        self._cache = None  # whose tiles would stay as long as this object

    def _open(self) -> openslide.OpenSlide:
        if not self.path.exists():
            raise SlideError(f"{self.path.name}: no such file")
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise SlideError(f"{self.path.name}: empty file (0 bytes)")
        if self.path.suffix.lower() == ".mrxs" and not self.path.with_suffix("").exists():
            raise SlideError(f"{self.path.name}: its folder {self.path.stem} is not beside it")
        try:
            handle = openslide.OpenSlide(self.path)
        except openslide.OpenSlideUnsupportedFormatError:
            raise SlideError(f"{self.path.name}: not a slide that OpenSlide reads, or cut short") from None
        except openslide.OpenSlideError as error:
            text = self._plain(error)
            if "ompression" in text:
                text = f"compressed in a way that OpenSlide does not read: {text}"
            else:
                text = f"damaged: {text}"
            raise SlideError(f"{self.path.name}: {text}") from None
        handle.set_cache(self._cache)
        return handle

    @contextmanager
    def caching(self, capacity: int) -> Iterator[None]:
        """Keep up to `capacity` bytes of decoded tiles in it, and none of them after it, unless it is left early."""
        before = self._cache
        self._set_cache(openslide.OpenSlideCache(capacity))
        yield
        self._set_cache(before)
        release_memory()

    def _set_cache(self, cache: openslide.OpenSlideCache) -> None:
        with self._lock, suppress(openslide.OpenSlideError):  # a handle that failed is opened anew at the next read
            self._cache = cache
            self._handle.set_cache(cache)

    def _plain(self, error: Exception) -> str:
        # Messages end up in tables, which are the same wherever the file lies.
        return str(error).replace(str(self.path), self.path.name).replace(f"{self.path.parent}/", "")

    def tile_size(self, level: int) -> tuple[int, int]:
        """Width and height of the tiles of a level as they lie in the file, 256 where the format does not tell."""
        tag = f"openslide.level[{level}].tile"
        return tuple(int(number(self.properties, f"{tag}-{axis}") or 256) for axis in ("width", "height"))

    def read_rgba(self, level: int, x: int, y: int, w: int, h: int) -> np.ndarray:
        """RGBA uint8 (h, w, 4) of a level; x and y are level-0 pixels, w and h those of the level.

        Raises:
            TileError: a tile in the region stays unreadable after the file was opened anew.
        """
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

    def bands(self, level: int, shrinks: tuple[int, ...]) -> Iterator[list[np.ndarray]]:
        """A level from top to bottom, shrunk in each of the ways: RGBA of the rows that come next, which may be none.

        The level is decoded once for all of them, in blocks of whole tiles that do not depend on `shrinks`.
        """
        width, height = self.dimensions[level]
        tile_width, tile_height = (min(side, MAX_TILE) for side in self.tile_size(level))
        rows = tile_height * max(1, round(BLOCK_PIXELS / width / tile_height))
        columns = tile_width * max(1, BLOCK_PIXELS // (rows * tile_width))
        shrinkers = [Shrinker(shrink) for shrink in shrinks]
        # Where pixels of the level lie between tiles of it, a block needs a part of the next row of tiles too.
        with self.caching(min(max(LEVEL_CACHE_BYTES, 2 * width * tile_height * 4), CACHE_BYTES)):
            for top in range(0, height, rows):
                parts: list[list[np.ndarray]] = [[] for _ in shrinks]
                for left in range(0, width, columns):
                    block = self._region(level, left, top, min(columns, width - left), min(rows, height - top))
                    last = left + columns >= width, top + rows >= height
                    for part, shrinker in zip(parts, shrinkers, strict=True):
                        part.append(shrinker.add(left, block, *last))
                yield [np.concatenate(part, axis=1) for part in parts]

    def _region(self, level: int, left: int, top: int, w: int, h: int) -> np.ndarray:
        """RGBA (h, w, 4) of a part of a level, in its own pixels; tile by tile where that is damaged."""
        downsample = self._downsamples[level]
        try:
            return self.read_rgba(level, round(left * downsample), round(top * downsample), w, h)
        except TileError:
            picture = np.zeros((h, w, 4), np.uint8)
        side_x, side_y = self.tile_size(level)
        for row in range(top // side_y, -(-(top + h) // side_y)):
            upper, lower = max(top, row * side_y), min(top + h, (row + 1) * side_y)
            for column in range(left // side_x, -(-(left + w) // side_x)):
                first, last = max(left, column * side_x), min(left + w, (column + 1) * side_x)
                place = picture[upper - top : lower - top, first - left : last - left]
                corner = (round(first * downsample), round(upper * downsample))
                try:
                    place[:] = self.read_rgba(level, *corner, last - first, lower - upper)
                except TileError:
                    self._note(level, column, row)
                    if level:
                        place[:] = self._from_finer(level, first, upper, last, lower)
        return picture

    def _note(self, level: int, column: int, row: int) -> None:
        tiles = self.replaced_tiles if level else self.bad_tiles
        tiles.add((level, column, row))
        if len(tiles) > MAX_BAD_TILES:
            text = f"more than {MAX_BAD_TILES} damaged tiles in level {level}: copy the file anew"
            raise SlideError(f"{self.path.name}: {text}")

    def _from_finer(self, level: int, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """RGBA of a part of a level, shrunk from the next finer one, whose size is no whole multiple of it."""
        (fx, fy), (gx, gy), (width, height) = self.factors[level], self.factors[level - 1], self.dimensions[level - 1]
        x, y = int(left * fx / gx), int(top * fy / gy)
        last, lowest = min(width, math.ceil(right * fx / gx)), min(height, math.ceil(bottom * fy / gy))
        return resize_rgba(self._region(level - 1, x, y, last - x, lowest - y), (right - left, bottom - top))
