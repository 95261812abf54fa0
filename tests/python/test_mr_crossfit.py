"""Cross-fitted instruments: calibration where variants do nothing, power, and what is told apart by them."""

from collections import Counter

import numpy as np
import pytest
import statsmodels.api as sm
from causality_made import FOUND, dosages, standard, traits_of_kind
from scipy import stats

from hx_causality import (
    FAILED,
    HELD,
    NO_INSTRUMENT,
    SHARED_CAUSE,
    TESTED,
    UNDETERMINED,
    UNTESTABLE,
    WEAK,
    Assumption,
    Candidates,
    Direction,
    cohort_direction,
    direction,
    named_direction,
    pleiotropy,
    same_variant,
    slope_p,
    unit,
    verdict_of,
)
from hx_causality_variants import CIS_P, GENOME_P
from hx_mr_coloc import Coloc
from hx_mr_crossfit import (
    FOLDS,
    LINKED,
    MIN_FOLDS,
    components,
    fold_numbers,
    linkage,
    null_part,
    picks,
    prediction,
    signals,
)
from hx_mr_one_sample import anderson_rubin_p, two_stage

NULLS, DONORS, VARIANTS = 1000, 449, 1000
MOST = 5


def interval(n: int, share: float = 0.05) -> tuple[float, float]:
    """Binomial 99.9 % interval of a share."""
    low, high = stats.binom.ppf([0.0005, 0.9995], n, share) / n
    return float(low), float(high)


def confounded(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two traits of correlation .5 by a common cause, neither acting on the other."""
    cause, e, f = rng.normal(size=(3, n))
    return unit(cause + e - (cause + e).mean()), unit(cause + f - (cause + f).mean())


@pytest.fixture(scope="module")
def nulls() -> dict[str, np.ndarray]:
    """p of no effect, F and effects with the best of VARIANTS variants that do nothing, by three ways of picking it."""
    out: dict[str, list] = {name: [] for name in ("same", "same_f", "same_effect", "plain", "crossfitted", "f")}
    for seed in range(NULLS):
        rng = np.random.default_rng(seed)
        if seed % 100 == 0:
            a = standard(dosages(rng, VARIANTS, DONORS).astype(float))
        x, y = confounded(rng, DONORS)
        folds = fold_numbers(DONORS, rng)
        best = a[np.argmax(np.abs(a @ x))][:, None]
        fit = two_stage(x, y, best, DONORS)
        out["same"].append(fit.effect.p)
        out["same_f"].append(fit.f)
        out["same_effect"].append(fit.effect.effect)
        z = prediction(a, folds, picks(a, x, y, folds, 1.0, 1))[:, None]
        out["crossfitted"].append(anderson_rubin_p(x, y, z))
        out["f"].append(two_stage(null_part(x, y), y, z, DONORS).f)
        # Ten folds alone, the first stage on the exposure as it is: as if the outcome were uncorrelated with it.
        unrelated = null_part(rng.normal(size=DONORS), x)
        z = prediction(a, folds, picks(a, x, unrelated, folds, 1.0, 1))[:, None]
        out["plain"].append(anderson_rubin_p(x, y, z))
    return {name: np.array(values) for name, values in out.items()}


def test_an_instrument_picked_in_the_same_donors_finds_what_is_not_there(nulls):
    """T11: in about half of the cases, at a mean F of 12, with an effect as large as the confounding (.5)."""
    assert 0.40 < np.mean(nulls["same"] < 0.05) < 0.56
    assert 11 < nulls["same_f"].mean() < 13.5
    assert abs(nulls["same_effect"].mean() - 0.5) < 0.05


def test_ten_folds_alone_do_not_do(nulls):
    """Each fold's instrument holds the errors of the donors of the others: above the interval of 5 %."""
    assert np.mean(nulls["plain"] < 0.05) > interval(NULLS)[1]


def test_the_cross_fitted_estimator_keeps_its_level(nulls):
    for level in (0.01, 0.05, 0.2):
        low, high = interval(NULLS, level)
        assert low <= np.mean(nulls["crossfitted"] < level) <= high, level
    # Where such a variant passes for strong, its test is none the worse.
    strong = nulls["crossfitted"][nulls["f"] >= 10]
    assert len(strong) > 20 and np.mean(strong < 0.05) <= stats.binom.ppf(0.9995, len(strong), 0.05) / len(strong)


def test_level_with_an_instrument_that_works():
    """F about 12 in the true variant, an exposure without effect: 5 % and an unbiased estimate."""
    p, effects = [], []
    for seed in range(NULLS):
        rng = np.random.default_rng(seed)
        a = standard(dosages(rng, 60, DONORS).astype(float))
        x, y = confounded(rng, DONORS)
        x = unit(x + 0.165 * a[7])
        folds = fold_numbers(DONORS, rng)
        z = prediction(a, folds, picks(a, x, y, folds, 1.0, 1))[:, None]
        p.append(anderson_rubin_p(x, y, z))
        effects.append(two_stage(x, y, z, DONORS).effect.effect)
    low, high = interval(NULLS)
    assert low <= np.mean(np.array(p) < 0.05) <= high
    assert abs(np.median(effects)) < 0.08


def test_picks_are_those_of_the_other_folds():
    """Donors of a fold change nothing of what is picked for them."""
    rng = np.random.default_rng(2)
    a = standard(dosages(rng, 40, 300).astype(float))
    x, y = confounded(rng, 300)
    x = unit(x + 0.5 * a[3] - 0.4 * a[20])
    y = unit(y - x * float(x @ y) / float(x @ x))  # null_part(x, y) is x whatever is done to a fold of it
    folds = fold_numbers(300, rng)
    found = picks(a, x, y, folds, 1e-3, MOST)
    assert {pick.variant for pick in found} >= {3, 20} and len({pick.fold for pick in found}) == FOLDS
    inside = folds == 4
    others = ~inside
    mine = [pick for pick in found if pick.fold == 4]
    together = sm.OLS(x[others], a[[pick.variant for pick in mine]][:, others].T).fit()
    np.testing.assert_allclose([pick.effect for pick in mine], together.params, rtol=1e-9)
    best = np.argmax([abs(a[k, others] @ x[others]) / np.linalg.norm(a[k, others]) for k in range(40)])
    assert mine[0].variant == best
    z = prediction(a, folds, found)
    expected = sum(a[pick.variant, inside] * pick.effect for pick in mine)
    np.testing.assert_allclose(z[inside], expected, rtol=1e-12)


def test_signals_are_independent_variants_picked_in_most_folds():
    rng = np.random.default_rng(3)
    dosage = dosages(rng, 50, 800)
    dosage[11] = np.where(rng.random(800) < 0.9, dosage[10], dosage[11])  # 10 and 11 are linked
    a = standard(dosage.astype(float))
    assert linkage(a, 10)[11] > 0.5 and linkage(a, 10)[10] == 1
    _, y = confounded(rng, 800)
    x = unit(0.3 * a[10] + 0.4 * a[30] + rng.normal(size=800))
    found = signals(a, x, y, fold_numbers(800, rng), 1e-3, MOST)
    tops = [set(signal.variants) for signal in found if signal.f >= 10]
    assert len(tops) == 2 and tops[0] == {30} and tops[1] <= {10, 11}
    assert all(signal.folds.sum() >= MIN_FOLDS for signal in found)
    assert max(linkage(np.array([s.z for s in found]), 0)[1:]) < LINKED
    # The variant that tells the outcome better than the exposure is no instrument of the exposure.
    y = unit(0.6 * a[30] + rng.normal(size=800))
    again = signals(a, x, y, fold_numbers(800, rng), 1e-3, MOST)
    assert not any(30 in signal.variants for signal in again if signal.f >= 10)
    assert signals(a, rng.normal(size=800), y, fold_numbers(800, rng), 1e-9, MOST) == []


def test_components():
    linked = np.eye(6, dtype=bool)
    for i, j in ((0, 3), (3, 5), (1, 2)):
        linked[i, j] = linked[j, i] = True
    assert components(linked).tolist() == [0, 1, 1, 0, 2, 0]


# What is told apart


def asked(seed: int, kind: str, donors: int, r2: float, instruments: int, region: int):
    """Both directions of a pair: the gene by `region` variants near it, the feature by those and as many elsewhere."""
    rng = np.random.default_rng([seed, FOUND.index(kind)])
    a = standard(dosages(rng, 2 * region, donors).astype(float))
    pair = traits_of_kind(rng, kind, a[:instruments], a[region:][:instruments], r2)
    x, y = (unit(trait - trait.mean()) for trait in pair)
    folds = fold_numbers(donors, rng)
    gene = Candidates(a[:region], np.arange(region), CIS_P, True, "")
    feature = Candidates(a, np.arange(2 * region), GENOME_P, False, "none")
    forward = cohort_direction(x, y, gene, folds, donors, MOST, True)
    back = cohort_direction(y, x, feature, folds, donors, MOST, True)
    told = verdict_of(("gene", "feature"), [forward], [back], [[forward.p], [back.p]], slope_p(x, y) <= 0.05, 0.05)
    return told, forward, back


@pytest.mark.parametrize("kind", FOUND)
def test_strong_instruments_tell_directions_apart(kind):
    """1,500 donors, three instruments on each side that explain 5 % each (F about 80): right in 80 % of 50 seeds."""
    found, strength = Counter(), []
    for seed in range(50):
        told, forward, back = asked(seed, kind, 1500, 0.05, 3, 60)
        found[told.verdict] += 1
        strength += [row["f"] for d in (forward, back) for row in d.rows]
    assert found[kind] >= 40, found
    # What is wrong is said to be open, rather than to be another direction.
    assert sum(found[other] for other in FOUND if other != kind) <= 3, found
    assert 40 < np.median(strength) < 120


@pytest.mark.parametrize("kind", FOUND)
@pytest.mark.parametrize("donors, r2", [(900, 0.01), (449, 0.02)])
def test_weak_instruments_leave_it_undetermined(kind, donors, r2):
    """One instrument on each side, of F 9 in truth: undetermined in 90 % of 40 seeds."""
    found = [asked(seed, kind, donors, r2, 1, 30) for seed in range(40)]
    assert sum(told.verdict == UNDETERMINED for told, _, _ in found) >= 36
    assert np.median([forward.rows[0]["f"] for _, forward, _ in found]) < 10


def test_one_instrument_never_makes_a_verdict():
    """However strong: 20 % of the exposure, 2,000 donors."""
    for seed in range(10):
        told, forward, _ = asked(seed, "gene_to_feature", 2000, 0.2, 1, 30)
        assert forward.p < 1e-4 and forward.status == TESTED and forward.instruments == 1
        assert told.verdict == UNDETERMINED and "cannot tell it from pleiotropy" in told.reason
        assert next(a.state for a in forward.assumptions if a.name == "no_pleiotropy") == UNTESTABLE


def test_pleiotropy_is_found_out():
    """Instruments of the gene act on the feature each in its own way: the assumption fails, nothing is concluded."""
    failed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a = standard(dosages(rng, 60, 1500).astype(float))
        x = unit(np.sqrt(0.06) * a[:3].sum(axis=0) + rng.normal(size=1500))
        y = unit(0.2 * a[0] - 0.2 * a[1] + 0.4 * x + rng.normal(size=1500))
        candidates = Candidates(a, np.arange(60), CIS_P, True, "")
        found = cohort_direction(x, y, candidates, fold_numbers(1500, rng), 1500, MOST, True)
        none = Direction(NO_INSTRUMENT)
        told = verdict_of(("gene", "feature"), [found], [none], [[found.p], [np.nan]], True, 0.05)
        failed += "no_pleiotropy" in found.failed()
        assert told.verdict == UNDETERMINED
    assert failed >= 18


def test_no_variant_and_none_that_passes():
    rng = np.random.default_rng(0)
    x, y = confounded(rng, 200)
    none = Candidates(np.empty((0, 200)), np.empty(0, int), CIS_P, True, "no position of G1")
    found = cohort_direction(x, y, none, fold_numbers(200, rng), 200, MOST, True)
    assert (found.status, found.reason, found.rows) == (NO_INSTRUMENT, "no position of G1", ())
    a = standard(dosages(rng, 30, 200).astype(float))
    genome = cohort_direction(
        x, y, Candidates(a, np.arange(30), GENOME_P, False, ""), fold_numbers(200, rng), 200, MOST, True
    )
    assert genome.status == NO_INSTRUMENT and "none of 30 variants" in genome.reason and genome.rows == ()
    near = cohort_direction(
        x, y, Candidates(a, np.arange(30), CIS_P, True, ""), fold_numbers(200, rng), 200, MOST, True
    )
    assert near.status == WEAK and 0 <= near.rows[0]["f"] < 10 and near.failed() == ["relevance"]
    told = verdict_of(("gene", "feature"), [found], [genome], [[np.nan], [np.nan]], True, 0.05)
    assert told.verdict == NO_INSTRUMENT and "no position of G1" in told.reason


# Rules of assumptions and verdicts


def side(p: float = 0.5, instruments: int = 3, out: bool = True, status: str = TESTED, **states: str) -> Direction:
    given = {"no_pleiotropy": HELD, "direction": HELD} | states
    assumptions = tuple(Assumption(name, state, "") for name, state in given.items())
    return Direction(status, "", instruments, p, ({},), assumptions, out)


def told(forward: Direction, back: Direction, associated: bool = True) -> str:
    return verdict_of(("gene", "feature"), [forward], [back], [[forward.p], [back.p]], associated, 0.05).verdict


def test_rules_of_the_verdict():
    found, none = side(1e-6, out=False), Direction(NO_INSTRUMENT, "none")
    assert told(found, none) == told(found, side()) == "gene_to_feature"
    assert told(none, found) == "feature_to_gene"
    assert told(found, found) == UNDETERMINED
    assert told(side(1e-6, instruments=1), none) == UNDETERMINED
    for name in ("no_pleiotropy", "direction", "same_variant", "independent_selection"):
        assert told(side(1e-6, **{name: FAILED}), none) == UNDETERMINED, name
    assert told(side(1e-6, direction=UNTESTABLE), none) == UNDETERMINED
    assert told(side(1e-6, status=WEAK), none) == UNDETERMINED
    assert told(side(), side()) == SHARED_CAUSE
    assert told(side(), side(), associated=False) == told(side(), none) == UNDETERMINED
    assert told(side(), side(out=False)) == told(side(), side(instruments=1)) == UNDETERMINED
    assert told(side(), side(no_pleiotropy=FAILED)) == UNDETERMINED
    assert told(none, none) == NO_INSTRUMENT
    # A finding whose assumption failed does not stand in the way of one that holds.
    assert told(found, side(1e-6, direction=FAILED)) == "gene_to_feature"


def test_rules_of_the_assumptions():
    assert direction(3.0, 0.003).state == HELD and direction(-3.0, 0.003).state == FAILED
    assert direction(1.0, 0.3).state == UNTESTABLE
    assert [pleiotropy(n, "Sargan", p).state for n, p in ((1, np.nan), (2, 0.5), (2, 0.01))] == [
        UNTESTABLE,
        HELD,
        FAILED,
    ]
    cases = {(0.9, 0.05): HELD, (0.05, 0.9): FAILED, (0.5, 0.4): UNTESTABLE}
    for (h4, h3), state in cases.items():
        assert same_variant(Coloc(0, 0, 0, h3, h4), 1).state == state
    assert same_variant(Coloc(0, 0, 0, 0, 1), 2).state == same_variant(None, 1).state == UNTESTABLE
    assert named_direction("gene", "gene", True) == "first_to_second"
    assert named_direction("feature", "annotation", False) == "feature_to_annotation"
