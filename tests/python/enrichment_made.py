"""Drawn cohorts for the tests of gene sets: which genes go with which feature is set, not found."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from hx_expression import rank_inverse_normal

LAMELLAR = ["SFTPA1", "SFTPD", "SFTPB", "SFTPA2", "LAMP3", "CTSH", "NAPSA"]
BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "gene_sets" / "GO_2022-07_size15-500.gmt.gz"


def tables(
    symbols: list[str],
    planted: dict[str, list[str]],
    donors: int = 80,
    features: int = 10,
    r: float = 0.7,
    seed: int = 0,
) -> tuple[anndata.AnnData, anndata.AnnData]:
    """Features raw_0000 ... and log2 expression; genes of planted[feature] have correlation r with it."""
    rng = np.random.default_rng(seed)
    names = [f"D{k:03d}" for k in range(donors)]
    index = [f"raw_{k:04d}" for k in range(features)]
    var = pd.DataFrame({"encoder": "raw", "weights_sha256": "ab", "dead": False}, index=index)
    values = rng.normal(size=(donors, features))
    image = anndata.AnnData(values.astype(np.float32), obs=pd.DataFrame(index=names), var=var)
    image.uns["encoders"] = {"raw": {"weights": "file"}}
    image.layers["median"] = (values + rng.normal(0, 0.3, values.shape)).astype(np.float32)
    log2 = rng.normal(size=(donors, len(symbols)))
    for feature, genes in planted.items():
        where = [symbols.index(gene) for gene in genes]
        x = values[:, index.index(feature)]
        log2[:, where] = r * x[:, None] + np.sqrt(1 - r**2) * log2[:, where]
    ids = [f"ENSG{k:011d}.{k % 9 + 1}" for k in range(len(symbols))]
    expression = anndata.AnnData(
        log2 + 5, obs=pd.DataFrame(index=names), var=pd.DataFrame({"symbol": symbols}, index=ids)
    )
    expression.layers["int"] = rank_inverse_normal(log2.T).T
    return image, expression


def write_gmt(path: Path, sets: dict[str, list[str]], end: str = "\n") -> Path:
    path.write_bytes("".join(f"{name}\tabout {name}\t" + "\t".join(g) + end for name, g in sets.items()).encode())
    return path
