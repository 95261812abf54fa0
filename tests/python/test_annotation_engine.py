"""Labels and features: tests against statsmodels and scipy, held-out scores against planted truth, null calibration."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import binom, kruskal, norm
from sklearn.metrics import roc_auc_score

from hx_annotation_fractions import gene_hits, label_hits
from hx_annotation_labels import Label, confounders_of, label_of, language
from hx_annotation_predict import (
    auroc_in_folds,
    fold_fits,
    gain_p,
    held_out,
    permuted_score,
    r2_in_folds,
    scores,
)
from hx_annotation_tests import Against, against, feature_tests, groups_of, kruskal_p, ranks
from hx_expression import rank_inverse_normal
from hx_linear import residual_space, standardise
from hx_predict import PENALTIES
from hx_variance import gram, permutations


def label(values: np.ndarray, kind: str, known: np.ndarray | None = None) -> Label:
    values = values[:, None].astype(float) if values.ndim == 1 else values
    return Label("x", "test", kind, values, np.ones(len(values), bool) if known is None else known)


def levels(codes: np.ndarray) -> np.ndarray:
    return (codes[:, None] == np.unique(codes)).astype(float)


def within(count: int, tests: int, level: float = 0.05) -> bool:
    """Whether a share of rejections lies in the binomial 99.9 % interval."""
    low, high = binom.interval(0.999, tests, level)
    return low <= count <= high


# Features as response


@pytest.mark.parametrize("kind", ["binary", "number"])
def test_one_column_is_the_t_test_of_a_linear_model(kind):
    rng = np.random.default_rng(1)
    n, features, covariates = 60, rng.normal(size=(60, 7)), rng.normal(size=(60, 3))
    x = rng.normal(size=n) + covariates[:, 0]
    x = (x > 0.3).astype(float) if kind == "binary" else x
    known = rng.random(n) < 0.8
    got = feature_tests(features, against(label(np.where(known, x, 0), kind, known), covariates))
    for j in range(7):
        exog = sm.add_constant(np.column_stack([x, covariates]))[known]
        fit = sm.OLS(features[known, j], exog).fit()
        t = fit.tvalues[1]
        np.testing.assert_allclose(got.p[j], fit.pvalues[1], rtol=1e-8)
        np.testing.assert_allclose(got.beta[j], fit.params[1], rtol=1e-9)
        np.testing.assert_allclose(got.r[j], t / np.sqrt(t**2 + fit.df_resid), rtol=1e-9)


def test_levels_are_the_nested_f_test():
    rng = np.random.default_rng(2)
    codes, covariates = rng.integers(0, 4, 80), rng.normal(size=(80, 2))
    features = rng.normal(size=(80, 5)) + 0.3 * codes[:, None]
    made = against(label(levels(codes), "levels"), covariates)
    got = feature_tests(features, made)
    assert made.directions.shape[1] == 3 and np.isnan(got.r).all()
    for j in range(5):
        small = sm.OLS(features[:, j], sm.add_constant(covariates)).fit()
        large = sm.OLS(features[:, j], np.column_stack([levels(codes), covariates])).fit()
        np.testing.assert_allclose(got.p[j], large.compare_f_test(small)[1], rtol=1e-8)
        np.testing.assert_allclose(got.r2[j], 1 - large.ssr / small.ssr, rtol=1e-9)


def test_constant_and_spanned_features_are_no_number():
    rng = np.random.default_rng(3)
    covariates = rng.normal(size=(40, 2))
    known = np.arange(40) < 30
    features = np.column_stack([np.where(known, 0.1, rng.normal(size=40)), covariates[:, 0] * 2, rng.normal(size=40)])
    got = feature_tests(features, against(label((rng.random(40) < 0.5) * known, "binary", known), covariates))
    assert np.isnan(got.p[:2]).all() and np.isfinite(got.p[2])


def test_a_label_that_the_confounders_tell_or_without_room_is_refused_with_the_reason():
    rng = np.random.default_rng(4)
    x = (rng.random(40) < 0.5).astype(float)
    assert against(label(x, "binary"), np.column_stack([x, rng.normal(size=40)])) == "the confounders tell it"
    assert "leave 3 residual degrees of freedom" in against(label(x, "binary"), rng.normal(size=(40, 35)))


def test_kruskal_wallis_is_scipys():
    rng = np.random.default_rng(5)
    codes, values = rng.integers(0, 3, 50), rng.integers(0, 6, (50, 4)).astype(float)
    got = kruskal_p(ranks(values), groups_of(label(levels(codes), "levels")))
    wanted = [kruskal(*(values[codes == k, j] for k in range(3))).pvalue for j in range(4)]
    np.testing.assert_allclose(got, wanted, rtol=1e-9)


@pytest.mark.parametrize("kind", ["binary", "ordinal", "levels"])
def test_p_of_features_is_calibrated(kind):
    """2,000 nulls: each a label of 60 donors, drawn from a covariate, and a skewed feature that depends on it too."""
    rejected, plain, tests = 0, 0, 2000
    for seed in range(tests // 20):
        rng = np.random.default_rng(seed)
        covariates = rng.normal(size=(60, 4))
        drive = covariates[:, 0] + rng.normal(size=60)
        cut = np.quantile(drive, [0.25, 0.6, 0.8])
        codes = np.searchsorted(cut, drive)
        values = {"binary": (codes == 3).astype(float), "ordinal": codes.astype(float), "levels": levels(codes)}[kind]
        normal = rng.normal(size=(60, 20)) + 0.7 * covariates[:, [0]]
        rejected += int((feature_tests(normal, against(label(values, kind), covariates)).p < 0.05).sum())
        other = rank_inverse_normal(np.exp(rng.normal(size=(60, 20))).T).T
        plain += int((feature_tests(other, against(label(values, kind), covariates)).p < 0.05).sum())
    assert within(rejected, tests) and within(plain, tests)


def test_p_of_kruskal_is_calibrated():
    rng = np.random.default_rng(0)
    groups = levels(np.repeat([0, 1, 2], [20, 25, 30]))
    p = kruskal_p(ranks(rng.exponential(size=(75, 4000))), groups)
    assert within(int((p < 0.05).sum()), 4000)


# Prediction


def test_auroc_in_folds_is_the_weighted_mean_of_the_folds():
    rng = np.random.default_rng(6)
    folds, positive = np.arange(60) % 3, (rng.random(60) < 0.4).astype(float)
    predicted = np.round(rng.normal(size=60) + positive, 1)
    each = [roc_auc_score(positive[folds == k], predicted[folds == k]) for k in range(3)]
    weight = [positive[folds == k].sum() * (1 - positive[folds == k]).sum() for k in range(3)]
    got = auroc_in_folds(predicted[:, None], positive[:, None], folds)[0]
    np.testing.assert_allclose(got, np.average(each, weights=weight), rtol=1e-12)


def test_held_out_is_ridge_with_the_penalty_of_generalised_cross_validation():
    rng = np.random.default_rng(7)
    features, covariates = rng.normal(size=(50, 8)), rng.normal(size=(50, 2))
    y, folds = features[:, 0] + covariates[:, 1] + rng.normal(size=50), np.arange(50) % 5
    kernel = gram(features)
    got = held_out(fold_fits(kernel, covariates, folds, np.arange(50)), y[:, None])[:, 0]
    for fold in range(5):
        train, test = folds != fold, folds == fold
        outside = np.column_stack([np.ones(50), covariates])
        design = np.hstack([outside, features - features.mean(axis=0)])
        space = residual_space(covariates[train], int(train.sum()))
        mean = np.linalg.eigvalsh(space.rotation.T @ kernel[np.ix_(train, train)] @ space.rotation).mean()
        best = (np.inf, None)
        for penalty in PENALTIES * mean:
            inverse = np.linalg.inv(design[train].T @ design[train] + np.diag([0] * 3 + [penalty] * 8))
            hat = design[train] @ inverse @ design[train].T
            error = np.sum((y[train] - hat @ y[train]) ** 2) / np.trace(np.eye(train.sum()) - hat) ** 2
            best = min(best, (error, design[test] @ inverse @ design[train].T @ y[train]), key=lambda pair: pair[0])
        np.testing.assert_allclose(got[test], best[1], rtol=1e-7, atol=1e-9)


def test_r2_is_against_the_mean_of_the_other_folds():
    y, folds = np.array([0.0, 1, 2, 3]), np.array([0, 0, 1, 1])
    mean = np.array([2.5, 2.5, 0.5, 0.5])
    np.testing.assert_allclose(r2_in_folds(mean[:, None], y[:, None], folds), 0, atol=1e-12)
    np.testing.assert_allclose(r2_in_folds(y[:, None], y[:, None], folds), 1)


def fits_of(features: np.ndarray, seed: int = 0):
    """Fits without covariates, and folds by chance."""
    folds = np.random.default_rng(seed).integers(0, 5, len(features))
    return fold_fits(gram(standardise(features).unit), None, folds, np.arange(len(features))), folds


@pytest.mark.parametrize(("planted", "slack"), [(0.5, 0.05), (0.85, 0.04)])
def test_auroc_of_chance_and_a_planted_one_are_recovered(planted, slack):
    """300 donors, 20 features, 30 % positive, mean of 8 seeds; a shift of sqrt(2) z(AUROC) in one feature."""
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = (rng.random(300) < 0.3).astype(float)
        features = rng.normal(size=(300, 20))
        features[:, 3] += np.sqrt(2) * norm.ppf(planted) * y
        fits, folds = fits_of(features, seed)
        found.append(scores(fits, y[:, None], folds, True)[0])
    assert abs(np.mean(found) - planted) <= slack


def test_auroc_of_a_rare_label_is_a_half_by_chance():
    """Twelve of 60 donors: pooled over the folds it would lie below, by the means of the training sets."""
    found, pooled = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = np.zeros(60)
        y[rng.choice(60, 12, replace=False)] = 1
        fits, folds = fits_of(rng.normal(size=(60, 30)), seed)
        predicted = held_out(fits, y[:, None])
        found.append(auroc_in_folds(predicted, y[:, None], folds)[0])
        pooled.append(roc_auc_score(y, predicted[:, 0]))
    assert abs(np.mean(found) - 0.5) < 0.04 and np.mean(pooled) < 0.43


@pytest.mark.slow
def test_p_of_a_prediction_is_calibrated():
    """1,000 nulls of 40 donors with 19 permutations: p = .05 in one of 20."""
    rejected = 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        y = (np.arange(40) < 14).astype(float)
        fits, folds = fits_of(rng.normal(size=(40, 6)), seed)
        rejected += permuted_score(fits, y[:, None], folds, True, permutations(rng, 19, 40))[1] <= 0.05 + 1e-9
    assert within(rejected, 1000)


def test_p_of_a_gain_is_calibrated_where_confounders_drive_both():
    rejected = 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        covariates = rng.normal(size=(40, 3))
        features = rng.normal(size=(40, 6)) + 1.5 * covariates[:, [0]]
        made = against(label((covariates[:, 0] + rng.normal(size=40) > 0) * 1.0, "binary"), covariates)
        p = gain_p([gram(features)], made.space, made.directions, permutations(rng, 39, made.space.dim))
        rejected += p[0] <= 0.05 + 1e-9
    assert within(rejected, 1000)


def test_a_planted_gain_and_levels():
    rng = np.random.default_rng(9)
    codes = rng.integers(0, 3, 150)
    features = rng.normal(size=(150, 10)) + 1.2 * levels(codes) @ rng.normal(size=(3, 10))
    covariates = rng.normal(size=(150, 2))
    made = against(label(levels(codes), "levels"), covariates)
    orders = permutations(rng, 99, made.space.dim)
    assert gain_p([gram(features)], made.space, made.directions, orders)[0] == 0.01
    fits, folds = fits_of(features)
    own, p = permuted_score(fits, levels(codes), folds, True, permutations(rng, 99, 150))
    assert own.shape == (3,) and own.min() > 0.75 and p == 0.01


# Labels


def column(cells: list, name: str = "x") -> pd.Series:
    return pd.Series(cells, index=[f"D{i}" for i in range(len(cells))], name=name)


@pytest.mark.parametrize(
    ("cells", "kind", "levels_", "positives"),
    [
        (["yes", "no"] * 15, "binary", ("yes",), 15),
        (["0", "1", "1", "NA"] * 12, "binary", ("1",), 24),
        (["a", "b", "c"] * 12, "levels", ("a", "b", "c"), 12),
        (["a", "b"] * 12 + ["c"] * 3, "binary", ("b",), 12),
        ([str(i % 4) for i in range(40)], "ordinal", (), 30),
        ([str(i / 7) for i in range(40)], "number", (), 39),
    ],
)
def test_kinds(cells, kind, levels_, positives):
    made = label_of(column(cells), "file")
    assert (made.kind, made.levels, made.positives) == (kind, levels_, positives)
    assert made.values.shape == (len(cells), max(1, len(levels_) if kind == "levels" else 1))


@pytest.mark.parametrize(
    ("cells", "name", "reason"),
    [
        (["1"] * 9 + ["0"] * 30, "x", "9 donors with 1, at least 10 are needed"),
        (["1"] * 30, "x", "one class: 1 in all 30 donors"),
        ([""] * 30, "x", "no donor of the tissue has a value"),
        (["5"] * 30 + ["6", "7", "8"], "x", "3 of 33 donors differ from the commonest number"),
        ([f"the lobe of slide {i}, preserved" for i in range(30)], "x", "free text, 30 different cells"),
        ([f"die Leber ohne Befund und mit Fett {i}" for i in range(30)], "x", "another language"),
        ([f"печень без особенностей {i}" for i in range(30)], "x", "another script"),
        (["2020-01-02", "2020-01-03", "2020-01-05"] * 10, "x", "a date"),
        ([f"S{i}" for i in range(30)], "patient_id", "named as an id"),
        ([f"l{i % 20}" for i in range(60)], "x", "0 of 20 levels have 10 donors"),
    ],
)
def test_what_is_no_label_says_why(cells, name, reason):
    made = label_of(column(cells, name), "file")
    assert isinstance(made, dict) and reason in made["status"]


def test_language():
    assert language(["2 pieces, no fat", "mild congestion"]) == ""
    assert "another language" in language(["foie sans anomalie avec une fibrose"])
    assert language(["fibrosis", "cirrhosis"]) == ""


def test_no_confounder_is_the_label_itself():
    rng = np.random.default_rng(11)
    sex = np.repeat([0.0, 1.0], 30)
    design = pd.DataFrame({
        "AGE": rng.normal(size=60), "gender=2": sex, "group=B": 1 - sex, "group=C": rng.normal(size=60),
        "DTHHRDY=1": rng.normal(size=60), "SMTSISCH": rng.normal(size=60), "SMTSISCH.spline2": rng.normal(size=60),
    })  # fmt: skip
    kept = confounders_of(Label("SEX", "cohort", "binary", sex[:, None], np.ones(60, bool)), design)
    assert kept == ["AGE", "DTHHRDY=1", "SMTSISCH", "SMTSISCH.spline2"]
    hardy = Label("hardy", "cohort", "ordinal", rng.normal(size=(60, 1)), np.ones(60, bool))
    assert "DTHHRDY=1" not in confounders_of(hardy, design) and "gender=2" in confounders_of(hardy, design)
    assert confounders_of(hardy, None) == []


# Fractions of cell types


def test_hits_of_composition_go_and_others_stay():
    rng = np.random.default_rng(12)
    ratio = rng.normal(size=(200, 1))
    own = rng.normal(size=200)
    normal = rng.normal(size=(200, 20))
    normal[:, :5] += ratio
    normal[:, 5:10] += own[:, None]
    by_cells = label((ratio[:, 0] + 0.5 * rng.normal(size=200) > 0) * 1.0, "binary")
    by_itself = label((own + 0.5 * rng.normal(size=200) > 0) * 1.0, "binary")
    kept = label_hits(normal, [(by_cells, None), (by_itself, None)], ratio, 0.05)
    assert kept.tests == 40 and kept.hits_without >= 10 and 5 <= kept.hits_kept <= 6
    genes = np.column_stack([ratio[:, 0] + rng.normal(size=200), own + rng.normal(size=200)])
    pairs = gene_hits(normal, genes, None, ratio, 0.05)
    assert pairs.tests == 40 and pairs.hits_without >= 10 and 5 <= pairs.hits_kept <= 6
    assert "no room" in gene_hits(normal[:12], genes[:12], rng.normal(size=(12, 5)), ratio[:12], 0.05)
    assert isinstance(against(by_cells, ratio), Against)
