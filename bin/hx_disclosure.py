#!/usr/bin/env python3
"""Who may see what: the one place that hides donors from what is passed on (report, galleries, explorer).

A shareable report names no donor, slide or RNA sample, shows no value of a single one, and no count of fewer than FEW
of them. An internal one shows all. The tables of the results folder keep their ids in both.
"""

import argparse
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hx_bins import LEAST_IN_BIN, bins_of
from hx_cli import DataError, Faults, preview
from hx_io import read_table
from hx_join import ID_PATTERN

INTERNAL, SHAREABLE = MODES = ("internal", "shareable")
FEW = LEAST_IN_BIN  # donors or slides: a smaller count is not shown, nothing is summarised over fewer
BINS = 10
ID = "(id)"  # stands where a text names somebody
LONG = 5  # characters: a shorter id is not looked for within longer names
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SEPARATOR = re.compile(r"[._-]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--disclosure and --pseudonyms of a command that makes something to be passed on."""
    parser.add_argument("--disclosure", choices=MODES, default=INTERNAL, help="whether single donors are shown")
    parser.add_argument("--pseudonyms", type=Path, help="TSV: donor, pseudonym; without it donors are numbered")


def read_pseudonyms(path: Path | None, donors: Iterable[str]) -> dict[str, str]:
    """{donor: pseudonym} of a table with these two columns; {} without a path. Donors of other cohorts may be in it.

    Raises:
        DataError: other columns; a donor that is missing, blank or stands twice; a pseudonym that is blank, of two
            donors, or holds an id of a donor; every fault at once.
    """
    if path is None:
        return {}
    table, faults, known = read_table(path), Faults(), sorted(set(donors))
    if list(table.columns) != ["donor", "pseudonym"]:
        raise DataError(f"{path}, row 1: columns {preview(table.columns)}: give two, donor and pseudonym")
    if missing := sorted(set(known) - set(table["donor"])):
        faults.add(f"{path}: no pseudonym of {len(missing)} donors of the cohort: {preview(missing)}: add their rows")
    for column, fix in (("donor", "keep one row"), ("pseudonym", "give each donor its own")):
        for row in np.flatnonzero(table[column].str.strip() == ""):
            faults.add(f"{path}, row {table.index[row] + 2}: {column} is blank: fill it in or remove the row")
        repeated = table[table[column].duplicated(keep=False) & (table[column].str.strip() != "")]
        for value, part in repeated.groupby(column, sort=True):
            faults.add(f"{path}, rows {preview(part.index + 2)}: {column} {value!r} stands more than once: {fix}")
    everyone = Finder({*known, *table["donor"]} - {""})
    for row, pseudonym in zip(table.index, table["pseudonym"], strict=True):
        if everyone.hide(pseudonym, short=True) != pseudonym:
            faults.add(f"{path}, row {row + 2}: pseudonym {pseudonym!r} is or holds the id of a donor: give another")
    faults.stop()
    return dict(zip(table["donor"], table["pseudonym"], strict=True))


def numbered(donors: Iterable[str], seed: int) -> dict[str, str]:
    """{donor: P01, P02, …} in the order of SHA-256(seed:donor): it tells nothing of ids, tissues or values.

    Who knows the ids of all donors and the seed can number them too: a map of one's own protects against that.
    """
    known = sorted(set(donors), key=lambda donor: (hashlib.sha256(f"{seed}:{donor}".encode()).hexdigest(), donor))
    width = max(2, len(str(len(known))))
    taken = {donor[:1] for donor in known if donor[1:].isdigit()}
    letter = next(letter for letter in "PQRSTUVWXYZABCDEFGHIJKLMNO" if letter not in taken or letter == "O")
    return {donor: f"{letter}{k:0{width}d}" for k, donor in enumerate(known, 1)}


class Finder:
    """Finds ids in texts, whatever separators (dot, dash, underscore) they are written with.

    Ids of digits alone, or of one character, cannot be told from numbers and words: they are looked for only in texts
    that are about donors and slides (short=True). Longer ones are found within longer names too (a file, an aliquot).
    """

    def __init__(self, ids: Iterable[str]):
        ids = {identity for identity in ids if identity}
        self.odd = sorted((i for i in ids if not ID_PATTERN.match(i)), key=lambda i: (-len(i), i))
        plain = {_SEPARATOR.sub("-", identity) for identity in ids}
        self.short = {i for i in plain if i.isdigit() or len(i) < 2}
        self.whole = plain - self.short
        self.long = {i for i in self.whole if len(i) >= LONG and any(c.isdigit() for c in i)}
        self.depths = sorted({i.count("-") + 1 for i in self.long})

    def hide(self, text: str, short: bool = False) -> str:
        """The text with ID in place of every id."""
        for identity in self.odd:
            text = text.replace(identity, ID)
        return _TOKEN.sub(lambda found: self._token(found[0], short), text) if self.whole or self.short else text

    def _token(self, token: str, short: bool) -> str:
        core = token.rstrip("._-")
        plain = _SEPARATOR.sub("-", core)
        if plain in self.whole or (short and plain in self.short):
            return ID + token[len(core) :]
        parts = plain.split("-")
        within = any(
            "-".join(parts[i : i + depth]) in self.long for depth in self.depths for i in range(len(parts) - depth + 1)
        )
        return ID + token[len(core) :] if within else token


class Disclosure:
    """What may be said of donors and slides.

    Args:
        mode: INTERNAL or SHAREABLE.
        donors: all donors of the run. samples: donor of each slide. ids: others that texts may hold (RNA samples, what
            was lost).
        given: of read_pseudonyms; {}: donors are numbered, by `seed`.
    """

    def __init__(
        self,
        mode: str = INTERNAL,
        donors: Iterable[str] = (),
        samples: Mapping[str, str] | None = None,
        given: Mapping[str, str] | None = None,
        seed: int = 1,
        ids: Iterable[str] = (),
    ):
        self.shareable = mode == SHAREABLE
        known, samples = set(donors), dict(samples or {})
        if self.shareable:
            self.names = dict(given or numbered(known, seed))
            self.names |= {sample: self.names[of] for sample, of in samples.items() if of in self.names}
            self.finder = Finder({*known, *samples, *samples.values(), *ids})

    def name(self, identity: str) -> str:
        """Of a donor or slide: its pseudonym, ID where it has none."""
        return self.names.get(identity, ID) if self.shareable else identity

    def text(self, text: str, short: bool = False) -> str:
        """A text without ids; short: see Finder."""
        return self.finder.hide(text, short) if self.shareable else text


EVERYTHING = Disclosure()


def few(number: int) -> int | str:
    """A number of people as a shareable report says it."""
    return f"< {FEW}" if 0 < number < FEW else number


def in_bins(x: np.ndarray, y: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """A row a bin of x: n, x (its median), low, middle, high (quartiles of y); none of fewer than FEW points.

    Pairs with a missing value are left out. Numbers have three significant digits, for a quartile of a few donors is
    the value of one of them.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    place, rows = bins_of(x, bins), []
    for k in range(place.max() + 1 if len(place) else 0):
        own = place == k
        if own.sum() >= FEW:
            quartiles = np.quantile(y[own], [0.25, 0.5, 0.75])
            rows.append((int(own.sum()), *(float(f"{v:.3g}") for v in (np.median(x[own]), *quartiles))))
    return pd.DataFrame(rows, columns=["n", "x", "low", "middle", "high"])
