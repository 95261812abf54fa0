#!/usr/bin/env python3
"""Values of patches on the tissue: pictures, GeoJSON for QuPath, AnnData, and predicted expression patch by patch."""

import re
import uuid
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.linalg import eigh

from hx_cli import DataError
from hx_features import PatchFeatures
from hx_linear import varying_columns
from hx_picture import colours
from hx_predict_model import Model
from hx_slide import Overview

PREDICTED = "predicted, not measured"
SPAN = (0.02, 0.98)  # quantiles of the values that the ends of the colours stand for
COVER = 0.8  # of the tissue by a patch's colour
COMPONENTS = 3
PALENESS = 0.55  # of the tissue under the colours
PATCH_RGB = (128, 128, 128)  # of the class of patches in QuPath; each has a colour of its own
LOWRES_PX = 600  # of the picture in an h5ad file: that of Visium's tissue_lowres_image, which its readers expect


class Canvas(NamedTuple):
    """Part of a slide to draw on: RGB (h, w, 3), level-0 (x, y) of its corner, level-0 pixels a pixel of it (x, y)."""

    pixels: np.ndarray
    corner: np.ndarray
    factor: np.ndarray


def column_of(feature: str, encoder: str) -> int:
    """Column of a feature among the patch features of its encoder: its name is <encoder>_<index>.

    Raises:
        DataError: the name is another one.
    """
    number = feature.removeprefix(f"{encoder}_")
    if not number.isdigit():
        raise DataError(f"feature {feature}: not of the patch features of {encoder}: only these can be mapped")
    return int(number)


def tissue_canvas(picture: Overview, coords: np.ndarray, side: int, px: int, margin: float = 0.5) -> Canvas:
    """The part of a slide that its patches cover, at most `px` pixels long.

    Args:
        picture: the whole slide. coords: (n, 2) corners of the patches, level 0. margin: around them, in patches.
    """
    factor = np.array(picture.factor)
    height, width = picture.pixels.shape[:2]
    low = np.clip(np.floor((coords.min(axis=0) - margin * side) / factor), 0, (width - 1, height - 1)).astype(int)
    high = np.ceil((coords.max(axis=0) + (1 + margin) * side) / factor).astype(int)
    high = np.clip(high, low + 1, (width, height))
    cut = picture.pixels[low[1] : high[1], low[0] : high[0]]
    return resized(Canvas(cut, low * factor, factor), px)


def blank_canvas(coords: np.ndarray, side: int, px: int, margin: float = 0.5) -> Canvas:
    """White paper in place of a slide that is not there, for its patches' coordinates alone."""
    low, high = coords.min(axis=0) - margin * side, coords.max(axis=0) + (1 + margin) * side
    step = (high - low).max() / px
    width, height = np.maximum(np.ceil((high - low) / step), 1).astype(int)
    return Canvas(np.full((height, width, 3), 255, np.uint8), low, np.array([step, step]))


def resized(canvas: Canvas, px: int) -> Canvas:
    """The canvas with its longer side at `px` pixels."""
    height, width = canvas.pixels.shape[:2]
    scale = px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    factor = canvas.factor * np.array([width, height]) / size
    return Canvas(cv2.resize(canvas.pixels, size, interpolation=how), canvas.corner, factor)


def heat(canvas: Canvas, coords: np.ndarray, side: int, values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The canvas, pale and grey, with every patch in the colour of its value, see hx_picture.colours."""
    grey = cv2.cvtColor(canvas.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    out = np.repeat((255 - (255 - grey) * PALENESS)[..., None], 3, axis=2)
    height, width = grey.shape
    first = np.round((coords - canvas.corner) / canvas.factor).astype(int)
    last = np.round((coords + side - canvas.corner) / canvas.factor).astype(int)
    rgb = colours(values, low, high).astype(np.float32)
    for (x0, y0), (x1, y1), colour in zip(first.tolist(), last.tolist(), rgb, strict=True):
        part = out[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
        part += COVER * (colour - part)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def span(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Values that the ends of the colours stand for: SPAN of all slides together, so that their maps compare."""
    low, high = np.quantile(np.concatenate([np.asarray(part, np.float64) for part in values]), SPAN)
    return float(low), float(high)


def additive(model: Model, patches: PatchFeatures, genes: Sequence[str], fold: int | None) -> np.ndarray:
    """(patches, genes) parts of a slide's predicted score of each gene; their mean is the slide's prediction.

    The score is intercept + sum_j b_j (m_j - mean_j) / scale_j with m_j the mean of feature j over the patches: linear
    in the features, so that the same formula for a patch's own features has that mean.

    Args:
        genes: ids, see genes_of. fold: of the slide's donor, whose coefficients were fitted without it; None: of a
            donor that the model has not seen.

    Raises:
        DataError: the model is of another aggregation, encoder, size or weights.
    """
    check_model(model, patches)
    columns = [column_of(name, patches.origin.encoder) for name in model.feature]
    where = [int(np.flatnonzero(model.gene == gene)[0]) for gene in genes]
    mean, scale, intercept, beta = model.mean, model.scale, model.intercept[where], model.beta[:, where]
    if fold is not None:
        part = next((part for part in model.folds if part.fold == fold), None)
        if part is None:
            raise DataError(f"{model.told['setting']}: no coefficients without fold {fold}: make the model again")
        of = [int(np.flatnonzero(part.genes == gene)[0]) for gene in where]
        columns = [columns[i] for i in part.features]
        mean, scale, intercept, beta = part.mean, part.scale, part.intercept[of], part.beta[:, of]
    values = patches.features[:, columns].astype(np.float64)
    return intercept + ((values - mean) / scale) @ beta.astype(np.float64)


def check_model(model: Model, patches: PatchFeatures) -> None:
    """Raises: DataError when a model cannot be read patch by patch on these features."""
    setting, aggregation = model.told["setting"], model.told["aggregation"]
    if aggregation != "mean":
        raise DataError(
            f"{setting}: no additive map of a model on the {aggregation}: a mean alone is made of its patches' parts: "
            "use the model of the mean"
        )
    here = patches.size, patches.origin.encoder, patches.origin.weights_sha256
    made = model.told["size"], model.told["encoder"], model.told["weights_sha256"]
    if here != made:
        told = "; ".join(" ".join(part[:2]) + f" {part[2][:8]}" for part in (made, here))
        raise DataError(f"{setting}: the model and the patch features are of different encoders or sizes: {told}")


def genes_of(model: Model, named: Sequence[str], count: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Ids of the genes to map: those named (by id or symbol), else the `count` of largest cross-validated r2.

    Returns:
        Genes that have coefficients without each fold; and (name, why not) of those named that have none.
    """
    kept = set.intersection(*({*part.genes.tolist()} for part in model.folds)) if model.folds else set()
    if not named:
        r2 = model.numbers["r2cv_image"]
        order = sorted((i for i in kept if r2[i] > 0), key=lambda i: (-round(float(r2[i]), 9), str(model.gene[i])))
        return [str(model.gene[i]) for i in order[:count]], []
    found, lost = [], []
    for name in named:
        at = np.flatnonzero((model.gene == name) | (model.symbol == name))
        if len(at) and int(at[0]) in kept:
            found.append(str(model.gene[at[0]]))
        else:
            why = "too weak for coefficients that leave a fold out" if len(at) else "no model of this gene"
            lost.append((name, f"{why} in {model.told['setting']}: no map"))
    return found, lost


def geojson(patches: PatchFeatures, values: pd.DataFrame, rgb: np.ndarray) -> dict[str, object]:
    """Patches of a slide for QuPath: a square each in level-0 pixels, its values as measurements.

    Geometry is that of RFC 7946 (closed rings, counterclockwise as numbers), but its numbers are pixels. Properties are
    those that QuPath 0.4 and later reads and writes: an id that is a UUID, objectType, an object's own color, a
    classification by name and color, measurements as one object (earlier ones wanted an array).

    Args:
        values: (patches, columns). rgb: uint8 (patches, 3), colours that the squares take.
    """
    side, features = patches.side, []
    kind = {"name": f"HistoGEx patch {patches.size}", "color": list(PATCH_RGB)}
    rows = values.itertuples(index=False, name=None)
    for (x, y), colour, row in zip(patches.coords.tolist(), rgb.tolist(), rows, strict=True):
        ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{patches.sample}:{patches.size}:{x}:{y}")),
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {
                    "objectType": "detection",
                    "color": colour,
                    "classification": kind,
                    "measurements": {name: float(f"{value:.7g}") for name, value in zip(values, row, strict=True)},
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def annotated(
    patches: PatchFeatures, values: pd.DataFrame, what: dict[str, str], scores: np.ndarray, picture: Overview | None
) -> AnnData:
    """Patches of a slide as AnnData: X the values, obsm['spatial'] their centres in level-0 pixels.

    uns['spatial'][sample] holds the picture of the slide, where there is one, in the layout of scanpy and squidpy: at
    most LOWRES_PX long, for a larger one is most of the file.

    Args:
        what: of each column of `values`: a feature, a companion, or PREDICTED. scores: (patches, components).
    """
    x, y = patches.coords.astype(np.int32).T
    index = [f"{patches.sample}:{a}:{b}" for a, b in patches.coords.tolist()]
    obs = pd.DataFrame({"sample": patches.sample, "x": x, "y": y}, index=pd.Index(index, name="patch"))
    var = pd.DataFrame({"what": [what[name] for name in values]}, index=pd.Index(list(values), name="value"))
    obs["sample"], var["what"] = obs["sample"].astype("category"), var["what"].astype("category")
    table = AnnData(np.ascontiguousarray(values.to_numpy(np.float32)), obs=obs, var=var)
    table.obsm["spatial"] = (patches.coords + patches.side / 2).astype(np.float32)  # exact to 8 million pixels
    table.obsm["X_pca"] = scores.astype(np.float32)
    scales = {"spot_diameter_fullres": float(patches.side)}
    shown = {"scalefactors": scales, "images": {}}
    if picture is not None:
        whole = Canvas(picture.pixels, np.zeros(2), np.array(picture.factor))
        small = resized(whole, LOWRES_PX) if max(picture.pixels.shape) > LOWRES_PX else whole
        shown["images"] = {"lowres": small.pixels}
        scales["tissue_lowres_scalef"] = float(1 / small.factor.max())
    table.uns["spatial"] = {patches.sample: shown}
    return table


def patch_components(features: Sequence[np.ndarray]) -> list[np.ndarray]:
    """First principal components of the patches of all slides together, (patches, COMPONENTS) a slide.

    Of standardised features; constant ones are left out. The sign is that of the skewness of the scores.
    """
    stacked = np.concatenate([np.asarray(part, np.float64) for part in features])
    keep = varying_columns(stacked)
    stacked = stacked[:, keep]
    stacked -= stacked.mean(axis=0)
    stacked /= stacked.std(axis=0)
    width, count = stacked.shape[1], min(COMPONENTS, *stacked.shape)
    vectors = eigh(stacked.T @ stacked, subset_by_index=(width - count, width - 1))[1][:, ::-1]
    scores = stacked @ vectors
    scores *= np.where((scores**3).sum(axis=0) < 0, -1.0, 1.0)
    return np.split(scores, np.cumsum([len(part) for part in features])[:-1])


def file_name(rank: int, name: str) -> str:
    """A name that files may have; the rank keeps two apart that differ in other characters."""
    return f"{rank:02d}.{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"
