#!/usr/bin/env python3
"""Labels of donors that features are compared with: pathology, clinical columns; what each is, which are not used.

A label is binary, ordinal, levels or number by its cells. One that cannot be tested is a row with the reason.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hx_donors import factor_of
from hx_expression import rank_inverse_normal
from hx_factors import NAMES_OF, OWN, declared, kind_of, known_cells, named_as, numbers_of, plain_name
from hx_pathology import STOP

LEAST = 10  # donors of each class, of each level, and donors who differ from the commonest number
ORDERED = 6  # so many different whole numbers at most are degrees
SAME = 0.9  # r2 of a confounder's column with a label's from which the one is the other
LONG = 4  # words of the middle cell from which a column of many texts is free text
# Articles, prepositions and negations that English notes do not hold.
FOREIGN = set(
    """
    aucun aucune avec az chez con das degli delle della dem den der des det di die du ein eine een egy el es est et
    geen het keine keinen kein la las le les los mit muy nem nicht nie ohne oder och og ohne pas por przez sans sem sin
    sur sowie und une van von z zonder
    """.split()
)
ENGLISH = STOP | {"normal", "mild", "moderate", "severe", "poor", "good", "preserved", "there", "seen"}
LABELS = ["label", "source", "kind", "status", "n", "positives", "levels"]
TESTED = "tested"


@dataclass(frozen=True)
class Label:
    """A label of donors.

    kind: binary, ordinal, levels or number. values: (donors, c) 0/1 of the positive class; degrees; an indicator a
    level; rank-normal numbers. Rows of donors for whom it is not known are 0. known: (donors,) bool. levels: the
    positive class, or the levels, as told by the cells.
    """

    name: str
    source: str
    kind: str
    values: np.ndarray
    known: np.ndarray
    levels: tuple[str, ...] = ()

    @property
    def positives(self) -> int:
        """Donors of the positive class, or of the rarest level; for numbers those who differ from the commonest."""
        if self.kind in ("binary", "levels"):
            return int(self.values.sum(axis=0).min())
        return int(self.known.sum() - np.unique(self.values[self.known, 0], return_counts=True)[1].max())

    def row(self) -> dict[str, object]:
        """What the table of labels says of it."""
        told = {"label": self.name, "source": self.source, "kind": self.kind, "status": TESTED}
        return told | {"n": int(self.known.sum()), "positives": self.positives, "levels": ";".join(self.levels)}


def refused(name: str, source: str, kind: str, reason: str, n: int, positives: float = np.nan) -> dict[str, object]:
    """The row of a label that is not tested."""
    return dict(zip(LABELS, (name, source, kind, reason, n, positives, ""), strict=True))


def language(texts: Iterable[str]) -> str:
    """Why texts are not read as English notes, '' where they are: another script, or words of other languages.

    Texts without any word of either list, findings alone, count as English.
    """
    joined = " ".join(texts).lower()
    letters = [c for c in joined if c.isalpha()]
    if letters and sum(ord(c) > 0x24F for c in letters) > 0.2 * len(letters):
        return "free text in another script: notes are read in English alone"
    words = re.findall(r"[^\W\d_]+", joined)
    foreign, english = sum(w in FOREIGN for w in words), sum(w in ENGLISH for w in words)
    if foreign > english:
        return "free text in another language: notes are read in English alone; give findings as columns"
    return ""


def labels_of(table: pd.DataFrame, source: str) -> tuple[list[Label], list[dict]]:
    """Labels of the columns of a table (index donor), and rows of those that cannot be tested."""
    found, rows = [], []
    for name in table:
        made = label_of(table[name], source)
        if isinstance(made, Label):
            found.append(made)
        else:
            rows.append(made)
    return found, rows


def clinical(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns of a cohort table that can be labels: what is of the donor, and not declared; no ids, notes, genotype
    components. What is of handling, library and slides is in the ledger of confounders."""
    columns = [
        name
        for name in rows
        if name not in OWN
        and declared(name)[0] in ("donor", "other")
        and not named_as(name)
        and not re.fullmatch(r"(genotype_?)?pc_?\d+|c[1-9]\d?", plain_name(name))
    ]
    return rows[columns]


def label_of(column: pd.Series, source: str) -> Label | dict:
    """A column (index donor, cells text or numbers) as a label, or the row that says why it is none."""
    name = str(column.name)
    texts = known_cells(column)
    known = texts != ""
    levels, counts = np.unique(texts[known].astype(str), return_counts=True)
    n = int(known.sum())
    kind = declared(name)[1] or kind_of(texts)
    if what := named_as(name):
        return refused(name, source, "", f"named as {what}: no label", n)
    if len(levels) < 2:
        said = f"one class: {levels[0]} in all {n} donors" if n else "no donor of the tissue has a value"
        return refused(name, source, "binary", said, n, 0)
    if kind == "date":
        return refused(name, source, "date", "a date: no label", n)
    if len(levels) == 2:
        return _binary(name, source, texts, _in_order(levels))
    if kind in ("categorical", "multi"):
        return _levels(name, source, texts, levels, counts)
    values, unreadable = numbers_of(texts, kind)
    if unreadable.any():
        told = f"no number in {unreadable.sum()} of {n} donors, e.g. {texts[unreadable][0]!r}"
        return refused(name, source, "number", told, n)
    return _number(name, source, values, kind)


def _in_order(levels: Iterable[str]) -> list[str]:
    """Numbers by size, then words by alphabet: of absent and present, no and yes, 0 and 1 the second is positive."""
    return sorted(levels, key=lambda text: (not re.fullmatch(r"-?[\d.]+", text), text.lower(), text))


def _binary(name: str, source: str, texts: np.ndarray, levels: list[str]) -> Label | dict:
    known, positive = texts != "", texts == levels[1]
    few = min(int(positive.sum()), int(known.sum() - positive.sum()))
    if few < LEAST:
        which = levels[1] if positive.sum() == few else levels[0]
        told = f"{few} donor{'s' * (few != 1)} with {which}, at least {LEAST} are needed"
        return refused(name, source, "binary", told, int(known.sum()), int(positive.sum()))
    return Label(name, source, "binary", positive[:, None].astype(np.float64), known, (levels[1],))


def _levels(name: str, source: str, texts: np.ndarray, levels: np.ndarray, counts: np.ndarray) -> Label | dict:
    """Levels of enough donors; donors of the others are left out."""
    n = int(counts.sum())
    words = np.median([len(text.split()) for text in levels])
    if len(levels) > n / 2 or words >= LONG:
        told = f"free text, {len(levels)} different cells in {n} donors: notes go in a column pathology_notes"
        reason = language(levels) or told
        return refused(name, source, "levels", reason, n)
    enough = _in_order(levels[counts >= LEAST])
    if len(enough) < 2:
        told = f"{len(enough)} of {len(levels)} levels have {LEAST} donors, at least 2 are needed"
        return refused(name, source, "levels", told, n, int(counts.min()))
    if len(enough) == 2:
        return _binary(name, source, np.where(np.isin(texts, enough), texts, ""), enough)
    values = np.stack([texts == level for level in enough], axis=1).astype(np.float64)
    return Label(name, source, "levels", values, values.any(axis=1), tuple(enough))


def _number(name: str, source: str, values: np.ndarray, kind: str) -> Label | dict:
    """Degrees as they are, other numbers rank-normal."""
    known = np.isfinite(values)
    different, counts = np.unique(values[known], return_counts=True)
    others, n = int(counts.sum() - counts.max()), int(known.sum())
    whole = kind == "ordinal" or name.startswith("severity_")
    whole |= len(different) <= ORDERED and bool((different == np.round(different)).all())
    kind = "ordinal" if whole else "number"
    if others < LEAST or n < 2 * LEAST:
        told = f"{others} of {n} donors differ from the commonest number, at least {LEAST} of {2 * LEAST} are needed"
        return refused(name, source, kind, told, n, others)
    out = np.zeros((len(values), 1))
    out[known, 0] = values[known] if whole else rank_inverse_normal(values[known][None])[0]
    return Label(name, source, kind, out, known)


def confounders_of(label: Label, design: pd.DataFrame | None) -> list[str]:
    """Columns of a design that may predict a label: without the factors that are the label.

    A factor is the label when its name is, another name of the same thing is, or one of its columns has an r2 of SAME
    or more with a column of the label.
    """
    if design is None:
        return []
    plain = plain_name(label.name)
    names = next((set(part.split()) for part in NAMES_OF.values() if plain in part.split()), {plain})
    names |= {"sex", "gender"} if names & {"sex", "gender"} else set()
    values, mine = design.to_numpy()[label.known], label.values[label.known]
    r2 = _r2(values, mine).max(axis=1)
    same = {factor_of(column) for column, share in zip(design, r2, strict=True) if share >= SAME}
    return [c for c in design if factor_of(c) not in same and plain_name(factor_of(c)) not in names]


def _r2(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(left, right) squared correlations of columns; 0 for a constant one."""
    units = []
    for values in (left, right):
        centred = values - values.mean(axis=0)
        length = np.linalg.norm(centred, axis=0)
        units.append(np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9))
    return (units[0].T @ units[1]) ** 2
