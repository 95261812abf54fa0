"""hx_splines against scipy and R's splines::ns, and what it does with few values."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from hx_splines import KNOTS, natural_spline


def projection(columns: np.ndarray) -> np.ndarray:
    q = np.linalg.qr(np.column_stack([np.ones(len(columns)), columns]))[0]
    return q @ q.T


@pytest.mark.parametrize("seed", range(5))
def test_same_curves_as_scipy(seed):
    """Every natural cubic spline through the knots, straight beyond them, is a combination of the columns."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2, size=120) * 300
    knots = np.quantile(x, KNOTS)
    spline = CubicSpline(knots, rng.normal(size=4), bc_type="natural")
    inside = np.clip(x, knots[0], knots[-1])
    y = spline(inside) + spline(inside, 1) * (x - inside)
    np.testing.assert_allclose(projection(natural_spline(x)) @ y, y, atol=1e-10)
    assert np.linalg.matrix_rank(natural_spline(x)) == 3


def test_fit_of_r():
    """R 4.2.2: deviance and fitted values of lm(y ~ ns(x, knots, Boundary.knots)) at the same knots."""
    i = np.arange(1, 41)
    x = np.sin(i * 1.7) * 3 + np.cos(i**1.1)
    y = np.exp(x / 3) + np.sin(i * 5.1)
    fitted = projection(natural_spline(x)) @ y
    assert ((y - fitted) ** 2).sum() == pytest.approx(14.687583424796902, rel=1e-12)
    r = [2.8367276855366326, 0.19775229709755093, 0.76237947953272489, 1.9739621561419518, 2.7808694401352567]
    np.testing.assert_allclose(fitted[:5], r, rtol=1e-11)


def test_straight_beyond_the_outer_knots():
    x = np.linspace(0, 10, 201)
    basis = natural_spline(x)
    assert basis.shape == (201, 3)
    for part in (x < np.quantile(x, KNOTS[0]), x > np.quantile(x, KNOTS[-1])):
        np.testing.assert_allclose(np.diff(basis[part], 2, axis=0), 0, atol=1e-10)
    assert np.abs(np.diff(basis[:, 1], 2)).max() > 1e-4


def test_scale_and_place_do_not_matter():
    x = np.random.default_rng(0).normal(size=50)
    np.testing.assert_allclose(natural_spline(x * 1e4 + 1e6), natural_spline(x), atol=1e-8)


def test_few_values_bend_less():
    assert natural_spline(np.repeat([1.0, 2.0], 20)).shape == (40, 1)
    assert natural_spline(np.repeat([1.0, 2.0, 3.0], 20)).shape == (60, 2)
    with pytest.raises(ValueError, match="constant"):
        natural_spline(np.ones(9))
