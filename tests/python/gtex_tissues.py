"""Six real GTEx tissues for tests: nuclear features of slides, counts of 59 genes, age, sex and Hardy scale."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd


class Tissue(NamedTuple):
    """A row a donor in each table: features, log2 of counts per 1e5, AGE (bracket), SEX and DTHHRDY as text."""

    name: str
    features: pd.DataFrame
    log2: pd.DataFrame
    people: pd.DataFrame


def gtex_tissues(folder: Path) -> Iterator[Tissue]:
    """Donors with a slide, counts and all three covariates; of several slides the first. folder: gtex of the data."""
    counts = pd.read_csv(next(folder.glob("*acmg_59.gct.gz")), sep="\t", skiprows=2, index_col=0)
    counts = counts.drop(columns="Description")
    pieces = {"-".join(sample.split("-")[:3]): sample for sample in counts.columns}
    people = pd.read_csv(next(folder.glob("*SubjectPhenotypesDS.txt")), sep="\t", index_col=0, dtype=str).dropna()
    for path in sorted((folder / "nuclear_features").glob("*.tsv")):
        table = pd.read_csv(path, sep="\t").set_index("Image").drop(columns="tissue").dropna()
        table = table[[piece in pieces for piece in table.index]]
        donors = table.index.str.split("-").str[:2].str.join("-")
        keep = ~donors.duplicated() & donors.isin(people.index)
        table, donors = table[keep], pd.Index(donors[keep], name="donor")
        reads = counts[[pieces[piece] for piece in table.index]].T.to_numpy(float)
        log2 = np.log2(reads / reads.sum(axis=1, keepdims=True) * 1e5 + 1)
        yield Tissue(path.stem, table.set_index(donors), pd.DataFrame(log2, donors, counts.index), people.loc[donors])
