"""--predict: a model of an earlier run and new features, nothing else, give predicted genes."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from engine import nextflow
from variance_made import cohort as drawn

import predict_expression
from hx_expression import rank_inverse_normal


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Of a feature table of 40 donors of Lung."""
    folder, values = tmp_path_factory.mktemp("model"), drawn(0, 40, shared=0.5, genes=12, features=6)
    donors = [f"D{k:02d}" for k in range(40)]
    obs = pd.DataFrame(index=donors)
    var = pd.DataFrame({"encoder": "nuclear"}, index=[f"area{k}" for k in range(6)])
    image = anndata.AnnData(values.features, obs=obs, var=var)
    image.uns |= {"tissue_id": "Lung", "size": "-", "encoders": {"nuclear": {"encoder": "nuclear", "weights": ""}}}
    genes = anndata.AnnData(values.genes, obs=obs, var=pd.DataFrame({"symbol": ""}, index=[f"G{k}" for k in range(12)]))
    genes.layers["int"] = rank_inverse_normal(values.genes.T).T
    image.write_h5ad(folder / "Lung.-.h5ad")
    genes.write_h5ad(folder / "Lung.expression.h5ad")
    rows = pd.DataFrame({"donor": donors, "tissue": "Lung", "tissue_id": "Lung", "samples": "", "rna_sample": ""})
    rows.assign(fold=np.arange(40) % 5).to_csv(folder / "cohort.tsv", sep="\t", index=False)
    files = {"features": "Lung.-.h5ad", "expression": "Lung.expression.h5ad", "cohort": "cohort.tsv"}
    given = [text for option, name in files.items() for text in (f"--{option}", f"{folder}/{name}")]
    assert predict_expression.main([*given, "--setting-prefix", "Lung.-", "--outdir", str(folder)]) == 0
    return folder / "Lung.-.nuclear.given.model.h5"


def test_new_features(model, tmp_path):
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(5, 6)), columns=[f"area{k}" for k in range(6)])
    table.insert(0, "donor", ["N1", "N2", "N3", "N4", "N5"])
    table.insert(1, "tissue", ["Lung", "Lung", "Lung", "Spleen", "Lung"])
    table.to_csv(tmp_path / "new.tsv", sep="\t", index=False)
    run = nextflow(
        tmp_path, "results", "--predict", model, "--features", tmp_path / "new.tsv", "--features_name", "nuclear"
    )
    assert run.code == 0, run.text
    assert "Predicted, not measured:" in run.text and "1 donor, 1 tissue" in run.text
    found = pd.read_csv(run.outdir / "prediction" / "Lung.-.nuclear.given.predicted.tsv", sep="\t")
    assert sorted(set(found["donor"])) == ["N1", "N2", "N3", "N5"] and len(found) == 4 * 12
    assert set(found["label"]) == {"predicted, not measured"}
    assert {name.split(" ")[0] for name in run.tasks} == {"CHECK_COHORT", "AGGREGATE_FEATURES", "APPLY_MODEL"}
    lost = pd.read_csv(run.outdir / "prediction" / "dropped.tsv", sep="\t")
    assert lost["id"].tolist() == ["N4", "Spleen"]


def test_what_does_not_go_together(model, tmp_path):
    named = {name: tmp_path / name for name in ("renamed.h5", "Lung.256.retrained.mean.model.h5")}
    for path in named.values():
        path.write_bytes(b"")
    (tmp_path / "sheet.csv").write_text("sample,donor,tissue,slide\nS1,D1,Lung,a.svs\n")
    (tmp_path / "x.tsv").write_text("gene\tS1\n")
    models = ",".join(map(str, [model, *named.values()]))
    run = nextflow(
        tmp_path, "results", "--predict", models, "--input", tmp_path / "sheet.csv", "--expression", tmp_path / "x.tsv"
    )
    assert run.code == 2 and not run.tasks
    for said in (
        "renamed.h5 is not named <tissue_id>.<size>.<encoder>.<aggregation>.model.h5",
        "--predict goes without --expression",
        "a model of a table of features needs --features",
        "--retrained_weights results/classifier",
    ):
        assert said in run.text
