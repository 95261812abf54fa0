"""hx_claims, hx_claim_run, hx_claim_readings and hx_claims_sections: every claim, every verdict, the words."""

import math

import pandas as pd
import pytest

from hx_claim_readings import COLOURS
from hx_claim_run import CHANCE, FAILS, HOLDS, STAGE_OF, UNTESTABLE, VERDICTS, Reading, Untestable, share_verdict
from hx_claims import CLAIMS, COLUMNS, READERS, claims, sentence
from hx_claims_sections import claims_sections
from hx_disclosure import EVERYTHING
from hx_mqc import disclosed
from hx_scales import LARGER, RAW

PREFIX = "Lung.256"
SETTING = f"{PREFIX}.retrained.mean"
CHOSEN = pd.DataFrame(
    [{"setting": SETTING, "tissue_id": "Lung", "size": "256", "encoder": "retrained", "aggregation": "mean"}]
)


def ledger_row(setting: str, view: str, level: str, factor: str, adjusted: float, p: float = 0.001) -> dict:
    row = {"setting": setting, "view": view, "level": level, "factor": factor, "given": "nothing", "n": 230}
    row |= {"r2": adjusted + 0.02, "null": 0.013, "adjusted": adjusted, "p": p}
    row |= {"adjusted_low": adjusted - 0.05, "adjusted_high": adjusted + 0.05}
    return row | {"column_top": 0.31 if view == "features" else math.nan, "top": "retrained_0796"}


def shared_row(setting: str, scaling: str, adjusted: str, published: float, null: float, control: str = "none") -> dict:
    row = {"setting": setting, "control": control, "direction": "expression_by_image", "donors": "all"}
    row |= {"scaling": scaling, "adjusted": adjusted, "published": published, "published_null": null, "n": 231}
    return row | {"adjusted_share": 0.12, "ci_low": 0.06, "ci_high": 0.18, "p": 0.002}


def comparison(claim: str, first: str, second: str, difference: float) -> dict:
    row = {"tissue_id": "Lung", "setting": first, "other": second, "claim": claim, "adjusted": "yes", "n": 229}
    return row | {"difference": difference, "ci_low": difference - 0.02, "ci_high": difference + 0.02, "p": 0.03}


def made_tables() -> dict[str, pd.DataFrame]:
    """Tables of a run in which each claim can be tested."""
    view = {"image_pcs": SETTING, "expression_pcs": PREFIX, "features": SETTING}
    ledger = [ledger_row(view[v], v, "model", "model", x) for v, x in (("image_pcs", 0.2), ("expression_pcs", 0.5))]
    ledger += [ledger_row(SETTING, "image_pcs", "factor", "SMRIN", 0.10)]
    ledger += [ledger_row(PREFIX, "expression_pcs", "factor", "SMTSISCH", 0.3)]
    ledger += [ledger_row(SETTING, "features", "factor", "SMTSISCH", 0.2)]
    curve = [
        {"setting": view[v], "view": v, "step": step, "factor": name, "r2": r2, "null": null}
        for v, first in (("image_pcs", "SMRIN"), ("expression_pcs", "SMTSISCH"))
        for step, name, r2, null in ((0, "none", 0, 0), (1, first, 0.1, 0.03), (2, "SMCENTER", 0.55, 0.25))
    ]
    large, raw = "Lung.4096.retrained.mean", f"{PREFIX}.raw.mean"
    shared = [
        shared_row(name, scaling, adjusted, s, null, control)
        for name, s, null in ((SETTING, 0.7, 0.6), (large, 0.9, 0.85), (raw, 0.8, 0.72))
        for scaling in ("covariance", "standardised")
        for adjusted in ("no", "yes")
        for control in ("none", "shuffle_donors")
    ]
    pair = {"setting": SETTING, "n": 228, "top_feature": "retrained_0650", "top_gene": "ENSG1"}
    pairs = [
        pair | {"variant": "published", "hits": 90, "top_r2": 0.3, "null_top_r2": 0.21, "top_nlog10p": 12.0},
        pair | {"variant": "calibrated", "hits": 7, "top_r2": 0.25, "null_top_r2": 0.15, "top_nlog10p": 9.0},
    ]
    top = {"setting": SETTING, "feature": "retrained_0501", "set": "GO:0042599", "term": "lamellar body"}
    top |= {"t_camera": 6.5, "p_camera": 2e-9, "q_camera": 0.001, "p": 1e-12}
    other = top | {"feature": "retrained_0001", "set": "GO:0000001", "term": "axon", "p_camera": 1e-12, "p": 1e-20}
    qtl = {"setting": SETTING, "control": "none", "trait": "PC1", "scope": "genome", "tests": 5000, "hits": 0}
    qtl |= {"gate": "ok", "n": 226, "detectable_r2": 0.14, "best_p_family": 0.4, "alpha": 0.05}
    return {
        "confounder_ledger": pd.DataFrame(ledger),
        "factor_curve": pd.DataFrame(curve),
        "shared_variance": pd.DataFrame(shared),
        "comparisons": pd.DataFrame([comparison(LARGER, large, SETTING, 0.05), comparison(RAW, raw, SETTING, -0.05)]),
        "published_associations": pd.DataFrame(pairs),
        "enrichment_top": pd.DataFrame([other, top]),
        "enrichment_table1": pd.DataFrame([other, top]),
        "enrichment_summary": pd.DataFrame([{"setting": SETTING, "control": "none", "n": 227}]),
        "descriptions": pd.DataFrame([{"setting": SETTING, "feature": "retrained_0796", "label": ""}]),
        "description_terms": pd.DataFrame(
            [{"setting": SETTING, "feature": "retrained_0796", "term": "hue outside nuclei (degrees)"}]
        ),
        "qtl_summary": pd.DataFrame([qtl, qtl | {"trait": "PC2", "detectable_r2": 0.15, "best_p_family": 0.7}]),
    }


def read(name: str, tables: dict[str, pd.DataFrame], skipped: dict[str, str] | None = None) -> pd.Series:
    found = claims(tables, CHOSEN, skipped).set_index("claim")
    return found.loc[name]


def test_every_claim_has_a_row_and_every_number_is_that_of_its_table():
    found = claims(made_tables(), CHOSEN)
    assert list(found.columns) == COLUMNS and list(found["claim"]) == list(CLAIMS) == list(READERS)
    assert set(found["verdict"]) <= set(VERDICTS)
    names = ["verdict", "estimate", "ci_low", "ci_high", "p", "n", "formula", "null", "source"]
    expected = {
        "technical_expression": (HOLDS, 0.5, 0.45, 0.55, 0.001, 230, 0.55, 0.25, "confounder_ledger"),
        "technical_image": (FAILS, 0.2, 0.15, 0.25, 0.001, 230, 0.55, 0.25, "confounder_ledger"),
        "rin_image": (HOLDS, 0.1, 0.05, 0.15, 0.001, 230, 0.12, 0.013, "confounder_ledger"),
        "ischaemia_expression": (FAILS, 0.3, 0.25, 0.35, 0.001, 230, 0.32, 0.013, "confounder_ledger"),
        "image_expression": (FAILS, 0.12, 0.06, 0.18, 0.002, 231, 0.7, 0.6, "shared_variance"),
        "best_transcript": (FAILS, 0.25, None, None, 1e-9, 228, 0.3, 0.21, "published_associations"),
        "larger_patches": (HOLDS, 0.05, 0.03, 0.07, 0.03, 229, 0.2, 0.25, "comparisons"),
        "raw_over_retrained": (FAILS, -0.05, -0.07, -0.03, 0.03, 229, 0.1, 0.12, "comparisons"),
        "pathway": (HOLDS, 6.5, None, None, 2e-9, 227, 1e-12, None, "enrichment_top"),
        "colour_ischaemia": (HOLDS, 0.2, 0.15, 0.25, 0.001, 230, 0.31, None, "confounder_ledger"),
        "no_qtl": (HOLDS, 0, None, None, 0.4, 226, None, None, "qtl_summary"),
    }
    for row in found.set_index("claim")[names].itertuples():
        assert (row.verdict, row.source) == (expected[row.Index][0], expected[row.Index][-1]), row.Index
        for name, value in zip(names[1:-1], expected[row.Index][1:-1], strict=True):
            assert getattr(row, name) == pytest.approx(math.nan if value is None else value, nan_ok=True), row
    published = found.set_index("claim")["published"]
    assert published[["technical_expression", "technical_image", "rin_image", "ischaemia_expression"]].tolist() == [
        *(0.511, 0.406, 0.118, 0.127),
    ]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0.4, 0.6, 0.05), (HOLDS, "the interval holds the published 51.1 %")),
        ((0.1, 0.3, 0.01), (FAILS, "the interval lies below the published 51.1 %")),
        ((0.6, 0.7, 0.01), (FAILS, "the interval lies above the published 51.1 %")),
        ((-0.1, 0.6, 0.051), (CHANCE, "p is above 0.05; the interval holds the published 51.1 %")),
        ((-0.1, 0.2, 0.5), (CHANCE, "p is above 0.05; the interval lies below the published 51.1 %")),
    ],
)
def test_verdict_on_a_share(numbers, expected):
    assert share_verdict(0.511, *numbers) == expected


@pytest.mark.parametrize("numbers", [(math.nan, 0.6, 0.01), (0.1, math.nan, 0.01), (0.1, 0.6, math.nan)])
def test_a_share_without_interval_or_p_is_not_testable(numbers):
    with pytest.raises(Untestable, match="no interval or no p"):
        share_verdict(0.511, *numbers)


def changed(kind: str, rows: object = slice(None), **values: object) -> dict[str, pd.DataFrame]:
    """The made tables, `values` in some rows of one."""
    tables = made_tables()
    table = tables[kind]
    for name, value in values.items():
        table.loc[rows, name] = value
    return tables


def test_single_factors_name_the_first_of_the_curve():
    row = read("rin_image", made_tables())
    assert row["why"].endswith("; first of the factor curve here is SMRIN") and row["verdict"] == HOLDS
    other = made_tables()
    other["factor_curve"] = other["factor_curve"].replace({"factor": {"SMRIN": "SMCENTER"}})
    row = read("rin_image", other)
    assert row["why"].endswith("; first of the factor curve here is SMCENTER") and row["verdict"] == FAILS
    tables = made_tables()
    del tables["factor_curve"]
    row = read("rin_image", tables)
    assert row["verdict"] == HOLDS and "first of" not in row["why"]
    assert math.isnan(read("technical_image", tables)["formula"])


def test_factors_go_by_any_of_their_names():
    tables = made_tables()
    tables["confounder_ledger"]["factor"] = tables["confounder_ledger"]["factor"].replace("SMTSISCH", "Ischemic time")
    assert read("ischaemia_expression", tables)["estimate"] == 0.3
    tables["confounder_ledger"]["factor"] = tables["confounder_ledger"]["factor"].replace("Ischemic time", "BMI")
    tables["confounder_ledger"]["factor"] = tables["confounder_ledger"]["factor"].replace("SMRIN", "HGHT")
    for name, why in (
        ("ischaemia_expression", "no covariate is ischaemic time"),
        ("colour_ischaemia", "no covariate is ischaemic time"),
        ("rin_image", "no covariate is RNA integrity"),
    ):
        row = read(name, tables)
        assert (row["verdict"], row["why"]) == (UNTESTABLE, why)


def test_image_share_needs_an_adjusted_row():
    tables = made_tables()
    tables["shared_variance"] = tables["shared_variance"].query("adjusted == 'no'")
    row = read("image_expression", tables)
    assert row["verdict"] == UNTESTABLE and "shared_variance.tsv has no row of" in row["why"]


@pytest.mark.parametrize(
    ("values", "verdict", "why"),
    [
        ({"top_r2": 0.7}, HOLDS, "7 pairs pass Bonferroni's correction, the largest r2 is at least the published 0.66"),
        ({}, FAILS, "7 pairs pass Bonferroni's correction, the largest r2 is below the published 0.66"),
        ({"hits": 0}, CHANCE, "no pair passes Bonferroni's correction over all pairs"),
        ({"null_top_r2": 0.26}, CHANCE, "donors shuffled reach 0.260 in the median"),
        ({"top_r2": math.nan}, UNTESTABLE, "no pair was tested"),
    ],
)
def test_best_transcript(values, verdict, why):
    row = read("best_transcript", changed("published_associations", 1, **values))
    assert (row["verdict"], row["why"]) == (verdict, why)


@pytest.mark.parametrize(
    ("low", "high", "verdict", "why"),
    [
        (0.01, 0.2, HOLDS, "the interval lies above 0"),
        (-0.2, -0.01, FAILS, "the interval lies below 0"),
        (-0.1, 0.1, CHANCE, "the interval holds 0"),
        (math.nan, math.nan, UNTESTABLE, "the difference has no interval"),
    ],
)
def test_differences(low, high, verdict, why):
    row = read("larger_patches", changed("comparisons", 0, ci_low=low, ci_high=high))
    assert (row["verdict"], row["why"]) == (verdict, why)


def test_a_difference_without_its_pair_or_without_the_formula():
    tables = made_tables()
    tables["comparisons"]["claim"] = ["", RAW]
    why = "the run has no two settings that the claim is declared for"
    assert tuple(read("larger_patches", tables)[["verdict", "why"]]) == (UNTESTABLE, why)
    del tables["shared_variance"]
    row = read("raw_over_retrained", tables)
    assert row["verdict"] == FAILS and math.isnan(row["formula"]) and "formula" not in row["sentence"]


def test_pathway():
    assert read("pathway", changed("enrichment_top", 1, q_camera=math.nan))["verdict"] == CHANCE
    row = read("pathway", changed("enrichment_top", 1, q_camera=0.06))
    assert row["why"] == "camera's q over all features and sets is above 0.05"
    row = read("pathway", changed("enrichment_top", 1, term="synapse"))
    assert (row["verdict"], row["why"]) == (
        UNTESTABLE,
        "no term of lamellar bodies or surfactant is the best of any feature",
    )
    tables = changed("enrichment_top", 1, term=math.nan, set="REACTOME_DEFECTIVE_ABCA3_CAUSES_SMDP3")
    del tables["enrichment_table1"], tables["enrichment_summary"]
    row = read("pathway", tables)
    assert row["verdict"] == HOLDS and math.isnan(row["formula"]) and math.isnan(row["n"])
    elsewhere = CHOSEN.assign(tissue_id="Liver")
    row = claims(made_tables(), elsewhere).set_index("claim").loc["pathway"]
    assert (row["verdict"], row["why"]) == (UNTESTABLE, "the claim is on Lung")


def test_colour_feature():
    row = read("colour_ischaemia", made_tables())
    assert row["why"] == "retrained_0796, which tracks SMTSISCH most, sees hue outside nuclei (degrees)"
    labelled = changed("descriptions", label="eosin density")
    labelled["description_terms"] = labelled["description_terms"].iloc[:0]
    assert read("colour_ischaemia", labelled)["verdict"] == HOLDS
    row = read("colour_ischaemia", changed("description_terms", term="nuclei (per mm2)"))
    assert (row["verdict"], row["why"]) == (
        FAILS,
        "retrained_0796, which tracks SMTSISCH most, sees no colour and no stain",
    )
    row = read("colour_ischaemia", changed("descriptions", feature="retrained_0001"))
    assert (row["verdict"], row["why"]) == (
        UNTESTABLE,
        "retrained_0796, which tracks SMTSISCH most, was not described",
    )
    tables = changed("confounder_ledger", 4, p=0.2)
    row = read("colour_ischaemia", tables)
    assert row["verdict"] == CHANCE and row["why"].endswith("the feature that tracks it most is retrained_0796")
    assert read("colour_ischaemia", changed("confounder_ledger", 4, p=math.nan))["verdict"] == UNTESTABLE
    assert {"hue outside nuclei (degrees)", "haematoxylin density", "slide eosin"} <= COLOURS
    assert not {"haematoxylin density of nuclei", "focus", "nuclei (per mm2)"} & COLOURS


def test_no_qtl():
    row = read("no_qtl", made_tables())
    assert row["why"] == "a variant with less than 14.0 % of a feature's variance could be missed"
    assert read("no_qtl", changed("qtl_summary", 1, hits=3))["verdict"] == FAILS
    tables = changed("qtl_summary", 1, hits=3)
    control = tables["qtl_summary"].iloc[1:].assign(control="permute_genotypes", hits=3)
    tables["qtl_summary"] = pd.concat([tables["qtl_summary"], control])
    row = read("no_qtl", tables)
    assert (row["verdict"], row["why"], row["estimate"], row["null"]) == (CHANCE, "genotypes permuted give 3", 3, 3)
    for values, why in (
        ({"tests": 0}, "no variant was tested"),
        ({"gate": "inflated"}, "lambda of PC1, PC2 is out of its limits"),
        ({"detectable_r2": 0.4}, "only a variant with 40 % of a feature's variance could have been found"),
        ({"detectable_r2": math.nan}, "no test could have passed with so few donors"),
    ):
        row = read("no_qtl", changed("qtl_summary", **values))
        assert (row["verdict"], row["why"]) == (UNTESTABLE, why)


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        ("shared_variance", ["image_expression"]),
        ("combine_scales", ["larger_patches", "raw_over_retrained"]),
        ("compare_settings", ["best_transcript"]),
        ("enrich", ["pathway"]),
        ("describe_features", ["colour_ischaemia"]),
        ("map_qtl", ["no_qtl"]),
    ],
)
def test_a_skipped_stage(stage, names):
    """Its tables are not there: exactly its claims are not testable, and the reason says so."""
    tables = {kind: table for kind, table in made_tables().items() if STAGE_OF[kind] != stage}
    found = claims(tables, CHOSEN, {stage: "named by --skip"}).set_index("claim")
    untestable = found[found["verdict"] == UNTESTABLE]
    assert list(untestable.index) == names
    assert set(untestable["why"]) == {f"{stage} was skipped (named by --skip)"}
    assert untestable[["estimate", "ci_low", "p", "n", "formula", "null"]].isna().all(axis=None)


def test_no_table_at_all_another_version_and_empty_tables():
    found = claims({}, CHOSEN)
    assert set(found["verdict"]) == {UNTESTABLE}
    assert found.set_index("claim").loc["rin_image", "why"] == "adjust_confounders wrote no confounder_ledger.tsv"
    old = {kind: table[["setting"]] for kind, table in made_tables().items()}
    found = claims(old, CHOSEN)
    assert set(found["verdict"]) == {UNTESTABLE}
    assert found[found["claim"] != "pathway"]["why"].str.contains("made by another version").all()
    empty = {kind: table.iloc[:0] for kind, table in made_tables().items()}
    found = claims(empty, CHOSEN)
    assert set(found["verdict"]) == {UNTESTABLE} and found["why"].str.contains("has no row of").all()


def test_sentences():
    full = Reading("Lung.256", "t", "share:", 0.25, FAILS, "so", 0.1, 0.00012, 0.00031, 230.0, 0.5, 0.2)
    claim = CLAIMS["technical_expression"]
    assert sentence(claim, "Lung", full) == (
        "Claim (Lung): Technical factors account for 51.1 % of the variance of expression. Lung, Lung.256: share: "
        "0.250, 95 % interval 0.100 to 0.00012, p = 0.00031, 230 donors. The study's formula gives 0.500, by chance "
        "0.200. Verdict: does not hold here: so."
    )
    bare = Reading("Lung.256", "t", "hits:", 3, HOLDS, "so")
    assert sentence(claim, "Lung", bare).endswith("Lung, Lung.256: hits: 3. Verdict: holds here: so.")
    alone = bare._replace(formula=-0.5)
    assert "The study's formula gives -0.500. Verdict" in sentence(claim, "Lung", alone)
    none = bare._replace(verdict=UNTESTABLE)
    assert sentence(claim, "Lung", none).endswith("Lung.256: not testable here: so.")


def test_sections():
    chosen = pd.concat([CHOSEN.assign(tissue_id=name) for name in ("Lung", "<script>", "B", "C")])
    found = claims(made_tables(), chosen)
    shown, words = (disclosed(part, EVERYTHING) for part in claims_sections(found))
    assert (shown["id"], words["id"]) == ("claims", "claims_in_words")
    assert len(shown["data"]) == 4 * len(CLAIMS) and words["data"].count("<p>") == 3 * len(CLAIMS)
    assert "The first 3 of 4 tissues" in words["description"]
    row = shown["data"]["technical expression, Lung"]
    source = found.iloc[0]
    assert [row[name] for name in ("verdict", "published", "estimate", "ci_low", "p", "formula", "null")] == [
        *(source[name] for name in ("verdict", "published", "estimate", "ci_low", "p", "formula", "null")),
    ]
    assert "<script>" not in str(shown["data"]) + words["data"]
    assert all(name in shown["headers"]["verdict"]["description"].lower() for name in VERDICTS)
    assert claims_sections(found.iloc[:0]) == []
    one = claims({}, CHOSEN)
    shown = disclosed(claims_sections(one)[0], EVERYTHING)
    assert "estimate" not in shown["headers"] and set(shown["headers"]) >= {"verdict", "why", "published"}
