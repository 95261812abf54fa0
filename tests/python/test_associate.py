"""associate.py and hx_association: what is written, against scipy and statsmodels; every way its input can be bad."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from associate import main
from hx_association import QQ, associate_pairs
from hx_controls import shuffled
from hx_expression import rank_inverse_normal
from hx_linear import standardise
from hx_pvalue import lambda_gc

PREFIX = "Lung.256"


def normal_columns(values: np.ndarray) -> np.ndarray:
    """Rank-inverse-normal columns of a (donors, genes) matrix."""
    return rank_inverse_normal(values.T).T


def tables(donors: int = 60, features: int = 12, genes: int = 40, signal: float = 2.0, seed: int = 0):
    """Features of two encoders (X and layer median) and expression; genes 0-9 go with feature raw_0003."""
    rng = np.random.default_rng(seed)
    names = [f"D{k:03d}" for k in range(donors)]
    latent = rng.normal(size=donors)
    var = pd.DataFrame(
        {"encoder": ["raw"] * (features - 4) + ["texture"] * 4, "weights_sha256": "ab", "dead": False},
        index=[f"raw_{k:04d}" for k in range(features - 4)] + [f"texture_{k:04d}" for k in range(4)],
    )
    mean = rng.gamma(2, size=(donors, features)).astype(np.float32)
    mean[:, 3] += signal * latent
    image = anndata.AnnData(mean, obs=pd.DataFrame(index=names), var=var)
    image.uns["encoders"] = {"raw": {"weights": "random"}, "texture": {"weights": "file"}}
    image.layers["median"] = (mean + rng.normal(0, 0.1, mean.shape)).astype(np.float32)
    log2 = rng.normal(5, 2, size=(donors, genes))
    log2[:, :10] += signal * latent[:, None]
    symbols = pd.DataFrame({"symbol": [f"S{k}" for k in range(genes)]}, index=[f"ENSG{k:04d}" for k in range(genes)])
    expression = anndata.AnnData(log2, obs=pd.DataFrame(index=names), var=symbols)
    expression.layers["int"] = normal_columns(log2)
    return image, expression


def run(tmp_path: Path, image, expression, *extra: str) -> int:
    image.write_h5ad(tmp_path / f"{PREFIX}.h5ad")
    expression.write_h5ad(tmp_path / "Lung.expression.h5ad")
    return main(
        ["--features", f"{tmp_path}/{PREFIX}.h5ad", "--expression", f"{tmp_path}/Lung.expression.h5ad",
         "--setting-prefix", PREFIX, "--outdir", f"{tmp_path}/out", *extra]
    )  # fmt: skip


def written(tmp_path: Path) -> dict[str, pd.DataFrame]:
    out = tmp_path / "out"
    tsv = {n: pd.read_csv(out / f"{PREFIX}.{n}.tsv", sep="\t", keep_default_na=False, na_values=[""])
           for n in ("association_summary", "association_qq", "associate.dropped")}  # fmt: skip
    return tsv | {n: pd.read_parquet(out / f"{PREFIX}.{n}.parquet") for n in ("associations", "association_genes")}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("associate")
    image, expression = tables()
    assert run(folder, image, expression, "--top", "1000") == 0
    return image, expression, written(folder)


def test_every_pair_against_scipy(result):
    """With top = all, each pair is stored: r and p of the rank-normal gene, beta and se of the log2 gene."""
    image, expression, found = result
    pairs = found["associations"]
    assert len(pairs) == 2 * (8 + 4) * 40
    for row in pairs.sample(120, random_state=0).itertuples():
        layer = image.X if row.setting.endswith("mean") else image.layers["median"]
        x = layer[:, image.var_names.get_loc(row.feature)].astype(float)
        gene = expression.var_names.get_loc(row.gene)
        oracle = stats.pearsonr(x, expression.layers["int"][:, gene])
        slope = stats.linregress(x / x.std(ddof=1), expression.X[:, gene])
        assert (row.n, row.dof, row.symbol) == (60, 58, f"S{gene}")
        assert row.r == pytest.approx(oracle.statistic, abs=1e-12)
        assert row.p == pytest.approx(oracle.pvalue, rel=1e-9)
        assert row.nlog10p == pytest.approx(-np.log10(oracle.pvalue), rel=1e-9)
        assert row.r2 == pytest.approx(oracle.statistic**2, rel=1e-9)
        assert row.beta == pytest.approx(slope.slope, rel=1e-6, abs=1e-12)
        assert row.se == pytest.approx(slope.stderr, rel=1e-6)


def test_q_against_statsmodels(result):
    for _, pairs in result[2]["associations"].groupby("setting", observed=True):
        oracle = multipletests(pairs["p"], method="fdr_bh")[1]
        np.testing.assert_array_equal(pairs["q"].notna(), oracle <= 0.05)
        np.testing.assert_allclose(pairs["q"].dropna(), oracle[oracle <= 0.05], rtol=1e-10)


def test_summary_against_all_pairs(result):
    found = result[2]
    summary = found["association_summary"].set_index(["setting", "control"])
    assert list(found["association_summary"]["setting"].unique()) == [
        f"{PREFIX}.{e}.{a}" for e in ("raw", "texture") for a in ("mean", "median")
    ]
    for setting, pairs in found["associations"].groupby("setting", observed=True):
        row = summary.loc[(setting, "none")]
        assert (row["n"], row["dof"], row["genes"]) == (60, 58, 40)
        assert row["pairs"] == len(pairs) == row["features"] * 40
        hits = pairs[pairs["q_tree"].notna()]
        assert row["hits"] == row["hits_tree"] == len(hits)
        assert row["genes_with_hit"] == hits["gene"].nunique()
        assert row["features_with_hit"] == hits["feature"].nunique()
        assert row["hits_bh"] == pairs["q"].notna().sum()
        assert row["hits_bonferroni"] == (pairs["p"] * len(pairs) <= 0.05).sum()
        assert row["share_p05"] == pytest.approx((pairs["p"] < 0.05).mean(), abs=1e-12)
        assert row["share_p001"] == pytest.approx((pairs["p"] < 1e-3).mean(), abs=1e-12)
        assert row["lambda_gc"] == pytest.approx(lambda_gc(pairs["p"].median()), rel=1e-3)
        best = pairs.sort_values("p").iloc[0]
        assert (row["best_feature"], row["best_gene"]) == (best["feature"], best["gene"])
        assert row["best_r"] == pytest.approx(best["r"], rel=1e-9)
    assert summary.loc[(f"{PREFIX}.raw.mean", "none"), "best_feature"] == "raw_0003"
    assert summary.loc[(f"{PREFIX}.raw.mean", "none"), "hits"] >= 8


def test_genes_against_all_pairs(result):
    found = result[2]
    for setting, pairs in found["associations"].groupby("setting", observed=True):  # noqa: B007 (read by query)
        genes = found["association_genes"].query("setting == @setting").set_index("gene")
        best = pairs.sort_values("p").drop_duplicates("gene").set_index("gene").loc[genes.index]
        assert (genes["best_feature"].astype(str) == best["feature"].astype(str)).all()
        for name in ("r", "beta", "se", "p", "nlog10p"):
            np.testing.assert_allclose(genes[name], best[name], rtol=1e-9)
        cauchy = pairs.groupby("gene", observed=True)["p"].apply(
            lambda p: stats.cauchy.sf(np.mean(1 / np.tan(np.pi * p)))
        )
        np.testing.assert_allclose(genes["gene_p"], cauchy.loc[genes.index], rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(genes["gene_q"], multipletests(genes["gene_p"], method="fdr_bh")[1], rtol=1e-9)
        hits = pairs[pairs["q_tree"].notna()].groupby("gene", observed=True).size()
        assert (genes["hits"] == hits.reindex(genes.index).fillna(0)).all()


def test_the_tree_against_its_two_steps(result):
    found = result[2]
    for setting, pairs in found["associations"].groupby("setting", observed=True):
        gene_p = found["association_genes"].query("setting == @setting").set_index("gene")["gene_p"]
        selected = multipletests(gene_p, 0.05, method="fdr_bh")[0]
        level = 0.05 * selected.sum() / len(selected)
        inside = pairs.groupby("gene", observed=True)["p"].transform(lambda p: multipletests(p, method="fdr_bh")[1])
        hits = pairs["gene"].isin(gene_p.index[selected]) & (inside <= level)
        np.testing.assert_array_equal(pairs["q_tree"].notna(), hits)
        assert hits.sum() >= 5 or "texture" in str(setting)


def test_covariates_against_least_squares(result, tmp_path):
    """r is the partial correlation, beta and its interval those of the whole model, collinear covariates and all."""
    image, expression, _ = result
    rng = np.random.default_rng(8)
    donors = list(image.obs_names)[:-2]
    centre = rng.integers(0, 3, len(donors))
    design = pd.DataFrame({
        "AGE": rng.normal(50, 9, len(donors)), "SMTSISCH": rng.normal(size=len(donors)),
        "SMTSISCH.spline2": rng.normal(size=len(donors)), "SMCENTER=B": centre == 1, "SMCENTER=C": centre == 2,
        "again": (centre == 1) | (centre == 2),
    }, index=pd.Index(donors, name="donor")).astype(float)  # fmt: skip
    design.to_csv(tmp_path / "design.tsv", sep="\t", float_format="%.17g")
    assert run(tmp_path, image, expression, "--top", "1000", "--design", str(tmp_path / "design.tsv")) == 0
    found = written(tmp_path)
    row = found["association_summary"].iloc[0]
    assert (row["n"], row["dof"]) == (58, 58 - 2 - 5)
    assert row["adjusted_for"] == "AGE;SMCENTER;SMTSISCH;again"
    assert (found["associate.dropped"]["kind"] == "donor").sum() == 2
    pairs = found["associations"].query("setting.str.endswith('raw.mean')")
    for pair in pairs.sample(40, random_state=1).itertuples():
        x = image[donors].X[:, image.var_names.get_loc(pair.feature)].astype(float)
        gene = expression.var_names.get_loc(pair.gene)
        columns = sm.add_constant(np.column_stack([x / x.std(ddof=1), design.drop(columns="again")]))
        test = sm.OLS(expression[donors].layers["int"][:, gene], columns).fit()
        effect = sm.OLS(expression[donors].X[:, gene], columns).fit()
        assert pair.p == pytest.approx(test.pvalues[1], rel=1e-8)
        assert pair.r == pytest.approx(test.tvalues[1] / np.sqrt(test.tvalues[1] ** 2 + test.df_resid), rel=1e-9)
        low, high = effect.conf_int()[1]
        for name, oracle in {"beta": effect.params[1], "se": effect.bse[1], "ci_low": low, "ci_high": high}.items():
            assert getattr(pair, name) == pytest.approx(oracle, rel=1e-5, abs=1e-12)
    genes = found["association_genes"].query("setting.str.endswith('raw.mean')")
    looked = genes["gene_q"] <= 0.05
    assert looked.any() and genes.loc[looked, "t_ischaemia"].notna().all() and genes["t_rin"].isna().all()
    assert genes.loc[~looked, "r_split_half"].isna().all()
    assert (genes.loc[looked, "r_split_half"] < genes.loc[looked, "r"].abs()).mean() > 0.5


def test_a_design_that_leaves_too_little(result, tmp_path, capsys):
    image, expression, _ = result
    names = pd.Index(image.obs_names, name="donor")
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 56)), index=names)
    wide.to_csv(tmp_path / "design.tsv", sep="\t")
    assert run(tmp_path, image, expression, "--design", str(tmp_path / "design.tsv")) == 65
    assert "60 donors and 56 covariates leave 2 residual degrees of freedom" in capsys.readouterr().err
    (tmp_path / "design.tsv").write_text("donor\tAGE\n" + "".join(f"{name}\t\n" for name in names))
    assert run(tmp_path, image, expression, "--design", str(tmp_path / "design.tsv")) == 65
    assert "covariates of a model are numbers" in capsys.readouterr().err


def test_qq_against_all_pairs(result):
    found = result[2]
    for setting, pairs in found["associations"].groupby("setting", observed=True):  # noqa: B007 (read by query)
        points = found["association_qq"].query("setting == @setting and control == 'none'")
        assert len(points) <= 200 and points["rank"].iloc[0] == 1 and points["rank"].iloc[-1] == len(pairs)
        ordered = np.sort(pairs["nlog10p"])[::-1]
        np.testing.assert_allclose(points["observed_nlog10p"], ordered[points["rank"] - 1], atol=2e-4)
        np.testing.assert_allclose(
            points["expected_nlog10p"], -np.log10((points["rank"] - 0.5) / len(pairs)), rtol=1e-8
        )


def test_control_shuffles_donors(result):
    """The control has its own rows, is the real permutation, and stores no pair."""
    image, expression, found = result
    summary = found["association_summary"].set_index(["setting", "control"])
    setting = f"{PREFIX}.raw.mean"
    control = summary.loc[(setting, "shuffle_donors")]
    order = shuffled(1, f"{setting}.shuffle_donors", np.zeros(60, int))
    assert sorted(order) == list(range(60))
    raw = (image.var["encoder"] == "raw").to_numpy()
    r = standardise(expression.layers["int"]).unit.T @ standardise(image.X[order][:, raw]).unit
    assert control["best_r"] == pytest.approx(r.ravel()[np.abs(r).argmax()], rel=1e-6)
    assert control["hits"] == 0
    assert set(found["association_qq"]["control"]) == {"none", "shuffle_donors"}
    assert (
        found["associations"].groupby("setting", observed=True).size() == summary.xs("none", level=1)["pairs"]
    ).all()


def test_no_control(tmp_path):
    assert run(tmp_path, *tables(), "--controls", "none") == 0
    assert set(written(tmp_path)["association_summary"]["control"]) == {"none"}


def test_only_hits_and_top_pairs_are_stored(tmp_path):
    assert run(tmp_path, *tables(genes=200), "--top", "1", "--aggregations", "mean", "--max-hits", "3") == 0
    found = written(tmp_path)
    raw = found["associations"].query("setting == @PREFIX + '.raw.mean'")
    row = found["association_summary"].query("encoder == 'raw' and control == 'none'").iloc[0]
    assert row["hits"] > 3
    assert row["stored"] == len(raw) <= 200 + 8 + 3
    assert raw["gene"].nunique() == 200 and raw["feature"].nunique() == 8
    assert raw["q"].notna().sum() >= 3
    kept = raw[["feature", "gene"]].astype(str)
    assert kept.sort_values(["feature", "gene"]).equals(kept) and not kept.duplicated().any()


def test_bonferroni_decides_when_asked(tmp_path):
    assert run(tmp_path, *tables(), "--correction", "bonferroni", "--alpha", "0.01", "--top", "1000") == 0
    found = written(tmp_path)
    row = found["association_summary"].query("setting == @PREFIX + '.raw.mean' and control == 'none'").iloc[0]
    pairs = found["associations"].query("setting == @PREFIX + '.raw.mean'")
    assert row["hits"] == row["hits_bonferroni"] == (pairs["p"] * len(pairs) <= 0.01).sum() > 0
    assert row["weights"] == "random"
    assert (row["correction"], row["alpha"]) == ("bonferroni", 0.01)


def test_no_hit_is_an_empty_answer_with_columns(tmp_path):
    image, expression = tables(donors=12, signal=0, seed=3)
    assert run(tmp_path, image, expression, "--alpha", "1e-12", "--aggregations", "mean") == 0
    found = written(tmp_path)
    assert (found["association_summary"]["hits"] == 0).all()
    assert found["associations"]["q"].isna().all()
    empty = associate_pairs(
        standardise(expression.layers["int"]).unit, standardise(image.X).unit, 10, 1e-12, "bh", top=1, max_hits=5
    )
    assert len(empty.hits.r) == 0 and np.isnan(empty.q).all()


def test_feature_table_has_one_setting(tmp_path):
    image, expression = tables()
    image.write_h5ad(tmp_path / "Lung.-.h5ad")
    expression.write_h5ad(tmp_path / "Lung.expression.h5ad")
    arguments = ["--features", f"{tmp_path}/Lung.-.h5ad", "--expression", f"{tmp_path}/Lung.expression.h5ad"]
    assert main([*arguments, "--setting-prefix", "Lung.-", "--outdir", str(tmp_path)]) == 0
    summary = pd.read_csv(tmp_path / "Lung.-.association_summary.tsv", sep="\t")
    assert set(summary["setting"]) == {"Lung.-.raw.given", "Lung.-.texture.given"}
    assert set(summary["size"]) == {"-"}


def test_what_carries_nothing_is_dropped_with_a_row(tmp_path):
    image, expression = tables()
    mean = image.X.copy()
    mean[:, 0], mean[:, 1], mean[4, 2], mean[5, 8] = 0.1, 0, np.nan, np.inf
    image.X = mean
    log2 = expression.X.copy()
    log2[:, 20] = 0
    log2[0, 21] = np.nan
    expression.X = log2
    normal = expression.layers["int"]
    normal[3, 22] = np.inf
    assert run(tmp_path, image, expression, "--aggregations", "mean") == 0
    found = written(tmp_path)
    dropped = found["associate.dropped"].set_index("id")
    assert (dropped["stage"] == "associate").all()
    assert dropped["kind"].to_dict() == {
        **dict.fromkeys(["raw_0000", "raw_0001", "raw_0002", "texture_0000"], "feature"),
        **dict.fromkeys(["ENSG0020", "ENSG0021", "ENSG0022"], "gene"),
    }
    assert dropped.loc["raw_0000", "reason"] == "constant over 60 donors in Lung.256.raw.mean"
    assert dropped.loc["texture_0000", "reason"] == "NaN or infinite in Lung.256.texture.mean"
    assert dropped.loc["ENSG0022", "reason"] == "NaN or infinite in layer int of Lung.expression.h5ad"
    row = found["association_summary"].query("encoder == 'raw' and control == 'none'").iloc[0]
    assert (row["features"], row["dead_features"], row["invalid_features"]) == (5, 2, 1)
    assert (row["genes"], row["pairs"]) == (37, 5 * 37)
    assert np.isfinite(found["associations"][["r", "p", "beta", "se"]]).all(axis=None)


def test_what_the_covariates_span_is_dropped_with_a_row(tmp_path):
    """A gene and a feature that are a covariate but for a factor: residuals of rounding errors are no data."""
    image, expression = tables()
    age = np.random.default_rng(0).normal(50, 9, 60)
    image.X[:, 1] = age
    expression.X[:, 20] = 3 * age + 1
    values = expression.layers["int"]
    values[:, 21] = age
    names = pd.Index(image.obs_names, name="donor")
    pd.DataFrame({"AGE": image.X[:, 1].astype(float), "again": age}, index=names).to_csv(tmp_path / "d.tsv", sep="\t")
    assert run(tmp_path, image, expression, "--aggregations", "mean", "--design", f"{tmp_path}/d.tsv") == 0
    found = written(tmp_path)
    dropped = found["associate.dropped"].set_index("id")["reason"]
    assert dropped["raw_0001"] == "spanned by the covariates in Lung.256.raw.mean"
    assert dropped["ENSG0020"] == "spanned by the covariates in Lung.expression.h5ad"
    assert dropped["ENSG0021"] == "spanned by the covariates in layer int of Lung.expression.h5ad"
    row = found["association_summary"].query("encoder == 'raw' and control == 'none'").iloc[0]
    assert (row["features"], row["genes"]) == (7, 38)


def test_setting_without_a_living_feature(tmp_path):
    image, expression = tables()
    mean = image.X.copy()
    mean[:, 8:] = 0
    image.X = mean
    assert run(tmp_path, image, expression, "--aggregations", "mean") == 0
    found = written(tmp_path)
    row = found["association_summary"].query("encoder == 'texture'")
    assert row[["features", "dead_features", "pairs", "hits"]].to_numpy().tolist() == [[0, 4, 0, 0]]
    image.X = np.zeros_like(mean)
    assert run(tmp_path, image, expression, "--aggregations", "mean") == 0
    found = written(tmp_path)
    assert list(found["association_qq"]) == QQ
    assert len(found["associations"]) == 0 and "q" in found["associations"]
    assert len(found["association_genes"]) == 0 and "best_feature" in found["association_genes"]


def test_donors_of_one_side_are_dropped_with_a_row(tmp_path):
    image, expression = tables()
    shuffled = expression[np.random.default_rng(0).permutation(60)[:55]].copy()
    assert run(tmp_path, image[5:].copy(), shuffled, "--aggregations", "mean") == 0
    found = written(tmp_path)
    both = sorted(set(image.obs_names[5:]) & set(shuffled.obs_names))
    donors = found["associate.dropped"].query("kind == 'donor'")
    assert sorted(donors["id"]) == sorted(set(image.obs_names[5:]) - set(both))
    assert set(donors["reason"]) == {"in Lung.256.h5ad, not in Lung.expression.h5ad"}
    pair = found["associations"].iloc[0]
    x = image[both, pair["feature"]].X.ravel().astype(float)
    y = expression[both, pair["gene"]].layers["int"].ravel()
    assert pair["r"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert pair["n"] == len(both)


def test_disjoint_donors(tmp_path, capsys):
    image, expression = tables()
    expression.obs_names = [f"GTEX-{k}" for k in range(60)]
    assert run(tmp_path, image, expression) == 65
    message = capsys.readouterr().err
    for part in ("0 donors in common", "Lung.256.h5ad has 60 (D000, D001", "Lung.expression.h5ad has 60 (GTEX-0"):
        assert part in message
    assert not list((tmp_path).glob("out/*"))


def test_seven_common_donors_are_too_few(tmp_path, capsys):
    image, expression = tables()
    assert run(tmp_path, image[:40].copy(), expression[33:].copy()) == 65
    assert "7 donors in common, at least 8 are needed" in capsys.readouterr().err
    assert run(tmp_path, image[:40].copy(), expression[32:].copy()) == 0


@pytest.mark.parametrize("donors", [0, 7])
def test_patch_size_that_few_slides_have(tmp_path, donors):
    """The cohort is large enough, but slides are too small for a patch size: a row says so, the run goes on."""
    image, expression = tables()
    assert run(tmp_path, image[:donors].copy(), expression) == 0
    found = written(tmp_path)
    dropped = found["associate.dropped"].iloc[0]
    assert (dropped["id"], dropped["kind"]) == (PREFIX, "size")
    assert dropped["reason"] == f"{donors} donors have features, at least 8 are needed"
    rows = found["association_summary"]
    assert len(rows) == 4 and (rows["n"] == donors).all() and (rows[["pairs", "hits"]] == 0).all(axis=None)
    assert found["associations"].empty and found["association_genes"].empty and found["association_qq"].empty


def test_every_fault_at_once(tmp_path, capsys):
    image, expression = tables()
    image.obs_names = ["D001", *image.obs_names[1:]]
    expression.var_names = ["ENSG0001", *expression.var_names[1:]]
    assert run(tmp_path, image, expression) == 65
    message = capsys.readouterr().err
    assert "2 faults" in message
    assert "Lung.256.h5ad: donor D001 stands more than once" in message
    assert "Lung.expression.h5ad: gene ENSG0001 stands more than once" in message


def test_no_gene_left(tmp_path, capsys):
    image, expression = tables()
    expression.X = np.zeros((60, 40))
    assert run(tmp_path, image, expression) == 65
    assert "none of 40 genes varies over 60 donors" in capsys.readouterr().err


def test_missing_layers(tmp_path, capsys):
    image, expression = tables()
    assert run(tmp_path, image, expression, "--aggregations", "mean,trimmed") == 65
    assert "Lung.256.h5ad: no layer trimmed: choose from mean, median" in capsys.readouterr().err
    del image.uns["encoders"]["texture"]
    assert run(tmp_path, image, expression) == 65
    assert "does not tell the encoder" in capsys.readouterr().err
    del expression.layers["int"]
    assert run(tmp_path, image, expression) == 65
    assert "no layer `int`" in capsys.readouterr().err


@pytest.mark.parametrize("name", [f"{PREFIX}.h5ad", "Lung.expression.h5ad"])
def test_file_that_is_no_h5ad(tmp_path, capsys, name):
    run(tmp_path, *tables())
    (tmp_path / name).write_bytes(b"not HDF5")
    arguments = ["--features", f"{tmp_path}/{PREFIX}.h5ad", "--expression", f"{tmp_path}/Lung.expression.h5ad"]
    assert main([*arguments, "--setting-prefix", PREFIX, "--outdir", str(tmp_path)]) == 65
    assert f"{name}: no readable h5ad file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra", [["--controls", "shuffle"], ["--alpha", "0"], ["--alpha", "1"], ["--top", "0"], ["--correction", "by"]]
)
def test_usage(tmp_path, extra):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, *tables(), *extra)
    assert stop.value.code == 2


def test_same_input_same_bytes_and_threads_change_nothing(tmp_path):
    image, expression = tables(donors=90, features=150, genes=600)
    files = {}
    for name, threads in (("a", "1"), ("b", "1"), ("c", "2")):
        folder = tmp_path / name
        folder.mkdir()
        assert run(folder, image, expression, "--threads", threads) == 0
        files[name] = {path.name: path for path in sorted((folder / "out").iterdir())}
    assert len(files["a"]) == 8
    for name, path in files["a"].items():
        assert path.read_bytes() == files["b"][name].read_bytes(), name
    one, two = (pq.read_table(files[k][f"{PREFIX}.associations.parquet"]).to_pandas() for k in ("a", "c"))
    text = ["setting", "feature", "gene"]
    assert one[text].astype(str).equals(two[text].astype(str))
    for column in ("r", "beta", "se", "nlog10p"):
        np.testing.assert_allclose(one[column], two[column], rtol=1e-12 if column != "nlog10p" else 1e-10, atol=1e-12)


def test_seed_changes_the_control_alone(tmp_path):
    summaries = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        assert run(folder, *tables(), "--seed", seed) == 0
        summaries.append(written(folder)["association_summary"].set_index("control"))
    # Drawn, too: the interval of lambda.
    real = [table.loc["none"].drop(columns=["lambda_low", "lambda_high"]) for table in summaries]
    assert real[0].equals(real[1])
    assert (summaries[0].loc["shuffle_donors", "best_r"] != summaries[1].loc["shuffle_donors", "best_r"]).all()


def test_listed_genes_are_a_family_of_their_own(tmp_path):
    image, expression = tables(signal=2.0)
    (tmp_path / "genes.txt").write_text("# of interest\nENSG0003\nS30\nNOBODY\n")
    assert run(tmp_path, image, expression, "--genes", str(tmp_path / "genes.txt"), "--aggregations", "mean") == 0
    found = written(tmp_path)
    listed = pd.read_parquet(tmp_path / "out" / f"{PREFIX}.listed_genes.parquet").query(
        "setting == 'Lung.256.raw.mean'"
    )
    everything = found["association_genes"].query("setting == 'Lung.256.raw.mean'").set_index("gene")
    assert listed["gene"].tolist() == ["ENSG0003", "ENSG0030"]
    for row in listed.itertuples():
        whole = everything.loc[row.gene]
        assert (row.best_feature, row.r) == (whole["best_feature"], pytest.approx(whole["r"], rel=1e-12))
        assert row.gene_p == pytest.approx(whole["gene_p"], rel=1e-9)
    np.testing.assert_allclose(listed["gene_q"], multipletests(listed["gene_p"], method="fdr_bh")[1], rtol=1e-9)
    rows = found["association_summary"].query("encoder == 'raw'").set_index("control")
    assert (rows["listed_genes"] == 2).all()
    assert rows.loc["none", "listed_found"] == (listed["gene_q"] <= 0.05).sum() >= 1
    assert rows.loc["none", "listed_hits"] == listed["hits"].sum()
    assert rows.loc["shuffle_donors", "listed_found"] == 0
    lost = found["associate.dropped"].query("id == 'NOBODY'").iloc[0]
    assert "on the list of --genes" in lost["reason"]


def test_controls_within_strata_and_of_the_wrong_tissue(tmp_path):
    """A confounder that is the stratum: hits stay when donors are shuffled within it, and go when among all."""
    image, expression = tables(donors=90, signal=0.0, seed=3)
    centre = np.arange(90) % 2
    image.X[:, 5] += 4 * centre
    values = np.asarray(expression.X) + 4 * centre[:, None] * (np.arange(40) < 20)
    expression = anndata.AnnData(values, obs=expression.obs, var=expression.var, layers={"int": normal_columns(values)})
    cohort = pd.DataFrame({
        "donor": image.obs_names, "tissue": "Lung", "tissue_id": "Lung", "samples": "s", "rna_sample": image.obs_names,
        "fold": "0", "SMCENTER": [f"C{c}" for c in centre],
    })  # fmt: skip
    cohort.to_csv(tmp_path / "cohort.tsv", sep="\t", index=False)
    other = image[image.obs_names[:60]].copy()
    other.write_h5ad(tmp_path / "Skin.256.h5ad")
    options = ["--controls", "shuffle_donors,shuffle_within,wrong_tissue", "--cohort", str(tmp_path / "cohort.tsv")]
    options += ["--other-features", str(tmp_path / "Skin.256.h5ad"), "--aggregations", "mean"]
    assert run(tmp_path, image, expression, *options) == 0
    rows = written(tmp_path)["association_summary"].query("encoder == 'raw'").set_index("control")
    assert rows.loc["none", "hits"] >= 20 and rows.loc["shuffle_donors", "hits"] <= 1
    assert rows.loc["shuffle_within", "hits"] >= 20 and rows.loc["shuffle_within", "strata"] == "centre"
    # Here the other tissue has the same features, so that it finds the same.
    assert rows.loc["wrong_tissue", ["n", "strata"]].tolist() == [60, "Skin"] and rows.loc["wrong_tissue", "hits"] >= 20


def test_hidden_factors_of_the_primary_setting_alone(tmp_path):
    """Components of expression take away what image and expression share; as much noise does not (trap T12)."""
    image, expression = tables(donors=120, genes=60, signal=1.5)
    assert run(tmp_path, image, expression, "--primary", "256,raw,mean") == 0
    hidden = pd.read_csv(tmp_path / "out" / f"{PREFIX}.hidden_factors.tsv", sep="\t")
    assert set(hidden["setting"]) == {f"{PREFIX}.raw.mean"}
    hits = hidden.set_index(["of", "factors"])["hits"]
    assert hits["expression", 0] >= 10 and hits["expression", 1] == 0 and hits["noise", 1] >= 10
    assert hidden.set_index(["of", "factors"]).loc[("noise", 10), "dof"] == 120 - 2 - 10


def test_permutation_of_the_maximum(tmp_path):
    image, expression = tables(signal=2.0)
    assert run(tmp_path, image, expression, "--permutations", "99", "--aggregations", "mean") == 0
    found = written(tmp_path)
    row = found["association_summary"].query("setting == 'Lung.256.raw.mean' and control == 'none'").iloc[0]
    pairs = found["associations"].query("setting == 'Lung.256.raw.mean'")
    assert row["permutations"] == 99 and row["max_p"] == pytest.approx(0.01)
    assert pairs["p_max"].min() == row["max_p"] and pairs["p_max"].max() == 1
    order = pairs.sort_values("p")
    assert order["p_max"].is_monotonic_increasing


def test_real_gtex_pairs(real_data):
    """Real nuclear features and real genes, paired by position (so r means nothing): r and p equal scipy's."""
    features = pd.read_csv(sorted((real_data / "gtex" / "nuclear_features").glob("Thyroid*.tsv"))[0], sep="\t")
    x = features.select_dtypes("number").dropna(axis=1).to_numpy()
    counts = pd.read_csv(next((real_data / "gtex").glob("*acmg_59.gct.gz")), sep="\t", skiprows=2)
    y = normal_columns(np.log2(counts.iloc[:, 2 : 2 + len(x)].to_numpy(dtype=float).T + 1))
    tested = associate_pairs(standardise(y).unit, standardise(x).unit, len(x) - 2, 0.05, "bh", top=5, max_hits=10**6)
    pairs = tested.stored
    for k in np.random.default_rng(0).integers(0, len(pairs.r), 50):
        oracle = stats.pearsonr(x[:, pairs.column[k]], y[:, pairs.row[k]])
        assert pairs.r[k] == pytest.approx(oracle.statistic, abs=1e-10)
        assert tested.table.p(pairs.r[k : k + 1])[0] == pytest.approx(oracle.pvalue, rel=1e-10)


@pytest.mark.slow
def test_real_gtex_tissues(real_data, tmp_path):
    """Six GTEx tissues, 24 nuclear features and 59 genes, adjusted for age, sex and Hardy scale."""
    gtex = real_data / "gtex"
    counts = pd.read_csv(next(gtex.glob("*acmg_59.gct.gz")), sep="\t", skiprows=2, index_col=0)
    symbols = counts.pop("Description").to_numpy()
    pieces = {"-".join(sample.split("-")[:3]): sample for sample in counts.columns}
    people = pd.read_csv(next(gtex.glob("*SubjectPhenotypesDS.txt")), sep="\t", index_col=0).dropna()
    rows = []
    for path in sorted((gtex / "nuclear_features").glob("*.tsv")):
        table = pd.read_csv(path, sep="\t").set_index("Image").drop(columns="tissue").dropna()
        table = table[[piece in pieces for piece in table.index]]
        donors = table.index.str.split("-").str[:2].str.join("-")
        keep = ~donors.duplicated() & donors.isin(people.index)
        table, donors = table[keep], donors[keep]
        reads = counts[[pieces[piece] for piece in table.index]].T.to_numpy(float)
        log2 = np.log2(reads / reads.sum(axis=1, keepdims=True) * 1e5 + 1)
        var = pd.DataFrame({"symbol": symbols}, index=counts.index)
        obs = pd.DataFrame(index=list(donors))
        expression = anndata.AnnData(log2, obs=obs, var=var, layers={"int": normal_columns(log2)})
        names = pd.DataFrame({"encoder": "nuclear"}, index=table.columns)
        image = anndata.AnnData(table.to_numpy(float), obs=obs, var=names)
        image.uns["encoders"] = {"nuclear": {"weights": "given"}}
        person = people.loc[donors]
        hardy = pd.get_dummies(person["DTHHRDY"], prefix="DTHHRDY", prefix_sep="=", drop_first=True)
        design = pd.concat([person["AGE"].str[:2], person["SEX"], hardy], axis=1).astype(float)
        design.rename_axis("donor").to_csv(tmp_path / "design.tsv", sep="\t")
        image.write_h5ad(tmp_path / f"{path.stem}.-.h5ad")
        expression.write_h5ad(tmp_path / "e.expression.h5ad")
        arguments = ["--features", f"{tmp_path}/{path.stem}.-.h5ad", "--expression", f"{tmp_path}/e.expression.h5ad"]
        arguments += ["--design", f"{tmp_path}/design.tsv", "--setting-prefix", f"{path.stem}.-"]
        assert main([*arguments, "--outdir", f"{tmp_path}/out", "--permutations", "99"]) == 0
        rows.append(pd.read_csv(tmp_path / "out" / f"{path.stem}.-.association_summary.tsv", sep="\t"))
        hits = pd.read_csv(tmp_path / "out" / f"{path.stem}.-.top_hits.tsv", sep="\t")
        assert len(hits) == 6 * len(donors) and (hits["r_split_half"] > 0).any()
        pcs = pd.read_csv(tmp_path / "out" / f"{path.stem}.-.pc_associations.tsv", sep="\t")
        least = pcs.groupby("control")["q"].min()
        assert least["none"] < 0.05 and least["none"] < least["shuffle_donors"]
    found = pd.concat(rows).set_index(["control", "tissue_id"])
    real, control = found.loc["none"], found.loc["shuffle_donors"]
    assert len(real) == 6 and set(real["adjusted_for"]) == {"AGE;DTHHRDY;SEX"}
    assert (real["n"] - real["dof"]).between(7, 8).all() and (real["features"] == 24).all()
    assert (real["hits"] > 10).all() and (real["max_p"] == 0.01).all()
    assert (control["hits"] <= 0.05 * real["hits"]).all() and control["share_p05"].mean() < 0.08
    # Features and genes depend on each other: lambda of shuffled donors scatters as that of the permutations does.
    assert (real["lambda_gc"] > real["lambda_high"]).sum() >= 4
    inside = control["lambda_gc"].between(real["lambda_low"], real["lambda_high"])
    assert inside.sum() >= 4


def test_genes_that_a_filter_left_out_are_not_tested():
    """`kept` of prepare_expression.py."""
    import anndata

    from hx_donors import read_genes

    rng = np.random.default_rng(0)
    values = rng.normal(size=(10, 4))
    var = pd.DataFrame({"symbol": list("abcd"), "kept": [True, False, True, False]}, index=list("ABCD"))
    names = [f"D{i}" for i in range(10)]
    table = anndata.AnnData(values, obs=pd.DataFrame(index=names), var=var, layers={"int": values.copy()})
    genes, dropped = read_genes(table, np.array(names, dtype=object), "e.h5ad")
    assert list(genes.id) == ["A", "C"] and dropped == []
