#!/usr/bin/env python3
"""Every variant against every trait and against the whole embedding: blocks of genotypes in one matrix product.

With Q an orthonormal basis of [1, C], f the unit residual of a trait on it and g a variant's centred dosages, the
partial correlation given C is r = g'f / sqrt(|g|^2 - |Q'g|^2): f is orthogonal to Q already, so that no genotype is
ever projected (Frisch & Waugh 1933). The embedding's statistic is g'Kg / (|g|^2 - |Q'g|^2) with the kernel K = A A' of
its residuals, a sum of squares of g'A. All of it is one product of the block with [Q, f, A], in single precision; what
tables tell of a lead is computed again in double.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from hx_linear import ResidualSpace
from hx_pvalue import PTable, critical_r, lambda_gc
from hx_scan import Pairs, upper_quantile

BINS = 1 << 12  # of |r|, for its median and the middle of the QQ plot
KEPT_P = 1e-3  # pairs up to this p are kept one by one
FEW = 10_000  # pairs, of which all are kept: one of few tests may be significant at a p above KEPT_P
SPANNED = 1e-4  # a variant is spanned by the covariates when less than this share of its sum of squares is left
TESTED, NO_CALL, LOW_MAC, LOW_MAF, IS_SPANNED, OUT_OF_SCOPE = range(6)
# What a variant's status says in the table of counts.
STATUS = {
    TESTED: "tested",
    NO_CALL: "no genotype in these donors",
    LOW_MAC: "MAC below --min-mac",
    LOW_MAF: "MAF below --min-maf",
    IS_SPANNED: "spanned by the covariates",
    OUT_OF_SCOPE: "outside the scope",
}


@dataclass(frozen=True)
class Panel:
    """What the genotypes of n donors meet.

    columns: (n, covariates + traits + kernel's rank) float32: basis of the covariates without the intercept, unit
    residuals of the traits, A of the kernel A A'. dof: residual degrees of freedom of a correlation, n - 2 - rank C.
    """

    columns: np.ndarray
    covariates: int
    traits: int
    dof: int

    def permuted(self, order: np.ndarray) -> "Panel":
        """The panel of other donors: that of donor order[i] stands where donor i's did."""
        return Panel(self.columns[order], self.covariates, self.traits, self.dof)


def panel_of(space: ResidualSpace, traits: np.ndarray, root: np.ndarray) -> Panel:
    """traits: (n, T) unit residuals in `space`. root: (n, m) with the embedding's kernel root root'; m 0 for none."""
    columns = np.hstack([space.basis[:, 1:], traits, root]).astype(np.float32)
    return Panel(columns, space.covariate_rank, traits.shape[1], space.dim - 1)


class Limits(NamedTuple):
    """Smallest minor allele count and frequency that are tested."""

    mac: float
    maf: float


class Imputed(NamedTuple):
    """A block of variants over the donors: values (b, n) float32, centred dosages, missing ones at the mean (0).

    copies: (b,) sum of the alternative alleles. called: (b,) donors with a genotype.
    """

    values: np.ndarray
    copies: np.ndarray
    called: np.ndarray


def imputed(dosage: np.ndarray) -> Imputed:
    """Centre the (b, n) dosages of a block; NaN is a missing genotype, which becomes the variant's mean."""
    missing = np.isnan(dosage)
    called = dosage.shape[1] - np.count_nonzero(missing, axis=1)
    values = np.array(dosage, np.float32)
    holes = np.nonzero(missing.ravel())[0]
    values.ravel()[holes] = 0
    # A product sums faster than a sum; hundredths of a copy are what genotype files hold.
    copies = np.round((values @ np.ones(values.shape[1], np.float32)).astype(np.float64), 2)
    values -= (copies / np.maximum(called, 1)).astype(np.float32)[:, None]
    values.ravel()[holes] = 0
    return Imputed(values, copies, called)


def minor_counts(copies: np.ndarray, called: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mac, maf) of variants from the copies of the alternative allele among `called` donors; maf NaN without any."""
    mac = np.minimum(copies, 2 * called - copies)
    return mac, np.divide(mac, 2 * called, out=np.full(len(mac), np.nan), where=called > 0)


def status_of(mac: np.ndarray, maf: np.ndarray, called: np.ndarray, limits: Limits) -> np.ndarray:
    """(b,) uint8 status of variants: the first of the filters that one fails, or TESTED."""
    out = np.full(len(mac), TESTED, np.uint8)
    out[~(maf >= limits.maf - 1e-9)] = LOW_MAF
    out[mac < limits.mac - 1e-3] = LOW_MAC  # dosages are hundredths of a copy
    out[called == 0] = NO_CALL
    return out


class Null(Protocol):
    """Something that sees every tested block, as unit rows, in any order and from several threads: see hx_qtl_null."""

    def add(self, index: np.ndarray, unit: np.ndarray, allowed: np.ndarray | None) -> None: ...


class Scored(NamedTuple):
    """A block tested with a panel.

    scale: (b,) factor that makes its rows unit residuals, 0 for variants that the covariates span. strong: pairs with
    p <= KEPT_P, or all. bins: (T, BINS) tests by |r|. tests: of each trait and, last, the embedding. largest: (b,) of
    |r|. best: (T,) pairs of largest |r|. ratio: (b,) statistic of the embedding, NaN outside its scope.
    """

    index: np.ndarray
    scale: np.ndarray
    strong: Pairs
    bins: np.ndarray
    tests: np.ndarray
    largest: np.ndarray
    best: Pairs
    ratio: np.ndarray


def score(
    panel: Panel, index: np.ndarray, values: np.ndarray, squares: np.ndarray, allowed: np.ndarray | None,
    all_pairs: bool = False,
) -> Scored:  # fmt: skip
    """Test the (b, n) centred dosages of the variants `index`, whose sums of squares are `squares`, with a panel."""
    k, t = panel.covariates, panel.traits
    product = values @ panel.columns
    fitted, root = product[:, :k], product[:, k + t :]
    left = squares - np.einsum("ij,ij->i", fitted, fitted)
    carries = left > SPANNED * squares
    scale = np.zeros(len(left), np.float32)
    scale[carries] = 1 / np.sqrt(left[carries])
    r = product[:, k : k + t] * scale[:, None]
    every = allowed is None and carries.all()
    within = np.broadcast_to(carries[:, None] if allowed is None else carries[:, None] & allowed, (len(r), t + 1))
    if not every:
        r[~within[:, :t]] = 0
    absolute = np.abs(r)
    cut = np.float32(critical_r(KEPT_P, panel.dof) * (1 - 1e-6))
    row, column = np.nonzero(within[:, :t] if all_pairs else absolute >= cut)
    bins = np.minimum(absolute * BINS, BINS - 1).astype(np.int32) + BINS * np.arange(t, dtype=np.int32)
    tests = np.count_nonzero(within, axis=0)
    tests[t] *= root.shape[1] > 0
    top = (absolute.argmax(axis=0) if len(r) else np.empty(0, np.intp)), np.arange(t)
    ratio = np.einsum("ij,ij->i", root, root) * (scale * scale) if root.shape[1] else np.full(len(r), np.nan)
    return Scored(
        index,
        scale,
        Pairs(index[row], column, r[row, column]),
        np.bincount(bins.ravel() if every else bins[within[:, :t]], minlength=t * BINS).reshape(t, BINS),
        tests,
        absolute.max(axis=1, initial=0),
        Pairs(index[top[0]], top[1], r[top]),
        np.where(within[:, t], ratio, np.nan),
    )


class Tally:
    """What a scan of one panel keeps.

    histogram: (T, BINS) tests by |r|. strong: pairs (row: the variant, column: the trait) with p <= KEPT_P. largest:
    (V,) largest |r| of a variant, NaN where it is not tested. ratio: (V,) statistic of the embedding, NaN likewise.
    best: the pair of largest |r| of each trait, row -1 for none.
    tests: (T + 1,) tests of each trait, the embedding last; 0 for an embedding that is not there.
    """

    def __init__(self, panel: Panel, variants: int):
        self.panel = panel
        self.histogram = np.zeros((panel.traits, BINS), np.int64)
        self.largest = np.full(variants, np.nan, np.float32)
        self.ratio = np.full(variants, np.nan)
        self.tests = np.zeros(panel.traits + 1, np.int64)
        self.best = Pairs(np.full(panel.traits, -1), np.arange(panel.traits), np.zeros(panel.traits))
        self._strong: list[Pairs] = []

    def add(self, scored: Scored) -> None:
        """Take in a block; blocks come in the order of the variants."""
        self.histogram += scored.bins
        self.tests += scored.tests
        self.largest[scored.index], self.ratio[scored.index] = scored.largest, scored.ratio
        stronger = np.abs(scored.best.r) > np.abs(self.best.r)
        for own, theirs in zip(self.best, scored.best, strict=True):
            own[stronger] = theirs[stronger]
        self._strong.append(scored.strong)

    @property
    def strong(self) -> Pairs:
        """All strong pairs, or of FEW all, by variant, then trait."""
        none = Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))
        return Pairs(*(np.concatenate(part) for part in zip(none, *self._strong, strict=True)))

    def strong_by_trait(self) -> list[Pairs]:
        """The strong pairs of each trait, by variant."""
        pairs = self.strong
        order = np.argsort(pairs.column, kind="stable")
        edges = np.searchsorted(pairs.column[order], np.arange(self.panel.traits + 1))
        return [pairs.take(order[a:b]) for a, b in pairwise(edges)]

    def lambdas(self, table: PTable) -> np.ndarray:
        """(T,) genomic-control lambda of each trait, NaN without a test."""
        return np.array([median_lambda(histogram, 1.0, table) for histogram in self.histogram])


def median_lambda(histogram: np.ndarray, reach: float, table: PTable) -> float:
    """Lambda of tests counted by |r| in equal bins from 0 to `reach`; NaN for none."""
    tests = int(histogram.sum())
    if not tests:
        return float("nan")
    median = upper_quantile(histogram, np.array([(tests + 1) // 2, tests // 2 + 1])).mean() * reach
    return lambda_gc(float(table.p(np.array([median]))[0]))


@dataclass(frozen=True)
class Scanned:
    """A pass over the genotypes: (V,) status, alternative allele's frequency, minor allele count and donors called,
    over the donors of the panels; and a Tally a panel."""

    status: np.ndarray
    frequency: np.ndarray
    mac: np.ndarray
    called: np.ndarray
    tallies: list[Tally]


def scan_genotypes(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    variants: int,
    panels: list[Panel],
    limits: Limits,
    nulls: Sequence[Null] = (),
    allowed: np.ndarray | None = None,
    threads: int = 1,
) -> Scanned:
    """Test every variant of `blocks`, once a panel.

    Args:
        blocks: (indices, dosages) of hx_genotypes.blocks: (b,) places among all variants, (b, n) copies, NaN missing.
        variants: number of all of them; those in no block are out of scope.
        nulls: of hx_qtl_null; they see the blocks as the first panel does.
        allowed: (variants, T + 1) tests within the scope of each trait and, last, of the embedding; None: all.
        threads: blocks that are worked on side by side, each with one thread.
    """
    status = np.full(variants, OUT_OF_SCOPE, np.uint8)
    frequency, macs = np.full(variants, np.nan, np.float32), np.zeros(variants)
    called, tallies = np.zeros(variants, np.int32), [Tally(panel, variants) for panel in panels]
    few = (variants * panels[0].traits if allowed is None else np.count_nonzero(allowed)) <= FEW

    def work(block: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, tuple, list[Scored]]:
        index, dosage = block
        own = imputed(dosage)
        mac, maf = minor_counts(own.copies, own.called)
        of = status_of(mac, maf, own.called, limits)
        told = (of, own.copies / np.maximum(2 * own.called, 1), mac, own.called)
        keep = of == TESTED
        if not keep.any():
            return index, told, []
        tested, values = (index, own.values) if keep.all() else (index[keep], own.values[keep])
        squares = np.einsum("ij,ij->i", values, values)
        within = None if allowed is None else allowed[tested]
        scored = [score(panel, tested, values, squares, within, few) for panel in panels]
        if nulls:
            values = np.multiply(values, scored[0].scale[:, None], out=values)
            for null in nulls:
                null.add(tested, values, within)
        return index, told, scored

    for index, told, scored in _in_order(work, blocks, threads):
        status[index], frequency[index], macs[index], called[index] = told
        for tally, of_panel in zip(tallies, scored, strict=False):
            tally.add(of_panel)
        if scored:
            status[scored[0].index[scored[0].scale == 0]] = IS_SPANNED
    return Scanned(status, frequency, macs, called, tallies)


def _in_order(work: Callable[[Any], Any], items: Iterable[Any], threads: int) -> Iterator[Any]:
    """Results of some work in the order of the items, of which no more are held than threads need."""
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
