#!/usr/bin/env python3
"""Settings of a tissue side by side: what each found, how far they agree, and the genes that any of them found."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from hx_fdr import bh, cauchy, cauchy_p
from hx_overlap import OVERLAP, agreement, exact_sets, gene_agreement
from hx_sizes import size_value

ALL, EVERY_SIZE = "all", "every_size"  # donors: of the setting's own size, or those that every size tested
CHOICES = ("size", "encoder", "aggregation")
FOUND = ["hits", "genes_found", "genes_with_hit", "features_with_hit"]
COUNTS = [
    *("tissue_id", "setting", *CHOICES, "donors", "analysis"),
    *("n", "dof", "features", "genes", "pairs", *FOUND, "hit_share", "detectable_r"),
]
OVERLAPS = [
    *("tissue_id", "donors", "setting", "other", "differ_in", "of", "n", "other_n"),
    *(*CHOICES, *(f"other_{name}" for name in CHOICES), *OVERLAP),
]
SIZE_SETS = ["tissue_id", "donors", "encoder", "aggregation", "analysis", "sizes", "number", "of", "genes"]
CARDS = [
    *("tissue_id", "gene", "symbol", "settings_tested", "settings_found", "p_settings", "q_settings"),
    *("best_setting", "feature", "n", "dof", "r", "r_split_half", "beta", "gene_p", "gene_q", "q_tree", "found_in"),
]


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each tissue the rows on the donors that every size has; those on all donors where these are the same."""
    if not len(rows):
        return rows
    equal = set(rows.loc[rows["donors"] == EVERY_SIZE, "tissue_id"])
    return rows[(rows["donors"] == EVERY_SIZE) | ~rows["tissue_id"].isin(equal)].reset_index(drop=True)


@dataclass(frozen=True)
class Found:
    """What a setting found on some donors.

    row: COUNTS. weights: SHA-256 of the encoder's. features, genes: masks over the tissue's of those that were tested;
    genes_found: of those found. hits: sorted keys (feature times number of genes plus gene), None where not all are
    known.
    """

    row: dict[str, object]
    weights: str
    features: np.ndarray
    genes: np.ndarray
    genes_found: np.ndarray
    hits: np.ndarray | None


def by_size(settings: Iterable[Found]) -> list[Found]:
    """By rising size, then encoder and aggregation."""
    return sorted(settings, key=lambda s: (size_value(s.row["size"]), s.row["encoder"], s.row["aggregation"]))


def overlap_rows(settings: list[Found], donors: str) -> pd.DataFrame:
    """OVERLAPS of every two settings: genes found, and hits where both have the same features.

    of: genes or hits. Features of encoders of different weights are not the same ones, whatever their names.
    """
    rows = []
    for one, other in combinations(settings, 2):
        differ = ";".join(name for name in CHOICES if one.row[name] != other.row[name])
        head = {"tissue_id": one.row["tissue_id"], "donors": donors, "setting": one.row["setting"]}
        head |= {"differ_in": differ, "other": other.row["setting"]}
        head |= {name: one.row[name] for name in ("n", *CHOICES)}
        head |= {f"other_{name}": other.row[name] for name in ("n", *CHOICES)}
        genes = gene_agreement((one.genes, other.genes), (one.genes_found, other.genes_found))
        rows.append(head | {"of": "genes"} | genes)
        same = (one.row["encoder"], one.weights) == (other.row["encoder"], other.weights)
        if same and one.hits is not None and other.hits is not None:
            rows.append(head | {"of": "hits"} | _hit_agreement(one, other))
    return pd.DataFrame(rows, columns=OVERLAPS)


def _hit_agreement(one: Found, other: Found) -> dict[str, float | int]:
    """`agreement` of the hits among pairs that both tested, without p: pairs of one gene are far from independent."""
    width = len(one.genes)
    features, genes = one.features & other.features, one.genes & other.genes
    first, second = (s.hits[features[s.hits // width] & genes[s.hits % width]] for s in (one, other))
    shared = len(np.intersect1d(first, second, assume_unique=True))
    tested = int(np.count_nonzero(features)) * int(np.count_nonzero(genes))
    return agreement(tested, len(first), len(second), shared, with_p=False)


def size_sets(settings: list[Found], donors: str) -> pd.DataFrame:
    """SIZE_SETS: of each encoder and aggregation, genes found at exactly each set of sizes; `of` sizes in all."""
    rows = []
    for encoder, aggregation in sorted({(s.row["encoder"], s.row["aggregation"]) for s in settings}):
        same = [s for s in settings if (s.row["encoder"], s.row["aggregation"]) == (encoder, aggregation)]
        primary = any(s.row["analysis"] == "primary" for s in same)
        head = {"tissue_id": same[0].row["tissue_id"], "donors": donors, "encoder": encoder, "aggregation": aggregation}
        head |= {"analysis": "primary" if primary else "exploratory", "of": len(same)}
        for members, count in zip(*exact_sets(np.array([s.genes_found for s in same])), strict=True):
            names = [s.row["size"] for s, inside in zip(same, members, strict=True) if inside]
            rows.append(head | {"sizes": ";".join(names), "number": len(names), "genes": int(count)})
    return pd.DataFrame(rows, columns=SIZE_SETS)


def gene_cards(genes: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """CARDS: a row a gene that any setting found.

    The best setting is the one of smallest gene_p that found the gene, of equal ones the first row; its feature and r
    are those of the gene's best pair there, chosen twice over. p_settings combines gene_p of all settings that tested
    the gene (Cauchy combination, which needs no independence), so that it takes account of looking at all; q_settings
    is Benjamini-Hochberg over all genes.

    Args:
        genes: rows of association_genes.parquet of all settings, in their order, with tissue_id, and q_tree of the best
            pair.
    """
    by_gene = genes.assign(_sum=cauchy(genes["gene_p"].to_numpy())).groupby("gene", observed=True, sort=True)
    tested = by_gene["_sum"].agg(["size", "sum"])
    p = cauchy_p(tested["sum"].to_numpy(), tested["size"].to_numpy())
    whole = pd.DataFrame({"settings_tested": tested["size"], "p_settings": p, "q_settings": bh(p)}, index=tested.index)
    found = genes[genes["gene_q"] <= alpha]
    best = found.sort_values(["gene", "gene_p"], kind="stable").drop_duplicates("gene").set_index("gene")
    of_gene = found.groupby("gene", observed=True, sort=True)["setting"]
    best = best.join(whole).assign(settings_found=of_gene.size(), found_in=of_gene.agg(lambda s: ";".join(s)))
    cards = best.rename(columns={"setting": "best_setting", "best_feature": "feature"}).reset_index()
    cards = cards.sort_values(["settings_found", "p_settings", "gene"], ascending=[False, True, True], kind="stable")
    return cards[CARDS].reset_index(drop=True)
