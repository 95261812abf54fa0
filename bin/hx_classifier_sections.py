#!/usr/bin/env python3
"""What the report says of the tissue classifier: accuracy by patch size, leak, confusion, curves, doubts."""

from itertools import cycle

import pandas as pd

import hx_finding_run
from hx_gather import Kind
from hx_mqc import COUNT, PEOPLE, RATIO, escape, lines, section, table, text
from hx_sections import COLOURS, named
from hx_sizes import size_text, size_value

PUBLISHED = "summary/classifier.tsv"
TABLES = {  # of train_classifier.py: <size>[.<variant>].<kind>.tsv
    "classifier": Kind(["split", "grey", "patch_accuracy", "slide_accuracy"], ["size", "variant"]),
    "curves": Kind(["stage", "epoch", "accuracy", "val_accuracy"], ["size", "variant"]),
    "confusion": Kind(["truth", "predicted", "patches"], ["size", "variant"]),
    "slides": Kind(["sample", "donor", "tissue_id", "predicted", "suspicious"], ["size", "variant"]),
}


def doubted(slides: pd.DataFrame) -> pd.DataFrame:
    """Slides whose label is doubted by the classifier itself, not by its controls."""
    return slides[(slides["suspicious"] == "yes") & (slides["variant"] == "")]


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by rising patch size; the classifier itself before its controls."""
    order = rows.assign(_size=rows["size"].astype(str).map(size_value))
    return order.sort_values(["_size", "variant"], kind="stable", ignore_index=True).drop(columns="_size")


def leak(rows: pd.DataFrame) -> str:
    """What a split by patch scores above the split by donor, in one sentence; '' where not both were run."""
    real = rows[rows["grey"] == "no"]
    score = {split: part.set_index("size")["patch_accuracy"] for split, part in real.groupby("split")}
    if set(score) != {"donor", "patch"}:
        return ""
    both = (score["patch"] - score["donor"]).dropna()
    told = ", ".join(f"{size_text(size)} {both[size]:+.3f}" for size in sorted(both.index, key=size_value))
    return f"Leak, patch accuracy of a split by patch minus that of the split by donor: {told}." if told else ""


def classifier_sections(tables: dict[str, pd.DataFrame], size: str) -> list[dict]:
    """Sections from the gathered tables of train_classifier.py; [] where none was trained.

    Args:
        tables: classifier, curves, confusion, all sizes in one table each, and doubted in place of slides.
        size: patch size of the declared analysis, whose confusion is shown; the first there is, if it was not trained.
    """
    rows = tables.get("classifier")
    if rows is None or rows.empty:
        return []
    rows = in_order(rows)
    real = rows[rows["variant"] == ""]
    shown = size if size in set(real["size"]) else real["size"].iloc[0]
    return [
        _scores(rows),
        _accuracy(rows),
        _curves(tables["curves"], real),
        _confusion(tables["confusion"], shown),
        _doubted(tables["doubted"]),
    ]


def _label(row: pd.Series) -> str:
    grey = ", grey" if row["grey"] == "yes" else ""
    return f"split by {row['split']}{grey}"


def _scores(rows: pd.DataFrame) -> dict:
    columns = {
        "split": named("Split", "What training and validation patches do not share", {}),
        "seen": named("Sees", "Colour, or grey alone", {}),
        "patch_accuracy": named("Patches right", "Share of validation patches whose tissue was told", RATIO),
        "slide_accuracy": named("Slides right", "By the mean probability of a slide's patches", RATIO),
        "chance": named("By chance", "Share of the commonest tissue", RATIO),
        "macro_f1": named("Macro F1", "Mean over tissues", RATIO),
        "ece": named("ECE", "Expected calibration error, 15 bins", RATIO),
        "train_donors": named("Training donors", "", PEOPLE),
        "validation_donors": named("Validation donors", "", PEOPLE),
        "train_patches": named("Training patches", "", COUNT),
        "epoch": named("Epoch kept", "Stage and epoch of the weights that are used: the last", {}),
        "best_epoch": named("Best epoch", "Of highest validation accuracy; not used, choosing it would flatter", {}),
        "weights": named("Started from", "Weights before training", {}),
        "device": named("Device", "What trained", {}),
    }
    told = leak(rows)
    if (rows["weights"] == "random").any():
        told = f"It started from random weights: chance is what to expect of it. {told}".strip()
    return table(
        "classifier",
        "Tissue classifier",
        "How well the fine-tuned network tells the tissues of donors apart whom it has not seen, by patch size.",
        f"Accuracy near chance, or much higher by patch than by donor, would be wrong. {escape(told)}".strip(),
        rows.assign(seen=rows["grey"].map({"yes": "grey", "no": "colour"})),
        columns,
        PUBLISHED,
        "Patch size",
        [size_text(size) for size in rows["size"]],
        finding=hx_finding_run.classifier(rows),
    )


def _accuracy(rows: pd.DataFrame) -> dict:
    series, style = {}, {}
    labels = rows.apply(_label, axis=1)
    for colour, (label, part) in zip(cycle(COLOURS), rows.groupby(labels, sort=False), strict=False):
        sizes = part["size"].astype(str).map(size_value).to_numpy(float)
        for unit, dash in (("patch", "solid"), ("slide", "dot")):
            series[f"{unit}es, {label}" if unit == "patch" else f"{unit}s, {label}"] = (
                sizes,
                part[f"{unit}_accuracy"].to_numpy(float),
            )
            style[list(series)[-1]] = {"color": colour, "dash": dash}
    return lines(
        "classifier_accuracy",
        "Accuracy against patch size",
        "Share of validation patches (solid) and slides (dotted) whose tissue was told, against the side of the patch.",
        "The study saw accuracy rise with size; a split by patch far above the split by donor would be a leak.",
        series,
        style,
        xlab="Side of the patch",
        ylab="Accuracy",
        xlog=True,
        ymin=0,
        ymax=1,
    )


def _curves(curves: pd.DataFrame, real: pd.DataFrame) -> dict:
    series, style = {}, {}
    own = curves[curves["variant"] == ""]
    for colour, size in zip(cycle(COLOURS), real["size"], strict=False):
        part = own[own["size"] == size]
        epochs = pd.Series(range(1, len(part) + 1), dtype=float).to_numpy()
        for column, name, dash in (("val_accuracy", "validation", "solid"), ("accuracy", "training", "dot")):
            label = f"{size_text(size)}, {name}"
            series[label], style[label] = (epochs, part[column].to_numpy(float)), {"color": colour, "dash": dash}
    return lines(
        "classifier_curves",
        "Training of the classifier",
        "Accuracy after each epoch, validation patches solid, training patches dotted: first the head, then all of it.",
        "Validation that falls while training rises would be wrong: the network learns donors, not tissues.",
        series,
        style,
        xlab="Epoch",
        ylab="Accuracy",
        ymin=0,
        ymax=1,
    )


def _confusion(confusion: pd.DataFrame, size: str) -> dict:
    part = confusion[(confusion["size"] == size) & (confusion["variant"] == "")]
    counts = part.pivot_table(index="truth", columns="predicted", values="patches", aggfunc="sum")
    shares = counts.div(counts.sum(axis=1), axis=0).fillna(0.0)
    return section(
        "classifier_confusion",
        "Confusion of tissues",
        f"Share of the validation patches of a tissue (row) that are called each tissue, {size_text(size)}.",
        "A tissue that is called by another's name would be wrong. Rows: classifier/<size>/<size>.confusion.tsv.",
        "heatmap",
        [[round(float(value), 4) for value in row] for row in shares.to_numpy()],
        xcats=[escape(name) for name in shares.columns],
        ycats=[escape(name) for name in shares.index],
        pconfig={
            "id": "classifier_confusion_plot",
            "title": "HistoGEx: Confusion of tissues",
            "xlab": "Called",
            "ylab": "Tissue",
            "min": 0,
            "max": 1,
            "square": True,
            "cluster_rows": False,
            "cluster_cols": False,
        },
    )


def _doubted(rows: pd.DataFrame) -> dict:
    name = "Slides of doubtful label"
    shown = "Slides that a classifier which has not seen their donor calls another tissue."
    wrong = "More than a few would be wrong: look at them, mislabelled slides are real."
    if rows.empty:
        return text("classifier_doubted", name, shown, wrong, ["No slide."])
    return table(
        "classifier_doubted",
        name,
        shown,
        wrong,
        rows,
        {
            "size": named("Patch size", "Of the classifier that doubts", {}),
            "tissue_id": named("Label", "Tissue in the samplesheet", {}),
            "predicted": named("Looks like", "Tissue of highest mean probability", {}),
            "probability_own": named("P(label)", "Mean probability of the label over the slide's patches", RATIO),
            "probability_predicted": named("P(looks like)", "Mean probability of that tissue", RATIO),
            "donor": named("Donor", "Donor", {}),
        },
        "classifier/<size>/<size>.slides.tsv",
        "Slide",
        list(rows["sample"]),
        by=["size", "tissue_id", "predicted"],
    )
