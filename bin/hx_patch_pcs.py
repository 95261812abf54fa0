#!/usr/bin/env python3
"""Principal components of the patches of the mapped slides, coloured by companions and by covariates of the donors."""

import hashlib
from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd

from hx_companions import COMPANIONS, TEXTURE
from hx_feature_map import span
from hx_features import PatchFeatures
from hx_linear import varying_columns
from hx_picture import GREY, SMALL_PX, WHITE, below, beside, colour_bar, colours, headed

POINTS = 3000  # patches that are drawn, of all slides alike
PANELS, COLUMNS = 12, 3  # factors that go most with the two components
PX, RADIUS = 260, 2
SHIFT = 4  # binary digits of a pixel that points are placed to


def sampled(patches: PatchFeatures, most: int) -> np.ndarray:
    """Indices of at most `most` patches of a slide, in no order of place: the first by SHA-1 of sample:x:y.

    A patch's turn does not depend on the other patches, and the same are drawn each time.
    """
    names = (f"{patches.sample}:{x}:{y}" for x, y in patches.coords.tolist())
    return np.argsort([hashlib.sha1(name.encode()).hexdigest() for name in names], kind="stable")[:most]


def patch_table(
    slides: Mapping[str, Mapping[str, PatchFeatures]],
    encoder: str,
    scores: Mapping[str, np.ndarray],
    factors: pd.DataFrame,
) -> pd.DataFrame:
    """A row a drawn patch, without its name and place: slide (a number), PC1, PC2, … and factors.

    Args:
        scores: (patches, components) of the patches of `encoder`, by sample.
        factors: covariates of the donors; index sample. Those that a slide lacks are NaN there.
    """
    parts = []
    for number, (sample, own) in enumerate(sorted(scores.items()), 1):
        kept = sampled(slides[sample][encoder], POINTS // len(scores))
        columns: dict[str, object] = {"slide": number}
        columns |= {f"PC{k + 1}": own[kept, k].astype(float) for k in range(own.shape[1])}
        texture = slides[sample].get(TEXTURE)
        if texture is not None and np.array_equal(texture.coords, slides[sample][encoder].coords):
            columns |= {one.label: texture.features[kept, k].astype(float) for k, one in enumerate(COMPANIONS)}
        columns |= {str(name): factors.at[sample, name] if sample in factors.index else np.nan for name in factors}
        parts.append(pd.DataFrame(columns, index=range(len(kept))))
    return pd.concat(parts, ignore_index=True)


def strongest(table: pd.DataFrame, most: int) -> list[str]:
    """Factors that vary and go most with PC1 or PC2, by the larger r2; of equal ones the first."""
    pcs = table[["PC1", "PC2"]].to_numpy(float)
    found = []
    for name in table.columns[~table.columns.str.fullmatch(r"slide|PC\d+")]:
        values = table[name].to_numpy(float)
        seen = np.isfinite(values)
        if seen.sum() >= 3 and varying_columns(values[seen, None])[0]:
            r = np.corrcoef(values[seen], pcs[seen].T)[0, 1:]
            found.append((-round(float(np.nanmax(r**2)), 9), len(found), name))
    return [name for _, _, name in sorted(found)[:most]]


def patch_picture(table: pd.DataFrame, title: str) -> np.ndarray | None:
    """PC2 over PC1, a panel a factor, a point a patch; None where there is nothing to colour by."""
    if "PC2" not in table or not (names := strongest(table, PANELS)):
        return None
    panels = [_panel(table, name) for name in names]
    rows = [beside(*panels[i : i + COLUMNS]) for i in range(0, len(panels), COLUMNS)]
    told = (
        f"PC2 over PC1 of {len(table)} patches of {table['slide'].nunique()} slides; coloured by the companions of the "
        "patches and the covariates of their donors that go most with them. Two slides differ in every covariate: only "
        "companions speak of patches there."
    )
    return headed(below(*rows), title, told)


def _panel(table: pd.DataFrame, name: str) -> np.ndarray:
    rows = table[np.isfinite(table[name].to_numpy(float))]
    values = rows[name].to_numpy(float)
    low, high = span([values])
    if low == high:  # nearly all alike
        low, high = float(values.min()), float(values.max())
    out = np.full((PX, PX, 3), WHITE, np.uint8)
    place = []
    for pc, turn in (("PC1", 1), ("PC2", -1)):
        ends = table[pc].min(), table[pc].max()
        share = (rows[pc].to_numpy(float) - ends[0]) / max(ends[1] - ends[0], 1e-300)
        place.append(4 * RADIUS + (PX - 8 * RADIUS) * (share if turn > 0 else 1 - share))
    at = np.round(np.column_stack(place) * 2**SHIFT).astype(int)
    for point, colour in zip(at.tolist(), colours(values, low, high).tolist(), strict=True):
        cv2.circle(out, point, RADIUS * 2**SHIFT, colour, -1, cv2.LINE_AA, SHIFT)
    cv2.rectangle(out, (0, 0), (PX - 1, PX - 1), GREY, 1)
    return beside(out, colour_bar(PX, low, high, name), gap=SMALL_PX)
