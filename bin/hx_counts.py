#!/usr/bin/env python3
"""Read counts: library sizes with the trimmed mean of M-values (TMM), and counts per million.

TMM: Robinson and Oshlack, Genome Biology 2010, 11:R25, with the constants and the reference of edgeR's
calcNormFactors, whose numbers tests/python/test_counts.py holds. An own copy, as the packages that have it bring
scikit-learn and more into the image.
"""

import numpy as np

TRIM_M, TRIM_A = 0.3, 0.05  # shares cut from each end of the log ratios and of the mean log expressions
QUANTILE = 0.75
NO_DIFFERENCE = 1e-6


def tmm_factors(counts: np.ndarray) -> np.ndarray:
    """TMM factors of samples, whose geometric mean is 1; all samples weigh into the choice of the reference.

    The reference is the sample whose upper quartile of counts over library size is nearest to the mean of these (where
    most of them are zero: the sample of the largest sum of root counts). Genes without a read in any sample are left
    out of the quartile.

    Args:
        counts: (genes, samples), whole numbers from 0, a read in each sample.

    Returns:
        (samples,) float64. Times the library size it gives the effective library size.
    """
    counts = counts[(counts > 0).any(axis=1)]
    n_samples = counts.shape[1]
    if n_samples == 1:
        return np.ones(1)
    library = counts.sum(axis=0)
    upper = np.array([np.quantile(counts[:, s], QUANTILE) for s in range(n_samples)]) / library
    if np.median(upper) < 1e-20:
        reference = int(np.argmax([np.sqrt(counts[:, s]).sum() for s in range(n_samples)]))
    else:
        reference = int(np.argmin(np.abs(upper - upper.mean())))
    against = np.ascontiguousarray(counts[:, reference])
    log_factors = np.array([
        _log2_factor(counts[:, s], against, library[s], library[reference]) for s in range(n_samples)
    ])  # fmt: skip
    return 2 ** (log_factors - log_factors.mean())


def _log2_factor(sample: np.ndarray, reference: np.ndarray, n_sample: float, n_reference: float) -> float:
    """log2 of the TMM factor of one sample against the reference, 0 where they share no gene or differ in none.

    M = log2(y_s / N_s) - log2(y_r / N_r), A their mean, over genes with reads in both; the mean of M with weights
    1 / ((N_s - y_s) / (N_s y_s) + (N_r - y_r) / (N_r y_r)) over the genes left when the extremes of M and A are cut.
    """
    from scipy.stats import rankdata

    both = (sample > 0) & (reference > 0)
    y_s, y_r = sample[both], reference[both]
    share_s, share_r = y_s / n_sample, y_r / n_reference
    ratio, level = np.log2(share_s / share_r), (np.log2(share_s) + np.log2(share_r)) / 2
    if not both.any() or np.abs(ratio).max() < NO_DIFFERENCE:
        return 0.0
    kept = np.ones(len(ratio), dtype=bool)
    for values, trim in ((ratio, TRIM_M), (level, TRIM_A)):
        rank, cut = rankdata(values), np.floor(len(values) * trim)
        kept &= (rank >= cut + 1) & (rank <= len(values) - cut)
    if not kept.any():
        return 0.0
    variance = (n_sample - y_s) / n_sample / y_s + (n_reference - y_r) / n_reference / y_r
    return float(np.sum(ratio[kept] / variance[kept]) / np.sum(1 / variance[kept]))


def cpm(counts: np.ndarray, library: np.ndarray) -> np.ndarray:
    """Counts per million: (genes, samples) counts over the (samples,) effective library sizes, times 1e6."""
    return counts * (1e6 / library)
