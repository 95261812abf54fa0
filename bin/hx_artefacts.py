#!/usr/bin/env python3
"""What is wrong with the tissue of a slide: ink, blur, folds; and how strongly it is stained and how sharp it is.

Pure functions on pictures, RGB uint8 (h, w, 3), of whole slides at about 8 micrometres a pixel (the overview), unless
said otherwise; `um` is micrometres a pixel in x and y, masks are bool (h, w). What is found is flagged; nothing here
takes a pixel out of the tissue. Densities are natural logarithms of glass over pixel unless said otherwise.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import chain

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hx_bands import BAND, by_bands, large_pieces

PEN_OD = 0.3  # ink takes away at least this density on the mean of the channels
RED_SHARE, BLUE_SHARE = 0.10, 0.70  # red ink: red density at most, blue density at least this share of the green one
RED_UM = 100.0  # a felt pen's line is wider, pools of blood that are so red and unbroken are mostly not

HALO = 9  # rows above and below on which a band of `sharpness_bands` depends: half the wider kernel
BLUR_RATIO = 0.65  # sharp tissue lies above, tissue blurred by one pixel of the finer picture (sigma) below
BLUR_UM = 64.0  # SD of the window over which bands are pooled
FLAT = 0.004  # contrast (density) below which there is nothing to judge by: colloid, a smear, white paint
BLUR_MM2 = 0.02  # smaller areas are chance

GRAIN_UM = 12.0  # SD of the smoothing over nuclei before densities are compared
SAMPLE_UM, REACH = 32.0, 10  # the local median is taken over 2 REACH + 1 samples a side: 0.67 mm
BLOCK = 4  # and at every BLOCKth sample, linear between
FOLD_DENSITY, FOLD_RIM = 1.6, 1.4  # a fold has this much of the local median density, and its rim that much
FOLD_HUE = 1.35  # red over green density stays within this factor: a fold doubles both
PALE = 0.8  # of the slide's median: the least that counts as local median, so that vessels in fat are no folds
FOLD_UM2, FOLD_CORE_UM2 = 5000.0, 3000.0  # least area of a fold, and of the part at FOLD_DENSITY
FOLD_GAP_UM = 48.0  # gaps up to this width are closed
FOLD_CORE = 0.3  # least share of that part
FOLD_HALO_UM = 750.0  # in a band of a large slide a fold is judged by what is this near
FOLD_LENGTH = 3.0  # length over width; a disc has 1.8 and a square 2.2 by the measure used

# Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291: densities of haematoxylin and eosin in red, green, blue.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])


def densities(picture: np.ndarray, glass: np.ndarray, least: float = -np.inf) -> np.ndarray:
    """Density against the glass: float32 (h, w, 3); negative where a pixel is brighter, but `least` at least."""
    of_value = -np.log(np.maximum(np.arange(256, dtype=np.float32), 1))
    of_glass = np.log(np.maximum(np.asarray(glass, np.float32), 1))
    return cv2.LUT(picture, np.maximum(of_value[:, None] + of_glass, np.float32(least))[None])


def pen_mask(picture: np.ndarray, glass: np.ndarray, um: tuple[float, float]) -> np.ndarray:
    """Pixels with the colour of ink: green, blue, black or red.

    Green and blue lack red light most, black has no hue: stains do neither, since haematoxylin and eosin both take away
    more green than red. Red ink takes blue and green but hardly any red; eosin leaves more blue, and blood as a rule
    takes more red. Blood that is redder can be told only by its gaps: what is narrower than RED_UM, or broken, is not
    called ink. Red ink over tissue takes the tissue's share of red too and is mostly not seen.
    """
    return by_bands(lambda part: _pen(part, glass, um), round(RED_UM / um[1]) + 2, picture)


def _pen(picture: np.ndarray, glass: np.ndarray, um: tuple[float, float]) -> np.ndarray:
    red, green, blue = cv2.split(densities(picture, glass))
    mean = (red + green + blue) / 3
    hue = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    coloured = (red > 1.15 * np.maximum(green, 0)) & (mean > PEN_OD)
    black = (hue < 0.25 * mean) & (mean > 4 * PEN_OD)
    scarlet = (red < RED_SHARE * green) & (blue > BLUE_SHARE * green) & (mean > PEN_OD)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, tuple(2 * round(RED_UM / 2 / side) + 1 for side in um))
    return coloured | black | (cv2.morphologyEx(scarlet.view(np.uint8), cv2.MORPH_OPEN, disc) > 0)


def sharpness_bands(strips: Iterable[np.ndarray], cell: int) -> np.ndarray:
    """Fine and coarse contrast of a picture of about 4 micrometres a pixel that comes in strips from top to bottom.

    Args:
        strips: RGB uint8 (rows, w, 3), of any heights; together they are the picture. Only one is held at a time.
        cell: side of the squares over which the bands are averaged, in pixels.

    Returns:
        float32 (ceil(h / cell), ceil(w / cell), 2): mean absolute density of the bands below 1 and from 1 to 3 pixels
        (SD of the Gaussians between which they lie). Their ratio does not depend on the strength of the stain.
    """
    found, held, above = [], None, 0
    for strip in chain(strips, [None]):
        if strip is not None:
            held = strip if held is None else np.concatenate([held, strip])
            ready = (len(held) - above - HALO) // cell * cell
        elif held is not None:
            ready = len(held) - above
        if held is not None and ready > 0:
            found.append(_bands(held, above, ready, cell))
            kept = max(0, above + ready - HALO)
            held, above = held[kept:], above + ready - kept
    return np.concatenate(found) if found else np.zeros((0, 0, 2), np.float32)


def _bands(held: np.ndarray, above: int, rows: int, cell: int) -> np.ndarray:
    # Sensor noise would rule the logarithm of what is nearly black.
    table = -np.log(np.maximum(np.arange(256, dtype=np.float32), 8))
    density = cv2.LUT(cv2.cvtColor(held, cv2.COLOR_RGB2GRAY), table)
    narrow = cv2.GaussianBlur(density, (7, 7), 1)
    wide = cv2.GaussianBlur(density, (2 * HALO + 1, 2 * HALO + 1), 3)
    bands = np.abs(cv2.merge([density - narrow, narrow - wide])[above : above + rows])
    height, width = (-(-side // cell) for side in bands.shape[:2])
    bands = cv2.copyMakeBorder(bands, 0, height * cell - rows, 0, width * cell - held.shape[1], cv2.BORDER_REPLICATE)
    return cv2.resize(bands, (width, height), interpolation=cv2.INTER_AREA)


def _pooled(values: np.ndarray, where: np.ndarray, sd_um: float, um: tuple[float, float]) -> np.ndarray:
    """Gaussian mean of (h, w, c) over the pixels `where`; 0 where none is near."""
    height, width = where.shape
    both = np.empty((height, width, values.shape[2] + 1), np.float32)
    both[..., -1] = where
    np.multiply(values, both[..., -1:], out=both[..., :-1])
    del values  # as large again
    # A wide window needs no fine picture: four pixels to its SD are plenty.
    step = max(1, int(sd_um / max(um) // 4))
    if step > 1:
        both = cv2.resize(both, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA)
    cv2.GaussianBlur(both, (0, 0), sd_um / um[0] / step, both, sd_um / um[1] / step)
    if step > 1:
        both = cv2.resize(both, (width, height), interpolation=cv2.INTER_LINEAR)
    both[..., :-1] /= np.maximum(both[..., -1:], 1e-4)
    return both[..., :-1]


def blur_mask(bands: np.ndarray, tissue: np.ndarray, um: tuple[float, float]) -> np.ndarray:
    """Tissue that is out of focus: fine contrast is small against coarse contrast.

    Blurring takes away the finest band first, whatever the stain or the tissue; sharp tissue has about as much contrast
    in one octave as in the next. At 4 micrometres a pixel, blur of 4 micrometres (SD) and more is seen, half of that is
    not. Tissue without contrast in either band is never called blurred.

    Args:
        bands: of `sharpness_bands` over the same slide.
        tissue: where to look, a pixel a pixel of `bands`.
        um: of a pixel of both.
    """

    def blurred_of(bands: np.ndarray, tissue: np.ndarray) -> np.ndarray:
        fine, coarse = cv2.split(_pooled(bands, tissue, BLUR_UM, um))
        return tissue & (fine < BLUR_RATIO * coarse) & (coarse > FLAT)

    blurred = by_bands(blurred_of, math.ceil(4 * BLUR_UM / um[1]) + 1, bands, tissue)  # cv2's kernel ends at 4 SD
    return large_pieces(blurred, BLUR_MM2 * 1e6 / (um[0] * um[1]), 8)


def _local_median(values: np.ndarray, tissue: np.ndarray, um: tuple[float, float]) -> np.ndarray:
    """Median of (h, w) over the tissue around each pixel; that of all tissue where there is none around."""
    y, x = (max(1, round(SAMPLE_UM / side)) for side in um[::-1])
    top, left = (min(step // 2, side - 1) for step, side in zip((y, x), tissue.shape, strict=True))
    sampled = np.where(tissue, values, np.nan)[top::y, left::x]
    height, width = (-(-side // (BLOCK * step)) for step, side in zip((y, x), tissue.shape, strict=True))
    # A window's centre is the middle of its block of BLOCK x BLOCK samples.
    before = REACH - BLOCK // 2
    after = [count * BLOCK - side + REACH for count, side in zip((height, width), sampled.shape, strict=True)]
    padded = np.pad(sampled, [(before, after[0]), (before, after[1])], constant_values=np.nan)
    windows = sliding_window_view(padded, (2 * REACH + 1, 2 * REACH + 1))[::BLOCK, ::BLOCK]
    medians = np.full((height, width), np.median(values[tissue]), np.float32)
    for line, row in zip(medians, windows, strict=False):
        ordered = np.sort(row.reshape(len(row), -1), axis=1)[:width]
        count = np.isfinite(ordered).sum(axis=1)
        middle = ordered[np.arange(width), np.maximum(count - 1, 0) // 2]
        line[count > 0] = middle[count > 0]
    large = cv2.resize(medians, (width * BLOCK * x, height * BLOCK * y), interpolation=cv2.INTER_LINEAR)
    return large[: tissue.shape[0], : tissue.shape[1]]


def fold_mask(picture: np.ndarray, tissue: np.ndarray, glass: np.ndarray, um: tuple[float, float]) -> np.ndarray:
    """Tissue that lies double: twice the density of the tissue around it, in the same hue, over a long area.

    That a fold is darker and more saturated than what is around it is the idea of Bautista & Yagi 2010 (J Pathol Inform
    1:25) and Kothari et al. 2013 (J Pathol Inform 4:22); here densities are compared with the local median, since two
    layers add up in density. Lymphoid tissue and nuclei differ in hue or are no long areas; a dark layer beside a pale
    one, such as keratin and thick epidermis beside dermis, looks like a fold and is flagged.
    """
    step = -(-len(tissue) // (2 * BAND))  # pixels enough for a median
    few = tissue[::step, ::step]
    total = _grain(picture[::step, ::step], few, glass, (um[0] * step, um[1] * step))[1][few]
    typical = float(np.median(total)) if len(total) else 0.0
    return by_bands(lambda *part: _fold(*part, glass, um, typical), round(FOLD_HALO_UM / um[1]), picture, tissue)


def _grain(
    picture: np.ndarray, tissue: np.ndarray, glass: np.ndarray, um: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Density of the tissue smoothed over nuclei, red and green, (h, w, 2), and its mean over all three channels."""
    density = _pooled(densities(picture, glass, 0), tissue, GRAIN_UM, um)
    return density[..., :2].copy(), density @ np.full(3, 1 / 3, np.float32)


def _fold(
    picture: np.ndarray, tissue: np.ndarray, glass: np.ndarray, um: tuple[float, float], typical: float
) -> np.ndarray:
    """Folds in a band of a slide whose median density is `typical`."""
    if not tissue.any():
        return tissue.copy()
    density, total = _grain(picture, tissue, glass, um)
    local = np.maximum(_local_median(total, tissue, um), PALE * typical)
    single = tissue & (total < FOLD_RIM * local)
    alike = _alike(density, _pooled(density, single, SAMPLE_UM * REACH / 2, um))
    rim = tissue & alike & (total > FOLD_RIM * local)
    core = rim & (total > FOLD_DENSITY * local)
    # Pale gaps, of lumens say, would make any area look thin.
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, tuple(2 * round(FOLD_GAP_UM / 2 / side) + 1 for side in um))
    rim = tissue & (cv2.morphologyEx(rim.view(np.uint8), cv2.MORPH_CLOSE, disc) > 0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rim.view(np.uint8), connectivity=8)
    deep = cv2.distanceTransform(np.pad(rim.view(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1] - 0.5
    labels, pixels = labels[rim], stats[:, cv2.CC_STAT_AREA]
    width = 4 * np.bincount(labels, deep[rim], count) / pixels  # a band's mean depth is a quarter of its width
    dark = np.bincount(labels, core[rim], count)
    area = um[0] * um[1]
    keep = (pixels * area >= FOLD_UM2) & (dark * area >= FOLD_CORE_UM2) & (dark >= FOLD_CORE * pixels)
    keep &= pixels >= FOLD_LENGTH * width**2
    rim[rim] = keep[labels]
    return rim


def _alike(density: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Where two densities, (h, w, 2), have one hue; the second is overwritten."""
    np.multiply(density[..., ::-1], around, out=around)
    green, red = around[..., 0], around[..., 1]
    return (red < FOLD_HUE * green) & (green < FOLD_HUE * red)


def artefact_masks(
    picture: np.ndarray, bands: np.ndarray, tissue: np.ndarray, glass: np.ndarray, um: tuple[float, float]
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and mask of pen, blur and fold on the overview, one after the other. Ink is no blur and no fold.

    Args:
        picture: overview, RGB uint8 (h, w, 3).
        bands: of `sharpness_bands`.
        tissue: bool (h, w). Ink is found on glass too, the others on tissue alone.
        glass: colour of the glass, see hx_tissue.glass_colour.
        um: micrometres that a pixel of the overview spans in x and y.
    """
    pen = pen_mask(picture, glass, um)
    rest = tissue & ~cv2.dilate(pen.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
    yield "pen", pen
    # At the resolution of the bands, which is fine enough for a window of BLUR_UM.
    h, w = bands.shape[:2]
    coarse = cv2.resize(rest.view(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST).view(bool)
    blur = blur_mask(bands, coarse, (um[0] * rest.shape[1] / w, um[1] * rest.shape[0] / h))
    blur = cv2.resize(blur.view(np.uint8), rest.shape[::-1], interpolation=cv2.INTER_NEAREST).view(bool)
    del bands, pen  # as large as the picture
    yield "blur", np.logical_and(blur, rest, out=blur)
    del blur
    yield "fold", fold_mask(picture, rest, glass, um)


def stain_means(counts: np.ndarray, glass: np.ndarray) -> dict[str, float]:
    """Mean optical density (base 10) of haematoxylin and eosin over the tissue, NaN where there is none.

    `counts` (3, 256): how often each value of red, green and blue is there in the tissue.

    Colour deconvolution with the fixed vectors of Ruifrok & Johnston 2001 against the slide's own glass; the third
    vector, at right angles to both, takes up what neither stain explains.
    """
    if not counts.any():
        return {"haematoxylin": np.nan, "eosin": np.nan}
    light = np.maximum(np.arange(256), 1)
    mean = np.array([count @ np.log10(max(i0, 1) / light) for count, i0 in zip(counts, glass, strict=True)])
    mean /= counts[0].sum()
    vectors = np.vstack([STAINS, np.cross(*STAINS)])
    amount = mean @ np.linalg.inv(vectors)
    return {"haematoxylin": float(amount[0]), "eosin": float(amount[1])}


def focus(pixels: np.ndarray) -> float:
    """Sharpness of level-0 pixels: variance of the Laplacian of the grey picture (Pech-Pacheco et al. 2000, LAPV)."""
    return float(cv2.Laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
