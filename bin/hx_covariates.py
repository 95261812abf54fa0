#!/usr/bin/env python3
"""Covariate tables: GTEx annotations as downloaded, or a table keyed by sample or donor; joined to a cohort's rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from hx_cli import DataError, Faults, log, preview
from hx_io import read_table
from hx_join import gathered, key_columns, tissue_id

COHORT_COLUMNS = ("donor", "tissue", "tissue_id", "samples", "rna_sample", "fold")
KEYS = ("sample", "rna_sample", "donor")


def read_covariates(paths: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """Read covariate tables: {path: table of text}, keys under our names (sample, rna_sample, donor, tissue).

    Index: 0-based row of data.

    Raises:
        DataError: no key column, a column without a name, one that stands in two tables or bears a name of cohort.tsv.
    """
    faults, tables, home = Faults(), {}, {}
    for path in sorted(map(str, paths)):
        with gathered(faults):
            table = read_table(path)
            names = key_columns(table.columns)
            if not set(KEYS) & set(names):
                raise DataError(
                    f"{path}, row 1: no column sample, donor, SAMPID or SUBJID among {preview(table.columns)}: "
                    "name the column that says whose row it is"
                )
            table = table.rename(columns={column: key for key, column in names.items()})
            for column in table.columns.difference(list(names)):
                if not column or column in COHORT_COLUMNS:
                    faults.add(f"{path}, row 1: a column is called {column!r}: rename or remove it")
                elif column in home:
                    faults.add(f"{home[column]} and {path}, row 1: column {column} stands in both: keep one")
                home.setdefault(column, path)
            tables[path] = table
    faults.stop()
    return tables


def rna_annotation(tables: Mapping[str, pd.DataFrame], column: str) -> dict[str, str]:
    """What tables keyed by RNA sample say in `column` (SMRIN, or our key tissue): {RNA sample: text}, no blanks."""
    found: dict[str, str] = {}
    for table in tables.values():
        if "rna_sample" in table and "sample" not in table and column in table:
            found.update((rna, text) for rna, text in zip(table["rna_sample"], table[column], strict=True) if text)
    return found


def rna_rin(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """RNA integrity number by RNA sample, where tables give a number."""
    numbers = pd.to_numeric(pd.Series(rna_annotation(tables, "SMRIN"), dtype=str), errors="coerce").dropna()
    return numbers.to_dict()


def _rows_of(table: pd.DataFrame, slides: pd.DataFrame, path: str) -> pd.Series:
    """Row of `table` for each slide (NaN = none), by the first key of the two that agrees for any slide.

    A table of samples is never joined by donor: another sample of the donor would lend its values.

    Raises:
        DataError: no row fits any slide, or two rows fit one.
    """
    of_samples = [(ours, key) for key in ("sample", "rna_sample") if key in table for ours in ("sample", "rna")]
    tries = of_samples or [("donor", "donor")]
    for ours, theirs in tries:
        key, wanted = table[theirs], slides[ours]
        if not of_samples and "tissue" in table:
            key, wanted = key + "\t" + table["tissue"].map(tissue_id), wanted + "\t" + slides["tissue_id"]
        hits = key.isin(set(wanted) - {""})
        if not hits.any():
            continue
        repeated = key[hits & key.duplicated(keep=False)]
        if len(repeated):
            rows = repeated.groupby(repeated).groups.values()
            fix = "stands more than once: keep one row"
            raise DataError(*(f"{path}, rows {preview(index + 2)}: {table[theirs][index[0]]} {fix}" for index in rows))
        return wanted.map(pd.Series(key[hits].index, index=key[hits]))
    ours, theirs = tries[0]
    raise DataError(
        f"{path}: no row belongs to the cohort: {theirs} there is {preview(table[theirs], 3)}, "
        f"here {preview(slides[ours], 3)}: name them alike"
    )


def join_covariates(cohort: pd.DataFrame, slides: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Add the columns of covariate tables to a cohort, as they are.

    Args:
        cohort: a row a donor x tissue: donor, tissue_id.
        slides: a row a slide of the cohort: sample, donor, tissue_id, rna (its RNA sample); text.
        tables: of read_covariates.

    Returns:
        `cohort` with the tables' columns. Where slides of a donor differ, the first by name that has a value counts;
        donors without a row have blanks. Both are logged.

    Raises:
        DataError: tables that fit no slide, or give two rows for one.
    """
    faults = Faults()
    slides = slides.sort_values(["tissue_id", "donor", "sample"], ignore_index=True)
    pair = pd.MultiIndex.from_frame(cohort[["tissue_id", "donor"]])
    joined = [cohort.reset_index(drop=True)]
    for path, table in tables.items():
        with gathered(faults):
            row = _rows_of(table, slides, path)
            values = table.drop(columns=table.columns.intersection([*KEYS, "tissue"]))
            values = values.reindex(row.fillna(-1).astype(int))
            # A tab or line end inside a cell would cut the row of a TSV.
            values = values.replace({r"\s+": " ", r"^\s*$": None}, regex=True)
            values.index = pd.MultiIndex.from_frame(slides[["tissue_id", "donor"]])
            grouped = values.groupby(level=[0, 1], sort=False)
            differing = int((grouped.nunique() > 1).any(axis=1).sum())
            absent = len(pair.difference(values.index[row.notna().to_numpy()]))
            if differing or absent:
                message = "%s: no row for %d of %d donors x tissues; slides of %d disagree, the first by name counts"
                log.warning(message, path, absent, len(pair), differing)
            joined.append(grouped.first().reindex(pair).fillna("").reset_index(drop=True))
    faults.stop()
    return pd.concat(joined, axis=1)
