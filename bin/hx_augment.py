#!/usr/bin/env python3
"""Random changes of training patches: flips, quarter turns and stain, drawn per patch and epoch outside the network.

What is drawn depends on the seed, the stage, the epoch and the patch's row alone: a resumed training, and one with
smaller micro-batches, changes each patch in the same way.
"""

import numpy as np
import tensorflow as tf

KINDS = ("flips", "rotations", "stain")
# Haematoxylin, eosin and a residual, optical density in R, G, B (Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23).
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
JITTER = 0.05  # "HED-light" of Tellez et al. 2019, Med Image Anal 58:101544
WIDTH = 9


def draw_changes(key: list[int], n: int, kinds: tuple[str, ...]) -> np.ndarray:
    """Changes of n patches, float32 (n, 9): left-right and up-down flip (0 or 1), quarter turns (0 to 3), a factor and
    a summand for the amount of each of the three STAINS. `key` seeds them; kinds that are not asked for stay neutral.
    """
    rng = np.random.Generator(np.random.PCG64(key))
    changes = np.tile(np.array([0, 0, 0, 1, 1, 1, 0, 0, 0], np.float32), (n, 1))
    flips, turns = rng.integers(0, 2, (n, 2)), rng.integers(0, 4, n)
    amounts = rng.uniform(-JITTER, JITTER, (n, 6))
    if "flips" in kinds:
        changes[:, :2] = flips
    if "rotations" in kinds:
        changes[:, 2] = turns
    if "stain" in kinds:
        changes[:, 3:] += amounts
    return changes


def changed(patches: tf.Tensor, changes: tf.Tensor) -> tf.Tensor:
    """Patches uint8 (n, px, px, 3) after the `changes` (n, 9) of draw_changes, in its order: uint8 of the same shape.

    Stain: optical density d = -ln((i + 1) / 256) = c STAINS; c' = factor * c + summand, one pair a patch and stain.
    """

    def where(condition: tf.Tensor, then: tf.Tensor, otherwise: tf.Tensor) -> tf.Tensor:
        return tf.where(condition[:, None, None, None], then, otherwise)

    patches = where(changes[:, 0] > 0, tf.reverse(patches, [2]), patches)
    patches = where(changes[:, 1] > 0, tf.reverse(patches, [1]), patches)
    patches = where(changes[:, 2] >= 2, tf.reverse(patches, [1, 2]), patches)
    turned = tf.reverse(tf.transpose(patches, [0, 2, 1, 3]), [1])
    patches = where(changes[:, 2] % 2 > 0, turned, patches)
    stains, inverse = (tf.constant(matrix, tf.float32) for matrix in (STAINS, np.linalg.inv(STAINS)))
    amounts = tf.tensordot(-tf.math.log((tf.cast(patches, tf.float32) + 1) / 256), inverse, 1)
    amounts = changes[:, None, None, 3:6] * amounts + changes[:, None, None, 6:]
    density = tf.tensordot(amounts, stains, 1)
    return tf.cast(tf.clip_by_value(tf.round(256 * tf.exp(-density) - 1), 0, 255), tf.uint8)
