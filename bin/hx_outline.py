#!/usr/bin/env python3
"""The outline of a slide's tissue as a person drew or edited it: GeoJSON in, mask out."""

import json
from pathlib import Path

import numpy as np

from hx_formats import SlideError

TISSUE = "tissue"  # class of the outlines that segment_tissue.py writes


def read_outline(path: Path) -> list[list[np.ndarray]]:
    """Polygons of a GeoJSON file (RFC 7946, but in level-0 pixels): rings, float (n, 2), holes after the first.

    Annotations of class Tissue, or all of the file's where none has that class, so that other annotations may stay.

    Raises:
        SlideError: no GeoJSON, or no polygon in it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SlideError(f"tissue_geojson {path.name}: no readable GeoJSON: {_plain(error, path)}") from None
    features = content if isinstance(content, list) else [content]
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        features = content.get("features")
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise SlideError(f"tissue_geojson {path.name}: no GeoJSON: a FeatureCollection of polygons is needed")
    named = [feature for feature in features if _class(feature) == TISSUE]
    polygons = []
    for feature in named or features:
        geometry = feature.get("geometry") if feature.get("type") == "Feature" else feature
        kind, coordinates = (geometry or {}).get("type"), (geometry or {}).get("coordinates")
        if kind not in ("Polygon", "MultiPolygon"):
            continue
        for polygon in [coordinates] if kind == "Polygon" else coordinates or []:
            polygons.append([_ring(ring, path) for ring in polygon or []])
    if not any(polygons):
        raise SlideError(f"tissue_geojson {path.name}: no polygon in it: draw the tissue, or leave the column blank")
    return polygons


def outline_mask(polygons: list[list[np.ndarray]], shape: tuple[int, int], factor: tuple[float, float]) -> np.ndarray:
    """Mask, bool `shape`, of polygons of read_outline; a pixel of it spans `factor` level-0 pixels in x and y.

    A pixel is in a polygon when its centre is (even-odd rule over its rings, so that inner rings are holes of their own
    polygon alone); polygons add up where they overlap.
    """
    mask = np.zeros(shape, bool)
    for rings in polygons:
        mask |= _fill([ring / factor for ring in rings], shape)
    return mask


def _fill(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    height, width = shape
    crossed = np.zeros((height, width + 1), np.int32)
    for ring in rings:
        (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T
        # Rows whose centres an edge passes: from its upper end on, up to but without its lower end.
        first, last = (np.clip(np.ceil(end(y0, y1) - 0.5), 0, height).astype(int) for end in (np.minimum, np.maximum))
        count = last - first
        edge = np.repeat(np.arange(len(count)), count)
        row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        slope = (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
        column = np.ceil(x0[edge] + (row + 0.5 - y0[edge]) * slope - 0.5)
        np.add.at(crossed, (row, np.clip(column, 0, width).astype(int)), 1)
    return np.cumsum(crossed, axis=1)[:, :width] % 2 == 1


def _class(feature: dict) -> str:
    properties = feature.get("properties")
    classification = properties.get("classification") if isinstance(properties, dict) else None
    return str(classification.get("name", "")).lower() if isinstance(classification, dict) else ""


def _ring(ring: object, path: Path) -> np.ndarray:
    try:
        points = np.asarray(ring, float)[:, :2]
    except (TypeError, ValueError, IndexError):
        points = np.zeros((0, 2))
    if len(points) < 4 or not np.isfinite(points).all() or (np.abs(points) > 1e7).any():
        raise SlideError(f"tissue_geojson {path.name}: a ring is not a list of at least 4 points [x, y] in pixels")
    return points


def _plain(error: Exception, path: Path) -> str:
    return str(error).replace(str(path), path.name)
