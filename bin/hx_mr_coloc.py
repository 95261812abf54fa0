#!/usr/bin/env python3
"""Colocalisation: do two traits have one common causal variant in a region, or one each."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

PRIOR_SD = 0.15  # of the effect of a causal variant on a trait of variance 1
P1 = P2 = 1e-4  # prior of a variant to be causal for one trait
P12 = 1e-5  # and for both


class Coloc(NamedTuple):
    """Posterior probabilities: no causal variant, one for the first trait only, the second only, two, a common one."""

    h0: float
    h1: float
    h2: float
    h3: float
    h4: float


def log_abf(beta: np.ndarray, se: np.ndarray, sd: float = 1.0) -> np.ndarray:
    """Logarithm of the approximate Bayes factor of each variant, association against none.

    (log(1 - r) + r z^2) / 2 with r = W / (W + se^2), W = (PRIOR_SD sd)^2 (Wakefield 2009, Genet Epidemiol 33:79;
    Giambartolomei et al. 2014, PLoS Genet 10:e1004383, eq. 4).

    Args:
        sd: standard deviation of the trait.
    """
    prior = (PRIOR_SD * sd) ** 2
    r = prior / (prior + se**2)
    return (np.log1p(-r) + r * (beta / se) ** 2) / 2


def coloc_abf(first: np.ndarray, second: np.ndarray) -> Coloc:
    """Posteriors from the log Bayes factors of the same variants of a region with two traits; one causal variant each.

    Giambartolomei et al. 2014: sums over variants, and over pairs of different variants for H3; priors P1, P2, P12.
    """
    sum_first, sum_second, sum_both = logsumexp(first), logsumexp(second), logsumexp(first + second)
    all_pairs = sum_first + sum_second
    # All pairs less those of a variant with itself; a region of one variant has no pair.
    ratio = min(sum_both - all_pairs, 0.0)
    different = all_pairs + (np.log1p(-np.exp(ratio)) if ratio < 0 else -np.inf)
    parts = [0.0, np.log(P1) + sum_first, np.log(P2) + sum_second, np.log(P1 * P2) + different, np.log(P12) + sum_both]
    return Coloc(*(float(x) for x in np.exp(np.array(parts) - logsumexp(parts))))
