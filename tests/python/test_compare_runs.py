"""compare_runs.py and hx_compare_*: what two runs share, where they differ, and what stands between them."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from compare_runs import comparable, main
from hx_cli import DataError
from hx_compare_files import Results
from hx_compare_page import density, html_table
from hx_compare_runs import (
    CELLS,
    bin_edges,
    bin_rows,
    binned,
    by_item,
    common_values,
    donor_rows,
    effect,
    side_by_side,
)
from hx_io import write_tsv

PREFIX = "Lung.256"
ENCODERS = ("raw", "retrained")
VERSIONS = '"ASSOCIATE":\n  python: 3.11.7\n  numpy: 2.4.6\nWorkflow:\n  histogex: 0.1.0\n'


def make_results(folder: Path, seed: int = 0, retrained: str = "b", donors: int = 30) -> Path:
    """A results folder with one tissue and size; r of the pairs depend on `seed`, weights of an encoder on its name."""
    rng = np.random.default_rng(seed)
    (folder / "pipeline_info").mkdir(parents=True)
    parameters = {"seed": seed, "input": "sheet.csv", "gpu": False, "alpha": 0.05}
    (folder / "pipeline_info" / "params.json").write_text(json.dumps(parameters))
    (folder / "pipeline_info" / "hx_software_mqc_versions.yml").write_text(VERSIONS)
    people = pd.DataFrame({"donor": [f"GTEX-{k + seed:04d}" for k in range(donors)], "tissue_id": "Lung"})
    write_tsv(people, folder / "cohort" / "cohort.tsv")
    matching = {"tissue": ["Lung"], "tissue_id": ["Lung"], "slides": [donors + 2], "donors": [donors], "lost": [2]}
    write_tsv(pd.DataFrame(matching | {"donors_kept": [donors]}), folder / "cohort" / "matching.tsv")
    verdict = {"tissue_id": ["Lung"], "setting": [f"{PREFIX}.raw.mean"], "shared": [0.1 + seed], "status": ["green"]}
    write_tsv(pd.DataFrame(verdict), folder / "summary" / "verdict.tsv")
    claims = pd.DataFrame({"claim": ["no_qtl"], "tissue_id": ["Lung"], "verdict": ["holds here"]})
    write_tsv(claims, folder / "summary" / "claims.tsv")
    pairs = pd.DataFrame([
        {"setting": f"{PREFIX}.{encoder}.mean", "feature": f"{encoder}_{i:04d}", "gene": f"G{j}"}
        for encoder in ENCODERS for i in range(20) for j in range(10)
    ]).astype("category")  # fmt: skip
    true = np.random.default_rng(99).uniform(-0.6, 0.6, len(pairs))
    (folder / "associations").mkdir()
    pairs.assign(r=true + 0.1 * rng.standard_normal(len(pairs))).to_parquet(
        folder / "associations" / f"{PREFIX}.associations.parquet"
    )
    genes = pd.DataFrame([
        {"setting": f"{PREFIX}.{encoder}.mean", "gene": f"G{j}", "r2": j / 20 + 0.01 * rng.random()}
        for encoder in ENCODERS for j in range(10)
    ])  # fmt: skip
    genes.to_parquet(folder / "associations" / f"{PREFIX}.association_genes.parquet")
    (folder / "prediction").mkdir()
    genes.rename(columns={"r2": "delta_r2"}).to_parquet(folder / "prediction" / f"{PREFIX}.prediction_genes.parquet")
    (folder / "features").mkdir()
    with h5py.File(folder / "features" / f"{PREFIX}.h5ad", "w") as handle:
        for encoder, weights in (("raw", "a"), ("retrained", retrained)):
            handle[f"uns/encoders/{encoder}/weights_sha256"] = weights * 64
    return folder


@pytest.fixture
def runs(tmp_path) -> tuple[Path, Path]:
    return make_results(tmp_path / "a"), make_results(tmp_path / "b", seed=1)


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.tsv", sep="\t", keep_default_na=False)


def test_two_runs(runs, tmp_path):
    out = tmp_path / "out"
    assert main([*map(str, runs), "--outdir", str(out)]) == 0
    found = read(out, "effects").set_index(["setting", "of"])
    assert set(found.index) == {
        (f"{PREFIX}.{encoder}.mean", of) for encoder in ENCODERS for of in ("pairs", "best_feature", "prediction")
    }
    one, other = (pd.read_parquet(run / "associations" / f"{PREFIX}.associations.parquet") for run in runs)
    x, y = (table.loc[table["setting"] == f"{PREFIX}.raw.mean", "r"].to_numpy() for table in (one, other))
    row = found.loc[(f"{PREFIX}.raw.mean", "pairs")]
    expected = stats.linregress(x, y)
    assert (row["common"], row["only_a"], row["only_b"]) == (200, 0, 0)
    assert float(row["r"]) == pytest.approx(expected.rvalue, abs=1e-9)
    assert float(row["slope"]) == pytest.approx(expected.slope, abs=1e-9)
    assert float(row["same_sign"]) == pytest.approx(np.mean(np.sign(x) == np.sign(y)), abs=1e-9)
    assert found.loc[(f"{PREFIX}.raw.mean", "best_feature"), "same_sign"] == ""
    bins = read(out, "effect_bins")
    assert bins.groupby(["setting", "of"])["count"].sum().to_dict() == found["common"].to_dict()
    parameters = read(out, "parameters").set_index("item")
    assert parameters.loc["seed", ["a", "b", "difference", "same"]].tolist() == ["0", "1", "1", "no"]
    assert list(parameters.index[parameters["same"] == "no"]) == ["seed"]
    versions = read(out, "versions")
    assert set(versions["same"]) == {"yes"} and ("Workflow", "histogex", "0.1.0") in set(
        versions[["of", "item", "a"]].itertuples(index=False, name=None)
    )
    headline = read(out, "headline").set_index("item")
    assert headline.loc["shared", ["a", "b", "difference", "same"]].tolist() == ["0.1", "1.1", "1", "no"]
    assert headline.loc["claim no_qtl", ["a", "same"]].tolist() == ["holds here", "yes"]
    assert read(out, "notes").empty
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == {f"{PREFIX}.raw.mean.{of}.png" for of in ("pairs", "best_feature", "prediction")}
    page = (out / "index.html").read_text()
    assert all(name in page for name in pictures) and "http" not in page.replace("http-equiv", "")


def test_same_input_same_bytes(runs, tmp_path):
    for name in ("x", "y"):
        assert main([*map(str, runs), "--outdir", str(tmp_path / name)]) == 0
    for path in (tmp_path / "x").iterdir():
        assert path.read_bytes() == (tmp_path / "y" / path.name).read_bytes(), path.name


def test_nobody_is_named(runs, tmp_path):
    out = tmp_path / "out"
    assert main([*map(str, runs), "--outdir", str(out)]) == 0
    row = read(out, "donors").set_index("tissue_id").loc["Lung"]
    assert row.tolist() == [30, 30, 29, "< 5", "< 5"]
    assert read(out, "inputs").set_index("item").loc["lost", "a"] == "< 5"
    assert not any("GTEX-" in path.read_text() for path in [*out.glob("*.tsv"), out / "index.html"])


def test_donors_on_request(runs, tmp_path):
    out = tmp_path / "out"
    assert main([*map(str, runs), "--outdir", str(out), "--show-donors"]) == 0
    assert read(out, "donors").set_index("tissue_id").loc["Lung"].tolist() == [30, 30, 29, 1, 1]
    ids = read(out, "donor_ids")
    assert ids[ids["where"] != "common"].to_numpy().tolist() == [
        ["Lung", "GTEX-0000", "only_a"],
        ["Lung", "GTEX-0030", "only_b"],
    ]
    assert read(out, "inputs").set_index("item").loc["lost", "a"] == 2


def test_other_weights_are_refused(tmp_path, capsys):
    a, b = make_results(tmp_path / "a"), make_results(tmp_path / "b", seed=1, retrained="c")
    out = tmp_path / "out"
    assert main([str(a), str(b), "--outdir", str(out)]) == 65
    told = capsys.readouterr().err
    assert "1 fault" in told and f"{PREFIX}: encoder retrained has weights {'b' * 12} in A and {'c' * 12} in B" in told
    assert not out.exists()
    assert main([str(a), str(b), "--outdir", str(out), "--pairs-of", "raw"]) == 0
    found = read(out, "effects")
    assert set(found.loc[found["of"] == "pairs", "setting"]) == {f"{PREFIX}.raw.mean"}
    assert len(found[found["of"] == "best_feature"]) == 2
    assert main([str(a), str(b), "--outdir", str(out), "--pairs-of", "none"]) == 0
    assert set(read(out, "effects")["of"]) == {"best_feature", "prediction"}
    assert main([str(a), str(b), "--outdir", str(out), "--pairs-of", "raw,uni"]) == 65
    assert "--pairs-of uni: neither run has that encoder, but raw, retrained" in capsys.readouterr().err


def test_all_faults_at_once(tmp_path):
    a, b = (Results(make_results(tmp_path / name, retrained=name)) for name in "ab")
    with pytest.raises(DataError) as error:
        comparable(a, b, ["retrained", "uni"])
    assert len(error.value.faults) == 2
    assert comparable(a, b, ["raw"]) == {PREFIX: {"raw"}}


def test_unknown_weights_leave_pairs_out(runs, tmp_path):
    (runs[0] / "features" / f"{PREFIX}.h5ad").unlink()
    (runs[1] / "features" / f"{PREFIX}.h5ad").write_bytes(b"no HDF5")
    assert main([*map(str, runs), "--outdir", str(tmp_path / "out")]) == 0
    assert "pairs" not in set(read(tmp_path / "out", "effects")["of"])
    notes = read(tmp_path / "out", "notes")
    assert list(notes["run"]) == ["A", "B"] and notes["note"].str.contains("pairs are left out").all()


def test_what_is_no_results_folder(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), str(tmp_path / "none")]) == 65
    told = capsys.readouterr().err
    assert "2 faults" in told and told.count("no results folder") == 2


def test_missing_empty_and_foreign_tables_are_said(runs, tmp_path):
    a, b = runs
    (a / "summary" / "verdict.tsv").unlink()
    (b / "summary" / "verdict.tsv").write_text("")
    write_tsv(pd.DataFrame({"claim": ["no_qtl"]}), a / "summary" / "claims.tsv")
    write_tsv(pd.DataFrame(columns=["claim", "tissue_id", "verdict"]), b / "summary" / "claims.tsv")
    (a / "pipeline_info" / "params.json").write_text("{")
    (b / "pipeline_info" / "params.json").write_text("[]")
    (a / "pipeline_info" / "hx_software_mqc_versions.yml").unlink()
    (a / "prediction" / f"{PREFIX}.prediction_genes.parquet").unlink()
    (b / "associations" / f"{PREFIX}.association_genes.parquet").write_bytes(b"")
    pairs = pd.read_parquet(a / "associations" / f"{PREFIX}.associations.parquet")
    pairs.drop(columns="r").to_parquet(a / "associations" / f"{PREFIX}.associations.parquet")
    (a / "cohort" / "cohort.tsv").unlink()
    out = tmp_path / "out"
    assert main([str(a), str(b), "--outdir", str(out)]) == 0
    notes = {tuple(row) for row in read(out, "notes").itertuples(index=False, name=None)}
    told = {run: " | ".join(text for name, text in sorted(notes) if name == run) for run in "AB"}
    for run, text in (
        ("A", "no summary/verdict.tsv"),
        ("B", "summary/verdict.tsv cannot be read"),
        ("A", "summary/claims.tsv has no column tissue_id, verdict: it was made by another version"),
        ("B", "summary/claims.tsv has no row"),
        ("A", "params.json cannot be read"),
        ("B", "params.json holds no parameters"),
        ("A", "no *versions.yml"),
        ("A", f"no prediction/{PREFIX}.prediction_genes.parquet"),
        ("B", f"associations/{PREFIX}.association_genes.parquet cannot be read"),
        ("A", f"associations/{PREFIX}.associations.parquet has no column r"),
        ("A", "no cohort/cohort.tsv"),
    ):
        assert text in told[run], (text, told[run])
    assert read(out, "effects").empty and read(out, "headline").empty
    assert "No row." in (out / "index.html").read_text()


def test_settings_and_tissues_of_one_run_alone(runs, tmp_path):
    a, b = runs
    path = b / "associations" / f"{PREFIX}.associations.parquet"
    pairs = pd.read_parquet(path)
    pairs[pairs["setting"] == f"{PREFIX}.raw.mean"].iloc[:150].to_parquet(path)
    people = pd.DataFrame({"donor": [f"D{k}" for k in range(6)], "tissue_id": "Liver"})
    write_tsv(people, b / "cohort" / "cohort.tsv")
    assert main([str(a), str(b), "--outdir", str(tmp_path / "out")]) == 0
    found = read(tmp_path / "out", "effects").set_index(["setting", "of"])
    row = found.loc[(f"{PREFIX}.raw.mean", "pairs")]
    assert (row["common"], row["only_a"], row["only_b"]) == (150, 50, 0)
    assert f"{PREFIX}.associations.parquet has no row of {PREFIX}.retrained.mean" in set(
        read(tmp_path / "out", "notes")["note"]
    )
    donors = read(tmp_path / "out", "donors").set_index("tissue_id")
    assert donors.loc["(all)"].tolist() == [30, 6, 0, 30, 6] and donors.loc["Lung"].tolist() == [30, 0, 0, 30, 0]


def test_side_by_side():
    a = {("x", "n"): 2, ("x", "flag"): True, ("x", "text"): "u", ("x", "none"): np.nan}
    b = {("x", "n"): 5.0, ("x", "flag"): False, ("x", "new"): "v", ("x", "none"): np.nan}
    rows = side_by_side(a, b).set_index("item")
    assert list(rows.index) == ["n", "flag", "text", "none", "new"]
    assert rows.loc["n", ["a", "b", "difference", "same"]].tolist() == ["2", "5", 3.0, "no"]
    assert np.isnan(rows.loc["flag", "difference"]) and rows.loc["flag", "same"] == "no"
    assert rows.loc["text", ["a", "b", "same"]].tolist() == ["u", "", "no"]
    assert rows.loc["none", "same"] == "yes"
    table = pd.DataFrame({"tissue_id": ["T"], "n": [1], "rule": ["r"]})
    assert by_item(table, "tissue_id", ("rule",)) == {("T", "n"): 1}


def test_donor_rows_count_a_donor_of_two_tissues_once():
    a = pd.DataFrame({"donor": list("abcdefab"), "tissue_id": ["T"] * 6 + ["U"] * 2})
    counts, ids = donor_rows(a, a.iloc[:6], show=True)
    assert counts.set_index("tissue_id").loc["(all)"].tolist() == [6, 6, 6, 0, 0]
    assert counts.set_index("tissue_id").loc["U"].tolist() == [2, 0, 0, 2, 0] and len(ids) == 8
    hidden, none = donor_rows(a, a.iloc[:6], show=False)
    assert hidden.set_index("tissue_id").loc["U"].tolist() == ["< 5", 0, 0, "< 5", 0] and none.empty


def test_common_values_leave_out_what_is_not_finite():
    a = pd.DataFrame({"gene": ["c", "a", "b"], "v": [3.0, 1.0, np.nan]})
    b = pd.DataFrame({"gene": ["a", "b", "d", "c"], "v": [1.5, 2.0, 4.0, np.inf]})
    both, only_a, only_b = common_values(a, b, ["gene"], "v")
    assert both.to_numpy().tolist() == [["a", 1.0, 1.5]] and (only_a, only_b) == (1, 2)


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1.0, -2.0], [1.0, 2.0]), ([1.0] * 4, [1.0, 2, 3, 4]), ([1.0, 2, 3], [2.0] * 3)]
)
def test_effect_of_too_little(a, b):
    found = effect(pd.DataFrame({"a": a, "b": b}, dtype=float), signed=True)
    assert np.isnan(found["r"]) and np.isnan(found["slope"])
    assert np.isnan(found["same_sign"]) == (not a)
    assert len(a) != 2 or found["same_sign"] == 0.5


def test_bins_hold_every_value():
    rng = np.random.default_rng(0)
    both = pd.DataFrame(rng.normal(size=(500, 2)), columns=["a", "b"])
    edges = bin_edges(both, signed=True)
    assert len(edges) == CELLS + 1 and edges[0] == -edges[-1] == -np.abs(both.to_numpy()).max()
    counts = binned(both, edges)
    rows = bin_rows("s", "pairs", counts, edges)
    assert counts.sum() == rows["count"].sum() == 500
    row = rows.iloc[7]
    inside = both["a"].between(row["a_low"], row["a_high"]) & both["b"].between(row["b_low"], row["b_high"])
    assert inside.sum() == row["count"]
    constant = pd.DataFrame({"a": [0.0, 0.0], "b": [0.0, 0.0]})
    for signed in (True, False):
        assert binned(constant, bin_edges(constant, signed)).sum() == 2


def test_density_has_a_to_the_right_and_b_upwards():
    counts = np.zeros((CELLS, CELLS), dtype=int)
    counts[CELLS - 2, 1] = 50  # a high, b low
    picture = density(counts, np.linspace(0, 1, CELLS + 1), ("a", "b"), "title")
    coloured = (picture.max(axis=2).astype(int) - picture.min(axis=2)) > 60
    coloured[:, 92 + 10 * CELLS :] = False  # the bar of colours
    rows, columns = np.nonzero(coloured)
    top = 2 * 18 + 14
    assert len(rows) and rows.min() > top + 5 * CELLS and columns.min() > 92 + 5 * CELLS
    single = np.zeros((CELLS, CELLS), dtype=int)
    single[0, 0] = 1
    assert density(single, np.linspace(0, 1, CELLS + 1), ("a", "b"), "title").shape == picture.shape


def test_html_is_escaped_and_cut():
    rows = pd.DataFrame({"<x>": ["<script>"] * 5, "y": [np.nan, 0.123456, 1.0, 2.0, 3.0]})
    text = html_table(rows, most=2)
    assert "<script>" not in text and "&lt;script&gt;" in text and "0.1235" in text and "nan" not in text
    assert "The first 2 of 5 rows" in text
