"""hx_directions, hx_ledger and hx_factor_tests against R's vegan, statsmodels, and plain least squares."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

from hx_directions import Block, fit, orthonormal_blocks
from hx_factor_tests import f_p, ledger_p, orders, permutation_p
from hx_ledger import explained, kernel_of, shares
from hx_variance import interval

NONE = np.array([], dtype=int)


def made(n: int = 60) -> tuple[list[np.ndarray], np.ndarray]:
    """Five numbers and a factor of three levels; six responses. Plain trigonometry, so that R has the same."""
    t = np.arange(1, n + 1)[:, None]
    x = np.sin(t * np.array([1.3, 2.1, 0.7, 3.9, 5.3]) + np.arange(5.0))
    x[:, 1] += 0.6 * x[:, 0]
    level = (np.arange(n) * 7) % 3
    y = np.cos(t * np.array([0.9, 1.7, 2.9, 4.3, 0.3, 6.1]) ** 1.1)
    y += np.outer(x[:, 0], [1, 0.5, 0, 0, 0, 0.2]) + np.outer(x[:, 2], [0, 0, 0.8, 0, 0.3, 0])
    y[:, 3] += 0.9 * (level == 2)
    dummies = (level[:, None] == [1, 2]).astype(float)
    return [*(x[:, [i]] for i in range(5)), dummies], y


def arranged(parts: list[np.ndarray], inside: int | None = None) -> tuple[np.ndarray, list[Block], np.ndarray]:
    """Columns, blocks and model of some parts, of which the first `inside` (default: all) are in the model."""
    inside = len(parts) if inside is None else inside
    first = np.cumsum([0, *(part.shape[1] for part in parts)])
    index = [np.arange(a, b) for a, b in pairwise(first)]
    blocks = [Block(own, own if i < inside else NONE) for i, own in enumerate(index)]
    return orthonormal_blocks(parts), blocks, np.concatenate([NONE, *index[:inside]])


def kernel(y: np.ndarray) -> np.ndarray:
    return kernel_of(y - y.mean(axis=0))


def ledger(parts, y, folds=None, groups=None, inside=None):
    columns, blocks, model = arranged(parts, inside)
    n = len(y)
    folds = np.arange(n) % 5 if folds is None else folds
    groups = np.arange(n) % 20 if groups is None else groups
    return shares([kernel(y)], columns, blocks, model, folds, groups)[0]


# vegan 2.6-4: RsquareAdj(rda(Y ~ a + b + c + e + f + g)), of each alone, and with Condition() on all others.
VEGAN_MODEL = (0.345193674448003, 0.257046669085234)
VEGAN_ALONE = [
    (0.168252050283318, 0.153911568391651), (0.049924334724483, 0.0335437198059396),
    (0.0855639752656928, 0.0697978369082047), (0.000786499906856325, -0.0164413190602668),
    (0.0487649771323551, 0.0323643732898095), (0.0401988746316481, 0.00652164216258311),
]  # fmt: skip
VEGAN_BEYOND = [
    (0.00392446398759981, -0.00964924444615822), (0.00302004028911564, -0.01065605573315),
    (0.0855267466078613, 0.0811910324330011), (0.000757207211255346, -0.0131750585934094),
    (0.0487974676038814, 0.0403037218436649), (0.00796555869082947, -0.0188136796124183),
]  # fmt: skip


def test_shares_are_those_of_vegan():
    """O10: R2 and adjusted R2 of redundancy analysis, of the model, of each factor, and beyond the others."""
    found = ledger(*made())
    assert (found.r2[0, -1], found.adjusted[0, -1]) == pytest.approx(VEGAN_MODEL, abs=1e-12)
    for row, oracle in enumerate((VEGAN_ALONE, VEGAN_BEYOND)):
        np.testing.assert_allclose(found.r2[row, :-1], [r2 for r2, _ in oracle], atol=1e-12)
        np.testing.assert_allclose(found.adjusted[row, :-1], [less for _, less in oracle], atol=1e-12)
    assert found.rank.tolist() == [[1, 1, 1, 1, 1, 2, 7], [1, 1, 1, 1, 1, 2, 0]]


def test_type_two_of_statsmodels():
    """O12: with one response, sums of squares, F and p of anova_lm, type II and, with no interaction, type III."""
    parts, y = made()
    frame = pd.DataFrame({name: part[:, 0] for name, part in zip("abcef", parts, strict=False)})
    frame = frame.assign(g=parts[5] @ [1, 2], y=y[:, 3])
    model = smf.ols("y ~ a + b + c + e + f + C(g)", frame).fit()
    columns, blocks, index = arranged(parts)
    beyond = fit(columns, np.ones(60, bool), blocks, index).beyond
    one = kernel(y[:, [3]])
    found = explained(one, beyond)[:-1]
    for typ in (2, 3):
        table = anova_lm(model, typ=typ).drop(index="Intercept", errors="ignore")
        oracle = table.loc[["a", "b", "c", "e", "f", "C(g)"]]
        np.testing.assert_allclose(found, oracle["sum_sq"], rtol=1e-9)
        p = [f_p(ss, model.ssr, int(rank), int(model.df_resid)) for ss, rank in zip(found, beyond.rank, strict=False)]
        np.testing.assert_allclose(p, oracle["PR(>F)"], rtol=1e-9)


def test_f_p_of_scipy():
    for gained, rest, rank, dof in ((3.0, 40.0, 1, 60), (20.0, 5.0, 4, 11), (1e-9, 1.0, 2, 3)):
        oracle = stats.f.sf(gained / rank / (rest / dof), rank, dof)
        assert f_p(gained, rest, rank, dof) == pytest.approx(oracle, rel=1e-9)
    assert np.isnan(f_p(1.0, 1.0, 0, 5)) and np.isnan(f_p(1.0, 1.0, 2, 0))


def errors(parts, y, folds) -> float:
    """Squared errors of prediction, least squares by fold."""
    design, total = np.hstack([np.ones((len(y), 1)), *parts]), 0.0
    for fold in np.unique(folds):
        train = folds != fold
        beta = np.linalg.lstsq(design[train], y[train], rcond=None)[0]
        total += ((y[~train] - design[~train] @ beta) ** 2).sum()
    return total


def test_cross_validation_is_least_squares_by_fold():
    parts, y = made()
    rng = np.random.default_rng(3)
    folds = rng.integers(0, 5, 60)
    found = ledger(parts, y, folds, inside=5)
    none = errors([], y, folds)
    model = parts[:5]
    for i, part in enumerate(parts):
        without = [other for j, other in enumerate(model) if j != i]
        assert found.cv[0, i] == pytest.approx(1 - errors([part], y, folds) / none, abs=1e-12)
        gain = errors(without, y, folds) - errors([*without, part], y, folds)
        assert found.cv[1, i] == pytest.approx(gain / none, abs=1e-12)
    assert found.cv[0, -1] == pytest.approx(1 - errors(model, y, folds) / none, abs=1e-12)
    assert np.isnan(ledger(parts, y, np.zeros(60, int)).cv).all()


def test_interval_is_the_grouped_jackknife():
    parts, y = made()
    groups = np.random.default_rng(0).permutation(60) % 20
    found = ledger(parts, y, groups=groups)
    replicates = []
    for group in range(20):
        rows = groups != group
        part = ledger([p[rows] for p in parts], y[rows], groups=np.arange(rows.sum()) % 20)
        replicates.append(part.adjusted)
    for row in (0, 1):
        for i in range(6):
            low, high, _ = interval(found.adjusted[row, i], np.array([r[row, i] for r in replicates]))
            assert (found.low[row, i], found.high[row, i]) == pytest.approx((low, high), abs=1e-12)


def test_a_factor_outside_adds_to_the_model():
    """Outside: what the model gains, R2(model + factor) - R2(model); one that the model tells adds nothing."""
    parts, y = made()
    parts = [*parts, parts[0] + 2 * parts[2]]
    found, full, less = ledger(parts, y, inside=5), ledger(parts[:6], y), ledger(parts[:5], y)
    assert found.r2[1, 5] == pytest.approx(full.r2[0, -1] - less.r2[0, -1], abs=1e-12)
    assert found.adjusted[1, 5] == pytest.approx(full.adjusted[0, -1] - less.adjusted[0, -1], abs=1e-12)
    assert found.null[1, 5] == pytest.approx((1 - less.r2[0, -1]) * 2 / (59 - 5), abs=1e-12)
    assert (found.rank[1, 6], found.r2[1, 6], found.cv[1, 6]) == (0, 0, 0)
    assert found.rank[0, 6] == 1


def test_levels_that_a_fold_or_group_does_not_hold():
    """All donors of a level in one fold, and in one jackknife group: it is not there for the others."""
    parts, y = made()
    rare = np.zeros((60, 1))
    rare[:4] = 1
    folds, groups = np.arange(60) % 5, np.arange(60) % 20
    folds[:4], groups[:4] = 0, 0
    found = ledger([*parts, rare], y, folds, groups)
    assert np.isfinite(np.array(found[:6])).all()
    assert found.cv[0, 6] == pytest.approx(1 - errors([rare], y, folds) / errors([], y, folds), abs=1e-12)


def test_permutation_p_by_hand_and_shared_orders():
    parts, y = made()
    columns, blocks, model = arranged(parts)
    made_of = fit(columns, np.ones(60, bool), blocks, model)
    order = orders(1, "test", 60, 99)
    assert (orders(1, "test", 60, 99) == order).all() and (np.sort(order, axis=1) == np.arange(60)).all()
    p = permutation_p([kernel(y), kernel(y[:, ::-1])], made_of.alone, order)
    np.testing.assert_array_equal(p[0], p[1])
    actual = explained(kernel(y), made_of.alone)
    for i in (0, 3, 5):
        own = made_of.alone.values[:, made_of.alone.block == i]
        above = sum(np.trace(own[o].T @ kernel(y) @ own[o]) >= actual[i] - 1e-12 for o in order)
        assert p[0, i] == (above + 1) / 100


def test_p_of_the_ledger_is_close_to_the_f_test():
    """With one response the permutation p by itself and beyond the rest is near that of F."""
    parts, y = made()
    columns, blocks, model = arranged(parts)
    p = ledger_p([kernel(y[:, [2]])], columns, blocks, model, 1, "test")[0]
    made_of = fit(columns, np.ones(60, bool), blocks, model)
    one = kernel(y[:, [2]])
    for row, directions in enumerate(made_of):
        gained = explained(one, directions)[:-1]
        rest = np.trace(one) - (gained if row == 0 else explained(one, made_of.alone)[-1])
        for i in range(6):
            rank = int(directions.rank[i])
            dof = 59 - rank if row == 0 else 59 - 7
            oracle = f_p(gained[i], rest[i] if row == 0 else rest, rank, dof)
            assert p[row, i] == pytest.approx(oracle, abs=0.045), (row, i)
    assert np.isnan(p[1, -1])


def test_order_of_donors_and_scale_of_columns_do_not_matter():
    """O23."""
    parts, y = made()
    order = np.random.default_rng(0).permutation(60)
    folds, groups = np.arange(60) % 5, np.arange(60) % 20
    one = ledger(parts, y, folds, groups)
    two = ledger([3 * p[order] - 7 for p in parts], y[order] + 5, folds[order], groups[order])
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


def test_nearly_collinear_columns_keep_their_digits():
    """A VIF of 1e6 costs no more than six digits of the share beyond the rest."""
    parts, y = made()
    twin = parts[0] + 1e-3 * parts[4]
    found = ledger([parts[0], twin, parts[2]], y)
    direct = ledger([parts[0], parts[4], parts[2]], y)
    assert found.r2[1, 1] == pytest.approx(direct.r2[1, 1], rel=1e-6)
