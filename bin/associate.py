#!/usr/bin/env python3
"""Associate every image feature with every gene of one tissue, for all encoders and aggregations of one patch size.

A setting is <prefix>.<encoder>.<aggregation>. Its r is the partial correlation over donors, given the covariates of
--design, of the feature with the gene's rank-inverse-normal values (layer `int`); p is the two-sided p of that r with
n - 2 - rank of the covariates degrees of freedom. beta, se and its 95 % interval come from the regression of the gene's
log2 values (X) on the feature and the covariates: log2 units per standard deviation of the feature. So r carries the
test and beta the size of the effect; beta / se is not the t behind p. gene_p combines all pairs of a gene (Cauchy
combination), gene_q is its Benjamini-Hochberg q; q_tree is the level at which a pair is found by testing genes first
and pairs within the genes found; q is Benjamini-Hochberg over all pairs. Both are empty past --alpha; --correction
says which decides what is a hit. A control is the same setting with features of the wrong donors: it has rows in the
summary, the QQ points and the pairs of principal components, none among the associations. With shuffle_within go the
real features and the shuffled ones without covariates: the adjustment takes out what the strata hold.
"""

import argparse
import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from anndata import AnnData
from threadpoolctl import threadpool_limits

from hx_arguments import add_design, add_sides
from hx_association import QQ, SUMMARY, Tested, associate_pairs, summary_numbers
from hx_association_tables import (
    ASSOCIATIONS,
    GENES,
    TOP_HITS,
    association_table,
    best_pair,
    gene_table,
    qq_table,
    top_hits_table,
)
from hx_best_pairs import standing
from hx_cli import command, log, parser
from hx_controls import CONTROLS, Controls, Given, control_list, other_tissue, tissue_strata
from hx_donors import (
    Features,
    Genes,
    Side,
    common_donors,
    feature_settings,
    is_primary,
    lost_donors,
    named_generator,
    read_annotated,
    read_design,
    side_of,
    too_few,
    usable,
)
from hx_gene_lists import listed_genes
from hx_hidden import HIDDEN, hidden_rows
from hx_io import atomic, write_tsv
from hx_join import dropped_table
from hx_linear import Standardised, standardise
from hx_null import max_null, null_histograms
from hx_pc_pairs import PcPairs


class Writers(NamedTuple):
    """Where the tables of the settings go; listed: of the genes of --genes, None where there are none."""

    associations: pq.ParquetWriter
    genes: pq.ParquetWriter
    listed: pq.ParquetWriter | None = None


def run(args: argparse.Namespace) -> None:
    """Read, test every setting and its controls, write."""
    features, expression = read_annotated(args.features), read_annotated(args.expression)
    out = f"{args.outdir}/{args.setting_prefix}"
    with contextlib.ExitStack() as stack:
        parts = []
        kinds = {"associations": ASSOCIATIONS, "association_genes": GENES}
        kinds |= {"listed_genes": GENES} if args.genes else {}
        for name, schema in kinds.items():
            path = stack.enter_context(atomic(f"{out}.{name}.parquet"))
            parts.append(stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd")))
        work = Associations(args, features, expression, Writers(*parts))
        if reason := too_few(features):
            work.summary, work.dropped = leave_out(args, features, reason)
        else:
            work.run()
    write_tsv(pd.DataFrame(work.summary, columns=SUMMARY), f"{out}.association_summary.tsv")
    write_tsv(pd.concat(work.points) if work.points else pd.DataFrame(columns=QQ), f"{out}.association_qq.tsv")
    write_tsv(pd.DataFrame(work.hidden, columns=HIDDEN), f"{out}.hidden_factors.tsv")
    hits = pd.concat(work.top_hits) if work.top_hits else pd.DataFrame(columns=TOP_HITS)
    write_tsv(hits, f"{out}.top_hits.tsv")
    write_tsv(work.pcs.table(), f"{out}.pc_associations.tsv")
    write_tsv(dropped_table(work.dropped, "associate"), f"{out}.associate.dropped.tsv")


def summary_row(args: argparse.Namespace, image: AnnData, part: Features, **numbers: object) -> dict[str, object]:
    """What a row of the summary says before anything is tested; `pairs` 0 stays where nothing is."""
    tissue_id, size = args.setting_prefix.rsplit(".", 1)
    return {
        "setting": f"{args.setting_prefix}.{part.encoder}.{part.aggregation}",
        "control": "none",
        "tissue_id": tissue_id,
        "size": size,
        "encoder": part.encoder,
        "aggregation": part.aggregation,
        "weights": image.uns["encoders"][part.encoder]["weights"],
        "correction": args.correction,
        "alpha": args.alpha,
        "strata": "",
        **dict.fromkeys(("pairs", "hits", "genes_with_hit", "listed_genes", "listed_found", "listed_hits"), 0),
        **numbers,
    }


def leave_out(args: argparse.Namespace, features: AnnData, reason: str) -> tuple[list[dict], list[tuple]]:
    """Summary and losses where too few donors have features."""
    log.warning("%s: %s: nothing is tested", args.features.name, reason)
    _, size = args.setting_prefix.rsplit(".", 1)
    parts = feature_settings(features, features.obs_names.to_numpy(), size, args.aggregations, args.features.name)
    summary = [summary_row(args, features, part, n=features.n_obs, features=0) for part in parts]
    return summary, [(args.setting_prefix, "size", reason)]


class Associations:
    """Tests every setting of a tissue and patch size and its controls; `run` fills the lists and writes the pairs."""

    def __init__(self, args: argparse.Namespace, features: AnnData, expression: AnnData, writers: Writers):
        self.args, self.features, self.expression, self.writers = args, features, expression, writers
        self.summary: list[dict] = []
        self.points: list[pd.DataFrame] = []
        self.hidden: list[dict] = []
        self.top_hits: list[pd.DataFrame] = []
        self.dropped: list[tuple] = []
        self.size = args.setting_prefix.rsplit(".", 1)[1]
        self.listed: list[str] = []  # ids of the genes of --genes
        self.pcs = PcPairs(args.setting_prefix, args.seed, args.alpha)

    def run(self) -> None:
        args, sides = self.args, (self.args.features.name, self.args.expression.name)
        self.design = read_design(args.design)
        donors = common_donors(self.features, self.expression, sides, self.design)
        self.side, self.dropped = side_of(self.expression, donors, self.design, (sides[1], args.setting_prefix))
        if args.genes:
            table = pd.DataFrame({"gene": self.side.genes.id, "symbol": self.side.genes.symbol})
            listed, unknown = listed_genes(table, str(args.genes))
            self.listed = list(self.side.genes.id[listed])
            self.dropped += [(name, "gene", "on the list of --genes, not among the genes tested") for name in unknown]
        self.dropped += lost_donors(self.features, self.expression, donors, sides, args.design)
        # Donors without features were lost, and listed, when features were aggregated.
        log.info("%d donors of %s have no features in %s", len(self.expression) - len(donors), *sides[::-1])
        self.controls = self._control_sides()
        half = named_generator(args.seed, f"{args.setting_prefix}.halves").permutation(len(donors))
        self.halves = half < len(donors) // 2
        for part in feature_settings(self.features, donors, self.size, args.aggregations, sides[0]):
            self._setting(part)

    def _control_sides(self) -> Controls:
        """What the controls need beside the setting: genes without covariates, features of the other tissue."""
        args, donors = self.args, self.side.donors
        names, other, unadjusted = (args.expression.name, args.setting_prefix), (), None
        if "shuffle_within" in args.controls and self.side.space.covariate_rank:
            unadjusted, _ = side_of(self.expression, donors, None, names)
        if args.other_features and "wrong_tissue" in args.controls:
            other = other_tissue(args.other_features, self.expression, donors, self.design, names)
        strata = tissue_strata(args.cohort, args.setting_prefix, donors)
        return Controls(args.controls, args.seed, *strata, unadjusted, *other)

    def _setting(self, part: Features) -> None:
        side, args = self.side, self.args
        row = summary_row(args, self.features, part, **side.numbers())
        setting = row["setting"]
        keep, lost, constant = usable(part.values, part.name, "feature", setting, side.space)
        self.dropped += lost
        names, values = part.name[keep], part.values[:, keep]
        row |= {"features": len(names), "dead_features": constant, "invalid_features": len(lost) - constant}
        if not len(names):
            log.warning("%s: none of %d features varies: nothing is tested", setting, len(part.name))
            self.summary.append(row)
            return
        image = standardise(values, side.space)
        tested = self._tested(side, image)
        generator = named_generator(args.seed, f"{setting}.null")
        null = max_null(side.genes.normal.unit, image.unit, side.space, generator, args.permutations)
        histograms = null_histograms(side.genes.normal.unit, image.unit, side.space, generator)
        self._told(row, Given("none", side, names, values, ""), image, tested, null=null, histograms=histograms)
        count = self.pcs.add(setting, "none", side, image)
        told = partial(standing, side, values, self.halves)
        strong = association_table(setting, side.genes, names, image, tested, args.alpha, null)
        self.writers.associations.write_table(strong)
        self.writers.genes.write_table(gene_table(setting, side.genes, names, image, tested, args.alpha, told))
        if self.writers.listed:
            genes = side.genes.take(np.isin(side.genes.id, self.listed))
            family = self._tested(side, image, genes)
            self.writers.listed.write_table(gene_table(setting, genes, names, image, family, args.alpha, told))
        for given in self.controls.of(setting, part, side, names, values):
            # Covariates are taken out of the features as they then stand.
            image_given = standardise(given.values, given.side.space)
            self._told(row, given, image_given, self._tested(given.side, image_given))
            if given.control in CONTROLS:
                self.pcs.add(setting, given.control, given.side, image_given, count)
        if is_primary(part, self.size, args.primary):
            self.top_hits.append(top_hits_table(setting, side, names, image, tested, args.alpha, told))
            generator = named_generator(args.seed, f"{args.setting_prefix}.hidden")
            self.hidden += hidden_rows(setting, side, values, args.alpha, args.correction, generator)

    def _tested(self, side: Side, image: Standardised, genes: Genes | None = None) -> Tested:
        args, unit = self.args, (genes or side.genes).normal.unit
        return associate_pairs(
            unit, image.unit, side.space.dim - 1, args.alpha, args.correction, args.top, args.max_hits
        )

    def _told(self, row: dict, given: Given, image: Standardised, tested: Tested, **null: np.ndarray) -> None:
        """Row of the summary and QQ points of a setting or of a control of it."""
        args, setting, side = self.args, row["setting"], given.side
        log.info("%s, control %s: %d hits of %d pairs", setting, given.control, len(tested.hits.r), tested.scan.pairs)
        numbers = summary_numbers(tested, args.alpha, **null) | best_pair(side.genes, given.name, tested)
        numbers |= {"control": given.control, "strata": given.strata, "features": len(given.name)}
        self.summary.append(row | side.numbers() | numbers | self._listed_numbers(side, image))
        if given.control in ("none", *CONTROLS):
            self.points.append(qq_table(setting, given.control, tested, null.get("histograms")))

    def _listed_numbers(self, side: Side, image: Standardised) -> dict[str, int]:
        """What the family of --genes finds; a control has it, too."""
        where = np.isin(side.genes.id, self.listed)
        if not where.any():
            return dict.fromkeys(("listed_genes", "listed_found", "listed_hits"), 0)
        family = self._tested(side, image, side.genes.take(where))
        found = int(np.count_nonzero(family.gene_q <= self.args.alpha))
        return {"listed_genes": int(where.sum()), "listed_found": found, "listed_hits": len(family.hits.r)}


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add_sides(arguments)
    add_design(arguments)
    add("--controls", type=control_list, default="shuffle_donors", help=f"of {', '.join(CONTROLS)}")
    add(
        "--cohort",
        type=Path,
        help="rows of cohort.tsv with centre, Hardy scale and ischaemia: strata of shuffle_within",
    )
    add("--other-features", type=Path, help="<other tissue_id>.<size>.h5ad: the features of wrong_tissue")
    add("--genes", type=Path, help="text file: ids or symbols of genes that are a family of their own, one a line")
    add("--primary", default="", help="size,encoder,aggregation of the declared analysis: has the hidden-factor series")
    add("--permutations", type=int, default=0, help="for family-wise p of the largest |r| of a setting; 0: none")
    told = "decides the hits: genes, then their pairs; or over all pairs of a setting"
    add("--correction", choices=["tree", "bh", "bonferroni"], default="tree", help=told)
    add("--alpha", type=float, default=0.05, help="level of --correction, and largest q and q_tree that are written")
    add("--top", type=int, default=5, help="pairs stored for each gene and for each feature, hits or not")
    add("--max-hits", type=int, default=1_000_000, help="hits stored in a setting, the strongest; all are counted")
    add("--seed", type=int, default=1, help="seed of the controls")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if not 0 < args.alpha < 1 or args.top < 1 or args.max_hits < 1 or args.threads < 1 or args.permutations < 0:
        arguments.error("--alpha lies between 0 and 1; --top, --max-hits, --threads are at least 1, --permutations 0")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
