"""Drawn cohorts for the tests of shared variance: what image and expression share is set, not found."""

from typing import NamedTuple

import numpy as np


class Drawn(NamedTuple):
    """features, genes, covariates: (n, columns) values."""

    features: np.ndarray
    genes: np.ndarray
    covariates: np.ndarray


def mixed(rng: np.random.Generator, latent: np.ndarray, columns: int) -> np.ndarray:
    """(n, columns) random mixtures, each of variance 1, of independent latent columns of variance 1."""
    weights = rng.normal(size=(latent.shape[1], columns))
    return latent @ (weights / np.linalg.norm(weights, axis=0))


def cohort(
    seed: int,
    n: int,
    confounders: int = 0,
    shared: float = 0.0,
    technical: float = 0.0,
    genes: int = 200,
    features: int = 80,
    factors: int = 5,
) -> Drawn:
    """Genes of variance 1: `shared` of it goes with the image's factors, `technical` with confounders, which move the
    image too, .2 with five hidden factors that the image does not see; the rest is noise."""
    rng = np.random.default_rng(seed)
    covariates, factor = rng.normal(size=(n, confounders)), rng.normal(size=(n, factors))
    image = np.sqrt(0.7) * mixed(rng, factor, features) + np.sqrt(0.3) * rng.normal(size=(n, features))
    expression = np.sqrt(shared) * mixed(rng, factor, genes) + np.sqrt(0.2) * mixed(rng, rng.normal(size=(n, 5)), genes)
    expression += np.sqrt(0.8 - shared - technical) * rng.normal(size=(n, genes))
    if confounders:
        image += 0.7 * mixed(rng, covariates, features)
        expression += np.sqrt(technical) * mixed(rng, covariates, genes)
    return Drawn(image, expression, covariates)
