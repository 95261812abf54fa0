#!/usr/bin/env python3
"""Enriched terms across tissues, patch sizes and encoders, and every gene across everything.

term_overlaps.tsv: terms of any two settings that differ in one thing. term_sets.tsv: terms found in exactly which
tissues, sizes or encoders (an UpSet plot). gene_summary.tsv: a row a gene: where it was found, with which feature and
at which scale, what the image adds to its prediction, which cell type's markers it tracks, its terms; what a stage
that did not run would tell stays empty.
"""

import sys
from pathlib import Path

import pandas as pd

from hx_cli import Faults, command, log, parser
from hx_enrich_lists import GENE_LISTS, LISTS
from hx_enrich_tables import SUMMARY
from hx_gather import listed, read_all
from hx_io import read_parquet, write_tsv
from hx_markers import MARKER_HITS
from hx_term_overlap import TERM_OVERLAPS, TERM_SETS, found_terms, gene_summary, term_overlaps, term_sets

# Columns of the tables that are read, and those of them that are numbers; names of sets may look like numbers.
TABLES = {
    "gene_lists": (GENE_LISTS, ("sets",)),
    "enrichment_lists": (LISTS, ("p", "q")),
    "enrichment_summary": (SUMMARY, ("sets",)),
    "marker_hits": (MARKER_HITS, ("r_marker",)),
}
CARDS = ["tissue_id", "gene", "symbol", "settings_found", "best_setting", "feature", "r", "gene_p"]
OPTIONAL = {"gene_cards": (CARDS, ("settings_found", "r", "gene_p"))}
PREDICTION = ["setting", "gene", "symbol", "delta_r2", "q"]
PAIRS = ["setting", "collection", "set", "q_camera"]


def read_kind(folder: Path, kind: str, columns: list[str], numbers: tuple[str, ...], faults: Faults) -> pd.DataFrame:
    """All files *.<kind>.tsv as one table."""
    table = read_all(sorted(folder.glob(f"*.{kind}.tsv")), columns, faults)
    if set(numbers) <= set(table):
        table[list(numbers)] = table[list(numbers)].apply(pd.to_numeric, errors="coerce")
    return table


def read_parquets(folder: Path, pattern: str, columns: list[str]) -> pd.DataFrame:
    """These columns of all files of a name, names as text; no row without a file."""
    parts = [pd.DataFrame(columns=columns)]
    for path in sorted(folder.glob(pattern)):
        table = read_parquet(path, columns=columns)
        parts.append(table.astype({name: object for name in table.select_dtypes("category")}))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def read_pairs(folder: Path) -> pd.DataFrame:
    """Rows of enrichment.parquet that camera found."""
    parts = [pd.DataFrame(columns=PAIRS)]
    for path in sorted(folder.glob("*.enrichment.parquet")):
        table = read_parquet(path, columns=PAIRS)
        parts.append(table[table["q_camera"].notna()].astype(dict.fromkeys(PAIRS[:3], str)))
    return pd.concat(parts[1:] or parts, ignore_index=True)


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--tables", type=Path, required=True, help="folder with the tables of enrich.py; also gene_cards, prediction")
    add("--outdir", type=Path, default=Path("."))
    args = arguments.parse_args(argv)
    faults = Faults()
    for kind in TABLES:
        listed(args.tables, f"*.{kind}.tsv", faults)
    found = {kind: read_kind(args.tables, kind, *what, faults) for kind, what in (TABLES | OPTIONAL).items()}
    faults.stop()
    terms, lists = found["enrichment_lists"], found["gene_lists"]
    sets = found_terms(lists, terms, found["enrichment_summary"], read_pairs(args.tables))
    names = dict(zip(terms["set"], terms["term"], strict=True))
    overlaps = term_overlaps(sets)
    genes = gene_summary(
        found["gene_cards"],
        read_parquets(args.tables, "*.prediction_genes.parquet", PREDICTION),
        found["marker_hits"],
        terms,
    )
    write_tsv(overlaps[TERM_OVERLAPS], args.outdir / "term_overlaps.tsv")
    write_tsv(term_sets(sets, names)[TERM_SETS], args.outdir / "term_sets.tsv")
    write_tsv(genes, args.outdir / "gene_summary.tsv")
    log.info("%d sets of terms, %d pairs of settings, %d genes", len(sets), len(overlaps), len(genes))


if __name__ == "__main__":
    sys.exit(main())
