"""hx_artefacts: ink, blur, folds, stain, focus.

Shares of the tissue called blurred at 4 um a pixel, for a Gaussian of SD 0, 2, 4, 6, 8, 16, 32 level-0 pixels (0.5 um):
none, none, none, 21-51 %, 99-100 %, 100 %, 100 % on two real and three drawn slides. Called folds without any planted:
drawn 0 %; a carcinoma 1.4 %, its curled margins; a crop of skin 23 %, keratin and epidermis. Of planted folds 40 to 150
um wide about 70 % of the area is found (32-95 %, two of 36 missed); of round areas of double density in one hue, which
lymphoid tissue is not, 9 of 24 are flagged too.
"""

import cv2
import numpy as np
import pytest
from slides_made import GLASS, TISSUE, ellipse, fat, glass, stain

import hx_artefacts
import hx_bands
from hx_artefacts import (
    HALO,
    STAINS,
    artefact_masks,
    blur_mask,
    densities,
    focus,
    fold_mask,
    pen_mask,
    sharpness_bands,
    stain_means,
)
from hx_draw import SlideSpec, draw_slide
from hx_slide import Slide
from hx_tissue import glass_colour, glass_mask

UM = (8.0, 8.0)
CLEAR = np.array(GLASS)


def shrink(picture: np.ndarray, factor: int) -> np.ndarray:
    """A level-0 picture as a lower level shows it, JPEG included."""
    height, width = (side // 16 * 16 // factor for side in picture.shape[:2])
    crop = np.clip(picture[: height * factor, : width * factor], 0, 255)
    small = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA).round().astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)


def overview(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture at 8 um a pixel, its tissue, its glass."""
    small = shrink(picture, 16)
    colour, source = glass_colour(small, np.ones(small.shape[:2], bool))
    return small, glass_mask(small, colour, UM, source != "assumed"), colour


def counts(picture: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Of each channel how often each value is there in the tissue."""
    return np.stack([np.bincount(picture[..., channel][tissue], minlength=256) for channel in range(3)])


def blurred_share(picture: np.ndarray, tissue: np.ndarray, sd: float) -> float:
    """Share of the tissue called blurred at 4 um a pixel, after blur of `sd` level-0 pixels."""
    blurred = cv2.GaussianBlur(picture, (0, 0), sd) if sd else picture
    return blur_mask(sharpness_bands([shrink(blurred, 8)], 2), tissue, UM)[tissue].mean()


def doubled(picture: np.ndarray, colour: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Twice the optical density where True, with a soft edge: a fold."""
    cover = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 6)[..., None]
    light = np.minimum(np.maximum(picture, 1) / np.float32(colour), 1)
    return (np.float32(colour) * light ** (1 + cover)).round().astype(np.uint8)


def band(shape: tuple[int, int], centre: tuple[float, float], angle: float, length: int, width: int) -> np.ndarray:
    """A bent band, bool `shape`."""
    t = np.linspace(-0.5, 0.5, 40) * length
    x = centre[0] + np.cos(angle) * t - np.sin(angle) * 0.2 * t**2 / length
    y = centre[1] + np.sin(angle) * t + np.cos(angle) * 0.2 * t**2 / length
    drawn = np.zeros(shape, np.uint8)
    cv2.polylines(drawn, [np.stack([x, y], axis=1).round().astype(np.int32)], False, 1, width)
    return drawn > 0


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return draw_slide(SlideSpec(2048, density=1.5, lesion=0.1), np.random.default_rng(3)).image


@pytest.fixture(scope="module")
def real(real_data) -> dict[str, np.ndarray]:
    found = {}
    for name in ("CMU-1-Small-Region", "TCGA-CR-7395-01A-01-TS1"):
        with Slide(real_data / "slides" / f"{name}.svs") as slide:
            found[name[:3]] = slide.read(0, 0, slide.width, slide.height)
    return found


@pytest.mark.parametrize(
    "ink",
    [(30, 60, 160), (60, 80, 160), (40, 140, 80), (35, 35, 40), (90, 140, 215), (220, 40, 50), (230, 60, 70)],
)
def test_ink_is_seen(ink):
    picture = shrink(glass(1024, 1024), 16)
    picture[20:40, 10:50] = ink
    pen = pen_mask(picture, CLEAR, UM)
    assert pen[22:38, 12:48].all() and not pen[:17].any()


@pytest.mark.parametrize(
    "colour", [TISSUE, (90, 60, 140), (60, 35, 90), (225, 120, 160), (190, 40, 60), (228, 208, 219), (120, 80, 60)]
)
def test_stains_are_not_ink(colour):
    """Eosin, haematoxylin, a fold, collagen, blood, fat, haemosiderin."""
    assert not pen_mask(np.full((40, 40, 3), colour, np.uint8), CLEAR, UM).any()


def test_red_that_is_narrow_or_broken_is_not_ink():
    """Pools of blood so bright that colour alone cannot tell them from red ink."""
    picture = shrink(glass(2048, 2048), 16)
    picture[20:28, 10:100] = (220, 45, 60)
    picture[60:110, 20:110] = (220, 45, 60)
    assert pen_mask(picture, CLEAR, UM)[62:108, 22:108].all() and not pen_mask(picture, CLEAR, UM)[:50].any()
    picture[60:110:6, 20:110] = (235, 200, 210)
    assert not pen_mask(picture, CLEAR, UM).any()


def test_density_is_that_of_beer_lambert():
    picture = np.array([[[121, 241, 0]]], np.uint8)
    np.testing.assert_allclose(densities(picture, CLEAR), [[np.log([242 / 121, 1, 243])]], atol=1e-5)


def test_bands_are_those_of_gaussians():
    rng = np.random.default_rng(0)
    picture = np.repeat(rng.integers(60, 250, (64, 48, 1), np.uint8), 3, axis=2)
    density = -np.log(picture[..., 0].astype(np.float64))

    def smooth(sd: float, reach: int) -> np.ndarray:
        kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sd**2))
        padded = np.pad(density, reach, mode="reflect")
        for axis in (0, 1):
            padded = np.apply_along_axis(np.convolve, axis, padded, kernel / kernel.sum(), "valid")
        return padded

    narrow, wide = smooth(1, 3), smooth(3, HALO)
    expected = np.stack([np.abs(density - narrow), np.abs(narrow - wide)], axis=-1)
    expected = expected.reshape(16, 4, 12, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(sharpness_bands([picture], 4), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("cell", [1, 2, 4])
@pytest.mark.parametrize("rows", [1, 3, 7, 40, 64])
def test_bands_do_not_depend_on_the_strips(rows, cell):
    picture = np.random.default_rng(1).integers(30, 250, (83, 51, 3), np.uint8)
    whole = sharpness_bands([picture], cell)
    assert whole.shape == (-(-83 // cell), -(-51 // cell), 2)
    strips = (picture[top : top + rows] for top in range(0, 83, rows))
    np.testing.assert_allclose(sharpness_bands(strips, cell), whole, rtol=1e-5, atol=1e-6)
    assert sharpness_bands([], cell).size == 0


@pytest.mark.parametrize(("sd", "least", "most"), [(0, 0, 0), (2, 0, 0.01), (4, 0, 0.1), (8, 0.97, 1), (32, 0.97, 1)])
def test_blur_of_drawn_slides(drawn, sd, least, most):
    _, tissue, _ = overview(drawn)
    assert least <= blurred_share(drawn, tissue, sd) <= most


@pytest.mark.parametrize("name", ["CMU", "TCG"])
@pytest.mark.parametrize(("sd", "least", "most"), [(0, 0, 0.001), (4, 0, 0.02), (8, 0.98, 1)])
def test_blur_of_real_slides(real, name, sd, least, most):
    _, tissue, _ = overview(real[name])
    assert least <= blurred_share(real[name], tissue, sd) <= most


def test_blur_does_not_hang_on_the_stain(drawn):
    pale = (243 * (drawn / 243.0) ** 0.4).clip(0, 255).astype(np.uint8)
    _, tissue, _ = overview(drawn)
    assert blurred_share(pale, tissue, 0) < 0.001 and blurred_share(pale, tissue, 8) > 0.95


def test_only_the_blurred_part_is_flagged(drawn):
    half = drawn.copy()
    half[:, :1024] = cv2.GaussianBlur(drawn, (0, 0), 12)[:, :1024]
    small, tissue, colour = overview(half)
    blur = dict(artefact_masks(small, sharpness_bands([shrink(half, 8)], 2), tissue, colour, UM))["blur"]
    assert blur[:, :56][tissue[:, :56]].mean() > 0.97 and not blur[:, 79:].any()


def test_pale_fat_fibres_and_colloid_are_not_blurred():
    truth = ellipse(1792, 1792, (900, 900), (800, 750))
    rng = np.random.default_rng(4)
    streaks = cv2.GaussianBlur(rng.normal(size=(1792, 1792)), (0, 0), sigmaX=60, sigmaY=4)  # muscle: 4 px is 2 um
    muscle = stain(glass(1792, 1792), truth) + 12 * (streaks / streaks.std())[..., None] * truth[..., None]
    lake = ellipse(1792, 1792, (900, 900), (300, 300))
    colloid = np.where(lake[..., None], np.float32((225, 150, 180)), stain(glass(1792, 1792), truth))
    for picture in (fat(glass(1792, 1792), truth, 140), muscle, colloid):
        _, tissue, _ = overview(picture)
        assert tissue.mean() > 0.4 and blurred_share(picture, tissue, 0) < 0.01


def test_blur_is_found_at_the_resolution_of_the_bands(drawn):
    picture, tissue, colour = overview(drawn)
    bands = sharpness_bands([shrink(cv2.GaussianBlur(drawn, (0, 0), 12), 8)], 4)
    assert dict(artefact_masks(picture, bands, tissue, colour, UM))["blur"][tissue].mean() > 0.95
    sharp = sharpness_bands([shrink(drawn, 8)], 4)
    assert dict(artefact_masks(picture, sharp, tissue, colour, UM))["blur"].mean() < 0.01


def test_a_large_slide_is_worked_through_in_bands(drawn, monkeypatch):
    where = band(drawn.shape[:2], (1024, 1024), 0.4, 1300, 150)
    _, tissue, colour = overview(drawn)
    picture = np.tile(shrink(doubled(drawn, colour, where), 16), (6, 1, 1))
    picture[300:330, 20:100] = (200, 20, 30)  # ink
    tissue = np.tile(tissue, (6, 1))
    heights = []
    seen = hx_artefacts.densities
    monkeypatch.setattr(hx_artefacts, "densities", lambda part, *rest: heights.append(len(part)) or seen(part, *rest))
    found = pen_mask(picture, colour, UM), fold_mask(picture, tissue, colour, UM)
    assert max(heights) <= 256 + 2 * 94 + 1 < len(picture)
    for module in (hx_artefacts, hx_bands):
        monkeypatch.setattr(module, "BAND", 10_000)
    whole = pen_mask(picture, colour, UM), fold_mask(picture, tissue, colour, UM)
    assert whole[0].any() and whole[1].any()
    assert (found[0] == whole[0]).all()
    assert (found[1] & whole[1]).sum() / (found[1] | whole[1]).sum() > 0.9


@pytest.mark.parametrize("width", [80, 300])
def test_a_planted_fold_is_found(drawn, width):
    _, tissue, colour = overview(drawn)
    found = []
    for centre, angle in (((1024, 1024), 0.4), ((1150, 900), 2.0)):
        where = band(drawn.shape[:2], centre, angle, 1300, width)
        folded = shrink(doubled(drawn, colour, where), 16)
        truth = (cv2.resize(where.astype(np.float32), tissue.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5) & tissue
        fold = fold_mask(folded, tissue, colour, UM)
        near = cv2.dilate(truth.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        found.append(fold[truth].mean())
        assert (fold & ~near).sum() < 0.01 * tissue.sum()
    assert np.mean(found) > 0.55


@pytest.mark.parametrize(("density", "elongation"), [(2.5, 1.0), (2.5, 4.0)])
def test_drawn_slides_have_no_fold(density, elongation):
    spec = SlideSpec(2048, density=density, elongation=elongation)
    small, tissue, colour = overview(draw_slide(spec, np.random.default_rng(7)).image)
    assert not fold_mask(small, tissue, colour, UM).any()


def test_lymphoid_follicles_are_not_folds(drawn):
    """Round, and a band whose haematoxylin alone is doubled."""
    _, tissue, colour = overview(drawn)
    follicle = ellipse(*drawn.shape[:2], (1024, 1024), (200, 230))
    assert not fold_mask(shrink(doubled(drawn, colour, follicle), 16), tissue, colour, UM).any()
    where = cv2.GaussianBlur(band(drawn.shape[:2], (1024, 1024), 0.4, 1300, 160).astype(np.float32), (0, 0), 6)
    cells = drawn * np.exp(-where[..., None] * np.float32([0.55, 0.6, 0.25]))
    assert fold_mask(shrink(cells, 16), tissue, colour, UM).sum() < 0.005 * tissue.sum()


def test_folds_of_a_real_slide(real):
    small, tissue, colour = overview(real["TCG"])
    fold = fold_mask(small, tissue, colour, UM)
    assert 0.005 < fold[tissue].mean() < 0.03
    for x, y in ((5, 118), (173, 208)):  # its curled margins, seen by eye
        assert fold[y - 2 : y + 3, x - 2 : x + 3].any()
    assert not fold[60:200, 45:150].any()  # sheets of dense carcinoma and lymphocytes
    where = band(real["TCG"].shape[:2], (1500, 1700), 0.7, 1600, 160)
    folded = shrink(doubled(real["TCG"], colour, where), 16)
    truth = cv2.resize(where.astype(np.float32), (where.shape[1] // 16, where.shape[0] // 16)) > 0.5
    assert fold_mask(folded, tissue, colour, UM)[truth[: tissue.shape[0], : tissue.shape[1]] & tissue].mean() > 0.6


def test_artefacts_are_three_masks_in_order(drawn):
    inked = drawn.copy()
    inked[1000:1200, 300:1800] = (30, 60, 160)
    small, tissue, colour = overview(inked)
    bands = sharpness_bands([shrink(inked, 8)], 2)
    before = tissue.copy()
    masks = dict(artefact_masks(small, bands, tissue, colour, UM))
    assert list(masks) == ["pen", "blur", "fold"] and (tissue == before).all()
    assert all(mask.shape == tissue.shape and mask.dtype == bool for mask in masks.values())
    assert masks["pen"][64:74, 22:110].all()
    assert not (masks["pen"] & (masks["blur"] | masks["fold"])).any()
    assert masks["blur"].sum() < 0.01 * tissue.sum() and masks["fold"].sum() < 0.01 * tissue.sum()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (16, 16)])
def test_tiny_pictures(shape):
    for value in (0, 128, 250):
        picture = np.full((*shape, 3), value, np.uint8)
        for tissue in (np.zeros(shape, bool), np.ones(shape, bool)):
            masks = dict(artefact_masks(picture, sharpness_bands([picture], 1), tissue, CLEAR, UM))
            assert all(mask.shape == shape for mask in masks.values()) and not masks["blur"].any()
            assert not masks["fold"].any()


def test_stain_means_are_those_of_pixel_by_pixel_deconvolution():
    """Least squares on every pixel; scikit-image's separate_stains gives the same to 1e-6 where no residual is cut."""
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.05, 0.6, (40, 50, 2))
    picture = (CLEAR * 10 ** -(truth @ STAINS)).round().astype(np.uint8)
    tissue = rng.random((40, 50)) < 0.6
    density = np.log10(CLEAR / picture)
    expected = [np.linalg.lstsq(STAINS.T, pixel, rcond=None)[0] for pixel in density[tissue]]
    found = stain_means(counts(picture, tissue), CLEAR)
    assert list(found) == ["haematoxylin", "eosin"]
    np.testing.assert_allclose(list(found.values()), np.mean(expected, axis=0), rtol=1e-9)
    np.testing.assert_allclose(list(found.values()), truth[tissue].mean(axis=0), rtol=0.01)
    assert all(np.isnan(value) for value in stain_means(counts(picture, ~tissue & tissue), CLEAR).values())


def test_stain_follows_the_strength_of_the_stain():
    means = []
    for strength in (0.85, 1.15):
        image = draw_slide(SlideSpec(1024, stain=strength), np.random.default_rng(9)).image
        small, tissue, colour = overview(image)
        means.append(list(stain_means(counts(small, tissue), colour).values()))
    assert 1.2 < means[1][0] / means[0][0] < 1.45 and 1.2 < means[1][1] / means[0][1] < 1.45


def test_focus_falls_with_blur():
    sharp = stain(glass(256, 256), np.ones((256, 256), bool)).clip(0, 255).astype(np.uint8)
    values = [focus(cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (0.1, 1, 2, 4)]
    assert values == sorted(values, reverse=True) and focus(np.full((64, 64, 3), 9, np.uint8)) == 0
