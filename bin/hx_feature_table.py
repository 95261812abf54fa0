#!/usr/bin/env python3
"""Tables of slide-level features made elsewhere: reading, and joining to the donors of a tissue."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults, log, preview
from hx_io import read_parquet, read_table, reading
from hx_join import KEY_SYNONYMS, read_keys, tissue_id

MISSING = {"", "na", "n/a", "nan", "null", "none", "."}
KEYS = {name for names in KEY_SYNONYMS.values() for name in names}
MOST_FAULTS = 20  # bad cells of a file that are spelled out


class FeatureTable(NamedTuple):
    """Features of one file: `keys` (rows: sample, donor, tissue as far as given), `values` float64, same rows."""

    path: Path
    keys: pd.DataFrame
    values: pd.DataFrame


class DonorFeatures(NamedTuple):
    """Features joined to donors, in the order of the cohort.

    values: float64 (donors, features), NaN where missing. samples: those behind each donor. rows: how many rows of the
    tables stand behind each donor.
    """

    values: pd.DataFrame
    samples: list[list[str]]
    rows: list[int]


def read_feature_table(path: Path) -> FeatureTable:
    """Read TSV, CSV, Parquet or h5ad (X alone). Every numeric column that is no key is a feature; others are logged.

    A text column counts as numeric when at least half of its filled cells are numbers; its other cells are faults.

    Raises:
        DataError: no key column, no feature, a cell that is no finite number; every fault at once.
    """
    path = Path(path)
    keys, faults = read_keys(path), Faults()
    if path.suffix == ".h5ad":
        import anndata

        with reading(path, "h5ad file"):
            table = anndata.read_h5ad(path)
        if table.X is None:
            raise DataError(f"{path}: no X in it: features are its X, a row a slide or donor")
        matrix = table.X.toarray() if hasattr(table.X, "toarray") else np.asarray(table.X)
        columns = pd.DataFrame(matrix.astype(np.float64), columns=table.var_names.astype(str))
    else:
        columns = read_parquet(path) if path.suffix == ".parquet" else read_table(path)
        columns = columns[[name for name in columns.columns if str(name).strip().lower() not in KEYS]]
    repeated = sorted(set(columns.columns[columns.columns.duplicated()].astype(str)))
    if repeated:
        raise DataError(f"{path}: feature {preview(repeated)} stands more than once: rename one")
    values, others = {}, []
    for name in columns.columns:
        numbers, bad = _numbers(columns[name])
        if numbers is None:
            others.append(name)
            continue
        for row in bad[:MOST_FAULTS]:
            cell = str(columns[name].iloc[row])
            faults.add(f"{path}, row {row + 2}, column {name}: {cell!r} is no finite number: mend or blank it")
        if len(bad) > MOST_FAULTS:
            faults.add(f"{path}, column {name}: {len(bad) - MOST_FAULTS} further cells that are no finite numbers")
        values[str(name)] = numbers
    if others:
        log.info("%s: columns that are not numeric are no features: %s", path, preview(others, 20))
    if not values:
        faults.add(f"{path}: no numeric column besides the keys: features are columns of numbers")
    faults.stop()
    return FeatureTable(path, keys, pd.DataFrame(values, index=keys.index))


def _numbers(column: pd.Series) -> tuple[np.ndarray | None, np.ndarray]:
    """float64 values (NaN where missing) and the rows of cells that are no finite number; (None, []) for text."""
    if column.dtype.kind in "iuf":
        values = column.to_numpy(np.float64)
        return values, np.flatnonzero(np.isinf(values))
    if column.dtype.kind not in "OT" and not isinstance(column.dtype, pd.StringDtype):
        return None, np.array([], dtype=int)
    cells = column.fillna("").astype(str).str.strip()
    filled = ~cells.str.lower().isin(MISSING).to_numpy()
    values = np.full(len(cells), np.nan)
    values[filled] = [_number(cell) for cell in cells[filled]]
    good = np.isfinite(values)
    if not filled.any() or 2 * good.sum() < filled.sum():
        return None, np.array([], dtype=int)
    return values, np.flatnonzero(filled & ~good)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def join_donors(tables: Iterable[FeatureTable], cohort: pd.DataFrame) -> DonorFeatures:
    """One row a donor of `cohort` (rows of one tissue: donor, tissue_id, samples), features in the order of the tables.

    Rows are found by sample, or by donor and tissue in a table without samples. A donor with several rows gets their
    plain mean, over the rows in which a feature is given. Nothing is imputed.

    Raises:
        DataError: two tables give one feature of one sample; a table fits no donor at all; every fault at once.
    """
    tissue = cohort["tissue_id"].iloc[0]
    listed = zip(cohort["donor"], cohort["samples"].str.split(";"), strict=True)
    donor_of = {sample: donor for donor, names in listed for sample in names if sample}
    tables, places = list(tables), []
    for table in tables:
        keys = table.keys
        if "sample" in keys:
            donor, sample = keys["sample"].map(donor_of), keys["sample"]
        else:
            here = keys["tissue"].map(tissue_id) == tissue if "tissue" in keys else True
            donor, sample = keys["donor"].where(keys["donor"].isin(cohort["donor"]) & here), ""
        places.append(pd.DataFrame({"donor": donor, "sample": sample}, index=keys.index))
    place = pd.concat(places, ignore_index=True)
    kept = place["donor"].notna()
    place, values = place[kept], pd.concat([table.values for table in tables], ignore_index=True)[kept]
    named = preview((table.path for table in tables), 3)
    if place.empty:
        raise DataError(f"{named}: no row of a donor of {tissue}: samples must be those of the samplesheet")
    given = values.notna().groupby(place["sample"].where(place["sample"] != "")).sum()
    faults = Faults()
    for sample, counts in given[given.gt(1).any(axis=1)].iterrows():
        faults.add(f"{named}: sample {sample} has several values of {preview(counts.index[counts > 1], 3)}: keep one")
    faults.stop()
    grouped = place["sample"].groupby(place["donor"])
    samples = {donor: sorted(set(part) - {""}) for donor, part in grouped}
    return DonorFeatures(
        values.groupby(place["donor"]).mean().reindex(cohort["donor"]),
        [samples.get(donor, []) for donor in cohort["donor"]],
        grouped.size().reindex(cohort["donor"], fill_value=0).tolist(),
    )
