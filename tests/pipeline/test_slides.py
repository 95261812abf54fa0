"""Whole runs over slides of two scales, with an outline drawn by hand and a classifier of an earlier run."""

import csv
import json
import re
from pathlib import Path

import anndata
import numpy as np
import pytest
from encoders_made import METADATA, write_encoder
from engine import Run, cohort_arguments, late_sample, nextflow, sheet_without

from hx_features import read_summary
from hx_io import read_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_scales(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A samplesheet in which every other slide is said to be of 1 um a pixel; the first slide has an outline."""
    folder = tmp_path_factory.mktemp("scales")
    sheet = sheet_without(cohort, folder / "samplesheet.csv", set())
    with open(sheet, newline="") as handle:
        rows = list(csv.DictReader(handle))
    defects = json.dumps(json.loads((cohort / "truth.json").read_text())["defects"])
    drawn = next(row for row in rows if row["sample"] not in defects and row["donor"] not in defects)
    ring = [[100, 100], [700, 100], [700, 600], [100, 600], [100, 100]]
    (folder / "drawn.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    with open(sheet, "w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=[*rows[0], "mpp", "tissue_geojson"])
        writer.writeheader()
        for number, row in enumerate(rows):
            outline = "drawn.geojson" if row is drawn else ""
            writer.writerow({**row, "mpp": ("0.5", "1")[number % 2], "tissue_geojson": outline})
    return folder


def test_two_scales_are_refused_and_sizes_in_micrometres_are_not(two_scales, cohort, tiny_encoder):
    arguments = [*cohort_arguments(cohort, two_scales / "samplesheet.csv", tiny_encoder), "--only", "shared_variance"]
    refused = nextflow(two_scales, "refused", *arguments)
    assert refused.code != 0 and "slides differ in scale" in refused.text
    assert "of mpp 1 (" in refused.text and "--patch_um" in refused.text
    assert not any(name.startswith("EXTRACT_FEATURES") for name in refused.tasks)

    run = nextflow(two_scales, "results", *arguments, "--patch_um", "64,128", "--primary", "64um,tiny,mean")
    assert run.code == 0, run.text
    status = read_table(run.outdir / "slides" / "qc" / "slide_status.tsv")
    usable = status[status["status"].isin(["ok", "partial"])]
    assert set(usable["mpp"].astype(float).round(3)) == {0.5, 1.0}
    assert (usable["segmentation"] == "geojson").sum() == 1
    assert list(run.outdir.glob("64um/patches/*_patches.h5")) and not list(run.outdir.glob("*px"))
    tissue = usable["tissue_id"].iloc[0]
    table = anndata.read_h5ad(run.outdir / "features" / f"{tissue}.64um.h5ad")
    assert table.uns["size"] == "64um" and table.obs["slide_mpp"].notna().all()
    assert "64um,tiny,mean" in (run.outdir / "pipeline_info" / "params.json").read_text()
    verdict = read_table(run.outdir / "summary" / "verdict.tsv")
    assert set(verdict["primary"]) == {"yes"} and all(".64um." in setting for setting in verdict["setting"])


def put(arguments: list[object], **values: object) -> list[object]:
    """Arguments with some values changed."""
    changed = list(arguments)
    for name, value in values.items():
        changed[changed.index(f"--{name}") + 1] = value
    return changed


def slide_tasks(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith(("SEGMENT_TISSUE", "EXTRACT_FEATURES"))}


def extraction(run: Run) -> tuple[int, int, set[str]]:
    """What EXTRACT_FEATURES took over, of how many, and the lines of what it did not."""
    logs = [run.log(name) for name in sorted(run.ran()) if name.startswith("EXTRACT_FEATURES")]
    counts = [tuple(map(int, found)) for log in logs for found in re.findall(r"taken over: (\d+) of (\d+)", log)]
    left = {line for log in logs for line in re.findall(r"not taken over from \S+: (.*)", log)}
    return sum(taken for taken, _ in counts), sum(asked for _, asked in counts), left


def test_what_is_added_later_computes_only_itself(cohort, tiny_encoder, tmp_path):
    """With a classifier of an earlier run, which trains nothing: a slide, a tissue, a size, an encoder."""
    given = tmp_path / "classifier"
    given.mkdir()
    for size in ("128", "256"):
        write_encoder(given / f"{size}.retrained.onnx", metadata={**METADATA, "name": "retrained"})
    late = late_sample(cohort)
    whole = sheet_without(cohort, tmp_path / "whole.csv", set())
    with open(whole, newline="") as handle:
        rows = list(csv.DictReader(handle))
    others = {row["sample"] for row in rows if row["tissue"] != late["tissue"]}
    donor = next(row["donor"] for row in rows if row["sample"] not in others)
    for size in ("128", "256"):
        (given / f"{size}.slides.tsv").write_text(f"sample\tdonor\tsplit\nS\t{donor}\ttrain\n")
    sheet = sheet_without(cohort, tmp_path / "samplesheet.csv", {late["sample"]} | others)
    arguments = cohort_arguments(cohort, sheet, tmp_path / "none.onnx")
    arguments = put(arguments, encoders="retrained", patch_sizes="128", slide_batches="2")
    arguments += ["--retrained_weights", f"{given}/*.retrained.onnx", "--primary", "128,retrained,mean"]
    arguments += ["--only", "shared_variance"]  # what is looked at lies before statistics
    first = nextflow(tmp_path, "results", *arguments)
    assert first.code == 0, first.text
    assert not any(name.split(" ")[0] in ("SAMPLE_PATCHES", "TRAIN_CLASSIFIER") for name in first.tasks)
    table = anndata.read_h5ad(next((first.outdir / "features").glob("*.128.h5ad")))
    assert set(table.var["encoder"]) == {"retrained"}
    splits = dict(table.obs["classifier_split"])
    assert splits.pop(donor) == "train" and set(splits.values()) == {""}

    sheet_without(cohort, sheet, others)
    slide = nextflow(tmp_path, "results", *arguments, resume=True)
    assert slide.code == 0, slide.text
    slides = read_table(slide.outdir / "cohort" / "slides.tsv").set_index("sample")
    batch = slides.loc[late["sample"], "batch"]
    assert slide_tasks(slide.ran()) == {f"SEGMENT_TISSUE ({batch})", f"EXTRACT_FEATURES ({batch})"}
    assert len(slide_tasks(slide.cached())) == 2

    # The summary of one slide re-runs its batch alone, beside those of the new tissue.
    sheet_without(cohort, sheet, set())
    kept = slide.outdir / "features" / "summaries"
    one = ["--summaries", kept / f"{late['sample']}.summary.h5"]
    tissue = nextflow(tmp_path, "results", *arguments, *one, resume=True)
    assert tissue.code == 0, tissue.text
    slides = read_table(tissue.outdir / "cohort" / "slides.tsv").set_index("sample")
    added = set(slides.loc[list(others & set(slides.index)), "batch"])
    expected = {f"{name} ({b})" for name in ("SEGMENT_TISSUE", "EXTRACT_FEATURES") for b in added}
    assert slide_tasks(tissue.ran()) == expected | {f"EXTRACT_FEATURES ({batch})"}
    assert extraction(tissue)[0] == 1 and f"--summaries: of 1 of {len(slides)} slides" in tissue.text

    # Size and encoder: the batches are worked on again, but what they have is taken over.
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    earlier = ["--summaries", f"{kept}/*.summary.h5"]
    size = nextflow(tmp_path, "size", *put(arguments, patch_sizes="128,256"), *earlier, resume=True)
    assert size.code == 0, size.text
    everywhere = {f"{name} ({b})" for name in ("SEGMENT_TISSUE", "EXTRACT_FEATURES") for b in slides["batch"]}
    assert slide_tasks(size.ran()) == everywhere
    taken, asked, left = extraction(size)
    assert (taken, asked, left) == (len(before), 2 * len(before), {"256 px of retrained: not in it"})
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before

    kept = size.outdir / "features" / "summaries"
    arguments = put(arguments, patch_sizes="128,256", encoders=f"retrained,tiny=onnx:{tiny_encoder}")
    arguments += ["--summaries", f"{kept}/*.summary.h5"]
    encoder = nextflow(tmp_path, "encoder", *arguments, resume=True)
    assert encoder.code == 0, encoder.text
    assert slide_tasks(encoder.ran()) == {name for name in everywhere if name.startswith("EXTRACT_FEATURES")}
    taken, asked, left = extraction(encoder)
    assert (taken, asked) == (2 * len(before), 4 * len(before))
    assert left == {"128 px of tiny: not in it; 256 px of tiny: not in it"}
    for path in kept.iterdir():
        for px in ("128", "256"):
            _, old = read_summary(path, px)
            _, new = read_summary(encoder.outdir / "features" / "summaries" / path.name, px)
            assert sorted(new) == ["retrained", "tiny"]
            for name, values in old["retrained"].statistics.items():
                np.testing.assert_array_equal(new["retrained"].statistics[name], values)
    again = nextflow(tmp_path, "encoder", *arguments, resume=True)
    assert again.code == 0 and again.ran() == set(), again.text
