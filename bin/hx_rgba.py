#!/usr/bin/env python3
"""Pixels with opacity, RGBA uint8 (h, w, 4) with straight alpha: over a background, shrunk, gathered row by row."""

import cv2
import numpy as np

from hx_bands import BAND


def composite(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """RGBA uint8 (h, w, 4), straight alpha, over a background colour (3,): RGB uint8 (h, w, 3)."""
    rgb = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    lay(rgb, rgba[..., 3], background)
    return rgb


def lay(rgb: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> None:
    """Lay RGB uint8 (h, w, 3) of an opacity, uint8 (h, w), over a background colour (3,), in place."""
    for top in range(0, len(rgb), BAND):
        part, opacity = rgb[top : top + BAND], alpha[top : top + BAND]
        clear = opacity < 255
        if clear.any():
            weight = opacity[clear, None].astype(np.uint32)
            part[clear] = (part[clear] * weight + np.asarray(background, np.uint32) * (255 - weight) + 127) // 255


def resize_rgba(rgba: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """RGBA uint8 (straight alpha) shrunk to `size` (width, height) by area means, colours weighed by their opacity."""
    small = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
    if small[..., 3].min() == 255:
        return small
    small = cv2.resize(np.dstack([composite(rgba, np.zeros(3)), rgba[..., 3]]), size, interpolation=cv2.INTER_AREA)
    alpha = small[..., 3:].astype(np.float32)
    small[..., :3] = np.minimum(small[..., :3] * (255 / np.maximum(alpha, 1)), 255).round()
    return small


def shrink_rgba(rgba: np.ndarray, shrink: int) -> np.ndarray:
    """Means of `shrink` x `shrink` pixels of RGBA uint8; the last row and column go on for blocks that stick out."""
    if shrink == 1:
        return rgba
    bottom, right = -rgba.shape[0] % shrink, -rgba.shape[1] % shrink
    if bottom or right:
        rgba = cv2.copyMakeBorder(rgba, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return resize_rgba(rgba, (rgba.shape[1] // shrink, rgba.shape[0] // shrink))


class Shrinker:
    """Means of `shrink` x `shrink` pixels of a picture that comes in blocks of any size, row by row of blocks."""

    def __init__(self, shrink: int):
        self.shrink = shrink
        self._above: dict[int, np.ndarray] = {}
        self._left: np.ndarray | None = None

    def add(self, column: int, block: np.ndarray, right: bool, bottom: bool) -> np.ndarray:
        """What can be told with RGBA block number `column` of a row; right, bottom: it is the last of its row, column.

        The blocks of a row have one height, those of a column one width. Pixels of a mean that needs the next block
        are kept for it.
        """
        if column in self._above:
            block = np.concatenate([self._above.pop(column), block])
        rows = len(block) if bottom else len(block) // self.shrink * self.shrink
        if rows < len(block):
            self._above[column] = block[rows:].copy()
        block = block[:rows]
        if self._left is not None:
            block = np.concatenate([self._left, block], axis=1)
        columns = block.shape[1] if right else block.shape[1] // self.shrink * self.shrink
        self._left = block[:, columns:].copy() if columns < block.shape[1] else None
        if not rows or not columns:
            return np.zeros((-(-rows // self.shrink), -(-columns // self.shrink), 4), np.uint8)
        return shrink_rgba(block[:, :columns], self.shrink)


class Canvas:
    """A picture that comes in RGBA rows from top to bottom, held as RGB, and its opacity only if it is not all opaque.

    Attributes:
        rgb: uint8 (height, width, 3), straight colours of what was added so far.
        alpha: uint8 (height, width), None while all is opaque.
    """

    def __init__(self, width: int, height: int):
        self.rgb = np.empty((height, width, 3), np.uint8)
        self.alpha: np.ndarray | None = None
        self._rows = 0

    def add(self, rgba: np.ndarray) -> None:
        """The rows that come next, (rows, width, 4)."""
        rows = slice(self._rows, self._rows + len(rgba))
        self.rgb[rows] = rgba[..., :3]
        if self.alpha is None and rgba[..., 3].min(initial=255) < 255:
            self.alpha = np.full(self.rgb.shape[:2], 255, np.uint8)
        if self.alpha is not None:
            self.alpha[rows] = rgba[..., 3]
        self._rows = rows.stop

    def over(self, background: np.ndarray) -> np.ndarray:
        """The picture, RGB, laid over a background colour for good."""
        if self.alpha is not None:
            lay(self.rgb, self.alpha, background)
            self.alpha = None
        return self.rgb
