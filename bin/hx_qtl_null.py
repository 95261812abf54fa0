#!/usr/bin/env python3
"""What a scan of genotypes gives when no variant has anything to do with a trait: largest |r|, and scatter of lambda.

Traits are permuted in the coordinates of the residual space (Huh & Jhun 2001, Commun. Stat. Theory Methods 30:2245),
where rank-normal values given covariates are exchangeable and residuals of donors are not. One order moves all traits
and meets all variants: the largest |r| of all these tests has their very dependence.
"""

from dataclasses import dataclass
from threading import Lock

import numpy as np
from scipy.special import ndtri

from hx_fdr import bonferroni
from hx_linear import ResidualSpace
from hx_null import familywise_p
from hx_pvalue import PTable
from hx_qtl import median_lambda
from hx_variance import permutations

LAMBDA_DRAWS, LAMBDA_VARIANTS = 100, 100_000
LAMBDA_BINS, LAMBDA_REACH = 2048, 4.0  # of |r| sqrt(dof)
LAMBDA_LOW, LAMBDA_HIGH = 0.95, 1.08  # limits where lambda scatters little
GATE = 0.05  # chance that a null scan of all traits fails the gate, where lambda scatters more


class MaxNull:
    """Largest |r| over all traits and tested variants, of traits permuted together."""

    def __init__(self, space: ResidualSpace, traits: np.ndarray, generator: np.random.Generator, count: int):
        """traits: (n, T) unit residuals. count: permutations."""
        orders = permutations(generator, count, space.dim)
        turned = space.rotation.T @ traits
        self.columns = np.empty((traits.shape[1], len(traits), count), np.float32)
        for own, trait in zip(self.columns, turned.T, strict=True):
            own[:] = space.rotation @ trait[orders].T
        self.largest = np.zeros(self.columns.shape[::2], np.float32)
        self._lock = Lock()

    def add(self, index: np.ndarray, unit: np.ndarray, allowed: np.ndarray | None) -> None:
        """Take in a block of unit variants, (b, n)."""
        for trait, (own, largest) in enumerate(zip(self.columns, self.largest, strict=True)):
            rows = unit if allowed is None else unit[allowed[:, trait]]
            if len(rows):
                r = rows @ own
                block = np.maximum(r.max(axis=0), -r.min(axis=0))
                with self._lock:
                    np.maximum(largest, block, out=largest)

    def values(self) -> np.ndarray:
        """(count,) largest |r| of each permutation, ascending."""
        return np.sort(self.largest.max(axis=0).astype(np.float64)) if len(self.largest) else np.empty(0)


class LambdaNull:
    """Lambda of permuted normal scores: how far it scatters with these variants and donors.

    Of many variants, LAMBDA_VARIANTS that are evenly spread: more would narrow limits that are never below .95 to 1.08.
    """

    def __init__(self, space: ResidualSpace, trait: np.ndarray, generator: np.random.Generator, variants: int):
        """trait: (n,) unit residual of any rank-normal trait: they all have one null. variants: that will come."""
        self.every = -(-variants // LAMBDA_VARIANTS)
        orders = permutations(generator, LAMBDA_DRAWS, space.dim)
        self.columns = (space.rotation @ (space.rotation.T @ trait)[orders].T).astype(np.float32)
        self.scale = np.float32(np.sqrt(space.dim - 1) / LAMBDA_REACH * LAMBDA_BINS)
        self.reach = LAMBDA_REACH / np.sqrt(space.dim - 1)
        self.histogram = np.zeros((LAMBDA_DRAWS, LAMBDA_BINS), np.int64)
        self._lock = Lock()

    def add(self, index: np.ndarray, unit: np.ndarray, allowed: np.ndarray | None) -> None:
        """Take in a block of unit variants, (b, n), at the places `index` among all."""
        rows = unit[index % self.every == 0] if self.every > 1 else unit
        bins = np.minimum(np.abs(rows @ self.columns) * self.scale, LAMBDA_BINS - 1).astype(np.int32)
        bins += LAMBDA_BINS * np.arange(LAMBDA_DRAWS, dtype=np.int32)
        block = np.bincount(bins.ravel(), minlength=self.histogram.size).reshape(self.histogram.shape)
        with self._lock:
            self.histogram += block

    def limits(self, table: PTable, traits: int) -> tuple[float, float]:
        """(low, high) that lambda of a scan of so many traits should keep: .95 to 1.08, or more where it scatters more.

        A normal interval of log lambda, Bonferroni over the traits at GATE.
        """
        lambdas = np.log([median_lambda(histogram, self.reach, table) for histogram in self.histogram])
        reach = -ndtri(GATE / (2 * max(1, traits))) * lambdas.std(ddof=1)
        return min(LAMBDA_LOW, float(np.exp(-reach))), max(LAMBDA_HIGH, float(np.exp(reach)))


def gate(value: float, low: float, high: float) -> str:
    """What lambda says: ok, inflated (structure, relatives, covariates left out) or deflated; blank where unknown."""
    if np.isnan(value) or np.isnan(low):
        return ""
    return "inflated" if value > high else "deflated" if value < low else "ok"


def threshold_r(null: np.ndarray, alpha: float) -> float:
    """|r| that must be exceeded for a family-wise p (hx_null.familywise_p) of at most alpha; 1 where none can reach it.

    null: (B,) largest |r| of permutations, ascending.
    """
    above = int(np.floor(alpha * (len(null) + 1) + 1e-9)) - 1  # permutations that may be as strong
    return float(null[len(null) - 1 - above]) if 0 <= above < len(null) else 1.0


@dataclass(frozen=True)
class Family:
    """All tests of a scan, by which one is judged: by permutation where there is a null, else by their number.

    The null holds the traits alone: for the embedding it would cost a kernel a permutation. So the traits as a group
    and the embedding each get the share of alpha that their number among the T + 1 is (weighted Bonferroni): the
    traits' permutation p is taken times (T + 1) / T, the embedding's p times its tests times T + 1.

    tests: (T + 1,) tests of each trait, the embedding last. null: (B,) of MaxNull, ascending; empty: Bonferroni over
    all tests. parts: scans that share alpha (halves of the donors), their number fixed before the data.
    """

    tests: np.ndarray
    null: np.ndarray
    parts: int
    table: PTable

    @property
    def _groups(self) -> tuple[int, int]:
        """Traits that are tested, and those and the embedding."""
        traits = int(np.count_nonzero(self.tests[:-1]))
        return traits, traits + int(self.tests[-1] > 0)

    def p_traits(self, r: np.ndarray) -> np.ndarray:
        """Family-wise p of correlations of traits."""
        traits, groups = self._groups
        if len(self.null):
            return np.minimum(1.0, familywise_p(r, self.null) * (self.parts * groups / max(1, traits)))
        return bonferroni(self.table.p(r), self.parts * int(self.tests.sum()))

    def p_embedding(self, p: np.ndarray) -> np.ndarray:
        """Family-wise p of p values of the embedding."""
        tests = int(self.tests[-1]) * self._groups[1] if len(self.null) else int(self.tests.sum())
        return bonferroni(p, self.parts * tests)

    def threshold(self, alpha: float, embedding: bool) -> float:
        """p of one test up to which its family-wise p is at most alpha; 0 where none can be."""
        if not self.tests.any():
            return 0.0
        traits, groups = self._groups
        if not len(self.null):
            return alpha / (self.parts * int(self.tests.sum()))
        if embedding:
            return alpha / (self.parts * groups * max(1, int(self.tests[-1])))
        r = threshold_r(self.null, alpha * traits / (groups * self.parts))
        return float(self.table.p(np.array([r]))[0]) if r < 1 else 0.0
