#!/usr/bin/env python3
"""Reading and writing of small files: atomic, deterministic, the same on every machine."""

import contextlib
import csv
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hx_cli import DataError, TemporaryFailure

if TYPE_CHECKING:
    import pyarrow as pa


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there on success, remove it on failure.

    A killed task therefore never leaves a half-written file under a final name. Parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: writers choose their format by it.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def reading(path: str | Path, kind: str) -> Iterator[None]:
    """Around a library's reading of a file of some kind: whatever it raises, the file is at fault.

    Bytes that are not theirs make libraries raise anything (h5py RuntimeError, anndata IORegistryError, pyarrow
    ArrowNotImplementedError). What is told for people who call goes through: DataError, TemporaryFailure; so does
    MemoryError, as a sound file may be too large.

    Raises:
        DataError: names the file and what the library says.
    """
    try:
        yield
    except (DataError, TemporaryFailure, MemoryError):
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise DataError(f"{path}: no readable {kind} ({reason}): copy or make it again") from error


# Lines before the header of a dbGaP table: `# Study accession: ...`, `##<tab>phv...`; a BED header (#chr) is none.
_COMMENT = re.compile(r"#(#|\s|\Z)")


def read_text(path: str | Path) -> str:
    """Text of a file that may come from a spreadsheet: UTF-8 with or without BOM, UTF-16, any line ending, or gzipped.

    Raises DataError when it is none of these.
    """
    raw = Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: the gzip file is cut short or damaged ({error}): copy it again") from error
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}: save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a TSV or CSV table, every cell as text, missing cells as ''.

    The separator is the one of tab, comma and semicolon that the header holds most of. Tab-separated files are read
    without quoting (GTEx notes hold unbalanced quotes); the others with it. Comment lines before the header (dbGaP) and
    blank rows at the end are dropped, and so is the apostrophe that write_tsv sets before a formula. Index: the row's
    number in the file less 2 (0, 1, ... without comments), as long as no cell holds a line end.

    Raises:
        DataError: the file is empty, a row has more or fewer cells than the header, is blank between others, or a quote
            is not closed; all rows at once.
    """
    text = read_text(path)
    lines = text.split("\n")
    skipped = 0
    if _COMMENT.match(lines[0]):
        while skipped < len(lines) - 1 and (_COMMENT.match(lines[skipped]) or not lines[skipped].strip()):
            skipped += 1
    header = lines[skipped]
    if not header.strip():
        raise DataError(f"{path}: empty file or blank header: a table with a header row is expected")
    separator = max("\t,;", key=header.count)
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(lines[skipped:], delimiter=separator, quoting=quoting, strict=True)
    faults, rows, blank, start = [], [], [], skipped + 1
    try:
        columns = [cell.strip() for cell in next(reader)]
        repeated = sorted({c for c in columns if columns.count(c) > 1})
        if repeated:
            names = ", ".join(map(repr, repeated))
            faults.append(f"{path}, row {start}: column {names} stands more than once: rename or remove")
        start = skipped + reader.line_num + 1
        for cells in reader:
            row, start = start, skipped + reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                blank.append(row)
                continue
            faults += [f"{path}, row {line}: blank: remove it" for line in blank]
            blank = []
            if len(cells) != len(columns):
                faults.append(f"{path}, row {row}: {len(cells)} cells, the header has {len(columns)}")
                continue
            rows.append(cells)
    except csv.Error as error:
        faults.append(f"{path}, row {start}: {error}: check the quotes")
    if faults:
        raise DataError(*faults)
    if "'" in text:
        rows = [[_ESCAPED.sub("", cell) for cell in cells] for cells in rows]
    return pd.DataFrame(rows, columns=columns, dtype=str, index=pd.RangeIndex(skipped, skipped + len(rows)))


# What a spreadsheet would take for a formula: text that begins as one and is no number. A dash alone is harmless.
_FORMULA = re.compile(r"\A(?!\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*\Z)(?!\s*[+-]inf\Z)(?=\s*[=+@-].)")
_ESCAPED = re.compile(r"\A'(?=\s*[=+@-].)")


def read_names(path: str | Path) -> set[str]:
    """Names of a text file, one a line; what follows a # is a comment.

    Raises:
        DataError: see read_text.
    """
    lines = (line.split("#")[0].strip() for line in read_text(path).split("\n"))
    return {line for line in lines if line}


def dictionary_table(rows: pd.DataFrame, schema: "pa.Schema") -> "pa.Table":
    """Rows with the columns and types of a schema, those that are dictionaries as text."""
    import pyarrow as pa

    names = {field.name for field in schema if pa.types.is_dictionary(field.type)}
    columns = {name: pa.array(rows[name]) for name in schema.names}
    columns |= {name: columns[name].cast(pa.string()).dictionary_encode() for name in names}
    return pa.table(columns).cast(schema)


def read_parquet(path: str | Path, columns: list[str] | None = None, needed: Sequence[str] = ()) -> pd.DataFrame:
    """Read a Parquet table, or some of its columns.

    Args:
        needed: columns that it must have, where all are read.

    Raises:
        DataError: no Parquet file, cut short, or a column is lacking.
    """
    with reading(path, "Parquet file"):
        table = pd.read_parquet(path, columns=columns)
    if lacking := [name for name in needed if name not in table]:
        raise DataError(f"{path}: no column {', '.join(lacking)}: give the table as its stage wrote it")
    return table


def write_parquet(table: "pa.Table", path: str | Path) -> None:
    """Write a table under its final name once it is whole."""
    import pyarrow.parquet as pq  # half a second, which most commands need not spend

    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_tsv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a tidy TSV that `read_table` reads back: floats with 10 significant digits, missing cells empty, no index.

    Cells are not quoted; tabs and line ends within one become blanks. Text that a spreadsheet would run as a formula
    (a gene or term may be called =HYPERLINK(...)) is led by an apostrophe, as spreadsheets mark text (OWASP, CSV
    injection).
    """
    text = table.select_dtypes(["object", "string"])
    with pd.option_context("future.no_silent_downcasting", True):
        clean = {name: text[name].replace(r"[\t\r\n]+", " ", regex=True) for name in text}
    table = table.assign(**{name: column.replace(_FORMULA, "'", regex=True) for name, column in clean.items()})
    with atomic(path) as temporary:
        table.to_csv(
            temporary, sep="\t", index=False, float_format="%.10g", lineterminator="\n", quoting=csv.QUOTE_NONE
        )


def write_json(content: object, path: str | Path) -> None:
    """Write JSON with sorted keys and a final newline."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, as hexadecimal text."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha1_bucket(text: str, buckets: int) -> int:
    """SHA-1(text) mod `buckets`: a number that depends on the text alone, on every machine.

    Used for slide batches and donor folds, so that adding a slide or a donor moves no other.
    """
    return int(hashlib.sha1(text.encode()).hexdigest(), 16) % buckets
