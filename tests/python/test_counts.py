"""TMM factors and CPM against edgeR."""

import numpy as np
import pandas as pd
import pytest

from hx_counts import cpm, tmm_factors

# edgeR 3.40.2, R 4.2.2 (Debian 12: apt-get install r-bioc-edger), options(digits = 17):
#   g <- 0:299; s <- 0:6
#   x <- outer(g, s, function(g, s) (((g*7919 + s*104729 + g*s*31) %% 997) * (1 + g %% 10)) %/% (1 + (g*s) %% 5))
#   x[outer(g, s, function(g, s) (g + 3*s) %% 7 == 0)] <- 0
#   x[1:15, 3] <- x[1:15, 3] * 60; x[, 5] <- x[, 5] %/% 8; x[101:110, ] <- 0
#   d <- calcNormFactors(DGEList(x), method = "TMM"); d$samples$norm.factors; cpm(d)[c(2, 150, 300), c(1, 3, 5)]
FACTORS = [
    *(1.07794554517112284, 1.04267103738681555, 0.71800954740530565, 1.14201792963016846, 1.05442509184256106),
    *(1.03430221280377910, 0.99492315945183318),
]
CPM = [
    [2556.7043307975482, 0.0, 305.76596705943956],
    [6527.7557382065061, 7127.0846316890174, 0.0],
    [12280.3404825009893, 5014.9754973220033, 4280.72353883215328],
]
REAL = [
    *(1.29386374174375640, 0.22563015216074481, 0.16666353501270886, 2.41010759108625638, 2.21560612444123040),
    *(2.34174504935168715, 1.19559184480297609, 1.37765581369751944, 1.53345698606810044, 0.96126522321410623),
    *(2.29931528540492502, 0.83634543709550779, 0.89224607586163807, 1.39961054632867610, 2.47853184800789395),
    *(0.55940398472756903, 0.67327778401446603, 0.30197863399338198),
]


def counts() -> np.ndarray:
    g, s = np.arange(300)[:, None], np.arange(7)[None]
    x = (((g * 7919 + s * 104729 + g * s * 31) % 997) * (1 + g % 10)) // (1 + (g * s) % 5)
    x = np.where((g + 3 * s) % 7 == 0, 0, x).astype(float)
    x[:15, 2] *= 60
    x[:, 4] //= 8
    x[100:110] = 0
    return x


def test_edger_factors_and_cpm():
    x = counts()
    assert x.sum(axis=0).tolist() == [682151, 271519, 406854, 267109, 37220, 743615, 266552]
    factors = tmm_factors(x)
    assert np.allclose(factors, FACTORS, rtol=1e-14, atol=0)
    found = cpm(x, x.sum(axis=0) * factors)[np.ix_([1, 149, 299], [0, 2, 4])]
    assert np.allclose(found, CPM, rtol=1e-13, atol=0)


# calcNormFactors of the matrix whose columns these are, method = "TMM"
@pytest.mark.parametrize(
    ("columns", "factors"),
    [
        ([[10] * 50, [20] * 50], [1, 1]),
        ([[0, 0, 5, 3], [4, 6, 0, 0]], [1, 1]),  # no gene in common
        (
            [range(1, 41), range(40, 0, -1), [*[0] * 30, *range(1, 11)]],  # ties, an upper quartile of zero
            [0.75291829167096458, 0.75291829167096458, 1.76402324499766472],
        ),
        (
            [[*[0] * 90, *range(1, 11)], [*[0] * 92, *range(3, 11)], [*[0] * 90, *range(10, 0, -1)]],
            [0.98147720628355151, 1.03810089126144857, 0.98147720628355151],
        ),
        ([range(1, 6)], [1]),
    ],
)
def test_edger_at_the_edges(columns, factors):
    assert np.allclose(tmm_factors(np.array([list(c) for c in columns], dtype=float).T), factors, rtol=1e-14, atol=0)


def test_planted_composition_is_undone():
    """A sixth of the genes are 30 times higher in half of the samples: TMM finds the scale of the others."""
    rng = np.random.default_rng(0)
    level, depth = rng.lognormal(5, 1.5, 6000), rng.uniform(0.5, 2, 12)
    true = np.outer(level, depth)
    true[:1000, :6] *= 30
    x = rng.poisson(true).astype(float)
    effective = x.sum(axis=0) * tmm_factors(x)
    assert np.abs(np.log2(effective / depth) - np.log2(effective / depth).mean()).max() < 0.05
    assert np.ptp(np.log2(x.sum(axis=0) / depth)) > 2


def test_real_counts(real_data):
    """59 genes of GTEx, every thousandth sample. The R commands:

    x <- as.matrix(read.delim(gzfile(path), skip = 2, row.names = 1, check.names = FALSE)[, -1])
    calcNormFactors(x[, seq(1, ncol(x), 1000)], method = "TMM")
    """
    (path,) = (real_data / "gtex").glob("*.gct.gz")
    x = pd.read_csv(path, sep="\t", skiprows=2, index_col=0).iloc[:, 1::1000].to_numpy(float)
    assert np.allclose(tmm_factors(x), REAL, rtol=1e-13, atol=0)
