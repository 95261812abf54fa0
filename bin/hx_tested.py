#!/usr/bin/env python3
"""Settings of a tissue as associate.py tested them: what they found by its files, or tested again on some donors."""

from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_association import associate_pairs, summary_numbers
from hx_cli import DataError, log
from hx_donors import Features, common_donors, feature_settings, read_annotated, read_design, side_of, usable
from hx_linear import standardise
from hx_results import association_rows, result_file
from hx_settings import COUNTS, FOUND, Found

GENE_COLUMNS = [
    "setting",
    "gene",
    "symbol",
    "n",
    "dof",
    "best_feature",
    "r",
    "beta",
    "gene_p",
    "gene_q",
    "r_split_half",
]


@dataclass(frozen=True)
class Size:
    """What a patch size was tested on: features, covariates (None: none), donors; rows: of its summary, real ones."""

    prefix: str
    name: str
    features: AnnData
    design: pd.DataFrame | None
    donors: np.ndarray
    rows: pd.DataFrame

    def parts(self, donors: np.ndarray) -> dict[str, Features]:
        """{setting: its features on some donors} of the settings that were tested."""
        aggregations = list(dict.fromkeys(self.rows["aggregation"]))
        found = feature_settings(self.features, donors, self.name, aggregations, f"{self.prefix}.h5ad")
        tested = set(self.rows["setting"])
        parts = {f"{self.prefix}.{part.encoder}.{part.aggregation}": part for part in found}
        return {setting: part for setting, part in parts.items() if setting in tested}

    def row(self, setting: str) -> dict[str, object]:
        """Its row of the summary."""
        return self.rows.set_index("setting", drop=False).loc[setting].to_dict()

    def weights(self, encoder: str) -> str:
        """SHA-256 of an encoder's weights."""
        var = self.features.var
        return str(var.loc[var["encoder"] == encoder, "weights_sha256"].iloc[0])


class Tissue:
    """Files of a tissue. rows: of tested settings of its association_summary.tsv, with `analysis`.

    Raises:
        DataError: a file is missing or cannot be read, or the files are not of one run.
    """

    def __init__(self, folder: Path, tissue_id: str, rows: pd.DataFrame):
        self.folder, self.tissue_id = folder, tissue_id
        path = result_file(folder, f"{tissue_id}.expression.h5ad")
        self.expression, self.expression_name = read_annotated(path), path.name
        self.genes = self.expression.var_names
        self.alpha, self.correction = float(rows["alpha"].iloc[0]), str(rows["correction"].iloc[0])
        self.sizes = [self._size(name, part) for name, part in rows.groupby("size", sort=False)]

    def _size(self, name: str, rows: pd.DataFrame) -> Size:
        prefix = f"{self.tissue_id}.{name}"
        features = read_annotated(result_file(self.folder, f"{prefix}.h5ad"))
        designs = sorted(self.folder.rglob(f"{prefix}.design.tsv"))
        design = read_design(designs[0] if designs else None)
        donors = common_donors(features, self.expression, (f"{prefix}.h5ad", self.expression_name), design)
        if set(rows["n"]) != {len(donors)}:
            told = ", ".join(map(str, sorted(set(rows["n"]))))
            raise DataError(
                f"{prefix}.association_summary.tsv: {told} donors, but features, expression and covariates have "
                f"{len(donors)} in common: give files of one run"
            )
        return Size(prefix, name, features, design, donors, rows)

    @cached_property
    def names(self) -> pd.Index:
        """Names of the features of all sizes."""
        return reduce(pd.Index.union, (size.features.var_names for size in self.sizes))

    def stored(self, size: Size) -> tuple[list[Found], pd.DataFrame]:
        """What the settings of a size found, from their files; and rows of their genes, as gene_cards takes them."""
        width = len(self.genes)
        column = {"tree": "q_tree", "bh": "q", "bonferroni": "p"}[self.correction]
        columns = list(dict.fromkeys(["setting", "feature", "gene", column, "q_tree"]))
        pairs = association_rows(self.folder, size.prefix, "associations", columns)
        genes = association_rows(self.folder, size.prefix, "association_genes", GENE_COLUMNS)
        genes = genes.astype(dict.fromkeys(("setting", "gene", "symbol", "best_feature"), str))
        feature, gene = (
            index.get_indexer(pairs[name].cat.categories)[pairs[name].cat.codes].astype(np.int64)
            for index, name in ((self.names, "feature"), (self.genes, "gene"))
        )
        if (feature < 0).any() or (gene < 0).any() or not genes["gene"].isin(self.genes).all():
            raise DataError(
                f"{size.prefix}.associations.parquet: features or genes that {size.prefix}.h5ad or "
                f"{self.expression_name} lack: give files of one run"
            )
        keys = feature * width + gene
        found, cards = [], []
        for row in size.rows.to_dict("records"):
            of, mine = (pairs["setting"] == row["setting"]).to_numpy(), genes[genes["setting"] == row["setting"]]
            level = self.alpha / row["pairs"] if self.correction == "bonferroni" else self.alpha
            hits = np.sort(keys[of & (pairs[column] <= level).to_numpy()])
            where = self.genes.get_indexer(mine["gene"])
            passed = where[(mine["gene_q"] <= self.alpha).to_numpy()]
            masks = _mask(self.names, feature[of]), _mask(self.genes, where), _mask(self.genes, passed)
            complete = hits if len(hits) == row["hits"] else None
            found.append(Found(count_row(row), size.weights(row["encoder"]), *masks, complete))
            best = self.names.get_indexer(mine["best_feature"]) * width + where
            q_tree = pd.Series(pairs["q_tree"].to_numpy()[of], keys[of]).reindex(best)
            cards.append(mine.assign(tissue_id=self.tissue_id, q_tree=q_tree.to_numpy()))
        return found, pd.concat(cards)

    def again(self, size: Size, donors: np.ndarray) -> list[Found]:
        """The settings of a size tested on some of its donors.

        Raises:
            DataError: the covariates leave too few degrees of freedom, or nothing varies.
        """
        side, _ = side_of(self.expression, donors, size.design, (self.expression_name, size.prefix))
        found, width = [], len(self.genes)
        where = self.genes.get_indexer(side.genes.id)
        for setting, part in size.parts(donors).items():
            keep, _, _ = usable(part.values, part.name, "feature", setting, side.space)
            if not keep.any():
                raise DataError(f"{setting}: no feature varies over {len(donors)} donors")
            image = standardise(part.values[:, keep], side.space)
            tested = associate_pairs(side.genes.normal.unit, image.unit, image.dof, self.alpha, self.correction, 1, 1)
            numbers = summary_numbers(tested, self.alpha)
            row = size.row(setting) | side.numbers() | {"features": int(keep.sum())}
            row |= {name: numbers[name] for name in (*FOUND, "pairs", "detectable_r")}
            columns = self.names.get_indexer(part.name[keep]).astype(np.int64)
            masks = _mask(self.names, columns), _mask(self.genes, where)
            passed = _mask(self.genes, where[tested.gene_q <= self.alpha])
            hits = np.sort(columns[tested.hits.column] * width + where[tested.hits.row])
            found.append(Found(count_row(row), size.weights(part.encoder), *masks, passed, hits))
            log.info("%s on the %d donors of every size: %d hits", setting, len(donors), row["hits"])
        return found


def count_row(row: dict[str, object]) -> dict[str, object]:
    """COUNTS of a row of a summary, but for the name of its donors."""
    return {name: row[name] for name in COUNTS if name in row} | {"hit_share": row["hits"] / row["pairs"]}


def _mask(index: pd.Index, where: np.ndarray) -> np.ndarray:
    out = np.zeros(len(index), bool)
    out[where] = True
    return out
