"""The sentences of the report that read its own numbers: exact words, for hits and for none, one tissue and many."""

import doctest

import pandas as pd
import pytest

import hx_finding_factors as factors
import hx_finding_run as run
import hx_finding_tests as tests
import hx_findings
from hx_disclosure import INTERNAL, SHAREABLE, Disclosure
from hx_findings import NOTHING, counts_of_people
from hx_mqc import THIS_RUN, disclosed, table

NAN = float("nan")
SENTENCES = [
    *(run.verdict, run.flow, run.losses, run.slide_status, run.classifier, run.planted_truths),
    *(tests.calibration, tests.controls, tests.settings, tests.genes, tests.shared_variance, tests.prediction),
    *(tests.enrichment, tests.descriptions, tests.claims, factors.ledger, factors.setting_claims, factors.labels),
    *(factors.label_prediction, factors.causes, factors.donors_by_size),
]
LUNG = {"tissue_id": "Lung", "n": 400}


def frame(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame([*rows])


def told(sentence: str) -> str:
    return counts_of_people(sentence, shareable=False)


def test_examples_of_the_wording():
    assert doctest.testmod(hx_findings).failed == 0


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda one: one.__name__)
def test_an_empty_table_has_nothing_to_say(sentence):
    assert sentence(pd.DataFrame()) == NOTHING


def test_verdict():
    lung = {
        "tissue_id": "Lung", "status": "green", "donors": 400, "shared": 0.031, "shared_low": 0.02, "shared_high": 0.04,
        "shared_p": 0.001, "genes": 15000, "genes_found": 120, "control_genes_found": 0, "predicted": 8,
        "control_predicted": 0, "predicted_gain": 0.051, "detectable_r": 0.3,
    }  # fmt: skip
    text = (
        "Lung is green: 400 donors, shared variance 0.031 (95 % interval 0.020 to 0.040, p = 0.001), 120 genes of "
        "15,000 found, 0 with donors shuffled, 8 genes predicted with a median gain in R2 of 0.051, 0 with donors "
        "shuffled, |r| of 0.30 and more has 80 % power"
    )
    assert told(run.verdict(frame(lung))) == f"{text}."
    bare = frame({"tissue_id": "Skin", "status": "amber", "donors": 1})
    assert told(run.verdict(bare)) == "Skin is amber: 1 donor."
    nothing = lung | {"genes_found": 0, "predicted": 0, "predicted_gain": NAN, "control_predicted": NAN}
    assert ", 0 genes predicted, |r|" in told(run.verdict(frame(nothing)))
    many = told(run.verdict(frame(*[{"tissue_id": t, "status": "amber", "donors": 9} for t in "ABCDE"])))
    assert many.endswith("C is amber: 9 donors; and 2 more tissues in the table.")


def test_of_the_run():
    flow = frame({"tissue_id": "Lung", "donors": 12, "donors_kept": 8, "donors_analysed": 7})
    assert told(run.flow(flow)) == "Lung: 7 donors analysed, 12 donors in the sheet."
    assert told(run.flow(flow.drop(columns="donors_analysed"))) == "Lung: 8 donors analysed, 12 donors in the sheet."
    losses = frame(
        {"kind": "rna", "count": 3, "stage": "check_cohort", "reason": "no slide"},
        {"kind": "gene", "count": 1200, "stage": "prepare_expression", "reason": "low"},
    )
    most = "of 2 reasons the commonest, in prepare_expression, is: low (1,200 ids of kind gene)."
    assert run.losses(losses) == most
    assert (
        told(run.losses(losses.iloc[:1]))
        == "of 1 reason the commonest, in check_cohort, is: no slide (3 ids of kind rna)."
    )
    counts = pd.DataFrame({"ok": [7, 2], "no_tissue": [1, 0]}, index=["A", "B"])
    assert told(run.slide_status(counts)) == "10 slides of 2 tissues: 9 ok, 1 no tissue."
    scores = {"size": 256, "patch_accuracy": 0.9, "slide_accuracy": 1.0, "chance": 0.5, "validation_donors": 5}
    text = "256 px: 0.900 of patches and 1 of slides told, 0.500 by chance, 5 validation donors."
    assert told(run.classifier(frame(scores | {"variant": ""}, scores | {"variant": "grey"}))) == text
    truths = frame({"property": "rin", "found": "no"}, {"property": "stain", "found": "yes"})
    assert run.planted_truths(truths) == "1 of 2 properties found; not found: rin."


def test_of_the_tests_of_pairs():
    row = {"control": "none", "share_p05": 0.2, "lambda_gc": 1.5}
    null = {"control": "shuffle_donors", "share_p05": 0.049, "lambda_gc": 0.98}
    assert tests.calibration(frame(row, null, null | {"share_p05": 0.052, "lambda_gc": 1.01})) == (
        "with donors shuffled the share of p < .05 is 0.049 to 0.052 and lambda 0.980 to 1.010, in 2 settings; "
        "as donors are, lambda is 1.500."
    )
    assert tests.calibration(frame(row)).startswith("no setting ran with donors shuffled")
    controls = frame(*[LUNG | {"control": name, "hits": n} for name, n in (("none", 12), ("shuffle_donors", 0))])
    assert told(tests.controls(controls)) == "Lung: 12 hits, 0 by shuffle_donors, 400 donors."
    settings = frame(
        {"setting": "a", "hits": 2, "control_hits": 0},
        {"setting": "b", "hits": 5, "control_hits": 1},
        {"setting": "c", "hits": 0},
    )
    assert tests.settings(settings) == "2 of 3 settings have hits, with donors shuffled 1; most in b (5)."
    assert tests.settings(settings[["setting", "hits"]].assign(hits=0)) == "0 of 3 settings have hits."
    gene = LUNG | {"gene": "E1", "symbol": "CD3E", "best_feature": "raw_1", "r": 0.5, "r_split_half": 0.4}
    genes = frame(gene | {"gene_p": 1e-6, "gene_q": 0.012}, gene | {"symbol": "B", "gene_p": 0.1, "gene_q": 0.5})
    text = "Lung: CD3E with raw_1, r 0.500 (0.400 in donors that did not choose it), p = 1e-06 and q 0.012 of the gene"
    assert told(tests.genes(genes)) == f"{text}, 400 donors."
    assert "r 0.500, p" in tests.genes(genes.assign(r_split_half=NAN))


def test_of_shared_variance_and_prediction():
    row = LUNG | {
        "direction": "expression_by_image", "adjusted": "yes", "adjusted_share": 0.2,
        "ci_low": 0.1, "ci_high": 0.3, "p": 0.01,
    }  # fmt: skip
    rows = frame(row | {"control_share": 0.001}, row | {"direction": "image_by_expression", "control_share": 0.5})
    text = "Lung: expression by image 0.200 (95 % interval 0.100 to 0.300, p = 0.01)"
    assert told(tests.shared_variance(rows)) == f"{text}, 0.001 with donors shuffled, 400 donors."
    assert told(tests.shared_variance(rows.assign(control_share=NAN))) == f"{text}, 400 donors."
    gain = LUNG | {"analysis": "primary", "genes": 100, "genes_found": 4, "delta_r2_found": 0.05}
    rows = frame(gain | {"control_genes_found": 0}, gain | {"analysis": "exploratory", "genes_found": 99})
    text = "Lung: 4 genes of 100 found, 0 with donors shuffled, their median gain in R2 0.050, 400 donors."
    assert told(tests.prediction(rows)) == text
    none = frame(gain | {"genes_found": 0, "delta_r2_found": NAN, "control_genes_found": NAN})
    assert told(tests.prediction(none)) == "Lung: 0 genes of 100 found, 400 donors."


def test_of_terms_descriptions_and_claims():
    row = {"setting": "s", "collection": "markers", "test": "camera", "found": 3, "control_found": 0}
    assert tests.enrichment(frame(row)) == "s, markers by camera: 3 found, 0 with donors shuffled."
    rows = frame({"technical": "yes", "r2_cv": 0.25, "term": "red"}, {"technical": "no", "r2_cv": 0.5, "term": ""})
    text = "2 features described, 1 of them all technical; R2 in donors left out 0.250 to 0.500; first terms: red."
    assert tests.descriptions(rows) == text
    claims = frame(
        *[{"claim": c, "tissue_id": "A", "verdict": v} for c, v in (("x", "holds"), ("y", "fails"), ("z", "holds"))]
    )
    assert tests.claims(claims) == "3 claims on 1 tissue: 1 fails, 2 holds."


def test_of_factors():
    row = {
        "tissue_id": "Lung",
        "factor": "AGE",
        "image_adjusted": 0.01,
        "image_adjusted_low": 0,
        "image_adjusted_high": 0.02,
    }
    most = row | {"factor": "SMTSISCH", "image_adjusted": 0.1, "image_adjusted_low": 0.05, "image_adjusted_high": 0.15}
    text = "Lung: most by SMTSISCH 0.100 (95 % interval 0.050 to 0.150) of image, of 2 factors."
    assert factors.ledger(frame(row, most)) == text
    assert factors.ledger(frame({"tissue_id": "Lung", "factor": "AGE"})) == "Lung: most by no factor, of 1 factor."
    row = {"setting": "a", "other": "b", "difference": 0.02, "ci_low": 0.01, "ci_high": 0.03, "p": 0.01, "n": 40}
    rows = frame(row, row | {"ci_low": -0.01})
    text = "1 of 2 intervals above 0: a less b 0.020 (95 % interval 0.010 to 0.030, p = 0.01), 40 donors; a less b"
    assert told(factors.setting_claims(rows)).startswith(text)


def test_of_labels_and_causes():
    row = {"label": "SEX", "hits": 0, "control_hits": NAN, "best_p": 0.2, "best_feature": "raw_1"}
    assert factors.labels(frame(row)) == "0 of 1 label has hits; smallest p = 0.2 (SEX with raw_1)."
    rows = frame(row | {"hits": 3, "control_hits": 0}, row | {"best_p": NAN})
    assert factors.labels(rows).startswith("1 of 2 labels have hits, with donors shuffled 0; ")
    assert factors.labels(frame(row | {"best_p": NAN})) == "0 of 1 label has hits."
    row = {"label": "SEX", "metric": "AUROC", "image": 0.7, "confounders": 0.6, "gain_image": 0.1, "p_gain_image": 0.03}
    text = "SEX: AUROC 0.700 of the image and 0.600 of the confounders, gain 0.100 (p = 0.03), 30 donors."
    rows = frame(row | {"n": 30, "status": "tested"}, row | {"gain_image": NAN, "status": "too few"})
    assert told(factors.label_prediction(rows)) == text
    assert factors.label_prediction(rows.iloc[1:]) == "none of 1 label could be predicted: too few."
    pairs = pd.DataFrame({"verdict": ["undetermined", "", None, "gene_to_feature"]})
    assert factors.causes(pairs) == "4 pairs: 1 gene_to_feature, 2 not tested, 1 undetermined."
    sizes = pd.DataFrame({"cohort": [37], "256": [37], "every": [36]}, index=["Lung"])
    assert told(factors.donors_by_size(sizes)) == "Lung: 36 donors with every size, 37 donors in the cohort."


def test_the_report_shows_a_sentence_as_text_and_a_shareable_one_tells_no_small_count():
    rows = pd.DataFrame({"a": [1]})
    content = table(
        "x", "X", "Shown.", "Wrong.", rows, {"a": {}}, "x.tsv", "Row", finding="<script> {people 4} donors."
    )
    shown = disclosed(content, Disclosure(INTERNAL))["description"]
    assert shown.endswith(f"{THIS_RUN}&lt;script&gt; 4 donors.") and shown.startswith("Shown. Wrong.")
    hidden = disclosed(content, Disclosure(SHAREABLE))["description"]
    assert hidden.endswith("&lt;script&gt; &lt; 5 donors.")
    assert "This run" not in disclosed(content | {"finding": ""}, Disclosure(INTERNAL))["description"]
