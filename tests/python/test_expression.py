"""Reading expression files, their faults, units, and transforms."""

import gzip
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hx_matrix
from hx_cli import DataError
from hx_expression import (
    TRANSCRIPTOME_GENES,
    UnitCheck,
    check_expression,
    log2_values,
    rank_inverse_normal,
    read_expression,
    sample_names,
)


def check_unit(values, declared, path="expression", genes=None, rows=None):
    """Messages of UnitCheck on the values of one file; rows are counted from 1."""
    check = UnitCheck(declared)
    rows = list(rows or range(1, len(values) + 1))
    check.add(list(genes or map("gene {}".format, rows)), rows, np.asarray(values, dtype=float))
    return check.faults(path)


RNG = np.random.default_rng(7)
VALUES = np.round(RNG.gamma(1.0, 20.0, size=(30, 6)), 3)
GENES = [f"ENSG{i:011d}.1" for i in range(30)]
SYMBOLS = [f"G{i}" for i in range(30)]
SAMPLES = [f"S{i}" for i in range(6)]
TABLE = pd.DataFrame(VALUES, index=GENES, columns=SAMPLES)


def gct_text(table=TABLE, symbols=SYMBOLS, declared=None, lead="", end="\n") -> str:
    rows, columns = declared or table.shape
    head = ["Name", "Description", *table.columns]
    lines = ["#1.2", f"{rows}\t{columns}", "\t".join([*(["id"] if lead else []), *head])]
    for number, (gene, symbol) in enumerate(zip(table.index, symbols, strict=True)):
        lines.append("\t".join([*([str(number)] if lead else []), gene, symbol, *map(str, table.iloc[number])]))
    return end.join(lines) + end


def write(path, text: str, zipped: bool = False):
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if zipped else text.encode())
    return path


def write_all_formats(folder) -> dict:
    import anndata

    named = TABLE.rename_axis("gene_id")
    r_style = "\t".join(f'"{s}"' for s in SAMPLES) + "\n"
    r_style += "".join("\t".join([f'"{g}"', *map(str, TABLE.loc[g])]) + "\n" for g in GENES)
    with_symbol = named.reset_index()
    with_symbol.insert(1, "gene_name", SYMBOLS)
    with_symbol.to_parquet(folder / "a.parquet")
    var = pd.DataFrame({"symbol": SYMBOLS}, index=GENES)
    adata = anndata.AnnData(VALUES.T, obs=pd.DataFrame(index=SAMPLES), var=var)
    adata.write_h5ad(folder / "a.h5ad")
    return {
        "gct": write(folder / "a.gct", gct_text()),
        "gct.gz": write(folder / "a.gct.gz", gct_text(), zipped=True),
        "per tissue": write(folder / "t.gct", gct_text(lead="id")),
        "crlf and bom": write(folder / "w.gct", "\ufeff" + gct_text(end="\r\n")),
        "tsv": write(folder / "a.tsv", named.to_csv(sep="\t")),
        "tsv.gz": write(folder / "a.tsv.gz", named.to_csv(sep="\t"), zipped=True),
        "csv with symbols": write(folder / "a.csv", with_symbol.to_csv(index=False)),
        "quoted csv": write(folder / "q.csv", named.to_csv(quoting=1)),
        "R's write.table": write(folder / "r.txt", r_style),
        "parquet": folder / "a.parquet",
        "h5ad": folder / "a.h5ad",
    }


def test_every_format_reads_alike(tmp_path):
    wanted = ["S4", "S1", "S3"]
    for name, path in write_all_formats(tmp_path).items():
        assert sample_names(path) == SAMPLES, name
        genes, values = read_expression([path], wanted, "tpm")
        assert genes["gene"].tolist() == GENES, name
        assert values.dtype == np.float64 and np.array_equal(values, TABLE[wanted].to_numpy()), name
        has_symbols = name not in ("tsv", "tsv.gz", "quoted csv", "R's write.table")
        assert genes["symbol"].tolist() == (SYMBOLS if has_symbols else [""] * 30), name


def test_blocks_of_any_size_read_alike(tmp_path, monkeypatch):
    paths = write_all_formats(tmp_path)
    monkeypatch.setattr(hx_matrix, "BLOCK_VALUES", 14)
    for path in (paths["gct.gz"], paths["parquet"]):
        _, values = read_expression([path], ["S0", "S5"], "tpm")
        assert np.array_equal(values, TABLE[["S0", "S5"]].to_numpy())


def test_a_header_that_lies_is_read_with_a_warning(tmp_path, caplog):
    path = write(tmp_path / "a.gct", gct_text(declared=(56200, 17382)))
    assert read_expression([path], ["S0"], "tpm")[1].shape == (30, 1)
    assert "line 2 declares 56200 genes x 17382 samples, the file holds 30 x 6" in caplog.text
    caplog.clear()
    read_expression([write(tmp_path / "b.gct", gct_text())], ["S0"], "tpm")
    assert not caplog.text


def test_only_wanted_columns_are_kept(tmp_path):
    wide = pd.DataFrame(RNG.integers(0, 9, size=(100, 2000)) + 0.5, index=[f"g{i}" for i in range(100)])
    wide.columns = [f"S{i}" for i in range(2000)]
    path = write(tmp_path / "wide.tsv.gz", wide.to_csv(sep="\t"), zipped=True)
    tracemalloc.start()
    _, values = read_expression([path], ["S3", "S1999"], "tpm")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(values, wide[["S3", "S1999"]].to_numpy())
    # the file's values alone are 1.6 MB; the preallocated block of two columns is 16 MB of untouched memory
    assert peak - hx_matrix.BLOCK_VALUES * 8 < 0.8e6


def test_samples_of_several_files(tmp_path):
    a = write(tmp_path / "a.gct", gct_text(TABLE[["S0", "S1"]]))
    shuffled = TABLE[["S2", "S3"]].iloc[::-1]
    b = write(tmp_path / "b.gct", gct_text(shuffled, SYMBOLS[::-1]))
    genes, values = read_expression([b, a], ["S3", "S0", "S2"], "tpm")
    assert genes["gene"].tolist() == GENES
    assert np.array_equal(values, TABLE[["S3", "S0", "S2"]].to_numpy())


def faults_of(call, *arguments) -> str:
    with pytest.raises(DataError) as raised:
        call(*arguments)
    return "\n".join(raised.value.faults)


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
    ],
)
def test_bad_headers(tmp_path, text, expected):
    assert expected in faults_of(sample_names, write(tmp_path / "a.txt", text))


def test_all_bad_rows_are_told_at_once(tmp_path):
    text = "gene\tS0\tS1\ng1\t1.5\t2\ng2\t1.5\ng3\tNA\t2\ng1\t3\t4\n\t1\t2\ng4\t1\tinf\ng5\t1\t2\t3\n"
    path = write(tmp_path / "a.tsv", text)
    told = faults_of(read_expression, [path], ["S1", "S0"], "tpm")
    assert f"{path}, row 3: 2 cells, the header has 3" in told
    assert f"{path}, row 4 (g3), sample S0: 'NA' is no finite number" in told
    assert f"{path}, row 7 (g4), sample S1: 'inf' is no finite number" in told
    assert f"{path}, row 8: 4 cells, the header has 3" in told
    path = write(tmp_path / "b.tsv", "gene\tS0\ng1\t1.5\ng1\t3\n\t1\n")
    told = faults_of(read_expression, [path], ["S0"], "tpm")
    assert f"{path}, rows 2, 3: gene g1 stands twice" in told and f"{path}, row 4: no gene id" in told
    path = write(tmp_path / "c.tsv", "gene\tS0\n" + "".join(f"g{i}\tx\n" for i in range(50)))
    told = faults_of(read_expression, [path], ["S0"], "tpm")
    assert told.count("is no finite number") == 20 and "30 further rows" in told
    assert "no genes" in faults_of(read_expression, [write(tmp_path / "d.tsv", "gene\tS0\n")], ["S0"], "tpm")


def test_only_wanted_cells_must_be_numbers(tmp_path):
    path = write(tmp_path / "a.tsv", "gene\tS0\tS1\ng1\t1.5\tNA\n")
    assert read_expression([path], ["S0"], "tpm")[1].tolist() == [[1.5]]


def test_damaged_files(tmp_path):
    path = tmp_path / "a.gct.gz"
    path.write_bytes(gzip.compress(gct_text().encode())[:-40])
    assert "cut short or damaged" in faults_of(read_expression, [path], ["S0"], "tpm")
    for name in ("a.parquet", "a.h5ad"):
        (tmp_path / name).write_bytes(b"nonsense")
        assert f"no {name[2:]} file".lower() in faults_of(sample_names, tmp_path / name).lower()
    frame = TABLE.rename_axis("gene_id").reset_index()
    frame.loc[4, "S2"] = np.nan
    frame.to_parquet(tmp_path / "b.parquet")
    told = faults_of(read_expression, [tmp_path / "b.parquet"], ["S2"], "tpm")
    assert f"gene 5 ({GENES[4]}), sample S2: no finite number" in told
    TABLE.reset_index(drop=True).to_parquet(tmp_path / "c.parquet")
    assert "no text column of gene ids" in faults_of(sample_names, tmp_path / "c.parquet")


COUNTS = np.floor(VALUES)
LOG2 = np.log2(VALUES + 1)


@pytest.mark.parametrize(
    ("values", "unit"),
    [(VALUES, "tpm"), (VALUES, "rpkm"), (VALUES, "fpkm"), (COUNTS, "counts"), (LOG2, "log2"), (LOG2 - 3, "log2")],
)
def test_units_that_fit(values, unit):
    assert check_unit(values, unit) == []


def test_units_that_do_not_fit():
    for unit in ("tpm", "rpkm", "fpkm", "counts"):
        told = check_unit(LOG2 - 3, unit, "a.gct", GENES, range(4, 34))
        assert "a.gct, row " in told[0] and f"is negative, in a file declared as {unit}" in told[0]
        assert "declare --expression-unit log2" in told[0]
    assert "further rows like these" in check_unit(VALUES - 1e6, "tpm")[-1]
    first = int(np.flatnonzero((VALUES != COUNTS).any(axis=1))[0])
    told = check_unit(VALUES, "counts", "a.gct", GENES, range(4, 34))
    assert f"row {first + 4} ({GENES[first]})" in told[0] and "is no whole number" in told[0]
    for unit in ("tpm", "rpkm", "fpkm", "log2"):
        assert "all values are whole" in check_unit(COUNTS, unit)[0] and "declare counts" in check_unit(COUNTS, unit)[0]
    assert "too high for log2 values" in check_unit(VALUES, "log2")[0]
    assert "TPM sum to at most 1e6" in check_unit(VALUES * 1e5 + 0.5, "tpm")[0]
    assert check_unit(VALUES * 1e5 + 0.5, "rpkm") == []
    whole = np.tile(LOG2, (TRANSCRIPTOME_GENES // 30 + 1, 1))
    assert "are these log2 values?" in check_unit(whole, "tpm")[0]
    with pytest.raises(ValueError, match="unit 'TPM'"):
        check_unit(VALUES, "TPM")


def test_unit_check_does_not_depend_on_blocks():
    whole, parts = UnitCheck("counts"), UnitCheck("counts")
    whole.add(GENES, range(30), VALUES)
    for start in range(0, 30, 7):
        parts.add(GENES[start : start + 7], range(start, min(start + 7, 30)), VALUES[start : start + 7])
    assert whole.faults("a") == parts.faults("a") != []


def test_faults_of_all_files_come_at_once(tmp_path):
    a = write(tmp_path / "a.gct", gct_text(TABLE[["S0"]]))
    b = write(tmp_path / "b.gct", gct_text(-TABLE[["S1"]]))
    told = faults_of(check_expression, [a, b], ["S0", "S1"], "counts")
    assert "a.gct, row 4" in told and "b.gct, row 4" in told
    check_expression([a], ["S0"], "tpm")


def test_log2_of_each_unit(caplog):
    assert np.array_equal(log2_values(VALUES, "tpm", 30)[0], np.log2(VALUES + 1))
    assert log2_values(LOG2, "log2", 30)[0] is LOG2
    values, transform = log2_values(COUNTS, "counts", 30)
    assert np.array_equal(values, np.log2(COUNTS + 1)) and transform == "log2(counts + 1)"
    assert "30 genes are no transcriptome" in caplog.text
    values, transform = log2_values(COUNTS, "counts", TRANSCRIPTOME_GENES)
    assert transform == "log2(CPM + 1)"
    assert np.allclose((2**values - 1).sum(axis=0), 1e6, rtol=1e-12)
    empty = COUNTS.copy()
    empty[:, 2] = 0
    with pytest.raises(DataError, match="no read in sample 3"):
        log2_values(empty, "counts", TRANSCRIPTOME_GENES)


def test_rank_inverse_normal_is_blom_with_average_ties():
    values = np.round(RNG.normal(size=(5, 41)), 1)
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
    assert "declare counts" in faults_of(check_expression, [path], wanted, "tpm")
