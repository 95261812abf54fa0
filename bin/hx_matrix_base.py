#!/usr/bin/env python3
"""What files of genes x samples have in common, whatever their format: sample names, blocks of genes, faults."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hx_cli import Faults, log, preview
from hx_join import plain_gtex

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
class Matrix(ABC):
    """A file of genes x samples. Subclasses know one format each and give `blocks(wanted)`."""

    path: Path
    samples: list[str] = field(default_factory=list)
    row_word: str = "row"  # what a message calls a gene's place in the file
    header: str = "header"

    @abstractmethod
    def blocks(self, wanted: list[str]) -> Iterator[Block]:
        """Yield the genes in the file's order, with the values of the samples `wanted`, in that order.

        Raises:
            DataError: a row of another width than the header, or a cell that is no finite number.
        """

    def places(self, wanted: list[str]) -> np.ndarray:
        """Positions of samples in `samples`: (wanted,) int."""
        place = {name: index for index, name in enumerate(self.samples)}
        return np.array([place[name] for name in wanted], dtype=int)

    def name_samples(self, names: Iterable[str]) -> None:
        """Take the names as the file has them, GTEx ids with their dashes where R has put dots.

        Raises:
            DataError: no sample, one without a name, or one that stands twice.
        """
        given = list(names)
        self.samples = [plain_gtex(name) for name in given]
        mended = [old for old, new in zip(given, self.samples, strict=True) if old != new]
        if mended:
            log.info("%s: dots of %d sample ids are read as dashes: %s", self.path, len(mended), preview(mended, 3))
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


class CappedFaults:
    """Faults of one file, of which the first MOST_FAULTS are spelled out and the others counted."""

    def __init__(self, path: Path, what: str):
        self.path, self.what = path, what
        self.faults, self.count = Faults(), 0

    def add(self, message: str) -> None:
        self.count += 1
        if self.count <= MOST_FAULTS:
            self.faults.add(message)

    def stop(self) -> None:
        """Raise DataError when there is a fault."""
        if self.count > MOST_FAULTS:
            self.faults.add(f"{self.path}: {self.count - MOST_FAULTS} further {self.what}")
        self.faults.stop()
