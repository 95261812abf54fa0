#!/usr/bin/env python3
"""Nested prediction of all genes: time and memory of HistoGEx against scikit-learn a gene at a time, in the same run.

    .venv/bin/python benchmarks/bench_prediction.py [--donors 230 --features 2048 --genes 20000 --covariates 10]

Prints seconds, wall and CPU, of
- cross-validation of every gene, 5 outer x 5 inner folds, 22 penalties, scores of the genes and covariates fitted anew
  in each training set,
- the score test of every gene: kernel, eigenvalues, exact p,
- scikit-learn's RidgeCV with the same penalties in the same outer folds, a gene at a time, and many genes at once with
  a penalty each. It has less to do: no covariates, the genes' scores are given, and its penalty is by leave-one-out in
  closed form, not by nested folds. Extrapolated from some genes.
"""

import argparse
import resource
import sys
from pathlib import Path

import numpy as np
from bench_confounders import best_of
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bin"))

from hx_linear import residual_space, standardise
from hx_mixture import log_p_ratio, ratios
from hx_predict import INNER, PENALTIES, cross_validate, splits
from hx_predict_scale import Ranked
from hx_variance import gram, rotated_kernel

FOLDS = 5


def draw(donors: int, features: int, genes: int, covariates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features whose eigenvalues fall as 1 / k^2, genes of which a tenth go with them, covariates."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(donors, donors)) / np.arange(1, donors + 1)
    values = factors @ rng.normal(size=(donors, features))
    expression = rng.normal(size=(donors, genes))
    expression[:, : genes // 10] += values @ rng.normal(size=(features, genes // 10)) / np.sqrt(features)
    return values, expression, rng.normal(size=(donors, covariates))


def sklearn_seconds(values: np.ndarray, scores: np.ndarray, folds: np.ndarray, together: bool) -> tuple[float, float]:
    """(wall, CPU) seconds a gene of RidgeCV inside outer folds, its penalty by leave-one-out from one decomposition."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    genes = scores.shape[1]
    groups = [np.arange(genes)] if together else [np.array([gene]) for gene in range(genes)]

    def work() -> None:
        for group in groups:
            for _, train, test in splits(folds, np.arange(len(folds))):
                model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES * values.shape[1], alpha_per_target=together))
                y = scores[np.ix_(train, group)]
                model.fit(values[train], y if together else y[:, 0]).predict(values[test])

    wall, cpu = best_of(1, work)
    return wall / genes, cpu / genes


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--donors", type=int, default=230)
    arguments.add_argument("--features", type=int, default=2048)
    arguments.add_argument("--genes", type=int, default=20000)
    arguments.add_argument("--covariates", type=int, default=10)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--sklearn-genes", type=int, default=10)
    args = arguments.parse_args()
    values, expression, covariates = draw(args.donors, args.features, args.genes, args.covariates)
    folds = np.random.default_rng(1).permutation(args.donors) % FOLDS

    def nested() -> None:
        donors = np.arange(args.donors)
        cross_validate(
            values, covariates, Ranked(expression), folds, donors, lambda fold: np.random.default_rng([2, fold])
        )

    def test() -> None:
        space = residual_space(covariates, args.donors)
        size, vectors = np.linalg.eigh(rotated_kernel(space, gram(standardise(values).unit)))
        rotated = (space.rotation @ vectors).T @ standardise(scores, space).unit
        log_p_ratio(ratios(rotated, size), size)

    with threadpool_limits(args.threads):
        wall, cpu = best_of(1, nested)
        scores = Ranked(expression).scores(np.ones(args.donors, bool))
        tested = best_of(2, test)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        others = {
            f"RidgeCV, {name}": (of, np.array(sklearn_seconds(values, scores[:, :of], folds, of > args.sklearn_genes)))
            for name, of in (("a gene at a time", args.sklearn_genes), ("genes at once", 100 * args.sklearn_genes))
        }
    print(
        f"{args.donors} donors, {args.features} features, {args.genes} genes, {args.covariates} covariates, "
        f"{FOLDS} x {INNER} folds, {len(PENALTIES)} penalties, {args.threads} threads"
    )
    print(f"nested cross-validation of all genes   {wall:8.1f} s wall {cpu:8.1f} s CPU   peak memory {peak:.2f} GB")
    print(f"score test of all genes                {tested[0]:8.1f} s wall {tested[1]:8.1f} s CPU")
    for name, (of, each) in others.items():
        total = each * args.genes
        print(
            f"{name:38} {total[0]:8.0f} s wall {total[1]:8.0f} s CPU   extrapolated from {of} genes: "
            f"{total[0] / wall:,.0f} x wall, {total[1] / cpu:,.0f} x CPU"
        )


if __name__ == "__main__":
    main()
