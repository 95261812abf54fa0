#!/usr/bin/env python3
"""Settings of a tissue against each other: the maximum over all of them, and pairs on the same donors."""

from itertools import combinations

import numpy as np
import pandas as pd

from hx_shared import EXPRESSION, HEADLINE
from hx_shared_tables import KEY
from hx_sizes import size_value
from hx_variance import interval

FLIPS = 9999
FAMILY = ["donors_hash", "direction", "scaling", "adjusted"]  # what settings must agree in to be compared
SCALES = [
    *("tissue_id", "setting", "size", "encoder", "aggregation", "direction", "scaling", "adjusted", "analysis"),
    *("n", "donors_hash", "components", "adjusted_share", "ci_low", "ci_high", "p", "z"),
    *("settings", "p_familywise", "largest"),
]
COMPARISONS = [
    *("tissue_id", "setting", "other", "differ_in", "direction", "scaling", "adjusted", "claim", "n", "components"),
    *("adjusted_share", "other_share", "difference", "ci_low", "ci_high", "se", "p"),
]
LARGER, RAW = "larger patches explain more", "raw explains more than retrained"


def familywise(observed: np.ndarray, nulls: np.ndarray) -> np.ndarray:
    """(settings,) p of each statistic against the maximum over settings under the same permutation of the donors.

    (b + 1) / (B + 1), b of B permutations whose maximum is at least the statistic (Westfall & Young 1993, single step):
    the chance that any setting of a tissue without a link reaches it is at most p.

    Args:
        observed: (settings,), each in standard deviations of its own null. nulls: (B, settings), a row a permutation.
    """
    largest = nulls.max(axis=1)
    above = np.count_nonzero(largest[:, None] >= observed - 1e-12 * np.abs(observed), axis=0)
    return (above + 1) / (len(nulls) + 1)


def flip_p(difference: float, replicates: np.ndarray, signs: np.ndarray) -> float:
    """p of a difference of two settings: the signs of its jackknife pseudo-values are flipped.

    Pseudo-values of groups of donors are near independent and symmetric about the difference. A permutation of donors
    would test that neither setting shares anything, not that both share as much: where they do it rejects a quarter to
    half of nulls at 5 %.

    Args:
        replicates: (groups,) difference without each group. signs: (flips, groups) of -1 and 1.
    """
    groups = len(replicates)
    pseudo = difference + (groups - 1) * (replicates.mean() - replicates)
    flipped = np.abs(signs @ pseudo) / groups
    if not np.isfinite(flipped).all():
        return np.nan
    return (np.count_nonzero(flipped >= abs(difference) * (1 - 1e-12)) + 1) / (len(signs) + 1)


def paired_difference(first: np.ndarray, second: np.ndarray, signs: np.ndarray, left: float) -> dict[str, float]:
    """Difference of two settings at an equal number of PCs, its jackknife interval and p.

    A group of n / g donors takes n / g of the `left` n dimensions that the covariates leave, which is more than one
    part in g: its replicate lies as much farther off. The spread of replicates is brought to (N - d) / d times their
    mean square, the variance of a jackknife that leaves out d of N (Shao & Wu 1989, Ann Stat 17:1176), N = left n.

    Args:
        first, second: (1 + groups, PCs) adjusted share for 1, 2, … PCs: all donors, then without each group.
        left: share of the donors' dimensions that covariates leave, the mean's counted; 1 without covariates.
    """
    m = min(first.shape[1], second.shape[1])
    one, other = first[:, m - 1], second[:, m - 1]
    gap = one - other
    groups = len(gap) - 1
    gap[1:] = gap[1:].mean() + np.sqrt((left * groups - 1) / (groups - 1)) * (gap[1:] - gap[1:].mean())
    low, high, error = interval(gap[0], gap[1:])
    numbers = {"components": m, "adjusted_share": one[0], "other_share": other[0], "difference": gap[0]}
    return numbers | {"ci_low": low, "ci_high": high, "se": error, "p": flip_p(gap[0], gap[1:], signs)}


def scales_table(rows: pd.DataFrame, nulls: dict[tuple, np.ndarray]) -> pd.DataFrame:
    """SCALES: each setting with its p in the family of all that share its donors, direction, scaling and adjustment.

    rows: of shared_variance.tsv, one a KEY, index any. nulls: by KEY, (B,) of equal length.
    """
    parts = []
    for _, family in rows.groupby(FAMILY, sort=True):
        null = np.column_stack([nulls[key] for key in family[KEY].itertuples(index=False, name=None)])
        p = familywise(family["z"].to_numpy(float), null)
        largest = np.where(np.arange(len(family)) == np.argmax(family["z"]), "yes", "no")
        parts.append(family.assign(settings=len(family), p_familywise=p, largest=largest))
    return pd.concat(parts, ignore_index=True)[SCALES] if parts else pd.DataFrame(columns=SCALES)


def comparisons_table(
    rows: pd.DataFrame, replicates: dict[tuple, np.ndarray], primary: str, generator: np.random.Generator
) -> pd.DataFrame:
    """COMPARISONS: every two settings of a family that differ in size, encoder or aggregation alone.

    Of sizes the larger stands first, of encoders and aggregations the first by name. The study's two claims, each one
    row at the primary analysis' other choices: the largest size against the smallest, raw against retrained.
    """
    found, signs = [], {}
    sizes = sorted(set(rows["size"]), key=size_value)
    last = "yes" if (rows["adjusted"] == "yes").any() else "no"
    for _, family in rows.groupby(FAMILY, sort=True):
        family = family.assign(_size=-family["size"].map(size_value)).sort_values(["_size", "encoder", "aggregation"])
        for one, other in combinations(family.to_dict("records"), 2):
            differ = [name for name in ("size", "encoder", "aggregation") if one[name] != other[name]]
            if len(differ) != 1:
                continue
            pair = [replicates[tuple(row[name] for name in KEY)] for row in (one, other)]
            groups = len(pair[0]) - 1
            if groups not in signs:
                signs[groups] = generator.choice([-1.0, 1.0], size=(FLIPS, groups))
            headline = (one["direction"], one["scaling"], one["adjusted"]) == (EXPRESSION, HEADLINE, last)
            claim = claimed(one, other, sizes, primary) if headline else ""
            named = {"tissue_id": one["tissue_id"], "setting": one["setting"], "other": other["setting"]}
            named |= {"differ_in": differ[0], "claim": claim, "n": one["n"]} | {k: one[k] for k in KEY[1:]}
            left = (one["dim"] + 1) / one["n"]
            found.append(named | paired_difference(*pair, signs[groups], left))
    return pd.DataFrame(found, columns=COMPARISONS)


def claimed(one: dict, other: dict, sizes: list[str], primary: str) -> str:
    """Which of the study's claims the pair is declared for; '' for none. sizes: of the tissue, rising."""
    size, encoder, aggregation = primary.split(",")
    if one["aggregation"] != aggregation:
        return ""
    if one["encoder"] == other["encoder"] == encoder and (one["size"], other["size"]) == (sizes[-1], sizes[0]):
        return LARGER
    if one["size"] == other["size"] == size and (one["encoder"], other["encoder"]) == ("raw", "retrained"):
        return RAW
    return ""
