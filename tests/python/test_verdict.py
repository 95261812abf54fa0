"""The status of a tissue by its rule, case by case, and what the verdict takes from each table."""

import numpy as np
import pandas as pd
import pytest

from hx_verdict import accuracy_of, patches_of, status

NAN = float("nan")
SOUND = {
    "primary": "yes", "adjusted_for": "AGE", "alpha": 0.05, "hits": 100, "control_hits": 0, "genes_found": 30,
    "control_genes_found": 0, "lambda_gc": 1.4, "lambda_low": 0.95, "lambda_high": 1.06, "control_lambda_gc": 1.01,
    "shared_p": 0.001, "control_shared_p": 0.4, "predicted": 8, "control_predicted": 0, "detectable_r": 0.61,
}  # fmt: skip
NOTHING = {"hits": 0, "genes_found": 0, "predicted": 0, "shared_p": 0.4}
CASES = [
    ({}, "green", "hits: 100, 0 with donors shuffled; genes found: 30, 0 with donors shuffled"),
    ({"control_hits": 5}, "green", "hits: 100, 5 with donors shuffled"),  # alpha times the hits are as expected
    ({"control_hits": 6}, "red", "hits: 6 with donors shuffled, 100 without"),
    ({"hits": 0, "control_hits": 1}, "red", "hits: 1 with donors shuffled, 0 without"),
    ({"control_genes_found": 2}, "red", "genes found: 2 with donors shuffled, 30 without"),
    ({"control_predicted": 1}, "red", "genes predicted: 1 with donors shuffled, 8 without"),
    ({"control_shared_p": 0.01}, "red", "shared variance with donors shuffled has p = 0.01"),
    ({"control_shared_p": 0.02}, "green", "hits: 100"),  # one tissue in twenty has p below .05
    ({"control_lambda_gc": 1.06**2 + 0.001}, "red", "lambda with donors shuffled is 1.125"),
    ({"control_lambda_gc": 1.06**2 - 0.001}, "green", "hits: 100"),
    ({"control_lambda_gc": 1 / 1.07**2}, "red", "lambda with donors shuffled is 0.873, of permutations 0.950 to 1.060"),
    (NOTHING, "amber", "nothing was found (|r| of 0.61 has 80 % power)"),
    (NOTHING | {"detectable_r": NAN}, "amber", "nothing was found"),
    (NOTHING | {"shared_p": 0.05}, "green", "shared variance has p = 0.05"),
    ({"adjusted_for": NAN}, "amber", "nothing was adjusted for; hits: 100"),
    ({"adjusted_for": ""}, "amber", "nothing was adjusted for"),
    ({"primary": "no"}, "amber", "the declared setting is not in the run"),
    ({"hits_shuffle_within": 6}, "amber", "hits: 6 with donors shuffled within strata, 100 without"),
    ({"hits_shuffle_within": 5}, "green", "hits: 100"),
    (dict.fromkeys(("control_hits", "control_genes_found", "control_predicted", "control_shared_p"), NAN), "amber",
     "no control was run; hits: 100; genes found: 30"),
    (NOTHING | {"control_hits": 3, "adjusted_for": ""}, "red", "hits: 3 with donors shuffled, 0 without"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "colour", "why"), CASES)
def test_status_by_its_rule(changed, colour, why):
    found, told = status(SOUND | changed)
    assert found == colour and why in told


def test_stages_that_did_not_run_say_nothing():
    shared = {"primary": "yes", "adjusted_for": "AGE", "shared_p": 0.001, "control_shared_p": 0.4}
    assert status(shared) == ("green", "shared variance has p = 0.001")
    assert status({"primary": "yes", "adjusted_for": "AGE"}) == ("amber", "nothing was found; no control was run")


def test_patches_and_accuracy_are_of_the_settings_size():
    chosen = pd.DataFrame({"tissue_id": ["A", "B"], "size": ["256", "128um"]})
    slides = pd.DataFrame(
        {
            "tissue_id": ["A", "A", "A", "B"],
            "status": ["ok", "partial", "failed", "ok"],
            "n_patches_256": ["10", "5", "7", "9"],
        }
    )
    patches = patches_of(slides, chosen)
    assert patches["A"] == 15 and np.isnan(patches["B"])
    confusion = pd.DataFrame(
        [("256", "", "A", "A", 8), ("256", "", "A", "B", 2), ("512", "", "A", "B", 90), ("256", "grey", "A", "B", 90)],
        columns=["size", "variant", "truth", "predicted", "patches"],
    )
    assert accuracy_of(confusion, chosen).to_dict() == {"A": 0.8}
