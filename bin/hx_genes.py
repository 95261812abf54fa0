#!/usr/bin/env python3
"""Which genes are analysed: lists, filters by expression, and the histograms that show where a filter cuts."""

import numpy as np
import pandas as pd

from hx_counts import cpm

GENE_FILTERS = ("none", "published", "gtex")
# The study's filter: genes with a mean of log2 values above 1, of these the 2000 with the largest standard deviation.
PUBLISHED_MEAN, PUBLISHED_GENES = 1.0, 2000
# GTEx's rule for genes that are tested: above 0.1 TPM in a fifth of the samples, and 6 reads or more in a fifth.
GTEX_LEVEL, GTEX_READS, GTEX_SHARE = 0.1, 6, 0.2
BLOCK_GENES = 1000
BINS = 50
HISTOGRAM_COLUMNS = ["tissue_id", "what", "left", "right", "genes", "kept", "cut_off", "applied"]


def shared_symbols(symbols: pd.Series) -> np.ndarray:
    """(genes,) bool: the symbol stands for several genes. They are never merged: each is tested by its own id."""
    return (symbols.duplicated(keep=False) & (symbols != "")).to_numpy()


def published_filter(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """The study's gene filter (mask): mean above 1, then the 2000 genes of largest SD; the first of equal SD win."""
    high = np.flatnonzero(mean > PUBLISHED_MEAN)
    kept = np.zeros(len(mean), dtype=bool)
    kept[high[np.argsort(-sd[high], kind="stable")[:PUBLISHED_GENES]]] = True
    return kept


def gtex_filter(values: np.ndarray, unit: str, library: np.ndarray | None = None) -> np.ndarray:
    """GTEx's gene filter (mask), as far as one unit tells: more than 0.1 in at least a fifth of the samples.

    tpm, rpkm, fpkm: their values. counts: CPM, and six reads or more in at least a fifth of the samples; without
    library sizes (a panel) the reads alone.

    Args:
        values: (genes, samples) as given, before any transform; unit: not log2.
        library: (samples,) effective library sizes of counts, None for a panel.
    """
    needed = GTEX_SHARE * values.shape[1]
    kept = np.ones(len(values), dtype=bool)
    for start in range(0, len(values), BLOCK_GENES):
        rows = slice(start, start + BLOCK_GENES)
        if unit != "counts":
            kept[rows] = (values[rows] > GTEX_LEVEL).sum(axis=1) >= needed
            continue
        kept[rows] = (values[rows] >= GTEX_READS).sum(axis=1) >= needed
        if library is not None:
            kept[rows] &= (cpm(values[rows], library) > GTEX_LEVEL).sum(axis=1) >= needed
    return kept


def gene_histograms(mean: np.ndarray, sd: np.ndarray, kept: np.ndarray, tissue_id: str, applied: bool) -> pd.DataFrame:
    """Histograms of the genes' mean and SD with the cut-offs of the study's filter: HISTOGRAM_COLUMNS, a row a bin.

    what = mean: all genes; sd: genes with a mean above the study's cut-off, of which it keeps the most variable.

    Args:
        mean, sd: (genes,) of log2 values.
        kept: (genes,) bool, by the filter that is in use.
        applied: that filter is the study's; else its cut-offs are shown for comparison.

    Returns:
        genes: number in the bin, kept: how many of them the filter in use keeps; cut_off: where the study cuts (empty
        for sd where no more than 2000 genes have a high mean: all are kept).
    """
    high = mean > PUBLISHED_MEAN
    largest = np.sort(sd[high])[::-1]
    cuts = {"mean": PUBLISHED_MEAN, "sd": largest[PUBLISHED_GENES - 1] if len(largest) > PUBLISHED_GENES else np.nan}
    rows = []
    for what, values, shown in (("mean", mean, np.ones(len(mean), dtype=bool)), ("sd", sd, high)):
        if not shown.any():
            continue
        counts, edges = np.histogram(values[shown], BINS, (min(0.0, values[shown].min()), values[shown].max()))
        passed, _ = np.histogram(values[shown & kept], edges)
        for left, right, number, remaining in zip(edges[:-1], edges[1:], counts, passed, strict=True):
            rows.append((tissue_id, what, left, right, number, remaining, cuts[what], "yes" if applied else "no"))
    return pd.DataFrame(rows, columns=HISTOGRAM_COLUMNS)
