"""Which genes are analysed: lists, filters, histograms."""

import numpy as np
import pandas as pd
import pytest
from expression_made import faults_of

from hx_expression_sections import expression_sections
from hx_gene_lists import listed_genes
from hx_genes import HISTOGRAM_COLUMNS, gene_histograms, gtex_filter, published_filter, shared_symbols
from hx_io import read_table, write_tsv

GENES = pd.DataFrame({
    "gene": ["ENSG01.1", "ENSG02.4", "ENSG03.1", "ENSG03.1_PAR_Y", "ENSG05.2", "ENSG06.1"],
    "symbol": ["TP53", "XIST", "SHOX", "SHOX", "", "Y_RNA"],
})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found", "unknown"),
    [
        ("ENSG01\nXIST # a symbol\n\n# nothing else\nENSG05.2\nNOTHING\n", [0, 1, 4], ["NOTHING"]),
        ("ENSG02.9\n", [1], []),  # of another annotation
        ("SHOX\n", [2, 3], []),  # a symbol is every gene that bears it
        ("ENSG03\n", [2], []),  # the copy on Y is another gene
        ("ENSG03_PAR_Y\nENSG06.1_PAR_Y\r\n", [3], ["ENSG06.1_PAR_Y"]),
        ("\ufeffENSG03.7_PAR_Y\n", [3], []),
    ],
)
def test_a_list_names_genes(tmp_path, text, found, unknown):
    (tmp_path / "genes.txt").write_text(text)
    mask, lost = listed_genes(GENES, str(tmp_path / "genes.txt"))
    assert np.flatnonzero(mask).tolist() == found and lost == unknown


def test_a_list_of_other_genes_is_refused(tmp_path):
    (tmp_path / "genes.txt").write_text("BRCA1\nENSMUSG01\n")
    told = faults_of(listed_genes, GENES, str(tmp_path / "genes.txt"))
    assert "none of 2 genes is in the expression file: listed are BRCA1, ENSMUSG01, the file has ENSG01.1" in told
    (tmp_path / "genes.txt").write_text("# none\n")
    assert "none of 0 genes" in faults_of(listed_genes, GENES, str(tmp_path / "genes.txt"))


def test_symbols_of_several_genes():
    assert shared_symbols(pd.Series(["A", "", "B", "", "A"])).tolist() == [True, False, False, False, True]


def test_published_filter():
    rng = np.random.default_rng(1)
    mean, sd = rng.uniform(0, 3, 5000), rng.uniform(0, 1, 5000)
    table = pd.DataFrame({"mean": mean, "sd": sd})
    expected = table[table["mean"] > 1].nlargest(2000, "sd").index
    assert sorted(np.flatnonzero(published_filter(mean, sd))) == sorted(expected)
    assert published_filter(np.array([2.0, 0.5]), np.array([1.0, 1.0])).tolist() == [True, False]


def test_gtex_filter_of_one_unit():
    tpm = np.zeros((5, 10))
    tpm[1, :2], tpm[2, :2], tpm[3, 0], tpm[4] = 0.11, 0.1, 900, 1
    assert gtex_filter(tpm, "tpm").tolist() == [False, True, False, False, True]
    counts = np.zeros((2500, 10))
    counts[0, :2], counts[1, :2], counts[2, :1], counts[2400, 5:7] = 6, 5, 600, 6
    assert np.flatnonzero(gtex_filter(counts, "counts")).tolist() == [0, 2400]
    # Six reads of 70 million are 0.086 a million; of 50 million 0.12.
    library = np.full(10, 7e7)
    assert np.flatnonzero(gtex_filter(counts, "counts", library)).tolist() == []
    library[:2] = 5e7
    assert np.flatnonzero(gtex_filter(counts, "counts", library)).tolist() == [0]


def histograms(tissue="Lung", applied=True, n=6000) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    mean, sd = rng.gamma(1, 1.5, n), rng.gamma(2, 0.3, n)
    kept = published_filter(mean, sd) if applied else np.ones(n, dtype=bool)
    return gene_histograms(mean, sd, kept, tissue, applied), mean, sd, kept


def test_histograms_and_cut_offs():
    table, mean, sd, kept = histograms()
    of_mean, of_sd = (table[table["what"] == what] for what in ("mean", "sd"))
    assert of_mean["genes"].sum() == 6000 and of_sd["genes"].sum() == (mean > 1).sum() > 2000
    assert of_mean["kept"].sum() == of_sd["kept"].sum() == 2000
    assert (of_mean["cut_off"] == 1).all() and (table["applied"] == "yes").all()
    (cut,) = set(of_sd["cut_off"])
    assert np.array_equal(kept, (mean > 1) & (sd >= cut))
    assert of_sd["kept"][of_sd["right"] < cut].sum() == 0
    assert (of_sd["kept"] == of_sd["genes"])[of_sd["left"] > cut].all()
    counts, _ = np.histogram(mean, [*of_mean["left"], of_mean["right"].iloc[-1]])
    assert counts.tolist() == of_mean["genes"].tolist() and (of_mean["left"].iloc[0], of_mean["right"].iloc[-1]) == (
        0,
        mean.max(),
    )
    few, *_ = histograms(n=300, applied=False)
    assert few[few["what"] == "sd"]["cut_off"].isna().all() and (few["applied"] == "no").all()
    silent = gene_histograms(np.full(5, -0.5), np.ones(5), np.ones(5, dtype=bool), "Lung", False)
    assert set(silent["what"]) == {"mean"} and silent["genes"].sum() == 5


def test_sections_of_the_report(tmp_path):
    parts = [histograms()[0], histograms("Liver", n=5500)[0], histograms("Skin", n=300)[0]]
    write_tsv(pd.concat(parts), tmp_path / "h.tsv")
    rows = read_table(tmp_path / "h.tsv")
    numbers = rows.columns.difference(["tissue_id", "what", "applied"])
    rows = rows.assign(**{name: pd.to_numeric(rows[name]) for name in numbers})
    assert list(rows.columns) == HISTOGRAM_COLUMNS
    mean, sd = expression_sections({"gene_histograms": rows})
    assert (mean["id"], sd["id"]) == ("gene_mean", "gene_sd")
    assert [line["value"] for line in mean["pconfig"]["x_lines"]] == [1] and len(mean["data"]) == 3
    cuts = {part["cut_off"].iloc[-1] for part in parts[:2]}
    assert [line["value"] for line in sd["pconfig"]["x_lines"]] == [round(cut, 4) for cut in sorted(cuts)]
    assert {line["label"] for line in sd["pconfig"]["x_lines"]} == {"Lung", "Liver"}
    assert sum(y for _, y in sd["data"]["Lung"]) == parts[0].query("what == 'sd'")["genes"].sum()
    assert "the filter of this run" in mean["description"]
    alone = expression_sections({"gene_histograms": rows[rows["tissue_id"] == "Skin"].assign(applied="no")})
    assert "not applied in this run" in alone[0]["description"] and alone[1]["pconfig"]["x_lines"] == []
    assert expression_sections({}) == []
