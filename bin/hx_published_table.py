#!/usr/bin/env python3
"""The 2017 study's analysis of every setting of a tissue, as a table."""

import numpy as np
import pandas as pd

from hx_cli import log
from hx_donors import Features, named_generator, side_of, usable
from hx_genes import published_filter
from hx_published import NUMBERS, SHUFFLES, Sides, both_ways, most_variable
from hx_tested import Size, Tissue

PLACE = ["tissue_id", "setting", "size", "encoder", "aggregation", "analysis"]
PUBLISHED_ROW = [
    *(*PLACE, "variant", "n", "covariate_rank", "features", "genes", "shuffles"),
    *(*NUMBERS, "top_feature", "top_gene", "top_symbol"),
]


def published_table(tissue: Tissue, seed: int) -> tuple[pd.DataFrame, list[tuple]]:
    """PUBLISHED_ROW of each setting, two rows each; and (id, kind, reason) of what has none.

    Genes: the study's filter over all donors of the expression file. Features: those of largest standard deviation
    over all sizes that have the same ones, made by the same weights.
    """
    values = np.asarray(tissue.expression.X, dtype=np.float64)
    chosen = published_filter(values.mean(axis=0), values.std(axis=0))
    if not chosen.any():
        return pd.DataFrame(columns=PUBLISHED_ROW), [
            (tissue.tissue_id, "tissue", "no gene of mean log2 above 1: the study's analysis is left out")
        ]
    genes = tissue.expression[:, chosen].copy()
    genes.var = genes.var.drop(columns="kept", errors="ignore")
    groups: dict[tuple, list[np.ndarray]] = {}
    for size in tissue.sizes:
        for part in size.parts(size.donors).values():
            groups.setdefault(_group(size, part), []).append(part.values)
    columns = {group: most_variable(parts) for group, parts in groups.items()}
    rows, lost = [], []
    for size in tissue.sizes:
        side, _ = side_of(genes, size.donors, size.design, (tissue.expression_name, size.prefix))
        for setting, part in size.parts(size.donors).items():
            taken = columns[_group(size, part)]
            names, features = part.name[taken], part.values[:, taken]
            keep, _, _ = usable(features, names, "feature", setting, side.space)
            if not keep.any():
                lost.append((setting, "setting", "none of the study's most variable features varies here"))
                continue
            head = {name: value for name, value in size.row(setting).items() if name in PLACE}
            head |= {"n": len(size.donors), "covariate_rank": side.space.covariate_rank, "shuffles": SHUFFLES}
            head |= {"features": int(keep.sum()), "genes": len(side.genes.id)}
            sides = Sides(side.genes.log2.unit, side.genes.normal.unit, features[:, keep], side.space)
            for variant, (top, numbers) in both_ways(sides, named_generator(seed, f"{setting}.published")).items():
                gene = {"top_gene": side.genes.id[top.row[0]], "top_symbol": side.genes.symbol[top.row[0]]}
                told = {"variant": variant, "top_feature": names[keep][top.column[0]]} | gene
                rows.append(head | told | numbers)
                log.info(
                    "%s, %s: %d hits, donors shuffled %.1f", setting, variant, numbers["hits"], numbers["null_hits"]
                )
    return pd.DataFrame(rows, columns=PUBLISHED_ROW), lost


def _group(size: Size, part: Features) -> tuple[str, str, str]:
    """Alike for features that are the same ones at all sizes."""
    return part.encoder, size.weights(part.encoder), part.aggregation
