#!/usr/bin/env python3
"""Technical factors of the image side, a row a donor, from what was measured on the donor's slides."""

import pandas as pd

MEASURED = (
    *("tissue_mm2", "focus", "haematoxylin", "eosin", "red", "green", "blue", "mpp"),
    *("pen_fraction", "blur_fraction", "fold_fraction"),
)
TOLD = ("scanner", "scan_date")


def slide_factors(status: pd.DataFrame, samples: pd.Series) -> pd.DataFrame:
    """Columns slide_<factor> for each donor; donors as in `samples`.

    Args:
        status: rows of slide_status.tsv, all text; columns that it lacks are left out.
        samples: `;`-joined samples by donor.

    Returns:
        Numbers are means over the donor's usable slides, NaN where none tells; texts are the different ones in order,
        `;`-joined, "" where none tells.
    """
    usable = status[status["status"].isin(["ok", "partial"])].set_index("sample")
    one = samples.str.split(";").explode()
    rows = usable.reindex(one).set_axis(one.index)
    out = pd.DataFrame(index=samples.index)
    for name in MEASURED:
        if name in rows:
            numbers = pd.to_numeric(rows[name], errors="coerce")
            out[f"slide_{name}"] = numbers.groupby(level=0).mean().reindex(out.index)
    for name in TOLD:
        if name in rows:
            texts = rows[name].fillna("").groupby(level=0)
            out[f"slide_{name}"] = texts.agg(lambda part: ";".join(sorted(set(part) - {""}))).reindex(out.index)
    return out
