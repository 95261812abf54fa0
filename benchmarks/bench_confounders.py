#!/usr/bin/env python3
"""Ledger and factor curve of one setting: time of HistoGEx against the study's loop over regressions, in the same run.

    .venv/bin/python benchmarks/bench_confounders.py [--donors 449 --features 2048 --genes 20000 --factors 51]

Prints seconds, wall and CPU, of
- the kernels (donors x donors) of image and expression, by covariance and standardised,
- the ledger's estimates of these four views: by itself and beyond the rest, adjusted, interval, cross-validated,
- the factor curves of image and expression, in the sample, cross-validated and by chance,
- the ledger's permutation p (999 permutations by itself, as many in the residual space of the rest),
and the study's greedy selection of both curves, a regression for each candidate at each step.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_confounder_tables import CURVE_NULLS
from hx_directions import Block, orthonormal_blocks
from hx_factor_curve import PC_SHARE, factor_curve
from hx_factor_tests import ledger_p
from hx_ledger import kernel_of, shares
from hx_linear import standardise
from hx_variance import GROUPS, permutations


def best_of(runs: int, work: Callable[[], object]) -> np.ndarray:
    """Smallest wall time and smallest CPU time of some runs, in seconds."""
    times = []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return np.min(times, axis=0)


def draw(donors: int, columns: int, seed: int) -> np.ndarray:
    """(donors, columns) values with a few strong components, as features and genes have."""
    rng = np.random.default_rng(seed)
    loadings = rng.standard_normal((20, columns)) * (2.0 / np.arange(1, 21))[:, None]
    return rng.standard_normal((donors, 20)) @ loadings + rng.standard_normal((donors, columns))


def study(values: np.ndarray, factors: np.ndarray) -> list[float]:
    """The study's curve (Jones 2017): principal components to 99.9 %, ordinary least squares for each candidate."""
    centred = values - values.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    keep = int(np.searchsorted(np.cumsum(size**2) / (size**2).sum(), PC_SHARE, side="right")) + 1
    scores, weight = left[:, :keep] * size[:keep], size[:keep] ** 2
    chosen: list[int] = []
    path = []
    for _ in range(factors.shape[1]):
        found = {}
        for j in set(range(factors.shape[1])) - set(chosen):
            design = np.column_stack([np.ones(len(values)), factors[:, [*chosen, j]]])
            rest = scores - design @ np.linalg.lstsq(design, scores, rcond=None)[0]
            found[j] = weight @ (1 - rest.var(axis=0) / scores.var(axis=0)) / weight.sum()
        chosen.append(max(found, key=found.get))
        path.append(found[chosen[-1]])
    return path


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--donors", type=int, default=449)
    arguments.add_argument("--features", type=int, default=2048)
    arguments.add_argument("--genes", type=int, default=20000)
    arguments.add_argument("--factors", type=int, default=51)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--runs", type=int, default=3)
    args = arguments.parse_args()
    n, k = args.donors, args.factors
    rng = np.random.default_rng(0)
    factors, folds, groups = rng.standard_normal((n, k)), rng.integers(0, 5, n), rng.permutation(n) % GROUPS
    sides = [draw(n, args.features, 1), draw(n, args.genes, 2)]
    order = permutations(rng, CURVE_NULLS, n)
    columns, model = orthonormal_blocks([factors[:, [i]] for i in range(k)]), np.arange(k)
    blocks = [Block(model[[i]], model[[i]]) for i in range(k)]

    def kernels() -> list[np.ndarray]:
        made = [standardise(values) for values in sides]
        return [kernel_of(side.unit, scale) for side in made for scale in (side.sd, None)]

    def curves() -> list[np.ndarray]:
        return [factor_curve(kernel, factors, folds, order).r2 for kernel in (views[0], views[2])]

    with threadpool_limits(args.threads):
        views = kernels()
        gram = best_of(args.runs, kernels)
        ledger = best_of(args.runs, lambda: shares(views, columns, blocks, model, folds, groups))
        curve = best_of(args.runs, curves)
        permuted = best_of(1, lambda: ledger_p(views, columns, blocks, model, 1, "benchmark"))
        paths: list[list[float]] = []
        loop = best_of(1, lambda: paths.extend(study(values, factors) for values in sides))
        difference = max(float(np.abs(a - b).max()) for a, b in zip(curves(), paths, strict=True))
    print(f"{n} donors, {args.features} features, {args.genes} genes, {k} factors, {args.threads} threads: wall, CPU")
    for name, (wall, cpu) in {
        "kernels of four views": gram,
        "ledger's estimates, four views": ledger,
        "factor curves, with folds and their null": curve,
        "kernels, ledger and curves": gram + ledger + curve,
        "permutation p of the whole ledger": permuted,
        "the study's loop, both curves": loop,
    }.items():
        print(f"{name:42s} {wall:8.2f} s {cpu:8.2f} s")
    ratio = loop / (gram[0] + curve[0], gram[1] + curve[1])
    print(f"loop / kernels and curves                  {ratio[0]:8.0f} x {ratio[1]:8.0f} x")
    print(f"curves differ by at most {difference:.1e}")


if __name__ == "__main__":
    main()
