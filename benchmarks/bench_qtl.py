#!/usr/bin/env python3
"""Genotypes against features: time and memory from PLINK or VCF files to tables, and plink2 on the same files.

    .venv/bin/python benchmarks/bench_qtl.py [--donors 449 --variants 1000000 --threads 2] [--vcf] [--permutations 1000]

Draws genotypes (made_genotypes.py) and features (1,024 of a few factors, 15 covariates), runs prepare_genotypes.py and
map_qtl.py as the pipeline does, with 20 components and 30 features as traits and the embedding beside, on half of the
variants and on all of them, and prints wall and CPU seconds and peak memory of each. Then plink2 --glm with the same
covariates and 16 of the traits on a fiftieth of the variants, in its fastest setting that gives the same numbers
(all traits in one run, no output but p <= 1e-3), and ratios of tests a second: of that run, and of one with all 1,024
features as traits. Needs plink2 on PATH for that.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd
from made_genotypes import write_bed, write_vcf

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_qtl_traits import normal

ROOT = Path(__file__).resolve().parents[1]
FEATURES, COVARIATES, PCS, NAMED = 1024, 15, 20, 30
PLINK_TRAITS, PLINK_SHARE = 16, 50


class Spent(NamedTuple):
    """Wall and CPU seconds, and peak memory in MB, of one process."""

    wall: float
    cpu: float
    peak: float

    def __str__(self) -> str:
        return f"{self.wall:7.1f} s wall {self.cpu:7.1f} s CPU {self.peak:6.0f} MB"


def spent(command: list[object], threads: int) -> Spent:
    """Run a command to its end."""
    told = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), env=os.environ | told, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command[0]} {command[1]} failed")
    return Spent(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def draw_features(folder: Path, donors: list[str]) -> pd.DataFrame:
    """Write features and covariates of the donors; the covariates."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(len(donors), 8)) @ rng.normal(size=(8, FEATURES))
    values = np.exp((factors + 2 * rng.normal(size=(len(donors), FEATURES))) / 6).astype(np.float32)
    var = pd.DataFrame({"encoder": "raw"}, index=[f"raw_{k:04d}" for k in range(FEATURES)])
    table = anndata.AnnData(values, obs=pd.DataFrame(index=donors), var=var)
    table.uns["encoders"] = {"raw": {"weights": "imagenet"}}
    table.write_h5ad(folder / "Drawn.256.h5ad")
    design = pd.DataFrame(rng.normal(size=(len(donors), COVARIATES)), index=pd.Index(donors, name="donor"))
    design.add_prefix("C").to_csv(folder / "design.tsv", sep="\t", float_format="%.17g")
    # For plink2, as rank-normal traits; its covariates have the genotype components of ours beside.
    traits = pd.DataFrame(normal(values[:, :PLINK_TRAITS])).add_prefix("t")
    traits.insert(0, "#FID", donors)
    traits.insert(1, "IID", donors)
    traits.to_csv(folder / "traits.tsv", sep="\t", index=False, float_format="%.17g")
    return design.add_prefix("C")


def ours(
    folder: Path, source: Path, args: argparse.Namespace, permutations: int = 0, named: int = NAMED
) -> tuple[Spent, Spent]:
    """prepare_genotypes.py and map_qtl.py on a file."""
    out = folder / "out"
    prepare = [ROOT / "bin" / "prepare_genotypes.py", "--genotypes", source, "--donors", folder / "donors.txt"]
    first = spent([sys.executable, *prepare, "--threads", args.threads, "--outdir", out], args.threads)
    names = ",".join(f"raw_{k:04d}" for k in range(named))
    scan = [ROOT / "bin" / "map_qtl.py", "--features", folder / "Drawn.256.h5ad", "--setting-prefix", "Drawn.256"]
    scan += ["--design", folder / "design.tsv", "--genotypes", out / "genotypes.h5", "--primary", "256,raw,mean"]
    scan += ["--qtl-pcs", PCS, "--qtl-features", names, "--permutations", permutations, "--controls", "none"]
    return first, spent([sys.executable, *scan, "--threads", args.threads, "--outdir", out], args.threads)


def plink(folder: Path, prefix: Path, design: pd.DataFrame, args: argparse.Namespace) -> float:
    """Tests a second of plink2 --glm, reading its files included."""
    variants = args.variants // PLINK_SHARE
    components = pd.read_csv(folder / "out" / "genotype_pcs.tsv", sep="\t").set_index("donor")
    covariates = design.join(components).reset_index(names="#FID")
    covariates.insert(1, "IID", covariates["#FID"])
    covariates.to_csv(folder / "covariates.tsv", sep="\t", index=False, float_format="%.17g")
    small = folder / "small"
    chosen = np.loadtxt(prefix.with_suffix(".bim"), dtype=str, usecols=1, max_rows=variants)
    np.savetxt(folder / "small.txt", chosen, fmt="%s")
    make = ["plink2", "--bfile", prefix, "--extract", folder / "small.txt", "--make-bed", "--out", small]
    spent(make, args.threads)
    run = ["plink2", "--bfile", small, "--pheno", folder / "traits.tsv", "--covar", folder / "covariates.tsv"]
    run += ["--glm", "hide-covar", "omit-ref", "--pfilter", "1e-3", "--threads", args.threads, "--out", folder / "glm"]
    took = min(spent(run, args.threads) for _ in range(2))
    print(f"plink2 --glm, {PLINK_TRAITS} traits x {variants:,} variants   {took}")
    return variants * PLINK_TRAITS / took.wall


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--donors", type=int, default=449)
    arguments.add_argument("--variants", type=int, default=1_000_000)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--vcf", action="store_true", help="from a VCF as well")
    arguments.add_argument("--permutations", type=int, default=0, help="time these as well")
    args = arguments.parse_args()
    traits = PCS + NAMED
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{args.donors} donors, {traits} traits and the embedding of {FEATURES} features, {args.threads} threads")
        for variants in (args.variants // 2, args.variants):
            prefix = folder / f"made{variants}" / "made.bed"
            donors = write_bed(prefix, args.donors, variants)
            (folder / "donors.txt").write_text("\n".join(donors) + "\n")
            design = draw_features(folder, donors)
            prepared, mapped = ours(folder, prefix, args)
            print(f"{variants:>10,} variants, bed: prepare_genotypes.py {prepared}")
            print(f"{'':>10}                map_qtl.py           {mapped}")
            print(f"{'':>10}                both                 {prepared.wall + mapped.wall:7.1f} s wall")
        if shutil.which("plink2"):
            theirs = plink(folder, prefix.with_suffix(""), design, args)
            rate = args.variants * traits / mapped.wall
            print(f"tests a second: {traits} traits {rate:,.0f}, plink2 {theirs:,.0f}: {rate / theirs:,.0f} x")
            mapped = ours(folder, prefix, args, named=FEATURES)[1]
            rate = args.variants * (FEATURES + PCS) / mapped.wall
            print(f"{args.variants:>10,} variants, {FEATURES + PCS:,} traits: map_qtl.py   {mapped}")
            print(f"tests a second: {rate:,.0f}: {rate / theirs:,.0f} x plink2")
        if args.permutations:
            mapped = ours(folder, prefix, args, args.permutations, named=1)[1]
            print(f"map_qtl.py, {args.permutations} permutations of {PCS + 1} traits  {mapped}")
        if args.vcf:
            path = folder / "made.vcf.gz"
            write_vcf(path, args.donors, args.variants)
            prepared, mapped = ours(folder, path, args)
            print(f"{args.variants:>10,} variants, VCF: prepare_genotypes.py {prepared}")
            print(f"{'':>10}                both                 {prepared.wall + mapped.wall:7.1f} s wall")


if __name__ == "__main__":
    main()
