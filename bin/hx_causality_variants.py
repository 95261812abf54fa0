#!/usr/bin/env python3
"""Variants that may be instruments: those near a gene for the gene, those of the whole genome for any other trait."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hx_causality import Candidates
from hx_genotypes import Genotypes, blocks
from hx_linear import ResidualSpace
from hx_positions import near
from hx_pvalue import critical_r
from hx_qtl import SPANNED, TESTED, Imputed, Limits, imputed, minor_counts, status_of

CIS_WINDOW = 1_000_000  # bases on each side of the transcription start site
CIS_P, GENOME_P = 1e-3, 5e-8  # largest p of a pick in nine tenths of the donors
KEPT_P = 1e-5  # of the whole genome, variants that reach it are looked at in every fold
MOST_KEPT = 4000  # of those, the strongest


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
            values = block.values[common].astype(np.float64)
            rows = values @ self.space.rotation
            left = np.einsum("ij,ij->i", rows, rows) > SPANNED * np.einsum("ij,ij->i", values, values)
            places.append(index[common][left])
            parts.append(rows[left])
        if not sum(map(len, places)):
            return Candidates(*none, f"no common variant within {CIS_WINDOW // 1000} kb of {gene}")
        return Candidates(np.vstack(parts), np.concatenate(places), CIS_P, True, "")

    def of_genome(self, values: np.ndarray) -> list[Candidates]:
        """For each trait, the variants of the genome that go with it at KEPT_P in all donors.

        A variant that has GENOME_P in most folds has KEPT_P in all donors: this spares memory and decides nothing.

        Args:
            values: (dim, traits) in the residual space.
        """
        best: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(values.shape[1])]
        cut = critical_r(KEPT_P, len(values) - 1)
        basis = self.space.basis[:, 1:].astype(np.float32)
        # In the donors' own coordinates: the residual of a variant is never made.
        traits = (self.space.rotation @ (values / np.linalg.norm(values, axis=0))).astype(np.float32)
        for index, dosage in blocks(self.genotypes, self.donors):
            block = imputed(dosage)
            common = self._common(block)
            a = block.values[common]
            fitted = a @ basis
            whole = np.einsum("ij,ij->i", a, a)
            length = whole - np.einsum("ij,ij->i", fitted, fitted)
            left = length > SPANNED * whole
            r = np.abs(a @ traits) / np.sqrt(np.where(left, length, 1))[:, None]
            for trait, kept in enumerate(best):
                own = left & (r[:, trait] >= cut)
                kept.append((index[common][own], r[own, trait]))
        return [self._of_places(kept) for kept in best]

    def _of_places(self, kept: Sequence[tuple[np.ndarray, np.ndarray]]) -> Candidates:
        places, strength = (np.concatenate(part) for part in zip(*kept, strict=True))
        places = np.sort(places[np.argsort(-strength, kind="stable")[:MOST_KEPT]])
        why = "" if len(places) else f"no variant of the genome goes with it at p <= {KEPT_P:g}"
        return Candidates(self.load(places)[0], places, GENOME_P, False, why)
