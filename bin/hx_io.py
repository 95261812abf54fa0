#!/usr/bin/env python3
"""Reading and writing of small files: atomic, deterministic, the same on every machine."""

import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from hx_cli import DataError


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


def read_text(path: str | Path) -> str:
    """Text of a file that may come from a spreadsheet: UTF-8 with or without BOM, UTF-16, any line ending.

    Raises DataError when it is neither.
    """
    raw = Path(path).read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}: save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a TSV or CSV table, every cell as text, missing cells as ''.

    The separator is the one of tab, comma and semicolon that the header holds most of. Tab-separated files are read
    without quoting (GTEx notes hold unbalanced quotes); the others with it. Row numbers in messages count the header
    as row 1. Blank rows are dropped.

    Raises:
        DataError: the file is empty, a row has more or fewer cells than the header, is blank between others, or a quote
            is not closed; all rows at once.
    """
    lines = read_text(path).split("\n")
    header = lines[0]
    if not header.strip():
        raise DataError(f"{path}: empty file or blank header: a table with a header row is expected")
    separator = max("\t,;", key=header.count)
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
    faults, rows, blank = [], [], []
    try:
        columns = [cell.strip() for cell in next(reader)]
        repeated = sorted({c for c in columns if columns.count(c) > 1})
        if repeated:
            names = ", ".join(map(repr, repeated))
            faults.append(f"{path}, row 1: column {names} stands more than once: rename or remove")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                blank.append(reader.line_num)
                continue
            faults += [f"{path}, row {line}: blank: remove it" for line in blank]
            blank = []
            if len(cells) != len(columns):
                faults.append(f"{path}, row {reader.line_num}: {len(cells)} cells, the header has {len(columns)}")
                continue
            rows.append(cells)
    except csv.Error as error:
        faults.append(f"{path}, row {reader.line_num}: {error}: check the quotes")
    if faults:
        raise DataError(*faults)
    return pd.DataFrame(rows, columns=columns, dtype=str)


def write_tsv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a tidy TSV that `read_table` reads back: floats with 10 significant digits, missing cells empty, no index.

    Cells are not quoted; tabs and line ends within one become blanks.
    """
    text = table.select_dtypes(["object", "string"])
    table = table.assign(**{name: text[name].replace(r"[\t\r\n]+", " ", regex=True) for name in text})
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
