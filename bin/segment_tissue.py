#!/usr/bin/env python3
"""Find the tissue of a batch of slides and lay the patch grid of every size over it.

Writes a patch file per slide and size, a thumbnail with outline and grid, the study's figure 2, the mask, the outline
as GeoJSON for QuPath, training patches of the tissue classifier, and one QC row per slide. A slide without tissue or
one that cannot be read is a row too, not a failure. Artefacts (pen, blur, fold) are flagged, nothing is cut out.
"""

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hx_artefacts import artefact_masks, focus, sharpness_bands, stain_means
from hx_bands import release_memory, value_counts
from hx_cli import command, log, parser, preview
from hx_formats import SlideError
from hx_grid import Grid, patch_fractions, patch_grid, thin, write_patches
from hx_header import header_factors
from hx_io import atomic, write_json, write_tsv
from hx_outline import outline_mask, read_outline
from hx_overlay import draw_grid, figure_2, write_jpeg
from hx_rows import read_slides
from hx_sizes import size_folder, size_names, size_sides, size_text
from hx_slide import NOMINAL_MPP, Slide, TileError, open_slide
from hx_slide_file import LEVEL_CACHE_BYTES
from hx_tissue import geojson, glass_mask, otsu_mask
from hx_training import TrainingPatches, no_patches, training_name, write_training
from hx_training_cut import cut_training

SCHEMA_VERSION = 1
OTSU_PX = 8192  # a lowest level beyond this (a file without pyramid) is shrunk by a whole factor first
THUMBNAIL_PX, FIGURE_PX = 1400, 2800
FOCUS_PX, FOCUS_WINDOWS = 256, 16
FINE_UM, BLUR_CELL_UM = 4.0, 16.0  # micrometres a pixel at which blur is looked for, and of its map
WARNED = {"pen": 0.01, "blur": 0.2, "fold": 0.05}  # share of the tissue's area above which an artefact is a warning


def share(text: str) -> float:
    """A number above 0 and up to 1 (argparse type)."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a share above 0 and up to 1 is needed")
    return value


def tissue_mask(slide: Slide, method: str, outline: Path | None) -> tuple[np.ndarray, tuple[float, float]]:
    """Mask of a slide, bool (h, w), and the level-0 pixels (x, y) that one of its pixels spans."""
    if outline is not None:
        picture = slide.overview
        return outline_mask(read_outline(outline), picture.pixels.shape[:2], picture.factor), picture.factor
    if method == "otsu":
        level = len(slide.dimensions) - 1
        picture = slide.read_level(level, -(-max(slide.dimensions[level]) // OTSU_PX))
        return otsu_mask(picture.pixels), picture.factor
    picture = slide.overview
    seen = slide.background_source != "assumed"
    return glass_mask(picture.pixels, slide.background, pixel_um(slide, picture.factor), seen), picture.factor


def pixel_um(slide: Slide, factor: tuple[float, float]) -> tuple[float, float]:
    """Micrometres in x and y of a pixel that spans `factor` level-0 pixels; nominal where the slide tells no scale."""
    return factor[0] * (slide.scale.x or NOMINAL_MPP), factor[1] * (slide.scale.y or NOMINAL_MPP)


def measure_focus(slide: Slide, mask: np.ndarray, factor: tuple[float, float], seed: int, sample: str) -> float:
    """Median focus of up to FOCUS_WINDOWS windows of level 0, spread over the tissue; NaN where there is none."""
    windows = patch_grid(mask, factor, (slide.width, slide.height), FOCUS_PX)
    values = []
    with slide.caching(LEVEL_CACHE_BYTES):  # none of the tiles is needed again
        for x, y in thin(windows, FOCUS_WINDOWS, seed, sample).coords:
            try:
                values.append(focus(slide.read(int(x), int(y), FOCUS_PX, FOCUS_PX)))
            except TileError:
                width, height = slide.tile_size(0)
                slide.bad_tiles.add((0, int(x // width), int(y // height)))
    return float(np.median(values)) if values else np.nan


def patch_attributes(slide: Slide, sample: str, grid: Grid, method: str, args: argparse.Namespace) -> dict[str, object]:
    """Attributes by which TRIDENT's and CLAM's readers understand the coordinates, and our own after them."""
    power = slide.magnification()
    size, scale = np.array([slide.width, slide.height]), slide.scale
    return {
        "size_name": grid.name,
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
        "segmentation": method,
        "patch_rule": args.patch_rule,
        "min_tissue": args.min_tissue,
        "max_patches": args.max_patches,
        "seed": args.seed,
    }


def qc_columns(sizes: list[str]) -> list[str]:
    """Columns of <batch>.slides_qc.tsv."""
    return [
        *("sample", "donor", "tissue_id", "status", "reason", "warnings", "width", "height", "levels", "vendor"),
        *("scanner", "scan_date", "mpp", "mpp_source", "magnification", "segmentation", "tissue_mm2"),
        *("tissue_fraction", *(f"n_patches_{size}" for size in sizes), "n_bad_tiles", "glass", "glass_source"),
        *("red", "green", "blue", "haematoxylin", "eosin", "focus", *(f"{name}_fraction" for name in WARNED)),
    ]


def segment_slide(row: pd.Series, args: argparse.Namespace) -> tuple[dict[str, object], dict[str, TrainingPatches]]:
    """QC row of one slide, and its training patches by size; writes its other files."""
    result = {"sample": row["sample"], "donor": row["donor"], "tissue_id": row["tissue_id"], "n_bad_tiles": 0}
    result |= {f"n_patches_{size}": 0 for size in args.patch_sizes}
    try:
        with open_slide(args.slide_dir, row) as slide:
            measured, training = _measure(slide, row, args)
            return result | measured, training
    except SlideError as error:
        return result | {"status": "unreadable", "reason": str(error)}, {}


def _measure(
    slide: Slide, row: pd.Series, args: argparse.Namespace
) -> tuple[dict[str, object], dict[str, TrainingPatches]]:
    sample, size, scale = row["sample"], (slide.width, slide.height), slide.scale
    mpp = float(np.sqrt(scale.x * scale.y)) if scale.x and scale.y else None
    try:
        sides = size_sides(args.patch_sizes, mpp)
    except ValueError as error:
        raise SlideError(str(error)) from None
    # Before the overview, which comes from the same pixels where the file has no smaller ones.
    cell = round(BLUR_CELL_UM / FINE_UM)
    bands = sharpness_bands((strip.pixels for strip in slide.strips(FINE_UM, cell, FIGURE_PX)), cell)
    outline = args.slide_dir / row["tissue_geojson"] if row["tissue_geojson"] else None
    method = "geojson" if outline else args.segmentation
    mask, factor = tissue_mask(slide, args.segmentation, outline)
    release_memory()
    rule = args.patch_rule, args.min_tissue
    grids = [patch_grid(mask, factor, size, side, *rule, name) for name, side in sides.items()]
    training = cut_training(
        slide, grids, int(row["training"]), args.training_px, args.resize, args.seed, sample, row["donor"],
        row["tissue_id"], int(row["fold"]),
    )  # fmt: skip
    grids = [thin(grid, args.max_patches, args.seed, sample) for grid in grids]

    picture, small = slide.overview, mask
    if mask.shape != picture.pixels.shape[:2]:
        small = cv2.resize(mask.view(np.uint8), picture.pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST).view(bool)
    artefacts = artefact_masks(picture.pixels, bands, small, slide.background, pixel_um(slide, picture.factor))
    del bands  # large, and held by `artefacts` as long as they are needed
    shares, flags = _flagged(slide, artefacts, small, grids)
    counts = np.stack([value_counts(picture.pixels[..., channel], small) for channel in range(3)])
    colour = counts @ np.arange(256) / counts[0].sum() if small.any() else np.full(3, np.nan)
    sharpness = measure_focus(slide, mask, factor, args.seed, sample)
    for grid, of_grid in zip(grids, flags, strict=True) if any(len(grid.coords) for grid in grids) else []:
        path = args.outdir / size_folder(grid.name) / "patches" / f"{sample}_patches.h5"
        write_patches(path, grid, patch_attributes(slide, sample, grid, method, args), **of_grid)
    pixel_mm2 = mpp**2 * 1e-6 if mpp else None
    _write_pictures(slide, sample, mask, factor, grids, pixel_mm2, args.outdir)
    area = float(patch_fractions(mask, factor, size, max(size)).sum()) * max(size) ** 2
    return _status(slide, mask, grids, shares) | {
        "width": slide.width,
        "height": slide.height,
        "levels": len(slide.dimensions),
        "vendor": slide.vendor,
        **header_factors(slide.properties),
        "mpp": mpp or np.nan,
        "mpp_source": scale.source,
        "magnification": slide.magnification(),
        "segmentation": method,
        "tissue_mm2": area * pixel_mm2 if pixel_mm2 else np.nan,
        "tissue_fraction": area / (size[0] * size[1]),
        **{f"n_patches_{grid.name}": len(grid.coords) for grid in grids},
        "glass": "#" + slide.background.tobytes().hex(),
        "glass_source": slide.background_source,
        **dict(zip(("red", "green", "blue"), colour, strict=True)),
        **stain_means(counts, slide.background),
        "focus": sharpness,
        **{f"{name}_fraction": value for name, value in shares.items()},
    }, training


def _flagged(
    slide: Slide, artefacts: Iterable[tuple[str, np.ndarray]], tissue: np.ndarray, grids: list[Grid]
) -> tuple[dict[str, float], list[dict[str, np.ndarray]]]:
    """Of each artefact its share of the tissue's area, and of each grid the shares of its patches, float32 (n,)."""
    shares, flags = {}, [{} for _ in grids]
    for name, flag in artefacts:
        shares[name] = float(flag.sum() / tissue.sum()) if tissue.any() else np.nan
        for of_grid, grid in zip(flags, grids, strict=True):
            column, line = grid.coords.T // grid.size
            share = patch_fractions(flag, slide.overview.factor, (slide.width, slide.height), grid.size)[line, column]
            of_grid[f"{name}_fraction"] = share.astype(np.float32)
        release_memory()
    return shares, flags


def _status(slide: Slide, mask: np.ndarray, grids: list[Grid], shares: dict[str, float]) -> dict[str, object]:
    """status, reason, warnings and n_bad_tiles of a slide that could be read."""
    found, bad = sum(len(grid.coords) for grid in grids), len(slide.bad_tiles)
    status, reason, warnings = "ok", "", list(slide.warnings)
    if not found:
        status, reason = "no_tissue", "no patch of any size is tissue" if mask.any() else "nothing but glass"
    if bad:
        status, reason = ("partial" if found else "unreadable"), f"{bad} damaged tiles; {reason or 'the rest is used'}"
    if slide.background_source != "glass":
        warnings.append(f"no glass seen: {'white fill' if slide.background_source == 'fill' else 'white'} taken for it")
    warnings += [f"{name}: {shares[name]:.0%} of the tissue's area" for name in WARNED if shares[name] > WARNED[name]]
    none = [size_text(grid.name) for grid in grids if not len(grid.coords)]
    if found and none:
        warnings.append(f"no patch of {preview(none, 6)}")
    return {"status": status, "reason": reason, "warnings": "; ".join(warnings), "n_bad_tiles": bad}


def _write_pictures(
    slide: Slide,
    sample: str,
    mask: np.ndarray,
    factor: tuple[float, float],
    grids: list[Grid],
    pixel_mm2: float | None,
    outdir: Path,
) -> None:
    with atomic(outdir / "masks" / f"{sample}.png") as temporary:
        temporary.write_bytes(cv2.imencode(".png", mask.view(np.uint8) * 255)[1].tobytes())
    figure = figure_2(slide.thumbnail(FIGURE_PX), mask, factor, grids, slide.scale.x)
    if figure is not None:
        write_jpeg(outdir / "figures" / f"{sample}.figure2.jpg", figure)
    release_memory()
    write_jpeg(outdir / "thumbnails" / f"{sample}.jpg", draw_grid(slide.thumbnail(THUMBNAIL_PX), mask, factor, grids))
    write_json(geojson(sample, mask, factor, pixel_mm2), outdir / "geojson" / f"{sample}.geojson")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    told = "rows of slides.tsv: this batch; and parts (files of a slide beside it, `;`-joined), training (how many)"
    add("--slides", required=True, type=Path, help=told)
    add("--slide-dir", required=True, type=Path, help="folder with the slide files")
    add("--patch-sizes", type=size_names, default="128,256,512,1024,2048,4096", help="pixels, or 64um,128um")
    add("--segmentation", choices=["glass", "otsu"], default="glass", help="otsu: the study's")
    add("--patch-rule", choices=["fraction", "centre"], default="fraction", help="which count")
    add("--min-tissue", type=share, default=0.5, help="least tissue in a patch, rule fraction")
    add("--max-patches", type=int, default=0, help="at most so many a slide and size; 0: all")
    add("--resize", choices=["area", "bilinear"], default="area", help="of training patches; bilinear: the study's")
    add("--training-px", type=int, default=299, help="side of training patches after resizing")
    add("--seed", type=int, default=1, help="of the choice of --max-patches and of training patches")
    add("--batch-id", required=True, help="first part of the names of the tables")
    add("--threads", type=int, default=1, help="slides at a time; outputs do not depend on it")
    add("--outdir", type=Path, default=Path("."), help="where to write")
    args = arguments.parse_args(argv)
    if args.max_patches < 0 or args.threads < 1 or args.training_px < 1:
        arguments.error("--max-patches must be 0 or more, --threads and --training-px 1 or more")
    slides = read_slides(args.slides)
    for name, blank in (("tissue_geojson", ""), ("fold", "0"), ("training", "0")):
        slides[name] = slides[name] if name in slides else blank
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(args.threads) as pool:
        rows, training = zip(*pool.map(lambda item: segment_slide(item[1], args), slides.iterrows()), strict=True)
    if (slides["training"] != "0").any():
        for size in args.patch_sizes:
            parts = [patches[size] for patches in training if size in patches]
            path = args.outdir / "training" / training_name(size, args.batch_id)
            write_training(path, no_patches(size, args.training_px, args.resize), *parts)
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
