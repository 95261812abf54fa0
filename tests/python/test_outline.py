"""Outlines that people drew: GeoJSON in, mask out."""

import json

import numpy as np
import pytest

from hx_outline import outline_mask, read_outline
from hx_slide import SlideError
from hx_tissue import geojson


def put(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def polygon(*rings, name=None):
    properties = {} if name is None else {"classification": {"name": name}}
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": list(rings)}}


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def test_our_own_outline_comes_back_as_the_mask_it_was_made_from(tmp_path):
    y, x = np.mgrid[:120, :150]
    mask = (np.hypot(x - 60, y - 60) < 45) & (np.hypot(x - 70, y - 55) > 12) | (np.hypot(x - 125, y - 30) < 15)
    path = put(tmp_path / "a.geojson", geojson("S1", mask, (16.0, 16.0), 0.25e-6))
    found = outline_mask(read_outline(path), mask.shape, (16.0, 16.0))
    assert (found & mask).sum() / (found | mask).sum() > 0.95


def test_area_against_the_closed_form():
    rings = [np.array(box(100, 50, 900, 650), float), np.array(box(300, 200, 500, 400), float)]
    mask = outline_mask([rings], (700, 1000), (1.0, 1.0))
    assert mask.sum() == 800 * 600 - 200 * 200
    assert not mask[300, 400] and mask[100, 150]
    # at eight level-0 pixels a mask pixel
    assert outline_mask([rings], (88, 125), (8.0, 8.0)).sum() * 64 == pytest.approx(mask.sum(), rel=0.01)
    # overlapping polygons add up, and reach beyond the slide without harm
    both = outline_mask([rings[:1], [rings[0] + 200]], (700, 1000), (1.0, 1.0))
    assert both.sum() == 800 * 600 + 700 * 450 - 600 * 400
    # a ring that is not closed is closed
    open_ring = outline_mask([[rings[0][:-1]]], (700, 1000), (1.0, 1.0))
    assert (open_ring == outline_mask([rings[:1]], (700, 1000), (1.0, 1.0))).all()


def test_pixels_are_those_whose_centres_lie_inside():
    rng = np.random.default_rng(3)
    for _ in range(20):
        ring = rng.uniform(-10, 70, (7, 2))  # crosses itself as it likes
        mask = outline_mask([[ring]], (50, 60), (1.0, 1.0))
        y, x = np.mgrid[:50, :60] + 0.5
        centres = np.column_stack([x.ravel(), y.ravel()])
        a, b = ring, np.roll(ring, -1, axis=0)
        crossings = np.zeros(len(centres), int)
        for (x0, y0), (x1, y1) in zip(a, b, strict=True):
            between = (y0 <= centres[:, 1]) != (y1 <= centres[:, 1])
            crossings += between & (centres[:, 0] > x0 + (centres[:, 1] - y0) * (x1 - x0) / (y1 - y0))
        assert (mask.ravel() == (crossings % 2 == 1)).all()


def test_annotations_of_another_class_do_not_count(tmp_path):
    tissue, other = polygon(box(0, 0, 50, 50), name="Tissue"), polygon(box(0, 0, 90, 90), name="Tumor")
    assert len(read_outline(put(tmp_path / "a", {"type": "FeatureCollection", "features": [other, tissue]}))) == 1
    assert len(read_outline(put(tmp_path / "b", {"type": "FeatureCollection", "features": [other]}))) == 1
    multi = {"type": "MultiPolygon", "coordinates": [[box(0, 0, 9, 9)], [box(20, 20, 40, 40), box(25, 25, 30, 30)]]}
    assert [len(rings) for rings in read_outline(put(tmp_path / "c", multi))] == [1, 2]
    assert len(read_outline(put(tmp_path / "d", [tissue, other]))) == 1  # QuPath exports a bare list too


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no json", "no readable GeoJSON"),
        ("[1, 2]", "FeatureCollection of polygons"),
        ({"type": "FeatureCollection", "features": {"a": 1}}, "FeatureCollection of polygons"),
        ({"type": "FeatureCollection", "features": []}, "no polygon"),
        ({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}, "no polygon"),
        (polygon([[0, 0], [1, 1], [0, 0]]), "at least 4 points"),
        (polygon([[0, 0], ["a", 1], [2, 2], [0, 0]]), "at least 4 points"),
        (polygon([[0, 0], [1e9, 1], [2, 2], [0, 0]]), "at least 4 points"),
        ({"type": "Feature", "geometry": None}, "no polygon"),
    ],
)
def test_what_is_no_outline_is_told(tmp_path, content, told):
    with pytest.raises(SlideError, match=told) as fault:
        read_outline(put(tmp_path / "x.geojson", content))
    assert "tissue_geojson x.geojson" in str(fault.value) and str(tmp_path) not in str(fault.value)
    with pytest.raises(SlideError, match=r"gone.geojson: no readable"):
        read_outline(tmp_path / "gone.geojson")
