"""Small slides with a known truth, drawn and written as tiled pyramidal TIFFs that OpenSlide opens."""

from pathlib import Path

import cv2
import numpy as np
import tifffile
from scipy.spatial import cKDTree

GLASS = (242, 241, 243)
TISSUE = (200, 120, 165)
FAT_WALL = (228, 208, 219)


def glass(height: int, width: int, colour: tuple[int, ...] = GLASS, noise: float = 2.0, seed: int = 0) -> np.ndarray:
    """Empty glass with camera noise: float32 (height, width, 3)."""
    return np.float32(colour) + noise * _tiled(np.random.default_rng(seed).normal(size=(512, 512, 3)), height, width)


def _tiled(pattern: np.ndarray, height: int, width: int) -> np.ndarray:
    """A random pattern repeated over a picture, which is much faster to draw than a random picture."""
    repeats = (-(-height // pattern.shape[0]), -(-width // pattern.shape[1]), *[1] * (pattern.ndim - 2))
    return np.tile(pattern.astype(np.float32), repeats)[:height, :width]


def ellipse(height: int, width: int, centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    """Bool (height, width): inside of an ellipse; `centre` and `radii` as x, y."""
    y, x = np.ogrid[:height, :width]
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 <= 1


def stain(picture: np.ndarray, where: np.ndarray, colour: tuple[int, int, int] = TISSUE, seed: int = 1) -> np.ndarray:
    """Tissue of a colour with nuclei-like texture and a soft edge (2 px) drawn into a picture."""
    grain = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(512, 512)), (0, 0), 4)
    tissue = np.float32(colour) + 12 * _tiled(grain / grain.std(), *picture.shape[:2])[..., None]
    weight = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 2)[..., None]
    return picture * (1 - weight) + tissue * weight


def fat(picture: np.ndarray, where: np.ndarray, cell_px: float = 160, wall_px: float = 7, seed: int = 2) -> np.ndarray:
    """Fat in a picture: empty cells of about `cell_px` between pale walls (Voronoi cells of scattered points)."""
    rng = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    centres = np.stack(np.meshgrid(np.arange(0, width, cell_px), np.arange(0, height, cell_px)), -1).reshape(-1, 2)
    centres = centres + rng.uniform(-0.3, 0.3, centres.shape) * cell_px
    y, x = np.nonzero(where)
    distance, _ = cKDTree(centres).query(np.column_stack([x, y]), k=2)
    wall = np.zeros((height, width), np.float32)
    wall[y, x] = distance[:, 1] - distance[:, 0] < wall_px
    edge = where & (cv2.erode(where.astype(np.uint8), np.ones((2 * int(wall_px) + 1,) * 2, np.uint8)) == 0)
    weight = cv2.GaussianBlur(np.maximum(wall, edge).astype(np.float32), (0, 0), 1)[..., None]
    return picture * (1 - weight) + np.float32(FAT_WALL) * weight


def write_slide(
    path: Path,
    picture: np.ndarray,
    factors: tuple[int, ...] = (4, 16),
    mpp: float | None = 0.5,
    tile: int = 256,
    compression: str | None = "jpeg",
) -> Path:
    """Write a picture (RGB, or RGBA with straight alpha and no JPEG) and its lower levels, sizes rounded up."""
    levels = [np.clip(picture, 0, 255).round().astype(np.uint8)]
    for factor in factors:
        height, width = (-(-side // factor) for side in picture.shape[:2])
        padded = cv2.copyMakeBorder(
            levels[0], 0, height * factor - picture.shape[0], 0, width * factor - picture.shape[1], cv2.BORDER_REPLICATE
        )
        levels.append(cv2.resize(padded, (width, height), interpolation=cv2.INTER_AREA))
    options: dict[str, object] = {"tile": (tile, tile), "photometric": "rgb", "compression": compression}
    if compression == "jpeg":
        options["compressionargs"] = {"level": 85}
    if picture.shape[2] == 4:
        options["extrasamples"] = ["assocalpha"]
    if mpp:
        options |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as tif:
        for i, level in enumerate(levels):
            tif.write(level, subfiletype=1 if i else 0, metadata=None, software=False, **options)
    return path


def corrupt_tile(path: Path, level: int, index: int) -> None:
    """Overwrite the encoded pixels of one tile."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[level]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\x5a" * count)
