"""build_explorer.py on a run with faults: what is missing, empty, damaged or of another version is told on the page."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from explorer_made import ID, SETTING, broken, changed, content, frame, make_explorer_run, notes

from build_explorer import main


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("explorer_faults")
    arguments = make_explorer_run(folder)
    assert main(arguments) == 0
    return folder, arguments


def test_sharing_needs_to_know_the_donors(run, tmp_path, capsys):
    shutil.copytree(run[0] / "results", tmp_path / "results")
    (tmp_path / "results" / "slides.tsv").unlink()
    arguments = changed([*run[1], "--disclosure", "shareable"], "--tables", tmp_path / "results")
    assert main(changed(arguments, "--outdir", tmp_path / "explorer")) == 65
    assert "no slides.tsv" in capsys.readouterr().err
    assert not (tmp_path / "explorer").exists()


def test_a_missing_table_is_told_with_the_stage_that_was_left_out(run, tmp_path):
    shutil.copytree(run[0] / "results", tmp_path / "results")
    (tmp_path / "results" / f"{ID}.256.enrichment.parquet").unlink()
    arguments = changed(changed(run[1], "--tables", tmp_path / "results"), "--outdir", tmp_path / "explorer")
    assert main([*arguments, "--skipped", "enrich: --skip enrich"]) == 0
    assert "enrich was skipped (--skip enrich)" in notes(tmp_path / "explorer")
    assert content(tmp_path / "explorer", f"{SETTING}.tables")["terms"] == {"rows": 0, "columns": {}}
    assert content(tmp_path / "explorer", "index")["skipped"] == [["enrich", "--skip enrich"]]


def test_without_a_model_of_confounders_nothing_colours(run, tmp_path):
    explorer = broken(run, tmp_path, lambda folder: (folder / f"{ID}.256.confounder_model.tsv").unlink())
    assert content(explorer, f"{SETTING}.points")["factors"] == {}


def test_a_table_of_another_version_is_told(run, tmp_path):
    def older(folder: Path) -> None:
        path = folder / f"{ID}.256.association_genes.parquet"
        pd.read_parquet(path).drop(columns=["beta", "gene_q"]).to_parquet(path)

    explorer = broken(run, tmp_path, older)
    assert "association_genes.parquet has no column beta, gene_q: it was made by another version" in notes(explorer)
    assert content(explorer, f"{SETTING}.tables")["genes"]["rows"] == 0
    assert content(explorer, "index")["parts"][SETTING]["points"] is False


def test_empty_and_damaged_tables_are_told(run, tmp_path):
    def emptied(folder: Path) -> None:
        path = folder / f"{ID}.256.associations.parquet"
        pd.read_parquet(path).iloc[:0].to_parquet(path)
        (folder / f"{ID}.1024.associations.parquet").write_bytes(b"PAR1 cut short")
        (folder / f"{ID}.256.descriptions.tsv").write_text("a\tb\n1\n")

    explorer = broken(run, tmp_path, emptied)
    told = notes(explorer)
    assert f"{ID}.256.associations.parquet has no row" in told
    assert f"{ID}.1024.associations.parquet cannot be read" in told
    assert f"{ID}.256.descriptions.tsv cannot be read" in told
    genes = frame(content(explorer, f"{SETTING}.tables")["genes"])
    assert set(genes["best_feature"]) <= {f"raw_{k:04d}" for k in range(99)} | set(genes["best_feature"].astype(str))
    assert not (explorer / "data" / f"{SETTING}.pairs.js").exists()


def test_without_any_setting_there_is_a_page_that_says_so(run, tmp_path):
    (tmp_path / "results").mkdir()
    arguments = ["--tables", str(tmp_path / "results"), "--outdir", str(tmp_path / "explorer")]
    assert main(arguments) == 0
    assert "no table tells of a setting that ran" in notes(tmp_path / "explorer")
    assert (tmp_path / "explorer" / "index.html").is_file()


def test_without_values_of_donors_the_rest_is_there(run, tmp_path):
    arguments = changed(changed(run[1], "--features", tmp_path), "--outdir", tmp_path / "explorer")
    assert main(arguments) == 0
    assert f"no {ID}.256.h5ad: the values behind a pair cannot be drawn" in notes(tmp_path / "explorer")
    assert content(tmp_path / "explorer", "index")["parts"][SETTING]["pairs"] is True


def test_wrong_folders_are_refused(run, tmp_path, capsys):
    assert main(changed(run[1], "--tables", tmp_path / "none")) == 65
    assert "no such folder" in capsys.readouterr().err
    assert main(changed([*run[1], "--assets", str(tmp_path)], "--outdir", tmp_path / "explorer")) == 65
    assert "no index.html" in capsys.readouterr().err
