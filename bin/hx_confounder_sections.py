#!/usr/bin/env python3
"""What the report says of confounders: ledger, factor curves, components, the model and its assumptions."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

import hx_finding_factors
from hx_disclosure import INTERNAL
from hx_gather import Kind
from hx_mqc import COUNT, MAX_POINTS, PEOPLE, RATIO, SMALL_P, cell, escape, lines, section, table
from hx_sections import COLOURS, named

TABLES = {  # of adjust_confounders.py: <tissue_id>.<size>.<kind>.tsv
    "confounder_ledger": Kind(
        ["setting", "view", "factor", "level", "in_model", "given", "adjusted", "cross_validated"],
        ("tissue_id", "size"),
    ),
    "factor_curve": Kind(["setting", "view", "step", "factor", "r2", "cross_validated", "null"], ("tissue_id", "size")),
    "factor_pcs": Kind(["setting", "view", "pc", "factor", "null", "r2", "q"], ("tissue_id", "size")),
    "confounder_model": Kind(["factor", "in_model", "why", "vif"], ("tissue_id", "size")),
    "confounder_assumptions": Kind(
        ["setting", "view", "factor", "lack_of_fit_p", "breusch_pagan_p"], ("tissue_id", "size")
    ),
    "confounder_points": Kind(["setting", "view", "plot", "label", "x", "mean"], ("tissue_id", "size")),
}
SIDES = {"image_pcs": "image", "expression_pcs": "expression"}
CURVE_STEPS = 7  # the study draws "none" and seven factors
CURVES = (("r2", "in the sample", "solid"), ("cross_validated", "new donors", "dot"), ("null", "by chance", "dash"))
MOST_TISSUES = 3  # of which lines are drawn; all are in the tables


def confounder_sections(tables: Mapping[str, pd.DataFrame], chosen: pd.DataFrame) -> list[dict]:
    """Sections of the tables that are there; [] where nothing was accounted for.

    Args:
        tables: the kinds of TABLES, gathered.
        chosen: the verdict's settings: setting, tissue_id, size.
    """
    shown = {name: of_verdict(tables[name], chosen) for name in TABLES if name in tables}
    shown = {name: rows for name, rows in shown.items() if len(rows)}
    makers = {
        "confounder_ledger": _ledger,
        "factor_curve": _curve,
        "factor_pcs": _pcs,
        "confounder_model": _model,
        "confounder_assumptions": _assumptions,
        "confounder_points": _points,
    }
    return [part for name, make in makers.items() if name in shown for part in make(shown[name])]


def of_verdict(rows: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Rows of the verdict's settings, and of the expression of their tissue and size."""
    wanted = set(chosen["setting"])
    places = set(zip(chosen["tissue_id"], chosen["size"].astype(str), strict=True))
    placed = pd.Series([pair in places for pair in zip(rows["tissue_id"], rows["size"].astype(str), strict=True)])
    mask = placed.to_numpy(bool)
    if "view" in rows:
        mask &= (rows["setting"].isin(wanted) | ~rows["view"].isin(["image_pcs", "features"])).to_numpy(bool)
    return rows[mask]


def ledger_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a tissue, factor: shares of image and expression, alone and beyond the rest of the model."""
    rows = rows[rows["view"].isin(list(SIDES)) & (rows["level"] != "group")]
    key = ["tissue_id", "factor", "level"]
    out = rows.drop_duplicates(key)[[*key, "in_model", "df", "null", "model"]]
    for view, side in SIDES.items():
        for given, part in rows[rows["view"] == view].groupby("given", sort=False):
            word = {"nothing": side, "model": f"{side}_beyond"}.get(given, f"{side}_beyond_also")
            kept = ["adjusted"]
            if given == "nothing":
                kept += ["adjusted_low", "adjusted_high", "cross_validated", "q"]
            part = part[[*key, *kept]].rename(columns={name: f"{word}_{name}" for name in kept})
            out = out.merge(part, on=key, how="left")
    return out


def _ledger(rows: pd.DataFrame) -> list[dict]:
    wide = ledger_rows(rows)
    columns = {
        "in_model": named("In the model", "Adjusted for", {}),
        "df": named("Columns", "Degrees of freedom", COUNT),
    }
    for side in SIDES.values():
        columns |= {
            f"{side}_adjusted": named(f"{side}", f"Share of the {side}'s variance, less what chance explains", RATIO),
            f"{side}_adjusted_low": named("from", "95 % interval of it, grouped jackknife", RATIO),
            f"{side}_adjusted_high": named("to", "Upper end of the interval", RATIO),
            f"{side}_cross_validated": named(f"{side}, new donors", "Share predicted in donors left out", RATIO),
            f"{side}_q": named("q", "Permutation p, Benjamini-Hochberg over factors", SMALL_P),
            f"{side}_beyond_adjusted": named(f"{side}, beyond", "Share beyond the rest of the model (type II)", RATIO),
            f"{side}_beyond_also_adjusted": named(
                f"{side}, beyond all", "Share beyond the rest of the model with --adjust_also in it", RATIO
            ),
        }
    columns["null"] = named("By chance", "Expected share of such a factor without effect, before adjusting", RATIO)
    kept = {name: header for name, header in columns.items() if name in wide and wide[name].notna().any()}
    return [
        table(
            "confounder_ledger",
            "What confounders explain",
            "Share of the variance of image features (principal components, by eigenvalue) and of expression that each "
            f"factor explains in the verdict's settings, by itself and beyond the rest of the model.{_labelled(wide)}",
            "A factor outside the model that explains both sides would be wrong: it can make them correlate.",
            wide,
            kept,
            "confounders/*.confounder_ledger.tsv",
            "Factor",
            [f"{row.factor}, {row.tissue_id}" for row in wide.itertuples()],
            finding=hx_finding_factors.ledger(wide),
        )
    ]


def _labelled(rows: pd.DataFrame) -> str:
    after = sorted({name for name in rows["model"] if "post-selection" in str(name)})
    if not after:
        return ""
    told = "the factors were chosen by the data that they adjust, so that p of later stages is too small"
    return f" Model: {escape(after[0])}: {told}."


def _curve(rows: pd.DataFrame) -> list[dict]:
    rows = rows[rows["step"] <= CURVE_STEPS]
    series, style, told = {}, {}, []
    for tissue in list(dict.fromkeys(rows["tissue_id"]))[:MOST_TISSUES]:
        of_tissue = rows[rows["tissue_id"] == tissue]
        for view, part in of_tissue.groupby("view", sort=False):
            colour = COLOURS[len(series) // 2 % len(COLOURS)]
            for column, name, dash in CURVES:
                label = f"{tissue}, {SIDES[view]}, {name}"
                series[label] = (part["step"].to_numpy(float), part[column].to_numpy(float))
                style[label] = {"color": colour, "dash": dash}
            told.append(f"{tissue}, {SIDES[view]}: {', '.join(part['factor'].astype(str).iloc[1:])}")
    return [
        lines(
            "factor_curve",
            "Factor curve",
            "Variance that factors explain together, added greedily as in the study's figure 4: in the sample (solid), "
            "in donors left out, for whom each fold chose anew (dotted), and by chance (dashed): the same choice among "
            "factors of permuted donors.",
            f"A solid line that rises no faster than the dashed one is noise. In order: {escape('; '.join(told))}. "
            "All steps are in confounders/*.factor_curve.tsv.",
            series,
            style,
            xlab="Factors",
            ylab="Share of variance",
        )
    ]


def _pcs(rows: pd.DataFrame) -> list[dict]:
    first = list(dict.fromkeys(rows["tissue_id"]))[:MOST_TISSUES]
    rows = rows[rows["tissue_id"].isin(first)].assign(
        row=rows["factor"].astype(str) + ", " + rows["tissue_id"].astype(str),
        column=rows["view"].map(SIDES) + " PC" + rows["pc"].astype(str),
    )
    wide = rows.pivot_table(index="row", columns="column", values="r2", aggfunc="first", sort=False)
    numbers = rows.drop_duplicates("column").sort_values(["view", "pc"], ascending=[False, True])
    wide = wide[numbers["column"]]
    null, found = rows["null"], int((rows["q"] < 0.05).sum())
    return [
        section(
            "factor_pcs",
            "Factors and principal components",
            "Share of each leading principal component of image and expression (those above noise) that each factor "
            f"explains by itself, in the verdict's settings. A factor without effect has {null.min():.3f} to "
            f"{null.max():.3f}, by its columns; {found} of {len(rows)} pairs have q < 0.05 (F test).",
            "A factor that marks the first components of both sides would be wrong to leave out of the model. All "
            "pairs, and what is beyond the rest of the model, are in confounders/*.factor_pcs.tsv.",
            "heatmap",
            [[cell(value) for value in values] for values in wide.round(4).to_numpy(float)],
            xcats=[escape(name) for name in wide.columns],
            ycats=[escape(name) for name in wide.index],
            pconfig={
                "id": "factor_pcs_plot",
                "title": "HistoGEx: Factors and principal components",
                "xlab": "Component",
                "ylab": "Factor",
                "min": 0,
                "max": 1,
                "square": False,
                "cluster_rows": False,
                "cluster_cols": False,
            },
        )
    ]


def _model(rows: pd.DataFrame) -> list[dict]:
    columns = {
        "group": named("Group", "donor, handling, rna_library, slide or other", {}),
        "in_model": named("In the model", "Adjusted for", {}),
        "why": named("Why", "What put it in the model or left it out", {}),
        "df": named("Columns", "Degrees of freedom", COUNT),
        "transform": named("Coding", "What was done to the cells", {}),
        "missing": named("Missing", "Donors without a value", PEOPLE),
        "rule": named("Rule", "What was done for them", {}),
        "collinear_with": named("Collinear with", "Factors that tell some of its columns", {}),
        "vif": named("VIF", "Variance inflation by the other factors of the model", RATIO),
        "n": named("Donors", "Donors in the model", PEOPLE),
        "dof": named("Residual dof", "n - 2 - columns of the model", COUNT),
    }
    return [
        table(
            "confounder_model",
            "Factors and the model",
            "Every covariate and slide factor, and whether it is adjusted for.",
            "A VIF above 10, or few residual degrees of freedom, leaves little power to tell factors apart.",
            rows,
            {name: header for name, header in columns.items() if rows[name].notna().any()},
            "confounders/*.confounder_model.tsv",
            "Factor",
            [f"{row.factor}, {row.tissue_id}" for row in rows.itertuples()],
        )
    ]


def _assumptions(rows: pd.DataFrame) -> list[dict]:
    rows = rows.assign(side=rows["view"].map(SIDES))
    columns = {
        "side": named("Response", "First principal component of the image's features, or of expression", {}),
        "lack_of_fit_p": named("Curved, p", "F test of a spline against a straight line; blank for levels", SMALL_P),
        "breusch_pagan_p": named("Unequal variance, p", "Breusch-Pagan test by permutation", SMALL_P),
        "leverage_max": named(
            "Leverage", "Largest share of the factor's fit that hangs on a single donor", {**RATIO, "only": INTERNAL}
        ),
        "vif": named("VIF", "Variance inflation by the other factors", RATIO),
    }
    return [
        table(
            "confounder_assumptions",
            "Assumptions of the confounder model",
            "Whether straight lines fit, whether residuals vary alike, and whether single donors decide.",
            "A small p for a curve means that a straight factor leaves some of its effect in the residuals.",
            rows,
            {name: header for name, header in columns.items() if rows[name].notna().any()},
            "confounders/*.confounder_assumptions.tsv",
            "Factor",
            [f"{row.factor}, {row.tissue_id}" for row in rows.itertuples()],
        )
    ]


def _points(rows: pd.DataFrame) -> list[dict]:
    """Line plots, a side each: means in bins, and fitted curves, of each number; residuals against fitted values."""
    shown = []
    first = list(dict.fromkeys(rows["tissue_id"]))[:MOST_TISSUES]
    rows = rows[rows["tissue_id"].isin(first) & rows["x"].notna()]
    for view, side in SIDES.items():
        series, style = {}, {}
        of_side = rows[rows["view"] == view]
        for colour, ((tissue, label), part) in zip(
            cycle(COLOURS), of_side.groupby(["tissue_id", "label"], sort=False), strict=False
        ):
            x = part["x"].to_numpy(float)
            x = (x - x.mean()) / (x.std() or 1)
            what = {"mean": "solid", "line": "dash", "spline": "dot"}
            what = what if part["line"].notna().any() else {"mean": "solid"}
            for column, dash in what.items():
                name = f"{tissue}, {'residuals' if label == 'model' else label}: {column}"
                series[name], style[name] = (x, part[column].to_numpy(float)), {"color": colour, "dash": dash}
        if not series or sum(len(x) for x, _ in series.values()) > MAX_POINTS:
            continue
        shown.append(
            lines(
                f"confounder_points_{side}",
                f"Factors of the model against the {side}",
                f"Mean of the {side}'s first principal component in bins of each factor (solid), with the straight "
                "line (dashed) and the spline (dotted) of that factor alone; residuals: against fitted values.",
                "Residuals that follow a curve would be wrong: the model is missing it. All points are in "
                "confounders/*.confounder_points.tsv.",
                series,
                style,
                xlab="Factor, standardised",
                ylab="Standard deviations",
            )
        )
    return shown
