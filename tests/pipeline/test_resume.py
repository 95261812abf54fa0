"""What a second run does again: nothing; a new slide's own share; what imports an edited helper."""

import csv
import os
from pathlib import Path

import anndata
from bin_lines import expected_line
from engine import ROOT, Run, nextflow, sheet_without


def again(first: tuple, project: Path, *more: str) -> Run:
    folder, arguments, _, _ = first
    run = nextflow(folder, "results", *arguments, *more, project=project, resume=True)
    assert run.code == 0, run.text
    return run


def test_second_run_is_all_cached(first, project_copy):
    run = again(first, project_copy)
    assert run.ran() == set()
    assert run.cached() == set(first[3].tasks)


def test_params_json_runs_the_same_again(first, project_copy):
    folder = first[0]
    params = folder / "again.json"
    params.write_text((folder / "results" / "pipeline_info" / "params.json").read_text())
    run = nextflow(folder, "results", "-params-file", params, project=project_copy, resume=True)
    assert run.code == 0, run.text
    assert run.ran() == set()


def test_edited_helper_reruns_what_imports_it(first, project_copy):
    """hx_pvalue.py is imported by the confounders, associations and the report; what takes their files follows."""
    helper = project_copy / "bin" / "hx_pvalue.py"
    original, times = helper.read_text(), helper.stat()
    importers = {
        path.parent.name.upper()
        for path in (ROOT / "modules").glob("*/main.nf")
        if "hx_pvalue.py" in expected_line(path.read_text())
    }
    run_here = {"ADJUST_CONFOUNDERS", "ASSOCIATE", "SUMMARISE", "BUILD_EXPLORER"}
    elsewhere = {"COMPARE_ASSOCIATIONS", "COMPARE_SETTINGS", "ENRICH", "COMBINE_ENRICHMENT"}
    elsewhere |= {"ASSOCIATE_ANNOTATIONS", "MAP_QTL", "TEST_CAUSALITY"}
    assert importers == run_here | elsewhere
    try:
        helper.write_text(original + "\n# edited\n")
        run = again(first, project_copy, "--only", "associate,combine_scales")
    finally:
        helper.write_text(original)
        os.utime(helper, ns=(times.st_atime_ns, times.st_mtime_ns))
    followers = {"SHARED_VARIANCE", "COMBINE_SCALES", "DRAW_FIGURES", "MULTIQC"}
    assert {name.split(" ")[0] for name in run.ran()} == run_here | followers
    assert {"CHECK_COHORT", "SEGMENT_TISSUE", "EXTRACT_FEATURES", "AGGREGATE_FEATURES"} <= {
        name.split(" ")[0] for name in run.cached()
    }


def test_an_excluded_donor_is_left_out_without_a_slide_read_again(first, project_copy):
    folder = first[0]
    with open(folder / "results" / "cohort" / "cohort.tsv", newline="") as handle:
        donor = next(csv.DictReader(handle, delimiter="\t"))["donor"]
    (folder / "withdrawn.txt").write_text(f"{donor}\n")
    run = again(first, project_copy, "--exclude", str(folder / "withdrawn.txt"), "--only", "shared_variance")
    slide_steps = {"SEGMENT_TISSUE", "PREPARE_ENCODER", "EXTRACT_FEATURES"}
    assert not {name.split(" ")[0] for name in run.ran()} & slide_steps
    assert {"SEGMENT_TISSUE", "EXTRACT_FEATURES"} <= {name.split(" ")[0] for name in run.cached()}
    assert f"{donor}\tdonor\t" in (run.outdir / "cohort" / "exclusions.tsv").read_text()
    tables = sorted((run.outdir / "features").glob("*.128.h5ad"))
    assert tables and all(donor not in anndata.read_h5ad(path).obs_names for path in tables)


def test_added_slide_reruns_its_batch_and_what_depends_on_it(first, cohort, project_copy):
    """Last of this file: it changes the samplesheet."""
    folder, _, late, _ = first
    sheet_without(cohort, folder / "samplesheet.csv", set())
    run = again(first, project_copy)
    with open(folder / "results" / "cohort" / "slides.tsv", newline="") as handle:
        row = next(row for row in csv.DictReader(handle, delimiter="\t") if row["sample"] == late["sample"])
    tissue, batch = row["tissue_id"], row["batch"]
    expected = {"CHECK_COHORT", "CHECK_SEGMENTED", "CHECK_SLIDES"}
    expected |= {f"SEGMENT_TISSUE ({batch})", f"EXTRACT_FEATURES ({batch})"}
    steps = ["AGGREGATE_FEATURES", "ADJUST_CONFOUNDERS", "SHARED_VARIANCE", "ASSOCIATE"]
    steps += ["ENRICH", "ASSOCIATE_ANNOTATIONS"]
    expected |= {f"{step} ({tissue}.{size})" for step in steps for size in (128, 256)}
    expected |= {f"COMPARE_ASSOCIATIONS ({group})" for group in ("size_128", "size_256", f"tissue_{tissue}")}
    expected |= {f"COMBINE_SCALES ({tissue})", f"COMPARE_SETTINGS ({tissue})", "COMBINE_ENRICHMENT"}
    expected |= {f"{step} ({tissue}.256)" for step in ("PREDICT_EXPRESSION", "DESCRIBE_FEATURES", "DRAW_FEATURES")}
    expected |= {f"PREPARE_EXPRESSION ({tissue})", "SUMMARISE", "BUILD_EXPLORER", "DRAW_FIGURES", "MULTIQC"}
    # The slides that are mapped may be others now; where they are the same, they are not encoded once more.
    assert run.ran() - {f"EXTRACT_MAPPED ({tissue}.256)"} == expected
