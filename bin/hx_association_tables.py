#!/usr/bin/env python3
"""Tables of a setting's associations: stored pairs, a row a gene, the best pair, top hits, points of the QQ plot."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import stdtrit

from hx_association import Tested, best_of_genes, null_interval, qq_points
from hx_donors import Genes, Side
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
NAME = pa.dictionary(pa.int32(), pa.string())
ASSOCIATIONS = pa.schema(
    [(name, NAME) for name in ("setting", "feature", "gene", "symbol")]
    + [("n", pa.int32()), ("dof", pa.int32())]
    + [(name, pa.float64()) for name in ("r", "r2", *EFFECT, "p", "nlog10p", "q_tree", "q")]
    + [(name, pa.float64()) for name in ("p_max", *ROBUST, "detectable_r")]
)
GENES = pa.schema(
    [(name, NAME) for name in ("setting", "gene", "symbol")]
    + [("n", pa.int32()), ("dof", pa.int32()), ("hits", pa.int32()), ("best_feature", NAME)]
    + [(name, pa.float64()) for name in ("r", "r2", *EFFECT, "p", "nlog10p", "gene_p", "gene_q", *ROBUST, *STANDING)]
    + [("detectable_r", pa.float64())]
)
TOP_HITS = [
    *("setting", "gene", "symbol", "feature", "n", "dof", "r", "r_split_half", "p", "gene_q"),
    *("robustness", "t_ischaemia", "t_rin", "detectable_r", "donor", "feature_value", "gene_value"),
]
MOST_TOP_HITS = 6  # genes


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
        "r2": pairs.r**2,
        **effects(genes, image, pairs, alpha),
        "p": tested.table.p(pairs.r),
        "nlog10p": tested.table.nlog10p(pairs.r),
        "q_tree": pa.array(tested.q_tree, from_pandas=True),
        "q": pa.array(tested.q, from_pandas=True),
        "p_max": familywise_p(pairs.r, null) if len(null) else pa.nulls(len(pairs.r), pa.float64()),
        "detectable_r": np.full(len(pairs.r), tested.detectable(alpha)),
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
    numbers["detectable_r"] = np.full(len(genes.id), tested.detectable(alpha))
    columns = {**head_columns(setting, genes, best.row), "best_feature": names_at(names, best.column), **numbers}
    return pa.table([columns[name] for name in GENES.names], schema=GENES)


def top_hits_table(
    setting: str,
    side: Side,
    names: np.ndarray,
    image: Standardised,
    tested: Tested,
    alpha: float,
    standing: Callable[[Pairs], dict[str, np.ndarray]],
) -> pd.DataFrame:
    """A row a donor of the best pair of each of the MOST_TOP_HITS genes of smallest p: what its scatter plot shows.

    feature_value: residual on the covariates, in standard deviations of the feature. gene_value: the rank-normal
    value's residual.
    """
    genes = side.genes
    best, numbers = best_of_genes(tested, len(genes.id))
    first = np.argsort(-np.round(numbers["nlog10p"], 9), kind="stable")[:MOST_TOP_HITS]
    pairs, parts = best.take(first), []
    told = standing(pairs) | {"robustness": robustness_value(pairs.r, genes.normal.dof)}
    scale = np.sqrt(len(side.donors) - 1)
    for k, (row, column) in enumerate(zip(pairs.row, pairs.column, strict=True)):
        head = {"setting": setting, "gene": genes.id[row], "symbol": genes.symbol[row], "feature": names[column]}
        head |= {"n": len(side.donors), "dof": genes.normal.dof, "detectable_r": tested.detectable(alpha)}
        head |= {name: numbers[name][row] for name in ("r", "p", "gene_q")}
        head |= {name: values[k] for name, values in told.items()}
        values = {"feature_value": image.unit[:, column] * image.left[column] * scale}
        values["gene_value"] = genes.normal.unit[:, row] * genes.normal.left[row] * genes.normal.sd[row] * scale
        parts.append(pd.DataFrame({**head, "donor": side.donors, **values})[TOP_HITS])
    return pd.concat(parts, ignore_index=True)


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
