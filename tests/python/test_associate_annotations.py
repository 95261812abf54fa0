"""associate_annotations.py: what is written of a made cohort with planted labels, and every way input can be bad."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import associate_annotations
from hx_annotation_files import log_ratios, read_annotations
from hx_annotation_labels import LABELS, Label
from hx_annotation_sections import TABLES, annotation_sections, reason
from hx_annotation_tables import PREDICTION, SUMMARY, TOP, setting_tables
from hx_annotation_tables import Tested as LabelTested
from hx_annotation_tests import Tests as FeatureTests
from hx_annotation_tests import against
from hx_causality_traits import read_annotations as causality_annotations
from hx_cli import DataError, Faults
from hx_disclosure import Disclosure
from hx_expression import rank_inverse_normal
from hx_fdr import bh
from hx_gather import gather
from hx_mqc import write_sections

DONORS, FEATURES, GENES = 120, 30, 40
NAMES = [f"D{i:03d}" for i in range(DONORS)]
SETTING = "Lung.256.raw.mean"


def annotated(values: np.ndarray, names: list[str], donors: list[str], **var: list) -> anndata.AnnData:
    return anndata.AnnData(values, obs=pd.DataFrame(index=donors), var=pd.DataFrame(var, index=names))


def write(folder: Path, seed: int = 1, donors: int = DONORS) -> dict[str, pd.DataFrame]:
    """A cohort: `lesion` goes with features 0-4, `grade` with genes 0-4, age with feature 9 and a confounder."""
    folder.mkdir(exist_ok=True, parents=True)
    rng, names = np.random.default_rng(seed), NAMES[:donors]
    features, genes = rng.normal(size=(donors, FEATURES)), rng.normal(size=(donors, GENES))
    covariates, age = rng.normal(size=(donors, 2)), rng.integers(20, 80, donors)
    lesion, grade = rng.random(donors) < 0.4, rng.normal(size=donors)
    features[:, :5] += 1.5 * lesion[:, None]
    features[:, 9] += (age - 50) / 12
    genes[:, :5] += grade[:, None]
    image = annotated(features, [f"raw_{i:04d}" for i in range(FEATURES)], names, encoder=["raw"] * FEATURES)
    image.layers["median"] = features[::-1].copy()
    image.uns["encoders"] = {"raw": {"weights": "random"}}
    image.write_h5ad(folder / "Lung.256.h5ad")
    expression = annotated(genes, [f"G{i}" for i in range(GENES)], names, symbol=[f"S{i}" for i in range(GENES)])
    expression.layers["int"] = rank_inverse_normal(genes.T).T
    expression.write_h5ad(folder / "Lung.expression.h5ad")
    design = pd.DataFrame(covariates, columns=["RIN", "SMTSISCH"]).assign(AGE=age)
    design.set_index(pd.Index(names, name="donor")).to_csv(folder / "design.tsv", sep="\t")
    cohort = {"donor": names, "tissue": "Lung", "tissue_id": "Lung", "samples": [f"S-{d};T-{d}" for d in names]}
    cohort |= {"rna_sample": names, "fold": [i % 5 for i in range(donors)], "AGE": age, "SMRIN": covariates[:, 0]}
    cohort |= {"SEX": np.where(rng.random(donors) < 0.5, 1, 2)}
    pd.DataFrame(cohort).to_csv(folder / "cohort.tsv", sep="\t", index=False)
    labels = {"sample": [f"S-{d}" for d in names], "lesion": np.where(lesion, "yes", "no"), "grade": grade}
    labels |= {"stage": rng.choice(list("abc"), donors), "rare": ["1"] * 4 + ["0"] * (donors - 4)}
    labels |= {"befund": [f"die Leber {i} ohne Befund und mit Fett" for i in range(donors)]}
    pd.DataFrame(labels).to_csv(folder / "labels.tsv", sep="\t", index=False)
    return {"lesion": lesion, "features": features, "genes": genes}


def run(folder: Path, *extra: str, out: str = "out", labels: str = "labels.tsv") -> int:
    return associate_annotations.main([
        *("--features", f"{folder}/Lung.256.h5ad", "--expression", f"{folder}/Lung.expression.h5ad"),
        *("--setting-prefix", "Lung.256", "--design", f"{folder}/design.tsv", "--table", f"{folder}/cohort.tsv"),
        *("--annotations", f"{folder}/{labels}", "--primary", "256,raw,mean", "--permutations", "99"),
        *("--outdir", f"{folder}/{out}", *extra),
    ])  # fmt: skip


def read(folder: Path, name: str) -> pd.DataFrame:
    path = folder / f"Lung.256.{name}"
    return pd.read_parquet(path) if name.endswith("parquet") else pd.read_csv(path, sep="\t")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("annotations")
    write(folder)
    fractions = np.random.default_rng(3).dirichlet(np.ones(4), DONORS)
    fractions[:20, 0] = 0
    pd.DataFrame(fractions, columns=list("KLMN")).assign(donor=NAMES).to_csv(
        folder / "cells.tsv", sep="\t", index=False
    )
    assert run(folder, "--cell-fractions", f"{folder}/cells.tsv") == 0
    return folder / "out"


def test_labels(made):
    labels = read(made, "annotation_labels.tsv").set_index("label")
    assert [labels.index.name, *labels] == LABELS
    assert labels.loc[["AGE", "SEX", "lesion", "grade", "stage", "clr_K"], "status"].eq("tested").all()
    assert labels.loc["lesion", "levels"] == "yes" and labels.loc["stage", "levels"] == "a;b;c"
    assert labels.loc["rare", "status"] == "4 donors with 1, at least 10 are needed"
    assert "another language" in labels.loc["befund", "status"]
    assert "SMRIN" not in labels.index  # of the RNA, not of the donor


def test_values_of_the_donors_are_what_causality_reads(made):
    """One number a donor and label; levels have none. TEST_CAUSALITY takes every column as a trait."""
    values, folder = read(made, "label_values.tsv").set_index("donor"), made.parent
    given = pd.read_csv(folder / "labels.tsv", sep="\t").set_axis(values.index)
    assert "stage" not in values and "rare" not in values
    assert (values["lesion"] == (given["lesion"] == "yes")).all()
    assert spearmanr(values["grade"], given["grade"]).statistic == pytest.approx(1)
    names, read_back = causality_annotations(made / "Lung.256.label_values.tsv", values.index.to_numpy())
    assert list(names["name"]) == list(values)
    np.testing.assert_allclose(read_back, values.to_numpy())


def test_the_share_of_small_p_is_that_of_the_features_tested():
    label = Label("a", "f", "number", np.arange(40.0)[:, None], np.ones(40, bool))
    p = np.array([0.01, np.nan, 0.5, np.nan, 0.9, 0.02])
    row = {"setting": SETTING, "control": "shuffle_donors", "analysis": "primary", "alpha": 0.05}
    tested = [LabelTested(label, None, against(label, None), "")]
    made = setting_tables(row, tested, [FeatureTests(p, p, p, p)], np.arange(6), np.zeros((40, 6)))
    assert made.summary["features"].item() == 4 and made.summary["share_p05"].item() == 0.5


def test_features_find_the_planted_labels(made):
    rows, summary = read(made, "annotation_features.parquet"), read(made, "annotation_summary.tsv")
    assert list(rows) == TOP and list(summary) == SUMMARY
    of = rows[(rows["setting"].astype(str) == SETTING) & (rows["q"] <= 0.05)]
    assert {f"raw_{i:04d}" for i in range(5)} == set(of.loc[of["label"] == "lesion", "feature"].astype(str))
    assert of.loc[of["label"] == "AGE", "feature"].astype(str).tolist() == ["raw_0009"]
    assert len(of) <= 8
    real = summary[(summary["setting"] == SETTING) & (summary["control"] == "none")].set_index("label")
    control = summary[(summary["setting"] == SETTING) & (summary["control"] == "shuffle_donors")]
    assert real.loc["lesion", "hits"] == 5 and control["hits"].sum() <= 1
    assert (
        real.loc["AGE", "adjusted_for"] == "RIN;SMTSISCH" and real.loc["lesion", "adjusted_for"] == "AGE;RIN;SMTSISCH"
    )
    assert set(summary["analysis"]) == {"primary", "exploratory"}
    lesion = rows[(rows["label"] == "lesion") & (rows["setting"].astype(str) == SETTING)]
    assert (lesion["kruskal_p"] < 1e-3).sum() >= 5 and lesion["beta"].max() > 0.8


def test_q_is_over_all_labels_and_features(made):
    rows = read(made, "annotation_features.parquet")
    own = rows[(rows["setting"].astype(str) == SETTING) & (rows["q"] <= 0.05)]
    tests = read(made, "annotation_summary.tsv").query("setting == @SETTING and control == 'none'")["features"].sum()
    np.testing.assert_allclose(own["q"], bh(own["p"].to_numpy(), tests=tests), rtol=1e-9)
    assert tests == 30 * 9 and len(own) >= 6


def test_prediction(made):
    rows = read(made, "annotation_prediction.tsv")
    assert list(rows) == PREDICTION and set(rows["setting"]) == {SETTING}
    whole = rows[rows["level"].isna() | (rows["kind"] == "binary")].set_index("label")
    lesion, grade = whole.loc["lesion"], whole.loc["grade"]
    assert lesion["metric"] == "AUROC" and lesion["image"] > 0.85 and lesion["p_image"] == 0.01
    assert abs(lesion["expression"] - 0.5) < 0.15 and lesion["gain_image"] > 0.25 and lesion["p_gain_image"] == 0.01
    assert grade["metric"] == "R2" and grade["expression"] > 0.3 and grade["image"] < 0.1
    assert grade["p_gain_expression"] == 0.01 and grade["both"] > 0.2
    stage = rows[rows["label"] == "stage"]
    assert stage["level"].tolist()[1:] == ["a", "b", "c"]
    np.testing.assert_allclose(stage["image"].iloc[0], stage["image"].iloc[1:].mean(), rtol=1e-8)
    assert whole.loc["AGE", "adjusted_for"] == "RIN;SMTSISCH"


def test_fractions(made):
    rows = read(made, "annotation_fractions.tsv").set_index("test")
    assert rows["status"].eq("tested").all() and rows["n"].eq(DONORS).all()
    assert rows.loc["labels", "hits_kept"] >= 5 and rows.loc["genes", "tests"] == FEATURES * GENES


def test_log_ratios():
    table = pd.DataFrame({"a": [0.5, 0.0, 0.2], "b": [0.5, 1.0, 0.3], "c": [0, 0, 0.5]}, index=["x", "y", "z"])
    ratios, dropped = log_ratios(table)
    assert dropped[0][0] == "c" and list(ratios) == ["a", "b"]
    # of a and b alone: closed to .5/.5, 0/1, .4/.6; the zero becomes .65 * .4, the other 1 less that
    np.testing.assert_allclose(ratios["a"], np.log([1, 0.26 / 0.74, 0.4 / 0.6]) / 2, atol=1e-12)
    np.testing.assert_allclose(ratios.sum(axis=1), 0, atol=1e-12)


def test_the_same_bytes_again(made, tmp_path):
    write(tmp_path)
    assert run(tmp_path) == 0 and run(tmp_path, out="again") == 0
    for path in sorted((tmp_path / "out").iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_the_portals_table_and_its_notes(tmp_path):
    cohort = pd.DataFrame({"donor": NAMES, "tissue_id": "Lung", "samples": [f"GTEX-{d}-0126" for d in NAMES]})
    cohort["rna_sample"] = ""
    notes = ["2 pieces, mild fibrosis" if i % 3 else "no fibrosis" for i in range(DONORS)]
    table = pd.DataFrame({"Tissue Sample ID": cohort["samples"], "Tissue": "Lung", "Pathology Notes": notes})
    table["Pathology Categories"] = ["fibrosis" if i % 3 else "clean_specimens" for i in range(DONORS)]
    table.to_csv(tmp_path / "portal.csv", index=False)
    read_ = read_annotations(tmp_path / "portal.csv", cohort)
    assert set(read_.table) == {
        *("category_clean_specimens", "category_fibrosis", "note_fibrosis", "severity_fibrosis", "pieces")
    }
    assert read_.table["note_fibrosis"].sum() == sum(bool(i % 3) for i in range(DONORS)) and not read_.rows
    table.assign(**{"Pathology Notes": "sans anomalie, avec une fibrose"}).to_csv(tmp_path / "portal.csv", index=False)
    assert "another language" in read_annotations(tmp_path / "portal.csv", cohort).rows[0]["status"]


def test_the_highest_of_a_donors_slides_counts_and_words_must_agree(tmp_path):
    cohort = pd.DataFrame({"donor": ["A", "B"], "tissue_id": "Lung", "samples": ["A1;A2", "B1"], "rna_sample": ""})
    (tmp_path / "t.csv").write_text("sample,grade,side\nA1,1,left\nA2,3,right\nB1,2,left\nX9,9,left\n")
    table = read_annotations(tmp_path / "t.csv", cohort).table
    assert table["grade"].tolist() == [3, 2] and table["side"].tolist() == ["", "left"]


def test_bad_files(tmp_path, capsys):
    write(tmp_path)
    (tmp_path / "nokey.tsv").write_text("patient\tgrade\nD000\t1\n")
    (tmp_path / "twice.tsv").write_text("donor\tgrade\nD000\t1\nD000\t2\n")
    (tmp_path / "nobody.tsv").write_text("donor\tgrade\nZ\t1\n")
    (tmp_path / "cells.tsv").write_text("donor\tK\tL\nD000\t-1\t.5\nD001\tmuch\t.5\n")
    assert run(tmp_path, labels="nokey.tsv") == 65
    assert "nokey.tsv, row 1: no column sample or donor" in capsys.readouterr().err
    assert run(tmp_path, "--cell-fractions", f"{tmp_path}/cells.tsv", labels="twice.tsv") == 65
    told = capsys.readouterr().err
    assert "twice.tsv, rows 2, 3: donor D000 stands more than once" in told and "row 3: K 'much'" in told
    assert run(tmp_path, labels="nobody.tsv") == 0
    assert (
        "no donor of the tissue has a value"
        in read(tmp_path / "out", "annotation_labels.tsv").set_index("label").loc["grade", "status"]
    )
    with pytest.raises(SystemExit) as left:
        run(tmp_path, labels="none.tsv")
    assert left.value.code == 2
    with pytest.raises(DataError, match="no row names a donor"):
        (tmp_path / "cells.tsv").write_text("donor\tK\tL\nZ\t1\t2\n")
        cohort = pd.read_csv(tmp_path / "cohort.tsv", sep="\t", dtype=str)
        associate_annotations.read_fractions(tmp_path / "cells.tsv", cohort)


def test_few_donors_are_rows_with_reasons(tmp_path):
    write(tmp_path, donors=20)
    assert run(tmp_path) == 0
    labels = read(tmp_path / "out", "annotation_labels.tsv")
    assert not labels.loc[labels["label"] == "lesion", "status"].eq("tested").all()
    write(tmp_path, donors=6)
    assert run(tmp_path) == 0
    assert read(tmp_path / "out", "annotation_summary.tsv").empty
    assert "6 donors" in read(tmp_path / "out", "associate_annotations.dropped.tsv")["reason"].iloc[0]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("4 donors with 1, at least 10 are needed", "too few donors with 1, at least 10 are needed"),
        ("3 of 33 donors differ from the commonest number", "too few donors differ from the commonest number"),
        ("one class: 1 in all 3 donors", "one class: 1 in all donors"),
        ("no number in 2 of 60 donors, e.g. 'ask Mary'", "no number in donors"),
        (
            "0 of 20 levels have 10 donors, at least 2 are needed",
            "0 of 20 levels have 10 donors, at least 2 are needed",
        ),
    ],
)
def test_reasons_in_the_report_count_nobody(status, shown):
    assert reason(status) == shown


def test_report(made, tmp_path):
    faults = Faults()
    tables = gather(made, TABLES, faults)
    faults.stop()
    sections = annotation_sections(tables)
    assert [s["id"] for s in sections] == [
        "annotations",
        "annotation_prediction",
        "annotation_features",
        "annotation_cells",
        "annotation_labels",
    ]
    assert annotation_sections({}) == []
    write_sections(sections, tmp_path, Disclosure("shareable", NAMES))
    shown = json.loads((tmp_path / "annotation_labels_mqc.json").read_text())
    assert "rare" in json.dumps(shown["data"])
    assert "&lt; 5" in json.dumps(shown) or '"positives": 4' not in json.dumps(shown)
    assert '"positives": 4' not in json.dumps(shown)
