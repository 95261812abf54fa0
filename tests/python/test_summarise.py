"""summarise.py, hx_report, hx_sections, hx_mqc and hx_methods: tables, sections, and the report that MultiQC makes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import test_truth

import associate
from hx_association import QQ
from hx_io import write_tsv
from hx_mqc import bars, cell, lines, table, text
from hx_report import primary_settings
from hx_verdict import RULE, status
from summarise import main

ROOT = Path(__file__).resolve().parents[2]
TISSUE = test_truth.TISSUE
ID = test_truth.tissue_id(TISSUE)
SLIDE = {  # what SEGMENT_TISSUE measures of a slide, as far as the report shows it
    "tissue_mm2": 2.5, "focus": 300.0, "mpp": 0.5, "scanner": "Aperio SS1302", "pen_fraction": 0.0,
    "blur_fraction": 0.125, "fold_fraction": 0.01,
}  # fmt: skip
ATTACK = "<script>alert('x')</script> & Söhne, 1 of 2"


def make_run(folder: Path, mode: str = "signal", donors: int = 40) -> list[str]:
    """The files of a run with one tissue, two patch sizes and two aggregations; the arguments of summarise.py."""
    content, features, expression = test_truth.cohort(mode, donors)
    expression.var["symbol"] = [ATTACK, *expression.var["symbol"][1:]]
    features.layers["median"] = features.X + 0.1
    features.X[:, 7] = 0
    (folder / "h5ad").mkdir(parents=True)
    (folder / "genes.txt").write_text("\n".join(expression.var_names[:3]))
    expression.write_h5ad(folder / "h5ad" / f"{ID}.expression.h5ad")
    for size in ("256", "1024"):
        features.write_h5ad(folder / "h5ad" / f"{ID}.{size}.h5ad")
        arguments = ["--features", f"{folder}/h5ad/{ID}.{size}.h5ad", "--setting-prefix", f"{ID}.{size}"]
        arguments += ["--expression", f"{folder}/h5ad/{ID}.expression.h5ad", "--outdir", f"{folder}/associations"]
        arguments += ["--genes", f"{folder}/genes.txt"]
        assert associate.main(arguments) == 0
    matching = {
        "tissue": [TISSUE], "tissue_id": [ID], "slides": [donors + 3], "slides_usable": [donors + 2],
        "donors": [donors + 2], "rna_samples": [donors + 9], "matched_donors": [donors + 1], "donors_kept": [donors],
        "rule": ["sample"],
    }  # fmt: skip
    write_tsv(pd.DataFrame(matching), folder / "cohort" / "matching.tsv")
    people = pd.DataFrame({"donor": expression.obs_names, "tissue_id": ID, "samples": expression.obs_names})
    write_tsv(people, folder / "cohort" / "cohort.tsv")
    status = pd.DataFrame(
        {"sample": [f"s{k}" for k in range(donors + 2)], "tissue_id": ID, "status": "ok", "reason": ""}
    )
    status.loc[:1, ["status", "reason"]] = [["no_tissue", "blank"], ["partial", "bad tiles"]]
    status["warnings"] = ["", "pen or ink, 3% of the tissue's area", *[""] * (len(status) - 3), ATTACK]
    for column, value in SLIDE.items():
        status[column] = value
    write_tsv(status, folder / "slide_status.tsv")
    dropped = pd.DataFrame(
        [
            ("R1", "rna", "check_cohort", "no slide"),
            ("R2", "rna", "check_cohort", "no slide"),
            ("s9", "slide", "check_cohort", ATTACK),
        ],
        columns=["id", "kind", "stage", "reason"],
    )
    write_tsv(dropped, folder / "check_cohort.dropped.tsv")
    (folder / "truth.json").write_text(json.dumps(content))
    losses = [folder / "check_cohort.dropped.tsv", *sorted((folder / "associations").glob("*.dropped.tsv"))]
    return [
        "--cohort", f"{folder}/cohort", "--dropped", *map(str, losses), "--status", f"{folder}/slide_status.tsv",
        "--tables", f"{folder}/associations", "--truth", f"{folder}/truth.json", "--features", f"{folder}/h5ad",
        "--expression", f"{folder}/h5ad", "--methods", f"{ROOT}/assets/methods.toml", "--outdir", f"{folder}/out",
        "--primary", "256,raw,mean",
    ]  # fmt: skip


def without(arguments: list[str], *options: str) -> list[str]:
    """Arguments without some options and their single values."""
    at = {k + d for k, word in enumerate(arguments) if word in options for d in (0, 1)}
    return [word for k, word in enumerate(arguments) if k not in at]


def summary(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "out" / "summary" / f"{name}.tsv", sep="\t", dtype={"size": str})


def content(folder: Path, name: str) -> dict:
    return json.loads((folder / "out" / "multiqc" / f"{name}_mqc.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("summarise")
    arguments = make_run(folder)
    assert main(arguments) == 0
    return folder, arguments


def test_verdict(run):
    folder, _ = run
    row = summary(folder, "verdict").iloc[0]
    found = pd.read_csv(folder / "associations" / f"{ID}.256.association_summary.tsv", sep="\t")
    real = found[(found["aggregation"] == "mean") & (found["control"] == "none")].iloc[0]
    control = found[(found["aggregation"] == "mean") & (found["control"] == "shuffle_donors")].iloc[0]
    assert (row["setting"], row["primary"], row["donors"], row["slides"]) == (f"{ID}.256.raw.mean", "yes", 40, 43)
    assert (row["hits"], row["control_hits"]) == (real["hits"], control["hits"])
    assert row["lambda_gc"] == real["lambda_gc"] and row["control_lambda_gc"] == control["lambda_gc"]
    told = content(folder, "verdict")["description"]
    assert "UNADJUSTED" in told and RULE in told
    assert (row["status"], row["why"]) == status(row) and row["status"] == "amber"
    assert row["why"].startswith("nothing was adjusted for; hits: ")


def test_losses_and_flow(run):
    folder, _ = run
    losses = summary(folder, "losses")
    rna = losses[losses["kind"] == "rna"].iloc[0]
    assert (rna["count"], rna["reason"], rna["examples"]) == (2, "no slide", "R1, R2")
    assert losses["count"].sum() == len(summary(folder, "dropped"))
    assert set(losses.loc[losses["kind"] == "feature", "examples"]) == {"raw_0007"}
    flow = summary(folder, "flow").iloc[0]
    assert flow[["slides", "slides_usable", "slides_read", "donors", "matched_donors", "donors_kept"]].tolist() == [
        43,
        42,
        41,
        42,
        41,
        40,
    ]
    assert flow["donors_analysed"] == 40


def test_planted_truths_come_first_in_their_order(run):
    folder, _ = run
    rows = summary(folder, "planted_truths")
    assert len(rows) == 3 * 2 * 2
    assert (rows["setting"].iloc[:3] == f"{ID}.256.raw.mean").all()
    assert list(rows["property"][:3]) == ["cell_proportion", "ischaemia", "lesion_area"]
    shown = content(folder, "planted_truths")
    assert next(iter(shown["data"])) == f"cell_proportion, {ID}.256.raw.mean"
    assert {row["found"] for row in shown["data"].values()} <= {"found", "missed"}
    assert f"found {(rows['found'] == 'yes').sum()} of 12" in shown["description"]


def test_settings_are_in_the_order_of_sizes(run):
    folder, _ = run
    expected = [f"{ID}.{size}.raw.{a}" for size in (256, 1024) for a in ("mean", "median")]
    assert list(summary(folder, "settings")["setting"]) == expected
    assert list(content(folder, "settings")["data"]) == expected


def test_genes(run):
    folder, _ = run
    rows = summary(folder, "top_genes")
    genes = pd.read_parquet(folder / "associations" / f"{ID}.256.association_genes.parquet")
    genes = genes[genes["setting"] == f"{ID}.256.raw.mean"].set_index("gene")
    assert len(rows) == 400 and rows["nlog10p"].is_monotonic_decreasing
    best = rows.iloc[0]
    assert best["p"] == pytest.approx(genes["p"].min(), rel=1e-9)
    half = (best["ci_high"] - best["ci_low"]) / 2
    assert half == pytest.approx(genes.loc[best["gene"], "se"] * 2.0243942, rel=1e-6)  # t quantile, 38 dof
    assert len(content(folder, "genes")["data"]) == 300


def test_every_section_has_its_sentences_and_limits(run):
    folder, _ = run
    names = {path.name.removesuffix("_mqc.json") for path in (folder / "out" / "multiqc").iterdir()}
    assert names == {
        *("planted_truths", "verdict", "flow", "losses", "slide_status", "slide_problems", "slide_quality"),
        *("dataset", "tissues_per_donor", "tissue_conflicts", "qq", "calibration", "settings", "genes", "hx_methods"),
        *("controls", "listed_genes", "pc_associations", "claims", "claims_in_words"),
    }
    for name in names - {"hx_methods"}:
        shown = content(folder, name)
        assert "wrong" in shown["description"], name
        if shown["plot_type"] == "table":
            assert 0 < len(shown["data"]) <= 300
    assert sum(len(points) for points in content(folder, "qq")["data"].values()) <= 5000


def test_text_of_the_data_is_escaped(run):
    folder, _ = run
    for path in (folder / "out" / "multiqc").iterdir():
        assert "<script" not in path.read_text()
    reasons = [row["reason"] for row in content(folder, "losses")["data"].values()]
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; Söhne, 1 of 2" in reasons
    assert ATTACK in set(summary(folder, "losses")["reason"])


def test_same_input_same_bytes(run, tmp_path):
    folder, arguments = run
    assert main([*without(arguments, "--outdir"), "--outdir", str(tmp_path)]) == 0
    for path in (folder / "out").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder / "out")).read_bytes(), path.name


def test_methods_say_what_ran(run):
    text_of = content(run[0], "hx_methods")["data"]
    assert "simulated (mode signal)" in text_of
    assert "patches of 256 px, 1024 px" in text_of and "1 tissues, 40 donors a tissue" in text_of
    assert "Benjamini-Hochberg procedure at 0.05" in text_of and "Bonferroni correction" not in text_of
    assert "Szegedy" in text_of and "never trained" in text_of and "{" not in text_of


def test_run_without_slides_truth_or_methods(run, tmp_path):
    arguments = without(run[1], "--status", "--truth", "--features", "--expression", "--methods", "--outdir")
    assert main([*arguments, "--outdir", f"{tmp_path}/out"]) == 0
    assert content(tmp_path, "slide_status")["data"] == "<p>No slide was read: features were given.</p>"
    assert "slides_read" not in summary(tmp_path, "flow")
    assert not (tmp_path / "out" / "multiqc" / "planted_truths_mqc.json").exists()
    assert not (tmp_path / "out" / "multiqc" / "hx_methods_mqc.json").exists()


def test_declared_primary_that_did_not_run(run, tmp_path):
    arguments = without(run[1], "--truth", "--outdir")
    assert main([*arguments, "--primary", "512,retrained,mean", "--outdir", f"{tmp_path}/out"]) == 0
    row = summary(tmp_path, "verdict").iloc[0]
    assert (row["setting"], row["primary"]) == (f"{ID}.256.raw.mean", "no")


def test_nothing_to_test_is_a_report_too(tmp_path):
    arguments = without(make_run(tmp_path), "--truth")
    for path in (tmp_path / "associations").glob("*_summary.tsv"):
        rows = pd.read_csv(path, sep="\t").query("control == 'none'")
        rows.loc[:, ["features", "pairs", "hits", "genes_with_hit"]] = 0
        rows.loc[:, ["share_p05", "share_p001", "lambda_gc", "best_r", "best_p", "detectable_r"]] = np.nan
        write_tsv(rows, path)
        write_tsv(pd.DataFrame(columns=QQ), str(path).replace("_summary", "_qq"))
    for path in (tmp_path / "associations").glob("*_genes.parquet"):
        pd.read_parquet(path).iloc[:0].to_parquet(path)
    assert main(arguments) == 0
    assert summary(tmp_path, "verdict")["status"].tolist() == ["amber"]
    assert content(tmp_path, "genes")["data"] == "<p>No row.</p>"
    assert content(tmp_path, "qq")["data"] == "<p>No row.</p>"
    assert summary(tmp_path, "calibration").empty


def test_feature_table_and_bonferroni(tmp_path):
    arguments = without(make_run(tmp_path), "--truth", "--status")
    for path in (tmp_path / "associations").glob("*"):
        path.unlink()
    shutil.copy(tmp_path / "h5ad" / f"{ID}.256.h5ad", tmp_path / "h5ad" / f"{ID}.-.h5ad")
    files = ["--features", f"{tmp_path}/h5ad/{ID}.-.h5ad", "--expression", f"{tmp_path}/h5ad/{ID}.expression.h5ad"]
    extra = ["--setting-prefix", f"{ID}.-", "--correction", "bonferroni", "--controls", "none"]
    assert associate.main([*files, *extra, "--outdir", f"{tmp_path}/associations"]) == 0
    losses = arguments.index("--dropped")
    arguments = [*arguments[: losses + 2], *arguments[arguments.index("--tables") :]]
    assert main(arguments) == 0
    row = summary(tmp_path, "verdict").iloc[0]
    assert (row["setting"], row["primary"], row["status"]) == (f"{ID}.-.raw.given", "yes", "amber")
    assert np.isnan(row["control_hits"])
    text_of = content(tmp_path, "hx_methods")["data"]
    assert "Image features came from a table" in text_of and "Bonferroni correction at 0.05" in text_of
    assert "negative control" not in text_of and "whole-slide" not in text_of


def test_primary_setting_of_each_tissue():
    rows = [("A", "1024"), ("A", "256"), ("B", "1024"), ("B", "512"), ("C", "-")]
    frame = pd.DataFrame(rows, columns=["tissue_id", "size"]).assign(control="none", encoder="raw", aggregation="mean")
    frame["setting"] = frame["tissue_id"] + frame["size"]
    chosen = primary_settings(frame, "256,raw,mean")
    assert list(zip(chosen["tissue_id"], chosen["size"], chosen["primary"], strict=True)) == [
        ("A", "256", "yes"),
        ("B", "512", "no"),
        ("C", "-", "yes"),
    ]


def test_all_faults_at_once(run, tmp_path, capsys):
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "matching.tsv").write_text("tissue\nLung\n")
    (tmp_path / "bad.tsv").write_text("id\tkind\nx\ty\n")
    arguments = without(run[1], "--cohort", "--tables", "--status")
    arguments = [*arguments[: arguments.index("--dropped")], *arguments[arguments.index("--truth") :]]
    arguments += [
        "--cohort",
        f"{tmp_path}/cohort",
        "--dropped",
        f"{tmp_path}/bad.tsv",
        "--status",
        f"{tmp_path}/none.tsv",
    ]
    assert main([*arguments, "--tables", str(tmp_path)]) == 65
    message = capsys.readouterr().err
    assert "7 faults" in message
    for part in (
        "matching.tsv, row 1: no column tissue_id",
        "bad.tsv, row 1: no column stage",
        "none.tsv: no such file",
    ):
        assert part in message
    assert "no *.association_summary.tsv" in message and "no *.association_genes.parquet" in message


def test_truth_without_features(run, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(without(run[1], "--features"))
    assert stop.value.code == 2
    with pytest.raises(SystemExit):
        main([*run[1], "--primary", "256"])


def test_missing_features_of_a_truth(run, tmp_path, capsys):
    arguments = [*without(run[1], "--features", "--outdir"), "--features", str(tmp_path), "--outdir", str(tmp_path)]
    assert main(arguments) == 65
    assert f"{ID}.1024.h5ad: no readable h5ad file" in capsys.readouterr().err


def test_methods_template_that_is_wrong(run, tmp_path, capsys):
    for content_of in ("[[paragraph]]\nwhen = 'always'\ntext = '{nobody}'\n[[citation]]\nwhen=''\ntext=''", "= 3", ""):
        (tmp_path / "methods.toml").write_text(content_of)
        arguments = [*without(run[1], "--methods", "--outdir"), "--methods", f"{tmp_path}/methods.toml"]
        assert main([*arguments, "--outdir", str(tmp_path)]) == 65
        assert "methods.toml: no methods text" in capsys.readouterr().err


def test_cells():
    assert cell(np.float64("nan")) is None and cell(np.inf) is None and cell(None) is None
    assert cell(np.int64(3)) == 3 and cell(0.1 + 0.2) == 0.3 and cell(True) == "yes"
    assert cell("a<b") == "a&lt;b"


def test_section_helpers():
    frame = pd.DataFrame({"x": [1.0, np.nan], "y": ["p", "q"]})
    shown = table("i", "N", "S.", "W.", frame, {"x": {"title": "X"}}, "f.tsv", "Row", ["a", "a"])
    assert shown["data"] == {"a": {"x": 1.0}, "a (2)": {}}
    assert shown["description"] == "S. W. Rows: f.tsv."
    assert table("i", "N", "S.", "W.", frame.iloc[:0], {}, "f.tsv", "Row")["data"] == "<p>No row.</p>"
    many = table("i", "N", "S.", "W.", pd.DataFrame({"x": range(301)}), {"x": {"title": "X"}}, "f.tsv", "Row")
    assert len(many["data"]) == 300 and "The first 300 of 301 rows; all are in f.tsv." in many["description"]
    with pytest.raises(ValueError, match="5001 points"):
        lines("i", "N", "S.", "W.", {"l": (np.zeros(5001), np.zeros(5001))}, {})
    shown = bars("i", "N", "S.", "W.", pd.DataFrame({"ok": [1]}, index=["<t>"]), {"ok": "#000000"}, "y")
    assert shown["data"] == {"&lt;t&gt;": {"ok": 1}}
    assert text("i", "N", "S.", "W.", ["a<b"])["data"] == "<p>a&lt;b</p>"


def test_multiqc_report(run, tmp_path):
    """MultiQC takes every section without a complaint; its numbers are those of the TSV files; the order is ours."""
    folder, _ = run
    for path in (folder / "out" / "multiqc").iterdir():
        (tmp_path / path.stem).mkdir()
        shutil.copy(path, tmp_path / path.stem)
    command = [str(Path(sys.executable).with_name("multiqc")), "--strict", "--no-version-check", "--no-ansi"]
    command += ["--config", f"{ROOT}/assets/multiqc_config.yml", "--filename", "multiqc_report.html", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("LINT", "rror", "arning:"):
        assert word not in done.stderr + done.stdout
    page = (tmp_path / "multiqc_report.html").read_text()
    anchors = [
        "planted_truths",
        "verdict",
        "flow",
        "losses",
        "slide_status",
        "slide_problems",
        "slide_quality",
        "qq",
        "calibration",
        "settings",
        "genes",
        "hx_methods",
    ]
    places = [
        page.index(f'<h2 id="{anchor}"') if f'<h2 id="{anchor}"' in page else page.index(f'id="{anchor}"')
        for anchor in anchors
    ]
    assert places == sorted(places)
    assert "<script>alert" not in page
    data = json.loads((tmp_path / "multiqc_report_data" / "multiqc_data.json").read_text())["report_saved_raw_data"]
    verdict = summary(folder, "verdict").set_index("tissue_id")
    for tissue, row in data["multiqc_verdict_table"].items():
        for column in ("donors", "slides", "hits", "control_hits", "lambda_gc", "detectable_r"):
            assert row[column] == verdict.loc[tissue, column], column
    settings = summary(folder, "settings").set_index("setting")
    for setting, row in data["multiqc_settings_table"].items():
        assert row["best_p"] == settings.loc[setting, "best_p"] and row["hits"] == settings.loc[setting, "hits"]
    genes = summary(folder, "top_genes").iloc[:300]
    shown = list(data["multiqc_genes_table"].values())
    np.testing.assert_array_equal([row["r"] for row in shown], genes["r"])
    np.testing.assert_array_equal([row["gene_q"] for row in shown], genes["gene_q"])


def test_a_slide_is_lost_once():
    """Where it was lost first; at one patch size alone, a row a size."""
    from hx_report import first_losses

    rows = [
        ("S1", "slide", "aggregate_features", "no summary of its features"),
        ("S1", "slide", "aggregate_features", "no summary of its features"),
        ("S1", "slide", "segment_tissue", "unreadable"),
        ("S2", "slide", "aggregate_features", "no patch of 512 px"),
        ("S2", "slide", "aggregate_features", "no patch of 1024 px"),
        ("D1", "donor", "aggregate_features", "Lung: no slide"),
        ("D1", "donor", "aggregate_features", "Lung: no slide"),
        ("D1", "donor", "check_cohort", "Skin: no RNA sample"),
    ]
    found = first_losses(pd.DataFrame(rows, columns=["id", "kind", "stage", "reason"]))
    assert found[["id", "reason"]].to_numpy().tolist() == [
        ["D1", "Lung: no slide"],
        ["D1", "Skin: no RNA sample"],
        ["S1", "unreadable"],
        ["S2", "no patch of 1024 px"],
        ["S2", "no patch of 512 px"],
    ]


def test_every_section_has_a_place_in_the_report():
    """A section that the order does not name would come before the verdict."""
    import ast

    import yaml

    order = yaml.safe_load((ROOT / "assets" / "multiqc_config.yml").read_text())["report_section_order"]
    drawn = set()
    for path in [*(ROOT / "bin").glob("hx_*sections.py"), ROOT / "bin" / "hx_methods.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "scatter",
                "table",
                "lines",
                "bars",
                "text",
                "section",
            ):
                name = node.args[0]
                if isinstance(name, ast.Constant):
                    drawn.add(name.value)
    assert len(drawn) > 30 and drawn <= set(order)
    first = sorted(order, key=lambda name: -order[name]["order"])[:2]
    assert first == ["hx_disclosure", "planted_truths"]
