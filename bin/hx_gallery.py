#!/usr/bin/env python3
"""Which slides and patches show a feature: the highest and the lowest, a few a donor, and a few slides to map."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hx_features import Extremes

PATCHES, A_DONOR = 10, 2  # patches of a side of a gallery, and at most so many of one donor
SLIDES = 5  # of a side, as in the study's figure 1a
PATCHES_A_SIZE = 5  # of the gallery across sizes, one a donor
SIDES = {"highest": (0, 1), "lowest": (2, 3)}  # rows of Extremes
PATCH_COLUMNS = ["feature", "panel", "size", "rank", "sample", "donor", "x", "y", "value"]
SLIDE_COLUMNS = ["feature", "panel", "rank", "sample", "donor", "value"]


def candidates(extremes: Mapping[str, Extremes], donor_of: Mapping[str, str], column: int, side: str) -> pd.DataFrame:
    """Stored patches of one feature and side over all slides, best first: value, sample, donor, x, y."""
    rows = []
    for sample in sorted(extremes):
        found = extremes[sample]
        for row in SIDES[side]:
            if np.isfinite(found.values[row, column]):
                x, y = (int(value) for value in found.coords[row, column])
                rows.append((float(found.values[row, column]), sample, donor_of[sample], x, y))
    table = pd.DataFrame(rows, columns=["value", "sample", "donor", "x", "y"]).drop_duplicates(["sample", "x", "y"])
    return table.sort_values(["value", "sample", "y", "x"], ascending=[side == "lowest", True, True, True])


def at_most(table: pd.DataFrame, count: int, a_donor: int) -> pd.DataFrame:
    """The first `count` rows of which at most `a_donor` are of one donor, with their rank from 1."""
    kept = table[table.groupby("donor").cumcount() < a_donor].head(count)
    return kept.assign(rank=range(1, len(kept) + 1))


def stacked(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """These columns of all parts that have rows, one below the other."""
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def pick_patches(
    extremes: Mapping[str, Extremes], donor_of: Mapping[str, str], features: Sequence[str], size: str
) -> pd.DataFrame:
    """Patches of the galleries (PATCH_COLUMNS): highest and lowest of each feature over the cohort.

    The two highest of each slide hold the highest of the cohort as long as at most two of a donor are shown.
    """
    parts = []
    for column, feature in enumerate(features):
        for side in SIDES:
            found = at_most(candidates(extremes, donor_of, column, side), PATCHES, A_DONOR)
            parts.append(found.assign(feature=feature, panel=side, size=size))
    return stacked(parts, PATCH_COLUMNS)


def across_sizes(
    extremes: Mapping[str, Mapping[str, Extremes]], donor_of: Mapping[str, str], features: Sequence[str]
) -> pd.DataFrame:
    """The highest patches of each feature at each size (PATCH_COLUMNS, panel `sizes`), one a donor.

    Args:
        extremes: of the same features of the same network, by size.
    """
    parts = []
    for size, of_size in extremes.items():
        for column, feature in enumerate(features):
            found = at_most(candidates(of_size, donor_of, column, "highest"), PATCHES_A_SIZE, 1)
            parts.append(found.assign(feature=feature, panel="sizes", size=size))
    return stacked(parts, PATCH_COLUMNS)


def pick_slides(values: pd.DataFrame, donor_of: Mapping[str, str]) -> pd.DataFrame:
    """Highest and lowest slides of each feature (SLIDE_COLUMNS), one a donor, no slide on both sides.

    Args:
        values: of each slide (index sample), a column a feature.
    """
    parts = []
    for feature in values:
        table = pd.DataFrame({"value": values[feature], "sample": values.index})
        table["donor"] = table["sample"].map(donor_of)
        for side in SIDES:
            ranked = table.sort_values(["value", "sample"], ascending=[side == "lowest", True])
            donors = ranked["donor"].nunique()
            found = at_most(ranked, min(SLIDES, donors // 2), 1)
            parts.append(found.assign(feature=feature, panel=side))
    return stacked(parts, SLIDE_COLUMNS)


def mosaic(values: pd.DataFrame, drawn: Sequence[str], donor_of: Mapping[str, str], most: int) -> pd.DataFrame:
    """The drawn slides in the order of each feature (SLIDE_COLUMNS, panel `mosaic`), lowest first.

    Drawn are the slides of the galleries of all features: for any one of them they lie all over its range. Of more than
    `most` slides those at even steps of the ranks are kept, both ends among them.
    """
    parts = []
    for feature in values:
        table = pd.DataFrame({"value": values.loc[list(drawn), feature], "sample": list(drawn)})
        table = table.sort_values(["value", "sample"]).iloc[even_steps(len(table), most)]
        table = table.assign(donor=table["sample"].map(donor_of), rank=range(1, len(table) + 1))
        parts.append(table.assign(feature=feature, panel="mosaic"))
    return stacked(parts, SLIDE_COLUMNS)


def even_steps(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `count` things in order, at even steps, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.empty(0, int)


def map_slides(slides: pd.DataFrame, count: int) -> list[str]:
    """Slides to map: the highest and the lowest of the first feature, then of the next, `count` different ones."""
    first = slides[slides["rank"] == 1].drop_duplicates("sample")
    return first["sample"].head(count).tolist()


def drawn_slides(
    patches: pd.DataFrame, slides: pd.DataFrame, mapped: Sequence[str], donor_of: Mapping[str, str], fold_of: Mapping
) -> pd.DataFrame:
    """A row a slide that is opened: sample, donor, fold, pictures (patches and thumbnails in galleries), map."""
    count = Counter(patches["sample"]) + Counter(slides["sample"])
    samples = sorted({*count, *mapped})
    return pd.DataFrame(
        {
            "sample": samples,
            "donor": [donor_of[sample] for sample in samples],
            "fold": [fold_of[donor_of[sample]] for sample in samples],
            "pictures": [count[sample] for sample in samples],
            "map": ["yes" if sample in mapped else "no" for sample in samples],
        }
    )
