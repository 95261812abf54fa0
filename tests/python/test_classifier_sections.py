"""What the report says of the classifier and of the features."""

import pandas as pd

from hx_classifier_sections import classifier_sections, leak
from hx_feature_sections import feature_sections


def scores(**changed) -> pd.DataFrame:
    row = {
        "size": "256", "variant": "", "split": "donor", "grey": "no", "patch_accuracy": 0.8, "slide_accuracy": 0.9,
        "chance": 0.5, "macro_f1": 0.8, "ece": 0.1, "train_donors": 9, "validation_donors": 3, "train_patches": 90,
        "epoch": "base 30", "best_epoch": "base 20", "weights": "imagenet", "device": "gpu",
    }  # fmt: skip
    return pd.DataFrame([row]).assign(**changed)


def tables() -> dict[str, pd.DataFrame]:
    split = scores(variant="patch_split", split="patch", patch_accuracy=0.95)
    grey = scores(variant="grey", grey="yes", patch_accuracy=0.7)
    rows = pd.concat([scores(size="1024", patch_accuracy=0.9), split, grey, scores()], ignore_index=True)
    curves = pd.DataFrame({"stage": ["head", "base"], "epoch": 1, "accuracy": [0.6, 0.9], "val_accuracy": [0.5, 0.8]})
    pairs = [("Lung", "Lung", 8), ("Lung", "Skin", 2), ("Skin", "Lung", 0), ("Skin", "Skin", 10)]
    confusion = pd.DataFrame(pairs, columns=["truth", "predicted", "patches"])
    doubted = {"sample": ["S<1>"], "donor": "D1", "tissue_id": "Lung", "predicted": "Skin", "size": "256"}
    probabilities = {"variant": "", "probability_own": 0.1, "probability_predicted": 0.9}
    both = [{"size": size, "variant": ""} for size in ("256", "1024")]
    return {
        "classifier": rows,
        "curves": pd.concat([curves.assign(**one) for one in both]),
        "confusion": pd.concat([confusion.assign(**one) for one in both]),
        "doubted": pd.DataFrame(doubted | probabilities),
    }


def test_sections_of_a_classifier():
    found = {part["id"]: part for part in classifier_sections(tables(), "256")}
    assert list(found) == [f"classifier{name}" for name in ("", "_accuracy", "_curves", "_confusion", "_doubted")]
    assert list(found["classifier"]["data"]) == ["256 px", "256 px (2)", "256 px (3)", "1024 px"]
    assert "256 px +0.150" in found["classifier"]["description"]
    assert "random" not in found["classifier"]["description"]
    drawn = classifier_sections(tables() | {"classifier": scores(weights="random")}, "256")[0]
    assert "started from random weights" in drawn["description"]
    assert found["classifier_accuracy"]["data"]["patches, split by donor"] == [[256.0, 0.8], [1024.0, 0.9]]
    assert "patches, split by donor, grey" in found["classifier_accuracy"]["data"]
    assert found["classifier_curves"]["data"]["256 px, validation"] == [[1.0, 0.5], [2.0, 0.8]]
    assert found["classifier_confusion"]["data"] == [[0.8, 0.2], [0.0, 1.0]]
    assert list(found["classifier_doubted"]["data"]) == ["S&lt;1&gt;"]
    assert all("wrong" in part["description"] or "leak" in part["description"] for part in found.values())


def test_a_run_without_a_classifier_has_no_section():
    assert classifier_sections({}, "256") == []


def test_leak_needs_both_splits_of_a_size():
    assert leak(scores()) == ""
    other = scores(size="512", variant="patch_split", split="patch")
    assert leak(pd.concat([scores(), other])) == ""


def test_features_and_reliability_against_size():
    rows = pd.DataFrame({
        "tissue_id": "Lung", "size": ["1024", "256", "256"], "encoder": "raw", "weights_hash": "ab12cd34",
        "aggregation": ["mean", "mean", "max"], "n_donors": 9, "n_features": 20, "n_dead": 1, "n_redundant": 2,
        "reliability_q1": 0.2, "reliability_median": [0.5, 0.7, float("nan")], "reliability_q3": 0.8, "sd_median": 1.0,
    })  # fmt: skip
    shown, curves = feature_sections({"feature_summary": rows})
    assert [row["size"] for row in shown["data"].values()] == ["256", "1024"]
    assert curves["data"] == {"Lung, raw": [[256.0, 0.7], [1024.0, 0.5]]}
    given = rows.assign(size="-", aggregation="given", reliability_median=float("nan")).head(1)
    assert [part["id"] for part in feature_sections({"feature_summary": given})] == ["features"]
