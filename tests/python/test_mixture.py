"""hx_mixture: the exact p of a ratio of quadratic forms against closed forms, Imhof's integral and drawn data."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from hx_mixture import NODES, log_p_ratio, ratios


def spectrum(seed: int = 0, dim: int = 60) -> np.ndarray:
    """Eigenvalues as those of a kernel of correlated features, some 0."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(dim, 40)) * np.exp(-np.arange(40) / 10)
    return np.linalg.eigvalsh(values @ values.T).clip(0)


def imhof(q: float, eigenvalues: np.ndarray) -> float:
    """P(sum (s - q) z^2 > 0), Imhof (1961), equation 3.2, by adaptive quadrature: absolute error about 1e-14."""
    weight = eigenvalues - q

    def integrand(u: float) -> float:
        return np.sin(0.5 * np.sum(np.arctan(weight * u))) / u * np.exp(-0.25 * np.sum(np.log1p((weight * u) ** 2)))

    return 0.5 + quad(integrand, 0, np.inf, limit=2000, epsabs=1e-14, epsrel=1e-12)[0] / np.pi


@pytest.mark.parametrize(("dim", "ones"), [(7, 2), (60, 59), (200, 30), (400, 1)])
def test_beta_distribution(dim, ones):
    """With eigenvalues 1 and 0 the ratio is a beta variable: relative error of p, down to 1e-60."""
    law = stats.beta(ones / 2, (dim - ones) / 2)
    p = np.array([0.999, 0.9, 0.5, 0.1, 1e-3, 1e-8, 1e-20, 1e-60])
    q = law.isf(p)
    q = q[q < 1 - 1e-6]  # where the quantile itself has its digits
    assert len(q) >= 3
    found = log_p_ratio(q, np.repeat([1.0, 0.0], [ones, dim - ones]))
    np.testing.assert_allclose(found, law.logsf(q), rtol=1e-9, atol=1e-10)


def test_imhof():
    """Within 1e-6 of p, relatively, from .99 to 1e-8, as far as the oracle's own 1e-14 allows."""
    values = spectrum()
    q = np.linspace(values.mean() * 0.5, values.mean() * 7, 40)
    oracle = np.array([imhof(each, values) for each in q])
    found = np.exp(log_p_ratio(q, values))
    assert oracle.max() > 0.9 and oracle.min() < 1e-7
    known = oracle > 1e-8
    np.testing.assert_allclose(found[known], oracle[known], rtol=1e-6)
    np.testing.assert_allclose(found, oracle, atol=1e-12)


def test_many_values_are_interpolated():
    values = spectrum(1, 150)
    y = np.random.default_rng(2).normal(size=(150, 4 * NODES))
    y[:, :50] *= (1 + values[:, None]) ** np.linspace(0, 1, 50)  # ratios far in the upper tail
    q = ratios(y, values)
    table = log_p_ratio(q, values)
    each = np.concatenate([log_p_ratio(part, values) for part in np.array_split(q, 8)])
    assert each.min() < np.log(1e-20)
    np.testing.assert_allclose(np.expm1(table - each), 0, atol=1e-8)


def test_uniform_under_the_null():
    values = spectrum(3)
    p = np.exp(log_p_ratio(ratios(np.random.default_rng(4).normal(size=(60, 5000)), values), values))
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_scale_and_shift_change_nothing():
    values = spectrum(5)
    q = np.quantile(ratios(np.random.default_rng(6).normal(size=(60, 100)), values), [0.1, 0.9])
    np.testing.assert_allclose(log_p_ratio(1e6 * q, 1e6 * values), log_p_ratio(q, values), rtol=1e-9)
    np.testing.assert_allclose(log_p_ratio(q + 3, values + 3), log_p_ratio(q, values), rtol=1e-9)


def test_ends():
    """Equal eigenvalues tell nothing; a ratio at an end, or past it by rounding, has a finite log p."""
    assert (log_p_ratio(np.full(3, 2.0), np.full(9, 2.0)) == 0).all()
    values = spectrum(7)
    ends = log_p_ratio(np.array([values[0], values[-1], values[-1] * (1 + 1e-15)]), values)
    assert np.isfinite(ends).all() and ends[0] > np.log(0.999) and (ends[1:] < np.log(1e-50)).all()
    assert len(log_p_ratio(np.empty(0), values)) == 0
    with pytest.raises(ValueError, match="finite"):
        log_p_ratio(np.array([np.nan]), values)
    with pytest.raises(ValueError, match="5 eigenvalues"):
        log_p_ratio(np.array([1.0]), np.arange(4.0))
