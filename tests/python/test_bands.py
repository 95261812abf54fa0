"""hx_bands: connected pieces joined over bands, work in bands, counts; memory of the work on an overview."""

import tracemalloc

import cv2
import numpy as np
import pytest
from slides_made import GLASS, ellipse, glass, stain

import hx_bands
import hx_tissue
from hx_artefacts import artefact_masks
from hx_bands import Pieces, by_bands, large_pieces, release_memory, value_counts
from hx_grid import patch_fractions
from hx_tissue import glass_mask, outlines

UM = (8.0, 8.0)


def masks(count: int) -> list[np.ndarray]:
    """Noise of every density, blots, and combs and spirals, whose parts meet late; of every size."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        height, width = rng.integers(1, 60, 2)
        noise = rng.random((height, width)) < rng.choice([0, 0.1, 0.4, 0.6, 0.9, 1])
        found += [noise, cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 2) > 0]
    comb = np.ones((40, 41), bool)
    comb[:-1, 1::2] = False
    spiral = np.zeros((41, 41), np.uint8)
    corners = [
        (20 + side * x, 20 + side * y) for side in range(2, 20, 4) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    cv2.polylines(spiral, [np.array(corners)], False, 1)
    return [*found, comb, comb[::-1], spiral > 0, np.indices((30, 30)).sum(axis=0) % 2 == 0]


@pytest.mark.parametrize("band", [2, 6, 16])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_pieces_are_those_of_the_whole_mask(monkeypatch, band, connectivity):
    """Oracle: cv2 on the whole mask, numbers included."""
    monkeypatch.setattr(hx_bands, "BAND", band)
    for mask in masks(40):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=connectivity)
        pieces = Pieces(mask, connectivity)
        np.testing.assert_array_equal(pieces.numbers(), labels)
        np.testing.assert_array_equal(np.concatenate([numbers for _, numbers in pieces.bands()]), labels)
        np.testing.assert_array_equal(pieces.area, stats[:, cv2.CC_STAT_AREA])
        left, top, width, height = stats[1:, :4].T
        np.testing.assert_array_equal(pieces.box[1:], np.column_stack([left, top, left + width, top + height]))
        keep = np.arange(count) % 2 == 1
        np.testing.assert_array_equal(pieces.mask(keep), keep[labels])


@pytest.mark.parametrize(("rows", "dtype"), [(2, np.uint16), (146, np.uint32), (1, np.uint8)])
def test_numbers_have_bytes_enough(rows, dtype):
    mask = np.zeros((2 * rows, 900), bool)
    mask[::2, : 900 if rows > 1 else 510 : 2] = True
    numbers = Pieces(mask, 8).numbers()
    assert numbers.dtype == dtype and numbers.max() == mask.sum() == len(np.unique(numbers)) - 1


def test_large_pieces():
    mask = np.zeros((9, 9), bool)
    mask[1:3, 1:3] = mask[3, 3] = mask[7, 7] = True
    assert large_pieces(mask, 5, 8).sum() == 5 and not large_pieces(mask, 5, 4).any()
    assert large_pieces(mask, 1, 4).sum() == 6


@pytest.mark.parametrize("height", [1, 100, 270, 271, 700])
def test_bands_give_what_the_whole_picture_gives(height):
    picture = np.random.default_rng(1).integers(0, 256, (height, 40), np.uint8)
    heights = []

    def bright(part):
        heights.append(len(part))
        return cv2.blur(part, (15, 15)) > 127

    np.testing.assert_array_equal(by_bands(bright, 7, picture), cv2.blur(picture, (15, 15)) > 127)
    assert max(heights) <= hx_bands.BAND + 2 * 7


def test_counts_of_values():
    rng = np.random.default_rng(2)
    picture, where = rng.integers(0, 200, (700, 50, 3), np.uint8), rng.random((700, 50)) < 0.3
    assert value_counts(picture[..., 1]).tolist() == [(picture[..., 1] == value).sum() for value in range(256)]
    assert value_counts(picture[..., 2], where).tolist() == np.bincount(picture[where][:, 2], minlength=256).tolist()
    assert not value_counts(picture[..., 0], np.zeros((700, 50), bool)).any()


def test_memory_can_be_released_anywhere(monkeypatch):
    release_memory()
    monkeypatch.setattr(hx_bands.ctypes, "CDLL", lambda name: object())
    release_memory()


def peak_a_pixel(work, small, large) -> float:
    """Bytes by which the peak of memory grows for each pixel more of a picture, its own not counted."""
    peaks = []
    for picture in (small, large):
        tracemalloc.start()
        work(*picture)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return (peaks[1] - peaks[0]) / (large[0].size - small[0].size) * 3


@pytest.fixture(scope="module")
def overviews():
    """Two overviews of one width, the second three times as high: picture, its tissue, its bands of sharpness."""
    found = []
    for height in (1200, 3600):
        where = ellipse(height, 900, (450, height / 2), (400, height * 0.45)) & ~ellipse(
            height, 900, (300, 500), (30, 30)
        )
        picture = stain(glass(height, 900), where).clip(0, 255).round().astype(np.uint8)
        found.append((picture, where, np.full((height // 2, 450, 2), 0.1, np.float32)))
    return found


def run_artefacts(picture, tissue, bands):
    for _ in artefact_masks(picture, bands, tissue, np.array(GLASS), UM):
        pass


# Measured 5.1, 3.2, 6.0 and 0.5 bytes; with the whole picture at a time 23, 5.2, 8.0 and 4.0. A mask has one byte a
# pixel. What cv2 takes for itself is not counted.
@pytest.mark.parametrize(
    ("most", "work"),
    [
        (8, lambda picture, tissue, bands: glass_mask(picture, np.array(GLASS), UM)),
        (4, run_artefacts),
        (7, lambda picture, tissue, bands: outlines(tissue, (16.0, 16.0))),
        (1, lambda picture, tissue, bands: patch_fractions(tissue, (16.0, 16.0), (14400, 57600), 128)),
    ],
    ids=["glass_mask", "artefact_masks", "outlines", "patch_fractions"],
)
def test_memory_hardly_grows_with_the_overview(overviews, monkeypatch, most, work):
    monkeypatch.setattr(hx_tissue, "THRESHOLD_PX", 1 << 16)  # of larger pictures no more is looked at
    assert peak_a_pixel(work, *overviews) <= most
