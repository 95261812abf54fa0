#!/usr/bin/env python3
"""Lists of genes of their own, all genes found in a setting and the genes of each factor, and the terms of each."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from hx_donors import Genes
from hx_enrich import hypergeometric_p
from hx_enrichment import TERM_Q
from hx_fdr import bh
from hx_gene_lists import without_version
from hx_gene_sets import Collection
from hx_io import read_parquet

LISTS = [
    *("kind", "list", "given", "setting", "collection", "set", "term", "universe", "size", "listed", "overlap"),
    *("expected", "p", "q", "q_kind", "genes"),
]
GENE_LISTS = ["kind", "list", "given", "setting", "genes", "universe", "collection", "sets", "terms", "top_term"]
LEAST_TERMS = 5  # of a list, found or not
FACTOR_Q = 0.05
# (size, q) columns of confounder_genes.parquet, given: a factor by itself, and beyond the rest of the model.
FACTOR_LISTS = (("r2", "q", ""), ("r2_unique", "q_unique", "model"))


class GeneList(NamedTuple):
    """A list of genes, strongest first (columns of the tested genes).

    kind: setting or factor; given: what else a factor's model holds; setting: <prefix> for a factor.
    """

    kind: str
    name: str
    given: str
    setting: str
    genes: np.ndarray

    @property
    def label(self) -> str:
        """`factor SMRIN given model`."""
        return " ".join(filter(None, [self.kind, self.name, self.given and f"given {self.given}"]))


def labels(genes: Genes, index: np.ndarray) -> list[str]:
    """Symbols of genes, ids where they have none."""
    return [symbol or gene for symbol, gene in zip(genes.symbol[index], genes.id[index], strict=True)]


def query_ids(genes: Genes) -> np.ndarray:
    """(genes,) what another service knows them by: Ensembl ids without version, else symbols, else ids."""
    bare = without_version(pd.Series(genes.id)).to_numpy(object)
    ensembl = pd.Series(bare).str.match(r"ENS[A-Z]*\d").to_numpy(bool)
    return np.where(ensembl | (genes.symbol == ""), bare, genes.symbol)


def factor_lists(path: Path, ids: np.ndarray, prefix: str) -> list[GeneList]:
    """Genes with q < .05 of each factor, by itself and beyond the rest of the model, by falling R2."""
    numbers = [name for size, q, _ in FACTOR_LISTS for name in (size, q)]
    table = read_parquet(path, columns=["gene", "factor", *numbers])
    place = {gene: k for k, gene in enumerate(ids)}
    table = table.assign(_place=table["gene"].astype(str).map(place)).dropna(subset="_place")
    found = []
    for size, q, given in FACTOR_LISTS:
        for factor, rows in table.groupby(table["factor"].astype(str), sort=True):
            rows = rows[rows[q] < FACTOR_Q].sort_values([size, "_place"], ascending=[False, True])
            found.append(GeneList("factor", factor, given, prefix, rows["_place"].to_numpy(np.int64)))
    return found


def list_table(lists: list[GeneList], genes: Genes, sets: Collection) -> pd.DataFrame:
    """LISTS: over-representation of a collection in lists of genes; terms with q <= .05 and the best 5 of each list.

    q is over the sets of a list; q_kind over the sets of all lists of a kind and `given`.
    """
    universe, count = len(genes.id), len(sets.set)
    if not lists or not count:
        return pd.DataFrame(columns=LISTS)
    rows = np.repeat(np.arange(len(lists)), [len(each.genes) for each in lists])
    columns = np.concatenate([each.genes for each in lists]).astype(np.int64)
    matrix = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(lists), universe))
    common = np.rint((sets.members @ matrix.T).toarray()).astype(np.int64).T
    listed = np.diff(matrix.indptr)
    p = hypergeometric_p(common, universe, sets.size[None, :], listed[:, None])
    q = np.vstack([bh(row) for row in p])
    kinds = np.array([f"{each.kind} {each.given}" for each in lists])
    q_kind = np.empty_like(p)
    for kind in np.unique(kinds):
        q_kind[kinds == kind] = bh(p[kinds == kind].ravel()).reshape(-1, count)
    parts = []
    for k, each in enumerate(lists):
        order = np.lexsort((sets.set.astype(str), p[k]))
        best = [j for place, j in enumerate(order) if q[k, j] <= TERM_Q or (place < LEAST_TERMS and common[k, j])]
        head = {"kind": each.kind, "list": each.name, "given": each.given, "setting": each.setting}
        for j in best:
            inside = each.genes[np.isin(each.genes, sets.genes_of(j))]
            parts.append(
                head | {
                    "collection": sets.name, "set": sets.set[j], "term": sets.term[j], "universe": universe,
                    "size": sets.size[j], "listed": listed[k], "overlap": common[k, j],
                    "expected": listed[k] * sets.size[j] / universe, "p": p[k, j], "q": q[k, j],
                    "q_kind": q_kind[k, j], "genes": ";".join(labels(genes, inside)),
                }
            )  # fmt: skip
    return pd.DataFrame(parts, columns=LISTS)


def gene_list_table(
    lists: list[GeneList], universe: int, collections: list[Collection], terms: pd.DataFrame
) -> pd.DataFrame:
    """GENE_LISTS: a row a list and collection, empty ones too; terms: of list_table, all collections."""
    found = terms[terms["q"] <= TERM_Q]
    rows = []
    for each in lists:
        mine = found[(found["kind"] == each.kind) & (found["list"] == each.name) & (found["given"] == each.given)]
        head = {"kind": each.kind, "list": each.name, "given": each.given, "setting": each.setting}
        head |= {"genes": len(each.genes), "universe": universe}
        for sets in collections or [None]:
            own = mine[mine["collection"] == sets.name] if sets else mine
            top = own.sort_values(["p", "set"])["term"].head(1)
            told = {"collection": sets.name, "sets": len(sets.set)} if sets else {"collection": "", "sets": 0}
            rows.append(head | told | {"terms": len(own), "top_term": "".join(top)})
    return pd.DataFrame(rows, columns=GENE_LISTS)


def gmt_text(lists: list[GeneList], genes: Genes) -> str:
    """The lists as a GMT file: name, what it is, genes, strongest first."""
    lines = []
    for each in lists:
        told = f"genes found in {each.name}" if each.kind == "setting" else f"genes of {each.name} in {each.setting}"
        told += f", given {each.given}" if each.given else ""
        name = each.name if each.kind == "setting" else ".".join(filter(None, [each.setting, each.name, each.given]))
        lines.append("\t".join([name, told, *labels(genes, each.genes)]) + "\n")
    return "".join(lines)
