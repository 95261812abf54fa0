"""hx_reml against direct maximisation, statsmodels' mixed model and its drawn null."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.optimize import minimize_scalar
from variance_made import cohort

from hx_linear import residual_space
from hx_reml import kernel_share, null_shares, pooled_share
from hx_variance import gram, principal, rotated_kernel


def parts(n: int = 60, confounders: int = 2, seed: int = 0):
    drawn = cohort(seed, n, confounders, shared=0.3, technical=0.2)
    space = residual_space(drawn.covariates, n)
    return space, rotated_kernel(space, gram(drawn.features)), rotated_kernel(space, gram(drawn.genes)), drawn


def test_h_against_direct_maximisation():
    """The restricted likelihood of each gene by scipy, from the covariance matrix itself."""
    space, image, _, drawn = parts()
    pcs = principal(image)
    values = space.rotate(drawn.genes[:, :12])
    found = kernel_share((pcs.scores.T @ values).T ** 2, pcs.variance)
    kernel = image / np.trace(image) * space.dim

    def loss(h: float, y: np.ndarray) -> float:
        matrix = h * kernel + (1 - h) * np.eye(space.dim)
        return np.linalg.slogdet(matrix)[1] + space.dim * np.log(y @ np.linalg.solve(matrix, y))

    for h, y in zip(found, values.T, strict=True):
        oracle = minimize_scalar(loss, bounds=(0, 0.999), args=(y,), method="bounded", options={"xatol": 1e-8})
        assert h == pytest.approx(oracle.x if oracle.fun < loss(0.0, y) else 0, abs=2e-3)


def test_h_against_a_mixed_model():
    """A kernel of groups: the variance ratio of statsmodels' MixedLM, covariate and all, by REML."""
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(12), 6)
    age = rng.normal(size=72)
    y = 0.9 * rng.normal(size=12)[group] + 0.5 * age + rng.normal(size=72)
    fit = sm.MixedLM(y, np.column_stack([np.ones(72), age]), group).fit(reml=True)
    space = residual_space(age[:, None], 72)
    kernel = rotated_kernel(space, (group[:, None] == group).astype(float))
    pcs, mean = principal(kernel), np.trace(kernel) / space.dim
    found = kernel_share((pcs.scores.T @ space.rotate(y[:, None])).T ** 2, pcs.variance)[0]
    ratio = float(np.asarray(fit.cov_re).item()) / fit.scale
    assert found == pytest.approx(ratio * mean / (ratio * mean + 1), abs=2e-3)


def test_pooled_share_of_one_gene_is_its_own():
    space, image, _, drawn = parts()
    pcs = principal(image)
    y = space.rotate(drawn.genes[:, :1])
    alone = kernel_share((pcs.scores.T @ y).T ** 2, pcs.variance)[0]
    assert pooled_share(y @ y.T, pcs.scores, pcs.variance) == pytest.approx(alone, rel=1e-9)


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    squares, variance = rng.chisquare(1, (50, 30)), np.sort(rng.exponential(size=30))[::-1]
    whole = kernel_share(squares, variance)
    monkeypatch.setattr("hx_reml.CHUNK", 7)
    np.testing.assert_allclose(kernel_share(squares, variance), whole, rtol=1e-12)


def test_a_kernel_of_low_rank():
    """One feature, 39 directions without variance: h of what follows the feature nears 1, of noise 0."""
    rng = np.random.default_rng(0)
    variance = np.r_[1.0, np.zeros(39)]
    follows, noise = np.r_[2000.0, rng.chisquare(1, 39)], np.r_[0.01, rng.chisquare(1, 39)]
    found = kernel_share(np.stack([follows, noise]), variance)
    assert found[0] > 0.9 and found[1] == 0


def test_null_means_and_its_95_percent_point():
    """Of nulls, the mean h of genes is at its null mean, and the pooled h passes the 95 % point in one of twenty."""
    passed, means, expected = 0, [], []
    for seed in range(400):
        drawn = cohort(seed, 40, 2, genes=60, features=30)
        space = residual_space(drawn.covariates, 40)
        image, expression = (rotated_kernel(space, gram(v)) for v in (drawn.features, drawn.genes))
        pcs, rng = principal(image), np.random.default_rng([seed, 1])
        null = null_shares(pcs.variance, principal(expression).variance, 500, rng)
        passed += pooled_share(expression, pcs.scores, pcs.variance) > np.quantile(null, 0.95)
        means.append(kernel_share((pcs.scores.T @ space.rotate(drawn.genes)).T ** 2, pcs.variance).mean())
        expected.append(null_shares(pcs.variance, None, 200, rng).mean())
    low, high = stats.binom.interval(0.999, 400, 0.05)
    assert low <= passed <= high
    assert np.mean(means) == pytest.approx(np.mean(expected), abs=0.01)
    assert np.mean(expected) > 0.02


def test_planted_share_on_the_kernel():
    """.3 of the variance on factors that hold .7 of the image's: h nears .3 / .7, whatever the number of PCs."""
    found = []
    for seed in range(10):
        drawn = cohort(seed, 120, shared=0.3, features=2000)
        space = residual_space(None, 120)
        image, expression = (rotated_kernel(space, gram(v)) for v in (drawn.features, drawn.genes))
        found.append(pooled_share(expression, principal(image).scores, principal(image).variance))
    assert pd.Series(found).mean() == pytest.approx(0.3 / 0.7, abs=0.05)
