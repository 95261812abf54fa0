"""The explorer's page to look at and to hear: contrast, names, order, width, rules of accessibility."""

import os
import re
from pathlib import Path

import explorer_page_made as page_made
import pytest
from explorer_made import SETTING, content, frame
from explorer_page_made import ROWS, VIEWS, genes_of, show

pytestmark = page_made.DRIVEN
browser, open_page, run = page_made.browser, page_made.open_page, page_made.run
PAGE = Path(__file__).resolve().parents[2] / "assets" / "explorer"
NAMELESS = """() => [...document.querySelectorAll(
    'button, a, select, input, [role=img], [role=region], [tabindex="0"]')].filter(one => !(one.ariaLabel
    || one.textContent.trim() || one.closest('label')?.textContent.trim())).map(one => one.outerHTML)"""


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
    for view in VIEWS:
        show(page, view)
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


@pytest.mark.skipif("HISTOGEX_AXE" not in os.environ, reason="HISTOGEX_AXE names no axe.min.js (npm: axe-core)")
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_nothing(run, open_page, width, theme):
    gene, rules = genes_of(run)["gene"][0], Path(os.environ["HISTOGEX_AXE"]).read_text()
    described = frame(content(run[0] / "explorer", f"{SETTING}.tables")["described"])["feature"]
    state = f"#gene={gene}&feature={described[0]}&label=AGE&theme={theme}"
    page = open_page(run[0] / "explorer", state, width)
    page.wait_for_selector(".gallery")
    page.evaluate(rules)
    for view in VIEWS:
        show(page, view)
        if view == "causality":
            page.locator(ROWS).first.click()
            page.wait_for_selector("section[aria-label='Chosen pair'] svg")
        found = page.evaluate("axe.run(document, {preload: false}).then(all => all.violations.map(one => one.id))")
        assert found == [], view
