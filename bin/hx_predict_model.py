#!/usr/bin/env python3
"""The file of a prediction model: HDF5, no code in it. Written by predict_expression.py, read by apply_model.py."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from hx_cli import DataError
from hx_io import atomic
from hx_predict import Coefficients
from hx_predict_scale import from_scores

FORMAT, VERSION = "histogex prediction model", 1
NUMBERS = ("r2cv_image", "r2cv", "r2cv_confounders", "delta_r2", "p", "q")  # of a gene, as in the table of genes
# What tells one encoder and preprocessing from another, in the model and in the features that it is applied to.
ORIGIN = ("encoder", "weights_sha256", "layer", "preprocess")
PLACE = ("setting", "tissue_id", "size", "aggregation")


class FoldModel(NamedTuple):
    """Coefficients without the donors of a fold, of some genes (indices); features: their indices in the model."""

    fold: int
    genes: np.ndarray
    features: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    intercept: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True)
class Model:
    """score = intercept + ((features - mean) / scale) beta; a gene's log2 value is its quantile function at the score.

    told: PLACE, ORIGIN and what else describes it, as text. feature: (features,) names. gene, symbol: (genes,).
    beta: (features, genes) float32. level, log2: quantile functions, see hx_predict_scale. numbers: NUMBERS of each
    gene. farthest: largest distance of a training donor. training: hashes of the training donors. folds: for
    predictions that have not seen a donor.
    """

    told: dict[str, str]
    feature: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    gene: np.ndarray
    symbol: np.ndarray
    intercept: np.ndarray
    beta: np.ndarray
    level: np.ndarray
    log2: np.ndarray
    numbers: dict[str, np.ndarray]
    farthest: float
    training: np.ndarray
    folds: list[FoldModel]

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(donors, genes) rank-normal scores and log2 values from (donors, features) in the order of `feature`."""
        scores = self.intercept + ((features - self.mean) / self.scale) @ self.beta
        return scores, from_scores(scores, self.level, self.log2)

    def distance(self, features: np.ndarray) -> np.ndarray:
        """(donors,) root mean square of the standardised features: how unlike the training donors a slide is."""
        return distance(features, self.mean, self.scale)


def distance(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(donors,) root mean square of (features - mean) / scale."""
    return np.sqrt(np.mean(((features - mean) / scale) ** 2, axis=1))


def donor_hash(donor: str) -> str:
    """Sixteen hexadecimal digits by which a model knows its training donors, without naming them."""
    return hashlib.sha256(donor.encode()).hexdigest()[:16]


def fold_model(fold: int, genes: np.ndarray, used: np.ndarray, of: Coefficients) -> FoldModel:
    """used: indices in the model of the features that `of` uses."""
    return FoldModel(fold, genes, used, of.mean, of.scale, of.intercept, of.beta)


def write_model(model: Model, path: Path) -> None:
    """Write <setting>.model.h5; the same model gives the same bytes."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format": FORMAT, "version": VERSION, "farthest": model.farthest, **model.told})
        write(file, "training", model.training)
        features, genes = file.create_group("features"), file.create_group("genes")
        for name in ("feature", "mean", "scale"):
            write(features, name, getattr(model, name))
        for name in ("gene", "symbol", "intercept"):
            write(genes, name, getattr(model, name))
        for name in NUMBERS:
            write(genes, name, model.numbers[name])
        for name in ("beta", "level", "log2"):
            write(file, name, getattr(model, name))
        for part in model.folds:
            group = file.create_group(f"folds/{part.fold}")
            for name in FoldModel._fields[1:]:
                write(group, name, getattr(part, name))


def write(group: h5py.Group, name: str, values: np.ndarray) -> None:
    """A dataset; text as fixed-length UTF-8."""
    values = np.asarray(values)
    if values.dtype.kind in "OU":
        values = np.char.encode(values.astype(str), "utf-8") if len(values) else np.empty(0, "S1")
    group.create_dataset(name, data=values)


def read_model(path: Path) -> Model:
    """Read a model.

    Raises:
        DataError: not readable, not of this format or version, or its parts do not fit each other.
    """
    try:
        with h5py.File(path) as file:
            if str(file.attrs.get("format")) != FORMAT:
                raise DataError(f"{path.name}: no prediction model: give a *.model.h5 of results/prediction")
            if int(file.attrs["version"]) != VERSION:
                told = int(file.attrs["version"])
                raise DataError(f"{path.name}: a model of version {told}, this HistoGEx reads {VERSION}: use the other")
            model = _read(file)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path.name}: no readable prediction model ({error}): copy or make it again") from error
    features, genes = len(model.feature), len(model.gene)
    of_genes = [model.symbol, model.intercept, *model.numbers.values(), model.log2.T]
    fits = model.beta.shape == (features, genes) and len(model.mean) == len(model.scale) == features
    if not (fits and all(len(part) == genes for part in of_genes) and np.isfinite(model.beta).all()):
        raise DataError(f"{path.name}: the parts of the model do not fit each other: copy or make it again")
    return model


def _read(file: h5py.File) -> Model:
    told = {name: str(value) for name, value in file.attrs.items() if name not in ("format", "version", "farthest")}
    if lacking := [name for name in (*PLACE, *ORIGIN) if name not in told]:
        raise KeyError(f"no attribute {', '.join(lacking)}")
    features, genes = file["features"], file["genes"]
    parts = file["folds"] if "folds" in file else {}
    return Model(
        told,
        *(_array(features[name]) for name in ("feature", "mean", "scale")),
        *(_array(genes[name]) for name in ("gene", "symbol", "intercept")),
        *(_array(file[name]) for name in ("beta", "level", "log2")),
        {name: _array(genes[name]) for name in NUMBERS},
        float(file.attrs["farthest"]),
        _array(file["training"]),
        [FoldModel(int(k), *(_array(parts[k][name]) for name in FoldModel._fields[1:])) for k in sorted(parts)],
    )


def _array(dataset: h5py.Dataset) -> np.ndarray:
    values = dataset[:]
    return np.char.decode(values, "utf-8").astype(object) if values.dtype.kind == "S" else values
