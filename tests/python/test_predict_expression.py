"""predict_expression.py, apply_model.py and the report's sections: what is written, and every way input can be bad."""

import json
import shutil
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from test_shared_variance import design_of, expression_of, image_of, names
from variance_made import cohort

import apply_model
import predict_expression
from conftest import ROOT
from hx_cli import Faults
from hx_controls import shuffled
from hx_fdr import bh
from hx_gather import gather
from hx_linear import residual_space, standardise
from hx_mixture import log_p_ratio, ratios
from hx_mqc import write_sections
from hx_predict import PENALTIES, coefficients, cross_validate
from hx_predict_model import donor_hash, read_model
from hx_predict_scale import Ranked
from hx_predict_tables import EDGES, GENE_COLUMNS, SUMMARY
from hx_prediction_sections import TABLES, prediction_sections
from hx_variance import gram, rotated_kernel

DONORS = 60
SETTING = "Lung.128.retrained.mean"
MODEL = f"{SETTING}.model.h5"
ORIGIN = {"encoder": "", "weights": "file", "weights_sha256": "abc", "layer": "dense", "preprocess": "area"}


def sheet(folder: Path, donors: list[str], folds: list, tissue: str = "Lung") -> Path:
    path = folder / "cohort.tsv"
    rows = pd.DataFrame({"donor": donors, "tissue": tissue, "tissue_id": tissue, "samples": "", "rna_sample": ""})
    rows.assign(fold=folds).to_csv(path, sep="\t", index=False)
    return path


def described(image: anndata.AnnData, tissue: str = "Lung", size: str = "128") -> anndata.AnnData:
    """Features with what aggregate_features.py tells of them."""
    image.uns |= {"tissue_id": tissue, "size": size}
    image.uns["encoders"] = {name: {**ORIGIN, "encoder": name} for name in set(image.var["encoder"])}
    return image


def drawn(seed: int = 0, n: int = DONORS):
    return cohort(seed, n, 2, shared=0.4, technical=0.2, genes=60, features=50, factors=3)


def made(seed: int = 0, n: int = DONORS) -> tuple[anndata.AnnData, anndata.AnnData, pd.DataFrame]:
    values = drawn(seed, n)
    values.genes[:, :10] = np.random.default_rng(5).normal(size=(n, 10))  # genes with nothing to predict
    image = described(image_of({"raw": values.features[:, :20], "retrained": values.features}))
    return image, expression_of(values.genes), design_of(values.covariates, names(n))


def run(folder: Path, image, expression, design, *extra: str, folds: list | None = None, out: str = "out") -> int:
    folder.mkdir(exist_ok=True)
    image.write_h5ad(folder / "Lung.128.h5ad")
    expression.write_h5ad(folder / "Lung.expression.h5ad")
    donors = list(expression.obs_names)
    sheet(folder, donors, [k % 5 for k in range(len(donors))] if folds is None else folds)
    given = []
    if design is not None:
        design.to_csv(folder / "design.tsv", sep="\t", float_format="%.17g")
        given = ["--design", f"{folder}/design.tsv"]
    return predict_expression.main(
        ["--features", f"{folder}/Lung.128.h5ad", "--expression", f"{folder}/Lung.expression.h5ad",
         "--cohort", f"{folder}/cohort.tsv", "--setting-prefix", "Lung.128", "--primary", "128,retrained,mean",
         "--aggregations", "mean", "--outdir", f"{folder}/{out}", *given, *extra]
    )  # fmt: skip


def read(folder: Path, name: str) -> pd.DataFrame:
    path = folder / f"Lung.128.{name}"
    return pd.read_parquet(path) if name.endswith("parquet") else pd.read_csv(path, sep="\t")


@pytest.fixture(scope="module")
def predicted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    assert run(folder, *made()) == 0
    return folder


# predict_expression.py


def test_tables(predicted):
    out = predicted / "out"
    genes, summary = read(out, "prediction_genes.parquet"), read(out, "prediction_summary.tsv")
    assert list(genes) == GENE_COLUMNS and len(genes) == 60 and set(genes["setting"].astype(str)) == {SETTING}
    assert list(summary) == SUMMARY and summary["control"].tolist() == ["none", "shuffle_donors"]
    assert set(summary["analysis"]) == {"primary"} and set(summary["adjusted_for"]) == {"C0;C1"}
    real, control = summary.iloc[0], summary.iloc[1]
    assert real["genes_found"] > 35 and control["genes_found"] <= 1
    assert real["delta_r2_median"] > 0.1 and control["delta_r2_median"] < 0
    assert real["r2cv_confounders_median"] == control["r2cv_confounders_median"]
    assert real["r2_in_sample_median"] > real["r2cv_median"]
    np.testing.assert_allclose(genes["delta_r2"], genes["r2cv"] - genes["r2cv_confounders"], atol=1e-12)
    np.testing.assert_allclose(10 ** -genes["nlog10p"], genes["p"], rtol=1e-9)
    np.testing.assert_allclose(genes["q"], bh(genes["p"].to_numpy()), rtol=1e-12)
    assert genes["delta_r2"][:10].median() < 0 < genes["delta_r2"][10:].quantile(0.1)
    assert (genes["r2_least_squares"] > genes["r2_in_sample"]).all()
    bins = read(out, "prediction_histogram.tsv")
    assert bins.groupby("control")["genes"].sum().tolist() == [60, 60] and len(bins) == 2 * (len(EDGES) - 1)
    top = read(out, "prediction_top.tsv")
    assert len(top) == 60 and top["p"].is_monotonic_increasing


def test_a_row_against_the_arrays(predicted):
    """Folds of the cohort, inner folds of the seed, p in the residual space of the covariates: from the files alone."""
    image, expression, design = made()
    values = image.X[:, image.var["encoder"] == "retrained"]
    covariates, donors = design.to_numpy(), np.array(names(), dtype=object)
    of = cross_validate(
        values, covariates, Ranked(expression.X), np.arange(DONORS) % 5, donors,
        lambda fold: predict_expression.named_generator(1, f"Lung.inner.{fold}"),
    )  # fmt: skip
    genes = read(predicted / "out", "prediction_genes.parquet")
    for column, numbers in (("r2cv", of.r2), ("r2cv_confounders", of.r2_confounders), ("r_cv", of.r),
                            ("penalty", PENALTIES[of.penalty])):  # fmt: skip
        np.testing.assert_allclose(genes[column], numbers, rtol=1e-6, atol=1e-9)
    space = residual_space(covariates, DONORS)
    size, vectors = np.linalg.eigh(rotated_kernel(space, gram(standardise(values).unit)))
    rotated = (space.rotation @ vectors).T @ standardise(expression.layers["int"], space).unit
    np.testing.assert_allclose(np.log(genes["p"]), log_p_ratio(ratios(rotated, size), size), rtol=1e-7)
    order = shuffled(1, f"{SETTING}.shuffle_donors", np.zeros(DONORS, int))
    control = cross_validate(
        values[order], covariates, Ranked(expression.X), np.arange(DONORS) % 5, donors,
        lambda fold: predict_expression.named_generator(1, f"Lung.inner.{fold}"),
    )  # fmt: skip
    gain = read(predicted / "out", "prediction_summary.tsv")["delta_r2_median"][1]
    assert gain == pytest.approx(np.median(control.r2 - control.r2_confounders), rel=1e-6)


def test_same_bytes(predicted):
    shutil.copytree(predicted, predicted / "again", ignore=shutil.ignore_patterns("again"))
    assert run(predicted / "again", *made(), out="out2") == 0
    first = {path.name: path.read_bytes() for path in (predicted / "out").iterdir()}
    assert first == {path.name: path.read_bytes() for path in (predicted / "again" / "out2").iterdir()}
    assert MODEL in first


def test_all_settings(tmp_path):
    assert run(tmp_path, *made(), "--settings", "all", "--aggregations", "mean,median", "--controls", "none") == 0
    summary = read(tmp_path / "out", "prediction_summary.tsv")
    assert summary["setting"].tolist() == [
        f"Lung.128.{e}.{a}" for e in ("raw", "retrained") for a in ("mean", "median")
    ]
    assert (summary["analysis"] == "primary").tolist() == [False, False, True, False]
    genes = read(tmp_path / "out", "prediction_genes.parquet")
    assert genes["setting"].astype(str).value_counts().to_dict() == dict.fromkeys(summary["setting"], 60)
    assert len(list((tmp_path / "out").glob("*.model.h5"))) == 4


def test_another_setting_is_primary(tmp_path, capsys):
    assert run(tmp_path, *made(), "--primary", "256,retrained,mean") == 0
    assert "not the primary setting 256,retrained,mean" in capsys.readouterr().err
    assert len(read(tmp_path / "out", "prediction_summary.tsv")) == 0 and not list((tmp_path / "out").glob("*.h5"))
    assert len(read(tmp_path / "out", "prediction_genes.parquet")) == 0


def test_feature_table_without_covariates(tmp_path):
    """Size `-`: the one setting is the primary one. Without a design the covariates' R2 is 0, but for fold means."""
    image, expression, _ = made()
    image = image[:, image.var["encoder"] == "raw"].copy()
    image.write_h5ad(tmp_path / "Lung.-.h5ad")
    expression.write_h5ad(tmp_path / "Lung.expression.h5ad")
    arguments = ["--features", f"{tmp_path}/Lung.-.h5ad", "--expression", f"{tmp_path}/Lung.expression.h5ad"]
    arguments += ["--cohort", str(sheet(tmp_path, names(), [k % 5 for k in range(60)])), "--setting-prefix", "Lung.-"]
    assert predict_expression.main([*arguments, "--outdir", str(tmp_path)]) == 0
    summary = pd.read_csv(tmp_path / "Lung.-.prediction_summary.tsv", sep="\t")
    assert summary["setting"].unique().tolist() == ["Lung.-.raw.given"]
    assert (summary["r2cv_confounders_median"] == 0).all() and summary["adjusted_for"].isna().all()


def losses(folder: Path) -> pd.DataFrame:
    return read(folder / "out", "predict_expression.dropped.tsv")


def test_too_few_donors_is_a_loss_with_its_reason(tmp_path):
    """So that the other tissues of a run go on: few donors in the folds, too few folds, donors without features."""
    image, expression, design = made(n=12)
    assert run(tmp_path / "a", image, expression, design) == 0  # 9 in a training set, 7 in its own, 4 left
    assert len(read(tmp_path / "a" / "out", "prediction_summary.tsv")) == 2
    assert run(tmp_path / "b", image, expression, design, folds=[0] * 5 + [1, 2, 3, 4, 1, 2, 3]) == 0
    assert losses(tmp_path / "b")["reason"][0].startswith("not predicted: 12 donors in 5 folds: a training set")
    assert run(tmp_path / "c", image, expression, design, folds=[0, 1] * 6) == 0
    assert "donors in 2 of the folds" in losses(tmp_path / "c")["reason"][0]
    assert run(tmp_path / "d", image[:5].copy(), expression, design) == 0
    assert "5 donors have features, at least 8" in losses(tmp_path / "d")["reason"][0]
    for name in "bcd":
        assert len(read(tmp_path / name / "out", "prediction_genes.parquet")) == 0


def test_an_empty_fold_is_said(tmp_path, capsys):
    image, expression, design = made()
    there = np.arange(DONORS) % 5 != 3
    assert run(tmp_path, image[there].copy(), expression, design) == 0
    assert "no donor with features in fold 3" in capsys.readouterr().err
    assert (read(tmp_path / "out", "prediction_summary.tsv")["folds"] == 4).all()


def test_bad_folds(tmp_path, capsys):
    image, expression, design = made()
    folds = [k % 5 for k in range(DONORS)]
    assert run(tmp_path, image, expression, design, folds=[*folds[:-2], "x", ""]) == 65
    told = capsys.readouterr().err
    assert (
        "fold 'x' of donor D058 is no number" in told and "fold '' of donor D059" in told and "check_cohort.py" in told
    )
    sheet(tmp_path, names()[:-1], folds[:-1])
    arguments = ["--features", f"{tmp_path}/Lung.128.h5ad", "--expression", f"{tmp_path}/Lung.expression.h5ad"]
    arguments += ["--cohort", f"{tmp_path}/cohort.tsv", "--outdir", str(tmp_path)]
    assert predict_expression.main([*arguments, "--setting-prefix", "Lung.128"]) == 65
    assert "cohort.tsv: no row of Lung for donor D059" in capsys.readouterr().err
    assert predict_expression.main([*arguments, "--setting-prefix", "Spleen.128"]) == 65
    assert "no row of tissue Spleen: it has Lung" in capsys.readouterr().err
    sheet(tmp_path, [*names(), "D059"], [*folds, 1])
    assert predict_expression.main([*arguments, "--setting-prefix", "Lung.128"]) == 65
    assert "donor D059 stands more than once" in capsys.readouterr().err


def test_bad_input(tmp_path, capsys):
    image, expression, design = made()
    assert run(tmp_path, image, expression, design) == 0
    (tmp_path / "design.tsv").unlink()
    arguments = ["--features", f"{tmp_path}/Lung.128.h5ad", "--expression", f"{tmp_path}/Lung.expression.h5ad"]
    arguments += ["--cohort", f"{tmp_path}/cohort.tsv", "--outdir", str(tmp_path), "--setting-prefix", "Lung.128"]
    with pytest.raises(SystemExit) as stopped:
        predict_expression.main([*arguments, "--design", f"{tmp_path}/design.tsv"])
    assert stopped.value.code == 2 and "design.tsv: no such file" in capsys.readouterr().err
    (tmp_path / "Lung.128.h5ad").write_bytes(b"no h5ad")
    assert predict_expression.main(arguments) == 65
    assert "Lung.128.h5ad: no readable h5ad" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        predict_expression.main([*arguments, "--alpha", "1"])
    assert stopped.value.code == 2


def test_dead_features_and_genes_are_lost_by_name(tmp_path):
    image, expression, design = made()
    image.X[:, image.var_names == "retrained_0020"] = 1.0
    image.X[3, image.var_names == "retrained_0021"] = np.nan
    assert run(tmp_path, image, expression, design, "--controls", "none") == 0
    told = losses(tmp_path).set_index("id")["reason"]
    assert "constant" in told["retrained_0020"] and "NaN" in told["retrained_0021"]
    assert read(tmp_path / "out", "prediction_summary.tsv")["features"].tolist() == [48]
    assert len(read_model(tmp_path / "out" / MODEL).feature) == 48


# the model


def test_model(predicted):
    """Everything that new slides need, and coefficients without each fold."""
    model = read_model(predicted / "out" / MODEL)
    assert model.told["weights_sha256"] == "abc" and model.told["adjusted_for"] == "C0;C1"
    genes = read(predicted / "out", "prediction_genes.parquet")
    assert model.gene.tolist() == genes["gene"].astype(str).tolist() and model.beta.dtype == np.float32
    np.testing.assert_allclose(model.numbers["r2cv_image"], genes["r2cv_image"])
    assert sorted(model.training) == sorted(map(donor_hash, names()))
    image, expression, _ = made()
    values = image[:, list(model.feature)].X
    assert model.distance(values).max() == pytest.approx(model.farthest)
    _, log2 = model.predict(values)
    level = model.numbers["r2cv_image"]
    for gene in np.argsort(level)[-5:]:
        assert np.corrcoef(log2[:, gene], expression.X[:, gene])[0, 1] ** 2 > level[gene]  # in-sample: too good
    assert [part.fold for part in model.folds] == [0, 1, 2, 3, 4]
    part = model.folds[2]
    train = np.arange(DONORS) % 5 != 2
    alone = cross_validate(
        values, None, Ranked(expression.X), np.arange(DONORS) % 5, np.array(names(), dtype=object),
        lambda fold: predict_expression.named_generator(1, f"Lung.inner.{fold}"),
    )  # fmt: skip
    np.testing.assert_allclose(genes["r2cv_image"], alone.r2, rtol=1e-6)
    of = coefficients(values, Ranked(expression.X).scores(train), np.flatnonzero(train), alone.penalty)
    np.testing.assert_allclose(part.beta, of.beta[:, part.genes], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(part.mean, values[train][:, part.features].mean(axis=0))


def test_out_of_fold_coefficients_predict_as_the_table_says(predicted):
    """r2cv_image from the file's fold models alone, but for the penalty, which is that of all donors there."""
    model, (image, expression, _) = read_model(predicted / "out" / MODEL), made()
    values, ranked = image[:, list(model.feature)].X, Ranked(expression.X)
    wrong, base = np.zeros(60), np.zeros(60)
    for part in model.folds:
        test = np.arange(DONORS) % 5 == part.fold
        scores = ranked.scores(~test)
        guess = part.intercept + ((values[test][:, part.features] - part.mean) / part.scale) @ part.beta
        wrong += ((scores[test] - guess) ** 2).sum(axis=0)
        base += ((scores[test] - scores[~test].mean(axis=0)) ** 2).sum(axis=0)
    told, found = model.numbers["r2cv_image"], 1 - wrong / base
    assert np.median(np.abs(found - told)) < 0.02 and np.abs(found - told)[told > 0.1].max() < 0.2


def test_large_models_keep_the_genes_found(tmp_path, monkeypatch):
    monkeypatch.setattr(predict_expression, "SMALL", 0)
    monkeypatch.setattr(predict_expression, "FOLD_GENES", 7)
    assert run(tmp_path / "a", *made(), "--controls", "none") == 0
    genes = read(tmp_path / "a" / "out", "prediction_genes.parquet")
    model = read_model(tmp_path / "a" / "out" / MODEL)
    assert model.gene.tolist() == genes.loc[genes["q"] <= 0.05, "gene"].astype(str).tolist()
    assert len(model.folds[0].genes) == 7
    strongest = set(genes.sort_values("p")["gene"].astype(str)[:7])
    assert set(model.gene[model.folds[0].genes]) == strongest
    image, expression, design = made()
    image.X = np.random.default_rng(3).normal(size=image.shape)
    assert run(tmp_path / "b", image, expression, design, "--controls", "none", "--alpha", "1e-6") == 0
    assert not list((tmp_path / "b" / "out").glob("*.h5"))
    assert "no gene has q <= 1e-06: no model is kept" in losses(tmp_path / "b")["reason"].tolist()


# apply_model.py


def apply(folder: Path, model: Path, image: anndata.AnnData, name: str = "new.h5ad") -> int:
    image.write_h5ad(folder / name)
    return apply_model.main(["--model", str(model), "--features", f"{folder}/{name}", "--outdir", str(folder)])


def newcomers() -> anndata.AnnData:
    image, _, _ = made(seed=1, n=20)
    image.obs_names = [f"N{k:02d}" for k in range(20)][::-1]
    image.obs["samples"] = [f"S{name}" for name in image.obs_names]
    return image


def test_prediction_of_new_donors(predicted, tmp_path, capsys):
    image = newcomers()
    image.X[3] *= 50
    trained = described(made()[0])[:1].copy()
    trained.obs["samples"] = "old"
    image = anndata.concat([image, trained], uns_merge="same", merge="same")
    assert apply(tmp_path, predicted / "out" / MODEL, image) == 0
    table = pd.read_csv(tmp_path / f"{SETTING}.predicted.tsv", sep="\t")
    model = read_model(predicted / "out" / MODEL)
    assert len(table) == 21 * 60 and set(table["label"]) == {"predicted, not measured"}
    assert table["donor"].is_monotonic_increasing
    scores, log2 = model.predict(image["N05", list(model.feature)].X)
    mine = table[table["donor"] == "N05"]
    np.testing.assert_allclose(mine["predicted_score"], scores[0], rtol=1e-8)
    np.testing.assert_allclose(mine["predicted_log2"], log2[0], rtol=1e-8)
    np.testing.assert_allclose(mine["training_r2cv"], model.numbers["r2cv_image"], rtol=1e-8)
    assert mine["gene"].tolist() == model.gene.tolist() and set(mine["samples"]) == {"SN05"}
    donors = pd.read_csv(tmp_path / f"{SETTING}.predicted_donors.tsv", sep="\t").set_index("donor")
    assert donors.loc["N16", "beyond_training"] == "yes" and (donors["beyond_training"] == "yes").sum() <= 2
    assert donors.index[donors["in_training"] == "yes"].tolist() == ["D000"]
    assert "1 of 21 donors (D000) were training donors" in capsys.readouterr().err


def test_prediction_holds_in_donors_of_the_same_kind(tmp_path):
    """Donors that training has not seen, drawn alike: R2 is what training said of the image alone, within .1."""
    image, expression, design = made(seed=2, n=160)
    first, second = slice(0, 110), slice(110, 160)
    assert run(tmp_path, image[first].copy(), expression[first].copy(), design[first], "--controls", "none") == 0
    assert apply(tmp_path, tmp_path / "out" / MODEL, image[second].copy()) == 0
    table = pd.read_csv(tmp_path / f"{SETTING}.predicted.tsv", sep="\t")
    guess = table.pivot(index="donor", columns="gene", values="predicted_log2")[list(expression.var_names)].to_numpy()
    truth = expression.X[second]
    r2 = 1 - ((truth - guess) ** 2).sum(axis=0) / ((truth - expression.X[first].mean(axis=0)) ** 2).sum(axis=0)
    told = read_model(tmp_path / "out" / MODEL).numbers["r2cv_image"]
    assert np.mean(r2[10:]) == pytest.approx(np.mean(told[10:]), abs=0.1) and np.mean(told[10:]) > 0.2


def test_features_of_another_kind_are_refused(predicted, tmp_path, capsys):
    """Everything at once: tissue, size, weights, layer, preprocessing, features that lack."""
    model = predicted / "out" / MODEL
    image = described(newcomers(), "Spleen", "256")
    image.uns["encoders"]["retrained"] |= {"weights_sha256": "def", "layer": "", "preprocess": "bilinear"}
    assert apply(tmp_path, model, image[:, :-3].copy()) == 65
    told = capsys.readouterr().err
    faults = [
        *("6 faults", "tissue Spleen, ", "patch size 256", "--patch_sizes 128", "--retrained_weights"),
        *("weights_sha256 of encoder retrained is def", "layer of encoder retrained is not told"),
        *("preprocess of encoder", "lacks 3 of 50 features", "retrained_0067"),
    ]
    for fault in faults:
        assert fault in told
    image = newcomers()
    raw = image[:, image.var["encoder"] == "raw"].copy()
    raw.uns["encoders"] = {"raw": raw.uns["encoders"]["raw"]}
    assert apply(tmp_path, model, raw) == 65
    assert "no features of encoder retrained" in capsys.readouterr().err
    image.X[2, -1] = np.nan
    assert apply(tmp_path, model, image) == 65
    assert "NaN or infinite features of donor N17" in capsys.readouterr().err
    assert apply(tmp_path, model, newcomers()[:0].copy()) == 65
    assert "no donor has features" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.predicted.tsv"))


def test_an_aggregation_that_is_not_there(predicted, tmp_path, capsys):
    assert run(tmp_path, *made(), "--aggregations", "median", "--primary", "128,retrained,median") == 0
    image = newcomers()
    del image.layers["median"]
    assert apply(tmp_path, tmp_path / "out" / "Lung.128.retrained.median.model.h5", image) == 65
    assert "no aggregation median" in capsys.readouterr().err


def test_a_model_that_is_none(predicted, tmp_path, capsys):
    image = newcomers()
    (tmp_path / "text.model.h5").write_text("no model")
    assert apply(tmp_path, tmp_path / "text.model.h5", image) == 65
    assert "text.model.h5: no readable prediction model" in capsys.readouterr().err
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    assert apply(tmp_path, tmp_path / "other.h5", image) == 65
    assert "no prediction model: give a *.model.h5" in capsys.readouterr().err

    def changed(name: str, change) -> str:
        shutil.copy(predicted / "out" / MODEL, tmp_path / name)
        with h5py.File(tmp_path / name, "r+") as file:
            change(file)
        assert apply(tmp_path, tmp_path / name, image) == 65
        return capsys.readouterr().err

    assert "a model of version 2" in changed("v.h5", lambda file: file.attrs.modify("version", 2))
    assert "no readable prediction model" in changed("b.h5", lambda file: file.__delitem__("beta"))
    assert "no attribute layer" in changed("l.h5", lambda file: file.attrs.__delitem__("layer"))

    def shortened(file: h5py.File) -> None:
        beta = file["beta"][:-1]
        del file["beta"]
        file["beta"] = beta

    assert "do not fit each other" in changed("s.h5", shortened)


# the report


def test_sections(predicted, tmp_path):
    faults = Faults()
    tables = gather(predicted / "out", TABLES, faults)
    faults.stop()
    sections = prediction_sections(tables)
    write_sections(sections, tmp_path)
    shown = {path.name.removesuffix("_mqc.json"): json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert list(shown["prediction"]["data"]) == ["Lung"]
    row = shown["prediction"]["data"]["Lung"]
    summary = read(predicted / "out", "prediction_summary.tsv")
    assert row["genes_found"] == summary["genes_found"][0]
    assert row["control_delta_r2_median"] == pytest.approx(summary["delta_r2_median"][1])
    assert (
        "Adjusted for C0, C1" in shown["prediction"]["description"]
        and "robustness" not in shown["prediction"]["description"]
    )
    honest = shown["prediction_honesty"]["data"]["Lung"]
    assert honest["r2_least_squares_median"] > honest["r2_in_sample_median"] > honest["r2cv_median"]
    assert honest["r2cv_median"] > honest["r2cv_least_squares_median"]
    assert set(shown["prediction_gain"]["data"]) == {"Lung", "Lung, donors shuffled"}
    assert len(shown["prediction_genes"]["data"]) == 60
    order = yaml.safe_load((ROOT / "assets" / "multiqc_config.yml").read_text())["report_section_order"]
    assert set(shown) <= set(order)
    assert prediction_sections({}) == [] and prediction_sections({"prediction_summary": pd.DataFrame()}) == []


def test_real_nuclear_features(real_data, tmp_path):
    """Thyroid, 24 nuclear features x 59 genes of GTEx: RYR2 and KCNQ1 are found, shuffled donors give nothing."""
    import adjust_confounders
    import aggregate_features
    import check_cohort
    import prepare_expression

    gtex = real_data / "gtex"
    (table,) = (gtex / "nuclear_features").glob("Thyroid*.tsv")
    (counts,), (subjects,) = gtex.glob("*.gct.gz"), gtex.glob("*SubjectPhenotypesDS.txt")
    unit = ["--expression", str(counts), "--expression-unit", "counts"]

    def tables(*names: str) -> list[str]:
        return [text for name in names for text in (f"--{name}", f"{tmp_path}/{name}.tsv")]

    features, expression, rows = (
        tmp_path / name for name in ("Thyroid.-.h5ad", "Thyroid.expression.h5ad", "cohort.tsv")
    )
    given = ["--covariates", str(subjects), "--outdir", str(tmp_path)]
    assert check_cohort.main(["--features", str(table), *unit, *given]) == 0
    tissue = ["--cohort", str(rows), "--tissue-id", "Thyroid"]
    more = tables("dropped", "feature-summary", "feature-histograms")
    assert aggregate_features.main([*tissue, "--tables", str(table), "--out", str(features), *more]) == 0
    more = tables("histograms", "sex-check", "dropped")
    assert prepare_expression.main([*unit, *tissue, "--out", str(expression), *more]) == 0
    sides = ["--features", str(features), "--expression", str(expression), "--cohort", str(rows)]
    sides += ["--setting-prefix", "Thyroid.-", "--outdir", str(tmp_path)]
    assert adjust_confounders.main(sides) == 0
    assert predict_expression.main([*sides, "--design", f"{tmp_path}/Thyroid.-.design.tsv"]) == 0
    summary = pd.read_csv(tmp_path / "Thyroid.-.prediction_summary.tsv", sep="\t").set_index("control")
    assert summary.loc["none", "n"] == 650 and summary.loc["none", "adjusted_for"] == "AGE;DTHHRDY;SEX"
    assert summary.loc["none", "genes_found"] >= 25 and summary.loc["shuffle_donors", "genes_found"] == 0
    assert summary.loc["none", "delta_r2_median"] > 0.01 > 0 > summary.loc["shuffle_donors", "delta_r2_median"]
    genes = pd.read_parquet(tmp_path / "Thyroid.-.prediction_genes.parquet").set_index("symbol")
    assert genes.loc["KCNQ1", "delta_r2"] > 0.1 and genes.loc["RYR2", "r2cv_confounders"] > 0.15
