#!/usr/bin/env python3
"""Files of a results folder, found by the names that their stages give them."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hx_cli import DataError


def result_file(folder: Path, name: str) -> Path:
    """The file of a name anywhere below a folder. DataError: there is none."""
    if found := sorted(folder.rglob(name)):
        return found[0]
    raise DataError(f"{folder}: no {name}: give the whole results folder")


def prefixes(folder: Path) -> list[str]:
    """<tissue_id>.<size> whose associations lie below a folder, sorted. DataError: none."""
    found = sorted({path.name.removesuffix(".associations.parquet") for path in folder.rglob("*.associations.parquet")})
    if not found:
        raise DataError(f"{folder}: no *.associations.parquet: give a results folder")
    return found


def association_rows(folder: Path, prefix: str, kind: str, columns: list[str]) -> pd.DataFrame:
    """Columns of <prefix>.<kind>.parquet of associate.py, names as categories; kind: associations, association_genes.

    Raises:
        DataError: no such file, or none of associate.py.
    """
    path = result_file(folder, f"{prefix}.{kind}.parquet")
    try:
        return pq.read_table(path, columns=columns).to_pandas()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path.name}: no table of associate.py ({error}): make it again") from error
