#!/usr/bin/env python3
"""Gene sets of a GMT file, matched with the genes that are tested."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from hx_cli import DataError, Faults, log, preview
from hx_gene_lists import without_version
from hx_genes import shared_symbols
from hx_io import read_text

LEAST, MOST = 5, 500  # tested genes of a set
FEW_GENES = 1000  # a universe below it is no transcriptome: a set is compared with few others
NO_TERM = re.compile(r"(https?://.*|na|n/a|-|)\Z", re.IGNORECASE)
KINDS = (
    ("Ensembl ids", re.compile(r"ENS[A-Z]*G\d")),
    ("Entrez ids", re.compile(r"\d+\Z")),
    ("symbols as of human genes", re.compile(r"[A-Z0-9][A-Z0-9orf.@-]*\Z")),
    ("symbols as of mouse genes", re.compile(r"[A-Z0-9][A-Za-z0-9.-]*\Z")),
)


class GeneSet(NamedTuple):
    """A row of a GMT file: its name, what it says (the name again where it says nothing), its genes, sorted."""

    name: str
    term: str
    genes: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """Sets of one GMT file among the tested genes: a family of tests of its own.

    members: (sets, genes) CSR, 1 where the gene is in the set. matched_by: symbol or Ensembl id.
    """

    name: str
    set: np.ndarray
    term: np.ndarray
    members: sparse.csr_array
    matched_by: str

    @property
    def size(self) -> np.ndarray:
        """(sets,) number of tested genes."""
        return np.diff(self.members.indptr)

    def genes_of(self, index: int) -> np.ndarray:
        """Columns of a set's genes."""
        return self.members.indices[self.members.indptr[index] : self.members.indptr[index + 1]]


def read_gmt(path: Path) -> tuple[list[GeneSet], list[tuple[str, str, str]]]:
    """Sets of a GMT file (name, description, genes; tab-separated; may be gzipped), and (id, kind, reason) of the lost.

    A set without genes and a second set of one name are left out and named.

    Raises:
        DataError: a row without a name or with no tab, or a file without a set; all rows at once.
    """
    faults, dropped, found = Faults(), [], {}
    for row, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        name, *rest = (cell.strip() for cell in line.split("\t"))
        if not name or not rest:
            faults.add(f"{path.name}, row {row}: name, description and genes, separated by tabs, are expected")
            continue
        genes = tuple(sorted(set(rest[1:]) - {""}))
        if not genes:
            dropped.append((name, "gene_set", f"{path.name}, row {row}: no gene in it"))
        elif name in found:
            alike = "the same" if found[name].genes == genes else "other"
            reason = f"{path.name}, row {row}: a set of this name with {alike} genes stands above: rename or remove it"
            dropped.append((name, "gene_set", reason))
        else:
            found[name] = GeneSet(name, name if NO_TERM.match(rest[0]) else rest[0], genes)
    faults.stop()
    if not found:
        raise DataError(f"{path.name}: no gene set in it: a GMT file has a row a set")
    return list(found.values()), dropped


def kind_of(names: list[str]) -> str:
    """What kind of names most of a list are."""
    counts = dict.fromkeys((kind for kind, _ in KINDS), 0) | {"names of no known kind": 0}
    for name in names:
        counts[next((kind for kind, pattern in KINDS if pattern.match(name)), "names of no known kind")] += 1
    return max(counts, key=lambda kind: counts[kind])


def places(names: pd.Series) -> dict[str, list[int]]:
    """{name: positions}; a symbol that several genes bear means all of them."""
    once = ~names.duplicated(keep=False)
    found = {name: [k] for k, name in zip(np.flatnonzero(once), names[once], strict=True)}
    for k in np.flatnonzero(shared_symbols(names)):
        found.setdefault(names.iloc[k], []).append(int(k))
    found.pop("", None)
    return found


def collection_of(
    name: str, path: Path, genes: pd.DataFrame, least: int = LEAST, most: int = MOST
) -> tuple[Collection, list[tuple[str, str, str]]]:
    """Sets of `least` to `most` tested genes, and (id, kind, reason) of what is left out.

    Names are matched as symbols or as Ensembl ids without version, whichever fits more of them.

    Args:
        name: of the collection.
        genes: columns gene and symbol, the genes that are tested.

    Raises:
        DataError: no gene of any set is tested.
    """
    sets, dropped = read_gmt(path)
    named = sorted({gene for each in sets for gene in each.genes})
    bare = dict(zip(named, without_version(pd.Series(named, dtype=str)), strict=True))
    by = {
        "symbol": places(genes["symbol"].reset_index(drop=True)),
        "Ensembl id": places(without_version(genes["gene"].reset_index(drop=True))),
    }
    known = {kind: [gene for gene in named if bare[gene] in where] for kind, where in by.items()}
    kind = max(known, key=lambda each: len(known[each]))
    if not known[kind]:
        raise DataError(no_overlap(path.name, named, genes))
    if unknown := sorted(set(named) - set(known[kind])):
        told = f"{len(unknown)} of {len(named)} genes of {path.name} are not tested: {preview(unknown)}"
        dropped.append((name, "genes_of_sets", told))
    where = by[kind]
    members = [sorted({k for gene in each.genes for k in where.get(bare[gene], [])}) for each in sets]
    # Something must be left to compare a set with.
    most = min(most, len(genes) - 2)
    kept = [k for k, columns in enumerate(members) if least <= len(columns) <= most]
    for bound, lost in (
        (f"fewer than {least}", [s.name for s, m in zip(sets, members, strict=True) if len(m) < least]),
        (f"more than {most}", [s.name for s, m in zip(sets, members, strict=True) if len(m) > most]),
    ):
        if lost:
            told = f"{len(lost)} of {len(sets)} sets of {path.name} have {bound} tested genes: {preview(lost)}"
            dropped.append((name, "gene_sets", told))
    if len(genes) < FEW_GENES:
        told = "%d genes are tested: a set is compared with few others, and no term of %s is a finding"
        log.warning(told, len(genes), path.name)
    columns = [members[k] for k in kept]
    ends = np.cumsum([0, *map(len, columns)])
    flat = np.array([c for part in columns for c in part], dtype=np.int32)
    matrix = sparse.csr_array((np.ones(len(flat)), flat, ends), shape=(len(kept), len(genes)))
    text = [np.array([getattr(sets[k], part) for k in kept], dtype=object) for part in ("name", "term")]
    return Collection(name, *text, matrix, kind), dropped


def no_overlap(file: str, named: list[str], genes: pd.DataFrame) -> str:
    """Why no gene of a GMT file is tested: which kind of names it has, which the expression has."""
    symbols = sorted(set(genes["symbol"]) - {""})
    seen = f"{file}: none of its {len(named)} genes is tested: it has {kind_of(named)} ({preview(named, 3)}), "
    seen += f"the expression has {kind_of(list(genes['gene']))} ({preview(genes['gene'], 3)})"
    seen += f" and {kind_of(symbols)} ({preview(symbols, 3)})" if symbols else " and no symbols"
    if {gene.upper() for gene in named} & {symbol.upper() for symbol in symbols}:
        return f"{seen}; they differ in upper and lower case alone: give the sets of the cohort's species"
    return f"{seen}: give sets of the cohort's species by symbol or Ensembl id"
