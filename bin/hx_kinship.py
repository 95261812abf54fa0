#!/usr/bin/env python3
"""What donors have in common by their genotypes: kinship, close relatives to leave out, principal components."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from hx_genotypes import COPIES, MISSING
from hx_hwe import HARD

# Kinship coefficients from which on a pair is closer than third degree: 2^-3.5, 2^-2.5, 2^-1.5 (Manichaikul et al.
# 2010, table 1).
SECOND_DEGREE, FIRST_DEGREE, DUPLICATE = 0.0884, 0.1768, 0.3536
# SNPs from which on kinship of strangers stays clear of SECOND_DEGREE (its standard error is about 0.95 / sqrt(SNPs)),
# and those from which on it stays clear of DUPLICATE. Principal components of fewer would be the SNPs themselves.
ENOUGH, ENOUGH_FOR_DUPLICATES = 5000, 250
RELATIVES = ["donor1", "donor2", "kinship", "relation", "dropped"]


def king_robust(blocks: Iterable[np.ndarray], donors: int) -> np.ndarray:
    """(S, S) KING-robust kinship between families; 0.5 with oneself, NaN without heterozygous calls.

    phi_ij = (N_het,het - 2 N_hom,other hom) / (2 min(N_het,i, N_het,j)) + 1/2
             - (N_het,i + N_het,j) / (4 min(N_het,i, N_het,j))
    over SNPs called in both (Manichaikul et al. 2010, Bioinformatics 26:2867, eq. 11). A donor's ancestry does not
    enter. Dosages further than 0.1 from a whole number count as not called.

    Args:
        blocks: (b, S) uint8 copies x 100.
    """
    both, opposite, het_where_called = (np.zeros((donors, donors)) for _ in range(3))
    for units in blocks:
        het = (units - np.uint8(COPIES - HARD) <= 2 * HARD).astype(np.float32)
        low = (units <= HARD).astype(np.float32)
        high = ((units >= 2 * COPIES - HARD) & (units != MISSING)).astype(np.float32)
        both += het.T @ het
        opposite += low.T @ high
        # Few calls are missing: a sparse product takes them away.
        uncalled = sparse.csr_array(1 - het - low - high)
        het_where_called += het.sum(axis=0)[:, None] - (uncalled.T @ het).T
    fewer = np.minimum(het_where_called, het_where_called.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = (both - 2 * (opposite + opposite.T)) / (2 * fewer)
        kinship = shared + 0.5 - (het_where_called + het_where_called.T) / (4 * fewer)
    return np.where(fewer > 0, kinship, np.nan)


def kinship_threshold(snps: int) -> float | None:
    """Kinship from which on a pair is told to be close, by the number of SNPs; None when nothing can be told."""
    if snps >= ENOUGH:
        return SECOND_DEGREE
    return DUPLICATE if snps >= ENOUGH_FOR_DUPLICATES else None


def relation(kinship: float) -> str:
    """In words."""
    if kinship >= DUPLICATE:
        return "duplicate or identical twin"
    return "first degree" if kinship >= FIRST_DEGREE else "second degree"


def close_pairs(
    kinship: np.ndarray, donors: Sequence[str], call_rate: np.ndarray, threshold: float
) -> tuple[pd.DataFrame, list[int]]:
    """Pairs of a kinship above `threshold` (columns RELATIVES, closest first), and who of them is dropped.

    The donor with most close relatives goes first, until no pair is left: few are lost. Of equally many the one with
    the lower call rate goes, then the later name.
    """
    close = np.triu(np.nan_to_num(kinship, nan=-1.0) > threshold, 1)
    left, right = np.nonzero(close)
    close |= close.T
    dropped: list[int] = []
    open_pairs = close.copy()
    while open_pairs.any():
        number = open_pairs.sum(axis=1)
        worst = min(np.flatnonzero(number), key=lambda k: (-number[k], call_rate[k], _later(donors[k])))
        dropped.append(int(worst))
        open_pairs[worst] = open_pairs[:, worst] = False
    gone = set(dropped)
    rows = [
        (
            donors[a],
            donors[b],
            kinship[a, b],
            relation(kinship[a, b]),
            ", ".join(donors[k] for k in (a, b) if k in gone),
        )
        for a, b in zip(left, right, strict=True)
    ]
    table = pd.DataFrame(rows, columns=RELATIVES)
    order = np.lexsort((table["donor2"], table["donor1"], -table["kinship"].to_numpy(float)))
    return table.iloc[order].reset_index(drop=True), sorted(dropped)


def _later(name: str) -> tuple[int, ...]:
    """Key that sorts the later name first."""
    return (*(-ord(character) for character in name), 1)


def genotype_pcs(blocks: Iterable[np.ndarray], donors: int, count: int) -> np.ndarray:
    """(S, count) genotype principal components, of length 1, in the order of their variance.

    Dosages g of each SNP as (g - 2p) / sqrt(2 p (1 - p)), missing at 0, p the frequency among these donors (Patterson,
    Price and Reich 2006, PLoS Genet 2:e190); the leading eigenvectors of their donors x donors product. Sign: the
    entry of largest absolute value, the first of equals, is positive.

    Args:
        blocks: (b, S) float32 dosages with NaN.
        count: at most S - 1 are given.
    """
    product = np.zeros((donors, donors))
    for dosage in blocks:
        frequency = np.nanmean(dosage, axis=1, keepdims=True) / 2
        spread = np.sqrt(2 * frequency * (1 - frequency))
        scaled = np.nan_to_num((dosage - 2 * frequency) / np.where(spread > 0, spread, np.inf))
        # In double precision: numbers of threads would otherwise show in the seventh digit.
        scaled = scaled.astype(np.float64)
        product += scaled.T @ scaled
    vectors = np.linalg.eigh(product)[1][:, ::-1][:, : min(count, donors - 1)]
    # Rounded, so that two entries of equal size decide the same way everywhere.
    top = np.argmax(np.round(np.abs(vectors), 9), axis=0)
    return vectors * np.sign(vectors[top, np.arange(vectors.shape[1])])
