"""Whole runs over slides of two scales, with an outline drawn by hand and a classifier of an earlier run."""

import csv
import json
from pathlib import Path

import anndata
import pytest
from encoders_made import METADATA, write_encoder
from engine import cohort_arguments, late_sample, nextflow, sheet_without

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
    arguments = cohort_arguments(cohort, two_scales / "samplesheet.csv", tiny_encoder)
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


def test_a_classifier_of_an_earlier_run_trains_nothing_and_a_late_slide_computes_itself(cohort, tmp_path):
    given = tmp_path / "classifier"
    given.mkdir()
    for size in ("128", "256"):
        write_encoder(given / f"{size}.retrained.onnx", metadata={**METADATA, "name": "retrained"})
    late = late_sample(cohort)
    sheet = sheet_without(cohort, tmp_path / "samplesheet.csv", {late["sample"]})
    with open(sheet, newline="") as handle:
        donor = next(csv.DictReader(handle))["donor"]
    for size in ("128", "256"):
        (given / f"{size}.slides.tsv").write_text(f"sample\tdonor\tsplit\nS\t{donor}\ttrain\n")
    arguments = cohort_arguments(cohort, sheet, tmp_path / "none.onnx")
    arguments[arguments.index("--encoders") + 1] = "retrained"
    arguments += ["--retrained_weights", f"{given}/*.retrained.onnx", "--primary", "256,retrained,mean"]
    first = nextflow(tmp_path, "results", *arguments)
    assert first.code == 0, first.text
    assert not any(name.split(" ")[0] in ("SAMPLE_PATCHES", "TRAIN_CLASSIFIER") for name in first.tasks)
    tables = [anndata.read_h5ad(path) for path in (first.outdir / "features").glob("*.256.h5ad")]
    assert {encoder for table in tables for encoder in table.var["encoder"]} == {"retrained"}
    splits = {name: split for table in tables for name, split in table.obs["classifier_split"].items()}
    assert splits.pop(donor) == "train" and set(splits.values()) == {""}

    sheet_without(cohort, sheet, set())
    again = nextflow(tmp_path, "results", *arguments, resume=True)
    assert again.code == 0, again.text
    slides = read_table(again.outdir / "cohort" / "slides.tsv").set_index("sample")
    batch = slides.loc[late["sample"], "batch"]
    ran = {name for name in again.ran() if name.startswith(("SEGMENT_TISSUE", "EXTRACT_FEATURES"))}
    assert ran == {f"SEGMENT_TISSUE ({batch})", f"EXTRACT_FEATURES ({batch})"}
