#!/usr/bin/env python3
"""How good a tissue classifier is: scores of predicted probabilities, by patch and by slide, on arrays alone."""

from typing import NamedTuple

import numpy as np
import pandas as pd

BINS = 15


class Suspicion(NamedTuple):
    """Slides whose label the held-out prediction doubts. `suspicious` (slides,) bool; `able`: the classifier tells
    tissues apart well enough to be asked (see `suspicious_slides`)."""

    suspicious: np.ndarray
    able: bool


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts int64 (classes, classes), row = truth, column = prediction, of two (n,) arrays of class numbers."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of (n,) predictions that are right; NaN when there is none."""
    return float(np.mean(truth == predicted)) if len(truth) else float("nan")


def macro_f1(counts: np.ndarray) -> float:
    """Unweighted mean over classes of F1 = 2 TP / (2 TP + FP + FN), from a confusion matrix.

    A class that neither is nor is predicted anywhere does not count (as scikit-learn's f1_score does).
    """
    hits, marginals = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1)
    there = marginals > 0
    return float(np.mean(2 * hits[there] / marginals[there])) if there.any() else float("nan")


def calibration(truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Reliability table of the most probable class: bin (from 1), mean confidence, accuracy, n; empty bins are NaN.

    Bin m holds confidences in ((m - 1) / bins, m / bins] (Guo et al. 2017, arXiv:1706.04599, section 2).

    Args:
        truth: (n,) class numbers. probabilities: (n, classes), rows sum to 1.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    number = np.clip(np.ceil(confidence * bins).astype(int), 1, bins)
    n = np.bincount(number, minlength=bins + 1)[1:]
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(number, confidence, bins + 1)[1:] / n
        mean_accuracy = np.bincount(number, right, bins + 1)[1:] / n
    return pd.DataFrame(
        {"bin": np.arange(1, bins + 1), "confidence": mean_confidence, "accuracy": mean_accuracy, "n": n}
    )


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error: mean over bins of |accuracy - confidence|, weighted by n (Guo et al. 2017, eq. 3)."""
    filled = table[table["n"] > 0]
    return float(np.average((filled["accuracy"] - filled["confidence"]).abs(), weights=filled["n"]))


def by_slide(samples: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sorted slides (s,), mean probabilities of their patches (s, classes)) of (n,) slides and (n, classes)."""
    slides, inverse = np.unique(samples, return_inverse=True)
    sums = np.zeros((len(slides), probabilities.shape[1]))
    np.add.at(sums, inverse, probabilities.astype(np.float64))
    return slides, sums / np.bincount(inverse)[:, None]


def chance(truth: np.ndarray, classes: int) -> float:
    """No-information rate: the accuracy of naming the commonest class of `truth` (n,) each time."""
    return float(np.bincount(truth, minlength=classes).max() / len(truth))


def suspicious_slides(labels: np.ndarray, probabilities: np.ndarray) -> Suspicion:
    """Slides that a held-out prediction places in another tissue as surely as it does that tissue's own slides.

    Rule of confident learning (Northcutt et al. 2021, J Artif Intell Res 70:1373, eq. 1 and 2): the predicted tissue j
    is not the label, and its probability is at least t_j, the mean probability of j over the slides labelled j. None is
    suspicious where slide accuracy is not above chance by two standard errors: a classifier that tells nothing apart
    doubts every second label.

    Args:
        labels: (slides,) class numbers. probabilities: (slides, classes) held-out; NaN rows are not judged.
    """
    classes = probabilities.shape[1]
    held_out = np.isfinite(probabilities).all(axis=1)
    suspicious = np.zeros(len(labels), bool)
    if not held_out.any():
        return Suspicion(suspicious, False)
    known, values = labels[held_out], probabilities[held_out]
    predicted = values.argmax(axis=1)
    rate = chance(known, classes)
    able = accuracy(known, predicted) > rate + 2 * np.sqrt(rate * (1 - rate) / len(known))
    if able:
        usual = np.array([values[known == j, j].mean() if (known == j).any() else np.inf for j in range(classes)])
        suspicious[held_out] = (predicted != known) & (values.max(axis=1) >= usual[predicted])
    return Suspicion(suspicious, bool(able))


def score_tables(
    tissues: list[str], labels: np.ndarray, samples: np.ndarray, probabilities: np.ndarray
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """(scores, confusion, calibration) of n patches of known tissue.

    Args:
        labels: (n,) class numbers. samples: (n,) slides. probabilities: (n, tissues).
    """
    count = len(tissues)
    by_patch = confusion(labels, probabilities.argmax(axis=1), count)
    means = by_slide(samples, probabilities)[1]
    of_slide = labels[np.unique(samples, return_index=True)[1]]
    reliability = calibration(labels, probabilities)
    found = {
        "patch_accuracy": accuracy(labels, probabilities.argmax(axis=1)),
        "slide_accuracy": accuracy(of_slide, means.argmax(axis=1)),
        "macro_f1": macro_f1(by_patch),
        "ece": calibration_error(reliability),
        "chance": chance(labels, count),
    }
    table = pd.DataFrame(
        {
            "truth": np.repeat(tissues, count),
            "predicted": np.tile(tissues, count),
            "patches": by_patch.ravel(),
            "slides": confusion(of_slide, means.argmax(axis=1), count).ravel(),
        }
    )
    return found, table, reliability


def slide_table(
    samples: np.ndarray,
    donors: np.ndarray,
    labels: np.ndarray,
    tissues: list[str],
    train: np.ndarray,
    probabilities: np.ndarray,
) -> tuple[pd.DataFrame, bool]:
    """A row a slide: its label against the mean of its patches' held-out probabilities; and Suspicion.able.

    split: side of its patches in the split that is scored; `both` is possible in a split by patch.

    Args:
        samples, donors, labels (class numbers), train (bool): (n,), of patches. probabilities: (n, tissues), NaN where
            the patch's tissue was unknown to the head that did not see it.
    """
    slides, means = by_slide(samples, probabilities)
    _, first, inverse, count = np.unique(samples, return_index=True, return_inverse=True, return_counts=True)
    own, names = labels[first], np.array(tissues, object)
    held_out = np.isfinite(means).all(axis=1)
    best = np.where(held_out, np.nan_to_num(means).argmax(axis=1), own)
    share = np.bincount(inverse, train) / count
    found, rows = suspicious_slides(own, means), np.arange(len(slides))
    table = pd.DataFrame(
        {
            "sample": slides,
            "donor": donors[first],
            "tissue_id": names[own],
            "split": np.where(share == 1, "train", np.where(share == 0, "validation", "both")),
            "patches": count,
            "held_out": np.where(held_out, "yes", "no"),
            "predicted": np.where(held_out, names[best], ""),
            "probability_own": means[rows, own],
            "probability_predicted": means[rows, best],
            "suspicious": np.where(held_out & found.able, np.where(found.suspicious, "yes", "no"), ""),
        }
    )
    return table, found.able
