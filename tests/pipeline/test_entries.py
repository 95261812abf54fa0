"""Slides, patch features, tables of features: the three ways in give the same donors; bad input is named at once."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from engine import cohort_arguments, nextflow, sheet_without


def donors_table(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "cohort" / "cohort.tsv", sep="\t", dtype=str)


def without_option(arguments: list, *names: str) -> list:
    """Arguments less some options and their values."""
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    return [item for name, value in pairs if name not in names for item in (name, value)]


def test_slides_run_leaves_what_it_promises(first):
    """Each file of docs/output.md is there; every lost slide has a row; the report opens with the planted truths."""
    _, _, late, run = first
    results = run.outdir
    for name in [
        "cohort/slides.tsv",
        "cohort/cohort.tsv",
        "cohort/matching.tsv",
        "slides/qc/slide_status.tsv",
        "summary/dropped.tsv",
        "multiqc_report.html",
        "pipeline_info/params.json",
        "pipeline_info/hx_software_mqc_versions.yml",
    ]:
        assert (results / name).stat().st_size > 0, name
    assert list((results / "pipeline_info").glob("execution_timeline_*.html"))
    batches = pd.read_csv(results / "cohort" / "slides.tsv", sep="\t", dtype=str)["batch"].value_counts()
    assert batches.min() == 1 and batches.max() > 1, "one slide alone in its batch is staged as several are"
    tissues = set(donors_table(results)["tissue_id"])
    assert len(tissues) == 2
    for tissue in tissues:
        for size in (128, 256):
            assert (results / "features" / f"{tissue}.{size}.h5ad").exists()
            assert (results / "associations" / f"{tissue}.{size}.associations.parquet").exists()
    status = pd.read_csv(results / "slides" / "qc" / "slide_status.tsv", sep="\t", dtype=str)
    failed = set(status.loc[~status["status"].isin(["ok", "partial"]), "sample"])
    assert failed, "the cohort has a blank and a truncated slide"
    dropped = pd.read_csv(results / "summary" / "dropped.tsv", sep="\t", dtype=str)
    assert failed <= set(dropped["id"])
    assert late["sample"] not in set(status["sample"])
    params = json.loads((results / "pipeline_info" / "params.json").read_text())
    assert params["patch_sizes"] == "128,256"


def test_patch_features_of_an_earlier_run_open_no_slide(first, cohort, tmp_path):
    """As a run goes on from results/ when work/ and the slides are gone."""
    _, arguments, late, run = first
    sheet = sheet_without(cohort, tmp_path / "sheet.csv", {late["sample"]})
    text = sheet.read_text().replace(str(cohort), "/gone")
    sheet.write_text(text)
    shared = without_option(arguments, "--input", "--encoders", "--save_patch_features")
    shared += ["--input", sheet, "--patch_features", f"{run.outdir}/*px/features_*/*.h5"]
    again = nextflow(tmp_path, "results", *shared, "--only", "associate,describe_features")
    assert again.code == 0, again.text
    assert not {name.split(" ")[0] for name in again.tasks} & {"SEGMENT_TISSUE", "EXTRACT_FEATURES", "PREPARE_ENCODER"}
    for path in sorted((run.outdir / "features").glob("*.128.h5ad")):
        before, after = anndata.read_h5ad(path), anndata.read_h5ad(again.outdir / "features" / path.name)
        assert list(before.obs_names) == list(after.obs_names)
        np.testing.assert_array_equal(before.X, after.X)


def test_table_of_slide_features(first, cohort, tmp_path):
    """Donor and tissue do without a samplesheet; p values are those of scipy; with genotypes no donor is shown."""
    from scipy.stats import norm, pearsonr, rankdata

    donors = donors_table(first[3].outdir)
    tissue = donors["tissue"].iloc[0]
    rows = donors[donors["tissue"] == tissue]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"donor": rows["donor"], "tissue": tissue, "size_mean": rng.normal(size=len(rows)), "text": "x"}
    )
    table.to_csv(tmp_path / "features.tsv", sep="\t", index=False)
    expression = rewritten_by_donor(cohort / "gene_tpm.gct.gz", rows, tmp_path / "expression.tsv")
    run = nextflow(
        tmp_path,
        "results",
        "--features",
        tmp_path / "features.tsv",
        "--features_name",
        "mine",
        "--expression",
        tmp_path / "expression.tsv",
        "--genotypes",
        cohort / "genotypes.vcf.gz",
        "--gene_positions",
        cohort / "gene_positions.tsv",
    )
    assert run.code == 0, run.text
    ran = {name.split(" ")[0] for name in run.tasks}
    assert {"PREPARE_GENOTYPES", "MAP_QTL", "TEST_CAUSALITY", "ASSOCIATE_ANNOTATIONS", "BUILD_EXPLORER"} <= ran
    dropped = pd.read_csv(run.outdir / "summary" / "dropped.tsv", sep="\t", dtype=str)
    assert dropped["reason"].str.contains("MAP_QTL needs 30").any()
    page = (run.outdir / "multiqc_report.html").read_text()
    assert "Shareable report" in page and not any(donor in page for donor in rows["donor"])
    tissue_id = rows["tissue_id"].iloc[0]
    found = pd.read_parquet(run.outdir / "associations" / f"{tissue_id}.-.associations.parquet")
    assert set(found["feature"]) == {"size_mean"}
    assert set(found["setting"]) == {f"{tissue_id}.-.mine.given"}
    for row in found.itertuples():
        values = expression.loc[row.gene, rows["donor"]].to_numpy(float)
        normal = norm.ppf((rankdata(values) - 0.375) / (len(values) + 0.25))
        r, p = pearsonr(table["size_mean"], normal)
        assert row.r == pytest.approx(r, abs=1e-10)
        assert row.p == pytest.approx(p, rel=1e-9)


def rewritten_by_donor(gct: Path, rows: pd.DataFrame, target: Path) -> pd.DataFrame:
    """Expression of one tissue as a plain table whose columns are donors."""
    with gzip.open(gct, "rt") as handle:
        table = pd.read_csv(handle, sep="\t", skiprows=2, index_col=0)
    table = table[list(rows["rna_sample"])].set_axis(list(rows["donor"]), axis=1)
    table.to_csv(target, sep="\t")
    return table


def test_faults_of_the_input_come_at_once(first, cohort, tiny_encoder, tmp_path):
    """Duplicate sample, id with a blank, id with a slash: one message, no slide opened."""
    sheet = sheet_without(cohort, tmp_path / "sheet.csv", set())
    with open(sheet, newline="") as handle:
        rows = list(csv.DictReader(handle))
    rows.append(dict(rows[0]))
    rows.append({**rows[1], "sample": "a b"})
    rows.append({**rows[2], "sample": "a/b"})
    with open(sheet, "w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    run = nextflow(tmp_path, "results", *cohort_arguments(cohort, sheet, tiny_encoder))
    assert run.code != 0
    for said in (rows[0]["sample"], "a b", "a/b", "sheet.csv"):
        assert said in run.text
    assert "exit status (65)" in run.text
    assert not any(name.startswith("SEGMENT_TISSUE") for name in run.tasks)


@pytest.mark.slow
def test_missing_slide_is_a_loss_and_too_many_stop_the_run(cohort, tiny_encoder, tmp_path):
    moved = tmp_path / "cohort"
    shutil.copytree(cohort, moved)
    status = pd.read_csv(moved / "samplesheet.csv", dtype=str)
    gone = status["sample"].iloc[0]
    (moved / status["slide"].iloc[0]).unlink()
    arguments = [*cohort_arguments(moved, moved / "samplesheet.csv", tiny_encoder), "--only", "shared_variance"]
    run = nextflow(tmp_path, "results", *arguments)
    assert run.code == 0, run.text
    dropped = pd.read_csv(run.outdir / "summary" / "dropped.tsv", sep="\t", dtype=str)
    assert "not found" in dropped.loc[dropped["id"] == gone, "reason"].iloc[0]
    strict = [*without_option(arguments, "--max_failed_slides"), "--max_failed_slides", "0"]
    run = nextflow(tmp_path, "strict", *strict, resume=True)
    assert run.code != 0
    assert "--max-failed-slides" in run.text or "max_failed_slides" in run.text


@pytest.mark.slow
def test_a_folder_of_gtex_files_is_one_command(first, cohort, tiny_encoder, tmp_path):
    """Files are told by their headers, slides are found; the cohort is that of the samplesheet, and the late slide."""
    folder = tmp_path / "gtex"
    shutil.copytree(cohort, folder)
    (folder / "samplesheet.csv").unlink()
    (folder / "pathology.csv").rename(folder / "GTEx Portal.csv")
    tissue = pd.read_csv(folder / "GTEx Portal.csv", dtype=str).set_index("Tissue Sample ID")["Tissue"]
    for slide in sorted((folder / "slides").iterdir())[::2]:  # half of the slides in folders by tissue
        (slide.parent / tissue[slide.stem].replace(" ", "_")).mkdir(exist_ok=True)
        slide.rename(slide.parent / tissue[slide.stem].replace(" ", "_") / slide.name)
    shared = without_option(
        cohort_arguments(folder, "unused", tiny_encoder), "--input", "--expression", "--covariates", "--truth"
    )
    run = nextflow(tmp_path, "results", "--gtex_dir", folder, *shared, "--only", "associate_annotations")
    assert run.code == 0, run.text
    roles = pd.read_csv(run.outdir / "cohort" / "gtex_files.tsv", sep="\t", dtype=str).set_index("file")["role"]
    assert roles.to_dict() == {
        "GTEx Portal.csv": "histology table",
        "gene_positions.tsv": "not used",
        "gene_tpm.gct.gz": "expression",
        "sample_attributes.txt": "sample attributes",
        "subject_phenotypes.txt": "subject phenotypes",
    }
    keys = ["donor", "tissue", "rna_sample", "samples"]
    before, after = donors_table(first[3].outdir), donors_table(run.outdir)
    pairs = after.set_index(["donor", "tissue"]).index.isin(before.set_index(["donor", "tissue"]).index)
    pd.testing.assert_frame_equal(after.loc[pairs, keys].reset_index(drop=True), before[keys])
    assert after.loc[~pairs, "samples"].tolist() == [first[2]["sample"]]
    assert (after["sex"].isin(["male", "female"])).all() and "SMRIN" in after
    annotations = pd.read_csv(run.outdir / "cohort" / "annotations.tsv", sep="\t")
    sheet = pd.read_csv(run.outdir / "cohort" / "samplesheet.csv", dtype=str)
    assert set(annotations["sample"]) == set(sheet["sample"])
    assert len(list((run.outdir / "annotations").glob("*.128.annotation_labels.tsv"))) == 2
    report = pd.read_csv(run.outdir / "cohort" / "join_report.tsv", sep="\t", dtype=str)
    assert set(report["tissue_from"]) == {"folder", "histology table"}


def test_a_folder_of_gtex_files_without_slides(tmp_path):
    (tmp_path / "gtex").mkdir()
    run = nextflow(tmp_path, "results", "--gtex_dir", tmp_path / "gtex")
    assert run.code == 2
    assert "no slide in" in run.text and "and no --features" in run.text
    assert run.tasks == {}


@pytest.mark.slow
def test_a_folder_of_tcga_files_is_one_command(cohort, tiny_encoder, tmp_path):
    """The simulated cohort under TCGA's names: a case a donor, the first tissue as a primary tumour."""
    folder, rows = tmp_path / "tcga", ["File Name\tProject ID\tSample ID"]
    with gzip.open(cohort / "gene_tpm.gct.gz", "rt") as handle:
        table = pd.read_csv(handle, sep="\t", skiprows=2).set_index("Name")
    sheet = pd.read_csv(cohort / "samplesheet.csv", dtype=str)
    sheet = sheet[sheet["tissue"] == sheet["tissue"].iloc[0]].drop_duplicates("donor")
    for number, row in enumerate(sheet.itertuples()):
        case, name = f"TCGA-XX-{number:04d}", f"{number}.rna_seq.augmented_star_gene_counts.tsv"
        column = next((c for c in table if c.startswith(row.sample)), None)
        if column is None:
            continue
        (folder / str(number)).mkdir(parents=True)
        slide = f"{case}-01Z-00-DX1.UUID{Path(row.slide).suffix}"
        shutil.copy(cohort / row.slide, folder / str(number) / slide)
        counts = table[["Description", column]].round().astype({column: int}).reset_index()
        counts.set_axis(["gene_id", "gene_name", "unstranded"], axis=1).to_csv(
            folder / str(number) / name, sep="\t", index=False
        )
        rows.append(f"{name}\tTCGA-SIM\t{case}-01A")
    (folder / "gdc_sample_sheet.tsv").write_text("\n".join(rows) + "\n")
    shared = without_option(
        cohort_arguments(cohort, "unused", tiny_encoder), "--input", "--expression", "--covariates", "--truth"
    )
    run = nextflow(tmp_path, "results", "--tcga_dir", folder, *shared, "--only", "associate")
    assert run.code == 0, run.text
    donors = donors_table(run.outdir)
    assert set(donors["tissue"]) == {"TCGA-SIM primary"} and len(donors) == len(rows) - 1
    assert set(donors["tissue_source_site"]) == {"XX"}
    assert (run.outdir / "associations" / "TCGA-SIM_primary.128.associations.parquet").exists()
