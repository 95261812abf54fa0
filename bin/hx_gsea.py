#!/usr/bin/env python3
"""Pre-ranked gene-set enrichment analysis of chosen features by gseapy, whose p comes from permuting genes.

That p takes genes as independent. Where the genes of a set go together it is too small: at .05 and a correlation of .1
about two in five features without any association find a set. Every table says so (LABEL); camera is the headline.
"""

import logging

import numpy as np
import pandas as pd

from hx_fdr import bh
from hx_gene_sets import Collection

LABEL = "gene-permutation p: takes genes as independent, too small where genes of a set go together"
CHUNK = 250  # sets a call: gseapy keeps a running sum over all genes for each
SMALLEST_P = 1e-10  # that is looked for: further digits of a p that takes genes as independent mean nothing
LEADING = ["es", "nes", "p_gsea", "q_gsea", "leading_genes"]
GSEA = ["setting", "collection", "feature", "ranking", "set", "term", "size", *LEADING, "label"]


def ranked(statistic: np.ndarray, names: np.ndarray) -> np.ndarray:
    """(genes,) order of falling statistic; those that are equal but for rounding by name."""
    return np.lexsort((names.astype(str), -np.round(statistic, 12)))


def prerank(statistic: np.ndarray, names: np.ndarray, sets: Collection, seed: int, threads: int) -> pd.DataFrame:
    """Enrichment score, normalised score, p (fgsea's multilevel splitting) and leading genes of every set.

    gseapy gets made-up names: it would turn lower-case ones into capitals, take what stands before `__` in a term for
    a family of its own, and merge genes of one symbol. Its own q, over one call, is not used.

    Args:
        statistic: (genes,) finite values that order the genes; weight 1. names: their ids, for ties.

    Returns:
        Index: the sets. es, nes, p_gsea, leading_genes (columns of the genes, in their order).
    """
    import gseapy  # seconds, which a run without chosen features need not spend

    order = ranked(statistic, names)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    ranking = pd.DataFrame({"gene": [f"G{k:07d}" for k in range(len(order))], "value": statistic[order]})
    by_size = np.argsort(sets.size, kind="stable")
    parts = []
    logging.getLogger("gseapy").setLevel(logging.ERROR)
    for start in range(0, len(by_size), CHUNK):
        chunk = by_size[start : start + CHUNK]
        named = {f"T{k:07d}": [f"G{j:07d}" for j in np.sort(place[sets.genes_of(k)])] for k in chunk}
        found = gseapy.prerank(
            ranking.copy(), named, outdir=None, min_size=1, max_size=len(order), permutation_num=1000, weight=1.0,
            ascending=None, threads=threads, seed=seed, method="multilevel", eps=SMALLEST_P, no_plot=True,
        ).res2d  # fmt: skip
        leading = [order[[int(name[1:]) for name in text.split(";") if name]] for text in found["Lead_genes"]]
        columns = {"es": found["ES"], "nes": found["NES"], "p_gsea": found["NOM p-val"], "leading_genes": leading}
        parts.append(pd.DataFrame(columns).set_axis([int(term[1:]) for term in found["Term"]]))
    if not parts:
        return pd.DataFrame(columns=["es", "nes", "p_gsea", "leading_genes"])
    return pd.concat(parts).sort_index()


def gsea_table(
    setting: str,
    rankings: dict[tuple[str, str], np.ndarray],
    names: np.ndarray,
    symbols: np.ndarray,
    collections: list[Collection],
    seed: int,
    threads: int,
    most: int = 20,
) -> pd.DataFrame:
    """GSEA: the `most` sets of smallest p of each ranking and collection.

    q_gsea: Benjamini-Hochberg over the sets of a collection and all rankings together.

    Args:
        rankings: {(feature, ranking): (genes,) statistic}.
    """
    tables = [pd.DataFrame(columns=GSEA)]
    for sets in collections:
        parts = []
        for (feature, ranking), statistic in rankings.items():
            found = prerank(statistic, names, sets, seed, threads)
            index = found.index.to_numpy(int)
            head = {"setting": setting, "collection": sets.name, "feature": feature, "ranking": ranking}
            head |= {"set": sets.set[index], "term": sets.term[index], "size": sets.size[index], "label": LABEL}
            parts.append(found.assign(**head))
        if not parts:
            continue
        # Where permutations hardly ever reach the score's sign there is no p.
        table = pd.concat(parts, ignore_index=True).dropna(subset="p_gsea")
        table["q_gsea"] = bh(table["p_gsea"].to_numpy(float))
        table = table.sort_values(["feature", "ranking", "p_gsea", "set"], ignore_index=True)
        table = table.groupby(["feature", "ranking"], sort=False).head(most)
        text = [";".join(symbols[genes]) for genes in table["leading_genes"]]
        tables.append(table.assign(leading_genes=text)[GSEA])
    return pd.concat(tables[1:] or tables, ignore_index=True)
