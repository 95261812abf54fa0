#!/usr/bin/env python3
"""Tables of shared variance: their columns, and the two parquet files that combine_scales.py reads."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hx_cli import DataError

# What tells a row of <prefix>.shared_variance.tsv from the others; a control and `donors` are besides.
KEY = ["setting", "direction", "scaling", "adjusted"]
PLACE = [
    *("setting", "control", "tissue_id", "size", "encoder", "aggregation", "weights", "donors"),
    *("direction", "scaling", "adjusted"),
]
SHARES = ["components", "share", "null_share", "adjusted_share"]
ROW = [
    *PLACE,
    *("analysis", "n", "dim", "covariate_rank", "adjusted_for", "donors_hash", "features", "genes"),
    *("components_parallel", *SHARES, "ci_low", "ci_high", "se", "p", "z"),
    *("published", "published_components", "published_null"),
    *("published_95", "published_95_components", "published_95_null"),
    *("reml", "reml_null_95", "reml_mean", "reml_mean_null"),
    *("technical_share", "technical_null", "technical", "shared", "rest"),
]
CURVE = [*PLACE, "kept", *SHARES]
GENES = [
    *("setting", "gene", "symbol", "n", "total", "total_null", "technical", "technical_null"),
    *("left", "left_null", "shared", "technical_shared", "reml"),
]
NAME = pa.dictionary(pa.int32(), pa.string())
NULL = pa.schema([*((name, NAME) for name in KEY), ("permutation", pa.int32()), ("z", pa.float64())])
JACKKNIFE = pa.schema(
    [
        *((name, NAME) for name in KEY),
        ("group", pa.int32()),
        ("components", pa.int32()),
        ("adjusted_share", pa.float64()),
    ]
)


def long_table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    """A row a cell of the arrays that `rows` hold under the last column's name, numbered from 1 along each dimension.

    The first dimension of a two-dimensional array (all donors, then each group left out) is numbered from 0.
    """
    parts = []
    for row in rows:
        values = np.asarray(row[schema.names[-1]])
        index = np.indices(values.shape).reshape(values.ndim, -1)
        first = [0, 1][-values.ndim :]
        numbers = {name: i + k for name, i, k in zip(schema.names[len(KEY) : -1], index, first, strict=True)}
        keys = {
            name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(values.size, np.int32)), pa.array([row[name]]))
            for name in KEY
        }
        parts.append(pa.table({**keys, **numbers, schema.names[-1]: values.ravel()}, schema=schema))
    return pa.concat_tables(parts).unify_dictionaries() if parts else schema.empty_table()


def read_arrays(paths: list[Path], schema: pa.Schema) -> dict[tuple[str, ...], np.ndarray]:
    """{values of KEY: the array that long_table was given}, of all files.

    Raises:
        DataError: a file that cannot be read, or has other columns.
    """
    found = {}
    for path in sorted(paths):
        try:
            table = pq.read_table(path, schema=schema).to_pandas()
        except (OSError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"{path.name}: no table of shared_variance.py ({error}): make it again") from error
        numbers = schema.names[len(KEY) : -1]
        for key, part in table.groupby(KEY, observed=True, sort=True):
            shape = [part[name].nunique() for name in numbers]
            found[key] = part.sort_values(numbers)[schema.names[-1]].to_numpy().reshape(shape)
    return found
