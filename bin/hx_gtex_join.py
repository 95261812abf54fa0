#!/usr/bin/env python3
"""Slides of GTEx and the RNA of the same piece of tissue: every listed slide is kept or dropped, and says why."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hx_cli import log, preview
from hx_gtex_slides import conflicts, slide_name
from hx_gtex_tables import NOT_COVARIATES, Attributes
from hx_join import (
    dropped_table,
    gtex_donor,
    gtex_piece,
    match_expression,
    one_rna_per_donor,
    piece_keys,
    tissue_id,
)

STAGE = "prepare_gtex"
REPORT_COLUMNS = (
    *("slide", "tissue", "tissue_from", "key", "rule", "SAMPID", "others", "SUBJID", "SMTSD", "SMTSD_V8"),
    *("siblings", "status", "reason", "file", "row"),
)
NO_PIECE = "no RNA sample of this piece"


@dataclass(frozen=True)
class RnaSamples:
    """Columns of the expression files that may be joined, and what is known of them; all by column name."""

    columns: list[str]
    rin: dict[str, float] = field(default_factory=dict)
    tissue: dict[str, str] = field(default_factory=dict)
    tissue_v8: dict[str, str] = field(default_factory=dict)  # where the label was changed after v8
    refused: dict[str, str] = field(default_factory=dict)  # columns that must not be joined: why


def rna_samples(columns: Sequence[str], attributes: Attributes | None, changes: dict[str, str]) -> RnaSamples:
    """RNA samples of the expression files with RIN and tissue; the newest label of a tissue counts.

    Args:
        columns: sample columns of the expression files.
        attributes: of read_attributes; None when there are none.
        changes: label in v8 by rna_sample, of read_changes. A sample whose attributes still bear that label is refused:
            its newest label is not known.
    """
    refused = {name: "no GTEx sample (K-562 and other controls)" for name in columns if not gtex_donor(name)}
    if refused:
        log.info("%d columns of the expression files are no GTEx samples: %s", len(refused), preview(sorted(refused)))
    if attributes is None:
        return RnaSamples([name for name in columns if name not in refused], refused=refused)
    numbers = pd.to_numeric(attributes.table.get("SMRIN", pd.Series(dtype=str)), errors="coerce").dropna().to_dict()
    labels = attributes.table["tissue"].to_dict()
    for name in columns:
        if name in attributes.refused:
            refused[name] = attributes.refused[name]
        elif name in labels and name in changes and tissue_id(changes[name]) == tissue_id(labels[name]):
            refused[name] = f"relabelled after v8 (there {changes[name]}), the newest label is not at hand"
    left = [name for name in columns if name not in refused]
    unknown = sorted(set(left) - set(labels))
    if unknown:
        message = "%d expression columns are not in the sample attributes, their tissue and RIN stay unknown: %s"
        log.warning(message, len(unknown), preview(unknown))
    before = {name: changes[name] for name in left if name in changes}
    for name in sorted(before):
        log.info("%s: %s in v8, now %s", name, before[name], labels.get(name) or "unknown")
    return RnaSamples(
        left,
        rin={name: numbers[name] for name in left if name in numbers},
        tissue={name: labels[name] for name in left if labels.get(name)},
        tissue_v8=before,
        refused=refused,
    )


def match_pieces(slides: pd.DataFrame, rna: RnaSamples) -> pd.DataFrame:
    """rna, rule, candidates, reason of match_expression, by piece alone: an id that is a column by chance is no match.

    Args:
        slides: sample, donor, tissue.
    """
    matches = match_expression(slides, rna.columns, rna.rin, rna.tissue)
    found = matches["rule"].str.startswith("piece")
    conflict = matches["reason"].str.startswith("tissue conflict")
    matches.loc[~found, ["rna", "rule"]] = ""
    matches["reason"] = matches["reason"].where(conflict, "").where(found | conflict, NO_PIECE)
    for row in matches.index[conflict]:
        labels = sorted({rna.tissue_v8[c] for c in matches.at[row, "candidates"] if c in rna.tissue_v8})
        if labels:
            matches.at[row, "reason"] += f" (in v8 {preview(labels)})"
    by_piece = defaultdict(list)
    for column in rna.refused:
        by_piece[gtex_piece(column)].append(column)
    for row, sample in slides.loc[matches["reason"] == NO_PIECE, "sample"].items():
        lost = next((by_piece[key] for key in piece_keys(sample) if by_piece.get(key)), [])
        if lost:
            matches.at[row, "reason"] = f"its RNA sample {lost[0]} is not used: {rna.refused[lost[0]]}"
    return matches


def donor_tissue_matches(slides: pd.DataFrame, unmatched: pd.Series, rna: RnaSamples) -> dict[int, str]:
    """The RNA sample of slides whose piece has none: that of donor and tissue, where there is one slide and one sample.

    Args:
        slides: slide, donor, tissue_id; sound slides, matched or not.
        unmatched: whether the piece of a slide has no RNA.
    """
    pairs = list(zip(slides["donor"], slides["tissue_id"], strict=True))
    names = defaultdict(set)
    for pair, name in zip(pairs, slides["slide"], strict=True):
        names[pair].add(name)
    of_pair = defaultdict(list)
    for column, tissue in rna.tissue.items():
        of_pair[gtex_donor(column), tissue_id(tissue)].append(column)
    return {
        row: of_pair[pair][0]
        for row, pair, alone in zip(slides.index, pairs, unmatched, strict=True)
        if alone and len(names[pair]) == len(of_pair.get(pair, ())) == 1
    }


def join_slides(listed: pd.DataFrame, claims: pd.DataFrame, rna: RnaSamples, donor_tissue: bool) -> pd.DataFrame:
    """Join slides with RNA samples by piece, and by donor and tissue where that is asked for.

    Args:
        listed: LISTED of hx_gtex_slides, a row a slide as listed or found.
        claims: sample, tissue: everything that says a tissue of a piece (of conflicts).
        rna: of rna_samples.
        donor_tissue: slides whose piece has no RNA take the donor's only sample of the tissue.

    Returns:
        REPORT_COLUMNS and path, a row a listed row, in their order: status kept or dropped, reason ('' when kept).
        SAMPID is the RNA sample of the donor and tissue (all its slides share one), `others` those that fitted but
        lost, `siblings` other kept slides of the same piece.
    """
    slides = listed.reset_index(drop=True).assign(slide=listed["sample"].map(slide_name).to_numpy())
    slides = slides.assign(
        sample=slides["slide"], tissue_id=slides["tissue"].map(tissue_id), donor=slides["slide"].map(gtex_donor)
    )
    piece = slides["slide"].map(lambda name: piece_keys(name)[-1] if name else "")
    reason = pd.Series("", index=slides.index)
    reason[slides["slide"] == ""] = "no GTEx slide id (GTEX-donor-piece)"
    reason = reason.where(reason != "", slides["missing"])
    reason[(reason == "") & (slides["tissue_id"] == "")] = "no tissue"
    disagreeing = piece.map(conflicts(claims)).fillna("")
    reason = reason.where((reason != "") | (disagreeing == ""), disagreeing)
    reason[(reason == "") & slides.duplicated(["slide", "tissue_id"])] = "listed before"

    matches = match_pieces(slides, rna)
    sound = (reason == "") & matches["reason"].isin(["", NO_PIECE])
    if donor_tissue:
        matched = donor_tissue_matches(slides[sound], matches.loc[sound, "reason"] == NO_PIECE, rna)
        for row, column in matched.items():
            matches.loc[row, ["rna", "rule", "reason"]] = [column, "donor_tissue", ""]
            matches.at[row, "candidates"] = (column,)
    reason = reason.where(reason != "", matches["reason"])
    kept = slides[reason == ""]
    chosen = one_rna_per_donor(kept.assign(rna=matches["rna"][kept.index]), rna.rin).reindex(slides.index).fillna("")
    others = [
        ";".join(name for name in names if name != column)
        for names, column in zip(matches["candidates"], chosen, strict=True)
    ]
    of_piece = kept.groupby(piece[kept.index])["slide"].agg(sorted)
    siblings = [
        ";".join(name for name in of_piece[key] if name != slide) if not why else ""
        for key, slide, why in zip(piece, slides["slide"], reason, strict=True)
    ]
    return pd.DataFrame({
        "slide": slides["slide"].where(slides["slide"] != "", listed["sample"].to_numpy()),
        "tissue": slides["tissue"],
        "tissue_from": slides["tissue_from"],
        "key": piece,
        "rule": matches["rule"].where(reason == "", ""),
        "SAMPID": chosen,
        "others": others,
        "SUBJID": slides["donor"],
        "SMTSD": [rna.tissue.get(name, "") for name in chosen],
        "SMTSD_V8": [rna.tissue_v8.get(name, "") for name in chosen],
        "siblings": siblings,
        "status": ["dropped" if why else "kept" for why in reason],
        "reason": reason,
        "file": slides["file"].map(lambda name: Path(name).name),
        "row": slides["row"],
        "path": slides["path"],
    })[[*REPORT_COLUMNS, "path"]]  # fmt: skip


def losses(report: pd.DataFrame) -> pd.DataFrame:
    """dropped.tsv: a row a listed slide that is not kept, and a row a donor x tissue that has no slide left."""
    gone = report[report["status"] == "dropped"]
    rows = [(slide, "slide", why) for slide, why in zip(gone["slide"], gone["reason"], strict=True)]
    kept = set(zip(*(report.loc[report["status"] == "kept", c] for c in ("SUBJID", "tissue")), strict=True))
    absent: dict[tuple[str, str], dict[str, None]] = {}
    for donor, tissue, why in zip(gone["SUBJID"], gone["tissue"], gone["reason"], strict=True):
        if donor and (donor, tissue) not in kept:
            absent.setdefault((donor, tissue), {})[why] = None
    rows += [(donor, "donor", f"{tissue}: {preview(whys, 3)}") for (donor, tissue), whys in absent.items()]
    return dropped_table(rows, STAGE)


def covariate_table(report: pd.DataFrame, donors: pd.DataFrame, attributes: Attributes | None) -> pd.DataFrame:
    """Covariates of the kept slides: a row a donor; with sample attributes a row a slide, those of its RNA sample too.

    Args:
        report: of join_slides.
        donors: of donors_of.
    """
    kept = report[report["status"] == "kept"]
    absent = sorted(set(kept["SUBJID"]) - set(donors.index))
    if absent:
        message = "%d donors are not in the subject phenotypes, their covariates stay blank: %s"
        log.warning(message, len(absent), preview(absent))
    if attributes is None:
        names = sorted(set(kept["SUBJID"]))
        return donors.reindex(names).fillna("").rename_axis("donor").reset_index()
    of_sample = attributes.table.drop(columns=[c for c in (*NOT_COVARIATES, "tissue") if c in attributes.table])
    of_sample = of_sample.drop(columns=of_sample.columns.intersection(donors.columns))
    kept = kept.sort_values("slide")
    parts = [
        kept[["slide", "SUBJID"]].set_axis(["sample", "donor"], axis=1).reset_index(drop=True),
        donors.reindex(kept["SUBJID"]).fillna("").reset_index(drop=True),
        of_sample.reindex(kept["SAMPID"]).fillna("").reset_index(drop=True),
    ]
    return pd.concat(parts, axis=1)
