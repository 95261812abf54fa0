#!/usr/bin/env python3
"""Companions of patches from their pixels: stain, colour, empty space, sharpness, texture and nuclei.

A patch is cut into square tiles of about TILE_PX pixels, the same for all sizes that nest, and everything is measured
on a tile by itself: sizes share the work, and a patch has the same numbers whatever is read beside it. Tiles are
brought to about 1 micrometre a pixel, each channel as a share of the slide's own glass, and give counts and sums;
those of a patch are the sums over its tiles, of a large patch over an even sample of them. "Stained" pixels are those
that are not white.
"""

from typing import NamedTuple

import cv2
import numpy as np

from hx_artefacts import STAINS
from hx_companions import NAMES
from hx_nuclei import DENSITY, NUCLEI, nucleus_sums, outlines_and_peaks

TILE_PX = 128
TILES_A_SIDE = 8  # measured at most: a patch above 1,024 px would cost more than a network's look at it
WORK_UM = 1.0
COARSE = 4  # working pixels a side of a coarse one
CHUNK = 64  # tiles at a time, so that they stay in the processor's cache
WHITE = 0.9  # of the glass's luminance: what is brighter is empty
SPACE_CELLS = 4  # empty squares of so many coarse pixels a side are fat or a lumen: 16 um
LEVELS = 16  # grey levels of the co-occurrence matrices
RIM = np.ones((3, 3), np.uint8)  # of a nucleus, in working pixels: not cytoplasm yet
GREY = 0.5  # levels of 256: contrast below it is too little to tell sharp from blurred
# What stands for that which a patch does not have: the usual, so that lacking it says nothing of its size or colour.
PINK, TYPICAL_UM2, TYPICAL_ECCENTRICITY = -30.0, 25.0, 0.7

_UNMIX = np.linalg.inv(np.vstack([STAINS, np.cross(*STAINS)]))  # densities (…, 3) @ it: haematoxylin, eosin, rest
_STAINED = ("stained", "saturation", "luminance", "red_density", "green_density", "blue_density")
_OUTSIDE = ("outside", "red", "green", "blue")  # stained pixels outside nuclei
_SUMS = (*_STAINED, *_OUTSIDE, "space", "fine_edges", "coarse_edges", *NUCLEI)
_AT = {name: column for column, name in enumerate(_SUMS)}


class Tiling(NamedTuple):
    """A tile of `side` pixels of level 0 becomes one of `work` x `work` pixels of `um` micrometres."""

    side: int
    work: int
    um: float


def tiling(size: int, um: float) -> Tiling:
    """Tiles of a patch of `size` pixels of `um` micrometres: of that divisor of it which is nearest to TILE_PX."""
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    side = min(divisors, key=lambda d: max(d / TILE_PX, TILE_PX / d))
    work = COARSE * max(1, min(round(side * um / WORK_UM / COARSE), side // COARSE))
    return Tiling(side, work, side * um / work)


def measure_patches(
    block: np.ndarray, corners: np.ndarray, sides: np.ndarray, fractions: np.ndarray, glass: np.ndarray, um: float
) -> np.ndarray:
    """Companions float32 (n, 18), in the order of hx_companions.COMPANIONS, of patches within a block; all finite.

    Args:
        block: uint8 RGB (h, w, 3) of level 0.
        corners: int (n, 2), x and y of each patch in the block.
        sides: int (n,) in pixels.
        fractions: (n,) share of the patch that is tissue, as the mask has it.
        glass: RGB (3,) of the slide.
        um: micrometres a pixel of the block.
    """
    found = np.empty((len(corners), len(NAMES)), np.float32)
    tilings = {size: tiling(size, um) for size in np.unique(sides).tolist()}
    for one in sorted(set(tilings.values())):
        members = np.flatnonzero([tilings[size] == one for size in sides.tolist()])
        steps = [_steps(side, one.side) + corner for corner, side in zip(corners[members], sides[members], strict=True)]
        tiles, which = np.unique(np.concatenate(steps), axis=0, return_inverse=True)
        sums, pairs = _tile_sums(block, tiles, one, glass)
        ends = np.cumsum([len(step) for step in steps])
        for member, own in zip(members, np.split(which.ravel(), ends[:-1]), strict=True):
            total, counts = sums[own].sum(axis=0), pairs[own].sum(axis=0)
            found[member] = _companions(total, counts, len(own), one, float(fractions[member]))
    return found


def _steps(size: int, side: int) -> np.ndarray:
    """Corners, x and y, of the tiles of a patch that are measured: all, or TILES_A_SIDE each way at even steps.

    They hang on its size alone, so that a patch has the same numbers whatever is measured beside it.
    """
    count = size // side
    kept = (2 * np.arange(TILES_A_SIDE) + 1) * count // (2 * TILES_A_SIDE) if count > TILES_A_SIDE else np.arange(count)
    x, y = np.meshgrid(side * kept, side * kept)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _companions(total: np.ndarray, pairs: np.ndarray, tiles: int, tile: Tiling, fraction: float) -> list[float]:
    """Companions of a patch from the sums over its tiles and its pairs of grey levels (2, 256)."""
    of = dict(zip(_SUMS, total.tolist(), strict=True))
    pixels = tiles * tile.work**2
    stained = of["stained"] or 1.0
    haematoxylin, eosin, _ = total[[_AT[f"{name}_density"] for name in ("red", "green", "blue")]] / stained @ _UNMIX
    red, green, blue = (of[name] / (of["outside"] or 1.0) for name in ("red", "green", "blue"))
    space = of["space"] * COARSE**2 / pixels
    # Where nothing is finer than the coarse pixels, light rises evenly: half as much over half the distance.
    fine, coarse = of["fine_edges"] / pixels, of["coarse_edges"] / (pixels / 4)
    # Peaks are not looked for in the outermost pixels of a tile.
    inner = tiles * max(1, tile.work - 2) ** 2 * tile.um**2 / 1e6
    nuclear = of["nuclear"] or 1.0
    chromatin = total[[_AT[f"nuclear_{name}"] for name in ("red", "green", "blue")]] / nuclear @ _UNMIX
    return [
        haematoxylin,
        eosin,
        _hue(red, green, blue) if of["outside"] else PINK,
        of["saturation"] / stained / 255,
        of["luminance"] / stained / 255 if of["stained"] else 1.0,
        1 - of["stained"] / pixels,
        min(1.0, max(0.0, space - (1 - fraction))),
        fraction,
        (fine + GREY / 2) / (coarse + GREY),
        *_contrast_entropy(pairs[0]),
        *_contrast_entropy(pairs[1]),
        of["peaks"] / inner,
        of["nuclear"] / stained,
        of["whole_area"] / of["whole"] if of["whole"] else TYPICAL_UM2,
        of["whole_eccentricity"] / of["whole"] if of["whole"] else TYPICAL_ECCENTRICITY,
        chromatin[0] if of["nuclear"] else haematoxylin,
    ]


def _hue(red: float, green: float, blue: float) -> float:
    """Angle of the mean colour in degrees: 0 red, -60 magenta, -120 blue; from -210 to 150, which is green."""
    angle = np.degrees(np.arctan2(np.sqrt(3) / 2 * (green - blue), red - (green + blue) / 2))
    return float(angle if angle <= 150 else angle - 360)


def _contrast_entropy(pairs: np.ndarray) -> tuple[float, float]:
    """Contrast and entropy (bits) of counted pairs of grey levels (256,) (Haralick et al. 1973, f2 and f9)."""
    counts = pairs.reshape(LEVELS, LEVELS)
    share = (counts + counts.T) / max(2 * counts.sum(), 1)
    level = np.arange(LEVELS)
    some = share[share > 0]
    return float((share * (level[:, None] - level) ** 2).sum()), float((some * -np.log2(some)).sum())


def _tile_sums(block: np.ndarray, tiles: np.ndarray, tile: Tiling, glass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums (n, _SUMS) and pairs of grey levels (n, 2, 256), of tiles with their corners (n, 2) in the block."""
    shares = np.arange(256)[:, None] * 255 / np.maximum(np.asarray(glass, float), 1)
    lut = np.clip(np.round(shares), 0, 255).astype(np.uint8)[None]
    sums, pairs = np.zeros((len(tiles), len(_SUMS))), np.zeros((len(tiles), 2, LEVELS**2))
    for start in range(0, len(tiles), CHUNK):
        part = slice(start, start + CHUNK)
        pixels = np.empty((len(tiles[part]), tile.work, tile.work, 3), np.uint8)
        for out, (x, y) in zip(pixels, tiles[part].tolist(), strict=True):
            cut = block[y : y + tile.side, x : x + tile.side]
            cv2.resize(cut, (tile.work, tile.work), dst=out, interpolation=cv2.INTER_AREA)
        cv2.LUT(pixels.reshape(-1, tile.work, 3), lut, dst=pixels.reshape(-1, tile.work, 3))
        dark, peaks = outlines_and_peaks(pixels, tile.um)
        _sum_colours(pixels, dark, sums[part])
        _sum_structure(pixels, sums[part], pairs[part])
        sums[part, -len(NUCLEI) :] = nucleus_sums(pixels, tile.um, dark, peaks)
    return sums, pairs


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Luminance, uint8 (n, w, w)."""
    n, w = pixels.shape[:2]
    return cv2.cvtColor(pixels.reshape(n * w, w, 3), cv2.COLOR_RGB2GRAY).reshape(n, w, w)


def _sum_colours(pixels: np.ndarray, dark: np.ndarray, sums: np.ndarray) -> None:
    """Sums of the stained pixels, and of those outside nuclei and their blurred rims."""
    n, w = pixels.shape[:2]
    tall = pixels.reshape(n * w, w, 3)
    grey = _grey(pixels)
    saturation = cv2.cvtColor(tall, cv2.COLOR_RGB2HSV).reshape(n, w, w, 3)[..., 1]
    density = cv2.LUT(tall, DENSITY).reshape(n, w, w, 3)
    stained = cv2.compare(grey.reshape(n * w, w), WHITE * 255, cv2.CMP_LT).reshape(n, w, w)
    for i, mask in enumerate(stained):
        count, extinction = cv2.countNonZero(mask), cv2.mean(density[i], mask)[:3]
        rest = cv2.mean(cv2.merge([saturation[i], grey[i]]), mask)[:2]
        mask[cv2.dilate(dark[i, :w], RIM) > 0] = 0
        outside, colour = cv2.countNonZero(mask), cv2.mean(pixels[i], mask)[:3]
        sums[i, : len(_STAINED)] = (count, *(count * mean for mean in (*rest, *extinction)))
        sums[i, len(_STAINED) : len(_STAINED) + len(_OUTSIDE)] = (outside, *(outside * mean for mean in colour))


def _sum_structure(pixels: np.ndarray, sums: np.ndarray, pairs: np.ndarray) -> None:
    w = pixels.shape[1]
    grey = _grey(pixels)
    half = _pooled(grey.astype(np.uint16))
    quarter = _pooled(half)  # sums of COARSE x COARSE pixels
    sums[:, _AT["fine_edges"]] = _edges(grey.astype(np.int32))
    sums[:, _AT["coarse_edges"]] = _edges(half.astype(np.int32)) / 4
    empty = quarter >= WHITE * 255 * COARSE**2
    sums[:, _AT["space"]] = _opened(empty, min(SPACE_CELLS, w // COARSE)).sum(axis=(1, 2))
    for scale, levels in enumerate((grey // LEVELS, (quarter // (LEVELS * COARSE**2)).astype(np.uint8))):
        codes = _pair_codes(levels)
        for i, row in enumerate(codes):
            pairs[i, scale] = cv2.calcHist([row], [0], None, [256], [0, 256]).ravel()


def _pooled(values: np.ndarray) -> np.ndarray:
    """Sums of 2 x 2, (n, w, w) -> (n, w / 2, w / 2)."""
    rows = values[:, ::2] + values[:, 1::2]
    return rows[:, :, ::2] + rows[:, :, 1::2]


def _edges(values: np.ndarray) -> np.ndarray:
    """Sum of absolute differences within the pairs of neighbours that make squares of 2 x 2: (n,)."""
    across, down = values[:, :, ::2] - values[:, :, 1::2], values[:, ::2] - values[:, 1::2]
    return np.abs(across).sum(axis=(1, 2)) + np.abs(down).sum(axis=(1, 2))


def _opened(empty: np.ndarray, side: int) -> np.ndarray:
    """What whole squares of side x side within bool (n, h, h) cover."""
    length = empty.shape[1] - side + 1
    fits = np.ones((len(empty), length, length), bool)
    shifts = [(slice(y, y + length), slice(x, x + length)) for y in range(side) for x in range(side)]
    for rows, columns in shifts:
        fits &= empty[:, rows, columns]
    covered = np.zeros_like(empty)
    for rows, columns in shifts:
        covered[:, rows, columns] |= fits
    return covered


def _pair_codes(levels: np.ndarray) -> np.ndarray:
    """Each pair of neighbours in the four directions as LEVELS * first + second: uint8 (n, pairs)."""
    high = levels * np.uint8(LEVELS)
    parts = (
        high[:, :, :-1] | levels[:, :, 1:],
        high[:, :-1] | levels[:, 1:],
        high[:, :-1, :-1] | levels[:, 1:, 1:],
        high[:, :-1, 1:] | levels[:, 1:, :-1],
    )
    return np.concatenate([part.reshape(len(levels), -1) for part in parts], axis=1)
