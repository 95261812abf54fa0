#!/usr/bin/env python3
"""Random fields and shapes that drawn tissue is made of. `shape` is (height, width) in px; fields are float32."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Shape = tuple[int, int]


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, linear between: a threshold with a soft edge."""
    return np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)


def enlarged(field: np.ndarray, factor: float, shape: Shape, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """`field` stretched by `factor` and cut to `shape`."""
    return cv2.resize(field, None, fx=factor, fy=factor, interpolation=interpolation)[: shape[0], : shape[1]]


def smooth_noise(rng: np.random.Generator, shape: Shape, wavelength: float, stretch: float = 1.0) -> np.ndarray:
    """Noise of mean 0 and sd 1, blurred to about a wavelength, `stretch` times longer along x.

    Drawn on a grid of a sixth of the wavelength and enlarged: the cost does not grow with the wavelength.
    """
    step = max(1.0, wavelength / 6)
    height, width = (int(np.ceil(side / step)) + 1 for side in shape)
    sigma = wavelength / step / 4
    field = rng.standard_normal((height, width), dtype=np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigmaX=sigma * stretch, sigmaY=sigma, borderType=cv2.BORDER_REFLECT)
    return enlarged((field - field.mean()) / field.std(), step, shape, cv2.INTER_CUBIC)


def ranked_bands(rng: np.random.Generator, shape: Shape, wavelength: float, elongation: float) -> np.ndarray:
    """A field, uniform on 0..1, band-passed at `wavelength` across and `elongation` times that along x.

    Ranked: two fields of different elongation have the same histogram and differ in arrangement alone.
    """
    scale = 4
    sigma = wavelength / scale / 5
    noise = rng.standard_normal((-(-shape[0] // scale), -(-shape[1] // scale)), dtype=np.float32)

    def blurred(factor: float) -> np.ndarray:
        across = sigma * factor
        return cv2.GaussianBlur(noise, (0, 0), sigmaX=across * elongation, sigmaY=across, borderType=cv2.BORDER_REFLECT)

    inner, outer = blurred(1.0), blurred(1.6)
    field = inner / inner.std() - 0.6 * outer / outer.std()
    rank = np.empty(field.size, dtype=np.float32)
    rank[np.argsort(field, axis=None, kind="stable")] = np.linspace(0, 1, field.size, dtype=np.float32)
    return enlarged(rank.reshape(field.shape), scale, shape)


def outline_mask(rng: np.random.Generator, px: int) -> np.ndarray:
    """(px, px), 1 in tissue, 0 on glass, an edge some pixels soft: one ragged piece, or (three times in ten) two."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    two, tilt = rng.random() < 0.3, rng.uniform(0, np.pi)
    pieces = []
    for side in (-1, 1) if two else (0,):
        radius = np.ones_like(angle)
        for wave in range(2, 9):
            radius += rng.normal(0, 0.14 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
        width, height = (0.205, 0.36) if two else (rng.uniform(0.34, 0.42), rng.uniform(0.41, 0.45))
        x, y = radius * np.cos(angle) * width + side * 0.24, radius * np.sin(angle) * height
        pieces.append(np.stack([x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)], axis=1))
    fit = px * min(1.0, 0.45 / np.abs(np.concatenate(pieces)).max())
    # At a quarter of the resolution: the edge is soft over more than 4 px.
    side = -(-px // 4)
    mask = np.zeros((side, side), dtype=np.uint8)
    for piece in pieces:
        cv2.fillPoly(mask, [np.round((piece * fit + px / 2) * 4).astype(np.int32)], 255, cv2.LINE_AA, 4)
    body = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 2.2)
    body += np.float32(0.12) * smooth_noise(rng, (side, side), 7.5) * ramp(body, 0.02, 0.2)
    return ramp(enlarged(body, 4, (px, px), cv2.INTER_CUBIC), 0.36, 0.64)


def fibre_frame(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (along, across) the fibres of every pixel: a turned frame with waves in it."""
    angle, scale = rng.uniform(0, np.pi), 8
    small = (-(-shape[0] // scale) + 1, -(-shape[1] // scale) + 1)
    long, short = smooth_noise(rng, small, 420 / scale), smooth_noise(rng, small, 110 / scale)
    waves = np.float32(30) * long + np.float32(6) * short
    x = np.arange(shape[1], dtype=np.float32)
    y = np.arange(shape[0], dtype=np.float32)[:, None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x + enlarged(waves, scale, shape, cv2.INTER_CUBIC)


def cell_walls(rng: np.random.Generator, shape: Shape, diameter: float, width: float) -> np.ndarray:
    """1 on the walls between Voronoi cells of jittered points: adipocytes, cell borders. `width`: sd of their blur.

    Worked out at half the resolution: walls are soft.
    """
    height, breadth = -(-shape[0] // 2), -(-shape[1] // 2)
    step = diameter / 2
    columns, rows = (np.arange(-step, side + step, step) for side in (breadth, height))
    points = np.stack(np.meshgrid(columns, rows), axis=-1)
    points[::2, :, 0] += step / 2
    points += rng.uniform(-0.38, 0.38, points.shape) * step
    column, row = np.round(points.reshape(-1, 2)).astype(int).T
    seen = (column >= 0) & (column < breadth) & (row >= 0) & (row < height)
    seeds = np.full((height, breadth), 255, dtype=np.uint8)
    seeds[row[seen], column[seen]] = 0
    cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    walls = np.zeros((height, breadth), dtype=np.float32)
    walls[:, 1:] = cells[:, 1:] != cells[:, :-1]
    walls[1:] = np.maximum(walls[1:], cells[1:] != cells[:-1])
    walls = np.clip(cv2.GaussianBlur(walls, (0, 0), width / 2) * np.float32(1.1 * width), 0, 1)
    return enlarged(walls, 2, shape)


def jittered_places(rng: np.random.Generator, shape: Shape, step: float) -> np.ndarray:
    """(n, 2) x, y: a grid of `step`, each point moved at random by less than half a step."""
    rows, columns = ((np.arange(int(side // step)) + 0.5) * step for side in shape)
    places = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    return places + rng.uniform(-0.36, 0.36, places.shape) * step


@dataclass(frozen=True)
class Ring:
    """A gland or vessel: centre, radius, and the waves (number, size, phase) that bend its circle."""

    x: float
    y: float
    r: float
    waves: tuple[tuple[int, float, float], ...]

    def reach(self, angle: np.ndarray) -> np.ndarray:
        """Distance from the centre to the rim at each angle (radians)."""
        bent = sum(size * np.cos(number * (angle - phase)) for number, size, phase in self.waves)
        return self.r * (1 + bent)


def apart_rings(rng: np.random.Generator, depth: np.ndarray, count: int, radius: tuple[float, float]) -> list[Ring]:
    """Up to `count` rings apart from each other and from the tissue's edge; `depth`: distance to it, a field."""
    kept: list[Ring] = []
    for _ in range(12 * count):
        r, x, y = rng.uniform(*radius), rng.uniform(0, depth.shape[1] - 1), rng.uniform(0, depth.shape[0] - 1)
        waves = tuple((k, rng.normal(0, s), rng.uniform(0, 2 * np.pi)) for k, s in ((2, 0.15), (3, 0.06), (5, 0.025)))
        apart = all(np.hypot(x - o.x, y - o.y) > 1.25 * (r + o.r) + 10 for o in kept)
        if len(kept) < count and apart and depth[int(y), int(x)] > 1.25 * r + 12:
            kept.append(Ring(x, y, r, waves))
    return kept


def stamp_rings(rings: Sequence[Ring], wall: np.ndarray, hollow: np.ndarray, inner: float) -> None:
    """Add rings to `wall`, and what lies within `inner` of their radius to `hollow`; two fields, in place."""
    for ring in rings:
        half = int(1.5 * ring.r) + 4
        rows = slice(max(int(ring.y) - half, 0), min(int(ring.y) + half, wall.shape[0]))
        columns = slice(max(int(ring.x) - half, 0), min(int(ring.x) + half, wall.shape[1]))
        y, x = np.mgrid[rows, columns].astype(np.float32)
        distance = np.hypot(x - ring.x, y - ring.y) / ring.reach(np.arctan2(y - ring.y, x - ring.x))
        soft = 1.5 / ring.r
        np.maximum(wall[rows, columns], 1 - ramp(distance, 1 - soft, 1 + soft), out=wall[rows, columns])
        np.maximum(hollow[rows, columns], 1 - ramp(distance, inner - soft, inner + soft), out=hollow[rows, columns])


def ellipses(
    shape: Shape, centres: np.ndarray, axes: np.ndarray, degrees: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Filled, smooth-edged ellipses, uint8: centres (n, 2) x, y; half axes (n, 2); values (n,) 1..255."""
    out = np.zeros(shape, dtype=np.uint8)
    centres, axes = np.round(centres * 16).astype(int).tolist(), np.round(axes * 16).astype(int).tolist()
    for centre, half, angle, value in zip(centres, axes, degrees.tolist(), values.tolist(), strict=True):
        cv2.ellipse(out, centre, half, angle, 0, 360, value, -1, cv2.LINE_AA, 4)
    return out
