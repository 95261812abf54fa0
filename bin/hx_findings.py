#!/usr/bin/env python3
"""Wording of the sentences of the report that read a section's own numbers: counts, estimates, p, lists, tissues.

Sentences are of hx_finding_*: pure functions of frames, plain text (hx_mqc escapes it), no adjectives, no statistics.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps

import pandas as pd

from hx_cli import preview
from hx_disclosure import few

NOTHING = "no row."
MOST = 3  # tissues, settings or names that a sentence names
PEOPLE = re.compile(r"\{people (\d+)\}")


def number(value: float) -> str:
    """Three decimals; whole numbers as they are, with commas; small ones with their exponent.

    >>> number(0.01234), number(1234.0), number(-0.0001234), number(float("nan"))
    ('0.012', '1,234', '-1.2e-04', 'not known')
    """
    if value is None or not math.isfinite(value):
        return "not known"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.1e}" if abs(value) < 5e-4 else f"{value:,.3f}"


def p_value(value: float) -> str:
    """'p = 0.45', 'p = 1.2e-05', 'p not known'; p of q: see `found_at`."""
    return "p not known" if pd.isna(value) else f"p = {value:.2g}"


def count(value: float, one: str, many: str = "") -> str:
    """'1 gene', '0 genes', '1,234 genes'.

    >>> count(1, "gene"), count(0, "gene"), count(2, "pair that passes", "pairs that pass")
    ('1 gene', '0 genes', '2 pairs that pass')
    """
    value = 0 if pd.isna(value) else int(value)
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def people(value: float, one: str = "donor", many: str = "") -> str:
    """A number of donors or slides: marked, so that a shareable report tells none that are few."""
    value = 0 if pd.isna(value) else int(value)
    return f"{{people {value}}} {one if value == 1 else many or one + 's'}"


def counts_of_people(text: str, shareable: bool) -> str:
    """The sentence with its marked numbers of `people` as a report may tell them.

    >>> counts_of_people(people(3) + " of " + people(1200, "slide"), shareable=True)
    '< 5 donors of 1,200 slides'
    """

    def told(found: re.Match) -> str:
        value = few(int(found[1])) if shareable else int(found[1])
        return value if isinstance(value, str) else f"{value:,}"

    return PEOPLE.sub(told, text)


def estimate(value: float, low: float = math.nan, high: float = math.nan, p: float = math.nan) -> str:
    """An estimate with what is known of its 95 % interval and p.

    >>> estimate(0.2, 0.1, 0.3, 0.01), estimate(0.2)
    ('0.200 (95 % interval 0.100 to 0.300, p = 0.01)', '0.200')
    """
    beside = [] if pd.isna(low) or pd.isna(high) else [f"95 % interval {number(low)} to {number(high)}"]
    beside += [] if pd.isna(p) else [p_value(p)]
    return number(value) + (f" ({', '.join(beside)})" if beside else "")


def span(values: Iterable[float], wording: Callable[[float], str] = number) -> str:
    """'0.100 to 0.300', '0.100' of one value, 'not known' of none.

    >>> span([0.3, 0.1, float("nan")]), span([]), span([0.5, 0.25], "{:.2f}".format)
    ('0.100 to 0.300', 'not known', '0.25 to 0.50')
    """
    known = [value for value in values if not pd.isna(value)]
    if not known:
        return "not known"
    low, high = wording(min(known)), wording(max(known))
    return low if low == high else f"{low} to {high}"


def names(values: Iterable[object], most: int = MOST) -> str:
    """'a, b and 3 more'; 'none' of none.

    >>> names("abcde"), names("ab"), names("")
    ('a, b, c and 2 more', 'a, b', 'none')
    """
    every = list(dict.fromkeys(values))
    return preview(every, most) if every else "none"


def each(parts: Sequence[str], most: int = MOST, what: str = "tissue") -> str:
    """One sentence of a part a tissue (or setting): the first `most`, and how many others there are.

    >>> each(["Lung: 1 gene", "Skin: 2 genes"]), each(["a", "b", "c", "d", "e"])
    ('Lung: 1 gene; Skin: 2 genes.', 'a; b; c; and 2 more tissues in the table.')
    """
    rest = len(parts) - most
    more = [f"and {rest} more {what if rest == 1 else what + 's'} in the table"] if rest > 0 else []
    return "; ".join([*parts[:most], *more]) + "." if parts else NOTHING


def shuffled(value: float | None) -> str:
    """', 0 with donors shuffled'; '' where that control did not run.

    >>> shuffled(0.001), shuffled(float("nan")), shuffled(None)
    (', 0.001 with donors shuffled', '', '')
    """
    return "" if value is None or pd.isna(value) else f", {number(value)} with donors shuffled"


def shuffled_with_hits(rows: pd.DataFrame) -> str:
    """', with donors shuffled 1': of how many rows the control (control_hits) has hits; '' where it did not run."""
    control = rows["control_hits"].dropna() if "control_hits" in rows else pd.Series(dtype=float)
    return f", with donors shuffled {number((control > 0).sum())}" if len(control) else ""


def detectable(rows: pd.DataFrame) -> str:
    """', |r| of 0.85 and more has 80 % power'; '' where no table says."""
    known = rows["detectable_r"].dropna() if "detectable_r" in rows else pd.Series(dtype=float)
    return f", |r| of {span(known, '{:.2f}'.format)} and more has 80 % power" if len(known) else ""


def of_rows(sentence: Callable[..., str]) -> Callable[..., str]:
    """A sentence whose first argument is a frame: NOTHING of one without rows."""

    @wraps(sentence)
    def wrapped(rows: pd.DataFrame, *more: object, **named: object) -> str:
        return sentence(rows, *more, **named) if len(rows) else NOTHING

    return wrapped
