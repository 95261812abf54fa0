"""hx_null, hx_controls and hx_hidden: permutations with covariates, strata, the hidden-factor series."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hx_association import associate_pairs, null_interval, summary_numbers
from hx_controls import shuffled, strata
from hx_hidden import spaces
from hx_linear import residual_space, standardise
from hx_null import PERMUTATIONS, familywise_p, max_null, null_histograms
from hx_scan import BINS
from hx_variance import principal


def sides(seed: int, donors: int = 40, covariates: int = 8):
    """Unit residuals of genes and features that have nothing in common but the covariates, and their space."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((donors, covariates))
    space = residual_space(shared, donors)
    genes, features = (rng.standard_normal((donors, m)) + shared @ rng.standard_normal((covariates, m)) for m in (6, 5))
    return standardise(genes, space).unit, standardise(features, space).unit, space


@pytest.mark.parametrize(("donors", "covariates"), [(40, 0), (40, 8), pytest.param(90, 51, marks=pytest.mark.slow)])
def test_the_familywise_p_is_calibrated(donors, covariates):
    """1,000 cohorts: the share with p <= .05 within its binomial 99.9 % interval."""
    hits = 0
    for seed in range(1000):
        genes, features, space = sides(seed, donors, covariates)
        null = max_null(genes, features, space, np.random.default_rng(seed), 19)
        hits += familywise_p(np.abs(genes.T @ features).max(), null) <= 0.05
    low, high = stats.binom.ppf([0.0005, 0.9995], 1000, 1 / 20)
    assert low <= hits <= high


def test_familywise_p_by_hand():
    null = np.array([0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(familywise_p(np.array([-0.6, 0.5, 0.35, 0.1]), null), [1 / 5, 2 / 5, 3 / 5, 1])


def test_histograms_count_every_pair_of_the_features_taken():
    genes, features, space = sides(0)
    found = null_histograms(genes, features, space, np.random.default_rng(0))
    assert found.shape == (PERMUTATIONS, BINS) and (found.sum(axis=1) == 30).all()
    # Permuted residuals are residuals again: their median |r| is that of independent columns with the same dof.
    values = np.repeat(np.tile(np.arange(BINS) / BINS, PERMUTATIONS), found.ravel())
    t = stats.t.isf(0.25, space.dim - 1)
    assert np.median(values) == pytest.approx(t / np.sqrt(space.dim - 1 + t**2), abs=0.02)


@pytest.mark.slow
def test_lambda_lies_between_those_of_its_permutations_as_often_as_it_should():
    """400 null cohorts (.15 s each) of correlated columns: outside the smallest and largest of 20 in 2 of 21."""
    outside = textbook = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        shared = rng.standard_normal((40, 3))
        space = residual_space(shared, 40)
        genes, features = (
            standardise(
                shared @ rng.standard_normal((3, m)) + 2 * rng.standard_normal((40, 1)) + rng.standard_normal((40, m)),
                space,
            ).unit
            for m in (12, 8)
        )
        tested = associate_pairs(genes, features, space.dim - 1, 0.05, "tree", 1, 1)
        told = summary_numbers(tested, 0.05, histograms=null_histograms(genes, features, space, rng))
        outside += not told["lambda_low"] <= told["lambda_gc"] <= told["lambda_high"]
        textbook += not 0.5 < told["lambda_gc"] < 2
    low, high = stats.binom.ppf([0.0005, 0.9995], 400, 2 / (PERMUTATIONS + 1))
    assert low <= outside <= high
    # Independent pairs would leave .5 to 2 in few of them.
    assert textbook > 100


def test_interval_of_the_qq_plot_is_that_of_the_permutations():
    genes, features, space = sides(1)
    tested = associate_pairs(genes, features, space.dim - 1, 0.05, "tree", 1, 1)
    histograms = null_histograms(genes, features, space, np.random.default_rng(0))
    rank = np.array([1, 5, 30])
    low, high = null_interval(tested, rank, histograms)
    middle = (np.arange(BINS) + 0.5) / BINS
    each = np.array([np.sort(np.repeat(middle, histogram))[::-1][rank - 1] for histogram in histograms])
    np.testing.assert_allclose(low, tested.table.nlog10p(each).min(axis=0), atol=1e-4)
    np.testing.assert_allclose(high, tested.table.nlog10p(each).max(axis=0), atol=1e-4)


def cohort(donors: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({
        "SMCENTER": rng.choice(["B1", "C1"], donors), "DTHHRDY": rng.choice(["0", "2"], donors),
        "SMTSISCH": rng.integers(1, 1500, donors).astype(str),
    })  # fmt: skip


def test_strata_and_shuffling_within_them():
    table = cohort()
    number, names = strata(table)
    assert names == ["centre", "Hardy", "ischaemia"] and number.max() + 1 <= 12
    order = shuffled(1, "x", number)
    assert sorted(order) == list(range(60)) and (number[order] == number).all()
    for column in ("SMCENTER", "DTHHRDY"):
        assert (table[column].to_numpy()[order] == table[column]).all()
    assert (order != np.arange(60)).mean() > 0.5
    assert (shuffled(1, "x", number) == order).all() and (shuffled(2, "x", number) != order).any()


def test_strata_know_columns_by_any_name_of_hx_factors():
    table = cohort()
    number, _ = strata(table)
    renamed = table.rename(columns={"SMCENTER": "centre", "DTHHRDY": "hardy_scale", "SMTSISCH": "Ischemic Time"})
    words = table["SMTSISCH"].astype(int).map(lambda m: f"{m // 60} hour(s), {m % 60} minute(s)")
    for other in (renamed, renamed.assign(**{"Ischemic Time": words})):
        found, names = strata(other)
        assert names == ["centre", "Hardy", "ischaemia"] and (found == number).all()
    # Of two columns of one thing the first name of the table counts.
    assert (strata(table.assign(pmi="5", site="x"))[0] == number).all()
    blank = table.assign(SMTSISCH=["unknown"] * 20 + list(table["SMTSISCH"][20:]))
    assert len(set(strata(blank[["SMTSISCH"]])[0])) == 4


def test_strata_are_coarser_where_donors_are_few_or_columns_lacking():
    few = cohort(12).assign(DTHHRDY=[str(k) for k in range(12)])
    assert strata(few)[1] == ["centre"]
    assert strata(cohort().drop(columns="SMTSISCH"))[1] == ["centre", "Hardy"]
    number, names = strata(pd.DataFrame({"other": ["a", "b"]}))
    assert names == [] and number.tolist() == [0, 0]
    unique = pd.DataFrame({"SMCENTER": [str(k) for k in range(9)]})
    assert strata(unique)[1] == []


def test_components_against_svd_and_their_spaces():
    genes, _, space = sides(3, donors=50)
    left = np.linalg.svd(genes, full_matrices=False)[0][:, :3]
    np.testing.assert_allclose(np.abs(principal(genes @ genes.T).scores[:, :3].T @ left), np.eye(3), atol=1e-9)
    found = spaces(space.basis[:, 1:], genes, 6, np.random.default_rng(0))
    # Six genes have six components: no longer series of them; noise goes on as far as degrees of freedom allow.
    assert [(k, what) for k, what, _ in found] == [
        *((0, "expression"), (1, "expression"), (1, "noise"), (5, "expression"), (5, "noise"), (10, "noise")),
        (20, "noise"),
    ]
    assert [part.dim for _, _, part in found] == [41, 40, 40, 36, 36, 31, 21]
