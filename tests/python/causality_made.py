"""A cohort with planted instruments for the tests of causality: tables and genotypes, no slide."""

from collections.abc import Iterable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from hx_expression import rank_inverse_normal
from hx_genotypes import write_genotypes

PREFIX = "Lung.128"
FOUND = ["gene_to_feature", "feature_to_gene", "shared_cause"]
PRIMARY = "128,raw,mean"
REGION = 30  # variants near each gene, the first ones its instruments


def standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=-1, keepdims=True)) / values.std(axis=-1, keepdims=True)


def dosages(rng: np.random.Generator, variants: int, donors: int) -> np.ndarray:
    return rng.binomial(2, rng.uniform(0.15, 0.5, variants)[:, None], (variants, donors))


def traits_of_kind(
    rng: np.random.Generator, kind: str, own_x: np.ndarray, own_y: np.ndarray, r2: float, b: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Gene and feature of variance about 1: each row of own_x (own_y) is an instrument of share r2 of it.

    gene_to_feature and feature_to_gene: effect b, and a common cause of .21 of the covariance beside. shared_cause: a
    common cause of .45 of both. null: a common cause of .5 of both and no instrument.
    """
    n = own_x.shape[1]
    cause, noise_x, noise_y = rng.normal(size=(3, n))
    zx, zy = np.sqrt(r2) * own_x.sum(axis=0), np.sqrt(r2) * own_y.sum(axis=0)
    own = r2 * len(own_x)
    if kind == "shared_cause":
        rest = np.sqrt(1 - own - 0.45)
        return zx + np.sqrt(0.45) * cause + rest * noise_x, zy + np.sqrt(0.45) * cause + rest * noise_y
    first = np.sqrt(0.3) * cause + np.sqrt(0.7 - own) * noise_x
    second = np.sqrt(0.15) * cause + np.sqrt(max(0.85 - own - b**2, 0.05)) * noise_y
    if kind == "gene_to_feature":
        x = zx + first
        return x, zy + b * x + second
    y = zy + first
    return zx + b * y + second, y


def made_cohort(folder: Path, donors: int = 1000, r2: float = 0.06, seed: int = 2, name: str = "D{:04d}") -> dict:
    """Files of a cohort. Genes G0 to G5, features raw_0000 to raw_0004, in pairs by number:

    0 gene_to_feature, 1 feature_to_gene, 2 shared_cause, by three instruments of share r2 each on both sides; 3 as 0,
    with one instrument of the gene; gene G4 has no variant that tells it, G5 no position. The design has two covariates
    that both sides hold.
    """
    folder.mkdir(exist_ok=True, parents=True)
    rng = np.random.default_rng(seed)
    names = [name.format(k) for k in range(donors)]
    dosage = dosages(rng, 12 * REGION, donors)
    z = standard(dosage.astype(float))
    covariates = rng.normal(size=(2, donors))
    genes, features = rng.normal(size=(6, donors)), rng.normal(size=(5, donors))
    for k, kind in enumerate([*FOUND, "gene_to_feature"]):
        count = 1 if k == 3 else 3
        # A gene's instruments lie in its own region, those of its feature in one far from any gene.
        own = z[2 * k * REGION :][:count], z[(2 * k + 1) * REGION :][:3]
        genes[k], features[k] = traits_of_kind(rng, kind, *own, r2)
    genes += 0.3 * covariates[0]
    features += 0.3 * covariates[1]
    region = np.repeat(np.arange(12), REGION)
    variants = pd.DataFrame(
        {
            "id": [f"rs{k}" for k in range(len(dosage))],
            "chrom": [str(k + 1) for k in region],
            "pos": 10_000_000 + 20_000 * (np.arange(len(dosage)) % REGION),
            "ref": "A",
            "alt": "G",
            "alt_frequency": dosage.mean(axis=1) / 2,
            "missing": 0,
            "mac": 100.0,
            "hwe_p": 0.5,
        }
    )
    pcs = np.zeros((donors, 0))
    units = (100 * dosage).astype(np.uint8)
    write_genotypes(folder / "genotypes.h5", names, variants, lambda a, b: units[a:b], pcs, "GRCh38", {})
    positions = pd.DataFrame({"gene": [f"G{k}" for k in range(5)], "chrom": [str(2 * k + 1) for k in range(5)]})
    positions = positions.assign(start=10_200_000, end=10_210_000, strand="+")
    positions.to_csv(folder / "positions.tsv", sep="\t", index=False)
    table = anndata.AnnData(genes.T.copy(), obs=pd.DataFrame(index=names))
    table.var_names, table.var["symbol"] = [f"G{k}" for k in range(6)], [f"SYM{k}" for k in range(6)]
    table.layers["int"] = rank_inverse_normal(genes).T
    table.write_h5ad(folder / "Lung.expression.h5ad")
    image = anndata.AnnData(features.T.copy(), obs=pd.DataFrame(index=names))
    image.var_names, image.var["encoder"] = [f"raw_{k:04d}" for k in range(5)], "raw"
    image.uns = {"encoders": {"raw": {"weights": "imagenet"}}, "tissue_id": "Lung", "size": "128"}
    image.write_h5ad(folder / f"{PREFIX}.h5ad")
    design = pd.DataFrame(covariates.T, columns=["AGE", "SEX"], index=pd.Index(names, name="donor"))
    design.to_csv(folder / "design.tsv", sep="\t")
    return {"donors": names, "z": z, "dosage": dosage, "genes": genes, "features": features, "variants": variants}


def pairs_file(folder: Path, rows: list[tuple[str, str]], name: str = "pairs.tsv") -> Path:
    path = folder / name
    path.write_text("exposure\toutcome\n" + "".join(f"{a}\t{b}\n" for a, b in rows))
    return path


def study(
    made: dict, trait: str, values: np.ndarray, places: Iterable[int], noise: int = 0, n: int = 5000
) -> pd.DataFrame:
    """Associations of variants with a trait in another study, drawn around those of a made cohort's donors."""
    rng = np.random.default_rng(noise)
    rows = []
    for k in places:
        beta = float(standard(made["dosage"][k].astype(float)) @ standard(values)) / len(values)
        rows.append([trait, *made["variants"].loc[k, ["id", "chrom", "pos"]], "G", "A", beta, 0.01, 0.3, n])
    columns = ["trait", "variant", "chrom", "pos", "effect_allele", "other_allele", "beta", "se", "eaf", "n"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(beta=table["beta"] + rng.normal(0, 0.005, len(table)))


def written(path: Path, table: pd.DataFrame, *header: str) -> Path:
    """A summary file with comment lines over its header."""
    path.write_text("".join(f"# {line}\n" for line in header) + table.to_csv(sep="\t", index=False))
    return path


def made_module_input(folder: Path) -> None:
    """Everything that the suite of the module takes."""
    made = made_cohort(folder, donors=300, r2=0.1)
    pairs_file(folder, [("G0", "raw_0000"), ("G4", "raw_0004")])
    table = study(made, "G0", made["genes"][0], range(3))
    written(folder / "study.tsv", table, "donor_overlap: none")
    written(folder / "undeclared.tsv", table)


def arguments(folder: Path, out: str = "out", **more: object) -> list[str]:
    """Command line of test_causality.py on a made cohort; more: option=value, None leaves one out."""
    given = {
        "features": folder / f"{PREFIX}.h5ad", "expression": folder / "Lung.expression.h5ad",
        "design": folder / "design.tsv", "setting_prefix": PREFIX, "primary": PRIMARY,
        "genotypes": folder / "genotypes.h5", "positions": folder / "positions.tsv", "outdir": folder / out,
    }  # fmt: skip
    line = []
    for key, value in (given | more).items():
        if value is not None:
            several = value if isinstance(value, list) else [value]
            line += [f"--{key.replace('_', '-')}", *map(str, several)]
    return line


def read_tables(folder: Path, out: str = "out") -> dict[str, pd.DataFrame]:
    """Tables of a run by kind."""
    paths = sorted((folder / out).glob(f"{PREFIX}.*.tsv"))
    return {path.name.split(".")[-2]: pd.read_csv(path, sep="\t", keep_default_na=True) for path in paths}
