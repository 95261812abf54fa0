#!/usr/bin/env python3
"""Expression values: reading the samples of a cohort, checking the declared unit, transforming."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults, log, preview
from hx_matrix import MOST_FAULTS, Matrix, open_matrix

UNITS = ("tpm", "rpkm", "fpkm", "counts", "log2")
# log2 of any expression unit stays below this: 2^40 is 1e12, and no library has as many reads.
LOG2_MAX = 40.0
# From this number of genes on a file is a transcriptome and its column sums mean something; below it is a panel.
TRANSCRIPTOME_GENES = 5000
# TPM of all genes sum to 1e6 by definition (Wagner 2012); a little more is left for rounding and added genes.
TPM_SUM_MAX = 1.1e6


def sample_names(path: str | Path) -> list[str]:
    """Names of the samples of an expression file, in its order; of a text file only the head is read."""
    return open_matrix(path).samples


class UnitCheck:
    """Compares the values of one file with the declared unit, a block of genes at a time.

    >>> check = UnitCheck("counts")
    >>> check.add(["G1"], [4], np.array([[3.0, 0.5]]))
    >>> check.faults("a.gct")[0][:47]
    'a.gct, row 4 (G1): 0.5 is no whole number, in a'
    """

    def __init__(self, declared: str):
        if declared not in UNITS:
            raise ValueError(f"unit {declared!r}: one of {', '.join(UNITS)} is expected")
        self.declared = declared
        self.negative: list[tuple[int, str, float]] = []
        self.fraction: list[tuple[int, str, float]] = []
        self.n_negative = self.n_fraction = self.n_genes = 0
        self.highest: tuple[float, int, str] = (-np.inf, 0, "")
        self.sums: np.ndarray | float = 0.0

    def add(self, genes: Sequence[str], rows: Sequence[int], values: np.ndarray) -> None:
        """Take in values (genes, samples) float64, finite."""
        if values.size == 0:
            return
        self.n_genes += len(genes)
        self.sums = self.sums + values.sum(axis=0)
        for where, kept, count in (
            ((values < 0).any(axis=1), self.negative, "n_negative"),
            ((values != np.floor(values)).any(axis=1), self.fraction, "n_fraction"),
        ):
            setattr(self, count, getattr(self, count) + int(where.sum()))
            for gene in np.flatnonzero(where)[: MOST_FAULTS - len(kept)]:
                cells = values[gene]
                bad = cells < 0 if kept is self.negative else cells != np.floor(cells)
                kept.append((rows[gene], genes[gene], float(cells[bad][0])))
        peaks = values.max(axis=1)
        peak = int(peaks.argmax())
        if peaks[peak] > self.highest[0]:
            self.highest = (float(peaks[peak]), rows[peak], genes[peak])

    def faults(self, path: str | Path, row_word: str = "row") -> list[str]:
        """What speaks against the declared unit, each with file, row and fix; [] when nothing does."""
        if self.n_genes == 0:
            return []
        unit, told = self.declared, []
        peak, row, gene = self.highest
        at = f"{path}, {row_word} {row} ({gene})"
        whole = self.n_fraction == 0 and peak > 0

        def rows(bad: list[tuple[int, str, float]], total: int, text: str) -> None:
            told.extend(f"{path}, {row_word} {row} ({gene}): {value:g} {text}" for row, gene, value in bad)
            if total > len(bad):
                told.append(f"{path}: {total - len(bad)} further rows like these")

        if unit != "log2":
            fix = f"is negative, in a file declared as {unit}: are these log2 values? declare --expression-unit log2"
            rows(self.negative[:3], self.n_negative, fix)
        if unit == "counts" and not self.n_negative:
            fix = "is no whole number, in a file declared as counts: declare tpm, rpkm or fpkm, or round them"
            rows(self.fraction[:3], self.n_fraction, fix)
        if unit != "counts" and whole:
            told.append(f"{at}: {peak:g}, and all values are whole, in a file declared as {unit}: declare counts")
        elif unit == "log2" and peak > LOG2_MAX:
            told.append(f"{at}: {peak:g} is too high for log2 values (at most {LOG2_MAX:g}): declare tpm, rpkm or fpkm")
        elif unit not in ("counts", "log2") and self.n_genes >= TRANSCRIPTOME_GENES and peak < LOG2_MAX:
            told.append(f"{at}: {peak:g} is the highest of {self.n_genes} genes: are these log2 values? declare log2")
        elif unit == "tpm" and float(np.max(self.sums)) > TPM_SUM_MAX:
            told.append(
                f"{path}: the values of a sample sum to {float(np.max(self.sums)):.4g}, TPM sum to at most 1e6: "
                "declare rpkm or fpkm, or counts"
            )
        return told


def _read(matrix: Matrix, wanted: list[str], unit: str, keep: bool) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Genes of one file and, if `keep`, the values of the samples wanted; raises DataError with all its faults."""
    check, genes, symbols, rows, parts = UnitCheck(unit), [], [], [], []
    for block in matrix.blocks(wanted):
        check.add(block.genes, block.rows, block.values)
        genes += block.genes
        symbols += block.symbols
        rows += block.rows
        if keep:
            parts.append(block.values)
    faults = Faults()
    table = pd.DataFrame({"gene": genes, "symbol": symbols, "row": rows})
    if table.empty:
        faults.add(f"{matrix.path}: no genes: rows of values are expected below the header")
    blank = table["row"][table["gene"] == ""].tolist()
    if blank:
        faults.add(f"{matrix.path}, {matrix.row_word} {preview(blank)}: no gene id: name the gene or remove the row")
    repeated = table[table["gene"].duplicated(keep=False) & (table["gene"] != "")].groupby("gene", sort=False)["row"]
    for number, (gene, places) in enumerate(repeated):
        if number == MOST_FAULTS:
            faults.add(f"{matrix.path}: {repeated.ngroups - MOST_FAULTS} further genes that stand more than once")
            break
        faults.add(f"{matrix.path}, {matrix.row_word}s {preview(places)}: gene {gene} stands twice: keep or sum one")
    for fault in check.faults(matrix.path, matrix.row_word):
        faults.add(fault)
    faults.stop()
    return table.drop(columns="row"), np.concatenate(parts) if keep else None


def _by_file(paths: Sequence[str | Path], samples: Sequence[str]) -> list[tuple[Matrix, list[str]]]:
    """The files that hold samples wanted, and which; raises DataError for samples in no file, or in two."""
    home: dict[str, list[Path]] = {name: [] for name in samples}
    matrices = [open_matrix(path) for path in sorted(paths, key=str)]
    for matrix in matrices:
        for name in matrix.samples:
            if name in home:
                home[name].append(matrix.path)
    faults = Faults()
    lost = [name for name, files in home.items() if not files]
    if lost:
        faults.add(f"{preview(sorted(map(str, paths)))}: no column {preview(lost)}: give the file that holds it")
    for name, files in home.items():
        if len(files) > 1:
            faults.add(f"{' and '.join(map(str, files))}: sample {name} stands in both: keep one column")
    faults.stop()
    wanted = [(matrix, [name for name in samples if home[name] == [matrix.path]]) for matrix in matrices]
    return [(matrix, names) for matrix, names in wanted if names]


def check_expression(paths: Sequence[str | Path], samples: Sequence[str], unit: str) -> None:
    """Read samples from all files without keeping them; raise DataError with all faults of all files."""
    faults = Faults()
    for matrix, names in _by_file(paths, samples):
        try:
            _read(matrix, names, unit, keep=False)
        except DataError as error:
            for message in error.faults:
                faults.add(message)
    faults.stop()


def read_expression(paths: Sequence[str | Path], samples: Sequence[str], unit: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Read the values of `samples` from expression files of one release.

    Args:
        paths: GCT 1.2, TSV, CSV (.gz or plain), Parquet or h5ad; only those that hold samples wanted are read.
        samples: column names, each in exactly one file.
        unit: declared unit, one of UNITS.

    Returns:
        Table of genes (gene: id as in the file, symbol: '' where the file has none), in the order of the first file by
        name; and values (genes, samples) float64, samples in the order asked for.

    Raises:
        DataError: samples missing or in two files; ragged rows, cells that are no number, genes twice; values that do
            not fit the unit; files whose genes differ.
    """
    read = [(matrix, names, *_read(matrix, names, unit, keep=True)) for matrix, names in _by_file(paths, samples)]
    first, _, genes, _ = read[0]
    values = np.empty((len(genes), len(samples)))
    column = {name: index for index, name in enumerate(samples)}
    faults = Faults()
    for matrix, names, table, part in read:
        differing = sorted(set(genes["gene"]) ^ set(table["gene"]))
        if differing:
            faults.add(
                f"{first.path} has {len(genes)} genes, {matrix.path} {len(table)}, {len(differing)} stand in one only "
                f"({preview(differing)}): files of one release and annotation are expected"
            )
            continue
        order = pd.Index(table["gene"]).get_indexer(genes["gene"])
        values[:, [column[name] for name in names]] = part[order]
    faults.stop()
    return genes, values


def log2_values(values: np.ndarray, unit: str, n_genes: int) -> tuple[np.ndarray, str]:
    """Bring values (genes, samples) to the log2 scale.

    TPM, RPKM, FPKM: log2(x + 1). Counts of a transcriptome: log2(CPM + 1), CPM by plain library size (column sum; no
    TMM factors). Counts of a panel (fewer than TRANSCRIPTOME_GENES genes): log2(x + 1) of the counts, with a warning,
    for a panel's sum is no library size. log2: as they are.

    Args:
        n_genes: number of genes of the file: tells a transcriptome from a panel.

    Returns:
        Values (genes, samples) and the name of the transform.

    Raises:
        DataError: a sample of a transcriptome without a single read.
    """
    if unit == "log2":
        return values, "log2 as given"
    if unit != "counts":
        return np.log2(values + 1), f"log2({unit} + 1)"
    if n_genes < TRANSCRIPTOME_GENES:
        log.warning("%d genes are no transcriptome: log2(counts + 1), library size stays in the values", n_genes)
        return np.log2(values + 1), "log2(counts + 1)"
    library = values.sum(axis=0)
    if (library == 0).any():
        empty = np.flatnonzero(library == 0) + 1
        raise DataError(f"expression: no read in sample {preview(empty)} of the tissue: exclude it with --exclude")
    return np.log2(values / library * 1e6 + 1), "log2(CPM + 1)"


def rank_inverse_normal(values: np.ndarray) -> np.ndarray:
    """Rank-based inverse normal transform of each row: Phi^-1((rank - 3/8) / (n + 1/4)), ties get their average rank.

    Offset 3/8: Blom, Statistical Estimates and Transformed Beta-Variables, 1958.

    Args:
        values: (genes, samples), finite.

    Returns:
        (genes, samples) float64; a constant row becomes zeros.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    values = np.asarray(values, dtype=float)
    if values.size == 0:
        return np.empty(values.shape)
    return ndtri((rankdata(values, axis=-1) - 0.375) / (values.shape[-1] + 0.25))
