#!/usr/bin/env python3
"""What encoder `texture` measures on a patch: its companions, in plain words. How: hx_companion_pixels.py."""

import hashlib
from typing import NamedTuple

from hx_features import Origin

TEXTURE = "texture"
VERSION = 2  # one more whenever a companion of a patch becomes another number
GROUPS = ("stain", "colour", "tissue", "focus", "texture", "nuclei")


class Companion(NamedTuple):
    """A measure of a patch: its name in code, in words, its unit ('' for none) and one of GROUPS."""

    name: str
    text: str
    unit: str
    group: str

    @property
    def label(self) -> str:
        """Words and unit: 'nuclei (per mm2)'."""
        return f"{self.text} ({self.unit})" if self.unit else self.text


# Feature texture_0000 is the first.
COMPANIONS = (
    Companion("haematoxylin", "haematoxylin density", "", "stain"),
    Companion("eosin", "eosin density", "", "stain"),
    Companion("hue", "hue outside nuclei", "degrees", "colour"),
    Companion("saturation", "saturation", "", "colour"),
    Companion("luminance", "luminance", "", "colour"),
    Companion("white", "white fraction", "", "tissue"),
    Companion("fat", "fat and lumen fraction", "", "tissue"),
    Companion("tissue", "tissue fraction", "", "tissue"),
    Companion("focus", "focus", "", "focus"),
    Companion("contrast_fine", "contrast at 1 um", "", "texture"),
    Companion("entropy_fine", "entropy at 1 um", "bits", "texture"),
    Companion("contrast_coarse", "contrast at 4 um", "", "texture"),
    Companion("entropy_coarse", "entropy at 4 um", "bits", "texture"),
    Companion("nuclei", "nuclei", "per mm2", "nuclei"),
    Companion("nuclear_area_fraction", "nuclear share of the tissue", "", "nuclei"),
    Companion("nucleus_area", "nucleus area", "um2", "nuclei"),
    Companion("nucleus_eccentricity", "nucleus eccentricity", "", "nuclei"),
    Companion("nucleus_haematoxylin", "haematoxylin density of nuclei", "", "nuclei"),
)
NAMES = tuple(companion.name for companion in COMPANIONS)
ORIGIN = Origin(
    TEXTURE,
    weights="none",
    weights_sha256=hashlib.sha256(f"HistoGEx companions {VERSION}: {' '.join(NAMES)}".encode()).hexdigest(),
    preprocess="1 um a pixel; the slide's glass is white",
)


def feature_labels(origin: Origin, width: int) -> list[str]:
    """Label of each feature of an encoder: '' unless its features are these companions, of this version."""
    if (origin.encoder, origin.weights_sha256, width) != (TEXTURE, ORIGIN.weights_sha256, len(COMPANIONS)):
        return [""] * width
    return [companion.label for companion in COMPANIONS]
