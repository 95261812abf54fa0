"""hx_pvalue against 60-digit references, scipy, and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from hx_pvalue import PTable, critical_r, detectable_r, lambda_gc, log_p

# (dof, |r|, -log10 p): I_{(1-r)(1+r)}(dof/2, 1/2) by mpmath with 60 digits, r taken as the nearest double.
REFERENCE = [
    (1, 0.001, 0.00027656854415005246),
    (1, 0.3, 0.093650608416248299),
    (1, 0.9999, 2.0456012600111511),
    (2, 0.05, 0.022276394711152235),
    (2, 0.95, 1.3010299956639808),
    (5, 0.05, 0.038472871675608389),
    (5, 0.9, 2.2402177294920489),
    (5, 0.9999, 9.7165694261068771),
    (34, 0.05, 0.11231117268443222),
    (34, 0.3, 1.1222994262234638),
    (34, 0.95, 18.032931660163324),
    (34, 0.9999, 63.749810493600204),
    (198, 0.001, 0.0048971193744378177),
    (198, 0.3, 4.7986824015371247),
    (198, 0.979, 137.98997387657503),
    (447, 0.05, 0.53696550222046831),
    (447, 0.3, 10.064111213490012),
    (447, 0.9, 162.57649588176829),
    (447, 0.979, 310.14263383835254),
    (447, 0.9999, 828.14806268702386),
    (836, 0.05, 0.82934650390889909),
    (836, 0.3, 18.162203307901775),
    (836, 0.995, 838.01152723021328),
    (836, 0.9999, 1547.7377884160754),
]


@pytest.mark.parametrize(("dof", "r", "expected"), REFERENCE)
def test_nlog10p_against_60_digits(dof, r, expected):
    both_signs = PTable(dof).nlog10p(np.array([r, -r]))
    np.testing.assert_allclose(both_signs, expected, rtol=1e-9)
    np.testing.assert_allclose(-log_p(np.array([r]), dof) / math.log(10), expected, rtol=1e-12)


@pytest.mark.parametrize("dof", [1, 2, 3, 10, 34, 198, 447, 836, 1000])
def test_table_equals_the_function_everywhere(dof):
    """Off the nodes too, to 1e-9 in p, on both sides of the end of the table."""
    r = np.concatenate([np.random.default_rng(dof).uniform(0, 1, 50_000), [0, 0.95, np.nextafter(0.95, 0), 1]])
    assert np.abs(np.expm1(PTable(dof).log_p(r) - log_p(r, dof))).max() < 1e-9


def test_p_against_scipy_pearsonr():
    rng = np.random.default_rng(0)
    for n in (3, 4, 12, 200):
        table = PTable(n - 2)
        for _ in range(50):
            x = rng.normal(size=n)
            y = rng.normal(size=n) + rng.uniform(0, 2) * x
            r, p = stats.pearsonr(x, y)
            assert table.p(np.array([r]))[0] == pytest.approx(p, rel=1e-9)


def test_perfect_correlation_has_a_finite_cap():
    """|r| = 1, and 1 + 2e-16 as rounding leaves it, get the p of the largest double below 1."""
    for dof in (1, 10, 447, 836):
        cap = PTable(dof).nlog10p(np.array([1.0, -1.0, 1 + 2.3e-16]))
        assert np.isfinite(cap).all() and len(set(cap)) == 1
        assert cap[0] > PTable(dof).nlog10p(np.array([0.9999999]))[0]
    assert PTable(836).p(np.array([1.0]))[0] == 0


def test_zero_correlation_and_shape():
    p = PTable(20).p(np.zeros((2, 3)))
    assert p.shape == (2, 3) and (p == 1).all()
    assert PTable(20).p(np.float64(0.5)).shape == ()
    assert PTable(20).p(np.empty(0)).shape == (0,)


def test_p_falls_with_r():
    p = PTable(100).log_p(np.linspace(0, 1, 100_001))
    assert (np.diff(p) < 0).all()


def test_no_degree_of_freedom():
    with pytest.raises(ValueError, match="degrees of freedom"):
        PTable(0)


@pytest.mark.parametrize("dof", [3, 6, 34, 447])
@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-9])
def test_critical_r_inverts_p(dof, alpha):
    assert PTable(dof).p(np.array([critical_r(alpha, dof)]))[0] == pytest.approx(alpha, rel=1e-8)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [(83, (0.65, 0.70, 0.47)), (97, (0.61, 0.65, 0.43)), (277, (0.37, 0.41, 0.25)), (449, (0.29, 0.32, 0.20))],
)
def test_detectable_r_against_published_anchors(samples, expected):
    """80 % power with 15 covariates at .05 / 1e6, .05 / 41e6 and 1e-3, two digits."""
    dof = samples - 17
    for alpha, anchor in zip((0.05 / 1e6, 0.05 / 41e6, 1e-3), expected, strict=True):
        assert detectable_r(alpha, dof) == pytest.approx(anchor, abs=0.0061)


@pytest.mark.parametrize("dof", [6, 10, 34, 447])
def test_detectable_r_against_scipy_noncentral_t(dof):
    for alpha in (0.05, 1e-4, 1e-9):
        rho = detectable_r(alpha, dof)
        noncentrality = rho * math.sqrt((dof + 1) / (1 - rho**2))
        power = stats.nct.sf(stats.t.isf(alpha / 2, dof), dof, noncentrality)
        assert power == pytest.approx(0.8, abs=1e-4)


def test_detectable_r_against_simulation():
    """A feature of fixed values and sum of squares n - 1, genes of variance 1 that correlate with it by rho."""
    rng = np.random.default_rng(1)
    n, rho = 40, detectable_r(1e-3, 38)
    x = stats.zscore(rng.normal(size=n), ddof=1)
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(20_000, n))
    y = y - y.mean(1, keepdims=True)
    r = y @ x / np.sqrt((n - 1) * (y**2).sum(1))
    assert np.mean(np.abs(r) >= critical_r(1e-3, 38)) == pytest.approx(0.8, abs=0.012)


def test_lambda_of_uniform_p_is_one():
    assert lambda_gc(0.5) == pytest.approx(1, abs=1e-12)
    assert lambda_gc(0.3) == pytest.approx(stats.chi2.isf(0.3, 1) / stats.chi2.median(1), rel=1e-12)
