#!/usr/bin/env python3
"""Where genes lie: positions from a GTF, BED or TSV file, and the variants near a gene."""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hx_build import CHROMOSOMES, check_builds, chrom_rank, named_build, plain_chrom, settle_build
from hx_cli import DataError, Faults, log, preview
from hx_gene_lists import without_version
from hx_genotypes import Genotypes
from hx_io import read_table
from hx_join import key_columns

COLUMNS = ["gene", "chrom", "start", "end", "strand"]
_SYNONYMS = {
    "gene": ("gene", "gene_id", "ensembl_gene_id", "name"),
    "chrom": ("chrom", "chr", "chromosome", "#chrom", "#chr", "seqname"),
    "start": ("start", "gene_start", "start_position"),
    "end": ("end", "gene_end", "end_position", "stop"),
    "strand": ("strand",),
}
_GENE_ID = re.compile(r'gene_id "([^"]+)"')
_STRANDS = ("+", "-", ".")


def _lines(path: Path) -> Iterator[str]:
    """Lines of a text file, gzipped or not, one by one: a GTF has millions."""
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rt", encoding="utf-8") if zipped else open(path, encoding="utf-8") as handle:
            for line in handle:
                yield line.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is cut short or damaged ({error}): copy it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error}): a GTF, BED or TSV file is expected") from error


def _gtf_rows(lines: Iterable[str], faults: Faults, path: Path) -> Iterator[tuple[str, ...]]:
    """(row, gene, chrom, start, end, strand) of the gene records."""
    for row, line in enumerate(lines, 1):
        if line.startswith("#") or "\tgene\t" not in line:
            continue
        cells = line.split("\t")
        found = _GENE_ID.search(cells[-1])
        if len(cells) != 9 or not found:
            faults.add(f'{path}, row {row}: a gene record of nine cells with gene_id "..." is expected')
        elif cells[2] == "gene":
            yield str(row), found[1], cells[0], cells[3], cells[4], cells[6]


def _bed_rows(lines: Iterable[str], faults: Faults, path: Path) -> Iterator[tuple[str, ...]]:
    """As _gtf_rows; the start of BED counts from 0."""
    for row, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        cells = line.split("\t")
        if len(cells) < 4 or not cells[1].isdigit():
            faults.add(f"{path}, row {row}: chromosome, start (from 0), end and gene, separated by tabs, are expected")
            continue
        strand = cells[5] if len(cells) > 5 else "."
        yield str(row), cells[3], cells[0], str(int(cells[1]) + 1), cells[2], strand


def _table_rows(path: Path) -> Iterator[tuple[str, ...]]:
    """As _gtf_rows, of a table with a header."""
    table = read_table(path)
    found = key_columns(table.columns, _SYNONYMS)
    if missing := [key for key in COLUMNS[:4] if key not in found]:
        raise DataError(f"{path}, row 1: no column {preview(missing)}: gene, chrom, start, end and strand are expected")
    strand = table[found["strand"]] if "strand" in found else ["."] * len(table)
    cells = zip(*(table[found[key]] for key in COLUMNS[:4]), strand, strict=True)
    for row, (gene, chrom, start, end, side) in zip(table.index + 2, cells, strict=True):
        yield str(row), gene, chrom, start, end, side or "."


def _header(path: Path) -> str:
    """Comment lines before the first record."""
    kept = []
    for line in _lines(path):
        if not line.startswith("#"):
            break
        kept.append(line)
    return "\n".join(kept)


def _is_gtf(path: Path) -> bool:
    return re.search(r"\.g[tf]f[0-9]?(\.b?gz)?$", path.name, re.IGNORECASE) is not None


def _is_bed(path: Path) -> bool:
    return re.search(r"\.bed(\.b?gz)?$", path.name, re.IGNORECASE) is not None


def read_positions(path: str | Path) -> pd.DataFrame:
    """Positions of genes: gene, chrom (without `chr`), start, end (from 1, both included), strand (+, - or .).

    GTF (records `gene`), BED (name in column 4) or TSV/CSV (gene, chrom, start, end[, strand]; from 1), told by the
    suffix, gzipped or not. Sorted by chromosome and start; attrs["build"] is GRCh37, GRCh38 or unknown, from the
    header, else from positions that only one build has. Genes on other sequences than 1-22, X, Y and MT, and genes with
    several places, are left out with a warning; a gene of the pseudo-autosomal regions keeps its place on X.

    Raises:
        DataError: no gene in it, a position that is none, or positions outside the build; all rows at once.
    """
    path, faults = Path(path), Faults()
    if _is_gtf(path):
        rows = list(_gtf_rows(_lines(path), faults, path))
    elif _is_bed(path):
        rows = list(_bed_rows(_lines(path), faults, path))
    else:
        rows = list(_table_rows(path))
    good = []
    for row, gene, chrom, start, end, strand in rows:
        if not gene or strand not in _STRANDS or not start.isdigit() or not end.isdigit():
            faults.add(f"{path}, row {row}: {gene} {chrom} {start} {end} {strand}: gene, place and strand are expected")
        elif not 0 < int(start) <= int(end):
            faults.add(f"{path}, row {row}: {gene} runs from {start} to {end}: start from 1, end not before it")
        else:
            good.append((gene, plain_chrom(chrom), int(start), int(end), strand))
    faults.stop()
    if not good:
        raise DataError(f"{path}: no gene in it: a GTF with gene records, a BED or a TSV file is expected")
    table = pd.DataFrame(good, columns=COLUMNS).drop_duplicates()
    table = _one_place_each(table, path)
    last = table.groupby("chrom")["end"].max().to_dict()
    table.attrs["build"] = settle_build(str(path), "auto", {"its header": named_build(_header(path))}, last)
    return table


def positions_beside(path: Path, genotypes: Genotypes) -> pd.DataFrame:
    """read_positions of a file that goes with genotypes. DataError: theirs is another build."""
    table = read_positions(path)
    check_builds((genotypes.path.name, genotypes.build), (path.name, table.attrs["build"]))
    return table


def _one_place_each(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Genes that have one place on a chromosome, sorted by place."""
    known = table["chrom"].isin(CHROMOSOMES)
    if not known.all():
        log.warning("%s: %d genes lie on other sequences (%s)", path, (~known).sum(), preview(table["chrom"][~known]))
    table = table[known]
    on_x = set(table["gene"][table["chrom"] == "X"])
    table = table[~((table["chrom"] == "Y") & table["gene"].isin(on_x))]
    several = table["gene"].duplicated(keep=False)
    if several.any():
        names = sorted(set(table["gene"][several]))
        log.warning("%s: %d genes have several places, they are left out: %s", path, len(names), preview(names))
    table = table[~several]
    order = np.lexsort((table["gene"], table["start"], chrom_rank(table["chrom"])))
    return table.iloc[order].reset_index(drop=True)


def start_site(positions: pd.DataFrame) -> np.ndarray:
    """(genes,) transcription start site: the start, on the minus strand the end; NaN where the strand is unknown."""
    site = np.where(positions["strand"] == "-", positions["end"], positions["start"]).astype(float)
    return np.where(positions["strand"] == ".", np.nan, site)


def placed(positions: pd.DataFrame, genes: Sequence[str]) -> pd.DataFrame:
    """Rows of `positions` of `genes`, in their order, as far as they have one; `gene` is the name that was asked for.

    Ids are compared as they are, else without their version.
    """
    exact = dict(zip(positions["gene"], range(len(positions)), strict=True))
    bare = without_version(positions["gene"])
    # An id without version that two genes share names neither.
    once = ~bare.duplicated(keep=False).to_numpy()
    loose = dict(zip(bare[once], np.flatnonzero(once), strict=True))
    asked = without_version(pd.Series(list(genes), dtype=str))
    rows = [exact.get(gene, loose.get(plain, -1)) for gene, plain in zip(genes, asked, strict=True)]
    found = [k for k, row in enumerate(rows) if row >= 0]
    table = positions.iloc[[rows[k] for k in found]].reset_index(drop=True)
    table["gene"] = [genes[k] for k in found]
    return table


def near(
    positions: pd.DataFrame, genes: Sequence[str], chrom: np.ndarray, pos: np.ndarray, window: int, site: bool = False
) -> pd.DataFrame:
    """The variants within `window` bases of each gene, as a range of the variants' order.

    Args:
        positions: of read_positions.
        genes: names; those without a position have no row in the answer.
        chrom, pos: (V,) of the variants, sorted as a genotypes file is: by CHROMOSOMES, then position.
        window: bases on each side.
        site: of the transcription start site, where the strand is known, instead of the whole gene.

    Returns:
        A row a gene that has a position: gene, chrom, start, end, strand, first, last (variants[first:last]).
    """
    table = placed(positions, genes)
    left, right = table["start"].to_numpy(float), table["end"].to_numpy(float)
    if site:
        tss = start_site(table)
        left, right = np.where(np.isnan(tss), left, tss), np.where(np.isnan(tss), right, tss)
    bounds = {name: np.flatnonzero(np.asarray(chrom) == name) for name in set(table["chrom"])}
    first, last = np.zeros(len(table), dtype=np.int64), np.zeros(len(table), dtype=np.int64)
    for name, inside in bounds.items():
        if len(inside) == 0:
            continue
        mine, places = (table["chrom"] == name).to_numpy(), np.asarray(pos)[inside]
        first[mine] = inside[0] + np.searchsorted(places, left[mine] - window, side="left")
        last[mine] = inside[0] + np.searchsorted(places, right[mine] + window, side="right")
    return table.assign(first=first, last=last)


def inside_any(ranges: pd.DataFrame, variants: int) -> np.ndarray:
    """(variants,) bool: which variants lie in any of the ranges of `near`: the `keep` of hx_genotypes.blocks."""
    edges = np.zeros(variants + 1, dtype=np.int64)
    np.add.at(edges, ranges["first"].to_numpy(), 1)
    np.add.at(edges, ranges["last"].to_numpy(), -1)
    return np.cumsum(edges)[:-1] > 0
