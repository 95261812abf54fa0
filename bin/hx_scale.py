#!/usr/bin/env python3
"""Physical scale of a slide from what its file and the user state, and which fields of a header may be read at all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hx_header import HEADERS, Header

MPP_RANGE = (0.1, 2.0)  # micrometres a pixel that a slide scanner can give (100x to 5x); beyond it a tag is wrong
NOMINAL_MPP = 0.5  # assumed where a slide tells no scale, for the choice of a resolution alone
OBLONG = 0.05
UNITS = {"centimeter": 1e4, "inch": 25400.0}  # micrometres
# OpenSlide's own properties that hold free text, a bar code, or the sizes of label and macro.
PRIVATE = re.compile(r"openslide\.(comment|barcode|associated\.)")
TIFF_SCALE = ("tiff.ResolutionUnit", "tiff.XResolution", "tiff.YResolution")


@dataclass(frozen=True)
class Scale:
    """Micrometres a pixel, None when not known; `source` is sheet, vendor, tiff or none; `warnings` for the user."""

    x: float | None
    y: float | None
    source: str
    warnings: tuple[str, ...] = ()


def _header_names(header: Header) -> list[str]:
    return [header.maker, *header.model, *header.serial, *(name for name, _ in header.dates)]


def technical(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties of a slide that may be read: how it was scanned and stored, nothing of a person or a case.

    They are OpenSlide's own but for PRIVATE, the scale in TIFF tags, and what hx_header reads of scanner and date.
    """
    named = {*TIFF_SCALE, *(name for header in HEADERS.values() for name in _header_names(header))}
    own = {name for name in properties if name.startswith("openslide.") and not PRIVATE.match(name)}
    return {name: properties[name] for name in properties if name in named or name in own}


def number(properties: Mapping[str, str], name: str) -> float | None:
    """A property as a number; None where it is missing, not a number or not finite."""
    try:
        value = float(properties[name])
    except (KeyError, ValueError):
        return None
    return value if abs(value) < float("inf") else None


def stated_scales(properties: Mapping[str, str], sheet_mpp: float | None = None) -> list[tuple[str, float, float]]:
    """Every (source, x, y) that is stated, in the order in which they count: sheet, vendor's header, TIFF tags."""
    stated = []
    if sheet_mpp is not None:
        stated.append(("sheet", sheet_mpp, sheet_mpp))
    source = "tiff" if properties.get("openslide.vendor") == "generic-tiff" else "vendor"
    x, y = (number(properties, f"openslide.mpp-{axis}") for axis in "xy")
    if x and y:
        stated.append((source, x, y))
    unit = UNITS.get(properties.get("tiff.ResolutionUnit", ""))
    x, y = (number(properties, f"tiff.{axis}Resolution") for axis in "XY")
    if unit and x and y and "tiff" not in (name for name, _, _ in stated):
        stated.append(("tiff", unit / x, unit / y))
    return stated


def choose_scale(properties: Mapping[str, str], sheet_mpp: float | None = None) -> Scale:
    """Micrometres a pixel: the first that is stated and lies within MPP_RANGE; a warning for each that does not."""
    warnings = []
    for source, x, y in stated_scales(properties, sheet_mpp):
        if all(MPP_RANGE[0] <= value <= MPP_RANGE[1] for value in (x, y)):
            if abs(x / y - 1) > OBLONG:
                warnings.append(f"pixels are not square: mpp {x:g} x {y:g}")
            return Scale(x, y, source, tuple(warnings))
        warnings.append(f"mpp {x:g} x {y:g} of the {source} is outside {MPP_RANGE[0]:g}-{MPP_RANGE[1]:g}: ignored")
    return Scale(None, None, "none", (*warnings, "no mpp: physical sizes are unknown"))


def magnification(properties: Mapping[str, str], scale: Scale) -> int:
    """Objective power of level 0: the header's, else the usual power nearest to 10 / mpp, else 20 (nominal)."""
    power = number(properties, "openslide.objective-power")
    if power and power >= 1:
        return round(power)
    wanted = 10 / (scale.x or NOMINAL_MPP)
    return min((5, 10, 20, 40, 60, 80), key=lambda usual: abs(usual - wanted))
