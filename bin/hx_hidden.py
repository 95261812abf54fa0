#!/usr/bin/env python3
"""Hidden factors as a sensitivity series: associations after principal components of expression are taken out too.

Never the default: components of expression hold cell composition, which is what images see. Removing one turned 800
true hits into none in a simulation (docs/methods.md). As many columns of noise show what the loss of degrees of freedom
alone does.
"""

import numpy as np

from hx_association import associate_pairs
from hx_donors import MIN_DOF, Side
from hx_linear import ResidualSpace, carrying_columns, residual_space, standardise
from hx_variance import principal

SERIES = (0, 1, 5, 10, 20)
HIDDEN = ["setting", "factors", "of", "dof", "pairs", "hits", "genes_found", "detectable_r"]


def spaces(
    covariates: np.ndarray | None, genes: np.ndarray, least: int, generator: np.random.Generator
) -> list[tuple[int, str, ResidualSpace]]:
    """(k, what, space) of the series: k components of expression ("expression"), or k columns of noise ("noise").

    Args:
        covariates: (donors, c) of the model, or None. genes: (donors, genes) unit residuals on them.
        least: residual degrees of freedom that must be left; longer series are left out.
    """
    donors = len(genes)
    base = np.empty((donors, 0)) if covariates is None else covariates
    components = principal(genes @ genes.T)
    known = components.scores[:, : components.rank]
    found = []
    for k in SERIES:
        extra = {"expression": known[:, :k], "noise": generator.standard_normal((donors, k))}
        for what, columns in extra.items():
            space = residual_space(np.hstack([base, columns]), donors)
            if space.dim - 1 >= least and columns.shape[1] == k and not (k == 0 and what == "noise"):
                found.append((k, what, space))
    return found


def hidden_rows(
    setting: str, side: Side, values: np.ndarray, alpha: float, correction: str, generator: np.random.Generator
) -> list[dict[str, object]]:
    """A row (HIDDEN) a length of the series; values: (donors, features) before anything is taken out."""
    matrix = None if side.design is None else side.design.to_numpy()
    rows = []
    for k, what, space in spaces(matrix, side.genes.normal.unit, MIN_DOF, generator):
        left = (part[:, carrying_columns(part, space)] for part in (side.genes.values, values))
        genes, image = (standardise(part, space) for part in left)
        tested = associate_pairs(genes.unit, image.unit, genes.dof, alpha, correction, 1, 1)
        found = int(np.count_nonzero(tested.gene_q <= alpha))
        numbers = (setting, k, what, genes.dof, tested.scan.pairs, len(tested.hits.r), found, tested.detectable(alpha))
        rows.append(dict(zip(HIDDEN, numbers, strict=True)))
    return rows
