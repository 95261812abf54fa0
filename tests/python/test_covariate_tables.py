"""What becomes of each covariate, and how covariates lie in each tissue: worked out by hand."""

import numpy as np
import pandas as pd

from hx_covariate_tables import BY_TISSUE, SUMMARY, covariate_summary, covariates_by_tissue
from hx_factors import factors


def cohort() -> pd.DataFrame:
    """Two tissues, as cohort.tsv: Lung with 40 donors, Liver with 20 of the same."""
    parts = []
    for tissue, n in (("Lung", 40), ("Liver", 20)):
        parts.append(
            pd.DataFrame({
                "donor": [f"D{i:02d}" for i in range(n)],
                "tissue": tissue,
                "tissue_id": tissue,
                "samples": "",
                "rna_sample": "",
                "fold": "0",
                "SMTSISCH": [str(10 * i) for i in range(1, n + 1)],
                "SMRIN": ["", *["7.5", "6.5"] * 20][:n],
                "SMCENTER": (["B1"] * 10 + ["C1"] * 5 + ["B1, C1"] * 5) * (n // 20),
                "SMNABTCHD": ["01/01/2012", "01/03/2012"] * (n // 2),
                "AGE": ["20-29", "60-69"] * (n // 2),
                "SMNABTCH": [f"BP-{i}" for i in range(n)],
                "DTHHRDY": (["0"] * 12 + ["2"] * 6 + ["3"] * 2) * (n // 20),
                "SMPTHNTS": "a note",
                "SMSTYP": "Normal" if tissue == "Lung" else "",
            })
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_summary_says_what_factors_do():
    table = covariate_summary(cohort())
    assert list(table.columns) == SUMMARY and table["tissue_id"].unique().tolist() == ["Liver", "Lung"]
    for name, part in table.groupby("tissue_id"):
        rows = cohort()[cohort()["tissue_id"] == name].set_index("donor")
        found, refused = factors(rows)
        assert part.loc[part["used"] == "yes", "column"].isin([f.name for f in found]).all()
        assert (part["used"] == "yes").sum() == len(found)
        told = part[part["used"] == "no"].set_index("column")["reason"].to_dict()
        assert told == dict(refused.to_numpy())
        assert set(part["column"]) == set(rows.columns) - {"tissue", "tissue_id", "samples", "rna_sample", "fold"}
    lung = table[table["tissue_id"] == "Lung"].set_index("column")
    assert lung.loc["SMTSISCH", ["group", "kind", "transform", "n", "missing", "levels"]].tolist() == [
        "handling", "numeric", "log2(x + 1)", 40, 0, 40,
    ]  # fmt: skip
    assert lung.loc["SMRIN", ["missing", "rule"]].tolist() == [1, "median for 1 of 40 donors"]
    assert lung.loc["SMCENTER", "kind"] == "multi" and lung.loc["SMPTHNTS", "reason"] == "named as a note: no factor"
    assert lung.loc["DTHHRDY", "transform"].endswith("as 0: 3")


def test_quartiles_and_shares():
    table = covariates_by_tissue(cohort())
    assert list(table.columns) == BY_TISSUE
    lung = {tuple(row[:3]): row[3] for row in table[table["tissue_id"] == "Lung"].drop(columns="tissue_id").to_numpy()}
    minutes = np.quantile(np.arange(1, 41) * 10, [0.25, 0.5, 0.75])  # recorded minutes, not their logarithms
    assert [float(lung["SMTSISCH", "", name]) for name in ("q1", "median", "q3")] == minutes.tolist()
    assert lung["AGE", "", "median"] == "44.5" and lung["SMRIN", "", "q3"] == "7.5"
    assert lung["SMNABTCHD", "", "median"] == "2012-01-02"
    assert (lung["SMCENTER", "B1", "share"], lung["SMCENTER", "C1", "share"]) == ("0.75", "0.5")  # both may be
    assert (lung["DTHHRDY", "0", "share"], lung["DTHHRDY", "2", "share"]) == ("0.6", "0.3")
    assert lung["SMSTYP", "Normal", "share"] == "1"
    assert not {"SMNABTCH", "SMPTHNTS"} & {key[0] for key in lung}
    assert ("DTHHRDY", "3", "share") not in lung and ("DTHHRDY", "other", "share") not in lung  # 4 donors


def test_rare_levels_together_and_columns_without_a_value():
    table = cohort()
    table.loc[table.index[:6], "DTHHRDY"] = list("444411")
    told = covariates_by_tissue(table).query("tissue_id == 'Lung' and column == 'DTHHRDY'")
    assert dict(zip(told["level"], told["value"], strict=True)) == {"0": "0.45", "2": "0.3", "other": "0.25"}
    liver = covariates_by_tissue(table).query("tissue_id == 'Liver'")
    assert "SMSTYP" not in set(liver["column"])


def test_no_covariates():
    bare = cohort()[["donor", "tissue", "tissue_id", "samples", "rna_sample", "fold"]]
    assert covariate_summary(bare).empty and list(covariate_summary(bare).columns) == SUMMARY
    assert covariates_by_tissue(bare).empty
