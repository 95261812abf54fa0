"""hx_factor_curve against the study's loop of regressions, and against selection inside each fold by hand."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from hx_factor_curve import Curve, greedy, leading_kernel, permuted_paths
from hx_factor_curve import factor_curve as curve_with_null
from hx_ledger import kernel_of
from hx_variance import adjusted


def made(n: int = 90, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Responses, nine factors of which the last is the sum of the first two, and folds."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 8))
    factors[:, 3] += factors[:, 0]
    y = rng.normal(size=(n, 40))
    y[:, :10] += factors[:, :1] + factors[:, 1:2]
    y[:, 10:15] += factors[:, 4:5]
    return y, np.c_[factors, factors[:, 0] + factors[:, 1]], rng.integers(0, 5, n)


def kernel(y: np.ndarray) -> np.ndarray:
    return kernel_of(y - y.mean(axis=0))


def factor_curve(of: np.ndarray, columns: np.ndarray, folds: np.ndarray) -> Curve:
    """The curve with a null of 5 permutations."""
    order = np.random.default_rng(9).permuted(np.tile(np.arange(len(of)), (5, 1)), axis=1)
    return curve_with_null(of, columns, folds, order)


def study(y: np.ndarray, factors: np.ndarray, steps: int) -> tuple[list[int], list[float]]:
    """Jones 2017, FeatureSelection: PCA to 99.9 %, then greedily the factor whose regression leaves least variance."""
    pca = PCA(n_components=0.999).fit(y)
    scores, variance = pca.transform(y), pca.explained_variance_
    chosen, path = [], []
    for _ in range(steps):
        found = {}
        for j in sorted(set(range(factors.shape[1])) - set(chosen)):
            x = factors[:, [*chosen, j]]
            rest = scores - LinearRegression().fit(x, scores).predict(x)
            found[j] = (variance * (1 - rest.var(axis=0) / scores.var(axis=0))).sum() / variance.sum()
        chosen.append(max(found, key=found.get))
        path.append(found[chosen[-1]])
    return chosen, path


@pytest.mark.parametrize("seed", range(4))
def test_the_study_s_curve(seed):
    """O11: the same factors in the same order, the same cumulative share to 1e-10; the collinear one ends the path."""
    y, factors, folds = made(seed=seed)
    curve = factor_curve(kernel(y), factors, folds)
    chosen, path = study(y, factors, 9)
    assert len(curve.order) == 8
    # The last step of nine adds nothing, whichever of the collinear ones it is.
    at = [i for i, j in enumerate(chosen) if j in curve.order.tolist()]
    assert curve.order.tolist()[:6] == chosen[:6] and len(at) >= 7
    np.testing.assert_allclose(curve.r2, path[:8], atol=1e-10)
    assert path[8] == pytest.approx(path[7], abs=1e-10)
    np.testing.assert_allclose(curve.adjusted, adjusted(np.array(path[:8]), np.arange(1, 9), 89), atol=1e-9)


def test_pcs_of_the_study():
    """PCA(0.999) of scikit-learn, which keeps the component that passes the share."""
    y, _, _ = made()
    y = y * 10.0 ** -np.arange(40)
    scores = PCA(n_components=0.999).fit_transform(y)
    np.testing.assert_allclose(leading_kernel(kernel(y)), scores @ scores.T, atol=1e-10)


def test_the_cross_validated_curve_chooses_inside_each_fold():
    y, factors, folds = made()
    curve = factor_curve(kernel(y), factors, folds)
    for step in range(1, 9):
        left = base = 0.0
        for fold in range(5):
            train = folds != fold
            chosen = study_choice(y[train], factors[train], step)
            design = np.c_[np.ones(len(y)), factors[:, chosen]]
            beta = np.linalg.lstsq(design[train], y[train], rcond=None)[0]
            left += ((y[~train] - design[~train] @ beta) ** 2).sum()
            base += ((y[~train] - y[train].mean(axis=0)) ** 2).sum()
        assert curve.cv[step - 1] == pytest.approx(1 - left / base, abs=1e-10)
    assert np.isnan(factor_curve(kernel(y), factors, np.zeros(90, int)).cv).all()


def study_choice(y: np.ndarray, factors: np.ndarray, steps: int) -> list[int]:
    """The first columns of a greedy selection by the residual sum of squares of all responses."""
    chosen: list[int] = []
    for _ in range(steps):
        rest = {}
        for j in sorted(set(range(factors.shape[1])) - set(chosen)):
            design = np.c_[np.ones(len(y)), factors[:, [*chosen, j]]]
            if np.linalg.matrix_rank(design) == design.shape[1]:
                rest[j] = ((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum()
        chosen.append(min(rest, key=rest.get))
    return chosen


def test_noise_rises_in_the_sample_and_not_for_new_donors():
    """51 random factors, 20 cohorts of 228 donors: k/(n-1) and more in the sample, nothing cross-validated (T3)."""
    first, last, new = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y, factors = rng.normal(size=(228, 120)), rng.normal(size=(228, 51))
        curve = factor_curve(kernel(y), factors, rng.integers(0, 5, 228))
        first.append(curve.r2[0])
        last.append(curve.r2[-1])
        new.append(curve.cv.max())
    assert np.mean(first) > 1.2 / 227
    assert np.mean(last) == pytest.approx(51 / 227, abs=0.01)
    assert np.mean(new) <= 0.01


def test_null_is_the_same_choice_on_permuted_donors():
    """All permutations at once, against the choice itself, donor by donor; the collinear column ends both."""
    y, factors, folds = made()
    leading = leading_kernel(kernel(y))
    order = np.random.default_rng(2).permuted(np.tile(np.arange(90), (6, 1)), axis=1)
    paths = permuted_paths(leading, factors, order)
    assert paths.shape == (6, 9)
    for path, rows in zip(paths, order, strict=True):
        chosen = greedy(leading, factors[rows], np.ones(90, bool)).directions
        gains = np.einsum("ij,ij->j", chosen, leading @ chosen)
        np.testing.assert_allclose(path[:8], np.cumsum(gains) / np.trace(leading), atol=1e-12)
        assert path[8] == pytest.approx(path[7], abs=1e-12)
    curve = curve_with_null(kernel(y), factors, folds, order)
    np.testing.assert_allclose(curve.null, paths[:, :8].mean(axis=0), atol=1e-14)
    assert curve.null[0] < curve.r2[0] / 3


def test_null_of_independent_data():
    """100 cohorts: the curve is its null in the mean, at every step; k/(n-1), what columns in a given order explain,
    is far below it at first (T3, T16)."""
    curves, nulls = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y, factors = rng.normal(size=(80, 40)), rng.normal(size=(80, 20))
        order = rng.permuted(np.tile(np.arange(80), (20, 1)), axis=1)
        curve = curve_with_null(kernel(y), factors, np.zeros(80, int), order)
        curves.append(curve.r2)
        nulls.append(curve.null)
    gap = np.array(curves) - nulls
    assert (np.abs(gap.mean(axis=0)) < 3.5 * gap.std(axis=0, ddof=1) / 10).all()
    chance = np.arange(1, 21) / 79
    assert (np.mean(nulls, axis=0)[:10] > 1.1 * chance[:10]).all()
    assert np.mean(curves, axis=0)[0] > 1.4 * chance[0]
    assert np.mean(nulls, axis=0)[-1] == pytest.approx(chance[-1], abs=0.003)


def test_planted_factors_come_first():
    """Five of 51 with a share of .06 each: the first five in each of 10 cohorts, the noise after them adds nothing."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        factors = rng.normal(size=(230, 51))
        y = np.sqrt(0.7) * rng.normal(size=(230, 300))
        for j in range(5):
            y += np.sqrt(0.06) * np.outer(factors[:, 7 * j], rng.normal(size=300))
        curve = factor_curve(kernel(y), factors, rng.integers(0, 5, 230))
        assert set(curve.order[:5]) == {0, 7, 14, 21, 28}
        assert curve.cv.argmax() == 4
        assert curve.cv[4] == pytest.approx(0.30, abs=0.06)


def test_ends_where_donors_do():
    rng = np.random.default_rng(0)
    y, factors = rng.normal(size=(12, 30)), rng.normal(size=(12, 40))
    curve = factor_curve(kernel(y), factors, np.arange(12) % 3)
    assert len(curve.order) == 11 and curve.r2[-1] == pytest.approx(1, abs=1e-9)
    assert np.isnan(curve.adjusted[-1]) and np.isfinite(curve.cv).all()


def test_the_first_of_equal_factors_is_taken():
    y, factors, _ = made()
    twice = np.c_[factors[:, :2], factors[:, :2]]
    path = greedy(kernel(y), twice, np.ones(90, bool))
    assert set(path.order) == {0, 1}
