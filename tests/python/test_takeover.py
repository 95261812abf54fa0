"""What is added later computes only itself, to the bytes of a run that computes everything."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from encoders_made import METADATA, write_encoder
from extraction_made import SIDE, contents, coords, extract, put_patches, put_slides
from slides_made import corrupt_tile, ellipse, glass, stain, write_slide

import hx_extraction
from hx_encoder import Encoder
from hx_features import patches_sha256, read_summary, write_summary
from hx_io import read_table
from hx_slide import Slide

SIZES = (128, 256)
COUNT = {128: 9, 256: 5}  # patches of each slide; of 256 px one more on S2
SAMPLES = ["S1", "S2"]


def put_cohort(folder: Path, sizes: tuple[int, ...] = SIZES, **attributes: object) -> Path:
    """Patch files of both slides."""
    for number, sample in enumerate(SAMPLES):
        for size in sizes:
            count = COUNT[size] + (number if size == 256 else 0)
            put_patches(folder, sample, size, coords(size, count, first=number), **attributes)
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Two slides with patches of two sizes, and two encoders of different input sizes."""
    folder = tmp_path_factory.mktemp("cohort")
    for seed, sample in enumerate(SAMPLES):
        picture = stain(glass(SIDE, SIDE, seed=seed), ellipse(SIDE, SIDE, (500, 480), (420, 400)), seed=seed)
        write_slide(folder / f"{sample}.tif", picture)
    put_cohort(folder / "patches")
    write_encoder(folder / "tiny.onnx")
    write_encoder(folder / "other.onnx", px=96, seed=1, metadata={**METADATA, "name": "other", "input_px": "96"})
    put_slides(folder / "slides.tsv", SAMPLES)
    return folder


def run(cohort: Path, outdir: Path, **changed: object) -> Path:
    assert extract(cohort, outdir, **{"save_patch_features": "none", **changed}) == 0
    return outdir


def results(outdir: Path) -> dict[str, str]:
    """SHA-256 of all that extraction leaves."""
    return contents(outdir, "*.*")


@pytest.fixture(scope="module")
def full(cohort, tmp_path_factory) -> Path:
    """A run that computes everything."""
    return run(cohort, tmp_path_factory.mktemp("full"))


@pytest.fixture
def encoded(monkeypatch) -> dict[str, int]:
    """Patches that each encoder is given from now on."""
    counts: dict[str, int] = {}
    encode = Encoder.encode

    def counting(self: Encoder, patches: np.ndarray) -> np.ndarray:
        counts[self.name] = counts.get(self.name, 0) + len(patches)
        return encode(self, patches)

    monkeypatch.setattr(Encoder, "encode", counting)
    return counts


def test_what_is_all_there_opens_no_slide(cohort, full, tmp_path, encoded, monkeypatch, capsys):
    monkeypatch.setattr(hx_extraction, "open_slide", lambda *_: 1 / 0)
    empty = tmp_path / "no_slides"
    empty.mkdir()
    outdir = run(cohort, tmp_path / "out", slide_dir=empty, summaries=full / "summaries")
    assert results(outdir) == results(full) and len(results(full)) == 4
    assert encoded == {}
    told = capsys.readouterr().err
    assert "taken over: 8 of 8 summaries" in told and "not taken over" not in told
    assert "2 of 2 slides, 0 of 0 patches" in told


def test_a_size_added_reads_and_encodes_that_size_alone(cohort, full, tmp_path, encoded, monkeypatch, capsys):
    first = run(cohort, tmp_path / "first", patches=put_cohort(tmp_path / "patches", (256,)))
    encoded.clear()
    read, areas = Slide.read, []
    monkeypatch.setattr(Slide, "read", lambda self, *area: areas.append(area) or read(self, *area))
    outdir = run(cohort, tmp_path / "out", summaries=first / "summaries")
    assert results(outdir) == results(full)
    assert encoded == {"tiny": 18, "other": 18}
    assert max(x + w for x, _, w, _ in areas) == SIDE and max(y + h for _, y, _, h in areas) == 2 * 128
    told = capsys.readouterr().err
    assert "taken over: 4 of 8 summaries" in told
    assert "S1: not taken over from S1.summary.h5: 128 px of other: not in it; 128 px of tiny: not in it" in told


def test_an_encoder_added_runs_alone(cohort, full, tmp_path, encoded):
    first = run(cohort, tmp_path / "first", encoders=[cohort / "tiny.onnx"])
    encoded.clear()
    outdir = run(cohort, tmp_path / "out", summaries=first / "summaries", threads=2)
    assert results(outdir) == results(full)
    assert encoded == {"other": 2 * 9 + 5 + 6}


def test_an_encoder_of_one_size_added_for_another(cohort, tmp_path, encoded):
    one, both = (["tiny", *(f"other@{size}" for size in sizes)] for sizes in ((256,), SIZES))
    files = {name: f"{name}={cohort / name.split('@')[0]}.onnx" for name in both}
    first = run(cohort, tmp_path / "first", encoders=[files[name] for name in one])
    whole = run(cohort, tmp_path / "whole", encoders=list(files.values()))
    encoded.clear()
    outdir = run(cohort, tmp_path / "out", encoders=list(files.values()), summaries=first / "summaries")
    assert results(outdir) == results(whole)
    assert encoded == {"other": 18}


def test_slides_added_later(cohort, full, tmp_path, encoded, capsys):
    (tmp_path / "earlier").mkdir()
    shutil.copy(full / "summaries" / "S2.summary.h5", tmp_path / "earlier")
    outdir = run(cohort, tmp_path / "out", summaries=tmp_path / "earlier")
    assert results(outdir) == results(full)
    assert encoded == {"tiny": 14, "other": 14}
    assert "1 of 2 slides have no earlier summary: S1" in capsys.readouterr().err


def other_file(cohort: Path, folder: Path, changed: dict[str, str] | None = None, **made: object) -> dict[str, object]:
    write_encoder(folder / "tiny.onnx", metadata={**METADATA, **(changed or {})}, **made)
    return {"encoders": [folder / "tiny.onnx", cohort / "other.onnx"]}


def moved(_: Path, folder: Path) -> dict[str, object]:
    put_cohort(folder / "patches", (256,))
    for number, sample in enumerate(SAMPLES):
        put_patches(folder / "patches", sample, 128, coords(128, 9, first=number)[::-1])
    return {"patches": folder / "patches"}


def fewer(_: Path, folder: Path) -> dict[str, object]:
    put_cohort(folder / "patches", (256,))
    for number, sample in enumerate(SAMPLES):
        put_patches(folder / "patches", sample, 128, coords(128, 8, first=number))
    return {"patches": folder / "patches"}


def larger(_: Path, folder: Path) -> dict[str, object]:
    """The same corners and names of sizes, as sizes in micrometres have when a slide's mpp is corrected."""
    put_cohort(folder / "patches", (256,))
    for number, sample in enumerate(SAMPLES):
        put_patches(folder / "patches", sample, 64, coords(128, 9, first=number), name="128")
    return {"patches": folder / "patches"}


CHANGES = {
    "weights": (lambda c, f: other_file(c, f, {"weights_sha256": "cd" * 32}, seed=5), 4, "(weights_sha256)"),
    "layer": (lambda c, f: other_file(c, f, {"layer": "mixed2"}), 4, "another encoder (layer)"),
    "preprocess": (lambda c, f: other_file(c, f, {"preprocess": "x/255"}), 4, "another encoder (preprocess)"),
    "width": (lambda c, f: other_file(c, f, {"width": "9"}, width=9), 4, "8 features, 9 now"),
    "resize": (lambda *_: {"resize": "bilinear"}, 8, "another encoder (preprocess)"),
    "order": (moved, 4, "128 px of tiny: other patches"),
    "number": (fewer, 4, "128 px of other: 9 patches, 8 now"),
    "side": (larger, 4, "128 px of tiny: other patches"),
    "background": (
        lambda _, f: {"patches": put_cohort(f / "patches", background=np.uint8([9, 9, 9]))}, 8, "other patches"
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_is_computed_anew(cohort, full, tmp_path, change, capsys):
    make, anew, told = CHANGES[change]
    options = make(cohort, tmp_path)
    whole = run(cohort, tmp_path / "whole", **options)
    outdir = run(cohort, tmp_path / "out", summaries=full / "summaries", **options)
    assert results(outdir) == results(whole) != results(full)
    errors = capsys.readouterr().err
    assert told in errors and f"taken over: {8 - anew} of 8 summaries" in errors


def test_unreadable_patches_are_looked_at_again(cohort, tmp_path, encoded, capsys):
    for sample in SAMPLES:
        shutil.copy(cohort / f"{sample}.tif", tmp_path)
    corrupt_tile(tmp_path / "S1.tif", 0, 0)
    patches = put_cohort(tmp_path / "patches", (256,))
    put_patches(patches, "S1", 128, coords(128, 4, first=40))
    put_patches(patches, "S2", 128, coords(128, 4, first=40))
    whole = run(cohort, tmp_path / "whole", slide_dir=tmp_path, patches=patches)
    row = read_table(whole / "Lung.b3.extract.tsv").set_index("sample").loc["S1"]
    assert (row["status"], row["n_patches"], row["n_bad_patches"]) == ("partial", "8", "1")
    encoded.clear()
    outdir = run(cohort, tmp_path / "out", slide_dir=tmp_path, patches=patches, summaries=whole / "summaries")
    assert results(outdir) == results(whole)
    assert encoded == {"tiny": 4, "other": 4}
    assert "256 px of tiny: 4 patches, 5 now" in capsys.readouterr().err


def test_a_slide_damaged_since_is_dropped(cohort, tmp_path):
    first = run(cohort, tmp_path / "first", encoders=[cohort / "tiny.onnx"])
    for sample in SAMPLES:
        shutil.copy(cohort / f"{sample}.tif", tmp_path)
    corrupt_tile(tmp_path / "S1.tif", 0, 0)
    outdir = run(cohort, tmp_path / "out", slide_dir=tmp_path, summaries=first / "summaries")
    rows = read_table(outdir / "Lung.b3.extract.tsv").set_index("sample")
    assert rows["status"].to_dict() == {"S1": "unreadable", "S2": "ok"}
    assert "cannot be read now: copy the slide again" in rows["reason"]["S1"]
    assert list(contents(outdir)) == ["summaries/S2.summary.h5"]


def test_a_summary_that_does_not_tell_its_patches(cohort, full, tmp_path, capsys):
    """Those of summarise_patches.py, whose features may be of half precision, and of earlier versions."""
    shutil.copytree(full / "summaries", tmp_path / "earlier")
    with h5py.File(tmp_path / "earlier" / "S1.summary.h5", "a") as file:
        del file["128/tiny"].attrs["patches_sha256"]
    sample, found = read_summary(tmp_path / "earlier" / "S2.summary.h5", "256")
    blank = {("256", name): summary._replace(patches="") for name, summary in found.items()}
    write_summary(tmp_path / "earlier" / "S2.summary.h5", sample, blank)
    outdir = run(cohort, tmp_path / "out", summaries=tmp_path / "earlier")
    assert results(outdir) == results(full)
    told = capsys.readouterr().err
    assert "S1: not taken over from S1.summary.h5: 128 px of tiny: it does not tell its patches\n" in told
    assert "taken over: 3 of 8" in told


def test_damaged_and_foreign_summaries_are_faults(cohort, full, tmp_path, capsys):
    (tmp_path / "earlier").mkdir()
    whole = (full / "summaries" / "S1.summary.h5").read_bytes()
    (tmp_path / "earlier" / "S1.summary.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "earlier" / "S2.summary.h5").write_bytes(whole)
    assert extract(cohort, tmp_path / "out", save_patch_features="none", summaries=tmp_path / "earlier") == 65
    told = capsys.readouterr().err
    assert "2 faults" in told and "earlier/S1.summary.h5: no summary of patch features" in told
    assert "earlier/S2.summary.h5: holds slide S1, its name says S2" in told
    assert not (tmp_path / "out").exists()
    assert extract(cohort, tmp_path / "out", save_patch_features="none", summaries=tmp_path / "none") == 65
    assert "none: no such folder" in capsys.readouterr().err


def test_features_of_patches_are_not_in_summaries(cohort, full, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        extract(cohort, tmp_path, save_patch_features="float16", summaries=full / "summaries")
    assert left.value.code == 2 and "--save-patch-features none" in capsys.readouterr().err


def test_patches_without_tissue_are_taken_over(cohort, tmp_path, encoded):
    """A size at which a slide has no patches, and a slide without patch files."""
    put_patches(tmp_path / "patches", "S1", 128, coords(128, 4))
    put_patches(tmp_path / "patches", "S1", 256, coords(256, 0))
    first = run(cohort, tmp_path / "first", patches=tmp_path / "patches")
    assert read_table(first / "Lung.b3.extract.tsv")["status"].tolist() == ["ok", "no_tissue"]
    encoded.clear()
    outdir = run(cohort, tmp_path / "out", patches=tmp_path / "patches", summaries=first / "summaries")
    assert results(outdir) == results(first) and encoded == {}


def test_digest_of_patches():
    xy = coords(128, 6)
    digest = patches_sha256(xy, 128)
    assert digest == patches_sha256(np.asfortranarray(xy.astype(np.int32)), 128)
    others = [patches_sha256(xy[::-1], 128), patches_sha256(xy[:5], 128), patches_sha256(xy, 256)]
    others += [patches_sha256(xy, 128, np.uint8([1, 2, 3])), patches_sha256(xy, 128, np.uint8([1, 2, 4]))]
    assert len({digest, *others}) == 6
