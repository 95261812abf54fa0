"""Recorded sex against XIST and Y genes, with sexes, swaps and mixtures planted in the counts."""

import numpy as np
import pandas as pd
import pytest

from hx_sex import XIST, Y_GENES, recorded_sex, sex_check, sex_table

# Typical transcripts per million in a solid tissue, (male, female), by gene.
LEVELS = {
    "XIST": (0.05, 18.0),
    **{gene: (tpm, 0.03) for gene, tpm in zip(Y_GENES, (45.0, 9.0, 2.5, 4.0, 5.0, 1.2, 1.5), strict=True)},
}


def cohort(n: int = 60, seed: int = 0, version: bool = True) -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    """log2(TPM + 1) of the sex genes among 100 others, their table, and the sexes drawn."""
    rng = np.random.default_rng(seed)
    female = rng.random(n) < 0.4
    names = [*LEVELS, *(f"GENE{i}" for i in range(100))]
    ids = dict([XIST, *Y_GENES.items()])
    mean = np.array([[LEVELS[g][int(f)] for f in female] if g in LEVELS else [20.0] * n for g in names])
    tpm = mean * np.exp(rng.normal(0, 0.5, mean.shape))
    genes = pd.DataFrame({"gene": [ids.get(g, f"ENSG9{i:010d}") + ".7" * version for i, g in enumerate(names)],
                          "symbol": names})  # fmt: skip
    order = rng.permutation(len(names))
    return np.log2(tpm[order] + 1), genes.iloc[order].reset_index(drop=True), np.where(female, "female", "male")


def recorded(sexes: np.ndarray) -> pd.Series:
    return pd.Series(sexes, index=[f"D{i:02d}" for i in range(len(sexes))], dtype=object)


@pytest.mark.parametrize("seed", range(20))
def test_sexes_and_swaps_are_found(seed):
    values, genes, sexes = cohort(seed=seed)
    told = recorded(sexes.copy())
    swapped = np.random.default_rng(seed).choice(60, 3, replace=False)
    told.iloc[swapped] = np.where(told.iloc[swapped] == "male", "female", "male")
    checked = sex_check(values, genes, told)
    assert checked["inferred"].tolist() == sexes.tolist()
    assert sorted(np.flatnonzero(checked["status"] == "mismatch")) == sorted(swapped)
    assert set(checked["status"]) == {"match", "mismatch"}


def test_the_rule_by_hand():
    genes = pd.DataFrame({"gene": ["XIST", "UTY", "ZFY"], "symbol": ["", "", ""]})
    values = np.array([[3.0, 1.0, 2.0, 0.0, 2.0], [1.0, 1.0, 4.0, 0.0, 1.0], [2.0, 3.0, 4.0, 0.0, 1.0]])
    checked = sex_check(values, genes, recorded(np.array(["female", "male", "", "male", "female"])))
    assert checked["y"].tolist() == [1.5, 2.0, 4.0, 0.0, 1.0]
    assert checked["inferred"].tolist() == ["female", "male", "male", "", "female"]
    assert checked["status"].tolist() == ["match", "match", "not recorded", "ambiguous", "match"]


def test_ids_with_and_without_version_and_symbols_alone():
    values, genes, sexes = cohort()
    told = recorded(sexes)
    plain = genes.assign(gene=genes["gene"].str.split(".").str[0], symbol="")
    symbols = pd.DataFrame({"gene": genes["symbol"], "symbol": ""})
    expected = sex_check(values, genes, told)
    for table in (plain, symbols, genes.assign(symbol="")):
        pd.testing.assert_frame_equal(sex_check(values, table, told), expected)


def test_a_mixture_of_two_libraries_is_ambiguous():
    values, genes, sexes = cohort(2)
    one = np.argmax(genes["symbol"] == "XIST")
    y = values[genes["symbol"].isin(Y_GENES).to_numpy(), 0].mean()
    values[one, 0] = y + 0.5
    assert sex_check(values, genes, recorded(sexes))["status"][0] == "ambiguous"


@pytest.mark.parametrize("lost", [["XIST"], list(Y_GENES)])
def test_a_panel_without_the_genes_is_no_failure(lost):
    values, genes, sexes = cohort()
    keep = ~genes["symbol"].isin(lost).to_numpy()
    checked = sex_check(values[keep], genes[keep].reset_index(drop=True), recorded(sexes))
    assert set(checked["status"]) == {"not possible"} and checked["xist"].isna().all()
    table = sex_table(checked, "Lung")
    assert (len(table), table["donors"].sum(), table["status"][0]) == (1, 60, "not possible")


def test_the_table_counts_every_donor_and_names_those_to_look_at():
    values, genes, sexes = cohort(30)
    told = recorded(sexes)
    told.iloc[4] = "male" if sexes[4] == "female" else "female"
    told.iloc[5] = ""
    values[:, 6] = 0.0
    table = sex_table(sex_check(values, genes, told), "Lung")
    assert table["status"].tolist() == ["mismatch", "ambiguous", "match", "not recorded"]
    assert table["donors"].tolist() == [1, 1, 27, 1] and (table["tissue_id"] == "Lung").all()
    assert table["donor"].tolist()[:2] == ["D04", "D06"] and table["donor"].isna().tolist() == [
        False,
        False,
        True,
        True,
    ]
    assert table["recorded"][0] != table["inferred"][0] == sexes[4]


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("SEX", ["1", "2", "", "3"], ["male", "female", "", ""]),
        ("sex", ["Male", "FEMALE", "unknown", "m"], ["male", "female", "", "male"]),
        ("GENDER", [1.0, 2.0, np.nan, 2.0], ["male", "female", "", "female"]),
        ("height", ["1", "2", "1", "2"], ["", "", "", ""]),
    ],
)
def test_recorded_sex(name, cells, expected):
    rows = pd.DataFrame({"donor": list("abcd"), name: cells})
    found = recorded_sex(rows)
    assert found.tolist() == expected and found.index.tolist() == list("abcd")
