#!/usr/bin/env python3
"""Where a slide is tissue: pure functions on low-resolution pictures of whole slides (RGB uint8, (h, w, 3)).

Masks are bool (h, w). Two segmentations: `otsu_mask` is the one of the study that HistoGEx completes, `glass_mask`
measures how far a pixel is from the slide's own glass.
"""

import math
import uuid
from functools import partial, reduce
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np

from hx_artefacts import pen_mask
from hx_bands import Pieces, by_bands, large_pieces, value_counts

WHITE = np.array([255, 255, 255], np.uint8)
# Distance from glass, in grey levels, that parts tissue from glass: Otsu's threshold is kept inside this clamp. Uneven
# light and JPEG noise lie below it; above it the pale walls of fat cells would go.
CLAMP = (8.0, 20.0)
NOISE_SD = 5.0  # the lower end of the clamp rises to this many standard deviations of the glass
# Distance of the class means in pooled SD (Ashman's D). One mode that Otsu cuts in two gives 2.65 (normal) or 3.46
# (uniform).
BIMODAL = 4.0
THRESHOLD_PX = 1 << 22  # of a larger picture every so many rows tell the threshold
UNSCANNED = 10  # a pixel darker than this in every channel is painted black, not stained
GAP_UM = 16.0  # gaps up to twice this wide are closed: cracks, breaks in the walls of fat cells
HOLE_MM2 = 0.002  # smaller holes are filled: gaps between fibres, capillaries
FAT_CELL_MM2 = 0.03  # so are those up to a large fat cell (200 um across) that lie between thin walls
SPECK_MM2 = 0.02  # pieces of tissue below this area are dust and debris
STROKE_MM2 = 0.005  # smaller spots of ink colour are pigment or dark nuclei
STROKE_UM = 500.0  # tissue within this distance on both sides of ink: the ink lies on tissue


class Outline(NamedTuple):
    """A piece of tissue: closed rings of level-0 points, float (n, 2) with the last point equal to the first."""

    ring: np.ndarray
    holes: list[np.ndarray]
    pixels: int  # area of the piece in pixels of the mask


def glass_colour(picture: np.ndarray, opaque: np.ndarray) -> tuple[np.ndarray, str]:
    """Colour of the slide's own empty glass, and where it was seen.

    Tissue only takes light away, so glass is the brightest common brightness among bright, pale and smooth pixels.
    Saturated white counts only where no other glass is seen: scanners paint unscanned areas with it.

    Args:
        picture: RGB uint8 (h, w, 3).
        opaque: bool (h, w), False where the slide has no pixels.

    Returns:
        uint8 (3,) and "glass" (seen), "fill" (only saturated white was seen) or "assumed" (white: nothing was seen).
    """
    smooth = cv2.split(cv2.GaussianBlur(picture, (0, 0), 1.5))
    grey = reduce(partial(np.add, dtype=np.float32), smooth) / np.float32(3)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8))
    darkest, brightest = reduce(cv2.min, smooth), reduce(cv2.max, smooth)
    pale = (darkest >= 150) & (brightest - darkest <= 60)
    fill = reduce(cv2.min, cv2.split(picture)) >= 254
    near_fill = cv2.dilate(fill.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    candidates = opaque & pale & (slope < 2) & ~near_fill
    enough = max(1, 0.005 * opaque.sum())
    if candidates.sum() < enough:
        return WHITE, "fill" if (fill & opaque).sum() >= enough else "assumed"
    level = grey[candidates]
    counts = np.convolve(np.bincount(level.round().astype(int), minlength=256), np.ones(3), "same")
    peaks = (counts >= np.roll(counts, 1)) & (counts >= np.roll(counts, -1)) & (counts >= 0.25 * counts.max())
    near = np.abs(level - np.flatnonzero(peaks)[-1]) <= 3
    return np.median(picture[candidates][near], axis=0).round().astype(np.uint8), "glass"


def otsu_threshold(counts: np.ndarray) -> int:
    """Bin t for which {bins <= t} and {bins > t} have the largest between-class variance; the first of equals.

    Otsu N. (1979), A threshold selection method from gray-level histograms, eq. 18. 0 when one bin holds everything.
    """
    counts = np.asarray(counts, np.float64)
    weight = np.cumsum(counts)
    moment = np.cumsum(counts * np.arange(counts.size))
    total, mean = weight[-1], moment[-1] / weight[-1]
    spread = weight * (total - weight)
    between = np.divide((mean * weight - moment) ** 2, spread, out=np.zeros_like(spread), where=spread > 0)
    return int(np.argmax(between))


def otsu_mask(picture: np.ndarray) -> np.ndarray:
    """The study's segmentation: grey, Gaussian blur 51 x 51, Otsu over the whole picture, tissue below the threshold.

    As in the study's code, the weights of a BGR picture are applied to RGB, sigma is the one that OpenCV derives from
    the kernel (8.0), and the threshold itself is glass. A blank picture has no two classes and no tissue; apart from
    that the rule always finds some.
    """
    blurred = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (51, 51), 0)
    return blurred < otsu_threshold(value_counts(blurred))


def glass_distance(picture: np.ndarray, glass: np.ndarray) -> np.ndarray:
    """Light that a pixel lacks against the glass: Euclidean norm over the channels, float32 (h, w), 0..442.

    One-sided: what is brighter than the glass (unscanned white, glare) is at distance 0.
    """
    squares = np.square(np.maximum(np.float32(glass)[:, None] - np.arange(256, dtype=np.float32), 0))
    total = np.zeros(picture.shape[:2], np.float32)
    for channel, table in enumerate(squares):  # one plane at a time: pictures of whole slides are large
        total += cv2.LUT(cv2.extractChannel(picture, channel), table)
    return np.sqrt(total, out=total)


def glass_threshold(distance: np.ndarray, glass_seen: bool) -> float | None:
    """Distance above which a pixel is tissue; None when distances have one mode, that is when all of it is glass.

    Otsu on log(1 + distance), where glass and tissue weigh alike however dark the tissue, inside CLAMP. With no glass
    in the picture (`glass_seen` false) one mode means tissue everywhere, so that the test for two modes is left out.
    """
    logs = np.log1p(distance)
    width = np.log1p(442.0) / 256
    counts = value_counts((logs / width).astype(np.uint8))
    cut = float(np.expm1((otsu_threshold(counts) + 1) * width))
    low, high = CLAMP
    below = distance[distance <= cut]
    if below.size:
        centre = float(np.median(below))
        noise = 1.4826 * float(np.median(np.abs(below - centre)))
        low = min(max(low, centre + NOISE_SD * noise), high)
    cut = min(max(cut, low), high)
    above = distance > cut
    if not above.any():
        return None
    if glass_seen and not above.all():
        glass, tissue = logs[~above], logs[above]
        pooled = np.sqrt((glass.var() + tissue.var()) / 2)
        if tissue.mean() - glass.mean() < BIMODAL * pooled:
            return None
    return cut


def glass_mask(picture: np.ndarray, glass: np.ndarray, um: tuple[float, float], glass_seen: bool = True) -> np.ndarray:
    """Tissue by the colour distance from the slide's own glass; all False when there is none.

    Pale tissue stays, fat with its lumens too. Specks are dropped; tears and large vessels are holes, see `tidy`. A pen
    stroke is no tissue on glass, and stays where tissue lies on both sides of it.

    Args:
        picture: RGB uint8 (h, w, 3).
        glass: colour of the glass, see glass_colour.
        um: micrometres that a pixel of the picture spans in x and y.
        glass_seen: False where no glass is in the picture.
    """
    every = -(-math.prod(picture.shape[:2]) // THRESHOLD_PX)
    cut = glass_threshold(glass_distance(picture[::every], glass), glass_seen)
    if cut is None:
        return np.zeros(picture.shape[:2], bool)

    def stained(picture: np.ndarray, ink: np.ndarray) -> np.ndarray:
        lit = reduce(cv2.max, cv2.split(picture)) >= UNSCANNED
        return (glass_distance(picture, glass) > cut) & lit & ~ink

    def trimmed(picture: np.ndarray, above: np.ndarray, solid: np.ndarray) -> np.ndarray:
        # A pixel on the edge of solid tissue belongs to it when it lacks half the light of the darkest pixel beside it.
        beside, distance = np.ones((3, 3), np.uint8), glass_distance(picture, glass)
        edge = solid & (cv2.erode(above.view(np.uint8), beside) == 0)
        return above & (~edge | (distance >= 0.5 * cv2.dilate(distance, beside)))

    ink = large_pieces(pen_mask(picture, glass, um), STROKE_MM2 / (um[0] * um[1] * 1e-6), 8)
    ink = cv2.dilate(ink.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool)  # its soft edge
    mask = by_bands(stained, 0, picture, ink)
    solid = _solid(mask, um)
    mask = by_bands(trimmed, 1, picture, mask, solid)
    mask = tidy(mask, solid, um)
    if ink.any():
        mask |= ink & _closed(mask, np.ones([2 * round(STROKE_UM / side) + 1 for side in um[::-1]], np.uint8))
    return mask


def _disc(um: tuple[float, float]) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, tuple(2 * round(GAP_UM / side) + 1 for side in um))


def _solid(mask: np.ndarray, um: tuple[float, float]) -> np.ndarray:
    """The part of the mask that is wider than 2 GAP_UM: not the thin walls of fat cells, nor fibres."""
    disc = _disc(um)
    return by_bands(lambda part: _morphed(part, cv2.MORPH_OPEN, disc), len(disc) - 1, mask)


def _closed(mask: np.ndarray, element: np.ndarray) -> np.ndarray:
    # A closing at the border takes what lies outside for tissue unless there is a margin of glass.
    rows, columns = (side // 2 for side in element.shape)

    def closed(part: np.ndarray) -> np.ndarray:
        padded = np.pad(part, [(rows, rows), (columns, columns)])
        return _morphed(padded, cv2.MORPH_CLOSE, element)[rows:, columns:][: part.shape[0], : part.shape[1]]

    return by_bands(closed, 2 * rows, mask)


def _morphed(mask: np.ndarray, operation: int, element: np.ndarray) -> np.ndarray:
    return cv2.morphologyEx(mask.view(np.uint8), operation, element).view(bool)


def tidy(mask: np.ndarray, solid: np.ndarray, um: tuple[float, float]) -> np.ndarray:
    """Close gaps, drop specks, fill holes: every small one, and those of a fat cell's size where no solid tissue is.

    A hole of a fat cell's size in solid tissue is a tear or a vessel and stays; between thin walls it is a fat cell.
    """
    mm2 = um[0] * um[1] * 1e-6
    mask = large_pieces(_closed(large_pieces(mask, 4, 8), _disc(um)), SPECK_MM2 / mm2, 8)
    mask = ~large_pieces(~mask, HOLE_MM2 / mm2, 4)
    holes = Pieces(~mask, 4)
    around, dense = _rims(holes, mask, solid)
    cell = (holes.area < FAT_CELL_MM2 / mm2) & (dense < 0.5 * around)
    cell[0] = False
    mask |= holes.mask(cell)
    return mask


def _rims(holes: Pieces, mask: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Pixels of the mask around each hole, and how many of them are solid: int64 (2, count).

    A pixel between two holes is counted with the later one.
    """
    count, top = len(holes.area), 0
    around, dense = np.zeros((2, count), np.int64)
    outside = np.zeros((1, mask.shape[1]), np.float32)
    held = outside
    # cv2 dilates no int32; float32 holds up to 16 million holes exactly.
    for numbers in chain((numbers for _, numbers in holes.bands()), [outside]):
        held = np.concatenate([held, numbers.astype(np.float32)])
        rows = slice(top, top + len(held) - 2)
        near = cv2.dilate(held, np.ones((3, 3), np.uint8))[1:-1].astype(np.int32)
        rim = (near > 0) & mask[rows]
        around += np.bincount(near[rim], minlength=count)
        dense += np.bincount(near[rim & solid[rows]], minlength=count)
        top, held = rows.stop, held[-2:]
    return np.stack([around, dense])


def outlines(mask: np.ndarray, factor: tuple[float, float]) -> list[Outline]:
    """Pieces of the mask as polygons in level-0 pixels, from top to bottom; `factor` is level-0 pixels a mask pixel."""
    pieces = Pieces(mask, 8)
    numbers = pieces.numbers()
    scale = np.array(factor) / 2

    def level0(ring: np.ndarray) -> np.ndarray:
        points = cv2.approxPolyDP(ring, 1.0, True) if len(ring) > 8 else ring
        points = (points[:, 0] + 0.5) * scale
        return np.concatenate([points, points[:1]])

    found = []
    for i, (left, top, right, bottom) in enumerate(pieces.box[1:].tolist(), 1):
        # Twice the size: a ring runs through pixel centres, which would make a one-pixel piece a point.
        piece = (numbers[top:bottom, left:right] == i).view(np.uint8)
        piece = cv2.resize(piece, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        rings, tree = cv2.findContours(piece, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(2 * left, 2 * top))
        # The piece is one, its holes are the others.
        (outer,) = np.flatnonzero(tree[0, :, 3] < 0)
        holes, child = [], tree[0, outer, 2]
        while child >= 0:
            holes.append(level0(rings[child]))
            child = tree[0, child, 0]
        x, y = rings[outer][0, 0]
        found.append(((y, x), Outline(level0(rings[outer]), holes, int(pieces.area[i]))))
    return [outline for _, outline in sorted(found, key=lambda pair: pair[0])]


def geojson(sample: str, mask: np.ndarray, factor: tuple[float, float], pixel_mm2: float | None) -> dict[str, object]:
    """Outline for QuPath: a polygon a piece of tissue in level-0 pixels, holes as inner rings, ids that stay the same.

    `pixel_mm2` is the area of a level-0 pixel, None when not known.
    """
    features = []
    for i, piece in enumerate(outlines(mask, factor)):
        area = None if pixel_mm2 is None else round(piece.pixels * factor[0] * factor[1] * pixel_mm2, 6)
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{sample}:{i}")),
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [ring.round(1).tolist() for ring in (piece.ring, *piece.holes)],
                },
                "properties": {
                    "objectType": "annotation",
                    "name": f"tissue {i}",
                    "classification": {"name": "Tissue", "color": [0, 160, 0]},
                    "tissue_id": i,
                    "area_mm2": area,
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}
