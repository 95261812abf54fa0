#!/usr/bin/env python3
"""TCGA as the GDC hands it out: barcodes, sample sheets, clinical tables, and the join of slides with RNA.

A barcode is `TCGA-<site>-<case>-<type><vial>-<portion>-<slide or aliquot>`: 12 characters are the case, the next field
the sample type (01 primary tumour, 06 metastasis, 11 normal) and vial. A file of counts has no barcode: the sample
sheet says whose it is.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from hx_cli import DataError, Faults, log, preview
from hx_covariates import COHORT_COLUMNS
from hx_io import read_table
from hx_join import gathered

STAGE = "prepare_tcga"
COUNTS_SUFFIXES = ("star_gene_counts.tsv", "star_gene_counts.tsv.gz")
REPORT_COLUMNS = ["slide", "tissue", "kind", "rule", "rna_sample", "others", "donor", "status", "reason", "file"]
# GDC code table of sample types; solid tissues and blood cancers that a slide may show.
TYPES = {
    "01": "primary",
    "02": "recurrent",
    "03": "primary blood",
    "05": "additional primary",
    "06": "metastasis",
    "07": "additional metastasis",
    "11": "normal",
}
# Slides: DX from formalin and paraffin; TS, BS, MS top, bottom, middle of a frozen portion.
FFPE, FROZEN = ("DX",), ("TS", "BS", "MS")
_BARCODE = re.compile(
    r"(TCGA-([A-Z0-9]{2})-[A-Z0-9]{4})-(\d{2})([A-Z])(?:-\d{2}[A-Z]?-([A-Z]{2})[A-Z0-9]*)?(?![A-Z0-9])"
)
_SHEET = {"file": "file name", "project": "project id", "sample": "sample id"}
_CASE = ("case_submitter_id", "cases.submitter_id", "bcr_patient_barcode")
_SEX = ("gender", "demographic.gender", "sex_at_birth", "demographic.sex_at_birth")
_AGE = ("age_at_index", "demographic.age_at_index")
# How GDC's clinical tables write a value that is not there.
BLANK = {"", "'--", "--", "not reported", "not available", "[not available]", "[not applicable]", "unknown"}


@dataclass(frozen=True)
class Barcode:
    """Parts of a barcode. `kind` is that of a slide (DX, TS, BS, MS), '' for a sample."""

    case: str
    site: str  # tissue source site
    type: str
    vial: str
    kind: str

    @property
    def preservation(self) -> str:
        return "ffpe" if self.kind in FFPE else "frozen" if self.kind in FROZEN else ""


def barcode(name: str) -> Barcode | None:
    """The barcode that a sample id or the name of a slide file begins with; None when there is none.

    >>> barcode("TCGA-A2-A04R-01Z-00-DX1.BE3661A3.svs")
    Barcode(case='TCGA-A2-A04R', site='A2', type='01', vial='Z', kind='DX')
    """
    found = _BARCODE.match(name)
    return Barcode(found[1], found[2], found[3], found[4], found[5] or "") if found else None


def tissue_name(project: str, code: str) -> str:
    """'TCGA-HNSC primary': project and sample type, which never mix."""
    return f"{project} {TYPES.get(code, 'type ' + code)}"


def is_sample_sheet(columns: Sequence[str]) -> bool:
    return set(_SHEET.values()) <= {column.lower() for column in columns}


def read_sheets(paths: Sequence[str]) -> pd.DataFrame:
    """GDC sample sheets: file (name), project, sample, sheet, row; a row a file. Columns are found by header.

    Raises:
        DataError: no sheet, a file twice with two samples; all at once.
    """
    faults, parts = Faults(), []
    for path in sorted(paths):
        with gathered(faults):
            table = read_table(path)
            by_name = {column.lower(): table[column].str.strip() for column in table.columns}
            part = pd.DataFrame({ours: by_name[theirs] for ours, theirs in _SHEET.items()})
            parts.append(part.assign(sheet=path, row=table.index + 2))
    faults.stop()
    if not parts:
        columns = "File Name, Project ID, Sample ID"
        raise DataError(
            f"no sample sheet among the tables (columns {columns}): download it from the GDC with the files"
        )
    rows = pd.concat(parts, ignore_index=True).drop_duplicates(["file", "sample", "project"], ignore_index=True)
    for name, part in rows[rows["file"].duplicated(keep=False)].groupby("file"):
        places = ", ".join(f"{sheet}, row {row}" for sheet, row in zip(part["sheet"], part["row"], strict=True))
        faults.add(f"{places}: file {name} stands there with samples {preview(part['sample'])}: keep one row")
    faults.stop()
    return rows


def rna_files(rows: pd.DataFrame, counts: Sequence[str]) -> pd.DataFrame:
    """Files of counts with the sample of each: sample, path, case, type, vial; one a sample, first by file name.

    Several files of one sample are several aliquots. What is left out is logged: files without a row in the sheet, rows
    without a file, pooled samples, control analytes.
    """
    sheet = rows[rows["file"].str.endswith(COUNTS_SUFFIXES)]
    path_of = {PurePosixPath(path).name: path for path in sorted(counts, reverse=True)}
    strange = sorted(set(path_of) - set(sheet["file"]))
    if strange:
        log.warning("%d files of counts are in no sample sheet and are not used: %s", len(strange), preview(strange, 3))
    absent = sorted(set(sheet["file"]) - set(path_of))
    if absent:
        log.warning("%d files of the sample sheet are not here: %s", len(absent), preview(absent, 3))
    here = sheet[sheet["file"].isin(path_of)].sort_values(["sample", "file"])
    parsed = here["sample"].map(barcode)
    bad = here["sample"].str.contains(",") | parsed.isna()
    if bad.any():
        log.warning(
            "%d files of pooled or other samples are not used: %s", bad.sum(), preview(here.loc[bad, "sample"], 3)
        )
    here, parsed = here[~bad], parsed[~bad]
    files = pd.DataFrame({
        "sample": here["sample"],
        "path": here["file"].map(path_of),
        "case": [code.case for code in parsed],
        "type": [code.type for code in parsed],
        "vial": [code.vial for code in parsed],
    })  # fmt: skip
    further = files["sample"].duplicated()
    if further.any():
        message = "%d further aliquots are not used, the first by file name counts: %s"
        log.info(
            message, further.sum(), preview(files.loc[further, "path"].map(lambda path: PurePosixPath(path).name), 3)
        )
    return files[~further].reset_index(drop=True)


def join_slides(paths: Sequence[str], rows: pd.DataFrame, rna: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Join slide files with RNA of the same case and sample type.

    One RNA sample stands for a case and type: of the vial of one of its frozen slides, else the first by name. (Vial Z
    of a formalin slide is that of no RNA.)

    Args:
        paths: slide files.
        rows: of read_sheets; they tell the project of a case.
        rna: of rna_files.
        kinds: kinds of slides to use.

    Returns:
        REPORT_COLUMNS and path, a row a slide, sorted by name.
    """
    project_of = {code.case: p for p, s in zip(rows["project"], rows["sample"], strict=True) if (code := barcode(s))}
    of_pair: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for sample, case, code, vial in zip(*(rna[c] for c in ("sample", "case", "type", "vial")), strict=True):
        of_pair[case, code].append((vial, sample))
    slides = [(PurePosixPath(path).name.split(".")[0], path) for path in sorted(paths)]
    vials: dict[tuple[str, str], set[str]] = defaultdict(set)
    reasons, seen = [], set()
    for name, _ in slides:
        code = barcode(name)
        reasons.append(_unusable(name, code, project_of, of_pair, kinds, seen))
        if not reasons[-1]:
            vials[code.case, code.type].add(code.vial)
        seen.add(name)
    report = []
    for (name, path), why in zip(slides, reasons, strict=True):
        code = barcode(name)
        pair = (code.case, code.type) if code else ("", "")
        choice = sorted(of_pair[pair], key=lambda rna, pair=pair: (rna[0] not in vials[pair], rna)) if not why else []
        report.append((
            name,
            tissue_name(project_of[code.case], code.type) if code and code.case in project_of else "",
            code.kind if code else "",
            ("vial" if choice[0][0] == code.vial else "case_and_type") if choice else "",
            choice[0][1] if choice else "",
            ";".join(sample for _, sample in choice[1:]),
            code.case if code else "",
            "dropped" if why else "kept",
            why,
            PurePosixPath(path).name,
            path,
        ))  # fmt: skip
    return pd.DataFrame(report, columns=[*REPORT_COLUMNS, "path"]).sort_values(["slide", "path"], ignore_index=True)


def _unusable(name: str, code: Barcode | None, project_of: dict, of_pair: dict, kinds: Sequence[str], seen: set) -> str:
    """Why a slide is not kept, '' when it is."""
    if code is None or not code.kind:
        return "no barcode of a TCGA slide"
    if name in seen:
        return "a second file of this slide"
    if code.kind not in kinds:
        return f"a {code.kind} slide ({code.preservation or 'unknown'}), not among those asked for"
    if code.case not in project_of:
        return "its case is in no sample sheet"
    if (code.case, code.type) not in of_pair:
        types = sorted(other for case, other in of_pair if case == code.case)
        return f"no RNA of sample type {code.type}" + (f" (of its case there is {preview(types)})" if types else "")
    return ""


def read_clinical(path: str) -> pd.DataFrame:
    """A clinical table of the GDC: a row a case (index), text; sex and age as GTEx's covariates are named.

    A case with several rows (one a treatment or diagnosis) keeps the columns that agree; ids and blank columns are left
    out.

    Raises:
        DataError: no column of cases.
    """
    table = read_table(path)
    names = {column.lower(): column for column in table.columns}
    case = next((names[name] for name in _CASE if name in names), None)
    if case is None:
        raise DataError(f"{path}, row 1: no column {' or '.join(_CASE)} among {preview(table.columns)}: add one")
    cases = table[case].str.strip()
    values = table.apply(lambda column: column.str.strip().where(~column.str.strip().str.lower().isin(BLANK)))
    varying = [c for c in values if (values.groupby(cases)[c].nunique() > 1).any()]
    if varying:
        message = "%s: %d columns differ between rows of a case and are left out: %s"
        log.info(message, path, len(varying), preview(varying))
    ids = [c for c in values if re.search(r"(^|[._])(id|barcode|uuid)$", c.lower()) or c.lower() in COHORT_COLUMNS]
    blank = [c for c in values if values[c].isna().all()]
    values = values.drop(columns={*varying, *ids, *blank, case}).groupby(cases).first().fillna("")
    for ours, theirs in (("sex", _SEX), ("age", _AGE)):
        column = next((names[name] for name in theirs if names.get(name) in values), None)
        if column and ours not in values:
            values = values.rename(columns={column: ours})
    return values.drop(index="", errors="ignore")
