#!/usr/bin/env python3
"""Writing a slide: a tiled, JPEG-compressed, pyramidal TIFF that OpenSlide opens as `generic-tiff`."""

from pathlib import Path

import cv2
import numpy as np
import tifffile

from hx_io import atomic

TILE_PX = 256  # TIFF 6: a multiple of 16
JPEG_QUALITY = 85


def pyramid(image: np.ndarray, levels: int = 3) -> list[np.ndarray]:
    """Level 0 and its halvings: at least `levels`, and on until the shorter side is below 512 px.

    Args:
        image: (height, width, 3) uint8. A level's size is half the one before, rounded down.
    """
    out = [image]
    while len(out) < levels or min(out[-1].shape[:2]) >= 512:
        height, width = out[-1].shape[0] // 2, out[-1].shape[1] // 2
        if min(height, width) < 1:
            raise ValueError(f"{image.shape[1]} x {image.shape[0]} px: too small for {levels} levels")
        out.append(cv2.resize(out[-1], (width, height), interpolation=cv2.INTER_AREA))
    return out


def write_pyramid(image: np.ndarray, path: str | Path, mpp: float) -> list[tuple[int, int]]:
    """Write an image and its pyramid; the same bytes each time. image: (height, width, 3) uint8 RGB; mpp: µm a px.

    OpenSlide derives `openslide.mpp-x` from the resolution tags only where their unit is the centimetre.

    Returns:
        (width, height) of each level.
    """
    levels = pyramid(image)
    with atomic(path) as temporary, tifffile.TiffWriter(temporary) as tiff:
        for index, level in enumerate(levels):
            pixels_a_cm = 1e4 / mpp / 2**index
            tiff.write(
                level,
                photometric="rgb",
                tile=(TILE_PX, TILE_PX),
                compression="jpeg",
                compressionargs={"level": JPEG_QUALITY},
                resolution=(pixels_a_cm, pixels_a_cm),
                resolutionunit="CENTIMETER",
                subfiletype=1 if index else 0,
                metadata=None,
                maxworkers=1,
                software=False,
            )
    return [(level.shape[1], level.shape[0]) for level in levels]
