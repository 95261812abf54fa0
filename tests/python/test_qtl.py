"""The scan of genotypes: numbers against statsmodels, plink2 and permutations, and what a null gives."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from qtl_made import correlated, drawn_dosage, planted
from scipy.stats import binom, norm

import hx_qtl
from hx_fdr import bonferroni
from hx_linear import residual_space, standardise
from hx_mixture import log_p_ratio
from hx_null import familywise_p
from hx_pvalue import PTable, critical_r, lambda_gc
from hx_qtl import (
    BINS,
    LOW_MAC,
    LOW_MAF,
    NO_CALL,
    OUT_OF_SCOPE,
    TESTED,
    Limits,
    imputed,
    minor_counts,
    panel_of,
    scan_genotypes,
    status_of,
)
from hx_qtl_leads import effects
from hx_qtl_null import LAMBDA_DRAWS, Family, LambdaNull, MaxNull, gate, threshold_r
from hx_qtl_traits import carrying, columns_of, normal, traits_of
from hx_variance import permutations

DEFAULTS = Limits(20, 0.05)
NULLS = 1000
# plink2 v2.00a3.5: --vcf a.vcf --pheno p.tsv --covar c.tsv --glm hide-covar omit-ref, on `plink_data()`.
PLINK = pd.DataFrame(
    {
        "beta": [0.41084, -0.0427794, 0.537399, -0.105504, 0.0789996, 0.0424724, 0.0697743, 0.259956],
        "se": [0.213704, 0.190907, 0.169821, 0.160028, 0.154509, 0.159509, 0.143896, 0.14607],
        "p": [0.058344, 0.823301, 0.00224465, 0.511731, 0.610648, 0.790763, 0.629165, 0.0791811],
    }
)


def in_blocks(dosage: np.ndarray, size: int = 4096):
    """As hx_genotypes.blocks yields it; 255 is missing."""
    for first in range(0, len(dosage), size):
        part = dosage[first : first + size].astype(np.float32)
        part[part == 255] = np.nan
        yield np.arange(first, first + len(part)), part


def scanned(dosage, space, traits, root=None, limits=DEFAULTS, nulls=(), allowed=None, size=4096):
    root = np.empty((len(traits), 0)) if root is None else root
    panel = panel_of(space, traits, root)
    return scan_genotypes(in_blocks(dosage, size), len(dosage), [panel], limits, nulls, allowed)


def within(rate: float, level: float, tests: int) -> bool:
    """Whether a share of rejections lies in the binomial 99.9 % interval."""
    low, high = binom.interval(0.999, tests, level)
    return low <= rate * tests <= high


def plink_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(variants, donors) copies, (donors, 3) covariates and rank-normal trait of the frozen table."""
    rng = np.random.default_rng(11)
    dosage = rng.binomial(2, np.linspace(0.15, 0.5, 8)[:, None], (8, 80))
    covariates = rng.normal(size=(80, 3))
    trait = rng.gamma(1.7, size=80) + 0.8 * dosage[2] + 0.4 * covariates[:, 0]
    return dosage, covariates, normal(trait[:, None])


# Blocks of genotypes


def test_missing_genotypes_become_the_mean_of_their_variant():
    dosage = np.array([[0, 1, 2, np.nan], [2, 2, np.nan, np.nan], [np.nan] * 4], np.float32)
    block = imputed(dosage)
    np.testing.assert_allclose(block.values, [[-1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], atol=1e-6)
    assert block.copies.tolist() == [3, 4, 0] and block.called.tolist() == [3, 2, 0]
    mac, maf = minor_counts(block.copies, block.called)
    assert mac.tolist() == [3, 0, 0] and maf[:2].tolist() == [0.5, 0] and np.isnan(maf[2])
    assert status_of(mac, maf, block.called, Limits(1, 0.05)).tolist() == [TESTED, LOW_MAC, NO_CALL]
    assert status_of(np.array([25.0]), np.array([0.04]), np.array([300]), DEFAULTS).tolist() == [LOW_MAF]
    assert status_of(np.array([19.0]), np.array([0.2]), np.array([50]), DEFAULTS).tolist() == [LOW_MAC]


def test_a_flipped_allele_changes_the_sign_alone():
    rng = np.random.default_rng(0)
    dosage, space = drawn_dosage(rng, 40, 120), residual_space(rng.normal(size=(120, 3)), 120)
    dosage[rng.random(dosage.shape) < 0.02] = 255
    flipped = np.where(dosage == 255, 255, 2 - np.minimum(dosage, 2)).astype(np.uint8)
    traits = standardise(rng.normal(size=(120, 4)), space).unit
    one, other = (scanned(d, space, traits, traits[:, :2], Limits(1, 0)) for d in (dosage, flipped))
    np.testing.assert_allclose(one.tallies[0].ratio, other.tallies[0].ratio, rtol=1e-4)
    np.testing.assert_array_equal(one.tallies[0].histogram, other.tallies[0].histogram)
    np.testing.assert_allclose(one.frequency, 1 - other.frequency, atol=1e-6)


def test_scan_against_least_squares(monkeypatch):
    """r of every pair, its place in the histogram, the strongest, what is kept, whatever the size of the blocks."""
    rng = np.random.default_rng(1)
    n, dosage = 150, drawn_dosage(np.random.default_rng(2), 60, 150)
    covariates = rng.normal(size=(n, 4))
    space, values = residual_space(covariates, n), rng.normal(size=(n, 5))
    values[:, 1] += 0.9 * dosage[7]
    few = scanned(dosage, space, standardise(values, space).unit, limits=Limits(1, 0)).tallies[0].strong
    monkeypatch.setattr(hx_qtl, "FEW", 0)  # as with many variants
    for size in (7, 4096):
        result = scanned(dosage, space, standardise(values, space).unit, limits=Limits(1, 0), size=size)
        tally = result.tallies[0]
        r = np.empty((60, 5))
        for v, variant in enumerate(dosage):
            for k in range(5):
                model = sm.OLS(values[:, k], sm.add_constant(np.column_stack([variant, covariates]))).fit()
                t = model.tvalues[1]
                r[v, k] = t / np.sqrt(t**2 + model.df_resid)
        assert tally.panel.dof == model.df_resid == space.dim - 1
        np.testing.assert_allclose(tally.largest, np.abs(r).max(axis=1), atol=1e-6)
        np.testing.assert_array_equal(tally.best.row, np.abs(r).argmax(axis=0))
        cut = critical_r(1e-3, tally.panel.dof)
        row, column = np.nonzero(np.abs(r) >= cut)
        np.testing.assert_array_equal(np.c_[tally.strong.row, tally.strong.column], np.c_[row, column])
        np.testing.assert_allclose(tally.strong.r, r[row, column], atol=1e-6)
        # Of few tests every pair is kept.
        np.testing.assert_array_equal(np.c_[few.row, few.column], np.argwhere(np.ones_like(r)))
        np.testing.assert_allclose(few.r, r.ravel(), atol=1e-6)
        assert (7, 1) in set(zip(row, column, strict=True))
        assert tally.histogram.sum(axis=1).tolist() == [60] * 5 and tally.tests.tolist() == [60] * 5 + [0]
        middle = np.sort(np.abs(r), axis=0)[29:31].mean(axis=0)
        np.testing.assert_allclose(
            tally.lambdas(PTable(tally.panel.dof)),
            [lambda_gc(float(PTable(tally.panel.dof).p(np.array([m]))[0])) for m in middle],
            rtol=0.01,
        )
        assert result.called.tolist() == [n] * 60


def test_variants_outside_the_scope_or_spanned_are_no_tests():
    rng = np.random.default_rng(3)
    n, dosage = 100, drawn_dosage(rng, 30, 100, low=0.2)
    space = residual_space(np.column_stack([dosage[4], rng.normal(size=(n, 2))]).astype(float), n)
    traits = standardise(rng.normal(size=(n, 3)), space).unit
    allowed = rng.random((30, 4)) < 0.5
    allowed[4] = True
    result = scanned(dosage, space, traits, traits[:, :2], allowed=allowed)
    tally = result.tallies[0]
    expected = allowed.copy()
    expected[4] = False
    assert tally.tests.tolist() == expected.sum(axis=0).tolist()
    assert tally.histogram.sum() == expected[:, :3].sum()
    assert np.isnan(tally.ratio).tolist() == (~expected[:, 3]).tolist()
    r = np.abs(traits.T @ standardise(np.delete(dosage, 4, 0).T, space).unit)
    r[~np.delete(expected[:, :3], 4, 0).T] = 0
    np.testing.assert_allclose(np.delete(tally.largest, 4), r.max(axis=0), atol=1e-6)
    some = scan_genotypes([(np.array([3, 9]), dosage[[3, 9]].astype(np.float32))], 30, [tally.panel], DEFAULTS)
    assert np.flatnonzero(some.status == TESTED).tolist() == [3, 9]
    assert (np.delete(some.status, [3, 9]) == OUT_OF_SCOPE).all()
    assert scanned(dosage[:0], space, traits).tallies[0].tests.sum() == 0


# plink2


def test_beta_and_p_equal_those_of_plink2():
    dosage, covariates, trait = plink_data()
    space = residual_space(covariates, 80)
    traits = traits_of(trait, np.empty((80, 0)), space)
    block = imputed(dosage.astype(np.float32))
    of = effects(block.values.astype(np.float64), traits, np.zeros(8, int))
    np.testing.assert_allclose(of.beta, PLINK["beta"], rtol=1e-4)
    np.testing.assert_allclose(of.se, PLINK["se"], rtol=1e-4)
    np.testing.assert_allclose(np.exp(of.log_p), PLINK["p"], rtol=1e-4)
    tally = scanned(dosage, space, traits.normal.unit, limits=Limits(1, 0)).tallies[0]
    np.testing.assert_allclose(PTable(75).p(tally.largest), PLINK["p"], rtol=1e-4)


@pytest.mark.skipif(not shutil.which("plink2"), reason="plink2 is not on PATH; its frozen table is compared above")
@pytest.mark.parametrize("seed", range(5))
def test_beta_and_p_equal_those_of_plink2_run_here(tmp_path, seed):
    rng = np.random.default_rng(seed)
    n = 300
    dosage, covariates = drawn_dosage(rng, 200, n), rng.normal(size=(n, 6))
    trait = normal((rng.standard_t(5, n) + 0.5 * dosage[3] + covariates[:, 0])[:, None])
    head = ["##fileformat=VCFv4.2", '##FORMAT=<ID=GT,Number=1,Type=String,Description="G">', "##contig=<ID=1>"]
    names = [f"D{k}" for k in range(n)]
    fixed = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".split()
    rows = ["\t".join([*fixed, *names])]
    cells = np.array(["0/0", "0/1", "1/1"])[dosage]
    rows += ["\t".join(["1", str(v + 1), f"rs{v}", *"AG...", "GT", *row]) for v, row in enumerate(cells)]
    (tmp_path / "a.vcf").write_text("\n".join(head + rows) + "\n")
    for name, table in (("p", pd.DataFrame({"trait": trait[:, 0]})), ("c", pd.DataFrame(covariates).add_prefix("c"))):
        table.insert(0, "#IID", names)
        table.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False, float_format="%.17g")
    given = ["--vcf", "a.vcf", "--pheno", "p.tsv", "--covar", "c.tsv", "--glm", "hide-covar", "omit-ref", "--out", "o"]
    subprocess.run(["plink2", *given], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    theirs = pd.read_csv(Path(tmp_path, "o.trait.glm.linear"), sep="\t")
    traits = traits_of(trait, np.empty((n, 0)), residual_space(covariates, n))
    of = effects(imputed(dosage.astype(np.float32)).values.astype(np.float64), traits, np.zeros(200, int))
    np.testing.assert_allclose(of.beta, theirs["BETA"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(of.log_p), theirs["P"], rtol=1e-4)
    tally = scanned(dosage, traits.space, traits.normal.unit, limits=Limits(1, 0)).tallies[0]
    np.testing.assert_allclose(PTable(traits.normal.dof).p(tally.largest), theirs["P"], rtol=1e-4)


# What a null gives


@pytest.mark.parametrize("seed", range(5))
def test_a_trait_of_heavy_tails_has_no_false_hit_at_the_defaults(seed):
    """Excess kurtosis 3.5, n = 600: 0 of 1e6 tests below 5e-8; without ranks and filters at least 10."""
    rng, n = np.random.default_rng(seed), 600
    trait = rng.gamma(6 / 3.5, size=(n, 50))
    space = residual_space(rng.normal(size=(n, 10)), n)
    common = drawn_dosage(rng, 20_500, n, low=0.055)
    rare = drawn_dosage(rng, 10_000, n, low=0.005, high=0.005)
    ranked, raw = (standardise(values, space).unit for values in (normal(trait), trait))
    tally = scanned(common, space, ranked).tallies[0]
    cut = critical_r(5e-8, space.dim - 1)
    assert tally.tests.sum() >= 1_000_000 and tally.largest[~np.isnan(tally.largest)].max() < cut
    assert scanned(rare, space, ranked).tallies[0].tests.sum() == 0
    without = [scanned(dosage, space, raw, limits=Limits(1, 0)).tallies[0] for dosage in (common, rare)]
    assert sum((np.abs(tally.strong.r) >= cut).sum() for tally in without) >= 10


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_effect_of_6_percent_is_found_in_600_donors(seed):
    rng, n = np.random.default_rng(seed), 600
    dosage, space = drawn_dosage(rng, 5000, n), residual_space(rng.normal(size=(n, 10)), n)
    trait = planted(space.residuals(dosage[[1234]].T.astype(float))[:, 0], 0.06, rng)[:, None]
    unit = traits_of(trait, np.empty((n, 0)), space).normal.unit
    tally = scanned(dosage, space, unit).tallies[0]
    assert tally.best.row.tolist() == [1234] and PTable(space.dim - 1).p(tally.best.r)[0] <= 5e-8


@pytest.mark.parametrize("seed", range(5))
def test_lambda_under_population_structure(seed):
    """Two populations (Fst .05) of different mean: lambda .95 to 1.05 with genotype components, far off without."""
    rng, n, variants = np.random.default_rng(seed), 400, 20_000
    population = rng.random(n) < 0.4
    old, fst = rng.uniform(0.15, 0.85, (variants, 1)), 0.05
    size = (1 - fst) / fst
    frequency = rng.beta(old * size, (1 - old) * size, (variants, 2))[:, population.astype(int)]
    dosage = rng.binomial(2, frequency).astype(np.uint8)
    scaled = dosage - dosage.mean(axis=1, keepdims=True)
    scaled = scaled[scaled.std(axis=1) > 0]
    scaled = scaled / scaled.std(axis=1, keepdims=True)
    components = np.linalg.eigh(scaled.T @ scaled)[1][:, -5:]
    trait = rng.normal(size=(n, 1)) + 0.8 * population[:, None]
    values = []
    for covariates in (components, None):
        space = residual_space(covariates, n)
        unit = traits_of(trait, np.empty((n, 0)), space).normal.unit
        null = LambdaNull(space, unit[:, 0], np.random.default_rng(0), len(dosage))
        tally = scanned(dosage, space, unit, nulls=[null]).tallies[0]
        values.append(tally.lambdas(PTable(space.dim - 1))[0])
        low, high = null.limits(PTable(space.dim - 1), 1)
        assert gate(values[-1], low, high) == ("inflated" if covariates is None else "ok")
    assert 0.95 <= values[0] <= 1.05 and values[1] > 1.3


@pytest.mark.parametrize("k", [0, 8])
def test_p_of_traits_and_of_the_embedding_under_the_null(k):
    """Donors, features and covariates that move both sides, 250 times, with 4 variants each: 1,000 nulls."""
    rng, n, table = np.random.default_rng(0), 60, PTable(58 - k)
    p, of_embedding = [], []
    for _ in range(NULLS // 4):
        covariates, features = rng.normal(size=(n, k)), correlated(rng, n, 8)
        dosage = drawn_dosage(rng, 4, n, low=0.2)
        if k:
            features = np.exp(features) + 3 * covariates[:, :1]
            dosage = np.clip(np.round(dosage + 0.6 * covariates[:, 0]), 0, 2)
        space = residual_space(covariates, n)
        traits = traits_of(columns_of(features, space, 1, np.empty((n, 0)), []).values, features, space)
        tally = scanned(dosage, space, traits.normal.unit, traits.root, Limits(1, 0)).tallies[0]
        p.append(table.p(tally.largest))
        of_embedding.append(np.exp(traits.embedding_log_p(tally.ratio)))
    for values in (np.concatenate(p), np.concatenate(of_embedding)):
        assert len(values) == NULLS and all(within(np.mean(values <= level), level, NULLS) for level in (0.05, 0.01))


def test_ranks_of_residuals_without_adjusting_again_reject_too_often():
    """The order that the transform must not take: a covariate that moves both sides comes back."""
    rng, n, wrong = np.random.default_rng(1), 200, []
    cut = critical_r(0.05, n - 3)
    for _ in range(NULLS):
        covariate = rng.exponential(size=(n, 1)) ** 2
        trait, space = covariate + rng.exponential(size=(n, 1)) ** 2, residual_space(covariate, n)
        variant = np.clip(np.round(covariate / 2 + rng.random((n, 1)) * 1.2), 0, 2)
        unit = standardise(normal(space.residuals(trait))).unit
        r = unit.T @ standardise(space.residuals(variant)).unit
        wrong.append(abs(r[0, 0]) >= cut)
    assert np.mean(wrong) > 0.08


@pytest.mark.parametrize("seed", range(5))
def test_the_embedding_s_p_equals_permutations(seed):
    """1e5 permutations of the variant in the coordinates of the residual space, within their Monte Carlo error."""
    rng, n, count = np.random.default_rng(seed), 200, 100_000
    features, space = np.maximum(correlated(rng, n, 30), 0), residual_space(rng.normal(size=(n, 6)), n)
    traits = traits_of(features[:, :1], features, space)
    variant = rng.binomial(2, 0.3, n)
    unit = space.rotate(variant[:, None])[:, 0]
    unit /= np.linalg.norm(unit)
    root = space.rotation.T @ traits.root
    observed = ((root.T @ unit) ** 2).sum()
    tally = scanned(variant[None], space, traits.normal.unit, traits.root).tallies[0]
    assert tally.ratio[0] == pytest.approx(observed, rel=1e-5)
    null = np.concatenate(
        [((unit[permutations(rng, 5000, len(unit))] @ root) ** 2).sum(axis=1) for _ in range(count // 5000)]
    )
    # The variant's own, and what it would be where it went with the embedding.
    ratios = np.append(observed, np.quantile(null, [0.5, 0.9, 0.99, 0.999]))
    for ratio, p in zip(ratios, np.exp(traits.embedding_log_p(ratios)), strict=True):
        low, high = binom.interval(0.999, count, p)
        assert low <= (null >= ratio).sum() <= high


def test_an_embedding_that_a_few_donors_make_is_not_trusted_more():
    """Heavy tails in all features at once, MAF 5 %: p <= 1e-3 at most 1.3 times too often, unshortened rows 1.2 up."""
    rng, n = np.random.default_rng(1), 449
    features = np.maximum(rng.standard_t(4, size=(n, 5)) ** 3 @ rng.normal(size=(5, 40)) + rng.normal(size=(n, 40)), 0)
    space = residual_space(None, n)
    variants = standardise(rng.permuted(np.tile(drawn_dosage(rng, 1, n, 0.05, 0.05), (40_000, 1)), axis=1).T).unit
    traits = traits_of(features[:, :1], features, space)
    own = standardise(normal(features))
    plain = own.unit / np.sqrt(own.unit.shape[1])
    size = np.linalg.eigvalsh(space.rotation.T @ plain @ plain.T @ space.rotation)
    shares = []
    for root, values in ((traits.root, traits.eigenvalues), (plain, size)):
        shares.append(np.mean(log_p_ratio(((root.T @ variants) ** 2).sum(axis=0), values) <= np.log(1e-3)))
    assert shares[0] <= 1.3e-3 and shares[1] > 1.2e-3


# Families


def test_family_wise_error_of_the_shared_permutations():
    """The family-wise p of the best of 3 traits that depend on each other and 20 variants, and the embedding's."""
    rng, n, false = np.random.default_rng(5), 40, []
    table = PTable(n - 2 - 4)
    for _ in range(NULLS):
        space = residual_space(rng.normal(size=(n, 4)), n)
        features = rng.exponential(size=(n, 3)) + rng.exponential(size=(n, 1))
        traits = traits_of(features, features, space)
        null = MaxNull(space, traits.normal.unit, rng, 99)
        tally = scanned(drawn_dosage(rng, 20, n, 0.3), space, traits.normal.unit, traits.root, Limits(1, 0), [null])
        family = Family(tally.tallies[0].tests, null.values(), 1, table)
        strongest = np.exp(traits.embedding_log_p(np.array([np.nanmax(tally.tallies[0].ratio)])))
        alone = familywise_p(np.abs(tally.tallies[0].best.r).max(), null.values())
        together = min(family.p_traits(tally.tallies[0].best.r).min(), family.p_embedding(strongest)[0])
        false.append([alone <= 0.05, together <= 0.05])
    of_traits, of_all = np.mean(false, axis=0)
    assert within(of_traits, 0.05, NULLS) and of_all <= binom.ppf(0.9995, NULLS, 0.05) / NULLS and of_all > 0.01


def test_maxima_are_those_of_permuted_traits():
    rng, n = np.random.default_rng(6), 50
    space, dosage = residual_space(rng.normal(size=(n, 3)), n), drawn_dosage(rng, 30, n, 0.3)
    unit = standardise(rng.normal(size=(n, 2)), space).unit
    allowed = rng.random((30, 3)) < 0.6
    null = MaxNull(space, unit, np.random.default_rng(9), 100)
    scanned(dosage, space, unit, limits=Limits(1, 0), nulls=[null], allowed=allowed, size=11)
    orders = permutations(np.random.default_rng(9), 100, space.dim)
    variants = space.rotation.T @ standardise(dosage.T, space).unit
    moved = (space.rotation.T @ unit)[orders]
    r = np.abs(np.einsum("bdt,dv->bvt", moved, variants))
    r[:, ~allowed[:, :2]] = 0
    np.testing.assert_allclose(null.values(), np.sort(r.max(axis=(1, 2))), atol=1e-6)


def test_family_wise_p_and_its_threshold():
    table, null = PTable(100), np.linspace(0.2, 0.5, 199)
    for tests, groups, traits in (([500, 400, 600], 3, 2), ([500, 400, 0], 2, 2)):
        family = Family(np.array(tests), null, 1, table)
        r = np.array([0.1, 0.49, 0.6])
        np.testing.assert_allclose(family.p_traits(r), np.minimum(1, familywise_p(r, null) * groups / traits))
        limit = family.threshold(0.05, embedding=False)
        just = np.array([critical_r(limit, 100)])
        assert family.p_traits(just * 1.0001)[0] <= 0.05 < family.p_traits(just * 0.995)[0]
        bonferroni_family = Family(np.array(tests), np.empty(0), 2, table)
        assert bonferroni_family.threshold(0.05, False) == pytest.approx(0.05 / (2 * sum(tests)))
        np.testing.assert_allclose(bonferroni_family.p_traits(r), bonferroni(table.p(r), 2 * sum(tests)))
    family = Family(np.array([500, 400, 600]), null, 2, table)
    limit = family.threshold(0.05, embedding=True)
    assert family.p_embedding(np.array([limit]))[0] == pytest.approx(0.05)
    assert limit == pytest.approx(0.05 / (2 * 3 * 600))
    assert threshold_r(null[:10], 0.05) == 1.0  # 10 permutations can say nothing at .05
    assert Family(np.array([5, 0]), null[:10], 1, table).threshold(0.05, False) == 0
    assert Family(np.zeros(3, int), null, 1, table).threshold(0.05, False) == 0


def test_limits_of_lambda_hold_what_is_null():
    """With few variants in linkage lambda scatters far more than .95 to 1.08: the limits of 20 traits hold all of them
    in 19 of 20 nulls."""
    rng, n, outside = np.random.default_rng(7), 100, 0
    for _ in range(60):
        blocks = drawn_dosage(rng, 30, n, 0.2)
        dosage = np.repeat(blocks, 8, axis=0)
        space = residual_space(None, n)
        unit = traits_of(rng.normal(size=(n, 20)), np.empty((n, 0)), space).normal.unit
        null = LambdaNull(space, unit[:, 0], rng, len(dosage))
        tally = scanned(dosage, space, unit, nulls=[null]).tallies[0]
        low, high = null.limits(PTable(n - 2), 20)
        assert low < 0.9 and high > 1.1
        outside += any(gate(value, low, high) != "ok" for value in tally.lambdas(PTable(n - 2)))
    assert outside <= binom.ppf(0.999, 60, 0.05) + 1
    assert gate(1.2, 0.9, 1.1) == "inflated" and gate(0.8, 0.9, 1.1) == "deflated" and gate(np.nan, 0.9, 1.1) == ""
    assert null.histogram.sum() == LAMBDA_DRAWS * 240 and tally.histogram.shape == (20, BINS)


# Traits


def test_components_are_those_of_the_rank_normal_residuals():
    rng, n = np.random.default_rng(8), 90
    features, covariates = np.exp(correlated(rng, n, 15)), rng.normal(size=(n, 3))
    space = residual_space(covariates, n)
    columns = columns_of(features, space, 4, features[:, :2], ["a", "b"])
    assert columns.name.tolist() == ["PC1", "PC2", "PC3", "PC4", "a", "b"]
    assert columns.kind.tolist() == ["pc"] * 4 + ["feature"] * 2
    own = standardise(normal(features))
    residuals = own.unit - space.basis @ (space.basis.T @ own.unit)
    left, size, _ = np.linalg.svd(residuals, full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(left[:, :4] * columns.values[:, :4], axis=0)), 1, atol=1e-9)
    np.testing.assert_allclose(columns.share[:4], (size**2 / (size**2).sum())[:4], rtol=1e-9)
    traits = traits_of(columns.values, features, space)
    ranked = norm.ppf((pd.DataFrame(columns.values).rank().to_numpy() - 0.375) / (n + 0.25))
    left = space.residuals(ranked)
    np.testing.assert_allclose(traits.normal.unit, left / np.linalg.norm(left, axis=0), atol=1e-9)
    assert np.trace(traits.root @ traits.root.T) == pytest.approx(1)
    assert traits.eigenvalues.sum() == pytest.approx(1) and len(traits.eigenvalues) == space.dim
    assert columns_of(features, space, 0, features[:, :1], ["a"]).name.tolist() == ["a"]
    assert columns_of(features[:, :2], space, 9, np.empty((n, 0)), []).name.tolist() == ["PC1", "PC2"]
    assert not carrying(np.column_stack([np.ones(n), features[:, 0]]), space)[0]
    alone = traits_of(features[:, :1], features[:, :1], space)
    assert alone.root.shape == (n, 0)
