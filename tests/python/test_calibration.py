"""Calibration of p: shares under simulated nulls within their binomial 99.9 % interval, FDR of planted pairs.

Seeds are 0..N-1, never chosen.
"""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from test_truth import cohort as cohort_of

from hx_association import associate_pairs
from hx_donors import usable
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


@pytest.mark.parametrize(("n", "covariates"), [(36, 0), (60, 8), (83, 15), (83, 51)])
def test_tail_of_many_pairs(n, covariates):
    """O20: 200 x 1,000 pairs in each of 20 seeds: p < 1e-3 and 1e-4 as often as they should be, KS, lambda.

    Both sides go with the covariates. With n - 2 degrees of freedom, the study's, 51 covariates fail all of it (T1).
    """
    counts, wrong = {1e-3: 0, 1e-4: 0}, 0
    lambdas, distances, pairs = [], [], 0
    dof = n - 2 - covariates
    for seed in range(20):
        rng = np.random.default_rng(seed)
        c = rng.normal(size=(n, covariates))
        space = residual_space(c, n)
        y, x = (c @ rng.normal(size=(covariates, m)) / 4 + rng.normal(size=(n, m)) for m in (1000, 200))
        r = standardise(normal_columns(y), space).unit.T @ standardise(x, space).unit
        p = PTable(dof).p(r)
        pairs += p.size
        lambdas.append(lambda_gc(np.median(p)))
        distances.append(stats.kstest(p.ravel()[::97], "uniform").pvalue)
        for level in counts:
            counts[level] += np.count_nonzero(p < level)
        wrong += np.count_nonzero(PTable(n - 2).p(r) < 1e-4)
    assert 0.8 < counts[1e-3] / (1e-3 * pairs) < 1.25
    assert 0.7 < counts[1e-4] / (1e-4 * pairs) < 1.4
    assert np.mean(lambdas) == pytest.approx(1, abs=0.03)
    assert min(distances) > 1e-4
    if covariates:
        # 4.5 times with 15 and 184 times with 51 covariates in 83 donors.
        assert wrong / (1e-4 * pairs) > {8: 1.6, 15: 3, 51: 100}[covariates]


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


@pytest.mark.parametrize("covariates", [*(pytest.param(k, marks=pytest.mark.slow) for k in (0, 51)), 8])
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


def test_twenty_planted_genes_are_all_found():
    """O19: 20 genes with r = .6 at n = 230: each found in each of 50 cohorts; mean false share at most .1."""
    false = []
    for seed in range(50):
        y, x, truth = cohort(seed, 230, 20, 0.36)
        units = standardise(normal_columns(y)).unit, standardise(x).unit
        for correction in ("tree", "bh", "bonferroni"):
            hits = associate_pairs(*units, 228, 0.05, correction, top=1, max_hits=10**6).hits
            right = truth[hits.row, hits.column].sum()
            assert right == 20
            false.append(1 - right / len(hits.r))
    assert np.mean(false) <= 0.1


def test_ranks_after_residuals_bring_the_covariates_back():
    """T6: a skewed gene that follows a covariate, made residual and then rank-normal, follows it again."""
    ours, theirs, wrong_p, right_p = [], [], [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        age = rng.normal(size=(100, 1))
        gene = np.exp(1.5 * age + rng.normal(size=(100, 1)))
        space = residual_space(age, 100)
        feature = standardise(age + 0.5 * rng.normal(size=(100, 1))).unit
        unit = standardise(age).unit[:, 0]
        before = standardise(normal_columns(gene), space).unit[:, 0]
        after = standardise(normal_columns(space.residuals(gene))).unit[:, 0]
        ours.append(abs(before @ unit))
        theirs.append(abs(after @ unit))
        right_p.append(PTable(97).p(before @ standardise(feature, space).unit)[0])
        wrong_p.append(PTable(97).p(after @ feature)[0])
    assert max(ours) < 1e-12 and np.mean(theirs) > 0.1
    low, high = interval(300, 0.05)
    assert low <= np.mean(np.array(right_p) < 0.05) <= high < np.mean(np.array(wrong_p) < 0.05)


def test_residuals_of_one_side_alone():
    """T18: residuals of the feature alone keep beta and lose p; of the gene alone, beta is too small as well."""
    beta, p = {"both": [], "feature": [], "gene": []}, {"both": [], "feature": [], "gene": []}
    for seed in range(50):
        rng = np.random.default_rng(seed)
        c = rng.normal(size=(120, 4))
        x = c @ [1, 1, 0, 0] + rng.normal(size=120)
        y = 2 * c @ [1, 0, 1, 0] + 0.3 * x + rng.normal(size=120)
        space = residual_space(c, 120)
        fit = sm.OLS(y, sm.add_constant(np.column_stack([x, c]))).fit()
        of = {"x": standardise(x[:, None]), "y": standardise(y[:, None])}
        left = {"x": standardise(x[:, None], space), "y": standardise(y[:, None], space)}
        for name in beta:
            gene, feature = (left if name != side else of for side in ("feature", "gene"))
            gene, feature = gene["y"], feature["x"]
            r = gene.unit[:, 0] @ feature.unit[:, 0]
            beta[name].append(r * gene.sd[0] * gene.left[0] / (feature.sd[0] * feature.left[0]) / fit.params[1])
            p[name].append(PTable(114).p(np.array([r]))[0] / fit.pvalues[1])
    np.testing.assert_allclose(beta["both"], 1, rtol=1e-8)
    np.testing.assert_allclose(p["both"], 1, rtol=1e-6)
    np.testing.assert_allclose(beta["feature"], 1, rtol=1e-8)
    assert np.median(p["feature"]) > 5
    assert np.median(beta["gene"]) < 0.6 and np.median(p["gene"]) > 5


def test_one_missing_value_takes_no_other_pair_with_it():
    """T14: a NaN makes a whole row and column of the product NaN; here the column goes, by name, and no other."""
    rng = np.random.default_rng(0)
    y, x = normal_columns(rng.normal(size=(40, 30))), rng.normal(size=(40, 20))
    whole = standardise(y).unit.T @ standardise(x).unit
    y[3, 7], x[5, 2] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        poisoned = (y - y.mean(axis=0)).T @ (x - x.mean(axis=0))
    assert np.isnan(poisoned[7]).all() and np.isnan(poisoned[:, 2]).all()
    kept = []
    for values, kind in ((y, "gene"), (x, "feature")):
        keep, rows, constant = usable(values, np.arange(values.shape[1]).astype(str).astype(object), kind, "here")
        assert len(rows) == 1 and "NaN or infinite" in rows[0][2] and constant == 0
        kept.append(keep)
    assert np.flatnonzero(~kept[0]).tolist() == [7] and np.flatnonzero(~kept[1]).tolist() == [2]
    found = standardise(y[:, kept[0]]).unit.T @ standardise(x[:, kept[1]]).unit
    np.testing.assert_allclose(found, whole[np.ix_(*kept)], atol=1e-14)


def test_features_kept_in_single_precision():
    """O4: h5ad files hold features as float32: |dr| below 1e-6, the same hits but for those at the very cut."""
    y, x, _ = cohort(0, 230, 20, 0.2)
    genes, p, r = standardise(normal_columns(y)).unit, [], []
    for features in (x, x.astype(np.float32)):
        r.append(genes.T @ standardise(features).unit)
        p.append(PTable(228).p(r[-1]))
    assert np.abs(r[0] - r[1]).max() < 1e-6
    cut = 0.05 / r[0].size
    near = np.abs(p[0] / cut - 1) < 1e-5
    np.testing.assert_array_equal((p[0] <= cut)[~near], (p[1] <= cut)[~near])
    assert (p[0] <= cut).sum() >= 15


def test_the_product_of_ranks_is_spearmans_with_ties():
    """O7: what the engine makes of average ranks."""
    rng = np.random.default_rng(0)
    y, x = rng.integers(0, 6, (50, 8)).astype(float), np.round(rng.normal(size=(50, 5)), 1)
    ranks = [standardise(stats.rankdata(v, axis=0)).unit for v in (y, x)]
    r = ranks[0].T @ ranks[1]
    for i, j in np.ndindex(r.shape):
        assert r[i, j] == pytest.approx(stats.spearmanr(y[:, i], x[:, j]).statistic, abs=1e-12)
