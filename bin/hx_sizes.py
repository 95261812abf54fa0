#!/usr/bin/env python3
"""Patch sizes by name: '256' is 256 pixels of level 0, '128um' is 128 micrometres on the slide.

The name is what the user gave; it stands in settings, in file names and, through `size_folder`, in folders.
"""

import argparse
import re

from hx_cli import comma_list

LEAST_PX = 16  # a patch in micrometres that would be smaller on a slide is a mistake


def is_size(text: str) -> bool:
    """Whether a text names a patch size."""
    return re.fullmatch(r"[1-9][0-9]*(um)?", text) is not None


def size_value(name: str) -> int:
    """Number in the name of a patch size, to sort by; 0 for `-` (no patches)."""
    return 0 if name == "-" else int(name.removesuffix("um"))


def size_names(text: str) -> list[str]:
    """'128,256' or '64um,128um' -> names, sorted (argparse type)."""
    names = comma_list(text)
    wrong = [name for name in names if not is_size(name)]
    if not names or wrong or len(set(names)) < len(names) or len({name.endswith("um") for name in names}) > 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give different whole numbers above 0, all pixels (128,256) or all micrometres (64um,128um)"
        )
    return sorted(names, key=size_value)


def size_folder(name: str) -> str:
    """Folder of the patches of a size: '256' -> '256px', '128um' -> '128um'."""
    return name if name.endswith("um") else f"{name}px"


def size_text(name: str) -> str:
    """A patch size for people: '256' -> '256 px', '128um' -> '128 um'."""
    return f"{size_value(name)} {'um' if name.endswith('um') else 'px'}"


def size_sides(names: list[str], mpp: float | None) -> dict[str, int]:
    """Side in level-0 pixels of each size on a slide of `mpp` micrometres a pixel.

    A size in micrometres that is a whole multiple of a smaller one is that multiple in pixels too, so that one decode
    serves all; only the smallest of such a family is rounded. The side is wrong by at most half a pixel of it, 0.2 % of
    a patch of 256 pixels.

    Raises:
        ValueError: a size in micrometres without mpp, one that is smaller than LEAST_PX pixels, or two that
            are one number of pixels.
    """
    sides: dict[str, int] = {}
    for name in sorted(names, key=size_value):
        value = size_value(name)
        if not name.endswith("um"):
            sides[name] = value
            continue
        if mpp is None:
            raise ValueError("no mpp, which patches in micrometres need: give it in column mpp of the samplesheet")
        base = next((other for other in sides if value % size_value(other) == 0), None)
        sides[name] = round(value / mpp) if base is None else sides[base] * (value // size_value(base))
        if sides[name] < LEAST_PX:
            raise ValueError(f"a patch of {name} is {sides[name]} px at mpp {mpp:g}: at least {LEAST_PX} are needed")
    if len(set(sides.values())) < len(sides):
        raise ValueError(f"two of the patch sizes {', '.join(names)} are one number of pixels at mpp {mpp:g}")
    return sides
