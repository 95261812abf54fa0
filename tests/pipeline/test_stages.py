"""--only and --skip: which stages run, what is refused before any task, what the report says of the rest."""

import json

import pandas as pd
import pytest
from engine import cohort_arguments, nextflow, sheet_without

STATISTICS = {
    *("ADJUST_CONFOUNDERS", "SHARED_VARIANCE", "COMBINE_SCALES", "ASSOCIATE", "COMPARE_ASSOCIATIONS"),
    *("COMPARE_SETTINGS", "PREDICT_EXPRESSION", "ENRICH", "COMBINE_ENRICHMENT", "DESCRIBE_FEATURES", "DRAW_FEATURES"),
    *("ASSOCIATE_ANNOTATIONS", "MAP_QTL", "TEST_CAUSALITY"),
}
ALL = "associate,shared_variance,predict_expression,enrich,map_qtl,associate_annotations,describe_features"


def processes(names: set[str]) -> set[str]:
    return {name.split(" ")[0] for name in names}


REFUSED = {
    "--only shared_varianc --skip adjust_confounders": [
        "--only: 'shared_varianc' is no stage to choose: use shared_variance, associate",
        "--skip: 'adjust_confounders' is no stage to choose",
        "(adjust_confounders always runs)",
    ],
    "--only compare_associations,shared_variance --skip associate,shared_variance": [
        "--only compare_associations needs associate, which --skip names",
        "--only and --skip both name shared_variance",
    ],
    f"--skip {ALL}": [f"--skip {ALL} leaves none of the stages shared_variance,"],
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_is_refused_before_any_task(tmp_path, arguments):
    run = nextflow(tmp_path, "results", "-profile", "test", *arguments.split())
    assert run.code == 2 and run.tasks == {}
    for part in REFUSED[arguments]:
        assert part in run.text


def test_what_a_wanted_stage_needs_runs_too(tmp_path):
    run = nextflow(tmp_path, "results", "-profile", "test", "-stub", "--only", "compare_associations")
    assert run.code == 0, run.text
    assert processes(run.ran()) & STATISTICS == {"ADJUST_CONFOUNDERS", "ASSOCIATE", "COMPARE_ASSOCIATIONS"}
    assert "is left out" not in run.text


def test_pairs_that_the_user_names_need_no_associations(tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("gene\tfeature\nENSG00000000001\t256_tiny_0001\n")
    run = nextflow(
        tmp_path, "results", "-profile", "test", "-stub", "--only", "test_causality", "--causality_pairs", str(pairs)
    )
    assert run.code == 0, run.text
    assert processes(run.ran()) & STATISTICS == {"ADJUST_CONFOUNDERS", "TEST_CAUSALITY"}


def test_what_needs_a_skipped_stage_is_left_out_with_it(tmp_path):
    run = nextflow(tmp_path, "results", "-profile", "test", "-stub", "--skip", "associate")
    assert run.code == 0, run.text
    assert STATISTICS - processes(run.ran()) == {
        *("ASSOCIATE", "COMPARE_ASSOCIATIONS", "COMPARE_SETTINGS", "TEST_CAUSALITY")
    }
    assert "compare_associations is left out: it needs associate, named by --skip" in run.text


def test_one_line_for_one_tissue_and_size(cohort, tiny_encoder, tmp_path):
    """The stage asked for and the report, on one tissue, size and aggregation; no declared primary among them."""
    sheet = sheet_without(cohort, tmp_path / "sheet.csv", set())
    tissue = pd.read_csv(sheet, dtype=str)["tissue"].iloc[0]
    shared = cohort_arguments(cohort, sheet, tiny_encoder)
    put = {"--patch_sizes": "256", "--slide_batches": "1"}
    shared = [put.get(name, value) for name, value in zip([None, *shared], shared, strict=False)]
    run = nextflow(
        tmp_path, "results", *shared, "--only", "shared_variance", "--tissues", tissue, "--aggregations", "median"
    )
    assert run.code == 0, run.text
    assert processes(run.ran()) == {
        *("CHECK_COHORT", "SEGMENT_TISSUE", "CHECK_SEGMENTED", "EXTRACT_FEATURES", "CHECK_SLIDES"),
        *("AGGREGATE_FEATURES", "PREPARE_EXPRESSION", "ADJUST_CONFOUNDERS", "SHARED_VARIANCE"),
        *("SUMMARISE", "BUILD_EXPLORER", "DRAW_FIGURES", "MULTIQC"),
    }
    assert "--primary 256,retrained,mean is not among what runs: 256,tiny,median is the primary setting" in run.text
    rows = pd.read_csv(next((run.outdir / "shared_variance").glob("*.shared_variance.tsv")), sep="\t", dtype=str)
    assert set(rows["aggregation"]) == {"median"} and set(rows["size"]) == {"256"} and rows["tissue_id"].nunique() == 1
    assert rows["analysis"].eq("primary").sum() == 1
    verdict = pd.read_csv(run.outdir / "summary" / "verdict.tsv", sep="\t")
    assert verdict["primary"].tolist() == ["yes"] and verdict["shared"].notna().all() and "hits" not in verdict
    assert not (run.outdir / "associations").exists()
    page = (run.outdir / "multiqc_report.html").read_text()
    for stage in ("associate", "compare_associations", "combine_scales"):
        assert f"{stage} was skipped (not named by --only shared_variance)" in page
    assert "QQ plot of p values" not in page
    # The copy of the page's text for language models is taken out.
    assert 'aiReportMetadataBase64 = "e30="' in page and 'aiPseudonymMap = JSON.parse(atob("e30="))' in page
    kept = json.loads((run.outdir / "pipeline_info" / "params.json").read_text())
    assert kept["only"] == "shared_variance" and "skip" not in kept
