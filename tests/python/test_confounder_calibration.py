"""Calibration of the confounders' numbers: p under simulated nulls, shares of random and of planted factors.

Seeds are 0..N-1, never chosen. Every share of p < .05 is judged by its binomial 99.9 % interval.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hx_assumptions import lack_of_fit, unequal_variance
from hx_confounder_tables import gene_table
from hx_design import Term, model_columns, with_roles, without_collinear
from hx_directions import Block, orthonormal_blocks
from hx_factor_tests import column_tests, ledger_p, orders
from hx_fdr import bh
from hx_ledger import kernel_of, shares
from hx_linear import residual_space, standardise
from hx_pvalue import PTable, lambda_gc
from hx_splines import natural_spline

NULLS = 1000


def calibrated(p: np.ndarray, level: float = 0.05) -> bool:
    """Whether the share of p < level lies in the binomial 99.9 % interval."""
    low, high = stats.binom.interval(0.999, len(p), level)
    return low <= np.count_nonzero(p < level) <= high


def kernel(y: np.ndarray) -> np.ndarray:
    return kernel_of(y - y.mean(axis=0))


def correlated(rng: np.random.Generator, n: int, columns: int = 40) -> np.ndarray:
    """Columns with a few strong components."""
    return rng.normal(size=(n, 4)) @ rng.normal(size=(4, columns)) + rng.normal(size=(n, columns))


def outlying(rng: np.random.Generator, n: int, columns: int = 40) -> np.ndarray:
    """Heavy-tailed columns of slides of which some lie far out."""
    return np.exp(correlated(rng, n, columns) / 2) * np.where(rng.random(n) < 0.03, 5, 1)[:, None]


def rare(rng: np.random.Generator, n: int) -> np.ndarray:
    """A level of six donors."""
    return (rng.permutation(n) < 6)[:, None].astype(float)


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=(n, 1))


LEDGER = [
    (confounders, inside, response, factor)
    for confounders in (0, 8, 51)
    for inside in (True, False)
    for response, factor in ((correlated, normal), (outlying, rare))
    # Fifty-one are dear: the easier response where the factor is in the model, the harder one outside it.
    if confounders < 51 or inside == (response is correlated)
]


@pytest.mark.slow
@pytest.mark.parametrize(("confounders", "inside", "response", "factor"), LEDGER)
def test_p_of_the_ledger(confounders, inside, response, factor):
    """A factor without effect, beside 0, 8 or 51 that have one: by itself and beyond the rest.

    Factors are drawn apart from each other, so that by itself it has no effect either.
    """
    n, p = 90, []
    for seed in range(NULLS):
        rng = np.random.default_rng(seed)
        others = [rng.normal(size=(n, 1)) for _ in range(confounders)]
        y = response(rng, n)
        if others:
            y = y + 0.3 * np.hstack(others) @ rng.normal(size=(confounders, y.shape[1]))
        columns = orthonormal_blocks([factor(rng, n), *others])
        own = np.array([0])
        model = np.arange(0 if inside else 1, confounders + 1)
        block = Block(own, own if inside else own[:0])
        p.append(ledger_p([kernel(y)], columns, [block], model, seed, "null")[0, :, 0])
    assert calibrated(np.array(p)[:, 0])
    assert calibrated(np.array(p)[:, 1])


def term(name: str, columns: np.ndarray) -> Term:
    labels = tuple(f"{name}{i}" for i in range(len(columns.T)))
    kept = np.ones(len(labels), bool)
    return Term(name, "donor", "numeric", "as given", 0, "", columns, labels, 1, 0, "base", "", kept)


@pytest.mark.parametrize("confounders", [0, 8, *(pytest.param(k, marks=pytest.mark.slow) for k in (15, 51))])
def test_p_of_genes(confounders):
    """O20: 20 cohorts x 10,000 genes of which the first of 1 + 0, 8, 15 or 51 factors explains nothing, n = 90."""
    alone, beyond, lambdas = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        terms = [term(f"f{k}", rng.normal(size=(90, 1))) for k in range(confounders + 1)]
        found = column_tests(standardise(rng.normal(size=(90, 10000))).unit, terms)[0]
        alone.append(found["p"])
        beyond.append(found["p_unique"])
        lambdas.append(lambda_gc(float(np.median(found["p_unique"]))))
    for p in (np.concatenate(alone), np.concatenate(beyond)):
        # Genes share the donors' factor, but are independent of each other given it.
        assert calibrated(p)
        assert 0.8 < np.mean(p < 1e-3) / 1e-3 < 1.25
        assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert np.mean(lambdas) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("confounders", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (8, 51))])
def test_p_of_components(confounders):
    """A factor without effect on the first component of normal features, beside 0, 8 or 51 that have one; n = 90."""
    p = []
    for seed in range(NULLS):
        rng = np.random.default_rng(seed)
        terms = [term(f"f{k}", rng.normal(size=(90, 1))) for k in range(confounders + 1)]
        y = correlated(rng, 90, 12) + 0.3 * sum((t.columns @ rng.normal(size=(1, 12)) for t in terms[1:]), 0.0)
        score = np.linalg.svd(y - y.mean(axis=0), full_matrices=False)[0][:, :1]
        found = column_tests(score, terms)[0]
        p.append((found["p"][0], found["p_unique"][0]))
    assert calibrated(np.array(p)[:, 0])
    assert calibrated(np.array(p)[:, 1])


def test_degrees_of_freedom_of_residuals():
    """T1: with n - 2 in place of n - 2 - k, null genes beyond 51 confounders at n = 83 come out 50 times at 1e-4."""
    tail, right = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        space = residual_space(rng.normal(size=(83, 51)), 83)
        r = standardise(rng.normal(size=(83, 1)), space).unit.T @ standardise(rng.normal(size=(83, 2000)), space).unit
        tail.append(np.mean(PTable(81).p(r) < 1e-3))
        right.append(np.mean(PTable(space.dim - 1).p(r) < 1e-3))
    assert np.mean(tail) > 20e-3
    assert 0.6e-3 < np.mean(right) < 1.5e-3


@pytest.mark.slow
@pytest.mark.parametrize("confounders", [0, 8, 51])
@pytest.mark.parametrize("factor", ["number", "level"])
def test_p_of_the_assumptions(confounders, factor):
    """Lack of fit of a straight factor and equal variances, beside 0, 8 or 51 others, n = 90."""
    fit, variance = [], []
    for seed in range(NULLS):
        rng = np.random.default_rng(seed)
        own = rng.gamma(2, size=(90, 1)) if factor == "number" else rare(rng, 90)
        matrix = np.hstack([own, rng.normal(size=(90, confounders))])
        score = 0.8 * own[:, 0] + rng.normal(size=90)
        space = residual_space(matrix, 90)
        fit.append(lack_of_fit(score, term("f", own), matrix))
        variance.append(unequal_variance(score, space, own, orders(seed, "null", space.dim, 199)))
    assert calibrated(np.array(variance))
    if factor == "number":
        assert calibrated(np.array(fit))
    else:
        assert np.isnan(fit).all()


def test_assumptions_that_fail_are_found():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    matrix = np.hstack([x, rng.normal(size=(300, 5))])
    space = residual_space(matrix, 300)
    order = orders(1, "test", space.dim)
    assert lack_of_fit(x[:, 0] ** 2 + rng.normal(size=300), term("f", x), matrix) < 1e-6
    assert unequal_variance(np.exp(0.5 * x[:, 0]) * rng.normal(size=300), space, x, order) <= 0.01
    bent = natural_spline(x[:, 0])
    assert lack_of_fit(bent @ [1, 2, -2] + 0.1 * rng.normal(size=300), term("f", bent[:, :1]), matrix) < 1e-9


@pytest.mark.parametrize(("n", "factors"), [(70, 1), (70, 8), pytest.param(230, 51, marks=pytest.mark.slow)])
def test_random_factors_explain_nothing(n, factors):
    """T3: k/(n-1) in the sample; nothing adjusted, not more than nothing cross-validated; 100 cohorts."""
    found = {"r2": [], "adjusted": [], "cv": [], "null": []}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        parts = [rng.normal(size=(n, 1)) for _ in range(factors)]
        model = np.arange(factors)
        blocks = [Block(model[[i]], model[[i]]) for i in range(factors)]
        y = correlated(rng, n)
        got = shares([kernel(y)], orthonormal_blocks(parts), blocks, model, rng.integers(0, 5, n), np.arange(n) % 20)[0]
        for name, values in found.items():
            values.append(getattr(got, name))
    mean = {name: np.mean(values, axis=0) for name, values in found.items()}
    assert mean["r2"][0, -1] == pytest.approx(factors / (n - 1), abs=0.012)
    assert mean["adjusted"][0, -1] == pytest.approx(0, abs=0.015)
    assert mean["cv"][0, -1] < 0.005
    single = slice(None, -1)
    assert np.mean(mean["adjusted"][:, single]) == pytest.approx(0, abs=0.004)
    assert -2.5 / (n - factors) - 0.01 < np.mean(mean["cv"][0, single]) < 0.004
    # What is expected of a factor without effect, by itself and beyond the rest.
    np.testing.assert_allclose(mean["r2"][:, single].mean(axis=1), mean["null"][:, single].mean(axis=1), rtol=0.12)


@pytest.mark.parametrize("n", [70, *(pytest.param(n, marks=pytest.mark.slow) for n in (130, 230))])
def test_planted_shares_are_recovered(n):
    """One factor of .30 among eight, 200 cohorts: adjusted and cross-validated shares within .05 in the mean.

    90 % of the jackknife's intervals hold the truth: of the factor alone, beyond the others, of the model, of a factor
    without effect.
    """
    adjusted, cv, held, plug = [], [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        parts = [rng.normal(size=(n, 1)) for _ in range(8)]
        slope = rng.normal(size=(1, 40))
        slope *= np.sqrt(0.30 * 40 / (slope**2).sum())
        y = parts[3] @ slope + np.sqrt(0.70) * rng.normal(size=(n, 40))
        model = np.arange(8)
        blocks = [Block(model[[i]], model[[i]]) for i in range(8)]
        got = shares([kernel(y)], orthonormal_blocks(parts), blocks, model, rng.integers(0, 5, n), np.arange(n) % 20)[0]
        adjusted.append(got.adjusted[:, 3])
        cv.append(got.cv[:, 3])
        inside = [(got.low <= truth) & (got.high >= truth) for truth in (0.0, 0.30)]
        held.append([*inside[1][:, 3], inside[1][0, -1], *inside[0][:, 5]])
        plug.append(got.r2[0, -1])
    np.testing.assert_allclose(np.mean(adjusted, axis=0), 0.30, atol=0.02)
    np.testing.assert_allclose(np.mean(cv, axis=0), 0.30, atol=0.05)
    assert (np.mean(held, axis=0) >= 0.90).all()
    assert np.mean(plug) > 0.30 + 0.5 * 7 / n


@pytest.mark.slow
@pytest.mark.parametrize("n", [70, 130, 230])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_coverage_of_the_ledgers_intervals(n, share):
    """400 cohorts in which three hidden factors hold .7 of the rest; large shares, and small ones, which are skewed."""
    held = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        parts = [rng.normal(size=(n, 1)) for _ in range(8)]
        slope, hidden = rng.normal(size=(1, 40)), rng.normal(size=(3, 40))
        slope *= np.sqrt(share * 40 / (slope**2).sum())
        hidden *= np.sqrt(0.7 * 40 / (hidden**2).sum())
        rest = rng.normal(size=(n, 3)) @ hidden + np.sqrt(0.3) * rng.normal(size=(n, 40))
        y = parts[3] @ slope + np.sqrt(1 - share) * rest
        model = np.arange(8)
        blocks = [Block(model[[i]], model[[i]]) for i in range(8)]
        got = shares([kernel(y)], orthonormal_blocks(parts), blocks, model, np.zeros(n), np.arange(n) % 20)[0]
        inside = (got.low <= share) & (got.high >= share)
        held.append([*inside[:, 3], inside[0, -1]])
    assert (np.mean(held, axis=0) >= 0.90).all()


def test_a_planted_confounder_is_found_and_little_else():
    """O19: one of eight factors acts on the genes; at q < .05 it is found in each of 50 cohorts, false share <= .1."""
    false = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        parts = [rng.normal(size=(120, 1)) for _ in range(8)]
        y = correlated(rng, 120) + 0.9 * parts[5] @ rng.normal(size=(1, 40))
        model = np.arange(8)
        blocks = [Block(model[[i]], model[[i]]) for i in range(8)]
        p = ledger_p([kernel(y)], orthonormal_blocks(parts), blocks, model, seed, "planted")[0, 1, :-1]
        hits = bh(p) < 0.05
        assert hits[5]
        false.append(1 - 1 / hits.sum())
    assert np.mean(false) <= 0.1


def test_no_component_of_the_expression_is_adjusted_for():
    """T12: where cell composition drives image and genes, adjusting for an expression PC takes every association away.

    The model holds recorded covariates alone, and keeps them.
    """
    rng = np.random.default_rng(0)
    composition, age = rng.normal(size=277), rng.normal(size=277)
    genes = rng.normal(size=(277, 1000))
    genes[:, :800] += composition[:, None]
    feature = composition + 0.5 * rng.normal(size=277)
    pc = np.linalg.svd(genes - genes.mean(axis=0), full_matrices=False)[0][:, :1]

    def hits(columns: np.ndarray) -> int:
        space = residual_space(columns, 277)
        r = standardise(feature[:, None], space).unit.T @ standardise(genes, space).unit
        return int((PTable(space.dim - 1).p(r) < 0.05 / 1000).sum())

    terms, _ = without_collinear(with_roles([term("AGE", age[:, None])], ["default"], ()))
    ours, labels = model_columns(terms, 277)
    assert labels == ["AGE0"]
    assert hits(pc) < 10
    assert hits(ours) > 780


def test_table_of_genes_against_least_squares():
    """r2 and p of each factor, alone and beyond the rest, by F tests of nested models (statsmodels)."""
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    wide = Term("w", "donor", "categorical", "", 0, "", rng.integers(0, 2, (60, 2)).astype(float), ("w1", "w2"), 2, 0,
                "base", "", np.ones(2, bool))  # fmt: skip
    terms = [term("a", rng.normal(size=(60, 1))), wide, term("b", rng.normal(size=(60, 1)))]
    outside = Term(**{**term("o", rng.normal(size=(60, 1))).__dict__, "role": "out"})
    y = rng.normal(size=(60, 3)) + terms[0].columns
    genes = np.array(["G0", "G1", "G2"], dtype=object)
    found = gene_table(standardise(y).unit, genes, genes, [*terms, outside]).set_index(["factor", "gene"])
    for g in range(3):
        full = sm.OLS(y[:, g], sm.add_constant(np.hstack([t.columns for t in terms]))).fit()
        for t in [*terms, outside]:
            one = sm.OLS(y[:, g], sm.add_constant(t.columns)).fit()
            row = found.loc[(t.name, genes[g])]
            assert (row["r2"], row["p"]) == pytest.approx((one.rsquared, one.f_pvalue), rel=1e-8)
            if t is outside:
                more = sm.OLS(y[:, g], sm.add_constant(np.hstack([u.columns for u in [*terms, t]]))).fit()
                gain, p = more.rsquared - full.rsquared, more.compare_f_test(full)[1]
            else:
                rest = sm.OLS(y[:, g], sm.add_constant(np.hstack([u.columns for u in terms if u is not t]))).fit()
                gain, p = full.rsquared - rest.rsquared, full.compare_f_test(rest)[1]
            assert (row["r2_unique"], row["p_unique"]) == pytest.approx((gain, p), rel=1e-8)
    q = pd.Series(bh(found.loc["a", "p"].to_numpy()))
    np.testing.assert_allclose(found.loc["a", "q"], q)
