#!/usr/bin/env python3
"""Associate every image feature with every gene of one tissue, for all encoders and aggregations of one patch size.

A setting is <prefix>.<encoder>.<aggregation>. Its r is the correlation over donors of the feature with the gene's
rank-inverse-normal values (layer `int`); p is the two-sided p of that r with n - 2 degrees of freedom. beta and se come
from the regression of the gene's log2 values (X) on the feature: log2 units per standard deviation of the feature. So
r carries the test and beta the size of the effect; beta / se is not the t behind p. q is Benjamini-Hochberg over all
pairs of the setting, and empty past --alpha; --correction says whether q or p times the number of pairs decides what
is a hit. A control is the same setting with its donors shuffled: it has rows in the summary and the QQ points, none
among the associations.
"""

import argparse
import contextlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from anndata import AnnData
from threadpoolctl import threadpool_limits

from hx_association import QQ, SUMMARY, Tested, associate_pairs, best_of_genes, qq_points, summary_numbers
from hx_cli import comma_list, command, log, parser, preview
from hx_donors import (
    Features,
    Genes,
    common_donors,
    feature_settings,
    read_annotated,
    read_genes,
    shuffled_donors,
    usable,
)
from hx_io import atomic, write_tsv
from hx_join import MIN_DONORS, dropped_table
from hx_linear import paired_correlations, slopes, standardise
from hx_scan import Pairs

CONTROLS = ["none", "shuffle_donors"]
NAME = pa.dictionary(pa.int32(), pa.string())
ASSOCIATIONS = pa.schema(
    [(name, NAME) for name in ("setting", "feature", "gene", "symbol")]
    + [("n", pa.int32()), ("dof", pa.int32())]
    + [(name, pa.float64()) for name in ("r", "beta", "se", "p", "nlog10p", "q")]
)
GENES = pa.schema(
    [(name, NAME) for name in ("setting", "gene", "symbol")]
    + [("n", pa.int32()), ("dof", pa.int32()), ("hits", pa.int32()), ("best_feature", NAME)]
    + [(name, pa.float64()) for name in ("r", "beta", "se", "p", "nlog10p", "p_bonferroni", "q")]
)


def names_at(names: np.ndarray, index: np.ndarray) -> pa.DictionaryArray:
    """Column names[index] of a parquet table, each name stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), pa.array([str(n) for n in names], pa.string()))


def head_columns(setting: str, genes: Genes, row: np.ndarray) -> dict[str, object]:
    """Columns that both parquet tables begin with; `row` indexes the genes."""
    return {
        "setting": names_at(np.array([setting]), np.zeros(len(row), np.int32)),
        "gene": names_at(genes.id, row),
        "symbol": names_at(genes.symbol, row),
        "n": np.full(len(row), genes.normal.dof + 2, np.int32),
        "dof": np.full(len(row), genes.normal.dof, np.int32),
    }


def effects(genes: Genes, unit: np.ndarray, pairs: Pairs) -> dict[str, np.ndarray]:
    """Slope of the gene's log2 values per SD of the feature (`unit`: donors, features), for pairs sorted by feature."""
    r = paired_correlations(unit, genes.log2.unit, pairs.column, pairs.row)
    beta, se = slopes(r, genes.log2.sd[pairs.row], genes.log2.dof)
    return {"beta": beta, "se": se}


def association_table(setting: str, genes: Genes, names: np.ndarray, unit: np.ndarray, tested: Tested) -> pa.Table:
    """Stored pairs of a setting."""
    pairs = tested.stored
    columns = {
        **head_columns(setting, genes, pairs.row),
        "feature": names_at(names, pairs.column),
        "r": pairs.r,
        **effects(genes, unit, pairs),
        "p": tested.table.p(pairs.r),
        "nlog10p": tested.table.nlog10p(pairs.r),
        "q": pa.array(tested.q, from_pandas=True),
    }
    return pa.table([columns[name] for name in ASSOCIATIONS.names], schema=ASSOCIATIONS)


def gene_table(setting: str, genes: Genes, names: np.ndarray, unit: np.ndarray, tested: Tested) -> pa.Table:
    """One row a gene: its best feature in the setting, and its number of hits."""
    best, numbers = best_of_genes(tested, len(names), len(genes.id))
    by_feature = np.argsort(best.column, kind="stable")
    for name, values in effects(genes, unit, best.take(by_feature)).items():
        numbers[name] = np.empty_like(values)
        numbers[name][by_feature] = values
    columns = {**head_columns(setting, genes, best.row), "best_feature": names_at(names, best.column), **numbers}
    return pa.table([columns[name] for name in GENES.names], schema=GENES)


def best_pair(genes: Genes, names: np.ndarray, tested: Tested) -> dict[str, object]:
    """The pair of largest |r| of a setting; of equal ones the first gene's."""
    best, numbers = best_of_genes(tested, len(names), len(genes.id))
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


def associate_all(
    args: argparse.Namespace, features: AnnData, expression: AnnData, writers: list[pq.ParquetWriter]
) -> tuple[list[dict], list[pd.DataFrame], list[tuple]]:
    """Test every setting, write its associations and genes; return summary, QQ points and losses."""
    sides = (args.features.name, args.expression.name)
    donors = common_donors(features, expression, sides)
    genes, dropped = read_genes(expression, donors, sides[1])
    dof = genes.normal.dof
    fixed = {"n": len(donors), "dof": dof, "genes": len(genes.id), "genes_dropped": len(dropped)}
    lost = sorted(set(features.obs_names) - set(donors))
    dropped += [(donor, "donor", f"in {sides[0]}, not in {sides[1]}") for donor in lost]
    # Donors without features were lost, and listed, when features were aggregated.
    log.info("%d donors of %s have no features in %s", len(expression) - len(donors), *sides[::-1])
    summary, points = [], []
    _, size = args.setting_prefix.rsplit(".", 1)
    for part in feature_settings(features, donors, size, args.aggregations, sides[0]):
        row = summary_row(args, features, part, **fixed)
        setting = row["setting"]
        keep, lost, constant = usable(part.values, part.name, "feature", setting)
        dropped += lost
        names = part.name[keep]
        row |= {"features": len(names), "dead_features": constant, "invalid_features": len(lost) - constant}
        if not len(names):
            log.warning("%s: none of %d features varies: nothing is tested", setting, len(part.name))
            summary.append(row)
            continue
        unit = standardise(part.values[:, keep]).unit
        for control in dict.fromkeys(["none", *args.controls]):
            order = slice(None)
            if control == "shuffle_donors":
                order = shuffled_donors(args.seed, f"{setting}.{control}", len(donors))
            tested = associate_pairs(
                genes.normal.unit, unit[order], dof, args.alpha, args.correction, args.top, args.max_hits
            )
            log.info("%s, control %s: %d hits of %d pairs", setting, control, len(tested.hits.r), tested.scan.pairs)
            numbers = {**summary_numbers(tested, args.alpha), **best_pair(genes, names, tested)}
            summary.append({**row, "control": control, **numbers})
            points.append(qq_table(setting, control, tested))
            if control == "none":
                writers[0].write_table(association_table(setting, genes, names, unit, tested))
                writers[1].write_table(gene_table(setting, genes, names, unit, tested))
    return summary, points, dropped


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--features", type=Path, required=True, help="<tissue_id>.<size>.h5ad of aggregate_features.py")
    add("--expression", type=Path, required=True, help="<tissue_id>.expression.h5ad of prepare_expression.py")
    add("--setting-prefix", required=True, help="<tissue_id>.<size>; size `-` for a feature table")
    add("--aggregations", type=comma_list, default="mean,median", help="mean (X) and layers of --features")
    add("--controls", type=comma_list, default="shuffle_donors", help=f"of {', '.join(CONTROLS)}")
    add(
        "--correction", choices=["bh", "bonferroni"], default="bh", help="over all pairs of a setting; decides the hits"
    )
    add("--alpha", type=float, default=0.05, help="level of --correction, and largest q that is written")
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
