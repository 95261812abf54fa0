"""Nuclei, and the hue outside them, against slides that were drawn and a real one."""

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import spearmanr
from test_companions import measure

import hx_draw
from hx_artefacts import STAINS
from hx_cohort_model import simulate_tables
from hx_companion_pixels import TYPICAL_UM2, measure_patches
from hx_companions import NAMES
from hx_draw import GLASS, SlideSpec, draw_slide
from hx_nuclei import NUCLEI, NUCLEUS_UM2, nucleus_sums, outlines_and_peaks
from hx_slide import Slide
from simulate_cohort import slide_spec


def discs(side: int, places: list[tuple], colour: tuple = (90, 60, 140), ground: tuple = (230, 150, 190)) -> np.ndarray:
    """Ellipses (x, y, half axes a and b, degrees) with soft edges."""
    large = np.full((8 * side, 8 * side, 3), ground, np.uint8)
    for x, y, a, b, turn in places:
        centre, axes = (round(8 * x + 4), round(8 * y + 4)), (round(8 * a), round(8 * b))
        cv2.ellipse(large, centre, axes, turn, 0, 360, colour, -1)
    return cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)


def test_nuclei_of_known_size_and_number():
    rng = np.random.default_rng(6)
    side, step, half = 512, 20, (4.5, 3.0)
    grid = np.stack(np.meshgrid(np.arange(10, side, step), np.arange(10, side, step)), -1).reshape(-1, 2)
    places = [(*(place + rng.uniform(-4, 4, 2)), *half, rng.uniform(0, 180)) for place in grid]
    found = measure(discs(side, places))
    # Edges of tiles cut every seventh nucleus: a few are lost, none is counted twice.
    assert 0.92 * len(places) < found["nuclei"] * side**2 / 1e6 < 1.01 * len(places)
    assert found["nucleus_area"] == pytest.approx(np.pi * half[0] * half[1], rel=0.15)
    assert found["nucleus_eccentricity"] == pytest.approx(np.sqrt(1 - (half[1] / half[0]) ** 2), abs=0.05)
    assert found["nuclear_area_fraction"] == pytest.approx(len(places) * np.pi * half[0] * half[1] / side**2, rel=0.15)
    dark = -np.log(np.array([90, 60, 140]) / 255) @ np.linalg.inv(np.vstack([STAINS, np.cross(*STAINS)]))
    assert found["nucleus_haematoxylin"] == pytest.approx(dark[0], rel=0.1)


def test_nuclei_that_touch_are_counted_apart():
    pairs = [(x + d, y, 4, 4, 0) for x in range(16, 128, 32) for y in range(16, 128, 32) for d in (-4, 4)]
    found = measure(discs(128, pairs))
    assert found["nuclei"] * 128**2 / 1e6 == pytest.approx(len(pairs), rel=0.05)
    assert found["nucleus_area"] == pytest.approx(TYPICAL_UM2)  # no outline is of one nucleus


def test_pale_nuclei_are_found_and_dense_fibres_are_not():
    """Nuclei that add .1 of red density to a pale ground; bands of eosin that add as much red, and green with it."""
    rng = np.random.default_rng(11)
    ground = np.array([0.03, 0.25])  # haematoxylin, eosin
    amounts = np.tile(ground, (128, 128, 1))
    for x in range(16, 128, 32):
        for y in range(16, 128, 32):
            cv2.ellipse(amounts, (x, y), (4, 4), 0, 0, 360, (0.22, 0.25), -1)
    fibres = np.tile(ground, (128, 128, 1))
    for y in range(8, 128, 16):
        fibres[y : y + 4] = (0.03, 1.9)
    found = []
    for stains in (amounts, fibres):
        light = 255 * np.exp(-cv2.GaussianBlur(stains, (0, 0), 0.7) @ STAINS) + rng.normal(0, 2, (128, 128, 1))
        found.append(measure(np.clip(np.round(light), 0, 255).astype(np.uint8)))
    assert found[0]["nuclei"] * 128**2 / 1e6 == pytest.approx(16, abs=1)
    assert found[1]["nuclei"] == found[1]["nuclear_area_fraction"] == 0


def test_hue_is_that_outside_nuclei():
    """Three times the nuclei, the same cytoplasm: the same hue."""
    few, many = ([(x, y, 4, 4, 0) for x in range(8, 128, 16 * step) for y in range(8, 128, 16)] for step in (3, 1))
    hues = [measure(discs(128, places))["hue"] for places in ([], few, many)]
    assert max(hues) - min(hues) < 0.5
    assert measure(discs(128, many))["haematoxylin"] > 1.4 * measure(discs(128, few))["haematoxylin"]


def test_a_stronger_stain_makes_no_larger_nucleus():
    places = [(x, y, 4, 4, 0) for x in range(16, 128, 32) for y in range(16, 128, 32)]
    pale, dark = (discs(128, places, colour, (230, 150, 190)) for colour in ((150, 100, 170), (60, 40, 110)))
    pale, dark = measure(pale), measure(dark)
    assert pale["nuclei"] == dark["nuclei"] and dark["nucleus_haematoxylin"] > 1.5 * pale["nucleus_haematoxylin"]
    assert dark["nucleus_area"] == pytest.approx(pale["nucleus_area"], rel=0.1)


def found_places(image: np.ndarray) -> np.ndarray:
    """Where nuclei are counted in a drawn slide of 0.5 um: level-0 (n, 2), one a peak in an outline that counts."""
    places = []
    tiles = [(x, y) for y in range(0, len(image), 128) for x in range(0, image.shape[1], 128)]
    shares = np.clip(np.round(image * (255 / GLASS)), 0, 255).astype(np.uint8)
    for x, y in tiles:
        pixels = cv2.resize(shares[y : y + 128, x : x + 128], (64, 64), interpolation=cv2.INTER_AREA)[None]
        dark, peaks = outlines_and_peaks(pixels, 1.0)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(dark[0], connectivity=4)
        _, _, _, centres = cv2.connectedComponentsWithStats(peaks[0], connectivity=8)
        own = [(a, b) for a, b in centres[1:] if stats[labels[round(b), round(a)], cv2.CC_STAT_AREA] >= NUCLEUS_UM2]
        assert len(own) == nucleus_sums(pixels, 1.0, dark, peaks)[0, NUCLEI.index("peaks")]
        places += [(x + 2 * a + 1, y + 2 * b + 1) for a, b in own]
    return np.array(places)


def matched(found: np.ndarray, truth: np.ndarray, reach: float) -> int:
    """Pairs one to one within `reach`, nearest first."""
    near = cKDTree(truth).sparse_distance_matrix(cKDTree(found), reach, output_type="ndarray")
    taken: tuple[set, set] = (set(), set())
    for i, j, _ in sorted(near.tolist(), key=lambda pair: pair[2]):
        if i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
    return len(taken[0])


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """Companions of the patches of 256 px of drawn slides; nuclei in each and hue of the slide, as they were drawn.

    seen, planted and matched: nuclei that are counted on the slides, that were drawn, and pairs of them within 4 um.
    """
    caught: list[np.ndarray] = []
    box: list[tuple[int, int]] = []
    ellipses, bounding = hx_draw.ellipses, cv2.boundingRect

    def watched(shape, centres, *rest):
        caught.append(centres)
        return ellipses(shape, centres, *rest)

    def bounded(mask):
        box.append(bounding(mask)[:2])
        return bounding(mask)

    rng, rows, pairs = np.random.default_rng(7), [], []
    side, size = 1024, 256
    corners = np.stack(np.meshgrid(np.arange(0, side, size), np.arange(0, side, size)), -1).reshape(-1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hx_draw, "ellipses", watched)
        patch.setattr(hx_draw.cv2, "boundingRect", bounded)
        for seed in range(8):
            caught.clear()
            box.clear()
            density, hue, stain = np.exp(0.4 * rng.normal()), rng.uniform(-2, 2), 1 + 0.06 * rng.normal()
            spec = SlideSpec(side, density=float(density), hue=hue, stain=stain)
            image = draw_slide(spec, np.random.default_rng(seed)).image
            truth = caught[0] + box[0]  # nuclei are the first ellipses
            places, seen = truth.astype(int) // size, found_places(image)
            pairs.append((len(seen), len(truth), matched(seen, truth, 8.0)))
            counts = [(places == corner // size).all(axis=1).sum() for corner in corners]
            ones = np.ones(len(corners))
            found = measure_patches(image, corners, (size * ones).astype(int), ones, GLASS, 0.5)
            rows.append(np.column_stack([found, counts, hue * ones]))
    table = np.concatenate(rows)
    table = table[table[:, NAMES.index("white")] < 0.5]
    columns = dict(zip((*NAMES, "count", "planted_hue"), table.T, strict=True))
    return columns | dict(zip(("seen", "planted", "matched"), np.array(pairs).T, strict=True))


def test_nuclei_follow_what_was_drawn(drawn):
    assert len(drawn["count"]) > 40
    assert spearmanr(drawn["nuclei"], drawn["count"])[0] >= 0.95
    assert abs(spearmanr(drawn["nuclei"], drawn["planted_hue"])[0]) < 0.5
    # Of those that overlap, fewer are seen than were drawn.
    assert 0.7 < drawn["nuclei"].mean() * 0.128**2 / drawn["count"].mean() < 1.1


def test_nuclei_are_where_they_were_drawn(drawn):
    assert drawn["matched"].sum() / drawn["seen"].sum() >= 0.92  # precision
    assert drawn["matched"].sum() / drawn["planted"].sum() >= 0.74  # recall


def test_nuclei_of_a_real_tumour(real_data):
    """A squamous carcinoma whose nuclei are 6 px wide, 1 um a pixel: stroma, a nest, and its keratinised middle."""
    counts = []
    with Slide(real_data / "slides" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        for x, y in ((2900, 2600), (3050, 1150), (3100, 1750)):
            counts.append(measure(slide.read(x, y, 256, 256), glass=slide.background)["nuclei"])
    stroma, nest, keratin = counts
    assert 4000 < stroma < 6000 and 2000 < nest < 3500 and 400 < keratin < 1000


def test_hue_follows_what_was_drawn(drawn):
    assert spearmanr(drawn["hue"], drawn["planted_hue"])[0] <= -0.93  # towards purple
    planted, slide = np.unique(drawn["planted_hue"], return_inverse=True)
    means = np.bincount(slide, drawn["hue"]) / np.bincount(slide)
    assert spearmanr(means, planted)[0] <= -0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_slides_by_hue_are_in_the_planted_order(seed):
    """The slides of a simulated cohort, whose nuclei, lesions and stain vary too."""
    pieces = simulate_tables(seed, "signal", [f"D{k}" for k in range(36)], ["Thyroid"]).pieces
    size, hues = 256, []
    corners = np.stack(np.meshgrid(np.arange(0, 1024, size), np.arange(0, 1024, size)), -1).reshape(-1, 2)
    ones, specs = np.ones(len(corners)), [slide_spec(piece, 1024) for piece in pieces.to_dict("records")]
    for k, spec in enumerate(specs):
        image = draw_slide(spec, np.random.default_rng([seed, k])).image
        found = measure_patches(image, corners, (size * ones).astype(int), ones, GLASS, 0.5)
        hues.append(found[found[:, NAMES.index("white")] < 0.5, NAMES.index("hue")].mean())
    assert spearmanr(hues, [spec.hue for spec in specs])[0] <= -0.98
