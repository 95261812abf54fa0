"""Shared variance on drawn cohorts: p of nulls, mean of the calibrated share, planted shares, coverage (O19, O20; T2).

Seeds are 0..N-1, never chosen. Shares of p at most .05 are judged by the binomial 99.9 % interval.
"""

import numpy as np
import pytest
from scipy import stats
from variance_made import Drawn, cohort, mixed

from hx_linear import residual_space, standardise
from hx_scales import FLIPS, familywise, flip_p, paired_difference
from hx_shared import Frame, rotated, scaled, shared_numbers
from hx_variance import (
    adjusted,
    components_to,
    explained_by,
    gram,
    jackknife,
    leave_out,
    permutation_p,
    permutations,
    permuted_shares,
    principal,
    rotated_kernel,
)

NULLS = 1000
ORDERS = 199


def within(p: list[float], level: float = 0.05) -> bool:
    low, high = stats.binom.interval(0.999, len(p), level)
    return low <= np.count_nonzero(np.array(p) <= level) <= high


def numbers(drawn: Drawn, seed: int, orders: int = 19) -> dict[str, float]:
    """A row as the stage makes it: standardised, adjusted, expression by image PCs."""
    n = len(drawn.genes)
    rng = np.random.default_rng([seed, 1])
    space = residual_space(drawn.covariates, n)
    frame = Frame(space, permutations(rng, orders, space.dim), rng.permutation(n) % 20)
    image, genes = (rotated(scaled(standardise(v), "standardised"), frame, rng) for v in drawn[:2])
    found = shared_numbers(genes, image, frame, 0.999, rng)[0]
    return found | {"published_mean": found["published"] - found["published_null"]}


def null_p(seed: int, n: int, confounders: int, features: int = 30, genes: int = 40) -> float:
    """p of the share that five PCs explain, image and expression linked by the confounders alone."""
    drawn = cohort(seed, n, confounders, technical=0.3 if confounders else 0, features=features, genes=genes)
    space = residual_space(drawn.covariates, n)
    image, expression = (rotated_kernel(space, gram(v)) for v in drawn[:2])
    scores, target = principal(image).scores[:, :5], principal(expression)
    orders = permutations(np.random.default_rng([seed, 1]), ORDERS, space.dim)
    return permutation_p(explained_by(expression, scores)[-1], permuted_shares(target, scores, orders))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "confounders"), [(40, 0), (70, 8), (100, 51)])
def test_p_of_nulls(n, confounders):
    p = [null_p(seed, n, confounders) for seed in range(NULLS)]
    assert within(p)
    assert stats.kstest(p, "uniform").pvalue > 1e-3


@pytest.mark.slow
def test_permuting_residuals_or_not_adjusting_rejects_nulls():
    """The two wrong ways: residuals of donors permuted as they are, and confounders left in."""
    residuals, unadjusted = [], []
    for seed in range(300):
        drawn = cohort(seed, 60, 12, technical=0.3, features=30, genes=40)
        space, rng = residual_space(drawn.covariates, 60), np.random.default_rng([seed, 1])
        image, expression = (gram(space.residuals(v)) for v in drawn[:2])
        scores, target = principal(image).scores[:, :15], principal(expression)
        null = permuted_shares(target, scores, permutations(rng, ORDERS, 60))
        residuals.append(permutation_p(explained_by(expression, scores)[-1], null))
        image, expression = (rotated_kernel(residual_space(None, 60), gram(v)) for v in drawn[:2])
        scores = principal(image).scores[:, :15]
        null = permuted_shares(principal(expression), scores, permutations(rng, ORDERS, 59))
        unadjusted.append(permutation_p(explained_by(expression, scores)[-1], null))
    assert np.mean(np.array(residuals) <= 0.05) > 0.15
    assert np.mean(np.array(unadjusted) <= 0.05) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("n", "cohorts"), [(70, 100), (130, 60), (230, 60), (600, 50)])
@pytest.mark.parametrize("confounders", [0, 8])
def test_calibrated_share_of_nulls_is_zero_and_the_published_one_saturates(n, cohorts, confounders):
    """T2: mean adjusted share within .01 of 0, mean published S within .02 of its null m / (n - 1 - rank C)."""
    share, published, null = [], [], []
    for seed in range(cohorts):
        drawn = cohort(seed, n, confounders, technical=0.3 if confounders else 0, genes=200, features=200)
        space = residual_space(drawn.covariates, n)
        image, expression = (principal(rotated_kernel(space, gram(v))) for v in drawn[:2])
        square = np.square(expression.scores.T @ image.scores)
        published_at = components_to(image.variance, 0.999)
        for m, to in ((5, share), (published_at, published)):
            to.append(expression.variance @ square[:, :m].sum(axis=1) / expression.variance.sum())
        null.append(published_at / space.dim)
    assert abs(adjusted(np.array(share), 5, space.dim).mean()) < 0.01
    assert np.mean(published) == pytest.approx(np.mean(null), abs=0.02)
    assert np.mean(null) > 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "shared", "technical"), [(70, 0.1, 0.3), (130, 0.3, 0.3), (130, 0.0, 0.3), (230, 0.1, 0.3)]
)
def test_planted_shares_are_found(n, shared, technical):
    """Mean of 50 cohorts within .05 of what is planted; the jackknife interval holds the share left in 90 %."""
    found = [numbers(cohort(seed, n, 8, shared, technical, features=300), seed) for seed in range(50)]
    mean = {name: np.mean([row[name] for row in found]) for name in ("technical", "shared", "rest", "published_mean")}
    assert mean["technical"] == pytest.approx(technical, abs=0.05)
    assert mean["shared"] == pytest.approx(shared, abs=0.05)
    assert mean["rest"] == pytest.approx(1 - shared - technical, abs=0.05)
    truth = shared / (1 - technical)
    assert np.mean([row["ci_low"] <= truth <= row["ci_high"] for row in found]) >= 0.9
    assert mean["published_mean"] < 0.5 * truth + 0.02
    assert np.mean([row["components_parallel"] for row in found]) == pytest.approx(5, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "shared"), [(70, 0.0), (70, 0.3), (130, 0.1), (230, 0.3)])
def test_coverage_of_the_jackknife(n, shared):
    found = [numbers(cohort(seed, n, 0, shared, genes=60, features=300), seed) for seed in range(150)]
    assert np.mean([row["ci_low"] <= shared <= row["ci_high"] for row in found]) >= 0.9


def settings(
    seed: int, n: int, shared: float, common: float, count: int = 2, confounders: int = 0
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Features of settings that see the expression's factors equally well: `common` of their factors' variance.

    And the expression, and covariates that act on both sides.
    """
    rng = np.random.default_rng(seed)
    factor, covariates = rng.normal(size=(n, 4)), np.random.default_rng([seed, 2]).normal(size=(n, confounders))
    images = []
    for _ in range(count):
        seen = np.sqrt(common) * factor + np.sqrt(1 - common) * rng.normal(size=(n, 4))
        images.append(np.sqrt(0.6) * mixed(rng, seen, 30) + np.sqrt(0.4) * rng.normal(size=(n, 30)))
    genes = np.sqrt(shared) * mixed(rng, factor, 60) + np.sqrt(0.2) * mixed(rng, rng.normal(size=(n, 5)), 60)
    genes += np.sqrt(0.8 - shared) * rng.normal(size=(n, 60))
    if confounders:
        images = [image + 0.7 * mixed(rng, covariates, 30) for image in images]
        genes += 0.7 * mixed(rng, covariates, 60)
    return images, genes, covariates


@pytest.mark.slow
@pytest.mark.parametrize(("n", "confounders"), [(40, 0), (55, 8), (100, 51)])
def test_familywise_p_of_nulls(n, confounders):
    """Four correlated settings without a link: the smallest family-wise p is at most .05 in one of twenty tissues."""
    p, single = [], []
    for seed in range(NULLS):
        images, genes, covariates = settings(seed, n, 0.0, 0.7, 4, confounders)
        space = residual_space(covariates, n)
        expression = rotated_kernel(space, gram(genes))
        orders = permutations(np.random.default_rng([seed, 1]), ORDERS, space.dim)
        observed, nulls, own = [], [], []
        for m, image in zip((1, 2, 4, 6), images, strict=True):
            scores = principal(rotated_kernel(space, gram(image))).scores[:, :m]
            share, null = explained_by(expression, scores)[-1], permuted_shares(principal(expression), scores, orders)
            observed.append((share - null.mean()) / null.std(ddof=1))
            nulls.append((null - null.mean()) / null.std(ddof=1))
            own.append(permutation_p(share, null))
        p.append(familywise(np.array(observed), np.column_stack(nulls)).min())
        single.append(min(own))
    assert within(p)
    assert np.mean(np.array(single) <= 0.05) > 0.08


def difference_p(seed: int, n: int, shared: float, confounders: int = 0) -> tuple[float, float]:
    """p of flipped signs, and of permuted donors, for the difference of two settings that see equally well, 4 PCs."""
    images, genes, covariates = settings(seed, n, shared, 0.6, 2, confounders)
    space, rng = residual_space(covariates, n), np.random.default_rng([seed, 1])
    groups, orders = rng.permutation(n) % 20, permutations(rng, ORDERS, space.dim)
    target = rotated_kernel(space, gram(genes))
    shares, gaps, nulls = [], [], []
    for image in images:
        pcs = principal(rotated_kernel(space, gram(image)))
        scores = pcs.scores[:, :4]
        share = explained_by(target, scores)
        whole = adjusted(share, np.arange(1, 5), space.dim)
        shares.append(np.vstack([whole, jackknife(target, leave_out(pcs, space.rotation, groups, 4), 4)]))
        gaps.append(share[-1])
        nulls.append(permuted_shares(principal(target), scores, orders))
    found = paired_difference(*shares, rng.choice([-1.0, 1.0], size=(FLIPS, 20)), (space.dim + 1) / n)
    return found["p"], permutation_p(abs(gaps[0] - gaps[1]), np.abs(nulls[0] - nulls[1]))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "confounders"), [(130, 0), (140, 8), (185, 51)])
def test_p_of_a_difference_where_both_share_as_much(n, confounders):
    """Two settings with an equal, real share; permuting donors, which takes both for unlinked, rejects too often."""
    p, permuted = np.array([difference_p(seed, n, 0.3, confounders) for seed in range(500)]).T
    assert within(p)
    assert np.mean(permuted <= 0.05) > 0.15


@pytest.mark.slow
@pytest.mark.parametrize(("n", "shared"), [(50, 0.0), (70, 0.1)])
def test_p_of_a_difference_errs_to_the_safe_side(n, shared):
    """Few donors and no share: of squares noise makes most, so that p is too large and never too small."""
    p, _ = np.array([difference_p(seed, n, shared) for seed in range(400)]).T
    assert np.count_nonzero(p <= 0.05) <= stats.binom.ppf(0.9995, 400, 0.05)


def test_flip_p_against_all_signs():
    """Ten groups: the p of all 1,024 signs; the number of drawn ones is the stage's."""
    replicates = np.random.default_rng(0).normal(0.1, 0.01, 10)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 10)).reshape(10, -1).T
    pseudo = 0.1 + 9 * (replicates.mean() - replicates)
    exact = np.mean(np.abs(signs @ pseudo) >= abs(pseudo.sum()) * (1 - 1e-12))
    drawn = np.random.default_rng(1).choice([-1.0, 1.0], size=(FLIPS, 10))
    assert flip_p(0.1, replicates, drawn) == pytest.approx(exact, abs=0.01)
    assert np.isnan(flip_p(0.1, np.full(10, np.nan), drawn))
