#!/usr/bin/env python3
"""Slides: what one decode for every patch size saves, how near it is to the bare decode, memory, segmentation.

    .venv/bin/python benchmarks/bench_slides.py [--slide FILE ...] [--side 20480] [--threads 2] [--quick]

Prints ratios of what was measured in turns in this one run, so that load on the machine falls on all alike:
- CPU time: six sizes in one pass against six passes of the same reader and kernel,
- CPU time: the pass against its floor, OpenSlide's decode of the same regions and cv2's resizes of as many patches,
- wall time: threads against one,
- peak memory of segmentation and of reading, on a slide of 61,440 px square against one of 10,240 px,
- segmentation: CPU time of a slide, wall time of two threads against one.
Slides are made by repeated_slide.py, unless files are given; for those, memory is not compared.
"""

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import openslide

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_grid import BLOCK_PX, PATCH_PX, Grid, Read, iter_blocks, plan_reads, read_patches, resize_patch
from hx_slide import Slide
from hx_slide_file import CACHE_BYTES

HERE = Path(__file__).resolve().parent
SIZES = "128,256,512,1024,2048,4096"
SMALL, LARGE = 10240, 61440
SEGMENTED = 4  # slides in a batch, for the threads to share
READ_BANDS = 3  # bands of blocks read for the peak of memory: it no longer grows after the first


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall time, and CPU time of all threads of this process."""
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def child(command: list[object]) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak memory in MB) of a command, which must succeed.

    Linux counts the memory of the parent at the start of a child as the child's: nothing large may have been in this
    process before.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, command)])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(map(str, command))}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def segmentation(slide: Path, folder: Path, count: int = 1, threads: int = 1, min_tissue: float = 0.5) -> list[object]:
    """Command that segments a slide `count` times over, into a folder `patches` of the folder."""
    table = folder / f"{slide.stem}.{count}.tsv"
    names = [f"{i}_{slide.name}" for i in range(count)]
    for name in names:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(slide.resolve())
    rows = [f"S{i}\tD{i}\tLung\tLung\t{name}\t\tb\n" for i, name in enumerate(names)]
    table.write_text("sample\tdonor\ttissue\ttissue_id\tslide\tmpp\tbatch\n" + "".join(rows))
    return [
        *(HERE.parent / "bin" / "segment_tissue.py", "--slides", table, "--slide-dir", folder, "--batch-id", "b"),
        *("--patch-sizes", SIZES, "--min-tissue", min_tissue, "--threads", threads, "--outdir", folder / "patches"),
    ]


def segmented(folder: Path) -> tuple[list[Grid], np.ndarray]:
    """The grid of each size that `segmentation` left of its first slide, and the colour of the slide's glass."""
    files = [read_patches(path) for path in sorted(folder.rglob("S0_patches.h5"))]
    return [grid for _, grid, _ in files], files[0][2]["background"]


def bands(grids: list[Grid]) -> list[list[Grid]]:
    """The same patches, in bands as high as a super-block; bands without patches are left out."""
    rows = [grid.coords[:, 1] // BLOCK_PX for grid in grids]
    cut = []
    for row in sorted(set(np.concatenate(rows).tolist())):
        parts = zip(grids, (where == row for where in rows), strict=True)
        cut.append([grid._replace(coords=grid.coords[kept], fraction=grid.fraction[kept]) for grid, kept in parts])
    return cut


def read_all(path: Path, glass: np.ndarray, grids: list[Grid], threads: int) -> None:
    """Every patch at PATCH_PX, none kept."""
    with Slide(path, background=glass) as slide:
        for _ in iter_blocks(slide, grids, resize_patch, threads):
            pass


def inside(read: Read, slide: tuple[int, int]) -> tuple[int, int]:
    """Width and height of what a read takes from a slide of a width and height."""
    return min(read.w, slide[0] - read.x), min(read.h, slide[1] - read.y)


def bare(path: Path, grids: list[Grid], block: np.ndarray) -> None:
    """The floor: the same regions decoded, as many resizes of the same sizes from one RGB block (BLOCK_PX square)."""
    with openslide.OpenSlide(path) as handle:
        handle.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        for read in plan_reads(grids):
            handle.read_region((read.x, read.y), 0, inside(read, handle.dimensions))
            for size, index in read.patches:
                top, left = (index * size) % BLOCK_PX, (index // 7 * size) % BLOCK_PX
                patch = block[top : top + size, left : left + size]
                kernel = cv2.INTER_AREA if size > PATCH_PX else cv2.INTER_CUBIC
                cv2.resize(patch, (PATCH_PX, PATCH_PX), interpolation=kernel)


def bench_reading(path: Path, folder: Path, threads: int, min_tissue: float, runs: int) -> None:
    """One pass, six passes and the floor on one thread, and one pass on more, in turns over bands of the slide."""
    child(segmentation(path, folder, min_tissue=min_tissue))
    grids, glass = segmented(folder)
    with Slide(path, background=glass) as slide:
        x, y = grids[0].coords[len(grids[0].coords) // 2] // BLOCK_PX * BLOCK_PX
        block = slide.read(int(x), int(y), BLOCK_PX, BLOCK_PX)
        shape = slide.width, slide.height
    ways = {
        "one": lambda band: read_all(path, glass, band, 1),
        "six": lambda band: [read_all(path, glass, [grid], 1) for grid in band],
        "floor": lambda band: bare(path, band, block),
        "threads": lambda band: read_all(path, glass, band, threads),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    pixels = 0.0
    for turn, band in enumerate(bands(grids) * runs):
        pixels += sum(math.prod(inside(read, shape)) for read in plan_reads(band)) / 1e6
        names = list(ways)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(seconds(lambda name=name, band=band: ways[name](band)))
    (wall, one), (_, six), (_, floor), (faster, _) = (np.array(taken[name]).T for name in ways)
    patches = sum(len(grid.coords) for grid in grids)
    print(f"{path.name}: {patches:,} patches, {pixels / runs:,.0f} megapixels read, runs: {runs}")
    rate = " CPU s a megapixel"
    print(f"  six sizes in one pass   {one.sum() / pixels:.4f}{rate}")
    print(f"  six passes              {six.sum() / pixels:.4f}{rate}: {against(six, one)} one pass")
    print(f"  decode and resize alone {floor.sum() / pixels:.4f}{rate}: one pass is {against(one, floor)} it")
    print(f"  {threads} threads {pixels / faster.sum():.1f} megapixels/s: {against(wall, faster)} one thread")


def against(above: np.ndarray, below: np.ndarray) -> str:
    """Ratio of sums, and the range of the middle half of the paired ratios."""
    low, high = np.quantile(above / below, [0.25, 0.75])
    return f"{above.sum() / below.sum():.2f} x (middle half of pairs {low:.2f}-{high:.2f})"


def bench_memory(small: Path, large: Path, folder: Path, threads: int) -> None:
    """Peak memory of each stage on two slides, each in a process of its own."""
    peaks = []
    for path in (small, large):
        segment = child(segmentation(path, folder))[2]
        read = child([__file__, "--slide", path, "--threads", threads, "--only-read", folder])[2]
        peaks.append((segment, read, max(segment, read)))
    for stage, low, high in zip(("segmentation", "reading", "the larger"), *peaks, strict=True):
        told = f"{low:.0f} MB at {SMALL:,} px, {high:.0f} MB at {LARGE:,} px"
        print(f"peak memory, {stage}: {told}: {high / low:.2f} x", flush=True)


def bench_segmentation(path: Path, folder: Path, runs: int) -> None:
    """CPU of segmenting a slide, without the start of Python; wall time by threads."""
    one, two, cpu = [], [], []
    for _ in range(runs):
        wall, used, _ = child(segmentation(path, folder, SEGMENTED))
        _, start, _ = child(segmentation(path, folder))
        one.append(wall)
        cpu.append((used - start) / (SEGMENTED - 1))
        two.append(child(segmentation(path, folder, SEGMENTED, 2))[0])
    print(f"  segmentation            {np.median(cpu):.2f} CPU s a slide, start of Python not counted")
    faster = f"{min(one):.1f} s on 1 thread, {min(two):.1f} s on 2: {min(one) / min(two):.2f} x faster"
    print(f"  segmentation of {SEGMENTED} slides {faster}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--slide", type=Path, nargs="+", help="slides to use in place of made ones")
    arguments.add_argument("--side", type=int, default=20480, help="side of the made slide in pixels")
    arguments.add_argument("--min-tissue", type=float, default=0.25, help="least tissue in a patch")
    arguments.add_argument("--threads", type=int, default=2, help="reader threads, against one")
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--quick", action="store_true", help="a made slide of two blocks' side, one run, no memory")
    arguments.add_argument("--only-read", type=Path, help=argparse.SUPPRESS)
    args = arguments.parse_args()
    cv2.setNumThreads(1)
    if args.only_read:
        grids, glass = segmented(args.only_read)
        for band in bands(grids)[:READ_BANDS]:
            read_all(args.slide[0], glass, band, args.threads)
        return
    runs = 1 if args.quick else args.runs
    with TemporaryDirectory() as name:
        folder = Path(name)

        def made(side: int) -> Path:
            path = folder / f"made_{side}px.tif"
            child([HERE / "repeated_slide.py", "--side", side, path])
            return path

        slides = args.slide or [made(2 * BLOCK_PX if args.quick else args.side)]
        print(f"{os.cpu_count()} processors", flush=True)
        if not args.slide and not args.quick:
            bench_memory(made(SMALL), made(LARGE), folder, args.threads)
        for path in slides:
            bench_segmentation(path, folder, runs)
            bench_reading(path, folder, args.threads, args.min_tissue, runs)


if __name__ == "__main__":
    main()
