#!/usr/bin/env python3
"""What a feature may track: companions, covariates and pathology of the donors, as single rank-normal columns."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_cli import DataError
from hx_companions import COMPANIONS, TEXTURE
from hx_describe import Candidate
from hx_donors import aggregated
from hx_expression import rank_inverse_normal
from hx_factors import Factor, factors
from hx_io import read_table
from hx_linear import finite_columns, varying_columns

# Means over a whole slide of what the companions measure in its patches.
MEASURED_TWICE = {f"slide_{name}" for name in ("haematoxylin", "eosin", "red", "green", "blue", "focus")}
# Quality metrics and batches of a library cannot show on a slide. RNA integrity can: it tells how far the tissue had
# decayed.
OF_THE_TISSUE = ("SMRIN", "RIN")
BATCHES = ("SMNABTCH", "SMNABTCHT", "SMGEBTCH", "SMGEBTCHT", "SMGEBTCHD")
TECHNICAL = ("stain", "colour", "focus")  # groups of companions
LEVELS = 2  # different values; a column of as many keeps its 0 and 1


def rank_normal(values: np.ndarray) -> np.ndarray:
    """(donors,) rank-normal values of a column; one of two levels stays as it is."""
    return values if len(np.unique(values)) <= LEVELS else rank_inverse_normal(values[None])[0]


def companions(features: AnnData, aggregation: str) -> list[Candidate]:
    """The features of the encoder `texture`, by their labels; [] where it did not run."""
    if "label" not in features.var or TEXTURE not in set(features.var["encoder"]):
        return []
    group_of = {companion.label: companion.group for companion in COMPANIONS}
    own = features[:, (features.var["encoder"] == TEXTURE).to_numpy()]
    values = aggregated(own, aggregation)
    usable = finite_columns(values)
    usable[usable] = varying_columns(values[:, usable])
    labels = own.var["label"].astype(str).to_numpy()
    return [
        _candidate(labels[i], "companion", group_of.get(labels[i]) in TECHNICAL, values[:, i])
        for i in np.flatnonzero(usable)
    ]


def covariates(obs: pd.DataFrame, measured: bool) -> list[Candidate]:
    """Covariates of the donors and factors of their slides, coded as for the confounders.

    Args:
        measured: the companions are there, and what they measure need not come from the whole slide again.
    """
    left_out = {*BATCHES, *(MEASURED_TWICE if measured else ())}
    table = obs.drop(columns=[name for name in obs if name in left_out])
    kept = [f for f in factors(table)[0] if f.group != "rna_library" or f.name.upper() in OF_THE_TISSUE]
    return [column for factor in kept for column in _columns(factor, factor.group, factor.group == "slide")]


def pathology(path: Path | None, samples: pd.Series) -> list[Candidate]:
    """Columns of a table of annotations (a row a slide) by donor: the highest of the donor's slides.

    Args:
        samples: `;`-joined samples by donor.

    Raises:
        DataError: no column sample, or a cell of another column that is no number.
    """
    if path is None:
        return []
    table = read_table(path)
    if "sample" not in table:
        raise DataError(f"{path.name}, row 1: no column sample: give annotations.tsv of the cohort, a row a slide")
    numbers = table.drop(columns=[name for name in ("annotated_slide",) if name in table]).set_index("sample")
    try:
        numbers = numbers.replace("", None).astype(np.float64)
    except ValueError as error:
        raise DataError(f"{path.name}: {error}: annotations are numbers, 0 or 1 for a category") from None
    one = samples.str.split(";").explode()
    rows = numbers.reindex(one).set_axis(one.index).groupby(level=0).max().reindex(samples.index)
    if not len(rows.columns) or rows.isna().all(axis=None):
        return []
    return [column for factor in factors(rows)[0] for column in _columns(factor, "pathology", False)]


def _columns(factor: Factor, group: str, technical: bool) -> list[Candidate]:
    names = (label.replace("_", " ") if group in ("pathology", "slide") else label for label in factor.labels)
    scale = factor.transform if factor.kind in ("numeric", "date") and factor.transform != "as given" else ""
    return [_candidate(name, group, technical, x, scale) for name, x in zip(names, factor.values.T, strict=True)]


def _candidate(name: str, group: str, technical: bool, values: np.ndarray, scale: str = "") -> Candidate:
    return Candidate(name, group, technical, rank_normal(values), values, scale)
