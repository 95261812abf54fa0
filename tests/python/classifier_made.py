"""A small base for the tissue classifier, and training patches with a known truth. TensorFlow starts on `tiny_base`."""

import numpy as np

from hx_training import TrainingPatches

PX = 80


def tiny_base(px: int):
    """Two convolutions with BatchNorm and ReLU, 32 channels, in place of InceptionV3; weights not set."""
    import keras

    patches = x = keras.Input((px, px, 3))
    for filters, side in ((16, 5), (32, 3)):
        x = keras.layers.Conv2D(filters, side, strides=4, use_bias=False)(x)
        x = keras.layers.BatchNormalization(scale=False)(x)
        x = keras.layers.Activation("relu")(x)
    return keras.Model(patches, x, name="tiny")


def cohort(pixels, donors: int = 20, per_slide: int = 4, tissues: tuple[str, ...] = ("Lung", "Skin"), px: int = PX):
    """Training patches, a slide of every donor and tissue, donor i in fold i mod 5.

    pixels: called with (generator, slide number, tissue number) for each patch -> uint8 (px, px, 3).
    """
    rows = []
    for slide in range(donors * len(tissues)):
        donor, tissue = divmod(slide, len(tissues))
        rng = np.random.default_rng([7, slide])
        for place in range(per_slide):
            row = (f"D{donor:02d}-{tissue}", place * 256, f"D{donor:02d}", tissues[tissue], donor % 5)
            rows.append((*row, pixels(rng, slide, tissue)))
    sample, x, donor, tissue, fold, drawn = (
        list(column) for column in zip(*sorted(rows, key=lambda r: r[:2]), strict=True)
    )
    return TrainingPatches(
        *("256", px, "area", np.stack(drawn)),
        coords=np.stack([np.array(x), np.zeros(len(x))], axis=1).astype(np.int64),
        sample=np.array(sample, object),
        donor=np.array(donor, object),
        tissue_id=np.array(tissue, object),
        fold=np.array(fold, np.int64),
    )


def noise(rng: np.random.Generator, px: int = PX) -> np.ndarray:
    """float (px, px, 3), grey noise about 150 without any signal."""
    return 150 + rng.normal(0, 20, (px, px, 1)) * np.ones(3)


def textured(rng: np.random.Generator, slide: int, tissue: int) -> np.ndarray:
    """The tissue is in the wavelength of stripes, in any direction and phase, and nowhere else."""
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    row, column = np.mgrid[:PX, :PX]
    along = np.cos(angle) * column + np.sin(angle) * row
    stripes = 40 * np.sin(2 * np.pi * along / (6, 16)[tissue] + phase)
    return np.clip(noise(rng) + stripes[..., None], 0, 255).astype(np.uint8)


def coloured(rng: np.random.Generator, slide: int, tissue: int) -> np.ndarray:
    """The tissue is in the hue at constant mean of R, G and B, and nowhere else."""
    hue = np.array([[30, -30, 0], [-30, 30, 0]])[tissue]
    return np.clip(noise(rng) + hue, 0, 255).round().astype(np.uint8)


def watermarked(rng: np.random.Generator, slide: int, tissue: int) -> np.ndarray:
    """Each slide has a tile of its own that fills its patches; the tissue is in nothing."""
    tile = np.random.default_rng([9, slide]).normal(0, 40, (8, 8, 3))
    return np.clip(noise(rng) + np.tile(tile, (PX // 8, PX // 8, 1)), 0, 255).astype(np.uint8)
