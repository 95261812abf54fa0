#!/usr/bin/env python3
"""Which features of a tissue are described: those of the strongest genes of the primary setting, and those named."""

import difflib
import re
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hx_cli import Faults
from hx_companions import TEXTURE
from hx_io import read_parquet

COLUMNS = ["feature", "encoder", "setting", "chosen_for"]
NEAREST = 3  # names that a message offers


def primary_of(features: AnnData, prefix: str, primary: str) -> tuple[str, str]:
    """(encoder, aggregation) of the setting that is described: the declared one, or what stands in for it.

    The first encoder by name that is no companion where the declared one is not in the file.
    """
    _, encoder, aggregation = primary.split(",")
    if prefix.endswith(".-"):
        aggregation = "given"
    names = sorted(set(features.var["encoder"]), key=lambda name: (name == TEXTURE, name))
    return (encoder if encoder in names else names[0]), aggregation


def strongest(associations: Path | None, setting: str, count: int) -> dict[str, str]:
    """{feature: symbol of its strongest gene}: the best features of the strongest genes, `count` different ones.

    Raises:
        DataError: the table cannot be read or lacks a column.
    """
    if associations is None:
        return {}
    genes = read_parquet(associations, columns=["setting", "gene", "symbol", "best_feature", "nlog10p"])
    genes = genes[genes["setting"] == setting].astype({"best_feature": str, "symbol": str, "gene": str})
    genes = genes.sort_values(["nlog10p", "gene"], ascending=[False, True]).drop_duplicates("best_feature")
    return dict(genes.head(count)[["best_feature", "symbol"]].itertuples(index=False, name=None))


def most_reliable(var: pd.DataFrame, encoder: str, count: int) -> list[str]:
    """Features whose halves agree most, no dead or redundant one: where no associations were made."""
    rows = var[(var["encoder"] == encoder) & ~var["dead"].astype(bool) & ~var["redundant"].astype(bool)]
    rows = rows.assign(_name=rows.index).sort_values(["reliability", "_name"], ascending=[False, True])
    return rows.index[:count].astype(str).tolist()


def chosen_features(
    features: AnnData, prefix: str, primary: str, associations: Path | None, named: list[str], count: int, where: str
) -> pd.DataFrame:
    """A row a feature (COLUMNS), the primary setting's first, then those named.

    Raises:
        DataError: see strongest; named features that are not in the file, with the nearest names.
    """
    encoder, aggregation = primary_of(features, prefix, primary)
    found = strongest(associations, f"{prefix}.{encoder}.{aggregation}", count)
    reasons = {feature: f"best feature of {symbol}" for feature, symbol in found.items()}
    if associations is None and not named:
        reasons = dict.fromkeys(most_reliable(features.var, encoder, count), "among the most reliable")
    faults = Faults()
    for name in named:
        if name not in features.var_names:
            told = ", ".join(nearest(name, features.var_names.to_numpy(str))) or "none"
            faults.add(f"--describe_features {name}: no such feature in {where}; nearest names: {told}")
        reasons.setdefault(name, "named")
    faults.stop()
    rows = []
    for name, why in reasons.items():
        if name in features.var_names:
            of = str(features.var.loc[name, "encoder"])
            rows.append((name, of, f"{prefix}.{of}.{aggregation}", why))
    return pd.DataFrame(rows, columns=COLUMNS)


def nearest(name: str, names: np.ndarray) -> list[str]:
    """Names nearest to one that does not exist: by letters, and of the same stem by number."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", name).groups()
    same = [other for other in names if other.startswith(stem) and other[len(stem) :].isdigit()] if stem else []
    if number and same:
        return sorted(same, key=lambda other: (abs(int(other[len(stem) :]) - int(number)), other))[:NEAREST]
    return difflib.get_close_matches(name, names.tolist(), NEAREST, 0.5)
