#!/usr/bin/env python3
"""Which variants are tested with which trait: all, or those near genes that go with the trait in other donors.

Genes chosen in the donors in whom their variants are then tested bring their own association with them: a gene that
happens to go with the trait in these donors takes the trait to its eQTL. So genes are chosen in one half of the donors
and variants tested in the other, both ways; the scope `published` is the 2017 study's, with one set of donors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_donors import read_genes
from hx_fdr import bh, bonferroni
from hx_linear import ResidualSpace
from hx_positions import inside_any, near
from hx_pvalue import PTable
from hx_qtl_traits import Columns, Traits, carrying, gene_log_p, traits_of

GENOME, CIS, PUBLISHED = SCOPES = ("genome", "cis", "published")
WINDOW = {CIS: 1_000_000, PUBLISHED: 50}  # bases on each side of the gene
PUBLISHED_LEVEL = 0.001  # the study's Bonferroni level over the genes of a feature


def split(generator: np.random.Generator, donors: int) -> np.ndarray:
    """(donors,) bool: one half of the donors, drawn at random."""
    return generator.permutation(donors) < donors // 2


def genes_found(traits: Traits, genes: np.ndarray, alpha: float, published: bool = False) -> np.ndarray:
    """(T + 1, G) bool: genes that go with each trait and, last, with the embedding.

    By q (Benjamini-Hochberg over the genes of the trait) at `alpha`; published by Bonferroni at PUBLISHED_LEVEL, and by
    features alone.

    Args:
        genes: (n, G) unit residuals of rank-normal genes of the traits' donors.
    """
    p = PTable(traits.normal.dof).p(traits.normal.unit.T @ genes)
    if published:
        found = bonferroni(p, genes.shape[1]) <= PUBLISHED_LEVEL
        return np.vstack([found, np.zeros(genes.shape[1], bool)])
    embedding = np.ones((1, genes.shape[1]))
    if traits.root.shape[1]:
        embedding = np.exp(gene_log_p(traits, genes))[None]
    return np.array([bh(row) <= alpha for row in np.vstack([p, embedding])])


def variants_near(
    found: np.ndarray, genes: Sequence[str], positions: pd.DataFrame, variants: pd.DataFrame, window: int, joint: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(variants, traits) bool: variants within `window` of a gene of each trait; (traits,) genes that have a position.

    Args:
        found: (traits, G) of genes_found. genes: (G,) ids.
        joint: variants near any trait's genes are tested with every trait that has a gene, as in the study.
    """
    named = [gene for gene, is_named in zip(genes, found.any(axis=0), strict=True) if is_named]
    ranges = near(positions, named, variants["chrom"].to_numpy(), variants["pos"].to_numpy(), window)
    of_trait = found[:, pd.Index(genes).get_indexer(ranges["gene"])]
    count = of_trait.sum(axis=1)
    if joint:
        of_trait = np.repeat(count[:, None] > 0, len(ranges), axis=1)
    return np.column_stack([inside_any(ranges[row], len(variants)) for row in of_trait]), count


@dataclass(frozen=True)
class GeneScope:
    """Genes to choose from and where they lie; name: of the expression's file, for messages."""

    scope: str
    expression: AnnData
    name: str
    positions: pd.DataFrame
    variants: pd.DataFrame
    alpha: float

    def expressed(self, donors: np.ndarray) -> np.ndarray:
        """(donors,) bool: has expression."""
        return np.isin(donors, self.expression.obs_names.to_numpy(dtype=object))

    def tests(
        self, columns: Columns, embedding: np.ndarray, donors: np.ndarray, space: ResidualSpace
    ) -> tuple[np.ndarray, np.ndarray]:
        """(variants, T + 1) bool of the tests in scope and (T + 1,) genes of each trait, found in these donors.

        Args:
            columns, embedding: of the donors, all of whom are `expressed`. space: theirs.
        """
        genes, _ = read_genes(self.expression, donors, self.name, space)
        keep, within = carrying(columns.values, space), embedding[:, carrying(embedding, space)]
        found = np.zeros((len(columns.name) + 1, len(genes.id)), bool)
        traits = traits_of(columns.values[:, keep], within, space)
        published = self.scope == PUBLISHED
        found[np.append(keep, True)] = genes_found(traits, genes.normal.unit, self.alpha, published)
        return variants_near(found, list(genes.id), self.positions, self.variants, WINDOW[self.scope], published)
