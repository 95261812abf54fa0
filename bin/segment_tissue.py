#!/usr/bin/env python3
"""Find the tissue of a batch of slides and lay the patch grid of every size over it.

Writes a patch file per slide and size, a thumbnail with outline and grid, the mask, the outline as GeoJSON for QuPath,
and one QC row per slide. A slide without tissue or one that cannot be read is a row too, not a failure.
"""

import argparse
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hx_cli import comma_list, command, log, parser, preview
from hx_grid import Grid, patch_fractions, patch_grid, thin, write_patches
from hx_io import atomic, write_json, write_tsv
from hx_rows import read_slides
from hx_slide import NOMINAL_MPP, Overview, Slide, SlideError, TileError
from hx_tissue import focus, geojson, glass_mask, otsu_mask, outlines, pen_mask

SCHEMA_VERSION = 1
OTSU_PX = 8192  # a lowest level beyond this (a file without pyramid) is shrunk by a whole factor first
THUMBNAIL_PX = 1400
GRID_PX = 12  # patches smaller than this on the thumbnail are not drawn
FOCUS_PX, FOCUS_WINDOWS = 256, 16
PEN_SHARE = 0.01  # more ink than this share of the tissue's area is a warning


def patch_sizes(text: str) -> list[int]:
    """'128,256' -> [128, 256], sorted (argparse type)."""
    parts = comma_list(text)
    if not parts or any(not re.fullmatch(r"[1-9][0-9]*", part) for part in parts) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r}: give different whole numbers above 0, such as 128,256")
    return sorted(int(part) for part in parts)


def share(text: str) -> float:
    """A number above 0 and up to 1 (argparse type)."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a share above 0 and up to 1 is needed")
    return value


def tissue_mask(slide: Slide, method: str) -> tuple[np.ndarray, tuple[float, float]]:
    """Mask of a slide, bool (h, w), and the level-0 pixels (x, y) that one of its pixels spans."""
    if method == "otsu":
        level = len(slide.dimensions) - 1
        picture = slide.read_level(level, -(-max(slide.dimensions[level]) // OTSU_PX))
        return otsu_mask(picture.pixels), picture.factor
    picture = slide.overview
    um = tuple(side * (slide.scale.x or NOMINAL_MPP) for side in picture.factor)
    return glass_mask(picture.pixels, slide.background, um, slide.background_source != "assumed"), picture.factor


def measure_focus(slide: Slide, mask: np.ndarray, factor: tuple[float, float], seed: int, sample: str) -> float:
    """Median focus of up to FOCUS_WINDOWS windows of level 0, spread over the tissue; NaN where there is none."""
    windows = patch_grid(mask, factor, (slide.width, slide.height), FOCUS_PX)
    values = []
    for x, y in thin(windows, FOCUS_WINDOWS, seed, sample).coords:
        try:
            values.append(focus(slide.read(int(x), int(y), FOCUS_PX, FOCUS_PX)))
        except TileError:
            width, height = slide.tile_size(0)
            slide.bad_tiles.add((0, int(x // width), int(y // height)))
    return float(np.median(values)) if values else np.nan


def draw(thumbnail: Overview, mask: np.ndarray, factor: tuple[float, float], grids: list[Grid]) -> np.ndarray:
    """Thumbnail with the patches of one size in grey, tissue outlined in green, holes in blue: BGR uint8."""
    picture = np.ascontiguousarray(thumbnail.pixels[..., ::-1])
    scale = 1 / np.array(thumbnail.factor)
    visible = [grid for grid in grids if grid.size * scale.min() >= GRID_PX and len(grid.coords)]
    if visible:
        grid = min(visible, key=lambda grid: grid.size)
        for corner in grid.coords:
            first, last = (np.round(point * scale).astype(int).tolist() for point in (corner, corner + grid.size))
            cv2.rectangle(picture, first, last, (90, 90, 90), 1, cv2.LINE_AA)
    for piece in outlines(mask, factor):
        for ring, colour in ((piece.ring, (0, 160, 0)), *((hole, (220, 60, 0)) for hole in piece.holes)):
            cv2.polylines(picture, [np.round(ring * scale).astype(np.int32)], True, colour, 2, cv2.LINE_AA)
    return picture


def patch_attributes(slide: Slide, sample: str, grid: Grid, args: argparse.Namespace) -> dict[str, object]:
    """Attributes by which TRIDENT's and CLAM's readers understand the coordinates, and our own after them."""
    power = slide.magnification()
    size, scale = np.array([slide.width, slide.height]), slide.scale
    return {
        # TRIDENT: patch_size counts pixels at target_magnification, here level 0.
        "patch_size": grid.size,
        "patch_size_level0": grid.size,
        "level0_magnification": power,
        "target_magnification": power,
        "overlap": 0,
        "level0_width": slide.width,
        "level0_height": slide.height,
        "name": sample,
        "savetodir": ".",
        # CLAM: patch_size counts pixels of patch_level.
        "patch_level": 0,
        "downsample": np.ones(2),
        "downsampled_level_dim": size,
        "level_dim": size,
        "custom_downsample": 1,
        "save_path": ".",
        "schema_version": SCHEMA_VERSION,
        "anchor": "top-left, level 0",
        "grid_origin": np.zeros(2, np.int64),
        "mpp_x": scale.x or np.nan,
        "mpp_y": scale.y or np.nan,
        "mpp_source": scale.source,
        "background": slide.background,
        "segmentation": args.segmentation,
        "patch_rule": args.patch_rule,
        "min_tissue": args.min_tissue,
        "max_patches": args.max_patches,
        "seed": args.seed,
    }


def qc_columns(sizes: list[int]) -> list[str]:
    """Columns of <batch>.slides_qc.tsv."""
    return [
        *("sample", "donor", "tissue_id", "status", "reason", "warnings", "width", "height", "levels", "vendor"),
        *("mpp", "mpp_source", "magnification", "tissue_mm2", "tissue_fraction"),
        *(f"n_patches_{size}" for size in sizes),
        *("n_bad_tiles", "glass", "glass_source", "red", "green", "blue", "focus", "pen_fraction"),
    ]


def segment_slide(row: pd.Series, args: argparse.Namespace) -> dict[str, object]:
    """QC row of one slide; writes its files."""
    result = {"sample": row["sample"], "donor": row["donor"], "tissue_id": row["tissue_id"], "n_bad_tiles": 0}
    result |= {f"n_patches_{size}": 0 for size in args.patch_sizes}
    try:
        with Slide(args.slide_dir / row["slide"], None if np.isnan(row["mpp"]) else row["mpp"]) as slide:
            return result | _measure(slide, row["sample"], args)
    except SlideError as error:
        return result | {"status": "unreadable", "reason": str(error)}


def _measure(slide: Slide, sample: str, args: argparse.Namespace) -> dict[str, object]:
    picture, size, scale = slide.overview, (slide.width, slide.height), slide.scale
    mask, factor = tissue_mask(slide, args.segmentation)
    sharpness = measure_focus(slide, mask, factor, args.seed, sample)
    grids = [patch_grid(mask, factor, size, side, args.patch_rule, args.min_tissue) for side in args.patch_sizes]
    grids = [thin(grid, args.max_patches, args.seed, sample) for grid in grids]
    pixel_mm2 = scale.x * scale.y * 1e-6 if scale.x and scale.y else None
    area = float(patch_fractions(mask, factor, size, max(size)).sum()) * max(size) ** 2
    small = cv2.resize(mask.view(np.uint8), picture.pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    pen = pen_mask(picture.pixels, slide.background)
    pen_share = float(pen.sum() / small.sum()) if small.any() else np.nan
    found = sum(len(grid.coords) for grid in grids)
    warnings, bad = list(scale.warnings), len(slide.bad_tiles)
    status, reason = "ok", ""
    if not found:
        status, reason = "no_tissue", "no patch of any size is tissue" if mask.any() else "nothing but glass"
    if bad:
        status, reason = ("partial" if found else "unreadable"), f"{bad} damaged tiles; {reason or 'the rest is used'}"
    if slide.background_source != "glass":
        warnings.append(f"no glass seen: {'white fill' if slide.background_source == 'fill' else 'white'} taken for it")
    if pen_share > PEN_SHARE:
        warnings.append(f"pen or ink, {pen_share:.0%} of the tissue's area")
    if found:
        none = [grid.size for grid in grids if not len(grid.coords)]
        warnings += [f"no patch of {preview(none, 6)} px"] * bool(none)
        for grid in grids:
            path = args.outdir / f"{grid.size}px" / "patches" / f"{sample}_patches.h5"
            ink = np.zeros(0, np.float32)
            if len(grid.coords):
                column, line = grid.coords.T // grid.size
                ink = patch_fractions(pen, picture.factor, size, grid.size)[line, column].astype(np.float32)
            write_patches(path, grid, patch_attributes(slide, sample, grid, args), pen_fraction=ink)
    _write_pictures(slide, sample, mask, factor, grids, pixel_mm2, args.outdir)
    colour = picture.pixels[small].mean(axis=0) if small.any() else np.full(3, np.nan)
    return {
        "status": status,
        "reason": reason,
        "warnings": "; ".join(warnings),
        "width": slide.width,
        "height": slide.height,
        "levels": len(slide.dimensions),
        "vendor": slide.vendor,
        "mpp": np.sqrt(scale.x * scale.y) if pixel_mm2 else np.nan,
        "mpp_source": scale.source,
        "magnification": slide.magnification(),
        "tissue_mm2": area * pixel_mm2 if pixel_mm2 else np.nan,
        "tissue_fraction": area / (size[0] * size[1]),
        **{f"n_patches_{grid.size}": len(grid.coords) for grid in grids},
        "n_bad_tiles": bad,
        "glass": "#" + slide.background.tobytes().hex(),
        "glass_source": slide.background_source,
        **dict(zip(("red", "green", "blue"), colour, strict=True)),
        "focus": sharpness,
        "pen_fraction": pen_share,
    }


def _write_pictures(
    slide: Slide,
    sample: str,
    mask: np.ndarray,
    factor: tuple[float, float],
    grids: list[Grid],
    pixel_mm2: float | None,
    outdir: Path,
) -> None:
    overlay = draw(slide.thumbnail(THUMBNAIL_PX), mask, factor, grids)
    for path, picture in (
        (outdir / "thumbnails" / f"{sample}.jpg", overlay),
        (outdir / "masks" / f"{sample}.png", mask.astype(np.uint8) * 255),
    ):
        with atomic(path) as temporary:
            temporary.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    write_json(geojson(sample, mask, factor, pixel_mm2), outdir / "geojson" / f"{sample}.geojson")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--slides", required=True, type=Path, help="rows of slides.tsv: the slides of this batch")
    arguments.add_argument("--slide-dir", required=True, type=Path, help="folder with the slide files")
    arguments.add_argument("--patch-sizes", type=patch_sizes, default="128,256,512,1024,2048,4096", help="level 0")
    arguments.add_argument("--segmentation", choices=["glass", "otsu"], default="glass", help="otsu: the study's")
    arguments.add_argument("--patch-rule", choices=["fraction", "centre"], default="fraction", help="which count")
    arguments.add_argument("--min-tissue", type=share, default=0.5, help="least tissue in a patch, rule fraction")
    arguments.add_argument("--max-patches", type=int, default=0, help="at most so many a slide and size; 0: all")
    arguments.add_argument("--seed", type=int, default=1, help="of the choice that --max-patches makes")
    arguments.add_argument("--batch-id", required=True, help="first part of the names of the tables")
    arguments.add_argument("--threads", type=int, default=1, help="slides at a time; outputs do not depend on it")
    arguments.add_argument("--outdir", type=Path, default=Path("."), help="where to write")
    args = arguments.parse_args(argv)
    if args.max_patches < 0 or args.threads < 1:
        arguments.error("--max-patches must be 0 or more, --threads 1 or more")
    slides = read_slides(args.slides)
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(args.threads) as pool:
        rows = list(pool.map(lambda item: segment_slide(item[1], args), slides.iterrows()))
    quality = pd.DataFrame(rows, columns=qc_columns(args.patch_sizes))
    lost = quality[~quality["status"].isin(["ok", "partial"])]
    dropped = pd.DataFrame({"id": lost["sample"], "kind": "slide", "stage": "segment_tissue"})
    dropped["reason"] = [f"{row.status}: {row.reason}" for row in lost.itertuples()]
    for row in lost.itertuples():
        log.warning("%s: %s: %s", row.sample, row.status, row.reason)
    write_tsv(quality, args.outdir / f"{args.batch_id}.slides_qc.tsv")
    write_tsv(dropped, args.outdir / f"{args.batch_id}.dropped.tsv")


if __name__ == "__main__":
    sys.exit(main())
