"""Reading expression files, their faults, and transforms."""

import gzip
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from expression_made import (
    GENES,
    RNG,
    SAMPLES,
    SYMBOLS,
    TABLE,
    VALUES,
    WITHOUT_SYMBOLS,
    faults_of,
    gct_text,
    write,
    write_all_formats,
)
from scipy import stats

import hx_matrix
import hx_matrix_text
from hx_expression import (
    check_expression,
    log2_values,
    rank_inverse_normal,
    read_expression,
    sample_names,
)
from hx_gene_lists import without_version

COUNTS, LOG2 = np.floor(VALUES), np.log2(VALUES + 1)
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_every_format_reads_alike(tmp_path):
    wanted = ["S4", "S1", "S3"]
    for name, path in write_all_formats(tmp_path).items():
        assert sample_names(path) == SAMPLES, name
        genes, values = read_expression([path], wanted, "tpm")
        assert genes["gene"].tolist() == GENES, name
        assert values.dtype == np.float64 and np.array_equal(values, TABLE[wanted].to_numpy()), name
        assert genes["symbol"].tolist() == ([""] * 30 if name in WITHOUT_SYMBOLS else SYMBOLS), name


@pytest.mark.parametrize("piece", [1, 7, 64, 700])
def test_blocks_of_any_size_read_alike(tmp_path, monkeypatch, piece):
    paths = write_all_formats(tmp_path)
    monkeypatch.setattr(hx_matrix, "BLOCK_VALUES", 14)
    monkeypatch.setattr(hx_matrix_text, "PIECE_BYTES", piece)
    monkeypatch.setattr(hx_matrix_text, "READ_BYTES", piece)
    for name in ("gct.gz", "bgzip", "crlf and bom", "blank lines", "quoted csv", "parquet", "h5ad"):
        _, values = read_expression([paths[name]], ["S0", "S5"], "tpm")
        assert np.array_equal(values, TABLE[["S0", "S5"]].to_numpy()), name


def test_numbers_are_those_of_python(tmp_path):
    rng = np.random.default_rng(1)
    text = [repr(float(x)) for x in np.exp(rng.normal(0, 30, 400)) * rng.choice([-1, 1], 400)]
    text += ["0", "-0.0", "1e3", "1E-7", "5.", ".5", "+2", "123456789012345678901", "4.9e-324", "1e-400", "007", '"8"']
    path = write(tmp_path / "a.tsv", "gene\tS\n" + "".join(f"g{i}\t{cell}\n" for i, cell in enumerate(text)))
    values = np.concatenate([block.values[:, 0] for block in hx_matrix.open_matrix(path).blocks(["S"])])
    assert values.tolist() == [float(cell.strip('"')) for cell in text]


def test_a_header_that_lies_is_read_with_a_warning(tmp_path, caplog):
    path = write(tmp_path / "a.gct", gct_text(declared=(56200, 17382)))
    assert read_expression([path], ["S0"], "tpm")[1].shape == (30, 1)
    assert "line 2 declares 56200 genes x 17382 samples, the file holds 30 x 6" in caplog.text
    caplog.clear()
    read_expression([write(tmp_path / "b.gct", gct_text())], ["S0"], "tpm")
    assert not caplog.text


def test_only_wanted_columns_are_kept(tmp_path, monkeypatch):
    import pyarrow  # noqa: F401, what it takes itself is not measured

    wide = pd.DataFrame(RNG.integers(0, 9, size=(250, 2000)) + 0.5, index=[f"g{i}" for i in range(250)])
    wide.columns = [f"S{i}" for i in range(2000)]
    path = write(tmp_path / "wide.tsv.gz", wide.to_csv(sep="\t"), zipped=True)
    monkeypatch.setattr(hx_matrix_text, "PIECE_BYTES", 1 << 14)
    monkeypatch.setattr(hx_matrix_text, "READ_BYTES", 1 << 12)
    tracemalloc.start()
    _, values = read_expression([path], ["S3", "S1999"], "tpm")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(values, wide[["S3", "S1999"]].to_numpy())
    assert peak < 1e6  # 2 MB of text, 4 MB of values


def test_memory_of_a_release(tmp_path):
    """A twentieth of the genes of GTEx v8, all of its samples: 250 MB of text, 391 MB of values."""
    sys.path.append(str(BENCHMARKS))
    from bench_expression import SAMPLES as columns
    from bench_expression import made_gct, ours

    path = tmp_path / "made.gct.gz"
    made_gct(path, 2810)
    wanted = columns[::22][:800]
    more, one = ours(path, wanted)[2], ours(path, wanted[:1])[2]
    assert more - one < 3 * 2810 * 800 * 8 / 1e6  # the values, thrice
    genes, values = read_expression([path], [wanted[700], wanted[3]], "tpm")
    table = pd.read_csv(path, sep="\t", skiprows=2, index_col=0, usecols=["Name", wanted[700], wanted[3]], nrows=300)
    assert len(genes) == 2810 and genes["gene"][:300].tolist() == table.index.tolist()
    assert np.array_equal(values[:300], table[[wanted[700], wanted[3]]].to_numpy())


def test_samples_of_several_files(tmp_path):
    a = write(tmp_path / "a.gct", gct_text(TABLE[["S0", "S1"]]))
    shuffled = TABLE[["S2", "S3"]].iloc[::-1]
    b = write(tmp_path / "b.gct", gct_text(shuffled, SYMBOLS[::-1]))
    genes, values = read_expression([b, a], ["S3", "S0", "S2"], "tpm")
    assert genes["gene"].tolist() == GENES
    assert np.array_equal(values, TABLE[["S3", "S0", "S2"]].to_numpy())


def test_samples_missing_or_in_two_files(tmp_path):
    a = write(tmp_path / "a.gct", gct_text(TABLE[["S0", "S1"]]))
    b = write(tmp_path / "b.gct", gct_text(TABLE[["S1", "S2"]]))
    told = faults_of(read_expression, [a, b], ["S0", "S1", "S9"], "tpm")
    assert "no column S9" in told and "sample S1 stands in both" in told


def test_two_releases_are_refused(tmp_path):
    a = write(tmp_path / "a.gct", gct_text(TABLE[["S0"]]))
    b = write(tmp_path / "b.gct", gct_text(TABLE[["S1"]].iloc[:28], SYMBOLS[:28]))
    told = faults_of(read_expression, [a, b], ["S0", "S1"], "tpm")
    assert "has 30 genes" in told and "28, 2 stand in one only" in told and GENES[29] in told
    newer = TABLE[["S1"]].set_axis([gene.replace(".1", ".2") for gene in GENES])
    told = faults_of(read_expression, [a, write(tmp_path / "c.gct", gct_text(newer))], ["S0", "S1"], "tpm")
    assert "60 stand in one only" in told and "the versions alone differ: two annotations" in told


def test_dots_of_r_become_dashes_of_gtex(tmp_path):
    names = ["GTEX.1117F.0226.SM.5GZZ7", "GTEX.111CU", "liver.1", "GTEX-111FC-0126-SM-5N9DL"]
    table = TABLE.iloc[:, :4].set_axis(names, axis=1)
    path = write(tmp_path / "a.tsv", table.rename_axis("gene").to_csv(sep="\t"))
    table.rename_axis("gene").reset_index().to_parquet(tmp_path / "a.parquet")
    dashed = ["GTEX-1117F-0226-SM-5GZZ7", "GTEX-111CU", "liver.1", "GTEX-111FC-0126-SM-5N9DL"]
    for file in (path, tmp_path / "a.parquet"):
        assert sample_names(file) == dashed
        assert np.array_equal(read_expression([file], dashed[1::-1], "tpm")[1], VALUES[:, 1::-1])
    both = table.set_axis([names[0], dashed[0], *names[2:]], axis=1)
    path = write(tmp_path / "b.tsv", both.rename_axis("gene").to_csv(sep="\t"))
    assert "sample GTEX-1117F-0226-SM-5GZZ7 stands more than once" in faults_of(sample_names, path)


def test_genes_on_y_keep_their_ids():
    given = ["ENSG00000182378.14", "ENSG00000182378.14_PAR_Y", "ENSMUSG00000000001.4", "AC0001.2", "TP53"]
    bare = ["ENSG00000182378", "ENSG00000182378_PAR_Y", "ENSMUSG00000000001", "AC0001.2", "TP53"]
    assert without_version(pd.Series(given)).tolist() == bare


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "row 1: no header"),
        ("#1.3\n3\t4\n", "row 1: GCT #1.3: save it as GCT 1.2"),
        ("#1.2\nmany\t4\nName\tDescription\tS0\n", "row 2: the numbers of genes and of samples"),
        ("#1.2\n1\t1\nfoo\tbar\tS0\n", "row 3: foo, bar: a GCT header begins with Name and Description"),
        ("#1.2\n1\t0\nName\tDescription\n", "row 3: no sample column"),
        ("gene\tS0\tS0\n", "row 1: sample S0 stands more than once"),
        ("gene\tS0\t\tS1\ng\t1\t1\t1\n", "row 1: sample 2 has no name"),
        ('gene,"S0,S1\ng,1,1\n', "row 1: unexpected end of data: check the quotes"),
    ],
)
def test_bad_headers(tmp_path, text, expected):
    assert expected in faults_of(sample_names, write(tmp_path / "a.txt", text))


def test_utf16_is_refused_by_name(tmp_path):
    (tmp_path / "a.tsv").write_bytes("gene\tS0\ng1\t1\n".encode("utf-16"))
    assert "row 1: UTF-16 text: save it as UTF-8" in faults_of(sample_names, tmp_path / "a.tsv")


def test_all_bad_rows_are_told_at_once(tmp_path):
    text = "gene\tS0\tS1\ng1\t1.5\t2\ng2\t1.5\ng3\tNA\t2\ng1\t-3\t4\n\t1\t2\ng4\t1\tinf\ng5\t1\t2\t3\n\ng6\t\t1\n"
    path = write(tmp_path / "a.tsv", text)
    told = faults_of(read_expression, [path], ["S1", "S0"], "tpm").split("\n")
    assert told == [
        f"{path}, row 3: 2 cells, the header has 3: a cut or shifted row",
        f"{path}, row 4 (g3), sample S0: 'NA' is no finite number: mend it or remove the gene",
        f"{path}, row 7 (g4), sample S1: 'inf' is no finite number: mend it or remove the gene",
        f"{path}, row 8: 4 cells, the header has 3: a cut or shifted row",
        f"{path}, row 10 (g6), sample S0: the cell is empty: mend it or remove the gene",
        f"{path}, row 6: no gene id: name the gene or remove the row",
        f"{path}, rows 2, 5: gene g1 stands twice: keep or sum one",
        f"{path}, row 5 (g1): -3 is negative, in a file declared as tpm: are these log2 values? "
        "declare --expression_unit log2",
    ]
    path = write(tmp_path / "c.tsv", "gene\tS0\n" + "".join(f"g{i}\tx\n" for i in range(50)))
    told = faults_of(read_expression, [path], ["S0"], "tpm")
    assert told.count("is no finite number") == 20 and "30 further rows" in told
    assert "no genes" in faults_of(read_expression, [write(tmp_path / "d.tsv", "gene\tS0\n")], ["S0"], "tpm")


def test_quotes_that_are_not_closed(tmp_path, caplog):
    symbols = ['"open', "3'-\"x", '"closed"', *SYMBOLS[3:]]
    path = write(tmp_path / "a.gct", gct_text(symbols=symbols))
    genes, values = read_expression([path], ["S0"], "tpm")
    assert genes["symbol"].tolist() == ['"open', "3'-\"x", "closed", *SYMBOLS[3:]] and len(values) == 30
    assert "a.gct, row 4, 5: a quote is not closed: read as it is" in caplog.text
    path = write(tmp_path / "a.csv", 'gene,S0\n"g,1",2.5\n"g2,3\ng3,"4\n"g4",5\n')
    told = faults_of(read_expression, [path], ["S0"], "tpm").split("\n")
    assert told == [f"{path}, row {row}: unexpected end of data: check the quotes" for row in (3, 4)]
    path = write(tmp_path / "b.tsv", 'gene\tS0\n"g1\t2.5\ng2\t"3\n')
    told = faults_of(read_expression, [path], ["S0"], "tpm")
    assert 'row 2 ("g1): a quote in the gene id' in told and "row 3 (g2), sample S0: '\"3' is no finite number" in told


def test_only_wanted_cells_must_be_numbers(tmp_path):
    path = write(tmp_path / "a.tsv", "gene\tS0\tS1\ng1\t1.5\tNA\n")
    assert read_expression([path], ["S0"], "tpm")[1].tolist() == [[1.5]]


def test_damaged_files(tmp_path):
    whole = gzip.compress(gct_text().encode())
    for cut in (-40, -8, -1, 12):
        (tmp_path / "a.gct.gz").write_bytes(whole[:cut])
        assert "cut short or damaged" in faults_of(read_expression, [tmp_path / "a.gct.gz"], ["S0"], "tpm")
    (tmp_path / "a.gct.gz").write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    assert "cut short or damaged" in faults_of(read_expression, [tmp_path / "a.gct.gz"], ["S0"], "tpm")
    for name in ("a.parquet", "a.h5ad"):
        (tmp_path / name).write_bytes(b"nonsense")
        assert f"no readable {name[2:]} file".lower() in faults_of(sample_names, tmp_path / name).lower()
    frame = TABLE.rename_axis("gene_id").reset_index()
    frame.loc[4, "S2"] = np.nan
    frame.to_parquet(tmp_path / "b.parquet")
    told = faults_of(read_expression, [tmp_path / "b.parquet"], ["S2"], "tpm")
    assert f"gene 5 ({GENES[4]}), sample S2: no finite number" in told
    TABLE.reset_index(drop=True).to_parquet(tmp_path / "c.parquet")
    assert "no text column of gene ids" in faults_of(sample_names, tmp_path / "c.parquet")


def test_faults_of_all_files_come_at_once(tmp_path):
    a = write(tmp_path / "a.gct", gct_text(TABLE[["S0"]]))
    b = write(tmp_path / "b.gct", gct_text(-TABLE[["S1"]]))
    for read in (check_expression, read_expression):
        told = faults_of(read, [a, b], ["S0", "S1"], "counts")
        assert "a.gct, row 4" in told and "b.gct, row 4" in told
    check_expression([a], ["S0"], "tpm")


def test_log2_of_each_unit():
    assert np.array_equal(log2_values(VALUES.copy(), "tpm")[0], np.log2(VALUES + 1))
    given = LOG2.copy()
    assert log2_values(given, "log2")[0] is given and np.array_equal(given, LOG2)
    values, transform = log2_values(COUNTS.copy(), "counts")
    assert np.array_equal(values, np.log2(COUNTS + 1)) and transform == "log2(counts + 1)"
    values, transform = log2_values(COUNTS.copy(), "counts", COUNTS.sum(axis=0))
    assert transform == "log2(CPM + 1), library sizes by TMM"
    assert np.allclose((2**values - 1).sum(axis=0), 1e6, rtol=1e-12)


def test_rank_inverse_normal_is_blom_with_average_ties():
    values = np.round(RNG.normal(size=(1500, 41)), 1)
    expected = [stats.norm.ppf((stats.rankdata(row, method="average") - 3 / 8) / (41 + 1 / 4)) for row in values]
    assert np.allclose(rank_inverse_normal(values), expected, rtol=0, atol=1e-13)
    assert np.allclose(rank_inverse_normal(np.full((1, 7), 3.0)), 0, atol=1e-15)
    assert rank_inverse_normal(np.empty((0, 7))).shape == (0, 7)
    # three values: ranks 1, 2, 3 are the normal quantiles of (5, 13, 21) / 26
    assert np.allclose(rank_inverse_normal([[10.0, 30.0, 20.0]]), stats.norm.ppf([[5 / 26, 21 / 26, 0.5]]), atol=1e-15)


def test_real_gct_equals_pandas(real_data, caplog):
    (path,) = (real_data / "gtex").glob("*.gct.gz")
    table = pd.read_csv(path, sep="\t", skiprows=2, index_col=0)
    assert sample_names(path) == table.columns[1:].tolist()
    wanted = table.columns[1:][::97].tolist()[::-1]
    genes, values = read_expression([path], wanted, "counts")
    assert "line 2 declares 56200 genes x 17382 samples, the file holds 59 x 17382" in caplog.text
    assert genes["gene"].tolist() == table.index.tolist()
    assert genes["symbol"].tolist() == table["Description"].tolist()
    assert np.array_equal(values, table[wanted].to_numpy(dtype=float))
    told = faults_of(check_expression, [path], wanted, "tpm")
    assert "declare counts" in told and "by its name the unit is counts, tpm is declared" in told
