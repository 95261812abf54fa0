#!/usr/bin/env python3
"""All pairs of a setting, tested: hits, what is stored, counts, calibration. Arrays in, arrays out."""

from dataclasses import dataclass

import numpy as np

from hx_fdr import bh, bonferroni
from hx_pvalue import PTable, critical_r, detectable_r, lambda_gc
from hx_scan import Pairs, Scan, scan, upper_quantile

REPORTED_P = {"share_p05": 0.05, "share_p001": 1e-3}
QQ_POINTS = 200
# Columns of <prefix>.association_summary.tsv and <prefix>.association_qq.tsv.
SUMMARY = [
    *("setting", "control", "tissue_id", "size", "encoder", "aggregation", "weights", "n", "dof"),
    *("features", "dead_features", "invalid_features", "genes", "genes_dropped"),
    *("pairs", "share_p05", "share_p001", "lambda_gc", "correction", "alpha", "hits", "hits_bonferroni"),
    *("genes_with_hit", "features_with_hit", "stored"),
    *("best_feature", "best_gene", "best_symbol", "best_r", "best_p", "best_nlog10p", "detectable_r"),
]
QQ = ["setting", "control", "rank", "expected_nlog10p", "observed_nlog10p"]


@dataclass(frozen=True)
class Tested:
    """All pairs of a setting, tested. In `Pairs`, row is the gene and column the feature.

    hits: every pair that the correction passes. stored: the strongest hits and the top pairs of each gene and feature,
    ordered by feature, then gene. q: Benjamini-Hochberg q of the stored pairs, NaN past alpha.
    """

    scan: Scan
    table: PTable
    hits: Pairs
    stored: Pairs
    q: np.ndarray


def associate_pairs(
    genes: np.ndarray, features: np.ndarray, dof: int, alpha: float, correction: str, top: int, max_hits: int
) -> Tested:
    """Test all pairs of two unit matrices, (donors, genes) and (donors, features).

    Args:
        alpha: level of `correction`, one of bh and bonferroni, both over all pairs.
        top: pairs stored for each gene and for each feature, hits or not.
        max_hits: hits stored, the strongest; `hits` has all.
    """
    table = PTable(dof)
    # A hair below the cut: a superset of the pairs that the correction and the reported shares need.
    result = scan(genes, features, critical_r(max(alpha, *REPORTED_P.values()), dof) * (1 - 1e-9), top)
    p = table.p(result.strong.r)
    q = bh(p, alpha, tests=result.pairs)
    hits = result.strong.take(~np.isnan(q) if correction == "bh" else bonferroni(p, result.pairs) <= alpha)
    strongest = hits
    if len(hits.r) > max_hits:
        strongest = hits.take(np.argsort(-np.abs(hits.r), kind="stable")[:max_hits])
    groups = zip(strongest, result.top_of_rows, result.top_of_columns, strict=True)
    stored = Pairs(*(np.concatenate(part) for part in groups))
    stored = stored.take(np.unique(stored.column * genes.shape[1] + stored.row, return_index=True)[1])
    return Tested(result, table, hits, stored, _q_of(stored.r, result.strong.r[~np.isnan(q)], q[~np.isnan(q)]))


def _q_of(r: np.ndarray, known_r: np.ndarray, known_q: np.ndarray) -> np.ndarray:
    """q of pairs from all the known ones of their family: with one dof, q falls with |r|; NaN below the weakest."""
    out = np.full(len(r), np.nan)
    if len(known_r):
        order = np.argsort(np.abs(known_r), kind="stable")
        size = np.abs(known_r)[order]
        known = np.abs(r) >= size[0]
        out[known] = known_q[order][np.searchsorted(size, np.abs(r[known]))]
    return out


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


def summary_numbers(tested: Tested, alpha: float) -> dict[str, float | int]:
    """Counts and calibration of a setting."""
    result, dof = tested.scan, tested.table.dof
    size = np.abs(result.strong.r)
    share = {k: np.count_nonzero(size >= critical_r(p, dof)) / result.pairs for k, p in REPORTED_P.items()}
    median = upper_quantile(result.histogram, np.array([(result.pairs + 1) // 2, result.pairs // 2 + 1]))
    return {
        "pairs": result.pairs,
        **share,
        "lambda_gc": lambda_gc(float(tested.table.p(median).mean())),
        "hits": len(tested.hits.r),
        "hits_bonferroni": np.count_nonzero(size >= critical_r(alpha / result.pairs, dof)),
        "genes_with_hit": len(np.unique(tested.hits.row)),
        "features_with_hit": len(np.unique(tested.hits.column)),
        "stored": len(tested.stored.r),
        "detectable_r": detectable_r(alpha / result.pairs, dof),
    }


def best_of_genes(tested: Tested, n_features: int, n_genes: int) -> tuple[Pairs, dict[str, np.ndarray]]:
    """Best pair of each gene, its Bonferroni p over the features and the BH q of that over the genes."""
    best = tested.scan.top_of_rows
    best = best.take(np.unique(best.row, return_index=True)[1])
    p = tested.table.p(best.r)
    adjusted = bonferroni(p, n_features)
    return best, {
        "hits": np.bincount(tested.hits.row, minlength=n_genes),
        "r": best.r,
        "p": p,
        "nlog10p": tested.table.nlog10p(best.r),
        "p_bonferroni": adjusted,
        "q": bh(adjusted),
    }
