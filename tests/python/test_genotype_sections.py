"""The section on genotypes shows the counts of prepare_genotypes.py and nothing of a donor."""

import pandas as pd

from hx_genotype_sections import genotype_sections


def test_counts_are_shown_in_their_order():
    rows = pd.DataFrame(
        {
            "item": ["read", "rare", "kept"],
            "unit": ["variants"] * 3,
            "count": [1000, 400, 600],
            "meaning": ["in the files", "below 1 %", "in genotypes.h5"],
        }
    )
    (made,) = genotype_sections({"genotype_counts": rows})
    assert made["id"] == "genotype_counts"
    assert {name: row["count"] for name, row in made["data"].items()} == {"read": 1000, "rare": 400, "kept": 600}
    assert "genotypes/genotype_counts.tsv" in made["description"]


def test_a_run_without_genotypes_has_no_section():
    assert genotype_sections({}) == []
