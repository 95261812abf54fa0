#!/usr/bin/env python3
"""Tables of predict_expression.py: their columns, a setting's rows, the histogram of the gain."""

import numpy as np
import pandas as pd
import pyarrow as pa

from hx_io import dictionary_table

GENE_COLUMNS = [
    *("setting", "gene", "symbol", "n", "r_cv", "r2cv", "r2cv_confounders", "delta_r2", "folds_better"),
    *("r2cv_image", "p", "nlog10p", "q", "penalty", "r2_in_sample", "r2_least_squares", "r2cv_least_squares"),
]
NAME = pa.dictionary(pa.int32(), pa.string())
WHOLE = ("n", "folds_better")
TYPES = {**dict.fromkeys(("setting", "gene", "symbol"), NAME), **dict.fromkeys(WHOLE, pa.int32())}
GENES = pa.schema([(name, TYPES.get(name, pa.float64())) for name in GENE_COLUMNS])
SUMMARY = [
    *("setting", "control", "tissue_id", "size", "encoder", "aggregation", "weights", "analysis"),
    *("n", "folds", "features", "genes", "covariate_rank", "adjusted_for", "alpha"),
    *("genes_found", "genes_gained", "delta_r2_median", "delta_r2_found", "r2cv_median", "r2cv_confounders_median"),
    *("r2_in_sample_median", "r2_least_squares_median", "r2cv_least_squares_median", "share_p05"),
]
HISTOGRAM = ["setting", "control", "delta_r2", "genes", "share"]
EDGES = np.round(np.arange(-0.3, 1.0001, 0.02), 2)
TOP = 100  # genes of smallest p that the report can list


def summary_numbers(genes: pd.DataFrame, alpha: float) -> dict[str, float]:
    """What a summary says of the genes of a setting or control; medians over all genes, `found` over those with q <=
    alpha."""
    found = genes[genes["q"] <= alpha]
    medians = {
        "delta_r2_median": "delta_r2",
        "r2cv_median": "r2cv",
        "r2cv_confounders_median": "r2cv_confounders",
        "r2_in_sample_median": "r2_in_sample",
        "r2_least_squares_median": "r2_least_squares",
        "r2cv_least_squares_median": "r2cv_least_squares",
    }
    return {
        "genes": len(genes),
        "genes_found": len(found),
        "genes_gained": int((found["delta_r2"] > 0).sum()),
        "delta_r2_found": found["delta_r2"].median() if len(found) else np.nan,
        "share_p05": (genes["p"] < 0.05).mean(),
        **{name: genes[column].median() for name, column in medians.items()},
    }


def histogram(genes: pd.DataFrame, control: str) -> pd.DataFrame:
    """Genes by their gain in bins of .02, `delta_r2` the middle; what lies beyond the ends is in the end bins."""
    inside = np.clip(genes["delta_r2"], EDGES[0] + 1e-9, EDGES[-1] - 1e-9)
    count = np.histogram(inside, EDGES)[0]
    middle = np.round((EDGES[1:] + EDGES[:-1]) / 2, 3)
    table = pd.DataFrame({"control": control, "delta_r2": middle, "genes": count, "share": count / len(genes)})
    return table.assign(setting=genes["setting"].iloc[0])[HISTOGRAM]


def strongest(genes: pd.DataFrame) -> pd.DataFrame:
    """The 100 genes of smallest p."""
    return genes.sort_values(["nlog10p", "gene"], ascending=[False, True], ignore_index=True).head(TOP)


def parquet_table(settings: list[pd.DataFrame]) -> pa.Table:
    """The genes of all settings with the types of GENES."""
    parts = [dictionary_table(genes, GENES) for genes in settings]
    return pa.concat_tables(parts).unify_dictionaries() if parts else GENES.empty_table()
