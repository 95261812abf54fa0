#!/usr/bin/env python3
"""Every gene set against every feature of a setting: over-representation among its hits, camera, and set scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import stdtrit

from hx_camera import Correlations, Moments, Scores, camera_t, set_correlations, set_scores, unit_scores
from hx_cli import log
from hx_enrich import hypergeometric_p, over_represented, overlaps
from hx_fdr import bh, bh_within
from hx_gene_sets import Collection
from hx_pvalue import PTable, critical_r
from hx_scan import Pairs

TILE_FEATURES = 128
TERM_Q = 0.05  # largest q that is told: what a term is found at, whatever makes a pair a hit
TESTS = ("ora", "camera", "strength", "score")  # camera: by signed t, the headline; strength: camera by r^2
BY_FEATURE = ("ora", "camera", "strength")  # have q over the sets of a feature as well
TOP = 5  # sets kept of each feature, those of smallest camera p, found or not
MAX_ROWS = 500_000  # kept of a setting and collection, those of smallest p; all are counted


@dataclass(frozen=True)
class Prepared:
    """A collection with what depends on the tested genes alone: correlations and scores of its sets."""

    sets: Collection
    rho: Correlations
    scores: np.ndarray


@dataclass(frozen=True)
class Enriched:
    """Pairs of a feature and a set that are kept, ordered by feature, then set, and counts over all pairs.

    feature, set: (pairs,) indices. columns: {name: (pairs,)}: overlap, t_camera, t_strength, r_score, and p, q (over
    all features x sets) of each of TESTS, q_<test>_feature (over the sets of the feature) of BY_FEATURE; q is NaN past
    .05. counts: {test: {tests, share_p05, found, features, sets}}; found: pairs with q <= .05; features, sets: in
    them (not counted for score).
    """

    feature: np.ndarray
    set: np.ndarray
    columns: dict[str, np.ndarray]
    counts: dict[str, dict[str, float]]


def prepare(sets: Collection, unit: np.ndarray, dim: int) -> Prepared:
    """unit: (donors, genes) residuals of length 1; dim: of the space that they lie in."""
    scores = set_scores(unit, sets.members)
    return Prepared(sets, set_correlations(unit, sets.members, scores, dim), unit_scores(scores, sets.size))


def hit_matrix(hits: Pairs, features: int, genes: int) -> sparse.csr_array:
    """(features, genes), 1 where the pair is a hit; in hits, row is the gene."""
    matrix = sparse.coo_array((np.ones(len(hits.row)), (hits.column, hits.row)), shape=(features, genes))
    return sparse.csr_array(matrix)


class _Collected:
    """What the tiles leave of one collection."""

    def __init__(self) -> None:
        self.parts: list[dict[str, np.ndarray]] = []
        self.scores: list[np.ndarray] = []
        self.small = dict.fromkeys(TESTS, 0)

    def columns(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}


def enrich(
    genes: np.ndarray,
    features: np.ndarray,
    dof: int,
    hits: sparse.csr_array,
    collections: Sequence[Prepared],
    tile: int = TILE_FEATURES,
) -> list[Enriched]:
    """Test all features x sets; each collection is a family of its own.

    Memory: genes x tile features, a few times, and the pairs with a p <= .05.

    Args:
        genes, features: (donors, columns) unit residuals. dof: of their correlations.
        hits: of hit_matrix: the genes of each feature.
    """
    kept = [_Collected() for _ in collections]
    scores = Scores(dof)
    found = [over_represented(hits, each.sets.members, TERM_Q) for each in collections]
    for first in range(0, features.shape[1], tile):
        block = features[:, first : first + tile]
        signed, strength = scores.of(genes.T @ block)
        moments = Moments.of(signed), Moments.of(strength)
        for each, target, listed in zip(collections, kept, found, strict=True):
            if not len(each.sets.set):
                continue
            start, stop = np.searchsorted(listed[0], (first, first + block.shape[1]))
            few = tuple(part[start:stop] for part in listed)
            _tile(each, (signed, strength), moments, block, dof, few, first, target)
    return [
        _finished(each, target, hits, features.shape[1], dof, listed)
        for each, target, listed in zip(collections, kept, found, strict=True)
    ]


def _tile(
    each: Prepared, statistics: tuple, moments: tuple, block: np.ndarray, dof: int, listed: tuple, first: int,
    target: _Collected,
) -> None:  # fmt: skip
    """Test one tile of features against one collection; keep pairs that any test but the score's gives p <= .05."""
    members, size = each.sets.members, each.sets.size
    df = min(dof, moments[0].genes - 2)
    t, t_strength = (
        camera_t(np.asarray(members @ values), size, of_all, rho)
        for values, of_all, rho in zip(statistics, moments, each.rho, strict=True)
    )
    r = each.scores @ block
    target.small["camera"] += int(np.count_nonzero(np.abs(t) >= -stdtrit(df, TERM_Q / 2)))
    target.small["strength"] += int(np.count_nonzero(t_strength >= -stdtrit(df, TERM_Q)))
    target.small["score"] += int(np.count_nonzero(np.abs(r) >= critical_r(TERM_Q, dof)))
    target.small["ora"] += int(np.count_nonzero(listed[3] <= TERM_Q))
    target.scores.append(r[np.abs(r) >= critical_r(TERM_Q, dof)])
    top = np.ones(t.shape, bool)
    if len(t) > TOP:
        # Equal ones, but for rounding, are kept together: which sets are told does not hang on threads.
        top = np.abs(t) >= np.partition(np.abs(t), -TOP, axis=0)[-TOP] * (1 - 1e-12)
    keep = top | (np.abs(t) >= -stdtrit(df, TERM_Q / 2)) | (t_strength >= -stdtrit(df, TERM_Q))
    keep[listed[1], listed[0] - first] = True
    column, row = np.nonzero(keep.T)
    part = {"feature": column + first, "set": row, "t_camera": t[row, column], "t_strength": t_strength[row, column]}
    target.parts.append(part | {"r_score": np.clip(r[row, column], -1, 1), "top": top[row, column]})


def t_to_p(t: np.ndarray, df: int) -> np.ndarray:
    """Two-sided p of Student's t, by the table of correlations: r = t / sqrt(df + t^2)."""
    return PTable(df).p(t / np.sqrt(df + t * t))


def _finished(
    each: Prepared, target: _Collected, hits: sparse.csr_array, features: int, dof: int, listed: tuple
) -> Enriched:
    sets, genes = len(each.sets.set), hits.shape[1]
    tests = features * sets
    if not tests:
        none = np.zeros(0, np.int64)
        return Enriched(none, none, {}, {test: {"tests": 0, "found": 0} for test in TESTS})
    columns = target.columns()
    feature, set_ = columns.pop("feature"), columns.pop("set")
    df = min(dof, genes - 2)
    half = t_to_p(columns["t_strength"], df) / 2
    columns |= {
        "p_ora": _looked_up(listed, sets, feature, set_),
        "p_camera": t_to_p(columns["t_camera"], df),
        "p_strength": np.where(columns["t_strength"] > 0, half, 1 - half),
        "p_score": PTable(dof).p(columns["r_score"]),
    }
    counts = {}
    for test in BY_FEATURE:
        p = columns[f"p_{test}"]
        small = np.flatnonzero(p <= TERM_Q)
        columns[f"q_{test}"] = bh(p, TERM_Q, tests=tests)
        columns[f"q_{test}_feature"] = np.full(len(p), np.nan)
        columns[f"q_{test}_feature"][small] = bh_within(p[small], feature[small], sets, TERM_Q)
        passed = ~np.isnan(columns[f"q_{test}"])
        counts[test] = {"found": int(passed.sum()), "features": len(np.unique(feature[passed]))}
        counts[test]["sets"] = len(np.unique(set_[passed]))
    # Only some of the pairs of small score p are kept: q is made over all, and read off at their p.
    p = np.sort(PTable(dof).p(np.concatenate(target.scores)))
    q = bh(p, TERM_Q, tests=tests)
    columns["q_score"] = np.append(q, np.nan)[np.searchsorted(p, columns["p_score"] * (1 - 1e-9))]
    counts["score"] = {"found": int(np.count_nonzero(q <= TERM_Q))}
    for test, numbers in counts.items():
        numbers |= {"tests": tests, "share_p05": target.small[test] / tests}
    keep = _kept(columns)
    feature, set_ = feature[keep], set_[keep]
    columns = {name: values[keep] for name, values in columns.items()}
    columns["overlap"] = overlaps(hits, each.sets.members, feature, set_)
    number = np.diff(hits.indptr)[feature]
    columns["p_ora"] = hypergeometric_p(columns["overlap"], genes, each.sets.size[set_], number)
    return Enriched(feature, set_, columns, counts)


def _looked_up(listed: tuple, sets: int, feature: np.ndarray, set_: np.ndarray) -> np.ndarray:
    """p of over_represented for pairs of a feature and a set, NaN for those that it did not return."""
    keys, wanted = listed[0].astype(np.int64) * sets + listed[1], feature * sets + set_
    if not len(keys):
        return np.full(len(wanted), np.nan)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, listed[3][place], np.nan)


def _kept(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Positions of pairs with a q <= .05, and of the top of each feature; at most MAX_ROWS, those of smallest p."""
    keep = columns.pop("top")
    for test in BY_FEATURE:
        keep = keep | ~np.isnan(columns[f"q_{test}"]) | ~np.isnan(columns[f"q_{test}_feature"])
    keep = np.flatnonzero(keep)
    if len(keep) > MAX_ROWS:
        smallest = np.fmin.reduce([columns[f"p_{test}"][keep] for test in BY_FEATURE])
        log.warning("%d pairs of a feature and a set are found: the %d of smallest p are kept", len(keep), MAX_ROWS)
        keep = np.sort(keep[np.argsort(smallest, kind="stable")[:MAX_ROWS]])
    return keep
