#!/usr/bin/env python3
"""What a task is about: its rows of slides.tsv or cohort.tsv, as check_cohort.py wrote them."""

from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults, log, preview
from hx_io import read_table
from hx_join import ID_PATTERN

SLIDE_COLUMNS = ["sample", "donor", "tissue", "tissue_id", "slide", "mpp"]
COHORT_COLUMNS = ["donor", "tissue", "tissue_id", "samples", "rna_sample", "fold"]  # covariates follow


def table_with(path: Path, columns: list[str], fix: str) -> pd.DataFrame:
    """A table that has `columns`, all text. DataError: it lacks some; `fix` says what to give."""
    table = read_table(path)
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(f"{path}, row 1: no column {preview(missing, 9)}: {fix}")
    return table


def read_slides(path: Path, with_files: bool = True) -> pd.DataFrame:
    """Rows of a slides.tsv, sorted by sample: text, but `mpp` float or NaN.

    Args:
        with_files: every row must name a slide (a path below the folder of slides), and no two the same.

    Raises:
        DataError: every fault at once.
    """
    table, faults = table_with(path, SLIDE_COLUMNS, "give the slides.tsv of check_cohort.py"), Faults()
    unique = [("sample", table["sample"]), *([("slide", table["slide"])] if with_files else [])]
    for what, values in unique:
        for row in np.flatnonzero(values.duplicated()):
            faults.add(f"{path}, row {row + 2}: {what} {values[row]!r} stands more than once: rename one")
    for row in np.flatnonzero(~table["sample"].map(lambda text: bool(ID_PATTERN.match(text)))):
        name = table["sample"][row]
        faults.add(f"{path}, row {row + 2}: sample {name!r}: use letters, digits, dot, underscore and dash")
    if with_files:
        for row in np.flatnonzero(table["slide"] == ""):
            faults.add(f"{path}, row {row + 2}: slide is blank: name its file")
    mpp = pd.to_numeric(table["mpp"].replace("", None), errors="coerce")
    for row in np.flatnonzero(mpp.isna() & (table["mpp"] != "")):
        faults.add(f"{path}, row {row + 2}: mpp {table['mpp'][row]!r} is not a number: correct it or leave it empty")
    faults.stop()
    return table.assign(mpp=mpp).sort_values("sample", ignore_index=True)


def tissue_rows(path: Path, tissue: str, unique: tuple[str, ...] = ("donor",)) -> pd.DataFrame:
    """Rows of a cohort.tsv of one tissue_id, all text, sorted by donor.

    Raises:
        DataError: a column is missing, no row of the tissue, or a value of a `unique` column stands twice.
    """
    table = table_with(path, COHORT_COLUMNS, "give the cohort.tsv of check_cohort.py")
    rows = table[table["tissue_id"] == tissue]
    if rows.empty:
        raise DataError(f"{path}: no row of tissue {tissue}: it has {preview(sorted(set(table['tissue_id'])))}")
    faults = Faults()
    for column in unique:
        for name, part in rows[rows[column].duplicated(keep=False)].groupby(column):
            where = preview(part.index + 2)
            faults.add(f"{path}, rows {where}: {column} {name} stands more than once in {tissue}: one row a donor")
    faults.stop()
    return rows.sort_values("donor", ignore_index=True)


def donor_folds(cohort: Path, tissue: str, donors: np.ndarray) -> np.ndarray:
    """(donors,) fold of each donor, from the rows of cohort.tsv of the tissue.

    Raises:
        DataError: no row of the tissue, a donor without a row or in two, a fold that is no whole number; all at once.
    """
    rows = tissue_rows(cohort, tissue).set_index("donor")["fold"]
    fix = "give the cohort.tsv of check_cohort.py"
    if lacking := sorted(set(donors) - set(rows.index)):
        raise DataError(f"{cohort.name}: no row of {tissue} for donor {preview(lacking)}: {fix}")
    bad = rows[~rows.str.fullmatch(r"\d+")]
    if len(bad):
        raise DataError(
            *(f"{cohort.name}: fold {fold!r} of donor {donor} is no number: {fix}" for donor, fold in bad.items())
        )
    folds = rows[donors].astype(int)
    empty = sorted(set(rows.astype(int)) - set(folds))
    if empty:
        log.warning("%s: no donor with features in fold %s: the other folds alone are left out", tissue, preview(empty))
    return folds.to_numpy()
