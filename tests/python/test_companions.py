"""Companions of patches: each against a truth that was drawn or a count by hand, and the same whatever is around."""

import colorsys

import cv2
import numpy as np
import pytest

from hx_artefacts import STAINS
from hx_companion_pixels import PINK, TYPICAL_ECCENTRICITY, TYPICAL_UM2, measure_patches, tiling
from hx_companions import COMPANIONS, GROUPS, NAMES, ORIGIN, VERSION, feature_labels
from hx_draw import GLASS, SlideSpec, draw_slide
from hx_features import Origin

WHITE = np.array([255, 255, 255])


def measure(picture: np.ndarray, fraction: float = 1.0, um: float = 1.0, glass: np.ndarray = WHITE) -> dict[str, float]:
    """Companions of a whole square picture, one patch."""
    one = np.ones(1, int)
    found = measure_patches(picture, np.zeros((1, 2), int), len(picture) * one, fraction * one, glass, um)
    return dict(zip(NAMES, found[0].tolist(), strict=True))


def flat(colour: tuple[int, int, int], side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), colour, np.uint8)


def test_the_table():
    assert len(set(NAMES)) == len(NAMES) == 18 and {one.group for one in COMPANIONS} == set(GROUPS)
    labels = feature_labels(ORIGIN, len(NAMES))
    assert labels[NAMES.index("nuclei")] == "nuclei (per mm2)" and labels[NAMES.index("eosin")] == "eosin density"
    assert all(labels) and len(set(labels)) == len(labels)
    assert feature_labels(Origin("raw"), 3) == ["", "", ""]
    assert set(feature_labels(Origin("texture", weights_sha256="of another version"), len(NAMES))) == {""}


@pytest.mark.parametrize(
    ("size", "um", "expected"),
    [
        (128, 0.5, (128, 64, 1.0)),
        (4096, 0.5, (128, 64, 1.0)),
        (4096, 0.25, (128, 32, 1.0)),
        (257, 0.499, (257, 128, 257 * 0.499 / 128)),
        (514, 0.499, (257, 128, 257 * 0.499 / 128)),
        (1000, 1.0, (125, 124, 125 / 124)),
        (128, 2.0, (128, 128, 2.0)),
        (16, 0.1, (16, 4, 0.4)),
        (1, 0.5, (1, 4, 0.125)),
    ],
)
def test_tiles(size, um, expected):
    assert tiling(size, um) == pytest.approx(expected)


@pytest.mark.parametrize(("size", "places"), [(1024, range(8)), (2048, range(1, 16, 2)), (4096, range(2, 32, 4))])
def test_large_patches_are_measured_on_an_even_sample_of_tiles(size, places):
    """Noise everywhere, but the measured tiles, which are flat: nothing of the noise is seen, whatever lies beside."""
    picture = np.random.default_rng(10).integers(0, 200, (size, size, 3), np.uint8)
    for y in places:
        for x in places:
            picture[128 * y : 128 * (y + 1), 128 * x : 128 * (x + 1)] = (200, 90, 150)
    found, whole = measure(picture), measure(flat((200, 90, 150), 128))
    assert found == pytest.approx(whole, rel=1e-6)
    corners, sides = np.array([[0, 0], [0, 0], [size - 512, 0]]), np.array([size, 128, 512])
    beside = measure_patches(picture, corners, sides, np.ones(3), WHITE, 1.0)
    np.testing.assert_array_equal(beside[0], np.array(list(found.values()), np.float32))


def test_co_occurrence_is_that_of_scikit_image():
    """Numbers of graycomatrix of scikit-image 0.26: 16 levels, distance 1, four angles, symmetric, counts summed."""
    grey = np.random.default_rng(3).integers(0, 256, (64, 64)).astype(np.uint8)
    shifted = (np.roll(grey, shift, axis).astype(int) for shift, axis in ((0, 0), (1, 0), (1, 1), ((1, 1), (0, 1))))
    grey = (sum(shifted) // 4).astype(np.uint8)
    found = measure(np.repeat(grey[..., None], 3, axis=2))
    expected = {
        "contrast_fine": 7.027184101987252,
        "entropy_fine": 6.443538737986113,
        "contrast_coarse": 2.167741935483871,
        "entropy_coarse": 4.105684695439106,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_co_occurrence_of_tiles_is_pooled():
    rng = np.random.default_rng(4)
    picture = np.repeat(rng.integers(0, 256, (256, 256, 1), np.uint8), 3, axis=2)
    counts = np.zeros((16, 16))
    for top in (0, 128):
        for left in (0, 128):
            level = picture[top : top + 128, left : left + 128, 0].astype(int) // 16
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                for y in range(128 - dy):
                    for x in range(max(0, -dx), 128 - max(0, dx)):
                        counts[level[y, x], level[y + dy, x + dx]] += 1
    share = (counts + counts.T) / (2 * counts.sum())
    level = np.arange(16)
    found = measure(picture)
    assert found["contrast_fine"] == pytest.approx((share * (level[:, None] - level) ** 2).sum(), rel=1e-6)
    assert found["entropy_fine"] == pytest.approx(-(share * np.log2(share)).sum(), rel=1e-6)


@pytest.mark.parametrize("amounts", [(0.2, 0.5), (0.8, 0.3), (0.05, 0.9), (1.2, 0.6)])
@pytest.mark.parametrize("glass", [(243, 241, 246), (255, 230, 200)])
def test_stains_come_apart(amounts, glass):
    """Beer-Lambert light of known densities, on glass of a tint."""
    light = np.array(glass) * np.exp(-np.array(amounts) @ STAINS)
    found = measure(flat(tuple(np.round(light).astype(int))), glass=np.array(glass))
    assert (found["haematoxylin"], found["eosin"]) == pytest.approx(amounts, abs=0.015)


@pytest.mark.parametrize("colour", [(200, 90, 150), (150, 100, 190), (210, 120, 110), (90, 160, 100)])
def test_colours(colour):
    found = measure(flat(colour))
    hue, saturation, _ = colorsys.rgb_to_hsv(*(value / 255 for value in colour))
    angle = 360 * hue if 360 * hue <= 150 else 360 * hue - 360
    # The angle in the plane of colours differs from HSV's, which is along a hexagon, by up to 1.2 degrees.
    assert found["hue"] == pytest.approx(angle, abs=1.3)
    assert found["saturation"] == pytest.approx(saturation, abs=0.003)
    assert found["luminance"] == pytest.approx(np.dot(colour, (0.299, 0.587, 0.114)) / 255, abs=0.003)


def test_half_white():
    picture = flat((200, 90, 150))
    picture[:, 32:] = 255
    found, whole = measure(picture), measure(flat((200, 90, 150)))
    assert found["white"] == 0.5
    for name in ("haematoxylin", "eosin", "hue", "saturation", "luminance"):
        assert found[name] == pytest.approx(whole[name], abs=1e-6)


def test_space_is_wide_emptiness_within_the_tissue():
    picture = flat((200, 90, 150), 128)
    picture[32:96, 32:96] = 255  # 64 um, a quarter of the patch
    picture[:, 4:12] = 255  # a cleft of 8 um is white, and no space
    assert measure(picture)["fat"] == 0.25
    assert measure(picture)["white"] == 0.25 + 1 / 16
    assert measure(picture, fraction=0.85)["fat"] == pytest.approx(0.10, abs=1e-6)
    assert measure(picture, fraction=0.7)["fat"] == 0
    assert measure(picture, fraction=0.7)["tissue"] == pytest.approx(0.7)


@pytest.mark.parametrize("picture", [flat((255, 255, 255)), flat((0, 0, 0)), flat((200, 90, 150)), flat((9, 9, 9), 1)])
def test_patches_of_nothing_have_numbers(picture):
    found = measure(picture)
    assert np.isfinite(list(found.values())).all()
    assert found["nuclei"] == found["contrast_fine"] == found["entropy_coarse"] == 0 and found["focus"] == 0.5
    assert (found["nucleus_area"], found["nucleus_eccentricity"]) == pytest.approx((TYPICAL_UM2, TYPICAL_ECCENTRICITY))
    if picture.min() == 255:
        assert (found["white"], found["luminance"], found["hue"], found["eosin"]) == (1, 1, PINK, 0)


def test_noise_has_numbers():
    rng = np.random.default_rng(5)
    for glass in (WHITE, np.zeros(3)):
        found = measure(rng.integers(0, 256, (96, 96, 3), np.uint8), 0.0, 0.13, glass)
        assert np.isfinite(list(found.values())).all()


def test_blur_lowers_focus():
    image = draw_slide(SlideSpec(512), np.random.default_rng(1)).image
    sharp, soft, blurred = (measure(cv2.GaussianBlur(image, (0, 0), sd), um=0.5) for sd in (0.1, 2, 5))
    assert sharp["focus"] > 1.1 * soft["focus"] > 1.1 * 1.05 * blurred["focus"] > 0.5
    stained = measure(draw_slide(SlideSpec(512, stain=1.15), np.random.default_rng(1)).image, um=0.5)
    assert stained["focus"] == pytest.approx(sharp["focus"], rel=0.03)


@pytest.mark.parametrize(("sizes", "um"), [((128, 256, 512), 0.5), ((257, 514), 0.499), ((100, 300, 600), 0.25)])
def test_a_patch_is_the_same_in_any_block(sizes, um):
    image = draw_slide(SlideSpec(1300), np.random.default_rng(2)).image[200:1250, 150:1250]
    rng, corners, sides = np.random.default_rng(8), [], []
    for size in sizes:
        for _ in range(4):
            corners.append(rng.integers(0, [1100 - size, 1050 - size]))
            sides.append(size)
    corners, sides, fractions = np.array(corners), np.array(sides), rng.random(len(sides))
    together = measure_patches(image, corners, sides, fractions, GLASS, um)
    for row, (x, y), side, fraction in zip(together, corners, sides, fractions, strict=True):
        alone = image[y : y + side, x : x + side].copy()
        found = measure_patches(alone, np.zeros((1, 2), int), np.array([side]), np.array([fraction]), GLASS, um)
        np.testing.assert_array_equal(found[0], row)


def test_numbers_of_this_version():
    """A change of these numbers makes another encoder: VERSION goes up, or features of two kinds would be mixed."""
    assert VERSION == 2
    image = draw_slide(SlideSpec(768), np.random.default_rng(9)).image[128:640, 128:640]
    expected = {
        "haematoxylin": 0.450238,
        "eosin": 0.33504,
        "hue": -33.9367,
        "saturation": 0.33769,
        "luminance": 0.644921,
        "white": 0.339767,
        "fat": 0.12998,
        "tissue": 0.9,
        "focus": 0.637517,
        "contrast_fine": 1.54173,
        "entropy_fine": 4.42638,
        "contrast_coarse": 3.88333,
        "entropy_coarse": 5.24452,
        "nuclei": 3560.74,
        "nuclear_area_fraction": 0.144168,
        "nucleus_area": 23.25,
        "nucleus_eccentricity": 0.65858,
        "nucleus_haematoxylin": 1.39404,
    }
    found = measure(image, 0.9, 0.5, GLASS)
    assert found == pytest.approx(expected, rel=1e-3)
