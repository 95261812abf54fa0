"""A small simulated cohort, and what runs of the real engine on it need."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from engine import ROOT, cohort_arguments, late_sample, nextflow, sheet_without


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what looks at the run of `first`: setup/tests.sh works on it beside the other tests, and it is made once."""
    for item in items:
        if "first" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.first_run)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated cohort of two tissues and twelve donors, made by the command itself."""
    folder = tmp_path_factory.mktemp("cohort") / "cohort"
    subprocess.run(
        [
            sys.executable,
            ROOT / "bin" / "simulate_cohort.py",
            "--mode",
            "signal",
            "--tissues",
            "2",
            "--donors",
            "14",
            "--slide-px",
            "768",
            "--seed",
            "1",
            "--threads",
            "2",
            "--outdir",
            folder,
        ],
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX encoder of a few kilobytes, so that runs of the engine need no TensorFlow."""
    from encoders_made import write_encoder

    path = tmp_path_factory.mktemp("encoder") / "tiny.onnx"
    write_encoder(path)
    return path


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout whose bin/ a test may edit."""
    target = tmp_path_factory.mktemp("project") / "histogex"
    keep = ["main.nf", "nextflow.config", "nextflow_schema.json", "subworkflows", "modules", "bin", "conf", "assets"]
    target.mkdir()
    for name in keep:
        source = ROOT / name
        shutil.copytree(source, target / name) if source.is_dir() else shutil.copy2(source, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")
    return target


@pytest.fixture(scope="session")
def first(cohort: Path, tiny_encoder: Path, project_copy: Path, tmp_path_factory: pytest.TempPathFactory):
    """A run over slides, but for one, that keeps its patch features: folder, arguments, the slide left out, the run."""
    folder = tmp_path_factory.mktemp("resume")
    late = late_sample(cohort)
    sheet = sheet_without(cohort, folder / "samplesheet.csv", {late["sample"]})
    arguments = [*cohort_arguments(cohort, sheet, tiny_encoder), "--save_patch_features", "float32"]
    run = nextflow(folder, "results", *arguments, project=project_copy)
    assert run.code == 0, run.text
    return folder, arguments, late, run
