#!/usr/bin/env python3
"""The exact test of Hardy-Weinberg proportions, for millions of variants, and the counts that it needs."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from hx_genotypes import COPIES, MISSING

HARD = 10  # units: a dosage within 0.1 of a whole number counts as that call (PLINK 2's default)
_SAME = 1e-9  # relative difference below which two probabilities are the same number


class Tally(NamedTuple):
    """(V,) counts over donors: hard calls of 0, 1 and 2 copies of `alt`, missing, and units (copies x 100) in all."""

    hom_ref: np.ndarray
    het: np.ndarray
    hom_alt: np.ndarray
    missing: np.ndarray
    units: np.ndarray


def tally(units: np.ndarray) -> Tally:
    """Counts of (V, S) uint8 dosages."""
    dtype = np.uint16 if units.shape[1] < 2**16 else np.uint32
    # Bytes wrap around: one comparison tells whether a value lies in a range.
    masks = (units <= HARD, units - np.uint8(COPIES - HARD) <= 2 * HARD, units - np.uint8(2 * COPIES - HARD) <= HARD)
    missing = units == MISSING
    hom_ref, het, hom_alt, lost = (
        np.add.reduce(mask.view(np.uint8), axis=1, dtype=dtype) for mask in (*masks, missing)
    )
    total = np.add.reduce(units, axis=1, dtype=np.uint32) - np.uint32(MISSING) * lost.astype(np.uint32)
    return Tally(*(part.astype(np.int64) for part in (hom_ref, het, hom_alt, lost, total)))


def hwe_p(hom_ref: np.ndarray, het: np.ndarray, hom_alt: np.ndarray) -> np.ndarray:
    """(V,) exact p of Hardy-Weinberg proportions: the probability, given allele counts, of what is no more likely.

    P(h | n, a) = n! / (h! r! c!) * 2^h * a! (2n - a)! / (2n)! of h heterozygotes among n donors with a copies of the
    rarer allele, r = (a - h) / 2, c = n - h - r (Wigginton, Cutler and Abecasis 2005, Am J Hum Genet 76:887, eq. 2).
    Computed once for each pair of n and a. Without a call, or a second allele, it is 1.
    """
    n, het = hom_ref + het + hom_alt, np.asarray(het)
    rare = np.minimum(2 * hom_ref + het, 2 * hom_alt + het)
    p = np.ones(len(n))
    width = int(rare.max(initial=0)) + 1
    cases, which = np.unique(n * width + rare, return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.searchsorted(which[order], np.arange(len(cases) + 1))
    for (donors, copies), members in zip(
        np.stack(np.divmod(cases, width), axis=1), np.split(order, ends[1:-1]), strict=True
    ):
        if copies > 0:
            p[members] = _exact(int(donors), int(copies))[het[members] // 2]
    return p


def _exact(donors: int, copies: int) -> np.ndarray:
    """p of each possible number of heterozygotes (copies % 2, + 2, ...) of a variant."""
    het = np.arange(copies % 2, copies + 1, 2)
    rare = (copies - het) // 2
    logs = het * np.log(2) - gammaln(het + 1) - gammaln(rare + 1) - gammaln(donors - het - rare + 1)
    weight = np.exp(logs - logs.max())
    order = np.argsort(weight, kind="stable")
    below = np.cumsum(weight[order])
    # Of equal probabilities all count, whichever way rounding ordered them.
    upto = np.searchsorted(weight[order], weight * (1 + _SAME), side="right") - 1
    return np.minimum(below[upto] / below[-1], 1.0)
