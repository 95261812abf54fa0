#!/usr/bin/env python3
"""Cells of covariate columns as numbers: times, age brackets, dates and scores, in the spellings that tables have."""

import math
import re
from collections.abc import Callable
from datetime import date, datetime

import numpy as np
import pandas as pd

# What tables write for "not known"; "none" is not among them: it is a level of scores.
MISSING_WORDS = frozenset(
    [
        *("", "na", "nan", "n/a", "<na>", "null", ".", "-", "--", "'--", "unknown", "missing", "not reported"),
        *("not available", "[not available]", "[unknown]", "[not applicable]", "[not evaluated]"),
    ]
)
SCORES = {"none": 0.0, "absent": 0.0, "mild": 1.0, "moderate": 2.0, "severe": 3.0}
EPOCH = date(2000, 1, 1)
_MONTH_FIRST = ("%Y-%m-%d", "%m/%d/%Y", "%m/%d/%y", "%d.%m.%Y", "%d-%b-%Y", "%Y/%m/%d")
_DAY_FIRST = ("%Y-%m-%d", "%d/%m/%Y", "%d/%m/%y", "%d.%m.%Y", "%d-%b-%Y", "%Y/%m/%d")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_BRACKET = re.compile(r"(\d+(?:\.\d+)?)\s*(?:-|–|to)\s*(\d+(?:\.\d+)?)(?:\s*years?)?\Z")
_OPEN_BRACKET = re.compile(r"(?:>=?\s*(\d+)|(\d+)\s*\+)(?:\s*years?)?\Z")
_DURATION = re.compile(
    r"(?:(?P<d>\d+)\s*d(?:ays?|ay\(s\))?[,\s]*)?(?:(?P<h>\d+(?:\.\d+)?)\s*h(?:ours?|our\(s\)|rs?)?[,\s]*)?"
    r"(?:(?P<m>\d+(?:\.\d+)?)\s*m(?:inutes?|inute\(s\)|ins?)?[,\s]*)?(?:(?P<s>\d+)\s*s(?:econds?|econd\(s\)|ecs?)?)?\Z",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"T\d.*\Z|\s+\d{1,2}:\d{2}.*\Z")  # time of day behind a date


def cell_texts(column: pd.Series, missing: frozenset[str] = frozenset()) -> np.ndarray:
    """(n,) stripped text of the cells, "" for missing ones: NaN, MISSING_WORDS and the codes `missing`.

    Whole numbers lose the decimals that reading a column with gaps as floats gave them: 2.0 is the level "2".
    """
    codes, values = pd.factorize(column.astype(object))
    found = [_text(value) for value in values]
    found = ["" if text in missing or text.lower() in MISSING_WORDS else text for text in found]
    return np.array([*found, ""], dtype=object)[codes]  # code -1, missing, is the last


def _text(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def number(text: str) -> float | None:
    """A finite decimal number; None for any other text."""
    value = float(text) if _NUMBER.match(text) else math.inf
    return value if math.isfinite(value) else None


def minutes(text: str) -> float | None:
    """Minutes: "300", or GTEx's words "1 hour(s), 23 minute(s)". None for any other text.

    A time below zero is NaN: GTEx has negative ischaemic times, of samples taken before death.
    """
    plain = number(text)
    if plain is not None:
        return plain if plain >= 0 else math.nan
    found = _DURATION.match(text)
    if not found or not any(found.groups()):
        return None
    days, hours, mins, seconds = (float(found[unit] or 0) for unit in "dhms")
    return 1440 * days + 60 * hours + mins + seconds / 60


def age(text: str) -> float | None:
    """An age, or the midpoint of its bracket: "60-69" is 64.5; an open one ("70+", ">89") is its bound."""
    plain = number(text)
    if plain is not None:
        return plain
    if found := _BRACKET.match(text):
        return (float(found[1]) + float(found[2])) / 2
    found = _OPEN_BRACKET.match(text)
    return float(found[1] or found[2]) if found else None


def score(text: str) -> float | None:
    """An ordinal score: a number, or none, mild, moderate, severe as 0 to 3."""
    plain = number(text)
    return plain if plain is not None else SCORES.get(text.lower())


def read_cells(texts: np.ndarray, read: Callable[[str], float | None]) -> tuple[np.ndarray, np.ndarray]:
    """Cells as numbers: (n,) float64, NaN where missing or unreadable, and (n,) mask of the unreadable."""
    known = {text: read(text) if text else math.nan for text in set(texts)}
    values = [known[text] for text in texts]
    unreadable = np.array([value is None for value in values], dtype=bool)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64), unreadable


def read_days(texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dates as days since 2000-01-01, and the mask of the unreadable; several dates (`;` between) are their mean.

    Dates with slashes are month/day/year, as GTEx writes them; day/month/year only when all cells fit that alone.
    """
    month_first = read_cells(texts, lambda text: _days(text, _MONTH_FIRST))
    if not month_first[1].any():
        return month_first
    day_first = read_cells(texts, lambda text: _days(text, _DAY_FIRST))
    return month_first if day_first[1].any() else day_first


def _days(text: str, layouts: tuple[str, ...]) -> float | None:
    found = [_day(part.strip(), layouts) for part in text.split(";") if part.strip()]
    return None if not found or None in found else float(np.mean(found))


def _day(text: str, layouts: tuple[str, ...]) -> int | None:
    text = _CLOCK.sub("", text)
    for layout in layouts if text[:1].isdigit() else ():
        try:
            return (datetime.strptime(text, layout).date() - EPOCH).days
        except ValueError:
            continue
    return None
