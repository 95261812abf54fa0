#!/usr/bin/env python3
"""Tables of the confounders: ledger, factor curve, genes of each factor, assumptions. Arrays in, frames out."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_assumptions import POINTS, factor_points, first_score, fitted_points, inflation, lack_of_fit, unequal_variance
from hx_design import Term, model_columns
from hx_directions import Directions, fit
from hx_factor_curve import factor_curve
from hx_factor_pcs import Leading
from hx_factor_tests import column_tests, columns_explained, ledger_p, orders
from hx_fdr import bh
from hx_layout import group_blocks, layout, model_index, term_blocks
from hx_ledger import Shares, shares
from hx_linear import residual_space

PLACE = ["setting", "view", "encoder", "aggregation"]
LEDGER = [
    *(*PLACE, "factor", "level", "group", "in_model", "given", "n", "df", "r2", "adjusted", "adjusted_low"),
    *("adjusted_high", "cross_validated", "null", "p", "q", "column_median", "column_top", "top", "model"),
]
CURVE = [*PLACE, "step", "factor", "r2", "adjusted", "cross_validated", "null", "n", "model"]
GENES = ["gene", "symbol", "factor", "r2", "p", "q", "r2_unique", "p_unique", "q_unique"]
TOP = ["factor", "rank", *(name for name in GENES if name != "factor"), "n", "model"]
ASSUMPTIONS = [*PLACE, "factor", "lack_of_fit_p", "breusch_pagan_p", "leverage_max", "vif", "n", "dof", "model"]
MODEL = [
    *("factor", "group", "kind", "transform", "df", "in_model", "why", "missing", "rule", "collinear_with", "vif"),
    *("n", "dof", "model"),
]
PCS = [
    *(*PLACE, "pc", "share", "factor", "group", "in_model", "df", "n", "null", "r2", "p", "q"),
    *("r2_unique", "p_unique", "q_unique", "model"),
]
DRAWN = [*PLACE, "factor", *POINTS]
COLUMNS = {
    "confounder_ledger": LEDGER,
    "factor_curve": CURVE,
    "confounder_model": MODEL,
    "confounder_assumptions": ASSUMPTIONS,
    "confounder_points": [*DRAWN, "model"],
    "confounder_genes": TOP,
    "factor_pcs": PCS,
}
TOP_GENES = 50
CURVE_NULLS = 20  # permutations whose mean is the curve's null
GIVEN = {("base",): "model", ("base", "also"): "model and adjust_also"}


class View(NamedTuple):
    """What is explained. kernel: (n, n) Y Y'. unit: (n, m) columns, each a view of its own as well, or None; names.

    pcs: leading components, of the views by covariance.
    """

    setting: str
    view: str
    encoder: str
    aggregation: str
    kernel: np.ndarray
    unit: np.ndarray | None = None
    names: np.ndarray | None = None
    pcs: Leading | None = None


def ledger_table(
    views: list[View], terms: list[Term], folds: np.ndarray, groups: np.ndarray, seed: int, name: str
) -> pd.DataFrame:
    """Columns LEDGER but `model`: a row a view, factor (group of factors, whole model) and what is given.

    given: nothing; the model; where some terms are in it by adjust_also, the model with them as well (the rows of
    `model` then are those without). in_model: in the one that is given; with nothing given, in the one that is used.
    """
    n = len(folds)
    columns = layout(terms, n)
    also = any(term.role == "also" for term in terms)
    kernels = [view.kernel for view in views]
    tables = []
    for roles in [("base",), ("base", "also")][: 1 + also]:
        model = model_index(terms, columns, roles)
        grouped = group_blocks(terms, columns, roles)
        blocks = term_blocks(terms, columns, roles) + [block for _, block in grouped]
        rows = pd.DataFrame(
            [(t.name, "factor", t.group, t.role in roles) for t in terms]
            + [(group, "group", group, len(block.inside) > 0) for group, block in grouped]
            + [(GIVEN[roles], "model", "", True)],
            columns=["factor", "level", "group", "in_model"],
        )
        found = shares(kernels, columns.columns, blocks, model, folds, groups)
        p = ledger_p(kernels, columns.columns, blocks, model, seed, name)
        made = fit(columns.columns, np.ones(n, dtype=bool), blocks, model)
        for view, share, tests in zip(views, found, p, strict=True):
            for row, (given, directions) in enumerate(zip(("nothing", GIVEN[roles]), made, strict=True)):
                part = rows.assign(given=given, df=share.rank[row], **_numbers(share, row), p=tests[row])
                part = part.assign(**_columns_explained(view, directions), n=n, **_place(view))
                if not row:
                    used = [term.role != "out" for term in terms]
                    part["in_model"] = used + part["in_model"].tolist()[len(terms) :]
                if row:
                    part = part[part["level"] != "model"] if len(model) else part[:0]
                elif roles == ("base", "also"):
                    # By itself a factor explains what it did in the first round.
                    part = part[part["level"] == "model"]
                tables.append(part if len(model) else part[part["level"] != "model"])
    table = pd.concat(tables, ignore_index=True)
    table["q"] = np.nan
    factor = table["level"] == "factor"
    for _, part in table[factor].groupby([*PLACE, "given"], sort=False):
        table.loc[part.index, "q"] = bh(part["p"].to_numpy())
    return table.assign(in_model=table["in_model"].map({True: "yes", False: "no"}))


def _place(view: View) -> dict[str, str]:
    return {name: getattr(view, name) for name in PLACE}


def _numbers(share: Shares, row: int) -> dict[str, np.ndarray]:
    return {
        "r2": share.r2[row],
        "adjusted": share.adjusted[row],
        "adjusted_low": share.low[row],
        "adjusted_high": share.high[row],
        "cross_validated": share.cv[row],
        "null": share.null[row],
    }


def _columns_explained(view: View, directions: Directions) -> dict[str, object]:
    if view.unit is None:
        return {"column_median": np.nan, "column_top": np.nan, "top": ""}
    each = columns_explained(view.unit, directions)
    # To 12 digits, so that the first of equal ones is named on every machine.
    best = np.argmax(np.round(each, 12), axis=1)
    top = np.where(directions.rank > 0, view.names[best].astype(object), "")
    return {"column_median": np.median(each, axis=1), "column_top": each.max(axis=1), "top": top}


def curve_table(views: list[View], terms: list[Term], folds: np.ndarray, seed: int, name: str) -> pd.DataFrame:
    """Columns CURVE but `model`: the whole path of each view, from step 0 with no factor.

    Candidates are single columns, as in the study: each factor's line, each dummy. null: mean r2 of the same choice
    with the donors of the factors permuted.
    """
    terms = [term for term in terms if term.group != "model"]
    names = [name for term in terms for name in term.labels[: term.lines]]
    n = len(folds)
    order = orders(seed, f"{name}.curve", n, CURVE_NULLS)
    tables = []
    for view in views if names else []:
        curve = factor_curve(view.kernel, np.hstack([term.columns[:, : term.lines] for term in terms]), folds, order)
        steps = np.arange(len(curve.order) + 1)
        path = {
            "step": steps,
            "factor": ["none", *(names[i] for i in curve.order)],
            "r2": [0.0, *curve.r2],
            "adjusted": [0.0, *curve.adjusted],
            "cross_validated": [0.0, *curve.cv],
            "null": [0.0, *curve.null],
        }
        tables.append(pd.DataFrame({**path, "n": n, **_place(view)}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=CURVE[:-1])


def gene_table(unit: np.ndarray, gene: np.ndarray, symbol: np.ndarray, terms: list[Term]) -> pd.DataFrame:
    """Columns GENES: variance of each gene that each factor explains, by itself and beyond the rest of the model.

    Benjamini-Hochberg over genes for each factor. unit: (n, genes) standardised.
    """
    tables = [
        pd.DataFrame({"gene": gene, "symbol": symbol, "factor": term.name, **of})
        .assign(q=bh(of["p"]), q_unique=bh(of["p_unique"]))[GENES]
        for term, of in zip(terms, column_tests(unit, terms), strict=True)
    ]  # fmt: skip
    empty = {name: pd.Series(dtype=object if name in ("gene", "symbol", "factor") else float) for name in GENES}
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(empty)


def pc_table(views: list[View], terms: list[Term]) -> pd.DataFrame:
    """Columns PCS but `model`: a row a leading component of a view and factor.

    null: share that such a factor explains by itself where it has no effect, df / (n - 1). q: Benjamini-Hochberg over
    factors and components, in a view.
    """
    tables = []
    for view in views if terms else []:
        numbers = np.arange(len(view.pcs.share)) + 1
        rows = pd.concat(
            pd.DataFrame({"pc": numbers, "share": view.pcs.share, **of}).assign(
                factor=term.name, group=term.group, in_model="no" if term.role == "out" else "yes"
            )
            for term, of in zip(terms, column_tests(view.pcs.scores, terms), strict=True)
        )
        n = len(view.kernel)
        rows = rows.assign(n=n, null=rows["df"] / (n - 1), **_place(view))
        tables.append(rows.assign(q=bh(rows["p"].to_numpy()), q_unique=bh(rows["p_unique"].to_numpy())))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=PCS[:-1])


def top_genes(genes: pd.DataFrame) -> pd.DataFrame:
    """Columns TOP but n and model: the genes of which each factor explains most."""
    rows = genes.assign(_order=-genes["r2"].round(12)).sort_values(["_order", "gene"], kind="stable")
    rows = rows.groupby("factor", sort=False).head(TOP_GENES)
    rows = rows.assign(rank=rows.groupby("factor", sort=False).cumcount() + 1)
    place = {name: i for i, name in enumerate(dict.fromkeys(genes["factor"]))}
    return rows.assign(_place=rows["factor"].map(place)).sort_values(["_place", "rank"], ignore_index=True)


def assumption_tables(views: list[View], terms: list[Term], seed: int, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Columns ASSUMPTIONS but `model`, a row a view and factor of the model; and the points of their plots.

    The response is the first principal component of a view.
    """
    n = len(views[0].kernel)
    inside = [term for term in terms if term.role != "out"]
    matrix, _ = model_columns(terms, n)
    columns, roles = layout(inside, n), ("base", "also")
    model, blocks = model_index(inside, columns, roles), term_blocks(inside, columns, roles)
    vif, leverage = inflation(columns.columns, blocks, model)
    space = residual_space(matrix, n)
    order = orders(seed, f"{name}.variance", space.dim)
    # The model without what bends a factor's line.
    straight = [
        np.delete(matrix, np.arange(first + len(kept) - term.bends, first + len(kept)), axis=1)
        for term, kept, first in zip(inside, columns.kept, np.cumsum([0, *map(len, columns.kept)]), strict=False)
    ]
    rows, points = [], []
    for view in views if inside else []:
        score = first_score(view.kernel)
        for i, term in enumerate(inside):
            rows.append({
                **_place(view), "factor": term.name,
                "lack_of_fit_p": lack_of_fit(score, term, straight[i]),
                "breusch_pagan_p": unequal_variance(score, space, term.columns[:, term.kept], order),
                "leverage_max": leverage[i], "vif": vif[i], "n": n, "dof": space.dim - 1,
            })  # fmt: skip
            points.append(factor_points(score, term).assign(factor=term.name, **_place(view)))
        points.append(fitted_points(score, matrix).assign(factor="", **_place(view)))
    drawn = pd.concat(points, ignore_index=True) if points else pd.DataFrame(columns=DRAWN)
    return pd.DataFrame(rows, columns=ASSUMPTIONS[:-1]), drawn[DRAWN]


def model_table(terms: list[Term], n: int, k: int) -> pd.DataFrame:
    """Columns MODEL but `model`: a row a factor."""
    inside = [term for term in terms if term.role != "out"]
    columns, roles = layout(inside, n), ("base", "also")
    vif, _ = inflation(columns.columns, term_blocks(inside, columns, roles), model_index(inside, columns, roles))
    of = {term.name: value for term, value in zip(inside, vif, strict=True)}
    rows = [
        {
            "factor": term.name, "group": term.group, "kind": term.kind, "transform": term.transform,
            "df": int(term.kept.sum()), "in_model": "no" if term.role == "out" else "yes", "why": term.why,
            "missing": term.missing, "rule": term.rule, "collinear_with": term.collinear,
            "vif": of.get(term.name, np.nan), "n": n, "dof": n - 2 - k,
        }
        for term in terms
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=MODEL[:-1])
