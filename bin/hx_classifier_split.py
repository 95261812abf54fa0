#!/usr/bin/env python3
"""Which training patches validate the tissue classifier, and what a cohort lacks for that."""

import hashlib

import numpy as np

from hx_cli import Faults, preview
from hx_join import FOLDS
from hx_training import TrainingPatches

VALIDATION_FOLD = 0
SPLITS = ("donor", "patch")


def _digest(*parts: object) -> str:
    return hashlib.sha1(":".join(map(str, parts)).encode()).hexdigest()


def _validating(patches: TrainingPatches, seed: int) -> list[str]:
    """Donors who validate: those of fold 0, with as few changes as let each tissue have both sides.

    Folds are drawn, so that a tissue of few donors may have all or none of them in fold 0. Then a fifth of its donors
    (one at least) validates, those first by SHA-1 of "seed:donor": first tissues give donors back to training, then
    tissues lend donors. A donor stays on one side in all tissues.
    """
    of_tissue = {
        tissue: sorted(set(patches.donor[patches.tissue_id == tissue]), key=lambda donor: _digest(seed, donor))
        for tissue in sorted(set(patches.tissue_id))
    }
    validating = set(patches.donor[patches.fold == VALIDATION_FOLD])
    for donors in of_tissue.values():
        if validating.issuperset(donors):
            validating -= set(donors[max(1, len(donors) // FOLDS) :])
    for donors in of_tissue.values():
        if validating.isdisjoint(donors):
            validating |= set(donors[: max(1, len(donors) // FOLDS)])
    return sorted(validating)


def training_rows(patches: TrainingPatches, split: str, seed: int) -> np.ndarray:
    """(n,) bool: rows that are trained on; the others validate.

    donor: all patches of the donors of fold 0 validate, so that no donor is on both sides; for tissues where that would
    be none or all of the donors see _validating. patch: as many patches of each tissue validate (a fifth where that
    would be none or all), those first by SHA-1 of "seed:sample:x:y". A slide then is on both sides, as in the study:
    what this scores above `donor` is what the network knows slides by.
    """
    train = ~np.isin(patches.donor, _validating(patches, seed))
    if split == "donor":
        return train
    digests = np.array(
        [_digest(seed, sample, x, y) for sample, (x, y) in zip(patches.sample, patches.coords.tolist(), strict=True)]
    )
    drawn = np.ones(len(train), bool)
    for tissue in np.unique(patches.tissue_id):
        rows = np.flatnonzero(patches.tissue_id == tissue)
        count = int(np.sum(~train[rows]))
        if count in (0, len(rows)):
            count = max(1, len(rows) // FOLDS)
        drawn[rows[np.argsort(digests[rows])[:count]]] = False
    return drawn


def check_tissues(path: object, patches: TrainingPatches, split: str, expected: list[str], seed: int) -> None:
    """Raise DataError with all that keeps `patches` of `path` from being split into training and validation.

    expected: tissue ids that must be there, and no other; empty when that is not known.
    """
    faults = Faults()
    tissues = sorted(set(patches.tissue_id))
    train = training_rows(patches, split, seed)
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
        if split == "patch":
            if rows.sum() < 2:
                faults.add(f"{path}: tissue {tissue} has one patch, which cannot be split: add slides or leave it out")
        elif len(donors) == 1:
            faults.add(
                f"{path}: tissue {tissue} has patches of one donor ({donors[0]}), who cannot be on both sides of a "
                "split by donor: add donors, leave the tissue out, or split by patch"
            )
        elif len(set(train[rows])) == 1:
            lacks = "validation" if train[rows].all() else "training"
            faults.add(
                f"{path}: tissue {tissue} has {len(donors)} donors ({preview(donors)}), none of them on the {lacks} "
                "side, since other tissues need them on the other: add donors, leave the tissue out, or split by patch"
            )
    faults.stop()
