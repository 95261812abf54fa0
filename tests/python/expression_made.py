"""Expression files of every format, for tests: 30 genes x 6 samples."""

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

from hx_cli import DataError

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
    path.write_bytes(gzip.compress(text.encode(), 1, mtime=0) if zipped else text.encode())
    return path


def bgzipped(text: str, size: int = 700) -> bytes:
    """Gzip members one after the other, as bgzip writes them, the last one empty."""
    raw = text.encode()
    return b"".join(gzip.compress(raw[i : i + size], mtime=0) for i in range(0, len(raw) + size, size))


def write_all_formats(folder) -> dict:
    named = TABLE.rename_axis("gene_id")
    r_style = "\t".join(f'"{s}"' for s in SAMPLES) + "\n"
    r_style += "".join("\t".join([f'"{g}"', *map(str, TABLE.loc[g])]) + "\n" for g in GENES)
    with_symbol = named.reset_index()
    with_symbol.insert(1, "gene_name", SYMBOLS)
    with_symbol.to_parquet(folder / "a.parquet")
    # As pandas writes an index without a name, and symbols as categories.
    v11 = with_symbol.rename(columns={"gene_id": "Name", "gene_name": "Description"}).astype(
        {"Description": "category"}
    )
    v11.set_axis(np.arange(5, 35)).to_parquet(folder / "v11.parquet")
    var = pd.DataFrame({"symbol": SYMBOLS}, index=GENES)
    adata = anndata.AnnData(VALUES.T, obs=pd.DataFrame(index=SAMPLES), var=var)
    adata.write_h5ad(folder / "a.h5ad")
    (folder / "b.gct.gz").write_bytes(bgzipped(gct_text()))
    blank = gct_text().replace("\n", "\n\n").replace("\n\n", "\n", 3)
    return {
        "gct": write(folder / "a.gct", gct_text()),
        "gct.gz": write(folder / "a.gct.gz", gct_text(), zipped=True),
        "bgzip": folder / "b.gct.gz",
        "per tissue": write(folder / "t.gct", gct_text(lead="id")),
        "crlf and bom": write(folder / "w.gct", "\ufeff" + gct_text(end="\r\n")),
        "no newline at the end": write(folder / "n.gct", gct_text()[:-1]),
        "blank lines": write(folder / "l.gct", blank),
        "rows of blank cells": write(folder / "o.csv", with_symbol.to_csv(index=False) + ",,,,,,,\n" * 3),
        "blanks around numbers": write(folder / "s.gct", gct_text().replace("\t", " \t ")),
        "tsv": write(folder / "a.tsv", named.to_csv(sep="\t")),
        "tsv.gz": write(folder / "a.tsv.gz", named.to_csv(sep="\t"), zipped=True),
        "csv with symbols": write(folder / "a.csv", with_symbol.to_csv(index=False)),
        "semicolons": write(folder / "e.csv", with_symbol.to_csv(index=False, sep=";")),
        "quoted csv": write(folder / "q.csv", named.to_csv(quoting=1)),
        "R's write.table": write(folder / "r.txt", r_style),
        "parquet": folder / "a.parquet",
        "parquet of v11": folder / "v11.parquet",
        "h5ad": folder / "a.h5ad",
    }


WITHOUT_SYMBOLS = ("tsv", "tsv.gz", "quoted csv", "R's write.table")


def faults_of(call, *arguments) -> str:
    with pytest.raises(DataError) as raised:
        call(*arguments)
    return "\n".join(raised.value.faults)
