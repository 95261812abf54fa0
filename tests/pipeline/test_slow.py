"""Whole runs that take minutes: the same bytes twice, containers, real GTEx data."""

import hashlib
import subprocess
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from engine import Run, killed, nextflow, sheet_without

pytestmark = pytest.mark.slow

MATCHED = {  # facts of the data: donors with a slide in the nuclear tables and RNA of the same piece
    "Esophagus_Muscularis": 460,
    "Heart_Atrial_Appendage": 427,
    "Muscle_Skeletal": 797,
    "Nerve_Tibial": 615,
    "Skin_Not_Sun_Exposed_Suprapubic": 601,
    "Thyroid": 650,
}


def digests(results: Path) -> dict[str, str]:
    """SHA-256 of every result but what tells of the run itself: pipeline_info and the report, which holds versions."""
    paths = [p for p in sorted(results.rglob("*")) if p.is_file()]
    return {
        str(p.relative_to(results)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in paths
        if p.relative_to(results).parts[0] not in ("pipeline_info", "multiqc_report.html", "multiqc_report_data")
    }


def arguments_there(first: tuple, cohort: Path, folder: Path) -> list[object]:
    """The arguments of `first`, its samplesheet in another folder."""
    _, arguments, late, _ = first
    sheet = sheet_without(cohort, folder / "samplesheet.csv", {late["sample"]})
    return [sheet if name == "--input" else value for name, value in zip([None, *arguments], arguments, strict=False)]


def run_again(first: tuple, cohort: Path, folder: Path, *more: object) -> Run:
    """The run of `first` from nothing, in another folder."""
    run = nextflow(folder, "results", *arguments_there(first, cohort, folder), *more)
    assert run.code == 0, run.text
    return run


@pytest.fixture(scope="module")
def second(first, cohort, tmp_path_factory) -> Run:
    return run_again(first, cohort, tmp_path_factory.mktemp("second"))


def test_the_same_input_gives_the_same_bytes(second, first, cohort, tmp_path):
    third = run_again(first, cohort, tmp_path)
    assert digests(second.outdir) == digests(third.outdir)
    assert len(digests(second.outdir)) > 100


@pytest.mark.parametrize("process", ["SEGMENT_TISSUE", "EXTRACT_FEATURES"])
def test_a_killed_run_goes_on_to_the_same_bytes(process, second, first, cohort, tmp_path):
    # Summary, figures and explorer tell of the stages that ran: all else is as in the whole run.
    arguments = [*arguments_there(first, cohort, tmp_path), "--only", "associate,shared_variance"]
    killed(tmp_path, "results", process, *arguments)
    run = nextflow(tmp_path, "results", *arguments, resume=True)
    assert run.code == 0, run.text
    assert run.cached() and run.ran()
    found, whole = digests(run.outdir), digests(second.outdir)
    shared = {name for name in found if not name.startswith(("summary/", "explorer/", "figures/"))}
    assert len(shared) > 60 and all(found[name] == whole[name] for name in shared)


def test_containers_give_the_same_numbers(second, first, cohort, tmp_path):
    """Features to 1e-6, p to 1e-6 of its value."""
    image = ["docker", "image", "inspect", "histogex/stats:0.1.0-cpu"]
    try:
        there = subprocess.run(image, capture_output=True).returncode == 0
    except FileNotFoundError:
        there = False
    if not there:
        pytest.skip("no Docker here, or no images: make images")
    run = run_again(first, cohort, tmp_path, "-profile", "docker")
    for path in sorted((second.outdir / "features").glob("*.*.h5ad")):
        ours, theirs = anndata.read_h5ad(path), anndata.read_h5ad(run.outdir / "features" / path.name)
        np.testing.assert_allclose(ours.X, theirs.X, rtol=1e-6)
    for path in sorted((second.outdir / "associations").glob("*.associations.parquet")):
        ours, theirs = pd.read_parquet(path), pd.read_parquet(run.outdir / "associations" / path.name)
        np.testing.assert_allclose(ours["p"], theirs["p"], rtol=1e-6)


def test_real_gtex(real_data, tmp_path):
    """Six tissues, 24 nuclear features, 59 genes: every matched donor analysed, every other slide in dropped.tsv."""
    run = nextflow(tmp_path, "results", "-profile", "test_full")
    assert run.code == 0, run.text
    verdict = pd.read_csv(run.outdir / "summary" / "verdict.tsv", sep="\t").set_index("tissue_id")
    assert verdict["donors"].to_dict() == MATCHED
    assert (verdict["features"] == 24).all()
    assert (verdict["control_hits"] <= 0.05 * verdict["pairs"]).all()
    listed = sum(len(pd.read_csv(p, sep="\t")) for p in (real_data / "gtex" / "nuclear_features").glob("*.tsv"))
    cohort = pd.read_csv(run.outdir / "cohort" / "cohort.tsv", sep="\t", dtype=str)
    kept = cohort["samples"].str.split(";").str.len().sum()
    dropped = pd.read_csv(run.outdir / "summary" / "dropped.tsv", sep="\t", dtype=str)
    assert kept + (dropped["kind"] == "slide").sum() == listed
    assert (run.outdir / "multiqc_report.html").exists()
