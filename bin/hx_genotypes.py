#!/usr/bin/env python3
"""The genotypes of a cohort: the file that prepare_genotypes.py writes, read in blocks of variants.

HDF5, contiguous, rows in the order of chromosomes (1-22, X, Y, MT) and positions:

    donors                  (S,) text, sorted
    dosage                  (V, S) uint8: copies of `alt` x 100; 255 = missing, which is never read as 0
    variants/<column>       (V,) id, chrom (without `chr`), pos (from 1), ref, alt, alt_frequency, missing, mac, hwe_p
    pcs                     (S, K) float64 genotype principal components; K = 0 where there are too few variants
    attrs                   format, build (GRCh37, GRCh38 or unknown), counts as JSON
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from hx_cli import DataError, preview
from hx_io import atomic

FORMAT = "histogex-genotypes-1"
MISSING = 255
MIN_DONORS = 30  # tested together
COPIES = 100  # units a copy of an allele
TEXT = ("id", "chrom", "ref", "alt")
NUMBERS = {"pos": "i4", "alt_frequency": "f8", "missing": "i4", "mac": "f8", "hwe_p": "f8"}
VARIANT_COLUMNS = ["id", "chrom", "pos", "ref", "alt", "alt_frequency", "missing", "mac", "hwe_p"]
_CELL = 32  # bytes of the longest text that is stored in cells of one length
_SPARSE = 8  # a block reads at most so many times its rows: memory stays bounded where few rows are kept


class Genotypes(NamedTuple):
    """Everything of a genotypes file but its dosages.

    donors: (S,) text. variants: VARIANT_COLUMNS, index 0..V-1, the rows of `dosage`; `missing` counts donors, `mac` is
    the copies of the rarer allele. pcs: (S, K). build: GRCh37, GRCh38 or unknown.
    """

    path: Path
    donors: np.ndarray
    variants: pd.DataFrame
    pcs: np.ndarray
    build: str


def read_genotypes(path: str | Path) -> Genotypes:
    """Read all of a genotypes file but its dosages, which `blocks` reads.

    Raises:
        DataError: not a file of prepare_genotypes.py, or cut short.
    """
    path = Path(path)
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") != FORMAT:
                raise DataError(f"{path}: not a genotypes file of HistoGEx: give the genotypes.h5 of prepare_genotypes")
            group = file["variants"]
            columns = {name: _text(group[name]) if name in TEXT else group[name][:] for name in VARIANT_COLUMNS}
            donors, pcs = file["donors"].asstr()[:], file["pcs"][:]
            build, shape = str(file.attrs["build"]), file["dosage"].shape
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: not a readable genotypes file ({error}): run prepare_genotypes.py again") from error
    if shape != (len(columns["pos"]), len(donors)):
        raise DataError(f"{path}: {shape} dosages for {len(columns['pos'])} variants and {len(donors)} donors")
    return Genotypes(path, donors, pd.DataFrame(columns), pcs, build)


def _text(dataset: h5py.Dataset) -> np.ndarray:
    """Content of a dataset of text, as Python strings."""
    return dataset[:].astype("U").astype(object) if dataset.dtype.kind == "S" else dataset.asstr()[:]


def _write_text(group: h5py.Group, name: str, values: np.ndarray) -> None:
    """Write text: short ASCII in cells of one length, which are read ten times as fast as text of any length."""
    try:
        cells = values.astype("S")
    except UnicodeEncodeError:
        cells = None
    if cells is not None and 0 < cells.dtype.itemsize <= _CELL:
        group.create_dataset(name, data=cells)
    else:
        group.create_dataset(name, data=values, dtype=h5py.string_dtype())


def donor_columns(genotypes: Genotypes, donors: Sequence[str]) -> np.ndarray:
    """Columns of `donors` in the dosages. DataError: a donor has no genotypes."""
    places = {name: column for column, name in enumerate(genotypes.donors)}
    if lost := [name for name in donors if name not in places]:
        raise DataError(f"{genotypes.path}: no genotypes of donor {preview(lost)}: take donors of `Genotypes.donors`")
    return np.array([places[name] for name in donors], dtype=np.int64)


def as_dosage(units: np.ndarray) -> np.ndarray:
    """float32 copies of `alt`, NaN for missing, of the uint8 of the file."""
    copies = units / np.float32(COPIES)
    copies[units == MISSING] = np.nan
    return copies


def blocks(
    genotypes: Genotypes, donors: Sequence[str], size: int = 4096, keep: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Dosages in blocks of at most `size` variants, in the order of the file.

    Args:
        donors: whose columns, in this order.
        keep: (V,) bool, which variants; all without it.

    Yields:
        (b,) indices of the variants, and (b, donors) float32 copies of `alt` with NaN for missing.
    """
    columns = donor_columns(genotypes, donors)
    everyone = np.array_equal(columns, np.arange(len(genotypes.donors)))
    wanted = np.arange(len(genotypes.variants)) if keep is None else np.flatnonzero(keep)
    with h5py.File(genotypes.path) as file:
        dosage, first = file["dosage"], 0
        while first < len(wanted):
            last = min(first + size, int(np.searchsorted(wanted, wanted[first] + _SPARSE * size)))
            rows = wanted[first:last]
            units = dosage[rows[0] : rows[-1] + 1]
            if len(rows) < len(units):
                units = units[rows - rows[0]]
            yield rows, as_dosage(units if everyone else units[:, columns])
            first = last


def write_genotypes(
    path: str | Path,
    donors: Sequence[str],
    variants: pd.DataFrame,
    dosage: Callable[[int, int], np.ndarray],
    pcs: np.ndarray,
    build: str,
    counts: dict[str, int],
    size: int = 8192,
) -> None:
    """Write a genotypes file.

    Args:
        donors: (S,) sorted.
        variants: VARIANT_COLUMNS, sorted by chromosome and position.
        dosage: of rows first to last (excluded), (rows, S) uint8.
        pcs: (S, K).
        counts: of genotype_counts.tsv, kept in the attributes.
        size: rows a call of `dosage`.
    """
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["build"] = FORMAT, build
        file.attrs["counts"] = json.dumps(counts, sort_keys=True)
        file.create_dataset("donors", data=np.asarray(donors, dtype=object), dtype=h5py.string_dtype())
        file.create_dataset("pcs", data=np.asarray(pcs, dtype="f8"))
        group = file.create_group("variants")
        for name in VARIANT_COLUMNS:
            values = variants[name].to_numpy()
            if name in TEXT:
                _write_text(group, name, values.astype(object))
            else:
                group.create_dataset(name, data=values, dtype=NUMBERS[name])
        rows = file.create_dataset("dosage", (len(variants), len(donors)), dtype="u1")
        for first in range(0, len(variants), size):
            last = min(first + size, len(variants))
            rows[first:last] = dosage(first, last)
