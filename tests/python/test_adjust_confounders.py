"""adjust_confounders.py: what is written, against plain least squares; every way its input can be bad."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from gtex_tissues import gtex_tissues
from test_design import cohort

from adjust_confounders import main
from hx_assumptions import binned
from hx_confounder_sections import confounder_sections, ledger_rows
from hx_confounder_tables import COLUMNS
from hx_donors import read_design
from hx_expression import rank_inverse_normal

PREFIX = "Lung.256"
FILES = (*(f"{name}.tsv" for name in COLUMNS), "design.tsv", "adjust_confounders.dropped.tsv",
         "confounder_genes.parquet")  # fmt: skip
DONORS = 90


def inputs(donors: int = DONORS, seed: int = 0, features: int = 8, genes: int = 30, texture: int = 0):
    """Features of an encoder or two, expression and cohort.tsv; ischaemia acts on raw_0000 to 3 and genes 0-9."""
    rng = np.random.default_rng(seed)
    table = cohort(seed, donors)
    slides = [name for name in table if name.startswith("slide_") or name == "n_patches"]
    ischaemia = np.log2(table["SMTSISCH"].astype(float).to_numpy() + 1)
    ischaemia = (ischaemia - ischaemia.mean()) / ischaemia.std()
    names = [f"raw_{k:04d}" for k in range(features)] + [f"texture_{k:04d}" for k in range(texture)]
    var = pd.DataFrame({"encoder": [name.split("_")[0] for name in names], "weights_sha256": "ab"}, index=names)
    mean = rng.normal(size=(donors, len(names)))
    mean[:, :4] += 1.5 * ischaemia[:, None]
    image = anndata.AnnData(mean, obs=table[slides].copy(), var=var)
    image.uns["encoders"] = {"raw": {"weights": "random"}, "texture": {"weights": "file"}}
    image.layers["median"] = mean + 0.1 * rng.normal(size=mean.shape)
    log2 = rng.normal(5, 1, size=(donors, genes))
    log2[:, :10] += 1.2 * ischaemia[:, None]
    symbols = pd.DataFrame({"symbol": [f"S{k}" for k in range(genes)]}, index=[f"ENSG{k:04d}" for k in range(genes)])
    expression = anndata.AnnData(log2, obs=pd.DataFrame(index=table.index), var=symbols)
    expression.layers["int"] = rank_inverse_normal(log2.T).T
    rows = table.drop(columns=slides).reset_index(names="donor")
    rows.insert(1, "tissue", "Lung")
    rows.insert(2, "tissue_id", "Lung")
    rows.insert(3, "samples", rows["donor"])
    rows.insert(4, "rna_sample", rows["donor"])
    rows.insert(5, "fold", np.arange(donors) % 5)
    return image, expression, rows


def run(tmp_path: Path, image, expression, rows, *extra: str) -> int:
    image.write_h5ad(tmp_path / f"{PREFIX}.h5ad")
    expression.write_h5ad(tmp_path / "Lung.expression.h5ad")
    rows.to_csv(tmp_path / "cohort.tsv", sep="\t", index=False)
    return main(
        ["--features", f"{tmp_path}/{PREFIX}.h5ad", "--expression", f"{tmp_path}/Lung.expression.h5ad",
         "--cohort", f"{tmp_path}/cohort.tsv", "--setting-prefix", PREFIX, "--outdir", f"{tmp_path}/out",
         *(extra if "--aggregations" in extra else (*extra, "--aggregations", "mean"))]
    )  # fmt: skip


def written(tmp_path: Path) -> dict[str, pd.DataFrame]:
    out = tmp_path / "out"
    found = {name: pd.read_csv(out / f"{PREFIX}.{name}.tsv", sep="\t", keep_default_na=False, na_values=[""])
             for name in (*COLUMNS, "adjust_confounders.dropped")}  # fmt: skip
    return found | {
        "design": read_design(out / f"{PREFIX}.design.tsv"),
        "genes": pd.read_parquet(out / f"{PREFIX}.confounder_genes.parquet"),
    }


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("confounders")
    image, expression, rows = inputs(texture=4)
    assert (
        run(folder, image, expression, rows, "--aggregations", "mean,median", "--adjust-also", "autolysis,slide") == 0
    )
    return image, expression, rows, written(folder)


def r2(y: np.ndarray, columns: np.ndarray) -> float:
    design = np.column_stack([np.ones(len(y)), columns])
    rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return 1 - (rest**2).sum() / ((y - y.mean(axis=0)) ** 2).sum()


def test_tables_have_their_columns(result):
    found = result[3]
    for name, columns in COLUMNS.items():
        assert list(found[name]) == columns and len(found[name]), name


def test_ledger_against_least_squares_on_the_design(result):
    """Both models, without and with adjust_also: whole, and each factor beyond the rest, from design.tsv itself."""
    image, expression, _, found = result
    ledger, design = found["confounder_ledger"], found["design"]
    assert set(ledger["given"]) == {"nothing", "model", "model and adjust_also"}
    raw = image[:, (image.var["encoder"] == "raw").to_numpy()]
    values = {
        (f"{PREFIX}.raw.mean", "image_pcs"): raw.X, (f"{PREFIX}.raw.median", "image_pcs"): raw.layers["median"],
        (f"{PREFIX}.raw.mean", "features"): (raw.X - raw.X.mean(0)) / raw.X.std(0),
        (PREFIX, "expression_pcs"): expression.X,
        (PREFIX, "genes"): expression.layers["int"] / expression.layers["int"].std(0),
    }  # fmt: skip
    of = design.columns.str.replace(r"(=.*|\.spline\d+)$", "", regex=True)
    also = {"SMATSSCR", "slide_tissue_mm2", "n_patches"}
    for (setting, view), y in values.items():
        rows = ledger[(ledger["setting"] == setting) & (ledger["view"] == view)].set_index(["factor", "given"])["r2"]
        base = design.loc[:, ~of.isin(also)]
        assert rows["model", "nothing"] == pytest.approx(r2(y, base), rel=1e-8)
        assert rows["model and adjust_also", "nothing"] == pytest.approx(r2(y, design), rel=1e-8)
        for name in ("SMTSISCH", "SMCENTER", "AGE"):
            assert rows[name, "nothing"] == pytest.approx(r2(y, design.loc[:, of == name]), rel=1e-8)
            for given, model in (("model", base), ("model and adjust_also", design)):
                rest = model.loc[:, model.columns.str.replace(r"(=.*|\.spline\d+)$", "", regex=True) != name]
                assert rows[name, given] == pytest.approx(r2(y, model) - r2(y, rest), rel=1e-6), (setting, view, name)
        with_it = np.column_stack([base, design["SMATSSCR"]])
        assert rows["SMATSSCR", "model"] == pytest.approx(r2(y, with_it) - r2(y, base), rel=1e-6)


def test_the_planted_confounder_leads_every_table(result):
    found = result[3]
    ledger = found["confounder_ledger"].query("level == 'factor' and given == 'model'")
    for view in ("image_pcs", "features", "expression_pcs", "genes"):
        rows = ledger[(ledger["view"] == view) & ~ledger["setting"].str.contains("texture")]
        best = rows.sort_values("adjusted").groupby("setting").tail(1)
        assert set(best["factor"]) == {"SMTSISCH"} and (best["q"] < 0.05).all()
    curve = found["factor_curve"].query("step == 1 and encoder != 'texture'")
    assert set(curve["factor"]) == {"SMTSISCH"}
    top = found["confounder_genes"].query("factor == 'SMTSISCH' and rank <= 10")
    assert set(top["gene"]) == {f"ENSG{k:04d}" for k in range(10)}
    tops = found["confounder_ledger"].query("view == 'genes' and factor == 'SMTSISCH'")["top"]
    assert set(tops) <= {f"ENSG{k:04d}" for k in range(10)}


def test_model_and_design_agree(result):
    found = result[3]
    model, design = found["confounder_model"], found["design"]
    inside = model[model["in_model"] == "yes"]
    assert inside["df"].sum() == design.shape[1]
    assert (model["dof"] == DONORS - 2 - design.shape[1]).all() and len(design) == DONORS
    assert model.set_index("factor").loc["SMATSSCR", "why"] == "adjust_also"
    rows = found["confounder_ledger"].query("factor == 'SMATSSCR' and view == 'genes'").set_index("given")["in_model"]
    assert rows.to_dict() == {"nothing": "yes", "model": "no", "model and adjust_also": "yes"}
    assert inside["vif"].ge(1).all() and model.loc[model["in_model"] == "no", "vif"].isna().all()
    assert set(found["adjust_confounders.dropped"]["id"]) == {"SAMPID"}


def test_vif_and_assumptions_against_statsmodels(result):
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    image, _, _, found = result
    design, rows = found["design"], found["confounder_assumptions"].set_index(["setting", "view", "factor"])
    exog = np.column_stack([np.ones(DONORS), design])
    age = list(design).index("AGE") + 1
    row = rows.loc[(f"{PREFIX}.raw.mean", "image_pcs", "AGE")]
    assert row["vif"] == pytest.approx(variance_inflation_factor(exog, age), rel=1e-8)
    import statsmodels.api as sm

    raw = image[:, (image.var["encoder"] == "raw").to_numpy()].X
    score = np.linalg.svd(raw - raw.mean(axis=0), full_matrices=False)[0][:, 0]
    full, rest = sm.OLS(score, exog).fit(), design.columns.str.startswith("SMTSISCH.spline")
    straight = sm.OLS(score, np.column_stack([np.ones(DONORS), design.loc[:, ~rest]])).fit()
    row = rows.loc[(f"{PREFIX}.raw.mean", "image_pcs", "SMTSISCH")]
    assert row["lack_of_fit_p"] == pytest.approx(full.compare_f_test(straight)[1], rel=1e-6)
    assert row["dof"] == DONORS - 2 - design.shape[1]
    beyond = sm.OLS(design["AGE"], np.delete(exog, age, axis=1)).fit().resid
    row = rows.loc[(PREFIX, "expression_pcs", "AGE")]
    assert row["leverage_max"] == pytest.approx((beyond**2).max() / (beyond**2).sum(), rel=1e-6)


def test_components_against_least_squares(result):
    """factor_pcs.tsv: shares of PCs by scikit-learn, F tests of nested models by statsmodels, q over the view."""
    import statsmodels.api as sm
    from sklearn.decomposition import PCA
    from statsmodels.stats.multitest import multipletests

    image, expression, _, found = result
    table, design = found["factor_pcs"], found["design"]
    of = design.columns.str.replace(r"(=.*|\.spline\d+)$", "", regex=True)
    raw = image[:, (image.var["encoder"] == "raw").to_numpy()]
    for setting, y in ((f"{PREFIX}.raw.mean", raw.X), (PREFIX, expression.X)):
        pca = PCA().fit(y)
        part = table[table["setting"] == setting]
        assert part["pc"].max() <= 10
        q = multipletests(part["p"], method="fdr_bh")[1], multipletests(part["p_unique"], method="fdr_bh")[1]
        np.testing.assert_allclose(part[["q", "q_unique"]].T, q, rtol=1e-8)
        at = part.set_index(["factor", "pc"])
        for pc in range(1, int(part["pc"].max()) + 1):
            score = pca.transform(y)[:, pc - 1]
            full = sm.OLS(score, sm.add_constant(design)).fit()
            for name in ("SMTSISCH", "SMCENTER", "AGE"):
                row = at.loc[name, pc]
                assert row["share"] == pytest.approx(pca.explained_variance_ratio_[pc - 1], rel=1e-8)
                one = sm.OLS(score, sm.add_constant(design.loc[:, of == name])).fit()
                rest = sm.OLS(score, sm.add_constant(design.loc[:, of != name])).fit()
                assert (row["r2"], row["p"]) == pytest.approx((one.rsquared, one.f_pvalue), rel=1e-6)
                gain = full.rsquared - rest.rsquared, full.compare_f_test(rest)[1]
                assert (row["r2_unique"], row["p_unique"]) == pytest.approx(gain, rel=1e-6)
                assert row["null"] == pytest.approx((of == name).sum() / (DONORS - 1))
                assert (row["df"], row["in_model"]) == ((of == name).sum(), "yes")
    first = table.query("pc == 1 and encoder != 'texture'").sort_values("r2").groupby("setting").tail(1)
    assert set(first["factor"]) == {"SMTSISCH"} and first["r2"].gt(0.5).all()


def test_donors_of_the_classifier_are_a_factor_outside_the_model(tmp_path):
    """A retrained encoder fits the donors that it was trained on: told in the ledger, adjusted for by flag alone."""
    image, expression, rows = inputs()
    image.obs["classifier_split"] = [""] * DONORS
    assert run(tmp_path, image, expression, rows) == 0
    found = written(tmp_path)
    assert "classifier_split" not in {*found["confounder_model"]["factor"], *found["adjust_confounders.dropped"]["id"]}
    image.obs["classifier_split"] = np.where(np.arange(DONORS) % 5 == 0, "validation", "train")
    image.X[::5, 4:] += 1.5
    assert run(tmp_path, image, expression, rows) == 0
    found = written(tmp_path)
    row = found["confounder_model"].set_index("factor").loc["classifier_split"]
    assert (row["group"], row["kind"], row["in_model"], row["df"]) == ("slide", "categorical", "no", 1)
    ledger = found["confounder_ledger"].query("factor == 'classifier_split' and given == 'model'").set_index("view")
    assert ledger.loc["features", "q"] < 0.05 < ledger.loc["genes", "q"]
    assert not any("classifier_split" in name for name in found["design"])


def test_points_show_no_single_donor(result):
    points = result[3]["confounder_points"]
    assert (points["n"] >= 5).all()
    totals = points.groupby(["setting", "view", "label"])["n"].sum()
    assert totals.le(DONORS).all() and (totals.xs("AGE", level="label") == DONORS).all()
    numbers = points[(points["plot"] == "factor") & points["x"].notna()]
    assert {"AGE", "SMTSISCH", "SMRIN"} <= set(numbers["label"]) and numbers["line"].notna().all()


@pytest.mark.parametrize("seed", range(20))
def test_bins_hold_five_donors(seed):
    rng = np.random.default_rng(seed)
    x = rng.choice(rng.normal(size=30), 60, p=rng.dirichlet(np.full(30, 0.3)))
    bins = binned("factor", "x", x, x, x, x)
    assert (bins["n"] >= 5).all() and bins["n"].sum() == 60
    assert bins["x"].is_monotonic_increasing and (np.diff(bins["x"]) > 0).all()
    np.testing.assert_allclose(bins["mean"], bins["x"])


def test_sections(result):
    found = {name: table.assign(tissue_id="Lung", size="256") for name, table in result[3].items() if name in COLUMNS}
    chosen = pd.DataFrame({"setting": [f"{PREFIX}.raw.mean"], "tissue_id": ["Lung"], "size": ["256"]})
    shown = {part["id"]: part for part in confounder_sections(found, chosen)}
    assert list(shown) == [
        "confounder_ledger", "factor_curve", "factor_pcs", "confounder_model", "confounder_assumptions",
        "confounder_points_image", "confounder_points_expression",
    ]  # fmt: skip
    rows = ledger_rows(found["confounder_ledger"].query("setting in @chosen.setting or encoder.isna()"))
    assert len(rows) == len(set(rows["factor"])) and rows["image_adjusted"].notna().all()
    ischaemia = shown["confounder_ledger"]["data"]["SMTSISCH, Lung"]
    assert ischaemia["image_adjusted"] > 0.2 and ischaemia["expression_q"] < 0.05
    assert "image_beyond_also_adjusted" in ischaemia
    curve = shown["factor_curve"]["data"]
    told = ("in the sample", "new donors", "by chance")
    assert set(curve) == {f"Lung, {s}, {w}" for s in ("image", "expression") for w in told}
    assert curve["Lung, image, by chance"][1][1] < curve["Lung, image, in the sample"][1][1] / 3
    assert curve["Lung, image, in the sample"][0] == [0.0, 0.0] and len(curve["Lung, image, new donors"]) == 8
    assert "SMTSISCH" in shown["factor_curve"]["description"]
    pcs = shown["factor_pcs"]
    image, expression = (sum(name.startswith(side) for name in pcs["xcats"]) for side in ("image", "expression"))
    assert pcs["xcats"][0] == "image PC1" and min(image, expression) >= 1 and image + expression == len(pcs["xcats"])
    row = pcs["data"][pcs["ycats"].index("SMTSISCH, Lung")]
    assert row[0] > 0.5 and row[image] > 0.5 and len(pcs["data"]) == (rows["level"] == "factor").sum()
    assert f"{1 / (DONORS - 1):.3f}" in pcs["description"]
    other = chosen.assign(size="512", setting="Lung.512.raw.mean")
    assert confounder_sections(found, other) == [] and confounder_sections({}, chosen) == []


@pytest.mark.parametrize("model", ["significant", "forward"])
def test_models_chosen_by_the_data_are_labelled(tmp_path, model):
    """Ischaemia is chosen, and every table says that the model is post-selection."""
    assert run(tmp_path, *inputs(), "--confounder-model", model) == 0
    found = written(tmp_path)
    rows = found["confounder_model"].set_index("factor")
    assert rows.loc["SMTSISCH", "in_model"] == "yes" and (rows["in_model"] == "no").sum() >= 4
    assert rows.loc["SMTSISCH", "why"].startswith(f"{model}: ")
    for name in COLUMNS:
        assert set(found[name]["model"]) == {f"{model} (post-selection)"}, name
    tables = {name: found[name].assign(tissue_id="Lung", size="256") for name in COLUMNS}
    chosen = pd.DataFrame({"setting": [f"{PREFIX}.raw.mean"], "tissue_id": ["Lung"], "size": ["256"]})
    assert "p of later stages is too small" in confounder_sections(tables, chosen)[0]["description"]


def test_published_model(tmp_path):
    """Numeric columns as lines, complete donors; the curve's candidates are the study's columns."""
    image, expression, rows = inputs()
    rows.loc[4, "SMRIN"] = ""
    assert run(tmp_path, image, expression, rows, "--confounder-model", "published") == 0
    found = written(tmp_path)
    assert len(found["design"]) == DONORS - 1 and not any("spline" in name for name in found["design"])
    dropped = found["adjust_confounders.dropped"]
    assert "Lung: lacks a numeric covariate" in dropped.set_index("id").loc[rows.loc[4, "donor"], "reason"]
    why = dropped.set_index("id").loc["SMCENTER_D1", "reason"]
    assert why == "Lung: collinear with SMCENTER_B1, SMCENTER_C1: out of the model"
    steps = found["factor_curve"].query("view == 'expression_pcs'")["factor"]
    assert {"SMCENTER_B1", "SMTSISCH", "SMMAPRT"} <= set(steps) and "AGE" not in set(steps)


def test_nothing_adjusted(tmp_path):
    assert run(tmp_path, *inputs(donors=12), "--confounders", "none") == 0
    found = written(tmp_path)
    assert found["design"].shape == (12, 0) and set(found["confounder_model"]["in_model"]) == {"no"}
    assert set(found["confounder_ledger"]["given"]) == {"nothing"} and found["confounder_assumptions"].empty


def test_no_covariates_at_all(tmp_path):
    image, expression, rows = inputs(donors=20)
    image.obs = image.obs[[]]
    assert run(tmp_path, image, expression, rows.iloc[:, :6]) == 0
    found = written(tmp_path)
    assert found["design"].shape == (20, 0)
    assert all(found[name].empty for name in COLUMNS)


def test_same_bytes_twice_and_other_order_of_donors(tmp_path):
    """O23, O24."""
    image, expression, rows = inputs()
    contents = []
    for seed in (None, 3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        order = np.arange(DONORS) if seed is None else np.random.default_rng(seed).permutation(DONORS)
        assert run(folder, image[order].copy(), expression[order[::-1]].copy(), rows.iloc[order]) == 0
        contents.append({name: (folder / "out" / f"{PREFIX}.{name}").read_bytes() for name in FILES})
    assert contents[0] == contents[1]
    one = written(folder)
    assert run(folder, image, expression, rows, "--threads", "2") == 0
    for name, table in written(folder).items():
        numbers = table.select_dtypes("number")
        np.testing.assert_allclose(numbers, one[name][numbers.columns], rtol=1e-8, atol=1e-10)


def test_pcs_of_the_design_are_the_way_out(tmp_path, capsys):
    """36 donors: too few for the model; two components of it leave 32 degrees of freedom."""
    assert run(tmp_path, *inputs(donors=36)) == 65
    told = capsys.readouterr().err
    assert "36 donors less" in told and "at least 20 are needed" in told and "--confounder_pcs 14" in told
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
    assert run(tmp_path, *inputs(donors=36), "--primary", "256,raw,mean") == 65
    assert run(tmp_path, *inputs(donors=36), "--confounder-pcs", "2") == 0
    found = written(tmp_path)
    assert list(found["design"]) == ["design_PC1", "design_PC2"]
    assert "design_PC1" not in set(found["factor_curve"]["factor"])
    assert set(found["confounder_model"].query("in_model == 'yes'")["factor"]) == {"design_PC1", "design_PC2"}
    # No more components than columns: the columns themselves.
    assert run(tmp_path, *inputs(donors=36), "--confounders", "AGE,BMI", "--confounder-pcs", "2") == 0
    assert list(written(tmp_path)["design"]) == ["AGE", "BMI"]


@pytest.mark.parametrize("model", ["full", "published"])
def test_a_size_without_room_for_the_model_is_left_out(tmp_path, model):
    """Not the primary's size: tables of their headers, a row in the losses, and no design for later stages."""
    image, expression, rows = inputs(donors=36)
    if model == "published":
        rows.loc[5:, "SMRIN"] = ""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{PREFIX}.design.tsv").write_text("donor\n")
    extra = ("--primary", "512,raw,mean", "--confounder-model", model)
    assert run(tmp_path, image, expression, rows, *extra) == 0
    tables = {name: pd.read_csv(tmp_path / "out" / f"{PREFIX}.{name}.tsv", sep="\t") for name in COLUMNS}
    assert all(table.empty and list(table) == COLUMNS[name] for name, table in tables.items())
    assert not (tmp_path / "out" / f"{PREFIX}.design.tsv").exists()
    lost = pd.read_csv(tmp_path / "out" / f"{PREFIX}.adjust_confounders.dropped.tsv", sep="\t")
    assert lost[["id", "kind"]].to_numpy().tolist() == [[PREFIX, "size"]]
    assert {"full": "--confounder_pcs 14", "published": "--confounder_model full"}[model] in lost.loc[0, "reason"]
    assert lost.loc[0, "reason"].endswith("the size is left out")


def test_one_feature_and_one_gene(tmp_path):
    image, expression, rows = inputs()
    one = image[:, ["raw_0000"]].copy()
    assert run(tmp_path, one, expression[:, ["ENSG0000"]].copy(), rows) == 0
    ledger = written(tmp_path)["confounder_ledger"]
    assert set(ledger["view"]) == {"image_pcs", "features", "expression_pcs", "genes"}
    assert ledger.query("factor == 'SMTSISCH' and given == 'nothing'")["r2"].gt(0.3).all()


def test_a_setting_without_a_varying_feature_has_no_row(tmp_path):
    image, expression, rows = inputs(texture=4)
    image.X[:, (image.var["encoder"] == "texture").to_numpy()] = 1.0
    assert run(tmp_path, image, expression, rows) == 0
    found = written(tmp_path)
    assert not found["confounder_ledger"]["setting"].str.contains("texture").any()
    assert (found["adjust_confounders.dropped"]["kind"] == "feature").sum() == 4


def test_too_few_donors_with_features_leave_the_size_out(tmp_path):
    image, expression, rows = inputs()
    assert run(tmp_path, image[:7].copy(), expression, rows) == 0
    found = written(tmp_path)
    assert all(found[name].empty for name in COLUMNS) and len(found["design"]) == 0
    assert found["adjust_confounders.dropped"]["reason"].tolist() == [
        "7 donors have features, at least 8 are needed"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda i, e, r: (i, e, r.iloc[1:]), "no row of donor D000"),
        (lambda i, e, r: (i, e, pd.concat([r, r.iloc[:1]])), "stands more than once in Lung"),
        (lambda i, e, r: (anndata.concat([i, i[:1]], uns_merge="first", merge="first"), e, r), "D000 stands more"),
        (lambda i, e, r: (i, e[:, :0].copy(), r), "none of 0 genes varies"),
        (lambda i, e, r: (i, e, r.assign(tissue_id="Liver")), "no row of tissue Lung"),
    ],
)  # fmt: skip
def test_bad_data_is_named(tmp_path, capsys, change, told):
    assert run(tmp_path, *change(*inputs())) == 65
    assert told in capsys.readouterr().err


def test_confounders_that_are_not_there_or_no_factors(tmp_path, capsys):
    assert run(tmp_path, *inputs(), "--confounders", "AGE,SMOKING") == 65
    assert "--confounders SMOKING: no such column in cohort.tsv: it has SEX, AGE" in capsys.readouterr().err
    image, expression, rows = inputs()
    rows = rows.assign(SITE="one", NAME=rows["donor"], EMPTY="", LONE=["x", *["y"] * (DONORS - 1)])
    assert run(tmp_path, image, expression, rows, "--confounders", "AGE,SITE,NAME,EMPTY,LONE") == 0
    found = written(tmp_path)
    assert list(found["design"]) == ["AGE"]
    why = found["adjust_confounders.dropped"].set_index("id")["reason"]
    assert why["SITE"].startswith("Lung: constant") and "names the donors" in why["NAME"]
    assert why["EMPTY"].startswith("Lung: missing in 90 of 90") and "1 donors differ from y" in why["LONE"]


@pytest.mark.parametrize(
    "extra",
    [
        ("--adjust-also", "weather"), ("--confounders", "default,AGE"), ("--confounders", ","),
        ("--confounder-pcs", "-1"), ("--confounder-model", "wish"), ("--setting-prefix", "Lung"),
    ],
)  # fmt: skip
def test_wrong_usage(tmp_path, extra):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, *inputs(donors=20), *extra)
    assert stop.value.code == 2


@pytest.mark.slow
def test_real_gtex_tissues(real_data, tmp_path):
    """Six GTEx tissues, 24 nuclear features and 59 genes, adjusted for age, sex and Hardy scale: all sections show."""
    tables, settings = {name: [] for name in COLUMNS}, []
    for tissue in gtex_tissues(real_data / "gtex"):
        donors = tissue.people.index
        var = pd.DataFrame({"encoder": "nuclear"}, index=[f"nuclear_{k:04d}" for k in range(tissue.features.shape[1])])
        image = anndata.AnnData(tissue.features.to_numpy(float), obs=pd.DataFrame(index=donors), var=var)
        image.uns["encoders"] = {"nuclear": {"weights": "given"}}
        genes = tissue.log2.loc[:, tissue.log2.nunique() > 1]
        expression = anndata.AnnData(genes, var=pd.DataFrame({"symbol": genes.columns}, index=genes.columns))
        expression.layers["int"] = rank_inverse_normal(genes.to_numpy().T).T
        rows = tissue.people.reset_index()
        for k, name in enumerate(["tissue", "tissue_id", "samples", "rna_sample", "fold"], start=1):
            rows.insert(k, name, np.arange(len(donors)) % 5 if name == "fold" else "Lung")
        assert run(tmp_path, image, expression, rows) == 0
        found = written(tmp_path)
        assert {"AGE", "SEX", "DTHHRDY"} <= {name.split("=")[0] for name in found["design"]}
        ledger = found["confounder_ledger"].query("given == 'nothing' and level != 'group'")
        assert (ledger["n"] > 400).all() and ledger["adjusted"].between(-0.02, 0.5).all()
        assert (ledger["adjusted_low"] < ledger["adjusted"]).all() and (ledger["cross_validated"] < 0.5).all()
        whole = ledger.query("level == 'model'").set_index("view")
        assert (whole["p"] <= 0.002).all() and (whole["adjusted"] > 0.01).all()
        curve = found["factor_curve"].groupby("view").tail(1)
        assert (curve["r2"] > curve["null"]).all() and (curve["cross_validated"] < curve["r2"]).all()
        assert found["factor_pcs"].query("view == 'image_pcs'")["q"].min() < 0.05
        settings.append((f"{PREFIX}.nuclear.mean", tissue.name, "256"))
        for name in COLUMNS:
            tables[name].append(found[name].assign(tissue_id=tissue.name, size="256"))
    assert len(settings) == 6
    chosen = pd.DataFrame(settings, columns=["setting", "tissue_id", "size"])
    shown = confounder_sections({name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}, chosen)
    assert len(shown) == 7 and len(shown[0]["data"]) == 6 * 4
