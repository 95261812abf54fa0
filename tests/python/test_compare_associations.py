"""compare_associations.py and hx_sharing: what is found in one place, looked up in another."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import test_associate
from scipy import stats

import associate
from compare_associations import main
from hx_sharing import sharing, storey_pi0


def test_pi0_against_its_definition():
    """Of a mixture with 60 % nulls, over 200 draws; and all nulls, and no null."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found.append(storey_pi0(np.concatenate([rng.uniform(size=600), rng.beta(0.1, 6, 400)])))
    assert np.mean(found) == pytest.approx(0.6, abs=0.03)
    assert np.mean([storey_pi0(np.random.default_rng(k).uniform(size=1000)) for k in range(100)]) > 0.9
    assert storey_pi0(np.full(100, 1e-9)) == 0
    assert np.isnan(storey_pi0(np.array([0.1, 0.2])))


def test_pi0_against_qvalue():
    """R: k <- 1:400; p <- ((k * 0.6180339887498949) %% 1)^ifelse(k %% 4 == 0, 4, 1);

    pi0est(p, pi0.method="bootstrap")$pi0 of qvalue 2.30.0 (oracle O6).
    """
    k = np.arange(1, 401)
    p = (k * 0.6180339887498949 % 1) ** np.where(k % 4 == 0, 4, 1)
    assert storey_pi0(p) == pytest.approx(0.842307692307693, rel=1e-12)


def test_sharing_by_hand():
    found = sharing(np.array([0.5, 0.4, -0.3, 0.2]), np.array([0.4, -0.1, -0.2, 0.1]), np.array([0.01, 0.5, 0.03, 0.2]))
    assert (found["pairs"], found["same_sign"], found["replicated"]) == (4, 0.75, 0.5)
    assert found["sign_p"] == pytest.approx(stats.binomtest(3, 4).pvalue)
    assert sharing(*np.empty((3, 0)))["pairs"] == 0


def test_the_sign_test_is_calibrated():
    """1,000 nulls of independent pairs; it is discrete, so that it may be conservative, never the reverse."""
    rejected = 0
    for seed in range(1000):
        r = np.random.default_rng(seed).standard_normal((2, 101))
        rejected += sharing(*r, np.ones(101))["sign_p"] <= 0.05
    assert rejected <= stats.binom.ppf(0.9995, 1000, 0.05)


def put(folder: Path, name: str, signal: float, seed: int, donors: int = 80, prefix: str = "D") -> None:
    """Features, expression and associations of a <tissue_id>.<size>."""
    image, expression = test_associate.tables(donors=donors, genes=60, signal=signal, seed=seed)
    for table in (image, expression):
        table.obs_names = [name.replace("D", prefix) for name in table.obs_names]
    folder.mkdir(parents=True, exist_ok=True)
    tissue = name.rsplit(".", 1)[0]
    image.write_h5ad(folder / f"{name}.h5ad")
    expression.write_h5ad(folder / f"{tissue}.expression.h5ad")
    arguments = ["--features", f"{folder}/{name}.h5ad", "--expression", f"{folder}/{tissue}.expression.h5ad"]
    assert (
        associate.main([*arguments, "--setting-prefix", name, "--outdir", str(folder), "--aggregations", "mean"]) == 0
    )


def compare(folder: Path, *options: str) -> pd.DataFrame:
    assert main(["--results", str(folder), *options, "--out", f"{folder}/found.tsv"]) == 0
    return pd.read_csv(folder / "found.tsv", sep="\t")


def test_tissues(tmp_path):
    put(tmp_path, "Lung.256", 1.5, 0)
    put(tmp_path, "Skin.256", 1.5, 1)
    put(tmp_path, "Liver.256", 0.0, 2)
    put(tmp_path, "Liver.512", 1.5, 3)
    found = compare(tmp_path, "--across", "tissues").set_index(["found_in", "looked_up_in", "encoder"])
    assert {"Lung.256", "Skin.256"} <= set(found.index.get_level_values(0))
    row = found.loc[("Lung.256", "Skin.256", "raw")]
    assert row["pairs"] == row["hits"] >= 8 and row["same_sign"] > 0.9 and row["replicated"] > 0.9
    assert row["shared_donors"] == 80 and (row["n"], row["dof"]) == (80, 78)
    shift = row["detectable_r"] * np.sqrt(79 / (1 - row["detectable_r"] ** 2))
    assert stats.nct.sf(stats.t.isf(0.025, 78), 78, shift) == pytest.approx(0.8, abs=1e-6)
    row = found.loc[("Lung.256", "Liver.256", "raw")]
    assert row["replicated"] < 0.4
    # Genes that both found, of those that both tested.
    row, genes = found.loc[("Lung.256", "Skin.256", "raw")], {}
    for tissue in ("Lung", "Skin"):
        table = pd.read_parquet(tmp_path / f"{tissue}.256.association_genes.parquet").query("gene_q <= 0.05")
        genes[tissue] = set(table.loc[table["setting"] == f"{tissue}.256.raw.mean", "gene"])
    both = genes["Lung"] & genes["Skin"]
    assert (row["genes_tested"], row["genes_first"], row["genes_shared"]) == (60, len(genes["Lung"]), len(both))
    assert row["genes_jaccard"] == pytest.approx(len(both) / len(genes["Lung"] | genes["Skin"]), rel=1e-9)
    assert row["genes_expected"] == pytest.approx(len(genes["Lung"]) * len(genes["Skin"]) / 60)
    assert row["genes_p_overlap"] < 1e-3 and len(both) >= 4
    # Against the whole matrix of the second tissue.
    skin = anndata.read_h5ad(tmp_path / "Skin.256.h5ad"), anndata.read_h5ad(tmp_path / "Skin.expression.h5ad")
    hits = pd.read_parquet(tmp_path / "Lung.256.associations.parquet").query(
        "q_tree.notna() and setting == 'Lung.256.raw.mean'"
    )
    p = [
        stats.pearsonr(
            np.asarray(skin[0].X[:, skin[0].var_names.get_loc(h.feature)], float),
            skin[1].layers["int"][:, skin[1].var_names.get_loc(h.gene)],
        )
        for h in hits.itertuples()
    ]
    same = np.sign([x.statistic for x in p]) == np.sign(hits["r"])
    row = found.loc[("Lung.256", "Skin.256", "raw")]
    assert row["replicated"] == pytest.approx(np.mean(same & (np.array([x.pvalue for x in p]) <= 0.05)))


def test_sizes_of_other_weights_are_not_compared(tmp_path):
    for size in ("256", "512"):
        put(tmp_path, f"Lung.{size}", 1.5, 0)
    assert len(compare(tmp_path, "--across", "sizes")) == 2
    image = anndata.read_h5ad(tmp_path / "Lung.512.h5ad")
    image.var["weights_sha256"] = "cd"
    image.write_h5ad(tmp_path / "Lung.512.h5ad")
    assert compare(tmp_path, "--across", "sizes").empty


def test_replication_in_a_second_cohort(tmp_path, capsys):
    put(tmp_path / "a", "Lung.256", 1.5, 0)
    put(tmp_path / "b", "Lung.256", 1.5, 1, prefix="E")
    found = compare(tmp_path / "a", "--across", "cohorts", "--replication", str(tmp_path / "b"))
    assert set(found["found_in"]) == {"this:Lung.256", "replication:Lung.256"}
    assert (found.loc[found["encoder"] == "raw", "replicated"] > 0.9).all() and (found["shared_donors"] == 0).all()
    put(tmp_path / "b", "Lung.256", 1.5, 1)
    options = ["--across", "cohorts", "--replication", str(tmp_path / "b"), "--out", str(tmp_path / "x.tsv")]
    assert main(["--results", str(tmp_path / "a"), *options]) == 65
    told = capsys.readouterr().err
    assert "Lung.256: 80 donors are in both cohorts (D000" in told and "--exclude" in told


def test_folders_without_results(tmp_path, capsys):
    put(tmp_path / "a", "Lung.256", 1.5, 0)
    (tmp_path / "a" / "Lung.expression.h5ad").unlink()
    put(tmp_path / "a", "Skin.256", 1.5, 0)
    (tmp_path / "a" / "Lung.expression.h5ad").unlink(missing_ok=True)
    assert main(["--results", str(tmp_path / "a"), "--across", "tissues", "--out", str(tmp_path / "x")]) == 65
    assert "no Lung.expression.h5ad" in capsys.readouterr().err
    assert main(["--results", str(tmp_path / "none"), "--across", "tissues", "--out", str(tmp_path / "x")]) == 65
    assert "no *.associations.parquet" in capsys.readouterr().err
    put(tmp_path / "b", "Lung.256", 1.5, 0)
    put(tmp_path / "b", "Skin.256", 1.5, 1)
    (tmp_path / "b" / "Skin.256.association_genes.parquet").unlink()
    assert main(["--results", str(tmp_path / "b"), "--across", "tissues", "--out", str(tmp_path / "x")]) == 65
    assert "no Skin.256.association_genes.parquet" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--results", str(tmp_path), "--across", "cohorts", "--out", str(tmp_path / "x")])
    assert stop.value.code == 2
