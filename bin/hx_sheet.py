#!/usr/bin/env python3
"""Rows of a cohort as the user gave them: samplesheet or tables of slide-level features, and their faults."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults, log, preview
from hx_formats import READABLE_SUFFIXES
from hx_io import read_table
from hx_join import ID_PATTERN, gathered, read_keys, tissue_id

COLUMNS = ["sample", "donor", "tissue", "slide", "mpp", "rna_sample", "tissue_geojson"]
OPTIONAL = ("rna_sample", "mpp", "tissue_geojson")
MOST_FAULTS = 20  # faults of one kind that are spelled out; the others are counted


def sheet_rows(path: str | Path, slide_needed: bool) -> pd.DataFrame:
    """Read a samplesheet.

    Returns:
        COLUMNS as text, blank where the sheet has no such column; file; row (the header is row 1); has_sample, true: a
        blank sample is a fault.

    Args:
        slide_needed: a sheet without the column `slide`, or with a blank cell in it, is a fault.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    table = read_table(path)
    needed = ["sample", "donor", "tissue", *["slide"] * slide_needed]
    lacking = [name for name in needed if name not in table.columns]
    if lacking:
        raise DataError(
            f"{path}, row 1: no column {preview(lacking)} among {preview(table.columns, 20)}: "
            f"a samplesheet has the columns {', '.join(needed)}"
        )
    if table.empty:
        raise DataError(f"{path}: no row below the header: give a row a slide")
    unknown = [name for name in table.columns if name not in (*needed, "slide", *OPTIONAL)]
    if unknown:
        log.warning("%s: columns %s are not used: give covariates by --covariates", path, preview(unknown, 20))
    rows = pd.DataFrame({name: table[name].str.strip() if name in table else "" for name in COLUMNS}, index=table.index)
    return rows.assign(file=str(path), row=table.index + 2, has_sample=True)


def feature_rows(paths: Sequence[str | Path], alone: bool) -> pd.DataFrame:
    """Keys of tables of slide-level features, in the columns of sheet_rows, blank where the tables have none.

    A donor x tissue that stands in several rows without a sample is one row here, and so is a sample of several tables.

    Args:
        alone: there is no samplesheet, so that donor and tissue must be in the tables.

    Raises:
        DataError: tables without keys, of all tables at once; a sample twice in one table.
    """
    faults, parts = Faults(), []
    for path in sorted(map(str, paths)):
        with gathered(faults):
            keys = read_keys(path)
            lacking = {"donor", "tissue"} - set(keys)
            if alone and lacking:
                raise DataError(
                    f"{path}, row 1: no column {preview(sorted(lacking))}: add it, or give donors and tissues "
                    "by --samplesheet"
                )
            part = pd.DataFrame({name: keys[name] if name in keys else "" for name in COLUMNS}, index=keys.index)
            part = part.assign(file=path, row=keys.index + 2, has_sample="sample" in keys)
            if part.empty:
                raise DataError(f"{path}: no row below the header: give a row a slide, or a donor and tissue")
            if "sample" in keys:
                say(faults, duplicates(part))
            parts.append(part)
    faults.stop()
    rows = pd.concat(parts, ignore_index=True)
    return rows.drop_duplicates(["sample", "donor", "tissue"], ignore_index=True)


def say(faults: Faults, messages: Iterable[str]) -> None:
    """Add messages of one kind; those past MOST_FAULTS are counted only."""
    messages = list(messages)
    for message in messages[:MOST_FAULTS]:
        faults.add(message)
    if len(messages) > MOST_FAULTS:
        faults.add(f"{messages[0].split(',')[0]}: {len(messages) - MOST_FAULTS} further faults like the last one")


def at(rows: pd.DataFrame) -> str:
    """'sheet.csv, rows 2, 5' for messages."""
    files = rows["file"].unique()
    if len(files) > 1:
        return "; ".join(at(rows[rows["file"] == name]) for name in files)
    return f"{files[0]}, row{'s' * (len(rows) > 1)} {preview(rows['row'])}"


def duplicates(rows: pd.DataFrame) -> list[str]:
    """Samples that stand in more than one row. Case tells no ids apart, as on some file systems."""
    named = rows[rows["sample"] != ""]
    folded = named["sample"].str.casefold()
    repeated = folded[folded.duplicated(keep=False)]
    return [
        f"{at(part)}: sample {preview(part['sample'].unique())} stands more than once: give each slide a row and an id"
        for _, part in named.loc[repeated.index].groupby(repeated, sort=False)
    ]


def bad_ids(rows: pd.DataFrame, column: str) -> list[str]:
    """Ids that cannot name a file everywhere."""
    bad = rows[~rows[column].map(lambda text: bool(ID_PATTERN.match(text))).astype(bool)]
    fix = "use letters, digits, dot, underscore and dash, beginning with a letter or digit"
    return [
        f"{file}, row {row}: {column} {text!r}: {fix}" if text else f"{file}, row {row}: {column} is blank: fill it in"
        for file, row, text in zip(bad["file"], bad["row"], bad[column], strict=True)
    ]


def bad_tissues(rows: pd.DataFrame) -> list[str]:
    """Tissues without a usable name, and tissues whose names make one tissue_id."""
    found = []
    for name, part in rows[rows["tissue_id"] == ""].groupby("tissue"):
        problem = f"tissue {name!r} has no letter or digit" if name else "tissue is blank"
        found.append(f"{at(part)}: {problem}: name the tissue, e.g. Skin - Sun Exposed (Lower leg)")
    named = rows[rows["tissue_id"] != ""]
    for _, part in named.groupby(named["tissue_id"].str.casefold()):
        names = part["tissue"].drop_duplicates()
        if len(names) > 1:
            found.append(
                f"{at(part.loc[names.index])}: tissues {preview(map(repr, names))} have one tissue_id, "
                f"{part['tissue_id'].iloc[0]}: spell one tissue one way, or name two tissues apart"
            )
    return found


def bad_slides(rows: pd.DataFrame, slide_needed: bool) -> list[str]:
    """Slides that are blank, of a format that cannot be read, or given twice."""
    found = []
    given = rows[rows["slide"] != ""]
    if slide_needed:
        found += [f"{at(part)}: slide is blank: give its path" for _, part in rows[rows["slide"] == ""].groupby("row")]
        unknown = given[~given["slide"].str.lower().str.endswith(READABLE_SUFFIXES)]
        known = ", ".join(READABLE_SUFFIXES)
        found += [
            f"{at(part)}: slide {slide}: not a format that can be read ({known}): convert it to a pyramidal TIFF"
            for slide, part in unknown.groupby("slide")
        ]
    for slide, part in given[given["slide"].duplicated(keep=False)].groupby("slide"):
        found.append(f"{at(part)}: slide {slide} belongs to several samples: one sample a slide")
    return found


def bad_mpp(rows: pd.DataFrame) -> list[str]:
    """Micrometres per pixel that are no positive number."""
    given = rows[rows["mpp"] != ""]
    number = pd.to_numeric(given["mpp"], errors="coerce")
    bad = given[~((number > 0) & (number < float("inf")))]
    return [
        f"{file}, row {row}: mpp {text!r}: give micrometres per pixel, e.g. 0.5, or leave it blank"
        for file, row, text in zip(bad["file"], bad["row"], bad["mpp"], strict=True)
    ]


def check_rows(rows: pd.DataFrame, slide_needed: bool, faults: Faults) -> pd.DataFrame:
    """Add the faults of rows to `faults`; return the rows that can be joined none the less, with their tissue_id.

    `slide_needed`: as in sheet_rows.
    """
    rows = rows.assign(tissue_id=rows["tissue"].map(tissue_id))
    say(faults, bad_ids(rows[rows["has_sample"]], "sample"))
    say(faults, bad_ids(rows, "donor"))
    say(faults, duplicates(rows))
    say(faults, bad_tissues(rows))
    say(faults, bad_slides(rows, slide_needed))
    say(faults, bad_mpp(rows))
    sound = (rows["donor"] != "") & (rows["tissue_id"] != "") & ((rows["sample"] != "") | ~rows["has_sample"])
    return rows[sound & ~(rows["sample"].duplicated() & (rows["sample"] != ""))].reset_index(drop=True)


def shared_rna(rows: pd.DataFrame) -> list[str]:
    """RNA samples that were matched to two donors or tissues. `rows`: donor, tissue_id, rna_used, file, row."""
    used = rows[rows["rna_used"] != ""].drop_duplicates(["rna_used", "donor", "tissue_id"])
    return [
        f"{at(part)}: RNA sample {rna} belongs to several donors or tissues "
        f"({preview(part['donor'] + ' ' + part['tissue'])}): one RNA sample is of one donor and tissue"
        for rna, part in used[used["rna_used"].duplicated(keep=False)].groupby("rna_used")
    ]


def in_tables(rows: pd.DataFrame, featured: pd.DataFrame) -> pd.Series:
    """Whether tables of features hold a row of the sheet: by sample, else by donor and tissue."""
    donors = featured[~featured["has_sample"]]
    pairs = set(zip(donors["donor"], donors["tissue"].map(tissue_id), strict=True))
    by_donor = np.array([pair in pairs for pair in zip(rows["donor"], rows["tissue_id"], strict=True)], dtype=bool)
    return rows["sample"].isin(set(featured["sample"]) - {""}) | by_donor
