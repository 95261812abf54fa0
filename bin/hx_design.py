#!/usr/bin/env python3
"""The confounder model of a tissue: which factors enter, their columns, and those that others make superfluous."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hx_cli import DataError, preview
from hx_factors import NAMES_OF, Factor, declared, factors, plain_name, published_factors
from hx_linear import standardise
from hx_splines import natural_spline

MODELS = ("full", "significant", "forward", "published")
SELECTED = ("significant", "forward")  # chosen by the data that they then adjust
ALSO = ("autolysis", "slide", "rna_library")
LEAST_DOF = 20  # residual degrees of freedom of a correlation, n - 2 - k
# Squared length that a column keeps, given those before it, below which it is collinear: a VIF of 1e8. Tables round.
COLLINEAR = 1e-8
AUTOLYSIS, RIN = (NAMES_OF[what].split() for what in ("autolysis", "rin"))
_BY_DEFAULT = "|".join(name for what in ("hardy", "centre", "rin", "ischaemia") for name in NAMES_OF[what].split())
_DEFAULT = re.compile(
    rf"(age(_.*)?|sex|gender|{_BY_DEFAULT}|collection_date|smnabtchd|(genotype_?)?pc_?\d+|c[1-9]\d?)\Z"
)


class NoRoom(DataError):
    """The model of the confounders has no room in so few donors."""


@dataclass(frozen=True)
class Term:
    """A factor as columns of the model.

    columns: (n, c) float64, the first `lines` of them the factor as it was coded, the last `bends` those of the spline
        that bend its line. labels: c names. missing: donors.
    role: `base` in the model; `also` in it by --adjust-also; `out`. why: of the role. kept: (c,) bool, columns that
    those of earlier terms of the model do not tell (all of a term outside). collinear: the terms that tell the others.
    """

    name: str
    group: str
    kind: str
    transform: str
    missing: int
    rule: str
    columns: np.ndarray
    labels: tuple[str, ...]
    lines: int
    bends: int = 0
    role: str = "out"
    why: str = ""
    kept: np.ndarray | None = None
    collinear: str = ""


def term_of(factor: Factor) -> Term:
    """Columns of a factor: splines of times, dates and RIN; then the indicator of missing values, where it has one."""
    bent = factor.kind == "date" or factor.transform.startswith("log2") or plain_name(factor.name) in RIN
    columns, labels, transform = factor.values, factor.labels, factor.transform
    bends = 0
    if bent:
        spline = natural_spline(factor.values[:, 0])
        bends = spline.shape[1] - 1
        transform = f"{transform}, natural spline" if bends else transform
    parts, names = [columns, factor.indicator], list(labels)
    names += [f"{factor.name}=missing"] * factor.indicator.shape[1]
    if bends:
        parts.append(spline[:, 1:])
        names += [f"{factor.name}.spline{i + 2}" for i in range(bends)]
    return Term(
        factor.name, factor.group, factor.kind, transform, int(factor.missing.sum()), factor.rule,
        np.hstack(parts), tuple(names), factor.values.shape[1], bends,
    )  # fmt: skip


def read_terms(table: pd.DataFrame, published: bool) -> tuple[list[Term], list[tuple[str, str]], np.ndarray]:
    """Terms of the ledger, the (column, reason) refused, and the (n,) mask of the donors of `table` that stay.

    Args:
        table: covariates by donor, cells text or numbers; those of the slides start with `slide_` or are n_patches and
            the like.
        published: the study's coding: numeric columns as lines, complete donors alone. Columns of the slides, which it
            had not, are coded as otherwise.

    Raises:
        DataError: see published_factors.
    """
    complete = np.ones(len(table), dtype=bool)
    if not published:
        kept, refused = factors(table)
        return [term_of(factor) for factor in kept], list(refused.itertuples(index=False, name=None)), complete
    numbers, complete = published_factors(table)
    terms = [
        Term(name, declared(re.sub(r"^SMCENTER_.*", "SMCENTER", name))[0], "numeric", "as given", 0, "",
             numbers[[name]].to_numpy(), (name,), 1)
        for name in numbers
    ]  # fmt: skip
    slides = table.loc[complete, [name for name in table.columns if declared(name)[0] == "slide"]]
    kept, refused = factors(slides)
    told = [name for name in table.columns if name not in numbers and name not in slides and name != "SMCENTER"]
    reasons = [(name, "no numeric column that varies over the complete donors") for name in told]
    return (
        terms + [term_of(factor) for factor in kept],
        [*reasons, *refused.itertuples(index=False, name=None)],
        complete,
    )


def is_also(term: Term, names: Sequence[str]) -> bool:
    """Whether a term belongs to one of ALSO."""
    return ("autolysis" if plain_name(term.name) in AUTOLYSIS else term.group) in names


def with_roles(terms: list[Term], confounders: Sequence[str], also: Sequence[str]) -> list[Term]:
    """Terms with role and why.

    Args:
        confounders: ["default"], ["none"], ["published"] (every numeric column and the centre) or names of columns.
        also: of ALSO.
    """
    out = []
    for term in terms:
        role, why = "out", "outside the model"
        if confounders == ["none"]:
            why = "nothing is adjusted for"
        elif confounders == ["default"]:
            inside = bool(_DEFAULT.match(plain_name(term.name)))
            role, why = ("base", "default") if inside else (role, why)
        elif confounders == ["published"]:
            study = term.group != "slide" and (
                term.kind in ("numeric", "ordinal") or declared(term.name) == ("handling", "multi")
            )
            role, why = ("base", "numeric column or centre") if study else (role, why)
        elif term.name in confounders:
            role, why = "base", "named"
        if role == "out" and is_also(term, also):
            role, why = "also", "adjust_also"
        out.append(replace(term, role=role, why=why))
    return out


def without_collinear(terms: list[Term]) -> tuple[list[Term], list[tuple[str, str]]]:
    """Terms with `kept`, and (column, reason) of the columns of the model that others before them tell.

    Order: base before also, groups and columns as they stand. A term of which nothing is kept leaves the model.
    """
    order = sorted(range(len(terms)), key=lambda i: {"base": 0, "also": 1, "out": 2}[terms[i].role])
    out, dropped = list(terms), []
    owners: list[str] = []
    basis = np.empty((len(terms[0].columns) if terms else 0, 0))
    raw = basis
    for i in order:
        term = terms[i]
        kept = np.ones(len(term.labels), dtype=bool)
        if term.role == "out":
            out[i] = replace(term, kept=kept)
            continue
        told: set[str] = set()
        for c, column in enumerate(standardise(term.columns).unit.T):
            rest = column - basis @ (basis.T @ column)
            rest -= basis @ (basis.T @ rest)
            if rest @ rest < COLLINEAR:
                kept[c] = False
                share = np.linalg.lstsq(raw, column, rcond=None)[0]
                others = sorted({owners[k] for k in np.flatnonzero(np.abs(share) > 1e-3)} - {term.name})
                told |= set(others)
                reason = f"collinear with {preview(others)}" if others else "collinear with its own columns"
                dropped.append((term.labels[c], f"{reason}: out of the model"))
                continue
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
            raw = np.column_stack([raw, column])
            owners.append(term.name)
        bends = int(kept[len(kept) - term.bends :].sum())
        out[i] = replace(term, kept=kept, bends=bends, collinear=", ".join(sorted(told)))
        if not kept.any():
            out[i] = replace(out[i], role="out", why=f"collinear with {preview(sorted(told))}", kept=~kept)
    return out, dropped


def through_pcs(terms: list[Term], count: int, n: int) -> list[Term]:
    """Terms with the first `count` principal components of the model's standardised columns in the model instead.

    count: fewer than there are columns; as many span what the columns do.
    """
    columns, _ = model_columns(terms, n)
    left, size, _ = np.linalg.svd(standardise(columns).unit, full_matrices=False)
    scores = left[:, :count] * size[:count] * np.sqrt(n - 1)
    scores *= np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(count)])
    made = [
        Term(f"design_PC{i + 1}", "model", "numeric", "principal component of the model's columns", 0, "",
             scores[:, [i]], (f"design_PC{i + 1}",), 1, 0, "base", "confounder_pcs", np.ones(1, dtype=bool))
        for i in range(count)
    ]  # fmt: skip
    return made + [
        replace(term, role="out", why="through the principal components") if term.role != "out" else term
        for term in terms
    ]


def model_columns(terms: list[Term], n: int, roles: Sequence[str] = ("base", "also")) -> tuple[np.ndarray, list[str]]:
    """(n, k) columns of the model, and their k labels."""
    chosen = [term for term in terms if term.role in roles]
    labels = [name for term in chosen for name, keep in zip(term.labels, term.kept, strict=True) if keep]
    return np.hstack([np.empty((n, 0)), *(term.columns[:, term.kept] for term in chosen)]), labels


def check_dof(labels: Sequence[str], n: int, where: str) -> None:
    """Raise NoRoom where confounders leave fewer than LEAST_DOF residual degrees of freedom, n - 2 - k."""
    k = len(labels)
    if not k or n - 2 - k >= LEAST_DOF:
        return
    room = n - 2 - LEAST_DOF
    way = f"or adjust for their principal components, --confounder_pcs {room} or fewer" if room > 0 else "or none"
    raise NoRoom(
        f"{where}: {n} donors less {k} columns of confounders ({preview(labels, 60)}) leave {n - 2 - k} residual "
        f"degrees of freedom, at least {LEAST_DOF} are needed: name fewer with --confounders, {way}"
    )
