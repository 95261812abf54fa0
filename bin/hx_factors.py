#!/usr/bin/env python3
"""Covariate columns as typed factors: group by name, transform, coding, missing values; refused ones with the reason.

Groups and kinds are declared by name (GTEx's columns and common ones); any other column is of group `other` and tells
its kind by its cells. Genotype principal components are donor's, quality metrics of the library the RNA's.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hx_cli import DataError, preview
from hx_factor_cells import age, cell_texts, minutes, number, read_cells, read_days, score
from hx_factor_levels import MIN_LEVEL, code_levels, column_span, same_span, too_constant

GROUPS = ("donor", "handling", "rna_library", "slide", "other")
MAX_MISSING = 0.20  # share of donors
# Columns of our own tables that are no covariates.
OWN = frozenset(["donor", "tissue", "tissue_id", "samples", "sample", "rna_sample", "fold", "at_every_size"])
# Columns that are one thing under several names, the preferred name first: what a stage needs, it asks for by the key
# (named_for). Names as of plain_name().
NAMES_OF = {
    "hardy": "dthhrdy hardy hardy_scale",
    "ischaemia": "smtsisch trischd trisch ischemic_time ischaemic_time pmi",
    "autolysis": "smatsscr autolysis",
    "centre": "smcenter center centre site tissue_source_site",
    "rin": "smrin rin",
}
# (group, kind, names): names as of plain_name(). `time` is log2(minutes + 1), `age` a number or bracket, `multi` a list
# of labels ("B1, A1" is both). GTEx: SampleAttributesDS and SubjectPhenotypesDS of all releases.
DECLARED = (
    ("donor", "age", "age age_bracket age_at_index age_at_diagnosis age_years"),
    (
        "donor",
        "categorical",
        f"sex gender sex_at_birth race ethncty ethnicity {NAMES_OF['hardy']} cohort dthvnt dthseason",
    ),
    ("donor", "numeric", "bmi hght height wght weight"),
    ("handling", "time", f"{NAMES_OF['ischaemia']} smtspax fixation_time"),
    ("handling", "ordinal", NAMES_OF["autolysis"]),
    ("handling", "multi", NAMES_OF["centre"]),
    ("handling", "categorical", "smnabtch smnabtcht smgebtch smgebtcht batch plate fixative preservation"),
    ("handling", "date", "smnabtchd smgebtchd collection_date"),
    (
        "rna_library",
        "numeric",
        f"{NAMES_OF['rin']} sme2mprt smchmprs smntrart smnumgps smmaprt smexncrt sm550nrm smgnsdtc smunmprt sm350nrm "
        "smrdlgth smmncpb sme1mmrt smsflgth smestlbs smmppd smnterrt smrrnanm smrdttl smvqcfl smmncv smtrscpt smmppdpr "
        "smcglgth smgappct smunpdrd smntrnrt smmpunrt smexpeff smmppdun sme2mmrt sme2anti smaltalg sme2snse smmflgth "
        "smspltrd sme1anti smbsmmrt sme1snse sme1pcts smrrnart sme1mprt smnum5cd smdpmprt sme2pcts",
    ),
    ("slide", "numeric", "n_slides n_patches"),
    ("slide", "multi", "slide_scanner"),
    ("slide", "categorical", "classifier_split"),  # what a retrained encoder saw: features of its donors are in-sample
    ("slide", "date", "slide_scan_date"),
)
# The kind of these is told by the cells.
PATTERNS = (
    (re.compile(r"(genotype_?)?pc_?\d+\Z|c[1-9]\d?\Z"), "donor"),
    (re.compile(r"(dth|mh|lb)[a-z0-9]+\Z"), "donor"),  # death, medical history, serology of dbGaP's phenotypes
    (re.compile(r"slide_"), "slide"),
    (re.compile(r"sm[a-z0-9]+\Z"), "rna_library"),
)
NEVER = {
    **dict.fromkeys(["sampid", "subjid", "smubrid", "biosample"], "an id"),
    **dict.fromkeys(["smpthnts", "pathology_notes", "pathology_categories", "pathology_review_comments"], "a note"),
    **dict.fromkeys(["smts", "smtsd", "smubrtrm"], "the tissue"),
    "smafrze": "the release",
}
_ID = re.compile(r"(.*_)?(id|ids|uuid|barcode|accession)\Z")
# Codes for "not known" in dbGaP's phenotypes.
UNKNOWN_CODES = {name: frozenset(["98", "99"]) for name in ("race", "ethncty")}
_PHENOTYPE_CODES = (re.compile(r"(mh|lb)[a-z0-9]+\Z"), frozenset(["96", "97", "98", "99"]))
_KINDS = {name: (group, kind) for group, kind, names in DECLARED for name in names.split()}


@dataclass(frozen=True)
class Factor:
    """A covariate, coded for a linear model.

    name: column of the table. group: donor, handling, rna_library, slide or other.
    kind: numeric, ordinal, date, categorical or multi.
    values: (n, c) float64. numeric, ordinal, date: c = 1; categorical: a dummy a level, the first level dropped; multi:
        an indicator a label ("B1, A1" is both), those that the others tell dropped.
    labels: c names, SMTSISCH or SMCENTER=C1. missing: (n,) bool, before the rule.
    transform: what was done to the cells. rule: what was done for missing values; "" where none is missing.
    """

    name: str
    group: str
    kind: str
    values: np.ndarray
    labels: tuple[str, ...]
    missing: np.ndarray
    transform: str
    rule: str

    @property
    def indicator(self) -> np.ndarray:
        """(n, 1) indicator of missing values that goes with filled-in medians, (n, 0) where the rule has none.

        Categorical and multi factors carry theirs in `values`.
        """
        wanted = self.kind in ("numeric", "ordinal", "date") and self.missing.sum() >= MIN_LEVEL
        return self.missing[:, None].astype(np.float64)[:, : int(wanted)]


def factors(table: pd.DataFrame) -> tuple[list[Factor], pd.DataFrame]:
    """Typed factors of a cohort.

    Args:
        table: covariates by donor (index), a row a donor; cells text or numbers. Columns of OWN are passed over.

    Returns:
        Factors, by group in the order of GROUPS, then as the table has them; and the refused columns: column, reason.
        A factor that tells just what an earlier one tells (a linear function of it, the same levels) is refused.
    """
    kept: list[Factor] = []
    spans: list[np.ndarray] = []
    refused = []
    columns = [name for name in table.columns if name not in OWN]
    for name in sorted(columns, key=lambda name: GROUPS.index(declared(name)[0])):
        made = factor(table[name])
        if isinstance(made, Factor):
            span = column_span(made.values)
            twin = next((f for f, other in zip(kept, spans, strict=True) if same_span(other, span)), None)
            if twin is None:
                kept.append(made)
                spans.append(span)
                continue
            made = f"collinear: tells the same as {twin.name}"
        refused.append((name, made))
    return kept, pd.DataFrame(refused, columns=["column", "reason"], dtype=str)


def declared(name: str) -> tuple[str, str]:
    """Group of a column, and its kind: numeric, age, time, ordinal, date, categorical, multi; "" is told by cells."""
    plain = plain_name(name)
    if plain in _KINDS or named_as(name):
        return _KINDS.get(plain, ("other", ""))
    return next((group for pattern, group in PATTERNS if pattern.match(plain)), "other"), ""


def named_for(what: str, columns: Iterable[str]) -> str | None:
    """The column that holds `what` (of NAMES_OF): of several, the one whose name comes first there; None for none."""
    plain = {plain_name(column): column for column in columns}
    return next((plain[name] for name in NAMES_OF[what].split() if name in plain), None)


def named_as(name: str) -> str:
    """What a column is by its name that can be no factor: an id, a note, the tissue; "" for all others."""
    plain = plain_name(name)
    return NEVER.get(plain, "an id" if _ID.match(plain) else "")


def known_cells(column: pd.Series) -> np.ndarray:
    """(n,) text of a column's cells, "" for missing ones, codes for "not known" of its name among them."""
    plain = plain_name(column.name)
    pattern, codes = _PHENOTYPE_CODES
    return cell_texts(column, UNKNOWN_CODES.get(plain) or (codes if pattern.match(plain) else frozenset()))


def factor(column: pd.Series) -> Factor | str:
    """A column (index donor) as a factor, or why it is none."""
    if what := named_as(column.name):
        return f"named as {what}: no factor"
    texts = known_cells(column)
    absent = int((texts == "").sum())
    if absent > MAX_MISSING * len(texts):
        return f"missing in {absent} of {len(texts)} donors, more than {MAX_MISSING:.0%}"
    if len(set(texts) - {""}) == 1:
        return f"constant: {max(texts)} in all donors"
    group, kind = declared(column.name)
    kind = kind or kind_of(texts)
    if kind not in ("categorical", "multi"):
        return _number(column, group, kind, texts)
    coded = code_levels(texts, several=kind == "multi")
    if isinstance(coded, str):
        return coded
    labels = tuple(f"{column.name}={level}" for level in coded.levels)
    return Factor(column.name, group, coded.kind, coded.values, labels, coded.missing, coded.transform, coded.rule)


def plain_name(name: object) -> str:
    """'Hardy Scale' -> 'hardy_scale', and the GDC's 'demographic.race' -> 'race'."""
    plain = re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")
    return re.sub(r"^(cases|demographic|diagnoses|exposures)_", "", plain)


def kind_of(texts: np.ndarray) -> str:
    """Kind of a column that is not declared: numeric or date when all of its cells are, else levels."""
    known = sorted(set(texts) - {""})
    if all(number(text) is not None for text in known):
        return "numeric"
    # Most columns of words are told by their first cell.
    days = not any(read_days(np.array(some, dtype=object))[1].any() for some in (known[:1], known))
    return "date" if days else "categorical"


def numbers_of(texts: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Cells of a column of a kind but levels as (n,) numbers, not transformed, and the mask of the unreadable."""
    reader = {"time": minutes, "age": age, "ordinal": score, "numeric": number}.get(kind)
    return read_cells(texts, reader) if reader else read_days(texts)


def _number(column: pd.Series, group: str, kind: str, texts: np.ndarray) -> Factor | str:
    """Numeric, ordinal or date factor: one column, missing values at the median."""
    values, unreadable = numbers_of(texts, kind)
    if unreadable.any():
        first = int(np.argmax(unreadable))
        what = {"date": "date", "time": "time"}.get(kind, "number")
        return (
            f"no {what} in {unreadable.sum()} of {len(texts)} donors, e.g. {texts[first]!r} of {column.index[first]}: "
            "correct the cells"
        )
    transform = {"time": "log2(x + 1)", "date": "days"}.get(kind, "as given")
    if kind == "age" and read_cells(texts, number)[1].any():
        transform = "midpoint of bracket"
    if kind == "time":
        values = np.log2(values + 1)
    missing = np.isnan(values)
    absent = int(missing.sum())
    if absent > MAX_MISSING * len(values):
        return f"missing or below 0 in {absent} of {len(values)} donors, more than {MAX_MISSING:.0%}"
    _, where, counts = np.unique(values[~missing], return_index=True, return_counts=True)
    if problem := too_constant(texts[~missing][where[counts.argmax()]], int(counts.sum() - counts.max())):
        return problem
    rule = ""
    if absent:
        indicator = ", and an indicator" if absent >= MIN_LEVEL else ""
        rule = f"median for {absent} of {len(values)} donors{indicator}"
    filled = np.where(missing, np.median(values[~missing]), values)[:, None]
    kind = {"age": "numeric", "time": "numeric"}.get(kind, kind)
    return Factor(column.name, group, kind, filled, (column.name,), missing, transform, rule)


def published_factors(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The study's technical factors (Jones 2017): every numeric column as it is, ids and collinear dummies among them.

    A 0/1 column SMCENTER_<level> for every level; log2(x + 1) of SMTSISCH on the column (the study's code took the row
    of that number in two of three places); cells that are no number are missing; columns without a number go, then
    donors that lack any, then constant columns. Columns of OWN and of the slides are passed over: the study had none.

    Returns:
        (donors, columns) float64 table of the complete donors, and the (n,) mask of these among the rows of `table`.

    Raises:
        DataError: no donor is complete, or no column is left.
    """
    names = [c for c in table.columns if c not in OWN and c != "SMCENTER" and declared(c)[0] != "slide"]
    numbers = {name: read_cells(cell_texts(table[name]), number)[0] for name in names}
    if "SMCENTER" in table:
        centres = cell_texts(table["SMCENTER"])
        numbers |= {f"SMCENTER_{c}": (centres == c).astype(np.float64) for c in sorted(set(centres) - {""})}
    out = pd.DataFrame(numbers, index=table.index, dtype=np.float64)
    if "SMTSISCH" in out:
        out["SMTSISCH"] = np.log2(out["SMTSISCH"].where(out["SMTSISCH"] >= 0) + 1)
    out = out.loc[:, out.notna().any()]
    complete = out.notna().all(axis=1).to_numpy()
    if not complete.any():
        worst = out.isna().sum().sort_values(ascending=False, kind="stable")[:3]
        told = preview(f"{name} lacks {count} of {len(out)}" for name, count in worst.items())
        raise DataError(
            f"published factors: no donor has a number in each of {out.shape[1]} columns ({told}): remove such columns"
        )
    out = out[complete]
    out = out.loc[:, out.nunique() > 1]
    if not out.shape[1]:
        raise DataError("published factors: no numeric covariate varies over the donors: give --covariates")
    return out, complete
