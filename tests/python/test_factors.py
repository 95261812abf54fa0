"""Covariates as typed factors: every spelling against a value worked out by hand, every refusal by its reason."""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hx_cli import DataError
from hx_factor_cells import age, cell_texts, minutes, number, read_cells, read_days, score
from hx_factor_levels import code_levels, column_span, same_span
from hx_factors import GROUPS, declared, factor, factors, published_factors

N = 60


def donors(n: int = N) -> list[str]:
    return [f"D{i:03d}" for i in range(n)]


def column(name: str, cells: list, **more) -> pd.Series:
    return pd.Series(list(cells), index=donors(len(cells)), name=name, dtype=more.get("dtype", object))


def gtex(n: int = N, seed: int = 0) -> pd.DataFrame:
    """Columns as cohort.tsv has them, all text."""
    rng = np.random.default_rng(seed)
    centre = rng.choice(["B1", "C1", "D1"], n)
    table = {
        "SMATSSCR": rng.choice(list("0123"), n),
        "SMCENTER": centre,
        "SMRIN": [f"{x:.1f}" for x in rng.normal(7, 1, n)],
        "SMTSISCH": rng.integers(20, 1600, n).astype(str),
        "SMNABTCHD": [f"{m:02d}/{d:02d}/2012" for m, d in rng.integers(1, 28, (n, 2)) % [12, 28] + [1, 0]],
        "SMMAPRT": [f"{x:.6f}" for x in rng.uniform(0.8, 1, n)],
        "SEX": rng.choice(["1", "2"], n),
        "AGE": rng.choice(["20-29", "50-59", "60-69"], n),
        "DTHHRDY": rng.choice(list("024"), n),
    }
    return pd.DataFrame(table, index=donors(n))


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (minutes, "300", 300.0),
        (minutes, "1 hour(s), 23 minute(s)", 83.0),
        (minutes, "12 hour(s)", 720.0),
        (minutes, "2 h 5 min", 125.0),
        (minutes, "1 day(s), 0 hour(s), 30 minute(s)", 1470.0),
        (minutes, "90 sec", 1.5),
        (minutes, "-12", math.nan),
        (minutes, "about 2", None),
        (minutes, "1:23", None),
        (age, "60-69", 64.5),
        (age, "61 - 70 years", 65.5),
        (age, "70+", 70.0),
        (age, ">89", 89.0),
        (age, "47", 47.0),
        (age, "old", None),
        (score, "Moderate", 2.0),
        (score, "none", 0.0),
        (score, "3", 3.0),
        (score, "bad", None),
        (number, "-1.5e-3", -0.0015),
        (number, "1_000", None),
        (number, "inf", None),
        (number, "7.5 a", None),
    ],
)
def test_a_cell_is_read(read, text, expected):
    found = read(text)
    assert (found is None) == (expected is None)
    assert found is None or found == pytest.approx(expected, nan_ok=True)


def test_cells_as_text():
    cells = column("x", [2.0, "2", np.nan, None, " B1 ", "NA", "Not Reported", "'--", 0.25, "98", 10, "none"])
    assert list(cell_texts(cells, frozenset(["98"]))) == ["2", "2", "", "", "B1", "", "", "", "0.25", "", "10", "none"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["05/13/2012", "2012-05-13", "2012-05-13T10:11:12", "05/13/12", "13.05.2012", "13-May-2012"],
         [(2012, 5, 13)] * 6),
        (["13/05/2012", "02/03/2012"], [(2012, 5, 13), (2012, 3, 2)]),  # 13 is no month: the column is day first
        (["02/03/2012"], [(2012, 2, 3)]),
    ],
)  # fmt: skip
def test_dates_are_days(texts, expected):
    values, unreadable = read_days(np.array(texts, dtype=object))
    assert not unreadable.any()
    assert values.tolist() == [(date(*day) - date(2000, 1, 1)).days for day in expected]


def test_dates_of_two_orders_are_no_dates():
    values, unreadable = read_days(np.array(["13/05/2012", "05/13/2012", "", "soon"], dtype=object))
    assert unreadable.tolist() == [True, False, False, True] and math.isnan(values[2])


def test_several_dates_are_their_mean():
    values, _ = read_days(np.array(["2012-01-01;2012-01-04"], dtype=object))
    assert values[0] == (date(2012, 1, 1) - date(2000, 1, 1)).days + 1.5


@pytest.mark.parametrize(
    ("name", "group", "kind"),
    [
        ("AGE", "donor", "age"),
        ("Age Bracket", "donor", "age"),
        ("Hardy Scale", "donor", "categorical"),
        ("demographic.race", "donor", "categorical"),
        ("PC1", "donor", ""),
        ("C3", "donor", ""),
        ("SMTSISCH", "handling", "time"),
        ("TRISCHD", "handling", "time"),
        ("SMATSSCR", "handling", "ordinal"),
        ("SMCENTER", "handling", "multi"),
        ("tissue_source_site", "handling", "multi"),
        ("SMGEBTCHD", "handling", "date"),
        ("SMRIN", "rna_library", "numeric"),
        ("SMRRNART", "rna_library", "numeric"),
        ("SM5PRIME", "rna_library", ""),
        ("slide_focus", "slide", ""),
        ("slide_scanner", "slide", "multi"),
        ("n_patches", "slide", "numeric"),
        ("height_of_sun", "other", ""),
        ("SMPTHNTS", "other", ""),
    ],
)
def test_groups_and_kinds_by_name(name, group, kind):
    assert declared(name) == (group, kind)


def test_a_gtex_cohort():
    table = gtex()
    found, refused = factors(table)
    assert refused.empty and list(refused.columns) == ["column", "reason"]
    by_name = {f.name: f for f in found}
    assert [GROUPS.index(f.group) for f in found] == sorted(GROUPS.index(f.group) for f in found)
    assert set(by_name) == set(table.columns)
    assert all(len(f.labels) == f.values.shape[1] and len(f.values) == N and not f.rule for f in found)
    assert np.array_equal(by_name["SMTSISCH"].values[:, 0], np.log2(table["SMTSISCH"].astype(float) + 1))
    assert by_name["SMTSISCH"].transform == "log2(x + 1)"
    midpoints = table["AGE"].map({"20-29": 24.5, "50-59": 54.5, "60-69": 64.5})
    assert by_name["AGE"].values[:, 0].tolist() == midpoints.tolist()
    assert by_name["AGE"].transform == "midpoint of bracket"
    assert by_name["DTHHRDY"].labels == ("DTHHRDY=2", "DTHHRDY=4") and by_name["DTHHRDY"].kind == "categorical"
    assert by_name["SMCENTER"].labels == ("SMCENTER=C1", "SMCENTER=D1")
    assert np.array_equal(by_name["SMCENTER"].values, pd.get_dummies(table["SMCENTER"])[["C1", "D1"]].to_numpy(float))
    assert (by_name["SMATSSCR"].kind, by_name["SMATSSCR"].transform) == ("ordinal", "as given")
    assert (by_name["SMNABTCHD"].kind, by_name["SMNABTCHD"].transform) == ("date", "days")


def test_the_logarithm_is_of_the_column_and_of_nothing_else():
    """The study's code took the logarithm of the row of that number: one donor's whole row, the column as it was."""
    table = gtex().assign(TRISCHD="1 hour(s), 3 minute(s)")
    table.loc["D005", "TRISCHD"], table.loc[donors()[10:20], "TRISCHD"] = "15", "0"
    before = table.copy()
    found = {f.name: f for f in factors(table)[0]}
    assert table.equals(before)
    for name in ("SMTSISCH", "TRISCHD"):
        assert found[name].transform == "log2(x + 1)"
    assert found["TRISCHD"].values[[0, 5, 12], 0].tolist() == [6.0, 4.0, 0.0]
    assert np.array_equal(found["SMRIN"].values[:, 0], table["SMRIN"].astype(float))  # D005's row is as it was
    published, _ = published_factors(table.drop(columns="TRISCHD"))
    assert np.array_equal(published["SMTSISCH"], np.log2(table["SMTSISCH"].astype(float) + 1))
    assert np.array_equal(published["SMRIN"], table["SMRIN"].astype(float))


def test_centres_of_two_labels_are_both():
    cells = ["B1"] * 30 + ["C1"] * 15 + ["B1, A1"] * 8 + ["A1"] * 7
    found = factor(column("SMCENTER", cells))
    assert (found.kind, found.labels) == ("multi", ("SMCENTER=A1", "SMCENTER=B1", "SMCENTER=C1"))
    assert found.values.sum(axis=0).tolist() == [15, 38, 15]
    # Without A1 alone, A1 never stands without B1, and B1 is all that is not C1: two columns tell everything.
    found = factor(column("SMCENTER", cells[:53] + ["B1"] * 7))
    assert found.labels == ("SMCENTER=A1", "SMCENTER=C1") and found.transform == "against B1"
    assert np.linalg.matrix_rank(np.column_stack([np.ones(60), found.values])) == 3


def test_rare_levels_are_one_level_called_other():
    cells = ["BP-1"] * 30 + ["BP-2"] * 20 + ["BP-3"] * 4 + ["BP-4"] * 3
    found = factor(column("SMNABTCH", cells))
    assert found.labels == ("SMNABTCH=BP-2", "SMNABTCH=other") and found.values.sum(axis=0).tolist() == [20, 7]
    assert found.transform == "against BP-1; levels of fewer than 5 donors as other: BP-3, BP-4"


def test_where_even_the_rare_levels_are_few_they_join_the_commonest():
    found = factor(column("SMNABTCH", ["BP-1"] * 20 + ["BP-2"] * 30 + ["BP-3"] * 4))
    assert found.labels == ("SMNABTCH=BP-2",) and found.values.sum() == 34
    assert "as BP-2: BP-3" in found.transform


def test_missing_values_by_rule():
    rng = np.random.default_rng(1)
    rin = rng.normal(7, 1, N).round(1).astype(object)
    few, many = rin.copy(), rin.copy()
    few[[3, 8]], many[:12] = "", None
    found = factor(column("SMRIN", few))
    kept = np.delete(rin.astype(float), [3, 8])
    assert found.values[[3, 8], 0].tolist() == [np.median(kept)] * 2 and found.missing.sum() == 2
    assert found.rule == "median for 2 of 60 donors" and found.indicator.shape == (N, 0)
    found = factor(column("SMRIN", many))
    assert found.rule == "median for 12 of 60 donors, and an indicator"
    assert np.array_equal(found.indicator[:, 0], np.arange(N) < 12)
    hardy = ["0"] * 30 + ["2"] * 24
    found = factor(column("DTHHRDY", [*hardy, *[""] * 6]))
    assert found.labels == ("DTHHRDY=2", "DTHHRDY=missing") and found.values[:, 1].sum() == 6
    assert found.rule == "a level for 6 of 60 donors" and found.indicator.shape == (N, 0)
    found = factor(column("DTHHRDY", [*hardy, *["NA"] * 3]))
    assert found.labels == ("DTHHRDY=2",) and not found.values[-3:].any()
    assert found.rule == "the commonest level for 3 of 57 donors"


def test_codes_for_not_known_are_missing():
    found = factor(column("RACE", ["3"] * 40 + ["2"] * 10 + ["99"] * 10))
    assert found.missing.sum() == 10 and found.labels == ("RACE=3", "RACE=missing")
    assert factor(column("BMI", [*range(58), 98, 99])).missing.sum() == 0


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("dbGaP_Sample_ID", range(N), "named as an id: no factor"),
        ("SUBJID", range(N), "named as an id: no factor"),
        ("case_uuid", range(N), "named as an id: no factor"),
        ("SMPTHNTS", ["2 pieces"] * N, "named as a note: no factor"),
        ("SMTSD", ["Lung"] * N, "named as the tissue: no factor"),
        ("SMGEBTCHT", ["TruSeq.v1"] * N, "constant: TruSeq.v1 in all donors"),
        ("SMRIN", ["7.0"] * (N - 1) + ["7"], "constant: 7.0 in all donors"),
        ("whatever", [f"slide {i}" for i in range(N)], "a level of its own for each donor: it names the donors"),
        ("SMNABTCH", [f"BP-{i // 2}" for i in range(N)],
         "near-unique: 30 levels, 60 of 60 donors are in levels of fewer than 5"),
        ("SMRIN", [7] * 47 + [6] * 0 + [""] * 13, "missing in 13 of 60 donors, more than 20%"),
        ("SMTSISCH", [*range(46), *[-5] * 14], "missing or below 0 in 14 of 60 donors, more than 20%"),
        ("SEX", ["1"] * 59 + ["2"], "1 donors differ from 1, at least 5 are needed"),
        ("slide_pen_fraction", [0.0] * 57 + [0.1, 0.2, 0.3], "3 donors differ from 0, at least 5 are needed"),
        ("SMRIN", [*range(58), "7.1 ?", "x"], "no number in 2 of 60 donors, e.g. '7.1 ?' of D058: correct the cells"),
        ("SMGEBTCHD", ["01/02/2012"] * 59 + ["May"],
         "no date in 1 of 60 donors, e.g. 'May' of D059: correct the cells"),
        ("TRISCHD", [*range(59), "noon"], "no time in 1 of 60 donors, e.g. 'noon' of D059: correct the cells"),
        ("empty", [""] * N, "missing in 60 of 60 donors, more than 20%"),
    ],
)  # fmt: skip
def test_refused_by_name(name, cells, reason):
    assert factor(column(name, cells)) == reason


def test_what_tells_the_same_is_refused_by_the_name_of_the_first():
    table = gtex()
    table["SMUNMPRT"] = 1 - table["SMMAPRT"].astype(float)
    table["Sex"] = table["SEX"].map({"1": "male", "2": "female"})
    table["SMGEBTCH"] = [f"{c}.{i % 2}" for i, c in enumerate(table["SMCENTER"])]  # nested: tells more
    found, refused = factors(table)
    assert dict(refused.to_numpy()) == {
        "SMUNMPRT": "collinear: tells the same as SMMAPRT",
        "Sex": "collinear: tells the same as SEX",
    }
    assert {"SMCENTER", "SMGEBTCH"} <= {f.name for f in found}


def test_our_own_columns_are_passed_over():
    table = gtex().assign(fold=[i % 5 for i in range(N)], samples="x", at_every_size=True)
    found, refused = factors(table)
    assert not {"fold", "samples", "at_every_size"} & ({f.name for f in found} | {*refused["column"]})


def test_slide_factors_of_the_h5ad():
    scanner = ["Aperio SS1302"] * 25 + ["Leica"] * 25 + ["Aperio SS1302;Leica"] * 10
    table = pd.DataFrame(
        {
            "n_patches": np.arange(N),
            "slide_focus": np.linspace(1, 2, N) ** 2,
            "slide_scanner": scanner,
            "slide_scan_date": ["2011-05-01", "2012-05-01;2012-05-03"] * 30,
            "classifier_split": ["train"] * 40 + ["validation"] * 20,
        },
        index=donors(),
    )
    found = {f.name: f for f in factors(table)[0]}
    assert {f.group for f in found.values()} == {"slide"} and len(found) == 5
    assert found["classifier_split"].labels == ("classifier_split=validation",)
    assert found["slide_scanner"].kind == "multi" and found["slide_scanner"].values.shape == (N, 2)
    assert found["slide_scan_date"].kind == "date"


def test_reading_as_numbers_or_as_text_gives_the_same():
    """obs of an h5ad file holds covariates as floats, cohort.tsv as text."""
    table = gtex()
    table.loc["D001", "DTHHRDY"] = ""
    as_numbers = table.apply(lambda c: c if c.name in ("SMCENTER", "AGE", "SMNABTCHD") else pd.to_numeric(c))
    for one, other in zip(factors(table)[0], factors(as_numbers)[0], strict=True):
        assert (one.name, one.labels, one.rule) == (other.name, other.labels, other.rule)
        assert np.array_equal(one.values, other.values)


def test_order_of_donors_changes_nothing():
    table = gtex().assign(SMNABTCH=["a"] * 20 + ["b"] * 20 + ["c"] * 4 + ["d"] * 16)
    turned = table.iloc[::-1]
    for one, other in zip(factors(table)[0], factors(turned)[0], strict=True):
        assert one.labels == other.labels and one.transform == other.transform
        assert np.array_equal(one.values, other.values[::-1])


def test_dummies_span_what_the_levels_do():
    """The share of variance of a level factor is that of a one-way analysis of variance."""
    rng = np.random.default_rng(5)
    levels = np.repeat(np.array(["a", "b", "c", "d"], dtype=object), [20, 15, 10, 5])
    y = rng.normal(size=50)
    coded = code_levels(levels, several=False)
    basis = column_span(coded.values)
    share = np.sum((basis.T @ (y - y.mean())) ** 2) / np.sum((y - y.mean()) ** 2)
    f, _ = stats.f_oneway(*(y[levels == name] for name in "abcd"))
    assert share == pytest.approx(f * 3 / (f * 3 + 46), rel=1e-12)


def test_same_span_to_what_tables_round():
    x = np.random.default_rng(2).normal(size=(40, 1))
    assert same_span(column_span(x), column_span(3 - 2 * x.round(8)))
    assert not same_span(column_span(x), column_span(x.round(2)))


def test_published_factors():
    """By the study's own steps: dummies of all centres, numbers of every column, complete donors, no constants."""
    table = gtex().assign(dbGaP_Sample_ID=range(N), SMAFRZE="RNASEQ", SMVQCFL="0", SMNTRNRT=np.linspace(0, 1, N))
    table.loc["D007", "SMRIN"], table.loc["D009", "SMRIN"] = "", "high"
    table.loc["D000", "SMVQCFL"] = "1"
    table["slide_focus"] = 1.0
    out, complete = published_factors(table)
    assert (~complete).nonzero()[0].tolist() == [7, 9] and len(out) == 58
    assert set(out.columns) == {
        "SMATSSCR", "SMRIN", "SMTSISCH", "SMMAPRT", "SEX", "DTHHRDY", "dbGaP_Sample_ID", "SMVQCFL", "SMNTRNRT",
        "SMCENTER_B1", "SMCENTER_C1", "SMCENTER_D1",
    }  # fmt: skip
    assert (out.filter(like="SMCENTER_").sum(axis=1) == 1).all()
    # A column that varies only in a donor who is left out is constant among the others.
    table.loc["D000", "SMRIN"] = ""
    assert "SMVQCFL" not in published_factors(table)[0]


def test_published_factors_need_a_complete_donor():
    table = gtex().assign(half=["1", ""] * 30, other_half=["", "1"] * 30)
    with pytest.raises(DataError, match=r"no donor has a number in each of 11 columns \(.*half lacks 30 of 60"):
        published_factors(table)
    with pytest.raises(DataError, match="no numeric covariate varies"):
        published_factors(gtex()[["AGE"]].assign(SMCENTER="B1"))


def test_unreadable_cells_are_told_apart_from_missing_ones():
    values, unreadable = read_cells(np.array(["1", "", "x"], dtype=object), number)
    assert unreadable.tolist() == [False, False, True] and np.isnan(values).tolist() == [False, True, True]
