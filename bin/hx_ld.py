#!/usr/bin/env python3
"""Which SNPs stand for ancestry and relatedness: outside regions of long-range linkage, and not correlated."""

import itertools
from collections.abc import Callable

import numpy as np

from hx_build import BUILDS, chrom_rank

R2, WINDOW = 0.2, 1_000_000  # two kept SNPs within so many bases have r2 below it
MOST = 100_000  # candidates, spread evenly over the genome: more change neither kinship nor PCs
_BLOCK = 128

# Regions of long-range linkage disequilibrium (Price et al. 2008, Am J Hum Genet 83:132; Anderson et al. 2010, Nat
# Protoc 5:1564), as listed by the Center for Statistical Genetics of Michigan: chromosome, first and last megabase.
_GRCH37 = (
    *(("1", 48, 52), ("2", 86, 100.5), ("2", 134.5, 138), ("2", 183, 190), ("3", 47.5, 50), ("3", 83.5, 87)),
    *(("3", 89, 97.5), ("5", 44.5, 50.5), ("5", 98, 100.5), ("5", 129, 132), ("5", 135.5, 138.5), ("6", 25, 35)),
    *(("6", 57, 64), ("6", 140, 142.5), ("7", 55, 66), ("8", 7, 13), ("8", 43, 50), ("8", 112, 115), ("10", 37, 43)),
    *(("11", 46, 57), ("11", 87.5, 90.5), ("12", 33, 40), ("12", 109.5, 112), ("20", 32, 34.5)),
)
# The last seven have no place of their own in the list of GRCh38: those of GRCh37, a megabase wider on both sides.
_GRCH38 = (
    *(("1", 47.7, 51.8), ("2", 85.9, 100.6), ("2", 182.4, 189.5), ("3", 47.4, 50), ("3", 83.3, 86.9)),
    *(("5", 44.4, 51.2), ("5", 129.6, 132.7), ("6", 25.3, 33.5), ("6", 57.7, 61.5), ("6", 139.6, 142.2)),
    *(("7", 54.9, 66.9), ("8", 8.1, 12.2), ("8", 43, 49), ("8", 110.9, 113.6), ("10", 36.6, 43.2)),
    *(("11", 88.1, 91.2), ("12", 32.9, 41.4), ("20", 33.9, 36.5)),
    *(("2", 133.5, 139), ("3", 88, 98.5), ("5", 97, 101.5), ("5", 134.5, 139.5), ("8", 6, 14), ("11", 45, 58)),
    ("12", 108.5, 113),
)
_REGIONS = dict(zip(BUILDS, (_GRCH37, _GRCH38), strict=True))


def long_range(chrom: np.ndarray, pos: np.ndarray, build: str) -> np.ndarray:
    """(V,) bool: variants in a region of long-range linkage; of an unknown build, in one of either.

    Args:
        chrom: (V,) chrom_rank of each variant, ascending.
        pos: (V,) ascending within a chromosome.
    """
    inside = np.zeros(len(chrom), dtype=bool)
    for each in (build,) if build in BUILDS else BUILDS:
        for name, first, last in _REGIONS[each]:
            left, right = np.searchsorted(chrom, chrom_rank([name])[0] + np.array([0, 1]))
            bounds = left + np.searchsorted(pos[left:right], [first * 1e6, last * 1e6 + 1])
            inside[bounds[0] : bounds[1]] = True
    return inside


def thinned(candidates: np.ndarray, most: int = MOST) -> np.ndarray:
    """At most `most` of the candidates, at even steps of their order."""
    if len(candidates) <= most:
        return candidates
    return candidates[np.linspace(0, len(candidates) - 1, most).round().astype(np.int64)]


def unit_rows(dosage: np.ndarray) -> np.ndarray:
    """(b, S) float32 rows of mean 0 and length 1 of dosages with NaN; a missing one is at the mean, 0."""
    centred = np.nan_to_num(dosage - np.nanmean(dosage, axis=1, keepdims=True))
    length = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    return centred / np.maximum(length, 1e-12)[:, None]


def prune(
    candidates: np.ndarray,
    chrom: np.ndarray,
    pos: np.ndarray,
    dosage: Callable[[np.ndarray], np.ndarray],
    r2: float = R2,
    window: int = WINDOW,
) -> np.ndarray:
    """Candidates of which no two within `window` bases have a squared correlation of `r2` or more.

    In the order of position; the first of a correlated pair stays.

    Args:
        candidates: indices, sorted by chromosome and position.
        chrom, pos: (V,) of all variants.
        dosage: (b, S) with NaN of b variants.
    """
    kept: list[int] = []
    starts = np.r_[0, np.flatnonzero(chrom[candidates[1:]] != chrom[candidates[:-1]]) + 1, len(candidates)]
    for left, right in itertools.pairwise(starts):
        recent, places = None, np.zeros(0, dtype=np.int64)
        for first in range(left, right, _BLOCK):
            rows = candidates[first : min(first + _BLOCK, right)]
            unit, here = unit_rows(dosage(rows)), pos[rows].astype(np.int64)
            near = places >= here[0] - window
            recent, places = unit[:0] if recent is None else recent[near], places[near]
            out = (np.square(unit @ recent.T) >= r2) & (here[:, None] - places <= window)
            linked = (np.square(unit @ unit.T) >= r2) & (np.abs(here[:, None] - here) <= window)
            chosen = _greedy(linked, out.any(axis=1))
            kept += rows[chosen].tolist()
            recent, places = np.concatenate([recent, unit[chosen]]), np.concatenate([places, here[chosen]])
    return np.array(kept, dtype=np.int64)


def _greedy(linked: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Rows, first to last, that are neither out nor linked to a chosen one before."""
    chosen, out = [], out.copy()
    for row in range(len(out)):
        if not out[row]:
            chosen.append(row)
            out |= linked[row]
    return np.array(chosen, dtype=np.int64)
