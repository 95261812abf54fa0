#!/usr/bin/env python3
"""Expression values: reading the samples of a cohort, checking the declared unit, transforming."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults, preview
from hx_gene_lists import without_version
from hx_join import gathered
from hx_matrix import open_matrix
from hx_matrix_base import CappedFaults, Matrix
from hx_units import UnitCheck, mixed_faults, name_faults

BLOCK_GENES = 1000  # genes ranked at a time


class Read(NamedTuple):
    """One file: genes (gene, symbol), if kept their values in blocks (genes, samples), what was seen of the unit."""

    genes: pd.DataFrame
    blocks: deque[np.ndarray]
    check: UnitCheck


def sample_names(path: str | Path) -> list[str]:
    """Names of the samples of an expression file, in its order; of a text file only the head is read."""
    return open_matrix(path).samples


def _read(matrix: Matrix, wanted: list[str], unit: str, keep: bool) -> Read:
    """Genes of one file and, if `keep`, the values of the samples wanted; raises DataError with all its faults."""
    check, genes, symbols, rows, blocks, faults = UnitCheck(unit), [], [], [], deque(), Faults()
    with gathered(faults):
        for block in matrix.blocks(wanted):
            check.add(block.genes, block.rows, block.values)
            genes += block.genes
            symbols += block.symbols
            rows += block.rows
            if keep:
                blocks.append(block.values)
    table = pd.DataFrame({"gene": genes, "symbol": symbols, "row": rows})
    if table.empty and not faults:
        faults.add(f"{matrix.path}: no genes: rows of values are expected below the header")
    blank = table["row"][table["gene"] == ""].tolist()
    if blank:
        faults.add(f"{matrix.path}, {matrix.row_word} {preview(blank)}: no gene id: name the gene or remove the row")
    repeated = table[table["gene"].duplicated(keep=False) & (table["gene"] != "")].groupby("gene", sort=False)["row"]
    twice = CappedFaults(matrix.path, "genes that stand more than once")
    for gene, places in repeated:
        twice.add(f"{matrix.path}, {matrix.row_word}s {preview(places)}: gene {gene} stands twice: keep or sum one")
    with gathered(faults):
        twice.stop()
    for fault in check.faults(matrix.path, matrix.row_word):
        faults.add(fault)
    faults.stop()
    return Read(table.drop(columns="row"), blocks, check)


def _by_file(paths: Sequence[str | Path], samples: Sequence[str]) -> list[tuple[Matrix, list[str]]]:
    """The files that hold samples wanted, and which; raises DataError for samples in no file, or in two."""
    home: dict[str, list[Path]] = {name: [] for name in samples}
    matrices, faults = [], Faults()
    for path in sorted(paths, key=str):
        with gathered(faults):
            matrices.append(open_matrix(path))
    faults.stop()
    for matrix in matrices:
        for name in matrix.samples:
            if name in home:
                home[name].append(matrix.path)
    lost = [name for name, files in home.items() if not files]
    if lost:
        faults.add(f"{preview(sorted(map(str, paths)))}: no column {preview(lost)}: give the file that holds it")
    double: dict[str, list[str]] = {}
    for name, files in home.items():
        if len(files) > 1:
            double.setdefault(" and ".join(map(str, files)), []).append(name)
    for files, names in double.items():
        faults.add(f"{files}: sample {preview(names)} stands in both: keep one column")
    faults.stop()
    wanted = [(matrix, [name for name in samples if home[name] == [matrix.path]]) for matrix in matrices]
    return [(matrix, names) for matrix, names in wanted if names]


def check_expression(paths: Sequence[str | Path], samples: Sequence[str], unit: str) -> None:
    """Read samples from all files without keeping them; raise DataError with all faults of all files."""
    faults, checks = Faults(), {}
    files = _by_file(paths, samples)
    for matrix, names in files:
        with gathered(faults):
            checks[matrix.path] = _read(matrix, names, unit, keep=False).check
    for message in (*name_faults([matrix.path for matrix, _ in files], unit), *mixed_faults(checks, unit)):
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
        name; and values (genes, samples) float64, samples in the order asked for. Beside them a file's text takes
        some megabytes, whatever its size.

    Raises:
        DataError: samples missing or in two files; ragged rows, cells that are no number, genes twice; values that do
            not fit the unit, or mixed units; files whose genes differ.
    """
    column = {name: index for index, name in enumerate(samples)}
    faults, checks, first, genes, values = Faults(), {}, None, None, None
    files = _by_file(paths, samples)
    for matrix, names in files:
        with gathered(faults):
            read = _read(matrix, names, unit, keep=True)
            checks[matrix.path] = read.check
            if genes is None:
                first, genes = matrix.path, read.genes
                values = np.empty((len(genes), len(samples)))
            _same_genes(first, genes["gene"], matrix.path, read.genes["gene"])
            places = np.array([column[name] for name in names])
            rows = pd.Index(genes["gene"]).get_indexer(read.genes["gene"])
            done = 0
            while read.blocks:  # each is let go as it is copied
                block = read.blocks.popleft()
                values[rows[done : done + len(block), None], places] = block
                done += len(block)
    for message in (*name_faults([matrix.path for matrix, _ in files], unit), *mixed_faults(checks, unit)):
        faults.add(message)
    faults.stop()
    return genes, values


def _same_genes(first: Path, genes: pd.Series, path: Path, others: pd.Series) -> None:
    """Raise DataError unless two files have the same genes."""
    differing = sorted(set(genes) ^ set(others))
    if not differing:
        return
    fix = "files of one release and annotation are expected"
    if set(without_version(genes)) == set(without_version(others)):
        fix = f"the versions alone differ: two annotations: {fix}"
    counts = f"{first} has {len(genes)} genes, {path} {len(others)}, {len(differing)} stand in one only"
    raise DataError(f"{counts} ({preview(differing)}): {fix}")


def log2_values(values: np.ndarray, unit: str, library: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """Bring values (genes, samples) to the log2 scale, in their place: the array is overwritten.

    Args:
        library: (samples,) effective library sizes (`hx_counts`) of counts; None for counts of a panel (fewer than
            TRANSCRIPTOME_GENES genes), whose sum is no library size.

    Returns:
        `values` and the name of the transform: log2 as given; log2(x + 1) of tpm, rpkm, fpkm and counts of a panel;
        log2(CPM + 1) of counts.
    """
    if unit == "log2":
        return values, "log2 as given"
    name = f"log2({unit} + 1)"
    if unit == "counts" and library is not None:
        values *= 1e6 / library
        name = "log2(CPM + 1), library sizes by TMM"
    values += 1
    return np.log2(values, out=values), name


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
    out = np.empty_like(values)  # keeps the order in memory: a transposed array gives a transposed one
    for start in range(0, len(values) if values.size else 0, BLOCK_GENES):
        rows = slice(start, start + BLOCK_GENES)
        out[rows] = ndtri((rankdata(values[rows], axis=-1) - 0.375) / (values.shape[-1] + 0.25))
    return out
