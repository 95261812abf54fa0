"""Variants, causes and labels in the explorer: numbers of the tables, few donors hidden, views that lead on."""

import explorer_page_made as page_made
import numpy as np
import pandas as pd
import pytest
from explorer_made import ID, SETTING, broken, changed, content, frame, notes
from explorer_page_made import ROWS, show, texts
from test_summarise import ATTACK

from build_explorer import main
from hx_explorer_traits import few_hidden

browser, open_page, run = page_made.browser, page_made.open_page, page_made.run


def traits(run, kind: str) -> pd.DataFrame:
    return frame(content(run[0] / "explorer", f"{SETTING}.traits")[kind])


def table(run, kind: str) -> pd.DataFrame:
    return pd.read_csv(run[0] / "results" / f"{ID}.256.{kind}.tsv", sep="\t")


def test_traits_stand_beside_genotypes_shuffled(run):
    rows, made = traits(run, "qtl"), table(run, "qtl_summary")
    real, shuffled = (made[made["control"] == c].reset_index() for c in ("none", "permute_genotypes"))
    assert list(rows["trait"]) == list(real["trait"])
    np.testing.assert_array_equal(rows["hits"], real["hits"])
    np.testing.assert_array_equal(rows["control_hits"], shuffled["hits"])
    np.testing.assert_allclose(rows["best_p"], real["best_p"], rtol=1e-5)
    assert traits(run, "leads")["pos"][0] == 230_000_001  # more digits than float32 holds


def test_labels_have_their_scores_and_hits_of_shuffled_donors(run):
    rows, scores = traits(run, "labels"), table(run, "annotation_prediction")
    assert list(rows["label"]) == ["AGE", ATTACK]  # by p
    np.testing.assert_allclose(rows["image"], scores["image"], rtol=1e-6)
    assert list(rows["control_hits"]) == [0, 0] and list(rows["metric"]) == ["R2", "AUROC"]


def test_a_run_without_these_stages_has_no_such_data(run, tmp_path):
    def lost(folder):
        for path in [*folder.glob("*.qtl_*"), *folder.glob("*.causality_*"), *folder.glob("*.annotation_*")]:
            path.unlink()

    explorer = broken(run, tmp_path, lost)
    assert content(explorer, "index")["parts"][SETTING]["traits"] is False
    assert not (explorer / "data" / f"{SETTING}.traits.js").exists()


def test_no_lead_is_a_result_and_an_older_table_is_told(run, tmp_path):
    def change(folder):
        leads = folder / f"{ID}.256.qtl_leads.tsv"
        leads.write_text(leads.read_text().split("\n")[0] + "\n")
        points = folder / f"{ID}.256.qtl_manhattan.tsv"
        points.write_text(points.read_text().replace("nlog10p", "logp"))

    explorer = broken(run, tmp_path, change)
    assert "qtl_leads" not in notes(explorer)
    assert f"{ID}.256.qtl_manhattan.tsv has no column nlog10p" in notes(explorer)


def test_few_donors_are_not_counted():
    rows = pd.DataFrame({"n": [40, 40, 40, 4], "carriers": [3, 37, 20, 4], "missing": 0, "positives": [0, 4, 5, 2]})
    shown = few_hidden(rows)
    np.testing.assert_array_equal(shown["carriers"], [np.nan, np.nan, 20, np.nan])
    np.testing.assert_array_equal(shown["positives"], [0, np.nan, 5, np.nan])
    np.testing.assert_array_equal(shown["n"], [40, 40, 40, np.nan])


def test_a_shareable_run_hides_few_carriers(run, tmp_path):
    assert main(changed([*run[1], "--disclosure", "shareable"], "--outdir", tmp_path / "explorer")) == 0
    packed = content(tmp_path / "explorer", f"{SETTING}.traits")
    assert "carriers" not in packed["leads"]["columns"]  # 3 of them, the only row
    np.testing.assert_array_equal(frame(packed["labels"])["positives"], [20, np.nan])


@page_made.DRIVEN
def test_variants_lead_to_features(run, open_page):
    page = open_page(run[0] / "explorer", "#view=genotypes")
    page.wait_for_selector("svg[aria-label^='Manhattan plot of 4 variants']")
    card = page.locator(".left .card").text_content()
    assert "1 lead among 3 traits and 90 variants" in card and "a variant with 25.0" in card
    lead = traits(run, "leads")["trait"][0]
    assert f"Lambda is out of its limits: {lead}" in card
    page.select_option(".left figure select", "embedding")
    page.wait_for_selector("svg[aria-label^='Manhattan plot of 2 variants']")
    assert "test=embedding" in page.url
    page.locator("[aria-label=Leads] tbody button").click()
    page.wait_for_selector("[aria-label='Chosen feature'] h2")
    assert page.locator("[aria-label='Chosen feature'] h2").text_content() == lead
    assert "view=features" in page.url


@page_made.DRIVEN
def test_a_pair_shows_its_estimates_and_leads_to_its_gene(run, open_page):
    page = open_page(run[0] / "explorer", "#view=causality")
    page.wait_for_selector(ROWS)
    assert "gene_to_feature 1, not tested 1" in page.locator(".left .card").text_content()
    page.locator(ROWS).first.click()
    page.wait_for_selector("[aria-label='Chosen pair'] svg")
    card = page.locator("section[aria-label='Chosen pair']")
    assert "0.400 (0.200 to 0.600)" in card.locator("svg").get_attribute("aria-label")
    assert "NO_INSTRUMENT, no variant goes with it" in card.text_content() and "relevance, F 30" in card.text_content()
    card.locator("button", has_text="Show").first.click()
    page.wait_for_selector("[aria-label='Chosen gene'] h2")
    assert page.locator("[aria-label='Chosen gene'] h2").text_content() == ATTACK


@page_made.DRIVEN
@pytest.mark.parametrize("label", [0, 1])
def test_a_label_shows_its_features_which_lead_on(run, open_page, label):
    page = open_page(run[0] / "explorer", "#view=labels")
    page.wait_for_selector(ROWS)
    assert "1 of 2 labels goes with image features" in page.locator(".left .card").text_content()
    assert page.locator(".left figure svg[role=img]").count() == 2  # a score of numbers, one of classes
    page.locator(ROWS).nth(label).click()
    page.wait_for_selector("section[aria-label='Chosen label'] h2")
    assert page.locator("section[aria-label='Chosen label'] h2").text_content() == ["AGE", ATTACK][label]
    rows = "section[aria-label='Chosen label'] tbody tr[data-place] button"
    goes = traits(run, "label_features")
    assert texts(page, rows) == list(goes.loc[goes["label"] == ["AGE", ATTACK][label], "feature"])
    page.fill("#q", "4")  # 0.05
    left = [["AGE"], []][label]
    page.wait_for_function("() => location.hash.includes('q=0.05')")
    assert texts(page, ROWS) == ["AGE"]
    page.wait_for_function(f"rows => document.querySelectorAll(rows).length === {len(left)}", arg=rows)
    if left:
        page.locator(rows).first.click()
        page.wait_for_selector("[aria-label='Chosen feature'] h2")
    show(page, "overview")
