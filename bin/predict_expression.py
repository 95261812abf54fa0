#!/usr/bin/env python3
"""Predict every gene of one tissue from its image features, in donors that were left out of everything.

Ridge with the covariates of --design unpenalised, nested cross-validation by the folds of --cohort. Features are
standardised, genes rank-normal, covariates and penalty fitted anew on each training set. r2cv is 1 - squared error over
that of the training mean, of covariates and image together; delta_r2, its gain over covariates alone, is the size of
the effect. p is that of a kernel score test of all features given the covariates (exact mixture of chi-squares), q
Benjamini-Hochberg over the genes of a setting. r2_least_squares and r2_in_sample are of the same models in the donors
that they were fitted to: what a study reports that leaves nobody out. A control is the setting with its donors
shuffled. The model of each setting, ridge on the image alone in all donors, is kept for new slides (apply_model.py);
r2cv_image is what it reaches in held-out donors.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from threadpoolctl import threadpool_limits

from hx_arguments import add_design, add_sides
from hx_cli import command, log, parser
from hx_controls import CONTROLS, control_list, feature_orders, tissue_strata
from hx_donors import (
    Features,
    feature_settings,
    is_primary,
    named_generator,
    read_annotated,
    sides_of,
    too_few,
    usable,
)
from hx_fdr import bh
from hx_io import write_parquet, write_tsv
from hx_join import dropped_table
from hx_linear import standardise
from hx_mixture import log_p_ratio, ratios
from hx_predict import PENALTIES, CrossValidated, coefficients, cross_validate, in_sample, splits, too_few_for_folds
from hx_predict_model import NUMBERS, ORIGIN, Model, distance, donor_hash, fold_model, write_model
from hx_predict_scale import Ranked, quantile_function
from hx_predict_tables import GENE_COLUMNS, HISTOGRAM, SUMMARY, histogram, parquet_table, strongest, summary_numbers
from hx_rows import donor_folds
from hx_variance import gram, rotated_kernel

STAGE = "predict_expression"
SMALL = 1 << 22  # coefficients: a model of so few keeps every gene, a larger one those with q <= alpha
FOLD_GENES = 200  # genes of a model, the strongest, that have coefficients without each fold


class Prediction:
    """Works through the settings of a tissue and patch size; `run` fills the tables and writes the models."""

    def __init__(self, args: argparse.Namespace, features: AnnData, expression: AnnData):
        self.args, self.features, self.expression = args, features, expression
        self.tissue, self.size = args.setting_prefix.rsplit(".", 1)
        self.summary: list[dict] = []
        self.genes: list[pd.DataFrame] = []
        self.histograms: list[pd.DataFrame] = []
        self.dropped: list[tuple] = []

    def run(self) -> None:
        args = self.args
        self.side, lost = sides_of(args, self.features, self.expression)
        self.dropped += lost
        donors = self.side.donors
        folds = donor_folds(args.cohort, self.tissue, donors)
        if reason := too_few_for_folds(folds, self.side.space.covariate_rank):
            log.warning("%s: %s: nothing is predicted", args.setting_prefix, reason)
            self.dropped.append((args.setting_prefix, "size", f"not predicted: {reason}"))
            return
        self.folds = folds
        self.covariates = None if self.side.design is None else self.side.design.to_numpy()
        self.log2 = np.asarray(self.expression[donors, self.side.genes.id].X, dtype=np.float64)
        self.ranked = Ranked(self.log2)
        self.stratum, self.strata = tissue_strata(args.cohort, args.setting_prefix, donors)
        parts = feature_settings(self.features, donors, self.size, args.aggregations, args.features.name)
        wanted = [part for part in parts if args.settings == "all" or is_primary(part, self.size, args.primary)]
        if not wanted:
            log.warning("%s: not the primary setting %s: nothing is predicted", args.setting_prefix, args.primary)
        for part in wanted:
            self._setting(part)

    def _setting(self, part: Features) -> None:
        args, side = self.args, self.side
        setting = f"{args.setting_prefix}.{part.encoder}.{part.aggregation}"
        keep, lost, _ = usable(part.values, part.name, "feature", setting, side.space)
        self.dropped += lost
        if not keep.any():
            log.warning("%s: none of %d features varies: nothing is predicted", setting, len(part.name))
            return
        values, names = part.values[:, keep], part.name[keep]
        declared = is_primary(part, self.size, args.primary)
        row = {"setting": setting, "tissue_id": self.tissue, "size": self.size, "encoder": part.encoder}
        row |= {"aggregation": part.aggregation, "weights": self.features.uns["encoders"][part.encoder]["weights"]}
        row |= {"analysis": "primary" if declared else "exploratory", "features": len(names), "alpha": args.alpha}
        row |= {"covariate_rank": side.space.covariate_rank, **side.numbers()}
        for control, order in feature_orders(args.controls, args.seed, setting, self.stratum, self.strata):
            genes = self._predicted(setting, values[order])
            told = {"control": control, "folds": len(set(self.folds)), **summary_numbers(genes, args.alpha)}
            if control == "none":
                # What new slides are predicted by, whose covariates nobody knows: the image alone.
                alone = self._cross_validated(values, None)
                genes["r2cv_image"] = alone.r2
                self.genes.append(genes)
                self._model(part, setting, names, values, genes, alone.penalty)
            self.summary.append({**row, **told})
            self.histograms.append(histogram(genes, control))
            message = "%s, control %s: %d of %d genes, median gain %.4f"
            log.info(message, setting, control, told["genes_found"], len(genes), told["delta_r2_median"])

    def _cross_validated(self, values: np.ndarray, covariates: np.ndarray | None) -> CrossValidated:
        """Named by the tissue alone, inner folds are the same for all its settings and sizes, as the donors allow."""
        return cross_validate(
            values, covariates, self.ranked, self.folds, self.side.donors,
            lambda fold: named_generator(self.args.seed, f"{self.tissue}.inner.{fold}"),
        )  # fmt: skip

    def _predicted(self, setting: str, values: np.ndarray) -> pd.DataFrame:
        """A row a gene; `r2cv_image` is left open."""
        side, of = self.side, self._cross_validated(values, self.covariates)
        everyone = np.ones(len(side.donors), bool)
        free, ridge = in_sample(values, self.covariates, self.ranked.scores(everyone), of.penalty)
        size, vectors = np.linalg.eigh(rotated_kernel(side.space, gram(standardise(values).unit)))
        log_p = log_p_ratio(ratios((side.space.rotation @ vectors).T @ side.genes.normal.unit, size), size)
        p = np.exp(log_p)
        columns = {
            "setting": setting, "gene": side.genes.id, "symbol": side.genes.symbol, "n": len(side.donors),
            "r_cv": of.r, "r2cv": of.r2, "r2cv_confounders": of.r2_confounders, "delta_r2": of.r2 - of.r2_confounders,
            "folds_better": of.folds_better, "r2cv_image": np.nan, "p": p, "nlog10p": -log_p / np.log(10),
            "q": bh(p), "penalty": PENALTIES[of.penalty], "r2_in_sample": ridge, "r2_least_squares": free,
            "r2cv_least_squares": of.r2_least_squares,
        }  # fmt: skip
        return pd.DataFrame(columns)[GENE_COLUMNS]

    def _model(
        self,
        part: Features,
        setting: str,
        names: np.ndarray,
        values: np.ndarray,
        genes: pd.DataFrame,
        penalty: np.ndarray,
    ) -> None:
        """Fit to all donors, and to all but each fold, and write."""
        args, side = self.args, self.side
        small = len(names) * len(genes) <= SMALL
        kept = np.flatnonzero(small | (genes["q"] <= args.alpha).to_numpy())
        if not len(kept):
            self.dropped.append((setting, "setting", f"no gene has q <= {args.alpha:g}: no model is kept"))
            return
        everyone = np.arange(len(side.donors))
        scores = self.ranked.scores(np.ones(len(everyone), bool), kept)
        whole = coefficients(values, scores, everyone, penalty[kept])
        strong = np.sort(np.argsort(-genes["nlog10p"].to_numpy()[kept], kind="stable")[:FOLD_GENES])
        folds = []
        for fold, train, _ in splits(self.folds, side.donors):
            inside = np.isin(everyone, train)
            scores = self.ranked.scores(inside, kept[strong])
            without = coefficients(values, scores, train, penalty[kept][strong])
            folds.append(fold_model(fold, strong, np.flatnonzero(without.use), without))
        origin = self.features.uns["encoders"][part.encoder]
        told = {name: str(origin.get(name, "")) for name in (*ORIGIN, "weights")} | {"encoder": part.encoder}
        told |= {"setting": setting, "tissue_id": self.tissue, "size": self.size, "aggregation": part.aggregation}
        told |= {"adjusted_for": side.numbers()["adjusted_for"], "donors": str(len(everyone))}
        told["transform"] = str(self.expression.uns.get("transform", ""))
        level, log2 = quantile_function(self.log2[:, kept])
        model = Model(
            told, names, whole.mean, whole.scale, side.genes.id[kept], side.genes.symbol[kept], whole.intercept,
            whole.beta, level, log2.astype(np.float32),
            {name: genes[name].to_numpy()[kept] for name in NUMBERS},
            float(distance(values, whole.mean, whole.scale).max()),
            np.array(sorted(donor_hash(donor) for donor in side.donors)), folds,
        )  # fmt: skip
        write_model(model, Path(args.outdir) / f"{setting}.model.h5")


def run(args: argparse.Namespace) -> None:
    """Read, work through the settings, write."""
    features, out = read_annotated(args.features), f"{args.outdir}/{args.setting_prefix}"
    work = Prediction(args, features, read_annotated(args.expression))
    if reason := too_few(features):
        log.warning("%s: %s: nothing is predicted", args.features.name, reason)
        work.dropped.append((args.setting_prefix, "size", f"not predicted: {reason}"))
    else:
        work.run()
    write_parquet(parquet_table(work.genes), f"{out}.prediction_genes.parquet")
    write_tsv(pd.DataFrame(work.summary, columns=SUMMARY), f"{out}.prediction_summary.tsv")
    top = [strongest(genes) for genes in work.genes]
    write_tsv(pd.concat(top) if top else pd.DataFrame(columns=GENE_COLUMNS), f"{out}.prediction_top.tsv")
    bins = pd.concat(work.histograms) if work.histograms else pd.DataFrame(columns=HISTOGRAM)
    write_tsv(bins, f"{out}.prediction_histogram.tsv")
    write_tsv(dropped_table(work.dropped, STAGE), f"{out}.{STAGE}.dropped.tsv")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add_sides(arguments)
    add_design(arguments)
    add("--cohort", type=Path, required=True, help="rows of cohort.tsv: folds, and strata of shuffle_within")
    told = "wrong_tissue has no rows here"
    add("--controls", type=control_list, default="shuffle_donors", help=f"of {', '.join(CONTROLS)}; {told}")
    add("--primary", default="256,retrained,mean", help="size,encoder,aggregation of the declared analysis")
    add("--settings", choices=["primary", "all"], default="primary", help="the declared analysis alone, or every one")
    add("--alpha", type=float, default=0.05, help="largest q of a gene that counts as found")
    add("--seed", type=int, default=1, help="seed of inner folds and controls")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if not 0 < args.alpha < 1 or args.threads < 1:
        arguments.error("--alpha lies between 0 and 1; --threads is at least 1")
    for path in (args.design, args.cohort):
        if path and not path.is_file():
            arguments.error(f"{path}: no such file")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
