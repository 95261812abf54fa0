#!/usr/bin/env python3
"""What each file of a GTEx download is, told by its header: names differ from release to release."""

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hx_cli import DataError, Faults, log, preview
from hx_expression import sample_names
from hx_join import gathered, gtex_donor, key_columns

EXPRESSION, ATTRIBUTES, SUBJECTS = "expression", "sample attributes", "subject phenotypes"
CHANGES, HISTOLOGY, LIST = "tissue changes", "histology table", "slide list"
# Of these a folder holds one: a second is that of another release, or a copy.
SINGLE = (ATTRIBUTES, SUBJECTS, CHANGES)
SUBJECT_MARKS = {"sex", "gender", "age", "dthhrdy"}
ATTRIBUTE_MARKS = {"smts", "smtsd", "smrin", "smafrze"}
# Matrices of other things than genes, which a download folder may hold too.
NOT_GENES = re.compile(r"exon|junction|transcript|isoform", re.I)
_UNITS = {"rpkm": r"rpkm", "fpkm": r"fpkm", "tpm": r"tpm", "counts": r"reads?|counts?"}
_RELEASE = re.compile(r"(?<![A-Za-z0-9])v(\d+p?)(?![A-Za-z0-9])", re.I)
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class GtexFile:
    """A file of a download. `role` is '' for one that is not used, `note` says why, or what it holds."""

    path: str
    role: str
    note: str = ""
    samples: tuple[str, ...] = ()  # of an expression file, as they stand in it

    @property
    def name(self) -> str:
        return Path(self.path).name

    @property
    def release(self) -> str:
        """Release that the name tells (v6p, v8, ...), '' when it tells none."""
        found = _RELEASE.search(_words(self.path))
        return f"v{found[1].lower()}" if found else ""

    @property
    def unit(self) -> str:
        """Unit of expression values that the name tells, '' when it tells none."""
        words = _words(self.path)
        return next((u for u, mark in _UNITS.items() if re.search(rf"(?<![a-z])({mark})(?![a-z])", words, re.I)), "")


def _words(path: str) -> str:
    return Path(path).name.replace("_", " ")


def gtex_file(path: str) -> GtexFile:
    """The role of a file, by its header alone.

    Raises:
        DataError: a damaged gzip file, or an expression file without usable sample names.
    """
    if path.endswith(".parquet"):
        return _matrix(path)
    lines = [line for line in head_lines(path) if line.strip()]
    header = next((line for line in lines if not re.match(r"#(#|\s|\Z)", line)), "")
    if header.startswith("#1."):
        return _matrix(path)
    columns = re.split(r"[\t,;]", header)
    names = {column.strip(' "').lower() for column in columns}
    if {"sampid", "smtsd_v8"} <= names:
        return GtexFile(path, CHANGES)
    if "sampid" in names and names & ATTRIBUTE_MARKS:
        return GtexFile(path, ATTRIBUTES)
    if "subjid" in names and names & SUBJECT_MARKS:
        return GtexFile(path, SUBJECTS)
    if "tissue sample id" in names and names & {"pathology categories", "pathology notes"}:
        return GtexFile(path, HISTOLOGY)
    if gtex_donor(header) or {"sample", "tissue"} <= set(key_columns(names)):
        return GtexFile(path, LIST)
    return GtexFile(path, "", f"no header of a GTEx file: it begins with {header[:40]!r}")


def head_lines(path: str) -> list[str]:
    """First lines of a text file, plain or gzipped, the last one perhaps cut; [] for a file that is no text."""
    with open(path, "rb") as handle:
        raw = handle.read(2)
    try:
        with gzip.open(path) if raw == b"\x1f\x8b" else open(path, "rb") as handle:
            raw = handle.read(_HEAD_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is cut short or damaged ({error}): download it again") from error
    utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = raw.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    return [] if "\0" in text else re.split(r"\r\n?|\n", text)


def _matrix(path: str) -> GtexFile:
    """An expression file, or '' for a matrix of other things or of no GTEx samples (medians by tissue)."""
    if NOT_GENES.search(Path(path).name):
        return GtexFile(path, "", "by its name a matrix of exons, junctions or transcripts, not of genes")
    samples = tuple(sample_names(path))
    if not any(map(gtex_donor, samples)):
        return GtexFile(path, "", f"no GTEx sample among its columns ({preview(samples, 3)})")
    return GtexFile(path, EXPRESSION, f"{len(samples)} samples", samples)


def gtex_files(paths: Sequence[str], expression: Sequence[str] = ()) -> list[GtexFile]:
    """Roles of the files of a folder, logged; sorted by path.

    Args:
        paths: files of the folder.
        expression: expression files that the user named; those of the folder are then not used.

    Raises:
        DataError: unreadable files, and files that do not go together, all at once.
    """
    faults, files = Faults(), []
    for path in sorted(paths):
        with gathered(faults):
            found = gtex_file(path)
            if found.role == EXPRESSION and expression:
                found = GtexFile(path, "", "other expression files are named by --expression")
            files.append(found)
    for path in sorted(expression):
        with gathered(faults):
            samples = tuple(sample_names(path))
            files.append(GtexFile(path, EXPRESSION, f"{len(samples)} samples", samples))
    for found in files:
        if found.role:
            log.info("read %s as %s%s", found.name, found.role, f" ({found.note})" if found.note else "")
        else:
            log.info("not used: %s: %s", found.name, found.note)
    for message in not_together(files):
        faults.add(message)
    faults.stop()
    return files


def of_role(files: Sequence[GtexFile], role: str) -> list[str]:
    """Paths of the files of a role."""
    return [found.path for found in files if found.role == role]


def not_together(files: Sequence[GtexFile]) -> list[str]:
    """Why files of a folder cannot be used side by side; each message names both."""
    told = []
    for role in SINGLE:
        paths = of_role(files, role)
        if len(paths) > 1:
            fix = f"both are {role}, of two releases or copies: keep the one of the newest release"
            told.append(f"{' and '.join(paths)}: {fix}")
    expression = [found for found in files if found.role == EXPRESSION]
    for number, one in enumerate(expression):
        for other in expression[number + 1 :]:
            pair = f"{one.path} and {other.path}"
            shared = set(one.samples) & set(other.samples)
            if one.unit and other.unit and one.unit != other.unit:
                fix = "two units do not mix: keep one, or name the files to use with --expression"
                told.append(f"{pair}: {one.unit} and {other.unit} by their names: {fix}")
            elif one.release and other.release and one.release != other.release:
                fix = "two releases do not mix: keep one, or name the files to use with --expression"
                told.append(f"{pair}: {one.release} and {other.release} by their names: {fix}")
            elif shared:
                fix = "keep one of them, or name the files to use with --expression"
                told.append(f"{pair}: {len(shared)} samples stand in both ({preview(sorted(shared), 3)}): {fix}")
    releases = {f.role: f.release for f in files if f.role in (EXPRESSION, ATTRIBUTES) and f.release}
    if len(set(releases.values())) > 1:
        message = "expression is of %s, sample attributes of %s: labels and values are taken from the attributes"
        log.warning(message, releases[EXPRESSION], releases[ATTRIBUTES])
    return told
