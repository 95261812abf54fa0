"""Drawn slides with a planted region and planted hues, features of their patches, and the files of a small cohort."""

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from hx_draw import SlideSpec, draw_slide
from hx_features import (
    Origin,
    PatchFeatures,
    find_extremes,
    first_half,
    summarise,
    write_patch_features,
    write_summary,
)
from hx_pyramid import write_pyramid

PX, SIDE, MPP = 1024, 64, 0.5
ORIGIN = Origin("raw", weights="random", weights_sha256="ab" * 32)
REGION = (slice(320, 640), slice(256, 704))  # rows and columns of the slide that are drawn in another hue


def drawn(hue: float, seed: int, px: int = PX) -> np.ndarray:
    """An H&E-like slide: uint8 (px, px, 3)."""
    return draw_slide(SlideSpec(px=px, hue=hue, lesion=0.1), np.random.default_rng(seed)).image


def with_region(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A slide of hue -1 whose tissue in REGION has hue 2.5; and the tissue, bool (px, px)."""
    spec = SlideSpec(px=PX, hue=-1.0, lesion=0.1)
    picture = draw_slide(spec, np.random.default_rng(seed)).image
    picture[REGION] = draw_slide(replace(spec, hue=2.5), np.random.default_rng(seed)).image[REGION]
    return picture, picture.min(axis=2) < 225


def grid(tissue: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Corners (n, 2) of the patches that are tissue by half or more."""
    share = tissue.reshape(len(tissue) // side, side, -1, side).mean(axis=(1, 3))
    rows, columns = np.nonzero(share >= 0.5)
    return np.column_stack([columns, rows]).astype(np.int64) * side


def patch_values(picture: np.ndarray, coords: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Features (n, 4), float32: hue (blue less red where there is stain), darkness, its spread, and a constant."""
    out = np.empty((len(coords), 4), np.float32)
    for i, (x, y) in enumerate(coords.tolist()):
        patch = picture[y : y + side, x : x + side].astype(float)
        density = -np.log(np.clip(patch, 1, 255) / 244)
        stained = density.sum(axis=2) > 0.3
        hue = (density[..., 0] - density[..., 2])[stained].mean() if stained.any() else 0.0
        out[i] = hue, density.mean(), density.std(), 1.0
    return out


def patches_of(sample: str, picture: np.ndarray, size: int = SIDE) -> PatchFeatures:
    """Features of the tissue patches of a slide."""
    coords = grid(picture.min(axis=2) < 225, size)
    return PatchFeatures(sample, str(size), size, patch_values(picture, coords, size), coords, ORIGIN)


def make_cohort(folder: Path, hues: list[float], px: int = 512) -> pd.DataFrame:
    """slides.tsv, slides/, summaries/, patch_features/, Lung.64.h5ad, genes.parquet; a donor a slide, hue by hue.

    Sizes 64 and 128. Features raw_0000 … raw_0003. Returns the rows of slides.tsv.
    """
    rows, means = [], []
    for k, hue in enumerate(hues):
        sample = f"S{k:02d}"
        picture = drawn(hue, k, px)
        (folder / "slides").mkdir(exist_ok=True, parents=True)
        write_pyramid(picture, folder / "slides" / f"{sample}.tif", MPP)
        summaries = {}
        for size in (64, 128):
            of = patches_of(sample, picture, size)
            extremes = find_extremes(of.features, of.coords)
            summaries[str(size), "raw"] = summarise(of.features, first_half(sample, of.coords), ORIGIN, "", extremes)
            write_patch_features(folder / "patch_features" / f"{size}px" / "features_raw" / f"{sample}.h5", of)
        write_summary(folder / "summaries" / f"{sample}.summary.h5", sample, summaries)
        means.append(summaries["64", "raw"].statistics["mean"])
        rows.append((sample, f"D{k:02d}", "Lung", "Lung", f"slides/{sample}.tif", ""))
    slides = pd.DataFrame(rows, columns=["sample", "donor", "tissue", "tissue_id", "slide", "mpp"])
    slides.to_csv(folder / "slides.tsv", sep="\t", index=False)
    write_h5ad(folder / "Lung.64.h5ad", np.array(means), hues, slides)
    genes = pd.DataFrame(
        {"setting": "Lung.64.raw.mean", "gene": ["G1", "G2", "G3"], "symbol": ["ISCH1", "CELL1", "CELL2"]}
    )
    genes = genes.assign(best_feature=["raw_0000", "raw_0001", "raw_0001"], nlog10p=[9.0, 7.0, 8.0])
    genes.to_parquet(folder / "genes.parquet")
    return slides


def write_h5ad(path: Path, values: np.ndarray, hues: list[float], slides: pd.DataFrame) -> None:
    """Features by donor with ischaemic times that follow the hues, as aggregate_features.py writes them."""
    n, width = values.shape
    obs = pd.DataFrame(
        {
            "samples": slides["sample"].to_numpy(),
            "n_slides": 1,
            "fold": np.arange(n) % 5,
            "SMTSISCH": np.round(600 * np.exp(0.5 * np.array(hues))),
            "AGE": 40.0 + (7 * np.arange(n)) % 31,
        },
        index=pd.Index(slides["donor"], name="donor"),
    )
    var = pd.DataFrame(
        {"encoder": "raw", "weights_sha256": "ab" * 32, "index": np.arange(width), "label": ""},
        index=pd.Index([f"raw_{k:04d}" for k in range(width)], name="feature"),
    )
    var = var.assign(dead=[False] * (width - 1) + [True], redundant=False, reliability=0.9)
    table = anndata.AnnData(values.astype(np.float32), obs=obs, var=var)
    table.layers["median"] = table.X.copy()
    table.uns["encoders"] = {"raw": {"weights": "random"}}
    table.write_h5ad(path)
