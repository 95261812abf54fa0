#!/usr/bin/env python3
"""Shared variance of one setting: time of HistoGEx against the study's loop over pairs of components, in the same run.

    .venv/bin/python benchmarks/bench_variance.py [--donors 449 --features 2048 --genes 20000 --covariates 30]

Prints seconds, wall and CPU, of
- the published S in both directions: kernels, components, S; and the same by the study's way: PCA of both sides by
  scikit-learn, scipy.stats.pearsonr of every pair of components (extrapolated from 500 pairs),
- the calibrated share of expression by image after adjustment, its curve and parts: columns standardised, kernels,
  components, components above noise; the expression's side, which all settings of a tissue share, by itself,
- its jackknife interval, 1,000 permutations, and the REML share of every gene,
- the confounders of the setting's image: the ledger's estimates by covariance and standardised, the factor curve,
and the sum of all that a further setting of a tissue needs, permutations aside.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from bench_confounders import best_of, draw
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_confounder_tables import CURVE_NULLS
from hx_directions import Block, orthonormal_blocks
from hx_factor_curve import factor_curve
from hx_ledger import kernel_of, shares
from hx_linear import residual_space, standardise
from hx_parallel import components_above_noise, largest_columns
from hx_shared import CAP, Frame, Rotated, column_kernel_shares, curve, scaled
from hx_variance import (
    GROUPS,
    adjusted,
    column_squares,
    explained_by,
    gram,
    jackknife,
    leave_out,
    parts,
    permutations,
    permuted_shares,
    principal,
    published_share,
    rotated_kernel,
)

KEPT = 0.999
LOOP_PAIRS = 500


def study(features: np.ndarray, genes: np.ndarray) -> tuple[np.ndarray, int]:
    """(wall, CPU) seconds of the study's S in one direction, the pairs extrapolated, and the number of pairs."""
    from scipy.stats import pearsonr
    from sklearn.decomposition import PCA

    scores = []

    def components() -> None:
        scores[:] = [PCA(KEPT, svd_solver="full").fit_transform(values) for values in (features, genes)]

    whole = best_of(1, components)
    x, y = scores
    pairs = np.random.default_rng(2).integers(0, [x.shape[1], y.shape[1]], (LOOP_PAIRS, 2))
    loop = best_of(2, lambda: [pearsonr(x[:, i], y[:, j])[0] ** 2 for i, j in pairs]) / LOOP_PAIRS
    count = x.shape[1] * y.shape[1]
    return np.stack([whole, loop * count]), count


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--donors", type=int, default=449)
    arguments.add_argument("--features", type=int, default=2048)
    arguments.add_argument("--genes", type=int, default=20000)
    arguments.add_argument("--covariates", type=int, default=30)
    arguments.add_argument("--factors", type=int, default=51)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--runs", type=int, default=3)
    args = arguments.parse_args()
    n = args.donors
    rng = np.random.default_rng(0)
    features, genes = draw(n, args.features, 1), draw(n, args.genes, 2)
    space = residual_space(rng.standard_normal((n, args.covariates)), n)
    frame = Frame(space, permutations(rng, 1000, space.dim), rng.permutation(n) % GROUPS)

    def published() -> None:
        plain = residual_space(None, n)
        sides = [principal(rotated_kernel(plain, gram(values))) for values in (features, genes)]
        for target, predictor in (sides, sides[::-1]):
            published_share(target, predictor, KEPT)

    def side(values: np.ndarray) -> Rotated:
        columns = scaled(standardise(values), "standardised")
        kernel, squares = rotated_kernel(space, columns.gram), column_squares(space, columns.values)
        pcs, largest = principal(kernel), space.rotate(columns.values[:, largest_columns(squares)])
        above = components_above_noise(pcs.variance, largest, squares, np.diagonal(kernel), rng)
        m = min(max(1, above), space.dim // CAP)
        return Rotated(columns.values, kernel, pcs, float(np.trace(columns.gram)), above, m, [])

    made: dict[str, Rotated] = {}

    def expression_side() -> None:
        made["genes"] = side(genes)

    def setting() -> None:
        image, expression = side(features), made["genes"]
        made["features"] = image
        share = explained_by(expression.kernel, image.pcs.scores[:, : image.m])[-1]
        technical = adjusted(1 - np.trace(expression.kernel) / expression.total, space.covariate_rank, n - 1)
        parts(float(technical), float(adjusted(share, image.m, space.dim)))
        curve(expression, image, space.dim)

    def interval() -> None:
        image, expression = made["features"], made["genes"]
        jackknife(expression.kernel, leave_out(image.pcs, space.rotation, frame.groups, image.m), image.m)

    factors, folds = rng.standard_normal((n, args.factors)), rng.integers(0, 5, n)
    blocks = [Block(np.array([i]), np.array([i])) for i in range(args.factors)]
    blocked, order = (
        orthonormal_blocks([factors[:, [i]] for i in range(args.factors)]),
        permutations(rng, CURVE_NULLS, n),
    )

    def confounders() -> None:
        of = standardise(features)
        views = [kernel_of(of.unit, of.sd), kernel_of(of.unit)]
        shares(views, blocked, blocks, np.arange(args.factors), folds, frame.groups)
        factor_curve(views[0], factors, folds, order)

    with threadpool_limits(args.threads):
        seconds = {"published S, both directions": best_of(args.runs, published)}
        seconds["expression adjusted, its PCs above noise: once a tissue"] = best_of(args.runs, expression_side)
        seconds["a setting: PCs above noise, share, curve, parts"] = best_of(args.runs, setting)
        image, expression = made["features"], made["genes"]
        scores = image.pcs.scores[:, : image.m]
        seconds[f"jackknife interval, {GROUPS} groups"] = best_of(args.runs, interval)
        seconds[f"1,000 permutations, {image.m} PCs"] = best_of(
            args.runs, lambda: permuted_shares(expression.pcs, scores, frame.orders)
        )
        seconds["REML share of every gene"] = best_of(args.runs, lambda: column_kernel_shares(expression, image, space))
        seconds[f"ledger and curve of the image, {args.factors} factors"] = best_of(args.runs, confounders)
        (components, loop), pairs = study(features, genes)
    print(f"{n} donors, {args.features} features, {args.genes} genes, {args.covariates} covariates")
    for name, (wall, cpu) in seconds.items():
        print(f"{name:56s} {wall:8.3f} s wall {cpu:8.3f} s CPU")
    names = [name for name in seconds if not name.startswith(("published", "expression", "1,000"))]
    wall, cpu = sum(seconds[name] for name in names)
    print(f"{'a further setting of a tissue':56s} {wall:8.3f} s wall {cpu:8.3f} s CPU")
    name, (wall, cpu) = f"study, one direction: PCA; {pairs} pairs (x)", components + loop
    print(f"{name:56s} {wall:8.1f} s wall {cpu:8.1f} s CPU, of which PCA {components[1]:.1f} s")
    ours = seconds["published S, both directions"] / 2
    print(f"study / published S, one direction: {wall / ours[0]:.0f} x wall, {cpu / ours[1]:.0f} x CPU")


if __name__ == "__main__":
    main()
