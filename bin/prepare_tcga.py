#!/usr/bin/env python3
"""From files of the GDC as downloaded to a samplesheet, covariates and one table of counts of TCGA.

Slides and RNA of one case and sample type belong together. A tissue is a project and a sample type ("TCGA-HNSC
primary"), so that tumour and normal never mix; the tissue source site is a covariate (centre).
"""

import gzip
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hx_cli import DataError, Faults, command, log, parser, preview
from hx_formats import READABLE_SUFFIXES
from hx_io import atomic, read_text, write_tsv
from hx_join import dropped_table, gathered
from hx_tcga import (
    FFPE,
    FROZEN,
    REPORT_COLUMNS,
    STAGE,
    barcode,
    is_sample_sheet,
    join_slides,
    read_clinical,
    read_sheets,
    rna_files,
)

KINDS = {"ffpe": FFPE, "frozen": FROZEN, "all": (*FFPE, *FROZEN)}
GENES_AT_A_TIME = 4096


def star_counts(path: str) -> pd.DataFrame:
    """Genes of a file of STAR counts: gene_id, gene_name, unstranded (int64), without the rows N_*.

    Raises:
        DataError: a column is missing, no gene, or counts that are no whole numbers.
    """
    opened = gzip.open if path.endswith(".gz") else open
    wanted = ["gene_id", "gene_name", "unstranded"]
    try:
        with opened(path, "rt", encoding="utf-8") as handle:
            table = pd.read_csv(handle, sep="\t", comment="#", usecols=wanted, dtype=str, keep_default_na=False)
    except (ValueError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: no file of STAR counts ({error}): download it again") from error
    table = table[~table["gene_id"].str.startswith("N_")].reset_index(drop=True)
    whole = table["unstranded"].str.fullmatch(r"\d+")
    if table.empty or not whole.all():
        bad = "it holds no gene" if table.empty else f"{table.loc[~whole, 'unstranded'].iloc[0]!r} is no count"
        raise DataError(f"{path}: {bad}: download it again")
    return table.astype({"unstranded": np.int64})


def write_counts(samples: Sequence[str], paths: Sequence[str], target: Path) -> None:
    """Write counts of all samples as Parquet: gene_id, gene_name, a column a sample.

    The files are read one by one into a scratch file (samples, genes) beside the target, which is then read some genes
    at a time: memory grows with the number of genes or of samples, never with their product.

    Raises:
        DataError: unreadable files, and files whose genes differ from those of the first; all at once.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    faults, genes, first = Faults(), None, ""
    scratch = target.with_name(f".{target.name}.scratch")
    try:
        with open(scratch, "wb") as matrix:
            for path in paths:
                with gathered(faults):
                    table = star_counts(path)
                    if genes is None:
                        genes, first = table[["gene_id", "gene_name"]], path
                    if not table["gene_id"].equals(genes["gene_id"]):
                        raise DataError(f"{first} and {path}: their genes differ: give files of one GDC release")
                    table["unstranded"].to_numpy().tofile(matrix)
        faults.stop()
        types = [("gene_id", pa.string()), ("gene_name", pa.string()), *((name, pa.int64()) for name in samples)]
        schema = pa.schema(types)
        with (
            open(scratch, "rb") as matrix,
            atomic(target) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for start in range(0, len(genes), GENES_AT_A_TIME):
                part = genes.iloc[start : start + GENES_AT_A_TIME]
                columns = [pa.array(part["gene_id"]), pa.array(part["gene_name"])]
                for place in range(len(samples)):
                    matrix.seek((place * len(genes) + start) * np.dtype(np.int64).itemsize)
                    columns.append(pa.array(np.fromfile(matrix, np.int64, len(part))))
                writer.write_table(pa.table(columns, schema=schema))
    finally:
        scratch.unlink(missing_ok=True)


def covariate_table(report: pd.DataFrame, clinical: pd.DataFrame | None) -> pd.DataFrame:
    """Covariates of the kept slides: tissue source site, preservation of the slide, columns of the clinical table."""
    kept = report[report["status"] == "kept"].sort_values("slide")
    codes = kept["slide"].map(barcode)
    table = pd.DataFrame({
        "sample": kept["slide"].to_numpy(),
        "donor": kept["donor"].to_numpy(),
        "tissue_source_site": [code.site for code in codes],
        "preservation": [code.preservation for code in codes],
    })  # fmt: skip
    if clinical is None:
        return table
    absent = sorted(set(table["donor"]) - set(clinical.index))
    if absent:
        log.warning("%d cases are not in the clinical table, their values stay blank: %s", len(absent), preview(absent))
    return pd.concat([table, clinical.reindex(table["donor"]).fillna("").reset_index(drop=True)], axis=1)


def losses(report: pd.DataFrame) -> pd.DataFrame:
    """dropped.tsv: slides that are not kept, and cases that have no slide left."""
    gone, kept = (report[report["status"] == status] for status in ("dropped", "kept"))
    rows = [(slide, "slide", why) for slide, why in zip(gone["slide"], gone["reason"], strict=True)]
    lost = gone[(gone["donor"] != "") & ~gone["donor"].isin(kept["donor"])]
    rows += [(case, "donor", preview(part["reason"].unique(), 3)) for case, part in lost.groupby("donor")]
    return dropped_table(rows, STAGE)


def tables_by_header(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Sample sheets and clinical tables among tables; the rest is logged as not used."""
    sheets, clinical = [], []
    for path in sorted(paths):
        columns = read_text(path).split("\n")[0].split("\t")
        if is_sample_sheet(columns):
            sheets.append(path)
        elif {"case_submitter_id", "cases.submitter_id", "bcr_patient_barcode"} & {c.lower() for c in columns}:
            clinical.append(path)
        else:
            log.info("not used: %s: neither a sample sheet nor a clinical table", Path(path).name)
    for role, found in (("sample sheet", sheets), ("clinical table", clinical)):
        for path in found:
            log.info("read %s as %s", Path(path).name, role)
    return sheets, clinical


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--tables", nargs="+", required=True, help="the GDC sample sheet(s), and a clinical table; told by header")
    add("--counts", nargs="+", required=True, help="files of STAR counts (*.augmented_star_gene_counts.tsv)")
    add("--found", required=True, help="text file: paths of slide files and other files, one a line")
    add("--slides", choices=list(KINDS), default="ffpe", help="slides to use: DX, or TS, BS and MS, or all")
    add("--outdir", type=Path, default=Path("."), help="where the tables go")
    args = arguments.parse_args(argv)

    faults, rows, values = Faults(), None, None
    sheets, clinical = tables_by_header(args.tables)
    with gathered(faults):
        rows = read_sheets(sheets)
    if len(clinical) > 1:
        faults.add(f"{' and '.join(clinical)}: both are clinical tables: keep one")
    elif clinical:
        with gathered(faults):
            values = read_clinical(clinical[0])
    faults.stop()

    paths = [line.strip() for line in read_text(args.found).split("\n") if line.strip()]
    slides = [path for path in paths if path.lower().endswith(READABLE_SUFFIXES)]
    message = "%d slides, %d files of counts; %d other files are not used"
    log.info(message, len(slides), len(args.counts), len(paths) - len(slides))
    rna = rna_files(rows, args.counts)
    report = join_slides(slides, rows, rna, KINDS[args.slides])
    kept = report[report["status"] == "kept"]
    if kept.empty:
        raise DataError(
            f"no slide has RNA ({preview(report['reason'].unique(), 3) or 'no slide was found'}): slides are "
            f"{preview(report['slide'], 3)}, RNA samples {preview(rna['sample'], 3)}"
        )
    for tissue, part in kept.groupby("tissue"):
        log.info("%s: %d slides of %d cases kept", tissue, len(part), part["donor"].nunique())
    chosen = rna[rna["sample"].isin(kept["rna_sample"])].sort_values("sample")
    args.outdir.mkdir(parents=True, exist_ok=True)
    write_counts(chosen["sample"].tolist(), chosen["path"].tolist(), args.outdir / "expression.parquet")
    names = {"slide": "sample", "donor": "donor", "tissue": "tissue", "path": "slide", "rna_sample": "rna_sample"}
    sheet = kept[list(names)].set_axis(list(names.values()), axis=1).sort_values(["tissue", "sample"])
    with atomic(args.outdir / "samplesheet.csv") as temporary:
        sheet.to_csv(temporary, index=False, lineterminator="\n")
    write_tsv(covariate_table(report, values), args.outdir / "covariates.tsv")
    write_tsv(report[REPORT_COLUMNS], args.outdir / "join_report.tsv")
    write_tsv(losses(report), args.outdir / "tcga.dropped.tsv")


if __name__ == "__main__":
    sys.exit(main())
