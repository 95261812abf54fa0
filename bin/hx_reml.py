#!/usr/bin/env python3
"""Share of variance that goes with a kernel of donors, by restricted maximum likelihood: no number of PCs to choose.

A gene's values in the residual space of the covariates are taken as normal with variance s2 (h K + (1 - h) I), K the
kernel of the image features with mean diagonal 1 (as GREML: Yang et al. 2010, Nat. Genet. 42:565). In that space the
likelihood is the restricted one (Patterson & Thompson 1971, Biometrika 58:545). h is the share of variance; it takes
each direction of the image to explain expression in proportion to its own variance.
"""

import numpy as np

STEPS = 100
CHUNK = 2048  # genes at a time: the table of likelihoods stays in the cache


def weights(variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grid of h (0, .01, ... .99) and (grid, dim) variance h d + 1 - h of each eigenvector of the kernel.

    variance: (dim,) eigenvalues of the kernel, all of them, not all 0.
    """
    h = np.arange(STEPS) / STEPS
    d = np.maximum(variance, 0) / np.mean(np.maximum(variance, 0))
    return h, h[:, None] * d + (1 - h)[:, None]


def kernel_share(squares: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(genes,) h of largest restricted likelihood, refined between the grid's points by a parabola.

    Args:
        squares: (genes, dim) squared coordinates of each gene on the eigenvectors of the kernel.
        variance: (dim,) eigenvalues, in the same order.
    """
    h, variances = weights(variance)
    inverse, spread = 1 / variances.T, np.log(variances).sum(axis=1)
    out = np.empty(len(squares))
    for start in range(0, len(squares), CHUNK):
        block = squares[start : start + CHUNK]
        # Minus twice the log-likelihood, the scale s2 at its maximum.
        loss = block.shape[1] * np.log(block @ inverse) + spread
        out[start : start + len(block)] = _lowest(h, loss)
    return out


def _lowest(h: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """(rows,) place of the minimum of each row of `loss` on the grid h, by a parabola through it and its neighbours."""
    best = np.argmin(loss, axis=1)
    inner = (best > 0) & (best < len(h) - 1)
    out = h[best]
    rows, middle = np.flatnonzero(inner), best[inner]
    left, centre, right = (loss[rows, middle + k] for k in (-1, 0, 1))
    bend = left - 2 * centre + right
    out[inner] += np.where(bend > 0, (left - right) / np.where(bend > 0, 2 * bend, 1), 0) * (h[1] - h[0])
    return out


def pooled_share(target: np.ndarray, scores: np.ndarray, variance: np.ndarray) -> float:
    """h of all genes together: one h and one scale for the target kernel's mean gene.

    The likelihood of a gene needs its squared coordinates alone; here they are the diagonal of scores' target scores,
    the sum over genes. A gene counts by its variance.

    Args:
        target: (dim, dim) kernel of the genes.
        scores: (dim, dim) eigenvectors of the other kernel, with their `variance`.
    """
    squares = np.einsum("ij,ij->j", scores, target @ scores)
    return float(kernel_share(squares[None], variance)[0])


def null_shares(
    variance: np.ndarray, target: np.ndarray | None, number: int, generator: np.random.Generator
) -> np.ndarray:
    """(number,) h of what has nothing to do with the kernel, drawn.

    Without `target`, of single normal genes: their mean is the null mean of the mean h of genes, which is above 0 since
    h cannot be negative. With the (dim,) eigenvalues l of a target kernel, of `pooled_share`: a squared coordinate
    is then sum_j l_j u_j^2 of a random direction u, drawn as the gamma variable of its mean, mean(l), and variance,
    2 var(l) / (dim + 2).
    """
    freedom = 1.0
    if target is not None:
        freedom = (len(target) + 2) * target.mean() ** 2 / max(target.var(), 1e-12 * target.mean() ** 2)
    squares = generator.gamma(freedom / 2, size=(number, len(variance)))
    return kernel_share(squares, variance)
