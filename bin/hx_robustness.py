#!/usr/bin/env python3
"""How strong an unmeasured confounder would have to be to explain an association away.

Cinelli & Hazlett 2020, Making sense of sensitivity: extending omitted variable bias, J R Stat Soc B 82:39. All of it
follows from the t of an association and its degrees of freedom, whatever the numbers of features and genes.
"""

import numpy as np
from scipy.special import stdtrit


def robustness_value(r: np.ndarray, dof: float, q: float = 1.0, alpha: float = 1.0) -> np.ndarray:
    """Share of the residual variance of both feature and gene that a confounder must explain to remove the association.

    With f the partial Cohen's f of the association, f_q = q f less the critical f at level alpha,
    RV = (sqrt(f_q^4 + 4 f_q^2) - f_q^2) / 2 (section 4.3, eqs. 18 and 20).

    Args:
        r: partial correlations, any shape.
        dof: their residual degrees of freedom.
        q: share of the estimate to remove; 1 makes it zero.
        alpha: level at which what is left must be no longer significant (two-sided); 1 asks for the estimate alone.

    Returns:
        Same shape, 0..1; 0 where the association is not significant at alpha to begin with.
    """
    f = q * np.abs(r) / np.sqrt((1 - np.abs(r)) * (1 + np.abs(r)))
    if alpha < 1:
        # A confounder costs one degree of freedom; footnote 10 of the paper.
        f = f - np.abs(stdtrit(dof - 1, alpha / 2)) / np.sqrt(dof - 1)
    f2 = np.square(np.maximum(f, 0))
    return (np.sqrt(f2**2 + 4 * f2) - f2) / 2


def benchmark_r(
    r: np.ndarray, feature_share: np.ndarray, gene_share: np.ndarray, times: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Partial R2 of a confounder that is `times` as strong as a measured covariate, with the feature and with the gene.

    Section 4.4, eqs. 22 and 23, for a covariate of one column.

    Args:
        r: partial correlations of feature and gene given all covariates.
        feature_share: partial R2 of the covariate with the feature, given the other covariates.
        gene_share: partial R2 of the covariate with the gene, given the feature and the other covariates.

    Returns:
        (with the feature, with the gene given the feature), each of the broadcast shape, below 1. NaN where no
        confounder of that strength can exist.
    """
    with_feature = times * feature_share / (1 - feature_share)
    overlap = times * np.square(feature_share) / ((1 - times * feature_share) * (1 - feature_share))
    possible = (with_feature < 1) & (overlap < 1) & (times * feature_share < 1)
    overlap = np.where(possible, overlap, 0)
    with_gene = np.square((np.sqrt(times) + np.sqrt(overlap)) / np.sqrt(1 - overlap)) * gene_share / (1 - gene_share)
    possible &= with_gene < 1
    shape = np.broadcast_shapes(np.shape(r), np.shape(with_gene))
    return (
        np.broadcast_to(np.where(possible, with_feature, np.nan), shape),
        np.broadcast_to(np.where(possible, with_gene, np.nan), shape),
    )


def adjusted_t(r: np.ndarray, dof: float, with_feature: np.ndarray, with_gene: np.ndarray) -> np.ndarray:
    """t that would be left of an association if a confounder of the given partial R2s were adjusted for, at worst.

    The estimate moves by |bias| = se sqrt(dof) sqrt(R2_gene R2_feature / (1 - R2_feature)) (eq. 6) towards zero, and
    beyond; its standard error becomes se sqrt((1 - R2_gene) / (1 - R2_feature) dof / (dof - 1)) (eq. 7). The sign is
    that of r; a negative value times it says that the association would turn round.
    """
    t = np.abs(r) * np.sqrt(dof) / np.sqrt((1 - np.abs(r)) * (1 + np.abs(r)))
    bias = np.sqrt(dof) * np.sqrt(with_gene * with_feature / (1 - with_feature))
    error = np.sqrt((1 - with_gene) / (1 - with_feature) * dof / (dof - 1))
    return np.sign(r) * (t - bias) / error
