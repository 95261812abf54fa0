#!/usr/bin/env python3
"""Variants that may be instruments: those near a gene for the gene, those of the whole genome for any other trait."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hx_causality import Candidates
from hx_genotypes import Genotypes, blocks
from hx_linear import ResidualSpace
from hx_mr_crossfit import FOLDS
from hx_positions import near
from hx_pvalue import critical_r
from hx_qtl import TESTED, Imputed, Limits, imputed, minor_counts, status_of

CIS_WINDOW = 1_000_000  # bases on each side of the transcription start site
CIS_P, GENOME_P = 1e-3, 5e-8  # largest p of a pick in nine tenths of the donors
KEPT_P = 1e-5  # of the whole genome, variants that reach it in one of the folds are looked at again
MOST_KEPT = 4000  # of those, the strongest


def others(values: np.ndarray) -> np.ndarray:
    """Sums over the other folds, from sums within folds along the last axis."""
    return values.sum(axis=-1, keepdims=True) - values


class Variants:
    """Genotypes of the donors of a frame in the residual space of their covariates."""

    def __init__(
        self, genotypes: Genotypes, donors: np.ndarray, space: ResidualSpace, limits: Limits,
        positions: pd.DataFrame | None,
    ):  # fmt: skip
        self.genotypes, self.donors, self.space, self.limits, self.positions = (
            genotypes, donors, space, limits, positions,
        )  # fmt: skip

    def load(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(variants, dim) residual dosages, and frequencies of the alternative alleles, of places in order."""
        keep = np.zeros(len(self.genotypes.variants), bool)
        keep[places] = True
        parts, frequencies = [np.empty((0, self.space.dim))], [np.empty(0)]
        for _, dosage in blocks(self.genotypes, self.donors, keep=keep):
            block = imputed(dosage)
            parts.append(block.values.astype(np.float64) @ self.space.rotation)
            frequencies.append(block.copies / np.maximum(2 * block.called, 1))
        return np.vstack(parts), np.concatenate(frequencies)

    def _common(self, block: Imputed) -> np.ndarray:
        """(b,) bool: the variant is common enough in the donors to be tested."""
        return status_of(*minor_counts(block.copies, block.called), block.called, self.limits) == TESTED

    def of_gene(self, gene: str) -> Candidates:
        """Variants near the gene's transcription start site."""
        none = np.empty((0, self.space.dim)), np.empty(0, int), CIS_P, True
        if self.positions is None:
            return Candidates(*none, "no gene positions are given")
        of = self.genotypes.variants
        found = near(self.positions, [gene], of["chrom"].to_numpy(), of["pos"].to_numpy(), CIS_WINDOW, site=True)
        if not len(found):
            return Candidates(*none, f"no position of {gene}")
        keep = np.zeros(len(of), bool)
        keep[found["first"].iloc[0] : found["last"].iloc[0]] = True
        places, parts = [np.empty(0, int)], [none[0]]
        for index, dosage in blocks(self.genotypes, self.donors, keep=keep):
            block = imputed(dosage)
            common = self._common(block)
            places.append(index[common])
            parts.append(block.values[common].astype(np.float64) @ self.space.rotation)
        if not sum(map(len, places)):
            return Candidates(*none, f"no common variant within {CIS_WINDOW // 1000} kb of {gene}")
        return Candidates(np.vstack(parts), np.concatenate(places), CIS_P, True, "")

    def of_genome(self, values: np.ndarray, folds: np.ndarray) -> list[Candidates]:
        """For each trait, the variants of the genome that go with it at KEPT_P without one of the folds.

        Args:
            values: (dim, traits) in the residual space.
        """
        best: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(values.shape[1])]
        inside = [folds == fold for fold in range(FOLDS)]
        squares = others(np.column_stack([np.einsum("ij,ij->j", values[rows], values[rows]) for rows in inside]))
        cut = np.array([critical_r(KEPT_P, len(folds) - rows.sum() - 1) ** 2 for rows in inside])
        traits, rotation = values.astype(np.float32), self.space.rotation.astype(np.float32)
        for index, dosage in blocks(self.genotypes, self.donors):
            block = imputed(dosage)
            common = self._common(block)
            a = block.values[common] @ rotation
            product = others(np.stack([a[:, rows] @ traits[rows] for rows in inside], axis=-1))
            length = others(np.column_stack([np.einsum("ij,ij->i", a[:, rows], a[:, rows]) for rows in inside]))
            r2 = product**2 / np.maximum(length, 1e-12)[:, None, :] / squares
            strength = (r2 / cut).max(axis=2)
            for trait, kept in enumerate(best):
                own = strength[:, trait] >= 1
                kept.append((index[common][own], strength[own, trait]))
        return [self._of_places(kept) for kept in best]

    def _of_places(self, kept: Sequence[tuple[np.ndarray, np.ndarray]]) -> Candidates:
        places, strength = (np.concatenate(part) for part in zip(*kept, strict=True))
        places = np.sort(places[np.argsort(-strength, kind="stable")[:MOST_KEPT]])
        why = "" if len(places) else f"no variant of the genome goes with it at p <= {KEPT_P:g}"
        return Candidates(self.load(places)[0], places, GENOME_P, False, why)
