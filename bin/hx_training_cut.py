#!/usr/bin/env python3
"""Cutting of training patches from a slide, through the code that extraction reads its pixels with.

Apart from hx_training, which TRAIN_CLASSIFIER imports in an image without OpenSlide and OpenCV.
"""

from collections.abc import Iterable

import numpy as np

from hx_grid import Grid, iter_blocks, resize_patch, thin
from hx_slide import Slide
from hx_training import TrainingPatches, no_patches


def cut_training(
    slide: Slide,
    grids: Iterable[Grid],
    limit: int,
    px: int,
    resize: str,
    seed: int,
    sample: str,
    donor: str,
    tissue_id: str,
    fold: int,
    threads: int = 1,
) -> dict[str, TrainingPatches]:
    """At most `limit` patches of every grid, spread over the tissue, by the grid's name; level 0 is decoded once.

    Which ones depends on seed, sample and size alone, and is apart from the choice of --max-patches. Pixels are those
    that extract_features.py gives an encoder of `px` pixels with the same `resize`. Patches that cannot be read are
    left out; those with artefacts are not.

    Raises:
        SlideError: the slide cannot be opened any more.
    """
    if not limit:  # which `thin` would take for all patches
        return {grid.name: no_patches(grid.name, px, resize) for grid in grids}
    grids = [thin(grid, limit, seed, f"{sample}:training") for grid in grids]
    pixels = {grid.size: np.empty((len(grid.coords), px, px, 3), np.uint8) for grid in grids}
    read = {grid.size: np.zeros(len(grid.coords), bool) for grid in grids}
    for side, index, patch in iter_blocks(slide, grids, lambda patch: resize_patch(patch, px, resize), threads):
        if patch is not None:
            pixels[side][index] = patch
            read[side][index] = True
    cut = {}
    for grid in grids:
        good = read[grid.size]
        count = int(good.sum())
        text = {"sample": sample, "donor": donor, "tissue_id": tissue_id}
        cut[grid.name] = no_patches(grid.name, px, resize)._replace(
            # Without a copy where all is well, which is nearly always.
            pixels=pixels[grid.size] if good.all() else pixels[grid.size][good],
            coords=grid.coords[good],
            **{name: np.full(count, value, object) for name, value in text.items()},
            fold=np.full(count, fold, np.int64),
        )
    return cut
