"""hx_selection: confounders chosen by tests, against vegan's ordiR2step and planted truth."""

from itertools import pairwise

import numpy as np
import pytest
from test_ledger import kernel, made

from hx_directions import orthonormal_blocks
from hx_selection import forward, significant


def indexed(parts: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    first = np.cumsum([0, *(part.shape[1] for part in parts)])
    return orthonormal_blocks(parts), [np.arange(a, b) for a, b in pairwise(first)]


def test_steps_of_vegan():
    """O11: ordiR2step(R2scope = FALSE) of vegan 2.6-4 adds a, c, f (and b); TRUE stops before f."""
    parts, y = made()
    columns, blocks = indexed(parts)
    steps = forward(kernel(y), columns, blocks, 1, "test")
    assert [step.block for step in steps] == [0, 2, 4]
    oracle = [0.1539115683916, 0.2278672571970, 0.2651857475942]
    np.testing.assert_allclose([step.adjusted for step in steps], oracle, atol=1e-12)
    np.testing.assert_allclose([step.p for step in steps], [0.001, 0.001, 0.002], atol=0.003)
    strict = forward(kernel(y), columns, blocks, 1, "test", keep_last=False)
    assert [step.block for step in strict] == [0, 2]


def test_dropping_the_last_can_leave_nothing():
    """T19: one real factor among noise: the strict rule returns an empty model, ours keeps it. 20 cohorts."""
    empty = kept = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        factors = rng.normal(size=(120, 8))
        y = np.outer(factors[:, 3], rng.normal(size=60)) + 1.7 * rng.normal(size=(120, 60))
        columns, blocks = indexed([factors[:, [i]] for i in range(8)])
        ours = forward(kernel(y), columns, blocks, seed, "test")
        strict = forward(kernel(y), columns, blocks, seed, "test", keep_last=False)
        kept += bool(ours) and ours[0].block == 3
        empty += not strict
    assert kept == 20
    assert empty >= 5


def test_noise_is_seldom_chosen():
    """Five noise factors, 200 cohorts: the first test, of all together, lets 5 % pass (binomial 99.9 %)."""
    chosen = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        columns, blocks = indexed([rng.normal(size=(40, 1)) for _ in range(5)])
        chosen += bool(forward(kernel(rng.normal(size=(40, 30))), columns, blocks, seed, "test"))
    assert chosen <= 22


def test_cap_on_columns():
    """At most 15 columns and a tenth of the donors."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(60, 1)) for _ in range(9)]
    y = sum(np.outer(p[:, 0], rng.normal(size=40)) for p in parts) + 0.3 * rng.normal(size=(60, 40))
    columns, blocks = indexed(parts)
    assert len(forward(kernel(y), columns, blocks, 1, "test")) == 6


def test_a_factor_is_chosen_for_either_side():
    """The union: one factor acts on the first view, another on the second; noise on neither."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(100, 1)) for _ in range(6)]
    one = np.outer(parts[1][:, 0], rng.normal(size=30)) + 2 * rng.normal(size=(100, 30))
    two = np.outer(parts[4][:, 0], rng.normal(size=30)) + 2 * rng.normal(size=(100, 30))
    columns, blocks = indexed(parts)
    q, mask = significant([kernel(one), kernel(two)], columns, blocks, 1, "test")
    assert mask.tolist() == [False, True, False, False, True, False]
    assert q.shape == (2, 6) and q[0, 1] == pytest.approx(0.006) and q[1, 4] == pytest.approx(0.006)


def test_nothing_to_choose_from():
    y = np.random.default_rng(0).normal(size=(30, 5))
    q, mask = significant([kernel(y)], np.empty((30, 0)), [], 1, "test")
    assert q.shape == (1, 0) and mask.shape == (0,)
    assert forward(kernel(y), np.empty((30, 0)), [], 1, "test") == []
