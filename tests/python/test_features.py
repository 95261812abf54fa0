"""Patch features and their summaries: numbers, files, and files of other tools."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from hx_cli import DataError
from hx_features import (
    STATISTICS,
    Extremes,
    Origin,
    PatchFeatures,
    find_extremes,
    first_half,
    read_extremes,
    read_patch_features,
    read_summary,
    summarise,
    write_patch_features,
    write_summary,
)

ORIGIN = Origin("raw", "mixed10", "random", "ab" * 32, "area 299 px; x/127.5-1")


def grid(n: int) -> np.ndarray:
    return np.stack([np.arange(n) % 7, np.arange(n) // 7], axis=1).astype(np.int64) * 256


def test_halves_are_the_parity_of_sha1():
    coords = grid(500)
    expected = [hashlib.sha1(f"S1:{x}:{y}".encode()).digest()[-1] % 2 == 0 for x, y in coords]
    np.testing.assert_array_equal(first_half("S1", coords), expected)
    assert 200 < sum(expected) < 300
    assert not np.array_equal(first_half("S2", coords), expected)
    np.testing.assert_array_equal(first_half("S1", coords[10:20]), expected[10:20])
    assert first_half("S1", coords[:0]).shape == (0,)


def test_statistics():
    rng = np.random.default_rng(1)
    features = (rng.gamma(2, size=(101, 300)) + 1000).astype(np.float32)
    first = rng.random(101) < 0.4
    summary = summarise(features, first, ORIGIN)
    assert (summary.n, summary.n_half1) == (101, int(first.sum()))
    exact = features.astype(np.longdouble)
    for name, values in {
        "mean": exact.mean(axis=0),
        "median": np.sort(exact, axis=0)[50],
        "max": exact.max(axis=0),
        "std": np.sqrt(((exact - exact.mean(axis=0)) ** 2).mean(axis=0)),
        "half1": exact[first].mean(axis=0),
        "half2": exact[~first].mean(axis=0),
    }.items():
        assert summary.statistics[name].dtype == np.float32
        np.testing.assert_array_equal(summary.statistics[name], values.astype(np.float32), err_msg=name)


def test_one_patch_and_none():
    one = summarise(np.float32([[1, 5, -2]]), np.array([True]), ORIGIN)
    for name in ("mean", "median", "max", "half1"):
        np.testing.assert_array_equal(one.statistics[name], [1, 5, -2])
    np.testing.assert_array_equal(one.statistics["std"], 0)
    assert np.isnan(one.statistics["half2"]).all()
    none = summarise(np.zeros((0, 3), np.float32), np.zeros(0, bool), ORIGIN)
    assert none.n == 0 and all(np.isnan(none.statistics[name]).all() for name in STATISTICS)
    assert none.statistics["mean"].shape == (3,)


def test_half_precision_is_summed_in_double():
    features = np.full((5000, 2), 60000, np.float16)
    np.testing.assert_array_equal(summarise(features, np.arange(5000) < 9, ORIGIN).statistics["mean"], 60000)


def contiguous(path: Path) -> bool:
    found = []

    def visit(_, item):
        if isinstance(item, h5py.Dataset):
            found.append(item.chunks is None and item.compression is None)

    with h5py.File(path) as file:
        file.visititems(visit)
    return bool(found) and all(found)


def test_summary_file(tmp_path):
    features = np.random.default_rng(2).random((9, 4), np.float32)
    summaries = {
        (size, name): summarise(features[:rows], first_half("S1", grid(rows)), Origin(name, weights="file"))
        for size, rows in (("256", 9), ("1024", 0))
        for name in ("raw", "lab.v2")
    }
    for name in ("a", "b"):
        write_summary(tmp_path / f"{name}.h5", "S1", summaries)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert contiguous(tmp_path / "a.h5")
    sample, found = read_summary(tmp_path / "a.h5", "256")
    assert sample == "S1" and list(found) == ["lab.v2", "raw"]
    expected = summaries["256", "raw"]
    assert (found["raw"].n, found["raw"].n_half1, found["raw"].origin) == (9, expected.n_half1, expected.origin)
    for name in STATISTICS:
        np.testing.assert_array_equal(found["raw"].statistics[name], expected.statistics[name])
    assert read_summary(tmp_path / "a.h5", "1024")[1]["raw"].n == 0
    assert read_summary(tmp_path / "a.h5", "512") == ("S1", {})


def test_a_damaged_summary_is_told(tmp_path):
    summary = summarise(np.ones((2, 3), np.float32), np.array([True, False]), ORIGIN)
    write_summary(tmp_path / "ok.h5", "S1", {("256", "raw"): summary})
    (tmp_path / "cut.h5").write_bytes((tmp_path / "ok.h5").read_bytes()[:1500])
    write_summary(tmp_path / "short.h5", "S1", {("256", "raw"): summary})
    with h5py.File(tmp_path / "short.h5", "a") as file:
        del file["256/raw/max"]
        file["256/raw/max"] = np.ones(2, np.float32)
    (tmp_path / "text.h5").write_text("no")
    (tmp_path / "node.h5").write_bytes((tmp_path / "ok.h5").read_bytes().replace(b"SNOD", b"XXXX"))
    for name in ("cut.h5", "short.h5", "text.h5", "node.h5", "missing.h5"):
        with pytest.raises(DataError, match=name):
            read_summary(tmp_path / name, "256")


def brute_extremes(features: np.ndarray, coords: np.ndarray) -> Extremes:
    """Patches sorted by value, then by row and column, feature by feature."""
    values = np.full((4, features.shape[1]), np.nan, np.float32)
    places = np.full((4, features.shape[1], 2), -1)
    for column in range(features.shape[1]):
        for start, sign in ((0, -1), (2, 1)):
            ranked = sorted((sign * float(v), y, x) for v, (x, y) in zip(features[:, column], coords, strict=True))
            for row, (value, y, x) in enumerate(ranked[:2], start):
                values[row, column], places[row, column] = sign * value, (x, y)
    return Extremes(values, places)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 60])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_extremes(n, dtype):
    rng = np.random.default_rng(n)
    features = rng.normal(size=(n, 200)).astype(dtype)
    features[:, ::3] = rng.integers(0, 3, (n, len(range(0, 200, 3))))  # many are equal
    coords = rng.permutation(grid(n))
    found, expected = find_extremes(features, coords), brute_extremes(features, coords)
    assert (found.values.dtype, found.coords.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.coords, expected.coords)


def test_extremes_in_summaries(tmp_path):
    rng, paths, features = np.random.default_rng(5), [], {}
    for sample in ("S2", "S1", "old", "other"):
        features[sample] = rng.random((9, 6)).astype(np.float32)
        extremes = None if sample == "old" else find_extremes(features[sample], grid(9))
        summary = summarise(features[sample], first_half(sample, grid(9)), ORIGIN, "", extremes)
        paths.append(tmp_path / f"{sample}.summary.h5")
        write_summary(paths[-1], sample, {("256", "lab" if sample == "other" else "raw"): summary})
    assert contiguous(paths[0])
    found = read_extremes(paths, "256", "raw", [4, 0])
    assert list(found) == ["S2", "S1"]
    for sample, extremes in found.items():
        expected = brute_extremes(features[sample][:, [4, 0]], grid(9))
        np.testing.assert_array_equal(extremes.values, expected.values)
        np.testing.assert_array_equal(extremes.coords, expected.coords)
    assert read_extremes(paths, "512", "raw", [0]) == {}
    # Statistics alone are read where extremes are not asked for.
    assert read_summary(paths[0], "256")[1]["raw"].extremes is None
    assert read_summary(paths[2], "256", extremes=True)[1]["raw"].extremes is None


def test_extremes_that_cannot_be_read(tmp_path):
    features = np.random.default_rng(6).random((9, 6)).astype(np.float32)
    summary = summarise(features, first_half("S", grid(9)), ORIGIN, "", find_extremes(features, grid(9)))
    paths = [tmp_path / f"{name}.summary.h5" for name in ("short", "narrow", "text")]
    for path in paths[:2]:
        write_summary(path, "S", {("256", "raw"): summary})
    with h5py.File(paths[0], "a") as file:
        del file["256/raw/extreme_coords"]
        file["256/raw/extreme_coords"] = np.zeros((4, 5, 2), np.int32)
    paths[2].write_text("no")
    with pytest.raises(DataError) as caught:
        read_extremes(paths, "256", "raw", [6])
    assert len(caught.value.faults) == 3
    for text in ("short.summary.h5", "narrow.summary.h5: 6 features of encoder raw: there is no number 6", "text.summ"):
        assert text in str(caught.value)
    assert read_summary(paths[0], "256")[1]["raw"].n == 9


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_patch_features_file(tmp_path, dtype):
    features = np.random.default_rng(3).random((9, 4), np.float32).astype(dtype)
    patches = PatchFeatures("S1", "512", 512, features, grid(9), ORIGIN)
    for folder in ("a", "b"):
        write_patch_features(tmp_path / folder / "S1.h5", patches)
    path = tmp_path / "a" / "S1.h5"
    assert path.read_bytes() == (tmp_path / "b" / "S1.h5").read_bytes()
    assert contiguous(path)
    found = read_patch_features(path)
    assert (found.sample, found.size, found.side, found.origin) == ("S1", "512", 512, ORIGIN)
    assert found.features.dtype == dtype
    np.testing.assert_array_equal(found.features, features)
    np.testing.assert_array_equal(found.coords, grid(9))


def write_foreign(path: Path, features: object, coords: object, on_features: dict, on_coords: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, data, attributes in (("features", features, on_features), ("coords", coords, on_coords)):
            if data is not None:
                file.create_dataset(name, data=data).attrs.update(attributes)
    return path


def test_files_of_other_tools(tmp_path):
    values, coords = np.random.default_rng(4).random((5, 6)), grid(5)
    trident = write_foreign(
        tmp_path / "20x_256px/features_uni_v1/S1.h5",
        values,
        coords,
        {"encoder": "uni_v1", "name": "S1"},
        {"patch_size": 256, "patch_size_level0": 512, "overlap": 0},
    )
    found = read_patch_features(trident)
    assert (found.sample, found.side, found.origin) == ("S1", 512, Origin("uni_v1"))
    assert found.features.dtype == np.float32 and found.coords.dtype == np.int64

    clam = write_foreign(
        tmp_path / "features_resnet/S1.h5", values, coords.astype(np.int32), {"patch_size": 256, "patch_level": 0}, {}
    )
    found = read_patch_features(clam)
    assert (found.side, found.origin.encoder) == (256, "resnet")

    as_bytes = write_foreign(tmp_path / "x/S1.h5", values, coords, {"encoder": np.bytes_(b"e1")}, {"patch_size": 64.0})
    found = read_patch_features(as_bytes)
    assert (found.side, found.origin.encoder) == (64, "e1")


@pytest.mark.parametrize(
    ("features", "coords", "on_features", "on_coords", "told"),
    [
        (None, grid(5), {}, {}, ["no dataset features"]),
        (np.ones((5, 2)), None, {}, {}, ["no dataset coords"]),
        (np.ones((1, 5, 2)), grid(5), {}, {}, ["(N, D)", "a row (x, y) a patch", "patch_size_level0", "encoder"]),
        (np.ones((5, 2), int), grid(5), {"encoder": "a"}, {"patch_size": 64}, ["floating-point"]),
        (np.ones((5, 2)), grid(4), {"encoder": "a"}, {"patch_size": 64}, ["coords are (4, 2)"]),
        (np.full((5, 2), np.nan), grid(5), {"encoder": "a"}, {"patch_size": 64}, ["NaN", "5 of 5"]),
        (np.ones((5, 2)), grid(5), {"encoder": "a"}, {"patch_size": 64, "patch_level": 1}, ["patch_size_level0"]),
        (np.ones((5, 2)), grid(5), {"encoder": "a/b"}, {"patch_size": 64}, ["'a/b'"]),
        (np.ones((5, 2)), grid(5), {"encoder": "a"}, {"patch_size": 0}, ["no patch size"]),
    ],
)
def test_faulty_patch_features(tmp_path, features, coords, on_features, on_coords, told):
    path = write_foreign(tmp_path / "S1.h5", features, coords, on_features, on_coords)
    with pytest.raises(DataError) as caught:
        read_patch_features(path)
    for text in told:
        assert text in str(caught.value)
    assert all("S1.h5" in fault for fault in caught.value.faults)


def test_files_that_are_no_hdf5(tmp_path):
    (tmp_path / "S1.h5").write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match=r"S1\.h5"):
        read_patch_features(tmp_path / "S1.h5")
