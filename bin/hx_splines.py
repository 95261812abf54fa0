#!/usr/bin/env python3
"""Natural cubic splines of a covariate: a curve of few degrees of freedom, straight beyond its outer knots."""

import numpy as np

# Outer knots inside the data, so that a few extreme donors do not bend the curve: four knots, 3 degrees of freedom
# (Harrell 2015, Regression Modeling Strategies, table 2.3).
KNOTS = (0.05, 0.35, 0.65, 0.95)


def natural_spline(x: np.ndarray) -> np.ndarray:
    """(n, 1 to 3) basis, without intercept, of natural cubic splines of x (n,) with knots at its quantiles KNOTS.

    The first column is x in standard deviations, the others bend it: N_{k+2} of Hastie, Tibshirani & Friedman 2009, The
    Elements of Statistical Learning, eq. 5.4-5.5. Knots that coincide, of many equal values, count once; fewer than
    three different ones leave the line alone.

    Raises:
        ValueError: x is constant.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.max() == x.min():
        raise ValueError("a constant has no spline")
    x = (x - x.mean()) / x.std()
    knots = np.unique(np.quantile(x, KNOTS))
    if len(knots) < 3:
        return x[:, None]
    cubes = np.maximum(x[:, None] - knots, 0) ** 3
    slopes = (cubes[:, :-1] - cubes[:, -1:]) / (knots[-1] - knots[:-1])
    return np.column_stack([x, slopes[:, :-1] - slopes[:, -1:]])
