#!/usr/bin/env python3
"""Genotypes of a file in blocks of variants, as copies of `alt` x 100 in bytes, and the temporary store of them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_build import AUTOSOMES, chrom_rank, plain_chrom
from hx_cli import DataError, preview
from hx_genotype_files import Source
from hx_genotypes import COPIES, MISSING

KEYS = ["chrom", "pos", "id", "ref", "alt"]
TOLERANCE = 1e-3  # how far a dosage may lie outside 0 to 2: files round
NAMED = 20  # dosages outside 0 to 2 that a message names
_ROWS = 16384
_OF_BED = np.full(256, MISSING, dtype=np.uint8)
_OF_BED[:3] = (0, COPIES, 2 * COPIES)
_OF_GT = np.array([0, COPIES, 2 * COPIES, MISSING], dtype=np.uint8)
_UNKNOWN_GT = 3


class Block(NamedTuple):
    """Variants (columns KEYS) that are autosomal and biallelic, and their (rows, donors) uint8."""

    variants: pd.DataFrame
    units: np.ndarray


def read_blocks(source: Source, columns: np.ndarray, counts: Counter, threads: int) -> Iterator[Block]:
    """Blocks of a file, in its order, donors in the order of `columns` (places of their samples in the file).

    Adds to `counts`: rows_read, multi_allelic, non_autosomal, half_calls, rows_from_dosage.

    Raises:
        DataError: dosages outside 0 to 2, a file that is cut short or damaged.
    """
    if source.variants is None:
        yield from _vcf_blocks(source, columns, counts, threads)
    else:
        yield from _bed_blocks(source, columns, counts, threads)


def _bed_blocks(source: Source, columns: np.ndarray, counts: Counter, threads: int) -> Iterator[Block]:
    from bed_reader import open_bed

    variants = source.variants
    usable = variants["chrom"].isin(AUTOSOMES).to_numpy()
    split = variants["alt"].str.contains(",", regex=False).to_numpy() | (variants["alt"] == "*").to_numpy()
    counts["rows_read"] += len(variants)
    counts["non_autosomal"] += int((~usable).sum())
    counts["multi_allelic"] += int((usable & split).sum())
    keep = usable & ~split
    with open_bed(source.path, iid_count=len(source.samples), sid_count=len(variants), num_threads=threads) as file:
        for first in range(0, len(variants), _ROWS):
            rows = np.flatnonzero(keep[first : first + _ROWS]) + first
            if len(rows) == 0:
                continue
            wanted = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
            calls = file.read(index=(columns, wanted), dtype="int8", order="F")
            yield Block(variants[KEYS].iloc[rows], _OF_BED[calls.T.view(np.uint8)])


def _records(file: object, path: Path) -> Iterator:
    try:
        yield from file
    except Exception as error:  # cyvcf2 raises bare Exceptions
        raise DataError(f"{path}: damaged or cut short ({error}): copy it again") from error


def _vcf_blocks(source: Source, columns: np.ndarray, counts: Counter, threads: int) -> Iterator[Block]:
    import cyvcf2

    asked = [source.samples[column] for column in columns]
    # Half-calls (./1) are missing with strict_gt; htslib gives samples in the order of the file.
    file = cyvcf2.VCF(str(source.path), gts012=True, strict_gt=True, samples=asked, threads=threads)
    places = {name: place for place, name in enumerate(file.samples)}
    order = np.array([places[name] for name in asked])
    units, rows, outside, names = np.empty((_ROWS, len(order)), dtype=np.uint8), [], Outside(source.path, asked), {}
    for record in _records(file, source.path):
        counts["rows_read"] += 1
        chrom = record.CHROM
        plain = names.get(chrom) or names.setdefault(chrom, plain_chrom(chrom))
        if plain not in AUTOSOMES:
            counts["non_autosomal"] += 1
            continue
        alts = record.ALT
        if len(alts) > 1 or alts == ["*"]:
            counts["multi_allelic"] += 1
            continue
        kinds = record.FORMAT
        if "GT" in kinds:
            calls = record.gt_types
            unknown = calls == _UNKNOWN_GT
            if unknown.any():
                counts["half_calls"] += int((record.genotype.array()[unknown, :-1] >= 0).any(axis=1).sum())
            units[len(rows)] = _OF_GT[calls[order]]
        elif "DS" in kinds:
            counts["rows_from_dosage"] += 1
            units[len(rows)] = outside.units(record, order)
        else:
            units[len(rows)] = MISSING
        rows.append((plain, record.POS, record.ID or ".", record.REF, alts[0] if alts else "."))
        if len(rows) == _ROWS:
            yield Block(pd.DataFrame(rows, columns=KEYS), units)
            rows = []
    file.close()
    outside.stop()
    if rows:
        yield Block(pd.DataFrame(rows, columns=KEYS), units[: len(rows)])


class Outside:
    """Dosages outside 0 to 2 of a file: the first of them by name, and how many there are."""

    def __init__(self, path: Path, samples: list[str]) -> None:
        self.path, self.samples = path, samples
        self.named: list[str] = []
        self.values = self.rows = 0

    def units(self, record: object, order: np.ndarray) -> np.ndarray:
        """(donors,) uint8 of a record's DS; NaN is missing."""
        dosage = np.asarray(record.format("DS"), dtype=np.float64)[order, 0]
        missing = np.isnan(dosage)
        wrong = ~missing & ((dosage < -TOLERANCE) | (dosage > 2 + TOLERANCE))
        if wrong.any():
            self.values, self.rows = self.values + int(wrong.sum()), self.rows + 1
            if len(self.named) < NAMED:
                first = int(np.flatnonzero(wrong)[0])
                place = f"{record.CHROM}:{record.POS} {record.ID or '.'}"
                self.named.append(f"{place} {self.samples[first]} {dosage[first]:g}")
        bounded = np.clip(np.where(missing, 0.0, dosage), 0.0, 2.0)
        return np.where(missing, MISSING, np.rint(COPIES * bounded)).astype(np.uint8)

    def stop(self) -> None:
        """DataError when there was one."""
        if self.values:
            raise DataError(
                f"{self.path}: {self.values} dosages (DS) outside 0 to 2 in {self.rows} rows: "
                f"{preview(self.named, NAMED)}: DS is the expected number of copies of ALT"
            )


class Store:
    """Bytes of all variants of all files in one temporary file: they are read several times, decoded once.

    variants: columns KEYS, sorted by chromosome and position (rows of equal place in the order of the files).
    """

    def __init__(self, path: Path, donors: int) -> None:
        self.path, self.donors = path, donors
        self.variants = pd.DataFrame(columns=KEYS)
        self._parts: list[pd.DataFrame] = []
        self._place = np.zeros(0, dtype=np.int64)
        self._handle = open(path, "wb")

    def add(self, block: Block) -> None:
        """Append a block."""
        if block.variants.empty:
            return
        self._parts.append(block.variants)
        self._handle.write(np.ascontiguousarray(block.units).data)

    def close(self) -> bool:
        """Sort: no block is added any more. False when there is none."""
        self._handle.close()
        if not self._parts:
            return False
        table = pd.concat(self._parts, ignore_index=True)
        self._parts = []
        self._place = np.lexsort((table["pos"].to_numpy(np.int64), chrom_rank(table["chrom"])))
        in_order = np.array_equal(self._place, np.arange(len(table)))
        self.variants = table if in_order else table.iloc[self._place].reset_index(drop=True)
        return True

    def rows(self, wanted: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(rows, columns) uint8 of variants and donors."""
        # Mapped anew each time, so that pages read before do not count as memory of the task.
        mapped = np.memmap(self.path, dtype=np.uint8, mode="r", shape=(len(self._place), self.donors))
        units = mapped[self._place[wanted]]
        return units if len(columns) == self.donors else units[:, columns]

    def blocks(self, wanted: np.ndarray, columns: np.ndarray, size: int = _ROWS) -> Iterator[np.ndarray]:
        """`rows` in blocks of at most `size` variants."""
        for first in range(0, len(wanted), size):
            yield self.rows(wanted[first : first + size], columns)
