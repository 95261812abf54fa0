#!/usr/bin/env python3
"""What the report says of the genotypes: how many were read, what was left out and why, what is left."""

from collections.abc import Mapping

import pandas as pd

from hx_disclosure import INTERNAL, SHAREABLE, few
from hx_gather import Kind
from hx_mqc import COUNT, table
from hx_sections import named

TABLES = {"genotype_counts": Kind(["item", "unit", "count", "meaning"])}  # of prepare_genotypes.py, of the whole cohort


def genotype_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """The table of counts; [] of a run without genotypes. tables: the kinds of TABLES, gathered."""
    rows = tables.get("genotype_counts", pd.DataFrame())
    if not len(rows):
        return []
    donors = rows["unit"] == "donors"
    rows = rows.assign(shared=[few(n) if of else n for n, of in zip(rows["count"], donors, strict=True)])
    return [
        table(
            "genotype_counts",
            "Genotypes",
            "Donors, variants and genotypes that were read, left out and kept. A missing genotype stays missing: it is "
            "never read as two copies of the reference.",
            "Most variants left out for one reason, or few donors matched, points at another cohort or build.",
            rows,
            {
                "unit": named("Of", "What is counted", {}),
                "count": named("Count", "How many", {**COUNT, "only": INTERNAL}),
                "shared": named("Count", "How many", {**COUNT, "only": SHAREABLE}),
                "meaning": named("Meaning", "What the item says", {}),
            },
            "genotypes/genotype_counts.tsv",
            "Item",
            list(rows["item"]),
        )
    ]
