"""Scores of a classifier against scikit-learn and slow loops; which slides are doubted."""

import numpy as np
import pytest
from sklearn import metrics

import hx_classifier_scores as scores


@pytest.fixture(scope="module")
def predictions() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 500)
    logits = rng.normal(size=(500, 4))
    logits[np.arange(500), truth] += 1.5
    return truth, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_scores_are_those_of_scikit_learn(predictions):
    truth, probabilities = predictions
    predicted = probabilities.argmax(axis=1)
    counts = scores.confusion(truth, predicted, 4)
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(truth, predicted))
    assert scores.accuracy(truth, predicted) == metrics.accuracy_score(truth, predicted)
    assert scores.macro_f1(counts) == pytest.approx(metrics.f1_score(truth, predicted, average="macro"), abs=1e-12)


@pytest.mark.parametrize(("truth", "predicted"), [([0, 0, 1, 1], [0, 0, 0, 0]), ([0, 0], [2, 2]), ([1, 2], [1, 2])])
def test_macro_f1_with_classes_that_are_not_there(truth, predicted):
    found = scores.macro_f1(scores.confusion(np.array(truth), np.array(predicted), 5))
    assert found == pytest.approx(metrics.f1_score(truth, predicted, average="macro", zero_division=0))


def test_calibration_is_that_of_a_loop(predictions):
    truth, probabilities = predictions
    table = scores.calibration(truth, probabilities)
    assert len(table) == scores.BINS and table["n"].sum() == len(truth)
    error = 0.0
    for m in range(1, 16):
        inside = [
            (max(p), int(np.argmax(p)) == t)
            for t, p in zip(truth, probabilities, strict=True)
            if (m - 1) / 15 < max(p) <= m / 15
        ]
        row = table.iloc[m - 1]
        assert row["n"] == len(inside)
        if inside:
            confidence, right = np.mean(inside, axis=0)
            assert row["confidence"] == pytest.approx(confidence) and row["accuracy"] == pytest.approx(right)
            error += len(inside) / len(truth) * abs(right - confidence)
        else:
            assert np.isnan(row["confidence"]) and np.isnan(row["accuracy"])
    assert scores.calibration_error(table) == pytest.approx(error, abs=1e-12)


def test_sure_and_wrong_is_an_error_of_one():
    sure = np.array([[1.0, 0.0]] * 3)
    assert scores.calibration_error(scores.calibration(np.array([1, 1, 1]), sure)) == 1
    assert scores.calibration_error(scores.calibration(np.array([0, 0, 0]), sure)) == 0


def test_slides_are_means_of_their_patches(predictions):
    _, probabilities = predictions
    samples = np.random.default_rng(0).choice(["b", "a", "c10", "c9"], 500).astype(object)
    slides, means = scores.by_slide(samples, probabilities)
    assert slides.tolist() == ["a", "b", "c10", "c9"]
    for slide, mean in zip(slides, means, strict=True):
        np.testing.assert_allclose(mean, probabilities[samples == slide].mean(axis=0), rtol=1e-12)


def test_chance_is_the_commonest_class():
    assert scores.chance(np.array([0, 1, 1, 2]), 4) == 0.5


def held_out(labels: np.ndarray, own: float) -> np.ndarray:
    probabilities = np.full((len(labels), 3), (1 - own) / 2)
    probabilities[np.arange(len(labels)), labels] = own
    return probabilities


def test_swapped_labels_are_found_and_no_other():
    truth = np.repeat([0, 1, 2], 20)
    probabilities = held_out(truth, 0.8) + np.random.default_rng(1).normal(0, 0.01, (60, 1)) * [1, -0.5, -0.5]
    probabilities[0] = [0.3, 0.4, 0.3]  # unsure: another tissue, but not as its own slides
    labels = truth.copy()
    labels[[5, 25]] = [1, 2]
    probabilities[[5, 25]] += np.array([[0.1, -0.05, -0.05], [-0.05, 0.1, -0.05]])
    found = scores.suspicious_slides(labels, probabilities)
    assert found.able
    assert np.flatnonzero(found.suspicious).tolist() == [5, 25]


def test_a_classifier_that_knows_nothing_doubts_nobody():
    rng = np.random.default_rng(2)
    labels, probabilities = rng.integers(0, 2, 80), rng.dirichlet([5, 5], 80)
    found = scores.suspicious_slides(labels, probabilities)
    assert not found.able and not found.suspicious.any()


def test_slides_without_held_out_prediction_are_not_judged():
    labels = np.repeat([0, 1, 2], 20)
    probabilities = held_out(labels, 0.9)
    probabilities[3] = np.nan
    assert not scores.suspicious_slides(labels, probabilities).suspicious[3]
    assert not scores.suspicious_slides(labels[:1], np.full((1, 3), np.nan)).able


def test_tables(predictions):
    truth, probabilities = predictions
    tissues = ["Fat", "Gut", "Lung", "Skin"]
    # a slide has one tissue
    samples = np.array([f"s{t}-{i % 7}" for i, t in enumerate(truth)], object)
    found, confusion, calibration = scores.score_tables(tissues, truth, samples, probabilities)
    assert found["patch_accuracy"] == metrics.accuracy_score(truth, probabilities.argmax(axis=1))
    assert found["slide_accuracy"] == 1.0 and found["chance"] == np.bincount(truth).max() / 500
    assert found["ece"] == scores.calibration_error(calibration)
    assert len(confusion) == 16 and confusion["patches"].sum() == 500 and confusion["slides"].sum() == 28
    cell = confusion[(confusion["truth"] == "Gut") & (confusion["predicted"] == "Skin")]["patches"].item()
    assert cell == np.sum((truth == 1) & (probabilities.argmax(axis=1) == 3))

    train = np.array([name.endswith(("1", "2")) for name in samples]) | (np.arange(500) < 4)
    probabilities = probabilities.copy()
    probabilities[samples == samples[0]] = np.nan
    table, able = scores.slide_table(samples, samples, truth, tissues, train, probabilities)
    assert able and len(table) == 28 and (table["suspicious"] == "no").sum() == 27
    for row in table.to_dict("records"):
        rows = samples == row["sample"]
        assert row["tissue_id"] == tissues[int(row["sample"][1])]
        assert row["split"] == {1.0: "train", 0.0: "validation"}.get(float(train[rows].mean()), "both")
        assert row["patches"] == rows.sum()
        assert row["held_out"] == ("no" if row["sample"] == samples[0] else "yes")
        if row["held_out"] == "yes":
            mean = probabilities[rows].mean(axis=0)
            assert row["predicted"] == tissues[mean.argmax()]
            assert row["probability_predicted"] == pytest.approx(mean.max())
            assert row["probability_own"] == pytest.approx(mean[tissues.index(row["tissue_id"])])
        else:
            assert row["predicted"] == "" and row["suspicious"] == ""
    assert set(table["split"]) == {"train", "validation", "both"}
