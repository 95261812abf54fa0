#!/usr/bin/env python3
"""Expression files: the samples of one tissue out of a whole GTEx release, time and memory.

    .venv/bin/python benchmarks/bench_expression.py [--genes 56200] [--samples 800] [--turns 1] [--plain] [--folder DIR]

Makes a GCT of `genes` x 17,382 samples (v8 has 56,200 genes: 5 GB of text, 2 GB gzipped; --plain keeps the text), reads
`samples` of its columns and prints ratios of what was measured in turns in this one run:
- wall and CPU time: hx_expression.read_expression, which also checks every value, against `zcat | cut`,
- CPU time: the same against decompression alone,
- time and peak memory: against pandas.read_csv of the same columns, on two parts of the file, extrapolated by rows.
Free disk is checked first; what was made is deleted.
"""

import argparse
import os
import random
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

HERE = Path(__file__).resolve().parent
N_SAMPLES = 17382  # of GTEx v8
DISTINCT = 60  # lines of values that are drawn; the genes repeat them
BYTES_A_GENE = {True: 92_000, False: 37_000}  # text, gzipped: for the check of the disk
PARTS = 1405, 2810  # genes that pandas is measured on
SAMPLES = [f"GTEX-{i // 20:05d}-{i % 20:04d}-SM-{i:05d}" for i in range(N_SAMPLES)]
READ = """
import sys; sys.path.insert(0, {folder!r})
{work}
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
OURS = "from hx_expression import read_expression; read_expression([{path!r}], {names!r}, 'tpm')"
PANDAS = (
    "import pandas; pandas.read_csv({path!r}, sep='\\t', skiprows=2, index_col=0, usecols={columns!r}, nrows={rows})"
)


def made_gct(path: Path, genes: int, plain: bool = False) -> None:
    """Write a GCT of `genes` x N_SAMPLES: TPM-like values, 35 % zeros, 4 digits as GTEx has them.

    A gzip file is put together from deflated lines, so that it takes seconds; it is one stream like any other.
    """
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(DISTINCT):
        values = rng.gamma(0.3, 20.0, N_SAMPLES) * (rng.random(N_SAMPLES) > 0.35)
        lines.append(("\t".join("0" if value == 0 else f"{value:.4g}" for value in values) + "\n").encode())
    packed = [_deflated(line) for line in lines]
    head = f"#1.2\n{genes}\t{N_SAMPLES}\n" + "\t".join(["Name", "Description", *SAMPLES]) + "\n"
    checksum = size = 0
    with open(path, "wb") as file:
        if not plain:
            file.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff")
        for gene in range(-1, genes):
            text = head.encode() if gene < 0 else f"ENSG{gene:011d}.{gene % 9}\tGENE{gene}\t".encode()
            parts = [(text, None)] + ([(lines[gene % DISTINCT], packed[gene % DISTINCT])] if gene >= 0 else [])
            for raw, ready in parts:
                file.write(raw if plain else ready or _deflated(raw))
                checksum, size = zlib.crc32(raw, checksum), size + len(raw)
        if not plain:
            file.write(b"\x03\0" + struct.pack("<II", checksum, size & 0xFFFFFFFF))


def _deflated(raw: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(raw) + packer.flush(zlib.Z_FULL_FLUSH)


def measured(command: list[str]) -> tuple[float, float, str]:
    """(wall seconds, CPU seconds with children, standard output) of a command, which must succeed."""
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {command[0]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used, done.stdout


def python(work: str) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak memory in MB) of Python code in a process of its own."""
    wall, cpu, told = measured([sys.executable, "-c", READ.format(folder=str(HERE.parent / "bin"), work=work)])
    return wall, cpu, int(told.split()[-1]) / 1e3


def ours(path: Path, names: list[str]) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak memory in MB) of read_expression, of some columns."""
    return python(OURS.format(path=str(path), names=names))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--genes", type=int, default=56200)
    arguments.add_argument("--samples", type=int, default=800)
    arguments.add_argument("--turns", type=int, default=1)
    arguments.add_argument("--plain", action="store_true", help="a file of plain text")
    arguments.add_argument("--folder", type=Path, help="where the file is made; the temporary folder by default")
    args = arguments.parse_args()
    names = random.Random(1).sample(SAMPLES, args.samples)
    columns = sorted(SAMPLES.index(name) + 2 for name in names)
    cut = ",".join(str(column + 1) for column in [0, 1, *columns])
    with TemporaryDirectory(dir=args.folder) as name:
        free, needed = shutil.disk_usage(name).free, args.genes * BYTES_A_GENE[args.plain]
        if free < 1.2 * needed:
            raise SystemExit(f"{name}: {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed: give another --folder")
        path = Path(name) / ("made.gct" if args.plain else "made.gct.gz")
        made_gct(path, args.genes, args.plain)
        unpack = "cat" if args.plain else "zcat"
        shell = {
            "cut": f"{unpack} '{path}' | cut -f{cut} > /dev/null",
            "unpack": f"{unpack} '{path}' > /dev/null",
        }
        found: dict[str, list] = {"ours": [], "cut": [], "unpack": []}
        for _ in range(args.turns):
            found["ours"].append(ours(path, names))
            for way, command in shell.items():
                found[way].append((*measured(["bash", "-o", "pipefail", "-c", command])[:2], 0.0))
        (wall, cpu, peak), (cut_wall, cut_cpu, _), (_, bare, _) = (np.median(found[way], axis=0) for way in found)
        size = path.stat().st_size / 1e9
        print(f"{args.genes} x {N_SAMPLES}, {size:.1f} GB{'' if args.plain else ' gzipped'}, {args.samples} samples")
        print(f"  read_expression   {wall:.1f} s, CPU {cpu:.1f} s, peak {peak:.0f} MB")
        print(f"  {unpack} | cut        {cut_wall:.1f} s, CPU {cut_cpu:.1f} s")
        print(f"    read_expression / it: wall {wall / cut_wall:.2f} x, CPU {cpu / cut_cpu:.2f} x")
        print(f"  {unpack} alone        CPU {bare:.1f} s: read_expression is {cpu / bare:.2f} x")
        parts = [rows for rows in PARTS if rows <= args.genes]
        pandas = [python(PANDAS.format(path=str(path), columns=[0, 1, *columns], rows=rows)) for rows in parts]
        if len(pandas) == 2:
            slope = (np.array(pandas[1]) - pandas[0]) / (parts[1] - parts[0])
            whole = pandas[1] + slope * (args.genes - parts[1])
            wide, long, high = whole[0] / wall, whole[1] / cpu, whole[2] / peak
            print(f"  pandas.read_csv   {whole[0]:.0f} s, CPU {whole[1]:.0f} s, peak {whole[2]:.0f} MB (from {parts})")
            print(f"    it / read_expression: wall {wide:.1f} x, CPU {long:.1f} x, memory {high:.1f} x")


if __name__ == "__main__":
    main()
