#!/usr/bin/env python3
"""Genotype files of any size to measure with: independent SNPs in Hardy-Weinberg proportions, as PLINK bed or VCF.

    .venv/bin/python benchmarks/made_genotypes.py /tmp/made --donors 449 --variants 1000000 [--vcf] [--seed 1]

Writes made.bed, .bim, .fam (and made.vcf.gz, block-gzipped) into the folder, and donors.txt. Frequencies are uniform
from .05 to .5, one call in 500 is missing, positions are spread evenly over the autosomes of GRCh38.
"""

import argparse
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_build import AUTOSOMES, LENGTHS

BLOCK = 8192
MISSING = 0.002
# Two bits a call, of the copies of A1: 0 -> 11, 1 -> 10, 2 -> 00; missing -> 01.
BITS = np.array([3, 2, 0, 1], dtype=np.uint8)
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def calls(donors: int, variants: int, seed: int) -> Iterator[np.ndarray]:
    """(b, donors) uint8 copies of the counted allele, 3 = missing."""
    rng = np.random.default_rng(seed)
    for first in range(0, variants, BLOCK):
        rows = min(BLOCK, variants - first)
        frequency = rng.uniform(0.05, 0.5, (rows, 1)).astype(np.float32)
        copies = np.zeros((rows, donors), dtype=np.uint8)
        for _ in range(2):
            copies += rng.random((rows, donors), dtype=np.float32) < frequency
        copies[rng.random((rows, donors), dtype=np.float32) < MISSING] = 3
        yield copies


def places(variants: int) -> list[tuple[str, int]]:
    """Chromosome and position of each variant."""
    lengths = np.array([LENGTHS["GRCh38"][name] for name in AUTOSOMES])
    ends = np.cumsum(lengths)
    along = np.linspace(1, ends[-1] - 1, variants).astype(np.int64)
    chrom = np.searchsorted(ends, along, side="right")
    pos = along - np.r_[0, ends][chrom] + 1
    return [(AUTOSOMES[c], int(p)) for c, p in zip(chrom, pos, strict=True)]


def write_bed(prefix: Path, donors: int, variants: int, seed: int = 1) -> list[str]:
    """Write `prefix`.bed, .bim and .fam; the donors."""
    names = [f"D{k:05d}" for k in range(donors)]
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_suffix(".fam").write_text("".join(f"{name} {name} 0 0 0 -9\n" for name in names))
    where = places(variants)
    rows = (f"{chrom}\tchr{chrom}_{pos}_A_G_b38\t0\t{pos}\tG\tA\n" for chrom, pos in where)
    prefix.with_suffix(".bim").write_text("".join(rows))
    with open(prefix.with_suffix(".bed"), "wb") as handle:
        handle.write(b"\x6c\x1b\x01")
        for copies in calls(donors, variants, seed):
            bits = np.zeros((len(copies), -(-donors // 4) * 4), dtype=np.uint8)
            bits[:, :donors] = BITS[copies]
            four = bits.reshape(len(copies), -1, 4)
            handle.write((four << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(axis=2, dtype=np.uint8).tobytes())
    return names


def write_vcf(path: Path, donors: int, variants: int, seed: int = 1) -> list[str]:
    """Write the same calls as a block-gzipped VCF; the donors."""
    names, where, first = [f"D{k:05d}" for k in range(donors)], places(variants), 0
    header = ["##fileformat=VCFv4.2", '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    header += [f"##contig=<ID=chr{name},length={LENGTHS['GRCh38'][name]}>" for name in AUTOSOMES]
    header += ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names])]
    cells = np.frombuffer(b"\t0/0\t0/1\t1/1\t./.", dtype="S4")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as handle:
        handle.write(bgzf(("\n".join(header) + "\n").encode()))
        for copies in calls(donors, variants, seed):
            text = []
            for row, (chrom, pos) in zip(cells[copies], where[first : first + len(copies)], strict=True):
                head = f"chr{chrom}\t{pos}\tchr{chrom}_{pos}_A_G_b38\tA\tG\t.\tPASS\t.\tGT"
                text.append(head.encode() + row.tobytes() + b"\n")
            handle.write(bgzf(b"".join(text)))
            first += len(copies)
        handle.write(BGZF_END)
    return names


def bgzf(text: bytes) -> bytes:
    """Text as blocks of BGZF (SAM specification, section 4.1)."""
    blocks = []
    for start in range(0, len(text), 65000):
        piece = text[start : start + 65000]
        deflate = zlib.compressobj(4, zlib.DEFLATED, -15)
        data = deflate.compress(piece) + deflate.flush()
        head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(data) + 25)
        blocks.append(head + data + struct.pack("<II", zlib.crc32(piece), len(piece)))
    return b"".join(blocks)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--donors", type=int, default=449)
    arguments.add_argument("--variants", type=int, default=1_000_000)
    arguments.add_argument("--vcf", action="store_true", help="the VCF as well")
    arguments.add_argument("--seed", type=int, default=1)
    args = arguments.parse_args()
    names = write_bed(args.folder / "made.bed", args.donors, args.variants, args.seed)
    (args.folder / "donors.txt").write_text("\n".join(names) + "\n")
    if args.vcf:
        write_vcf(args.folder / "made.vcf.gz", args.donors, args.variants, args.seed)


if __name__ == "__main__":
    main()
