"""Calibration of p: shares under simulated nulls within their binomial 99.9 % interval, FDR of planted pairs.

Seeds are 0..N-1, never chosen.
"""

import numpy as np
import pytest
from scipy import stats
from test_truth import cohort as cohort_of

from hx_association import associate_pairs
from hx_expression import rank_inverse_normal
from hx_linear import residual_space, standardise
from hx_pvalue import PTable, lambda_gc

NULLS = 2000


def normal_columns(values: np.ndarray) -> np.ndarray:
    """Rank-inverse-normal columns of a (donors, genes) matrix."""
    return rank_inverse_normal(values.T).T


def interval(nulls: int, level: float) -> tuple[float, float]:
    """99.9 % binomial interval of the share of p < level among independent nulls."""
    return tuple(stats.binom.interval(0.999, nulls, level) / np.array(nulls))


def null_p(n: int, feature, gene) -> np.ndarray:
    """(NULLS,) p of one feature and one gene each, drawn independently from seeds 0..NULLS-1."""
    r = []
    for seed in range(NULLS):
        rng = np.random.default_rng(seed)
        x, y = feature(rng, n), gene(rng, n)
        r.append(standardise(x[:, None]).unit[:, 0] @ standardise(normal_columns(y[:, None])).unit[:, 0])
    return PTable(n - 2).p(np.array(r))


FEATURES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: np.maximum(rng.normal(size=n) - 0.5, 0) ** 2 + 1e-9 * rng.normal(size=n),
}
GENES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "log-normal": lambda rng, n: np.exp(1.5 * rng.normal(size=n)),
}


@pytest.mark.parametrize("n", [12, 36, 200])
@pytest.mark.parametrize(("feature", "gene"), [("normal", "normal"), ("heavy tails", "log-normal")])
def test_share_of_small_p(n, feature, gene):
    p = null_p(n, FEATURES[feature], GENES[gene])
    low, high = interval(NULLS, 0.05)
    assert low <= np.mean(p < 0.05) <= high
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    if feature == "normal":
        assert lambda_gc(np.median(p)) == pytest.approx(1, abs=0.12)


def test_tail_of_many_pairs():
    """200 x 1,000 independent pairs in each of 20 seeds at n = 36: p < 1e-3 and p < 1e-4 as often as they should be."""
    counts = {1e-3: 0, 1e-4: 0}
    lambdas, pairs = [], 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = standardise(normal_columns(rng.normal(size=(36, 1000)))).unit
        p = PTable(34).p(y.T @ standardise(rng.normal(size=(36, 200))).unit)
        pairs += p.size
        lambdas.append(lambda_gc(np.median(p)))
        for level in counts:
            counts[level] += np.count_nonzero(p < level)
    assert 0.8 < counts[1e-3] / (1e-3 * pairs) < 1.25
    assert 0.7 < counts[1e-4] / (1e-4 * pairs) < 1.4
    assert np.mean(lambdas) == pytest.approx(1, abs=0.03)


def test_raw_heavy_tails_would_not_be_calibrated():
    """The trap that rank-normal genes avoid: sparse feature x log-normal gene as they are, at n = 36 (T8)."""
    rng = np.random.default_rng(0)
    feature, gene = (f(rng, 36 * 2000).reshape(36, 2000) for f in (FEATURES["heavy tails"], GENES["log-normal"]))
    x = standardise(feature).unit
    tail = {}
    for name, values in (("raw", gene), ("rank-normal", normal_columns(gene))):
        p = PTable(34).p(np.einsum("ij,ij->j", x, standardise(values).unit))
        tail[name] = np.mean(p < 1e-3) / 1e-3
    assert tail["raw"] > 5
    assert tail["rank-normal"] < 2


def cohort(seed: int, n: int, planted: int, r2: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Genes, features and the (genes, features) mask of planted pairs; genes are correlated in blocks of 5."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 40))
    y = 0.6 * np.repeat(rng.normal(size=(n, 60)), 5, axis=1) + 0.8 * rng.normal(size=(n, 300))
    truth = np.zeros((300, 40), bool)
    for k in range(planted):
        y[:, 5 * k] = np.sqrt(r2) * x[:, k] + np.sqrt(1 - r2) * rng.normal(size=n)
        truth[5 * k, k] = True
    return y, x, truth


def test_false_discovery_rate_and_recall_of_planted_pairs():
    """Mean over 50 cohorts at n = 230: FDR at q = .05 at most .07, recall of pairs with R2 = .2 at least .9."""
    false, found = [], []
    for seed in range(50):
        y, x, truth = cohort(seed, 230, 20, 0.2)
        genes, features = standardise(normal_columns(y)), standardise(x)
        hits = associate_pairs(genes.unit, features.unit, 228, 0.05, "bh", top=1, max_hits=10**6).hits
        right = truth[hits.row, hits.column].sum()
        false.append(1 - right / max(1, len(hits.r)))
        found.append(right / truth.sum())
    assert np.mean(false) <= 0.07
    assert np.mean(found) >= 0.9


def test_null_pairings_of_correlated_data():
    """50 seeded pairings of fixed correlated features with fixed correlated genes, n = 36."""
    rng = np.random.default_rng(0)
    y = normal_columns(rng.normal(size=(36, 3)) @ rng.normal(size=(3, 200)) + 2 * rng.normal(size=(36, 200)))
    x = rng.normal(size=(36, 2)) @ rng.normal(size=(2, 64)) + rng.normal(size=(36, 64))
    genes, features, table = standardise(y).unit, standardise(x).unit, PTable(34)
    shares = []
    for seed in range(50):
        order = np.random.default_rng(seed).permutation(36)
        shares.append(np.mean(table.p(genes.T @ features[order]) < 0.05))
    assert 0.04 <= np.mean(shares) <= 0.06


def test_simulated_null_cohorts():
    """50 cohorts of simulate_cohort's mode null with features that show what is drawn: mean share of p < .05."""
    shares = []
    for seed in range(50):
        _, features, expression = cohort_of("null", donors=36, seed=seed)
        genes, image = standardise(expression.layers["int"]).unit, standardise(features.X).unit
        shares.append(np.mean(PTable(34).p(genes.T @ image) < 0.05))
    assert 0.04 <= np.mean(shares) <= 0.06


@pytest.mark.parametrize("covariates", [0, 8, 51])
def test_share_of_small_p_given_covariates(covariates):
    """Feature and gene have nothing in common but the covariates: p of the pair and of the gene over 12 features."""
    n, pair, gene = 90, [], []
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(n, covariates))
        space = residual_space(shared, n)
        x = shared @ rng.normal(size=(covariates, 12)) + rng.normal(size=(n, 12))
        y = shared @ rng.normal(size=(covariates, 1)) + rng.normal(size=(n, 1))
        units = standardise(normal_columns(y), space).unit, standardise(x, space).unit
        tested = associate_pairs(*units, n - 2 - covariates, 0.05, "tree", 12, 12)
        gene.append(tested.gene_p[0])
        pair.append(PTable(n - 2 - covariates).p(units[0].T @ units[1])[0, 0])
    low, high = interval(1000, 0.05)
    for p in (np.array(pair), np.array(gene)):
        assert low <= np.mean(p < 0.05) <= high
    if covariates == 51:
        # The study's degrees of freedom (trap T1).
        t = stats.t.isf(np.array(pair) / 2, n - 2 - covariates)
        wrong = 2 * stats.t.sf(t / np.sqrt(n - 2 - covariates) * np.sqrt(n - 2), n - 2)
        assert np.mean(wrong < 0.05) > high


def test_false_pairs_among_the_genes_found():
    """50 cohorts with planted pairs: the mean share of false pairs over the genes found stays at the level."""
    shares, recall = [], []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(230, 60)), rng.normal(size=(230, 80))
        y[:, :15] = np.sqrt(0.8) * y[:, :15] + np.sqrt(0.2) * x[:, :15]  # R2 .2
        units = standardise(normal_columns(y)).unit, standardise(x).unit
        hits = associate_pairs(*units, 228, 0.05, "tree", 1, 10_000).hits
        true = (hits.row == hits.column) & (hits.row < 15)
        found = np.unique(hits.row)
        shares.append(np.mean([np.mean(~true[hits.row == gene]) for gene in found]) if len(found) else 0)
        recall.append(true.sum() / 15)
    assert np.mean(shares) <= 0.07
    assert np.mean(recall) >= 0.9
