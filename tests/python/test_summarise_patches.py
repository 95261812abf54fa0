"""Summaries of patch features that exist already."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from hx_features import Origin, PatchFeatures, first_half, read_extremes, read_summary, summarise, write_patch_features
from hx_io import read_table
from summarise_patches import main

ORIGIN = Origin("raw", "mixed10", "random", "ab" * 32, "area 299 px; x/127.5-1")


def made(sample: str, size: int, encoder: str = "raw", n: int = 12, dtype: type = np.float32) -> PatchFeatures:
    rng = np.random.default_rng([size, n, len(encoder)])
    coords = np.stack([np.arange(n) * size, np.zeros(n, np.int64)], axis=1)
    origin = Origin(encoder, *list(ORIGIN.__dict__.values())[1:])
    return PatchFeatures(sample, str(size), size, rng.random((n, 5)).astype(dtype), coords, origin)


def put(folder: Path, patches: PatchFeatures) -> PatchFeatures:
    name = f"features_{patches.origin.encoder}"
    write_patch_features(folder / f"{patches.size}px" / name / f"{patches.sample}.h5", patches)
    return patches


def run(folder: Path, samples: list[str], batch: str = "Lung.b0") -> int:
    rows = [[s, f"D{s}", "Lung", "Lung", "", ""] for s in samples]
    table = pd.DataFrame(rows, columns=["sample", "donor", "tissue", "tissue_id", "slide", "mpp"])
    table.to_csv(folder / "slides.tsv", sep="\t", index=False)
    out = folder / "out"
    return main([
        "--slides", str(folder / "slides.tsv"), "--files", str(folder / "in"), "--batch-id", batch, "--outdir", str(out)
    ])  # fmt: skip


def test_summaries_of_an_earlier_run(tmp_path):
    """The bytes are those that extraction would write, for every size and encoder."""
    files = [put(tmp_path / "in", made("S1", size, encoder)) for size in (128, 256) for encoder in ("raw", "lab")]
    put(tmp_path / "in", made("S2", 128, n=0))
    assert run(tmp_path, ["S2", "S1"]) == 0
    for patches in files:
        sample, found = read_summary(tmp_path / "out/summaries/S1.summary.h5", patches.size)
        want = summarise(patches.features, first_half("S1", patches.coords), patches.origin)
        got = found[patches.origin.encoder]
        assert sample == "S1" and (got.n, got.n_half1, got.origin) == (want.n, want.n_half1, want.origin)
        for name, values in want.statistics.items():
            np.testing.assert_array_equal(got.statistics[name], values)
        path = tmp_path / "out/summaries/S1.summary.h5"
        extremes = read_extremes([path], patches.size, patches.origin.encoder, range(patches.features.shape[1]))["S1"]
        np.testing.assert_array_equal(extremes.values[0], patches.features.max(axis=0))
        np.testing.assert_array_equal(extremes.coords[2], patches.coords[patches.features.argmin(axis=0)])
    assert read_summary(tmp_path / "out/summaries/S2.summary.h5", "128")[1]["raw"].n == 0
    table = read_table(tmp_path / "out/Lung.b0.extract.tsv")
    assert table["sample"].tolist() == ["S1", "S2"] and table["n_patches"].tolist() == ["24", "0"]
    assert set(table["status"]) == {"ok"}
    assert read_table(tmp_path / "out/Lung.b0.dropped.tsv").empty


def test_slides_that_lack_good_files_are_rows(tmp_path, capsys):
    put(tmp_path / "in", made("S1", 128))
    put(tmp_path / "in", made("other", 128))
    put(tmp_path / "in/again", made("twice", 128))
    put(tmp_path / "in", made("twice", 128))
    for name in ("bad", "worse"):
        put(tmp_path / "in", made(name, 128))
        with h5py.File(tmp_path / f"in/128px/features_raw/{name}.h5", "a") as file:
            file["features"][3, 2] = np.nan
            del file["coords"].attrs["patch_size"], file["coords"].attrs["patch_size_level0"]
    assert run(tmp_path, ["S1", "twice", "bad", "none"]) == 0
    table = read_table(tmp_path / "out/Lung.b0.extract.tsv").set_index("sample")
    assert table["status"].to_dict() == {"S1": "ok", "bad": "unreadable", "none": "unreadable", "twice": "unreadable"}
    for sample, told in {"bad": "NaN", "none": "no file none.h5", "twice": "keep one"}.items():
        assert told in table["reason"][sample]
    assert "patch_size_level0" in table["reason"]["bad"]
    assert not table["reason"].str.contains(str(tmp_path)).any()
    dropped = read_table(tmp_path / "out/Lung.b0.dropped.tsv")
    assert dropped["id"].tolist() == ["bad", "none", "twice"]
    assert set(dropped["kind"]) == {"slide"} and set(dropped["stage"]) == {"summarise_patches"}
    assert [path.name for path in (tmp_path / "out/summaries").iterdir()] == ["S1.summary.h5"]
    assert "2 files belong to no slide of this batch: other.h5, worse.h5" in capsys.readouterr().err


def test_half_precision_is_read(tmp_path):
    patches = put(tmp_path / "in", made("S1", 128, dtype=np.float16))
    assert run(tmp_path, ["S1"]) == 0
    mean = read_summary(tmp_path / "out/summaries/S1.summary.h5", "128")[1]["raw"].statistics["mean"]
    np.testing.assert_allclose(mean, patches.features.astype(float).mean(axis=0), rtol=1e-6)


def test_a_faulty_table_of_slides_stops(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert run(tmp_path, ["S1", "S1"]) == 65
    assert "row 3: sample 'S1' stands more than once" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])
