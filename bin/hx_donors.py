#!/usr/bin/env python3
"""Features and expression of one tissue on the same donors, without the columns that carry nothing."""

import hashlib
import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad

from hx_cli import DataError, Faults, preview
from hx_io import read_table, reading
from hx_join import MIN_DONORS
from hx_linear import (
    ResidualSpace,
    Standardised,
    finite_columns,
    residual_space,
    spanned_columns,
    standardise,
    varying_columns,
)

PREFIX_HELP = "<tissue_id>.<size>; size `-` for a feature table"
MIN_DOF = MIN_DONORS - 2  # residual degrees of freedom: those of the fewest donors without covariates


@dataclass(frozen=True)
class Genes:
    """Tested genes: ids, symbols, rank-normal values (they carry the test) and log2 values (they carry beta).

    values: (donors, genes) rank-normal values before covariates are taken out.
    """

    id: np.ndarray
    symbol: np.ndarray
    normal: Standardised
    log2: Standardised
    values: np.ndarray

    def take(self, which: np.ndarray) -> "Genes":
        """The genes where a mask is true."""
        normal, log2 = (
            replace(part, unit=part.unit[:, which], sd=part.sd[which], left=part.left[which])
            for part in (self.normal, self.log2)
        )
        return Genes(self.id[which], self.symbol[which], normal, log2, self.values[:, which])


class Features(NamedTuple):
    """Features of one encoder and aggregation: (donors, features) values."""

    encoder: str
    aggregation: str
    name: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Side:
    """Genes of some donors given the covariates of the model; design: those donors' rows, None for no covariates."""

    donors: np.ndarray
    design: pd.DataFrame | None
    space: ResidualSpace
    genes: Genes

    def numbers(self) -> dict[str, object]:
        """What a summary says of it."""
        count = {"n": len(self.donors), "dof": self.space.dim - 1, "genes": len(self.genes.id)}
        return {**count, "adjusted_for": adjusted_for(self.design)}


def setting_prefix(text: str) -> str:
    """<tissue_id>.<size> (argparse type)."""
    if "." not in text:
        raise ArgumentTypeError(f"{text}: <tissue_id>.<size> is expected")
    return text


def read_annotated(path: Path) -> AnnData:
    """Read an h5ad file. DataError: it is not there, or no h5ad."""
    with reading(path.name, "h5ad file"):
        return read_h5ad(path)


def read_design(path: Path | None) -> pd.DataFrame | None:
    """Covariates of the model by donor (index), float columns, as adjust_confounders.py writes them; None for no file.

    Raises:
        DataError: no column donor, a donor twice, or a cell that is no finite number.
    """
    if path is None:
        return None
    table = read_table(path)
    if "donor" not in table or table["donor"].duplicated().any():
        raise DataError(f"{path.name}: a column donor with every donor once is expected: make it with its stage")
    try:
        values = table.set_index("donor").astype(np.float64)
    except ValueError as error:
        raise DataError(f"{path.name}: {error}: covariates of a model are numbers") from None
    if not np.isfinite(values.to_numpy()).all():
        raise DataError(f"{path.name}: a covariate is blank or not finite: make it with adjust_confounders.py")
    return values


def factor_of(column: str) -> str:
    """The covariate that a column of the design belongs to: SMCENTER of SMCENTER=C1, SMTSISCH of SMTSISCH.spline2."""
    return re.sub(r"(=.*|\.spline\d+)\Z", "", column)


def adjusted_for(design: pd.DataFrame | None) -> str:
    """The covariates of a design, `;`-joined; '' for none."""
    return ";".join([] if design is None else sorted({factor_of(column) for column in design}))


def space_of(design: pd.DataFrame | None, donors: np.ndarray, where: str) -> ResidualSpace:
    """Residual space of the donors for the model of a design (None: intercept alone).

    Raises:
        DataError: fewer than MIN_DOF residual degrees of freedom are left.
    """
    space = residual_space(None if design is None else design.loc[donors].to_numpy(), len(donors))
    if space.dim - 1 < MIN_DOF:
        raise DataError(
            f"{where}: {len(donors)} donors and {space.covariate_rank} covariates leave {space.dim - 1} residual "
            f"degrees of freedom, at least {MIN_DOF} are needed: adjust for fewer (--confounders, --confounder_pcs)"
        )
    return space


def common_donors(
    features: AnnData, expression: AnnData, names: tuple[str, str], design: pd.DataFrame | None = None
) -> np.ndarray:
    """Sorted donors of both tables and of the design; `names` are those of the two files, for messages.

    Raises:
        DataError: a donor, gene or feature stands twice, or fewer than 8 donors are in common.
    """
    faults = Faults()
    for name, table, column in ((names[0], features, "feature"), (names[1], expression, "gene")):
        for kind, index in (("donor", table.obs_names), (column, table.var_names)):
            if index.has_duplicates:
                twice = preview(sorted(set(index[index.duplicated()])))
                faults.add(f"{name}: {kind} {twice} stands more than once: keep one row each")
    both = set(features.obs_names) & set(expression.obs_names)
    common = np.array(sorted(both if design is None else both & set(design.index)), dtype=object)
    if len(common) < MIN_DONORS:
        sides = " and ".join(
            f"{name} has {table.n_obs} ({preview(sorted(set(table.obs_names)), 3)})"
            for name, table in zip(names, (features, expression), strict=True)
        )
        faults.add(
            f"{len(common)} donors in common, at least {MIN_DONORS} are needed: {sides}: "
            "check that slides and expression name donors alike"
        )
    faults.stop()
    return common


def too_few(features: AnnData) -> str:
    """Why nothing can be tested with so few donors: slides too small for the patch size, say; '' where it can."""
    if features.n_obs >= MIN_DONORS:
        return ""
    return f"{features.n_obs} donors have features, at least {MIN_DONORS} are needed"


def lost_donors(
    features: AnnData, expression: AnnData, donors: np.ndarray, names: tuple[str, str], design: Path | None
) -> list[tuple[str, str, str]]:
    """(id, kind, reason) of donors with features who are not among `donors` of common_donors; names as there."""
    known = set(expression.obs_names)
    why = {True: f"not among the donors of {design and design.name}", False: f"not in {names[1]}"}
    lost = sorted(set(features.obs_names) - set(donors))
    return [(donor, "donor", f"in {names[0]}, {why[donor in known]}") for donor in lost]


def usable(
    values: np.ndarray, names: np.ndarray, kind: str, where: str, space: ResidualSpace | None = None
) -> tuple[np.ndarray, list[tuple], int]:
    """(columns,) mask of the columns to test, an (id, kind, reason) row for each other one, how many are constant."""
    finite = finite_columns(values)
    varying = finite.copy()
    varying[finite] = varying_columns(values[:, finite])
    keep = varying.copy()
    if space is not None:
        keep[varying] = ~spanned_columns(values[:, varying], space)
    rows = [(name, kind, f"NaN or infinite in {where}") for name in names[~finite]]
    rows += [(name, kind, f"constant over {len(values)} donors in {where}") for name in names[finite & ~varying]]
    rows += [(name, kind, f"spanned by the covariates in {where}") for name in names[varying & ~keep]]
    return keep, rows, int(np.count_nonzero(finite & ~varying))


def read_genes(
    expression: AnnData, donors: np.ndarray, name: str, space: ResidualSpace | None = None
) -> tuple[Genes, list[tuple]]:
    """Genes to test on the given donors, residuals in `space`, and (id, kind, reason) of those that are dropped.

    Raises:
        DataError: no layer `int`, or no gene is left.
    """
    if "int" not in expression.layers:
        raise DataError(f"{name}: no layer `int` (rank-inverse-normal values): make it with prepare_expression.py")
    # Genes that a filter left out stay in the file, for its histograms; the stage that filtered has listed them.
    table = expression[donors, expression.var["kept"].to_numpy(bool) if "kept" in expression.var else slice(None)]
    ids = table.var_names.to_numpy(dtype=object)
    log2 = np.asarray(table.X, dtype=np.float64)
    keep, dropped, _ = usable(log2, ids, "gene", name, space)
    normal = np.asarray(table.layers["int"], dtype=np.float64)[:, keep]
    keep_normal, more, _ = usable(normal, ids[keep], "gene", f"layer int of {name}", space)
    keep[keep] = keep_normal
    if not keep.any():
        raise DataError(
            f"{name}: none of {len(ids)} genes varies over {len(donors)} donors with slides: check the expression unit"
        )
    symbol = table.var["symbol"].to_numpy(dtype=object)[keep]
    normal = normal[:, keep_normal]
    genes = Genes(ids[keep], symbol, standardise(normal, space), standardise(log2[:, keep], space), normal)
    return genes, dropped + more


def side_of(
    expression: AnnData, donors: np.ndarray, design: pd.DataFrame | None, names: tuple[str, str]
) -> tuple[Side, list[tuple]]:
    """Genes of some donors given the covariates, and (id, kind, reason) of those dropped.

    names: of the expression file, and of what is tested, for messages.
    """
    space = space_of(design, donors, names[1])
    genes, dropped = read_genes(expression, donors, names[0], space)
    return Side(donors, None if design is None else design.loc[donors], space, genes), dropped


def sides_of(args: Namespace, features: AnnData, expression: AnnData) -> tuple[Side, list[tuple[str, str, str]]]:
    """Genes of the donors of --features, --expression and --design given its covariates, and (id, kind, reason) of the
    genes and donors that are lost.

    args: features, expression, design (paths) and setting_prefix.

    Raises:
        DataError: of common_donors and side_of.
    """
    names, design = (args.features.name, args.expression.name), read_design(args.design)
    donors = common_donors(features, expression, names, design)
    side, lost = side_of(expression, donors, design, (names[1], args.setting_prefix))
    return side, lost + lost_donors(features, expression, donors, names, args.design)


def aggregated(features: AnnData, aggregation: str) -> np.ndarray:
    """(donors, features) float64 of an aggregation; X is the mean, and what a table gives."""
    values = features.X if aggregation in ("mean", "given") else features.layers[aggregation]
    return np.asarray(values, dtype=np.float64)


def feature_settings(
    features: AnnData, donors: np.ndarray, size: str, aggregations: list[str], name: str
) -> Iterator[Features]:
    """Every encoder (sorted) x aggregation (as asked) on the donors; a feature table (size `-`) has `given` alone.

    Raises:
        DataError: an aggregation that the file lacks, or features of which the file does not tell the encoder.
    """
    if "encoder" not in features.var or not set(features.var["encoder"]) <= set(features.uns.get("encoders", {})):
        raise DataError(f"{name}: does not tell the encoder of its features: make it with aggregate_features.py")
    table = features[donors]
    if size == "-":
        aggregations = ["given"]
    lacking = [a for a in aggregations if a not in ("mean", "given", *features.layers)]
    if lacking:
        raise DataError(
            f"{name}: no layer {preview(lacking)}: choose from mean, {preview(sorted(features.layers), 20)}"
        )
    for encoder in sorted(set(table.var["encoder"])):
        part = table[:, (table.var["encoder"] == encoder).to_numpy()]
        for aggregation in aggregations:
            names = part.var_names.to_numpy(dtype=object)
            yield Features(encoder, aggregation, names, aggregated(part, aggregation))


def is_primary(part: Features, size: str, primary: str) -> bool:
    """Whether a setting is the declared analysis (size,encoder,aggregation); a feature table has no other."""
    return size == "-" or primary == f"{size},{part.encoder},{part.aggregation}"


def named_generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers that depend on the seed and the name of their purpose alone."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")])
