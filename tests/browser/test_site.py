"""The built site in a real browser, opened from disk: formulas set, widgets alive, nothing asked of the network."""

import pytest

from tests.site.building import ROOT, build

pytestmark = pytest.mark.slow
NARROW, WIDE = {"width": 420, "height": 900}, {"width": 1400, "height": 1000}
FORMULAS = ("notebooks/04_multi_scale_attention", "backward", "glossary")
SAMPLE = ("index", "explorer", "paper_and_code", "operator", "api/attention", "notebooks/00_map", *FORMULAS)


@pytest.fixture
def visit(page):
    """Open pages of the site in one browser page; afterwards, no request has left the disk."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    folder, _ = build()

    def open_page(name):
        page.goto((folder / f"{name}.html").as_uri())
        return page

    yield open_page
    assert asked and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_no_page_asks_the_network(visit):
    notebooks = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    for name in [*SAMPLE, *(f"notebooks/{stem}" for stem in notebooks)]:
        visit(name).wait_for_load_state("networkidle")


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_set(visit, name):
    page = visit(name)
    page.wait_for_selector("mjx-container svg path", state="attached")
    page.evaluate("MathJax.startup.promise")
    assert page.locator("mjx-container").count() > 5 and page.locator("mjx-merror").count() == 0
    assert "$" not in page.locator("article").inner_text().replace("$…$", "")


def test_the_explorer_answers_a_click(visit):
    frame = visit("explorer").frame_locator("iframe.explorer-frame")
    frame.locator(".defdetr-explorer[data-drawn]").wait_for()
    canvas = frame.locator("canvas").first
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    size = canvas.bounding_box()
    canvas.click(position={"x": size["width"] * 0.75, "y": size["height"] * 0.35})
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before


def test_the_point_of_notebook_01_can_be_dragged(visit):
    page = visit("notebooks/01_reading_between_pixels")
    picture = page.locator(".defdetr-areas svg")
    picture.scroll_into_view_if_needed()
    before, box = page.locator(".where").text_content(), picture.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.7)
    page.mouse.up()
    assert page.locator(".where").text_content() != before


def test_the_map_leads_to_a_notebook(visit):
    page = visit("notebooks/00_map")
    page.locator('.defdetr-map a[href*="03_"]').first.click()
    page.wait_for_url("**/03_sampling_offsets.html")


def test_search_finds_words_from_disk(visit):
    page = visit("index")
    page.set_viewport_size(WIDE)
    page.locator(".sidebar-search").fill("bilinear")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["narrow", "wide"])
def test_no_page_scrolls_sideways(visit, viewport):
    for name in SAMPLE:
        page = visit(name)
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], name
