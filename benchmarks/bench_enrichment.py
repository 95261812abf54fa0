#!/usr/bin/env python3
"""All features x all gene sets: time and memory of HistoGEx against what one would write without it, in the same run.

    .venv/bin/python benchmarks/bench_enrichment.py [--donors 230 --features 2048 --genes 20000 --sets 5000]

Prints seconds and ratios of
- over-representation, camera by signed t and by r2, and set scores of all pairs, with q over and within features,
- scipy.stats.hypergeom.sf pair by pair, and a loop of camera's formula over sets, both extrapolated,
- gseapy's pre-ranked GSEA of one feature (multilevel), extrapolated from some sets (--gsea-sets 0: left out).
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse, stats
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_association import associate_pairs
from hx_enrichment import enrich, hit_matrix, prepare
from hx_gene_sets import Collection
from hx_linear import standardise

LOOP = 2000  # pairs of the loops


def timed(work: Callable[[], object]) -> tuple[object, float, float]:
    """What it returns, wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def draw_sets(genes: int, number: int) -> Collection:
    """Sets of 15 to 500 genes, about 88 in the mean."""
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.lognormal(4.1, 0.9, number).astype(int), 15, min(500, genes // 2))
    members = [np.sort(rng.choice(genes, size, replace=False)) for size in sizes]
    ends = np.r_[0, np.cumsum(sizes)]
    matrix = sparse.csr_array(
        (np.ones(ends[-1]), np.concatenate(members).astype(np.int32), ends), shape=(number, genes)
    )
    names = np.array([f"S{k}" for k in range(number)], dtype=object)
    return Collection("drawn", names, names, matrix, "symbol")


def camera_loop(z: np.ndarray, sets: Collection, rho: np.ndarray) -> None:
    """limma's formula, set by set, for one feature."""
    genes, variance, mean = len(z), z.var(ddof=1), z.mean()
    for k in range(len(sets.set)):
        m, inside = sets.size[k], z[sets.genes_of(k)]
        delta = genes / (genes - m) * (inside.mean() - mean)
        pooled = ((genes - 1) * variance - delta**2 * m * (genes - m) / genes) / (genes - 2)
        t = delta / np.sqrt(pooled * ((1 + (m - 1) * rho[k]) / m + 1 / (genes - m)))
        2 * stats.t.sf(abs(t), genes - 2)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"donors": 230, "features": 2048, "genes": 20000, "sets": 5000, "threads": 2}.items():
        arguments.add_argument(f"--{name}", type=int, default=value)
    arguments.add_argument("--gsea-sets", type=int, default=200)
    args = arguments.parse_args()
    rng, dof = np.random.default_rng(1), args.donors - 2
    genes, features = (rng.standard_normal((args.donors, k)) for k in (args.genes, args.features))
    # A tenth of the genes go with fifty of the features, so that there are hits.
    genes[:, : args.genes // 10] += features[:, rng.integers(0, 50, args.genes // 10)]
    unit = standardise(genes).unit, standardise(features).unit
    sets = draw_sets(args.genes, args.sets)
    with threadpool_limits(args.threads):
        tested = associate_pairs(*unit, dof, 0.05, "tree", 1, 1)
        hits = hit_matrix(tested.hits, args.features, args.genes)
        each, wall_sets, cpu_sets = timed(lambda: prepare(sets, unit[0], args.donors - 1))
        found, wall, cpu = timed(lambda: enrich(*unit, dof, hits, [each])[0])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    pairs = args.features * args.sets
    _, ora, _ = timed(lambda: [stats.hypergeom.sf(x, args.genes, 88, 200) for x in np.arange(LOOP) % 5])
    _, loop, _ = timed(lambda: camera_loop(rng.standard_normal(args.genes), sets, each.rho.signed))
    print(f"{args.features} features x {args.sets} sets of {args.genes} genes, {args.donors} donors")
    print(f"correlations and scores of the sets   {wall_sets:8.2f} s ({cpu_sets:.2f} s of CPU)")
    print(f"all tests of all pairs, with q        {wall:8.2f} s ({cpu:.2f} s of CPU)  {len(found.feature):,} rows kept")
    print(f"peak memory with inputs               {peak:8.2f} GB")
    total, ora, loop = wall + wall_sets, ora / LOOP * pairs, loop * args.features
    print(f"scipy hypergeom, pair by pair (x)     {ora:8.0f} s   {ora / total:,.0f} x all of it")
    print(f"camera, set by set (x)                {loop:8.0f} s   {loop / total:,.0f} x all of it")
    if args.gsea_sets:
        from hx_gsea import prerank

        some = draw_sets(args.genes, args.gsea_sets)
        ids = np.array([f"g{k:06d}" for k in range(args.genes)], dtype=object)
        prerank(rng.standard_normal(200), ids[:200], draw_sets(200, 2), 1, args.threads)  # imports
        z = unit[0].T @ unit[1][:, 0]
        _, gsea, _ = timed(lambda: prerank(z, ids, some, 1, args.threads))
        one = gsea / args.gsea_sets * args.sets
        print(f"gseapy, one feature (x)               {one:8.1f} s   all features: {one * args.features / 3600:.0f} h")
    print("(x): extrapolated from a part")


if __name__ == "__main__":
    main()
