"""Patches and rows of slides, and calls of extract_features.py, for the tests of extraction."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from extract_features import main
from hx_grid import Grid, write_patches

SIDE = 1024


def coords(size: int, count: int | None = None, first: int = 0) -> np.ndarray:
    """Patches of the whole grid, or `count` of them."""
    steps = np.arange(0, SIDE, size)
    every = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2).astype(np.int64)
    return every[first : None if count is None else first + count]


def put_patches(folder: Path, sample: str, size: int, xy: np.ndarray, name: str = "", **attributes: object) -> Path:
    """A patch file; `name` of the size where that is not its pixels."""
    name = name or str(size)
    path = folder / f"{name}px" / "patches" / f"{sample}_patches.h5"
    told = {"name": sample, "size_name": name, "patch_size": size, "patch_size_level0": size}
    write_patches(path, Grid(name, size, xy, np.ones(len(xy), np.float32)), told | attributes)
    return path


def put_slides(path: Path, samples: list[str], **changed: str) -> Path:
    rows = [
        {"sample": s, "donor": f"D{s}", "tissue": "Lung", "tissue_id": "Lung", "slide": f"{s}.tif", "mpp": ""}
        for s in samples
    ]
    pd.DataFrame(rows).assign(**changed).to_csv(path, sep="\t", index=False)
    return path


def extract(cohort: Path, outdir: Path, **changed: object) -> int:
    """Run extract_features.py over slides.tsv, patches/, tiny.onnx and other.onnx of a folder."""
    options = {
        "slides": cohort / "slides.tsv",
        "slide-dir": cohort,
        "patches": cohort / "patches",
        "encoders": [cohort / "tiny.onnx", cohort / "other.onnx"],
        "save-patch-features": "float32",
        "batch-id": "Lung.b3",
        "outdir": outdir,
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    argv = []
    for name, value in options.items():
        argv += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return main(argv)


def contents(folder: Path, pattern: str = "*.h5") -> dict[str, str]:
    """SHA-256 of every features file, or of what matches `pattern`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob(pattern))
    }
