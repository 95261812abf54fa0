#!/usr/bin/env python3
"""Which training patches validate the tissue classifier, and what a cohort lacks for that."""

import hashlib

import numpy as np

from hx_cli import Faults, preview
from hx_join import FOLDS
from hx_training import TrainingPatches

VALIDATION_FOLD = 0
SPLITS = ("donor", "patch")


def training_rows(patches: TrainingPatches, split: str, seed: int) -> np.ndarray:
    """(n,) bool: rows that are trained on; the others validate.

    donor: all patches of the donors of fold 0 validate, so that no donor is on both sides. patch: as many patches of
    each tissue validate (a fifth where that would be none or all), those first by SHA-1 of "seed:sample:x:y". A slide
    then is on both sides, as in the study: what this scores above `donor` is what the network knows slides by.
    """
    train = patches.fold != VALIDATION_FOLD
    if split == "donor":
        return train
    digests = np.array(
        [
            hashlib.sha1(f"{seed}:{sample}:{x}:{y}".encode()).hexdigest()
            for sample, (x, y) in zip(patches.sample, patches.coords.tolist(), strict=True)
        ]
    )
    drawn = np.ones(len(train), bool)
    for tissue in np.unique(patches.tissue_id):
        rows = np.flatnonzero(patches.tissue_id == tissue)
        count = int(np.sum(~train[rows]))
        if count in (0, len(rows)):
            count = max(1, len(rows) // FOLDS)
        drawn[rows[np.argsort(digests[rows])[:count]]] = False
    return drawn


def check_tissues(path: object, patches: TrainingPatches, split: str, expected: list[str]) -> None:
    """Raise DataError with all that keeps `patches` of `path` from being split into training and validation.

    expected: tissue ids that must be there, and no other; empty when that is not known.
    """
    faults = Faults()
    tissues = sorted(set(patches.tissue_id))
    for tissue in sorted(set(expected) - set(tissues)):
        faults.add(
            f"{path}: no patches of tissue {tissue} at size {patches.size}: leave the tissue out (--tissues), or leave "
            "this patch size out: no slide of it has such patches in tissue"
        )
    for tissue in sorted(set(tissues) - set(expected)) if expected else []:
        faults.add(
            f"{path}: patches of tissue {tissue}, which --tissues does not name: name it or leave its patches out"
        )
    if len(tissues) < 2:
        faults.add(
            f"{path}: patches of {len(tissues)} tissues ({preview(tissues)}), a classifier tells two or more apart: "
            "add a tissue, or give --retrained_weights"
        )
    for tissue in tissues:
        rows = patches.tissue_id == tissue
        donors = sorted(set(patches.donor[rows]))
        validates = {fold == VALIDATION_FOLD for fold in patches.fold[rows].tolist()}
        if split == "patch":
            if rows.sum() < 2:
                faults.add(f"{path}: tissue {tissue} has one patch, which cannot be split: add slides or leave it out")
        elif len(donors) == 1:
            faults.add(
                f"{path}: tissue {tissue} has patches of one donor ({donors[0]}), who cannot be on both sides of a "
                "split by donor: add donors, leave the tissue out, or split by patch"
            )
        elif len(validates) == 1:
            lacks = "training" if validates == {True} else "validation"
            faults.add(
                f"{path}: tissue {tissue} has {len(donors)} donors ({preview(donors)}), none of them on the {lacks} "
                f"side (fold {VALIDATION_FOLD} validates): add donors, leave the tissue out, or take another --seed"
            )
    faults.stop()
