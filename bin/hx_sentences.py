#!/usr/bin/env python3
"""Sentences on the chosen features of a tissue, and the tables of what stands behind them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_candidates import rank_normal
from hx_describe import LEAST_DONORS, LEAST_FOLDS, Candidate, Description, describe, is_technical, sentence
from hx_donors import aggregated, named_generator
from hx_linear import varying_columns

COLUMNS = [
    *(
        "setting",
        "encoder",
        "feature",
        "label",
        "chosen_for",
        "sentence",
        "technical",
        "r2_cv",
        "p",
        "term",
        "group",
        "rho",
    ),
    *("terms", "n", "candidates"),
]
TERMS = ["setting", "feature", "term", "group", "technical", "order", "rho", "partial_r"]
POINTS = ["setting", "feature", "term", "scale", "donor", "term_value", "value"]


def fit_for_regression(folds: np.ndarray) -> str:
    """Why no feature of so many donors can be described; '' where it can."""
    if len(folds) < LEAST_DONORS:
        return f"not described: {len(folds)} donors, at least {LEAST_DONORS} are needed"
    if len(np.unique(folds)) < LEAST_FOLDS:
        return f"not described: donors of {len(np.unique(folds))} folds, at least {LEAST_FOLDS} are needed"
    return ""


class Sentences:
    """Describes features one by one; rows, terms and points are what becomes of the tables."""

    def __init__(self, features: AnnData, candidates: list[Candidate], aggregation: str, seed: int):
        self.features, self.candidates, self.seed = features, candidates, seed
        self.values, self.folds = aggregated(features, aggregation), features.obs["fold"].to_numpy(int)
        self.rows: list[dict] = []
        self.terms: list[tuple] = []
        self.points: list[pd.DataFrame] = []

    def add(self, row: Mapping[str, str]) -> None:
        """Describe a feature (a row of hx_choice)."""
        setting, feature = row["setting"], row["feature"]
        values = self.values[:, self.features.var_names.get_loc(feature)]
        label = str(self.features.var["label"].get(feature, "")) if "label" in self.features.var else ""
        known = [c for c in self.candidates if not (c.group == "companion" and c.name == label)]
        lacking = fit_for_regression(self.folds)
        if not np.isfinite(values).all() or not varying_columns(values[:, None])[0]:
            lacking = "not described: constant over donors, or not finite"
        if lacking:
            self.rows.append({**row, "label": label, "sentence": lacking, "n": len(values)})
            return
        generator = named_generator(self.seed, f"{setting}.{feature}.describe")
        found = describe(rank_normal(values), known, self.folds, generator)
        terms = [known[i] for i in found.terms]
        self.rows.append({**row, "label": label, **numbers(found, known), "n": len(values), "candidates": len(known)})
        self.terms += [
            (setting, feature, term.name, term.group, yes(term.technical), k + 1, found.rho[k], found.partial[k])
            for k, term in enumerate(terms)
        ]
        if terms:
            self.points.append(
                pd.DataFrame({
                    "setting": setting, "feature": feature, "term": terms[0].name, "scale": terms[0].scale,
                    "donor": self.features.obs_names, "term_value": terms[0].shown, "value": values,
                })
            )  # fmt: skip

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names of their files."""
        return {
            "descriptions": pd.DataFrame(self.rows).reindex(columns=COLUMNS),
            "description_terms": pd.DataFrame(self.terms, columns=TERMS),
            "description_points": pd.concat(self.points) if self.points else pd.DataFrame(columns=POINTS),
        }


def yes(answer: bool) -> str:
    return "yes" if answer else "no"


def numbers(found: Description, candidates: list[Candidate]) -> dict[str, object]:
    """Columns of a described feature."""
    first = candidates[found.terms[0]] if found.terms else None
    return {
        "sentence": sentence(found, candidates),
        "r2_cv": found.r2_cv,
        "p": found.p,
        "term": first.name if first else "",
        "group": first.group if first else "",
        "rho": found.rho[0] if first else np.nan,
        "terms": len(found.terms),
        "technical": yes(is_technical(found, candidates)),
    }
