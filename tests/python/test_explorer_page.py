"""The explorer's page in Chromium, from file://: links, tables, keyboard, download, bad data, names that attack."""

import csv
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from explorer_made import ID, SETTING, content, frame, make_explorer_run
from test_explorer import changed
from test_summarise import ATTACK

from build_explorer import main

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: the page itself is not driven")
PAGE = Path(__file__).resolve().parents[2] / "assets" / "explorer"
ROWS = ".left tbody tr[data-place] button"
NAMELESS = """() => [...document.querySelectorAll(
    'button, a, select, input, [role=img], [role=region], [tabindex="0"]')].filter(one => !(one.ariaLabel
    || one.textContent.trim() || one.closest('label')?.textContent.trim())).map(one => one.outerHTML)"""
WIDE = """one => new Promise(done => one.complete ? done(one.naturalWidth)
    : one.onload = () => done(one.naturalWidth))"""
LONG = 20_000  # milliseconds that a slow machine may take


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("explorer_page")
    arguments = make_explorer_run(folder)
    assert main(arguments) == 0
    return folder, arguments


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser):
    """Opens explorer/index.html of a folder; at the end: no console error, nothing asked of a network."""
    pages, told = [], []

    def opened(folder: Path, state: str = "", width: int = 1280, lost: tuple[str, ...] = ()):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="light")
        page.set_default_timeout(LONG)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on(
            "request",
            lambda request: (
                told.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None
            ),
        )
        page.on(
            "console",
            lambda m: told.append(m.text) if m.type == "error" and not any(x in m.text for x in lost) else None,
        )
        page.goto(f"{(folder / 'index.html').as_uri()}{state}")
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert told == []


def genes_of(run) -> pd.DataFrame:
    return frame(content(run[0] / "explorer", f"{SETTING}.tables")["genes"])


def texts(page, css: str) -> list[str]:
    return page.eval_on_selector_all(css, "all => all.map(one => one.textContent)")


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


def test_names_that_attack_are_text(run, open_page, tmp_path):
    evil = "<img src=x onerror=alert(1)>"
    shutil.copytree(run[0] / "results", tmp_path / "results")
    for path in sorted((tmp_path / "results").iterdir()):
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            table["setting"] = table["setting"].astype(str).str.replace(ID, evil)
            table.to_parquet(path)
        else:
            path.write_text(path.read_text().replace(ID, evil))
        path.rename(path.with_name(path.name.replace(ID, evil)))
    assert (
        main(["--tables", str(tmp_path / "results"), "--primary", "256,raw,mean", "--outdir", str(tmp_path / "out")])
        == 0
    )
    page = open_page(tmp_path / "out")
    page.on("dialog", lambda dialog: pytest.fail("a name was run"))
    page.wait_for_selector(ROWS)
    assert page.locator("#tissue option").first.text_content() == evil
    page.fill(".left input[type=search]", "<script>")
    assert texts(page, ROWS) == [ATTACK]
    page.click(ROWS)
    page.wait_for_selector("[aria-label='Chosen gene'] h2")
    assert page.locator("[aria-label='Chosen gene'] h2").text_content() == ATTACK
    for view in ("features", "sets", "confounders", "overview"):
        page.click(f"#view-{view}")
        page.wait_for_timeout(50)
    assert page.locator("main script, main img[src='x']").count() == 0
    assert evil in page.locator("h2").first.text_content()


def test_a_run_to_be_shared_draws_bins(run, open_page):
    # Beside description/, where the pictures are.
    assert main(changed([*run[1], "--disclosure", "shareable"], "--outdir", run[0] / "shared")) == 0
    page = open_page(run[0] / "shared")
    page.locator(ROWS).first.click()
    page.wait_for_selector(".panel svg.plot .point")
    assert page.locator(".panel svg.plot .point").count() <= 10
    assert "no donor is shown" in page.locator(".panel figcaption p").text_content()


def test_bad_data_is_told_and_never_a_blank_page(run, open_page, tmp_path):
    shutil.copytree(run[0] / "explorer", tmp_path / "lost")
    (tmp_path / "lost" / "data" / "index.js").unlink()
    page = open_page(tmp_path / "lost", lost=("ERR_FILE_NOT_FOUND",))
    page.wait_for_selector("text=data/index.js is not there")
    shutil.copytree(run[0] / "explorer", tmp_path / "old")
    index = tmp_path / "old" / "data" / "index.js"
    index.write_text(index.read_text().replace('"format":1', '"format":0'))
    open_page(tmp_path / "old").wait_for_selector("text=they come from another version of HistoGEx")
    shutil.copytree(run[0] / "explorer", tmp_path / "part")
    (tmp_path / "part" / "data" / f"{SETTING}.tables.js").unlink()
    page = open_page(tmp_path / "part", lost=("ERR_FILE_NOT_FOUND",))
    page.wait_for_selector(f"text=data/{SETTING}.tables.js is not there")
    page.click("#view-overview")
    page.wait_for_selector("text=All settings")
    (tmp_path / "none").mkdir()
    assert main(["--tables", str(tmp_path / "none"), "--outdir", str(tmp_path / "empty")]) == 0
    open_page(tmp_path / "empty").wait_for_selector("text=no table tells of a setting that ran")


def test_views_without_their_tables_say_why(run, open_page, tmp_path):
    shutil.copytree(run[0] / "results", tmp_path / "results")
    for path in (tmp_path / "results").glob("*"):
        if not path.name.endswith(".association_summary.tsv"):
            path.unlink()
    arguments = ["--tables", str(tmp_path / "results"), "--primary", "256,raw,mean", "--outdir", str(tmp_path / "out")]
    assert main([*arguments, "--skipped", "enrich: --skip enrich"]) == 0
    page = open_page(tmp_path / "out")
    for view, text in (
        ("genes", "no table of genes"),
        ("features", "no table of features"),
        ("sets", "enrich was skipped (--skip enrich)"),
        ("confounders", "not measured in this run"),
        ("overview", "no such file in this run"),
    ):
        page.click(f"#view-{view}")
        page.wait_for_selector(f"text={text}")


def test_without_hits_the_page_says_so(run, open_page, tmp_path):
    shutil.copytree(run[0] / "results", tmp_path / "results")
    path = tmp_path / "results" / f"{ID}.256.association_genes.parquet"
    pd.read_parquet(path).assign(gene_q=0.9).to_parquet(path)
    assert (
        main(["--tables", str(tmp_path / "results"), "--primary", "256,raw,mean", "--outdir", str(tmp_path / "out")])
        == 0
    )
    page = open_page(tmp_path / "out")
    page.wait_for_selector("text=No gene is found at q \u2264 0.05")
    page.fill("#q", "4")
    page.wait_for_selector("text=No row: widen the search")


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("theme", [0, 1])
def test_contrast_of_both_themes(theme):
    block = re.findall(r":root[^{]*\{([^}]*)\}", (PAGE / "style.css").read_text())[theme]
    colour = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))

    def contrast(one: str, other: str) -> float:
        low, high = sorted(luminance(colour[name]) for name in (one, other))
        return (high + 0.05) / (low + 0.05)

    for ground in ("ground", "panel", "chosen", "warn"):
        assert contrast("text", ground) >= 4.5
    for ink in ("muted", "accent"):
        assert contrast(ink, "ground") >= 4.5 and contrast(ink, "panel") >= 4.5
    assert contrast("accent", "chosen") >= 4.5
    for mark in ("low", "high", "muted", "edge"):
        assert contrast(mark, "ground") >= 3 and contrast(mark, "panel") >= 3


@pytest.mark.parametrize("width", [1280, 390])
def test_names_order_and_width(run, open_page, width):
    gene = genes_of(run)["gene"][0]
    feature = frame(content(run[0] / "explorer", f"{SETTING}.tables")["described"])["feature"][0]
    page = open_page(run[0] / "explorer", f"#gene={gene}&feature={feature}", width)
    page.wait_for_selector(".gallery")
    for view in ("genes", "features", "sets", "confounders", "overview"):
        page.click(f"#view-{view}")
        page.wait_for_function("view => document.getElementById(`view-${view}`).hasAttribute('aria-current')", arg=view)
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        nameless = page.evaluate(NAMELESS)
        assert nameless == []
        heads = page.evaluate(
            "[...document.querySelectorAll('thead th')].map(h => [h.scope, h.getAttribute('aria-sort')])"
        )
        assert all(scope == "col" and sort in ("none", "ascending", "descending") for scope, sort in heads)
        assert page.evaluate("[...document.querySelectorAll('[tabindex]')].every(one => one.tabIndex <= 0)")
        assert page.evaluate("[...document.querySelectorAll('img')].every(one => one.alt)")
    assert page.evaluate("document.documentElement.lang") == "en"
    page.reload()
    page.wait_for_selector(".overview")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "theme"
