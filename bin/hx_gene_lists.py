#!/usr/bin/env python3
"""Names of genes: ids without their version, and lists of genes in text files."""

import numpy as np
import pandas as pd

from hx_cli import DataError, preview
from hx_io import read_names

# The version of an Ensembl id. That of a gene in the pseudo-autosomal region of Y stands before its suffix.
VERSION = r"\.\d+(?=$|_PAR_Y$)"


def without_version(genes: pd.Series) -> pd.Series:
    """Ensembl ids without their version; other ids as they are. A gene's copy on Y stays another gene than that on X.

    >>> without_version(pd.Series(["ENSG00000182378.14", "ENSG00000182378.14_PAR_Y", "TP53"])).tolist()
    ['ENSG00000182378', 'ENSG00000182378_PAR_Y', 'TP53']
    """
    ensembl = genes.str.match(r"ENS[A-Z]*\d")
    return genes.where(~ensembl, genes.str.replace(VERSION, "", regex=True))


def listed_genes(genes: pd.DataFrame, path: str) -> tuple[np.ndarray, list[str]]:
    """Which genes a list names, by id, id without version, or symbol; and the names that fit none.

    A symbol means every gene that bears it; an id without version means the gene, not its copy on Y (_PAR_Y).

    Args:
        genes: columns gene and symbol.
        path: text file, a name a line, comments after #.

    Raises:
        DataError: no name fits.
    """
    names = sorted(read_names(path))
    bare = without_version(genes["gene"])
    wanted = {*names, *without_version(pd.Series(names, dtype=str))}
    mask = (genes["gene"].isin(names) | bare.isin(wanted) | genes["symbol"].isin(names)).to_numpy()
    if not mask.any():
        raise DataError(
            f"{path}: none of {len(names)} genes is in the expression file: listed are {preview(names, 3)}, "
            f"the file has {preview(genes['gene'], 3)} ({preview(genes['symbol'], 3)})"
        )
    known = {*genes["symbol"], *bare}
    return mask, [
        name for name, plain in zip(names, without_version(pd.Series(names)), strict=True) if not {name, plain} & known
    ]
