"""Reliability, dead and redundant features, against closed forms, slow ways and a simulated null."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hx_reliability import BINS, HISTOGRAM_COLUMNS, SUMMARY_COLUMNS, feature_tables, quality, split_half_reliability


def halves(rng: np.random.Generator, donors: int, features: int, signal: float) -> tuple[np.ndarray, np.ndarray]:
    """Two parallel halves: a donor's true value of SD `signal` and noise of SD 1 in each half."""
    true = signal * rng.standard_normal((donors, features))
    return tuple(true + rng.standard_normal((donors, features)) for _ in range(2))


def test_reliability_is_the_stepped_up_correlation():
    first, second = halves(np.random.default_rng(1), 40, 5, 1.0)
    first[:, 4] = -second[:, 4] + 0.5 * first[:, 4]
    found, donors = split_half_reliability(first, second)
    r = np.array([stats.pearsonr(a, b)[0] for a, b in zip(first.T, second.T, strict=True)])
    assert donors == 40 and r[4] < -0.5
    np.testing.assert_allclose(found[:4], 2 * r[:4] / (1 + r[:4]), rtol=1e-12)
    np.testing.assert_allclose(found[4], 2 * r[4] / (1 - r[4]), rtol=1e-12)


@pytest.mark.parametrize("signal", [0.5, 1.0, 3.0])
def test_reliability_is_the_share_of_true_variance_in_the_mean_of_all_patches(signal):
    """The mean of both halves has noise variance 1/2: reliability signal^2 / (signal^2 + 1/2)."""
    found, _ = split_half_reliability(*halves(np.random.default_rng(2), 400, 300, signal))
    truth = signal**2 / (signal**2 + 0.5)
    assert abs(np.median(found) - truth) < 4 * found.std() / np.sqrt(300) + 0.002


def test_noise_has_no_reliability():
    """1,000 features that are noise: r tests at .05 as often as they should, reliability evenly around 0."""
    rng, donors, trials = np.random.default_rng(3), 30, 1000
    found, _ = split_half_reliability(*halves(rng, donors, trials, 0.0))
    r = found / (2 - np.abs(found))
    p = 2 * stats.t.sf(np.abs(r) * np.sqrt((donors - 2) / (1 - r**2)), donors - 2)
    low, high = stats.binom.interval(0.999, trials, 0.05)
    assert low <= np.count_nonzero(p < 0.05) <= high
    low, high = stats.binom.interval(0.999, trials, 0.5)
    assert low <= np.count_nonzero(found > 0) <= high
    assert abs(np.median(found)) < 0.06


def test_reliability_needs_both_halves_and_variation():
    first, second = halves(np.random.default_rng(4), 8, 3, 1.0)
    first[2], second[5] = np.nan, np.nan
    first[:, 1] = 0.1
    first[2, 1] = np.nan
    found, donors = split_half_reliability(first, second)
    kept = [0, 1, 3, 4, 6, 7]
    again, _ = split_half_reliability(first[kept], second[kept])
    assert donors == 6
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(np.isnan(found), [False, True, False])
    for few in (first[:2], first[:0]):
        found, donors = split_half_reliability(few, few)
        assert np.isnan(found).all() and donors == len(few)
    assert split_half_reliability(first[kept], first[kept])[0][0] == pytest.approx(1)


def test_dead_redundant_and_correlations_by_the_slow_way():
    rng = np.random.default_rng(5)
    values = rng.standard_normal((25, 12)) @ rng.standard_normal((12, 12))
    values[:, 3] = 0.1
    values[:, 6] = -2 * values[:, 1] + 1e-3 * values[:, 6]
    values[:, 9] = values[:, 6] + 7
    values[:, 11] = values[:, 3]
    found = quality(values.astype(np.float32))
    np.testing.assert_array_equal(np.flatnonzero(found.dead), [3, 11])
    living = [j for j in range(12) if j not in (3, 11)]
    pairs = {(i, j): stats.pearsonr(values[:, i], values[:, j])[0] for j in living for i in living if i < j}
    assert [j for j in range(12) if found.redundant[j]] == [6, 9]
    assert sorted({j for (i, j), r in pairs.items() if abs(r) > 0.99}) == [6, 9]
    expected, _ = np.histogram(list(pairs.values()), np.linspace(-1, 1, BINS + 1))
    np.testing.assert_array_equal(found.correlations, expected)
    np.testing.assert_allclose(found.sd, [np.std(column, ddof=1) for column in values.T], rtol=1e-5, atol=1e-7)


def test_tiles_do_not_change_what_is_counted(monkeypatch):
    import hx_reliability

    values = np.random.default_rng(6).standard_normal((9, 70))
    values[:, 50:] = values[:, :20] * 3
    whole, tiles = quality(values), hx_reliability.correlation_tiles
    monkeypatch.setattr(hx_reliability, "correlation_tiles", lambda a, b: tiles(a, b, tile_cells=70 * 4))
    parts = quality(values)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.redundant[50:].all() and whole.correlations.sum() == 70 * 69 / 2


@pytest.mark.parametrize(("donors", "dead"), [(0, False), (1, True), (2, False)])
def test_too_few_donors_for_a_correlation(donors, dead):
    found = quality(np.random.default_rng(7).standard_normal((donors, 4)))
    assert found.correlations is None and not found.redundant.any()
    assert (found.dead == dead).all() and np.isnan(found.sd).all() == (donors < 2)


def var(*encoders: str, width: int = 4) -> pd.DataFrame:
    rows = [(f"{name}_{i:04d}", name, "ab12cd34") for name in encoders for i in range(width)]
    return pd.DataFrame(rows, columns=["feature", "encoder", "weights_hash"]).set_index("feature")


def test_tables_of_features():
    rng = np.random.default_rng(8)
    values = {name: rng.gamma(2, size=(15, 8)).astype(np.float32) for name in ("mean", "median", "half1", "half2")}
    values["mean"][:, 2] = 1
    values["mean"][:, 7] = 2 * values["mean"][:, 5]
    values["half1"][4] = np.nan
    told, summary, histograms = feature_tables(values, var("lab", "raw"), "Lung", "256")
    assert list(summary) == SUMMARY_COLUMNS and list(histograms) == HISTOGRAM_COLUMNS
    assert told["dead"].tolist() == [False, False, True] + [False] * 5
    assert told["redundant"].tolist() == [False] * 7 + [True]
    np.testing.assert_array_equal(told["reliability"], split_half_reliability(values["half1"], values["half2"])[0])
    keys = ["encoder", "aggregation"]
    assert summary[keys].to_numpy().tolist() == [[e, a] for e in ("lab", "raw") for a in ("mean", "median")]
    row = summary.set_index(keys).loc[("lab", "mean")]
    assert (row["n_donors"], row["n_features"], row["n_dead"], row["n_redundant"]) == (15, 4, 1, 0)
    assert (row["tissue_id"], row["size"], row["weights_hash"], row["n_donors_both_halves"]) == (
        "Lung", "256", "ab12cd34", 14,
    )  # fmt: skip
    assert row["reliability_median"] == pytest.approx(np.median(told["reliability"][:4]))
    assert row["reliability_q3"] == pytest.approx(np.quantile(told["reliability"][:4], 0.75))
    sd = values["mean"][:, [0, 1, 3]].astype(float).std(axis=0, ddof=1)
    assert row["sd_median"] == pytest.approx(np.median(sd)) and row["sd_q1"] == pytest.approx(np.quantile(sd, 0.25))
    row = summary.set_index(keys).loc[("raw", "median")]
    assert np.isnan(row["reliability_median"]) and row["n_donors_both_halves"] == "" and row["n_redundant"] == 0
    counts = histograms.groupby([*keys, "what"])["count"].agg(["sum", "size"])
    assert counts.loc[("lab", "mean", "correlation")].tolist() == [3, BINS]
    assert counts.loc[("lab", "mean", "sd")].tolist() == [3, BINS]
    assert counts.loc[("raw", "median", "correlation")].tolist() == [6, BINS]
    part = histograms[(histograms["encoder"] == "lab") & (histograms["what"] == "sd")].iloc[:BINS]
    assert part["left"].iloc[0] == 0 and part["right"].iloc[-1] == pytest.approx(sd.max())


def test_a_table_of_features_has_no_halves():
    told, summary, histograms = feature_tables({"mean": np.eye(5)[:, :4]}, var("nuclear"), "Lung", "-")
    assert summary["aggregation"].tolist() == ["given"] and np.isnan(told["reliability"]).all()
    assert set(histograms["what"]) == {"correlation", "sd"} and set(histograms["aggregation"]) == {"given"}


def test_no_donor_gives_no_histogram():
    told, summary, histograms = feature_tables({"mean": np.empty((0, 4))}, var("raw"), "Lung", "256")
    assert histograms.empty and summary["n_dead"].tolist() == [0] and summary["n_redundant"].tolist() == [""]
    assert not told["dead"].any() and np.isnan(summary["sd_median"]).all()
