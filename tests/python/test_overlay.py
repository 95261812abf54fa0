"""hx_overlay: the thumbnail with its grid, figure 2 of the study, the contact sheet."""

import cv2
import numpy as np
import pytest

from hx_grid import Grid, patch_grid
from hx_overlay import (
    BLUE,
    EXAMPLE_GAP,
    EXAMPLE_PX,
    HEADING_PX,
    LABEL_PX,
    ExampleRow,
    bar_length,
    contact_sheet,
    draw_grid,
    figure_2,
    largest_piece,
    write_jpeg,
)
from hx_slide import NOMINAL_MPP, Overview, Slide
from hx_tissue import glass_mask

PINK = np.array([230, 120, 170], np.uint8)  # RGB
GLASS = np.array([240, 240, 242], np.uint8)
TOP = 44  # height of the band that holds the letters
SCALE = 0.4  # panel pixels a level-0 pixel: the picture below four times as large


def slide_with_hole(
    factor: float = 10.0, step: int = 1
) -> tuple[Overview, np.ndarray, tuple[float, float], list[Grid]]:
    """A slide of 6000 x 4000 px: a pink rectangle (1000..3000, 1000..3000) with a hole, and a smaller piece.

    The picture has 10 level-0 pixels a pixel, the mask `factor`; `step` thins the grid out.
    """
    picture = np.empty((400, 600, 3), np.uint8)
    picture[:] = GLASS
    mask = np.zeros((round(4000 / factor), round(6000 / factor)), bool)
    for by, values, on, off in ((10, picture, PINK, GLASS), (factor, mask, True, False)):
        for left, top, right, bottom, value in (
            (1000, 1000, 3000, 3000, on),
            (1800, 1800, 2200, 2200, off),
            (4000, 1000, 4500, 1500, on),
        ):
            values[round(top / by) : round(bottom / by), round(left / by) : round(right / by)] = value
    grids = [patch_grid(mask, (factor, factor), (6000, 4000), size) for size in (100, 200, 500)]
    return Overview(picture, (10.0, 10.0)), mask, (factor, factor), grids


def panels(figure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both panels of figure 2 without the band of letters above and the one of text below, and the gap between them."""
    width = (figure.shape[1] - 8) // 2
    assert (figure[:, width : width + 8] == 255).all()
    return figure[TOP:-40, :width], figure[TOP:-40, width + 8 :]


def dots(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Centres (x, y) of what is in B and not in A."""
    differs = (np.abs(first.astype(int) - second).max(axis=2) > 60).astype(np.uint8)
    count, _, _, centroids = cv2.connectedComponentsWithStats(differs)
    return centroids[1:count] + 0.5


@pytest.mark.parametrize("factor", [10.0, 40.0, 2.0])
def test_panel_a_is_tissue_on_black_in_reading_colours(factor):
    picture, mask, mask_factor, grids = slide_with_hole(factor)
    first, _ = panels(figure_2(picture, mask, mask_factor, grids, 0.5))
    side, scale = 864, SCALE  # 2000 px of tissue and a margin of 4 % on both sides
    assert first.shape == (side, side, 3)
    edge = max(4, round(1.5 * factor * scale))

    def panel(left, top, right, bottom, by):
        x0, y0, x1, y1 = (round((value - 920) * scale) for value in (left, top, right, bottom))
        return first[y0 + by : y1 - by, x0 + by : x1 - by]

    inside = panel(1000, 1000, 1800, 3000, edge)
    assert (np.abs(inside.astype(int) - PINK[::-1]) <= 1).all()
    assert not panel(1800, 1800, 2200, 2200, edge).any()
    assert not first[: round(80 * scale) - edge].any() and not first[:, -round(80 * scale) + edge :].any()


def test_panel_b_has_a_dot_at_the_centre_of_every_patch_shown():
    picture, mask, factor, grids = slide_with_hole()
    first, second = panels(figure_2(picture, mask, factor, grids, 0.5))
    found = dots(first, second)
    # The smallest size stands apart (40 panel pixels); patches of the other piece are outside.
    centres = grids[0].coords + 50.0
    centres = centres[centres[:, 0] < 3080]
    wanted = (centres - 920) * SCALE
    assert len(found) == len(wanted) == 20 * 20 - 16
    gaps = np.linalg.norm(found[:, None] - wanted[None], axis=2).min(axis=1)
    assert gaps.max() < 0.6
    at = tuple(np.round(wanted[0] - 0.5).astype(int)[::-1])
    assert tuple(second[at].tolist()) == BLUE


def test_sizes_whose_dots_would_touch_are_not_shown():
    picture, mask, factor, grids = slide_with_hole()
    tiny = patch_grid(mask, factor, (6000, 4000), 10)
    assert len(dots(*panels(figure_2(picture, mask, factor, [tiny, *grids], 0.5)))) == 20 * 20 - 16
    assert len(dots(*panels(figure_2(picture, mask, factor, [tiny, grids[2]], 0.5)))) == 16
    # Where there is no other, it is shown all the same.
    assert (np.not_equal(*panels(figure_2(picture, mask, factor, [tiny], 0.5)))).any()


def test_no_patches_no_dots():
    picture, mask, factor, _ = slide_with_hole()
    empty = Grid("4096", 4096, np.empty((0, 2), np.int64), np.empty(0, np.float32))
    first, second = panels(figure_2(picture, mask, factor, [empty], 0.5))
    assert (first == second).all()


def test_scale_bar_is_as_long_as_it_says():
    picture, mask, factor, grids = slide_with_hole()
    figure = figure_2(picture, mask, factor, grids, 0.5)
    band = figure[-22:-18, : figure.shape[1] // 2 - 4]
    bar = np.flatnonzero((band == 255).all(axis=(0, 2)))
    run = bar[: np.flatnonzero(np.diff(bar) > 1)[0] + 1] if (np.diff(bar) > 1).any() else bar
    # At most 0.3 of 1080 um: 200 um, that is 400 level-0 px.
    assert len(run) == round(400 * SCALE)
    without = figure_2(picture, mask, factor, grids, None)[-40:, : figure.shape[1] // 2 - 4]
    assert not without.any()


@pytest.mark.parametrize(("longest", "bar"), [(0.7, 0.5), (1, 1), (199, 100), (200, 200), (501, 500), (9999, 5000)])
def test_bar_lengths(longest, bar):
    assert bar_length(longest) == pytest.approx(bar)


def test_no_tissue_no_figure():
    picture, mask, factor, grids = slide_with_hole()
    assert figure_2(picture, np.zeros_like(mask), factor, grids, 0.5) is None
    assert largest_piece(np.zeros((5, 5), bool)) is None


def test_largest_piece_is_the_one_with_most_pixels():
    mask = np.zeros((20, 40), bool)
    mask[2:3, :30] = True  # long, 30 pixels
    mask[8:16, 31:39] = True  # 64 pixels
    assert largest_piece(mask) == (31, 8, 39, 16)


def test_tissue_at_the_slide_s_edge_and_narrow_tissue():
    picture, mask, factor, grids = slide_with_hole()
    mask[:] = False
    mask[:, :20] = True
    figure = figure_2(picture, mask, factor, grids, 0.5)
    first, _ = panels(figure)
    assert first.shape[:2] == (900, 300)  # room for the text
    height = round(160 / 4320 * 900)
    assert not first[: height - 8].any() and not first[-height + 8 :].any()  # off the slide there is no tissue
    assert first[450].any()


def test_a_tiny_piece_is_not_blown_up():
    picture, mask, factor, grids = slide_with_hole()
    mask[:] = False
    mask[100:110, 100:110] = True
    first, _ = panels(figure_2(picture, mask, factor, grids, 0.5))
    assert np.ptp(np.flatnonzero(first.any(axis=(1, 2)))) < 50  # 10 pixels, at most 4 times


def test_thumbnail_shows_the_grid_in_grey_and_outlines_in_green_and_blue():
    picture, mask, factor, grids = slide_with_hole()
    drawn = draw_grid(picture, mask, factor, grids)
    assert drawn.shape == picture.pixels.shape and drawn[20, 20].tolist() == GLASS[::-1].tolist()
    assert drawn[200, 100].tolist() == [0, 160, 0]
    assert drawn[200, 180].tolist() == [220, 60, 0]
    assert np.abs(drawn[130, 120].astype(int) - 90).max() < 3  # 200 px: those of 100 px would be too small to see
    assert drawn[130, 110].tolist() == PINK[::-1].tolist()
    assert (picture.pixels[200, 100] == PINK).all()  # the input is as it was


def test_contact_sheet_places_patches_and_labels():
    rng = np.random.default_rng(0)
    patches = [rng.integers(0, 250, (count, 1, 1, 3), dtype=np.uint8) for count in (8, 3)]
    rows = [
        ExampleRow("Brain_Cortex", "9 patches", np.broadcast_to(patches[0], (8, 299, 299, 3))),
        ExampleRow("Lung", "3 patches", np.broadcast_to(patches[1], (3, 96, 96, 3))),
    ]
    sheet = contact_sheet("Training patches of 256 px", rows)
    step = LABEL_PX + EXAMPLE_PX + EXAMPLE_GAP
    for i, (row, colours) in enumerate(zip(rows, patches, strict=True)):
        top = HEADING_PX + i * step
        for j, colour in enumerate(colours):
            left = EXAMPLE_GAP + j * (EXAMPLE_PX + EXAMPLE_GAP)
            tile = sheet[top + LABEL_PX : top + LABEL_PX + EXAMPLE_PX, left : left + EXAMPLE_PX]
            assert (tile == colour[0, 0, ::-1]).all()
        label = sheet[top : top + LABEL_PX]
        assert (label.min(axis=2) < 60).any() and len(row.patches) == len(colours)  # black text on white
        assert (label[:, -EXAMPLE_GAP:] == 255).all()
    assert (sheet[HEADING_PX + step + LABEL_PX :, EXAMPLE_GAP + 3 * (EXAMPLE_PX + EXAMPLE_GAP) :] == 255).all()
    assert contact_sheet("No patches", []).shape[1] == sheet.shape[1]


def test_the_same_picture_gives_the_same_bytes(tmp_path):
    picture, mask, factor, grids = slide_with_hole()
    for name in ("1.jpg", "2.jpg"):
        write_jpeg(tmp_path / name, figure_2(picture, mask, factor, grids, 0.5))
    assert (tmp_path / "1.jpg").read_bytes() == (tmp_path / "2.jpg").read_bytes()
    assert cv2.imread(str(tmp_path / "1.jpg")).shape == figure_2(picture, mask, factor, grids, 0.5).shape


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"])
def test_figure_of_real_slides(real_data, name):
    with Slide(real_data / "slides" / name) as slide:
        picture = slide.overview
        um = tuple(side * (slide.scale.x or NOMINAL_MPP) for side in picture.factor)
        mask = glass_mask(picture.pixels, slide.background, um)
        size = (slide.width, slide.height)
        grids = [patch_grid(mask, picture.factor, size, side) for side in (128, 256, 512)]
        figure = figure_2(slide.thumbnail(2800), mask, picture.factor, grids, slide.scale.x)
    first, second = panels(figure)
    shown = first.max(axis=2) > 20
    assert 0.3 < shown.mean() < 0.9
    # The mean tissue colour is that of the overview: nothing is swapped, darkened or displaced.
    drawn = first[shown].mean(axis=0)[::-1]
    assert np.abs(drawn - picture.pixels[mask].mean(axis=0)).max() < 6
    assert 0.8 * len(grids[0].coords) <= len(dots(first, second)) <= len(grids[0].coords)
