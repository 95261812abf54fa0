#!/usr/bin/env python3
"""All features x all genes: time and memory of HistoGEx against what one would write without it, in the same run.

    .venv/bin/python benchmarks/bench_association.py [--donors 449 --features 2048 --genes 20000 --threads 2]

Prints seconds and ratios of
- a loop of scipy.stats.pearsonr over pairs, extrapolated from 500 pairs (the 2017 study's way),
- one matrix product, then scipy.special.stdtr on all pairs,
- the matrix product alone: the bound that no implementation passes,
- statsmodels' Benjamini-Hochberg on the p values of all pairs, against hx_fdr.bh.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_association import associate_pairs
from hx_fdr import bh
from hx_linear import correlation_tiles, standardise
from hx_pvalue import PTable

LOOP_PAIRS = 500


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


def all_p(genes: np.ndarray, features: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> None:
    """Correlate, then turn every r into p; tile by tile, so that both ways need the same memory."""
    for _, r in correlation_tiles(standardise(genes).unit, standardise(features).unit):
        function(r)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--donors", type=int, default=449)
    arguments.add_argument("--features", type=int, default=2048)
    arguments.add_argument("--genes", type=int, default=20000)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--runs", type=int, default=3)
    args = arguments.parse_args()
    dof = args.donors - 2
    genes, features = draw(args.donors, args.genes, 0), draw(args.donors, args.features, 1)
    pairs = args.genes * args.features

    def streamed() -> None:
        unit = standardise(genes).unit, standardise(features).unit
        associate_pairs(*unit, dof, alpha=0.05, correction="bh", top=5, max_hits=10**6)

    def stdtr(r: np.ndarray) -> None:
        from scipy.special import stdtr as t_cdf

        2 * t_cdf(dof, -np.abs(r) * np.sqrt(dof / ((1 - r) * (1 + r))))

    def product() -> None:
        for _ in correlation_tiles(standardise(genes).unit, standardise(features).unit):
            pass

    with threadpool_limits(args.threads):
        ours = best_of(args.runs, streamed)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        gemm = best_of(args.runs, product)
        table = best_of(args.runs, lambda: all_p(genes, features, PTable(dof).p))
        naive = best_of(1, lambda: all_p(genes, features, stdtr))
        pair = loop_seconds(genes, features)
        small = draw(args.donors, 2000, 3), draw(args.donors, 500, 4)
        exemplar = best_of(args.runs, lambda: all_p(*small, PTable(dof).p))
    print(
        f"{args.donors} donors, {args.features} features x {args.genes} genes = {pairs:,} pairs, {args.threads} threads"
    )
    print(f"tests, q values, top pairs, histogram  {ours:9.2f} s   peak memory {peak:.2f} GB with inputs")
    print(f"every p, none kept                     {table:9.2f} s")
    print(f"the matrix product alone               {gemm:9.2f} s   all tests take {ours / gemm:.1f} x the product")
    print(f"product, then scipy stdtr              {naive:9.2f} s   {naive / table:.1f} x every p")
    print(f"loop of scipy pearsonr (extrapolated)  {pair * pairs:9.0f} s   {pair * pairs / ours:,.0f} x ours")
    loop = pair * 1e6
    print(f"500 x 2000 pairs: every p {exemplar:.3f} s, loop (extrapolated) {loop:.0f} s: {loop / exemplar:,.0f} x")

    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(5).uniform(size=pairs)
    p[: pairs // 30] **= 4
    mine = best_of(args.runs, lambda: bh(p, 0.05))
    theirs = best_of(1, lambda: multipletests(p, 0.05, method="fdr_bh"))
    print(f"BH of {pairs:,} p: {mine:.2f} s, statsmodels {theirs:.2f} s: {theirs / mine:.1f} x")


if __name__ == "__main__":
    main()
