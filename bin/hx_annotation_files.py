#!/usr/bin/env python3
"""Files of labels by donor: the portal's histology table, tables keyed by slide or donor, fractions of cell types."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_annotation_labels import LEAST, language, refused
from hx_cli import DataError, Faults, log, preview
from hx_factor_cells import cell_texts, number, read_cells
from hx_factors import OWN, named_as
from hx_gtex_tables import read_histology
from hx_io import read_table
from hx_join import gtex_piece, key_columns, plain_gtex, tissue_id
from hx_pathology import annotate

ZERO = 0.65  # share of a part's smallest positive value that stands for its zeros


class Annotations(NamedTuple):
    """Columns of a file by donor (index: those asked for), cells text or numbers, and rows of what cannot be read."""

    table: pd.DataFrame
    rows: list[dict]


def donors_by_key(cohort: pd.DataFrame) -> dict[str, str]:
    """Donor of each slide, RNA sample and GTEx piece of the rows of a cohort.tsv of one tissue."""
    found = {}
    for donor, samples, rna in zip(cohort["donor"], cohort["samples"], cohort["rna_sample"], strict=True):
        for name in [*samples.split(";"), rna]:
            found[gtex_piece(name)] = found[name] = donor
    found.pop("", None)
    return found


def read_annotations(path: Path, cohort: pd.DataFrame) -> Annotations:
    """Labels of a file for the donors of a tissue's rows of cohort.tsv.

    Of a donor's slides, the highest number counts; words must agree.

    Raises:
        DataError: no key column, a donor twice in a table by donor, or cells that the portal's table cannot have.
    """
    table = read_table(path)
    columns = {name.lower() for name in table}
    if "tissue sample id" in columns and columns & {"pathology categories", "pathology notes"}:
        told = read_histology([str(path)])
        told = told.assign(key=told["sample"], tissue_id=told["tissue"].map(tissue_id))
        mine = _of_tissue(told, cohort, donors_by_key(cohort), path.name)
        return _pathology(mine, mine["categories"].tolist(), mine["notes"].tolist(), cohort, path.name)
    keys = key_columns(table)
    key = _key_of(keys)
    if key is None:
        raise DataError(
            f"{path.name}, row 1: no column sample or donor among {preview(table.columns, 8)}: name the slide or the "
            "donor of each row"
        )
    mine = _keyed(table, keys, key, cohort, path.name)
    twice = mine.index[mine["donor_"].duplicated(keep=False)]
    if key == "donor" and len(twice):
        raise DataError(
            f"{path.name}, rows {preview(twice + 2)}: donor {mine['donor_'][twice[0]]} stands more than once: keep one "
            "row, or name the slide of each in a column sample"
        )
    held = {*keys.values(), *OWN, "annotated_slide"}
    names = [name for name in table if name not in held]
    notes = [name for name in names if named_as(name) == "a note"]
    parts = [_by_donor(mine[[name]].set_axis(mine["donor_"]), cohort["donor"]) for name in names if name not in notes]
    rows = []
    for name in notes:
        read = _pathology(mine, [""] * len(mine), mine[name].tolist(), cohort, path.name, name)
        parts.append(read.table.rename(columns={"pieces": f"{name}_pieces"}))
        rows += read.rows
    empty = pd.DataFrame(index=cohort["donor"])
    return Annotations(pd.concat([empty, *parts], axis=1), rows)


def _of_tissue(table: pd.DataFrame, cohort: pd.DataFrame, by_key: dict[str, str], name: str) -> pd.DataFrame:
    """Rows of donors of the cohort (column donor_), of its tissue where they tell one; columns key and tissue_id."""
    keys = table["key"].map(plain_gtex)
    donor = keys.map(lambda key: by_key.get(key) or by_key.get(gtex_piece(key), ""))
    own = cohort["tissue_id"].iloc[0]
    mine = (donor != "") & table["tissue_id"].isin(["", own])
    log.info("%s: %d of %d rows are of %s", name, int(mine.sum()), len(table), own)
    return table[mine].assign(donor_=donor[mine])


def _key_of(keys: dict[str, str]) -> str | None:
    """What the rows of a table are of, by the keys that it has (hx_join.key_columns)."""
    return next((name for name in ("sample", "rna_sample", "donor") if name in keys), None)


def _keyed(table: pd.DataFrame, keys: dict[str, str], key: str, cohort: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of a table keyed by `key`, as of _of_tissue."""
    by_key = dict(zip(cohort["donor"], cohort["donor"], strict=True)) if key == "donor" else donors_by_key(cohort)
    tissue = table[keys["tissue"]].map(tissue_id) if "tissue" in keys else ""
    return _of_tissue(table.assign(key=table[keys[key]].str.strip(), tissue_id=tissue), cohort, by_key, name)


def _pathology(
    mine: pd.DataFrame, cells: list[str], notes: list[str], cohort: pd.DataFrame, file: str, column: str = "notes"
) -> Annotations:
    """Categories and notes of slides as numbers by donor; notes in another language are a row that says so."""
    rows = []
    if reason := language(notes):
        rows.append(refused(column, file, "notes", reason, sum(bool(note.strip()) for note in notes)))
        notes = [""] * len(notes)
    table = annotate(cells, notes, LEAST)[0].set_axis(mine["donor_"])
    return Annotations(_by_donor(table.dropna(axis=1, how="all"), cohort["donor"]), rows)


def _by_donor(table: pd.DataFrame, donors: pd.Series) -> pd.DataFrame:
    """The columns of a table (index donor, repeated) by donor: the highest number; words where all slides agree."""
    out = {}
    for name in table:
        texts = pd.Series(cell_texts(table[name]), index=table.index)
        texts = texts[texts != ""]
        values, unreadable = read_cells(texts.to_numpy(), number)
        if not unreadable.any():
            out[name] = pd.Series(values, index=texts.index).groupby(level=0).max().reindex(donors)
            continue
        grouped = texts.groupby(level=0)
        agreed = grouped.first().where(grouped.nunique() == 1, "")
        out[name] = agreed.reindex(donors).fillna("")
    return pd.DataFrame(out, index=donors)


def read_fractions(path: Path, cohort: pd.DataFrame) -> pd.DataFrame:
    """Fractions of cell types by donor, those of the tissue's donors that the file has; the mean of a donor's slides.

    Raises:
        DataError: no key column, fewer than two cell types, no row of the tissue, or a cell that is no number from 0.
    """
    table = read_table(path)
    keys = key_columns(table)
    key = _key_of(keys)
    names = [name for name in table if name not in {*keys.values(), *OWN}]
    if key is None or len(names) < 2:
        raise DataError(f"{path.name}, row 1: a column sample or donor and two cell types are expected, a column each")
    mine = _keyed(table, keys, key, cohort, path.name)
    if mine.empty:
        told = preview(table[keys[key]], 3)
        raise DataError(f"{path.name}: no row names a {key} of {cohort['tissue_id'].iloc[0]}: it has {told}")
    faults, out = Faults(), {}
    for name in names:
        values, _ = read_cells(mine[name].str.strip().to_numpy(), number)
        for row in mine.index[~(values >= 0)]:
            faults.add(f"{path.name}, row {row + 2}: {name} {mine[name][row]!r} is no fraction: a number from 0 on")
        out[name] = values
    faults.stop()
    return pd.DataFrame(out, index=mine["donor_"]).groupby(level=0).mean()


def log_ratios(fractions: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Centred log-ratios of fractions (Aitchison 1986), and (cell type, reason) of those left out.

    Zeros become .65 of the smallest positive value of their cell type, and the others of the donor shrink so that they
    still sum to 1: multiplicative replacement, which keeps ratios (Martin-Fernandez et al. 2003, Math. Geol. 35:253).
    A cell type that is 0 in more than half of the donors is left out.
    """
    often = (fractions > 0).mean() > 0.5
    dropped = [(name, "0 in half of the donors or more: no log-ratio of it") for name in fractions.columns[~often]]
    parts = fractions.loc[:, often]
    parts = parts[parts.sum(axis=1) > 0]
    if parts.shape[1] < 2 or not len(parts):
        return parts.iloc[:, :0], dropped
    closed = parts.to_numpy() / parts.to_numpy().sum(axis=1, keepdims=True)
    smallest = np.where(closed > 0, closed, np.inf).min(axis=0)
    filled = np.where(closed == 0, ZERO * smallest, 0)
    closed = np.where(closed == 0, filled, closed * (1 - filled.sum(axis=1, keepdims=True)))
    logs = np.log(closed)
    return pd.DataFrame(logs - logs.mean(axis=1, keepdims=True), parts.index, parts.columns), dropped
