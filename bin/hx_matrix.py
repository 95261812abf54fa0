#!/usr/bin/env python3
"""Files of genes x samples (GCT 1.2, TSV, CSV, Parquet, h5ad): their sample names, and their rows block by block.

Only the columns asked for are parsed and kept, so that memory depends on them and not on the file.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hx_cli import DataError, Faults, log, preview

BLOCK_VALUES = 2_000_000  # values parsed at a time: 16 MB, whatever the number of samples
MOST_FAULTS = 20  # faults of one kind and file that are spelled out; the others are counted
SYMBOL_HEADERS = ("description", "symbol", "gene_symbol", "gene_name", "hgnc_symbol")
GENE_HEADERS = ("name", "gene_id", "gene")


@dataclass
class Block:
    """Some genes of a file: ids, symbols ('' = none), row numbers for messages, values (genes, samples) float64."""

    genes: list[str]
    symbols: list[str]
    rows: list[int]
    values: np.ndarray


@dataclass
class Matrix:
    """A file of genes x samples. Subclasses know one format each and give `blocks(wanted)`."""

    path: Path
    samples: list[str] = field(default_factory=list)
    row_word: str = "row"  # what a message calls a gene's place in the file
    header: str = "header"

    def blocks(self, wanted: list[str]) -> Iterator[Block]:
        """Yield the genes in the file's order, with the values of the samples `wanted`, in that order.

        Raises:
            DataError: a row of another width than the header, or a cell that is no finite number.
        """
        raise NotImplementedError

    def check_samples(self) -> None:
        """Raise DataError unless every sample has a name and no name stands twice."""
        faults = Faults()
        if not self.samples:
            faults.add(f"{self.path}, {self.header}: no sample column")
        if "" in self.samples:
            faults.add(f"{self.path}, {self.header}: sample {self.samples.index('') + 1} has no name: name it")
        counts = dict.fromkeys(self.samples, 0)
        for name in self.samples:
            counts[name] += 1
        twice = [name for name, count in counts.items() if count > 1 and name]
        if twice:
            faults.add(f"{self.path}, {self.header}: sample {preview(twice)} stands more than once: keep one each")
        faults.stop()


def open_matrix(path: str | Path) -> Matrix:
    """Read the head of a file of genes x samples; the format is known by the suffix .parquet or .h5ad, else it is text.

    Raises:
        DataError: not such a file, or sample names that are blank or stand twice.
    """
    path = Path(path)
    matrix = {".parquet": ParquetMatrix, ".h5ad": H5adMatrix}.get(path.suffix, TextMatrix)(path)
    matrix.check_samples()
    return matrix


def _open(path: Path) -> BinaryIO:
    handle = open(path, "rb")
    gzipped = handle.read(2) == b"\x1f\x8b"
    handle.seek(0)
    return gzip.open(handle) if gzipped else handle


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a plain or gzipped file without BOM and line ends. Raises DataError for a damaged gzip file."""
    try:
        with _open(path) as handle:
            for number, line in enumerate(handle):
                yield (line if number else line.removeprefix(b"\xef\xbb\xbf")).rstrip(b"\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is cut short or damaged ({error}): copy it again") from error


def _cells(line: bytes, separator: str) -> list[str]:
    """Cells of a line as text, quotes taken off."""
    return [cell.strip() for cell in next(csv.reader([line.decode(errors="replace")], delimiter=separator), [])]


class TextMatrix(Matrix):
    """GCT 1.2, or a TSV or CSV whose first column is the gene id; plain or gzipped.

    Handled as found in the wild: per-tissue GTEx files (a column `id` before Name), a header whose counts lie, R's
    missing header of the row names, quotes, CRLF, a byte order mark.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        lines = _lines(path)
        first = next(lines, b"")
        self.separator, self.header_row, self.declared = "\t", 1, None
        if first.startswith(b"#1."):
            self.declared, self.header_row = self._gct_counts(first, next(lines, b"")), 3
            first = next(lines, b"")
        else:
            self.separator = max("\t,;", key=first.decode(errors="replace").count)
        self.header = f"row {self.header_row}"
        columns = _cells(first, self.separator)
        if len(columns) < 2:
            raise DataError(f"{path}, {self.header}: no header of gene and sample names in tab or comma separated text")
        names = [name.lower() for name in columns[:3]]
        data = next((line for line in lines if line.strip()), b"")
        if self.declared and "name" not in names[:2]:
            raise DataError(f"{path}, row 3: {preview(columns[:2])}: a GCT header begins with Name and Description")
        if not self.declared and len(_cells(data, self.separator)) == len(columns) + 1:
            self.gene, self.symbol, self.first = 0, None, 1
            columns = ["", *columns]
        elif names == ["id", "name", "description"]:
            self.gene, self.symbol, self.first = 1, 2, 3
        elif names[1] in SYMBOL_HEADERS:
            self.gene, self.symbol, self.first = 0, 1, 2
        else:
            self.gene, self.symbol, self.first = 0, None, 1
        self.samples = columns[self.first :]

    def _gct_counts(self, version: bytes, counts: bytes) -> tuple[int, int]:
        if version.strip() != b"#1.2":
            raise DataError(f"{self.path}, row 1: GCT {version.decode(errors='replace')}: save it as GCT 1.2 (#1.2)")
        numbers = counts.split()
        if len(numbers) < 2 or not all(number.isdigit() for number in numbers[:2]):
            raise DataError(f"{self.path}, row 2: the numbers of genes and of samples are expected in a GCT file")
        return int(numbers[0]), int(numbers[1])

    def _row(self, line: bytes, columns: np.ndarray, into: np.ndarray) -> tuple[str, str, str]:
        """Parse a row into `into`; (gene, symbol, fault), fault '' when all is well."""
        separator = self.separator
        if b'"' in line:
            line, separator = "\t".join(_cells(line, separator)).encode(), "\t"
        ends = np.flatnonzero(np.frombuffer(line, np.uint8) == ord(separator))
        starts, ends = np.concatenate(([0], ends + 1)), np.append(ends, len(line))
        if ends.size != self.first + len(self.samples):
            expected = self.first + len(self.samples)
            return "", "", f": {ends.size} cells, the header has {expected}: a cut or shifted row"

        def text(column: int | None) -> str:
            return "" if column is None else line[starts[column] : ends[column]].decode(errors="replace").strip()

        gene = text(self.gene)
        cells = [line[a:b] for a, b in zip(starts[columns].tolist(), ends[columns].tolist(), strict=True)]
        try:
            into[:] = list(map(float, cells))
        except ValueError:
            into[:] = [_number(cell) for cell in cells]
        bad = np.flatnonzero(~np.isfinite(into))
        if bad.size:
            sample, cell = self.samples[columns[bad[0]] - self.first], cells[bad[0]].decode(errors="replace")
            return gene, "", f" ({gene}), sample {sample}: {cell!r} is no finite number: mend it or remove the gene"
        return gene, text(self.symbol), ""

    def blocks(self, wanted: list[str]) -> Iterator[Block]:
        place = {name: index for index, name in enumerate(self.samples)}
        columns = np.array([place[name] + self.first for name in wanted], dtype=int)
        faults, n_faults, n_genes = Faults(), 0, 0
        size = max(1, BLOCK_VALUES // max(1, len(wanted)))
        block = Block([], [], [], np.empty((size, len(wanted))))
        for row, line in enumerate(_lines(self.path), start=1):
            if row <= self.header_row or not line.strip():
                continue
            n_genes += 1
            gene, symbol, fault = self._row(line, columns, block.values[len(block.genes)])
            if fault:
                n_faults += 1
                if n_faults <= MOST_FAULTS:
                    faults.add(f"{self.path}, row {row}{fault}")
                continue
            block.genes.append(gene)
            block.symbols.append(symbol)
            block.rows.append(row)
            if len(block.genes) == size:
                yield block
                block = Block([], [], [], np.empty_like(block.values))
        if n_faults > MOST_FAULTS:
            faults.add(f"{self.path}: {n_faults - MOST_FAULTS} further rows with such faults")
        faults.stop()
        found = (n_genes, len(self.samples))
        if self.declared and self.declared != found:
            message = "%s: line 2 declares %d genes x %d samples, the file holds %d x %d: read as it is"
            log.warning(message, self.path, *self.declared, *found)
        yield Block(block.genes, block.symbols, block.rows, block.values[: len(block.genes)])


def _number(cell: bytes) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _checked(
    matrix: Matrix, first: int, genes: list[str], symbols: list[str], values: np.ndarray, names: list[str]
) -> Block:
    """A block of a binary file; raises DataError where values are not finite."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    rows = list(range(first, first + len(genes)))
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = f"{matrix.path}, {matrix.row_word}"
        fix = "no finite number: mend it or remove the gene"
        told = [f"{place} {rows[g]} ({genes[g]}), sample {names[s]}: {fix}" for g, s in bad[:MOST_FAULTS]]
        if len(bad) > MOST_FAULTS:
            told.append(f"{matrix.path}: {len(bad) - MOST_FAULTS} further such values")
        raise DataError(*told)
    return Block(genes, symbols, rows, values)


class ParquetMatrix(Matrix):
    """Parquet, a row a gene: text columns of ids (Name in GTEx v11) and maybe symbols, numeric columns of samples."""

    def __init__(self, path: Path):
        super().__init__(path, row_word="gene", header="schema")
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            schema = pq.read_schema(path)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: no Parquet file ({error}): copy or download it again") from error
        self.samples = [f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
        text = [f.name for f in schema if f.name not in self.samples]
        symbols = [name for name in text if name.lower() in SYMBOL_HEADERS]
        ids = [name for name in text if name not in symbols] or symbols
        if not ids:
            raise DataError(f"{path}: no text column of gene ids: write a row a gene, with its id as a column")
        self.gene = min(ids, key=lambda name: name.lower() not in GENE_HEADERS)
        self.symbol = next((name for name in symbols if name != self.gene), None)

    def blocks(self, wanted: list[str]) -> Iterator[Block]:
        import pyarrow.parquet as pq

        columns = list(dict.fromkeys([self.gene, *([self.symbol] if self.symbol else []), *wanted]))
        first, size = 1, max(1, BLOCK_VALUES // max(1, len(wanted)))
        for batch in pq.ParquetFile(self.path).iter_batches(batch_size=size, columns=columns):
            table = batch.to_pandas()
            genes = table[self.gene].astype(str).tolist()
            symbols = table[self.symbol].fillna("").astype(str).tolist() if self.symbol else [""] * len(genes)
            yield _checked(self, first, genes, symbols, table[wanted].to_numpy(), wanted)
            first += len(genes)


class H5adMatrix(Matrix):
    """AnnData: obs = samples, var = genes."""

    def __init__(self, path: Path):
        super().__init__(path, row_word="gene", header="obs names")
        import anndata

        try:
            self.data = anndata.read_h5ad(path, backed="r")
        except OSError as error:
            raise DataError(f"{path}: no h5ad file ({error}): copy or write it again") from error
        self.samples = [str(name) for name in self.data.obs_names]

    def blocks(self, wanted: list[str]) -> Iterator[Block]:
        part = self.data[wanted].to_memory()
        values = part.X.toarray() if hasattr(part.X, "toarray") else np.asarray(part.X)
        column = next((name for name in part.var.columns if name.lower() in SYMBOL_HEADERS), None)
        genes = part.var_names.astype(str).tolist()
        symbols = [""] * len(genes) if column is None else part.var[column].astype(str).tolist()
        yield _checked(self, 1, genes, symbols, values.T, wanted)
