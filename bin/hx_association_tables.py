#!/usr/bin/env python3
"""Tables of the associations of a setting: stored pairs, a row a gene, the best pair, points of the QQ plot."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import stdtrit

from hx_association import Tested, best_of_genes, null_interval, qq_points
from hx_donors import Genes
from hx_linear import Standardised, paired_correlations, slopes
from hx_null import familywise_p
from hx_robustness import robustness_value
from hx_scan import Pairs

LOOKED_INTO = 1000  # genes of a setting, the strongest of those found, whose best pair is looked into
EFFECT = ("beta", "se", "ci_low", "ci_high")
ROBUST = ("robustness", "robustness_alpha")
# Of the best pair of a gene found: r where the feature was chosen in other donors; t that a confounder would leave that
# is as strong as ischaemia, or RNA integrity, is.
STANDING = ("r_split_half", "t_ischaemia", "t_rin")
BENCHMARKS = {"t_ischaemia": "SMTSISCH", "t_rin": "SMRIN"}
NAME = pa.dictionary(pa.int32(), pa.string())
ASSOCIATIONS = pa.schema(
    [(name, NAME) for name in ("setting", "feature", "gene", "symbol")]
    + [("n", pa.int32()), ("dof", pa.int32())]
    + [(name, pa.float64()) for name in ("r", *EFFECT, "p", "nlog10p", "q_tree", "q", "p_max", *ROBUST)]
)
GENES = pa.schema(
    [(name, NAME) for name in ("setting", "gene", "symbol")]
    + [("n", pa.int32()), ("dof", pa.int32()), ("hits", pa.int32()), ("best_feature", NAME)]
    + [(name, pa.float64()) for name in ("r", *EFFECT, "p", "nlog10p", "gene_p", "gene_q", *ROBUST, *STANDING)]
)


def names_at(names: np.ndarray, index: np.ndarray) -> pa.DictionaryArray:
    """Column names[index] of a parquet table, each name stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), pa.array([str(n) for n in names], pa.string()))


def head_columns(setting: str, genes: Genes, row: np.ndarray) -> dict[str, object]:
    """Columns that both parquet tables begin with; `row` indexes the genes."""
    return {
        "setting": names_at(np.array([setting]), np.zeros(len(row), np.int32)),
        "gene": names_at(genes.id, row),
        "symbol": names_at(genes.symbol, row),
        "n": np.full(len(row), len(genes.normal.unit), np.int32),
        "dof": np.full(len(row), genes.normal.dof, np.int32),
    }


def effects(genes: Genes, image: Standardised, pairs: Pairs, alpha: float) -> dict[str, np.ndarray]:
    """EFFECT and ROBUST of pairs sorted by feature: slope of the gene's log2 values per SD of the feature.

    Robustness values are of the tested r: for the estimate to vanish, and for it to be no longer significant at alpha.
    """
    log2, dof = genes.log2, genes.log2.dof
    r = paired_correlations(image.unit, log2.unit, pairs.column, pairs.row)
    beta, se = slopes(r, log2.sd[pairs.row] * log2.left[pairs.row] / image.left[pairs.column], dof)
    half = -stdtrit(dof, 0.025) * se
    robust = [robustness_value(pairs.r, dof, alpha=level) for level in (1.0, alpha)]
    return dict(zip((*EFFECT, *ROBUST), (beta, se, beta - half, beta + half, *robust), strict=True))


def association_table(
    setting: str, genes: Genes, names: np.ndarray, image: Standardised, tested: Tested, alpha: float, null: np.ndarray
) -> pa.Table:
    """Stored pairs of a setting; null: of hx_null.max_null, may be empty."""
    pairs = tested.stored
    columns = {
        **head_columns(setting, genes, pairs.row),
        "feature": names_at(names, pairs.column),
        "r": pairs.r,
        **effects(genes, image, pairs, alpha),
        "p": tested.table.p(pairs.r),
        "nlog10p": tested.table.nlog10p(pairs.r),
        "q_tree": pa.array(tested.q_tree, from_pandas=True),
        "q": pa.array(tested.q, from_pandas=True),
        "p_max": familywise_p(pairs.r, null) if len(null) else pa.nulls(len(pairs.r), pa.float64()),
    }
    return pa.table([columns[name] for name in ASSOCIATIONS.names], schema=ASSOCIATIONS)


def gene_table(
    setting: str,
    genes: Genes,
    names: np.ndarray,
    image: Standardised,
    tested: Tested,
    alpha: float,
    standing: Callable[[Pairs], dict[str, np.ndarray]],
) -> pa.Table:
    """One row a gene: its best feature in the setting, its number of hits and what stands behind the best pair."""
    best, numbers = best_of_genes(tested, len(genes.id))
    by_feature = np.argsort(best.column, kind="stable")
    for name, values in effects(genes, image, best.take(by_feature), alpha).items():
        numbers[name] = np.empty_like(values)
        numbers[name][by_feature] = values
    found = np.flatnonzero(tested.gene_q <= alpha)
    found = np.sort(found[np.argsort(tested.gene_p[found], kind="stable")[:LOOKED_INTO]])
    for name, values in standing(best.take(found)).items():
        column = np.full(len(genes.id), np.nan)
        column[found] = values
        numbers[name] = pa.array(column, from_pandas=True)
    columns = {**head_columns(setting, genes, best.row), "best_feature": names_at(names, best.column), **numbers}
    return pa.table([columns[name] for name in GENES.names], schema=GENES)


def best_pair(genes: Genes, names: np.ndarray, tested: Tested) -> dict[str, object]:
    """The pair of largest |r| of a setting; of equal ones the first gene's."""
    best, numbers = best_of_genes(tested, len(genes.id))
    first = int(np.argmax(np.round(np.abs(best.r), 12)))
    return {
        "best_feature": names[best.column[first]],
        "best_gene": genes.id[best.row[first]],
        "best_symbol": genes.symbol[best.row[first]],
        "best_r": best.r[first],
        "best_p": numbers["p"][first],
        "best_nlog10p": numbers["nlog10p"][first],
    }


def qq_table(setting: str, control: str, tested: Tested, histograms: np.ndarray | None) -> pd.DataFrame:
    """Points of the QQ plot of a setting, with the interval of its permutations where `histograms` has them."""
    rank, expected, observed = qq_points(tested)
    columns = {"rank": rank, "expected_nlog10p": expected, "observed_nlog10p": observed}
    low, high = (np.nan, np.nan) if histograms is None else null_interval(tested, rank, histograms)
    columns |= {"null_low": low, "null_high": high}
    return pd.DataFrame({"setting": setting, "control": control, **columns})
