#!/usr/bin/env python3
"""All pairs of a setting, tested: hits, what is stored, counts, calibration. Arrays in, arrays out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hx_fdr import bh, bh_within, bonferroni, cauchy, cauchy_p, tree_q
from hx_null import familywise_p
from hx_pvalue import PTable, critical_r, detectable_r, lambda_gc
from hx_scan import Pairs, Scan, scan, upper_quantile

p_table = lru_cache(8)(PTable)  # settings of a tissue and their controls have few different degrees of freedom
REPORTED_P = {"share_p05": 0.05, "share_p001": 1e-3}
QQ_POINTS = 200
# Columns of <prefix>.association_summary.tsv and <prefix>.association_qq.tsv.
SUMMARY = [
    *(
        "setting",
        "control",
        "tissue_id",
        "size",
        "encoder",
        "aggregation",
        "weights",
        "n",
        "dof",
        "adjusted_for",
        "strata",
    ),
    *("features", "dead_features", "invalid_features", "genes", "pairs", "share_p05", "share_p001", "lambda_gc"),
    *("lambda_low", "lambda_high", "max_p", "permutations", "correction", "alpha"),
    *("hits", "hits_tree", "hits_bh", "hits_bonferroni", "genes_found"),
    *("genes_with_hit", "features_with_hit", "listed_genes", "listed_found", "listed_hits", "stored"),
    *("best_feature", "best_gene", "best_symbol", "best_r", "best_p", "best_nlog10p", "detectable_r"),
]
QQ = ["setting", "control", "rank", "expected_nlog10p", "observed_nlog10p", "null_low", "null_high"]


@dataclass(frozen=True)
class Tested:
    """All pairs of a setting, tested. In `Pairs`, row is the gene and column the feature.

    hits: every pair that the correction passes. stored: the strongest hits and the top pairs of each gene and feature,
    ordered by feature, then gene. q: Benjamini-Hochberg q of the stored pairs over all pairs, NaN past alpha. q_tree:
    their level in the tree of genes and pairs, NaN past alpha. gene_p, gene_q: (genes,) Cauchy combination of a gene's
    pairs, and its Benjamini-Hochberg q over the genes. found: number of hits by each correction.
    """

    scan: Scan
    table: PTable
    hits: Pairs
    stored: Pairs
    q: np.ndarray
    q_tree: np.ndarray
    gene_p: np.ndarray
    gene_q: np.ndarray
    found: dict[str, int]

    def detectable(self, alpha: float) -> float:
        """|r| found with 80 % power at the Bonferroni cut over all pairs."""
        return detectable_r(alpha / self.scan.pairs, self.table.dof)


def associate_pairs(
    genes: np.ndarray, features: np.ndarray, dof: int, alpha: float, correction: str, top: int, max_hits: int
) -> Tested:
    """Test all pairs of two unit matrices, (donors, genes) and (donors, features).

    Args:
        alpha: level of `correction`: tree (genes first, then pairs within the genes found: hx_fdr.tree_q), bh or
            bonferroni, both over all pairs.
        top: pairs stored for each gene and for each feature, hits or not.
        max_hits: hits stored, the strongest; `hits` has all.
    """
    table = p_table(dof)
    # A hair below the cut: a superset of the pairs that the correction and the reported shares need.
    cut = critical_r(max(alpha, *REPORTED_P.values()), dof) * (1 - 1e-9)
    result = scan(genes, features, cut, top, function=lambda size: cauchy(table.p(size)))
    gene_p = cauchy_p(result.row_sums, features.shape[1])
    gene_q = bh(gene_p)
    p = table.p(result.strong.r)
    q = bh(p, alpha, tests=result.pairs)
    # Only pairs of genes that are found can have a q_tree within alpha.
    of_found = np.flatnonzero(gene_q[result.strong.row] <= alpha)
    gene = result.strong.row[of_found]
    q_tree = np.full(len(p), np.nan)
    q_tree[of_found] = tree_q(gene_q, gene, bh_within(p[of_found], gene, features.shape[1], alpha))
    q_tree[q_tree > alpha] = np.nan
    passed = {"tree": ~np.isnan(q_tree), "bh": ~np.isnan(q), "bonferroni": bonferroni(p, result.pairs) <= alpha}
    hits = result.strong.take(passed[correction])
    strongest = hits
    if len(hits.r) > max_hits:
        strongest = hits.take(np.argsort(-np.abs(hits.r), kind="stable")[:max_hits])
    groups = zip(strongest, result.top_of_rows, result.top_of_columns, strict=True)
    stored = Pairs(*(np.concatenate(part) for part in groups))
    stored = stored.take(np.unique(stored.column * genes.shape[1] + stored.row, return_index=True)[1])
    q, q_tree = _of_stored(stored, result.strong, features.shape[1], q, q_tree)
    found = {name: int(np.count_nonzero(which)) for name, which in passed.items()}
    return Tested(result, table, hits, stored, q, q_tree, gene_p, gene_q, found)


def _of_stored(stored: Pairs, strong: Pairs, width: int, *columns: np.ndarray) -> Iterator[np.ndarray]:
    """Columns of the strong pairs (ordered by row, then column) for the stored ones, NaN for those that are not strong.

    Pairs with the same r may differ by rounding; each keeps its own value.
    """
    keys, wanted = strong.row * width + strong.column, stored.row * width + stored.column
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    known = keys[place] == wanted if len(keys) else np.zeros(len(wanted), bool)
    for column in columns:
        out = np.full(len(wanted), np.nan)
        out[known] = column[place[known]]
        yield out


def qq_points(tested: Tested) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rank, expected, observed -log10 p) at up to 200 log-spaced ranks; expected p of rank k of m is (k - .5) / m."""
    pairs = tested.scan.pairs
    rank = np.unique(np.round(np.geomspace(1, pairs, QQ_POINTS)).astype(np.int64))
    strong = np.sort(np.abs(tested.scan.strong.r))[::-1]
    r = np.empty(len(rank))
    exact = rank <= len(strong)
    r[exact] = strong[rank[exact] - 1]
    r[~exact] = upper_quantile(tested.scan.histogram, rank[~exact])
    return rank, -np.log10((rank - 0.5) / pairs), tested.table.nlog10p(r)


def _lambda(table: PTable, histogram: np.ndarray) -> float:
    pairs = int(histogram.sum())
    median = upper_quantile(histogram, np.array([(pairs + 1) // 2, pairs // 2 + 1]))
    return lambda_gc(float(table.p(median).mean()))


def null_interval(tested: Tested, rank: np.ndarray, histograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest -log10 p that permutations have at the places of some ranks; NaN beyond their fewer pairs.

    histograms: (permutations, BINS) of hx_null.
    """
    pairs = histograms[0].sum()
    place = (rank - 0.5) * (pairs / tested.scan.pairs) + 0.5
    found = np.full((len(histograms), len(rank)), np.nan)
    inside = place >= 1
    for row, histogram in zip(found, histograms, strict=True):
        row[inside] = tested.table.nlog10p(upper_quantile(histogram, place[inside]))
    return found.min(axis=0), found.max(axis=0)


def summary_numbers(
    tested: Tested, alpha: float, null: np.ndarray | None = None, histograms: np.ndarray | None = None
) -> dict[str, float | int]:
    """Counts and calibration of a setting; null: of max_null, histograms: of null_histograms, for their intervals."""
    result, dof = tested.scan, tested.table.dof
    size = np.abs(result.strong.r)
    share = {k: np.count_nonzero(size >= critical_r(p, dof)) / result.pairs for k, p in REPORTED_P.items()}
    lambdas = [] if histograms is None else [_lambda(tested.table, histogram) for histogram in histograms]
    known = null is not None and len(null) > 0
    return {
        "pairs": result.pairs,
        **share,
        "lambda_gc": _lambda(tested.table, result.histogram),
        "lambda_low": min(lambdas, default=np.nan),
        "lambda_high": max(lambdas, default=np.nan),
        "max_p": float(familywise_p(np.abs(tested.scan.top_of_rows.r).max(), null)) if known else np.nan,
        "permutations": len(null) if known else 0,
        "hits": len(tested.hits.r),
        **{f"hits_{name}": count for name, count in tested.found.items()},
        "genes_found": int(np.count_nonzero(tested.gene_q <= alpha)),
        "genes_with_hit": len(np.unique(tested.hits.row)),
        "features_with_hit": len(np.unique(tested.hits.column)),
        "stored": len(tested.stored.r),
        "detectable_r": tested.detectable(alpha),
    }


def best_of_genes(tested: Tested, n_genes: int) -> tuple[Pairs, dict[str, np.ndarray]]:
    """Best pair of each gene, the p of all of its pairs together and the q of that over the genes."""
    best = tested.scan.top_of_rows
    best = best.take(np.unique(best.row, return_index=True)[1])
    return best, {
        "hits": np.bincount(tested.hits.row, minlength=n_genes),
        "r": best.r,
        "r2": best.r**2,
        "p": tested.table.p(best.r),
        "nlog10p": tested.table.nlog10p(best.r),
        "gene_p": tested.gene_p,
        "gene_q": tested.gene_q,
    }
