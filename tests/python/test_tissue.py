"""hx_tissue: glass colour, the two segmentations, outlines."""

import cv2
import numpy as np
import pytest
from slides_made import GLASS, ellipse, fat, glass, stain

from hx_grid import patch_fractions
from hx_slide import Slide
from hx_tissue import (
    CLAMP,
    geojson,
    glass_colour,
    glass_distance,
    glass_mask,
    glass_threshold,
    otsu_mask,
    otsu_threshold,
    outlines,
)

UM = (8.0, 8.0)
BLANKS = {"neutral": GLASS, "pink": (246, 228, 236), "yellow": (245, 240, 214), "grey": (200, 200, 201)}


def low(picture: np.ndarray, factor: int = 16) -> np.ndarray:
    """A drawn level-0 picture as the overview would show it."""
    size = (picture.shape[1] // factor, picture.shape[0] // factor)
    small = cv2.resize(np.clip(picture, 0, 255), size, interpolation=cv2.INTER_AREA)
    return small.round().astype(np.uint8)


def segment(picture: np.ndarray) -> np.ndarray:
    """glass_mask of an overview at 8 um a pixel."""
    colour, source = glass_colour(picture, np.ones(picture.shape[:2], bool))
    return glass_mask(picture, colour, UM, source != "assumed")


def overlap(mask: np.ndarray, truth: np.ndarray, factor: int = 16) -> float:
    """Intersection over union at level 0."""
    large = np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1)
    return (large & truth).sum() / (large | truth).sum()


@pytest.mark.parametrize("name", BLANKS)
@pytest.mark.parametrize("noise", [0, 2, 6])
def test_blank_glass_has_no_tissue(tmp_path, name, noise):
    """Every level carries its own JPEG noise: `low` would average it away."""
    picture = glass(1024, 1024, BLANKS[name], noise)
    decoded = cv2.imdecode(cv2.imencode(".jpg", picture.clip(0, 255).astype(np.uint8))[1], cv2.IMREAD_COLOR)
    colour, source = glass_colour(decoded, np.ones((1024, 1024), bool))
    assert source == "glass" and np.abs(colour.astype(int) - BLANKS[name]).max() <= 2
    assert not glass_mask(decoded, colour, UM).any()


def test_saturated_glass_has_no_tissue():
    white = np.full((256, 256, 3), 255, np.uint8)
    colour, source = glass_colour(white, np.ones((256, 256), bool))
    assert colour.tolist() == [255, 255, 255] and source == "fill"
    assert not glass_mask(white, colour, UM).any()


def test_unscanned_white_is_not_taken_for_the_glass():
    truth = ellipse(2048, 2048, (1000, 1100), (600, 600))
    picture = low(stain(glass(2048, 2048, (236, 234, 237)), truth))
    picture[:30] = 255
    picture[:, :20] = 255
    colour, source = glass_colour(picture, np.ones(picture.shape[:2], bool))
    assert np.abs(colour.astype(int) - (236, 234, 237)).max() <= 2 and source == "glass"
    assert overlap(segment(picture), truth) > 0.97


def test_glass_is_the_brightest_of_the_common_pale_colours():
    # smooth pale tissue (colloid, cartilage) over twice the area of the glass
    picture = glass(200, 300, noise=1).clip(0, 255).astype(np.uint8)
    picture[:, 100:] = (225, 190, 212)
    assert np.abs(glass_colour(picture, np.ones((200, 300), bool))[0].astype(int) - GLASS).max() <= 2


def test_transparent_pixels_do_not_count_for_the_glass():
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[:100] = (230, 228, 231)
    picture[100:] = 250
    opaque = np.zeros((200, 200), bool)
    opaque[:100] = True
    assert glass_colour(picture, opaque)[0].tolist() == [230, 228, 231]


def test_glass_distance_is_the_missing_light():
    picture = np.array([[[240, 240, 240], [237, 236, 240], [255, 255, 255], [0, 0, 0]]], np.uint8)
    distance = glass_distance(picture, np.array([240, 240, 240]))
    np.testing.assert_allclose(distance, [[0, 5, 0, 240 * np.sqrt(3)]], rtol=1e-6)


def test_otsu_threshold_is_opencvs():
    rng = np.random.default_rng(0)
    for seed in range(20):
        values = np.concatenate([rng.normal(60 + seed, 20, 500), rng.normal(200 - seed, 10, 100 + 90 * seed)])
        grey = values.clip(0, 255).astype(np.uint8).reshape(1, -1)
        expected, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)
        assert otsu_threshold(np.bincount(grey.ravel(), minlength=256)) == expected
    assert otsu_threshold(np.bincount([7] * 5, minlength=256)) == 0


def test_otsu_mask_is_the_studys_recipe():
    truth = ellipse(1600, 1600, (800, 800), (500, 500))
    picture = low(stain(glass(1600, 1600), truth), 8)
    grey = picture @ np.array([0.114, 0.587, 0.299])  # the weights of blue, green, red on red, green, blue
    blurred = cv2.GaussianBlur(grey, (51, 51), 8.0)
    cut, _ = cv2.threshold(blurred.round().astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    expected = blurred.round() < cut
    assert (otsu_mask(picture) != expected).mean() < 0.002  # rounding of grey before the blur
    assert overlap(otsu_mask(picture), truth, 8) > 0.9
    assert not otsu_mask(np.full((60, 60, 3), 240, np.uint8)).any()


@pytest.mark.parametrize("noise", [1, 6])
def test_tissue_is_found_to_its_edge(noise):
    truth = ellipse(2048, 2048, (1000, 1100), (500, 700))
    assert overlap(segment(low(stain(glass(2048, 2048, noise=noise), truth))), truth) > 0.97


@pytest.mark.parametrize("name", BLANKS)
def test_tissue_is_found_on_any_glass(name):
    truth = ellipse(1536, 1536, (760, 700), (500, 550))
    assert overlap(segment(low(stain(glass(1536, 1536, BLANKS[name]), truth))), truth) > 0.96


@pytest.mark.parametrize("radius", [80, 200])
def test_a_small_piece_on_a_large_slide_is_found(radius):
    truth = ellipse(3072, 3072, (2000, 1000), (radius * 1.5, radius))
    mask = segment(low(stain(glass(3072, 3072), truth)))
    assert mask.any() == (radius == 200)  # 0.009 mm2 is a speck, 0.05 mm2 a biopsy
    assert not mask.any() or overlap(mask, truth) > 0.9


def test_tissue_that_touches_the_border_stays_at_the_border():
    truth = ellipse(2048, 2048, (500, 1800), (700, 800))
    mask = segment(low(stain(glass(2048, 2048), truth)))
    assert overlap(mask, truth) > 0.97 and mask[-1, :50].all() and mask[-30:, 0].all()


def test_a_slide_that_is_all_tissue():
    picture = low(stain(glass(1024, 1024), np.ones((1024, 1024), bool)))
    assert glass_colour(picture, np.ones((64, 64), bool))[1] == "assumed"
    assert segment(picture).all()


def test_black_paint_is_not_tissue():
    truth = ellipse(1536, 1536, (900, 800), (400, 500))
    picture = low(stain(glass(1536, 1536), truth))
    picture[:20] = 3
    assert overlap(segment(picture), truth) > 0.95


@pytest.mark.parametrize("cell_px", [120, 160, 240])
def test_fat_is_kept_with_its_lumens(cell_px):
    side = 1792
    truth = ellipse(side, side, (900, 900), (800, 750))
    mask = segment(low(fat(glass(side, side), truth, cell_px)))
    inner = ellipse(side, side, (900, 900), (800 - cell_px, 750 - cell_px))  # cells at the rim may be open
    large = np.repeat(np.repeat(mask, 16, axis=0), 16, axis=1)
    assert large[inner].mean() > 0.99
    kept = patch_fractions(mask, (16, 16), (side, side), 128) >= 0.5
    fatty = patch_fractions(truth, (1, 1), (side, side), 128)
    assert kept[fatty > 0.55].mean() > 0.98 and not kept[fatty < 0.4].any()


def test_pale_fat_beside_dark_tissue_is_kept():
    dark, pale = ellipse(2048, 2048, (500, 1000), (400, 800)), ellipse(2048, 2048, (1300, 1000), (600, 600))
    mask = segment(low(stain(fat(glass(2048, 2048), pale, 140, 9), dark)))
    large = np.repeat(np.repeat(mask, 16, axis=0), 16, axis=1)
    assert large[ellipse(2048, 2048, (1300, 1000), (450, 450))].mean() > 0.97


def test_a_tear_stays_a_hole_and_a_capillary_does_not():
    truth = ellipse(2048, 2048, (1000, 1000), (900, 900))
    tear, capillary = ellipse(2048, 2048, (800, 900), (150, 120)), ellipse(2048, 2048, (1400, 1000), (40, 40))
    mask = segment(low(stain(glass(2048, 2048), truth & ~tear & ~capillary)))
    assert not mask[900 // 16, 800 // 16] and mask[1000 // 16, 1400 // 16]
    assert overlap(mask, truth & ~tear) > 0.97


def test_one_mode_is_no_tissue_and_two_are():
    rng = np.random.default_rng(1)
    shape = (400, 400)
    for distance in (rng.uniform(0, 30, shape), np.abs(rng.normal(12, 4, shape)), rng.exponential(6, shape)):
        assert glass_threshold(distance.astype(np.float32), True) is None
    two = np.abs(rng.normal(2, 1, shape)).astype(np.float32)
    two[:40, :40] = rng.normal(90, 25, (40, 40)).clip(30)  # 1 % of the slide
    assert CLAMP[0] <= glass_threshold(two, True) <= CLAMP[1]
    assert glass_threshold(np.full(shape, 100, np.float32), False) == CLAMP[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (16, 16)])
def test_tiny_pictures(shape):
    for value in (0, 128, 250):
        picture = np.full((*shape, 3), value, np.uint8)
        assert segment(picture).shape == shape and not otsu_mask(picture).any()


@pytest.mark.parametrize(
    ("ink", "width"),
    [((30, 60, 160), 150), ((60, 80, 160), 150), ((40, 140, 80), 150), ((35, 35, 40), 150), ((220, 40, 50), 250)],
)
def test_a_pen_stroke_is_tissue_only_where_it_lies_on_tissue(ink, width):
    truth = ellipse(2048, 2048, (1000, 1100), (600, 700))
    picture = stain(glass(2048, 2048), truth)
    picture[100 : 100 + width, 200:1800] = ink
    picture[1000 : 1000 + width, 900:2000] = ink
    mask = segment(low(picture))
    assert overlap(mask, truth) > 0.96
    assert not mask[7 : (100 + width) // 16, 14:110].any() and mask[64:71, 60:92].all()


def test_outlines_have_the_area_and_the_holes_of_the_mask():
    mask = ellipse(300, 400, (120, 150), (100, 120)) & ~ellipse(300, 400, (100, 150), (30, 40))
    mask |= ellipse(300, 400, (320, 70), (50, 50))
    pieces = outlines(mask, (4.0, 2.0))
    assert [len(piece.holes) for piece in pieces] == [0, 1]  # from top to bottom
    assert sum(piece.pixels for piece in pieces) == mask.sum()
    for piece in pieces:
        assert all((ring[0] == ring[-1]).all() and len(ring) >= 4 for ring in (piece.ring, *piece.holes))
        area = cv2.contourArea(piece.ring.astype(np.float32))
        area -= sum(cv2.contourArea(hole.astype(np.float32)) for hole in piece.holes)
        assert area == pytest.approx(piece.pixels * 8, rel=0.03)
    lowest = pieces[1].ring.max(axis=0)
    np.testing.assert_allclose(lowest, [220 * 4, 270 * 2], atol=5)


def test_outline_of_one_pixel_is_a_polygon():
    mask = np.zeros((5, 5), bool)
    mask[2, 3] = True
    (piece,) = outlines(mask, (16.0, 16.0))
    assert piece.pixels == 1 and cv2.contourArea(piece.ring.astype(np.float32)) > 0
    assert (piece.ring >= (48, 32)).all() and (piece.ring <= (64, 48)).all()
    assert outlines(np.zeros((5, 5), bool), (16.0, 16.0)) == []


def test_geojson_is_what_qupath_reads():
    mask = ellipse(100, 100, (50, 50), (40, 30)) & ~ellipse(100, 100, (50, 50), (10, 10))
    content = geojson("S1", mask, (16.0, 16.0), 0.25e-6)
    assert content["type"] == "FeatureCollection" and "crs" not in content
    (feature,) = content["features"]
    assert feature["geometry"]["type"] == "Polygon" and len(feature["geometry"]["coordinates"]) == 2
    assert all(ring[0] == ring[-1] for ring in feature["geometry"]["coordinates"])
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["classification"] == {"name": "Tissue", "color": [0, 160, 0]}
    assert feature["properties"]["area_mm2"] == pytest.approx(mask.sum() * 256 * 0.25e-6, abs=1e-6)
    assert geojson("S1", mask, (16.0, 16.0), None)["features"][0]["properties"]["area_mm2"] is None
    assert geojson("S1", mask, (16.0, 16.0), None)["features"][0]["id"] == feature["id"]
    assert geojson("S2", mask, (16.0, 16.0), None)["features"][0]["id"] != feature["id"]


def test_real_slides(real_data):
    with Slide(real_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        picture = slide.overview
        mask = glass_mask(picture.pixels, slide.background, tuple(side * 0.499 for side in picture.factor))
        assert 0.36 < mask.mean() < 0.42
        assert mask[2000 // 16, 1000 // 16] and not mask[1500 // 16, 200 // 16]
        assert not mask[100 // 16, 15 // 16]  # debris in the corner
    with Slide(real_data / "slides" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        picture = slide.overview
        mask = glass_mask(picture.pixels, slide.background, UM)
        assert 0.60 < mask.mean() < 0.65
        assert not mask[:3, :20].any() and not mask[500 // 16, 600 // 16]  # white fill, glass
        column, row = (int(at / side) for at, side in zip((2820, 2040), picture.factor, strict=True))
        assert not mask[row, column]  # the tear
