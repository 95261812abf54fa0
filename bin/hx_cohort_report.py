#!/usr/bin/env python3
"""Tables of the report's cohort page, from those of check_cohort.py and later stages. Frames in, frames out."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hx_disclosure import few
from hx_sizes import size_value

LEVELS_SHOWN = 3  # commonest levels of a covariate that a cell of the report names
COVARIATES_SHOWN = 16
EVERY = "every"  # in place of a size: donors with patches of all sizes


def dataset(cohort: pd.DataFrame, shareable: bool = False) -> str:
    """The cohort in a paragraph, as a paper tells its dataset: donors, tissues, slides and their medians.

    Args:
        cohort: cohort.tsv, text: donor, tissue_id, samples.
        shareable: without the extremes of donors and numbers of a few.
    """
    say = few if shareable else int
    per_donor = cohort.groupby("donor")["tissue_id"].nunique()
    per_tissue = cohort.groupby("tissue_id")["donor"].nunique()
    slides = cohort["samples"].map(lambda names: len([name for name in names.split(";") if name]))
    ends = "" if shareable else f" ({per_donor.min()} to {per_donor.max()})"
    told = [
        f"{say(per_donor.size)} donors with slides (or features) and expression in {per_tissue.size} tissues: median "
        f"{per_donor.median():g} tissues a donor{ends}, median {per_tissue.median():g} donors a tissue "
        f"({say(per_tissue.min())} to {say(per_tissue.max())})."
    ]
    if slides.sum():
        several = int((slides > 1).sum())
        told.append(f"{say(slides.sum())} slides; {say(several)} donors x tissues have several, which are pooled.")
    return " ".join(told)


def excluded_text(exclusions: pd.DataFrame, shareable: bool = False) -> str:
    """What --exclude took out, by kind of id; "" where it was not given. `exclusions`: id, kind, slides."""
    say = few if shareable else int
    if exclusions.empty:
        return ""
    counts = exclusions["kind"].value_counts()
    kinds = {"donor": "donors", "slide": "slides", "rna": "RNA samples", "unknown": "unknown ids"}
    told = ", ".join(f"{say(counts[kind])} {name}" for kind, name in kinds.items() if kind in counts)
    return f"--exclude names {told}."


def tissues_per_donor(cohort: pd.DataFrame) -> pd.DataFrame:
    """tissues, donors: how many donors have so many tissues, every number up to the largest."""
    counts = cohort.groupby("donor")["tissue_id"].nunique().value_counts()
    numbers = range(1, int(counts.index.max()) + 1)
    return pd.DataFrame({"tissues": numbers, "donors": [int(counts.get(n, 0)) for n in numbers]})


def tissue_conflicts(dropped: pd.DataFrame) -> pd.DataFrame:
    """id, stage, reason of slides whose tissue is not that of their RNA. `dropped`: of all stages."""
    rows = dropped[(dropped["kind"] == "slide") & dropped["reason"].str.contains("tissue conflict", regex=False)]
    return rows[["id", "stage", "reason"]].sort_values(["reason", "id"], ignore_index=True)


def donors_by_size(cohort: pd.DataFrame, dropped: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """tissue_id, size, donors, lost: donors with patches of each size, and of all of them (EVERY).

    Args:
        cohort: as in dataset.
        dropped: of all stages; a donor lost at a size is a row of stage aggregate_features, "<tissue_id>: why".
        features: feature_summary of all tissues and sizes: tissue_id, size, n_donors.
    """
    kept = cohort.groupby("tissue_id")["donor"].nunique()
    gone = dropped[(dropped["kind"] == "donor") & (dropped["stage"] == "aggregate_features")]
    lost = gone.assign(tissue_id=gone["reason"].str.split(":").str[0]).groupby("tissue_id")["id"].nunique()
    have = features.groupby(["tissue_id", "size"])["n_donors"].max()
    sizes = sorted(set(features["size"]) - {"-"}, key=size_value)
    rows = []
    for tissue in sorted(set(features["tissue_id"]) & set(kept.index)) if sizes else []:
        donors = int(kept[tissue])
        counts = {size: int(have.get((tissue, size), 0)) for size in sizes}
        counts[EVERY] = donors - int(lost.get(tissue, 0))
        rows += [(tissue, size, count, donors - count) for size, count in counts.items()]
    return pd.DataFrame(rows, columns=["tissue_id", "size", "donors", "lost"])


def covariate_fates(summary: pd.DataFrame) -> pd.DataFrame:
    """A row a covariate over all tissues: its coding, in how many tissues it is used, missingness, why it is refused.

    Args:
        summary: covariate_summary.tsv, numbers as such.

    Returns:
        column, group, kind, transform, tissues, used (tissues in which it is a factor), missing_median and missing_max
        (shares of donors), reason (the commonest refusal and how many tissues have it). Refused ones last.
    """
    rows = []
    for column, part in summary.groupby("column", sort=False):
        share, used = part["missing"] / part["n"], part[part["used"] == "yes"]
        refusals = part.loc[part["used"] == "no", "reason"].value_counts()
        more = f" ({refusals.iloc[0]} of {len(part)} tissues)" if len(refusals) and len(part) > 1 else ""
        coded = used if len(used) else part
        rows.append({
            "column": column,
            "group": part["group"].iloc[0],
            **{name: coded[name].value_counts().index[0] for name in ("kind", "transform")},
            "tissues": len(part),
            "used": len(used),
            "missing_median": share.median(),
            "missing_max": share.max(),
            "reason": refusals.index[0] + more if len(refusals) else "",
        })  # fmt: skip
    columns = ["column", "group", "kind", "transform", "tissues", "used", "missing_median", "missing_max", "reason"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(_out=table["used"] == 0).sort_values("_out", kind="stable", ignore_index=True)[columns]


def covariates_wide(by_tissue: pd.DataFrame, summary: pd.DataFrame, least: int = 0) -> pd.DataFrame:
    """A row a tissue, a column a covariate: "median (q1 to q3)", or the commonest levels with their shares.

    Shown are covariates of the donor and of handling, and RIN, that are a factor in some tissue; the first sixteen.

    Args:
        by_tissue: covariates_by_tissue.tsv. summary: covariate_summary.tsv.
        least: donors with a value; cells of fewer are blank.
    """
    used = summary[(summary["used"] == "yes") & (summary["group"].isin(["donor", "handling"]) | _is_rin(summary))]
    names = list(dict.fromkeys(used["column"]))[:COVARIATES_SHOWN]
    enough = summary[summary["n"] - summary["missing"] >= least]
    enough = set(enough[["tissue_id", "column"]].itertuples(index=False, name=None))
    known = [key in enough for key in by_tissue[["tissue_id", "column"]].itertuples(index=False, name=None)]
    rows = by_tissue[by_tissue["column"].isin(names) & np.array(known, dtype=bool)]
    told = {key: _cell(part) for key, part in rows.groupby(["tissue_id", "column"], sort=True)}
    tissues = sorted(set(rows["tissue_id"]))
    cells = {name: [told.get((tissue, name), "") for tissue in tissues] for name in names}
    return pd.DataFrame({"tissue_id": tissues, **cells})


def _is_rin(summary: pd.DataFrame) -> pd.Series:
    return summary["column"].str.lower().isin(["smrin", "rin"])


def _cell(part: pd.DataFrame) -> str:
    """What a tissue's rows of one covariate say."""
    if (part["statistic"] == "share").all():
        shares = [f"{level} {float(v):.0%}" for level, v in zip(part["level"], part["value"], strict=True)]
        return ", ".join(shares[:LEVELS_SHOWN]) + (" …" if len(shares) > LEVELS_SHOWN else "")
    values = {name: _short(value) for name, value in zip(part["statistic"], part["value"], strict=True)}
    return f"{values['median']} ({values['q1']} to {values['q3']})"


def _short(value: object) -> str:
    """A number with four digits; a day as it is."""
    number = pd.to_numeric(str(value), errors="coerce")
    return str(value) if pd.isna(number) else f"{number:.4g}"


def pathology_counts(annotations: pd.DataFrame, cohort: pd.DataFrame) -> pd.DataFrame:
    """tissue_id, category, labelled (slides with any category on record), slides (with this one), share.

    Args:
        annotations: sample, and category_<label> columns: 1 named, 0 not, NaN where nobody labelled the slide.
        cohort: as in dataset; slides that are not in it are left out.
    """
    tissue = {name: row.tissue_id for row in cohort.itertuples() for name in row.samples.split(";") if name}
    labels = [column for column in annotations if column.startswith("category_")]
    rows = annotations.assign(tissue_id=annotations["sample"].map(tissue)).dropna(subset="tissue_id")
    out = []
    for name, part in rows.groupby("tissue_id"):
        values = part[labels].apply(pd.to_numeric)
        labelled = int(values.notna().any(axis=1).sum())
        counts = values.sum().astype(int)
        out += [(name, label.removeprefix("category_"), labelled, n, n / labelled) for label, n in counts.items() if n]
    table = pd.DataFrame(out, columns=["tissue_id", "category", "labelled", "slides", "share"])
    return table.sort_values(["tissue_id", "slides", "category"], ascending=[True, False, True], ignore_index=True)


def page_tables(
    cohort: pd.DataFrame, dropped: pd.DataFrame, gathered: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Tables of the page by name, as summary/<name>.tsv holds them; those without a source are left out.

    Args:
        cohort: cohort.tsv, text. dropped: of all stages.
        gathered: covariate_summary, covariates_by_tissue, feature_summary, sex_check, annotations: those there are.
    """
    tables = {"tissues_per_donor": tissues_per_donor(cohort), "tissue_conflicts": tissue_conflicts(dropped)}
    if "covariate_summary" in gathered and len(gathered["covariate_summary"]):
        tables["covariate_fates"] = covariate_fates(gathered["covariate_summary"])
        wide = covariates_wide(gathered["covariates_by_tissue"], gathered["covariate_summary"])
        tables |= {"covariates_wide": wide} if wide.shape[1] > 1 else {}
    if "feature_summary" in gathered:
        tables["donors_by_size"] = donors_by_size(cohort, dropped, gathered["feature_summary"])
    if "annotations" in gathered:
        tables["pathology_categories"] = pathology_counts(gathered["annotations"], cohort)
    return tables
