#!/usr/bin/env python3
"""How the features of an encoder hang together: clusters, a tree of their representatives, components of the donors."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform

from hx_describe import Candidate
from hx_linear import standardise, varying_columns
from hx_variance import principal

CLUSTER_R = 0.7  # mean |r| between two parts of a cluster
SHOWN = 60  # representatives in the matrix: of the largest clusters
COMPONENTS = 5


class Structure(NamedTuple):
    """Features of one encoder and aggregation.

    table: a row a feature: feature, dead, cluster (largest is 1; 0 for the dead), cluster_size, representative (yes,
    no), order (in the dendrogram; -1 for the dead). matrix: representatives in the order of their own tree, (feature,
    other, r). tree: linkage of those, scipy's (m - 1, 4).
    """

    table: pd.DataFrame
    matrix: pd.DataFrame
    tree: np.ndarray
    effective: float


def tree_of(r: np.ndarray) -> np.ndarray:
    """Average linkage of 1 - |r| (m, m): two features that mirror each other say the same."""
    distance = 1 - np.abs(r)
    np.fill_diagonal(distance, 0)
    return linkage(squareform(np.clip(distance, 0, 1), checks=False), "average")


def structure(values: np.ndarray, names: np.ndarray) -> Structure:
    """Clusters and tree of the columns of (donors, features) finite values.

    Features are in one cluster when their mean |r| is at least CLUSTER_R where the tree joins them (average linkage).
    The representative of a cluster is the member of largest mean |r| with it. `effective`: number of features that were
    as informative if they were independent, (sum l)^2 / sum l^2 of the eigenvalues of the correlation matrix
    (participation ratio).
    """
    dead = ~varying_columns(values)
    living = np.flatnonzero(~dead)
    table = pd.DataFrame({"feature": names, "dead": np.where(dead, "yes", "no"), "cluster": 0, "cluster_size": 0})
    table["representative"], table["order"] = "no", -1
    nothing = pd.DataFrame(columns=["feature", "other", "r"])
    if len(living) < 3 or len(values) < 3:
        return Structure(table, nothing, np.empty((0, 4)), float("nan"))
    unit = standardise(values[:, living]).unit
    r = np.clip(unit.T @ unit, -1, 1)
    tree = tree_of(r)
    label = fcluster(tree, 1 - CLUSTER_R, "distance")
    sizes = np.bincount(label)
    first = np.array([np.argmax(label == k) if sizes[k] else len(label) for k in range(len(sizes))])
    rank = np.empty(len(sizes), int)
    rank[np.lexsort((first, -sizes))] = np.arange(1, len(sizes) + 1)
    representatives = np.empty(sizes.astype(bool).sum(), int)
    for k in np.flatnonzero(sizes):
        members = np.flatnonzero(label == k)
        closeness = np.abs(r[np.ix_(members, members)]).sum(axis=1).round(9)
        representatives[rank[k] - 1] = members[int(np.argmax(closeness))]
    place = np.empty(len(living), int)
    place[leaves_list(tree)] = np.arange(len(living))
    table.loc[living, "cluster"] = rank[label]
    table.loc[living, "cluster_size"] = sizes[label]
    table.loc[living[representatives], "representative"] = "yes"
    table.loc[living, "order"] = place
    effective = float(len(living) ** 2 / np.square(r).sum())
    return Structure(table, *_matrix(r, names[living], representatives[:SHOWN]), effective)


def _matrix(r: np.ndarray, names: np.ndarray, shown: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    if len(shown) < 3:
        return pd.DataFrame(columns=["feature", "other", "r"]), np.empty((0, 4))
    part, name = r[np.ix_(shown, shown)], names[shown]
    tree = tree_of(part)
    order = leaves_list(tree)
    pairs = [(name[i], name[j], part[i, j]) for i in order for j in order]
    # Rows of the tree name their leaves by their place in the matrix.
    moved = np.empty(len(order), int)
    moved[order] = np.arange(len(order))
    tree = tree.copy()
    for column in (0, 1):
        leaf = tree[:, column] < len(order)
        tree[leaf, column] = moved[tree[leaf, column].astype(int)]
    return pd.DataFrame(pairs, columns=["feature", "other", "r"]), tree


def components(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (donors, COMPONENTS) of unit variance and the share of the variance of each principal component.

    Of standardised features, dead ones left out. A component's sign is that which makes the scores skewed to the right.
    """
    keep = varying_columns(values)
    unit = standardise(values[:, keep]).unit
    variance, scores = principal(unit @ unit.T)
    count = min(COMPONENTS, len(variance))
    scores = scores[:, :count] * np.sqrt(len(values) - 1)
    scores = scores * np.where((scores**3).sum(axis=0).round(9) < 0, -1.0, 1.0)
    return scores, variance[:count] / variance.sum()


def factor_shares(scores: np.ndarray, share: np.ndarray, candidates: list[Candidate]) -> pd.DataFrame:
    """r2 of every covariate or companion with every component: factor, group, component, share, r2; a row a pair."""
    kept = [c for c in candidates if varying_columns(c.values[:, None])[0]]
    if not kept:
        return pd.DataFrame(columns=["factor", "group", "component", "share", "r2"])
    unit = standardise(np.column_stack([c.values for c in kept])).unit
    r = unit.T @ standardise(scores).unit
    rows = [
        (c.name, c.group, f"PC{k + 1}", share[k], r[i, k] ** 2)
        for i, c in enumerate(kept)
        for k in range(scores.shape[1])
    ]
    return pd.DataFrame(rows, columns=["factor", "group", "component", "share", "r2"])
