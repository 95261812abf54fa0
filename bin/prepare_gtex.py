#!/usr/bin/env python3
"""From GTEx files as downloaded to a samplesheet, covariates and pathology, with every slide's join on record.

What a file is, is read off its header: expression (GCT, Parquet), sample attributes, subject phenotypes, tissue
changes, the portal's histology table, lists of slides (a table with Image and tissue, or lines of slide id, blank,
tissue). The slides are those of --slides, else the files of --found, else those of lists, else of the histology table.
"""

import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pandas as pd

from hx_cli import DataError, Faults, command, log, parser, preview
from hx_formats import READABLE_SUFFIXES
from hx_gtex_files import (
    ATTRIBUTES,
    CHANGES,
    EXPRESSION,
    HISTOLOGY,
    LIST,
    SUBJECTS,
    GtexFile,
    gtex_files,
    of_role,
)
from hx_gtex_join import REPORT_COLUMNS, RnaSamples, covariate_table, join_slides, losses, rna_samples
from hx_gtex_slides import found_slides, listed_slides, slide_list, slide_name
from hx_gtex_tables import donors_of, read_attributes, read_changes, read_histology, read_subjects
from hx_io import atomic, read_text, write_tsv
from hx_join import gathered, gtex_piece, piece_keys
from hx_pathology import annotate, contradictions


def slide_files(path: str | None) -> list[str]:
    """Slide files among the paths that a text file lists, one a line; what is no slide is logged as not used."""
    paths = [line.strip() for line in read_text(path).split("\n") if line.strip()] if path else []
    suffixes = tuple(suffix for suffix in READABLE_SUFFIXES if suffix != ".dcm")
    slides = [name for name in paths if name.lower().endswith(suffixes)]
    for name in sorted(set(paths) - set(slides)):
        log.info("not used: %s: neither a slide nor a table", PurePosixPath(name).name)
    return slides


def report_slides(report: pd.DataFrame) -> None:
    """Log what was kept, by tissue and by rule, and what a reader should look at."""
    kept = report[report["status"] == "kept"]
    for tissue, part in report.groupby("tissue"):
        mine = part[part["status"] == "kept"]
        counts = len(part), len(mine), mine["SUBJID"].nunique()
        log.info("%s: %d slides listed, %d kept, %d donors", tissue or "no tissue", *counts)
    for rule, part in kept.groupby("rule"):
        log.info("joined by %s: %d slides of %d donors", rule, len(part), part["SUBJID"].nunique())
    shared = kept[kept["siblings"] != ""]
    if len(shared):
        message = "%d pieces have several slides (%d), all kept as slides of one donor and tissue: %s"
        log.info(message, shared["key"].nunique(), len(shared), preview(shared["slide"]))
    conflicting = report[report["reason"].str.startswith("tissue conflict")]
    if len(conflicting):
        log.warning("%d slides left out for a tissue conflict: %s", len(conflicting), preview(conflicting["slide"]))


def samplesheet(report: pd.DataFrame) -> pd.DataFrame:
    """The kept slides as rows of a samplesheet; a slide that is only listed is expected at slides/<sample>.svs."""
    kept = report[report["status"] == "kept"]
    sheet = pd.DataFrame({
        "sample": kept["slide"],
        "donor": kept["SUBJID"],
        "tissue": kept["tissue"],
        "slide": kept["path"].where(kept["path"] != "", "slides/" + kept["slide"] + ".svs"),
        "rna_sample": kept["SAMPID"],
    })  # fmt: skip
    return sheet.sort_values(["tissue", "sample"])


def annotations(sheet: pd.DataFrame, histology: pd.DataFrame, least: int) -> dict[str, pd.DataFrame]:
    """What pathologists wrote of the slides of a samplesheet: annotations, their counts, their contradictions.

    A slide without a row of its own takes that of its sibling block; `annotated_slide` names the row's slide.
    """
    names = histology["sample"].map(slide_name)
    row_of = dict(zip(names[::-1], histology.index[::-1], strict=True))
    pairs = [(s, next((row_of[k] for k in piece_keys(s) if k in row_of), None)) for s in sorted(sheet["sample"])]
    pairs = [pair for pair in pairs if pair[1] is not None]
    rows = histology.loc[[row for _, row in pairs]]
    table, counts = annotate(rows["categories"].tolist(), rows["notes"].tolist(), least)
    table.insert(0, "sample", [sample for sample, _ in pairs])
    table.insert(1, "annotated_slide", rows["sample"].tolist())
    against = contradictions(table["sample"], rows["categories"], rows["tissue"], rows["notes"])
    log.info("%d of %d slides have pathology notes or categories", len(table), len(sheet))
    for row in against.itertuples():
        log.warning("%s: %s: %s", row.sample, row.reason, row.text)
    return {"annotations": table, "annotation_counts": counts, "annotation_conflicts": against}


def read_tables(files: list[GtexFile], slides: list[str]) -> tuple:
    """Content of the files: lists of --slides, lists of the folder, subjects, attributes, changes, histology.

    Raises:
        DataError: faults of all files at once.
    """
    faults = Faults()

    def single(role: str, read: Callable):
        for path in of_role(files, role):
            with gathered(faults):
                return read(path)
        return None

    def lists(paths: list[str]) -> list[pd.DataFrame]:
        found = []
        for path in sorted(paths):
            with gathered(faults):
                found.append(slide_list(path))
                log.info("%s lists %d slides", path, len(found[-1]))
        return found

    asked, listed = lists(slides), lists(of_role(files, LIST))
    subjects, attributes = single(SUBJECTS, read_subjects), single(ATTRIBUTES, read_attributes)
    changes, histology = single(CHANGES, read_changes) or {}, read_histology([])
    with gathered(faults):
        histology = read_histology(of_role(files, HISTOLOGY))
    faults.stop()
    return asked, listed, subjects, attributes, changes, histology


def check_inputs(files: list[GtexFile], has_slides: bool, donor_tissue: bool) -> None:
    """Raise DataError, with all faults, where files lack that a join cannot do without."""
    faults = Faults()
    roles = {found.role for found in files}
    seen = f"of {len(files)} files" if files else "no file was given"
    if EXPRESSION not in roles:
        faults.add(f"{seen}, none is an expression file: put the GCT or Parquet file of a release there")
    if not roles & {SUBJECTS, HISTOLOGY}:
        faults.add(f"{seen}, none tells donors: put SubjectPhenotypesDS there (or the portal's histology table)")
    if not has_slides and not roles & {LIST, HISTOLOGY}:
        faults.add(f"{seen}, none names slides: put slides into slides/, a list of slides there, or give --features")
    if donor_tissue and ATTRIBUTES not in roles:
        faults.add("joining by donor and tissue needs the tissue of RNA samples: put SampleAttributesDS there")
    faults.stop()


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--files", nargs="+", default=[], help="files of the download; what each is, is read off its header")
    add("--expression", nargs="+", default=[], help="expression files to use, in place of those among --files")
    add("--slides", nargs="+", default=[], help="lists of the slides to use: tables of features, or lists")
    add("--found", help="text file: paths of slide files and of other files of the folder, one a line")
    add(
        "--donor-tissue",
        action="store_true",
        help="slides whose piece has no RNA take the donor's only one of the tissue",
    )
    add("--min-notes", type=int, default=10, help="notes that a word must stand in to become an annotation")
    add("--outdir", type=Path, default=Path("."), help="where the tables go")
    args = arguments.parse_args(argv)

    faults, files = Faults(), []
    found = slide_files(args.found)
    with gathered(faults):
        files = gtex_files(args.files, args.expression)
    with gathered(faults):
        check_inputs(files, bool(found or args.slides), args.donor_tissue)
    with gathered(faults):
        asked, lists, subjects, attributes, changes, histology = read_tables(files, args.slides)
    faults.stop()

    columns = [name for part in files if part.role == EXPRESSION for name in part.samples]
    rna = rna_samples(columns, attributes, changes)
    listed = slides_at_hand(asked, found, lists, histology, rna)
    claims = pd.concat([part[["sample", "tissue"]] for part in (listed, histology, *lists)], ignore_index=True)
    report = join_slides(listed, claims, rna, args.donor_tissue)
    report_slides(report)
    if not (report["status"] == "kept").any():
        reasons = preview(report["reason"].value_counts().index, 3)
        raise DataError(
            f"no slide has an RNA sample ({reasons}): slides are {preview(report['slide'], 3)}, expression columns "
            f"{preview(columns, 3)}: give the files of one GTEx release"
        )
    write_outputs(report, covariate_table(report, donors_of(subjects, histology), attributes), args.outdir)
    roles = [(part.name, part.role or "not used", part.note) for part in files]
    write_tsv(pd.DataFrame(roles, columns=["file", "role", "note"]), args.outdir / "gtex_files.tsv")
    if len(histology):
        for name, table in annotations(samplesheet(report), histology, args.min_notes).items():
            write_tsv(table, args.outdir / f"{name}.tsv")


def slides_at_hand(
    asked: list[pd.DataFrame], found: list[str], lists: list[pd.DataFrame], histology: pd.DataFrame, rna: RnaSamples
) -> pd.DataFrame:
    """Slides (LISTED): those asked for, with the files that are there; else files; else what is listed."""
    if not asked and found:
        by_piece = {gtex_piece(column): tissue for column, tissue in sorted(rna.tissue.items(), reverse=True)}
        return found_slides(found, lists, histology, by_piece)
    listed = listed_slides(asked or lists, histology)
    paths = {slide_name(path): path for path in sorted(found, reverse=True)}
    return listed.assign(path=[paths.get(slide_name(name), "") for name in listed["sample"]])


def write_outputs(report: pd.DataFrame, covariates: pd.DataFrame, outdir: Path) -> None:
    """samplesheet.csv, covariates.tsv, join_report.tsv, gtex.dropped.tsv."""
    with atomic(outdir / "samplesheet.csv") as temporary:
        samplesheet(report).to_csv(temporary, index=False, lineterminator="\n")
    write_tsv(covariates, outdir / "covariates.tsv")
    write_tsv(report[list(REPORT_COLUMNS)], outdir / "join_report.tsv")
    write_tsv(losses(report), outdir / "gtex.dropped.tsv")


if __name__ == "__main__":
    sys.exit(main())
