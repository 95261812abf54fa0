"""hx_truth: planted truths of simulated tables, against scikit-learn and scipy; every way truth.json can be wrong."""

import copy
import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from hx_cli import DataError
from hx_cohort_model import PROPERTIES, TISSUES, simulate_tables
from hx_cohort_tables import truth as truth_of
from hx_expression import rank_inverse_normal
from hx_join import tissue_id
from hx_linear import standardise
from hx_truth import COLUMNS, auroc, read_truth, recovered, recovery

TISSUE = next(iter(TISSUES))
PREFIX = f"{tissue_id(TISSUE)}.256"
SOURCE = (f"{PREFIX}.h5ad", f"{tissue_id(TISSUE)}.expression.h5ad")


def cohort(mode: str = "signal", donors: int = 60, seed: int = 0):
    """truth.json's content, features (drawn values, mixed into 40 columns with noise) and expression."""
    names = [f"SIM-{k:03d}" for k in range(donors)]
    simulated = simulate_tables(seed, mode, names, [TISSUE])
    pieces = simulated.pieces.assign(sample=names, sampid=names)
    content = truth_of(mode, seed, {"tissues": [TISSUE]}, simulated, pieces, {}, {})
    rng = np.random.default_rng(seed)
    drawn = pieces[[f"{p}_drawn" for p in PROPERTIES]].to_numpy()
    values = drawn @ (rng.normal(size=(3, 40)) * (rng.uniform(size=(3, 40)) < 0.4)) + rng.normal(size=(donors, 40))
    var = pd.DataFrame({"encoder": "raw"}, index=[f"raw_{k:04d}" for k in range(40)])
    features = anndata.AnnData(values, obs=pd.DataFrame(index=names), var=var)
    features.uns["encoders"] = {"raw": {"weights": "random"}}
    log2 = np.log2(simulated.tpm + 1)
    var = pd.DataFrame({"symbol": simulated.genes["symbol"].to_numpy()}, index=simulated.genes["gene"].to_numpy())
    expression = anndata.AnnData(log2.T.copy(), obs=pd.DataFrame(index=names), var=var)
    expression.layers["int"] = rank_inverse_normal(log2).T
    return content, features, expression


def write(folder: Path, content: dict) -> Path:
    path = folder / "truth.json"
    path.write_text(json.dumps(content))
    return path


def rows_of(tmp_path: Path, content, features, expression) -> pd.DataFrame:
    truth = read_truth(write(tmp_path, content))
    return pd.DataFrame(recovered(truth, features, expression, PREFIX, ["mean"], SOURCE))


def test_planted_genes_rank_above_unplanted_ones(tmp_path):
    rows = rows_of(tmp_path, *cohort())
    assert list(rows["property"]) == list(PROPERTIES)
    assert set(rows.columns) == set(COLUMNS)
    assert (rows["found"] == "yes").all()
    assert (rows["auroc"] > 0.8).all() and (rows["p_mannwhitney"] < 1e-4).all()
    assert (rows["p_permutation"] == 0.001).all()
    assert (rows["planted_genes"] == 20).all()
    assert set(rows["setting"]) == {f"{PREFIX}.raw.mean"}


def test_the_feature_is_chosen_without_expression(tmp_path):
    content, features, expression = cohort()
    rows = rows_of(tmp_path, content, features, expression).set_index("property")
    drawn = pd.DataFrame(content["pieces"]).set_index("donor")
    for name in PROPERTIES:
        values = drawn.loc[features.obs_names, name].map(lambda record: record["drawn"]).to_numpy()
        r = np.array([np.corrcoef(values, column)[0, 1] for column in features.X.T])
        best = np.abs(r).argmax()
        assert rows.loc[name, "feature"] == features.var_names[best]
        assert rows.loc[name, "r_drawn"] == pytest.approx(r[best], abs=1e-12)
        planted = content["properties"][name]["genes"]
        others = {g for p in content["properties"].values() for g in p["genes"]} | {s["gene"] for s in content["snps"]}
        compared = [g for g in expression.var_names if g in planted or g not in others]
        scores = [abs(np.corrcoef(features.X[:, best], expression[:, g].layers["int"].ravel())[0, 1]) for g in compared]
        assert rows.loc[name, "auroc"] == pytest.approx(roc_auc_score(np.isin(compared, planted), scores), abs=1e-9)
    shuffled = expression[np.random.default_rng(0).permutation(60)].copy()
    shuffled.obs_names = expression.obs_names
    assert (rows_of(tmp_path, content, features, shuffled)["feature"].to_numpy() == rows["feature"].to_numpy()).all()


def test_null_mode_is_found_at_its_level():
    """Over 40 null cohorts the permutation p is at most .05 within the binomial 99.9 % interval."""
    p = []
    for seed in range(40):
        content, features, expression = cohort("null", donors=36, seed=seed)
        planted = np.isin(expression.var_names, content["properties"]["cell_proportion"]["genes"])
        drawn = np.array([piece["cell_proportion"]["drawn"] for piece in content["pieces"]])
        unit, genes = standardise(features.X).unit, standardise(expression.layers["int"]).unit
        p.append(recovery(unit, drawn, genes, planted, str(seed))["p_permutation"])
    low, high = binom.interval(0.999, 40, 0.05)
    assert low <= np.count_nonzero(np.array(p) <= 0.05) <= high


def test_auroc_with_ties_against_sklearn():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 5, size=(7, 50))
    positive = rng.uniform(size=50) < 0.3
    np.testing.assert_allclose(auroc(score, positive), [roc_auc_score(positive, row) for row in score], rtol=1e-12)


def test_dead_features_are_left_out(tmp_path):
    content, features, expression = cohort()
    features.X[:, 3] = 0
    assert "raw_0003" not in set(rows_of(tmp_path, content, features, expression)["feature"])
    features.X[:] = 0
    assert rows_of(tmp_path, content, features, expression).empty


def without(content: dict, *keys) -> dict:
    content = copy.deepcopy(content)
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return content


@pytest.mark.parametrize(
    "keys",
    [
        ("mode",),
        ("properties",),
        ("properties", "ischaemia", "genes"),
        ("properties", "lesion_area", "link"),
        ("snps",),
        ("snps", 0, "gene"),
        ("pieces",),
        ("pieces", 5, "donor"),
        ("pieces", 5, "tissue"),
        ("pieces", 5, "ischaemia"),
        ("pieces", 5, "ischaemia", "drawn"),
    ],
)
def test_every_key_is_needed(tmp_path, keys):
    with pytest.raises(DataError, match=r"no truth\.json of simulate_cohort\.py"):
        read_truth(write(tmp_path, without(cohort()[0], *keys)))


def test_other_files(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_truth(tmp_path / "absent.json")
    (tmp_path / "truth.json").write_text("{")
    with pytest.raises(DataError, match="JSONDecodeError"):
        read_truth(tmp_path / "truth.json")
    (tmp_path / "truth.json").write_text("[1]")
    with pytest.raises(DataError, match="TypeError"):
        read_truth(tmp_path / "truth.json")


def test_values_that_cannot_be(tmp_path):
    content = cohort()[0]
    twice = copy.deepcopy(content)
    twice["pieces"][1]["donor"] = twice["pieces"][0]["donor"]
    with pytest.raises(DataError, match="one finite drawn value"):
        read_truth(write(tmp_path, twice))
    content["pieces"][0]["ischaemia"]["drawn"] = float("nan")
    with pytest.raises(DataError, match="one finite drawn value"):
        read_truth(write(tmp_path, content))


def test_truth_of_another_cohort(tmp_path):
    content, features, expression = cohort()
    for piece in content["pieces"]:
        piece["donor"] = "OTHER" + piece["donor"]
    for planted in content["properties"].values():
        planted["genes"] = ["ENSG00000000001"]
    with pytest.raises(DataError) as error:
        rows_of(tmp_path, content, features, expression)
    assert len(error.value.faults) == 4
    assert "truth.json has no piece of" in error.value.faults[0] and "SIM-000" in error.value.faults[0]
    assert "none of the genes planted for ischaemia" in error.value.faults[3]
    content = cohort()[0]
    content["snps"] += [{"gene": gene} for gene in expression.var_names]
    with pytest.raises(DataError, match="there is none to compare with"):
        rows_of(tmp_path, content, features, expression)
