#!/usr/bin/env python3
"""What becomes of each covariate column in each tissue, and how the covariates lie there, before any statistics."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd

from hx_factor_cells import EPOCH
from hx_factor_levels import MIN_LEVEL, OTHER, split_labels
from hx_factors import OWN, declared, factors, kind_of, known_cells, named_as, numbers_of

SUMMARY = [
    *("tissue_id", "column", "group", "kind", "transform", "n", "missing", "levels", "used", "reason", "rule"),
]
BY_TISSUE = ["tissue_id", "column", "level", "statistic", "value"]


def covariate_summary(cohort: pd.DataFrame) -> pd.DataFrame:
    """A row for each tissue and covariate: how it is coded, or why it is refused.

    Args:
        cohort: cohort.tsv, all text: donor, tissue_id, …, covariates.

    Returns:
        SUMMARY. n: donors of the tissue; missing: those without a value; levels: different values; used: yes or no;
        reason: of a refusal; rule: what is done for missing values. Donors whom a later stage loses still count here.
    """
    rows = []
    for tissue, part in _tissues(cohort):
        found, refused = factors(part)
        reasons = dict(refused.itertuples(index=False))
        coded = {factor.name: factor for factor in found}
        for name in part:
            cells = known_cells(part[name])
            known = cells[cells != ""]
            factor = coded.get(name)
            rows.append({
                "tissue_id": tissue,
                "column": name,
                "group": declared(name)[0],
                "kind": factor.kind if factor else "",
                "transform": factor.transform if factor else "",
                "n": len(cells),
                "missing": len(cells) - len(known),
                "levels": len(set(known)),
                "used": "yes" if factor else "no",
                "reason": reasons.get(name, ""),
                "rule": factor.rule if factor else "",
            })  # fmt: skip
    return pd.DataFrame(rows, columns=SUMMARY)


def covariates_by_tissue(cohort: pd.DataFrame) -> pd.DataFrame:
    """Quartiles of numbers and dates, shares of levels, by tissue and covariate, over the donors with a value.

    Numbers as they were recorded: minutes, not their logarithms. Levels of fewer than MIN_LEVEL donors are one,
    `other`; when that has fewer too, its share is not told. Ids, notes and columns that are missing in all donors or
    nearly different in each are left out.

    Args:
        cohort: as in covariate_summary.

    Returns:
        BY_TISSUE, tidy: level "" for numbers; statistic q1, median, q3 or share; value a number, for a date its day.
    """
    rows = []
    for tissue, part in _tissues(cohort):
        for name in part:
            if not named_as(name):
                rows += [(tissue, name, *row) for row in _lie(known_cells(part[name]), declared(name)[1])]
    return pd.DataFrame(rows, columns=BY_TISSUE)


def _tissues(cohort: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Covariates of the donors (index) of each tissue."""
    for tissue, part in cohort.groupby("tissue_id", sort=True):
        yield str(tissue), part.set_index("donor").drop(columns=[c for c in OWN if c in part and c != "donor"])


def _lie(cells: np.ndarray, kind: str) -> list[tuple[str, str, str]]:
    """(level, statistic, value) of a column's cells."""
    known = cells[cells != ""]
    if not len(known):
        return []
    kind = kind or kind_of(known)
    if kind in ("categorical", "multi"):
        return [(level, "share", f"{share:.6g}") for level, share in _shares(known, kind == "multi").items()]
    values, _ = numbers_of(known, kind)
    values = values[~np.isnan(values)]
    if not len(values):
        return []
    quartiles = np.quantile(values, [0.25, 0.5, 0.75])
    told = [
        (EPOCH + timedelta(days=round(value))).isoformat() if kind == "date" else f"{value:.6g}" for value in quartiles
    ]
    return [("", statistic, value) for statistic, value in zip(("q1", "median", "q3"), told, strict=True)]


def _shares(known: np.ndarray, several: bool) -> dict[str, float]:
    """Share of the donors with each label, the commonest first, `other` last; {} for labels that name donors."""
    listed = [split_labels(text) if several else (text,) for text in known]
    counts = pd.Series([label for labels in listed for label in labels]).value_counts()
    rare = set(counts.index[counts < MIN_LEVEL])
    holders = sum(not rare.isdisjoint(labels) for labels in listed)
    if holders > len(known) / 2:
        return {}
    common = sorted((-count, label) for label, count in counts.items() if label not in rare)
    shares = {label: -count / len(known) for count, label in common}
    return shares | ({OTHER: holders / len(known)} if holders >= MIN_LEVEL else {})
