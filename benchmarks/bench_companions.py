#!/usr/bin/env python3
"""What the companions (encoder `texture`) cost a patch beside InceptionV3, and six patch sizes beside one.

    .venv/bin/python benchmarks/bench_companions.py [--inception raw.onnx --rounds 5 --side 8192]

On one CPU core, on a drawn slide, in turns in this one run, so that load on the machine falls on all alike:
- the companions of all patches, at the six default sizes together and at each size alone,
- InceptionV3 (made with drawn weights unless given) on some of the patches, as extraction calls it,
- reading: decoding the slide once, without companions.
Prints CPU milliseconds a patch, and the ratio of companions to InceptionV3: the median over rounds, and each round.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from repeated_slide import encoded_block, write_repeated

from hx_companion_pixels import measure_patches
from hx_encoder import Encoder
from hx_grid import Grid, iter_blocks, plan_reads, resize_patch
from hx_slide import Slide

BIN = Path(__file__).resolve().parents[1] / "bin"
SIZES = (128, 256, 512, 1024, 2048, 4096)
MPP = 0.5


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of a call, all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def whole_grid(side: int, size: int) -> Grid:
    """All patches of a square slide."""
    steps = np.arange(0, side - size + 1, size)
    xy = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2).astype(np.int64)
    return Grid(str(size), size, xy, np.ones(len(xy), np.float32))


def measure(slide: Slide, grids: list[Grid]) -> float:
    """CPU seconds of the companions of all patches; reading is not counted."""
    coords, spent = {grid.size: grid.coords for grid in grids}, 0.0
    for read in plan_reads(grids):
        block = slide.read(read.x, read.y, read.w, read.h)
        sides = np.array([size for size, _ in read.patches])
        corners = np.array([coords[size][index] for size, index in read.patches]) - (read.x, read.y)
        ones = np.ones(len(sides))
        spent += cpu_seconds(lambda: measure_patches(block, corners, sides, ones, slide.background, MPP))  # noqa: B023
    return spent


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--inception", type=Path, help="ONNX file of prepare_encoder.py")
    arguments.add_argument("--side", type=int, default=8192, help="side of the slide, pixels: a multiple of 4096")
    arguments.add_argument("--patches", type=int, default=40, help="patches for InceptionV3 in a round")
    arguments.add_argument("--rounds", type=int, default=5)
    args = arguments.parse_args()
    cv2.setNumThreads(1)
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = args.inception or folder / "raw.onnx"
        if not path.exists():
            make = [sys.executable, BIN / "prepare_encoder.py", "--weights", "random", "--out", path]
            subprocess.run(make, check=True)
        encoder = Encoder(path)
        every = [whole_grid(args.side, size) for size in SIZES]
        cases = {"all six": every} | {f"{grid.size} alone": [grid] for grid in every}
        spent: dict[str, list[float]] = {name: [] for name in ("InceptionV3", "reading", *cases)}
        with Slide(write_repeated(folder / "slide.tif", args.side, encoded_block())) as slide:
            patches = [pixels for _, _, pixels in iter_blocks(slide, every[1:2], resize_patch)][: args.patches]
            for number in range(args.rounds + 1):
                costs = {"InceptionV3": cpu_seconds(lambda: encoder.encode(np.stack(patches))) / len(patches)}
                costs["reading"] = cpu_seconds(lambda: list(iter_blocks(slide, every))) / len(every[0].coords)
                for case, grids in cases.items():
                    costs[case] = measure(slide, grids) / sum(len(grid.coords) for grid in grids)
                if number:  # the first warms caches
                    for case, cost in costs.items():
                        spent[case].append(cost)
        print(f"slide of {args.side} px, CPU ms a patch, median of {args.rounds} rounds")
        for case, costs in spent.items():
            told = f"{case:12}{1000 * statistics.median(costs):10.2f}"
            if case in cases:
                ratios = [cost / network for cost, network in zip(costs, spent["InceptionV3"], strict=True)]
                each = ", ".join(f"{ratio:.4f}" for ratio in sorted(ratios))
                told += f"   {statistics.median(ratios):8.4f} of InceptionV3   ({each})"
            print(told if case != "reading" else f"{told}   (a patch of 128 px; all six sizes are cut from it)")


if __name__ == "__main__":
    main()
