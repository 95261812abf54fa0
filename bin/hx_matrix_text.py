#!/usr/bin/env python3
"""GCT 1.2, TSV and CSV files of genes x samples, read as a stream.

A GTEx release is a file of gigabytes of which a tissue needs some hundred columns. So no cell becomes a Python object:
separators are found in a block of bytes at once, the bytes of the wanted cells are gathered and parsed together, and
decompression runs in a thread beside that.
"""

import csv
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np

from hx_cli import DataError, log, preview
from hx_matrix_base import SYMBOL_HEADERS, Block, CappedFaults, Matrix

READ_BYTES = 1 << 18  # read from the file at a time
PIECE_BYTES = 1 << 20  # text worked on at a time: it stays in the processor's cache
AHEAD = 4  # pieces decompressed before they are asked for
NEWLINE = ord("\n")


def _inflated(path: Path) -> Iterator[bytes]:
    """Content of a plain or gzipped file, at most PIECE_BYTES at a time; members of a gzip file (bgzip) one by one.

    Raises:
        DataError: the gzip file is cut short or damaged.
    """
    with open(path, "rb") as handle:
        if handle.peek(2)[:2] != b"\x1f\x8b":
            yield from iter(lambda: handle.read(PIECE_BYTES), b"")
            return
        try:
            data, member = handle.read(READ_BYTES), None
            while data:
                member = member or zlib.decompressobj(wbits=31)
                if piece := member.decompress(data, PIECE_BYTES):
                    yield piece
                data = member.unconsumed_tail
                if member.eof:
                    data, member = member.unused_data, None
                data = data or handle.read(READ_BYTES)
            if member:
                yield member.flush()
                if not member.eof:
                    raise zlib.error("its end is missing")
        except zlib.error as error:
            raise DataError(f"{path}: the gzip file is cut short or damaged ({error}): copy it again") from error


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, made by a thread that is AHEAD of them: zlib and numpy both run without Python's lock."""
    with closing(pieces), ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, pieces, None) for _ in range(AHEAD))
        while (piece := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, pieces, None))
            yield piece


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks of whole lines, each line with one \\n at its end; without byte order mark and carriage returns."""
    parts, size, mark = [], 0, b"\xef\xbb\xbf"
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut and size + cut >= PIECE_BYTES // 2:
            yield _unix(b"".join([*parts, piece[:cut]]).removeprefix(mark))
            mark = b""
            parts, size = [piece[cut:]], len(piece) - cut
        else:
            parts.append(piece)
            size += len(piece)
    if size:
        yield _unix(b"".join(parts).removeprefix(mark).removesuffix(b"\n") + b"\n")


def _unix(lines: bytes) -> bytes:
    return lines.replace(b"\r\n", b"\n") if b"\r" in lines else lines


def _unquoted(text: str) -> str:
    """A cell without the blanks and the pair of quotes around it."""
    text = text.strip()
    paired = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"').strip() if paired else text


def _number(cell: bytes) -> float:
    """The number in a cell, NaN where there is none. Python's own spelling 1_000 is none."""
    try:
        return float("nan") if b"_" in cell else float(_unquoted(cell.decode(errors="replace")))
    except ValueError:
        return float("nan")


def _numbers(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Numbers in cells of a text, correctly rounded; NaN where a cell is none.

    Args:
        text: (bytes,) uint8.
        starts, ends: (genes, samples) int, places of the cells in it.

    Returns:
        (genes, samples) float64.
    """
    import pyarrow as pa

    lengths = (ends - starts).ravel()
    offsets = np.zeros(lengths.size + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    gathered = text[np.arange(offsets[-1]) + np.repeat(starts.ravel() - offsets[:-1], lengths)]
    try:
        buffers = (pa.py_buffer(part) for part in (offsets, gathered))
        parsed = pa.StringArray.from_buffers(lengths.size, *buffers).cast(pa.float64())
        return parsed.to_numpy(zero_copy_only=False).reshape(starts.shape)
    except pa.ArrowInvalid:  # a cell with blanks or quotes around its number, or none at all
        cells = gathered.tobytes()
        bounds = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        return np.array([_number(cells[a:b]) for a, b in bounds], dtype=float).reshape(starts.shape)


class TextMatrix(Matrix):
    """GCT 1.2, or a TSV or CSV whose first column is the gene id; plain or gzipped.

    Handled as found in the wild: per-tissue GTEx files (a column `id` before Name), a header whose counts lie, R's
    missing header of the row names and its dots for dashes, quotes, CRLF, a byte order mark. Tabs are never quoted, so
    that a quote in a description swallows nothing; commas and semicolons may be.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        with closing(_inflated(path)) as pieces:
            lines = (line for block in _lines(pieces) for line in block.split(b"\n")[:-1])
            first = next(lines, b"")
            self.separator, self.header_row, self.declared = b"\t", 1, None
            if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(f"{path}, row 1: UTF-16 text: save it as UTF-8")
            if first.startswith(b"#1."):
                self.declared, self.header_row = self._gct_counts(first, next(lines, b"")), 3
                first = next(lines, b"")
            else:
                self.separator = max((b"\t", b",", b";"), key=first.count)
            data = next((line for line in lines if line.strip()), b"")
        self.header = f"row {self.header_row}"
        columns = self._cells(first, self.header_row)
        if len(columns) < 2:
            raise DataError(f"{path}, {self.header}: no header of gene and sample names in tab or comma separated text")
        names = [name.lower() for name in columns[:3]]
        if self.declared and "name" not in names[:2]:
            raise DataError(f"{path}, row 3: {preview(columns[:2])}: a GCT header begins with Name and Description")
        if not self.declared and len(self._cells(data, self.header_row + 1)) == len(columns) + 1:
            self.gene, self.symbol, self.first = 0, None, 1
            columns = ["", *columns]
        else:
            self.gene = int(names[:2] == ["id", "name"])
            has_symbol = names[self.gene + 1 :][:1] and names[self.gene + 1] in SYMBOL_HEADERS
            self.symbol = self.gene + 1 if has_symbol else None
            self.first = self.gene + 1 + bool(has_symbol)
        self.width = len(columns)
        self.name_samples(columns[self.first :])

    def _gct_counts(self, version: bytes, counts: bytes) -> tuple[int, int]:
        if version.strip(b" \t,;\r") != b"#1.2":
            raise DataError(f"{self.path}, row 1: GCT {version.decode(errors='replace')}: save it as GCT 1.2 (#1.2)")
        numbers = counts.split()
        if len(numbers) < 2 or not all(number.isdigit() for number in numbers[:2]):
            raise DataError(f"{self.path}, row 2: the numbers of genes and of samples are expected in a GCT file")
        return int(numbers[0]), int(numbers[1])

    def _cells(self, line: bytes, row: int) -> list[str]:
        """Cells of a line as text, quotes taken off. Raises DataError for a quote that is not closed in a CSV."""
        text, separator = line.decode(errors="replace"), self.separator.decode()
        if self.separator == b"\t" or b'"' not in line:
            return [_unquoted(cell) for cell in text.split(separator)]
        try:
            return [cell.strip() for cell in next(csv.reader([text], delimiter=separator, strict=True))]
        except csv.Error as error:
            raise DataError(f"{self.path}, row {row}: {error}: check the quotes") from error

    def blocks(self, wanted: list[str]) -> Iterator[Block]:
        columns = self.places(wanted) + self.first
        faults, row, n_genes, unclosed = CappedFaults(self.path, "rows with such faults"), 1, 0, []
        for lines in _lines(_ahead(_inflated(self.path))):
            while lines and row <= self.header_row:
                lines, row = lines[lines.index(b"\n") + 1 :], row + 1
            n_lines = lines.count(b"\n")
            for block in self._genes(lines, n_lines, row, columns, faults):
                n_genes += len(block.genes)
                if b'"' in lines:
                    unclosed += [r for r, name in zip(block.rows, block.symbols, strict=True) if name.count('"') % 2]
                yield block
            row += n_lines
        faults.stop()
        if unclosed:
            log.warning("%s, row %s: a quote is not closed: read as it is", self.path, preview(unclosed))
        if self.declared and self.declared != (n_genes, len(self.samples)):
            message = "%s: line 2 declares %d genes x %d samples, the file holds %d x %d: read as it is"
            log.warning(message, self.path, *self.declared, n_genes, len(self.samples))

    def _genes(
        self, lines: bytes, n_lines: int, row: int, columns: np.ndarray, faults: CappedFaults
    ) -> Iterator[Block]:
        """The genes of whole lines, of which the first is row `row` of the file, but for those at fault."""
        separator, plain = self.separator, lines
        if separator != b"\t" and b'"' in lines:
            separator = b"\t"
            try:
                plain = self._tabbed(lines, row)
            except DataError as error:
                if n_lines == 1:
                    faults.add(error.faults[0])
                    return
                plain = b""  # line by line, to say which
        marks = self._marks(plain, n_lines, separator)
        if marks is not None:
            yield self._block(plain, row, marks, columns, faults)
        elif n_lines > 1:
            for number, line in enumerate(lines.split(b"\n")[:-1]):
                yield from self._genes(line + b"\n", 1, row + number, columns, faults)
        elif plain.strip():
            n_cells = plain.count(separator) + 1
            faults.add(f"{self.path}, row {row}: {n_cells} cells, the header has {self.width}: a cut or shifted row")

    def _tabbed(self, lines: bytes, row: int) -> bytes:
        """Lines of a CSV with quotes as lines of cells between tabs."""
        rows = [self._cells(line, row + number) for number, line in enumerate(lines.split(b"\n")[:-1])]
        return "".join("\t".join(cell.replace("\t", " ") for cell in cells) + "\n" for cells in rows).encode()

    def _marks(self, lines: bytes, n_lines: int, separator: bytes) -> np.ndarray | None:
        """(lines, cells) int, where each cell ends; None unless every line has as many cells as the header."""
        text, mark = np.frombuffer(lines, dtype=np.uint8), ord(separator)
        # One pass for a tab, which stands next to the newline: uint8 wraps round.
        places = np.flatnonzero(text - mark < 2 if mark == NEWLINE - 1 else (text == mark) | (text == NEWLINE))
        if places.size == 0 or places.size != n_lines * self.width:
            return None
        ends = places.reshape(-1, self.width)
        return ends if (text[ends[:, -1]] == NEWLINE).all() else None

    def _block(self, lines: bytes, row: int, ends: np.ndarray, columns: np.ndarray, faults: CappedFaults) -> Block:
        """Genes of lines whose cells end at `ends` (lines, cells), but for those at fault and those of blank cells."""
        starts = np.append(0, ends[:-1, -1] + 1)

        def cells(column: int | None) -> list[str]:
            if column is None:
                return [""] * len(ends)
            begin = ends[:, column - 1] + 1 if column else starts
            bounds = zip(begin.tolist(), ends[:, column].tolist(), strict=True)
            return [_unquoted(lines[a:b].decode(errors="replace")) for a, b in bounds]

        genes, symbols, rows = cells(self.gene), cells(self.symbol), list(range(row, row + len(ends)))
        begin, end = ends[:, columns - 1] + 1, ends[:, columns]
        values = _numbers(np.frombuffer(lines, dtype=np.uint8), begin, end)
        bad = ~np.isfinite(values)
        at_fault = bad.any(axis=1) | np.array(['"' in gene for gene in genes])
        for line in np.flatnonzero(at_fault):
            if not lines[starts[line] : ends[line, -1]].strip(b" \t,;"):
                continue  # as spreadsheets leave them at the end
            where = f"{self.path}, row {rows[line]} ({genes[line]})"
            if '"' in genes[line]:
                faults.add(f"{where}: a quote in the gene id: remove it")
                continue
            cell = int(bad[line].argmax())
            found = lines[begin[line, cell] : end[line, cell]].decode(errors="replace").strip()
            what = f"{found!r} is no finite number" if found else "the cell is empty"
            sample = self.samples[columns[cell] - self.first]
            faults.add(f"{where}, sample {sample}: {what}: mend it or remove the gene")
        if not at_fault.any():
            return Block(genes, symbols, rows, values)
        good = np.flatnonzero(~at_fault).tolist()
        return Block([genes[i] for i in good], [symbols[i] for i in good], [rows[i] for i in good], values[good])
