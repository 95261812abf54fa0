#!/usr/bin/env python3
"""Pictures of whole slides worked on in bands of rows, so that what is needed beside them does not grow with them.

Masks are bool (h, w). Labels of connected pieces, which cv2 gives as int32 of the whole picture, are made band by band
and joined over the borders.
"""

import ctypes
from collections.abc import Callable, Iterator

import cv2
import numpy as np

BAND = 256  # rows of a large slide that are worked on at a time; even, as cv2 labels pixels of two rows at a time


def by_bands(found: Callable[..., np.ndarray], halo: int, *pictures: np.ndarray) -> np.ndarray:
    """found(*pictures), a mask, from bands of BAND rows and `halo` rows above and below, so that memory stays flat."""
    if len(pictures[0]) <= BAND + 2 * halo:
        return found(*pictures)
    mask = np.empty(pictures[0].shape[:2], bool)
    for top in range(0, len(mask), BAND):
        first = max(0, top - halo)
        part = found(*(picture[first : top + BAND + halo] for picture in pictures))
        mask[top : top + BAND] = part[top - first : top - first + BAND]
    return mask


def value_counts(values: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """How often each value is there in uint8 (h, w), in all of it or the pixels `where`: int64 (256,)."""
    counts = np.zeros(256, np.int64)
    for top in range(0, len(values), BAND):
        part = values[top : top + BAND]
        part = part.ravel() if where is None else part[where[top : top + BAND]]
        counts += np.bincount(part, minlength=256)
    return counts


class Pieces:
    """Connected pieces of a mask, 4- or 8-connected, numbered from 1 on as cv2.connectedComponents does; 0 is the rest.

    Attributes:
        area: pixels of each number, int64 (count,).
        box: left, top, right, bottom of each number, int64 (count, 4); of the rest, without meaning.
    """

    def __init__(self, mask: np.ndarray, connectivity: int):
        self._mask, self._connectivity = mask, connectivity
        # Found in each band first, numbered on from band to band, and joined by the pairs that touch over a border.
        areas, boxes, pairs, ends = [[mask.size]], [[[0, 0, 0, 0]]], [], [1]
        above = np.zeros(mask.shape[1], np.int64)
        for top in range(0, len(mask), BAND):
            _, labels, stats, _ = cv2.connectedComponentsWithStats(self._rows(top), connectivity=connectivity)
            left, upper, width, height, area = stats[1:].T.astype(np.int64)
            areas.append(area)
            boxes.append(np.column_stack([left, upper + top, left + width, upper + top + height]))
            first, last = (np.where(row > 0, row + np.int64(ends[-1] - 1), 0) for row in labels[[0, -1]])
            pairs.append(_touching(above, first, connectivity))
            above = last
            ends.append(ends[-1] + len(area))
        kept, number = np.unique(_roots(ends[-1], np.concatenate(pairs, axis=1)), return_inverse=True)
        area, box = np.concatenate(areas), np.concatenate(boxes)
        self.area, self.box = np.zeros(len(kept), np.int64), box[kept]
        np.add.at(self.area, number, area)
        self.area[0] -= self.area[1:].sum()
        np.minimum.at(self.box[:, :2], number, box[:, :2])
        np.maximum.at(self.box[:, 2:], number, box[:, 2:])
        self._numbers = np.split(number, ends)[1:-1]

    def _rows(self, top: int) -> np.ndarray:
        return self._mask[top : top + BAND].view(np.uint8)

    def bands(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of each band and the number of each of its pixels, int32 (rows, w)."""
        for i, numbers in enumerate(self._numbers):
            _, labels = cv2.connectedComponents(self._rows(i * BAND), connectivity=self._connectivity)
            yield slice(i * BAND, (i + 1) * BAND), np.concatenate([[0], numbers]).astype(np.int32)[labels]

    def numbers(self) -> np.ndarray:
        """Number of each pixel, (h, w), of as few bytes as the largest needs."""
        found = np.empty(self._mask.shape, np.min_scalar_type(len(self.area) - 1))
        for rows, numbers in self.bands():
            found[rows] = numbers
        return found

    def mask(self, keep: np.ndarray) -> np.ndarray:
        """The pixels of the numbers to keep, which is bool (count,)."""
        found = np.empty(self._mask.shape, bool)
        for rows, numbers in self.bands():
            found[rows] = keep[numbers]
        return found


def _touching(above: np.ndarray, below: np.ndarray, connectivity: int) -> np.ndarray:
    """Numbers of two rows, one above the other, that touch, without the rest: int64 (2, n), each pair once."""
    pairs = [np.stack([above, below])]
    if connectivity == 8:
        pairs += [np.stack([above[1:], below[:-1]]), np.stack([above[:-1], below[1:]])]
    both = np.concatenate(pairs, axis=1)
    return np.unique(both[:, both.all(axis=0)], axis=1)


def _roots(count: int, pairs: np.ndarray) -> np.ndarray:
    """The least of the numbers below `count` that each one is joined with by pairs, (2, n)."""
    root = np.arange(count)
    while True:
        low, high = np.sort(root[pairs], axis=0)
        apart = low < high
        if not apart.any():
            return root
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(further := root[root], root):
            root = further


def large_pieces(mask: np.ndarray, pixels: float, connectivity: int) -> np.ndarray:
    """The connected pieces of `mask` with at least `pixels` pixels."""
    pieces = Pieces(mask, connectivity)
    keep = pieces.area >= pixels
    keep[0] = False
    return pieces.mask(keep)


def release_memory() -> None:
    """Give the system back what was freed: glibc keeps what lies below anything that is still in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
