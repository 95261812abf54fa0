#!/usr/bin/env python3
"""A slide of any size from one drawn block, its encoded tiles repeated: real to a reader, made in seconds.

.venv/bin/python benchmarks/repeated_slide.py --side 20480 slide_20k.tif
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_draw import SlideSpec, draw_slide
from hx_pyramid import TILE_PX, write_pyramid

BLOCK_PX = 4096
FACTORS = (1, 4, 16)  # levels as scanners write them; the block is a whole number of tiles at each
MPP = 0.5


def encoded_block(seed: int = 1) -> dict[int, list[list[bytes]]]:
    """JPEG tiles, as rows of columns, of one drawn block of BLOCK_PX at each of FACTORS."""
    image = draw_slide(SlideSpec(BLOCK_PX), np.random.default_rng(seed)).image
    tiles = {}
    with TemporaryDirectory() as folder:
        write_pyramid(image, Path(folder) / "block.tif", MPP)
        with tifffile.TiffFile(Path(folder) / "block.tif") as tiff:
            for factor in FACTORS:
                page = next(page for page in tiff.pages if page.imagewidth == BLOCK_PX // factor)
                side = BLOCK_PX // factor // TILE_PX
                places = zip(page.dataoffsets, page.databytecounts, strict=True)
                encoded = [tiff.filehandle.seek(offset) and tiff.filehandle.read(size) for offset, size in places]
                tiles[factor] = [encoded[row * side : (row + 1) * side] for row in range(side)]
    return tiles


def write_repeated(path: str | Path, side: int, block: dict[int, list[list[bytes]]]) -> Path:
    """Write a square slide of `side` px, tiled with the block of encoded_block; the same bytes each time."""

    def repeated(tiles: list[list[bytes]], count: int) -> Iterator[bytes]:
        for row in range(count):
            line = tiles[row % len(tiles)]
            yield from (line[column % len(line)] for column in range(count))

    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for factor in FACTORS:
            length = side // factor
            pixels_a_cm = 1e4 / MPP / factor
            tiff.write(
                repeated(block[factor], -(-length // TILE_PX)),
                shape=(length, length, 3),
                dtype=np.uint8,
                photometric="ycbcr",
                subsampling=(2, 2),
                tile=(TILE_PX, TILE_PX),
                compression="jpeg",
                resolution=(pixels_a_cm, pixels_a_cm),
                resolutionunit="CENTIMETER",
                subfiletype=1 if factor > 1 else 0,
                metadata=None,
                software=False,
            )
    return Path(path)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("path", type=Path, help="slide to write")
    arguments.add_argument("--side", type=int, default=20480, help="its width and height in pixels")
    args = arguments.parse_args()
    write_repeated(args.path, args.side, encoded_block())


if __name__ == "__main__":
    main()
