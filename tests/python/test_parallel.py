"""hx_parallel: components of independent columns, of planted factors, and against signs drawn for every column."""

import numpy as np
import pytest
from scipy import stats

import hx_parallel
from hx_linear import residual_space
from hx_parallel import components_above_noise, largest_columns, mean_edge, noise_edge


def count(values: np.ndarray, seed: int) -> int:
    """Components above noise of (n, columns) values, centred."""
    rotated = residual_space(None, len(values)).rotate(values)
    squares, kernel = (rotated**2).sum(axis=0), rotated @ rotated.T
    variance = np.linalg.eigvalsh(kernel)[::-1]
    largest = rotated[:, largest_columns(squares)]
    return components_above_noise(variance, largest, squares, np.diagonal(kernel), np.random.default_rng([seed, 1]))


def normal(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    return rng.normal(size=(n, columns))


def unequal(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    return rng.normal(size=(n, columns)) * np.exp(rng.normal(size=columns))


def counts(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Zeros in 7 of 10 donors, else exponential: heavy-tailed columns."""
    return np.where(rng.random((n, columns)) < 0.7, 0, rng.exponential(size=(n, columns)))


@pytest.mark.parametrize(("draw", "columns"), [(normal, 6), (unequal, 60), (counts, 60)])
def test_independent_columns_have_a_component_in_one_of_twenty_draws(draw, columns):
    """Share of 200 nulls in its binomial 99.9 % interval at 5 %, seeds 0..199; 400 in the slow test."""
    found = sum(count(draw(np.random.default_rng(seed), 30, columns), seed) > 0 for seed in range(200))
    low, high = stats.binom.interval(0.999, 200, 0.05)
    assert low <= found <= high


@pytest.mark.slow
@pytest.mark.parametrize(("n", "columns", "drawn"), [(24, 500, 500), (70, 300, 300), (40, 3000, 1024), (70, 2000, 400)])
@pytest.mark.parametrize("draw", [normal, unequal])
def test_independent_columns_in_wide_matrices(monkeypatch, n, columns, drawn, draw):
    """Also where the signs of few columns are drawn and the rest as a whole: there up to 3 in 100 more nulls."""
    monkeypatch.setattr(hx_parallel, "COLUMNS", drawn)
    nulls = 400
    found = sum(count(draw(np.random.default_rng(seed), n, columns), seed) > 0 for seed in range(nulls))
    low, high = stats.binom.interval(0.999, nulls, 0.05)
    assert found <= high + (0.03 * nulls if drawn < columns else 0)
    assert found >= (low if drawn == columns else 1)


@pytest.mark.parametrize("n", [83, 277])
@pytest.mark.parametrize("columns", [100, 1500])
def test_planted_factors_are_counted(n, columns):
    """O19: five factors with half of the variance, in each of five cohorts."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(5, columns))
        factors = rng.normal(size=(n, 5)) @ (weights / np.linalg.norm(weights, axis=0))
        assert count(np.sqrt(0.5) * factors + np.sqrt(0.5) * rng.normal(size=(n, columns)), seed) == 5


def test_edge_of_some_columns_is_near_that_of_all(monkeypatch):
    """The edge with the signs of 200 of 2,000 columns drawn is within 1.5 % of that with all drawn, on average."""
    values = unequal(np.random.default_rng(0), 60, 2000)
    squares, diagonal = (values**2).sum(axis=0), (values**2).sum(axis=1)
    monkeypatch.setattr(hx_parallel, "DRAWS", 1)
    means = []
    for columns in (2000, 200):
        monkeypatch.setattr(hx_parallel, "COLUMNS", columns)
        largest = values[:, largest_columns(squares)]
        edges = [noise_edge(largest, squares, diagonal, np.random.default_rng(seed)) for seed in range(40)]
        means.append(np.mean(edges))
    assert means[1] == pytest.approx(means[0], rel=0.015)


@pytest.mark.parametrize(("dim", "columns"), [(50, 20), (50, 50), (448, 20000)])
def test_mean_edge_of_equal_columns_is_marchenko_pasturs(dim, columns):
    edge = mean_edge(np.full(columns, 3.0 * dim), np.empty(0), dim)
    assert edge == pytest.approx(3 * dim * (1 + np.sqrt(columns / dim)) ** 2, rel=1e-9)
    small = mean_edge(np.full(1, 1e-9), np.full(columns, 3.0 * dim), dim)
    assert small == pytest.approx(3 * (columns + 2 * np.sqrt(columns * dim)), rel=1e-3)


def test_one_column_has_no_component():
    assert count(normal(np.random.default_rng(0), 30, 1), 0) == 0


def test_the_same_seed_counts_the_same():
    values = unequal(np.random.default_rng(3), 40, 1500)
    squares, diagonal = (values**2).sum(axis=0), (values**2).sum(axis=1)
    largest = values[:, largest_columns(squares)]
    edges = [noise_edge(largest, squares, diagonal, np.random.default_rng(5)) for _ in range(2)]
    assert edges[0] == edges[1]
