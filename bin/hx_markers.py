#!/usr/bin/env python3
"""Hits that may be cell composition: genes that go with the score of a cell type's marker genes."""

import numpy as np
import pandas as pd

from hx_camera import set_scores
from hx_donors import Genes
from hx_fdr import bh
from hx_gene_sets import Collection
from hx_linear import Standardised
from hx_pvalue import PTable
from hx_scan import Pairs

TRACKS = 0.5  # |r| with the score of the other markers from which a gene is marked: a quarter of its variance
MARKER_HITS = [
    *("setting", "gene", "symbol", "hits", "best_feature", "r", "marker_set", "term", "in_set", "r_marker"),
    *("p_marker", "q_marker", "r_given_marker", "tracks"),
]


def scores_without(unit: np.ndarray, markers: Collection, gene: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(donors, pairs) sum of the unit residuals of set which[i] without gene[i], at length 1; unit: (donors, genes)."""
    scores = set_scores(unit, markers.members)[which].T
    scores = scores - unit[:, gene] * _inside(markers, gene, which)
    length = np.sqrt(np.einsum("ij,ij->j", scores, scores))
    return np.divide(scores, length, out=np.zeros_like(scores), where=length > 1e-9)


def _inside(markers: Collection, gene: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(pairs,) 1 where the gene is in the set."""
    inside = np.zeros(len(gene))
    for k in np.unique(which):
        at = np.flatnonzero(which == k)
        inside[at] = np.isin(gene[at], markers.genes_of(int(k)))
    return inside


def marker_correlations(unit: np.ndarray, markers: Collection) -> np.ndarray:
    """(genes, sets) correlation of each gene with the score of each set's other genes, given the covariates."""
    scores = set_scores(unit, markers.members)
    r = unit.T @ scores.T
    inside = markers.members.T.toarray()
    # u'(s - u) and |s - u|^2 of unit u in the set.
    squares = np.einsum("ij,ij->i", scores, scores) + inside * (1 - 2 * r)
    length = np.sqrt(np.maximum(squares, 0))
    return np.divide(r - inside, length, out=np.zeros_like(r), where=length > 1e-9)


def marker_hits(
    setting: str, genes: Genes, names: np.ndarray, image: Standardised, hits: Pairs, markers: Collection, alpha: float
) -> pd.DataFrame:
    """MARKER_HITS, a row a gene with a hit: the marker set whose other genes it goes with most.

    q_marker is over all tested genes and sets. tracks: |r_marker| >= .5 and q_marker <= alpha. r is with the gene's
    best feature among its hits; r_given_marker is the same with the score held fixed.
    """
    if not len(hits.r) or not len(markers.set):
        return pd.DataFrame(columns=MARKER_HITS)
    order = np.lexsort((hits.column, -np.round(np.abs(hits.r), 12), hits.row))
    hits = hits.take(order)
    gene, first, number = np.unique(hits.row, return_index=True, return_counts=True)
    best = hits.take(first)
    with_sets = marker_correlations(genes.normal.unit, markers)
    p = PTable(genes.normal.dof).p(np.clip(with_sets, -1, 1))
    q = bh(p.ravel()).reshape(p.shape)
    which = np.argmax(np.round(np.abs(with_sets[gene]), 12), axis=1)
    score = scores_without(genes.normal.unit, markers, gene, which)
    r_gene = with_sets[gene, which]
    r_image = np.einsum("ij,ij->j", score, image.unit[:, best.column])
    left = np.sqrt(np.maximum((1 - r_gene**2) * (1 - r_image**2), 1e-12))
    tracks = (np.abs(r_gene) >= TRACKS) & (q[gene, which] <= alpha)
    table = pd.DataFrame(
        {
            "setting": setting,
            "gene": genes.id[gene],
            "symbol": genes.symbol[gene],
            "hits": number,
            "best_feature": names[best.column],
            "r": best.r,
            "marker_set": markers.set[which],
            "term": markers.term[which],
            "in_set": np.where(_inside(markers, gene, which) > 0, "yes", "no"),
            "r_marker": r_gene,
            "p_marker": p[gene, which],
            "q_marker": q[gene, which],
            "r_given_marker": np.clip((best.r - r_gene * r_image) / left, -1, 1),
            "tracks": np.where(tracks, "yes", "no"),
        }
    )
    table = table.assign(_size=-table["r"].abs().round(12))
    return table.sort_values(["tracks", "_size", "gene"], ascending=[False, True, True], ignore_index=True)[MARKER_HITS]
