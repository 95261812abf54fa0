#!/usr/bin/env python3
"""Tables of a GTEx download under our names: donors, RNA samples, the portal's histology table. Of every release."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from hx_cli import DataError, Faults, log, preview
from hx_covariates import COHORT_COLUMNS
from hx_io import read_table
from hx_join import gathered, gtex_donor, key_columns, plain_gtex

# SEX and DTHHRDY of SubjectPhenotypesDS, by GTEx's data dictionary; DTHHRDY stays a number: it is ordinal.
SEX = {"1": "male", "2": "female"}
# Hardy scale as the portal's histology table words it.
HARDY = {
    "ventilator case": "0",
    "fast death - violent": "1",
    "fast death - natural causes": "2",
    "intermediate death": "3",
    "slow death": "4",
}
UNKNOWN = {"97", "98", "99"}  # codes of dbGaP's tables for unknown and not reported
# Releases before v7 say GENDER; the portal says it in words. Ours first.
DONOR_COLUMNS = {
    "donor": ("subjid", "subject id"),
    "sex": ("sex", "gender"),
    "age": ("age", "age bracket"),
    "hardy": ("dthhrdy", "hardy scale"),
}
BRACKET = re.compile(r"^(\d+)-(\d+)\Z")
EXACT_AGE = re.compile(r"\d+(\.\d+)?\Z")
# Sample attributes that are ids, free text or already used by the join.
NOT_COVARIATES = ("SMTS", "SMUBRID", "SMUBRTRM", "SMPTHNTS", "SMAFRZE", "dbGaP_Sample_ID", "dbGaP_Subject_ID")
# SMAFRZE of RNA samples that GTEx analysed: from v7 on, and in v6.
FREEZE = ("RNASEQ", "USE ME")
# Tissues of RNA that no slide is made of.
NO_SLIDE = re.compile(r"whole blood\Z|cells - ", re.I)


@dataclass(frozen=True)
class Attributes:
    """Sample attributes: RNA samples by GTEx id with dashes.

    Args:
        table: index rna_sample; tissue (SMTSD) and the other columns, text. Rows of the analysis freeze alone.
        refused: why other rows are not used, by rna_sample.
        skipped: rows that are not used, counted by reason.
    """

    table: pd.DataFrame
    refused: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


def midpoint(age: str) -> str:
    """Age in years: the middle of a bracket ('60-69' -> '64.5'), an exact age as it is."""
    bracket = BRACKET.match(age)
    return f"{(int(bracket[1]) + int(bracket[2])) / 2:g}" if bracket else age


def twice(ids: pd.Series, path: str, faults: Faults) -> None:
    """Add a fault for each id that stands in several rows of a table; index: row in the file, less 2."""
    repeated = ids[ids.duplicated(keep=False)]
    for name, part in repeated.groupby(repeated):
        faults.add(f"{path}, rows {preview(part.index + 2)}: {name} stands more than once: keep one row")


def donor_columns(table: pd.DataFrame, path: str, faults: Faults) -> pd.DataFrame:
    """donor, sex (male, female), age (years), hardy (0-4), as far as a table has them; text, '' = not stated.

    Numbers, words and brackets of every release are read; other values are faults.
    """
    by_name = {column.lower(): column for column in reversed(table.columns)}
    names = {ours: next((by_name[n] for n in theirs if n in by_name), "") for ours, theirs in DONOR_COLUMNS.items()}
    found = pd.DataFrame({ours: table[column].str.strip() for ours, column in names.items() if column})
    for column in found.columns.intersection(["sex", "hardy"]):
        found[column] = found[column].where(~found[column].isin(UNKNOWN), "")
    known = {
        "sex": lambda text: text.lower() in {*SEX, *SEX.values()},
        "age": lambda text: bool(BRACKET.match(text) or EXACT_AGE.match(text)),
        "hardy": lambda text: text in set("01234") or text.lower() in HARDY,
    }
    for column, right in known.items():
        for row, text in zip(found.index + 2, found.get(column, []), strict=False):
            if text and not right(text):
                faults.add(f"{path}, row {row}: {names[column]} {text!r} is no value GTEx knows: mend or blank it")
    if "donor" in found:
        found["donor"] = found["donor"].map(plain_gtex)
    if "sex" in found:
        found["sex"] = found["sex"].str.lower().replace(SEX)
    if "age" in found:
        found["age"] = found["age"].map(midpoint)
    if "hardy" in found:
        found["hardy"] = found["hardy"].str.lower().replace(HARDY)
    return found


def read_subjects(path: str) -> pd.DataFrame:
    """SubjectPhenotypesDS, open or of dbGaP: donor, sex, age, hardy, then what else it has (BMI, RACE, TRISCHD, ...).

    Raises:
        DataError: a column is missing, a value that the data dictionary does not know, a donor twice.
    """
    table = read_table(path)
    faults = Faults()
    found = donor_columns(table, path, faults)
    lacking = [ours for ours in DONOR_COLUMNS if ours not in found]
    if lacking:
        row = table.index.start + 1 if len(table) else 1
        raise DataError(
            f"{path}, row {row}: no column of {preview(lacking)} among {preview(table.columns, 10)}: "
            "SUBJID, SEX (or GENDER), AGE and DTHHRDY are expected"
        )
    twice(found["donor"], path, faults)
    faults.stop()
    read = {name for names in DONOR_COLUMNS.values() for name in names}
    more = [c for c in table if c.lower() not in {*read, *COHORT_COLUMNS} and c not in NOT_COVARIATES]
    return pd.concat([found, table[more]], axis=1)


def read_attributes(path: str) -> Attributes:
    """SampleAttributesDS, open or of dbGaP.

    Controls (K-562), DNA and excluded samples share the table with RNA: they are counted and left out. Where no row has
    a freeze that is known, none is left out for it.

    Raises:
        DataError: no SAMPID, or a GTEx sample twice.
    """
    table = read_table(path)
    names = key_columns(table.columns)
    if "rna_sample" not in names:
        raise DataError(f"{path}, row 1: no column SAMPID: give SampleAttributesDS as downloaded")
    ours = {column: key for key, column in names.items() if key in ("rna_sample", "tissue")}
    table = table.rename(columns=ours)
    if "tissue" not in table:
        table["tissue"] = ""
    table["tissue"] = table["tissue"].str.strip()
    table["rna_sample"] = table["rna_sample"].str.strip().map(plain_gtex)
    reason = pd.Series("", index=table.index)
    reason[table["rna_sample"].map(gtex_donor) == ""] = "no GTEx sample (K-562 and other controls)"
    faults = Faults()
    twice(table.loc[reason == "", "rna_sample"], path, faults)
    faults.stop()
    if "SMAFRZE" in table:
        freeze = table["SMAFRZE"].str.strip()
        if freeze.isin(FREEZE).any():
            other = (reason == "") & ~freeze.isin(FREEZE)
            reason[other] = "not in the RNA-seq freeze (SMAFRZE " + freeze[other].replace("", "blank") + ")"
        else:
            message = "%s: SMAFRZE is never %s: no sample is left out for it"
            log.warning(message, path, " or ".join(FREEZE))
    blood = (reason == "") & table["tissue"].map(lambda tissue: bool(NO_SLIDE.match(tissue)))
    reason[blood] = "blood or cell line: no slide is made of it"
    skipped = reason[reason != ""].value_counts().sort_index().to_dict()
    for why, count in skipped.items():
        log.info("%s: %d rows skipped: %s", path, count, why)
    gone = table[(reason != "") & (table["rna_sample"] != "")]
    refused = dict(zip(gone["rna_sample"], reason[gone.index], strict=True))
    kept = table[reason == ""].drop(columns=[c for c in (names.get("donor"),) if c])
    return Attributes(kept.set_index("rna_sample"), refused, skipped)


def read_changes(path: str) -> dict[str, str]:
    """Sample_Tissue_Changes_From_v8: the label that a sample had in v8, by rna_sample.

    Raises:
        DataError: a sample twice.
    """
    table = read_table(path)
    by_name = {column.lower(): column for column in table.columns}
    ids = table[by_name["sampid"]].str.strip().map(plain_gtex)
    faults = Faults()
    twice(ids, path, faults)
    faults.stop()
    return dict(zip(ids, table[by_name["smtsd_v8"]].str.strip(), strict=True))


def read_histology(paths: Sequence[str]) -> pd.DataFrame:
    """Histology tables of the portal (whole, or by tissue).

    Returns:
        sample (portal id as listed), tissue, donor, sex, age, hardy, categories, notes, file, row; text, '' = blank.

    Raises:
        DataError: an unreadable table, or values that GTEx does not know, of all tables at once.
    """
    columns = ["sample", "tissue", "donor", "sex", "age", "hardy", "categories", "notes", "file", "row"]
    faults, parts = Faults(), [pd.DataFrame(columns=columns, dtype=str)]
    for path in sorted(paths):
        with gathered(faults):
            table = read_table(path)
            by_name = {column.lower(): table[column].str.strip() for column in table.columns}
            part = donor_columns(table, path, faults)
            ids = by_name["tissue sample id"].map(plain_gtex)
            if "donor" not in part:
                part["donor"] = ids.map(gtex_donor)
            blank = pd.Series("", index=table.index)
            part = part.assign(
                sample=ids,
                tissue=by_name.get("tissue", blank),
                categories=by_name.get("pathology categories", blank),
                notes=by_name.get("pathology notes", blank),
                file=path,
                row=table.index + 2,
            )
            parts.append(part.reindex(columns=columns, fill_value=""))
    faults.stop()
    return pd.concat(parts, ignore_index=True)


def donors_of(subjects: pd.DataFrame | None, histology: pd.DataFrame) -> pd.DataFrame:
    """Donors (index) with sex, age, hardy and what else the subject phenotypes hold; text.

    The histology table speaks for donors that the phenotypes lack, or where there are none; where the two differ the
    phenotypes count, and that is logged.
    """
    told = histology[histology["donor"] != ""].drop_duplicates("donor").set_index("donor")[["sex", "age", "hardy"]]
    if subjects is None:
        return told
    ours = subjects.set_index("donor")
    both = ours.index.intersection(told.index)
    for column in told:
        mine, theirs = ours.loc[both, column], told.loc[both, column]
        differing = both[(mine != theirs) & (mine != "") & (theirs != "")]
        if len(differing):
            message = "%s of %d donors differs between subject phenotypes (which count) and histology table: %s"
            log.warning(message, column, len(differing), preview(differing))
    return pd.concat([ours, told[~told.index.isin(ours.index)]]).fillna("")
