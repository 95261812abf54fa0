#!/usr/bin/env python3
"""Maps of the chosen features, and of predicted genes, on a few slides: what is drawn and written of each slide."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_cli import DataError
from hx_companions import COMPANIONS, TEXTURE
from hx_feature_map import (
    PREDICTED,
    Canvas,
    additive,
    annotated,
    blank_canvas,
    column_of,
    file_name,
    geojson,
    heat,
    patch_components,
    resized,
    span,
    tissue_canvas,
)
from hx_features import PatchFeatures, read_patch_features
from hx_io import atomic
from hx_picture import beside, colour_bar, colours, headed, scale_bar, write_png
from hx_predict_model import Model, donor_hash
from hx_slide_pictures import MAP_PX, Views

SMALL_MAP_PX = 480  # of a component
COLUMNS = ["setting", "sample", "name", "what", "n_patches", "mean", "low", "high", "picture"]


class Value(NamedTuple):
    """Something to map: its name, also as people call it, what it is, text under the title, values of a sample."""

    name: str
    shown: str
    what: str
    setting: str
    told: str
    values: dict[str, np.ndarray]


def read_slides(folder: Path, samples: Sequence[str], size: str) -> dict[str, dict[str, PatchFeatures]]:
    """Patch features of the slides to map: by sample, then encoder; other samples and sizes are passed over.

    Raises:
        DataError: a file that cannot be read, or two of one sample and encoder.
    """
    found: dict[str, dict[str, PatchFeatures]] = {}
    for path in sorted(folder.rglob("*.h5")):
        if path.stem not in samples:
            continue
        patches = read_patch_features(path)
        if patches.size != size or not len(patches.coords):
            continue
        if patches.origin.encoder in found.setdefault(patches.sample, {}):
            raise DataError(f"{path}: a second file of {patches.sample} and {patches.origin.encoder}: give one")
        found[patches.sample][patches.origin.encoder] = patches
    return {sample: encoders for sample, encoders in sorted(found.items()) if encoders}


def feature_values(slides: Mapping[str, Mapping[str, PatchFeatures]], chosen: pd.DataFrame) -> list[Value]:
    """The chosen features on the slides that have their encoder (rows of descriptions.tsv)."""
    out = []
    for row in chosen.to_dict("records"):
        encoder = row["encoder"]
        column = column_of(row["feature"], encoder) if any(encoder in of for of in slides.values()) else 0
        values = {name: of[encoder].features[:, column] for name, of in slides.items() if encoder in of}
        if values:
            shown = f"{row['feature']}, {row['label']}" if row.get("label") else row["feature"]
            out.append(Value(row["feature"], shown, "feature", row["setting"], row["sentence"], values))
    return out


def gene_values(
    slides: Mapping[str, Mapping[str, PatchFeatures]], model: Model, genes: Sequence[str], donors: pd.DataFrame
) -> list[Value]:
    """Predicted scores of genes, patch by patch.

    Args:
        donors: index sample, columns donor and fold. A donor that the model was fitted to is predicted by the
            coefficients without the donor's fold.
    """
    encoder, seen = model.told["encoder"], set(model.training.astype(str))
    parts: dict[str, np.ndarray] = {}
    for sample, of in slides.items():
        if encoder in of:
            fold = int(donors.loc[sample, "fold"]) if donor_hash(donors.loc[sample, "donor"]) in seen else None
            parts[sample] = additive(model, of[encoder], genes, fold)
    symbols = {str(gene): str(symbol) for gene, symbol in zip(model.gene, model.symbol, strict=True)}
    out = []
    for k, gene in enumerate(genes):
        values = {sample: part[:, k] for sample, part in parts.items()}
        if values:
            told = f"Rank-normal score of {gene}, {PREDICTED}; its mean over the slide is the slide's prediction"
            name = symbols[gene] or gene
            out.append(Value(name, f"{name}, predicted score", PREDICTED, model.told["setting"], told, values))
    return out


class Maps:
    """Draws and writes the maps of all slides.

    rows: of the table of maps. scores: (patches, components) of each slide, of all slides together.
    """

    def __init__(self, slides: dict[str, dict[str, PatchFeatures]], views: Mapping[str, Views], outdir: Path):
        self.slides, self.views, self.outdir = slides, views, outdir
        self.rows: list[dict] = []
        self.scores: dict[str, np.ndarray] = {}

    def write(self, values: Sequence[Value], encoder: str) -> None:
        """Pictures of every value and of the components of `encoder`; GeoJSON and AnnData of every slide."""
        bounds = [span(list(value.values.values())) for value in values]
        mapped = [sample for sample, of in self.slides.items() if encoder in of]
        scores = patch_components([self.slides[sample][encoder].features for sample in mapped])
        self.scores = dict(zip(mapped, scores, strict=True))
        ends = [span([own[:, k] for own in scores]) for k in range(scores[0].shape[1])] if scores else []
        for sample, own in self.scores.items():
            patches = self.slides[sample][encoder]
            canvas = self._canvas(sample, patches)
            for rank, (value, (low, high)) in enumerate(zip(values, bounds, strict=True), 1):
                if sample in value.values:
                    self._draw(sample, patches, canvas, value, rank, low, high)
            self._components(sample, patches, canvas, own, ends)
            self._tables(sample, patches, values, bounds, own)

    def _canvas(self, sample: str, patches: PatchFeatures) -> Canvas:
        whole = self.views[sample].whole if sample in self.views else None
        if whole is None:
            return blank_canvas(patches.coords, patches.side, MAP_PX)
        return tissue_canvas(whole, patches.coords, patches.side, MAP_PX)

    def _um(self, sample: str, canvas: Canvas) -> float | None:
        um = self.views[sample].um if sample in self.views else None
        return None if um is None else um * float(canvas.factor.mean())

    def _panels(self, sample: str, canvas: Canvas, *drawn: np.ndarray) -> list[np.ndarray]:
        """Tissue beside its maps, where there is tissue to see; a scale bar in each."""
        seen = sample in self.views and self.views[sample].whole is not None
        panels = [canvas.pixels.copy(), *drawn] if seen else list(drawn)
        for panel in panels:
            scale_bar(panel, self._um(sample, canvas))
        return panels

    def _draw(
        self, sample: str, patches: PatchFeatures, canvas: Canvas, value: Value, rank: int, low: float, high: float
    ) -> None:
        values = value.values[sample]
        drawn = heat(canvas, patches.coords, patches.side, values, low, high)
        bar = colour_bar(max(200, drawn.shape[0]), low, high, value.shown)
        picture = headed(
            beside(*self._panels(sample, canvas, drawn), bar),
            f"{value.shown} on {sample}   in {value.setting}",
            value.told,
        )
        kind = "" if value.what == "feature" else ".predicted"
        path = Path("maps") / f"{sample}.{file_name(rank, value.name)}{kind}.png"
        write_png(self.outdir / path, picture)
        numbers = len(values), float(np.mean(values, dtype=np.float64)), low, high
        self.rows.append(
            dict(zip(COLUMNS, (value.setting, sample, value.name, value.what, *numbers, str(path)), strict=True))
        )

    def _components(
        self, sample: str, patches: PatchFeatures, canvas: Canvas, scores: np.ndarray, ends: Sequence[tuple]
    ) -> None:
        small = resized(canvas, SMALL_MAP_PX)
        drawn = [
            heat(small, patches.coords, patches.side, scores[:, k], low, high) for k, (low, high) in enumerate(ends)
        ]
        told = (
            "First principal components of all its features over the patches of the mapped slides, from left to right"
        )
        title = f"Components of {patches.origin.encoder} on {sample}"
        write_png(
            self.outdir / "maps" / f"{sample}.components.png",
            headed(beside(*self._panels(sample, small, *drawn)), title, told),
        )

    def _tables(
        self,
        sample: str,
        patches: PatchFeatures,
        values: Sequence[Value],
        bounds: Sequence[tuple[float, float]],
        scores: np.ndarray,
    ) -> None:
        columns = {value.name: value.values[sample] for value in values if sample in value.values}
        what = {value.name: value.what for value in values}
        if (texture := self.slides[sample].get(TEXTURE)) is not None and len(texture.coords) == len(patches.coords):
            for k, companion in enumerate(COMPANIONS):
                columns.setdefault(companion.label, texture.features[:, k])
                what.setdefault(companion.label, "companion")
        table = pd.DataFrame(columns)
        # In QuPath the squares look as on the first picture: the value that is first of this slide's.
        first = next(k for k, value in enumerate(values) if sample in value.values)
        rgb = colours(values[first].values[sample], *bounds[first])
        with atomic(self.outdir / "maps" / f"{sample}.geojson") as temporary:
            temporary.write_text(
                json.dumps(geojson(patches, table, rgb), separators=(",", ":"), allow_nan=False) + "\n"
            )
        whole = self.views[sample].whole if sample in self.views else None
        with atomic(self.outdir / "maps" / f"{sample}.h5ad") as temporary:
            annotated(patches, table, what, scores, whole).write_h5ad(temporary, compression="gzip")
