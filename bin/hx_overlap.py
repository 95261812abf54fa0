#!/usr/bin/env python3
"""How far two sets that were found among the same things agree, and what sets found in several places have in common.

Sets are masks over all things that may be found. Arrays in, numbers out.
"""

import numpy as np
from scipy.stats import hypergeom

OVERLAP = [
    *("tested", "first", "second", "shared", "expected"),
    *("jaccard", "jaccard_expected", "overlap", "overlap_expected", "p_overlap"),
]


def agreement(tested: int, first: int, second: int, shared: int, with_p: bool = True) -> dict[str, float | int]:
    """OVERLAP of two sets found among `tested` things: Jaccard index, overlap coefficient, and what chance gives them.

    jaccard: shared / (first + second - shared). overlap: shared / min(first, second) (Szymkiewicz-Simpson), 1 where one
    set holds the other whatever their sizes. Both are NaN for an empty set. If the second set were drawn at random,
    `shared` would be hypergeometric: expected is its mean, *_expected the two indices at that mean, p_overlap the
    chance of as many or more. Genes depend on each other, so that p describes and tests nothing.

    Args:
        first, second: sizes of the sets; shared: of what is in both. with_p: p_overlap is NaN without.
    """
    expected = first * second / tested if tested else np.nan
    known = first and second
    return {
        "tested": tested,
        "first": first,
        "second": second,
        "shared": shared,
        "expected": expected,
        "jaccard": shared / (first + second - shared) if known else np.nan,
        "jaccard_expected": expected / (first + second - expected) if known else np.nan,
        "overlap": shared / min(first, second) if known else np.nan,
        "overlap_expected": expected / min(first, second) if known else np.nan,
        "p_overlap": float(hypergeom.sf(shared - 1, tested, first, second)) if known and with_p else np.nan,
    }


def gene_agreement(
    tested: tuple[np.ndarray, np.ndarray], found: tuple[np.ndarray, np.ndarray]
) -> dict[str, float | int]:
    """`agreement` of the genes found in two places among those that both tested; four (genes,) masks."""
    both = tested[0] & tested[1]
    first, second = (mask & both for mask in found)
    return agreement(*(int(np.count_nonzero(mask)) for mask in (both, first, second, first & second)))


def exact_sets(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which combinations of places found something, and how many things exactly that combination did (an UpSet plot).

    Lex, Gehlenborg, Strobelt, Vuillemot & Pfister 2014, IEEE Trans Vis Comput Graph 20:1983.

    Args:
        found: (places, things) bool.

    Returns:
        (combinations, places) bool and (combinations,) counts, the largest first, of equal ones in the order of places.
        What no place found is in none.
    """
    sets, counts = np.unique(found[:, found.any(axis=0)].T, axis=0, return_counts=True)
    order = np.lexsort((*(~sets).T[::-1], -counts))
    return sets[order], counts[order]
