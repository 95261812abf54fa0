"""Extraction: features of real pixels, the same whatever runs beside them, and failures that stay with their slide."""

import argparse
import contextlib
import hashlib
import re
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import openslide
import pandas as pd
import pytest
from encoders_made import METADATA, expected, write_encoder
from extraction_made import SIDE, contents, coords, extract, put_patches, put_slides
from slide_formats_made import write_mirax
from slides_made import corrupt_tile, ellipse, glass, stain, write_slide

import hx_extraction
from hx_cli import TemporaryFailure
from hx_encoder import Encoder
from hx_extraction import Extraction
from hx_features import read_patch_features, read_summary, summarise
from hx_grid import Grid, read_patches
from hx_io import read_table
from hx_jobs import Job
from hx_rows import read_slides
from hx_slide import Slide

SIZES = (64, 128, 256, 512)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Three slides with patches of four sizes, and two encoders of different input sizes."""
    folder = tmp_path_factory.mktemp("cohort")
    for i, sample in enumerate(("S1", "S2", "S3")):
        picture = stain(glass(SIDE, SIDE, seed=i), ellipse(SIDE, SIDE, (500, 480), (420, 400)), seed=i)
        write_slide(folder / f"{sample}.tif", picture)
        for size in SIZES:
            put_patches(folder / "patches", sample, size, coords(size, [None, 3, 1][i], first=[0, 2, 0][i]))
    write_encoder(folder / "tiny.onnx", width=37, metadata={**METADATA, "width": "37"})
    other = {"name": "other", "weights": "imagenet", "input_px": "96"}
    write_encoder(folder / "other.onnx", px=96, seed=1, metadata={**METADATA, **other})
    put_slides(folder / "slides.tsv", ["S3", "S1", "S2"])
    return folder


@pytest.fixture(scope="module")
def extracted(cohort, tmp_path_factory) -> Path:
    outdir = tmp_path_factory.mktemp("extracted")
    assert extract(cohort, outdir) == 0
    return outdir


def pixels(path: Path, size: int, xy: np.ndarray, px: int) -> np.ndarray:
    """Patches read one by one with OpenSlide itself."""
    with openslide.OpenSlide(path) as slide:
        patches = [np.asarray(slide.read_region(tuple(corner), 0, (size, size)))[..., :3] for corner in xy.tolist()]
    how = cv2.INTER_AREA if size > px else cv2.INTER_CUBIC
    return np.stack([cv2.resize(patch, (px, px), interpolation=how) for patch in patches])


@pytest.mark.parametrize(("name", "px", "width", "seed"), [("tiny", 64, 37, 0), ("other", 96, 8, 1)])
def test_features_are_those_of_the_pixels(cohort, extracted, name, px, width, seed):
    for sample in ("S1", "S2", "S3"):
        for size in SIZES:
            found = read_patch_features(extracted / f"{size}px" / f"features_{name}" / f"{sample}.h5")
            _, grid, _ = read_patches(cohort / "patches" / f"{size}px" / "patches" / f"{sample}_patches.h5")
            np.testing.assert_array_equal(found.coords, grid.coords)
            patches = pixels(cohort / f"{sample}.tif", size, grid.coords, px)
            np.testing.assert_allclose(found.features, expected(patches, width, seed), atol=1e-5)
            assert (found.size, found.side, found.origin.encoder) == (str(size), size, name)
            assert found.origin.preprocess == f"area {px} px; x/127.5-1"


def test_summaries_are_those_of_the_features(extracted):
    for size in SIZES:
        sample, summaries = read_summary(extracted / "summaries" / "S1.summary.h5", str(size))
        assert sample == "S1" and list(summaries) == ["other", "tiny"]
        for name, summary in summaries.items():
            patches = read_patch_features(extracted / f"{size}px" / f"features_{name}" / "S1.h5")
            half = [int(hashlib.sha1(f"S1:{x}:{y}".encode()).hexdigest(), 16) % 2 == 0 for x, y in patches.coords]
            want = summarise(patches.features, np.array(half), patches.origin)
            assert (summary.n, summary.n_half1, summary.origin) == (want.n, want.n_half1, want.origin)
            for statistic, values in want.statistics.items():
                np.testing.assert_array_equal(summary.statistics[statistic], values)


def test_tables(extracted):
    table = read_table(extracted / "Lung.b3.extract.tsv")
    assert table["sample"].tolist() == ["S1", "S2", "S3"]
    assert set(table["status"]) == {"ok"} and set(table["reason"]) == {""}
    assert table["n_patches"].tolist() == [str(sum((SIDE // s) ** 2 for s in SIZES)), "11", "4"]
    dropped = read_table(extracted / "Lung.b3.dropped.tsv")
    assert dropped.empty and list(dropped) == ["id", "kind", "stage", "reason"]


def test_bytes_do_not_depend_on_threads(cohort, extracted, tmp_path):
    assert extract(cohort, tmp_path, threads=3, micro_batch=5) == 0
    assert contents(tmp_path) == contents(extracted)


def test_bytes_do_not_depend_on_the_rest_of_the_batch(cohort, extracted, tmp_path):
    put_slides(tmp_path / "slides.tsv", ["S2"])
    (tmp_path / "patches").mkdir()
    put_patches(tmp_path / "patches", "S2", 128, coords(128, 3, first=2))
    assert extract(cohort, tmp_path / "out", slides=tmp_path / "slides.tsv", patches=tmp_path / "patches") == 0
    for name in ("tiny", "other"):
        path = Path("128px") / f"features_{name}" / "S2.h5"
        assert (tmp_path / "out" / path).read_bytes() == (extracted / path).read_bytes()


def test_each_part_of_a_slide_is_decoded_once(cohort, tmp_path, monkeypatch):
    read, calls = Slide.read, []
    monkeypatch.setattr(Slide, "read", lambda self, *area: calls.append(area) or read(self, *area))
    put_slides(tmp_path / "slides.tsv", ["S1"])
    assert extract(cohort, tmp_path, slides=tmp_path / "slides.tsv") == 0
    assert sum(w * h for _, _, w, h in calls) == SIDE * SIDE


def test_nothing_is_kept_but_summaries_by_default(cohort, tmp_path):
    assert extract(cohort, tmp_path, save_patch_features="none") == 0
    assert [path.parent.name for path in tmp_path.rglob("*.h5")] == ["summaries"] * 3


def test_half_precision_is_for_the_files_alone(cohort, extracted, tmp_path):
    assert extract(cohort, tmp_path, save_patch_features="float16") == 0
    path = Path("256px/features_tiny/S1.h5")
    half, full = read_patch_features(tmp_path / path), read_patch_features(extracted / path)
    assert half.features.dtype == np.float16
    np.testing.assert_array_equal(half.features, full.features.astype(np.float16))
    summary = Path("summaries/S1.summary.h5")
    assert (tmp_path / summary).read_bytes() == (extracted / summary).read_bytes()


def test_the_studys_resize(cohort, tmp_path):
    assert extract(cohort, tmp_path, resize="bilinear") == 0
    found = read_patch_features(tmp_path / "512px/features_tiny/S3.h5")
    assert found.origin.preprocess.startswith("bilinear 64 px")
    assert np.abs(found.features - expected(pixels(cohort / "S3.tif", 512, coords(512, 1), 64), 37)).max() > 1e-4


def test_progress_is_told(cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(hx_extraction, "PROGRESS_SECONDS", 0.0)
    assert extract(cohort, tmp_path) == 0
    lines = re.findall(r"INFO: .* slides.*", capsys.readouterr().err)
    total = sum((SIDE // s) ** 2 for s in SIZES) + 15
    assert re.fullmatch(
        rf"INFO: \d of 3 slides, \d+ of {total} patches, [\d.]+ patches/s, [\d.]+ min left, "
        r"models waited for pixels \d+ % of the time",
        lines[0],
    )
    assert lines[-1].startswith(f"INFO: 3 of 3 slides, {total} of {total} patches")


def test_slides_that_fail_are_rows(cohort, tmp_path, capsys):
    samples = ["S1", "blank", "cut", "empty", "gone", "nopatch", "wrong", "badh5"]
    for sample in samples[1:]:
        if sample != "gone":
            (tmp_path / f"{sample}.tif").write_bytes((cohort / "S2.tif").read_bytes())
        if sample not in ("nopatch", "badh5"):
            put_patches(tmp_path / "p", sample, 128, coords(128, 0 if sample == "empty" else 4))
    (tmp_path / "S1.tif").write_bytes((cohort / "S1.tif").read_bytes())
    put_patches(tmp_path / "p", "S1", 128, coords(128, 4))
    (tmp_path / "blank.tif").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes((cohort / "S2.tif").read_bytes()[:5000])
    (tmp_path / "p" / "badh5_patches.h5").write_bytes(b"no")
    other = put_patches(tmp_path / "q", "other", 128, coords(128, 4))
    other.replace(tmp_path / "p" / "128px" / "patches" / "wrong_patches.h5")
    put_slides(tmp_path / "slides.tsv", samples)
    out = tmp_path / "out"
    folders = {"slide_dir": tmp_path, "patches": tmp_path / "p", "slides": tmp_path / "slides.tsv"}
    assert extract(cohort, out, threads=2, **folders) == 0
    table = read_table(out / "Lung.b3.extract.tsv").set_index("sample")
    assert table["status"].to_dict() == {
        "S1": "ok",
        "badh5": "unreadable",
        "blank": "unreadable",
        "cut": "unreadable",
        "empty": "ok",
        "gone": "unreadable",
        "nopatch": "no_tissue",
        "wrong": "unreadable",
    }
    assert "no such file" in table["reason"]["gone"] and "patches of other" in table["reason"]["wrong"]
    assert not table["reason"].str.contains(str(tmp_path)).any()
    dropped = read_table(out / "Lung.b3.dropped.tsv")
    assert dropped["id"].tolist() == ["badh5", "blank", "cut", "gone", "wrong"]
    assert set(dropped["kind"]) == {"slide"} and set(dropped["stage"]) == {"extract_features"}
    assert {path.name for path in out.rglob("*.h5")} == {"S1.h5", "S1.summary.h5", "empty.h5", "empty.summary.h5"}
    assert read_summary(out / "summaries" / "empty.summary.h5", "128")[1]["tiny"].n == 0
    assert read_patch_features(out / "128px/features_tiny/empty.h5").features.shape == (0, 37)
    assert "gone" in capsys.readouterr().err


def test_a_damaged_tile_costs_its_patches_alone(cohort, tmp_path):
    (tmp_path / "S1.tif").write_bytes((cohort / "S1.tif").read_bytes())
    corrupt_tile(tmp_path / "S1.tif", 0, 5)  # the tile at x, y = 256
    put_slides(tmp_path / "slides.tsv", ["S1"])
    put_patches(tmp_path / "p", "S1", 256, coords(256))
    put_patches(tmp_path / "p", "S1", 512, coords(512))
    out = tmp_path / "out"
    folders = {"slide_dir": tmp_path, "patches": tmp_path / "p", "slides": tmp_path / "slides.tsv"}
    assert extract(cohort, out, **folders) == 0
    row = read_table(out / "Lung.b3.extract.tsv").iloc[0]
    assert (row["status"], row["n_patches"], row["n_bad_patches"]) == ("partial", "18", "2")
    dropped = read_table(out / "Lung.b3.dropped.tsv")
    assert dropped["id"].tolist() == ["S1:256:256:256", "S1:512:0:0"] and set(dropped["kind"]) == {"patch"}
    found = read_patch_features(out / "256px/features_tiny/S1.h5")
    assert found.coords.tolist() == [xy for xy in coords(256).tolist() if xy != [256, 256]]
    np.testing.assert_allclose(
        found.features, expected(pixels(cohort / "S1.tif", 256, found.coords, 64), 37), atol=1e-5
    )


@pytest.mark.parametrize(("scale", "kept", "told"), [(3e38, "none", "not finite"), (1e8, "float16", "float16")])
def test_values_that_are_no_features(cohort, tmp_path, scale, kept, told):
    write_encoder(tmp_path / "wild.onnx", scale=scale, metadata={**METADATA, "name": "wild"})
    assert extract(cohort, tmp_path, encoders=[tmp_path / "wild.onnx"], save_patch_features=kept) == 0
    table = read_table(tmp_path / "Lung.b3.extract.tsv")
    assert set(table["status"]) == {"unreadable"} and table["reason"].str.contains(told).all()
    assert not list(tmp_path.rglob("*.h5"))


def test_out_of_memory_is_temporary(cohort, tmp_path, monkeypatch, capsys):
    def encode(self, patches):
        raise TemporaryFailure("out of memory, try a smaller --micro-batch")

    monkeypatch.setattr(Encoder, "encode", encode)
    assert extract(cohort, tmp_path, threads=2) == 75
    assert "--micro-batch" in capsys.readouterr().err


def test_a_bug_ends_the_batch(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(Encoder, "encode", lambda self, patches: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extract(cohort, tmp_path, threads=2)


def test_faulty_input(cohort, tmp_path, capsys):
    put_patches(tmp_path / "p" / "a", "S1", 128, coords(128))
    put_patches(tmp_path / "p" / "b", "S1", 128, coords(128))
    assert extract(cohort, tmp_path, patches=tmp_path / "p") == 65
    assert "second patch file of S1" in capsys.readouterr().err
    assert extract(cohort, tmp_path, encoders=[tmp_path / "no.onnx", cohort / "slides.tsv"]) == 65
    assert "2 faults" in capsys.readouterr().err
    put_slides(tmp_path / "s.tsv", ["S1", "S1", "../S2"], mpp="abc")
    assert extract(cohort, tmp_path, slides=tmp_path / "s.tsv") == 65
    error = capsys.readouterr().err
    for text in ("row 3: sample 'S1'", "row 4: sample '../S2'", "row 2: mpp 'abc'", "row 3: slide 'S1.tif'"):
        assert text in error
    (tmp_path / "t.tsv").write_text("sample\tslide\nS1\tS1.tif\n")
    assert extract(cohort, tmp_path, slides=tmp_path / "t.tsv") == 65
    assert "no column donor, tissue" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        extract(cohort, tmp_path, threads=0)
    assert left.value.code == 2


def test_slides_are_read_without_files_where_none_is_needed(tmp_path):
    path = put_slides(tmp_path / "s.tsv", ["S1", "S2"], slide="")
    assert read_slides(path, with_files=False)["slide"].tolist() == ["", ""]


def test_real_slides(real_data, cohort, tmp_path):
    """Both real slides at four sizes; one has no mpp and a level factor of 2.0005."""
    names = {"CMU-1-Small-Region.svs": (2220, 2967), "TCGA-CR-7395-01A-01-TS1.svs": (4443, 3567)}
    rows = []
    for name, (width, height) in names.items():
        sample = name.removesuffix(".svs")
        row = {"sample": sample, "donor": sample, "tissue": "Lung", "tissue_id": "Lung", "slide": name, "mpp": ""}
        rows.append(row)
        for size in (128, 256, 512, 1024):
            steps = (np.arange(0, length - size + 1, 2 * size) for length in (width, height))
            put_patches(tmp_path / "p", sample, size, np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2))
    pd.DataFrame(rows).to_csv(tmp_path / "slides.tsv", sep="\t", index=False)
    folders = {"slide_dir": real_data / "slides", "patches": tmp_path / "p", "slides": tmp_path / "slides.tsv"}
    assert extract(cohort, tmp_path / "out", **folders) == 0
    assert set(read_table(tmp_path / "out" / "Lung.b3.extract.tsv")["status"]) == {"ok"}
    for name in names:
        for size in (128, 1024):
            found = read_patch_features(tmp_path / f"out/{size}px/features_tiny/{name.removesuffix('.svs')}.h5")
            patches = pixels(real_data / "slides" / name, size, found.coords[:9], 64)
            np.testing.assert_allclose(found.features[:9], expected(patches, 37), atol=1e-5)
            assert len(found.features) == 1 or found.features.std(axis=0).max() > 0.01


@pytest.mark.slow
def test_forty_thousand_patches(tmp_path, monkeypatch):
    class Drawn:
        """A slide of 25600 px whose patches are of one colour each."""

        width = height = 25600
        caching = contextlib.nullcontext

        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, x, y, w, h):
            columns, rows = (x + np.arange(w)) // 128, (y + np.arange(h)) // 128
            shade = ((rows[:, None] * 200 + columns) % 251).astype(np.uint8)
            return np.repeat(shade[..., None], 3, axis=2)

    monkeypatch.setattr(hx_extraction, "open_slide", Drawn)
    steps = np.arange(200) * 128
    xy = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2).astype(np.int64)
    row = pd.Series({"sample": "S1", "donor": "D1", "tissue_id": "Lung", "slide": "S1.tif", "mpp": np.nan})
    job = Job(row, {"128": Grid("128", 128, xy, np.ones(len(xy), np.float32))})
    args = argparse.Namespace(
        threads=2, device="cpu", micro_batch=32, save_patch_features="float16", resize="area",
        slide_dir=tmp_path, outdir=tmp_path,
    )  # fmt: skip
    Extraction([job], [Encoder(write_encoder(tmp_path / "a.onnx"))], args).run()
    found = read_patch_features(tmp_path / "128px/features_tiny/S1.h5")
    shade = (np.arange(40000) % 251).astype(np.uint8)
    one = expected(np.repeat(np.arange(251, dtype=np.uint8), 64 * 64 * 3).reshape(251, 64, 64, 3))
    np.testing.assert_allclose(found.features, one[shade], rtol=1e-3, atol=1e-5)
    with h5py.File(tmp_path / "summaries" / "S1.summary.h5") as file:
        assert file["128/tiny"].attrs["n"] == 40000


def test_an_encoder_of_one_size_sees_the_patches_of_that_size_alone(cohort, extracted, tmp_path):
    encoders = [f"tiny={cohort / 'tiny.onnx'}", *(f"other@{size}={cohort / 'other.onnx'}" for size in SIZES[:2])]
    assert extract(cohort, tmp_path, encoders=encoders) == 0
    for size in SIZES:
        _, summaries = read_summary(tmp_path / "summaries" / "S1.summary.h5", str(size))
        assert list(summaries) == (["other", "tiny"] if size in SIZES[:2] else ["tiny"])
    before, after = contents(extracted), contents(tmp_path)
    shared = [name for name in after if "summary" not in name]
    assert len(shared) == 3 * (len(SIZES) + 2)
    assert all(after[name] == before[name] for name in shared)


def test_files_that_belong_to_a_slide_are_found_beside_it(tmp_path):
    drawn = stain(glass(SIDE, SIDE), ellipse(SIDE, SIDE, (500, 480), (420, 400)))
    (tmp_path / "made").mkdir()
    write_mirax(tmp_path / "made" / "a.mrxs", drawn)
    for number, name in enumerate(("a.mrxs", "a"), 1):
        (tmp_path / f"slides{number}").mkdir()
        shutil.move(tmp_path / "made" / name, tmp_path / f"slides{number}" / name)
    write_encoder(tmp_path / "tiny.onnx")
    put_patches(tmp_path / "patches", "S1", 128, coords(128, 4))
    put_slides(tmp_path / "slides.tsv", ["S1"], slide="slides1/a.mrxs")
    table = pd.read_csv(tmp_path / "slides.tsv", sep="\t").assign(parts="slides2/a")
    table.to_csv(tmp_path / "slides.tsv", sep="\t", index=False)
    assert extract(tmp_path, tmp_path / "out", encoders=[tmp_path / "tiny.onnx"]) == 0
    rows = pd.read_csv(tmp_path / "out" / "Lung.b3.extract.tsv", sep="\t")
    assert rows["status"].tolist() == ["ok"] and rows["n_patches"].tolist() == [4]
