"""hx_robustness against least squares with the confounder in hand."""

import numpy as np
import pytest
import statsmodels.api as sm

from hx_robustness import adjusted_t, benchmark_r, robustness_value


def partial_r2(fit, column: int) -> float:
    t = fit.tvalues[column]
    return t**2 / (t**2 + fit.df_resid)


def drawn(seed: int, strength: float = 0.8):
    rng = np.random.default_rng(seed)
    covariate, hidden = rng.standard_normal((2, 200))
    feature = 0.5 * covariate + strength * hidden + rng.standard_normal(200)
    gene = 0.4 * covariate + strength * hidden + 0.3 * feature + rng.standard_normal(200)
    return covariate, hidden, feature, gene


def fits(covariate, hidden, feature, gene):
    short = sm.OLS(gene, sm.add_constant(np.column_stack([feature, covariate]))).fit()
    long = sm.OLS(gene, sm.add_constant(np.column_stack([feature, covariate, hidden]))).fit()
    of_feature = sm.OLS(feature, sm.add_constant(np.column_stack([hidden, covariate]))).fit()
    r = short.tvalues[1] / np.sqrt(short.tvalues[1] ** 2 + short.df_resid)
    return short, long, of_feature, r


@pytest.mark.parametrize("seed", range(5))
def test_the_t_that_is_left_is_that_of_the_long_regression(seed):
    short, long, of_feature, r = fits(*drawn(seed))
    left = adjusted_t(np.array([r]), short.df_resid, partial_r2(of_feature, 1), partial_r2(long, 3))
    assert left[0] == pytest.approx(long.tvalues[1], rel=1e-9)


def test_a_confounder_of_the_robustness_value_leaves_nothing():
    r, dof = np.array([0.2, -0.5, 0.9]), 150
    value = robustness_value(r, dof)
    np.testing.assert_allclose(adjusted_t(r, dof, value, value), 0, atol=1e-9)
    # At a level: what is left is just not significant.
    value = robustness_value(r, dof, alpha=0.05)
    from scipy.stats import t

    np.testing.assert_allclose(np.abs(adjusted_t(r, dof, value, value))[1:], t.isf(0.025, dof - 1), rtol=1e-9)
    assert robustness_value(np.array([0.1]), dof, alpha=0.05)[0] == 0


def test_the_published_example():
    """Darfur: t 4.18, 783 degrees of freedom: 13.9 %, and 7.6 % at the level of .05 (table 1 of the paper)."""
    t, dof = 4.18445, 783
    r = np.array([t / np.sqrt(t**2 + dof)])
    assert robustness_value(r, dof)[0] == pytest.approx(0.139, abs=5e-4)
    assert robustness_value(r, dof, alpha=0.05)[0] == pytest.approx(0.076, abs=5e-4)
    # A confounder as strong as `female` (partial R2 .009 with exposure, .109 with attitudes): .0092 and .1246.
    with_feature, with_gene = benchmark_r(r, np.array(0.00908), np.array(0.10903))
    assert with_feature[0] == pytest.approx(0.0092, abs=1e-4) and with_gene[0] == pytest.approx(0.1246, abs=3e-4)


def test_a_confounder_that_cannot_exist():
    with_feature, with_gene = benchmark_r(np.array([0.3]), np.array(0.6), np.array(0.2), times=2.0)
    assert np.isnan(with_feature[0]) and np.isnan(with_gene[0])


def test_a_perfect_association():
    assert robustness_value(np.array([0.0]), 50)[0] == 0
    assert robustness_value(np.array([1 - 1e-12]), 50)[0] == pytest.approx(1, abs=1e-5)
