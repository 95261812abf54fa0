#!/usr/bin/env python3
"""Tables of enrich.py: features x sets, the study's Table 1, counts, and lists of genes with their terms."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from hx_association_tables import names_at
from hx_donors import Genes
from hx_enrich_lists import labels
from hx_enrichment import TESTS, Enriched, Prepared
from hx_gene_sets import FEW_GENES, Collection
from hx_scan import Pairs

NAME = pa.dictionary(pa.int32(), pa.string())
DIRECTIONS = np.array(["up", "down"])
TEXT = ("setting", "collection", "feature", "set", "term", "direction")
NUMBERS = [
    *("rho", "p_ora", "q_ora", "q_ora_feature", "t_camera", "p_camera", "q_camera", "q_camera_feature"),
    *("t_strength", "p_strength", "q_strength", "q_strength_feature", "r_score", "p_score", "q_score"),
]
ENRICHMENT = pa.schema(
    [(name, NAME) for name in ("setting", "collection", "feature", "set", "term")]
    + [(name, pa.int32()) for name in ("size", "genes_found", "overlap")]
    + [("direction", NAME)]
    + [(name, pa.float64()) for name in NUMBERS]
)
# What each test is, for a reader of the counts; the first words are shown as its name.
HEADLINE = "camera"
TOLD = {
    "camera": "camera by signed t, correlation of the set's genes estimated: the headline",
    "strength": "camera by r2, correlation of the set's genes estimated",
    "ora": "over-representation among the feature's hits: takes genes as independent",
    "score": "score of the set, self-contained: asks for any association, not for more than other genes have",
}
SUMMARY = [
    *("setting", "control", "tissue_id", "size", "encoder", "aggregation", "analysis", "n", "dof", "adjusted_for"),
    *("genes", "features", "features_with_hits", "collection", "matched_by", "sets", "rho_median", "test", "headline"),
    *("tests", "share_p05", "found", "features_found", "sets_found", "alpha", "told", "caution"),
]
TABLE1 = [
    *("setting", "rank", "feature", "collection", "set", "term", "p", "q", "q_feature", "size", "genes_found"),
    *("overlap", "genes", "p_camera", "q_camera", "direction"),
]
TOP = [
    *("setting", "feature", "collection", "set", "term", "size", "rho", "direction"),
    *NUMBERS[4:],
    "overlap",
    "p_ora",
]
TABLE1_FEATURES, TABLE1_TERMS = 10, 5
MOST_TOP = 300


def caution(genes: int, sets: int) -> str:
    """What stands against believing any term; '' where nothing does."""
    if not sets:
        return "no set has enough of the genes tested"
    if genes < FEW_GENES:
        return f"{genes} genes tested: a set is compared with few others, no term is a finding"
    return ""


def enrichment_table(
    setting: str, names: np.ndarray, hits: sparse.csr_array, each: Prepared, found: Enriched
) -> pa.Table:
    """ENRICHMENT: the kept pairs of a setting and collection. names: of the features."""
    sets, row = each.sets, found.set
    if not len(row):
        return ENRICHMENT.empty_table()
    one = np.zeros(len(row), np.int32)
    terms, term = np.unique(sets.term.astype(str), return_inverse=True)  # several sets may say the same
    columns = {
        "setting": names_at(np.array([setting]), one),
        "collection": names_at(np.array([sets.name]), one),
        "feature": names_at(names, found.feature),
        "set": names_at(sets.set, row),
        "term": names_at(terms, term[row]),
        "size": sets.size[row],
        "genes_found": np.diff(hits.indptr)[found.feature],
        "overlap": found.columns["overlap"],
        "direction": names_at(DIRECTIONS, (found.columns["t_camera"] < 0).astype(np.int32)),
        "rho": each.rho.signed[row],
    }
    columns |= {name: pa.array(found.columns[name], from_pandas=True) for name in NUMBERS if name != "rho"}
    arrays = [
        pa.array(columns[f.name]) if isinstance(columns[f.name], np.ndarray) else columns[f.name] for f in ENRICHMENT
    ]
    return pa.table([a.cast(f.type) for a, f in zip(arrays, ENRICHMENT, strict=True)], schema=ENRICHMENT)


def summary_rows(head: dict[str, object], genes: int, each: Prepared, found: Enriched) -> list[dict]:
    """SUMMARY, a row a test; head: what is told of the setting."""
    sets = each.sets
    place = head | {
        "genes": genes,
        "collection": sets.name,
        "matched_by": sets.matched_by,
        "sets": len(sets.set),
        "rho_median": float(np.median(each.rho.signed)) if len(sets.set) else np.nan,
        "caution": caution(genes, len(sets.set)),
    }
    rows = []
    for test in (HEADLINE, *(test for test in TESTS if test != HEADLINE)):
        counts = found.counts[test]
        numbers = {name: counts.get(name) for name in ("tests", "share_p05", "found")}
        numbers |= {"features_found": counts.get("features"), "sets_found": counts.get("sets")}
        told = {"test": test, "headline": "yes" if test == HEADLINE else "no", "told": TOLD[test]}
        rows.append(place | told | numbers)
    return rows


def table1(
    table: pd.DataFrame, genes: Genes, hits: Pairs, names: np.ndarray, collections: Iterable[Collection]
) -> pd.DataFrame:
    """TABLE1: the 10 features of smallest over-representation p, and up to 5 terms of each with q_feature <= .05.

    The study's Table 1: the genes of a feature (its hits), the terms that they are enriched for, and which they are,
    strongest first.

    Args:
        table: ENRICHMENT of one setting. hits: of that setting, row the gene.
    """
    rows = table[table["q_ora_feature"].notna()].sort_values(["p_ora", "feature", "set"])
    features = list(dict.fromkeys(rows["feature"]))[:TABLE1_FEATURES]
    rank = {feature: k + 1 for k, feature in enumerate(features)}
    rows = rows[rows["feature"].isin(features)].assign(rank=rows["feature"].map(rank))
    rows = rows.groupby("feature", sort=False).head(TABLE1_TERMS).sort_values(["rank", "p_ora", "set"])
    by_name = {each.name: each for each in collections}
    place = {name: k for k, name in enumerate(names)}
    text = []
    for row in rows.itertuples():
        sets = by_name[row.collection]
        inside = sets.genes_of(int(np.flatnonzero(sets.set == row.set)[0]))
        mine = hits.take((hits.column == place[row.feature]) & np.isin(hits.row, inside))
        order = np.lexsort((mine.row, -np.round(np.abs(mine.r), 12)))
        text.append(";".join(labels(genes, mine.row[order])))
    rows = rows.rename(columns={"p_ora": "p", "q_ora": "q", "q_ora_feature": "q_feature"})
    return rows.assign(genes=text).reindex(columns=TABLE1).reset_index(drop=True)


def top_table(table: pd.DataFrame) -> pd.DataFrame:
    """TOP: the best set of each feature by the headline, of smallest p first; found or not."""
    best = table.sort_values(["p_camera", "feature", "set"]).drop_duplicates(["collection", "feature"])
    return best.groupby("collection", sort=True).head(MOST_TOP).reindex(columns=TOP).reset_index(drop=True)
