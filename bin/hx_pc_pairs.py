#!/usr/bin/env python3
"""Principal components of image features against those of expression, given the covariates."""

import numpy as np
import pandas as pd

from hx_donors import Side, named_generator
from hx_factor_pcs import Leading, leading_pcs
from hx_fdr import bh
from hx_linear import ResidualSpace, Standardised
from hx_pvalue import PTable, detectable_r

MOST = 20  # PCs a side
PAIRS = [
    *("setting", "control", "image_pc", "expression_pc", "n", "dof", "r", "p", "q"),
    *("image_share", "expression_share", "detectable_r"),
]


def leading(
    columns: Standardised, space: ResidualSpace, generator: np.random.Generator, count: int | None = None
) -> Leading:
    """PCs of columns that had variance 1 before covariates were taken out: what is left of each is its weight.

    A PC points the way of the column that it weighs most.

    Args:
        columns: of `standardise` in `space`.
        count: PCs wanted; by default those above noise (hx_parallel), at least 1 and at most MOST.
    """
    values = columns.unit * columns.left
    pcs = leading_pcs(values, values @ values.T, generator, space, MOST, count)
    loadings = values.T @ pcs.scores
    heaviest = np.argmax(np.round(np.abs(loadings), 9), axis=0)
    signs = np.sign(loadings[heaviest, np.arange(len(heaviest))])
    return Leading(pcs.scores * signs, pcs.share)


def pc_pairs(image: Leading, expression: Leading, space: ResidualSpace, alpha: float) -> pd.DataFrame:
    """A row an image PC and expression PC: partial correlation, its p (n - 2 - rank of the covariates) and q."""
    r = np.clip(image.scores.T @ expression.scores, -1, 1)
    row, column = (index.ravel() for index in np.indices(r.shape))
    dof = space.dim - 1
    p = PTable(dof).p(r.ravel())
    return pd.DataFrame(
        {
            "image_pc": row + 1,
            "expression_pc": column + 1,
            "n": len(space.rotation),
            "dof": dof,
            "r": r.ravel(),
            "p": p,
            "q": bh(p),
            "image_share": image.share[row],
            "expression_share": expression.share[column],
            "detectable_r": detectable_r(alpha / r.size, dof),
        }
    )


class PcPairs:
    """The rows of PAIRS of a tissue and size; `prefix` and `seed` name the random numbers of their noise."""

    def __init__(self, prefix: str, seed: int, alpha: float):
        self.prefix, self.seed, self.alpha = prefix, seed, alpha
        self.found: list[pd.DataFrame] = []
        self._expression: dict[int, Leading] = {}

    def add(self, setting: str, control: str, side: Side, image: Standardised, count: int | None = None) -> int:
        """The pairs of a setting or of a control of it, with as many image PCs as asked for; the number of these.

        The expression's PCs are made once a side: all settings meet the same.
        """
        if id(side) not in self._expression:
            self._expression[id(side)] = leading(side.genes.normal, side.space, self._noise(self.prefix))
        pcs = leading(image, side.space, self._noise(setting), count)
        table = pc_pairs(pcs, self._expression[id(side)], side.space, self.alpha)
        self.found.append(table.assign(setting=setting, control=control)[PAIRS])
        return len(pcs.share)

    def table(self) -> pd.DataFrame:
        """All of them."""
        return pd.concat(self.found) if self.found else pd.DataFrame(columns=PAIRS)

    def _noise(self, name: str) -> np.random.Generator:
        return named_generator(self.seed, f"{name}.noise")
