"""hx_feature_map and hx_picture: values on the tissue, predicted expression patch by patch, files for other tools."""

import json
import uuid
from itertools import pairwise

import anndata
import numpy as np
import pandas as pd
import pytest
from description_made import REGION, SIDE, patches_of, with_region
from sklearn.metrics import roc_auc_score

import hx_picture
from hx_cli import DataError
from hx_feature_map import (
    PREDICTED,
    additive,
    annotated,
    blank_canvas,
    column_of,
    file_name,
    genes_of,
    geojson,
    heat,
    patch_components,
    span,
    tissue_canvas,
)
from hx_features import Origin, PatchFeatures
from hx_picture import bar_length, colours, fitted, headed, number, scale_bar, scatter, sheet, ticks, wrapped, write_png
from hx_predict_model import NUMBERS, FoldModel, Model, donor_hash
from hx_slide import Overview


@pytest.fixture(scope="module")
def region() -> tuple[PatchFeatures, np.ndarray, np.ndarray]:
    """Patches of a slide with a planted region, the picture, and which patches lie in the region (by their centre)."""
    picture, _ = with_region(4)
    patches = patches_of("S", picture)
    x, y = (patches.coords + SIDE / 2).T
    rows, columns = REGION
    inside = (x >= columns.start) & (x < columns.stop) & (y >= rows.start) & (y < rows.stop)
    return patches, picture, inside


def test_planted_region_is_found_patch_by_patch(region):
    patches, _, inside = region
    hue = patches.features[:, 0]
    assert 20 < inside.sum() < len(hue) / 2
    assert inside[np.argsort(-hue)[:10]].all()
    assert roc_auc_score(inside, hue) >= 0.95


@pytest.mark.parametrize("factor", [1.0, 4.0, 5.37])
def test_map_is_registered_within_a_patch(region, factor):
    """What the map colours as high lies where the region was planted, at any resolution of the picture."""
    patches, picture, inside = region
    side = int(len(picture) / factor)
    small = Overview(fitted(picture, side, (255, 255, 255))[0], (len(picture) / side,) * 2)
    canvas = tissue_canvas(small, patches.coords, SIDE, 700)
    low, high = span([patches.features[:, 0]])
    drawn = heat(canvas, patches.coords, SIDE, inside.astype(float), 0, 1)
    yellow = (drawn[..., 0] > 180) & (drawn[..., 2] < 120)
    rows, columns = np.nonzero(yellow)
    found = canvas.corner + canvas.factor * np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    expected = (patches.coords[inside] + SIDE / 2).mean(axis=0)
    assert np.abs(found - expected).max() < SIDE / 4
    edges = canvas.corner + canvas.factor * np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
    box = [patches.coords[inside].min(axis=0), patches.coords[inside].max(axis=0) + SIDE]
    assert np.abs(edges - box).max() < SIDE / 4
    assert low < high
    # The tissue under it is that of the same place: grey, and darker than glass where the slide is.
    at = np.floor((patches.coords[~inside][0] + SIDE / 2 - canvas.corner) / canvas.factor).astype(int)
    x, y = (patches.coords[~inside][0] + SIDE / 2).astype(int)
    around = picture[y - 4 : y + 4, x - 4 : x + 4].mean(axis=(0, 1))
    there = canvas.pixels[at[1] - 1 : at[1] + 2, at[0] - 1 : at[0] + 2].mean(axis=(0, 1))
    assert np.abs(around - there).max() < 60


def test_blank_canvas_holds_all_patches():
    coords = np.array([[640, 0], [1280, 2560]])
    canvas = blank_canvas(coords, 64, 500)
    assert max(canvas.pixels.shape) == 500
    drawn = heat(canvas, coords, 64, np.array([0.0, 1.0]), 0, 1)
    painted = np.abs(drawn.astype(int) - 255).sum(axis=2) > 60
    assert painted.sum() == pytest.approx(2 * (64 / canvas.factor[0]) ** 2, rel=0.25)


def model_of(width: int, genes: int = 3, **told: str) -> Model:
    """A model on features raw_0001 … with coefficients without fold 2 of genes 0 and 2."""
    rng = np.random.default_rng(0)
    place = {"setting": "Lung.64.raw.mean", "tissue_id": "Lung", "size": "64", "aggregation": "mean"}
    origin = {"encoder": "raw", "weights_sha256": "ab" * 32, "layer": "", "preprocess": ""}
    features = width - 1
    fold = FoldModel(
        2, np.array([0, 2]), np.arange(1, features), rng.normal(size=features - 1), rng.uniform(1, 2, features - 1),
        rng.normal(size=2), rng.normal(size=(features - 1, 2)).astype(np.float32),
    )  # fmt: skip
    return Model(
        place | origin | told,
        np.array([f"raw_{k + 1:04d}" for k in range(features)], object),
        rng.normal(size=features), rng.uniform(1, 2, features),
        np.array([f"G{k}" for k in range(genes)], object), np.array([f"S{k}" for k in range(genes)], object),
        rng.normal(size=genes), rng.normal(size=(features, genes)).astype(np.float32),
        np.array([-3.0, 3.0]), np.array([[0.0] * genes, [9.0] * genes]),
        {name: np.array([0.1, 0.9, 0.3][:genes]) for name in NUMBERS}, 9.0,
        np.array([donor_hash("D1")], object), [fold],
    )  # fmt: skip


def deep(n: int = 200, width: int = 40) -> PatchFeatures:
    features = np.random.default_rng(1).gamma(2, 1, (n, width)).astype(np.float32)
    coords = np.column_stack([64 * np.arange(n), np.zeros(n, int)])
    return PatchFeatures("S", "64", 64, features, coords, Origin("raw", weights_sha256="ab" * 32))


def test_additive_map_has_the_slides_prediction_as_its_mean():
    """Of the model of all donors, against Model.predict of the slide's stored (float32) mean."""
    patches, model = deep(), model_of(40)
    slide = patches.features.mean(axis=0, dtype=np.float64).astype(np.float32)
    scores, _ = model.predict(slide[None, 1:].astype(np.float64))
    parts = additive(model, patches, ["G0", "G1", "G2"], None)
    assert parts.shape == (200, 3)
    np.testing.assert_allclose(parts.mean(axis=0), scores[0], atol=1e-6)


def test_additive_map_of_a_training_donor_uses_coefficients_without_its_fold():
    patches, model = deep(), model_of(40)
    fold = model.folds[0]
    slide = patches.features.mean(axis=0, dtype=np.float64)[2:]
    expected = fold.intercept[1] + ((slide - fold.mean) / fold.scale) @ fold.beta[:, 1].astype(float)
    assert additive(model, patches, ["G2"], 2).mean() == pytest.approx(expected, abs=1e-9)
    with pytest.raises(DataError, match="no coefficients without fold 4"):
        additive(model, patches, ["G2"], 4)


def test_additive_map_of_medians_is_refused_with_the_reason():
    with pytest.raises(DataError, match="no additive map of a model on the median: a mean alone"):
        additive(model_of(40, aggregation="median"), deep(), ["G0"], None)


def test_model_of_another_encoder_is_refused():
    other = deep()._replace(origin=Origin("raw", weights_sha256="cd" * 32))
    with pytest.raises(DataError, match="different encoders or sizes"):
        additive(model_of(40), other, ["G0"], None)
    with pytest.raises(DataError, match="different encoders or sizes"):
        additive(model_of(40), deep()._replace(size="128"), ["G0"], None)


def test_genes_to_map():
    model = model_of(40)
    assert genes_of(model, [], 2) == (["G2", "G0"], [])
    assert genes_of(model, ["S0", "G2"], 9) == (["G0", "G2"], [])
    found, lost = genes_of(model, ["S1", "TP53", "S0"], 2)
    assert found == ["G0"]
    assert lost == [
        ("S1", "too weak for coefficients that leave a fold out in Lung.64.raw.mean: no map"),
        ("TP53", "no model of this gene in Lung.64.raw.mean: no map"),
    ]


def test_feature_by_another_name_cannot_be_mapped():
    assert column_of("raw_0012", "raw") == 12
    assert column_of("raw-mixed2-mean_0012", "raw-mixed2-mean") == 12
    with pytest.raises(DataError, match="area: not of the patch features of raw"):
        column_of("area", "raw")


def test_geojson_is_a_square_a_patch(region):
    patches, _, _ = region
    values = pd.DataFrame({"raw_0000": patches.features[:, 0]})
    rgb = colours(patches.features[:, 0], 0, 1)
    found = json.loads(json.dumps(geojson(patches, values, rgb)))
    assert len(found["features"]) == len(patches.coords)
    first = found["features"][0]
    x, y = patches.coords[0].tolist()
    assert first["geometry"]["coordinates"] == [[[x, y], [x + 64, y], [x + 64, y + 64], [x, y + 64], [x, y]]]
    assert first["properties"]["measurements"]["raw_0000"] == pytest.approx(float(patches.features[0, 0]), rel=1e-6)
    assert first["properties"]["color"] == rgb[0].tolist()
    assert len({feature["id"] for feature in found["features"]}) == len(patches.coords)
    assert geojson(patches, values, rgb) == geojson(patches, values, rgb)


def check_geojson(found: dict) -> None:
    """The form of RFC 7946 (sections 3.1.6, 3.2, 3.3 and 4) and the properties that QuPath 0.4 and later reads."""
    assert set(found) == {"type", "features"} and found["type"] == "FeatureCollection"
    for feature in found["features"]:
        assert set(feature) == {"type", "id", "geometry", "properties"} and feature["type"] == "Feature"
        geometry, properties = feature["geometry"], feature["properties"]
        assert set(geometry) == {"type", "coordinates"} and geometry["type"] == "Polygon"
        for ring in geometry["coordinates"]:
            assert len(ring) >= 4 and ring[0] == ring[-1]
            assert all(len(place) == 2 and all(isinstance(value, int | float) for value in place) for place in ring)
        area = sum(a * d - c * b for (a, b), (c, d) in pairwise(geometry["coordinates"][0]))
        assert area > 0  # the exterior ring is counterclockwise
        assert str(uuid.UUID(feature["id"])) == feature["id"]
        assert properties["objectType"] in {"annotation", "detection", "tile", "cell"}
        assert set(properties["classification"]) == {"name", "color"} and properties["classification"]["name"]
        for rgb in (properties["color"], properties["classification"]["color"]):
            assert len(rgb) == 3 and all(isinstance(value, int) and 0 <= value <= 255 for value in rgb)
        # One object of names and numbers: an array of pairs is what was read before 0.4.
        assert isinstance(properties["measurements"], dict)
        assert all(isinstance(value, float) and np.isfinite(value) for value in properties["measurements"].values())


def test_geojson_has_the_form_of_its_standard_and_of_qupath(region):
    patches, _, _ = region
    values = pd.DataFrame({"raw_0000": patches.features[:, 0], "eosin density": patches.features[:, 1]})
    found = json.loads(json.dumps(geojson(patches, values, colours(values["raw_0000"], 0, 1)), allow_nan=False))
    check_geojson(found)
    found["features"][3]["geometry"]["coordinates"][0].reverse()
    with pytest.raises(AssertionError):
        check_geojson(found)


def test_anndata_has_centres_values_and_picture(region, tmp_path):
    patches, picture, _ = region
    values = pd.DataFrame({"raw_0000": patches.features[:, 0], "SFTPA1": patches.features[:, 1]})
    scores = patch_components([patches.features])[0]
    whole = Overview(picture[::4, ::4], (4.0, 4.0))
    annotated(patches, values, {"raw_0000": "feature", "SFTPA1": PREDICTED}, scores, whole).write_h5ad(
        tmp_path / "a.h5ad"
    )
    found = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(found.obsm["spatial"], patches.coords + 32)
    np.testing.assert_array_equal(found[:, "raw_0000"].X[:, 0], patches.features[:, 0])
    assert found.var.loc["SFTPA1", "what"] == "predicted, not measured"
    shown = found.uns["spatial"]["S"]
    assert shown["scalefactors"]["tissue_lowres_scalef"] == 0.25
    assert shown["images"]["lowres"].shape == (256, 256, 3)
    assert found.obsm["spatial"].dtype == np.float32 and found.obs["x"].dtype == np.int32
    bare = annotated(patches, values, {"raw_0000": "feature", "SFTPA1": PREDICTED}, scores, None)
    assert bare.uns["spatial"]["S"]["images"] == {}


def test_a_large_picture_is_made_smaller_and_stays_registered(region, tmp_path):
    patches, picture, _ = region
    values, scores = pd.DataFrame({"raw_0000": patches.features[:, 0]}), patch_components([patches.features])[0]
    found = annotated(patches, values, {"raw_0000": "feature"}, scores, Overview(picture, (1.0, 1.0)))
    shown = found.uns["spatial"]["S"]
    small, scale = shown["images"]["lowres"], shown["scalefactors"]["tissue_lowres_scalef"]
    assert max(small.shape) == 600 and scale == pytest.approx(600 / 1024)
    x, y = (found.obsm["spatial"] * scale).astype(int).T
    assert small[y, x].mean() < small.mean()  # patches lie on tissue, which is darker than glass
    with_picture, without = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    found.write_h5ad(with_picture, compression="gzip")
    del found.uns["spatial"]
    found.write_h5ad(without, compression="gzip")
    assert with_picture.stat().st_size - without.stat().st_size < 3 * 600 * 600


def test_components_of_all_slides_together():
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((n, 12)) @ np.diag(np.arange(1, 13)) for n in (40, 70)]
    parts = [np.hstack([part, np.full((len(part), 1), 0.1)]) for part in parts]
    found = np.concatenate(patch_components(parts))
    stacked = np.concatenate(parts)[:, :12]
    unit = (stacked - stacked.mean(axis=0)) / stacked.std(axis=0)
    left, size, _ = np.linalg.svd(unit, full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :3] * size[:3]), atol=1e-9)


def test_colours_grow_lighter_with_the_value():
    rgb = colours(np.linspace(-1, 2, 31), 0, 1)
    assert (rgb[:11] == rgb[0]).all() and (rgb[20:] == rgb[30]).all()
    light = rgb[10:21].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()
    assert len(np.unique(colours(np.ones(3), 1, 1), axis=0)) == 1


@pytest.mark.parametrize("um", [0.25, 0.5, 3.7])
def test_scale_bar_is_as_long_as_it_says(um):
    picture = np.full((200, 200, 3), 128, np.uint8)
    scale_bar(picture, um)
    black = (picture[190] == 0).all(axis=1)
    assert black.sum() * um == pytest.approx(bar_length(0.4 * 200 * um), rel=0.02)
    bare = np.full((200, 200, 3), 128, np.uint8)
    scale_bar(bare, None)
    assert (bare == 128).all()


def test_ticks_are_round_and_inside():
    np.testing.assert_allclose(ticks(0.03, 1.02), [0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(5, 5).tolist() == [5]
    assert all(-3.3 <= value <= 12 for value in ticks(-3.3, 12))
    assert [number(value) for value in (0.0, -1.25, 123456.0, 1e-13)] == ["0", "-1.25", "1.235e+05", "0"]


def test_scatter_puts_points_at_their_values():
    picture = scatter(np.array([0.0, 10.0]), np.array([5.0, -5.0]), ("x", "y"), "title")
    blue = (picture[..., 2].astype(int) - picture[..., 0] > 60).nonzero()
    rows, columns = blue
    left = columns < np.median(columns)
    assert rows[left].mean() < rows[~left].mean()
    assert columns.max() - columns.min() == pytest.approx(420 / 1.1, abs=14)


def test_text_wraps_and_never_leaves_the_picture():
    text = "tracks " + "eosin density (rho .82) and, given that, " * 4
    lines = wrapped(text, 18, 300)
    assert " ".join(lines) == text.strip()
    assert all(hx_picture.width_of(line, 18) <= 300 for line in lines)
    picture = headed(np.full((50, 300, 3), 255, np.uint8), "A title that is longer than the picture is wide", text)
    assert (picture[:, -5:] == 255).all()


def test_sheet_breaks_rows_and_is_the_same_each_time(tmp_path):
    tile = hx_picture.Tile(np.full((60, 60, 3), 200, np.uint8), "D1\n0.5", 0.5)
    rows = [hx_picture.Row("Highest", [tile] * 7), hx_picture.Row("", [])]
    picture = sheet(rows, 60, 5)
    assert picture.shape[1] == 5 * 60 + 4 * 8
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, sheet(rows, 60, 5))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_file_names_are_safe_and_distinct():
    assert file_name(3, "area / µm²") == "03.area____m_"
    assert file_name(1, "a b") != file_name(2, "a_b")
