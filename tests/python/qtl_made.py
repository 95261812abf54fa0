"""Drawn genotypes, features and designs for the tests of MAP_QTL."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from hx_genotypes import VARIANT_COLUMNS, write_genotypes

GENE_STEP = 3_000_000


def names(count: int) -> list[str]:
    return [f"D{k:04d}" for k in range(count)]


def drawn_dosage(rng: np.random.Generator, variants: int, donors: int, low=0.06, high=0.5) -> np.ndarray:
    """(variants, donors) uint8 copies of the alternative allele, independent variants in Hardy-Weinberg proportions."""
    frequency = rng.uniform(low, high, (variants, 1)).astype(np.float32)
    return sum((rng.random((variants, donors), dtype=np.float32) < frequency).astype(np.uint8) for _ in range(2))


def variant_table(dosage: np.ndarray, step: int = GENE_STEP, chromosomes: int = 1) -> pd.DataFrame:
    """Variants `step` bases apart, spread over chromosomes 1, 2, …; dosage: (variants, donors) copies, 255 missing."""
    count = len(dosage)
    known = dosage != 255
    called = np.maximum(known.sum(axis=1), 1)
    copies = np.where(known, dosage, 0).sum(axis=1)
    chrom = np.repeat(np.arange(1, chromosomes + 1), -(-count // chromosomes))[:count]
    table = pd.DataFrame({"chrom": chrom.astype(str)})
    table["pos"] = step * (1 + table.groupby("chrom").cumcount())
    table["id"] = [f"rs{k}" for k in range(count)]
    table["ref"], table["alt"] = "A", "G"
    table["alt_frequency"] = copies / (2 * called)
    table["missing"], table["mac"] = dosage.shape[1] - called, np.minimum(copies, 2 * called - copies)
    return table.assign(hwe_p=0.5)[VARIANT_COLUMNS]


def write_dosage(
    path: Path, dosage: np.ndarray, donors: list[str], pcs: np.ndarray | None = None, build: str = "GRCh38", **more
) -> Path:
    """A genotypes file of (variants, donors) copies, 255 for missing."""
    units = np.where(dosage == 255, 255, np.minimum(dosage, 2) * 100).astype(np.uint8)
    pcs = np.empty((len(donors), 0)) if pcs is None else pcs
    write_genotypes(path, donors, variant_table(dosage, **more), lambda a, b: units[a:b], pcs, build, {})
    return path


def image_of(values: np.ndarray, donors: list[str], encoder: str = "raw") -> anndata.AnnData:
    var = pd.DataFrame({"encoder": encoder}, index=[f"{encoder}_{k:04d}" for k in range(values.shape[1])])
    out = anndata.AnnData(np.asarray(values), obs=pd.DataFrame(index=donors), var=var)
    out.uns["encoders"] = {encoder: {"weights": "imagenet"}}
    return out


def correlated(rng: np.random.Generator, donors: int, features: int, factors: int = 4) -> np.ndarray:
    """(donors, features) values of a few factors and noise."""
    weights = rng.normal(size=(factors, features))
    return rng.normal(size=(donors, factors)) @ weights + rng.normal(size=(donors, features))


def planted(variant: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(donors,) normal values of which a variant explains exactly `share` of the variance in this sample."""
    g = variant - variant.mean()
    noise = rng.normal(size=len(g))
    noise -= noise.mean()
    noise -= g * (g @ noise) / (g @ g)
    return np.sqrt(share) * g / np.linalg.norm(g) + np.sqrt(1 - share) * noise / np.linalg.norm(noise)
