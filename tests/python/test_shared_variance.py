"""shared_variance.py, combine_scales.py and their sections: what is written, and every way their input can be bad."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from gtex_tissues import gtex_tissues
from test_associate import normal_columns
from variance_made import cohort

import combine_scales
import shared_variance
from hx_cli import Faults
from hx_controls import shuffled
from hx_gather import gather
from hx_linear import residual_space, standardise
from hx_scale_sections import TABLES as SCALE_TABLES
from hx_scale_sections import scale_sections
from hx_shared_tables import JACKKNIFE, KEY, NULL, ROW, read_arrays
from hx_variance import adjusted, gram, permutation_p, principal, rotated_kernel
from hx_variance_sections import TABLES, variance_sections

DONORS = 60
PRIMARY = "128,retrained,mean"


def names(count: int = DONORS) -> list[str]:
    return [f"D{k:03d}" for k in range(count)]


def expression_of(values: np.ndarray) -> anndata.AnnData:
    symbols = [f"S{k}" for k in range(values.shape[1])]
    var = pd.DataFrame({"symbol": symbols}, index=[f"{symbol}_id" for symbol in symbols])
    out = anndata.AnnData(values, obs=pd.DataFrame(index=names(len(values))), var=var)
    out.layers["int"] = normal_columns(values)
    return out


def image_of(parts: dict[str, np.ndarray], everywhere: np.ndarray | None = None) -> anndata.AnnData:
    """Features of encoders; layer median beside X."""
    values = np.hstack(list(parts.values()))
    var = pd.DataFrame({"encoder": [name for name, part in parts.items() for _ in range(part.shape[1])]})
    var.index = [f"{name}_{k:04d}" for k, name in enumerate(var["encoder"])]
    obs = pd.DataFrame(index=names(len(values)))
    if everywhere is not None:
        obs["at_every_size"] = everywhere
    out = anndata.AnnData(values, obs=obs, var=var)
    out.uns["encoders"] = {name: {"weights": "imagenet"} for name in parts}
    out.layers["median"] = values + np.random.default_rng(0).normal(0, 0.1, values.shape)
    return out


def drawn(seed: int = 0, n: int = DONORS):
    return cohort(seed, n, 2, shared=0.3, technical=0.3, genes=80, features=50)


def design_of(covariates: np.ndarray, donors: list[str]) -> pd.DataFrame:
    columns = [f"C{k}" for k in range(covariates.shape[1])]
    return pd.DataFrame(covariates, columns=columns, index=pd.Index(donors, name="donor"))


def run(tmp_path: Path, image, expression, design: pd.DataFrame | None = None, *extra: str, size: str = "128") -> int:
    prefix = f"Lung.{size}"
    image.write_h5ad(tmp_path / f"{prefix}.h5ad")
    expression.write_h5ad(tmp_path / "Lung.expression.h5ad")
    more = []
    if design is not None:
        design.to_csv(tmp_path / f"{prefix}.design.tsv", sep="\t", float_format="%.17g")
        more = ["--design", f"{tmp_path}/{prefix}.design.tsv"]
    return shared_variance.main(
        ["--features", f"{tmp_path}/{prefix}.h5ad", "--expression", f"{tmp_path}/Lung.expression.h5ad",
         "--setting-prefix", prefix, "--outdir", f"{tmp_path}/out", "--primary", PRIMARY,
         "--aggregations", "mean", "--permutations", "99", *more, *extra]
    )  # fmt: skip


def read(tmp_path: Path, name: str, prefix: str = "Lung.128") -> pd.DataFrame:
    path = tmp_path / "out" / f"{prefix}.{name}.tsv"
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def two_sizes(tmp_path_factory):
    """Two encoders at two sizes; three donors have no features at 1024, and at 1024 the factors stand out more."""
    folder = tmp_path_factory.mktemp("shared")
    values = drawn()
    rng = np.random.default_rng(9)
    expression, everywhere = expression_of(values.genes), np.arange(DONORS) < DONORS - 3
    for size, noise in (("128", 1.2), ("1024", 0.3)):
        keep = np.full(DONORS, True) if size == "128" else everywhere
        noisy = {
            "raw": values.features + noise * rng.normal(size=(DONORS, 50)),
            "retrained": values.features[:, :30] + 1.5 * noise * rng.normal(size=(DONORS, 30)),
        }
        image = image_of(noisy, everywhere)[keep].copy()
        design = design_of(values.covariates[keep], names()[: keep.sum()])
        assert run(folder, image, expression, design, size=size) == 0
    arguments = ["--tables", f"{folder}/out", "--tissue-id", "Lung", "--primary", PRIMARY]
    assert combine_scales.main([*arguments, "--outdir", f"{folder}/out"]) == 0
    return folder


def test_rows(two_sizes):
    """Each setting x control x direction x scaling x adjustment, on all donors and on those at every size."""
    rows = read(two_sizes, "shared_variance")
    assert list(rows) == ROW
    assert not rows.duplicated([*KEY, "control", "donors"]).any()
    assert len(rows[rows["donors"] == "all"]) == 2 * 2 * 8
    every = rows[rows["donors"] == "every_size"]
    assert len(every) == 2 * 8 and set(every["control"]) == {"none"} and set(every["n"]) == {57}
    assert set(read(two_sizes, "shared_variance", "Lung.1024")["donors"]) == {"all"}
    primary = rows[rows["analysis"] == "primary"]
    assert primary[["setting", "direction", "scaling", "adjusted", "control", "donors"]].to_numpy().tolist() == [
        ["Lung.128.retrained.mean", "expression_by_image", "standardised", "yes", "none", "all"]
    ]
    assert set(read(two_sizes, "shared_variance", "Lung.1024")["analysis"]) == {"exploratory"}
    np.testing.assert_allclose(rows["technical"] + rows["shared"] + rows["rest"], 1, atol=1e-9)
    np.testing.assert_allclose(rows["null_share"], rows["components"] / rows["dim"], rtol=1e-9)
    np.testing.assert_allclose(rows["adjusted_share"], adjusted_column(rows), rtol=1e-7, atol=1e-9)
    assert (rows["adjusted_for"].fillna("") == rows["adjusted"].map({"yes": "C0;C1", "no": ""})).all()
    real = rows[(rows["control"] == "none") & (rows["direction"] == "expression_by_image")]
    assert (real["p"] == 0.01).all() and (real["ci_low"] > -0.02).all()
    control = rows[rows["control"] == "shuffle_donors"]
    assert (control["adjusted_share"].abs() < 0.1).all() and (control["p"] > 0.01).mean() > 0.8


def adjusted_column(rows: pd.DataFrame) -> np.ndarray:
    return np.concatenate(
        [adjusted(s, m, d) for s, m, d in rows[["share", "components", "dim"]].to_numpy()[:, :, None]]
    )


def test_a_row_against_the_arrays(two_sizes):
    """Primary row, its control and p: from the files with hx_variance alone."""
    rows = read(two_sizes, "shared_variance").set_index(
        ["setting", "direction", "scaling", "adjusted", "control", "donors"]
    )
    image = anndata.read_h5ad(two_sizes / "Lung.128.h5ad")
    expression = anndata.read_h5ad(two_sizes / "Lung.expression.h5ad")
    design = pd.read_csv(two_sizes / "Lung.128.design.tsv", sep="\t", index_col="donor")
    space = residual_space(design.to_numpy(), DONORS)
    genes = standardise(expression.layers["int"]).unit
    setting = "Lung.128.retrained.mean"
    values = np.asarray(image[:, image.var["encoder"] == "retrained"].X)
    order = shuffled(1, f"{setting}.shuffle_donors", np.zeros(DONORS, int))
    for control, x in (("none", values), ("shuffle_donors", values[order])):
        row = rows.loc[(setting, "expression_by_image", "standardised", "yes", control, "all")]
        scores = principal(rotated_kernel(space, gram(standardise(x).unit))).scores[:, : int(row["components"])]
        target = rotated_kernel(space, gram(genes))
        assert row["share"] == pytest.approx(np.trace(scores.T @ target @ scores) / np.trace(target), rel=1e-8)
        assert row["technical_share"] == pytest.approx(1 - np.trace(target) / np.trace(gram(genes)), rel=1e-8)
        assert row["dim"] == 57 and row["n"] == DONORS
    nulls = read_arrays([two_sizes / "out" / "Lung.1024.shared_variance_null.parquet"], NULL)
    at = read(two_sizes, "shared_variance", "Lung.1024").query("control == 'none'").set_index(KEY)
    for key, null in nulls.items():
        assert len(null) == 99 and abs(null.mean()) < 1e-9
        assert at.loc[key, "p"] == pytest.approx(permutation_p(at.loc[key, "z"], null))
    replicates = read_arrays([two_sizes / "out" / "Lung.1024.shared_variance_jackknife.parquet"], JACKKNIFE)
    for key, shares in replicates.items():
        assert shares.shape == (21, at.loc[key, "components"])
        assert shares[0, -1] == pytest.approx(at.loc[key, "adjusted_share"], rel=1e-8)


def test_curve(two_sizes):
    curve, rows = read(two_sizes, "shared_variance_curve"), read(two_sizes, "shared_variance")
    assert {"1", "2", "5", "10", "20", "80 %", "95 %", "99.9 %"} <= set(curve["kept"])
    key = [*KEY, "control", "donors"]
    same = curve.merge(rows, on=[*key, "components"], suffixes=("", "_row"))
    assert len(same) > 5
    np.testing.assert_allclose(same["share"], same["share_row"], rtol=1e-9)
    assert curve.sort_values("components").groupby(key)["share"].is_monotonic_increasing.all()
    near = curve[curve["components"] >= rows["dim"].max() - 1]
    assert near["adjusted_share"].isna().all()


def test_genes(two_sizes):
    """Of the primary setting: technical shares are those of least squares, and parts agree with the row's."""
    genes = read(two_sizes, "shared_variance_genes")
    assert len(genes) == 80 and set(genes["setting"]) == {"Lung.128.retrained.mean"}
    np.testing.assert_allclose(genes["shared"], (1 - genes["technical"]) * genes["left"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(genes["technical_shared"], genes["total"] - genes["shared"], rtol=1e-6, atol=1e-9)
    expression = anndata.read_h5ad(two_sizes / "Lung.expression.h5ad").layers["int"]
    design = pd.read_csv(two_sizes / "Lung.128.design.tsv", sep="\t", index_col="donor")
    y = expression[:, 5] - expression[:, 5].mean()
    x = np.column_stack([np.ones(DONORS), design])
    r2 = 1 - np.sum((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2) / np.sum(y**2)
    assert genes["technical"][5] == pytest.approx(1 - (1 - r2) * 59 / 57, rel=1e-7)
    assert genes["technical"].mean() == pytest.approx(0.3, abs=0.08)
    row = read(two_sizes, "shared_variance").query("analysis == 'primary'").iloc[0]
    # All genes have variance 1: the row's share is the mean of the genes', each weighted by what is left of it.
    left = 1 - (1 - genes["technical"]) * (57 / 59)
    assert row["technical_share"] == pytest.approx(left.mean(), rel=1e-6)
    assert read(two_sizes, "shared_variance_genes", "Lung.1024").empty


def test_scales(two_sizes):
    """p_familywise against the nulls of all four settings; the settings are of the same donors."""
    scales = pd.read_csv(two_sizes / "out" / "Lung.scales.tsv", sep="\t")
    assert len(scales) == 4 * 8 and set(scales["n"]) == {57} and scales["donors_hash"].nunique() == 1
    nulls = read_arrays(sorted((two_sizes / "out").glob("*null.parquet")), NULL)
    for key, family in scales.groupby(["direction", "scaling", "adjusted"]):
        largest = np.max([nulls[(setting, *key)] for setting in family["setting"]], axis=0)
        for row in family.itertuples():
            assert row.p_familywise == pytest.approx(permutation_p(row.z, largest))
            assert row.p_familywise >= row.p - 1e-12
        assert (family["largest"] == "yes").sum() == 1
        assert family.loc[family["largest"] == "yes", "z"].item() == family["z"].max()
    # One permutation for all settings: nulls of the same expression go together.
    key = ("expression_by_image", "standardised", "yes")
    together = np.corrcoef(nulls[("Lung.128.raw.mean", *key)], nulls[("Lung.1024.raw.mean", *key)])[0, 1]
    assert together > 0.3


def test_comparisons(two_sizes):
    rows = pd.read_csv(two_sizes / "out" / "Lung.comparisons.tsv", sep="\t")
    assert len(rows) == 4 * 8
    assert rows["differ_in"].value_counts().to_dict() == {"size": 16, "encoder": 16}
    replicates = read_arrays(sorted((two_sizes / "out").glob("*jackknife.parquet")), JACKKNIFE)
    shared = pd.concat(pd.read_csv(path, sep="\t") for path in (two_sizes / "out").glob("*.shared_variance.tsv"))
    dims = shared.groupby(["setting", "adjusted"])["dim"].min()
    for row in rows.itertuples():
        pair = [replicates[(name, row.direction, row.scaling, row.adjusted)] for name in (row.setting, row.other)]
        assert row.components == min(shares.shape[1] for shares in pair)
        gap = pair[0][:, row.components - 1] - pair[1][:, row.components - 1]
        assert row.difference == pytest.approx(gap[0], rel=1e-7, abs=1e-12)
        # A jackknife that leaves out d of N (Shao & Wu 1989): a twentieth of the donors, of the dimensions left.
        out, left = row.n / 20, dims[row.setting, row.adjusted] + 1
        assert row.se == pytest.approx(np.sqrt((left - out) / out * np.var(gap[1:])), rel=1e-7)
    claims = rows[rows["claim"].notna()].set_index("claim")
    assert claims["setting"].to_dict() == {
        "larger patches explain more": "Lung.1024.retrained.mean",
        "raw explains more than retrained": "Lung.128.raw.mean",
    }
    assert set(claims["other"]) == {"Lung.128.retrained.mean"}
    assert (claims[["direction", "scaling", "adjusted"]] == ["expression_by_image", "standardised", "yes"]).all(
        axis=None
    )


def test_sections(two_sizes):
    faults = Faults()
    tables = gather(two_sizes / "out", TABLES | SCALE_TABLES, faults)
    faults.stop()
    chosen = pd.DataFrame({"setting": ["Lung.128.retrained.mean"], "tissue_id": "Lung", "size": "128"})
    shown = {part["id"]: part for part in [*variance_sections(tables, chosen), *scale_sections(tables)]}
    assert list(shown) == [
        *("shared_variance", "shared_variance_parts", "shared_variance_sizes", "shared_variance_curve"),
        *("shared_variance_technical", "shared_variance_genes", "shared_variance_maximum", "shared_variance_claims"),
    ]
    assert list(shown["shared_variance"]["data"]) == ["Lung", "Lung (2)", "Lung (3)", "Lung (4)"]
    row = read(two_sizes, "shared_variance").query("analysis == 'primary'").iloc[0]
    cells = [
        r for r in shown["shared_variance"]["data"].values() if r["adjusted"] == "yes" and "expression by" in r["side"]
    ]
    assert cells[0]["adjusted_share"] == pytest.approx(row["adjusted_share"]) and "control_share" in cells[0]
    bar = shown["shared_variance_parts"]["data"]["Lung, expression by image"]
    assert bar["shared"] == pytest.approx(row["shared"]) and sum(bar.values()) == pytest.approx(1)
    assert list(shown["shared_variance_sizes"]["data"]) == [
        f"Lung, {encoder}{control}" for encoder in ("raw", "retrained") for control in ("", ", donors shuffled")
    ]
    assert [x for x, _ in shown["shared_variance_sizes"]["data"]["Lung, raw"]] == [128.0, 1024.0]
    assert set(shown["shared_variance_technical"]["data"]) == {
        f"Lung.{size}.{encoder}.mean" for size in (128, 1024) for encoder in ("raw", "retrained")
    }
    assert len(shown["shared_variance_genes"]["data"]) == 80
    assert len(shown["shared_variance_claims"]["data"]) == 2
    assert variance_sections({}, chosen) == [] == scale_sections({})


def test_without_covariates(tmp_path):
    """No design, or one without a column: rows before adjustment alone, and the primary is one of them."""
    values = drawn()
    image, expression = image_of({"retrained": values.features}), expression_of(values.genes)
    assert run(tmp_path, image, expression) == 0
    rows = read(tmp_path, "shared_variance")
    assert set(rows["adjusted"]) == {"no"} and (rows["analysis"] == "primary").sum() == 1
    assert (rows["technical"] == 0).all() and rows["adjusted_for"].isna().all()
    first = (tmp_path / "out" / "Lung.128.shared_variance.tsv").read_bytes()
    genes = read(tmp_path, "shared_variance_genes")
    assert (genes["technical"] == 0).all() and (genes["technical_shared"].abs() < 1e-12).all()
    assert run(tmp_path, image, expression, design_of(np.empty((DONORS, 0)), names())) == 0
    assert (tmp_path / "out" / "Lung.128.shared_variance.tsv").read_bytes() == first


def test_same_input_same_bytes(tmp_path):
    """Donors and genes in another order, other threads: tables to 1e-9, with the same order bit for bit (O23, O24)."""
    values = drawn()
    image, expression = image_of({"retrained": values.features}), expression_of(values.genes)
    design = design_of(values.covariates, names())
    files = {}
    for word, donors in (("once", slice(None)), ("again", slice(None)), ("shuffled", slice(None, None, -1))):
        folder = tmp_path / word
        folder.mkdir()
        assert run(folder, image[donors].copy(), expression[donors].copy(), design.iloc[donors]) == 0
        files[word] = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert files["once"] == files["again"] == files["shuffled"]
    two = tmp_path / "two"
    two.mkdir()
    assert run(two, image, expression, design, "--threads", "2") == 0
    one, other = read(tmp_path / "once", "shared_variance"), read(two, "shared_variance")
    pd.testing.assert_frame_equal(one, other, rtol=1e-8, atol=1e-9)


def test_one_feature_and_one_gene(tmp_path):
    values = drawn()
    assert run(tmp_path, image_of({"retrained": values.features[:, :1]}), expression_of(values.genes[:, :1]),
               design_of(values.covariates, names())) == 0  # fmt: skip
    rows = read(tmp_path, "shared_variance").query("control == 'none'")
    assert set(rows["components"]) == {1} and set(rows["components_parallel"]) == {0}
    assert np.isfinite(rows[["share", "adjusted_share", "ci_low", "p", "published", "reml", "rest"]]).all(axis=None)
    after = rows.query("adjusted == 'yes' and scaling == 'standardised'")
    assert after["share"].nunique() == 1  # r^2, both ways


def test_what_carries_nothing_is_dropped_with_a_row(tmp_path):
    values = drawn()
    features = np.column_stack([values.features, np.ones(DONORS)])
    image = image_of({"raw": np.zeros((DONORS, 2)), "retrained": features, "spanned": values.covariates[:, :1]})
    assert run(tmp_path, image, expression_of(values.genes), design_of(values.covariates[:-2], names()[:-2])) == 0
    dropped = read(tmp_path, "shared_variance.dropped").set_index("id")
    assert dropped.loc["D059", "reason"] == "in Lung.128.h5ad, not among the donors of Lung.128.design.tsv"
    assert dropped.loc["retrained_0052", "reason"] == "constant over 58 donors in Lung.128.retrained.mean"
    assert "leave nothing of its features" in dropped.loc["Lung.128.spanned.mean", "reason"]
    rows = read(tmp_path, "shared_variance")
    assert set(rows["encoder"]) == {"retrained", "spanned"}
    assert set(rows.query("encoder == 'spanned' and control == 'none'")["adjusted"]) == {"no"}


def test_too_few_donors_at_every_size_are_not_compared(tmp_path):
    values = drawn()
    image = image_of({"retrained": values.features}, np.arange(DONORS) < 5)
    assert run(tmp_path, image, expression_of(values.genes)) == 0
    assert set(read(tmp_path, "shared_variance")["donors"]) == {"all"}
    dropped = read(tmp_path, "shared_variance.dropped")
    assert "5 donors have features at every size" in dropped["reason"][0]


def test_size_without_donors_has_empty_tables(tmp_path):
    """Slides too small for the patch size: headers alone, and combine_scales.py goes on without it."""
    values = drawn()
    image, expression = image_of({"retrained": values.features}), expression_of(values.genes)
    assert run(tmp_path, image[:3].copy(), expression, size="4096") == 0
    assert read(tmp_path, "shared_variance", "Lung.4096").empty
    assert "3 donors have features" in read(tmp_path, "shared_variance.dropped", "Lung.4096")["reason"][0]
    arguments = ["--tables", f"{tmp_path}/out", "--tissue-id", "Lung", "--outdir", f"{tmp_path}/combined"]
    assert combine_scales.main(arguments) == 0
    assert pd.read_csv(tmp_path / "combined" / "Lung.scales.tsv", sep="\t").empty
    assert run(tmp_path, image, expression) == 0
    assert combine_scales.main(arguments) == 0
    scales = pd.read_csv(tmp_path / "combined" / "Lung.scales.tsv", sep="\t")
    assert len(scales) == 4 and (scales["p_familywise"] == scales["p"]).all()


def test_settings_on_other_donors_are_told(two_sizes, tmp_path):
    """Sizes whose donors differ are families of their own, with a row in the losses."""
    out = tmp_path / "out"
    out.mkdir()
    for path in (two_sizes / "out").glob("Lung.1*.shared_variance*"):
        (out / path.name).write_bytes(path.read_bytes())
    path = out / "Lung.1024.shared_variance.tsv"
    rows = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    rows.assign(donors_hash="other").to_csv(path, sep="\t", index=False)
    assert combine_scales.main(["--tables", str(out), "--tissue-id", "Lung", "--outdir", str(out)]) == 0
    assert set(pd.read_csv(out / "Lung.comparisons.tsv", sep="\t")["differ_in"]) == {"encoder"}
    assert set(pd.read_csv(out / "Lung.scales.tsv", sep="\t")["settings"]) == {2}
    dropped = pd.read_csv(out / "Lung.combine_scales.dropped.tsv", sep="\t")
    assert len(dropped) == 2 and dropped["reason"].str.contains("other donors").all()


def test_bad_input(tmp_path, capsys):
    values = drawn()
    image, expression = image_of({"retrained": values.features}), expression_of(values.genes)
    wide = design_of(np.random.default_rng(0).normal(size=(DONORS, 58)), names())
    assert run(tmp_path, image, expression, wide) == 65
    assert "58 covariates leave 0 residual degrees of freedom" in capsys.readouterr().err
    assert run(tmp_path, image, expression, pd.concat([design_of(values.covariates, names())] * 2)) == 65
    assert "every donor once" in capsys.readouterr().err
    twice = anndata.concat([image, image[:1]], uns_merge="first", merge="first")
    assert run(tmp_path, twice, expression) == 65
    assert "donor D000 stands more than once" in capsys.readouterr().err
    for extra in (["--controls", "wish"], ["--variance", "1"], ["--permutations", "5"]):
        with pytest.raises(SystemExit) as stop:
            run(tmp_path, image, expression, None, *extra)
        assert stop.value.code == 2


def test_bad_tables_of_several_sizes(two_sizes, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    arguments = ["--tissue-id", "Lung", "--outdir", f"{tmp_path}/combined"]
    assert combine_scales.main(["--tables", str(empty), *arguments]) == 65
    assert "no <tissue_id>.<size>.shared_variance.tsv" in capsys.readouterr().err
    (empty / "Lung.128.shared_variance.tsv").write_bytes((two_sizes / "out/Lung.128.shared_variance.tsv").read_bytes())
    assert combine_scales.main(["--tables", str(empty), *arguments]) == 65
    assert "lacks Lung.128.raw.mean" in capsys.readouterr().err
    (empty / "Lung.128.shared_variance_null.parquet").write_bytes(b"no parquet")
    assert combine_scales.main(["--tables", str(empty), *arguments]) == 65
    assert "make it again" in capsys.readouterr().err


@pytest.mark.slow
def test_real_gtex_tissues(real_data, tmp_path):
    """Six GTEx tissues, 24 nuclear features and 59 genes, adjusted for age, sex and Hardy scale."""
    found = []
    for tissue in gtex_tissues(real_data / "gtex"):
        expression = expression_of(tissue.log2.to_numpy())
        image = image_of({"nuclear": tissue.features.to_numpy(float)})
        image.obs_names = expression.obs_names = tissue.people.index
        person = tissue.people
        hardy = pd.get_dummies(person["DTHHRDY"], prefix="DTHHRDY=", drop_first=True)
        design = pd.concat([person["AGE"].str[:2], person["SEX"], hardy], axis=1).astype(float)
        assert run(tmp_path, image, expression, design.rename_axis("donor"), size="-") == 0
        found.append(read(tmp_path, "shared_variance", "Lung.-").assign(tissue=tissue.name))
    rows = pd.concat(found)
    rows = rows[(rows["scaling"] == "standardised") & (rows["direction"] == "expression_by_image")]
    assert rows["tissue"].nunique() == 6 and rows["n"].min() > 400
    np.testing.assert_allclose(rows["technical"] + rows["shared"] + rows["rest"], 1, atol=1e-9)
    at = rows.set_index(["control", "adjusted", "tissue"]).sort_index()
    before, after, control = (at.loc[key] for key in (("none", "no"), ("none", "yes"), ("shuffle_donors", "yes")))
    assert (before["p"] == 0.01).all() and (before["ci_low"] > 0).all()
    # Age, sex and Hardy scale account for some of what is shared, and not for all of it.
    assert (after["shared"] < before["adjusted_share"]).all() and (after["p"] <= 0.05).all()
    assert (after["technical"] > 0.03).all()
    assert control["adjusted_share"].abs().max() < 0.01 < after["adjusted_share"].max()
    assert (control["published"] / control["published_null"]).between(0.5, 1.5).all()
