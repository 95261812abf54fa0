#!/usr/bin/env python3
"""Recorded sex against the expression of XIST and of Y-linked genes: samples that were swapped or mislabelled.

XIST is transcribed from the inactive X chromosome only (Brown et al. 1991), the Y genes from a Y chromosome only; both
sides agree in a library of the sex that was recorded.
"""

import numpy as np
import pandas as pd

from hx_factor_cells import cell_texts

# Symbol and Ensembl id. The Y genes lie outside the pseudoautosomal regions and are expressed in most tissues.
XIST = ("XIST", "ENSG00000229807")
Y_GENES = {
    "RPS4Y1": "ENSG00000129824",
    "DDX3Y": "ENSG00000067048",
    "UTY": "ENSG00000183878",
    "KDM5D": "ENSG00000012817",
    "EIF1AY": "ENSG00000198692",
    "USP9Y": "ENSG00000114374",
    "ZFY": "ENSG00000067646",
}
MARGIN = 1.0  # log2 units between XIST and the mean of the Y genes that tell a sex: twofold
CODES = {"1": "male", "2": "female", "m": "male", "f": "female", "man": "male", "woman": "female"}
STATUSES = ("match", "mismatch", "ambiguous", "not recorded", "not possible")
COLUMNS = ["donor", "recorded", "inferred", "xist", "y", "status"]
REPORT = ["tissue_id", "status", "donors", "donor", "recorded", "inferred", "xist", "y"]


def recorded_sex(rows: pd.DataFrame) -> pd.Series:
    """Recorded sex by donor: male, female, or "" where it is not known or coded otherwise.

    Args:
        rows: rows of cohort.tsv of one tissue: donor, and sex, SEX or GENDER (in words, or 1 male and 2 female).
    """
    donors = pd.Index(rows["donor"], name="donor")
    column = next((c for c in rows.columns if c.lower() == "sex"), None)
    column = column or next((c for c in rows.columns if c.lower() == "gender"), None)
    if column is None:
        return pd.Series("", index=donors, dtype=object)
    texts = [text.lower() for text in cell_texts(rows[column])]
    known = [CODES.get(text, text) for text in texts]
    return pd.Series([text if text in ("male", "female") else "" for text in known], index=donors, dtype=object)


def sex_check(values: np.ndarray, genes: pd.DataFrame, recorded: pd.Series) -> pd.DataFrame:
    """Infer each donor's sex and compare it with the recorded one.

    Female where XIST exceeds the mean of the Y genes that the file has by MARGIN, male where it falls short by it,
    ambiguous between: neither side expressed, both, or a mixture of two libraries.

    Args:
        values: (genes, donors) on the log2 scale, before genes are filtered.
        genes: columns gene (Ensembl id with or without version, or symbol) and symbol ("" where unknown), as `values`.
        recorded: recorded_sex(), donors as the columns of `values`.

    Returns:
        COLUMNS, a row a donor. Without XIST or any Y gene (a panel) every status is "not possible", xist and y are NaN.
    """
    ids = genes["gene"].str.split(".").str[0].to_numpy()
    symbols = genes["symbol"].to_numpy()

    def rows_of(symbol: str, ensembl: str) -> list[int]:
        return np.flatnonzero((ids == ensembl) | (ids == symbol) | (symbols == symbol))[:1].tolist()

    x_row = rows_of(*XIST)
    y_rows = [row for symbol, ensembl in Y_GENES.items() for row in rows_of(symbol, ensembl)]
    donors = len(recorded)
    xist = y = np.full(donors, np.nan)
    if x_row and y_rows:
        xist, y = values[x_row[0]], values[y_rows].mean(axis=0)
    difference = xist - y
    inferred = np.select([difference >= MARGIN, difference <= -MARGIN], ["female", "male"], "").astype(object)
    told = recorded.to_numpy(object)
    status = np.select(
        [np.isnan(difference), inferred == "", told == "", inferred == told],
        ["not possible", "ambiguous", "not recorded", "match"],
        "mismatch",
    )
    columns = [recorded.index.to_numpy(object), told, inferred, xist, y, status.astype(object)]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def sex_table(checked: pd.DataFrame, tissue: str) -> pd.DataFrame:
    """<tissue_id>.sex_check.tsv: a row for each status with its number of donors, but a row a donor to look at.

    Donors to look at are those of status mismatch and ambiguous; `donors` sums to the number of donors.
    """
    singled = checked[checked["status"].isin(["mismatch", "ambiguous"])].assign(donors=1)
    counts = checked["status"].value_counts()
    others = [name for name in STATUSES if name in counts and name not in ("mismatch", "ambiguous")]
    summed = pd.DataFrame({"status": others, "donors": [int(counts[name]) for name in others]}, dtype=object)
    singled = singled.sort_values(["status", "donor"], ascending=[False, True])
    return pd.concat([singled, summed]).assign(tissue_id=tissue)[REPORT].reset_index(drop=True)
