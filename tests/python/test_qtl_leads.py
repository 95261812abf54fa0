"""Leads of a scan: clumps, effects, what one donor makes; genes of the other half of the donors."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from qtl_made import correlated, drawn_dosage
from scipy.stats import binom

from hx_build import check_builds
from hx_cli import DataError
from hx_linear import r2_of_rows, residual_space, standardise
from hx_mixture import log_p_ratio
from hx_pvalue import PTable
from hx_qtl import imputed
from hx_qtl_lead_tables import LOCUS_POINTS, LOCUS_TOP, _thinned, loci
from hx_qtl_leads import (
    carriers,
    clump,
    effects,
    embedding_effects,
    embedding_log_p_without,
    log_p_without,
)
from hx_qtl_scope import genes_found, split, variants_near
from hx_qtl_traits import normal, traits_of

NULLS = 1000


def made(seed=0, n=80, k=3):
    """Dosages with missing ones, covariates, features, and traits of them."""
    rng = np.random.default_rng(seed)
    dosage = drawn_dosage(rng, 12, n, low=0.1).astype(np.float32)
    dosage[rng.random(dosage.shape) < 0.03] = np.nan
    covariates, features = rng.normal(size=(n, k)), correlated(rng, n, 9)
    traits = traits_of(features[:, :3], features, residual_space(covariates, n))
    return imputed(dosage), covariates, features, traits


def test_effects_against_the_full_regression():
    block, covariates, features, traits = made()
    trait = np.arange(12) % 3
    of = effects(block.values.astype(float), traits, trait)
    ranked = normal(features[:, :3])
    for v in range(12):
        model = sm.OLS(ranked[:, trait[v]], sm.add_constant(np.column_stack([block.values[v], covariates]))).fit()
        assert of.beta[v] == pytest.approx(model.params[1], rel=1e-9)
        assert of.se[v] == pytest.approx(model.bse[1], rel=1e-9)
        assert np.exp(of.log_p[v]) == pytest.approx(model.pvalues[1], rel=1e-9)


def test_p_without_a_donor_is_that_of_a_model_with_a_dummy_for_it():
    block, covariates, _, traits = made(1)
    out, variant, trait = np.array([0, 7, 33, 79]), block.values[4].astype(float), traits.normal.unit[:, 1]
    for k, donor in enumerate(out):
        left = np.delete(np.arange(80), donor)
        model = sm.OLS(trait[left], sm.add_constant(np.column_stack([variant, covariates])[left])).fit()
        assert np.exp(log_p_without(variant, trait, traits.space, out)[k]) == pytest.approx(model.pvalues[1], rel=1e-8)
    # A variant that one donor alone carries says nothing without it.
    alone = np.zeros(80)
    alone[5] = 1
    assert log_p_without(alone, trait, traits.space, np.array([5]))[0] == pytest.approx(0, abs=1e-9)


def test_the_embedding_without_a_donor():
    block, covariates, _, traits = made(2, n=60)
    variant, out = block.values[3].astype(float), np.array([2, 11, 40])
    expected = []
    for donor in out:
        left = np.delete(np.arange(60), donor)
        space = residual_space(covariates[left], 59)
        g, root = space.rotation.T @ variant[left], space.rotation.T @ traits.root[left]
        ratio = ((root.T @ g) ** 2).sum() / (g @ g)
        expected.append(log_p_ratio(np.array([ratio]), np.linalg.eigvalsh(root @ root.T))[0])
    assert embedding_log_p_without(variant, traits, out) == pytest.approx(max(expected), rel=1e-8)
    ratio, log_p = embedding_effects(block.values.astype(float), traits)
    unit = standardise(block.values.T.astype(float), traits.space).unit
    np.testing.assert_allclose(ratio, np.sum((traits.root.T @ unit) ** 2, axis=0), rtol=1e-9)
    np.testing.assert_allclose(log_p, log_p_ratio(ratio, traits.eigenvalues), rtol=1e-9)


def test_carriers_have_the_rarer_allele():
    dosage = np.array([[0, 0, 0, 1, 2, np.nan], [2, 2, 2, 1, 0, np.nan], [0.2, 0, 0, 1.8, 0.6, np.nan]], np.float32)
    expected = [[False, False, False, True, True, False]] * 3
    assert carriers(imputed(dosage)).tolist() == expected


def test_clumps_by_distance_and_by_linkage():
    rng = np.random.default_rng(3)
    base = rng.normal(size=(6, 200))
    base[4] = base[0] + 0.5 * rng.normal(size=200)  # linked to the first, 5 Mb away
    chrom = np.array(["1", "1", "1", "2", "1", "1"], dtype=object)
    pos = np.array([10_000_000, 10_900_000, 12_000_000, 10_000_000, 15_000_000, 25_000_000])
    strength = np.array([9.0, 8.0, 7.0, 6.0, 5.0, 9.0])
    groups = [group.tolist() for group in clump(strength, chrom, pos, base - base.mean(axis=1, keepdims=True))]
    assert groups == [[0, 1, 4], [5], [2], [3]]
    r2 = r2_of_rows(base - base.mean(axis=1, keepdims=True), base[0] - base[0].mean())
    np.testing.assert_allclose(r2, np.corrcoef(base)[0] ** 2, rtol=1e-9)
    assert loci(chrom, pos).tolist() == [1, 1, 2, 3, 4, 5]


def test_a_thinned_neighbourhood_keeps_the_strongest():
    log_p = -np.random.default_rng(0).exponential(size=3000)
    kept = _thinned(log_p)
    assert len(kept) == LOCUS_POINTS and set(np.argsort(log_p)[:LOCUS_TOP]) <= set(kept)
    assert _thinned(log_p[:50]).tolist() == list(range(50)) and _thinned(log_p[:0]).tolist() == []


# Genes


def drawn_eqtl(rng, n, genes):
    """Variants, genes of which each variant explains half, and a trait that has to do with neither."""
    variants = standardise(drawn_dosage(rng, genes, n, low=0.2).T).unit * np.sqrt(n)
    return variants, variants + rng.normal(size=(n, genes)), rng.normal(size=(n, 1))


def test_variants_near_genes_of_the_other_donors_are_null_and_those_of_the_same_donors_are_not():
    """1,000 null traits: variants tested where their genes were chosen reject far too often, in other donors they do
    not."""
    rng, n, same, other = np.random.default_rng(4), 120, [], []
    table = PTable(n // 2 - 2)
    for _ in range(NULLS):
        variants, genes, trait = drawn_eqtl(rng, n, 60)
        half = split(rng, n)
        traits = traits_of(trait[half], np.empty((n // 2, 0)), residual_space(None, n // 2))
        found = genes_found(traits, standardise(normal(genes[half])).unit, 0.9)[0]
        for rows, p in ((half, same), (~half, other)):
            r = standardise(variants[np.ix_(rows, found)]).unit.T @ standardise(normal(trait[rows])).unit[:, 0]
            p += [table.p(r).min() * found.sum()] if found.any() else []  # Bonferroni: the variants are independent
    assert half.sum() == n // 2 and len(same) > NULLS // 3
    at_most = binom.ppf(0.9995, len(other), 0.05)
    assert np.mean(np.array(same) <= 0.05) > 0.12 and np.sum(np.array(other) <= 0.05) <= at_most


def test_genes_of_traits_and_of_the_embedding():
    rng, n = np.random.default_rng(5), 150
    features = correlated(rng, n, 10)
    traits = traits_of(features[:, :2], features, residual_space(rng.normal(size=(n, 2)), n))
    genes = rng.normal(size=(n, 40))
    genes[:, 3] += 2 * features[:, 0]
    genes[:, 9] += 2 * features[:, 7]
    unit = standardise(normal(genes), traits.space).unit
    found = genes_found(traits, unit, 0.05)
    assert found.shape == (3, 40) and found[0, 3] and found[2, [3, 9]].all() and found.sum() < 20
    published = genes_found(traits, unit, 0.05, published=True)
    p = PTable(traits.normal.dof).p(traits.normal.unit.T @ unit)
    np.testing.assert_array_equal(published[:2], p <= 0.001 / 40)
    assert not published[2].any()
    without = traits_of(features[:, :1], features[:, :1], traits.space)
    assert not genes_found(without, unit, 0.05)[1].any()


def test_variants_near_each_trait_s_genes():
    variants = pd.DataFrame(
        {"chrom": ["1"] * 6 + ["2"] * 2, "pos": [1, 1000, 1_500_000, 2_500_000, 2_600_000, 9e6, 5, 50]}
    )
    variants["pos"] = variants["pos"].astype(int)
    positions = pd.DataFrame(
        {
            "gene": ["ENSG1.2", "b", "c"], "chrom": ["1", "2", "1"], "start": [1_400_000, 1, 8_000_000],
            "end": [1_600_000, 10, 8_100_000], "strand": "+",
        }
    )  # fmt: skip
    found = np.array([[True, False, False, False], [False, True, False, True], [False] * 4])
    genes = ["ENSG1.7", "b", "c", "nowhere"]
    allowed, count = variants_near(found, genes, positions, variants, 1_000_000, joint=False)
    assert allowed[:, 0].tolist() == [False, False, True, True, True, False, False, False]
    assert allowed[:, 1].tolist() == [False] * 6 + [True, True]
    assert not allowed[:, 2].any() and count.tolist() == [1, 1, 0]
    joint, _ = variants_near(found, genes, positions, variants, 50, joint=True)
    assert joint[:, 0].tolist() == joint[:, 1].tolist() == [False, False, True, False, False, False, True, True]
    assert not joint[:, 2].any()
    nothing, count = variants_near(np.zeros((2, 4), bool), genes, positions, variants, 50, joint=False)
    assert not nothing.any() and count.tolist() == [0, 0]


def test_builds_that_differ_are_refused():
    check_builds(("g.h5", "GRCh38"), ("p.gtf", "unknown"))
    check_builds(("g.h5", "GRCh37"), ("p.gtf", "GRCh37"))
    with pytest.raises(DataError, match=r"p\.gtf has positions of GRCh37, g\.h5 of GRCh38"):
        check_builds(("g.h5", "GRCh38"), ("p.gtf", "GRCh37"))
