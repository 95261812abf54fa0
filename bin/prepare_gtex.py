#!/usr/bin/env python3
"""From GTEx files as downloaded to a samplesheet and covariates, with every slide's join on record.

Slide lists are known by their header: the portal's histology CSV (Tissue Sample ID, Tissue), tables of slide-level
features (Image, tissue), or a list without header (slide id, blank, tissue).
"""

import re
import sys
from pathlib import Path, PurePosixPath

import pandas as pd

from hx_cli import DataError, Faults, command, log, parser, preview
from hx_covariates import read_covariates, rna_annotation, rna_rin
from hx_expression import sample_names
from hx_io import atomic, read_text, write_tsv
from hx_join import (
    dropped_table,
    gathered,
    gtex_donor,
    gtex_piece,
    match_expression,
    one_rna_per_donor,
    piece_keys,
    read_keys,
    tissue_id,
)

STAGE = "prepare_gtex"
REPORT_COLUMNS = (
    "slide", "tissue", "key", "rule", "SAMPID", "others", "SUBJID", "SMTSD", "status", "reason", "file", "row"
)  # fmt: skip
# SEX and DTHHRDY of SubjectPhenotypesDS, by GTEx's data dictionary; DTHHRDY stays a number: it is ordinal.
SEX = {"1": "male", "2": "female"}
# Releases before v7 say GENDER; `donor` is our name for SUBJID.
SUBJECT_COLUMNS = {"donor": ("donor",), "sex": ("SEX", "GENDER"), "age": ("AGE",), "hardy": ("DTHHRDY",)}
BRACKET = re.compile(r"^(\d+)-(\d+)\Z")
# Sample attributes that are ids, free text or already used by the join.
NOT_COVARIATES = ("SAMPID", "SMTS", "SMTSD", "SMUBRID", "SMUBRTRM", "SMPTHNTS", "SMAFRZE")


def slide_list(path: str) -> pd.DataFrame:
    """Read one list of slides: sample (id as listed), tissue, file, row; text.

    Raises:
        DataError: none of the lists that are known.
    """
    lines = read_text(path).split("\n")
    if gtex_donor(lines[0]):
        rows = [(number, *line.strip().split(None, 1)) for number, line in enumerate(lines, start=1) if line.strip()]
        short = [row for row in rows if len(row) < 3]
        if short:
            fix = "has no tissue: a slide id, a blank and the tissue are expected"
            raise DataError(*(f"{path}, row {number}: {name} {fix}" for number, name in short))
        listed = pd.DataFrame(rows, columns=["row", "sample", "tissue"]).assign(file=path)
        return listed[["sample", "tissue", "file", "row"]]
    keys = read_keys(path)
    lacking = {"sample", "tissue"} - set(keys)
    if lacking:
        raise DataError(
            f"{path}, row 1: no column of {' and '.join(sorted(lacking))}s: expected are Tissue Sample ID and Tissue, "
            "or Image and tissue, or lines of slide id, blank, tissue"
        )
    return keys[["sample", "tissue"]].assign(file=path, row=keys.index + 2)


def slide_name(listed: str) -> str:
    """Portal id of a slide as it is listed: without folder, extension and suffixes; '' when it is no GTEx slide."""
    return gtex_piece(PurePosixPath(listed).name)


def join_slides(
    listed: pd.DataFrame, columns: list[str], rin: dict[str, float], rna_tissue: dict[str, str]
) -> pd.DataFrame:
    """Join listed slides with RNA samples by piece.

    Args:
        listed: sample, tissue, file, row (of slide_list, all lists).
        columns, rin, rna_tissue: as in match_expression.

    Returns:
        REPORT_COLUMNS, a row a listed row, in their order: status kept or dropped, reason ('' when kept). SAMPID is the
        RNA sample of the donor and tissue (all its slides share one), `others` those that fitted but lost.
    """
    slides = listed.reset_index(drop=True).assign(slide=listed["sample"].map(slide_name).to_numpy())
    slides["sample"] = slides["slide"]
    slides["tissue_id"] = slides["tissue"].map(tissue_id)
    slides["donor"] = slides["slide"].map(gtex_donor)
    reason = pd.Series("", index=slides.index)
    reason[slides["slide"] == ""] = "no GTEx slide id (GTEX-donor-piece)"
    reason[(reason == "") & (slides["tissue_id"] == "")] = "no tissue"
    # Blocks that share RNA must agree: of two tissues one is wrong, and nothing here says which.
    piece = slides["slide"].map(lambda name: piece_keys(name)[-1] if name else "")
    named = pd.DataFrame({"piece": piece, "tissue_id": slides["tissue_id"]})[reason == ""].drop_duplicates()
    disagreeing = piece.isin(named["piece"][named["piece"].duplicated()])
    reason[(reason == "") & disagreeing] = "tissue conflict: the slide lists give this piece two tissues"
    repeated = (reason == "") & slides.duplicated(["slide", "tissue_id"])
    reason[repeated] = "listed before"
    matches = match_expression(slides, columns, rin, rna_tissue)
    # Only pieces count here: a slide id or donor that happens to be a column is no RNA sample of GTEx.
    conflict = matches["reason"].str.startswith("tissue conflict")
    unmatched = (reason == "") & ~matches["rule"].str.startswith("piece")
    reason[unmatched] = matches["reason"].where(conflict, "no RNA sample of this piece")[unmatched]
    kept = slides[reason == ""]
    chosen = one_rna_per_donor(kept.assign(rna=matches["rna"][kept.index]), rin).reindex(slides.index).fillna("")
    others = [
        ";".join(name for name in names if name != rna)
        for names, rna in zip(matches["candidates"], chosen, strict=True)
    ]
    return pd.DataFrame({
        "slide": slides["slide"].where(slides["slide"] != "", listed["sample"].to_numpy()),
        "tissue": slides["tissue"],
        "key": piece,
        "rule": matches["rule"].where(reason == "", ""),
        "SAMPID": chosen,
        "others": others,
        "SUBJID": slides["donor"],
        "SMTSD": [rna_tissue.get(name, "") for name in chosen],
        "status": ["dropped" if why else "kept" for why in reason],
        "reason": reason,
        "file": slides["file"].map(lambda name: Path(name).name),
        "row": slides["row"],
    })[list(REPORT_COLUMNS)]  # fmt: skip


def losses(report: pd.DataFrame) -> pd.DataFrame:
    """dropped.tsv: a row a listed slide that is not kept, and a row a donor x tissue that has no slide left."""
    gone = report[report["status"] == "dropped"]
    rows = [(slide, "slide", why) for slide, why in zip(gone["slide"], gone["reason"], strict=True)]
    kept = set(zip(*(report.loc[report["status"] == "kept", c] for c in ("SUBJID", "tissue")), strict=True))
    absent: dict[tuple[str, str], dict[str, None]] = {}
    for donor, tissue, why in zip(gone["SUBJID"], gone["tissue"], gone["reason"], strict=True):
        if donor and (donor, tissue) not in kept:
            absent.setdefault((donor, tissue), {})[why] = None
    rows += [(donor, "donor", f"{tissue}: {preview(whys, 3)}") for (donor, tissue), whys in absent.items()]
    return dropped_table(rows, STAGE)


def midpoint(age: str) -> str:
    """Age in years: the middle of a bracket ('60-69' -> '64.5'), an exact age as it is."""
    bracket = BRACKET.match(age)
    return f"{(int(bracket[1]) + int(bracket[2])) / 2:g}" if bracket else age


def donor_covariates(subjects: pd.DataFrame, path: str) -> pd.DataFrame:
    """donor, sex (male, female), age (years), hardy (0-4) of SubjectPhenotypesDS of any release; text.

    Raises:
        DataError: a column is missing, or a value that the data dictionary does not know.
    """
    names = {name: next((c for c in choices if c in subjects), "") for name, choices in SUBJECT_COLUMNS.items()}
    lacking = [name for name, column in names.items() if not column]
    if lacking:
        raise DataError(
            f"{path}, row 1: no column of {preview(lacking)} among {preview(subjects.columns, 10)}: "
            "SUBJID, SEX (or GENDER), AGE and DTHHRDY are expected"
        )
    table = pd.DataFrame({name: subjects[column].str.strip() for name, column in names.items()})
    faults = Faults()
    known = {
        "sex": lambda text: text.lower() in {*SEX, *SEX.values()},
        "age": lambda text: bool(BRACKET.match(text) or re.fullmatch(r"\d+(\.\d+)?", text)),
        "hardy": lambda text: text in set("01234"),
    }
    for column, right in known.items():
        for row, text in enumerate(table[column], start=2):
            if text and not right(text):
                faults.add(f"{path}, row {row}: {names[column]} {text!r} is no value GTEx knows: mend or blank it")
    twice(table["donor"], path, faults)
    faults.stop()
    table["sex"] = table["sex"].str.lower().replace(SEX)
    table["age"] = table["age"].map(midpoint)
    return table


def twice(ids: pd.Series, path: str, faults: Faults) -> None:
    """Add a fault for each id that stands in several rows of a table."""
    repeated = ids[ids.duplicated(keep=False)]
    for name, part in repeated.groupby(repeated):
        faults.add(f"{path}, rows {preview(part.index + 2)}: {name} stands more than once: keep one row")


def covariate_table(report: pd.DataFrame, donors: pd.DataFrame, attributes: pd.DataFrame | None) -> pd.DataFrame:
    """Covariates of the kept slides: a row a donor; with sample attributes a row a slide, those of its RNA sample too.

    Donors and RNA samples stand once each in `donors` and `attributes`.
    """
    kept = report[report["status"] == "kept"]
    known = donors.set_index("donor")
    absent = sorted(set(kept["SUBJID"]) - set(known.index))
    if absent:
        message = "%d donors are not in the subject phenotypes, their covariates stay blank: %s"
        log.warning(message, len(absent), preview(absent))
    if attributes is None:
        names = sorted(set(kept["SUBJID"]))
        return known.reindex(names).fillna("").rename_axis("donor").reset_index()
    of_sample = attributes.set_index("rna_sample")
    of_sample = of_sample.drop(columns=[c for c in (*NOT_COVARIATES, "tissue") if c in of_sample])
    kept = kept.sort_values("slide")
    parts = [
        kept[["slide", "SUBJID"]].set_axis(["sample", "donor"], axis=1).reset_index(drop=True),
        known.reindex(kept["SUBJID"]).fillna("").reset_index(drop=True),
        of_sample.reindex(kept["SAMPID"]).fillna("").reset_index(drop=True),
    ]
    return pd.concat(parts, axis=1)


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add("--expression", nargs="+", required=True, help="GTEx expression files; only their headers are read")
    add("--subjects", required=True, help="SubjectPhenotypesDS as downloaded")
    add("--attributes", help="SampleAttributesDS as downloaded: RIN decides between aliquots, tissues are compared")
    add("--slides", nargs="+", required=True, help="lists of slides")
    add("--outdir", type=Path, default=Path("."), help="where the tables go")
    args = arguments.parse_args(argv)

    faults, columns, lists = Faults(), [], []
    donors, attributes = None, {}
    for path in sorted(args.expression):
        with gathered(faults):
            columns += sample_names(path)
    for path in sorted(args.slides):
        with gathered(faults):
            lists.append(slide_list(path))
    with gathered(faults):
        donors = donor_covariates(read_covariates([args.subjects])[args.subjects], args.subjects)
    with gathered(faults):
        attributes = read_covariates([args.attributes]) if args.attributes else {}
        if args.attributes:
            if "rna_sample" not in attributes[args.attributes]:
                raise DataError(f"{args.attributes}, row 1: no column SAMPID: give SampleAttributesDS as downloaded")
            twice(attributes[args.attributes]["rna_sample"], args.attributes, faults)
    faults.stop()

    report = join_slides(
        pd.concat(lists, ignore_index=True), columns, rna_rin(attributes), rna_annotation(attributes, "tissue")
    )
    kept = report[report["status"] == "kept"]
    if kept.empty:
        raise DataError(
            f"no slide of {preview(args.slides)} has an RNA sample: slides are {preview(report['slide'], 3)}, "
            f"expression columns {preview(columns, 3)}: give the files of one GTEx release"
        )
    sheet = pd.DataFrame({
        "sample": kept["slide"],
        "donor": kept["SUBJID"],
        "tissue": kept["tissue"],
        "slide": "slides/" + kept["slide"] + ".svs",
        "rna_sample": kept["SAMPID"],
    }).sort_values(["tissue", "sample"])  # fmt: skip
    with atomic(args.outdir / "samplesheet.csv") as temporary:
        sheet.to_csv(temporary, index=False, lineterminator="\n")
    write_tsv(covariate_table(report, donors, attributes.get(args.attributes)), args.outdir / "covariates.tsv")
    write_tsv(report, args.outdir / "join_report.tsv")
    write_tsv(losses(report), args.outdir / "gtex.dropped.tsv")
    for tissue, part in report.groupby("tissue"):
        mine = part[part["status"] == "kept"]
        log.info("%s: %d slides listed, %d kept, %d donors", tissue, len(part), len(mine), mine["SUBJID"].nunique())


if __name__ == "__main__":
    sys.exit(main())
