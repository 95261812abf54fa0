#!/usr/bin/env python3
"""Tables of the stages, gathered: one table a kind. A file is named <of>.<kind>.tsv, `of` being a tissue and size, say.

The modules hx_*_sections declare in TABLES the kinds that they draw.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hx_cli import Faults
from hx_io import read_table

# Columns of names and texts, whatever their values look like: a patch size is a name, and a blank one is no number.
NAMES = {
    *("setting", "control", "tissue_id", "tissue", "size", "encoder", "aggregation", "correction", "rule", "weights"),
    *("variant", "split", "grey", "classes", "epoch", "best_epoch", "augment", "device", "stage", "truth", "predicted"),
    *(
        "sample",
        "donor",
        "held_out",
        "suspicious",
        "weights_hash",
        "best_feature",
        "best_gene",
        "best_symbol",
        "adjusted_for",
    ),
    *("gene", "symbol", "feature", "factor", "column", "reason", "group", "kind", "transform", "statistic", "level"),
}


class Kind(NamedTuple):
    """A kind of table: columns that it must have, and columns that are made from the parts of `of`, first to last."""

    columns: Sequence[str]
    of: Sequence[str] = ()


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Columns as numbers where all of their cells are; blank ones are NaN. NAMES stay text."""
    return table.apply(lambda column: column if column.name in NAMES else _numbers(column))


def _numbers(column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column)
    except ValueError:
        return column


def listed(folder: Path, pattern: str, faults: Faults) -> list[Path]:
    """Files of a folder by name; a fault when there is none."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        faults.add(f"{folder}: no {pattern}: give the folder that its stage wrote to")
    return paths


def read_all(paths: list[Path], columns: Sequence[str], faults: Faults) -> pd.DataFrame:
    """One table of all files, by their names, text; a fault for each that is not there or lacks one of `columns`."""
    tables = [pd.DataFrame(columns=list(columns), dtype=str)]
    for path in sorted(paths, key=lambda p: (p.name, str(p))):
        if not path.is_file():
            faults.add(f"{path}: no such file")
            continue
        table = read_table(path)
        if lacking := [c for c in columns if c not in table]:
            faults.add(f"{path}, row 1: no column {', '.join(lacking)}: give the file as its stage wrote it")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def gather(folder: Path, kinds: Mapping[str, Kind], faults: Faults) -> dict[str, pd.DataFrame]:
    """{kind: table of all files of that kind in a folder, typed}; kinds without a file are left out."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.glob("*.tsv")):
        *of, name = path.name.removesuffix(".tsv").split(".")
        if name in kinds:
            kind = kinds[name]
            table = read_all([path], kind.columns, faults)
            given = dict(zip(kind.of, [*of, *[""] * len(kind.of)], strict=False))
            parts.setdefault(name, []).append(table.assign(**given))
    return {name: typed(pd.concat(found, ignore_index=True)) for name, found in parts.items()}
