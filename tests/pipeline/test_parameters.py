"""What the pipeline says before any task runs."""

import json

import pytest
from engine import ROOT, nextflow


def test_help_lists_every_parameter(tmp_path):
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    run = nextflow(tmp_path, "results", "--help")
    assert run.code == 0
    for group in schema["$defs"].values():
        for name, p in group["properties"].items():
            assert p.get("hidden") or f"--{name} " in run.text
    assert not run.outdir.exists()


def test_every_bad_parameter_is_named_at_once(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "g.bed").touch()
    run = nextflow(
        tmp_path,
        "results",
        "--patch_sizes",
        "many",
        "--gpu",
        "perhaps",
        "--typo",
        "1",
        "--input",
        "none.csv",
        "--min_tissue",
        "2",
        "--segmentation",
        "magic",
        "--summaries",
        "none.h5",
        "--save_patch_features",
        "float16",
        "--patch_features",
        "none",
        "--encoders",
        "texture=onnx:none.onnx,magic",
        "--genotypes",
        f"{tmp_path}/*/g.bed",
        "--qtl_permutations",
        "7",
        "--qtl_scope",
        "cis",
    )
    assert run.code == 2
    for said in (
        "--patch_sizes",
        "--gpu",
        "--typo",
        "--expression is required",
        "none.csv",
        "--min_tissue",
        "--segmentation",
        "--summaries: no such file: none.h5",
        "none.h5 is not named <sample>.summary.h5",
        "--summaries is of slides: give it without --patch_features",
        "--summaries goes with --save_patch_features none",
        "--encoders: texture is built in",
        "--genotypes: g.bim and .fam is not beside",
        "are both named g.bed: rename one",
        "--qtl_permutations is 0 or at least 100",
        "--qtl_scope cis needs --gene_positions",
        "--encoders: 'magic' is unknown: use raw, raw-mixed2-mean and the like, retrained, texture,",
    ):
        assert said in run.text, said
    assert run.tasks == {}


def test_estimate_counts_and_stops(tmp_path):
    """One tissue named, one stage: no classifier is trained on it, and the others have no task."""
    told = ["--tissues", "Lung", "--only", "shared_variance", "--primary", "256,retrained,mean"]
    run = nextflow(tmp_path, "results", "-profile", "demo", "--estimate", *told)
    assert run.code == 0
    assert "76 in 2 tissues" in run.text
    assert "--primary 256,retrained,mean is not among what runs: 256,raw,mean is the primary setting" in run.text
    assert "SHARED_VARIANCE 4" in run.text and "ASSOCIATE" not in run.text and "DRAW_FEATURES" not in run.text
    assert run.tasks == {}


@pytest.mark.parametrize("types", ["false", pytest.param("true", marks=pytest.mark.slow)])
def test_stub_of_the_whole_flow(tmp_path, monkeypatch, types):
    """Also with command-line values as text, as the strict parser of newer Nextflow has them."""
    monkeypatch.setenv("NXF_DISABLE_PARAMS_TYPE_DETECTION", types)
    run = nextflow(tmp_path, "results", "-profile", "test", "-stub", "--gpu", "false")
    assert run.code == 0, run.text
    assert len(run.tasks) == 63
    assert (run.outdir / "multiqc_report.html").exists()
    assert "HistoGEx: done" in run.text
