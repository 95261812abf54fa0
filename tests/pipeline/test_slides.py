"""Whole runs over slides of two scales, with an outline drawn by hand and a classifier of an earlier run."""

import csv
import json
from pathlib import Path

import anndata
import pytest
from engine import cohort_arguments, nextflow, sheet_without

from hx_io import read_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_scales(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A samplesheet in which every other slide is said to be of 0.25 um a pixel; the first slide has an outline."""
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
            writer.writerow({**row, "mpp": ("0.5", "0.25")[number % 2], "tissue_geojson": outline})
    return folder


def test_two_scales_are_refused_and_sizes_in_micrometres_are_not(two_scales, cohort, tiny_encoder):
    arguments = cohort_arguments(cohort, two_scales / "samplesheet.csv", tiny_encoder)
    refused = nextflow(two_scales, "refused", *arguments)
    assert refused.code != 0 and "slides differ in scale" in refused.text
    assert "of mpp 0.25" in refused.text and "--patch_um" in refused.text
    assert not any(name.startswith("EXTRACT_FEATURES") for name in refused.tasks)

    run = nextflow(two_scales, "results", *arguments, "--patch_um", "64,128", "--primary", "64um,tiny,mean")
    assert run.code == 0, run.text
    status = read_table(run.outdir / "slides" / "qc" / "slide_status.tsv")
    usable = status[status["status"].isin(["ok", "partial"])]
    assert set(usable["mpp"].astype(float).round(3)) == {0.25, 0.5}
    assert (usable["segmentation"] == "geojson").sum() == 1
    assert list(run.outdir.glob("64um/patches/*_patches.h5")) and not list(run.outdir.glob("*px"))
    tissue = usable["tissue_id"].iloc[0]
    table = anndata.read_h5ad(run.outdir / "features" / f"{tissue}.64um.h5ad")
    assert table.uns["size"] == "64um" and table.obs["slide_mpp"].notna().all()
    assert "64um,tiny,mean" in (run.outdir / "pipeline_info" / "params.json").read_text()
    verdict = read_table(run.outdir / "summary" / "verdict.tsv")
    assert set(verdict["primary"]) == {"yes"} and all(".64um." in setting for setting in verdict["setting"])
