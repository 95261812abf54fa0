#!/usr/bin/env python3
"""What the report says of the cohort: dataset, conflicts, donors at each patch size, covariates, sex, pathology."""

from collections.abc import Mapping

import pandas as pd

import hx_finding_factors
from hx_cohort_report import EVERY, covariates_wide, dataset, excluded_text
from hx_disclosure import FEW, Disclosure, few
from hx_gather import Kind
from hx_mqc import COUNT, PEOPLE, RATIO, bars, escape, table, text
from hx_sections import COLOURS, named
from hx_sizes import size_text

SHARE = {"format": "{:.0%}", "scale": False}
TABLES = {  # of check_cohort.py, prepare_expression.py (<tissue_id>.sex_check.tsv) and prepare_gtex.py
    "covariate_summary": Kind(["tissue_id", "column", "group", "kind", "n", "missing", "used", "reason"]),
    "covariates_by_tissue": Kind(["tissue_id", "column", "level", "statistic", "value"]),
    "exclusions": Kind(["id", "kind", "slides"]),
    "sex_check": Kind(["tissue_id", "status", "donors", "donor", "recorded", "inferred"]),
    "annotations": Kind(["sample"]),
}


def cohort_sections(
    cohort: pd.DataFrame, tables: Mapping[str, pd.DataFrame], gathered: Mapping[str, pd.DataFrame]
) -> list[dict]:
    """Sections of the cohort page.

    Args:
        cohort: cohort.tsv, text.
        tables: of hx_cohort_report.page_tables.
        gathered: exclusions and sex_check, where there are any.
    """
    wrong = "Numbers that are not those of your study would be wrong."
    told, hidden = _dataset(cohort, gathered, shareable=False), _dataset(cohort, gathered, shareable=True)
    shown = [
        text("dataset", "Dataset", "Who is analysed.", wrong, told, hidden),
        _tissues(tables["tissues_per_donor"]),
        _conflicts(tables["tissue_conflicts"]),
    ]
    if len(sizes := tables.get("donors_by_size", pd.DataFrame())):
        shown.append(_sizes(sizes))
    if "covariate_fates" in tables:
        shown.append(_fates(tables["covariate_fates"]))
    if "covariates_wide" in tables:
        shown.append(_covariates(tables["covariates_wide"]) | {"shareable": lambda _: _of_enough_donors(gathered)})
    if "sex_check" in gathered:
        shown.append(_sex(gathered["sex_check"]))
    if "pathology_categories" in tables:
        shown.append(_pathology(tables["pathology_categories"]))
    return shown


def _dataset(cohort: pd.DataFrame, gathered: Mapping[str, pd.DataFrame], shareable: bool) -> list[str]:
    told = [dataset(cohort, shareable)]
    if "exclusions" in gathered:
        told.append(excluded_text(gathered["exclusions"], shareable))
    return [paragraph for paragraph in told if paragraph]


def _tissues(rows: pd.DataFrame) -> dict:
    frame = rows.set_axis(rows["tissues"].astype(str)).rename(columns={"donors": "Donors"})[["Donors"]]
    return bars(
        "tissues_per_donor",
        "Tissues per donor",
        "Donors by the number of their tissues in the cohort.",
        "Donors of one tissue only, where they gave several, would be wrong: ids may differ between sheets.",
        frame,
        {"Donors": COLOURS[0]},
        "Donors",
        people=True,
    )


def _conflicts(rows: pd.DataFrame) -> dict:
    return table(
        "tissue_conflicts",
        "Tissue conflicts",
        "Slides whose tissue is not the one that the annotation of their RNA names; they are left out.",
        "More than a few in a hundred would be wrong: two releases may be mixed.",
        rows,
        {
            "reason": named("Conflict", "Tissue of the slide and of the RNA sample", {}),
            "stage": named("Stage", "Step of the pipeline", {}),
        },
        "summary/tissue_conflicts.tsv",
        "Slide",
        list(rows["id"]),
        by=["reason"],
    )


def _sizes(rows: pd.DataFrame) -> dict:
    wide = rows.pivot(index="tissue_id", columns="size", values="donors")
    order = [size for size in rows["size"].unique() if size != EVERY]
    kept = (rows["donors"] + rows["lost"]).groupby(rows["tissue_id"]).first()
    frame = wide[[*order, EVERY]].assign(cohort=kept)[["cohort", *order, EVERY]]
    columns = {"cohort": named("In cohort", "Donors of cohort.tsv", PEOPLE)}
    columns |= {size: named(size_text(size), f"Donors with a patch of {size_text(size)}", PEOPLE) for size in order}
    columns[EVERY] = named("Every size", "Donors with patches of all sizes: those that sizes are compared on", PEOPLE)
    return table(
        "donors_by_size",
        "Donors at each patch size",
        "Donors that have a patch of each size: small pieces of tissue hold no large patch.",
        "Results of two sizes that are compared on other donors than those of every size would be wrong.",
        frame,
        columns,
        "summary/donors_by_size.tsv",
        "Tissue",
        list(frame.index),
        finding=hx_finding_factors.donors_by_size(frame),
    )


def _covariates(rows: pd.DataFrame) -> dict:
    names = [name for name in rows if name != "tissue_id"]
    return table(
        "covariates_by_tissue",
        "Covariates by tissue",
        "Median and quartiles of numbers as recorded (times in minutes), shares of the commonest levels.",
        "A tissue whose donors, centre or ischaemic time differ from the others' would be wrong to compare with them.",
        rows,
        {name: named(name, f"Covariate {name}", {}) for name in names},
        "summary/covariates_wide.tsv, for all covariates in cohort/covariates_by_tissue.tsv",
        "Tissue",
        list(rows["tissue_id"]),
    )


def _of_enough_donors(gathered: Mapping[str, pd.DataFrame]) -> dict:
    """The same without what fewer than FEW donors have."""
    summary = gathered["covariate_summary"]
    return _covariates(covariates_wide(gathered["covariates_by_tissue"], summary, least=FEW))


def _fates(rows: pd.DataFrame) -> dict:
    return table(
        "covariate_fates",
        "What became of each covariate",
        "How each column is coded as a factor, how much of it is missing, and why it is refused where it is.",
        "A confounder that you know of and that is refused here would be wrong: no analysis can adjust for it.",
        rows,
        {
            "group": named("Group", "donor, handling, rna_library, slide or other", {}),
            "kind": named("Kind", "numeric, ordinal, date, categorical or multi (several labels a cell)", {}),
            "transform": named("Transform", "What was done to the cells", {}),
            "used": named("Used", "Tissues in which it is a factor", COUNT),
            "tissues": named("Tissues", "Tissues of the cohort", COUNT),
            "missing_median": named("Missing", "Median over tissues of the share of donors without a value", SHARE),
            "missing_max": named("Missing, most", "Share in the tissue that lacks most", SHARE),
            "reason": named("Refused because", "The commonest reason", {}),
        },
        "summary/covariate_fates.tsv, for each tissue in cohort/covariate_summary.tsv",
        "Covariate",
        list(rows["column"]),
    )


def _sex(rows: pd.DataFrame) -> dict:
    counts = rows.groupby("status")["donors"].sum().astype(int)
    told, hidden = (", ".join(f"{say(n)} {of}" for of, n in counts.items()) for say in (str, few))
    singled = rows[rows["status"].isin(["mismatch", "ambiguous"])]
    singled = singled.sort_values(["status", "tissue_id", "donor"], ascending=[False, True, True], ignore_index=True)
    content = table(
        "sex_check",
        "Recorded sex against expression",
        f"Donors whose XIST and Y-linked genes do not tell the recorded sex (over all tissues: {told}).",
        "Any mismatch would be wrong: the RNA, the slide or the record may be another donor's.",
        singled,
        {
            "tissue_id": named("Tissue", "Tissue", {}),
            "status": named("Status", "mismatch, or ambiguous: XIST and Y genes are within a factor of two", {}),
            "recorded": named("Recorded", "Sex in the covariates", {}),
            "inferred": named("Inferred", "Sex by expression", {}),
            "xist": named("XIST", "log2 value", RATIO),
            "y": named("Y genes", "Mean of log2 values", RATIO),
        },
        "features/<tissue_id>.sex_check.tsv",
        "Donor",
        list(singled["donor"]),
        by=["tissue_id", "status"],
    )

    def shareable(disclosure: Disclosure) -> dict:
        other = content.get("shareable", lambda _: content)(disclosure)
        return other | {"description": other["description"].replace(told, escape(hidden))}

    return content | {"shareable": shareable}


def _pathology(rows: pd.DataFrame) -> dict:
    return table(
        "pathology_categories",
        "Pathology categories",
        "Slides of each tissue with a pathology category, among those that anybody labelled.",
        "A category that every slide has would be wrong; slides without any label are not counted as sound.",
        rows,
        {
            "category": named("Category", "As the portal names it", {}),
            "slides": named("Slides", "With this category", PEOPLE),
            "labelled": named("Labelled", "Slides with any category", PEOPLE),
            "share": named("Share", "Of the labelled slides", {**SHARE, "of": "slides"}),
        },
        "summary/pathology_categories.tsv",
        "Tissue",
        list(rows["tissue_id"]),
    )
