#!/usr/bin/env python3
"""Patches of every size on one grid from (0,0), their file, and the pixels of all sizes from one decode of level 0.

A patch is named by its top-left corner in level-0 pixels. Patches are listed row by row, left to right.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import h5py
import numpy as np
from PIL import Image

from hx_bands import BAND
from hx_cli import DataError
from hx_io import atomic
from hx_slide import Slide, TileError

BLOCK_PX = 4096  # side of a super-block: the largest patch of the study; 64 MiB of RGBA
SPARSE = 0.25  # a block is read as a whole when patches cover at least this share of it
CHUNK = 64  # patches that a thread prepares at a time: 17 MB at 299 px
PATCH_PX = 299  # what InceptionV3 sees

S = TypeVar("S")
T = TypeVar("T")


class Grid(NamedTuple):
    """Patches of one size, `name` as the user gave it (see hx_sizes), `size` its side in level-0 pixels.

    `coords` int64 (n, 2) as x, y; `fraction` float32 (n,) share of the patch that is tissue.
    """

    name: str
    size: int
    coords: np.ndarray
    fraction: np.ndarray


class Read(NamedTuple):
    """One read of level 0 at (x, y), w x h pixels; `patches` are the (size, index) cut from it, in order."""

    x: int
    y: int
    w: int
    h: int
    patches: list[tuple[int, int]]


def patch_fractions(
    mask: np.ndarray, factor: tuple[float, float], slide_size: tuple[int, int], size: int
) -> np.ndarray:
    """Exact share of every grid patch that the mask covers, float64 (rows, columns); off-slide counts as no tissue.

    The integral image of a mask that is constant within its pixels is bilinear between its nodes, so interpolating it
    at the grid lines gives exact areas at any ratio of patch to mask pixel.

    Args:
        mask: bool (h, w), pixel (0, 0) at the slide's corner.
        factor: level-0 pixels that a mask pixel spans in x and y.
        slide_size: width and height at level 0.
        size: side of a patch in level-0 pixels.
    """
    lows, parts, nodes = [], [], []
    for axis, (length, step) in enumerate(zip(slide_size[::-1], factor[::-1], strict=True)):
        lines = np.minimum(np.arange(-(-length // size) + 1) * size, length) / step
        lines = np.minimum(lines, mask.shape[axis])
        low = np.minimum(lines.astype(int), mask.shape[axis] - 1)
        lows.append(low)
        parts.append(np.expand_dims(lines - low, 1 - axis))
        nodes.append(np.unique([low, low + 1]))
    integral = _integral(mask, *nodes)
    for axis, (low, part) in enumerate(zip(lows, parts, strict=True)):
        at = np.searchsorted(nodes[axis], low)
        integral = integral.take(at, axis) * (1 - part) + integral.take(at + 1, axis) * part
    covered = np.diff(np.diff(integral, axis=0), axis=1)
    return np.clip(covered * factor[0] * factor[1] / size**2, 0, 1)


def _integral(mask: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The integral image of a mask at nodes in ascending order: int64 (rows, columns)."""
    found = np.empty((len(rows), len(columns)), np.int64)
    above = np.zeros(len(columns), np.int64)
    for top in range(0, len(mask), BAND):
        part = cv2.integral(mask[top : top + BAND].view(np.uint8))[:, columns] + above
        inside = (rows >= top) & (rows < top + len(part))
        found[inside], above = part[rows[inside] - top], part[-1]
    return found


def patch_grid(
    mask: np.ndarray,
    factor: tuple[float, float],
    slide_size: tuple[int, int],
    size: int,
    rule: str = "fraction",
    min_tissue: float = 0.5,
    name: str = "",
) -> Grid:
    """The patches of one size that are tissue, see patch_fractions for the first arguments; `name`: else the size.

    rule "fraction": at least `min_tissue` of the patch is tissue (of its whole area, also where it leaves the slide).
    rule "centre": the pixel at its centre is tissue (the study's rule).
    """
    fraction = patch_fractions(mask, factor, slide_size, size)
    if rule == "fraction":
        # An area that is the limit but for rounding passes.
        kept = fraction >= min_tissue - 1e-9
    else:
        rows, columns = ((np.arange(n) + 0.5) * size for n in fraction.shape)
        row, column = (rows / factor[1]).astype(int), (columns / factor[0]).astype(int)
        inside = (rows < slide_size[1])[:, None] & (columns < slide_size[0])
        kept = inside & mask[np.minimum(row, mask.shape[0] - 1)][:, np.minimum(column, mask.shape[1] - 1)]
    rows, columns = np.nonzero(kept)
    coords = np.column_stack([columns, rows]).astype(np.int64) * size
    return Grid(name or str(size), size, coords, fraction[rows, columns].astype(np.float32))


def thin(grid: Grid, limit: int, seed: int, sample: str) -> Grid:
    """At most `limit` patches (0: all), spread evenly over the tissue; each has the same chance to be taken.

    A systematic sample with a random start along the Z-order curve, which keeps neighbours together. The start comes
    from SHA-1 of "seed:sample:name", so that no other slide or size changes it.
    """
    count = len(grid.coords)
    if not limit or count <= limit:
        return grid
    cells = (grid.coords // grid.size).astype(np.uint64)
    key = np.zeros(count, np.uint64)
    for bit in range(int(cells.max()).bit_length()):
        for axis in (0, 1):
            key |= ((cells[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(2 * bit + axis)
    digest = hashlib.sha1(f"{seed}:{sample}:{grid.name}".encode()).digest()
    start = int.from_bytes(digest[:6], "big") / 2**48
    taken = np.argsort(key)[((np.arange(limit) + start) * count / limit).astype(int)]
    taken.sort()
    return Grid(grid.name, grid.size, grid.coords[taken], grid.fraction[taken])


def write_patches(path: Path, grid: Grid, attributes: dict[str, object], **per_patch: np.ndarray) -> None:
    """Write `<sample>_patches.h5`: coords, tissue_fraction and further (n,) datasets; attributes on `coords`."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        coords = file.create_dataset("coords", data=grid.coords)
        coords.attrs.update(attributes)
        file.create_dataset("tissue_fraction", data=grid.fraction)
        for name, values in per_patch.items():
            file.create_dataset(name, data=values)


def read_patches(path: Path) -> tuple[str, Grid, dict[str, object]]:
    """Sample, grid and attributes of a file of write_patches, or of one that TRIDENT wrote (no tissue fractions: NaN).

    Raises:
        DataError: the file is not such a file.
    """
    try:
        with h5py.File(path) as file:
            coords = file["coords"]
            attributes = dict(coords.attrs)
            size, sample = int(attributes["patch_size_level0"]), str(attributes["name"])
            name = str(attributes.get("size_name", size))
            xy = np.asarray(coords, np.int64).reshape(-1, 2)
            fraction = file["tissue_fraction"][:] if "tissue_fraction" in file else np.full(len(xy), np.nan, np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a patch file ({error}): give the <sample>_patches.h5 of segment_tissue") from None
    return sample, Grid(name, size, xy, fraction), attributes


def plan_reads(grids: Iterable[Grid]) -> list[Read]:
    """Reads of level 0 that hold every patch once, in a fixed order.

    Sizes of which each divides the next share their reads: super-blocks of BLOCK_PX, of which only the part with
    patches is read, and only cells of the next smaller size where patches are sparse. Other sizes are read apart.
    """
    chains: list[list[Grid]] = []
    for grid in sorted(grids, key=lambda grid: -grid.size):
        chain = next((chain for chain in chains if chain[-1].size % grid.size == 0), None)
        if chain is None:
            chains.append([grid])
        else:
            chain.append(grid)
    reads: list[Read] = []
    for chain in chains:
        largest = chain[0].size
        sides = [largest * max(1, BLOCK_PX // largest), *(grid.size for grid in chain)]
        size = np.concatenate([np.full(len(grid.coords), grid.size) for grid in chain])
        index = np.concatenate([np.arange(len(grid.coords)) for grid in chain])
        corner = np.concatenate([grid.coords.reshape(-1, 2) for grid in chain])
        reads += _split(corner, size, index, sides)
    return reads


def _split(corner: np.ndarray, size: np.ndarray, index: np.ndarray, sides: list[int]) -> Iterator[Read]:
    cells, cell = np.unique(corner[:, ::-1] // sides[0], axis=0, return_inverse=True)
    order = np.argsort(cell.ravel(), kind="stable")
    for members in np.split(order, np.searchsorted(cell.ravel()[order], np.arange(1, len(cells)))):
        if not len(members):
            continue
        xy, side = corner[members], size[members]
        (left, top), (right, bottom) = xy.min(axis=0), (xy + side[:, None]).max(axis=0)
        # Sizes nest, so patches of one size cover at least what the densest size covers.
        covered = max(int(np.square(side[side == one]).sum()) for one in np.unique(side))
        if len(sides) == 1 or covered >= SPARSE * (right - left) * (bottom - top):
            patches = sorted(zip(side.tolist(), index[members].tolist(), strict=True))
            yield Read(int(left), int(top), int(right - left), int(bottom - top), patches)
        else:
            yield from _split(xy, side, index[members], sides[1:])


def iter_blocks(
    slide: Slide,
    grids: Iterable[Grid],
    prepare: Callable[..., T] | None = None,
    threads: int = 1,
    survey: Callable[[np.ndarray, Read], Mapping[tuple[int, int], S]] | None = None,
) -> Iterator[tuple[int, int, np.ndarray | T | None]]:
    """Yield (side, index in its grid, uint8 RGB (side, side, 3)) of every patch, level 0 decoded once for all sizes.

    The order is fixed by the grids, whatever `threads`. A patch whose pixels stay unreadable comes as None. Without
    `prepare` the arrays are views into a block of up to 48 MiB: use or copy them before asking for more.

    Args:
        prepare: applied to each patch in the reader threads, resize_patch for example.
        threads: reader threads; half as many blocks are read ahead of the caller, at least one.
        survey: goes over each block once, in a reader thread; what it finds of a patch, by (side, index), `prepare`
            gets beside the patch.
    """
    grids = list(grids)
    coords = {grid.size: grid.coords for grid in grids}

    def load(read: Read) -> tuple[np.ndarray, Mapping[tuple[int, int], S]] | None:
        # Glass is laid on what leaves the slide: OpenSlide would give it as transparent pixels, which take far longer.
        w, h = min(read.w, slide.width - read.x), min(read.h, slide.height - read.y)
        try:
            block = slide.read(read.x, read.y, w, h)
        except TileError:
            return None
        if (w, h) != (read.w, read.h):
            glass = slide.background.tolist()
            block = cv2.copyMakeBorder(block, 0, read.h - h, 0, read.w - w, cv2.BORDER_CONSTANT, value=glass)
        return block, survey(block, read) if survey else {}

    def cut(read: Read, loading: Future, size: int, index: int) -> np.ndarray | T | None:
        x, y = (int(value) for value in coords[size][index])
        if not (loaded := loading.result()):
            read = Read(x, y, size, size, [(size, index)])
            if not (loaded := load(read)):
                return None
        block, found = loaded
        patch = block[y - read.y : y - read.y + size, x - read.x : x - read.x + size]
        if prepare is None:
            return patch
        return prepare(patch, found[size, index]) if survey else prepare(patch)

    def cut_all(read: Read, loading: Future, patches: list[tuple[int, int]]) -> list:
        return [(size, index, cut(read, loading, size, index)) for size, index in patches]

    def submit(pool: ThreadPoolExecutor) -> Iterator[Future]:
        ahead: deque[tuple[Read, Future]] = deque()
        reads = iter(plan_reads(grids))
        blocks = 1 + max(1, threads // 2)
        while True:
            # A block is asked for before any patch of it, so that no thread waits for one behind it in the queue.
            ahead.extend((read, pool.submit(load, read)) for read in islice(reads, blocks - len(ahead)))
            if not ahead:
                return
            read, loading = ahead.popleft()
            for start in range(0, len(read.patches), CHUNK):
                yield pool.submit(cut_all, read, loading, read.patches[start : start + CHUNK])

    pool = ThreadPoolExecutor(threads)
    try:
        chunks = submit(pool)
        waiting = deque(islice(chunks, 2 * threads))
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(islice(chunks, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def resize_patch(patch: np.ndarray, px: int = PATCH_PX, method: str = "area") -> np.ndarray:
    """Square uint8 RGB patch at px x px: uint8 (px, px, 3).

    method "area": mean of the area when shrinking, bicubic when enlarging. "bilinear": Pillow's, which is what the
    study's scipy.misc.imresize called.
    """
    if patch.shape[0] == px:
        return np.ascontiguousarray(patch)
    if method == "bilinear":
        return np.asarray(Image.fromarray(np.ascontiguousarray(patch)).resize((px, px), Image.Resampling.BILINEAR))
    shrink = patch.shape[0] > px
    return cv2.resize(patch, (px, px), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
