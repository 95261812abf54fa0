#!/usr/bin/env python3
"""Drawing of H&E-like slides: numbers in, pixels and their truth out. Lengths are level-0 pixels of 0.5 µm.

Concentrations of haematoxylin, eosin and red cells are laid down as fields and turned into light by Beer-Lambert's law,
I = I0 exp(-sum_s c_s v_s) (Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291), v_s being a stain's optical
density in red, green and blue. What carries planted truth is one knob each:

    density     nuclei in an area (cell proportion)
    lesion      share of the tissue that is oedematous: vacuoles between the fibres (lesion area)
    hue         eosin from orange to purple (ischaemia)
    stain       strength of all stains (centre)
    elongation  length to width of the lobules of parenchyma at one wavelength, LOBULE_PX: islands at 1, bundles above
                (tissue class). Their field is ranked: its histogram, and all that hangs on it, is that of any class

Everything else (outline, glands, vessels, fat, the way the fibres run) varies at random, independently of these.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from hx_texture import (
    Ring,
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

GLASS = np.array([243.0, 242.0, 244.0], dtype=np.float32)
HAEMATOXYLIN = np.array([0.66, 0.69, 0.32], dtype=np.float32)
EOSIN = np.array([0.13, 0.86, 0.46], dtype=np.float32)
RED_CELL = np.array([0.16, 0.95, 0.90], dtype=np.float32)
EOSIN_HUE = np.array([0.040, 0.0, -0.070], dtype=np.float32)  # one standard deviation of `hue` towards purple
LOBULE_PX = 112  # wavelength of the class texture: 56 µm
NUCLEUS_STEP = 13.5  # nuclei stand on a jittered grid of this step, so that few overlap
NUCLEUS_SHARE = 0.22  # of its places, at `density` 1
STRIP = 64  # rows worked on at a time, so that they stay in the processor's cache
INK = np.array([[40, 60, 150], [30, 110, 70], [25, 25, 30]], dtype=np.float32)


@dataclass(frozen=True)
class SlideSpec:
    """What one slide is drawn from; see the module's docstring. `blank`: glass alone; `pen`: a marker's stroke."""

    px: int
    density: float = 1.0
    lesion: float = 0.2
    hue: float = 0.0
    stain: float = 1.0
    elongation: float = 1.0
    blank: bool = False
    pen: bool = False


@dataclass(frozen=True)
class DrawnSlide:
    """image: (px, px, 3) uint8 RGB; outline: (n, 2) int x, y for each piece of tissue; a number and areas."""

    image: np.ndarray
    outline: list[np.ndarray]
    nuclei: int
    tissue_px: int
    lesion_px: int


def draw_slide(spec: SlideSpec, rng: np.random.Generator) -> DrawnSlide:
    """Draw a slide."""
    px = spec.px
    grain = rng.standard_normal((px, px), dtype=np.float32)
    stains = np.zeros((px, px, 3), dtype=np.float32)
    if spec.blank:
        return DrawnSlide(_expose(spec, stains, grain, rng), [], 0, 0, 0)
    whole = outline_mask(rng, px)
    x, y, width, height = cv2.boundingRect((whole > 0).astype(np.uint8))
    box, shape = (slice(y, y + height), slice(x, x + width)), (height, width)
    tissue = whole[box]
    inside = (tissue >= 0.5).astype(np.uint8)
    area = int(inside.sum())
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    along, across = fibre_frame(rng, shape)
    fine, bundle, lobule = _fibres(rng, along, across, spec.elongation)
    # Fat lies towards the edge; a thin sheet closes the surface.
    surface = ramp(depth, 4, 9)
    fattest = smooth_noise(rng, shape, 520) - np.float32(0.005) * np.minimum(depth, 120)
    fat = _share(fattest, inside, rng.uniform(0.05, 0.13), 0.03) * surface
    lesion = _share(smooth_noise(rng, shape, 260), inside, spec.lesion, 0.10)

    rings = apart_rings(rng, depth * (fat < 0.1), round(area / 90_000) + 3, (22, 58))
    n_vessels = min(len(rings), 2 + round(area / 600_000))
    vessels, glands = rings[:n_vessels], rings[n_vessels:]
    gland, made, hollow = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    stamp_rings(glands, gland, hollow, 0.48)
    stamp_rings(vessels, made, hollow, 0.76)
    np.maximum(made, gland, out=made)
    chromatin, core, count = _nuclei(spec, rng, glands, across, inside, lobule, fat, made)
    layers = {
        "tissue": tissue,
        "surface": surface,
        "fine": fine,
        "bundle": bundle,
        "lobule": lobule,
        "fat": fat,
        "lesion": lesion,
        "gland": gland,
        "made": made,
        "hollow": hollow,
        "chromatin": chromatin,
        "core": core,
        "vacuoles": _vacuoles(rng, lesion),
        "borders": cell_walls(rng, shape, 27, 1.0),
        "adipose": cell_walls(rng, shape, 84, 1.5),
        "cloudy": smooth_noise(rng, shape, 18),
        "uneven": smooth_noise(rng, shape, 300),
        "granular": cv2.GaussianBlur(grain[box], (0, 0), 1.1),
        "red": _red_cells(rng, vessels, shape),
    }
    for top in range(0, height, STRIP):
        strip = slice(top, top + STRIP)
        stains[box][strip] = _concentrations(**{name: layer[strip] for name, layer in layers.items()})
    contours = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    outline = [cv2.approxPolyDP(c, 1.5, True)[:, 0] + (x, y) for c in contours if cv2.contourArea(c) >= 400]
    in_lesion = int(((lesion >= 0.5) & (inside > 0)).sum())
    return DrawnSlide(_expose(spec, stains, grain, rng), outline, count, area, in_lesion)


def _concentrations(
    *,
    tissue: np.ndarray,
    surface: np.ndarray,
    fine: np.ndarray,
    bundle: np.ndarray,
    lobule: np.ndarray,
    fat: np.ndarray,
    lesion: np.ndarray,
    gland: np.ndarray,
    made: np.ndarray,
    hollow: np.ndarray,
    chromatin: np.ndarray,
    core: np.ndarray,
    vacuoles: np.ndarray,
    borders: np.ndarray,
    adipose: np.ndarray,
    cloudy: np.ndarray,
    uneven: np.ndarray,
    granular: np.ndarray,
    red: np.ndarray,
) -> np.ndarray:
    """Haematoxylin, eosin and red cells, (h, w, 3), from layers of (h, w). Pixel by pixel: called on strips."""
    parenchyma = ramp(lobule, 0.42, 0.58)
    nucleus = (chromatin - 0.42 * core.astype(np.float32)) * (1 + 0.6 * granular) * (2.2 / 255)
    not_nucleus = 1 - np.minimum(nucleus, 1)
    cleft = ramp(-bundle, 1.0, 1.35) * (1 - parenchyma)
    space = np.maximum(0.85 * cleft, vacuoles.astype(np.float32) * (0.93 / 255)) * (1 - made) * not_nucleus * surface
    filled = (1 - fat) * (1 - np.maximum(space, hollow))
    borders = borders * parenchyma
    eosin = 0.48 + 0.15 * fine + 0.08 * bundle
    eosin += parenchyma * (0.60 + 0.05 * cloudy - eosin)
    eosin += 0.10 * borders
    eosin += made * (0.60 + 0.05 * fine - eosin)
    eosin *= (1 + 0.07 * uneven + 0.16 * granular) * (1 - 0.10 * lesion)
    eosin = (np.maximum(eosin, 0) * filled + 0.6 * adipose * fat) * (1 - 0.35 * (1 - not_nucleus))
    cytoplasm = 0.04 + 0.09 * parenchyma + 0.05 * borders
    cytoplasm += made * (0.05 - cytoplasm) + 0.15 * gland
    haematoxylin = cytoplasm * filled + nucleus + 0.05 * adipose * fat
    blood = red.astype(np.float32) * hollow * (1 / 255)
    return cv2.merge([haematoxylin * tissue, eosin * tissue, blood * tissue])


def _fibres(
    rng: np.random.Generator, along: np.ndarray, across: np.ndarray, elongation: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fine fibres, bundles of them and lobules, drawn straight and bent into the frame."""
    shape = along.shape
    fine = np.float32(0.8) * smooth_noise(rng, shape, 5, 9.0) + np.float32(0.6) * smooth_noise(rng, shape, 12, 6.0)
    straight = (fine, smooth_noise(rng, shape, 28, 4.5), ranked_bands(rng, shape, LOBULE_PX, elongation))
    frame = cv2.convertMaps(along, across, cv2.CV_16SC2)
    return tuple(cv2.remap(field, *frame, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) for field in straight)


def _share(field: np.ndarray, inside: np.ndarray, share: float, soft: float) -> np.ndarray:
    """0..1: the highest `share` of `field` within `inside`, its edge `soft` units of the field wide."""
    if share <= 0:
        return np.zeros_like(field)
    level = np.quantile(field[::2, ::2][inside[::2, ::2] > 0], 1 - share)
    return ramp(field, level - soft, level + soft)


def _nuclei(
    spec: SlideSpec,
    rng: np.random.Generator,
    glands: list[Ring],
    across: np.ndarray,
    inside: np.ndarray,
    lobule: np.ndarray,
    fat: np.ndarray,
    made: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, int]:
    """The nuclei, their paler cores, both uint8, and their number.

    Round in parenchyma, spindles along the fibres in stroma, small and dark lymphocytes among them, columnar around
    glands; none where the other structures (`made`) are.
    """
    places = jittered_places(rng, inside.shape, NUCLEUS_STEP)
    column, row = places.astype(int).T
    share = NUCLEUS_SHARE * spec.density * (0.6 + 0.8 * lobule[row, column]) * (1 - 0.95 * fat[row, column])
    keep = (rng.random(len(places)) < share) & (inside[row, column] > 0) & (made[row, column] < 0.1)
    places, column, row = places[keep], column[keep], row[keep]
    n = len(places)
    # Fibres run where `across` is constant: at right angles to its gradient.
    gx = across[row, np.minimum(column + 2, inside.shape[1] - 1)] - across[row, np.maximum(column - 2, 0)]
    gy = across[np.minimum(row + 2, inside.shape[0] - 1), column] - across[np.maximum(row - 2, 0), column]
    fibre = np.degrees(np.arctan2(-gx, gy))
    spindle = (lobule[row, column] < rng.uniform(0.35, 0.65, n)) | (fat[row, column] > 0.5)
    dark = rng.random(n) < 0.10
    a = np.where(spindle, rng.normal(8.5, 1.6, n), rng.normal(6.4, 0.9, n))
    b = np.where(spindle, rng.normal(2.6, 0.5, n), a * rng.uniform(0.68, 1.0, n))
    a, b = np.where(dark, 4.2, a), np.where(dark, 3.9, b)
    turn = np.where(spindle, fibre + rng.normal(0, 14, n), rng.uniform(0, 180, n))
    value = np.where(dark, 235, np.where(spindle, rng.normal(190, 25, n), rng.normal(160, 25, n)))
    axes, centres, turns, values = [np.stack([a, b], axis=1)], [places], [turn], [value]
    for gland in glands:
        m = max(6, int(2 * np.pi * 0.8 * gland.r / 9.5))
        angle = (np.arange(m) + rng.uniform(-0.25, 0.25, m)) * 2 * np.pi / m
        out = gland.reach(angle) * rng.normal(0.78, 0.04, m)
        centres.append(np.stack([gland.x + out * np.cos(angle), gland.y + out * np.sin(angle)], axis=1))
        axes.append(np.stack([rng.normal(6.0, 0.7, m), rng.normal(3.6, 0.4, m)], axis=1))
        turns.append(np.degrees(angle) + rng.normal(0, 8, m))
        values.append(rng.normal(195, 20, m))
    half = np.clip(np.concatenate(axes), 1.5, 13)
    value = np.clip(np.concatenate(values), 90, 255).astype(int)
    drawn = ellipses(inside.shape, np.concatenate(centres), half, np.concatenate(turns), value)
    # Outlines that are no ellipses. The same noise, turned round, is as good as another.
    bend = smooth_noise(rng, inside.shape, 13)
    x = np.arange(inside.shape[1], dtype=np.float32) + bend
    y = np.arange(inside.shape[0], dtype=np.float32)[:, None] + bend[::-1, ::-1]
    drawn = cv2.remap(drawn, x, y, cv2.INTER_LINEAR)
    core = cv2.GaussianBlur(cv2.erode(drawn, np.ones((5, 5), np.uint8)), (0, 0), 1.2)
    return drawn, core, sum(len(c) for c in centres)


def _vacuoles(rng: np.random.Generator, lesion: np.ndarray) -> np.ndarray:
    """uint8: round empty spaces, two sizes, where the lesion is."""
    out = np.zeros(lesion.shape, dtype=np.uint8)
    for step, low, high in ((19.0, 3.0, 7.0), (34.0, 5.0, 12.0)):
        places = jittered_places(rng, lesion.shape, step)
        places = places[rng.random(len(places)) < 0.8 * lesion[tuple(places.astype(int).T[::-1])]]
        half = rng.uniform(low, high, len(places))[:, None] * rng.uniform(0.75, 1, (len(places), 2))
        drawn = ellipses(lesion.shape, places, half, rng.uniform(0, 180, len(places)), np.full(len(places), 255))
        np.maximum(out, drawn, out=out)
    return out


def _red_cells(rng: np.random.Generator, vessels: list[Ring], shape: tuple[int, int]) -> np.ndarray:
    """uint8: discs of 6 µm, packed into some of the vessels."""
    cells = [np.zeros((0, 2))]
    for vessel in vessels:
        if rng.random() < 0.7:
            spots = jittered_places(rng, (int(2.4 * vessel.r),) * 2, 9.0)
            cells.append(spots[rng.random(len(spots)) < 0.75] - 1.2 * vessel.r + [vessel.x, vessel.y])
    centres = np.concatenate(cells)
    half = rng.uniform(4.0, 6.0, (len(centres), 2))
    values = rng.integers(120, 200, len(centres))
    return ellipses(shape, centres, half, rng.uniform(0, 180, len(centres)), values)


def _expose(spec: SlideSpec, stains: np.ndarray, grain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light through (px, px, 3) concentrations: (px, px, 3) uint8 with the slide's stain, hue, pen and camera noise."""
    vectors = np.stack([HAEMATOXYLIN, EOSIN + np.float32(spec.hue) * EOSIN_HUE, RED_CELL]) * np.float32(-spec.stain)
    ink, colour = _pen(spec, rng) if spec.pen else (None, GLASS)
    noise = np.roll(grain, spec.px // 2, axis=1)[..., None]
    image = np.empty(stains.shape, dtype=np.uint8)
    for top in range(0, spec.px, STRIP):
        strip = slice(top, top + STRIP)
        light = cv2.exp(cv2.transform(stains[strip], vectors.T)) * GLASS
        if ink is not None:
            light *= 1 - ink[strip] * (1 - colour / GLASS)
        image[strip] = np.clip(light + np.float32(2.5) * noise[strip], 0, 255)
    return cv2.GaussianBlur(image, (0, 0), 0.6)


def _pen(spec: SlideSpec, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A felt pen's stroke across a corner of the slide: its cover (px, px) 0..1, and its colour."""
    cover = np.zeros((spec.px, spec.px), dtype=np.uint8)
    t = np.linspace(0, 1, 60)
    start, end = rng.uniform(0.05, 0.2, 2) * spec.px, rng.uniform(0.75, 0.95, 2) * spec.px
    x = start[0] + (end[0] - start[0]) * t
    y = start[1] + 0.10 * spec.px * np.sin(2.6 * np.pi * t + rng.uniform(0, 6)) * t
    line = np.round(np.stack([x, y], axis=1)).astype(np.int32)
    cv2.polylines(cover, [line], False, 230, max(8, spec.px // 45), cv2.LINE_AA)
    return cv2.GaussianBlur(cover, (0, 0), 2).astype(np.float32)[..., None] / 255, INK[rng.integers(len(INK))]
