#!/usr/bin/env python3
"""Which variants are good enough: duplicates, call rate, Hardy-Weinberg proportions, and what is counted on the way."""

from collections import Counter

import numpy as np
import pandas as pd

from hx_genotype_blocks import Block, Store
from hx_genotypes import COPIES, MISSING
from hx_hwe import Tally, hwe_p, tally

CALL_RATE = 0.95  # of a variant over donors, of a donor over variants
HWE_P = 1e-6
RARE = 0.01  # frequency of the rarer allele below which no scan tests a variant
USUAL = 0.8  # a variant called in fewer donors says nothing about a donor's call rate
LEFT_OUT = (
    *("non_autosomal", "multi_allelic", "rare", "duplicate", "all_missing", "monomorphic", "low_call_rate"),
    "hardy_weinberg",
)
REASONS = ("duplicate", "all_missing", "monomorphic", "low_call_rate", "hardy_weinberg")

# What genotype_counts.tsv lists, in its order: of what, and what the number means.
ITEMS = {
    "donors_of_cohort": ("donors", "named in --donors"),
    "samples_in_files": ("samples", "of the first genotype file"),
    "samples_of_no_donor": ("samples", "of the first genotype file that are no donor's of the cohort: not read"),
    "donors_without_genotypes": ("donors", "no sample has their name: left out"),
    "donors_low_call_rate": (
        "donors",
        "fewer than 95 % of the variants called in at least 80 % of the donors: left out",
    ),
    "donors_related": ("donors", "close relatives of a donor who stays: left out"),
    "donors_kept": ("donors", "in genotypes.h5"),
    "rows_read": ("variants", "rows of the genotype files"),
    "non_autosomal": ("variants", "on X, Y, MT and other sequences: left out"),
    "multi_allelic": ("variants", "several alternative alleles, or * alone: left out"),
    "rare": ("variants", "frequency of the rarer allele below 1 %: left out"),
    "duplicate": ("variants", "position and alleles of a row before: left out"),
    "swapped_duplicate": ("variants", "of the duplicates, those with reference and alternative allele swapped"),
    "all_missing": ("variants", "no donor is called: left out"),
    "monomorphic": ("variants", "all donors alike: left out"),
    "low_call_rate": ("variants", "called in fewer than 95 % of the donors: left out"),
    "hardy_weinberg": ("variants", "exact p of Hardy-Weinberg proportions below 1e-6: left out"),
    "kept": ("variants", "in genotypes.h5"),
    "rows_from_dosage": ("variants", "rows without GT, read from DS"),
    "swapped_id": ("variants", "kept; the id names reference and alternative allele the other way round than the file"),
    "half_calls": ("genotypes", "one allele called, one not: missing"),
    "missing": ("genotypes", "of the kept variants and donors"),
    "mac_20_maf_5": ("variants", "kept, with at least 20 copies and 5 % of the rarer allele"),
    "long_range_ld": ("variants", "common SNPs in regions of long-range linkage: not used for kinship and PCs"),
    "pruned": ("variants", "common SNPs, not linked: used for kinship and PCs"),
    "close_pairs": ("pairs", "kinship above the threshold, see genotype_relatives.tsv"),
    "duplicate_pairs": ("pairs", "of these, duplicates or identical twins"),
    "pcs": ("components", "genotype principal components"),
}


def counts_table(counts: Counter) -> pd.DataFrame:
    """genotype_counts.tsv: item, unit, count, meaning."""
    rows = [(item, unit, int(counts[item]), meaning) for item, (unit, meaning) in ITEMS.items()]
    return pd.DataFrame(rows, columns=["item", "unit", "count", "meaning"])


def none_left(counts: Counter) -> str:
    """Why no variant is left."""
    lost = ", ".join(f"{counts[reason]} {reason}" for reason in LEFT_OUT if counts[reason])
    return f"genotypes: none of {counts['rows_read']} variants is left: {lost}"


def without_rare(block: Block, counts: Counter) -> Block:
    """A block without its rare variants and those without a second allele or a call, which are counted.

    Of whole genomes they are most: what is stored then has the size of a scan, not of the files.
    """
    counted = tally(block.units)
    called = block.units.shape[1] - counted.missing
    rarer = np.minimum(counted.units, 2 * COPIES * called - counted.units)
    failed = (called == 0, rarer == 0, rarer < RARE * 2 * COPIES * called)
    left = np.ones(len(called), dtype=bool)
    for reason, bad in zip(("all_missing", "monomorphic", "rare"), failed, strict=True):
        counts[reason] += int((left & bad).sum())
        left &= ~bad
    return block if left.all() else Block(block.variants[left], block.units[left])


def duplicates(variants: pd.DataFrame) -> tuple[np.ndarray, int]:
    """(V,) bool: rows with position and alleles of a row before, in either order; how many are in the other order."""
    found = np.zeros(len(variants), dtype=bool)
    tied = np.flatnonzero(variants.duplicated(["chrom", "pos"], keep=False))
    rows = variants.iloc[tied]
    pair = [tuple(sorted(alleles)) for alleles in zip(rows["ref"], rows["alt"], strict=True)]
    keyed = rows[["chrom", "pos", "ref"]].assign(pair=pair)
    again = keyed.duplicated(["chrom", "pos", "pair"])
    found[tied] = again
    first_ref = keyed.groupby(["chrom", "pos", "pair"], sort=False)["ref"].transform("first")
    return found, int((again & (keyed["ref"] != first_ref)).sum())


def swapped_ids(variants: pd.DataFrame) -> int:
    """How many ids (chr1_13550_G_A_b38) name the alleles in the other order than the columns ref and alt."""
    return sum(
        f"_{a}_{r}_b3" in name for name, r, a in zip(variants["id"], variants["ref"], variants["alt"], strict=True)
    )


def tally_all(store: Store, columns: np.ndarray) -> Tally:
    """Counts of every variant over some donors."""
    parts = [tally(units) for units in store.blocks(np.arange(len(store.variants)), columns)]
    return Tally(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def sites(variants: pd.DataFrame, counted: Tally, donors: int, duplicate: np.ndarray) -> pd.DataFrame:
    """The variants with alt_frequency, missing, mac, hwe_p and `reason`: 0 good, else 1 + the place in REASONS."""
    called = donors - counted.missing
    copies = counted.units / COPIES
    with np.errstate(invalid="ignore"):
        frequency = np.where(called > 0, copies / np.maximum(2 * called, 1), np.nan)
    mac = np.minimum(copies, 2 * called - copies)
    p = hwe_p(counted.hom_ref, counted.het, counted.hom_alt)
    failed = (duplicate, called == 0, mac == 0, called < CALL_RATE * donors, p < HWE_P)
    reason = np.select(failed, range(1, len(REASONS) + 1), default=0)
    return variants.assign(alt_frequency=frequency, missing=counted.missing, mac=mac, hwe_p=p, reason=reason)


def donor_call_rate(store: Store, donors: int) -> np.ndarray:
    """(S,) share of the variants called in at least USUAL of the donors that each is called for; 1 without any."""
    lost, usual = np.zeros(donors, dtype=np.int64), 0
    for units in store.blocks(np.arange(len(store.variants)), np.arange(donors)):
        missing = (units == MISSING).view(np.uint8)
        good = np.add.reduce(missing, axis=1, dtype=np.uint32) <= (1 - USUAL) * donors
        lost += np.add.reduce(missing[good], axis=0, dtype=np.uint32)
        usual += int(good.sum())
    return 1 - lost / max(usual, 1)
