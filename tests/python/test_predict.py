"""hx_predict and hx_predict_scale against sklearn, normal equations and loops; that nothing of a held-out donor enters;
null genes, planted R2, and what leaks and in-sample fits would have shown."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression, Ridge
from test_calibration import interval, normal_columns

from hx_linear import residual_space, standardise
from hx_mixture import log_p_ratio, ratios
from hx_predict import (
    INNER,
    LEAST,
    PENALTIES,
    coefficients,
    cross_validate,
    fit,
    in_sample,
    splits,
    too_few_for_folds,
)
from hx_predict_scale import Ranked, from_scores, normal_score, quantile_function
from hx_variance import gram, rotated_kernel


def inner(fold: int) -> np.random.Generator:
    return np.random.default_rng([7, fold])


def drawn(seed: int, n: int, features: int, confounders: int = 0, genes: int = 5):
    """Features that correlate, covariates that move both, genes."""
    rng = np.random.default_rng(seed)
    covariates = rng.normal(size=(n, confounders)) if confounders else None
    values = rng.normal(size=(n, 10)) @ rng.normal(size=(10, features)) + rng.normal(size=(n, features))
    y = 0.3 * values[:, :1] + rng.normal(size=(n, genes))
    if confounders:
        values = values + covariates @ rng.normal(size=(confounders, features))
        y = y + covariates @ rng.normal(size=(confounders, genes))
    return values, covariates, y


def predictions(of, scores: np.ndarray, train: np.ndarray, penalty: int) -> np.ndarray:
    return of.hat @ scores[train] + (of.added * of.shrink(penalty)) @ (of.rotation.T @ scores[train])


# the scale of genes


def test_training_scores_are_blom_and_others_lie_between():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 12, (40, 6)).astype(float)
    values[:, 3:] = rng.normal(size=(40, 3))
    training = rng.random(40) < 0.7
    scores = Ranked(values).scores(training)
    np.testing.assert_allclose(scores[training], normal_columns(values[training]), atol=1e-12)
    for donor in np.flatnonzero(~training):
        for gene in range(6):
            inside, value = values[training, gene], values[donor, gene]
            rank = 0.5 + np.sum(inside < value) + np.sum(inside == value) / 2
            assert scores[donor, gene] == pytest.approx(normal_score(rank, training.sum()), abs=1e-12)


def test_scores_of_some_genes():
    values = np.random.default_rng(1).normal(size=(20, 5))
    training = np.arange(20) % 4 > 0
    ranked = Ranked(values)
    np.testing.assert_array_equal(ranked.scores(training, np.array([3, 1])), ranked.scores(training)[:, [3, 1]])


@pytest.mark.parametrize("n", [30, 700])
def test_quantile_function_leads_back_to_the_values(n):
    """Exactly at the training donors where there are few; within their neighbours where levels are thinned out."""
    values = np.random.default_rng(2).normal(5, 2, size=(n, 3))
    level, log2 = quantile_function(values)
    assert len(level) == min(n, 201) and (np.diff(level) > 0).all() and (np.diff(log2, axis=0) >= 0).all()
    back = from_scores(Ranked(values).scores(np.ones(n, bool)), level, log2)
    middle = np.abs(values - 5) < 4  # beyond two standard deviations thinned levels lie far apart
    np.testing.assert_allclose(back[middle], values[middle], atol=1e-9 if n == 30 else 0.2)
    np.testing.assert_allclose(back, values, atol=1e-9 if n == 30 else 2)
    np.testing.assert_allclose(from_scores(np.full((1, 3), 9.0), level, log2)[0], values.max(axis=0))
    assert from_scores(np.zeros((1, 3)), level, log2)[0] == pytest.approx(np.median(values, axis=0), abs=0.05)


# the fit


@pytest.mark.parametrize("features", [12, 90])
def test_ridge_equals_normal_equations_and_sklearn(features):
    """Penalty on features alone: [X F] with diag(0, penalty); without covariates sklearn's Ridge."""
    for confounders in (0, 3):
        values, covariates, y = drawn(3, 40, features, confounders)
        train, test = np.arange(5, 40), np.arange(5)
        scores = Ranked(y).scores(np.arange(40) >= 5)
        of = fit(values, covariates, train, test)
        mean, sd = values[train].mean(axis=0), values[train].std(axis=0, ddof=1)
        standard = (values - mean) / sd
        for penalty in (3, 12):
            strength = PENALTIES[penalty] * of.size.mean()
            x = np.ones((40, 1)) if covariates is None else np.hstack([np.ones((40, 1)), covariates])
            both = np.hstack([x, standard])
            ridge = np.diag(np.repeat([0.0, strength], [x.shape[1], features]))
            beta = np.linalg.solve(both[train].T @ both[train] + ridge, both[train].T @ scores[train])
            found = predictions(of, scores, train, penalty)
            np.testing.assert_allclose(found, both[test] @ beta, atol=1e-8)
            if covariates is None:
                told = coefficients(values, scores, train, np.full(5, penalty))
                np.testing.assert_allclose(told.beta, beta[1:], atol=1e-5)
                np.testing.assert_allclose(told.intercept + standard[test] @ told.beta, found, atol=1e-5)
                other = Ridge(strength, solver="svd").fit(standard[train], scores[train])
                np.testing.assert_allclose(found, other.predict(standard[test]), atol=1e-8)


def test_covariates_alone_are_least_squares():
    values, covariates, y = drawn(4, 40, 6, 3)
    # One covariate twice, and a level that only a held-out donor has.
    covariates = np.hstack([covariates, covariates[:, :1], np.arange(40)[:, None] == 2])
    train, test = np.arange(5, 40), np.arange(5)
    oracle = LinearRegression().fit(covariates[train][:, :3], y[train]).predict(covariates[test][:, :3])
    np.testing.assert_allclose(fit(values, covariates, train, test).hat @ y[train], oracle, atol=1e-9)


@pytest.mark.parametrize("features", [12, 90])
def test_in_sample_r2(features):
    """Least squares on all features and covariates as sklearn has it; 1 where features outnumber donors."""
    values, covariates, y = drawn(5, 40, features, 3)
    scores = normal_columns(y)
    free, ridge = in_sample(values, covariates, scores, np.full(5, 9))
    x = np.hstack([covariates, (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)])
    of = LinearRegression().fit(x, scores)
    total = ((scores - scores.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(free, 1 - ((scores - of.predict(x)) ** 2).sum(axis=0) / total, atol=1e-8)
    everyone = np.arange(40)
    fitted = predictions(fit(values, covariates, everyone, everyone), scores, everyone, 9)
    np.testing.assert_allclose(ridge, 1 - ((scores - fitted) ** 2).sum(axis=0) / total, atol=1e-8)
    assert (ridge < free).all() and (features < 40 or (free > 1 - 1e-9).all())


# cross-validation


def naive(values, covariates, y, folds):
    """The same by loops: everything by scipy and normal equations, a donor group and a gene at a time."""

    def scale(train):
        def score(column):
            rank = [0.5 + np.sum(column[train] < v) + np.sum(column[train] == v) / 2 for v in column]
            return normal_score(np.array(rank), len(train))

        return np.apply_along_axis(score, 0, y), (values - values[train].mean(0)) / values[train].std(0, ddof=1)

    def predict(train, test, power):
        scores, standard = scale(train)
        x = np.hstack([np.ones((len(y), 1)), covariates])
        q = np.linalg.qr(x[train])[0]
        left = standard[train] - q @ (q.T @ standard[train])
        unit = np.sum(left**2) / (len(train) - x.shape[1])
        both = np.hstack([x, standard])
        out = []
        for gene, index in enumerate(power):
            ridge = np.diag(np.repeat([0.0, PENALTIES[index] * unit], [x.shape[1], values.shape[1]]))
            beta = np.linalg.solve(both[train].T @ both[train] + ridge, both[train].T @ scores[train, gene])
            out.append(both[test] @ beta)
        alone = x[test] @ np.linalg.lstsq(x[train], scores[train], rcond=None)[0]
        return scores[test], np.array(out).T, alone, scores[train].mean(axis=0)

    genes = y.shape[1]
    errors = np.zeros((3, genes))
    for fold in range(folds.max() + 1):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        own = inner(fold).permutation(len(train)) % INNER
        total = np.zeros((len(PENALTIES), genes))
        for k in range(INNER):
            for index in range(len(PENALTIES)):
                truth, guess, _, _ = predict(train[own != k], train[own == k], [index] * genes)
                total[index] += ((truth - guess) ** 2).sum(axis=0)
        truth, guess, alone, mean = predict(train, test, total.argmin(axis=0))
        errors += [((truth - part) ** 2).sum(axis=0) for part in (guess, alone, mean)]
    return 1 - errors[0] / errors[2], 1 - errors[1] / errors[2]


def test_nested_cross_validation_equals_loops():
    values, covariates, y = drawn(6, 40, 8, 2, genes=3)
    folds = np.arange(40) % 4
    found = cross_validate(values, covariates, Ranked(y), folds, np.arange(40), inner)
    both, alone = naive(values, covariates, y, folds)
    np.testing.assert_allclose(found.r2, both, atol=1e-8)
    np.testing.assert_allclose(found.r2_confounders, alone, atol=1e-8)
    assert (found.folds_better <= 4).all() and (np.abs(found.r) < 1).all()


def test_nothing_of_a_held_out_donor_enters_a_fit():
    """Training scores, features' scale, coefficients: the same whatever the held-out donors' values are."""
    values, covariates, y = drawn(7, 40, 8, 2)
    train = np.arange(8, 40)
    wild = values.copy(), covariates.copy(), y.copy()
    for part in wild:
        part[:8] = 100 * np.random.default_rng(0).normal(size=part[:8].shape)
    inside = np.arange(40) >= 8
    ours, theirs = Ranked(y).scores(inside), Ranked(wild[2]).scores(inside)
    np.testing.assert_array_equal(ours[train], theirs[train])
    for one, other in (
        (coefficients(values, ours, train, np.full(5, 6)), coefficients(wild[0], theirs, train, np.full(5, 6))),
        (fit(values, covariates, train, train[:3]), fit(wild[0], wild[1], train, train[:3])),
    ):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


def test_no_donor_is_in_two_folds():
    folds, donors = np.array([0, 1, 2, 0, 1, 2]), np.array(list("abcdef"), dtype=object)
    seen = [(fold, set(donors[train]), set(donors[test])) for fold, train, test in splits(folds, donors)]
    assert [fold for fold, _, _ in seen] == [0, 1, 2]
    assert all(not train & test and len(train | test) == 6 for _, train, test in seen)
    assert sorted("".join(sorted(test)) for _, _, test in seen) == ["ad", "be", "cf"]
    donors[4] = "a"
    with pytest.raises(ValueError, match="donor a is in fold 0 and in another"):
        list(splits(folds, donors))
    values, covariates, y = drawn(8, 12, 5)
    twice = np.array([f"D{k % 11}" for k in range(12)])
    with pytest.raises(ValueError, match="donor D0 is in fold"):
        cross_validate(values, covariates, Ranked(y), np.arange(12) % 5, twice, inner)


def test_too_few_donors_for_the_folds():
    """The reason names the numbers; at its edge the smallest training set still leaves LEAST dimensions."""
    assert "donors in 2 of the folds" in too_few_for_folds(np.arange(30) % 2, 0)
    folds = np.repeat([0, 1, 2, 3], [9, 4, 4, 4])  # 12 in the smallest training set, 9 in its own
    assert too_few_for_folds(folds, 9 - 1 - LEAST) == ""
    reason = too_few_for_folds(folds, 9 - LEAST)
    assert "21 donors in 4 folds" in reason and "has 9" in reason and "--confounder_pcs" in reason
    values, covariates, y = drawn(9, 21, 5, 9 - 1 - LEAST)
    assert np.isfinite(cross_validate(values, covariates, Ranked(y), folds, np.arange(21), inner).r2).all()


def test_a_feature_constant_in_a_training_set_is_left_out_of_it():
    values, _, _ = drawn(10, 30, 4)
    values[:, 0] = np.arange(30) < 3
    of = fit(values, None, np.arange(3, 30), np.arange(3))
    assert of.use.tolist() == [False, True, True, True]
    with pytest.raises(ValueError, match="no feature varies"):
        fit(values[:, :1], None, np.arange(3, 30), np.arange(3))


# what it must not show, and what it must


def test_a_leak_through_a_scaler_of_all_donors_gains_nothing():
    """Features that only name the fold. Centred over all donors, the training part of a gene sums to minus the held-out
    part, which a constant then tells: the leaking variant predicts from it, where there is nothing to predict."""
    gains, leaks = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        folds = np.repeat(np.arange(6), 5)
        values = (folds[:, None] == np.arange(6)).astype(float)
        y = rng.normal(size=(30, 20))
        of = cross_validate(values, None, Ranked(y), folds, np.arange(30), inner)
        gains.append(np.mean(of.r2 - of.r2_confounders))
        x, z = standardise(values).unit, normal_columns(y)
        z = z - z.mean(axis=0)
        wrong = base = 0
        for _, train, test in splits(folds, np.arange(30)):
            guess = Ridge(1e-6, fit_intercept=False).fit(x[train], z[train]).predict(x[test])
            wrong, base = wrong + ((z[test] - guess) ** 2).sum(), base + (z[test] ** 2).sum()
        leaks.append(1 - wrong / base)
    assert np.mean(leaks) > 0.1
    assert max(gains) < 1e-9


def test_the_study_s_failure():
    """More features than donors and nothing to predict: least squares fits the donors that it saw and no other; the
    numbers of the report tell the two apart (the study's: .999996 and -2.13)."""
    rng = np.random.default_rng(11)
    values, y = rng.normal(size=(60, 50)), rng.normal(size=(60, 300))
    of = cross_validate(values, None, Ranked(y), np.arange(60) % 5, np.arange(60), inner)
    free, _ = in_sample(values, None, normal_columns(y), of.penalty)
    assert np.median(free) > 0.8 and np.median(of.r2_least_squares) < -2
    many = rng.normal(size=(60, 500))
    assert in_sample(many, None, normal_columns(y), of.penalty)[0].min() > 1 - 1e-9
    of = cross_validate(many, None, Ranked(y), np.arange(60) % 5, np.arange(60), inner)
    assert -0.15 < np.median(of.r2) < 0 and np.median(of.r2_least_squares) < np.median(of.r2)


def correlated_null(rng, n: int, confounders: int):
    """Features of a decaying spectrum, some with outlying donors, and genes; covariates alone move both."""
    factors = rng.normal(size=(n, 40)) * np.arange(1, 41) ** -0.7
    values = factors @ rng.normal(size=(40, 80)) + 0.2 * rng.normal(size=(n, 80))
    values[:, :20] = np.exp(values[:, :20] / 2)
    covariates = rng.normal(size=(n, confounders)) if confounders else None
    y = rng.normal(size=(n, 50))
    y[:, :25] = np.exp(y[:, :25])
    if confounders:
        values = values + covariates @ rng.normal(size=(confounders, 80))
        y = y + 0.5 * covariates @ rng.normal(size=(confounders, 50))
    return values, covariates, y


def score_p(values: np.ndarray, covariates: np.ndarray | None, y: np.ndarray) -> np.ndarray:
    space = residual_space(covariates, len(y))
    size, vectors = np.linalg.eigh(rotated_kernel(space, gram(standardise(values).unit)))
    genes = standardise(normal_columns(y), space).unit
    return np.exp(log_p_ratio(ratios((space.rotation @ vectors).T @ genes, size), size))


@pytest.mark.parametrize("confounders", [0, 8, 51])
def test_null_genes(confounders):
    """1,000 nulls, 50 genes in each of 20 cohorts: p in the binomial 99.9 % interval, median gain < 0."""
    p, gain = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values, covariates, y = correlated_null(rng, 100, confounders)
        p.append(score_p(values, covariates, y))
        if seed < 4:
            of = cross_validate(values, covariates, Ranked(y), rng.integers(0, 5, 100), np.arange(100), inner)
            gain.append(of.r2 - of.r2_confounders)
    p = np.concatenate(p)
    for level in (0.05, 0.01):
        low, high = interval(1000, level)
        assert low <= np.mean(p < level) <= high
    assert np.median(np.concatenate(gain)) < 0
    assert max(np.median(part) for part in gain) < 0.005


def test_planted_r2_is_found():
    """20 cohorts of 300 donors, genes of which 400 features carry .30: mean R2 of held-out donors in [.20, .35], p
    small. Eigenvalues of the features fall as 1 / k^2, so that 48 components hold 99 % of their variance: what the
    study's notebooks tell of its Lung features."""
    means, p = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(300, 290)) / np.arange(1, 291) @ np.linalg.qr(rng.normal(size=(400, 290)))[0].T
        signal = values @ rng.normal(size=(400, 10))
        y = np.sqrt(0.3) * signal / signal.std(axis=0) + np.sqrt(0.7) * rng.normal(size=(300, 10))
        of = cross_validate(values, None, Ranked(y), rng.integers(0, 5, 300), np.arange(300), inner)
        means.append(of.r2.mean())
        p.append(score_p(values, None, y))
    assert 0.2 <= np.mean(means) <= 0.35
    assert np.mean(np.array(p) < 0.001) > 0.9


def test_rank_ties_of_scipy():
    """The rank rule at its plainest: average ranks."""
    values = np.array([[1.0], [2.0], [2.0], [5.0]])
    np.testing.assert_allclose(
        Ranked(values).scores(np.ones(4, bool))[:, 0], normal_score(rankdata(values[:, 0]), 4), atol=1e-15
    )
