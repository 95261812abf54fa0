"""hx_best_pairs: honest r of chosen pairs, and benchmarks against least squares."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from hx_best_pairs import benchmark_t, split_half_r, standing
from hx_donors import Genes, Side
from hx_linear import residual_space, standardise
from hx_robustness import adjusted_t, benchmark_r
from hx_scan import Pairs


def test_split_half_r_has_no_winners_curse():
    """Without any link the in-sample r of the best of 200 features is far from 0, the split-half r is 0 on the mean."""
    honest, flattered = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        genes, features = rng.standard_normal((80, 50)), rng.standard_normal((80, 200))
        design = rng.standard_normal((80, 4))
        halves = np.arange(80) < 40
        honest.append(split_half_r(genes, features, design, halves).mean())
        flattered.append(np.abs(standardise(genes).unit.T @ standardise(features).unit).max(axis=1).mean())
    assert np.mean(flattered) > 0.25
    assert abs(np.mean(honest)) < 4 * np.std(honest) / np.sqrt(40)


def test_split_half_r_of_a_planted_pair():
    rng = np.random.default_rng(1)
    genes, features = rng.standard_normal((2000, 3)), rng.standard_normal((2000, 20))
    genes[:, 1] -= features[:, 7]
    found = split_half_r(genes, features, None, rng.permutation(2000) < 1000)
    # Positive: both halves agree, whatever the sign of the association.
    assert found[1] == pytest.approx(np.sqrt(0.5), abs=0.03)
    assert np.abs(found[[0, 2]]).max() < 0.1


def test_what_is_constant_in_a_half_is_not_chosen():
    rng = np.random.default_rng(2)
    genes, features = rng.standard_normal((60, 4)), rng.standard_normal((60, 5))
    halves = np.arange(60) < 30
    features[:30, 0] = 3
    genes[30:, 2] = 1
    found = split_half_r(genes, features, None, halves)
    assert np.isnan(found[2]) and np.isfinite(found[[0, 1, 3]]).all()
    np.testing.assert_array_equal(found, split_half_r(genes, np.delete(features, 0, 1), None, halves))


def test_too_few_donors_in_a_half():
    rng = np.random.default_rng(3)
    design = rng.standard_normal((12, 4))
    assert np.isnan(
        split_half_r(rng.standard_normal((12, 2)), rng.standard_normal((12, 2)), design, np.arange(12) < 6)
    ).all()


def test_benchmark_against_least_squares():
    rng = np.random.default_rng(4)
    n = 150
    age, time = rng.standard_normal((2, n))
    feature = 0.4 * time + rng.standard_normal(n)
    gene = 0.3 * time + 0.4 * feature + rng.standard_normal(n)
    design = pd.DataFrame({"age": age, "time": time, "time^2": time**2})
    left = benchmark_t(gene[:, None], feature[:, None], design, ["time", "time^2"])

    def rss(y, *columns):
        return sm.OLS(y, sm.add_constant(np.column_stack(columns))).fit().ssr

    of_feature = 1 - rss(feature, age, time, time**2) / rss(feature, age)
    of_gene = 1 - rss(gene, feature, age, time, time**2) / rss(gene, feature, age)
    fit = sm.OLS(gene, sm.add_constant(np.column_stack([feature, age, time, time**2]))).fit()
    r = np.array([fit.tvalues[1] / np.sqrt(fit.tvalues[1] ** 2 + fit.df_resid)])
    oracle = adjusted_t(r, fit.df_resid, *benchmark_r(r, np.array([of_feature]), np.array([of_gene])))
    np.testing.assert_allclose(left, oracle, rtol=1e-9)


def test_benchmarks_know_columns_by_any_name_of_hx_factors():
    """A design with SMTSISCH and SMRIN, with other names of the same, and without either."""
    rng = np.random.default_rng(5)
    values, features = rng.standard_normal((60, 3)), rng.standard_normal((60, 4))
    design = pd.DataFrame(rng.standard_normal((60, 4)), columns=["AGE", "SMTSISCH", "SMTSISCH.spline2", "SMRIN"])
    other = {"SMTSISCH": "ischemic_time", "SMTSISCH.spline2": "ischemic_time.spline2", "SMRIN": "RIN"}
    space = residual_space(design.to_numpy(), 60)
    unit, name = standardise(values, space), np.array(["a", "b", "c"])
    pairs = Pairs(np.array([0, 2]), np.array([1, 3]), np.array([0.1, 0.2]))
    told = []
    for columns in (design, design.rename(columns=other), design[["AGE"]]):
        side = Side(np.arange(60), columns, space, Genes(name, name, unit, unit, values))
        told.append(standing(side, features, np.arange(60) < 30, pairs))
    for what, factor in (("t_ischaemia", ["SMTSISCH", "SMTSISCH.spline2"]), ("t_rin", ["SMRIN"])):
        oracle = benchmark_t(values[:, [0, 2]], features[:, [1, 3]], design, factor)
        np.testing.assert_array_equal(told[0][what], oracle)
        np.testing.assert_array_equal(told[1][what], oracle)
        assert np.isnan(told[2][what]).all()
