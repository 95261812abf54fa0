#!/usr/bin/env python3
"""Traits of a scan of genotypes: leading components of an embedding, named features, and the embedding as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hx_expression import rank_inverse_normal
from hx_linear import ResidualSpace, Standardised, carrying_columns, standardise
from hx_mixture import log_p_ratio
from hx_pc_pairs import leading
from hx_qtl import Panel, panel_of
from hx_variance import ZERO, gram, rotated_kernel

EMBEDDING = "embedding"  # the trait that is all features at once
PC, FEATURE = "pc", "feature"
FARTHEST = 1.25  # median lengths of a donor's residual embedding


class Columns(NamedTuple):
    """Traits before they are transformed: name, kind (PC, FEATURE), share of the embedding's variance (NaN of a
    feature) and (donors, traits) values."""

    name: np.ndarray
    kind: np.ndarray
    share: np.ndarray
    values: np.ndarray

    def take(self, which: np.ndarray) -> "Columns":
        """The traits where a mask is true."""
        return Columns(self.name[which], self.kind[which], self.share[which], self.values[:, which])


def normal(values: np.ndarray) -> np.ndarray:
    """(donors, columns) rank-inverse-normal values of each column (Blom), ties at their average rank."""
    return rank_inverse_normal(np.asarray(values, np.float64).T).T


def columns_of(
    embedding: np.ndarray, space: ResidualSpace, count: int, named: np.ndarray, names: Sequence[str]
) -> Columns:
    """Scores of the leading components of an embedding given the covariates, and named features as they are.

    Components are those of the features' rank-normal values, each of variance 1 before the covariates are taken out.

    Args:
        embedding: (n, features) usable features. count: components wanted, fewer where the rank is less; at most 20.
        named: (n, len(names)) values of the named features.
    """
    scores, share = np.empty((len(named), 0)), np.empty(0)
    if count:
        # With the number of components given, no random number is drawn.
        scores, share = leading(standardise(normal(embedding), space), space, np.random.default_rng(0), count)
    own = [f"PC{k + 1}" for k in range(len(share))]
    return Columns(
        np.array([*own, *names], dtype=object),
        np.array([PC] * len(own) + [FEATURE] * len(names), dtype=object),
        np.append(share, np.full(len(names), np.nan)),
        np.hstack([scores, named]),
    )


@dataclass(frozen=True)
class Traits:
    """Traits of some donors, ready for a scan.

    normal: unit residuals of the rank-normal values (their sd and what the covariates leave of it beside). root: (n, m)
    with the embedding's kernel root root' of trace 1, m 0 for no embedding. eigenvalues: (dim,) of that kernel.
    """

    space: ResidualSpace
    normal: Standardised
    root: np.ndarray
    eigenvalues: np.ndarray

    def panel(self) -> Panel:
        return panel_of(self.space, self.normal.unit, self.root)

    def embedding_log_p(self, ratio: np.ndarray) -> np.ndarray:
        """(m,) natural logarithm of p of the embedding's statistics, NaN where they are."""
        out = np.full(len(ratio), np.nan)
        known = ~np.isnan(ratio)
        if known.any():
            out[known] = log_p_ratio(ratio[known], self.eigenvalues)
        return out


def traits_of(values: np.ndarray, embedding: np.ndarray, space: ResidualSpace) -> Traits:
    """Transform by ranks first, then take the covariates out: the other order brings them back (Pain et al. 2018).

    The embedding's kernel is that of its features' rank-normal values, of variance 1 before the covariates are taken
    out, far donors `shortened`. For a variant g its score statistic is g'Kg / g'g in the residual space (Liu, Lin &
    Ghosh 2007, Biometrics 63:1079, genotype and embedding exchanged): under the null a ratio of quadratic forms, whose
    exact p hx_mixture has.

    Args:
        values: (n, traits). embedding: (n, features), every one carrying something in `space`; one feature alone is no
            embedding, its test is the feature's.
    """
    traits = standardise(normal(values), space)
    if embedding.shape[1] < 2:
        return Traits(space, traits, np.empty((len(values), 0)), np.empty(0))
    kernel = rotated_kernel(space, gram(shortened(standardise(normal(embedding), space))))
    size, vectors = np.linalg.eigh(kernel / np.trace(kernel))
    size = np.where(size > ZERO * size[-1], size, 0)
    kept = size > 0
    return Traits(space, traits, space.rotation @ (vectors[:, kept] * np.sqrt(size[kept])), size)


def shortened(features: Standardised) -> np.ndarray:
    """(n, features) residuals, rows longer than FARTHEST median lengths shortened to that.

    Rank-normal features may still all be extreme in the same few donors, who then make the kernel, and the mixture of
    chi-squares is too small in its tail for rare alleles: at MAF 5 %, 449 donors and a cubed t(4) behind the features
    p <= 1e-4 comes 2.2 times too often, with shortened rows .8 to 1.4 times.
    """
    values = features.unit * features.left
    length = np.linalg.norm(values, axis=1)
    return values * np.minimum(1, FARTHEST * np.median(length) / length)[:, None]


def carrying(values: np.ndarray, space: ResidualSpace) -> np.ndarray:
    """(columns,) bool: rank-normal values vary over the donors, and the covariates leave something of them."""
    return carrying_columns(normal(values), space)


def gene_log_p(traits: Traits, genes: np.ndarray) -> np.ndarray:
    """(genes,) natural logarithm of p of genes with the whole embedding; genes: (n, G) unit residuals."""
    return log_p_ratio(((traits.root.T @ genes) ** 2).sum(axis=0), traits.eigenvalues)
