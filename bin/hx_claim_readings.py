#!/usr/bin/env python3
"""What the tables of a run say of each of the 2017 study's claims; rules of the verdicts: hx_claim_run.py.

Functions take a Run, the verdict's setting of a tissue (setting, tissue_id) and, where it has one, the published
number. They raise Untestable where no table tells.
"""

import math
from collections.abc import Mapping

import pandas as pd

from hx_claim_run import ALPHA, CHANCE, FAILS, HOLDS, Reading, Run, Untestable, share_verdict
from hx_companions import COMPANIONS
from hx_factors import named_for
from hx_shared import EXPRESSION, HEADLINE

COLOURS = frozenset(
    [c.label for c in COMPANIONS if c.group in ("stain", "colour")]
    + [f"slide {name}" for name in ("haematoxylin", "eosin", "red", "green", "blue")]
)
SURFACTANT = r"(?i)lamellar|surfactant|ABCA3"
SIDES = {"image_pcs": "the image features", "expression_pcs": "expression"}


def _of_view(view: str, setting: str) -> str:
    """`setting` of the ledger's and the curve's rows of a view: expression has one a tissue and size."""
    return setting if view == "image_pcs" else setting.rsplit(".", 2)[0]


LEDGER = ["factor", "n", "r2", "null", "adjusted", "adjusted_low", "adjusted_high", "p"]


def model_share(run: Run, place: Mapping, view: str, published: float) -> Reading:
    """Share of a side that all factors of the run's model explain; formula: all factors of the greedy curve."""
    setting = _of_view(view, place["setting"])
    row = run.rows("confounder_ledger", LEDGER, setting=setting, view=view, level="model", given="nothing").iloc[0]
    verdict, why = share_verdict(published, row["adjusted_low"], row["adjusted_high"], row["p"])
    curve = run.rows_if_any("factor_curve", ["step", "r2", "null"], setting=setting, view=view)
    last = curve.sort_values("step").iloc[-1] if len(curve) else {"r2": math.nan, "null": math.nan}
    measure = f"share of the variance of {SIDES[view]} that the run's model explains, less chance:"
    numbers = (row["adjusted_low"], row["adjusted_high"], row["p"], row["n"], last["r2"], last["null"])
    return Reading(setting, "confounder_ledger", measure, row["adjusted"], verdict, why, *numbers)


def factor_share(run: Run, place: Mapping, view: str, what: str, published: float) -> Reading:
    """Share of a side that one factor explains by itself; what: of hx_factors.NAMES_OF. The claim does not hold where
    another factor comes first in the greedy curve."""
    setting = _of_view(view, place["setting"])
    rows = run.rows("confounder_ledger", LEDGER, setting=setting, view=view, level="factor", given="nothing")
    factor = named_for(what, rows["factor"].astype(str))
    if factor is None:
        raise Untestable(f"no covariate is {'RNA integrity' if what == 'rin' else 'ischaemic time'}")
    row = rows[rows["factor"] == factor].iloc[0]
    verdict, why = share_verdict(published, row["adjusted_low"], row["adjusted_high"], row["p"])
    first = run.rows_if_any("factor_curve", ["step", "factor"], setting=setting, view=view)
    first = first[first["step"] == 1]
    if len(first):
        leads = first["factor"].iloc[0]
        why += f"; first of the factor curve here is {leads}"
        if verdict == HOLDS and leads != factor:  # the claim is that no factor explains more
            verdict = FAILS
    measure = f"share of the variance of {SIDES[view]} that {factor} explains, less chance:"
    numbers = (row["adjusted_low"], row["adjusted_high"], row["p"], row["n"], row["r2"], row["null"])
    return Reading(setting, "confounder_ledger", measure, row["adjusted"], verdict, why, *numbers)


def image_share(run: Run, place: Mapping, published: float) -> Reading:
    """Share of expression that goes with the image beyond the model; formula: the study's S, genes by covariance."""
    setting, columns = place["setting"], ["adjusted_share", "ci_low", "ci_high", "p", "n"]
    wanted = {"setting": setting, "control": "none", "direction": EXPRESSION, "donors": "all", "adjusted": "yes"}
    row = run.rows("shared_variance", columns, **wanted, scaling=HEADLINE).iloc[0]
    verdict, why = share_verdict(published, row["ci_low"], row["ci_high"], row["p"])
    own = run.rows_if_any("shared_variance", ["published", "published_null"], **wanted, scaling="covariance")
    formula, null = own.iloc[0][["published", "published_null"]] if len(own) else (math.nan, math.nan)
    measure = "share of what the covariates leave of expression that goes with the image, less chance:"
    numbers = (*row[["ci_low", "ci_high", "p", "n"]], formula, null)
    return Reading(setting, "shared_variance", measure, row["adjusted_share"], verdict, why, *numbers)


def best_transcript(run: Run, place: Mapping, published: float) -> Reading:
    """Largest r2 of a feature and a gene; holds where a pair passes Bonferroni and it reaches the published."""
    setting, kind = place["setting"], "published_associations"
    columns = ["n", "hits", "top_r2", "null_top_r2", "top_nlog10p", "top_feature", "top_gene"]
    row = run.rows(kind, columns, setting=setting, variant="calibrated").iloc[0]
    if math.isnan(row["top_r2"]):
        raise Untestable("no pair was tested")
    own = run.rows_if_any(kind, ["top_r2", "null_top_r2"], setting=setting, variant="published")
    formula, null = own.iloc[0][["top_r2", "null_top_r2"]] if len(own) else (math.nan, math.nan)
    if not row["hits"]:
        verdict, why = CHANCE, "no pair passes Bonferroni's correction over all pairs"
    elif row["top_r2"] <= row["null_top_r2"]:
        verdict, why = CHANCE, f"donors shuffled reach {row['null_top_r2']:.3f} in the median"
    else:
        verdict = HOLDS if row["top_r2"] >= published else FAILS
        why = f"{int(row['hits'])} pairs pass Bonferroni's correction, the largest r2 is "
        why += f"{'at least' if verdict == HOLDS else 'below'} the published {published:g}"
    measure = f"r2 of {row['top_feature']} with {row['top_gene']}, the largest of all pairs (p of this pair alone):"
    numbers = {"p": 10 ** -row["top_nlog10p"], "n": row["n"], "formula": formula, "null": null}
    return Reading(setting, kind, measure, row["top_r2"], verdict, why, **numbers)


def compared(run: Run, place: Mapping, claim: str) -> Reading:
    """Difference of two settings' shares of expression at an equal number of PCs; claim: of hx_scales.

    formula, null: the same difference of the study's S, and of what chance gives it.
    """
    columns = ["setting", "other", "claim", "difference", "ci_low", "ci_high", "p", "n", "adjusted"]
    rows = run.rows("comparisons", columns, tissue_id=place["tissue_id"])
    rows = rows[rows["claim"] == claim]
    if not len(rows):
        raise Untestable("the run has no two settings that the claim is declared for")
    row = rows.iloc[0]
    if math.isnan(row["ci_low"]):
        raise Untestable("the difference has no interval")
    if row["ci_low"] > 0:
        verdict, why = HOLDS, "the interval lies above 0"
    elif row["ci_high"] < 0:
        verdict, why = FAILS, "the interval lies below 0"
    else:
        verdict, why = CHANCE, "the interval holds 0"
    wanted = {"control": "none", "direction": EXPRESSION, "donors": "all", "scaling": "covariance"}
    wanted |= {"adjusted": row["adjusted"]}
    pair = [
        run.rows_if_any("shared_variance", ["published", "published_null"], setting=setting, **wanted)
        for setting in (row["setting"], row["other"])
    ]
    formula = null = math.nan
    if all(len(rows) for rows in pair):
        formula, null = (float(pair[0][c].iloc[0] - pair[1][c].iloc[0]) for c in ("published", "published_null"))
    measure = f"share of expression less that of {row['other']}, at an equal number of PCs:"
    numbers = (*row[["ci_low", "ci_high", "p", "n"]], formula, null)
    return Reading(row["setting"], "comparisons", measure, row["difference"], verdict, why, *numbers)


def pathway(run: Run, place: Mapping) -> Reading:
    """Best of the surfactant's terms among those of any feature; holds where camera's q is at most ALPHA."""
    setting = place["setting"]
    if "lung" not in place["tissue_id"].lower():
        raise Untestable("the claim is on Lung")
    columns = ["feature", "term", "set", "t_camera", "p_camera", "q_camera"]
    best = run.rows("enrichment_top", columns, setting=setting)
    own = ["feature", "term", "set", "p"]
    of_features = run.rows_if_any("enrichment_table1", own, setting=setting)
    found, table1 = (_surfactant(rows) for rows in (best, of_features))
    if not len(found):
        raise Untestable("no term of lamellar bodies or surfactant is the best of any feature")
    row = found.sort_values("p_camera", kind="stable").iloc[0]
    verdict = HOLDS if row["q_camera"] <= ALPHA else CHANCE
    why = f"camera's q over all features and sets is {'at most' if verdict == HOLDS else 'above'} {ALPHA:g}"
    summary = run.rows_if_any("enrichment_summary", ["n"], setting=setting, control="none")
    n = summary["n"].iloc[0] if len(summary) else math.nan
    measure = f"camera's t of {row['set']} with {row['feature']}:"
    formula = float(table1["p"].min()) if len(table1) else math.nan
    numbers = {"p": row["p_camera"], "n": n, "formula": formula}
    return Reading(setting, "enrichment_top", measure, row["t_camera"], verdict, why, **numbers)


def _surfactant(rows: pd.DataFrame) -> pd.DataFrame:
    text = rows["term"].fillna("").astype(str) + " " + rows["set"].fillna("").astype(str)
    return rows[text.str.contains(SURFACTANT, regex=True)]


def colour_feature(run: Run, place: Mapping) -> Reading:
    """Ischaemic time in the features: holds where the feature that tracks it most is said to see a colour or a stain.

    formula: r2 of that feature; its null, the largest of so many features by chance, is in no table.
    """
    setting, columns = place["setting"], [*LEDGER, "column_top", "top"]
    rows = run.rows("confounder_ledger", columns, setting=setting, view="features", level="factor", given="nothing")
    factor = named_for("ischaemia", rows["factor"].astype(str))
    if factor is None:
        raise Untestable("no covariate is ischaemic time")
    row = rows[rows["factor"] == factor].iloc[0]
    measure = f"share of the variance of all features that {factor} explains, less chance:"
    numbers = (row["adjusted_low"], row["adjusted_high"], row["p"], row["n"], row["column_top"])
    if math.isnan(row["p"]):
        raise Untestable("the table has no p of it")
    if row["p"] > ALPHA:
        verdict, why = CHANCE, f"p is above {ALPHA:g}; the feature that tracks it most is {row['top']}"
    else:
        own = run.rows("descriptions", ["label"], setting=setting)
        own = own[own["feature"] == row["top"]]
        terms = run.rows_if_any("description_terms", ["term"], setting=setting, feature=row["top"])
        seen = {*own["label"].fillna("").astype(str), *terms["term"].astype(str)} & COLOURS
        if not len(own):
            raise Untestable(f"{row['top']}, which tracks {factor} most, was not described")
        verdict = HOLDS if seen else FAILS
        seen_text = ", ".join(sorted(seen)) if seen else "no colour and no stain"
        why = f"{row['top']}, which tracks {factor} most, sees {seen_text}"
    return Reading(setting, "confounder_ledger", measure, row["adjusted"], verdict, why, *numbers)


# Share of variance, found with 80 % power, above which finding nothing says nothing; of 277 donors at 5e-8 it is .139.
BLIND = 0.15


def no_variant(run: Run, place: Mapping) -> Reading:
    """Hits of the scan of genotypes; none: the claim holds, for variants as strong as the reason says."""
    setting = place["setting"]
    columns = ["control", "trait", "tests", "hits", "gate", "n", "detectable_r2", "best_p_family", "alpha", "scope"]
    rows = run.rows("qtl_summary", columns, setting=setting)
    real, control = rows[rows["control"] == "none"], rows[rows["control"] != "none"]
    if not real["tests"].sum():
        raise Untestable("no variant was tested")
    if len(bad := real[real["gate"].isin(["inflated", "deflated"])]):
        raise Untestable(f"lambda of {', '.join(bad['trait'].astype(str))} is out of its limits")
    if real["detectable_r2"].isna().all():
        raise Untestable("no test could have passed with so few donors")
    hits = int(real["hits"].sum())
    shuffled = float(control["hits"].sum()) if len(control) else math.nan
    least = 100 * real["detectable_r2"].min()
    if not hits and least > 100 * BLIND:
        raise Untestable(f"only a variant with {least:.0f} % of a feature's variance could have been found")
    if not hits:
        verdict, why = HOLDS, f"a variant with less than {least:.1f} % of a feature's variance could be missed"
    elif shuffled >= hits:
        verdict, why = CHANCE, f"genotypes permuted give {int(shuffled)}"
    else:
        verdict, why = FAILS, f"family-wise p at most {real['alpha'].iloc[0]:g}"
    measure = f"pairs of a variant and a trait that pass, scope {real['scope'].iloc[0]} (p: the least, family-wise):"
    numbers = {"p": real["best_p_family"].min(), "n": real["n"].max(), "formula": math.nan, "null": shuffled}
    return Reading(setting, "qtl_summary", measure, hits, verdict, why, **numbers)
