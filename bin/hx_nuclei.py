#!/usr/bin/env python3
"""Nuclei in small tiles of a slide stained with haematoxylin and eosin, each tile by itself.

Haematoxylin takes red light and eosin hardly any: a nucleus is a peak of the smoothed red density, so that nuclei that
touch are told apart. One that a tile's edge cuts peaks in one tile alone. How much darker than its surroundings it must
be goes with them, so that pale nuclei in a pale slide are found; what it has more of green density tells it from dense
fibres, which are eosin's. Its outline is at half height between the surroundings and the darkest that is near, so that
a stronger stain makes no larger nucleus; area and eccentricity are those of outlines with one peak that no edge cuts.
Dark keratin and pigment count as nuclei.
"""

import cv2
import numpy as np

SMOOTH_UM, AROUND_UM = 1.2, 25.0  # SD of the smoothing; side of the square of the surroundings
NEAR_UM, APART_UM = 4.0, 1.5  # reach of a nucleus from its darkest point; reach of a peak
RED = 0.15  # red density of a nucleus at least
# What it has more than its surroundings: a share of theirs within bounds, the lower one above the grain of a scan.
ABOVE_SHARE, ABOVE_LEAST, ABOVE_MOST = 0.5, 0.07, 0.15
# Red over green density of what is added to the surroundings: .9 of haematoxylin, .07 to .25 of eosins (hx_artefacts).
RED_TO_GREEN = 0.35
NUCLEUS_UM2 = 8.0  # the least area
DENSITY = -np.log(np.maximum(np.arange(256), 1) / 255).astype(np.float32)  # of a share of the glass of 255
# Peaks in outlines; pixels of these and their densities; whole outlines with one peak, their areas and eccentricities.
NUCLEI = (
    *("peaks", "nuclear", "nuclear_red", "nuclear_green", "nuclear_blue"),
    *("whole", "whole_area", "whole_eccentricity"),
)


def nucleus_sums(pixels: np.ndarray, um: float, dark: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Counts and sums (n, NUCLEI) over the nuclei of each tile. A peak in the outermost pixels is not counted.

    Args:
        pixels: uint8 RGB (n, w, w, 3), shares of the glass of 255.
        um: micrometres a pixel.
        dark, peaks: see outlines_and_peaks.
    """
    n, w = pixels.shape[:2]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(dark.reshape(-1, w), connectivity=4)
    labels = labels.ravel()
    large = stats[:, cv2.CC_STAT_AREA] * um**2 >= NUCLEUS_UM2
    large[0] = False  # the background
    spots = cv2.connectedComponents(peaks.reshape(-1, w), connectivity=8)[1].ravel()
    at = np.flatnonzero(spots)
    at = at[np.unique(spots[at], return_index=True)[1]]  # equal neighbours are one peak
    at = at[large[labels[at]]]
    place = np.flatnonzero(dark)
    place = place[large[labels[place]]]
    tile, y, x = np.unravel_index(place, dark.shape)
    left, top, width, height, area = stats.T
    first_row = top % (w + 1)
    whole = large & (np.bincount(labels[at], minlength=count) == 1) & (left > 0) & (left + width < w)
    whole &= (first_row > 0) & (first_row + height < w)
    shape = _eccentricity(labels[place], x, y, count)[whole]
    weights = [None, *DENSITY[pixels[tile, y, x]].T]
    columns = [
        np.bincount(at // dark[0].size, minlength=n),
        *(np.bincount(tile, weight, n) for weight in weights),
        *(np.bincount((top // (w + 1))[whole], weight, n) for weight in (None, area[whole] * um**2, shape)),
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def outlines_and_peaks(pixels: np.ndarray, um: float) -> tuple[np.ndarray, np.ndarray]:
    """Outlines of nuclei and their peaks, uint8 (n, w + 1, w): an empty row between tiles keeps them apart.

    Args:
        pixels, um: see nucleus_sums.
    """
    n, w = pixels.shape[:2]
    reach = max(1, round(APART_UM / um))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    around, near = ((2 * round(length / um) + 1,) * 2 for length in (AROUND_UM / 2, NEAR_UM))
    square = np.ones(near, np.uint8)
    dark, peaks = np.zeros((2, n, w + 1, w), np.uint8)
    for i, tile in enumerate(pixels):
        red, green = (
            cv2.GaussianBlur(cv2.LUT(cv2.extractChannel(tile, channel), DENSITY), (0, 0), SMOOTH_UM / um)
            for channel in (0, 1)
        )
        ground, more_green = _ground(red, around), green - _ground(green, around)
        more = red - ground
        half = (cv2.dilate(red, square) - ground) / 2
        least = np.clip(ABOVE_SHARE * ground, ABOVE_LEAST, ABOVE_MOST)
        dark[i, :w] = (more > half) & (more > least) & (red > RED) & (more > RED_TO_GREEN * more_green)
        peaks[i, 1 : w - 1, 1 : w - 1] = (red >= cv2.dilate(red, disc))[1:-1, 1:-1]
    return dark, peaks & dark


def _ground(density: np.ndarray, around: tuple[int, int]) -> np.ndarray:
    """Density of the surroundings of each pixel: without what is above the mean, or nuclei would make their own."""
    return cv2.blur(np.minimum(density, cv2.blur(density, around)), around)


def _eccentricity(owner: np.ndarray, x: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """Eccentricity (count,) of the ellipse with the second moments of each component; a pixel is a square, not a point.

    Args:
        owner, x, y: component and place of each pixel of any.
        count: components.
    """
    pixels = np.maximum(np.bincount(owner, minlength=count), 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, values, count) / pixels

    dx, dy = x - mean(x)[owner], y - mean(y)[owner]
    xx, yy, xy = mean(dx * dx) + 1 / 12, mean(dy * dy) + 1 / 12, mean(dx * dy)
    root = np.hypot(xx - yy, 2 * xy)
    return np.sqrt(2 * root / (xx + yy + root))
