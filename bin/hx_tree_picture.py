#!/usr/bin/env python3
"""Correlation matrix of features with its dendrogram, as in the study's first-year report."""

import cv2
import numpy as np
import pandas as pd

from hx_picture import BLACK, GREY, MARGIN, SMALL_PX, headed, number, width_of, write

CELL, TREE_PX = 15, 170
# Ends of the colours: -1 blue, 0 white, 1 red-brown (Brewer's PuOr ends, told apart by colour-blind readers).
LOW, HIGH = np.array([45, 0, 110.0]), np.array([160, 70, 0.0])


def signed_colours(r: np.ndarray) -> np.ndarray:
    """RGB uint8 of correlations: white at 0."""
    share = np.abs(r)[..., None]
    end = np.where(r[..., None] < 0, LOW, HIGH)
    return np.round(255 + share * (end - 255)).astype(np.uint8)


def branches(tree: np.ndarray) -> list[tuple[float, float, float, float, float]]:
    """(place of the left part, of the right part, their heights, height of the joint) of every joint of a linkage.

    Leaves are at the places 0, 1, … of their names, a joint halfway between its parts.
    """
    count = len(tree) + 1
    place, height = list(map(float, range(count))), [0.0] * count
    out = []
    for left, right, joint in tree[:, :3].tolist():
        a, b = int(left), int(right)
        out.append((place[a], place[b], height[a], height[b], joint))
        place.append((place[a] + place[b]) / 2)
        height.append(joint)
    return out


def tree_picture(tree: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """Tables feature_tree and feature_correlations as a picture."""
    names = list(dict.fromkeys(pairs["feature"]))
    r = pairs["r"].to_numpy(float).reshape(len(names), len(names))
    side = CELL * len(names)
    label = max(width_of(name, SMALL_PX) for name in names) + 10
    out = np.full((side, TREE_PX + side + label + 120, 3), 255, np.uint8)
    out[:, TREE_PX : TREE_PX + side] = np.kron(signed_colours(r), np.ones((CELL, CELL, 1), np.uint8))
    linkage = tree[["left", "right", "height"]].to_numpy(float)
    top = max(float(linkage[:, 2].max()), 1e-9)

    def at(height: float, place: float) -> tuple[int, int]:
        return round(TREE_PX - 8 - height / top * (TREE_PX - 20)), round((place + 0.5) * CELL)

    for first, second, low, other, joint in branches(linkage):
        cv2.line(out, at(low, first), at(joint, first), GREY, 1)
        cv2.line(out, at(other, second), at(joint, second), GREY, 1)
        cv2.line(out, at(joint, first), at(joint, second), GREY, 1)
    texts = [(TREE_PX + side + 6, i * CELL - 2, CELL - 2, BLACK, name) for i, name in enumerate(names)]
    left, tall = TREE_PX + side + label + 20, min(side, 200)
    ramp = signed_colours(np.linspace(1, -1, tall))
    out[:tall, left : left + 20] = ramp[:, None]
    texts += [(left + 26, round((1 - v) / 2 * (tall - SMALL_PX)), SMALL_PX, BLACK, number(v)) for v in (1, 0, -1)]
    write(out, texts)
    told = f"Correlation over donors of {len(names)} features, one of each cluster; tree: average linkage of 1 - |r|"
    return headed(out[: max(side, tall + MARGIN)], "Features against each other", told)
