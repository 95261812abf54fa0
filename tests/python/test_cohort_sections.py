"""The report's cohort page, from tables worked out by hand."""

import pandas as pd
import pytest

from hx_cohort_report import (
    EVERY,
    covariate_fates,
    covariates_wide,
    dataset,
    donors_by_size,
    excluded_text,
    page_tables,
    pathology_counts,
    tissue_conflicts,
    tissues_per_donor,
)
from hx_cohort_sections import cohort_sections
from hx_disclosure import EVERYTHING, Disclosure
from hx_mqc import disclosed

COHORT = pd.DataFrame(
    [("D0", "Lung", "L0;L0b")]
    + [(f"D{i}", "Lung", f"L{i}") for i in range(1, 10)]
    + [(f"D{i}", "Skin", f"S{i}") for i in range(8)],
    columns=["donor", "tissue_id", "samples"],
)
DROPPED = pd.DataFrame(
    [
        ("S9", "slide", "check_cohort", "tissue conflict: slide Skin, RNA sample R9 Lung"),
        ("S8", "slide", "check_cohort", "slide not found: S8.svs"),
        ("D1", "donor", "aggregate_features", "Lung: no patch of 256 px"),
        ("D1", "donor", "aggregate_features", "Lung: no patch of 1024 px"),
        ("D2", "donor", "aggregate_features", "Lung: no patch of 1024 px"),
        ("D1", "donor", "check_cohort", "Skin: slide not found"),
    ],
    columns=["id", "kind", "stage", "reason"],
)
FEATURES = pd.DataFrame(
    [("Lung", "1024", 8), ("Lung", "256", 9), ("Skin", "256", 8), ("Skin", "1024", 8)],
    columns=["tissue_id", "size", "n_donors"],
)
SUMMARY = pd.DataFrame(
    [
        ("Lung", "SMRIN", "rna_library", "numeric", "as given", 10, 1, "yes", ""),
        ("Skin", "SMRIN", "rna_library", "", "", 8, 4, "no", "missing in 4 of 8 donors, more than 20%"),
        ("Lung", "note", "other", "", "", 10, 0, "no", "near-unique"),
        ("Skin", "note", "other", "", "", 8, 0, "no", "near-unique"),
        ("Lung", "SEX", "donor", "categorical", "against 1", 10, 0, "yes", ""),
        ("Skin", "SEX", "donor", "categorical", "against 1", 8, 0, "yes", ""),
        ("Lung", "SMMAPRT", "rna_library", "numeric", "as given", 10, 0, "yes", ""),
    ],
    columns=["tissue_id", "column", "group", "kind", "transform", "n", "missing", "used", "reason"],
)
BY_TISSUE = pd.DataFrame(
    [
        ("Lung", "SMRIN", "", "q1", "6.5"),
        ("Lung", "SMRIN", "", "median", "7.123456"),
        ("Lung", "SMRIN", "", "q3", "8"),
        ("Lung", "SEX", "1", "share", "0.7"),
        ("Lung", "SEX", "2", "share", "0.3"),
        ("Skin", "SEX", "1", "share", "0.625"),
        ("Lung", "SMMAPRT", "", "median", "0.9"),
    ],
    columns=["tissue_id", "column", "level", "statistic", "value"],
)
SEX = pd.DataFrame(
    [
        ("Lung", "mismatch", 1, "D3", "male", "female", 5.0, 0.1),
        ("Lung", "match", 9, "", "", "", None, None),
        ("Skin", "not possible", 8, "", "", "", None, None),
    ],
    columns=["tissue_id", "status", "donors", "donor", "recorded", "inferred", "xist", "y"],
)


def test_dataset_paragraph():
    assert dataset(COHORT) == (
        "10 donors with slides (or features) and expression in 2 tissues: median 2 tissues a donor (1 to 2), median 9 "
        "donors a tissue (8 to 10). 19 slides; 1 donors x tissues have several, which are pooled."
    )
    assert "slides;" not in dataset(COHORT.assign(samples=""))


def test_exclusions_by_kind():
    rows = [("D1", "donor", 2), ("L1", "slide", 1), ("L2", "slide", 1), ("X", "unknown", 0)]
    table = pd.DataFrame(rows, columns=["id", "kind", "slides"])
    assert excluded_text(table) == "--exclude names 1 donors, 2 slides, 1 unknown ids."
    assert excluded_text(table[:0]) == ""


def test_tissues_per_donor_has_every_number():
    more = pd.concat([COHORT, pd.DataFrame({"donor": "D0", "tissue_id": ["A", "B"], "samples": ""})])
    assert tissues_per_donor(more)[["tissues", "donors"]].to_numpy().tolist() == [[1, 2], [2, 7], [3, 0], [4, 1]]


def test_conflicts_are_told_apart_from_other_losses():
    assert tissue_conflicts(DROPPED)["id"].tolist() == ["S9"]


def test_donors_at_each_size_and_at_every_one():
    table = donors_by_size(COHORT, DROPPED, FEATURES)
    assert table.to_numpy().tolist() == [
        ["Lung", "256", 9, 1], ["Lung", "1024", 8, 2], ["Lung", EVERY, 8, 2],
        ["Skin", "256", 8, 0], ["Skin", "1024", 8, 0], ["Skin", EVERY, 8, 0],
    ]  # fmt: skip
    # D3 has no patch of 256 px only, D1 and D2 none of 1024: seven have both, though no size has fewer than eight.
    more = pd.concat([DROPPED, pd.DataFrame([("D3", "donor", "aggregate_features", "Lung: no patch of 256 px")],
                                            columns=DROPPED.columns)])  # fmt: skip
    told = donors_by_size(COHORT, more, FEATURES)
    assert told.query("tissue_id == 'Lung' and size == @EVERY")["donors"].tolist() == [7]
    assert donors_by_size(COHORT, DROPPED, FEATURES.assign(size="-")).empty


def test_fates_over_tissues():
    table = covariate_fates(SUMMARY).set_index("column")
    assert table.index.tolist() == ["SMRIN", "SEX", "SMMAPRT", "note"]  # the one that is used nowhere comes last
    rin = table.loc["SMRIN"]
    assert rin[["kind", "used", "tissues", "missing_median", "missing_max"]].tolist() == ["numeric", 1, 2, 0.3, 0.5]
    assert rin["reason"] == "missing in 4 of 8 donors, more than 20% (1 of 2 tissues)"
    assert table.loc["note", "reason"] == "near-unique (2 of 2 tissues)"


def test_covariates_side_by_side():
    table = covariates_wide(BY_TISSUE, SUMMARY)
    assert list(table.columns) == ["tissue_id", "SMRIN", "SEX"]  # no library metric but RIN
    assert table.to_numpy().tolist() == [["Lung", "7.123 (6.5 to 8)", "1 70%, 2 30%"], ["Skin", "", "1 62%"]]


def test_covariates_of_few_donors_are_blank_in_a_shareable_report():
    few = SUMMARY.assign(missing=SUMMARY["missing"].mask(SUMMARY["tissue_id"] == "Lung", 6))  # 4 of 10 have a value
    table = covariates_wide(BY_TISSUE, few, least=5)
    assert table.to_numpy().tolist() == [["Skin", "", "1 62%"]]
    gathered = {"covariate_summary": few, "covariates_by_tissue": BY_TISSUE}
    shown = cohort_sections(COHORT, page_tables(COHORT, DROPPED, gathered), gathered)
    section = next(part for part in shown if part["id"] == "covariates_by_tissue")
    assert set(disclosed(section, Disclosure("shareable"))["data"]) == {"Skin"}
    assert set(disclosed(section, EVERYTHING)["data"]) == {"Lung", "Skin"}


def test_dataset_and_exclusions_without_extremes_and_small_counts():
    assert dataset(COHORT, shareable=True) == (
        "10 donors with slides (or features) and expression in 2 tissues: median 2 tissues a donor, median 9 donors a "
        "tissue (8 to 10). 19 slides; < 5 donors x tissues have several, which are pooled."
    )
    rows = [(f"D{k}", "donor", 2) for k in range(6)] + [("L1", "slide", 1)]
    table = pd.DataFrame(rows, columns=["id", "kind", "slides"])
    assert excluded_text(table, shareable=True) == "--exclude names 6 donors, < 5 slides."


def test_pathology_counts_take_the_unlabelled_for_unlabelled():
    annotations = pd.DataFrame(
        {
            "sample": ["L0", "L0b", "L1", "S1", "elsewhere"],
            "category_fibrosis": [1, 0, None, 1, 1],
            "category_cyst": [0, 0, None, 0, 1],
            "note_fat": [1, 1, 1, 1, 1],
        }
    )
    table = pathology_counts(annotations, COHORT)
    assert table.to_numpy().tolist() == [["Lung", "fibrosis", 2, 1, 0.5], ["Skin", "fibrosis", 1, 1, 1.0]]


@pytest.mark.parametrize("given", ["all", "none"])
def test_sections_follow_what_there_is(given):
    gathered = {"covariate_summary": SUMMARY, "covariates_by_tissue": BY_TISSUE, "feature_summary": FEATURES}
    gathered |= {"sex_check": SEX, "annotations": pd.DataFrame({"sample": ["L0"], "category_cyst": [1]})}
    gathered = gathered if given == "all" else {}
    shown = cohort_sections(COHORT, page_tables(COHORT, DROPPED, gathered), gathered)
    expected = ["dataset", "tissues_per_donor", "tissue_conflicts"]
    if given == "all":
        expected += ["donors_by_size", "covariate_fates", "covariates_by_tissue", "sex_check", "pathology_categories"]
    assert [part["id"] for part in shown] == expected
    by_id = {part["id"]: part for part in shown}
    if given == "all":
        assert by_id["donors_by_size"]["data"]["Lung"] == {"cohort": 10, "256": 9, "1024": 8, EVERY: 8}
        assert list(by_id["sex_check"]["data"]) == ["D3"] and "8 not possible" in by_id["sex_check"]["description"]
    assert by_id["tissues_per_donor"]["data"] == {"1": {"Donors": 2}, "2": {"Donors": 8}}


def test_text_of_the_data_is_escaped():
    rows = SUMMARY.assign(column="<b>x</b>", reason="<script>")
    tables = page_tables(COHORT, DROPPED, {"covariate_summary": rows, "covariates_by_tissue": BY_TISSUE})
    shown = str(cohort_sections(COHORT, tables, {}))
    assert "<script>" not in shown and "<b>" not in shown
