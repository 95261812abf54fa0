#!/usr/bin/env python3
"""Two runs side by side: values by name, donors, effects of common pairs and genes. Frames in, frames out."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hx_disclosure import few

SIDE_BY_SIDE = ["of", "item", "a", "b", "difference", "same"]
DONORS = ["tissue_id", "a", "b", "common", "only_a", "only_b"]
IDS = ["tissue_id", "donor", "where"]
EFFECTS = ["setting", "of", "unit", "common", "only_a", "only_b", "r", "slope", "same_sign"]
BINS = ["setting", "of", "a_low", "a_high", "b_low", "b_high", "count"]
CELLS = 40  # bins of a side


def side_by_side(a: Mapping[tuple[str, str], object], b: Mapping[tuple[str, str], object]) -> pd.DataFrame:
    """SIDE_BY_SIDE of values by (of, item): as text, blank where a run has none; b - a of two numbers.

    Items are in the order of `a`, those of `b` alone after them.
    """
    rows = []
    for key in [*a, *(key for key in b if key not in a)]:
        one, other = a.get(key), b.get(key)
        row = (*key, as_text(one), as_text(other), _difference(one, other))
        rows.append((*row, "yes" if row[2] == row[3] and key in a and key in b else "no"))
    return pd.DataFrame(rows, columns=SIDE_BY_SIDE)


def as_text(value: object) -> str:
    """A value as TSV files have it."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.10g}" if isinstance(value, float | np.floating) else str(value)


def _difference(one: object, other: object) -> float:
    numbers = (int, float, np.integer, np.floating)
    both = isinstance(one, numbers) and isinstance(other, numbers)
    return float(other) - float(one) if both and not isinstance(one, bool) and not isinstance(other, bool) else np.nan


def by_item(table: pd.DataFrame, of: str, left_out: tuple[str, ...] = ()) -> dict[tuple[str, str], object]:
    """{(value of the column `of`, other column): cell} of a table with one row a value."""
    return {
        (str(row[of]), name): value
        for row in table.to_dict("records")
        for name, value in row.items()
        if name != of and name not in left_out
    }


def donor_rows(a: pd.DataFrame, b: pd.DataFrame, show: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(DONORS, IDS): donors of each tissue, and of all of them, in either cohort.tsv (donor, tissue_id) and in both.

    show: ids are given, and counts of few donors; otherwise IDS has no row and such counts are '< 5'.
    """
    counts, ids = [], []
    tissues = sorted({*a["tissue_id"].astype(str), *b["tissue_id"].astype(str)})
    for tissue in ["(all)", *tissues]:
        one, other = (set(t["donor"][(t["tissue_id"] == tissue) | (tissue == "(all)")].astype(str)) for t in (a, b))
        sets = {"a": one, "b": other, "common": one & other, "only_a": one - other, "only_b": other - one}
        numbers = {name: len(donors) if show else few(len(donors)) for name, donors in sets.items()}
        counts.append({"tissue_id": tissue} | numbers)
        if show and tissue != "(all)":
            ids += [(tissue, donor, where) for where in ("common", "only_a", "only_b") for donor in sorted(sets[where])]
    return pd.DataFrame(counts, columns=DONORS), pd.DataFrame(ids, columns=IDS)


def common_values(a: pd.DataFrame, b: pd.DataFrame, keys: list[str], value: str) -> tuple[pd.DataFrame, int, int]:
    """Finite values `a` and `b` of the rows with the same keys, sorted by them; rows that are only in a, only in b.

    A row without a finite value counts as not there.
    """
    one, other = (
        t.loc[np.isfinite(t[value].astype(float)), [*keys, value]].astype({key: str for key in keys}) for t in (a, b)
    )
    both = one.rename(columns={value: "a"}).merge(other.rename(columns={value: "b"}), on=keys)
    both = both.sort_values(keys, ignore_index=True)
    return both, len(one) - len(both), len(other) - len(both)


def effect(both: pd.DataFrame, signed: bool) -> dict[str, float]:
    """Pearson's r of b and a, least-squares slope of b on a, share of pairs of the same sign (NaN where not `signed`).

    NaN with fewer than three values, or with a constant side.
    """
    a, b = both["a"].to_numpy(float), both["b"].to_numpy(float)
    found = {"r": np.nan, "slope": np.nan, "same_sign": float(np.mean(a * b > 0)) if signed and len(a) else np.nan}
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return found
    x, y = a - a.mean(), b - b.mean()
    return found | {"r": float(x @ y / np.sqrt((x @ x) * (y @ y))), "slope": float(x @ y / (x @ x))}


def bin_edges(both: pd.DataFrame, signed: bool) -> np.ndarray:
    """(CELLS + 1,) edges of the bins of both sides, which share them: symmetric about 0 where `signed`."""
    values = both[["a", "b"]].to_numpy(float)
    high, low = values.max(), values.min()
    if signed:
        high = max(high, -low)
        low = -high
    return np.linspace(low, high if high > low else low + 1, CELLS + 1)


def binned(both: pd.DataFrame, edges: np.ndarray) -> np.ndarray:
    """(CELLS, CELLS) number of values by bin of a (rows) and of b (columns)."""
    return np.histogram2d(both["a"], both["b"], bins=[edges, edges])[0].astype(int)


def bin_rows(setting: str, of: str, counts: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    """BINS that hold something."""
    i, j = np.nonzero(counts)
    columns = (setting, of, edges[i], edges[i + 1], edges[j], edges[j + 1], counts[i, j])
    return pd.DataFrame(dict(zip(BINS, columns, strict=True)), columns=BINS)
