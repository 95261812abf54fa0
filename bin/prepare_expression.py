#!/usr/bin/env python3
"""Expression of a tissue's donors: log2 values and their rank-inverse-normal transform, as AnnData.

TPM, RPKM and FPKM become log2(x + 1). Counts become log2(CPM + 1), library sizes with TMM factors of the tissue's
samples; counts of fewer than 5,000 genes, a panel, become log2(x + 1) with a warning. log2 values stay. Genes that are
the same in all donors are dropped; those that --gene-filter leaves out stay, with `kept` false.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import DataError, command, log, parser, preview
from hx_counts import tmm_factors
from hx_expression import log2_values, rank_inverse_normal, read_expression
from hx_gene_lists import listed_genes
from hx_genes import GENE_FILTERS, gene_histograms, gtex_filter, published_filter, shared_symbols
from hx_io import atomic, write_tsv
from hx_join import dropped_table
from hx_rows import tissue_rows
from hx_sex import recorded_sex, sex_check, sex_table
from hx_units import TRANSCRIPTOME_GENES, UNITS

STAGE = "prepare_expression"


def library_sizes(counts: np.ndarray, samples: list[str]) -> pd.DataFrame | None:
    """Library size and TMM factor of each sample, of all genes of the file; None for a panel, with a warning.

    Raises:
        DataError: a sample of a transcriptome without a single read.
    """
    if len(counts) < TRANSCRIPTOME_GENES:
        log.warning("%d genes are no transcriptome: log2(counts + 1), library size stays in the values", len(counts))
        return None
    sizes = counts.sum(axis=0)
    empty = [name for name, size in zip(samples, sizes, strict=True) if size == 0]
    if empty:
        raise DataError(f"expression: no read in sample {preview(empty)}: exclude it with --exclude")
    return pd.DataFrame({"library_size": sizes, "tmm_factor": tmm_factors(counts)})


@command
def main(argv: list[str] | None) -> None:
    import anndata

    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--expression", nargs="+", required=True, help="GCT 1.2, TSV, CSV (.gz), Parquet or h5ad")
    add("--expression-unit", choices=UNITS, required=True, help="unit of the expression values")
    add("--cohort", type=Path, required=True, help="cohort.tsv of check_cohort.py")
    add("--tissue-id", required=True, help="tissue to prepare")
    add("--gene-universe", help="text file: ids or symbols of the only genes to analyse, one a line")
    add(
        "--gene-filter",
        choices=GENE_FILTERS,
        default="none",
        help="published: mean of log2 values > 1, then 2000 by SD; gtex: > 0.1 TPM (or CPM, and 6 reads) in 20 %%",
    )
    add("--out", type=Path, required=True, help="h5ad to write")
    add(
        "--histograms", type=Path, required=True, help="TSV: mean and SD of the genes by bin, with the study's cut-offs"
    )
    add("--sex-check", type=Path, required=True, help="TSV: recorded sex against XIST and genes of the Y chromosome")
    add("--dropped", type=Path, required=True, help="TSV of the genes left out")
    args = arguments.parse_args(argv)
    unit, gene_filter = args.expression_unit, args.gene_filter
    if gene_filter == "gtex" and unit == "log2":
        arguments.error("--gene-filter gtex needs values before the logarithm: tpm, rpkm, fpkm or counts")

    rows = tissue_rows(args.cohort, args.tissue_id, unique=("donor", "rna_sample"))
    samples = rows["rna_sample"].tolist()
    genes, values = read_expression(args.expression, samples, unit)
    # Library sizes are those of all genes: genes are chosen afterwards.
    sizes = library_sizes(values, samples) if unit == "counts" else None
    library = None if sizes is None else (sizes["library_size"] * sizes["tmm_factor"]).to_numpy()
    expressed = gtex_filter(values, unit, library) if gene_filter == "gtex" else np.ones(len(genes), dtype=bool)
    values, transform = log2_values(values, unit, library)
    checked = sex_check(values, genes, recorded_sex(rows))
    losses = []
    listed = np.ones(len(genes), dtype=bool)
    if args.gene_universe:
        listed, unknown = listed_genes(genes, args.gene_universe)
        losses += [(gene, "gene", "not on the list of --gene_universe") for gene in genes["gene"][~listed]]
        losses += [(name, "gene", "on the list of --gene_universe, not in the expression files") for name in unknown]
    constant = values.max(axis=1) == values.min(axis=1)
    why = f"constant over {len(rows)} donors of {args.tissue_id}"
    losses += [(gene, "gene", why) for gene in genes["gene"][listed & constant]]
    use = listed & ~constant
    if not use.any():
        raise DataError(f"{preview(args.expression)}: no gene varies over the {len(rows)} donors of {args.tissue_id}")
    genes, values, kept = genes[use].reset_index(drop=True), values[use], expressed[use]
    mean, sd = values.mean(axis=1), values.std(axis=1, ddof=1)
    if gene_filter == "published":
        kept = published_filter(mean, sd)
    if not kept.any():
        highest = f"the highest mean of log2 values is {mean.max():.3g}"
        raise DataError(f"{preview(args.expression)}: no gene passes --gene_filter {gene_filter}: {highest}")
    why = f"left out by --gene_filter {gene_filter}"
    losses += [(gene, "gene", why) for gene in genes["gene"][~kept]]
    shared = shared_symbols(genes["symbol"])
    if shared.any():
        named = preview(sorted(set(genes["symbol"][shared])))
        log.info("%d genes share a symbol with another (%s): each stays by its id", int(shared.sum()), named)

    # Two arrays of donors x genes, of which a transcriptome has hundreds of megabytes each: no third one lives on.
    by_donor = np.ascontiguousarray(values.T)
    del values
    obs = pd.DataFrame({"rna_sample": samples}, index=pd.Index(rows["donor"], name="donor"))
    if sizes is not None:
        obs = obs.assign(**{name: sizes[name].to_numpy() for name in sizes})
    table = anndata.AnnData(
        X=by_donor,
        obs=obs,
        var=pd.DataFrame(
            {"symbol": genes["symbol"].to_numpy(), "shared_symbol": shared, "mean": mean, "sd": sd, "kept": kept},
            index=pd.Index(genes["gene"], name="gene"),
        ),
        layers={"int": rank_inverse_normal(by_donor.T).T},
        uns={
            "tissue_id": args.tissue_id,
            "unit": unit,
            "transform": transform,
            "gene_filter": gene_filter,
            "files": ";".join(sorted(Path(path).name for path in args.expression)),
        },
    )
    with atomic(args.out) as temporary:
        table.write_h5ad(temporary)
    write_tsv(gene_histograms(mean, sd, kept, args.tissue_id, gene_filter == "published"), args.histograms)
    write_tsv(sex_table(checked, args.tissue_id), args.sex_check)
    write_tsv(dropped_table(losses, STAGE), args.dropped)
    log.info(
        "%s: %d donors, %d genes (%d left out), %s",
        args.tissue_id, table.n_obs, int(kept.sum()), len(losses), transform,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
