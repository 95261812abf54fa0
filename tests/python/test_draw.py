"""Drawn slides: each knob moves what it is meant to move, and the outline is that of the drawn tissue."""

import cv2
import numpy as np
import pytest

from hx_draw import EOSIN, GLASS, HAEMATOXYLIN, LOBULE_PX, SlideSpec, draw_slide
from hx_texture import (
    apart_rings,
    cell_walls,
    ellipses,
    fibre_frame,
    jittered_places,
    outline_mask,
    ramp,
    ranked_bands,
    smooth_noise,
    stamp_rings,
)

PX = 768


def draw(seed: int = 1, **knobs):
    return draw_slide(SlideSpec(**{"px": PX, **knobs}), np.random.default_rng(seed))


def inside(drawn) -> np.ndarray:
    """Mask of the outline's polygons."""
    mask = np.zeros(drawn.image.shape[:2], np.uint8)
    cv2.fillPoly(mask, drawn.outline, 1)
    return mask > 0


def concentrations(drawn, stains=(HAEMATOXYLIN, EOSIN)) -> np.ndarray:
    """Stain concentrations in the tissue, (n, 2), by inverting Beer-Lambert with the declared stain vectors."""
    density = -np.log(np.maximum(drawn.image[inside(drawn)], 1) / GLASS)
    return density @ np.linalg.pinv(np.stack(stains))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("px", [512, PX])
def test_outline_is_that_of_the_drawn_tissue(seed, px):
    """Independent reading: everything darker than glass, its holes filled. Fat keeps a rim, so holes are closed."""
    drawn = draw(seed, px=px)
    dark = (cv2.GaussianBlur(drawn.image, (0, 0), 1).min(axis=2) < 215).astype(np.uint8)
    dark = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15)))
    filled = np.zeros_like(dark)
    found = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(filled, found, -1, 1, cv2.FILLED)
    truth = inside(drawn)
    assert (truth & (filled > 0)).sum() / (truth | (filled > 0)).sum() > 0.95
    assert truth.sum() == pytest.approx(drawn.tissue_px, rel=0.01)
    assert 0.3 < truth.mean() < 0.75
    assert all(polygon.min() > 0.02 * px and polygon.max() < 0.98 * px for polygon in drawn.outline)


def test_outside_the_tissue_is_glass():
    drawn = draw(3)
    away = cv2.dilate(inside(drawn).astype(np.uint8), np.ones((25, 25))) == 0
    glass = drawn.image[away]
    assert glass.mean(axis=0) == pytest.approx(GLASS, abs=1)
    assert 0.3 < glass.std() < 3


def test_density_changes_nuclei_alone():
    few, usual, many = (draw(5, density=density) for density in (0.5, 1.0, 2.0))
    assert few.nuclei < 0.75 * usual.nuclei and many.nuclei > 1.5 * usual.nuclei
    share = [(concentrations(d)[:, 0] > 0.7).mean() for d in (few, usual, many)]
    assert share[0] < 0.75 * share[1] and share[2] > 1.5 * share[1]
    assert few.lesion_px == many.lesion_px and few.tissue_px == many.tissue_px


@pytest.mark.parametrize("lesion", [0.0, 0.1, 0.45])
def test_lesion_covers_the_share_asked_for(lesion):
    drawn = draw(6, lesion=lesion)
    assert drawn.lesion_px / drawn.tissue_px == pytest.approx(lesion, abs=0.01)


def test_lesion_is_vacuoles_in_one_region():
    sound, ill = draw(7, lesion=0.0), draw(7, lesion=0.3)
    assert sound.nuclei == ill.nuclei
    whiter = (ill.image.min(axis=2).astype(int) - sound.image.min(axis=2) > 60) & inside(ill)
    assert 0.03 < whiter.sum() / ill.tissue_px < 0.3
    # Local: half of the tissue's cells of 64 px hold nearly all of it.
    cells = cv2.resize(whiter.astype(np.float32), (PX // 64, PX // 64), interpolation=cv2.INTER_AREA).ravel()
    assert np.sort(cells)[-len(cells) // 4 :].sum() > 0.75 * cells.sum()


def test_hue_turns_eosin_from_orange_to_purple():
    blue_less_red = []
    for hue in (-2, 0, 2):
        colour = np.median(draw(8, hue=hue).image[inside(draw(8))], axis=0)
        blue_less_red.append(colour[2] - colour[0])
    assert blue_less_red[0] + 10 < blue_less_red[1] < blue_less_red[2] - 10


@pytest.mark.parametrize("stain", [0.85, 1.15])
def test_stain_scales_optical_density(stain):
    usual, other = (concentrations(draw(9, stain=s)).mean(axis=0) for s in (1.0, stain))
    assert other / usual == pytest.approx([stain, stain], rel=0.03)


def test_it_is_pink_and_blue_with_white_holes():
    """What a person calls H&E: pink ground, blue-purple nuclei, lumens and fat as light as glass."""
    drawn = draw(10, px=1024)
    tissue = drawn.image[inside(drawn)].astype(float)
    red, green, blue = np.median(tissue, axis=0)
    assert red > blue > green and red - green > 40
    nuclei = tissue[concentrations(drawn)[:, 0] > 1.0]
    assert nuclei[:, 2].mean() > nuclei[:, 0].mean() > nuclei[:, 1].mean() - 25
    assert 0.04 < (tissue.min(axis=1) > 225).mean() < 0.35


def test_classes_differ_at_one_wavelength_and_not_in_what_is_there():
    """Fields of two classes: one histogram, power at LOBULE_PX, direction only where the class is elongated."""
    side = 1024
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    along = np.abs(np.meshgrid(frequency, frequency)[0])
    ratios = {}
    for elongation in (1.0, 5.0):
        fields = [ranked_bands(np.random.default_rng(k), (side, side), LOBULE_PX, elongation) for k in range(4)]
        for field in fields:
            assert np.quantile(field, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.02)
        power = np.mean([np.abs(np.fft.fft2(field - field.mean())) ** 2 for field in fields], axis=0)
        octave = (radius > 0.6 / LOBULE_PX) & (radius < 1.7 / LOBULE_PX)
        assert power[octave].sum() > 0.55 * power.sum()
        assert power[radius > 4 / LOBULE_PX].sum() < 0.1 * power.sum()
        ratios[elongation] = (power * along).sum() / (power * along.T).sum()
    assert ratios[1.0] == pytest.approx(1, abs=0.15)
    assert ratios[5.0] < 0.5
    a, b = ([draw(k, elongation=e) for k in range(8)] for e in (1.0, 5.0))
    assert np.sum([d.nuclei for d in a]) == pytest.approx(np.sum([d.nuclei for d in b]), rel=0.05)
    means = [np.mean([d.image[inside(d)].mean(axis=0) for d in drawn], axis=0) for drawn in (a, b)]
    assert means[0] == pytest.approx(means[1], abs=5)


def test_a_blank_slide_is_glass_alone():
    drawn = draw(blank=True)
    assert drawn.outline == [] and drawn.nuclei == drawn.tissue_px == drawn.lesion_px == 0
    assert np.abs(drawn.image.reshape(-1, 3).mean(axis=0) - GLASS).max() < 1
    assert drawn.image.min() > 230


def test_a_pen_leaves_ink_and_the_rest_as_it_was():
    clean, marked = draw(11), draw(11, pen=True)
    changed = np.abs(clean.image.astype(int) - marked.image).max(axis=2) > 8
    assert 0.005 < changed.mean() < 0.08
    assert marked.image[changed].mean() < 150
    assert all(np.array_equal(a, b) for a, b in zip(clean.outline, marked.outline, strict=True))


def test_the_same_seed_draws_the_same_pixels_whatever_opencv_does():
    threads = cv2.getNumThreads()
    try:
        images = []
        for number in (1, 4):
            cv2.setNumThreads(number)
            images.append(draw(12).image)
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(*images)
    assert not np.array_equal(images[0], draw(13).image)


def test_ramp():
    assert ramp(np.array([0.0, 2.0, 3.0, 4.0, 9.0]), 2, 4).tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("wavelength", [5, 40, 300])
def test_smooth_noise_is_standard_and_has_its_wavelength(wavelength):
    field = smooth_noise(np.random.default_rng(1), (600, 900), wavelength)
    assert field.shape == (600, 900) and field.dtype == np.float32
    assert abs(field.mean()) < 0.3 and field.std() == pytest.approx(1, abs=0.25)
    # Gaussian blur of sd s leaves a correlation of exp(-d^2 / 4 s^2) at distance d; s is a quarter of the wavelength.
    lag = max(1, wavelength // 4)
    measured = np.mean(field[:, lag:] * field[:, :-lag]) / np.mean(field**2)
    assert measured == pytest.approx(np.exp(-((lag / (wavelength / 4)) ** 2) / 4), abs=0.15)


def test_stretched_noise_is_longer_along_x():
    field = smooth_noise(np.random.default_rng(1), (600, 600), 20, 6.0)
    assert np.mean(field[:, 12:] * field[:, :-12]) > 0.8 > 0.4 > np.mean(field[12:] * field[:-12])


def test_fibre_frame_is_a_turned_plane_with_waves():
    along, across = fibre_frame(np.random.default_rng(1), (400, 300))
    gy, gx = np.gradient(along)
    assert np.abs(np.hypot(gx, gy) - 1).max() < 1e-2
    assert along.shape == across.shape == (400, 300)
    assert np.hypot(*np.gradient(across)).mean() == pytest.approx(1, abs=0.5)


def test_cell_walls_enclose_cells_of_the_asked_size():
    walls = cell_walls(np.random.default_rng(1), (601, 801), 60, 1.0)
    assert walls.shape == (601, 801)
    cells = cv2.connectedComponentsWithStats((walls < 0.2).astype(np.uint8), connectivity=4)[2][1:, cv2.CC_STAT_AREA]
    assert np.median(cells[cells > 200]) == pytest.approx(60**2 * 0.85, rel=0.25)


def test_jittered_places_stay_apart_and_inside():
    places = jittered_places(np.random.default_rng(1), (200, 300), 10)
    assert len(places) == 20 * 30
    assert places.min() > 0 and places[:, 0].max() < 300 and places[:, 1].max() < 200


def test_rings_are_apart_and_deep_and_stamped_where_they_are():
    depth = cv2.distanceTransform(np.pad(np.ones((398, 598), np.uint8), 1), cv2.DIST_L2, 5)
    rings = apart_rings(np.random.default_rng(1), depth, 6, (20, 30))
    assert len(rings) == 6
    for k, one in enumerate(rings):
        assert depth[int(one.y), int(one.x)] > one.r
        assert all(np.hypot(one.x - o.x, one.y - o.y) > one.r + o.r for o in rings[:k])
    wall, hollow = np.zeros((400, 600), np.float32), np.zeros((400, 600), np.float32)
    stamp_rings(rings, wall, hollow, 0.5)
    assert wall.sum() == pytest.approx(sum(np.pi * ring.r**2 for ring in rings), rel=0.1)
    assert hollow.sum() == pytest.approx(wall.sum() / 4, rel=0.15)
    assert all(wall[int(ring.y), int(ring.x)] == hollow[int(ring.y), int(ring.x)] == 1 for ring in rings)


def test_ellipses_have_their_area_place_and_value():
    drawn = ellipses((100, 120), np.array([[30.5, 40.25]]), np.array([[12.0, 6.0]]), np.array([30.0]), np.array([200]))
    # OpenCV's smooth edge adds half a pixel all round.
    assert drawn.sum() / 200 == pytest.approx(np.pi * 12.5 * 6.5, rel=0.05)
    moments = cv2.moments(drawn)
    assert (moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]) == pytest.approx((30.5, 40.25), abs=0.6)


@pytest.mark.parametrize("seed", range(12))
def test_tissue_never_touches_the_border_and_is_soft_edged(seed):
    mask = outline_mask(np.random.default_rng(seed), 512)
    border = np.concatenate([mask[:8].ravel(), mask[-8:].ravel(), mask[:, :8].ravel(), mask[:, -8:].ravel()])
    assert border.max() == 0
    assert ((mask > 0.05) & (mask < 0.95)).sum() > 500
    pieces = cv2.connectedComponents((mask >= 0.5).astype(np.uint8))[0] - 1
    assert 1 <= pieces <= 4
