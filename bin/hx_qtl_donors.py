#!/usr/bin/env python3
"""Donors that have features and genotypes, and genotype components among their covariates."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_cli import DataError, preview
from hx_donors import MIN_DOF
from hx_genotypes import MIN_DONORS, Genotypes

PC_PREFIX = "genotype_pc"


def genotyped_donors(
    features: AnnData, design: pd.DataFrame | None, genotypes: Genotypes, name: str, design_path: Path | None
) -> tuple[np.ndarray, list[tuple[str, str, str]]]:
    """Sorted donors of features, design and genotypes, and (id, kind, reason) of those with features that are not.

    name: of the file of features, for messages.

    Raises:
        DataError: MIN_DONORS or more on both sides, and none in common.
    """
    sides = set(features.obs_names), set(genotypes.donors)
    both = sides[0] & sides[1]
    if not both and min(map(len, sides)) >= MIN_DONORS:
        told = [
            f"{file} has {len(side)} ({preview(sorted(side), 3)})"
            for file, side in zip((name, genotypes.path.name), sides, strict=True)
        ]
        raise DataError(f"no donor in common: {told[0]}, {told[1]}: check that both name donors alike")
    common = both if design is None else both & set(design.index)
    why = {False: f"not in {genotypes.path.name}", True: f"not among the donors of {design_path and design_path.name}"}
    lost = [(donor, "donor", f"in {name}, {why[donor in both]}") for donor in sorted(sides[0] - common)]
    return np.array(sorted(common), dtype=object), lost


def too_small(donors: int, rank: int, what: str) -> str:
    """Why so few donors with covariates of that rank are not tested; '' where they are. what: they have."""
    if donors < MIN_DONORS:
        return f"{donors} donors have {what}, at least {MIN_DONORS} are needed"
    if donors - 2 - rank < MIN_DOF:
        left = donors - 2 - rank
        return f"{donors} donors with {what} and {rank} covariates leave {left} residual degrees of freedom"
    return ""


def with_components(design: pd.DataFrame | None, genotypes: Genotypes, donors: np.ndarray) -> pd.DataFrame | None:
    """The design with the genotypes' principal components, unless it has some already; None for no column at all."""
    count = genotypes.pcs.shape[1]
    if not count or (design is not None and any(name.startswith(PC_PREFIX) for name in design)):
        return design
    names = [f"{PC_PREFIX}{k + 1}" for k in range(count)]
    own = pd.DataFrame(genotypes.pcs, index=genotypes.donors, columns=names).loc[donors]
    return own if design is None else design.loc[donors].join(own)
