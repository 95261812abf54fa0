#!/usr/bin/env python3
"""Join slides, donors and RNA samples of a cohort; give folds and batches; list every loss.

Reads the samplesheet (or tables of slide-level features), the expression files and the covariates. All faults of all
files come at once, with file, row and fix (exit 65). What can be left out is left out, with a row in dropped.tsv.
--exclude takes ids out of cohort.tsv, and so of aggregation and all after it; in slides.tsv their slides stay.
"""

import sys
from pathlib import Path

import pandas as pd

from hx_cli import DataError, Faults, comma_list, command, log, parser, preview
from hx_cohort import check_overlap, chosen_tissues, cohort_tables, decide, exclusion_table
from hx_covariate_tables import covariate_summary, covariates_by_tissue
from hx_covariates import join_covariates, read_covariates, rna_annotation, rna_rin
from hx_expression import check_expression, sample_names
from hx_io import read_names, read_table, write_tsv
from hx_join import gathered
from hx_sheet import check_rows, feature_rows, in_tables, say, shared_rna, sheet_rows
from hx_units import UNITS

EXCLUDED_KINDS = {"donor": "donors", "slide": "slides", "rna": "RNA samples", "unknown": "unknown ids"}
PROBED = 50  # columns whose unit is checked when no column matches a slide


def read_missing(path: str) -> dict[str, str]:
    """{sample: reason} of a table of slides that are not there."""
    table = read_table(path)
    lacking = {"sample", "reason"} - set(table.columns)
    if lacking:
        raise DataError(f"{path}, row 1: no column {preview(sorted(lacking))}: sample and reason are expected")
    return dict(zip(table["sample"], table["reason"], strict=True))


def cohort_rows(samplesheet: str | None, features: list[str], slide_needed: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the cohort, and those of the feature tables (empty when there are none).

    With a samplesheet it is the cohort, else the feature tables are.
    """
    faults, sheet, featured = Faults(), None, pd.DataFrame()
    if features:
        with gathered(faults):
            featured = feature_rows(features, alone=samplesheet is None)
    if samplesheet:
        with gathered(faults):
            sheet = sheet_rows(samplesheet, slide_needed)
    faults.stop()
    return (featured if sheet is None else sheet), featured


def without_features(rows: pd.DataFrame, featured: pd.DataFrame) -> dict[str, str]:
    """{sample: reason} of slides that no feature table holds; rows of tables that no slide claims are logged."""
    known = in_tables(rows, featured)
    strange = featured[featured["has_sample"] & ~featured["sample"].isin(rows["sample"])]
    if len(strange):
        message = "%d of %d rows of the feature tables are of no sample of the samplesheet and are not used: %s"
        log.warning(message, len(strange), len(featured), preview(strange["sample"]))
    return dict.fromkeys(rows.loc[~known, "sample"], "no row in the tables of --features")


def tell_exclusions(path: str, exclusions: pd.DataFrame, staying: int) -> None:
    """Log how many ids of each kind --exclude holds, those unknown here, how many slides are still read."""
    counts = exclusions["kind"].value_counts()
    ids = ", ".join(f"{counts.get(kind, 0)} {name}" for kind, name in EXCLUDED_KINDS.items())
    log.info("%s: %s", path, ids)
    if unknown := exclusions.loc[exclusions["kind"] == "unknown", "id"].tolist():
        log.warning("%s: no donor, slide or RNA sample here: %s", path, preview(unknown, 20))
    if staying:
        log.warning(
            "%d slides are out of the analysis, but still segmented, extracted and shown to the classifier, so that no "
            "other slide is extracted again: take their rows out of the samplesheet to keep them out of that too",
            staying,
        )


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--samplesheet", help="CSV or TSV: sample, donor, tissue, slide [, rna_sample, mpp]")
    add("--features", nargs="+", default=[], help="tables of slide-level features: sample, or donor and tissue")
    add("--slide-optional", action="store_true", help="no slide is opened: the samplesheet may lack slides")
    add("--missing", help="TSV of slides that are not there: sample, reason")
    add("--expression", nargs="+", default=[], help="GCT 1.2, TSV, CSV (.gz), Parquet or h5ad; none: to be predicted")
    add("--expression-unit", choices=UNITS, help="unit of the expression values")
    add("--covariates", nargs="+", default=[], help="GTEx annotations, or tables keyed by sample or donor")
    add("--exclude", help="text file: ids of donors, slides or RNA samples to leave out, one a line")
    add("--tissues", type=comma_list, default=[], help="names or tissue_ids to analyse; all by default")
    add("--seed", type=int, default=1, help="seed of the folds")
    add("--slide-batches", type=int, default=8, help="batches of slides in a tissue")
    add("--outdir", type=Path, default=Path("."), help="where the tables go")
    args = arguments.parse_args(argv)
    if not args.samplesheet and not args.features:
        arguments.error("give --samplesheet, --features or both")
    if args.expression and not args.expression_unit:
        arguments.error("--expression needs --expression-unit")

    faults, columns, readable = Faults(), [], []
    excluded, missing, covariates = set(), {}, {}
    with gathered(faults):
        excluded = read_names(args.exclude) if args.exclude else set()
    with gathered(faults):
        missing = read_missing(args.missing) if args.missing else {}
    with gathered(faults):
        covariates = read_covariates(args.covariates)
    for path in sorted(args.expression):
        with gathered(faults):
            columns += sample_names(path)
            readable.append(path)

    rows, tables, matched = None, {}, []
    slide_needed = not (args.features or args.slide_optional)
    with gathered(faults):
        rows, featured = cohort_rows(args.samplesheet, args.features, slide_needed)
    if rows is not None:
        wrong = Faults()
        rows = check_rows(rows, slide_needed, wrong)
        tissues = chosen_tissues(rows, args.tissues, wrong)
        if args.samplesheet and args.features:
            missing |= without_features(rows, featured)
        join = missing, rna_rin(covariates), rna_annotation(covariates, "tissue")
        exclusions = exclusion_table(excluded, rows, columns)
        measured = columns if args.expression else None
        staged = decide(rows, measured, tissues, set(), *join)
        rows = decide(rows, measured, tissues, excluded, *join) if excluded else staged
        say(wrong, shared_rna(rows))
        # Where rows are wrong, too few donors is their consequence; that nothing matches at all is worth saying.
        if (readable or not args.expression) and not (wrong and rows["matched"].any()):
            say(wrong, check_overlap(rows, columns, args.samplesheet or preview(args.features)))
        for message in wrong.messages:
            faults.add(message)
        tables = cohort_tables(rows, staged, columns, excluded, args.seed, args.slide_batches)
        tables["exclusions"] = exclusions
        matched = sorted(set(rows["rna_used"]) - {""})
    with gathered(faults):
        if readable:
            check_expression(readable, matched or columns[:PROBED], args.expression_unit)
    if matched:
        with gathered(faults):
            kept = rows[rows["rna_used"] != ""].assign(rna=rows["rna_used"])
            tables["cohort"] = join_covariates(tables["cohort"], kept, covariates)
    faults.stop()
    tables["covariate_summary"] = covariate_summary(tables["cohort"])
    tables["covariates_by_tissue"] = covariates_by_tissue(tables["cohort"])

    for name, table in tables.items():
        write_tsv(table, args.outdir / f"{name}.tsv")
    if excluded:
        staying = int((tables["slides"]["excluded"] == "yes").sum()) if slide_needed else 0
        tell_exclusions(args.exclude, tables["exclusions"], staying)
    for row in tables["matching"].itertuples():
        log.info(
            f"{row.tissue}: {row.slides} slides, {row.slides_usable} usable; {row.donors} donors, "
            f"{row.matched_donors} matched ({row.rule}), {row.donors_kept} kept"
        )


if __name__ == "__main__":
    sys.exit(main())
