#!/usr/bin/env python3
"""Extraction end to end against its parts, in the same run: what the way from slide to features costs beside the model.

    .venv/bin/python benchmarks/bench_extraction.py [--inception raw.onnx --rounds 5 --threads 2]

Two encoders on a drawn slide: InceptionV3 (made with drawn weights unless given), where the model is the bound, and one
of 1 MB, where reading is. Each round takes the same patches three ways, one after the other:
- whole: slide -> features and summary, with bin/hx_extraction.py,
- model: the same session, batches and threads on pixels that are in memory already,
- read: decoding, cutting and resizing alone.
Prints patches a second, and the median over rounds of
- whole / min(model, read): 1 would be a way that costs nothing beside its slower part,
- whole / (model, then read): against 1 / (1/model + 1/read), the most where both need the same cores,
each by wall time and by CPU time, which other programs on the machine disturb less. Without a GPU, model and read
share the cores, so the first ratio cannot pass 1 / (1 + faster part / slower part): the small encoder sees 48 x 48
pixels so that this bound is about 0.95.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "python"))

from encoders_made import write_encoder
from repeated_slide import encoded_block, write_repeated

from hx_encoder import Encoder
from hx_extraction import CPU_BATCH, Extraction
from hx_grid import Grid, iter_blocks, resize_patch
from hx_jobs import Job
from hx_slide import Slide

BIN = Path(__file__).resolve().parents[1] / "bin"
SMALL = {"width": 340, "px": 48, "metadata": None}  # kernels of 340 x 3 x 16 x 16 make a file of 1 MB


class Cost(NamedTuple):
    """Seconds of wall time and of CPU time, all threads, that a way took."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Cost:
    """What a call costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def grids(side: int, sizes: list[int]) -> dict[str, Grid]:
    """All patches of a square slide at each size."""
    made = {}
    for size in sizes:
        steps = np.arange(0, side - size + 1, size)
        xy = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2).astype(np.int64)
        made[str(size)] = Grid(str(size), size, xy, np.ones(len(xy), np.float32))
    return made


class Bench:
    """One slide, its patches, and one encoder with its session."""

    def __init__(self, slide: Path, side: int, sizes: list[int], encoder: Encoder, threads: int, folder: Path):
        self.slide, self.encoder, self.threads = slide, encoder, threads
        self.grids = grids(side, sizes)
        self.args = argparse.Namespace(
            threads=threads, device="cpu", micro_batch=32, save_patch_features="none", resize="area",
            slide_dir=slide.parent, outdir=folder,
        )  # fmt: skip
        self.pixels = np.stack(self.read())

    def whole(self) -> None:
        """Slide to summary."""
        row = pd.Series({"sample": "S", "donor": "D", "tissue_id": "T", "slide": self.slide.name, "mpp": np.nan})
        Extraction([Job(row, dict(self.grids))], [self.encoder], self.args).run()

    def model(self) -> None:
        """Pixels in memory to features."""
        with ThreadPoolExecutor(self.threads) as pool:
            starts = range(0, len(self.pixels), CPU_BATCH)
            for _ in pool.map(lambda start: self.encoder.encode(self.pixels[start : start + CPU_BATCH]), starts):
                pass

    def read(self) -> list[np.ndarray]:
        """Slide to pixels."""
        with Slide(self.slide) as slide:
            blocks = iter_blocks(
                slide, self.grids.values(), lambda patch: resize_patch(patch, self.encoder.px), self.threads
            )
            return [pixels for _, _, pixels in blocks]

    def rounds(self, count: int) -> dict[str, list[Cost]]:
        """Costs of each way, round by round; a first round, which warms caches, is left out."""
        ways = {"whole": self.whole, "model": self.model, "read": self.read}
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for number in range(count + 1):
            for name, way in ways.items():
                cost = timed(way)
                if number:
                    costs[name].append(cost)
        return costs


def report(title: str, patches: int, costs: dict[str, list[Cost]]) -> None:
    """Print the rates and ratios of one case."""
    print(f"\n{title}: {patches} patches, median of {len(costs['whole'])} rounds")
    for name, listed in costs.items():
        wall, cpu = (statistics.median(getattr(cost, kind) for cost in listed) for kind in ("wall", "cpu"))
        print(f"  {name:6}{patches / wall:10.1f} patches/s   {patches / cpu:10.1f} a CPU second")
    rows = list(zip(costs["whole"], costs["model"], costs["read"], strict=True))
    ratios = {}
    for kind in ("wall", "cpu"):
        spent = [[getattr(cost, kind) for cost in row] for row in rows]
        ratios[f"whole / min(model, read), {kind}"] = [max(model, read) / whole for whole, model, read in spent]
        ratios[f"whole / (model, then read), {kind}"] = [(model + read) / whole for whole, model, read in spent]
    for name, values in ratios.items():
        told = ", ".join(f"{value:.2f}" for value in sorted(values))
        print(f"  {name:36}{statistics.median(values):6.3f}   ({told})")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--inception", type=Path, help="ONNX file of prepare_encoder.py")
    arguments.add_argument("--inception-side", type=int, default=4096, help="side of the slide for it, pixels")
    arguments.add_argument("--small-side", type=int, default=16384, help="side of the slide for the small encoder")
    arguments.add_argument("--sizes", default="256", help="patch sizes, pixels")
    arguments.add_argument("--cases", default="inception,small")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    args = arguments.parse_args()
    cv2.setNumThreads(1)
    sizes = [int(size) for size in args.sizes.split(",")]
    with TemporaryDirectory() as name:
        folder, block = Path(name), encoded_block()
        for case in args.cases.split(","):
            if case == "inception":
                path, side = args.inception or folder / "raw.onnx", args.inception_side
                if not path.exists():
                    make = [sys.executable, BIN / "prepare_encoder.py", "--weights", "random", "--out", path]
                    subprocess.run(make, check=True)
            else:
                path, side = write_encoder(folder / "small.onnx", **SMALL), args.small_side
            slide = write_repeated(folder / f"{case}.tif", side, block)
            bench = Bench(slide, side, sizes, Encoder(path), args.threads, folder)
            megabytes = path.stat().st_size / 1e6
            title = f"{case} ({megabytes:.1f} MB, input {bench.encoder.px} px), slide of {side} px, sizes {args.sizes}"
            report(f"{title}, {args.threads} threads", len(bench.pixels), bench.rounds(args.rounds))


if __name__ == "__main__":
    main()
