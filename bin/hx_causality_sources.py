#!/usr/bin/env python3
"""Summary associations of other studies as instruments: files that say how many donors they share with the cohort.

A table of variant-trait associations under comment lines of the form `# key: value`:

    # donor_overlap: none            or `partial, n=120` or `full`: donors who are in the cohort, too
    # build: GRCh38                  optional
    trait  variant  chrom  pos  effect_allele  other_allele  beta  se  [eaf]  [n]  [p]

A trait is a gene, feature or annotation as the run names it. A file that does not say its overlap is not used.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr

from hx_build import named_build, plain_chrom
from hx_cli import DataError, preview
from hx_gene_lists import without_version
from hx_io import read_table, read_text
from hx_join import key_columns

USED, REFUSED = "USED", "REFUSED"
NONE, PARTIAL, FULL = OVERLAPS = ("none", "partial", "full")
_NAMES = {
    "trait": ("trait", "gene", "gene_id", "phenotype_id", "exposure"),
    "variant": ("variant", "variant_id", "snp", "rsid"),
    "chrom": ("chrom", "chr", "chromosome"),
    "pos": ("pos", "position", "bp"),
    "effect_allele": ("effect_allele", "alt"),
    "other_allele": ("other_allele", "ref"),
    "beta": ("beta", "slope"),
    "se": ("se", "slope_se"),
    "eaf": ("eaf", "af"),
    "n": ("n", "samplesize"),
    "p": ("p", "pval", "pval_nominal"),
}
_OPTIONAL = ("eaf", "n", "p")
_PLACED = re.compile(r"(?:chr)?(\w+)[_:](\d+)[_:]([ACGT]+)[_:]([ACGT]+)(?:_b\d+)?")
# FastQTL writes these columns for anyone; with ids that carry their build (chr1_5_C_T_b38) they are the portal's.
_FASTQTL_COLUMNS = ({"variant_id", "slope", "slope_se"}, {"variant_id", "tss_distance"})
_GTEX_VARIANT = re.compile(r"(?:chr)?\w+_\d+_[ACGT]+_[ACGT]+_b3[78]")
_GTEX_DONOR = re.compile(r"GTEX[-.]")


class Source(NamedTuple):
    """A summary file. overlap: one of OVERLAPS, '' where not declared. shared: donors in common, NaN where not told.

    rows: trait, variant, chrom, pos, effect_allele, other_allele, beta, se, eaf, n, p; empty where it is refused.
    unusable: rows of the file without a position, a standard error or an effect other than 0, or given twice.
    """

    name: str
    status: str
    reason: str
    overlap: str
    shared: float
    build: str
    rows: pd.DataFrame
    unusable: int = 0


EMPTY = pd.DataFrame(columns=list(_NAMES))


def read_source(path: Path, donors: Iterable[str]) -> Source:
    """Read a summary file; one that cannot be used has a status and a reason, never an exception.

    donors: of the cohort: files of GTEx are not independent of a cohort of GTEx.
    """
    try:
        said, table = header_of(read_text(path)), read_table(path)
    except (DataError, OSError) as error:
        return _refused(path, f"not readable: {error}")
    build = named_build(said.get("build", ""))
    declared = re.fullmatch(r"(none|partial|full)(?:[,; ]+n ?= ?(\d+))?", said.get("donor_overlap", "").lower())
    if _is_gtex(path, table, said) and any(_GTEX_DONOR.match(donor) for donor in donors):
        if not declared or declared[1] == NONE:
            return _refused(path, "made of GTEx, as the cohort is: not independent of it: give a study of other donors")
    if not declared:
        told = f"donor_overlap is {said['donor_overlap']!r}" if "donor_overlap" in said else "no line donor_overlap"
        fix = "write `# donor_overlap: none`, `partial, n=DONORS` or `full` over its header"
        return _refused(path, f"{told}: {fix}")
    if declared[1] == PARTIAL and not declared[2]:
        return _refused(path, "donor_overlap is partial without n: write `# donor_overlap: partial, n=DONORS`")
    rows, reason = _typed(table)
    if reason:
        return _refused(path, reason)
    shared = 0.0 if declared[1] == NONE else float(declared[2]) if declared[2] else math.nan
    return Source(path.name, USED, "", declared[1], shared, build, rows, len(table) - len(rows))


def _refused(path: Path, reason: str) -> Source:
    return Source(path.name, REFUSED, reason, "", math.nan, "unknown", EMPTY)


def header_of(text: str) -> dict[str, str]:
    """{key: value} of the `# key: value` lines before the header of a table."""
    said = {}
    for line in text.split("\n"):
        if not line.startswith("#"):
            break
        key, colon, value = line.lstrip("# ").partition(":")
        if colon:
            said[key.strip().lower()] = value.strip()
    return said


def _is_gtex(path: Path, table: pd.DataFrame, said: dict[str, str]) -> bool:
    """Whether the file's name, its source line or its columns and variant ids are those of GTEx."""
    if any("gtex" in text.lower() for text in (path.name, said.get("source", ""))):
        return True
    if not any(columns <= set(table.columns) for columns in _FASTQTL_COLUMNS):
        return False
    return bool(len(table)) and bool(table["variant_id"].astype(str).str.fullmatch(_GTEX_VARIANT).all())


def _typed(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows under our names with numbers; and what is wrong with them, '' for nothing."""
    rows = pd.DataFrame({key: table[column] for key, column in key_columns(table.columns, _NAMES).items()})
    if "variant" in rows and not {"chrom", "pos", "effect_allele", "other_allele"} <= set(rows):
        # The effect allele of a variant named by its place is the alternative one.
        parts = rows["variant"].str.extract(_PLACED)
        for key, part in zip(("chrom", "pos", "other_allele", "effect_allele"), parts, strict=True):
            if key not in rows and parts[part].notna().all():
                rows[key] = parts[part]
    if lacking := [key for key in _NAMES if key not in rows and key not in _OPTIONAL]:
        return EMPTY, f"no column {preview(lacking, 8)}"
    for key in _OPTIONAL:
        rows[key] = rows.get(key, "")
    for key in ("pos", "beta", "se", *_OPTIONAL):
        rows[key] = pd.to_numeric(rows[key], errors="coerce")
    bad = ~(np.isfinite(rows[["pos", "beta", "se"]]).all(axis=1) & (rows["se"] > 0) & (rows["beta"] != 0))
    rows["chrom"] = rows["chrom"].map(plain_chrom)
    rows = rows[~bad]
    rows = rows.assign(p=rows["p"].fillna(pd.Series(2 * ndtr(-np.abs(rows["beta"] / rows["se"])), rows.index)))
    rows = rows.drop_duplicates(["trait", "chrom", "pos", "effect_allele", "other_allele"])
    return rows[list(_NAMES)].reset_index(drop=True), "" if len(rows) else "no row with beta, se and a position"


def of_trait(source: Source, names: Iterable[str]) -> pd.DataFrame:
    """Rows of a trait that goes by several names; gene ids match without their version."""
    names = pd.Series(list(names), dtype=str)
    wanted = {*names, *without_version(names)}
    rows = source.rows
    return rows[rows["trait"].isin(wanted) | without_version(rows["trait"].astype(str)).isin(wanted)]
