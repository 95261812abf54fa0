#!/usr/bin/env python3
"""Traits by name: genes, features and annotations; the pairs to look at; donors who have both traits of a pair."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_cli import DataError, preview
from hx_donors import aggregated
from hx_expression import rank_inverse_normal
from hx_gene_lists import without_version
from hx_io import read_parquet, read_table

GENE, FEATURE, ANNOTATION = KINDS = ("gene", "feature", "annotation")
MOST_NEAREST = 3


class Trait(NamedTuple):
    """A trait: kind, name, label (a gene's symbol) and (donors,) values, NaN where a donor has none."""

    kind: str
    name: str
    label: str
    values: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """All names that another study may give it."""
        return tuple(dict.fromkeys((self.name, self.label)))


def traits_of(
    expression: AnnData, features: AnnData, donors: np.ndarray, aggregation: str
) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """{kind: (columns name and label, (donors, traits) values)} of the genes that were kept and of all features.

    Raises:
        DataError: no layer `int`.
    """
    if "int" not in expression.layers:
        raise DataError("no layer `int` (rank-inverse-normal values) of expression: make it with prepare_expression.py")
    kept = expression.var["kept"].to_numpy(bool) if "kept" in expression.var else slice(None)
    genes, image = expression[donors, kept], features[donors]
    return {
        GENE: (_names(genes.var_names, genes.var["symbol"]), np.asarray(genes.layers["int"], np.float64)),
        FEATURE: (_names(image.var_names, image.var_names), aggregated(image, aggregation)),
    }


def _names(names: Iterable[str], labels: Iterable[str]) -> pd.DataFrame:
    return pd.DataFrame({"name": list(names), "label": list(labels)}, dtype=object)


class Unknown(NamedTuple):
    """A name that no trait bears, and the nearest ones."""

    name: str
    reason: str


class Pair(NamedTuple):
    """Two traits; a name that is unknown stands in its place."""

    first: Trait | Unknown
    second: Trait | Unknown


class Catalogue:
    """All traits of the donors: genes by id, id without version or symbol, features and annotations by name."""

    def __init__(self, traits: dict[str, tuple[pd.DataFrame, np.ndarray]]):
        """traits: as of traits_of."""
        self.traits = traits
        self.by_name: dict[str, dict[str, list[int]]] = {}
        for kind, (names, _) in traits.items():
            found: dict[str, list[int]] = {}
            for column in (names["name"], without_version(names["name"].astype(str)), names["label"]):
                for k, name in enumerate(column):
                    if name and k not in found.setdefault(str(name), []):
                        found[str(name)].append(k)
            self.by_name[kind] = found

    def find(self, name: str) -> Trait | Unknown:
        """The trait of a name, or of kind:name where several kinds have it."""
        kind, colon, rest = name.partition(":")
        kinds, wanted = ((kind,), rest) if colon and kind in self.by_name else (tuple(self.by_name), name)
        found = [(kind, k) for kind in kinds for k in self._places(kind, wanted)]
        if len(found) == 1:
            return self.trait(*found[0])
        if found:
            several = [f"{kind}:{self.traits[kind][0]['name'].iloc[k]}" for kind, k in found]
            return Unknown(name, f"{len(found)} traits are called {wanted}: write {' or '.join(several)}")
        known = [other for kind in kinds for other in self.by_name[kind]]
        near = difflib.get_close_matches(wanted, known, MOST_NEAREST, 0.5)
        told = f"nearest: {preview(near)}" if near else f"there are {preview(sorted(known), MOST_NEAREST)}"
        return Unknown(name, f"no {' or '.join(kinds)} is called {wanted}; {told}")

    def _places(self, kind: str, name: str) -> list[int]:
        names = self.by_name[kind]
        plain = str(without_version(pd.Series([name], dtype=str)).iloc[0])
        return names.get(name) or names.get(plain) or []

    def trait(self, kind: str, place: int) -> Trait:
        names, values = self.traits[kind]
        row = names.iloc[place]
        return Trait(kind, str(row["name"]), str(row["label"]), values[:, place])


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Names of the pairs of a table with columns exposure and outcome, each pair once, whichever comes first.

    Raises:
        DataError: a column is missing, there is no row, or a row names one trait twice or not at all; all rows at once.
    """
    table = read_table(path)
    if not {"exposure", "outcome"} <= set(table):
        raise DataError(f"{path}, row 1: columns exposure and outcome are expected")
    if table.empty:
        raise DataError(f"{path}: no pair in it: write exposure and outcome, one pair a row")
    faults, pairs = [], {}
    for row, first, second in zip(table.index + 2, table["exposure"], table["outcome"], strict=True):
        first, second = first.strip(), second.strip()
        if not first or not second or first == second:
            faults.append(f"{path}, row {row}: {first!r} and {second!r}: two traits are expected")
        pairs.setdefault(frozenset((first, second)), (first, second))
    if faults:
        raise DataError(*faults)
    return list(pairs.values())


def strongest_pairs(path: Path, setting: str, alpha: float, top: int) -> list[tuple[str, str]]:
    """The genes found in a setting, of smallest p, with their best features.

    Args:
        path: <prefix>.association_genes.parquet.

    Raises:
        DataError: see read_parquet.
    """
    columns = ["setting", "gene", "best_feature", "gene_p", "gene_q"]
    table = read_parquet(path, columns=columns)
    table = table[(table["setting"].astype(str) == setting) & (table["gene_q"] <= alpha)]
    table = table.sort_values(["gene_p", "gene"], kind="stable").head(top)
    features, genes = table["best_feature"].astype(str), table["gene"].astype(str)
    return [(f"{GENE}:{gene}", f"{FEATURE}:{feature}") for gene, feature in zip(genes, features, strict=True)]


def read_annotations(path: Path, donors: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns name and label, and (donors, annotations) values of the labels of associate_annotations.py.

    A table of numbers by donor; a blank cell is a donor without a value.

    Raises:
        DataError: no column donor, a donor twice, or a cell that is no number; all columns at once.
    """
    table = read_table(path)
    if "donor" not in table or table["donor"].duplicated().any():
        raise DataError(f"{path}: a column donor with every donor once is expected")
    cells = table.set_index("donor")
    values = cells.apply(pd.to_numeric, errors="coerce")
    wrong = values.isna() & (cells != "")
    if wrong.any(axis=None):
        faults = [f"{path}, row {rows.argmax() + 2}: {name} {cells[name].iloc[rows.argmax()]!r} is no number"
                  for name, rows in wrong.items() if rows.any()]  # fmt: skip
        raise DataError(*faults)
    return _names(cells, cells), values.reindex(donors).to_numpy(np.float64)


def with_values(traits: Iterable[Trait]) -> np.ndarray:
    """(donors,) bool: every trait has a value."""
    return np.logical_and.reduce([np.isfinite(trait.values) for trait in traits])


def normal_of(traits: list[Trait], rows: np.ndarray) -> np.ndarray:
    """(donors, traits) rank-normal values of some donors."""
    return rank_inverse_normal(np.array([trait.values[rows] for trait in traits])).T
