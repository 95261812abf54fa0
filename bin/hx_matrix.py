#!/usr/bin/env python3
"""Files of genes x samples (GCT 1.2, TSV, CSV, Parquet, h5ad): their sample names, and their genes block by block.

Only the columns asked for are parsed and kept, so that memory depends on them and not on the file.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hx_cli import DataError
from hx_io import reading
from hx_matrix_base import GENE_HEADERS, SYMBOL_HEADERS, Block, CappedFaults, Matrix
from hx_matrix_text import TextMatrix

BLOCK_VALUES = 2_000_000  # values of a Parquet or h5ad file in a block: 16 MB, whatever the number of samples


def open_matrix(path: str | Path) -> Matrix:
    """Read the head of a file of genes x samples; the format is known by the suffix .parquet or .h5ad, else it is text.

    Raises:
        DataError: not such a file, or sample names that are blank or stand twice.
    """
    path = Path(path)
    return {".parquet": ParquetMatrix, ".h5ad": H5adMatrix}.get(path.suffix, TextMatrix)(path)


def _checked(
    matrix: Matrix, first: int, genes: list[str], symbols: list[str], values: np.ndarray, names: list[str]
) -> Block:
    """A block of a binary file; raises DataError where values are not finite."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    faults = CappedFaults(matrix.path, "such values")
    for gene, sample in np.argwhere(~np.isfinite(values)):
        where = f"{matrix.path}, {matrix.row_word} {first + gene} ({genes[gene]}), sample {names[sample]}"
        faults.add(f"{where}: no finite number: mend it or remove the gene")
    faults.stop()
    return Block(genes, symbols, list(range(first, first + len(genes))), values)


class ParquetMatrix(Matrix):
    """Parquet, a row a gene: text columns of ids (Name in GTEx v11) and maybe symbols, numeric columns of samples."""

    def __init__(self, path: Path):
        super().__init__(path, row_word="gene", header="schema")
        import pyarrow as pa
        import pyarrow.parquet as pq

        with reading(path, "Parquet file"):
            schema = pq.read_schema(path)
        numeric = [f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
        text = [f.name for f in schema if f.name not in numeric]
        symbols = [name for name in text if name.lower() in SYMBOL_HEADERS]
        ids = [name for name in text if name not in symbols] or symbols
        if not ids:
            raise DataError(f"{path}: no text column of gene ids: write a row a gene, with its id as a column")
        self.gene = min(ids, key=lambda name: name.lower() not in GENE_HEADERS)
        self.symbol = next((name for name in symbols if name != self.gene), None)
        # What pandas numbers its rows with is no sample.
        self.columns = [name for name in numeric if not name.startswith("__index_level_")]
        self.name_samples(self.columns)

    def blocks(self, wanted: list[str]) -> Iterator[Block]:
        import pyarrow.parquet as pq

        names = [self.columns[place] for place in self.places(wanted)]
        text = [self.gene, *([self.symbol] if self.symbol else [])]
        first, size = 1, max(1, BLOCK_VALUES // max(1, len(wanted)))
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=size, columns=[*text, *names]):
                table = batch.to_pandas()
                ids = {name: table[name].astype(object).fillna("").astype(str).tolist() for name in text}
                symbols = ids[self.symbol] if self.symbol else [""] * len(table)
                yield _checked(self, first, ids[self.gene], symbols, table[names].to_numpy(), wanted)
                first += len(table)


class H5adMatrix(Matrix):
    """AnnData: obs = samples, var = genes."""

    def __init__(self, path: Path):
        super().__init__(path, row_word="gene", header="obs names")
        import anndata

        with reading(path, "h5ad file"):
            self.data = anndata.read_h5ad(path, backed="r")
        self.name_samples(map(str, self.data.obs_names))

    def blocks(self, wanted: list[str]) -> Iterator[Block]:
        part = self.data[self.places(wanted)].to_memory()
        column = next((name for name in part.var.columns if name.lower() in SYMBOL_HEADERS), None)
        genes = part.var_names.astype(str).tolist()
        symbols = (
            [""] * len(genes) if column is None else part.var[column].astype(object).fillna("").astype(str).tolist()
        )
        size = max(1, BLOCK_VALUES // max(1, len(wanted)))
        for first in range(0, len(genes), size):
            rows = slice(first, first + size)
            values = part.X[:, rows]
            values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
            yield _checked(self, first + 1, genes[rows], symbols[rows], values.T, wanted)
