"""hx_gallery: which slides and patches are shown."""

import numpy as np
import pandas as pd
import pytest
from description_made import drawn, patches_of
from scipy.stats import spearmanr

from hx_features import Extremes, find_extremes
from hx_gallery import (
    A_DONOR,
    PATCHES,
    across_sizes,
    drawn_slides,
    even_steps,
    map_slides,
    mosaic,
    pick_patches,
    pick_slides,
)


def cohort(seed: int, slides: int = 15) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, str]]:
    """Features (n, 2) and coords of the patches of slides, of which every third donor has two."""
    rng = np.random.default_rng(seed)
    features, coords, donor_of = {}, {}, {}
    for k in range(slides):
        sample, n = f"S{k:02d}", int(rng.integers(1, 30))
        features[sample] = rng.normal(rng.normal(), 1, (n, 2)).astype(np.float32)
        coords[sample] = np.column_stack([64 * np.arange(n), np.zeros(n, int)])
        donor_of[sample] = f"D{k - (k % 3 == 1):02d}"
    return features, coords, donor_of


@pytest.mark.parametrize("seed", range(5))
def test_patches_are_the_best_of_the_cohort_two_a_donor(seed):
    features, coords, donor_of = cohort(seed)
    extremes = {sample: find_extremes(values, coords[sample]) for sample, values in features.items()}
    found = pick_patches(extremes, donor_of, ["raw_0000", "raw_0001"], "64")
    for column, feature in enumerate(("raw_0000", "raw_0001")):
        every = [
            (float(v[column]), sample, donor_of[sample], int(xy[0]))
            for sample, values in features.items()
            for v, xy in zip(values, coords[sample], strict=True)
        ]
        for side, sign in (("highest", -1), ("lowest", 1)):
            count: dict[str, int] = {}
            expected = []
            for value, sample, donor, x in sorted(every, key=lambda row: sign * row[0]):
                count[donor] = count.get(donor, 0) + 1
                if count[donor] <= A_DONOR:
                    expected.append((value, sample, x))
            rows = found[(found["feature"] == feature) & (found["panel"] == side)]
            assert list(rows[["value", "sample", "x"]].itertuples(index=False, name=None)) == expected[:PATCHES]
            assert rows["rank"].tolist() == list(range(1, PATCHES + 1))


def test_a_slide_of_one_patch_is_shown_once_a_side():
    one = find_extremes(np.ones((1, 1), np.float32), np.zeros((1, 2), np.int64))
    found = pick_patches({"S": one}, {"S": "D"}, ["raw_0000"], "64")
    assert found["panel"].tolist() == ["highest", "lowest"]


def test_no_slide_no_row():
    assert pick_patches({}, {}, ["raw_0000"], "64").empty
    assert pick_slides(pd.DataFrame({"raw_0000": []}), {}).empty
    assert mosaic(pd.DataFrame({"raw_0000": []}), [], {}, 9).empty


def test_across_sizes_one_a_donor():
    values = np.array([[3.0], [2.0], [1.0], [0.0]], np.float32)
    extremes = Extremes(values, np.zeros((4, 1, 2), np.int32) + np.arange(4)[:, None, None])
    donors = {"A": "D1", "B": "D1", "C": "D2"}
    found = across_sizes({"64": dict.fromkeys("ABC", extremes), "128": {"C": extremes}}, donors, ["raw_0000"])
    assert list(found[["size", "sample", "value"]].itertuples(index=False, name=None)) == [
        ("64", "A", 3.0),
        ("64", "C", 3.0),
        ("128", "C", 3.0),
    ]


def test_slides_of_both_sides_are_different():
    values = pd.DataFrame({"raw_0000": [4.0, 1.0, 3.0, 2.0, 9.0]}, index=list("ABCDE"))
    donors = {"A": "D1", "B": "D1", "C": "D2", "D": "D3", "E": "D4"}
    found = pick_slides(values, donors)
    sides = {side: rows["sample"].tolist() for side, rows in found.groupby("panel")}
    assert sides == {"highest": ["E", "A"], "lowest": ["B", "D"]}
    assert map_slides(found, 3) == ["E", "B"]
    assert map_slides(found, 1) == ["E"]


@pytest.mark.parametrize(("count", "most", "expected"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (0, 4, []), (1, 1, [0])])
def test_even_steps(count, most, expected):
    assert even_steps(count, most).tolist() == expected


def test_mosaic_orders_slides_by_their_planted_hue():
    """Sixteen drawn slides of hues in no order: the mosaic of the colour feature goes from orange to purple."""
    hues = np.random.default_rng(0).permutation(np.linspace(-2, 2, 16))
    samples = [f"S{k:02d}" for k in range(16)]
    means = [
        patches_of(s, drawn(hue, k, 512)).features[:, 0].mean()
        for k, (s, hue) in enumerate(zip(samples, hues, strict=True))
    ]
    values = pd.DataFrame({"raw_0000": means}, index=samples)
    found = mosaic(values, samples, {s: s for s in samples}, 40)
    order = [hues[samples.index(sample)] for sample in found["sample"]]
    assert spearmanr(found["rank"], order).statistic >= 0.95
    assert (np.diff(found["value"]) >= 0).all()


def test_drawn_slides_are_those_of_all_tables():
    patches = pd.DataFrame({"sample": ["B", "A", "B"]})
    slides = pd.DataFrame({"sample": ["C", "A"]})
    found = drawn_slides(patches, slides, ["C", "D"], {s: f"D{s}" for s in "ABCD"}, {f"D{s}": 2 for s in "ABCD"})
    assert found["sample"].tolist() == list("ABCD")
    assert found["pictures"].tolist() == [2, 2, 1, 0]
    assert found["map"].tolist() == ["no", "no", "yes", "yes"]
