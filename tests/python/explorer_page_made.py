"""The explorer's page in a browser, for the tests that drive it."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from explorer_made import SETTING, content, frame, make_explorer_run

from build_explorer import main

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVEN = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: the page itself is not driven")
ROWS = ".left tbody tr[data-place] button"
WIDE = """one => new Promise(done => one.complete ? done(one.naturalWidth)
    : one.onload = () => done(one.naturalWidth))"""
VIEWS = ("genes", "features", "sets", "confounders", "genotypes", "causality", "labels", "overview")
LONG = 20_000  # milliseconds that a slow machine may take


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list[str]]:
    """Folder of a run with its explorer, and the arguments of build_explorer.py."""
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
        page.on("dialog", lambda dialog: told.append(f"a text was run: {dialog.message}"))
        page.goto(f"{(folder / 'index.html').as_uri()}{state}")
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert told == []


def genes_of(run: tuple[Path, list[str]]) -> pd.DataFrame:
    """The genes that the page lists first."""
    return frame(content(run[0] / "explorer", f"{SETTING}.tables")["genes"])


def texts(page, css: str) -> list[str]:
    """What each element says."""
    return page.eval_on_selector_all(css, "all => all.map(one => one.textContent)")


def show(page, view: str) -> None:
    """Open a view and wait until it stands."""
    page.click(f"#view-{view}")
    page.wait_for_function("view => document.querySelector('#main [data-view]')?.dataset.view === view", arg=view)
