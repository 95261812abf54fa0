#!/usr/bin/env python3
"""All features x all genes: time and memory of HistoGEx against what one would write without it, in the same run.

    .venv/bin/python benchmarks/bench_association.py [--donors 449 --features 2048 --genes 20000 --threads 2]
    .venv/bin/python benchmarks/bench_association.py --settings 36 --features 1024 [--donors 230]

The first prints seconds and ratios of
- a loop of scipy.stats.pearsonr over pairs, extrapolated from 500 pairs (the 2017 study's way),
- one matrix product of the whole, and the same followed by scipy.special.stdtr on all pairs, in as many threads,
- the matrix product in tiles: the bound that no implementation passes,
- statsmodels' Benjamini-Hochberg on the p values of all pairs, against hx_fdr.bh,
- one permutation of the maximum (Freedman and Lane).
Peak memory is that of a process of its own for each, inputs and imports included.

The second times associate.py, a process for each patch size, on a tissue drawn with that many settings in all (two
encoders, three aggregations), 20 covariates and a tenth of the genes linked to the image, and says where the time goes.
"""

import argparse
import contextlib
import cProfile
import io
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_association import associate_pairs
from hx_fdr import bh
from hx_linear import correlation_tiles, residual_space, standardise
from hx_null import max_null
from hx_pvalue import PTable

ROOT = Path(__file__).resolve().parents[1]
LOOP_PAIRS = 500
ENCODERS, AGGREGATIONS = ("raw", "retrained"), ("mean", "median", "max")
COVARIATES = 20
# What associate.py spends its time on: functions by file and name, whose time includes what they call.
PARTS = {
    "testing all pairs, p, q": ("hx_association.py", "associate_pairs"),
    "  of it the scan": ("hx_scan.py", "scan"),
    "  of it q of pairs within genes": ("hx_fdr.py", "bh_within"),
    "20 permutations for lambda and QQ": ("hx_null.py", "null_histograms"),
    "split half, benchmarks": ("hx_best_pairs.py", "standing"),
    "effects and robustness": ("hx_association_tables.py", "effects"),
    "PC pairs": ("hx_pc_pairs.py", "pairs"),
    "hidden factors": ("associate.py", "_hidden_factors"),
    "writing parquet": ("core.py", "write_table"),
    "reading, residuals of genes": ("hx_donors.py", "side_of"),
}


def best_of(runs: int, work: Callable[[], object]) -> float:
    """Smallest wall time of some runs, in seconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def draw(donors: int, columns: int, seed: int) -> np.ndarray:
    """(donors, columns) standard-normal values."""
    return np.random.default_rng(seed).standard_normal((donors, columns))


def loop_seconds(genes: np.ndarray, features: np.ndarray) -> float:
    """Seconds a pair of scipy.stats.pearsonr, from 500 pairs."""
    from scipy.stats import pearsonr

    pairs = np.random.default_rng(2).integers(0, [genes.shape[1], features.shape[1]], (LOOP_PAIRS, 2))
    return best_of(2, lambda: [pearsonr(features[:, k], genes[:, j]) for j, k in pairs]) / LOOP_PAIRS


def streamed(donors: int, features: int, genes: int) -> None:
    """All tests as associate.py makes them: hits, q values, top pairs, histogram; nothing else is kept."""
    unit = standardise(draw(donors, genes, 0)).unit, standardise(draw(donors, features, 1)).unit
    associate_pairs(*unit, donors - 2, alpha=0.05, correction="tree", top=5, max_hits=10**6)


def dense(donors: int, features: int, genes: int) -> np.ndarray:
    """p of every pair, kept."""
    unit = standardise(draw(donors, genes, 0)).unit, standardise(draw(donors, features, 1)).unit
    table, out = PTable(donors - 2), np.empty((genes, features))
    for first, r in correlation_tiles(*unit):
        out[first : first + len(r)] = table.p(r)
    return out


def drawn_p(pairs: int) -> np.ndarray:
    """p values of which a thirtieth is not null."""
    p = np.random.default_rng(5).uniform(size=pairs)
    p[: pairs // 30] **= 4
    return p


def corrected(pairs: int) -> None:
    """Benjamini-Hochberg of that many p values."""
    bh(drawn_p(pairs), 0.05)


def _peak(work: Callable[..., object], arguments: tuple, threads: int) -> float:
    with threadpool_limits(threads):
        work(*arguments)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_mb(work: Callable[..., object], *arguments: int, threads: int) -> float:
    """Peak resident memory of a process that does nothing else, in MB; called while this one is small, for a process
    inherits the peak of the one that starts it."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (work, arguments, threads))


def compare_pairs(args: argparse.Namespace) -> None:
    """Print seconds, ratios and memory of all pairs."""
    from scipy.special import stdtr
    from statsmodels.stats.multitest import multipletests

    dof, threads = args.donors - 2, args.threads
    pairs, shape = args.genes * args.features, (args.donors, args.features, args.genes)
    memory = {work: peak_mb(work, *shape, threads=threads) for work in (streamed, dense)}
    memory[corrected] = peak_mb(corrected, pairs, threads=threads)
    genes, features = draw(args.donors, args.genes, 0), draw(args.donors, args.features, 1)

    def ours() -> None:
        unit = standardise(genes).unit, standardise(features).unit
        associate_pairs(*unit, dof, alpha=0.05, correction="tree", top=5, max_hits=10**6)

    def every_p(x: np.ndarray, y: np.ndarray) -> None:
        table = PTable(dof)
        for _, r in correlation_tiles(standardise(x).unit, standardise(y).unit):
            table.p(r)

    def product() -> None:
        for _ in correlation_tiles(standardise(genes).unit, standardise(features).unit):
            pass

    def whole() -> np.ndarray:
        return standardise(genes).unit.T @ standardise(features).unit

    def naive() -> None:
        r = whole()

        def block(rows: slice) -> None:
            part = r[rows]
            2 * stdtr(dof, -np.abs(part) * np.sqrt(dof / ((1 - part) * (1 + part))))

        # The special function leaves the interpreter's lock: as many threads as ours, blocks that stay in the cache.
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(block, (slice(k, k + 64) for k in range(0, len(r), 64))))

    with threadpool_limits(threads):
        seconds = best_of(args.runs, ours)
        table = best_of(args.runs, lambda: every_p(genes, features))
        gemm, tiles = best_of(args.runs, whole), best_of(args.runs, product)
        theirs = best_of(1, naive)
        pair = loop_seconds(genes, features)
        small = draw(args.donors, 2000, 3), draw(args.donors, 500, 4)
        exemplar = best_of(args.runs, lambda: every_p(*small))
        unit, space = (standardise(genes).unit, standardise(features).unit), residual_space(None, args.donors)
        permutation = best_of(args.runs, lambda: max_null(*unit, space, np.random.default_rng(0), 1))
        p = drawn_p(pairs)
        mine = best_of(args.runs, lambda: bh(p, 0.05))
        statsmodels = best_of(1, lambda: multipletests(p, 0.05, method="fdr_bh"))
    loop = pair * 1e6
    print(f"{args.donors} donors, {args.features} features x {args.genes} genes = {pairs:,} pairs, {threads} threads")
    print(f"tests, q values, top pairs, histogram  {seconds:9.2f} s   peak memory {memory[streamed]:.0f} MB")
    print(f"  bar: 2 x the product + 1.5 s         {2 * gemm + 1.5:9.2f} s")
    print(f"every p, none kept                     {table:9.2f} s   all kept: peak memory {memory[dense]:.0f} MB")
    print(f"the matrix product, whole and in tiles {gemm:9.2f} s   {tiles:.2f} s")
    print(f"product, then scipy stdtr              {theirs:9.2f} s   {theirs / table:.1f} x every p")
    print(f"loop of scipy pearsonr (extrapolated)  {pair * pairs:9.0f} s   {pair * pairs / seconds:,.0f} x ours")
    print(f"500 x 2000 pairs: every p {exemplar:.3f} s, loop (extrapolated) {loop:.0f} s: {loop / exemplar:,.0f} x")
    print(f"one permutation of the maximum         {permutation:9.2f} s")
    print(
        f"BH of {pairs:,} p: {mine:.2f} s, statsmodels {statsmodels:.2f} s: {statsmodels / mine:.1f} x; "
        f"peak memory {memory[corrected]:.0f} MB"
    )


def draw_tissue(folder: Path, args: argparse.Namespace, size: str, rng: np.random.Generator) -> None:
    """Files of a tissue of one patch size as their stages write them."""
    import anndata
    import pandas as pd

    from hx_expression import rank_inverse_normal

    names = [f"D{k:04d}" for k in range(args.donors)]
    factors = draw(args.donors, 5, 0)
    parts, var = [], []
    for encoder in ENCODERS:
        parts.append(
            rng.standard_normal((args.donors, args.features)) + 0.4 * factors @ rng.normal(size=(5, args.features))
        )
        var += [(f"{encoder}_{k:04d}", encoder) for k in range(args.features)]
    values = np.hstack(parts).astype(np.float32)
    table = pd.DataFrame(var, columns=["name", "encoder"]).set_index("name").assign(weights_sha256="ab")
    image = anndata.AnnData(values, obs=pd.DataFrame(index=names), var=table)
    image.uns["encoders"] = {encoder: {"weights": "imagenet"} for encoder in ENCODERS}
    for layer in AGGREGATIONS[1:]:
        image.layers[layer] = values + 0.2 * rng.standard_normal(values.shape, dtype=np.float32)
    image.write_h5ad(folder / f"Drawn.{size}.h5ad")
    covariates = pd.DataFrame(draw(args.donors, COVARIATES, 7), index=pd.Index(names, name="donor"))
    covariates.columns = [*(f"C{k}" for k in range(COVARIATES - 2)), "SMTSISCH", "SMRIN"]
    covariates.to_csv(folder / f"Drawn.{size}.design.tsv", sep="\t")
    if (folder / "Drawn.expression.h5ad").exists():
        return
    log2 = 5 + draw(args.donors, args.genes, 8)
    linked = args.genes // 10
    log2[:, :linked] += 0.3 * factors @ draw(5, linked, 9)
    symbols = pd.DataFrame({"symbol": [f"S{k}" for k in range(args.genes)]})
    symbols.index = [f"ENSG{k:06d}" for k in range(args.genes)]
    expression = anndata.AnnData(log2, obs=pd.DataFrame(index=names), var=symbols)
    expression.layers["int"] = rank_inverse_normal(log2.T).T
    expression.write_h5ad(folder / "Drawn.expression.h5ad")


def time_settings(args: argparse.Namespace) -> None:
    """Print seconds of associate.py, a process a patch size, and where they go in one of these."""
    sizes = [str(128 << k) for k in range(max(1, args.settings // (len(ENCODERS) * len(AGGREGATIONS))))]
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        walls = []
        for size in sizes:
            draw_tissue(folder, args, size, rng)
            options = ["--features", f"{folder}/Drawn.{size}.h5ad", "--expression", f"{folder}/Drawn.expression.h5ad"]
            options += ["--design", f"{folder}/Drawn.{size}.design.tsv", "--setting-prefix", f"Drawn.{size}"]
            options += ["--aggregations", ",".join(AGGREGATIONS), "--threads", str(args.threads)]
            options += ["--primary", "256,retrained,mean", "--outdir", f"{folder}/out"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            command = [sys.executable, str(ROOT / "bin" / "associate.py"), *options]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            walls.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            mib = sum(path.stat().st_size for path in (folder / "out").glob(f"Drawn.{size}.*")) / 2**20
            print(f"{size:>6}: {walls[-1]:6.1f} s wall, {cpu:6.1f} s CPU, {mib:.0f} MiB written")
        count = len(sizes) * len(ENCODERS) * len(AGGREGATIONS)
        shape = f"{args.donors} donors, {args.features} features x {args.genes} genes, a control each"
        print(f"{count} settings of {shape}, {args.threads} threads: {sum(walls):.0f} s")
        print(f"  peak memory {after.ru_maxrss / 1024:.0f} MB")
        parts(options)


def parts(options: list[str]) -> None:
    """Print where the time of one run of associate.py goes."""
    import associate

    profile = cProfile.Profile()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        profile.runcall(associate.main, options)
    stats = pstats.Stats(profile, stream=io.StringIO())
    whole = stats.total_tt
    print(f"of {whole:.1f} s of one patch size, under the profiler:")
    for told, (file, function) in PARTS.items():
        seconds = sum(
            row[3] for (path, _, name), row in stats.stats.items() if name == function and path.endswith(file)
        )
        print(f"  {told:<36}{seconds:7.1f} s{100 * seconds / whole:5.0f} %")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--donors", type=int, default=449)
    arguments.add_argument("--features", type=int, default=2048)
    arguments.add_argument("--genes", type=int, default=20000)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--settings", type=int, default=0, help="settings of a tissue through associate.py; 0: none")
    args = arguments.parse_args()
    if args.settings:
        time_settings(args)
    else:
        compare_pairs(args)


if __name__ == "__main__":
    main()
