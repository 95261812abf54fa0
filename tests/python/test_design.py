"""hx_design: which factors enter the confounder model, as which columns, and what others make superfluous."""

import numpy as np
import pandas as pd
import pytest

from hx_cli import DataError
from hx_design import (
    Term,
    check_dof,
    model_columns,
    read_terms,
    through_pcs,
    with_roles,
    without_collinear,
)
from hx_linear import residual_space, standardise

N = 80


def cohort(seed: int = 0, n: int = N) -> pd.DataFrame:
    """Covariates as a GTEx cohort has them, text by donor, and two factors of the slides."""
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2012-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    table = {
        "SEX": rng.integers(1, 3, n).astype(str),
        "AGE": rng.choice(["20-29", "40-49", "60-69"], n),
        "DTHHRDY": rng.choice(["0", "2", "4"], n),
        "SMCENTER": rng.choice(["B1", "C1", "D1"], n),
        "SMTSISCH": rng.integers(10, 1500, n).astype(str),
        "SMRIN": rng.normal(7, 0.8, n).round(1).astype(str),
        "SMNABTCHD": days.strftime("%m/%d/%Y"),
        "SMATSSCR": rng.integers(0, 4, n).astype(str),
        "SMMAPRT": rng.uniform(0.8, 1, n).round(4).astype(str),
        "SMEXNCRT": rng.uniform(0.5, 0.9, n).round(4).astype(str),
        "BMI": rng.normal(27, 4, n).round(1).astype(str),
        "PC1": rng.normal(size=n).round(4).astype(str),
        "SAMPID": [f"S{k}" for k in range(n)],
        "slide_tissue_mm2": rng.uniform(10, 90, n),
        "n_patches": rng.integers(100, 900, n),
    }
    return pd.DataFrame(table, index=[f"D{k:03d}" for k in range(n)])


def terms_of(table: pd.DataFrame, confounders=("default",), also=()) -> dict[str, Term]:
    terms, _, _ = read_terms(table, published=False)
    return {t.name: t for t in without_collinear(with_roles(terms, list(confounders), also))[0]}


def test_default_model():
    terms = terms_of(cohort())
    inside = {name for name, term in terms.items() if term.role == "base"}
    assert inside == {"SEX", "AGE", "DTHHRDY", "SMCENTER", "SMTSISCH", "SMRIN", "SMNABTCHD", "PC1"}
    assert set(terms) - inside == {"SMATSSCR", "SMMAPRT", "SMEXNCRT", "BMI", "slide_tissue_mm2", "n_patches"}
    columns, labels = model_columns(list(terms.values()), N)
    assert columns.shape == (N, len(labels))
    assert [name for name in labels if name.startswith("SMTSISCH")] == [
        "SMTSISCH", "SMTSISCH.spline2", "SMTSISCH.spline3"
    ]  # fmt: skip
    assert sum(terms[name].bends for name in inside) == 6
    assert terms["SMRIN"].bends == 2 and terms["SMNABTCHD"].bends == 2 and terms["AGE"].bends == 0
    assert {"SMCENTER=B1", "DTHHRDY=2", "AGE", "PC1"} & set(labels) >= {"DTHHRDY=2", "AGE", "PC1"}


def test_ids_are_refused_with_their_reason():
    _, refused, _ = read_terms(cohort(), published=False)
    assert ("SAMPID", "named as an id: no factor") in refused


@pytest.mark.parametrize(
    ("also", "entered"),
    [
        (("autolysis",), {"SMATSSCR"}),
        (("slide",), {"slide_tissue_mm2", "n_patches"}),
        (("rna_library",), {"SMMAPRT", "SMEXNCRT"}),
    ],
)
def test_adjust_also_enters_beside_the_model(also, entered):
    terms = terms_of(cohort(), also=also)
    assert {name for name, term in terms.items() if term.role == "also"} == entered
    assert terms["SMRIN"].role == "base"


def test_named_published_and_no_confounders():
    assert {n for n, t in terms_of(cohort(), ("BMI", "SMTSISCH")).items() if t.role == "base"} == {"BMI", "SMTSISCH"}
    assert all(term.role == "out" for term in terms_of(cohort(), ("none",)).values())
    study = {n for n, t in terms_of(cohort(), ("published",)).items() if t.role == "base"}
    assert {"SMCENTER", "SMMAPRT", "SMATSSCR", "BMI"} <= study and not {"SEX", "n_patches"} & study


def test_ischaemia_is_logged_by_column_not_by_row():
    """T4: the study's code took the row of the column's number; ours is log2(x + 1) for every donor."""
    table = cohort()
    minutes = table["SMTSISCH"].astype(float).to_numpy()
    for published in (False, True):
        terms, _, _ = read_terms(table, published)
        term = next(t for t in terms if t.name == "SMTSISCH")
        np.testing.assert_allclose(term.columns[:, 0], np.log2(minutes + 1), rtol=1e-12)
    wrong = minutes.copy()
    wrong[4] = np.log2(wrong[4] + 1)
    assert np.abs(np.corrcoef(wrong, np.log2(minutes + 1))[0, 1]) < 0.95


def test_published_takes_numbers_as_lines_and_complete_donors():
    table = cohort()
    table.loc["D003", "SMATSSCR"] = ""
    table.loc["D007", "SMRIN"] = ""
    terms, refused, complete = read_terms(table, published=True)
    assert complete.sum() == N - 2 and not complete[3] and not complete[7]
    names = {term.name for term in terms}
    assert {"SMCENTER_B1", "SMCENTER_C1", "SMCENTER_D1", "SMTSISCH", "SMRIN", "SEX", "n_patches"} <= names
    assert all(t.columns.shape == (N - 2, 1) and t.bends == 0 for t in terms if not t.group == "slide")
    assert {"AGE", "SMNABTCHD"} <= {name for name, _ in refused}
    kept, dropped = without_collinear(with_roles(terms, ["published"], ()))
    # A full set of dummies: the last is told by the others, and has a row.
    assert dropped == [("SMCENTER_D1", "collinear with SMCENTER_B1, SMCENTER_C1: out of the model")]
    last = next(t for t in kept if t.name == "SMCENTER_D1")
    assert (last.role, last.why) == ("out", "collinear with SMCENTER_B1, SMCENTER_C1")


def test_collinear_columns_are_dropped_by_rank():
    """T5: what is left has full rank, so that rank and columns agree; a near copy (rounded) counts as collinear."""
    table = cohort()
    table["BMI2"] = (2 * table["BMI"].astype(float) + 1).round(4).astype(str)
    table["weight_sum"] = table["BMI"].astype(float) + table["PC1"].astype(float)
    terms, refused, _ = read_terms(table, published=False)
    assert ("BMI2", "collinear: tells the same as BMI") in refused
    kept, dropped = without_collinear(with_roles(terms, ["BMI", "PC1", "weight_sum", "SMCENTER"], ()))
    assert dropped == [("weight_sum", "collinear with BMI, PC1: out of the model")]
    columns, labels = model_columns(kept, N)
    assert residual_space(columns, N).covariate_rank == len(labels)
    assert next(t for t in kept if t.name == "weight_sum").collinear == "BMI, PC1"


def test_missing_values_keep_donors_and_their_indicator():
    table = cohort()
    table.loc[table.index[:6], "SMTSISCH"] = ""
    term = terms_of(table)["SMTSISCH"]
    assert term.missing == 6 and "median" in term.rule
    assert term.labels == ("SMTSISCH", "SMTSISCH=missing", "SMTSISCH.spline2", "SMTSISCH.spline3")
    np.testing.assert_array_equal(term.columns[:, 1], np.arange(N) < 6)
    assert (term.lines, term.bends) == (1, 2)


def test_too_few_degrees_of_freedom_are_refused_with_the_way_out():
    labels = [f"c{k}" for k in range(30)]
    with pytest.raises(DataError, match=r"50 donors less 30 columns.*leave 18.*--confounder_pcs 28 or fewer"):
        check_dof(labels, 50, "Lung.256")
    with pytest.raises(DataError, match="or none"):
        check_dof(labels, 20, "Lung.256")
    check_dof(labels, 52, "Lung.256")
    check_dof([], 10, "Lung.256")


def test_principal_components_of_the_model():
    terms = list(terms_of(cohort()).values())
    columns, _ = model_columns(terms, N)
    made = through_pcs(terms, 4, N)
    scores, names = model_columns(made, N)
    assert names == [f"design_PC{k}" for k in range(1, 5)]
    unit = standardise(columns).unit
    oracle = np.linalg.eigh(unit.T @ unit)[1][:, ::-1][:, :4]
    np.testing.assert_allclose(np.abs(scores / np.sqrt(N - 1)), np.abs(unit @ oracle), atol=1e-10)
    assert {t.role for t in made[4:]} == {"out"}


def test_nothing_known_of_the_donors():
    empty = pd.DataFrame(index=[f"D{k}" for k in range(9)])
    assert read_terms(empty, published=False)[0] == []
    assert without_collinear([]) == ([], [])
    columns, labels = model_columns([], 9)
    assert columns.shape == (9, 0) and labels == []
