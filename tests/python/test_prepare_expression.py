"""PREPARE_EXPRESSION: log2 and rank-normal values of a tissue's donors."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hx_counts import tmm_factors
from hx_io import read_table
from hx_units import TRANSCRIPTOME_GENES
from prepare_expression import main

DONORS = [f"D{i}" for i in range(9)]
GENES = ["ENSG1.1", "ENSG2.4", "ENSG3.1_PAR_Y", "ENSG4.1", "ENSG5.2"]
SYMBOLS = ["TP53", "XIST", "SHOX", "SHOX", ""]
VALUES = np.round(np.random.default_rng(3).gamma(1.0, 9.0, size=(5, 10)), 2)
VALUES[3, :9] = 0.0


class Files:
    """An expression file with a sample R<i> a donor D<i> and one of nobody, and cohort.tsv in another order."""

    def __init__(self, folder):
        self.folder, self.values, self.unit = folder, VALUES, "tpm"
        rna = [f"R{i}" for i in range(9)]
        columns = {
            "donor": DONORS,
            "tissue": "Lung",
            "tissue_id": "Lung",
            "samples": DONORS,
            "rna_sample": rna,
            "fold": 0,
        }
        self.cohort = pd.DataFrame(columns)[::-1]

    def run(self, *more: str, tissue: str = "Lung") -> int:
        columns, n = [*(f"R{i}" for i in range(9)), "other"], len(self.values)
        table = pd.DataFrame(self.values, columns=columns, index=[*GENES, *(f"g{i}" for i in range(5, n))][:n])
        table.insert(0, "Description", [*SYMBOLS, *[""] * n][:n])
        table.rename_axis("Name").to_csv(self.folder / "x.tsv", sep="\t")
        self.cohort.to_csv(self.folder / "cohort.tsv", sep="\t", index=False)
        return main([
            "--expression", str(self.folder / "x.tsv"), "--expression-unit", self.unit, "--tissue-id", tissue,
            "--cohort", str(self.folder / "cohort.tsv"), *more,
            "--out", str(self.folder / "Lung.expression.h5ad"), "--dropped", str(self.folder / "d.tsv"),
            "--histograms", str(self.folder / "h.tsv"), "--sex-check", str(self.folder / "s.tsv"),
        ])  # fmt: skip

    def result(self) -> anndata.AnnData:
        return anndata.read_h5ad(self.folder / "Lung.expression.h5ad")

    def dropped(self) -> dict[str, str]:
        table = read_table(self.folder / "d.tsv")
        assert ((table["kind"] == "gene") & (table["stage"] == "prepare_expression")).all()
        return dict(zip(table["id"], table["reason"], strict=True))


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def test_contract(files):
    assert files.run() == 0
    table = files.result()
    varying = [0, 1, 2, 4]
    expected = np.log2(VALUES[varying, :9] + 1).T
    assert table.obs_names.tolist() == DONORS and table.obs["rna_sample"].tolist() == [f"R{i}" for i in range(9)]
    assert table.var_names.tolist() == [GENES[i] for i in varying]
    assert table.var["symbol"].tolist() == [SYMBOLS[i] for i in varying]
    assert table.X.dtype == np.float64 and np.array_equal(table.X, expected)
    blom = stats.norm.ppf((stats.rankdata(expected, axis=0) - 3 / 8) / (9 + 1 / 4))
    assert np.allclose(table.layers["int"], blom, atol=1e-13, rtol=0)
    assert np.allclose(table.var["mean"], expected.mean(axis=0), atol=1e-13)
    assert np.allclose(table.var["sd"], expected.std(axis=0, ddof=1), atol=1e-13)
    assert table.var["kept"].dtype == bool and table.var["kept"].all()
    assert table.uns["unit"] == "tpm" and table.uns["transform"] == "log2(tpm + 1)" and table.uns["files"] == "x.tsv"
    assert files.dropped() == {"ENSG4.1": "constant over 9 donors of Lung"}
    assert table.n_vars + len(files.dropped()) == len(GENES)


def test_same_input_same_bytes_contiguous(files):
    import h5py

    files.run()
    before = (files.folder / "Lung.expression.h5ad").read_bytes()
    files.cohort = files.cohort[::-1]
    files.run()
    assert (files.folder / "Lung.expression.h5ad").read_bytes() == before
    with h5py.File(files.folder / "Lung.expression.h5ad") as stored:
        assert stored["X"].chunks is None and stored["layers/int"].chunks is None


def test_log2_stays_and_counts_of_a_panel_are_not_scaled(files, capsys):
    files.values, files.unit = np.log2(VALUES + 1) - 1, "log2"
    assert files.run() == 0
    assert np.array_equal(files.result().X, files.values[[0, 1, 2, 4], :9].T)
    files.values, files.unit = np.floor(VALUES * 10), "counts"
    assert files.run() == 0
    assert np.array_equal(files.result().X, np.log2(files.values[[0, 1, 2, 4], :9] + 1).T)
    assert "no transcriptome" in capsys.readouterr().err


def transcriptome() -> np.ndarray:
    """Counts of 5,000 genes, of which the first 500 are high in every second sample."""
    rng = np.random.default_rng(4)
    level = np.outer(rng.gamma(0.5, 40, TRANSCRIPTOME_GENES), rng.uniform(0.5, 2, 10))
    level[:500, ::2] *= 8
    return rng.poisson(level).astype(float)


def test_counts_of_a_transcriptome_by_tmm(files):
    files.values, files.unit = transcriptome(), "counts"
    assert files.run() == 0
    table, counts = files.result(), files.values[:, :9]
    # Factors of the tissue's own samples: the column of nobody has no part in them.
    library, factors = counts.sum(axis=0), tmm_factors(counts)
    assert np.array_equal(table.obs["library_size"], library) and np.array_equal(table.obs["tmm_factor"], factors)
    assert table.uns["transform"] == "log2(CPM + 1), library sizes by TMM"
    varying = np.ptp(counts, axis=1) > 0
    expected = np.log2(counts / (library * factors) * 1e6 + 1)[varying]
    assert np.allclose(table.X, expected.T, rtol=0, atol=1e-12)
    files.values[:, 3] = 0
    assert files.run() == 65


def test_library_sizes_are_those_of_all_genes(files):
    files.values, files.unit = transcriptome(), "counts"
    files.run()
    whole = files.result()
    (files.folder / "genes.txt").write_text("g7\ng9\nENSG1\n")
    assert files.run("--gene-universe", str(files.folder / "genes.txt")) == 0
    part = files.result()
    assert part.var_names.tolist() == ["ENSG1.1", "g7", "g9"]
    assert np.array_equal(part.X, whole[:, part.var_names].X)


def test_gene_universe(files):
    (files.folder / "genes.txt").write_text("# my genes\nENSG1\nXIST # a symbol\nENSG5.9\nENSG4.1\nNOTHING\n\n")
    assert files.run("--gene-universe", str(files.folder / "genes.txt")) == 0
    assert files.result().var_names.tolist() == ["ENSG1.1", "ENSG2.4", "ENSG5.2"]
    assert files.dropped() == {
        "ENSG3.1_PAR_Y": "not on the list of --gene_universe",
        "ENSG4.1": "constant over 9 donors of Lung",
        "NOTHING": "on the list of --gene_universe, not in the expression files",
    }


def test_symbols_of_several_genes_are_told_and_never_merged(files, capsys):
    files.values = VALUES.copy()
    files.values[3] = VALUES[2] + 1
    assert files.run() == 0
    table = files.result()
    assert table.var_names.tolist() == GENES
    assert table.var["shared_symbol"].tolist() == [False, False, True, True, False]
    assert "2 genes share a symbol with another (SHOX): each stays by its id" in capsys.readouterr().err


def test_gene_filters(files, capsys):
    files.values = VALUES.copy()
    files.values[0] /= 1000
    assert files.run("--gene-filter", "published") == 0
    assert files.result().var["kept"].tolist() == [False, True, True, True]
    assert files.dropped()["ENSG1.1"] == "left out by --gene_filter published"
    histograms = read_table(files.folder / "h.tsv")
    of_mean = histograms[histograms["what"] == "mean"]
    assert of_mean["genes"].astype(int).sum() == 4 and of_mean["kept"].astype(int).sum() == 3
    assert set(histograms["applied"]) == {"yes"}
    assert files.run("--gene-filter", "gtex") == 0
    assert files.result().var["kept"].tolist() == [False, True, True, True]
    assert files.result().uns["gene_filter"] == "gtex"
    assert set(read_table(files.folder / "h.tsv")["applied"]) == {"no"}
    files.values /= 1e5
    for name in ("gtex", "published"):
        assert files.run("--gene-filter", name) == 65
        assert f"no gene passes --gene_filter {name}: the highest mean" in capsys.readouterr().err
    files.unit = "log2"
    with pytest.raises(SystemExit) as left:
        files.run("--gene-filter", "gtex")
    assert left.value.code == 2 and "needs values before the logarithm" in capsys.readouterr().err


def test_faults(files, capsys):
    files.unit = "counts"
    assert files.run() == 65
    assert "x.tsv, row 2 (ENSG1.1)" in capsys.readouterr().err
    files.values = transcriptome()
    files.values[:, 3] = 0
    assert files.run() == 65
    assert "no read in sample R3: exclude it with --exclude" in capsys.readouterr().err
    files.values = VALUES
    files.unit = "tpm"
    assert files.run(tissue="Liver") == 65
    assert "no row of tissue Liver: it has Lung" in capsys.readouterr().err
    (files.folder / "genes.txt").write_text("FOO\n")
    assert files.run("--gene-universe", str(files.folder / "genes.txt")) == 65
    assert "none of 1 genes is in the expression file: listed are FOO" in capsys.readouterr().err
    files.values = np.full((2, 10), 1.5)
    assert files.run() == 65
    assert "no gene varies over the 9 donors of Lung" in capsys.readouterr().err
    files.values, whole = VALUES, files.cohort
    files.cohort = pd.concat([whole, whole[:1]])
    assert files.run() == 65
    told = capsys.readouterr().err
    assert "cohort.tsv, rows 2, 11: donor D8 stands more than once in Lung" in told and "rna_sample R8" in told
    files.cohort = whole.drop(columns="rna_sample")
    assert files.run() == 65
    assert "cohort.tsv, row 1: no column rna_sample" in capsys.readouterr().err
    files.cohort = whole.assign(rna_sample=[*whole["rna_sample"][1:], "R99"])
    assert files.run() == 65
    assert "no column R99: give the file that holds it" in capsys.readouterr().err


def test_real_panel(real_data, tmp_path):
    (path,) = (real_data / "gtex").glob("*.gct.gz")
    counts = pd.read_csv(path, sep="\t", skiprows=2, index_col=0)
    names = counts.columns[1:500]
    donors = pd.Series(names).str.extract(r"^(GTEX-[^-]+)")[0]
    columns = {"donor": donors, "tissue": "Any", "tissue_id": "Any", "samples": donors, "rna_sample": names, "fold": 0}
    cohort = pd.DataFrame(columns).drop_duplicates("donor")
    cohort.to_csv(tmp_path / "cohort.tsv", sep="\t", index=False)
    given = ["--expression", str(path), "--expression-unit", "counts", "--cohort", str(tmp_path / "cohort.tsv")]
    out = ["--out", str(tmp_path / "Any.expression.h5ad"), "--dropped", str(tmp_path / "d.tsv")]
    out += ["--histograms", str(tmp_path / "h.tsv"), "--sex-check", str(tmp_path / "s.tsv")]
    assert main([*given, "--tissue-id", "Any", *out]) == 0
    table = anndata.read_h5ad(tmp_path / "Any.expression.h5ad")
    cohort = cohort.sort_values("donor")
    assert table.obs_names.tolist() == cohort["donor"].tolist()
    assert np.array_equal(table.X, np.log2(counts.loc[table.var_names, cohort["rna_sample"]].to_numpy(float) + 1).T)
    assert table.n_vars + len(read_table(tmp_path / "d.tsv")) == 59
