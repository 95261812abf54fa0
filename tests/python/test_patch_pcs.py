"""hx_patch_pcs: which patches are drawn, what they are coloured by, and the picture."""

import numpy as np
import pandas as pd

from hx_companions import COMPANIONS, NAMES, ORIGIN
from hx_features import Origin, PatchFeatures
from hx_patch_pcs import POINTS, patch_picture, patch_table, sampled, strongest
from hx_picture import colours


def patches(sample: str, count: int, origin: Origin, width: int) -> PatchFeatures:
    rng = np.random.default_rng(count)
    coords = np.column_stack([np.arange(count) % 50, np.arange(count) // 50]).astype(np.int64) * 64
    return PatchFeatures(sample, "64", 64, rng.standard_normal((count, width)).astype(np.float32), coords, origin)


def slides(counts: dict[str, int]) -> dict[str, dict[str, PatchFeatures]]:
    return {
        name: {"raw": patches(name, n, Origin("raw"), 4), "texture": patches(name, n, ORIGIN, len(NAMES))}
        for name, n in counts.items()
    }


def test_a_patchs_turn_does_not_depend_on_the_others():
    all_of, half = patches("S", 800, Origin("raw"), 3), patches("S", 400, Origin("raw"), 3)
    kept = sampled(all_of, 100)
    assert len(set(kept.tolist())) == 100 and (np.diff(kept) < 0).any()
    first = [tuple(place) for place in half.coords[sampled(half, 400)].tolist()]
    both = [tuple(place) for place in all_of.coords[sampled(all_of, 800)].tolist()]
    assert [place for place in both if place in set(first)] == first
    assert sampled(patches("T", 800, Origin("raw"), 3), 100).tolist() != kept.tolist()


def test_table_has_equal_parts_of_the_slides_and_their_factors():
    of = slides({"B": 2500, "A": 2000, "C": 40})
    scores = {name: one["raw"].features[:, :3] for name, one in of.items()}
    factors = pd.DataFrame({"AGE": [30.0, 70.0]}, index=["A", "B"])
    table = patch_table(of, "raw", scores, factors)
    assert table.groupby("slide").size().to_dict() == {1: POINTS // 3, 2: POINTS // 3, 3: 40}
    assert table.groupby("slide")["AGE"].first().iloc[:2].tolist() == [30, 70] and table["AGE"].isna().sum() == 40
    labels = [companion.label for companion in COMPANIONS]
    assert list(table) == ["slide", "PC1", "PC2", "PC3", *labels, "AGE"]
    kept = sampled(of["A"]["raw"], POINTS // 3)
    own = table[table["slide"] == 1]
    np.testing.assert_array_equal(own["PC2"], scores["A"][kept, 1])
    np.testing.assert_array_equal(own[labels[13]], of["A"]["texture"].features[kept, 13])
    pd.testing.assert_frame_equal(table, patch_table(of, "raw", scores, factors))


def test_without_companions_there_are_covariates_alone():
    of = {"A": {"raw": patches("A", 50, Origin("raw"), 4)}}
    table = patch_table(of, "raw", {"A": of["A"]["raw"].features[:, :2]}, pd.DataFrame(index=["A"]))
    assert list(table) == ["slide", "PC1", "PC2"] and patch_picture(table, "title") is None


def test_colours_are_of_what_goes_most_with_the_components():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.standard_normal((300, 3)), columns=["PC1", "PC2", "noise"]).assign(slide=1, constant=2.0)
    table["second"] = -table["PC2"] + rng.standard_normal(300)
    table["first"] = table["PC1"] + 0.1 * rng.standard_normal(300)
    assert strongest(table, 2) == ["first", "second"] and strongest(table, 9) == ["first", "second", "noise"]
    picture = patch_picture(table, "Components of raw")
    np.testing.assert_array_equal(picture, patch_picture(table, "Components of raw"))
    # The panel of `first`, upper left: its low end is left, its high end right.
    low, high = colours(np.array([0.0, 1.0]), 0, 1).astype(int)
    for colour, side in ((low, -1), (high, 1)):
        near = np.abs(picture[:, :280].astype(int) - colour).sum(axis=2) < 30
        assert near.any() and side * (np.nonzero(near)[1].mean() - 150) > 20
