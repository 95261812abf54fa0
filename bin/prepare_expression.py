#!/usr/bin/env python3
"""Expression of a tissue's donors: log2 values and their rank-inverse-normal transform, as AnnData.

TPM, RPKM and FPKM become log2(x + 1). Counts become log2(CPM + 1) by plain library size (no TMM factors); counts of
fewer than 5,000 genes, a panel, become log2(x + 1) with a warning. log2 values stay. Genes that are the same in all
donors are dropped.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import DataError, command, log, parser, preview
from hx_expression import UNITS, log2_values, rank_inverse_normal, read_expression
from hx_io import atomic, read_text, write_tsv
from hx_join import dropped_table
from hx_rows import tissue_rows

STAGE = "prepare_expression"
# The study's filter: genes with a mean of log2 values above 1, of these the 2000 with the largest standard deviation.
PUBLISHED_MEAN, PUBLISHED_GENES = 1.0, 2000


def listed_genes(genes: pd.DataFrame, path: str) -> tuple[np.ndarray, list[str]]:
    """Which genes a list names, by id, id without version, or symbol; and the names that fit none.

    Raises:
        DataError: no name fits.
    """
    lines = (line.split("#")[0].strip() for line in read_text(path).split("\n"))
    names = sorted({line for line in lines if line})
    spellings = [genes["gene"], genes["gene"].str.replace(r"\.\d+$", "", regex=True), genes["symbol"]]
    mask = np.any([spelling.isin(names) for spelling in spellings], axis=0)
    if not mask.any():
        raise DataError(
            f"{path}: none of {len(names)} genes is in the expression file: listed are {preview(names, 3)}, "
            f"the file has {preview(genes['gene'], 3)} ({preview(genes['symbol'], 3)})"
        )
    known = set().union(*spellings)
    return mask, [name for name in names if name not in known]


def published_filter(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """The study's gene filter (mask): mean above 1, then the 2000 genes of largest SD; the first of equal SD win."""
    high = np.flatnonzero(mean > PUBLISHED_MEAN)
    kept = np.zeros(len(mean), dtype=bool)
    kept[high[np.argsort(-sd[high], kind="stable")[:PUBLISHED_GENES]]] = True
    return kept


@command
def main(argv: list[str] | None) -> None:
    import anndata

    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--expression", nargs="+", required=True, help="GCT 1.2, TSV, CSV (.gz), Parquet or h5ad")
    add("--expression-unit", choices=UNITS, required=True, help="unit of the expression values")
    add("--cohort", type=Path, required=True, help="cohort.tsv of check_cohort.py")
    add("--tissue-id", required=True, help="tissue to prepare")
    add("--genes", help="text file: ids or symbols of the genes to keep, one a line")
    add("--gene-filter", choices=("none", "published"), default="none", help="published: mean > 1, then 2000 by SD")
    add("--out", type=Path, required=True, help="h5ad to write")
    add("--dropped", type=Path, required=True, help="TSV of the genes left out")
    args = arguments.parse_args(argv)

    rows = tissue_rows(args.cohort, args.tissue_id, unique=("donor", "rna_sample"))
    genes, values = read_expression(args.expression, rows["rna_sample"].tolist(), args.expression_unit)
    # Library sizes are those of all genes: transform first, choose genes afterwards.
    values, transform = log2_values(values, args.expression_unit, len(genes))
    losses = []
    listed = np.ones(len(genes), dtype=bool)
    if args.genes:
        listed, unknown = listed_genes(genes, args.genes)
        losses += [(gene, "gene", "not on the list of --genes") for gene in genes["gene"][~listed]]
        losses += [(name, "gene", "on the list of --genes, not in the expression files") for name in unknown]
    constant = values.max(axis=1) == values.min(axis=1)
    why = f"constant over {len(rows)} donors of {args.tissue_id}"
    losses += [(gene, "gene", why) for gene in genes["gene"][listed & constant]]
    use = listed & ~constant
    if not use.any():
        raise DataError(f"{preview(args.expression)}: no gene varies over the {len(rows)} donors of {args.tissue_id}")
    genes, values = genes[use].reset_index(drop=True), values[use]
    mean, sd = values.mean(axis=1), values.std(axis=1, ddof=1)
    kept = published_filter(mean, sd) if args.gene_filter == "published" else np.ones(len(genes), dtype=bool)
    why = f"left out by --gene-filter {args.gene_filter}"
    losses += [(gene, "gene", why) for gene in genes["gene"][~kept]]

    table = anndata.AnnData(
        X=np.ascontiguousarray(values.T),
        obs=pd.DataFrame({"rna_sample": rows["rna_sample"].to_numpy()}, index=pd.Index(rows["donor"], name="donor")),
        var=pd.DataFrame(
            {"symbol": genes["symbol"].to_numpy(), "mean": mean, "sd": sd, "kept": kept},
            index=pd.Index(genes["gene"], name="gene"),
        ),
        layers={"int": np.ascontiguousarray(rank_inverse_normal(values).T)},
        uns={
            "tissue_id": args.tissue_id,
            "unit": args.expression_unit,
            "transform": transform,
            "gene_filter": args.gene_filter,
            "files": ";".join(sorted(Path(path).name for path in args.expression)),
        },
    )
    with atomic(args.out) as temporary:
        table.write_h5ad(temporary)
    write_tsv(dropped_table(losses, STAGE), args.dropped)
    log.info(
        "%s: %d donors, %d genes (%d left out), %s",
        args.tissue_id, table.n_obs, int(kept.sum()), len(losses), transform,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
