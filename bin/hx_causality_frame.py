#!/usr/bin/env python3
"""The donors of some pairs of traits: their residual space, folds, traits and variants."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from hx_causality import unit
from hx_causality_tables import Side
from hx_causality_traits import GENE, Pair, Trait, normal_of
from hx_causality_variants import Variants
from hx_donors import named_generator
from hx_genotypes import Genotypes
from hx_linear import residual_space
from hx_mr_crossfit import fold_numbers
from hx_qtl import Limits
from hx_qtl_donors import too_small
from hx_qtl_traits import carrying


class Given(NamedTuple):
    """What the frames of a run have in common. design: covariates by donor, None for none."""

    donors: np.ndarray
    design: pd.DataFrame | None
    genotypes: Genotypes | None
    positions: pd.DataFrame | None
    limits: Limits
    seed: int
    prefix: str


class Frame:
    """Donors who have both traits of some pairs.

    x: {(kind, name): (dim,) coordinates in the residual space, of mean square 1}; a trait that carries nothing there is
    left out. folds: (dim,). variants: None without genotypes. genome: candidates of the traits that are no gene.
    reason: why nothing is tested; '' where it is.
    """

    def __init__(self, given: Given, rows: np.ndarray, traits: list[Trait]):
        self.donors = given.donors[rows]
        self.x: dict[tuple[str, str], np.ndarray] = {}
        self.reason = too_small(len(self.donors), 0, "both traits and genotypes")
        if self.reason:
            return
        design = None if given.design is None else given.design.loc[self.donors].to_numpy()
        self.space = residual_space(design, len(self.donors))
        self.reason = too_small(len(self.donors), self.space.covariate_rank, "both traits and genotypes")
        if self.reason:
            return
        values = normal_of(traits, rows)
        keep = carrying(values, self.space)
        kept = [trait for trait, own in zip(traits, keep, strict=True) if own]
        rotated = self.space.rotate(values[:, keep]).T
        self.x = {(trait.kind, trait.name): unit(column) for trait, column in zip(kept, rotated, strict=True)}
        # Frames of other donors have other folds; the same donors have the same ones whatever the pairs are.
        generator = named_generator(given.seed, f"{given.prefix}.causality.{';'.join(self.donors)}")
        self.folds = fold_numbers(self.space.dim, generator)
        self.variants, self.genome = None, {}
        if given.genotypes is None:
            return
        self.variants = Variants(given.genotypes, self.donors, self.space, given.limits, given.positions)
        wide = [key for key in self.x if key[0] != GENE]
        if wide:
            found = self.variants.of_genome(np.column_stack([self.x[key] for key in wide]))
            self.genome = dict(zip(wide, found, strict=True))


class Judged(NamedTuple):
    """A pair, its place among the pairs asked for, its donors, and what every source says of both directions."""

    place: int
    pair: Pair
    frame: Frame
    forward: list[Side]
    back: list[Side]
