#!/usr/bin/env python3
"""Associate every image feature with every gene of one tissue, for all encoders and aggregations of one patch size.

A setting is <prefix>.<encoder>.<aggregation>. Its r is the partial correlation over donors, given the covariates of
--design, of the feature with the gene's rank-inverse-normal values (layer `int`); p is the two-sided p of that r with
n - 2 - rank of the covariates degrees of freedom. beta, se and its 95 % interval come from the regression of the gene's
log2 values (X) on the feature and the covariates: log2 units per standard deviation of the feature. So r carries the
test and beta the size of the effect; beta / se is not the t behind p. gene_p combines all pairs of a gene (Cauchy
combination), gene_q is its Benjamini-Hochberg q; q_tree is the level at which a pair is found by testing genes first
and pairs within the genes found; q is Benjamini-Hochberg over all pairs. Both are empty past --alpha; --correction
says which decides what is a hit. A control is the same setting with its donors shuffled: it has rows in the summary and
the QQ points, none among the associations.
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

from hx_association import QQ, SUMMARY, Tested, associate_pairs, summary_numbers
from hx_association_tables import (
    ASSOCIATIONS,
    BENCHMARKS,
    GENES,
    association_table,
    best_pair,
    gene_table,
    qq_table,
)
from hx_best_pairs import benchmark_t, split_half_r
from hx_cli import comma_list, command, log, parser
from hx_controls import CONTROLS, control_list, shuffled, tissue_strata
from hx_donors import (
    MIN_DOF,
    PREFIX_HELP,
    Features,
    Genes,
    Side,
    common_donors,
    factor_of,
    feature_settings,
    is_primary,
    lost_donors,
    named_generator,
    read_annotated,
    read_design,
    setting_prefix,
    side_of,
    too_few,
    usable,
)
from hx_gene_lists import listed_genes
from hx_hidden import spaces
from hx_io import atomic, write_tsv
from hx_join import MIN_DONORS, dropped_table
from hx_linear import Standardised, carrying_columns, standardise
from hx_null import max_null, null_histograms
from hx_scan import Pairs

HIDDEN = ["setting", "factors", "of", "dof", "hits", "genes_found"]


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
        **dict.fromkeys(("pairs", "hits", "genes_with_hit"), 0),
        **numbers,
    }


def leave_out(args: argparse.Namespace, features: AnnData, reason: str) -> tuple[list[dict], list[tuple]]:
    """Summary and losses where too few donors have features."""
    log.warning("%s: %s: nothing is tested", args.features.name, reason)
    _, size = args.setting_prefix.rsplit(".", 1)
    parts = feature_settings(features, features.obs_names.to_numpy(), size, args.aggregations, args.features.name)
    summary = [summary_row(args, features, part, n=features.n_obs, features=0) for part in parts]
    return summary, [(args.setting_prefix, "size", reason)]


def stand(args: argparse.Namespace, side: Side, values: np.ndarray, pairs: Pairs) -> dict[str, np.ndarray]:
    """STANDING of the best pairs of some genes; `values` are the features before covariates are taken out."""
    matrix = None if side.design is None else side.design.to_numpy()
    chosen, n = side.genes.values[:, pairs.row], len(side.donors)
    halves = named_generator(args.seed, f"{args.setting_prefix}.halves").permutation(n) < n // 2
    found = {"r_split_half": split_half_r(chosen, values, matrix, halves)}
    for name, factor in BENCHMARKS.items():
        columns = [] if side.design is None else [c for c in side.design if factor_of(c) == factor]
        left = (
            benchmark_t(chosen, values[:, pairs.column], side.design, columns) if columns and len(pairs.r) else np.nan
        )
        found[name] = np.broadcast_to(left, len(pairs.r))
    return found


class Associations:
    """Tests every setting of a tissue and patch size and its controls; `run` fills the lists and writes the pairs."""

    def __init__(self, args: argparse.Namespace, features: AnnData, expression: AnnData, writers: Writers):
        self.args, self.features, self.expression, self.writers = args, features, expression, writers
        self.summary: list[dict] = []
        self.points: list[pd.DataFrame] = []
        self.hidden: list[dict] = []
        self.dropped: list[tuple] = []
        self.size = args.setting_prefix.rsplit(".", 1)[1]
        self.listed: np.ndarray | None = None

    def run(self) -> None:
        args, sides = self.args, (self.args.features.name, self.args.expression.name)
        self.design = read_design(args.design)
        donors = common_donors(self.features, self.expression, sides, self.design)
        self.side, self.dropped = side_of(self.expression, donors, self.design, (sides[1], args.setting_prefix))
        if args.genes:
            table = pd.DataFrame({"gene": self.side.genes.id, "symbol": self.side.genes.symbol})
            self.listed, unknown = listed_genes(table, str(args.genes))
            self.dropped += [(name, "gene", "on the list of --genes, not among the genes tested") for name in unknown]
        self.dropped += lost_donors(self.features, self.expression, donors, sides, args.design)
        # Donors without features were lost, and listed, when features were aggregated.
        log.info("%d donors of %s have no features in %s", len(self.expression) - len(donors), *sides[::-1])
        self.stratum, self.strata = tissue_strata(args.cohort, args.setting_prefix, donors)
        self.other, self.other_side = None, None
        if args.other_features and "wrong_tissue" in args.controls:
            self.other = read_annotated(args.other_features)
            both = donors[np.isin(donors, self.other.obs_names.to_numpy(dtype=object))]
            if len(both) < MIN_DONORS:
                log.warning("%s: %d of the donors: no wrong_tissue", args.other_features.name, len(both))
            else:
                names = args.expression.name, args.setting_prefix
                self.other_side, _ = side_of(self.expression, both, self.design, names)
        for part in feature_settings(self.features, donors, self.size, args.aggregations, sides[0]):
            self._setting(part)

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
        self._told(row, "none", side, names, tested, null=null, histograms=histograms)
        standing = partial(stand, args, side, values)
        strong = association_table(setting, side.genes, names, image, tested, args.alpha, null)
        self.writers.associations.write_table(strong)
        self.writers.genes.write_table(gene_table(setting, side.genes, names, image, tested, args.alpha, standing))
        if self.listed is not None:
            genes = side.genes.take(self.listed)
            family = self._tested(side, image, genes)
            self.writers.listed.write_table(gene_table(setting, genes, names, image, family, args.alpha, standing))
        for control in (name for name in CONTROLS if name in args.controls):
            self._control(control, part, row, names, values)
        if is_primary(part, self.size, args.primary):
            self._hidden_factors(setting, values)

    def _tested(self, side: Side, image: Standardised, genes: Genes | None = None) -> Tested:
        args, unit = self.args, (genes or side.genes).normal.unit
        return associate_pairs(
            unit, image.unit, side.space.dim - 1, args.alpha, args.correction, args.top, args.max_hits
        )

    def _told(self, row: dict, control: str, side: Side, names: np.ndarray, tested: Tested, **null: np.ndarray) -> None:
        setting = row["setting"]
        log.info("%s, control %s: %d hits of %d pairs", setting, control, len(tested.hits.r), tested.scan.pairs)
        numbers = summary_numbers(tested, self.args.alpha, **null) | best_pair(side.genes, names, tested)
        self.summary.append({**row, **side.numbers(), "control": control, "features": len(names), **numbers})
        self.points.append(qq_table(setting, control, tested, null.get("histograms")))

    def _control(self, control: str, part: Features, row: dict, names: np.ndarray, values: np.ndarray) -> None:
        """A row of the summary and QQ points for features that belong to someone else."""
        args, side = self.args, self.side
        if control == "wrong_tissue":
            if self.other_side is None or part.encoder not in set(self.other.var["encoder"]):
                return
            side, name = self.other_side, args.other_features.name
            found = feature_settings(self.other, side.donors, self.size, [part.aggregation], name)
            other = next(other for other in found if other.encoder == part.encoder)
            keep, _, _ = usable(other.values, other.name, "feature", name, side.space)
            names, values = other.name[keep], other.values[:, keep]
            row = row | {"strata": args.other_features.name.rsplit(".", 2)[0]}
        else:
            within = control == "shuffle_within"
            if within and not self.strata:
                log.warning("%s: no strata of enough donors: %s is left out", row["setting"], control)
                return
            stratum = self.stratum if within else np.zeros(len(values), np.int64)
            values = values[shuffled(args.seed, f"{row['setting']}.{control}", stratum)]
            row = row | {"strata": ";".join(self.strata) if within else ""}
        # Covariates are taken out of the features as they then stand.
        self._told(row, control, side, names, self._tested(side, standardise(values, side.space)))

    def _hidden_factors(self, setting: str, values: np.ndarray) -> None:
        side, args = self.side, self.args
        matrix = None if side.design is None else side.design.to_numpy()
        generator = named_generator(args.seed, f"{args.setting_prefix}.hidden")
        for k, what, space in spaces(matrix, side.genes.normal.unit, MIN_DOF, generator):
            where = carrying_columns(side.genes.values, space), carrying_columns(values, space)
            genes, image = (
                standardise(v[:, w], space) for v, w in zip((side.genes.values, values), where, strict=True)
            )
            tested = associate_pairs(genes.unit, image.unit, genes.dof, args.alpha, args.correction, 1, 1)
            row = {"setting": setting, "factors": k, "of": what, "dof": genes.dof, "hits": len(tested.hits.r)}
            self.hidden.append(row | {"genes_found": int(np.count_nonzero(tested.gene_q <= args.alpha))})


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--features", type=Path, required=True, help="<tissue_id>.<size>.h5ad of aggregate_features.py")
    add("--expression", type=Path, required=True, help="<tissue_id>.expression.h5ad of prepare_expression.py")
    add("--design", type=Path, help="<tissue_id>.<size>.design.tsv of adjust_confounders.py; none: no covariates")
    add("--setting-prefix", required=True, type=setting_prefix, help=PREFIX_HELP)
    add("--aggregations", type=comma_list, default="mean,median", help="mean (X) and layers of --features")
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
