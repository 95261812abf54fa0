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

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from anndata import AnnData
from threadpoolctl import threadpool_limits

from hx_association import QQ, SUMMARY, Tested, associate_pairs, best_of_genes, qq_points, summary_numbers
from hx_association_tables import ASSOCIATIONS, BENCHMARKS, GENES, association_table, gene_table
from hx_best_pairs import benchmark_t, split_half_r
from hx_cli import comma_list, command, log, parser, preview
from hx_donors import (
    Features,
    Genes,
    common_donors,
    factor_of,
    feature_settings,
    named_generator,
    read_annotated,
    read_design,
    read_genes,
    shuffled_donors,
    space_of,
    usable,
)
from hx_io import atomic, write_tsv
from hx_join import MIN_DONORS, dropped_table
from hx_linear import standardise
from hx_scan import Pairs

CONTROLS = ["none", "shuffle_donors"]


def best_pair(genes: Genes, names: np.ndarray, tested: Tested) -> dict[str, object]:
    """The pair of largest |r| of a setting; of equal ones the first gene's."""
    best, numbers = best_of_genes(tested, len(genes.id))
    first = int(np.argmax(np.round(np.abs(best.r), 12)))
    return {
        "best_feature": names[best.column[first]],
        "best_gene": genes.id[best.row[first]],
        "best_symbol": genes.symbol[best.row[first]],
        "best_r": best.r[first],
        "best_p": numbers["p"][first],
        "best_nlog10p": numbers["nlog10p"][first],
    }


def qq_table(setting: str, control: str, tested: Tested) -> pd.DataFrame:
    """Points of the QQ plot of a setting."""
    rank, expected, observed = qq_points(tested)
    columns = {"rank": rank, "expected_nlog10p": expected, "observed_nlog10p": observed}
    return pd.DataFrame({"setting": setting, "control": control, **columns})


def run(args: argparse.Namespace) -> None:
    """Read, test every setting and its controls, write."""
    features, expression = read_annotated(args.features), read_annotated(args.expression)
    out = f"{args.outdir}/{args.setting_prefix}"
    with contextlib.ExitStack() as stack:
        writers = []
        for name, schema in (("associations", ASSOCIATIONS), ("association_genes", GENES)):
            path = stack.enter_context(atomic(f"{out}.{name}.parquet"))
            writers.append(stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd")))
        if features.n_obs < MIN_DONORS:
            summary, points, dropped = leave_out(args, features)
        else:
            summary, points, dropped = associate_all(args, features, expression, writers)
    write_tsv(pd.DataFrame(summary, columns=SUMMARY), f"{out}.association_summary.tsv")
    write_tsv(pd.concat(points) if points else pd.DataFrame(columns=QQ), f"{out}.association_qq.tsv")
    write_tsv(dropped_table(dropped, "associate"), f"{out}.associate.dropped.tsv")


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
        **dict.fromkeys(("pairs", "hits", "genes_with_hit"), 0),
        **numbers,
    }


def leave_out(args: argparse.Namespace, features: AnnData) -> tuple[list[dict], list[pd.DataFrame], list[tuple]]:
    """Summary, QQ points and losses where too few donors have features: slides too small for the patch size, say."""
    reason = f"{features.n_obs} donors have features, at least {MIN_DONORS} are needed"
    log.warning("%s: %s: nothing is tested", args.features.name, reason)
    _, size = args.setting_prefix.rsplit(".", 1)
    parts = feature_settings(features, features.obs_names.to_numpy(), size, args.aggregations, args.features.name)
    summary = [summary_row(args, features, part, n=features.n_obs, features=0) for part in parts]
    return summary, [], [(args.setting_prefix, "size", reason)]


def stand(
    args: argparse.Namespace,
    donors: np.ndarray,
    design: pd.DataFrame | None,
    genes: Genes,
    values: np.ndarray,
    pairs: Pairs,
) -> dict[str, np.ndarray]:
    """STANDING of the best pairs of some genes; `values` are the features before covariates are taken out."""
    covariates = None if design is None else design.loc[donors]
    matrix = None if covariates is None else covariates.to_numpy()
    chosen = genes.values[:, pairs.row]
    halves = named_generator(args.seed, f"{args.setting_prefix}.halves").permutation(len(donors)) < len(donors) // 2
    found = {"r_split_half": split_half_r(chosen, values, matrix, halves)}
    for name, factor in BENCHMARKS.items():
        columns = [] if covariates is None else [c for c in covariates if factor_of(c) == factor]
        left = benchmark_t(chosen, values[:, pairs.column], covariates, columns) if columns and len(pairs.r) else np.nan
        found[name] = np.broadcast_to(left, len(pairs.r))
    return found


def associate_all(
    args: argparse.Namespace, features: AnnData, expression: AnnData, writers: list[pq.ParquetWriter]
) -> tuple[list[dict], list[pd.DataFrame], list[tuple]]:
    """Test every setting, write its associations and genes; return summary, QQ points and losses."""
    sides = (args.features.name, args.expression.name)
    design = read_design(args.design)
    donors = common_donors(features, expression, sides, design)
    space = space_of(design, donors, args.setting_prefix)
    genes, dropped = read_genes(expression, donors, sides[1], space)
    dof = genes.normal.dof
    fixed = {"n": len(donors), "dof": dof, "genes": len(genes.id), "genes_dropped": len(dropped)}
    fixed["adjusted_for"] = ";".join([] if design is None else sorted({factor_of(name) for name in design}))
    lost = sorted(set(features.obs_names) - set(donors))
    known = set(expression.obs_names)
    why = {True: f"not among the donors of {args.design and args.design.name}", False: f"not in {sides[1]}"}
    dropped += [(donor, "donor", f"in {sides[0]}, {why[donor in known]}") for donor in lost]
    # Donors without features were lost, and listed, when features were aggregated.
    log.info("%d donors of %s have no features in %s", len(expression) - len(donors), *sides[::-1])
    summary, points = [], []
    _, size = args.setting_prefix.rsplit(".", 1)
    for part in feature_settings(features, donors, size, args.aggregations, sides[0]):
        row = summary_row(args, features, part, **fixed)
        setting = row["setting"]
        keep, lost, constant = usable(part.values, part.name, "feature", setting, space)
        dropped += lost
        names = part.name[keep]
        row |= {"features": len(names), "dead_features": constant, "invalid_features": len(lost) - constant}
        if not len(names):
            log.warning("%s: none of %d features varies: nothing is tested", setting, len(part.name))
            summary.append(row)
            continue
        values = part.values[:, keep]
        for control in dict.fromkeys(["none", *args.controls]):
            order = slice(None)
            if control == "shuffle_donors":
                order = shuffled_donors(args.seed, f"{setting}.{control}", len(donors))
            # Covariates are taken out of the features as they then stand.
            image = standardise(values[order], space)
            tested = associate_pairs(
                genes.normal.unit, image.unit, dof, args.alpha, args.correction, args.top, args.max_hits
            )
            log.info("%s, control %s: %d hits of %d pairs", setting, control, len(tested.hits.r), tested.scan.pairs)
            numbers = {**summary_numbers(tested, args.alpha), **best_pair(genes, names, tested)}
            summary.append({**row, "control": control, **numbers})
            points.append(qq_table(setting, control, tested))
            if control == "none":
                standing = partial(stand, args, donors, design, genes, values)
                writers[0].write_table(association_table(setting, genes, names, image, tested, args.alpha))
                writers[1].write_table(gene_table(setting, genes, names, image, tested, args.alpha, standing))
    return summary, points, dropped


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--features", type=Path, required=True, help="<tissue_id>.<size>.h5ad of aggregate_features.py")
    add("--expression", type=Path, required=True, help="<tissue_id>.expression.h5ad of prepare_expression.py")
    add("--design", type=Path, help="<tissue_id>.<size>.design.tsv of adjust_confounders.py; none: no covariates")
    add("--setting-prefix", required=True, help="<tissue_id>.<size>; size `-` for a feature table")
    add("--aggregations", type=comma_list, default="mean,median", help="mean (X) and layers of --features")
    add("--controls", type=comma_list, default="shuffle_donors", help=f"of {', '.join(CONTROLS)}")
    told = "decides the hits: genes, then their pairs; or over all pairs of a setting"
    add("--correction", choices=["tree", "bh", "bonferroni"], default="tree", help=told)
    add("--alpha", type=float, default=0.05, help="level of --correction, and largest q and q_tree that are written")
    add("--top", type=int, default=5, help="pairs stored for each gene and for each feature, hits or not")
    add("--max-hits", type=int, default=1_000_000, help="hits stored in a setting, the strongest; all are counted")
    add("--seed", type=int, default=1, help="seed of the controls")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    unknown = sorted(set(args.controls) - set(CONTROLS))
    if unknown:
        arguments.error(f"--controls {preview(unknown)}: choose from {', '.join(CONTROLS)}")
    if not 0 < args.alpha < 1 or args.top < 1 or args.max_hits < 1 or args.threads < 1:
        arguments.error("--alpha lies between 0 and 1; --top, --max-hits and --threads are at least 1")
    if "." not in args.setting_prefix:
        arguments.error(f"--setting-prefix {args.setting_prefix}: <tissue_id>.<size> is expected")
    with threadpool_limits(args.threads):
        run(args)


if __name__ == "__main__":
    sys.exit(main())
