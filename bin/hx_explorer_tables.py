#!/usr/bin/env python3
"""What the explorer shows of one setting: genes, features, their pairs, gene sets, confounders, descriptions."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_explorer_files import Files, of_setting

MAX_PAIRS = 250_000  # of a setting; the strongest
MAX_TERMS = 4_000  # rows of the gene sets of a setting; those of smallest p
GENES = ["gene", "symbol", "hits", "best_feature", "r", "beta", "ci_low", "ci_high", "p", "nlog10p", "gene_q"]
PREDICTED = {"r2cv": "r2cv", "delta_r2": "delta_r2", "q": "prediction_q"}
PAIRS = ["feature", "gene", "r", "beta", "ci_low", "ci_high", "nlog10p", "q_tree", "q"]
TERMS = ["collection", "feature", "set", "term", "size", "direction", "rho", "p_camera", "q_camera"]
LEDGER = ["view", "factor", "level", "in_model", "given", "group", "adjusted", "adjusted_low", "adjusted_high", "null"]
DESCRIBED = ["feature", "label", "chosen_for", "sentence", "technical", "r2_cv", "p"]
P_COLUMNS = {
    "genes": ("p", "gene_q", "prediction_q"),
    "features": ("p", "q"),
    "pairs": ("q",),
    "terms": ("p_camera", "q_camera"),
    "ledger": ("p", "q"),
    "described": ("p",),
}


class Prefix(NamedTuple):
    """Tables of a tissue and patch size, all settings; None for those that are not there."""

    genes: pd.DataFrame | None
    pairs: pd.DataFrame | None
    predicted: pd.DataFrame | None
    terms: pd.DataFrame | None
    ledger: pd.DataFrame | None
    described: pd.DataFrame | None
    clusters: pd.DataFrame | None


def read_prefix(files: Files, prefix: str) -> Prefix:
    """The tables of a prefix; what is missing is in the notes of `files`."""
    return Prefix(
        files.read(prefix, "association_genes.parquet", ["setting", *GENES], ["r_split_half", "robustness"]),
        files.read(prefix, "associations.parquet", ["setting", *PAIRS]),
        files.read(prefix, "prediction_genes.parquet", ["setting", "gene", *PREDICTED]),
        files.read(prefix, "enrichment.parquet", ["setting", *TERMS], ["overlap"]),
        files.read(prefix, "confounder_ledger.tsv", ["setting", *LEDGER], ["cross_validated", "p", "q"]),
        files.read(prefix, "descriptions.tsv", ["setting", *DESCRIBED]),
        files.read(prefix, "feature_clusters.tsv", ["setting", "feature", "dead", "cluster", "cluster_size"]),
    )


def codes_in(values: pd.Series, names: pd.Series) -> np.ndarray:
    """(rows,) place of each value among `names`, -1 where it is not."""
    return pd.Index(names.astype(str)).get_indexer(values.astype(str))


def gene_rows(tables: Prefix, setting: str) -> pd.DataFrame:
    """A row a gene, those of smallest p first: GENES, and what its prediction says."""
    genes = of_setting(tables.genes, setting)
    if genes.empty:
        return genes
    genes = genes.assign(gene=genes["gene"].astype(str), symbol=genes["symbol"].astype(str))
    predicted = of_setting(tables.predicted, setting)
    if len(predicted):
        predicted = predicted.rename(columns=PREDICTED).assign(gene=predicted["gene"].astype(str))
        genes = genes.merge(predicted, on="gene", how="left")
    order = np.lexsort((genes["gene"], -genes["nlog10p"].round(9)))
    return genes.iloc[order].reset_index(drop=True)


def pair_rows(tables: Prefix, setting: str, files: Files) -> pd.DataFrame:
    """Stored pairs, the strongest first, at most MAX_PAIRS; q: q_tree, else that of the setting."""
    pairs = of_setting(tables.pairs, setting)
    if pairs.empty:
        return pairs
    order = np.argsort(-pairs["nlog10p"].round(9), kind="stable")[:MAX_PAIRS]
    if len(pairs) > MAX_PAIRS:
        files.note(setting, f"the {MAX_PAIRS:,} strongest of {len(pairs):,} stored pairs are shown; the table has all")
    pairs = pairs.iloc[order].reset_index(drop=True)
    # The page shows one q.
    return pairs.assign(q=pairs["q_tree"].fillna(pairs["q"])).drop(columns="q_tree")


def feature_rows(tables: Prefix, setting: str, pairs: pd.DataFrame) -> pd.DataFrame:
    """A row a feature of the stored pairs: its hits, its best gene with r, beta and p, its cluster and description."""
    if pairs.empty:
        return pd.DataFrame()
    hit = pairs["q"].notna().groupby(pairs["feature"].astype(str)).sum()
    best = pairs.drop_duplicates("feature")
    rows = best[["feature", "gene", "r", "beta", "ci_low", "ci_high", "nlog10p", "q"]].rename(
        columns={"gene": "best_gene"}
    )
    rows = rows.assign(feature=rows["feature"].astype(str), best_gene=rows["best_gene"].astype(str))
    rows = rows.assign(hits=hit.reindex(rows["feature"]).to_numpy(int), p=10.0 ** -rows["nlog10p"])
    for table, columns in (
        (of_setting(tables.clusters, setting), ["feature", "cluster", "cluster_size"]),
        (of_setting(tables.described, setting), ["feature", "label", "sentence"]),
    ):
        if len(table):
            rows = rows.merge(table[columns].astype({"feature": str}), on="feature", how="left")
    return rows


def setting_tables(tables: Prefix, prefix: str, setting: str, files: Files) -> dict[str, pd.DataFrame]:
    """{kind: rows} of a setting; genes and features are named elsewhere by their place in these two tables."""
    genes, pairs = gene_rows(tables, setting), pair_rows(tables, setting, files)
    features = feature_rows(tables, setting, pairs)
    if len(genes):
        best = genes["best_feature"].astype(str)
        if len(features):
            # Without stored pairs there is no table of features to point into.
            best = codes_in(best, features["feature"])
        genes = genes.assign(best_feature=best)
    if len(features):
        features["best_gene"] = codes_in(features["best_gene"], genes["gene"]) if len(genes) else -1
        place = {"gene": codes_in(pairs["gene"], genes["gene"]) if len(genes) else -1}
        pairs = pairs.assign(**place, feature=codes_in(pairs["feature"], features["feature"]))
    terms = of_setting(tables.terms, setting)
    if len(terms):
        terms = terms.sort_values(["p_camera", "feature", "set"], kind="stable").head(MAX_TERMS)
    ledger = pd.concat([of_setting(tables.ledger, of) for of in (setting, prefix)], ignore_index=True)
    found = {"genes": genes, "features": features, "pairs": pairs, "terms": terms, "ledger": ledger}
    return found | {"described": of_setting(tables.described, setting)}
