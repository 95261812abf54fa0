#!/usr/bin/env python3
"""A table of a results folder, perhaps of another version: what cannot be used is said, not refused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hx_cli import DataError
from hx_gather import typed
from hx_io import read_table


def read_or_say(
    path: Path,
    name: str,
    columns: Sequence[str],
    say: Callable[[str], None],
    more: Sequence[str] | None = (),
    may_be_empty: bool = False,
) -> pd.DataFrame | None:
    """Columns of a TSV (typed) or Parquet table; None, and why by `say`, where it is not to be used or has no row.

    Args:
        name: of the table, for what is said. columns: that it must have. more: that are read where there are any; None
            for all. may_be_empty: no row is a result, of which nothing is said.
    """
    try:
        text = read_table(path) if path.suffix == ".tsv" else None
        there = pq.read_schema(path).names if text is None else list(text.columns)
        wanted = [c for c in there if more is None or c in columns or c in more]
        table = pq.read_table(path, columns=wanted).to_pandas() if text is None else typed(text[wanted])
    except (DataError, OSError, pa.ArrowInvalid) as error:
        say(f"{name} cannot be read ({str(error).splitlines()[0]})")
        return None
    if lacking := [column for column in columns if column not in there]:
        say(f"{name} has no column {', '.join(lacking)}: it was made by another version of HistoGEx")
        return None
    if table.empty:
        if not may_be_empty:
            say(f"{name} has no row")
        return None
    return table
