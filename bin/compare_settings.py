#!/usr/bin/env python3
"""Associations of one tissue side by side over all patch sizes, encoders and aggregations.

<tissue_id>.setting_counts.tsv: hits, genes found, features with a hit of every setting. Counts rise with the number of
donors, so that sizes compare only on the donors that all of them tested: where they do not test the same ones, every
setting is tested again on those (donors = every_size). <tissue_id>.setting_overlaps.tsv: genes found, and hits, of any
two settings. <tissue_id>.size_sets.tsv: genes found at exactly which sizes. <tissue_id>.gene_cards.tsv: a row a gene
that any setting found. <tissue_id>.published_associations.tsv: the 2017 study's analysis of every setting, beside the
same pairs tested with the degrees of freedom that are left, and both with donors shuffled.
"""

import sys
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hx_cli import DataError, Faults, command, log, parser, primary_setting
from hx_donors import is_primary
from hx_gather import read_all, typed
from hx_io import write_tsv
from hx_join import MIN_DONORS, dropped_table
from hx_published_table import PUBLISHED_ROW, published_table
from hx_results import prefixes, result_file
from hx_settings import (
    ALL,
    CARDS,
    CHOICES,
    COUNTS,
    EVERY_SIZE,
    FOUND,
    OVERLAPS,
    SIZE_SETS,
    Found,
    by_size,
    gene_cards,
    overlap_rows,
    size_sets,
)
from hx_sizes import size_value
from hx_tested import Tissue

STAGE = "compare_settings"
READ = ["tissue_id", "setting", *CHOICES, "control", "n", "dof", "features", "genes", "pairs", *FOUND, "detectable_r"]
READ += ["correction", "alpha"]  # of association_summary.tsv
TABLES = {
    "setting_counts": COUNTS,
    "setting_overlaps": OVERLAPS,
    "size_sets": SIZE_SETS,
    "gene_cards": CARDS,
    "published_associations": PUBLISHED_ROW,
}


def tested_rows(folder: Path, tissue_id: str, primary: str) -> pd.DataFrame:
    """Rows of all sizes' association_summary.tsv that tested something, without controls, by rising size; `analysis`.

    Raises:
        DataError: no file, one without the columns, of another tissue, or of runs of different corrections.
    """
    faults, found = Faults(), prefixes(folder)
    if strange := [name for name in found if name.rsplit(".", 1)[0] != tissue_id]:
        raise DataError(f"{folder}: associations of {', '.join(strange)}: give those of {tissue_id} alone")
    rows = typed(read_all([result_file(folder, f"{name}.association_summary.tsv") for name in found], READ, faults))
    faults.stop()
    rows = rows[(rows["control"] == "none") & (rows["pairs"] > 0)]
    if len(rows[["correction", "alpha"]].drop_duplicates()) > 1:
        raise DataError(f"{folder}: association_summary.tsv of several --correction or --alpha: run all sizes alike")
    declared = [is_primary(row, row.size, primary) for row in rows.itertuples(index=False)]
    rows = rows.assign(analysis=np.where(declared, "primary", "exploratory"), _size=rows["size"].map(size_value))
    return rows.sort_values(["_size", "encoder", "aggregation"], ignore_index=True)


def on_equal_donors(tissue: Tissue, stored: list[Found]) -> tuple[dict[str, list[Found]], list[tuple]]:
    """{EVERY_SIZE: every setting on the donors that all sizes tested}, {} where all sizes test the same ones or where
    those are too few; and why, as losses."""
    common = reduce(np.intersect1d, (size.donors for size in tissue.sizes))
    if all(len(size.donors) == len(common) for size in tissue.sizes):
        return {}, []
    found = []
    try:
        if len(common) < MIN_DONORS:
            raise DataError(f"{len(common)} donors were tested at every size, at least {MIN_DONORS} are needed")
        for size in tissue.sizes:
            same = len(size.donors) == len(common)
            found += [s for s in stored if s.row["size"] == size.name] if same else tissue.again(size, common)
    except DataError as error:
        return {}, [(tissue.tissue_id, "tissue", f"{error}: sizes are not compared on equal donors")]
    return {EVERY_SIZE: by_size(found)}, []


def compared(tissue: Tissue, seed: int) -> tuple[dict[str, pd.DataFrame], list[tuple]]:
    """{kind: table} of TABLES, and losses."""
    stored, cards = [], []
    for size in tissue.sizes:
        found, genes = tissue.stored(size)
        stored += found
        cards.append(genes)
    equal, dropped = on_equal_donors(tissue, stored)
    families = {ALL: by_size(stored)} | equal
    published, lost = published_table(tissue, seed)
    why = "more hits than are stored: its hits are not compared pair by pair"
    dropped += [(s.row["setting"], "setting", why) for s in stored if s.hits is None]
    rows = [s.row | {"donors": donors} for donors, settings in families.items() for s in settings]
    return {
        "setting_counts": pd.DataFrame(rows, columns=COUNTS),
        "setting_overlaps": pd.concat([overlap_rows(settings, donors) for donors, settings in families.items()]),
        "size_sets": pd.concat([size_sets(settings, donors) for donors, settings in families.items()]),
        "gene_cards": gene_cards(pd.concat(cards, ignore_index=True), tissue.alpha),
        "published_associations": published,
    }, dropped + lost


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--results", type=Path, required=True, help="folder with features, expression, models and associations")
    add("--tissue-id", required=True, help="tissue that they are of")
    add(
        "--primary",
        type=primary_setting,
        default="256,retrained,mean",
        help="size,encoder,aggregation of the declared analysis",
    )
    add("--seed", type=int, default=1, help="seed of the shuffled donors")
    add("--threads", type=int, default=1)
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    if args.threads < 1:
        arguments.error("--threads is at least 1")
    rows = tested_rows(args.results, args.tissue_id, args.primary)
    tables, dropped = {kind: pd.DataFrame(columns=columns) for kind, columns in TABLES.items()}, []
    if len(rows):
        with threadpool_limits(args.threads):
            tables, dropped = compared(Tissue(args.results, args.tissue_id, rows), args.seed)
    for kind, table in tables.items():
        write_tsv(table, f"{args.outdir}/{args.tissue_id}.{kind}.tsv")
    write_tsv(dropped_table(dropped, STAGE), f"{args.outdir}/{args.tissue_id}.{STAGE}.dropped.tsv")
    log.info("%s: %d settings, %d genes found in any", args.tissue_id, len(rows), len(tables["gene_cards"]))


if __name__ == "__main__":
    sys.exit(main())
