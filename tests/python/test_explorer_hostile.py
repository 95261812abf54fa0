"""The explorer's page with names that attack, formulas, missing and damaged data: text, told, never a blank page."""

import re
import shutil

import explorer_page_made as page_made
import pandas as pd
import pytest
from explorer_made import ID, SETTING, broken, changed
from explorer_page_made import ROWS, VIEWS, show, texts
from test_summarise import ATTACK

from build_explorer import main
from hx_explorer_data import FORMAT
from hx_io import write_tsv

pytestmark = page_made.DRIVEN
browser, open_page, run = page_made.browser, page_made.open_page, page_made.run


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
    page.wait_for_selector(ROWS)
    assert page.locator("#tissue option").first.text_content() == evil
    page.fill(".left input[type=search]", "<script>")
    assert texts(page, ROWS) == [ATTACK]
    page.click(ROWS)
    page.wait_for_selector("[aria-label='Chosen gene'] h2")
    assert page.locator("[aria-label='Chosen gene'] h2").text_content() == ATTACK
    for view in VIEWS[1:]:
        show(page, view)
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
    index.write_text(index.read_text().replace(f'"format":{FORMAT}', '"format":0'))
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


FORMULAS = ["=1+1", "+1+1", "-2+3", "@SUM(A1)", " =1", "\t=1", "-", "+", "-1.5e-3", "+.5", "1-2", "-0x10", "+inf"]
FORMULAS += ["-Infinity", "'=1", "", "=", "a=b", "- a", "\n-a"]


def test_downloads_hold_formulas_as_write_tsv_does(run, open_page, tmp_path):
    page = open_page(run[0] / "explorer")
    page.wait_for_selector(ROWS)
    write_tsv(pd.DataFrame({"a": FORMULAS, "b": "x"}), tmp_path / "a.tsv")
    want = (tmp_path / "a.tsv").read_text()
    assert page.evaluate("rows => histogex.tsv(['a', 'b'], rows.map(a => [a, 'x']))", FORMULAS) == want
    assert "\n'=1+1\tx\n" in want and "\n-\tx\n" in want  # a dash alone is a size of feature tables


def test_names_of_things_in_javascript_are_names(run, open_page, tmp_path):
    named = ["constructor", "__proto__", "toString", "hasOwnProperty"]

    def renamed(folder):
        of = pd.read_parquet(folder / f"{ID}.256.association_genes.parquet").sort_values("p")["best_feature"]
        new = dict(zip(pd.unique(of.astype(str)), named, strict=False))
        for path in folder.glob("*.parquet"):
            table = pd.read_parquet(path)
            for column in {"feature", "best_feature", "symbol"} & set(table):
                table[column] = table[column].astype(str).replace(new | {ATTACK: "valueOf"})
            table.to_parquet(path)

    page = open_page(broken(run, tmp_path, renamed))
    for place in range(4):
        page.locator(ROWS).nth(place).click()
        page.wait_for_selector(".panel [aria-label='Chosen feature'] .message:has-text('pictures')")
    show(page, "features")
    assert set(named) <= set(texts(page, ROWS))


KINDS = [
    "association_genes.parquet", "associations.parquet", "prediction_genes.parquet", "enrichment.parquet",
    "confounder_ledger.tsv", "descriptions.tsv", "qtl_summary.tsv", "qtl_leads.tsv", "qtl_manhattan.tsv",
    "causality_pairs.tsv", "causality_estimates.tsv", "annotation_summary.tsv", "annotation_features.parquet",
    "annotation_prediction.tsv", "association_summary.tsv",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["lost", "empty", "blank"])
def test_without_any_one_table_every_view_stands(run, open_page, tmp_path, fault):
    for kind in KINDS:

        def change(folder, name=f"{ID}.256.{kind}"):
            path = folder / name
            if fault == "lost":
                return path.unlink()
            table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, sep="\t")
            if fault == "empty":
                table = table.iloc[:0]
            else:
                table[table.select_dtypes("float").columns] = float("nan")
            return table.to_parquet(path) if path.suffix == ".parquet" else write_tsv(table, path)

        explorer = broken(run, tmp_path / kind, change)
        page = open_page(explorer, f"#tissue={ID}&size=256", lost=("ERR_FILE_NOT_FOUND",))  # pictures
        for view in VIEWS:
            show(page, view)
            rows = page.locator(ROWS)
            if view != "overview" and rows.count():
                rows.first.click()
            text = page.locator("main").text_content()
            assert text.strip() and "Something went wrong" not in text and "cannot be shown" not in text, (kind, view)
            assert not re.search(r"\b(NaN|undefined|null|Infinity)\b", text), (kind, view, text)
