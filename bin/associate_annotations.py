#!/usr/bin/env python3
"""Compare the image features of one tissue with labels of its donors: pathology, clinical columns, cell types.

Labels are the donor's columns of --table (age, sex, Hardy scale, clinical ones) and those of --annotations. Each
feature of each setting, rank-normal, is the response of a linear model of the label and the covariates of --design
(without those that are the label); q is Benjamini-Hochberg over labels x features of a setting. In the declared
setting each label is also predicted in donors left out, by the folds of --table, from the confounders, the image,
expression and both: AUROC of classes (the mean over levels), R2 of numbers, p by permuting the label. A label of fewer
than ten donors of a class, in one class, or in free text is listed with the reason, and not tested.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from threadpoolctl import threadpool_limits

from hx_annotation_files import log_ratios, read_annotations, read_fractions
from hx_annotation_fractions import FRACTIONS, gene_hits, label_hits
from hx_annotation_labels import LABELS, Label, clinical, confounders_of, label_of, labels_of, refused
from hx_annotation_predict import fold_fits, gain_p, permuted_score, scores
from hx_annotation_tables import PREDICTION, SUMMARY, TOP, Tested, parquet_table, prediction_rows, setting_tables
from hx_annotation_tests import against, feature_tests
from hx_arguments import add_design, add_sides
from hx_cli import Faults, command, log, parser
from hx_donors import (
    Features,
    factor_of,
    feature_settings,
    is_primary,
    named_generator,
    read_annotated,
    sides_of,
    too_few,
    usable,
)
from hx_expression import rank_inverse_normal
from hx_io import write_parquet, write_tsv
from hx_join import dropped_table, gathered
from hx_linear import ResidualSpace, standardise
from hx_predict import too_few_for_folds
from hx_rows import donor_folds, tissue_rows
from hx_variance import gram, permutations

STAGE = "associate_annotations"
KERNELS = ("image", "expression", "both")


class Annotated:
    """Works through the settings of a tissue and patch size; `run` fills the tables."""

    def __init__(self, args: argparse.Namespace, features: AnnData, expression: AnnData):
        self.args, self.features, self.expression = args, features, expression
        self.tissue, self.size = args.setting_prefix.rsplit(".", 1)
        self.rows: list[dict] = []
        self.pairs: list[pd.DataFrame] = []
        self.summary: list[pd.DataFrame] = []
        self.top: list[pd.DataFrame] = []
        self.prediction: list[dict] = []
        self.fractions: list[dict] = []
        self.dropped: list[tuple] = []

    def run(self) -> None:
        args = self.args
        self.side, lost = sides_of(args, self.features, self.expression)
        self.dropped += lost
        donors = self.side.donors
        self.folds = donor_folds(args.table, self.tissue, donors)
        self._read(donors)
        for part in feature_settings(self.features, donors, self.size, args.aggregations, args.features.name):
            self._setting(part)

    def _read(self, donors: np.ndarray) -> None:
        """Labels that can be tested, each with its confounders; a row for every label."""
        args, faults = self.args, Faults()
        cohort = tissue_rows(args.table, self.tissue).set_index("donor").loc[donors].rename_axis("donor").reset_index()
        made, rows = labels_of(clinical(cohort.set_index("donor")), "cohort")
        for path in args.annotations:
            with gathered(faults):
                read = read_annotations(path, cohort)
                more, left = labels_of(read.table, path.name)
                made, rows = made + more, rows + left + read.rows
                if not len(more) + len(left) + len(read.rows):
                    told = f"no row names a slide or donor of {self.tissue}, or no column is a label"
                    rows.append(refused(path.name, path.name, "", told, 0))
        self.ratios = None
        with gathered(faults):
            if args.cell_fractions:
                ratios, left = log_ratios(read_fractions(args.cell_fractions, cohort))
                rows += [refused(name, args.cell_fractions.name, "number", why, 0) for name, why in left]
                self.ratios = ratios.reindex(donors)
                for name in ratios:
                    column = self.ratios[name].rename(f"clr_{name}")
                    one = label_of(column, args.cell_fractions.name)
                    (made if isinstance(one, Label) else rows).append(one)
        faults.stop()
        self.labels: list[Tested] = []
        known: dict[str, Label] = {}
        spaces: dict[tuple, ResidualSpace] = {}  # of labels with the same donors and covariates, made once
        for label in made:
            if label.name in known:
                told = f"the same name as a label of {known[label.name].source}, which counts"
                rows.append(refused(label.name, label.source, label.kind, told, int(label.known.sum())))
                continue
            known[label.name] = label
            columns = confounders_of(label, self.side.design)
            covariates = self.side.design[columns].to_numpy() if columns else None
            key = (label.known.tobytes(), *columns)
            space = against(label, covariates, spaces.get(key))
            if isinstance(space, str):
                rows.append(refused(label.name, label.source, label.kind, space, int(label.known.sum())))
                continue
            spaces[key] = space.space
            adjusted = ";".join(sorted({factor_of(column) for column in columns}))
            self.labels.append(Tested(label, covariates, space, adjusted))
            rows.append(label.row())
        self.rows = sorted(rows, key=lambda row: (row["source"] != "cohort", row["source"], row["label"]))
        log.info("%s: %d of %d labels can be tested", args.setting_prefix, len(self.labels), len(rows))

    def _setting(self, part: Features) -> None:
        args = self.args
        setting = f"{args.setting_prefix}.{part.encoder}.{part.aggregation}"
        keep, lost, _ = usable(part.values, part.name, "feature", setting)
        self.dropped += lost
        if not keep.any() or not self.labels:
            log.warning("%s: no feature varies, or no label can be tested: nothing is", setting)
            return
        values, names = part.values[:, keep], part.name[keep]
        normal = rank_inverse_normal(values.T).T
        primary = is_primary(part, self.size, args.primary)
        row = {"setting": setting, "analysis": "primary" if primary else "exploratory", "alpha": args.alpha}
        order = named_generator(args.seed, f"{setting}.shuffle_donors").permutation(len(normal))
        for control, of in (("none", normal), ("shuffle_donors", normal[order])):
            tests = [feature_tests(of, tested.space) for tested in self.labels]
            tables = setting_tables(row | {"control": control}, self.labels, tests, names, of)
            self.summary.append(tables.summary)
            if control == "none":
                self.pairs.append(tables.pairs)
                self.top.append(tables.top)
            hits = int(tables.summary["hits"].sum())
            log.info("%s, control %s: %d hits of %d labels", setting, control, hits, len(self.labels))
        if primary:
            self._predict(setting, values)
            if self.ratios is not None:
                self._fractions(setting, values, normal)

    def _predict(self, setting: str, values: np.ndarray) -> None:
        """Held-out AUROC or R2 of every label; labels of the same donors and covariates share the fits."""
        image, expression = gram(standardise(values).unit), gram(self.side.genes.values)
        kernels = {"image": image / np.trace(image), "expression": expression / np.trace(expression)}
        kernels["both"] = (kernels["image"] + kernels["expression"]) / 2
        place: dict[tuple, list[int]] = {}
        for i, tested in enumerate(self.labels):
            place.setdefault((tested.label.known.tobytes(), tested.adjusted), []).append(i)
        rows: dict[int, list[dict]] = {}
        for same in place.values():
            known, covariates = self.labels[same[0]].label.known, self.labels[same[0]].covariates
            given = None if covariates is None else covariates[known]
            folds, donors = self.folds[known], self.side.donors[known]
            if reason := too_few_for_folds(folds, self.labels[same[0]].space.space.covariate_rank):
                for i in same:
                    rows[i] = prediction_rows(setting, self.labels[i], reason)
                continue
            inside = {name: kernel[np.ix_(known, known)] for name, kernel in kernels.items()}
            fits = {name: fold_fits(kernel, None, folds, donors) for name, kernel in inside.items()}
            fits["confounders"] = fold_fits(None, given, folds, donors)
            gained = {name: fold_fits(kernel, given, folds, donors) for name, kernel in inside.items()}
            for i in same:
                rows[i] = self._predicted(setting, self.labels[i], fits, gained, list(inside.values()), folds)
        self.prediction += [row for i in sorted(rows) for row in rows[i]]

    def _predicted(
        self, setting: str, tested: Tested, fits: dict, gained: dict, kernels: list[np.ndarray], folds: np.ndarray
    ) -> list[dict]:
        label, number = tested.label, self.args.permutations
        values, is_class = label.values[label.known], label.kind in ("binary", "levels")
        generator = named_generator(self.args.seed, f"{self.tissue}.{label.name}")
        orders = permutations(generator, number, len(values))
        told = {name: permuted_score(of, values, folds, is_class, orders) for name, of in fits.items()}
        beyond = {name: scores(of, values, folds, is_class) for name, of in gained.items()}
        space = tested.space
        p = gain_p(kernels, space.space, space.directions, permutations(generator, number, space.space.dim))
        gain = dict(zip(KERNELS, p, strict=True))
        return prediction_rows(setting, tested, "tested", told, beyond, gain, number, len(set(folds)))

    def _fractions(self, setting: str, values: np.ndarray, normal: np.ndarray) -> None:
        """Hits with and without the log-ratios as covariates, of labels and of genes."""
        have = self.ratios.notna().all(axis=1).to_numpy() & bool(self.ratios.shape[1])
        ratios = np.where(have[:, None], self.ratios.to_numpy(), 0)
        labels = [
            (Label(t.label.name, t.label.source, t.label.kind, t.label.values, t.label.known & have), t.covariates)
            for t in self.labels
            if t.label.source != self.args.cell_fractions.name
        ]
        covariates = None if self.side.design is None else self.side.design.to_numpy()[have]
        genes = self.side.genes.values[have]
        row = {"setting": setting, "n": int(have.sum()), "status": "tested"}
        if have.sum() < self.side.space.covariate_rank + 2 + ratios.shape[1]:
            self.fractions.append(row | {"test": "all", "status": "too few donors have fractions of cell types"})
            return
        kept = label_hits(normal, labels, ratios, self.args.alpha)
        self.fractions.append(row | {"test": "labels"} | kept._asdict())
        varying = usable(values[have], np.arange(values.shape[1]), "feature", setting)[0]
        found = gene_hits(values[have][:, varying], genes, covariates, ratios[have], self.args.alpha)
        more = {"status": found} if isinstance(found, str) else found._asdict()
        self.fractions.append(row | {"test": "genes"} | more)


def donor_values(labels: list[Tested], donors: np.ndarray) -> pd.DataFrame:
    """Column donor and one a label that is a single number (no levels); blank where it is not known."""
    columns = {
        tested.label.name: np.where(tested.label.known, tested.label.values[:, 0], np.nan)
        for tested in labels
        if tested.label.kind != "levels"
    }
    return pd.DataFrame({"donor": donors, **columns})


def run(args: argparse.Namespace) -> None:
    """Read, work through the settings, write."""
    features, out = read_annotated(args.features), f"{args.outdir}/{args.setting_prefix}"
    work = Annotated(args, features, read_annotated(args.expression))
    if reason := too_few(features):
        log.warning("%s: %s: nothing is tested", args.features.name, reason)
        work.dropped.append((args.setting_prefix, "size", f"no annotations: {reason}"))
        values = pd.DataFrame({"donor": []})
    else:
        work.run()
        values = donor_values(work.labels, work.side.donors)
    write_tsv(values, f"{out}.label_values.tsv")
    write_parquet(parquet_table(work.pairs), f"{out}.annotation_features.parquet")
    for name, rows, columns in (
        ("annotation_labels", work.rows, LABELS),
        ("annotation_prediction", work.prediction, PREDICTION),
        ("annotation_fractions", work.fractions, FRACTIONS),
    ):
        write_tsv(pd.DataFrame(rows, columns=columns), f"{out}.{name}.tsv")
    for name, parts, columns in (("annotation_summary", work.summary, SUMMARY), ("annotation_top", work.top, TOP)):
        write_tsv(pd.concat(parts) if parts else pd.DataFrame(columns=columns), f"{out}.{name}.tsv")
    write_tsv(dropped_table(work.dropped, STAGE), f"{out}.{STAGE}.dropped.tsv")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add_sides(arguments)
    add_design(arguments)
    add("--table", type=Path, required=True, help="rows of cohort.tsv of the tissue: folds and columns of the donors")
    told = "annotations.tsv, the portal's histology table, or tables with a column sample or donor"
    add("--annotations", type=Path, nargs="*", default=[], help=told)
    add("--cell-fractions", type=Path, help="fractions of cell types, a column each, by sample or donor")
    add("--primary", default="256,retrained,mean", help="size,encoder,aggregation whose labels are predicted")
    add("--permutations", type=int, default=999, help="of a label, for the p of its prediction")
    add("--alpha", type=float, default=0.05, help="largest q of a hit")
    add("--seed", type=int, default=1, help="seed of permutations and of the shuffled donors")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if not 0 < args.alpha < 1 or args.threads < 1 or args.permutations < 19:
        arguments.error("--alpha lies between 0 and 1; --threads is at least 1, --permutations 19")
    for path in (args.design, args.table, args.cell_fractions, *args.annotations):
        if path and not path.is_file():
            arguments.error(f"{path}: no such file")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
