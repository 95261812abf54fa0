"""The explorer's page in Chromium, from file://: tables, links, volcano, address, keyboard, downloads."""

import csv
import re

import explorer_page_made as page_made
import pytest
from explorer_made import ID, SETTING, content, frame
from explorer_page_made import ROWS, WIDE, genes_of, texts
from test_summarise import ATTACK

pytestmark = page_made.DRIVEN
browser, open_page, run = page_made.browser, page_made.open_page, page_made.run


def test_genes_sorted_searched_and_cut(run, open_page):
    page, genes = open_page(run[0] / "explorer"), genes_of(run)
    page.wait_for_selector(ROWS)
    assert texts(page, ROWS)[:5] == list(genes["symbol"][:5])
    page.click(".left button.head:has-text('beta')")
    head = page.locator(".left th[scope=col]:has-text('beta')")
    assert head.get_attribute("aria-sort") == "descending"
    assert texts(page, ROWS)[0] == genes.loc[genes["beta"].idxmax(), "symbol"]
    page.click(".left button.head:has-text('beta')")
    assert head.get_attribute("aria-sort") == "ascending"
    assert texts(page, ROWS)[0] == genes.loc[genes["beta"].idxmin(), "symbol"]
    page.locator(".left button.head", has_text=re.compile("^q$")).click()
    assert texts(page, ROWS)[0] == genes.loc[genes["gene_q"].idxmin(), "symbol"]
    page.fill(".left input[type=search]", genes["gene"][7].upper())
    assert texts(page, ROWS) == [genes["symbol"][7]]
    page.fill(".left input[type=search]", "no such gene")
    assert page.locator(".left tbody").text_content() == "No row: widen the search or the cut-off of q."
    page.fill(".left input[type=search]", "")
    page.fill("#q", "4")
    assert page.locator("#q-shown").text_content() == "0.05"
    count = page.locator(".left .table .tools .muted")
    assert count.text_content() == f"{(genes['gene_q'] <= 0.05).sum()} of {len(genes)} rows"
    assert "q=0.05" in page.url


def test_a_table_draws_the_rows_in_sight_alone(run, open_page):
    page, genes = open_page(run[0] / "explorer"), genes_of(run)
    page.wait_for_selector(ROWS)
    assert len(texts(page, ROWS)) < 40 < len(genes)
    page.eval_on_selector(".left .scroll", "box => { box.scrollTop = box.scrollHeight }")
    page.wait_for_function(
        "last => document.querySelector('.left tbody').textContent.includes(last)", arg=genes["gene"].iloc[-1]
    )
    assert int(page.locator(".left table").get_attribute("aria-rowcount")) == len(genes) + 1


def test_gene_feature_patches_and_map_lead_to_each_other(run, open_page):
    page, genes = open_page(run[0] / "explorer"), genes_of(run)
    described = frame(content(run[0] / "explorer", f"{SETTING}.tables")["described"])["feature"]
    gene = int(page.wait_for_selector(ROWS) and 0)
    page.locator(ROWS).nth(gene).click()
    page.wait_for_selector("[aria-label='Chosen gene'] h2")
    assert page.locator("[aria-label='Chosen gene'] h2").text_content() == genes["symbol"][gene]
    assert page.locator("[aria-label='Chosen feature'] h2").text_content() == described[0]
    assert page.locator(".panel svg.plot .point").count() == 40
    assert f"r {genes['r'][gene]:.3f}" in page.locator(".panel figcaption p").text_content()
    image = page.locator(".gallery img")
    assert page.evaluate(WIDE, image.element_handle()) == 64
    page.select_option("[aria-label='Picture']", index=2)
    assert image.get_attribute("src").endswith(f"S1.01.{described[0]}.png")
    other = texts(page, "[aria-label='Chosen gene'] tbody tr[data-place] button")[1]
    page.locator("[aria-label='Chosen gene'] tbody tr[data-place] button").nth(1).click()
    page.wait_for_function(
        "name => document.querySelector('[aria-label=\"Chosen feature\"] h2').textContent === name", arg=other
    )
    assert f"feature={other}" in page.url
    page.locator("[aria-label='Chosen feature'] tbody tr[data-place] button").nth(2).click()
    page.wait_for_function(
        "name => document.querySelector('[aria-label=\"Chosen gene\"] h2').textContent !== name",
        arg=genes["symbol"][gene],
    )
    page.go_back()
    page.wait_for_function(
        "name => document.querySelector('[aria-label=\"Chosen gene\"] h2').textContent === name",
        arg=genes["symbol"][gene],
    )


def test_a_point_of_the_volcano_chooses_its_gene(run, open_page):
    page, genes = open_page(run[0] / "explorer"), genes_of(run)
    page.wait_for_selector(ROWS)
    assert page.locator("canvas").get_attribute("aria-label").startswith(f"Volcano plot of {len(genes)} genes")
    box = page.locator("canvas").bounding_box()
    most = max(
        abs(genes["r"].min() - 0.06 * (genes["r"].max() - genes["r"].min())),
        genes["r"].max() + 0.06 * (genes["r"].max() - genes["r"].min()),
    )
    top = genes["nlog10p"].max() + 0.08 * (genes["nlog10p"].max() - genes["nlog10p"].min())
    x = 46 + (genes["r"][0] / most + 1) / 2 * (box["width"] - 58)
    y = 260 - genes["nlog10p"][0] / top * 250
    page.mouse.click(float(box["x"] + x), float(box["y"] + y))
    page.wait_for_selector("[aria-label='Chosen gene'] h2")
    assert f"gene={genes['gene'][0]}" in page.url


def test_the_address_opens_the_same_page(run, open_page):
    genes = genes_of(run)
    state = f"#tissue={ID}&size=256&encoder=raw&aggregation=mean&view=genes&gene={genes['gene'][3]}&feature=raw_0001"
    state += "&q=0.5&colour=SMCENTER&theme=dark"
    page = open_page(run[0] / "explorer", state)
    page.wait_for_selector("[aria-label='Chosen gene'] h2")
    assert page.locator("[aria-label='Chosen gene'] h2").text_content() == genes["symbol"][3]
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator("#q-shown").text_content() == "0.5"
    assert page.locator("#colour").input_value() == "SMCENTER"
    assert texts(page, ".key span") == ["<b>B1</b>", "C1"]
    page.select_option("#colour", "AGE")
    page.wait_for_selector(".key .ramp")
    page.click("#theme")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    page.select_option("#size", "1024")
    page.wait_for_function("document.querySelector('#main [data-setting]').dataset.setting.includes('.1024.')")
    page.select_option("#aggregation", "median")
    page.click("#view-genes")
    page.wait_for_selector("text=The explorer holds the encoder and aggregation of the declared setting")
    assert page.locator(f"a[href='../associations/{ID}.1024.associations.parquet']").count() == 1


def test_keyboard_in_tables_and_galleries(run, open_page):
    page, genes = open_page(run[0] / "explorer"), genes_of(run)
    page.wait_for_selector(ROWS)
    page.locator(ROWS).first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "End", "Home", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("[aria-label='Chosen gene'] h2")
    assert page.locator("[aria-label='Chosen gene'] h2").text_content() == genes["symbol"][1]
    assert page.evaluate("document.activeElement.textContent") == genes["symbol"][1]
    assert (
        page.locator("#announce").text_content() == "" or genes["symbol"][1] in page.locator("#announce").text_content()
    )
    page.locator(ROWS).first.click()
    page.wait_for_selector(".gallery")
    page.locator(".gallery .picture").focus()
    caption = page.locator(".gallery > p.muted")
    assert caption.text_content().startswith("1 of 3")
    page.keyboard.press("ArrowRight")
    assert caption.text_content().startswith("2 of 3")
    page.keyboard.press("End")
    assert caption.text_content().startswith("3 of 3: Map on the tissue of S1")
    page.keyboard.press("ArrowRight")
    assert caption.text_content().startswith("1 of 3")
    assert caption.text_content() == page.locator("#announce").text_content()


@pytest.mark.parametrize("view", ["genes", "sets", "confounders"])
def test_the_data_behind_a_figure_can_be_had(run, open_page, tmp_path, view):
    page = open_page(run[0] / "explorer", f"#view={view}")
    button = page.locator("figure [data-download]").first
    with page.expect_download() as download:
        button.click()
    path = tmp_path / "data.tsv"
    download.value.save_as(path)
    assert re.fullmatch(r"[A-Za-z0-9._-]+\.tsv", download.value.suggested_filename)
    rows = list(csv.reader(path.read_text().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    if view == "genes":
        genes = genes_of(run)
        assert [row[0] for row in rows[1:]] == list(genes["gene"])
        assert [float(row[2]) for row in rows[1:]] == pytest.approx(list(genes["r"]), rel=1e-5)
    if view == "sets":
        assert {row[3] for row in rows[1:]} == {"'=1+1", ATTACK}  # no spreadsheet takes a cell for a formula
    if view == "confounders":
        assert rows[0][:2] == ["view", "factor"] and [float(row[4]) for row in rows[1:]] == pytest.approx(
            [0.2, -0.01] * 2
        )


def test_gene_sets_and_confounders_show_their_numbers(run, open_page):
    page = open_page(run[0] / "explorer", "#view=sets")
    page.wait_for_selector("svg.dots")
    assert "2 tests are found" in page.locator("figcaption p").text_content()
    assert page.locator("svg.dots circle.found").count() == 2
    page.locator("svg.dots circle.found").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("[aria-label='Chosen feature'] h2")
    page.click("#view-confounders")
    page.wait_for_selector("svg.wide")
    assert "AGE, image 20.0 %, expression 20.0 %" in page.locator("svg.wide").get_attribute("aria-label")
    page.select_option("figure select", "model")
    page.wait_for_function("location.hash.includes('given=model')")


def test_search_order_and_picture_stand_in_the_address(run, open_page):
    described = frame(content(run[0] / "explorer", f"{SETTING}.tables")["described"])["feature"]
    page, genes = open_page(run[0] / "explorer", f"#feature={described[0]}"), genes_of(run)
    page.wait_for_selector(".gallery")
    page.fill(".left input[type=search]", "GENE1")
    page.click(".left button.head:has-text('beta')")
    page.click(".gallery button:has-text('Next')")
    page.wait_for_function(
        "() => ['find=gene1', 'sort=-beta', 'picture=2'].every(part => location.hash.includes(part))"
    )
    left = genes[genes["symbol"].str.contains("GENE1") | genes["gene"].str.contains("GENE1")]
    want = list(left.sort_values("beta", ascending=False)["symbol"])
    other = open_page(run[0] / "explorer", page.url.partition("index.html")[2])
    other.wait_for_selector(".gallery")
    assert texts(page, ROWS) == texts(other, ROWS) == want[: len(texts(page, ROWS))] and len(want) > 5
    assert other.locator(".left input[type=search]").input_value() == "gene1"
    assert other.locator(".gallery > p.muted").text_content().startswith("2 of ")
    other.click("#view-features")
    other.wait_for_function("() => !location.hash.includes('find=') && !location.hash.includes('sort=')")
