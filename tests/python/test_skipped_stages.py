"""A report of the stages that ran: without associations, without shared variance, without any statistic."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_summarise import ID, ROOT, content, make_run, summary, without

import shared_variance
from hx_report import headline, primary_settings, settings_of
from hx_sections import WITHOUT
from hx_sections import verdict as verdict_section
from hx_shared_tables import CURVE, GENES, ROW
from hx_verdict import shared_of, verdict
from summarise import main

TESTS = {"qq", "calibration", "settings", "genes", "controls", "listed_genes", "hidden_factors", "sharing"}
WHY = "not named by --only shared_variance"
SKIPPED = ["--skipped", *(f"{stage}: {WHY}" for stage in ("associate", "compare_associations", "combine_scales"))]


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, list[str]]:
    """A run with associations and shared variance, side by side in folders of their own; arguments of summarise.py."""
    folder = tmp_path_factory.mktemp("both")
    arguments = make_run(folder)
    for size in ("256", "1024"):
        files = ["--features", f"{folder}/h5ad/{ID}.{size}.h5ad", "--expression", f"{folder}/h5ad/{ID}.expression.h5ad"]
        more = ["--setting-prefix", f"{ID}.{size}", "--permutations", "99", "--outdir", f"{folder}/shared"]
        assert shared_variance.main([*files, *more]) == 0
    return folder, arguments


@pytest.fixture(scope="module")
def shared_only(both) -> tuple[Path, list[str]]:
    folder, arguments = both
    arguments = [*without(arguments, "--tables", "--outdir"), "--tables", f"{folder}/shared", *SKIPPED]
    assert main([*arguments, "--outdir", f"{folder}/only/out"]) == 0
    return folder / "only", arguments


def shared_row(folder: Path, size: str = "256", control: str = "none") -> pd.Series:
    """The headline of the primary setting as the stage wrote it; no covariate, so nothing is adjusted."""
    rows = pd.read_csv(folder / "shared" / f"{ID}.{size}.shared_variance.tsv", sep="\t")
    rows = rows.query("direction == 'expression_by_image' and scaling == 'standardised' and aggregation == 'mean'")
    return rows[rows["control"] == control].squeeze()


def test_verdict_without_associations(shared_only, both):
    row, real, control = (
        summary(shared_only[0], "verdict").iloc[0],
        *map(lambda name: shared_row(both[0], control=name), ("none", "shuffle_donors")),
    )
    assert (row["setting"], row["primary"], row["donors"], row["slides"]) == (f"{ID}.256.raw.mean", "yes", 40, 43)
    shown = ["shared", "shared_low", "shared_high", "shared_p"]
    np.testing.assert_array_equal(
        row[shown].astype(float), real[["adjusted_share", "ci_low", "ci_high", "p"]].astype(float)
    )
    assert row["control_shared"] == control["adjusted_share"] and row["control_shared_p"] == control["p"]
    assert not {"hits", "genes", "lambda_gc"} & set(row.index)
    told = content(shared_only[0], "verdict")
    assert "UNADJUSTED" in told["description"] and "never trained" in told["description"]
    assert "Feature-gene pairs" not in told["description"] and "shuffled would be wrong" in told["description"]
    assert told["data"][ID]["shared_p"] == row["shared_p"] and set(told["headers"]) <= {*row.index}


def test_what_was_skipped_stands_in_one_place(shared_only):
    folder, _ = shared_only
    names = {path.name.removesuffix("_mqc.json") for path in (folder / "out" / "multiqc").iterdir()}
    assert "shared_variance" in names and not names & TESTS
    told = content(folder, "hx_skipped")
    assert "wrong" in told["description"] and told["data"].count("<p>") == 3
    for stage in ("associate", "compare_associations", "combine_scales"):
        assert f"<p>{stage} was skipped ({WHY}). " in told["data"]
    assert WITHOUT["associate"] in told["data"]
    tables = {path.stem for path in (folder / "out" / "summary").iterdir()}
    assert "shared_variance" in tables and not tables & {*TESTS, "top_genes"}


def test_flow_and_planted_truths_need_no_association(shared_only, both):
    """The same settings are looked into, with or without the tests of pairs."""
    assert main(both[1]) == 0
    for name in ("flow", "planted_truths"):
        assert summary(shared_only[0], name).equals(summary(both[0], name)), name
    assert summary(shared_only[0], "flow")["donors_analysed"].tolist() == [40]


def test_methods_say_only_what_ran(shared_only, both, tmp_path):
    text = content(shared_only[0], "hx_methods")["data"]
    assert "parallel analysis" in text and "Huh M-H" in text and "simulated (mode signal)" in text
    assert "tested against every gene" not in text and "Cinelli" not in text and "Bogomolov" not in text
    assert "{" not in text and "patches of 256 px, 1024 px" in text and "40 donors a tissue" in text
    assert main([*without(both[1], "--outdir"), "--outdir", f"{tmp_path}/out"]) == 0
    text = content(tmp_path, "hx_methods")["data"]
    assert "parallel analysis" not in text and "Lambda is" in text and "Cinelli" in text


def test_verdict_of_both_stages(both, tmp_path):
    folder, arguments = both
    shutil.copytree(folder / "associations", tmp_path / "tables")
    for path in (folder / "shared").glob("*.tsv"):
        shutil.copy(path, tmp_path / "tables")
    arguments = [*without(arguments, "--tables", "--outdir", "--truth"), "--tables", f"{tmp_path}/tables"]
    assert main([*arguments, "--outdir", f"{tmp_path}/out"]) == 0
    row, told = summary(tmp_path, "verdict").iloc[0], content(tmp_path, "verdict")
    found = pd.read_csv(folder / "associations" / f"{ID}.256.association_summary.tsv", sep="\t")
    found = found[found["aggregation"] == "mean"].set_index("control")
    for name in ("hits", "genes_found", "lambda_gc"):
        assert row[name] == found.loc["none", name] and row[f"control_{name}"] == found.loc["shuffle_donors", name]
    assert row["shared"] == shared_row(folder)["adjusted_share"] and row["status"] in ("red", "amber", "green")
    assert {"shared", "shared_p", "genes_found", "control_genes_found", "status"} <= set(told["headers"])
    assert not (tmp_path / "out" / "multiqc" / "hx_skipped_mqc.json").exists()


def test_another_primary_setting_stands_in(shared_only, tmp_path):
    arguments = without(shared_only[1], "--truth", "--primary")
    assert main([*arguments, "--primary", "512,retrained,mean", "--outdir", f"{tmp_path}/out"]) == 0
    row = summary(tmp_path, "verdict").iloc[0]
    assert (row["setting"], row["primary"]) == (f"{ID}.256.raw.mean", "no")


def test_associations_that_are_lost_are_no_skipped_stage(shared_only, tmp_path, capsys):
    arguments = [word for word in shared_only[1] if word not in SKIPPED]
    assert main([*arguments, "--outdir", f"{tmp_path}/out"]) == 65
    assert "no *.association_summary.tsv" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--skipped", "associate"])
    assert stop.value.code == 2


@pytest.mark.parametrize("rows", ["none", "headers"])
def test_no_setting_at_all_is_a_report_too(shared_only, tmp_path, rows):
    """No statistic ran, or none had donors enough: tables are absent, or have a header alone."""
    (tmp_path / "tables").mkdir()
    if rows == "headers":
        for name, columns in {"": ROW, "_curve": CURVE, "_genes": GENES}.items():
            (tmp_path / "tables" / f"{ID}.256.shared_variance{name}.tsv").write_text("\t".join(columns) + "\n")
    arguments = [*without(shared_only[1], "--tables"), "--tables", f"{tmp_path}/tables"]
    assert main([*arguments, "--outdir", f"{tmp_path}/out"]) == 0
    assert content(tmp_path, "verdict")["data"] == "<p>No row.</p>" and summary(tmp_path, "verdict").empty
    assert summary(tmp_path, "flow")["donors_analysed"].tolist() == [0]
    assert content(tmp_path, "planted_truths")["data"] == "<p>No row.</p>"
    assert "no donors a tissue" in content(tmp_path, "hx_methods")["data"]


def test_settings_are_told_by_the_features_where_no_statistic_is(tmp_path):
    """With the factors of the model for what was adjusted for; constant features and few donors are not tested."""
    parts = [
        ("A", "256", "raw", "mean", 20, 5, 0),
        ("A", "256", "raw", "max", 20, 5, 0),
        ("B", "-", "x", "given", 9, 3, 3),
    ]
    columns = ["tissue_id", "size", "encoder", "aggregation", "n_donors", "n_features", "n_dead"]
    model = {"tissue_id": list("AAA"), "size": "256", "factor": ["SEX", "AGE", "RIN"], "in_model": ["yes", "yes", "no"]}
    tables = {"feature_summary": pd.DataFrame(parts, columns=columns), "confounder_model": pd.DataFrame(model)}
    rows = settings_of(tables, "mean").set_index("setting")
    assert list(rows.index) == ["A.256.raw.mean", "B.-.x.given"]
    assert rows["adjusted_for"].tolist() == ["AGE;SEX", ""] and rows["tested"].tolist() == [True, False]
    assert rows["n"].tolist() == [20, 9] and rows["features"].tolist() == [5, 3]
    assert settings_of({"feature_summary": tables["feature_summary"]}, "max")["adjusted_for"].tolist() == ["", ""]
    chosen = primary_settings(settings_of(tables, "mean"), "256,raw,mean")
    shown = verdict(chosen, pd.DataFrame({"tissue_id": ["A"], "slides": [30]}), {})
    assert shown["slides"].tolist()[0] == 30 and shown["donors"].tolist() == [20, 9]


def test_verdict_of_predictions_alone():
    columns = ["setting", "control", "tissue_id", "size", "encoder", "aggregation", "weights", "adjusted_for", "n"]
    rows = [
        ["A.256.x.mean", "none", "A", "256", "x", "mean", "h", "AGE", 30, 9, 7, 0.25],
        ["A.256.x.mean", "shuffle_donors", "A", "256", "x", "mean", "h", "AGE", 30, 9, 1, np.nan],
        ["A.512.x.mean", "none", "A", "512", "x", "mean", "h", "AGE", 28, 9, 5, 0.5],
    ]
    found = {"prediction_summary": pd.DataFrame(rows, columns=[*columns, "features", "genes_found", "delta_r2_found"])}
    chosen = primary_settings(settings_of(found, "mean"), "512,x,mean")
    row = verdict(chosen, pd.DataFrame({"tissue_id": ["A"], "slides": [31]}), found).iloc[0]
    assert (row["setting"], row["donors"], row["predicted"], row["predicted_gain"]) == ("A.512.x.mean", 28, 5, 0.5)
    assert np.isnan(row["control_predicted"])
    told = verdict_section(verdict(chosen, pd.DataFrame({"tissue_id": ["A"], "slides": [31]}), found))
    assert "control_predicted" not in told["headers"] and "Adjusted for AGE." in told["description"]
    chosen = primary_settings(settings_of(found, "mean"), "256,x,mean")
    row = verdict(chosen, pd.DataFrame({"tissue_id": ["A"], "slides": [31]}), found).iloc[0]
    assert (row["predicted"], row["control_predicted"], row["predicted_gain"]) == (7, 1, 0.25)


def test_headline_is_adjusted_where_the_tissue_was():
    """Tissue A has covariates; B has none, and keeps its rows before adjustment."""
    kinds = [("A", "no"), ("A", "yes"), ("B", "no")]
    table = pd.DataFrame(kinds, columns=["tissue_id", "adjusted"]).assign(
        size="256", direction="expression_by_image", scaling="standardised", donors="all", control="none",
        setting=["A.s", "A.s", "B.s"], adjusted_share=[0.3, 0.1, 0.2], ci_low=0.0, ci_high=1.0, p=0.5,
    )  # fmt: skip
    others = [table.assign(scaling="covariance"), table.assign(direction="image_by_expression")]
    table = pd.concat([table, *others, table.assign(donors="every_size")], ignore_index=True)
    assert headline(table)["adjusted_share"].tolist() == [0.1, 0.2]
    shared = shared_of(table)
    assert shared["shared"].to_dict() == {"A.s": 0.1, "B.s": 0.2} and shared["control_shared"].isna().all()


def test_the_table_of_stages_is_the_only_one():
    """Each stage of subworkflows/stages.nf is a process that the flow may leave out; --help and the report know it."""
    text = (ROOT / "subworkflows" / "stages.nf").read_text()
    block = re.search(r"def stageNeeds\(opts\) \{\n    return \[\n(.*?)\n    \]", text, re.S)[1]
    needs = {name: re.findall(r"'(\w+)'", rest) for name, rest in re.findall(r"^ +(\w+) *: (.*\[.*\]),$", block, re.M)}
    assert len(needs) == len(block.splitlines()) and {name for of in needs.values() for name in of} <= set(needs)
    usage = (ROOT / "docs" / "usage.md").read_text()
    calls = "".join((ROOT / "subworkflows" / f"{name}.nf").read_text() for name in ("explain", "genetics"))
    main = (ROOT / "main.nf").read_text()
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    told = schema["$defs"]["statistics"]["properties"]["only"]["description"]
    for stage in needs:
        assert (ROOT / "modules" / stage / "main.nf").is_file()
        called = re.search(rf"\b{stage.upper()}\(\s*unlessSkipped\(\s*'{stage}'", calls)
        assert called or f"skippedStages(opts).containsKey('{stage}')" in main, stage
        assert re.search(rf"\b{stage}\b", told) and f"`{stage}`" in usage, stage
    assert set(WITHOUT) == set(needs)
