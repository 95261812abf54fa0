#!/usr/bin/env python3
"""Summary associations of two studies on the same allele, and independent variants among them."""

from typing import NamedTuple

import numpy as np
import pandas as pd

PALINDROMIC_MAF = 0.42  # a palindromic variant more common than that cannot be told from its complement
COMPLEMENT = str.maketrans("ACGT", "TGCA")
CLUMP_R2, CLUMP_WINDOW = 0.001, 10_000_000
CHANCE = 10.83  # of chi-squared with 1 degree of freedom: donors times r2 of unlinked variants exceeds it in .1 %


class Harmonised(NamedTuple):
    """(variants,) which rows stay, factor on the outcome's effect, and why a row is dropped ('' where it stays)."""

    keep: np.ndarray
    sign: np.ndarray
    reason: np.ndarray


PALINDROMIC = "palindromic with MAF above .42 or unknown"
MISMATCH = "alleles do not match"


def harmonise(exposure: pd.DataFrame, outcome: pd.DataFrame) -> Harmonised:
    """Bring the outcome's effects to the exposure's effect allele; rows of both frames are the same variants.

    Columns effect_allele, other_allele, eaf (frequency of the effect allele, NaN where unknown). Alleles may be swapped
    or those of the other strand. A palindromic variant (A/T, C/G) reads the same on both strands: its strand is told by
    the frequencies where both are known and the minor one is at most PALINDROMIC_MAF, else it is dropped (Hartwig et
    al. 2016, Int J Epidemiol 45:1717).
    """
    ends = [exposure[c].str.upper() for c in ("effect_allele", "other_allele")]
    others = [outcome[c].str.upper() for c in ("effect_allele", "other_allele")]
    turned = [allele.map(lambda text: text.translate(COMPLEMENT)) for allele in others]
    same = ((ends[0] == others[0]) & (ends[1] == others[1])).to_numpy()
    swapped = ((ends[0] == others[1]) & (ends[1] == others[0])).to_numpy()
    strand = ((ends[0] == turned[0]) & (ends[1] == turned[1])).to_numpy()
    strand_swapped = ((ends[0] == turned[1]) & (ends[1] == turned[0])).to_numpy()
    sign = np.where(same | (strand & ~swapped), 1.0, -1.0)
    reason = np.where(same | swapped | strand | strand_swapped, "", MISMATCH).astype(object)
    palindromic = (ends[0] == ends[1].map(lambda text: text.translate(COMPLEMENT))).to_numpy()
    x, y = exposure["eaf"].to_numpy(float), outcome["eaf"].to_numpy(float)
    clear = (np.minimum(x, 1 - x) <= PALINDROMIC_MAF) & (np.minimum(y, 1 - y) <= PALINDROMIC_MAF)
    reason[palindromic & ~clear & (reason == "")] = PALINDROMIC
    # On the outcome's own naming of the effect allele: is it the rarer one in both, or in one alone?
    sign = np.where(palindromic & clear, np.where((x < 0.5) == (y < 0.5), 1.0, -1.0), sign)
    return Harmonised(reason == "", sign, reason)


def clump(p: np.ndarray, chrom: np.ndarray, pos: np.ndarray, r2: np.ndarray | None, donors: float) -> np.ndarray:
    """(variants,) bool: variants of smallest p, no two of them linked.

    Linked: on one chromosome within CLUMP_WINDOW with r2 of CLUMP_R2 or more, or, where the donors are too few to tell
    that, of CHANCE / donors; without r2 whatever the distance tells.

    Args:
        r2: (variants, variants) squared correlations of dosages over `donors`; None where no genotypes are known.
    """
    least = max(CLUMP_R2, CHANCE / donors) if donors else CLUMP_R2
    keep = np.zeros(len(p), bool)
    for k in np.argsort(p, kind="stable"):
        near = keep & (chrom == chrom[k]) & (np.abs(pos - pos[k]) <= CLUMP_WINDOW)
        keep[k] = not (near.any() if r2 is None else (near & (r2[k] >= least)).any())
    return keep
