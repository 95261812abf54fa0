"""Hardy-Weinberg, kinship, pruning and genotype PCs: against PLINK 2's numbers, closed forms and planted families.

PLINK v2.00a3.5, on genotypes_made.families() as bed (names D00 to D23; `miss` with 3 % of the calls missing):
    plink2 --bfile miss --make-king-table --bad-freqs
    plink2 --bfile full --pca 3 --bad-freqs
    plink2 --vcf counts.vcf --hardy
"""

import itertools

import numpy as np
import pytest
from genotypes_made import draw, families
from scipy import stats

from hx_genotypes import as_dosage
from hx_hwe import _exact, hwe_p, tally
from hx_kinship import (
    DUPLICATE,
    ENOUGH,
    ENOUGH_FOR_DUPLICATES,
    SECOND_DEGREE,
    close_pairs,
    genotype_pcs,
    king_robust,
    kinship_threshold,
    relation,
)
from hx_ld import long_range, prune, thinned

NAMES = [f"D{k:02d}" for k in range(24)]
HARDY = {
    (57, 14, 50): 5.56205e-19,
    (100, 0, 0): 1,
    (0, 20, 0): 8.94714e-06,
    (10, 0, 10): 1.3403e-06,
    (1, 2, 1): 1,
    (300, 100, 49): 2.48322e-12,
    (440, 8, 1): 0.0493869,
    (5, 444, 0): 1.28648e-124,
    (200, 200, 49): 1,
    (3, 1, 0): 1,
    (447, 0, 2): 3.73685e-06,
    (120, 230, 99): 0.636202,
}
KING = [
    ("D23", "D03", 0.5),
    ("D21", "D00", 0.25),
    ("D21", "D20", 0.245654),
    ("D21", "D01", 0.245161),
    ("D20", "D00", 0.244646),
    ("D20", "D01", 0.241756),
    ("D22", "D00", 0.239548),
    ("D22", "D02", 0.237856),
    ("D22", "D21", 0.103175),
    ("D22", "D20", 0.084322),
    ("D10", "D09", -0.0859859),
    ("D23", "D10", -0.087735),
    ("D22", "D10", -0.100358),
]
PCS = {
    "D00": [-0.42133, 0.001851, 0.116371],
    "D04": [0.058044, 0.004488, 0.020944],
    "D08": [0.014881, -0.029706, 0.008537],
    "D12": [0.15646, -0.11131, 0.038828],
    "D16": [0.153861, -0.129197, -0.022292],
    "D20": [-0.42358, 0.018055, -0.263977],
}


def units_of(copies: np.ndarray) -> np.ndarray:
    return np.where(copies < 0, 255, 100 * copies).astype(np.uint8)


@pytest.fixture(scope="module")
def family() -> np.ndarray:
    return families()


@pytest.fixture(scope="module")
def kinship(family) -> np.ndarray:
    missing = np.random.default_rng(8).random(family.shape) < 0.03
    units = units_of(np.where(missing, -1, family))
    return king_robust([units[:1000], units[1000:]], 24)


def test_hardy_weinberg_equals_plink2():
    assert hwe_p(*np.array(list(HARDY)).T) == pytest.approx(list(HARDY.values()), rel=1e-5)


def test_hardy_weinberg_by_enumeration():
    """All ways to deal 5 rare and 9 other alleles to 7 donors, counted one by one."""
    dealt = [0] * 8
    for rare in itertools.combinations(range(14), 5):
        dealt[sum((2 * k in rare) != (2 * k + 1 in rare) for k in range(7))] += 1
    share = np.array(dealt)[[1, 3, 5]] / sum(dealt)
    expected = [share[share <= each * (1 + 1e-12)].sum() for each in share]
    assert _exact(7, 5) == pytest.approx(expected, rel=1e-12)
    assert hwe_p(np.array([0]), np.array([0]), np.array([0])).tolist() == [1.0]


def test_hardy_weinberg_is_not_anticonservative():
    """2,000 variants in proportions, seed 0: the exact test rejects no more than its level."""
    copies = draw(np.random.default_rng(0).uniform(0.1, 0.5, 2000), 200, np.random.default_rng(1)).sum(axis=2)
    p = hwe_p(*((copies == k).sum(axis=1) for k in (0, 1, 2)))
    for level in (0.05, 0.01):
        assert (p <= level).sum() <= stats.binom.ppf(0.9995, 2000, level)
    assert (p <= 0.05).mean() > 0.025


def test_tally_counts_calls_dosages_and_missing():
    units = np.array([[0, 100, 200, 255, 10, 90, 110, 190, 50, 150, 89, 11]], dtype=np.uint8)
    counted = tally(units)
    assert [int(part[0]) for part in counted] == [2, 3, 2, 1, int(units[units != 255].sum())]


def test_kinship_equals_plink2(kinship):
    for a, b, expected in KING:
        assert kinship[NAMES.index(a), NAMES.index(b)] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(kinship, kinship.T)
    assert np.diag(kinship) == pytest.approx(0.5)


def test_kinship_of_a_donor_without_heterozygotes_is_unknown():
    units = np.array([[0, 100, 100], [200, 100, 0], [0, 0, 100]], dtype=np.uint8)
    found = king_robust([units], 3)
    assert np.isnan(found[0]).all() and np.isnan(found[:, 0]).all() and not np.isnan(found[1, 2])


def test_fewest_relatives_are_dropped(kinship):
    rate = np.ones(24)
    table, dropped = close_pairs(kinship, NAMES, rate, SECOND_DEGREE)
    # D00 has three relatives, as D21; of those D21 is the later name. Then D00, then one of D20-D01 ... each pair.
    left = [k for k in range(24) if k not in dropped]
    assert np.nanmax(np.triu(kinship[np.ix_(left, left)], 1)) <= SECOND_DEGREE
    assert len(table) == 9 and table["kinship"].is_monotonic_decreasing
    assert table.iloc[0][["donor1", "donor2", "relation"]].tolist() == ["D03", "D23", "duplicate or identical twin"]
    related = np.nan_to_num(np.triu(kinship, 1)) > SECOND_DEGREE
    pairs = list(zip(*np.nonzero(related), strict=True))
    fewest = next(
        n for n in range(10) for gone in itertools.combinations(range(24), n) if all(set(p) & set(gone) for p in pairs)
    )
    assert len(dropped) == fewest
    assert all(row["dropped"] for _, row in table.iterrows())


def test_of_a_pair_the_lower_call_rate_goes_then_the_later_name():
    pair = np.array([[0.5, 0.3], [0.3, 0.5]])
    assert close_pairs(pair, ["A", "B"], np.array([0.96, 0.99]), 0.1)[1] == [0]
    assert close_pairs(pair, ["A", "B"], np.array([0.99, 0.96]), 0.1)[1] == [1]
    assert close_pairs(pair, ["D1", "D10"], np.array([1.0, 1.0]), 0.1)[1] == [1]
    assert close_pairs(pair, ["B", "A"], np.array([1.0, 1.0]), 0.1)[1] == [0]
    table, dropped = close_pairs(pair, ["A", "B"], np.ones(2), 0.4)
    assert dropped == [] and table.empty


def test_relations_by_degree():
    assert [relation(value) for value in (0.4, 0.25, 0.125)] == [
        "duplicate or identical twin",
        "first degree",
        "second degree",
    ]


def test_strangers_stay_below_the_threshold_that_the_number_of_snps_allows():
    """The standard error of a stranger's kinship: 0.95 / sqrt(SNPs), so both thresholds lie 6 of them away."""
    assert kinship_threshold(ENOUGH) == SECOND_DEGREE and kinship_threshold(ENOUGH - 1) == DUPLICATE
    assert kinship_threshold(ENOUGH_FOR_DUPLICATES - 1) is None
    for snps in (ENOUGH, ENOUGH_FOR_DUPLICATES):
        rng = np.random.default_rng(snps)
        copies = draw(rng.uniform(0.05, 0.5, snps), 100, rng).sum(axis=2)
        values = king_robust([units_of(copies)], 100)[np.triu_indices(100, 1)]
        assert values.std() * np.sqrt(snps) == pytest.approx(0.95, abs=0.1)
        assert values.mean() == pytest.approx(0, abs=0.05)
        assert values.max() < kinship_threshold(snps)


def test_pcs_equal_plink2_up_to_sign(family):
    dosage = family.astype(np.float32)
    found = genotype_pcs([dosage[:700], dosage[700:]], 24, 3)
    expected = np.array(list(PCS.values()))
    rows = found[[NAMES.index(name) for name in PCS]]
    for k in range(3):
        assert min(np.abs(rows[:, k] - expected[:, k]).max(), np.abs(rows[:, k] + expected[:, k]).max()) < 2e-6
    assert np.linalg.norm(found, axis=0) == pytest.approx([1, 1, 1])
    top = np.argmax(np.abs(found), axis=0)
    assert (found[top, range(3)] > 0).all()


def test_pcs_find_planted_populations_and_missing_calls_do_not_make_one():
    rng = np.random.default_rng(5)
    frequency = rng.uniform(0.2, 0.8, 3000)
    shifted = np.clip(frequency + rng.normal(0, 0.1, 3000), 0.05, 0.95)
    people = np.concatenate([draw(frequency, 30, rng), draw(shifted, 30, rng)], axis=1).sum(axis=2)
    lost = rng.random(people.shape) < np.where(np.arange(60) % 2, 0.2, 0.0)
    dosage = as_dosage(units_of(np.where(lost, -1, people)))
    pcs = genotype_pcs([dosage], 60, 5)
    group = np.repeat([0, 1], 30)
    assert abs(np.corrcoef(pcs[:, 0], group)[0, 1]) > 0.97
    assert abs(np.corrcoef(pcs[:, 0], np.arange(60) % 2)[0, 1]) < 0.1
    assert genotype_pcs([dosage[:, :4]], 4, 5).shape == (4, 3)


def test_pruned_snps_are_unlinked_and_the_rest_is_linked_to_one_of_them():
    """Against the definition, on AR(1) haplotypes over two chromosomes with a candidate list that leaves some out."""
    rng = np.random.default_rng(2)
    n, snps = 200, 600
    liability = rng.standard_normal((snps, 2, n))
    for k in range(1, snps):
        if k % 300:
            liability[k] = 0.9 * liability[k - 1] + np.sqrt(1 - 0.81) * liability[k]
    copies = (liability < 0).sum(axis=1).astype(np.float32)
    copies[rng.random(copies.shape) < 0.02] = np.nan
    chrom = np.repeat([0, 1], 300)
    pos = np.concatenate([np.arange(300), np.arange(300)]) * 20_000 + 1
    candidates = np.flatnonzero(rng.random(snps) < 0.9)
    kept = prune(candidates, chrom, pos, lambda rows: copies[rows], r2=0.2, window=100_000)
    filled = np.where(np.isnan(copies), np.nanmean(copies, axis=1, keepdims=True), copies)
    r2 = np.corrcoef(filled) ** 2
    close = (chrom[:, None] == chrom) & (np.abs(pos[:, None] - pos) <= 100_000)
    linked = (r2 >= 0.2) & close
    expected: list[int] = []
    for k in candidates:
        if not linked[k, expected].any():
            expected.append(int(k))
    assert kept.tolist() == expected and 50 < len(kept) < len(candidates)


def test_long_range_regions_of_each_build():
    chrom, pos = np.array([0, 5, 5, 5, 19]), np.array([5_000_000, 24_900_000, 30_000_000, 34_500_000, 33_000_000])
    assert long_range(chrom, pos, "GRCh37").tolist() == [False, False, True, True, True]
    assert long_range(chrom, pos, "GRCh38").tolist() == [False, False, True, False, False]
    assert long_range(chrom, pos, "unknown").tolist() == [False, False, True, True, True]


def test_candidates_are_thinned_evenly():
    assert thinned(np.arange(10), 20).tolist() == list(range(10))
    assert thinned(np.arange(101), 5).tolist() == [0, 25, 50, 75, 100]
