#!/usr/bin/env python3
"""Data files of the explorer: <name>.js calls `histogex.put(name, content)`, for a page from file:// may not fetch.

A table is packed by columns. A column is one of
    {"kind": "text", "text": "a\\nb\\n..."}                       texts, a line each
    {"kind": "level", "levels": "a\\nb", "codes": base64}         texts that repeat; int32, -1 for none
    {"kind": "number", "values": base64}                         float32, NaN for a missing one
    {"kind": "integer", "values": base64}                        int32, no missing one
    {"kind": "short", "values": base64}                          int16, likewise
    {"kind": "p", "values": base64}                              float32 of -log10 p, which no small p leaves
with little-endian numbers: a fifth of the same as JSON, and read ten times as fast.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hx_io import atomic

FORMAT = 2  # one more whenever a data file changes; the page refuses others


def base64_of(values: np.ndarray, kind: str) -> str:
    """Little-endian numbers of a kind ('f4', 'i4', 'i2') as base64 text."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()).decode("ascii")


def lines_of(values: Sequence[object]) -> str:
    """Texts, a line each; missing ones are empty, line ends within one blanks."""
    return "\n".join(" ".join(str(v).splitlines()) if not pd.isna(v) else "" for v in values)


def pack_column(column: pd.Series, is_p: bool = False) -> dict[str, str]:
    """A column as one of the kinds above; is_p: it holds p- or q-values."""
    if is_p:
        with np.errstate(divide="ignore"):
            return {"kind": "p", "values": base64_of(-np.log10(column.to_numpy(np.float64, na_value=np.nan)), "f4")}
    if pd.api.types.is_bool_dtype(column):
        column = column.map({True: "yes", False: "no"})
    if pd.api.types.is_integer_dtype(column) and not column.isna().any():
        short = column.abs().max() < 2**15  # NaN of no row is not
        return {
            "kind": "short" if short else "integer",
            "values": base64_of(column.to_numpy(), "i2" if short else "i4"),
        }
    if pd.api.types.is_numeric_dtype(column):
        return {"kind": "number", "values": base64_of(column.to_numpy(np.float64, na_value=np.nan), "f4")}
    codes, levels = pd.factorize(column.astype(object), use_na_sentinel=True)
    if len(levels) * 2 > len(column):
        return {"kind": "text", "text": lines_of(column)}
    return {"kind": "level", "levels": lines_of(levels), "codes": base64_of(codes, "i4")}


def pack(table: pd.DataFrame, p_columns: Sequence[str] = ()) -> dict[str, object]:
    """A table for the page, without the columns that are missing in every row."""
    columns = {
        str(name): pack_column(column, name in p_columns)
        for name, column in table.items()
        if not len(table) or not column.isna().all()
    }
    return {"rows": len(table), "columns": columns}


def pack_pairs(pairs: pd.DataFrame, genes: int, features: int, p_columns: Sequence[str] = ()) -> dict[str, object]:
    """Pairs by their genes and features, so that the page reads those of one alone: a click needs no whole column.

    pairs: columns gene and feature (places, -1 for none), the strongest pair first.

    Returns:
        table: packed, gene by gene. genes: (genes + 1,) int32, the row where the pairs of each gene begin. by_feature:
        (rows,) int32, rows feature by feature; features: (features + 1,), the places in it where those of each begin.
    """
    pairs = pairs.sort_values("gene", kind="stable", ignore_index=True)
    strength = pairs["nlog10p"].to_numpy().round(9)
    by_feature = np.lexsort((-strength, pairs["feature"]))
    starts = np.searchsorted(pairs["gene"], np.arange(genes + 1))
    feature_starts = np.searchsorted(pairs["feature"].to_numpy()[by_feature], np.arange(features + 1))
    blocks = {"genes": starts, "features": feature_starts, "by_feature": by_feature}
    return {"table": pack(pairs, p_columns)} | {name: base64_of(values, "i4") for name, values in blocks.items()}


def write_data(name: str, content: Mapping[str, object], folder: Path) -> None:
    """Write <folder>/<name>.js. No `<` is in it as it is, so that no text of a cohort can end a script."""
    text = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    with atomic(folder / f"{name}.js") as temporary:
        temporary.write_text(f"histogex.put({json.dumps(name)},{text});\n")
