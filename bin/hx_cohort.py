#!/usr/bin/env python3
"""Who is analysed: which slide goes with which RNA sample, why the others are left out, and the tables that say so."""

from pathlib import Path

import pandas as pd

from hx_cli import Faults, preview
from hx_join import (
    MIN_DONORS,
    donor_fold,
    dropped_table,
    match_expression,
    one_rna_per_donor,
    slide_batch,
    tissue_id,
    unused_rna,
)

STAGE = "check_cohort"
SLIDE_COLUMNS = [
    *("sample", "donor", "tissue", "tissue_id", "slide", "mpp", "tissue_geojson", "excluded", "fold", "batch"),
]
NOT_CHOSEN = "its tissue is not among --tissues"


def chosen_tissues(rows: pd.DataFrame, asked: list[str], faults: Faults) -> set[str]:
    """tissue_ids asked for by name or tissue_id, all when none is; a fault for each that the cohort has not."""
    known = dict(zip(rows["tissue_id"], rows["tissue"], strict=True))
    for name in asked:
        if tissue_id(name) not in known:
            faults.add(f"--tissues {name}: no such tissue: the cohort has {preview(sorted(known.values()), 60)}")
    return {tissue_id(name) for name in asked} if asked else set(known)


def decide(
    rows: pd.DataFrame,
    columns: list[str] | None,
    tissues: set[str],
    excluded: set[str],
    missing: dict[str, str],
    rin: dict[str, float],
    rna_tissue: dict[str, str],
) -> pd.DataFrame:
    """Say of every row of the sheet whether it is analysed, and with which RNA sample.

    Args:
        rows: a row a slide (sample '' = a donor of a feature table): sample donor tissue tissue_id slide rna_sample.
        columns: names of the expression columns; None where nothing was measured, and every slide goes on.
        tissues: tissue_ids to analyse.
        excluded: ids of donors, slides or RNA samples to leave out.
        missing: reason by sample for slides that are not there.
        rin, rna_tissue: as in match_expression.

    Returns:
        `rows` with rna_used ('' = dropped), rule, candidates, reason ('' = analysed), usable (bool: not excluded, not
        missing, of a tissue asked for) and matched (bool: usable, and some rule gave an RNA sample).
    """
    rows = rows.copy()
    chosen = rows["tissue_id"].isin(tissues)
    left = [column for column in columns or [] if column not in excluded]
    matches = match_expression(rows[chosen], left, rin, rna_tissue).reindex(rows.index)
    if columns is None:
        matches["reason"] = ""
    rows["candidates"] = [c if isinstance(c, tuple) else () for c in matches["candidates"]]
    rows["rule"], rna = matches["rule"].fillna(""), matches["rna"].fillna("")

    def first_reason(
        sample: str, donor: str, slide: str, stated: str, chosen: bool, unmatched: str
    ) -> tuple[str, bool]:
        if not chosen:
            return NOT_CHOSEN, False
        for name in (sample, donor, stated, slide, Path(slide).name):
            if name and name in excluded:
                return f"{name} is excluded by --exclude", False
        if sample in missing:
            return missing[sample] or "slide not found", False
        return unmatched, True

    ids = (rows[name] for name in ("sample", "donor", "slide", "rna_sample"))
    told = [first_reason(*row) for row in zip(*ids, chosen, matches["reason"].fillna(""), strict=True)]
    rows["reason"] = [reason for reason, _ in told]
    rows["usable"] = [usable for _, usable in told]
    rows["matched"] = rows["usable"] & (rna != "")
    if columns is None:
        return rows.assign(rna_used="")
    kept = rows[rows["reason"] == ""]
    donors = kept.groupby("tissue_id")["donor"].nunique()
    few = rows["tissue_id"].map(donors).lt(MIN_DONORS) & (rows["reason"] == "")
    rows.loc[few, "reason"] = [
        f"tissue left out: {donors[tissue]} of at least {MIN_DONORS} donors with slide and expression"
        for tissue in rows.loc[few, "tissue_id"]
    ]
    kept = rows[rows["reason"] == ""]
    rows["rna_used"] = one_rna_per_donor(kept.assign(rna=rna[kept.index]), rin).reindex(rows.index).fillna("")
    return rows


def check_overlap(rows: pd.DataFrame, columns: list[str], source: str) -> list[str]:
    """Why a cohort without a single tissue to analyse has none; [] when there is one. `rows`: of decide."""
    if (rows["reason"] == "").any():
        return []
    selected = rows[rows["reason"] != NOT_CHOSEN]
    usable, matched = selected[selected["usable"]], selected[selected["matched"]]
    if usable.empty:
        reasons = preview(selected["reason"].unique(), 3)
        return [f"{source}: no slide is left ({reasons}): check the paths and --exclude"]
    if matched.empty:
        conflict = usable.loc[usable["candidates"].map(len) > 0, "reason"]
        if len(conflict) == len(usable):
            return [f"{source}: no RNA of a slide's tissue ({preview(conflict, 3)}): mend the tissues or rna_sample"]
        seen = {name: sorted(set(usable[name]) - {""}) for name in ("rna_sample", "sample", "donor")}
        ids = "; ".join(f"{name} {preview(names, 3)}" for name, names in seen.items() if names)
        shared = usable["donor"].isin(columns).any()
        fix = "columns are donors, but there are several tissues: " if shared else ""
        return [
            f"{source} and the expression files have no sample in common: expression columns are "
            f"{preview(columns, 3)}; the cohort has {ids}: {fix}name the column of each slide in rna_sample"
        ]
    donors = sorted(set(matched["donor"]))
    if len(donors) == 1:
        return [f"{source}: one donor ({donors[0]}) with slide and expression: at least {MIN_DONORS} are needed"]
    counts = matched.groupby("tissue")["donor"].nunique()
    listed = preview((f"{name} {count}" for name, count in counts.items()), 20)
    return [f"{source}: no tissue has {MIN_DONORS} donors with slide and expression ({listed}): add donors"]


def exclusion_table(excluded: set[str], rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """What the ids of --exclude are: a row an id and kind (donor, slide, rna, or unknown), and the slides it names.

    Args:
        rows: a row a slide: sample donor slide rna_sample.
        columns: names of the expression columns.
    """
    files = rows["slide"].map(lambda slide: Path(slide).name)
    told = []
    for name in sorted(excluded):
        of = {
            "donor": rows["donor"] == name,
            "slide": (rows["sample"] == name) | (rows["slide"] == name) | (files == name),
            "rna": rows["rna_sample"] == name,
        }
        kinds = [kind for kind, where in of.items() if where.any() or (kind == "rna" and name in columns)]
        told += [(name, kind, int((of[kind] & (rows["sample"] != "")).sum())) for kind in kinds]
        told += [(name, "unknown", 0)] * (not kinds)
    return pd.DataFrame(told, columns=["id", "kind", "slides"])


def cohort_tables(
    rows: pd.DataFrame, staged: pd.DataFrame, columns: list[str], excluded: set[str], seed: int, batches: int
) -> dict[str, pd.DataFrame]:
    """slides, cohort, matching and dropped tables from the rows of decide.

    Every slide, donor x tissue, tissue and RNA sample is in the cohort or in dropped, never in both. Slides that only
    --exclude takes out stay in `slides`, excluded = yes: with their rows the batches would change, and the other slides
    of these would have to be read again.

    Args:
        rows: of decide with the ids excluded. staged: of decide as if none were.
    """
    kept = rows[rows["reason"] == ""].sort_values(["tissue_id", "donor", "sample"])
    slides = staged[(staged["reason"] == "") & (staged["sample"] != "")]
    slides = slides.sort_values(["tissue_id", "sample"], ignore_index=True)
    slides = slides.assign(
        batch=[slide_batch(t, s, batches) for t, s in zip(slides["tissue_id"], slides["sample"], strict=True)],
        fold=[donor_fold(donor, seed) for donor in slides["donor"]],
        excluded=["no" if sample else "yes" for sample in slides["sample"].isin(kept["sample"])],
    )
    cohort = kept.groupby(["tissue_id", "donor"], as_index=False).agg(
        tissue=("tissue", "first"),
        samples=("sample", lambda names: ";".join(sorted(set(names) - {""}))),
        rna_sample=("rna_used", "first"),
    )
    cohort["fold"] = [donor_fold(donor, seed) for donor in cohort["donor"]]

    losses = [(s, "slide", why) for s, why in zip(rows["sample"], rows["reason"], strict=True) if s and why]
    present = set(zip(cohort["tissue_id"], cohort["donor"], strict=True))
    absent: dict[tuple[str, str], dict[str, None]] = {}
    for tissue, name, donor, why in zip(*(rows[c] for c in ("tissue_id", "tissue", "donor", "reason")), strict=True):
        if (tissue, donor) not in present:
            absent.setdefault((donor, name), {})[why] = None
    losses += [(donor, "donor", f"{name}: {preview(whys, 3)}") for (donor, name), whys in absent.items()]
    matching = []
    for tissue, part in rows.groupby("tissue_id"):
        matched = part[part["matched"]]
        rules = matched["rule"].value_counts().sort_index()
        n_kept = int((cohort["tissue_id"] == tissue).sum())
        if not n_kept:
            losses.append((tissue, "tissue", tissue_reason(part)))
        matching.append({
            "tissue": part["tissue"].iloc[0],
            "tissue_id": tissue,
            "slides": int((part["sample"] != "").sum()),
            "slides_usable": int(((part["sample"] != "") & part["usable"]).sum()),
            "donors": part["donor"].nunique(),
            "rna_samples": len({c for candidates in part["candidates"] for c in candidates}),
            "matched_donors": matched["donor"].nunique(),
            "donors_kept": n_kept,
            "rule": ";".join(f"{rule}:{count}" for rule, count in rules.items()),
        })  # fmt: skip
    for column, why in unused_rna(columns, rows):
        losses.append((column, "rna", f"{column} is excluded by --exclude" if column in excluded else why))
    return {
        "slides": slides[SLIDE_COLUMNS],
        "cohort": cohort[["donor", "tissue", "tissue_id", "samples", "rna_sample", "fold"]],
        "matching": pd.DataFrame(matching),
        "dropped": dropped_table(losses, STAGE),
    }


def tissue_reason(part: pd.DataFrame) -> str:
    """Why a tissue has no row in the cohort, from the rows of its slides."""
    if part["matched"].any():
        return part.loc[part["matched"], "reason"].iloc[0]
    return f"empty: {preview(part['reason'].unique(), 3)}"
