"""hx_feature_tree and hx_tree_picture: clusters, dendrogram, components."""

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import dendrogram
from sklearn.metrics import adjusted_rand_score

from hx_describe import Candidate
from hx_feature_tree import components, factor_shares, structure, tree_of
from hx_tree_picture import branches, signed_colours, tree_picture


def planted(seed: int = 0, donors: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Ten blocks of 12 correlated features, some mirrored, and 380 dead ones, shuffled; the block of each."""
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(10), 12)
    living = rng.standard_normal((donors, 10))[:, block] + 0.3 * rng.standard_normal((donors, 120))
    living *= rng.choice([-1.0, 1.0], 120)
    values = np.hstack([living, np.full((donors, 380), 0.1)])
    order = rng.permutation(500)
    return values[:, order], np.r_[block, np.full(380, -1)][order]


def names(count: int) -> np.ndarray:
    return np.array([f"raw_{k:04d}" for k in range(count)], object)


def test_dead_features_and_clusters_are_those_planted():
    values, block = planted()
    found = structure(values, names(500))
    table = found.table
    assert (table["dead"] == "yes").sum() == 380
    assert ((table["dead"] == "yes") == (block < 0)).all()
    living = table["dead"] == "no"
    assert adjusted_rand_score(block[living], table.loc[living, "cluster"]) == 1
    assert table.loc[living, "cluster_size"].eq(12).all()
    assert table["representative"].eq("yes").sum() == 10
    assert table.loc[~living, "cluster"].eq(0).all() and table.loc[~living, "order"].eq(-1).all()
    # Members of a cluster stand together in the order of the dendrogram.
    inside = table[living].sort_values("order")["cluster"].to_numpy()
    assert np.count_nonzero(np.diff(inside)) == 9


def test_effective_number_of_independent_and_of_equal_features():
    rng = np.random.default_rng(1)
    orthogonal = np.linalg.qr(rng.standard_normal((40, 21)) - 0)[0]
    orthogonal = np.linalg.qr(np.column_stack([np.ones(40), orthogonal]))[0][:, 1:]
    assert structure(orthogonal, names(21)).effective == pytest.approx(21)
    same = np.outer(rng.standard_normal(40), np.ones(7)) + 1e-9 * rng.standard_normal((40, 7))
    assert structure(same, names(7)).effective == pytest.approx(1)


def test_matrix_is_that_of_the_representatives_in_the_order_of_its_tree():
    values, _ = planted(2)
    found = structure(values, names(500))
    shown = list(dict.fromkeys(found.matrix["feature"]))
    r = np.corrcoef(values[:, [int(name[4:]) for name in shown]], rowvar=False)
    np.testing.assert_allclose(found.matrix["r"].to_numpy().reshape(10, 10), r, atol=1e-9)
    assert dendrogram(found.tree, no_plot=True)["leaves"] == list(range(10))
    np.testing.assert_allclose(np.sort(found.tree[:, 2]), np.sort(tree_of(r)[:, 2]))


def test_few_features_have_no_tree():
    found = structure(np.random.default_rng(0).standard_normal((20, 2)), names(2))
    assert found.matrix.empty and len(found.tree) == 0 and np.isnan(found.effective)


def test_components_are_those_of_the_standardised_features():
    values, _ = planted(3)
    scores, share = components(values)
    living = values[:, values.std(axis=0) > 1e-9]
    unit = (living - living.mean(axis=0)) / living.std(axis=0, ddof=1)
    left, size, _ = np.linalg.svd(unit, full_matrices=False)
    np.testing.assert_allclose(share, (size**2 / (size**2).sum())[:5])
    np.testing.assert_allclose(np.abs(scores), np.abs(left[:, :5]) * np.sqrt(79), atol=1e-8)
    assert ((scores**3).sum(axis=0) >= 0).all()


def test_shares_of_factors_are_squared_correlations():
    rng = np.random.default_rng(4)
    scores, _ = components(rng.standard_normal((50, 6)))
    x, constant = rng.standard_normal(50), np.ones(50)
    known = [Candidate("x", "donor", False, x, x), Candidate("constant", "donor", False, constant, constant)]
    found = factor_shares(scores, np.full(5, 0.2), known)
    expected = [np.corrcoef(x, scores[:, k])[0, 1] ** 2 for k in range(5)]
    assert found["factor"].eq("x").all()
    np.testing.assert_allclose(found["r2"], expected)


def test_branches_are_those_that_scipy_draws():
    values, _ = planted(5)
    tree = structure(values, names(500)).tree
    drawn = dendrogram(tree, no_plot=True)
    expected = sorted(
        tuple(np.round([(x[0] - 5) / 10, (x[2] - 5) / 10, y[1]], 9))
        for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    )
    found = sorted(tuple(np.round([min(a, b), max(a, b), joint], 9)) for a, b, _, _, joint in branches(tree))
    np.testing.assert_allclose(found, expected)


def test_picture_of_the_matrix():
    values, _ = planted(6)
    found = structure(values, names(500))
    tree = pd.DataFrame(found.tree, columns=["left", "right", "height", "leaves"])
    picture = tree_picture(tree, found.matrix)
    np.testing.assert_array_equal(picture, tree_picture(tree, found.matrix))
    assert (picture == signed_colours(np.array(1.0))).all(axis=-1).sum() > 10 * 100


def test_colours_of_correlations():
    rgb = signed_colours(np.array([-1.0, 0.0, 1.0]))
    assert rgb.tolist() == [[45, 0, 110], [255, 255, 255], [160, 70, 0]]
