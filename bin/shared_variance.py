#!/usr/bin/env python3
"""Variance that image features and expression of one tissue share, for all encoders and aggregations of one patch size.

A row is a setting in one direction (expression by image PCs, image by expression PCs), one scaling (covariance: log2
values and features as they are; standardised: rank-normal genes and features of one variance), before (adjusted = no)
and after the covariates of --design are taken out of both sides, on the same donors. `published` is the 2017 study's S
with its null mean beside it; `adjusted_share` is the calibrated one, with a grouped-jackknife interval and the p of
permutations in the residual space; `reml` needs no number of PCs. technical, shared and rest sum to 1. The expression
side of the primary setting, standardised and adjusted, is the one row that is not exploratory.

Where a tissue's patch sizes do not have the same donors, rows on those at every size (donors = every_size) stand beside
the others; what combine_scales.py compares, nulls and jackknife replicates, is of these.
"""

import argparse
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from threadpoolctl import threadpool_limits

from hx_arguments import add_design, add_sides
from hx_cli import DataError, command, log, parser
from hx_controls import CONTROLS, control_list, feature_orders, tissue_strata
from hx_donors import (
    Features,
    Genes,
    adjusted_for,
    common_donors,
    feature_settings,
    is_primary,
    lost_donors,
    named_generator,
    read_annotated,
    read_design,
    read_genes,
    space_of,
    too_few,
    usable,
)
from hx_io import write_parquet, write_tsv
from hx_join import MIN_DONORS, dropped_table
from hx_linear import standardise
from hx_shared import (
    DIRECTIONS,
    EXPRESSION,
    HEADLINE,
    SCALINGS,
    Columns,
    Frame,
    Rotated,
    curve,
    gene_numbers,
    replicate_shares,
    rotated,
    scaled,
    shared_numbers,
)
from hx_shared_tables import CURVE, GENES, JACKKNIFE, KEY, NULL, ROW, long_table
from hx_variance import jackknife_groups, permutations

STAGE = "shared_variance"
ALL, EVERY_SIZE = "all", "every_size"


class Cohort(NamedTuple):
    """Some donors: frames before (no) and after (yes) adjustment, their genes, each scaling of these in each frame."""

    label: str
    donors: np.ndarray
    frames: dict[str, Frame]
    genes: Genes
    columns: dict[str, Columns]
    sides: dict[tuple[str, str], Rotated]


class SharedVariance:
    """Works through every setting of a tissue and patch size; `run` fills the tables."""

    def __init__(self, args: argparse.Namespace, features: AnnData, expression: AnnData):
        self.args, self.features, self.expression = args, features, expression
        self.tissue, self.size = args.setting_prefix.rsplit(".", 1)
        self.rows: list[dict] = []
        self.curve: list[dict] = []
        self.genes = pd.DataFrame(columns=GENES)
        self.nulls: list[dict] = []
        self.replicates: list[dict] = []
        self.dropped: list[tuple] = []

    def run(self) -> None:
        args, names = self.args, (self.args.features.name, self.args.expression.name)
        self.design = read_design(args.design)
        donors = common_donors(self.features, self.expression, names, self.design)
        self.dropped += lost_donors(self.features, self.expression, donors, names, args.design)
        # Without covariates there is nothing to adjust for: rows before adjustment alone.
        self.adjusted = "yes" if self.design is not None and self.design.shape[1] else "no"
        stratum, strata = tissue_strata(args.cohort, args.setting_prefix, donors)
        everywhere = self.at_every_size(donors)
        cohorts = [self.cohort(ALL, donors)]
        if len(everywhere) < len(donors):
            cohorts += self.compared(everywhere)
        for cohort in cohorts:
            for part in feature_settings(self.features, cohort.donors, self.size, args.aggregations, names[0]):
                self._setting(cohort, part, cohort is cohorts[-1], stratum, strata)

    def at_every_size(self, donors: np.ndarray) -> np.ndarray:
        """The donors that have features at every patch size of the run; all, where the file does not tell."""
        if "at_every_size" not in self.features.obs:
            return donors
        return donors[self.features.obs.loc[donors, "at_every_size"].to_numpy(bool)]

    def compared(self, donors: np.ndarray) -> list[Cohort]:
        """Donors on whom patch sizes are compared; none, with a row in the losses, where they are too few."""
        try:
            if len(donors) < MIN_DONORS:
                raise DataError(f"{len(donors)} donors have features at every size, at least {MIN_DONORS} are needed")
            return [self.cohort(EVERY_SIZE, donors)]
        except DataError as error:
            reason = f"{error}: patch sizes are compared on the donors that each has"
            self.dropped.append((self.args.setting_prefix, "size", reason))
            return []

    def cohort(self, label: str, donors: np.ndarray) -> Cohort:
        args, frames = self.args, {}
        groups = jackknife_groups(named_generator(args.seed, f"{self.tissue}.jackknife"), len(donors))
        for adjusted, design in {"no": None, self.adjusted: self.design}.items():
            design = design if adjusted == "yes" else None
            space = space_of(design, donors, args.setting_prefix)
            # Named by the tissue alone: the same permutations and groups for all its settings, at every patch size.
            orders = permutations(named_generator(args.seed, f"{self.tissue}.orders"), args.permutations, space.dim)
            frames[adjusted] = Frame(space, orders, groups)
        genes, lost = read_genes(self.expression, donors, args.expression.name)
        if label == ALL:
            self.dropped += lost
        columns = {
            scaling: scaled(genes.log2 if scaling == "covariance" else genes.normal, scaling) for scaling in SCALINGS
        }
        sides = self._rotated(columns, frames, f"{self.tissue}.{label}")
        if len(sides) < len(frames) * len(SCALINGS):
            raise DataError(f"{args.expression.name}: the covariates of {args.design} leave nothing of its genes")
        return Cohort(label, donors, frames, genes, columns, sides)

    def _rotated(
        self, columns: dict[str, Columns], frames: dict[str, Frame], name: str
    ) -> dict[tuple[str, str], Rotated]:
        """{(scaling, adjusted): columns in that frame}, without those of which nothing is left."""
        sides = {}
        for scaling, part in columns.items():
            for adjusted, frame in frames.items():
                generator = named_generator(self.args.seed, f"{name}.{scaling}.{adjusted}.noise")
                if (side := rotated(part, frame, generator)) is not None:
                    sides[scaling, adjusted] = side
        return sides

    def _setting(self, cohort: Cohort, part: Features, compared: bool, stratum: np.ndarray, strata: list[str]) -> None:
        args = self.args
        setting = f"{args.setting_prefix}.{part.encoder}.{part.aggregation}"
        keep, lost, _ = usable(part.values, part.name, "feature", setting)
        if cohort.label == ALL:
            self.dropped += lost
        if not keep.any():
            log.warning("%s: none of %d features varies: no row", setting, len(part.name))
            return
        declared = cohort.label == ALL and is_primary(part, self.size, args.primary)
        place = {"setting": setting, "tissue_id": self.tissue, "size": self.size, "encoder": part.encoder}
        place |= {"aggregation": part.aggregation, "donors": cohort.label, "features": int(keep.sum())}
        place |= {"weights": self.features.uns["encoders"][part.encoder]["weights"], "genes": len(cohort.genes.id)}
        values = part.values[:, keep]
        # Controls are of all donors alone.
        wanted, stratum = (args.controls, stratum) if cohort.label == ALL else ([], np.zeros(len(values), int))
        for control, order in feature_orders(wanted, args.seed, setting, stratum, strata):
            of = standardise(values[order])
            sides = self._rotated({s: scaled(of, s) for s in SCALINGS}, cohort.frames, f"{setting}.{control}")
            if len(sides) < len(cohort.sides) and control == "none":
                reason = "the covariates leave nothing of its features: no row after adjustment"
                self.dropped.append((setting, "setting", reason))
            for (scaling, adjusted), image in sides.items():
                kind = {"control": control, "scaling": scaling, "adjusted": adjusted}
                self._rows(cohort, place | kind, image, declared, compared)
            if control == "none" and declared and len(sides) == len(cohort.sides):
                self.genes = gene_numbers(cohort.genes, cohort.frames, cohort.sides, sides).assign(setting=setting)
        log.info("%s, %s donors: %d PCs above noise", setting, len(cohort.donors), self.rows[-1]["components_parallel"])

    def _rows(self, cohort: Cohort, place: dict, image: Rotated, declared: bool, compared: bool) -> None:
        """Both directions of a setting in one scaling and frame; nulls and replicates of what is compared."""
        scaling, adjusted, real = place["scaling"], place["adjusted"], place["control"] == "none"
        frame, expression = cohort.frames[adjusted], cohort.sides[scaling, adjusted]
        space = frame.space
        fixed = {"n": len(cohort.donors), "dim": space.dim, "covariate_rank": space.covariate_rank}
        told = adjusted_for(self.design if adjusted == "yes" else None)
        fixed |= {"adjusted_for": told, "donors_hash": donors_hash(cohort.donors)}
        for direction in DIRECTIONS:
            target, predictor = (expression, image) if direction == EXPRESSION else (image, expression)
            where = place | {"direction": direction}
            name = ".".join(str(where[k]) for k in (*KEY, "control", "donors"))
            generator = named_generator(self.args.seed, f"{name}.reml")
            numbers, null = shared_numbers(target, predictor, frame, self.args.variance, generator)
            primary = declared and real and (direction, scaling, adjusted) == (EXPRESSION, HEADLINE, self.adjusted)
            self.rows.append(where | fixed | numbers | {"analysis": "primary" if primary else "exploratory"})
            self.curve += [where | point for point in curve(target, predictor, space.dim)]
            if compared and real:
                self.nulls.append(where | {"z": null})
                shares = replicate_shares(target, predictor, space.dim)
                self.replicates.append(where | {"adjusted_share": shares})


def donors_hash(donors: np.ndarray) -> str:
    """Twelve hexadecimal digits that tell whether two rows are of the same donors."""
    return sha256("\n".join(donors).encode()).hexdigest()[:12]


def run(args: argparse.Namespace) -> None:
    """Read, work through the settings, write."""
    features, out = read_annotated(args.features), f"{args.outdir}/{args.setting_prefix}"
    work = SharedVariance(args, features, read_annotated(args.expression))
    if reason := too_few(features):
        log.warning("%s: %s: no row", args.features.name, reason)
        work.dropped.append((args.setting_prefix, "size", reason))
    else:
        work.run()
    write_tsv(pd.DataFrame(work.rows, columns=ROW), f"{out}.shared_variance.tsv")
    write_tsv(pd.DataFrame(work.curve, columns=CURVE), f"{out}.shared_variance_curve.tsv")
    write_tsv(work.genes[GENES], f"{out}.shared_variance_genes.tsv")
    write_parquet(long_table(work.nulls, NULL), f"{out}.shared_variance_null.parquet")
    write_parquet(long_table(work.replicates, JACKKNIFE), f"{out}.shared_variance_jackknife.parquet")
    write_tsv(dropped_table(work.dropped, STAGE), f"{out}.{STAGE}.dropped.tsv")


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add_sides(arguments)
    add_design(arguments)
    told = "wrong_tissue has no rows here"
    add("--controls", type=control_list, default="shuffle_donors", help=f"of {', '.join(CONTROLS)}; {told}")
    add("--cohort", type=Path, help="rows of cohort.tsv: strata of shuffle_within")
    add("--primary", default="256,retrained,mean", help="size,encoder,aggregation of the declared analysis")
    add("--variance", type=float, default=0.999, help="share of variance whose PCs the published S takes")
    add("--permutations", type=int, default=1000, help="of the donors' coordinates, for p")
    add("--seed", type=int, default=1, help="seed of permutations, groups, controls and noise")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if not 0 < args.variance < 1 or args.permutations < 19 or args.threads < 1:
        arguments.error("--variance lies between 0 and 1; --permutations is at least 19, --threads 1")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
