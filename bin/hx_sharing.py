#!/usr/bin/env python3
"""Whether associations found in one place hold in another: share of true ones, and agreement of signs."""

import numpy as np
from scipy.stats import binom

LAMBDAS = np.arange(0.05, 0.96, 0.05)
REPLICATED = 0.05  # largest p elsewhere of what counts as replicated
FEWEST = 20  # p values; fewer say nothing of their distribution


def storey_pi0(p: np.ndarray) -> float:
    """Share of true null hypotheses among p values, by the bootstrap estimate of Storey, Taylor & Siegmund 2004.

    J R Stat Soc B 66:187: of pi0(l) = #{p >= l} / (m (1 - l)) on a grid of l, the one with the smallest mean squared
    error about the tenth percentile of all, which is known in closed form. NaN for fewer than FEWEST p values.
    """
    p = np.asarray(p, dtype=np.float64)
    m = len(p)
    if m < FEWEST:
        return float("nan")
    above = m - np.searchsorted(np.sort(p), LAMBDAS, side="left")
    pi0 = above / (m * (1 - LAMBDAS))
    error = above / (m**2 * (1 - LAMBDAS) ** 2) * (1 - above / m) + (pi0 - np.quantile(pi0, 0.1)) ** 2
    return float(min(1.0, pi0[error == error.min()].min()))


def sharing(r_found: np.ndarray, r_there: np.ndarray, p_there: np.ndarray) -> dict[str, float | int]:
    """How associations found in one place do in another.

    Args:
        r_found, r_there: (pairs,) correlations where they were found, and elsewhere.
        p_there: (pairs,) two-sided p elsewhere.

    Returns:
        pairs; pi1 = 1 - pi0 of the p elsewhere (Storey & Tibshirani 2003); same_sign, the share with the same sign;
        sign_p, of that share against one half (two-sided binomial, which takes pairs as independent: they are not, so
        that it is a description); replicated, the share with p <= .05 and the same sign.
    """
    pairs = len(r_found)
    if not pairs:
        return {"pairs": 0, **dict.fromkeys(("pi1", "same_sign", "sign_p", "replicated"), float("nan"))}
    same = np.sign(r_found) == np.sign(r_there)
    tail = min(int(same.sum()), pairs - int(same.sum()))
    return {
        "pairs": pairs,
        "pi1": 1 - storey_pi0(p_there),
        "same_sign": float(same.mean()),
        "sign_p": float(min(1.0, 2 * binom.cdf(tail, pairs, 0.5))),
        "replicated": float((same & (p_there <= REPLICATED)).mean()),
    }
