"""hx_pc_pairs and its report sections: components against scikit-learn, scipy and statsmodels; calibration of p."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.decomposition import PCA
from statsmodels.stats.multitest import multipletests
from test_associate import PREFIX, run, tables

import hx_top_hits_sections
from hx_cli import Faults
from hx_expression import rank_inverse_normal
from hx_gather import gather
from hx_linear import residual_space, standardise
from hx_mqc import write_sections
from hx_pc_pairs import MOST, PAIRS, leading, pc_pairs
from hx_pvalue import detectable_r

ROOT = Path(__file__).resolve().parents[2]


def drawn(seed: int, n: int = 90, covariates: int = 3, shared: float = 0.0):
    """(covariates, features, genes): factors of both sides go with the covariates, and by `shared` with each other."""
    rng = np.random.default_rng(seed)
    c, own, other = rng.normal(size=(n, covariates)), rng.normal(size=(n, 3)), rng.normal(size=(n, 3))
    other = np.sqrt(shared) * own + np.sqrt(1 - shared) * other
    features, genes = (
        factors @ rng.normal(size=(3, m)) + c @ rng.normal(size=(covariates, m)) + rng.normal(size=(n, m))
        for factors, m in ((own, 25), (other, 40))
    )
    return c, features, rank_inverse_normal(genes.T).T


def test_components_against_scikit_learn():
    """PCs of standardised columns made residuals; r is the partial correlation of two, p has n - 2 - k."""
    c, features, genes = drawn(0, shared=0.5)
    space = residual_space(c, 90)
    sides, oracle = [], []
    for values in (features, genes):
        sides.append(leading(standardise(values, space), space, np.random.default_rng(0)))
        scaled = (values - values.mean(axis=0)) / values.std(axis=0)
        design = sm.add_constant(c)
        pca = PCA(5).fit(scaled - design @ np.linalg.lstsq(design, scaled, rcond=None)[0])
        oracle.append(pca.transform(scaled - design @ np.linalg.lstsq(design, scaled, rcond=None)[0]))
        count = len(sides[-1].share)
        assert count == 3
        np.testing.assert_allclose(sides[-1].share, pca.explained_variance_ratio_[:count], rtol=1e-9)
    found = pc_pairs(*sides, space, 0.05)
    assert len(found) == 9 and (found["dof"] == 90 - 2 - 3).all()
    for row in found.itertuples():
        x, y = (scores[:, k - 1] for scores, k in zip(oracle, (row.image_pc, row.expression_pc), strict=True))
        fit = sm.OLS(y, sm.add_constant(np.column_stack([x, c]))).fit()
        assert abs(row.r) == pytest.approx(abs(fit.tvalues[1]) / np.hypot(fit.tvalues[1], fit.df_resid**0.5), rel=1e-8)
        assert row.p == pytest.approx(fit.pvalues[1], rel=1e-7)
    np.testing.assert_allclose(found["q"], multipletests(found["p"], method="fdr_bh")[1], rtol=1e-9)
    assert found["detectable_r"].iloc[0] == pytest.approx(detectable_r(0.05 / 9, 85))
    assert (found["q"] < 0.05).sum() >= 3


def test_a_component_points_the_way_of_its_heaviest_column():
    c, features, _ = drawn(1)
    space = residual_space(c, 90)
    pcs = leading(standardise(features, space), space, np.random.default_rng(0))
    turned = leading(standardise(-features, space), space, np.random.default_rng(0))
    np.testing.assert_allclose(turned.scores, -pcs.scores, atol=1e-9)
    heaviest = standardise(features, space)
    loadings = (heaviest.unit * heaviest.left).T @ pcs.scores
    assert (loadings[np.abs(loadings).argmax(axis=0), np.arange(3)] > 0).all()


def test_noise_has_one_component_and_many_have_twenty():
    rng = np.random.default_rng(0)
    space = residual_space(None, 120)
    noise = leading(standardise(rng.normal(size=(120, 50))), space, rng)
    assert len(noise.share) == 1
    strong = rng.normal(size=(400, 24)) @ rng.normal(size=(24, 400)) + 0.1 * rng.normal(size=(400, 400))
    assert len(leading(standardise(strong), residual_space(None, 400), rng).share) == MOST
    assert len(leading(standardise(strong), residual_space(None, 400), rng, 4).share) == 4
    one = leading(standardise(rng.normal(size=(120, 1))), space, rng)
    assert one.share == pytest.approx([1.0])


@pytest.mark.parametrize("covariates", [*(pytest.param(k, marks=pytest.mark.slow) for k in (0, 51)), 8])
def test_p_of_components_is_calibrated(covariates):
    """1,000 cohorts whose sides have nothing in common but the covariates; n - 2 degrees of freedom would fail."""
    first, wrong = [], []
    for seed in range(1000):
        c, features, genes = drawn(seed, covariates=covariates)
        space = residual_space(c, 90)
        pcs = (
            leading(standardise(values, space), space, np.random.default_rng(seed), 2) for values in (features, genes)
        )
        row = pc_pairs(*pcs, space, 0.05).iloc[1]
        first.append(row["p"])
        wrong.append(2 * stats.t.sf(abs(row["r"]) * np.sqrt(88 / (1 - row["r"] ** 2)), 88))
    low, high = stats.binom.interval(0.999, 1000, 0.05)
    assert low <= np.count_nonzero(np.array(first) < 0.05) <= high
    assert covariates < 51 or np.count_nonzero(np.array(wrong) < 0.05) > high


def several(donors: int = 90):
    """`tables` in which several features go with the genes: enough for a component."""
    image, expression = tables(donors=donors, genes=60, signal=1.5)
    image.X[:, :6] += 2 * image.X[:, [3]]
    return image, expression


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Path:
    """The tables of a tissue with two controls."""
    folder = tmp_path_factory.mktemp("pcs")
    image, expression = several()
    rows = pd.DataFrame({"donor": image.obs_names, "tissue": "Lung", "tissue_id": "Lung", "samples": "s", "fold": "0"})
    rows = rows.assign(rna_sample=rows["donor"], SMCENTER=np.tile(["B1", "C1", "D1"], 30), AGE=np.arange(90) % 41 + 30)
    rows.to_csv(folder / "cohort.tsv", sep="\t", index=False)
    design = pd.DataFrame({"AGE": rows["AGE"].astype(float).to_numpy()}, index=pd.Index(image.obs_names, name="donor"))
    design.to_csv(folder / "design.tsv", sep="\t")
    (folder / "genes.txt").write_text("ENSG0003\nENSG0040\n")
    options = ["--controls", "shuffle_donors,shuffle_within", "--cohort", f"{folder}/cohort.tsv"]
    options += ["--design", f"{folder}/design.tsv", "--genes", f"{folder}/genes.txt", "--primary", "256,raw,mean"]
    assert run(folder, image, expression, *options) == 0
    return folder


def table_of(stage: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(stage / "out" / f"{PREFIX}.{name}.tsv", sep="\t")


def test_tables_of_the_stage(stage):
    pairs = table_of(stage, "pc_associations")
    assert list(pairs) == PAIRS
    assert set(pairs["control"]) == {"none", "shuffle_donors", "shuffle_within"}
    assert pairs["setting"].nunique() == 4
    sizes = pairs.groupby(["setting", "control"]).size().unstack()
    assert (sizes.nunique(axis=1) == 1).all()
    real = pairs[pairs["control"] == "none"].groupby("setting")["q"].min()
    assert real[f"{PREFIX}.raw.mean"] < 0.02
    assert pairs[pairs["control"] == "shuffle_donors"]["q"].min() > 0.02
    assert pairs["detectable_r"].between(0.1, 0.6).all()


def test_top_hits_are_residuals_whose_correlation_is_r(stage):
    hits = table_of(stage, "top_hits")
    genes = pd.read_parquet(stage / "out" / f"{PREFIX}.association_genes.parquet")
    genes = genes[genes["setting"] == f"{PREFIX}.raw.mean"].sort_values("p").iloc[:6]
    assert list(hits["gene"].unique()) == list(genes["gene"].astype(str))
    assert (hits.groupby("gene").size() == 90).all()
    image, expression = several()
    age = pd.read_csv(stage / "design.tsv", sep="\t")["AGE"]
    for gene, part in hits.groupby("gene"):
        first = part.iloc[0]
        known = genes.set_index("gene").loc[gene]
        assert np.corrcoef(part["feature_value"], part["gene_value"])[0, 1] == pytest.approx(first["r"], abs=1e-9)
        for name in ("r", "p", "gene_q", "robustness", "r_split_half", "detectable_r"):
            assert first[name] == pytest.approx(known[name], rel=1e-8, nan_ok=name == "r_split_half"), name
        x = image[:, first["feature"]].X.ravel().astype(float)
        y = expression[:, gene].layers["int"].ravel()
        for values, column in ((x / x.std(ddof=1), "feature_value"), (y, "gene_value")):
            np.testing.assert_allclose(part[column], sm.OLS(values, sm.add_constant(age)).fit().resid, atol=1e-6)


def test_detectable_r_stands_in_every_table(stage):
    """For the tests of the table's own family, n and dof."""
    summary = table_of(stage, "association_summary").set_index(["setting", "control"])
    for (_, _), row in summary.iterrows():
        assert row["detectable_r"] == pytest.approx(detectable_r(0.05 / row["pairs"], row["dof"]), rel=1e-9)
    real = summary.xs("none", level="control")
    for name in ("associations", "association_genes"):
        found = pd.read_parquet(stage / "out" / f"{PREFIX}.{name}.parquet").groupby("setting", observed=True)
        np.testing.assert_allclose(found["detectable_r"].first(), real["detectable_r"])
        assert (found["detectable_r"].nunique() == 1).all()
    listed = pd.read_parquet(stage / "out" / f"{PREFIX}.listed_genes.parquet")
    assert listed["detectable_r"].iloc[0] == pytest.approx(detectable_r(0.05 / (2 * 8), 87))
    hidden = table_of(stage, "hidden_factors")
    for row in hidden.itertuples():
        assert row.detectable_r == pytest.approx(detectable_r(0.05 / row.pairs, row.dof))


@pytest.fixture(scope="module")
def sections(stage) -> list[dict]:
    faults = Faults()
    found = gather(stage / "out", hx_top_hits_sections.TABLES, faults)
    faults.stop()
    chosen = pd.DataFrame(
        [{"setting": f"{PREFIX}.raw.mean", "tissue_id": "Lung", "size": "256", "adjusted_for": "AGE"}]
    )
    return hx_top_hits_sections.top_hits_sections(found, chosen)


def test_sections(stage, sections):
    assert [part["id"] for part in sections] == ["top_hits", "pc_associations"]
    hits, pairs = sections
    assert len(hits["data"]) == 6 and all(len(points) == 90 for points in hits["data"])
    first = table_of(stage, "top_hits").iloc[0]
    title = hits["pconfig"]["data_labels"][0]["title"]
    assert f"r {first['r']:.2f}" in title and f"split-half r {first['r_split_half']:.2f}" in title
    wide = table_of(stage, "pc_associations").query("setting == 'Lung.256.raw.mean' and control == 'none'")
    assert np.array(pairs["data"]).size == len(wide)
    assert pairs["data"][0][0] == pytest.approx(wide["r"].iloc[0], abs=1e-4)
    assert "shuffle_within: 0 of" in pairs["description"]
    assert "Adjusted for AGE" in hits["description"] and "80 % power" in hits["description"]
    assert hx_top_hits_sections.top_hits_sections({}, pd.DataFrame(columns=["setting", "tissue_id", "size"])) == []


def test_drawn_hits_are_bounded():
    rows = pd.DataFrame([
        {"tissue_id": tissue, "gene": f"G{gene}", "donor": donor}
        for tissue in ("A", "B") for gene in range(6) for donor in range(800)
    ])  # fmt: skip
    drawn_hits = hx_top_hits_sections.shown_hits(rows)
    assert [(part["tissue_id"].iloc[0], part["gene"].iloc[0]) for part in drawn_hits] == [
        ("A", "G0"), ("B", "G0"), ("A", "G1"), ("B", "G1"), ("A", "G2"), ("B", "G2"),
    ]  # fmt: skip


def test_multiqc_takes_the_sections(sections, tmp_path):
    write_sections(sections, tmp_path / "sections")
    for path in (tmp_path / "sections").iterdir():
        assert "independent of" not in path.read_text() and json.loads(path.read_text())
        (tmp_path / path.stem).mkdir()
        shutil.move(path, tmp_path / path.stem)
    command = [str(Path(sys.executable).with_name("multiqc")), "--strict", "--no-version-check", "--no-ansi"]
    command += ["--config", f"{ROOT}/assets/multiqc_config.yml", "--filename", "report.html", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not any(word in done.stderr + done.stdout for word in ("LINT", "rror", "arning:"))
    page = (tmp_path / "report.html").read_text()
    assert all(part["id"] in page for part in sections)
