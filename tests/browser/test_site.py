"""The built site in a real browser, opened from disk: formulas set, widgets alive, nothing asked of the network."""

import re

import pytest

from tests.browser.waiting import PICTURE, becomes, box, changes, holds, shows
from tests.site.building import ROOT, build

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.slow
NARROW, WIDE = {"width": 420, "height": 900}, {"width": 1400, "height": 1000}
FORMULAS = ("notebooks/04_multi_scale_attention", "backward", "glossary", "api/attention")
SAMPLE = ("index", "explorer", "paper_and_code", "operator", "notebooks/00_map", *FORMULAS)


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
    holds(page, "() => document.querySelectorAll('mjx-container').length", "(seen) => seen > 5")
    expect(page.locator("mjx-merror")).to_have_count(0)
    text = "() => document.querySelector('article').innerText.replace('$…$', '')"
    holds(page, text, "(seen) => !seen.includes('$')")


def test_the_explorer_answers_a_click(visit):
    page = visit("explorer")
    frame = page.locator("iframe.explorer-frame").element_handle().content_frame()
    shows(frame, pictured="true")
    canvas = frame.locator("canvas.dd-image")
    area = box(canvas)
    with changes(frame, PICTURE, "canvas.dd-image"):
        canvas.click(position={"x": area["width"] * 0.75, "y": area["height"] * 0.35})


def test_the_point_of_notebook_01_can_be_dragged(visit):
    page = visit("notebooks/01_reading_between_pixels")
    expect(page.locator(".defdetr-areas")).to_have_attribute("data-alive", "")
    picture = page.locator(".defdetr-areas svg")
    picture.scroll_into_view_if_needed()
    area = box(picture)
    with changes(page, "() => document.querySelector('.where').textContent"):
        page.mouse.move(area["x"] + area["width"] * 0.15, area["y"] + area["height"] * 0.5)
        page.mouse.down()
        page.mouse.move(area["x"] + area["width"] * 0.25, area["y"] + area["height"] * 0.7)
        page.mouse.up()


GROUND = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
IS_DARK, IS_LIGHT = "(seen) => Math.max(...seen) < 60", "(seen) => Math.min(...seen) > 230"


@pytest.mark.parametrize("name", ["explorer", "index"])
def test_a_page_in_a_frame_has_the_theme_of_the_page_around_it(visit, name):
    page = visit(name)
    page.evaluate("() => { document.body.dataset.theme = 'auto'; }")
    frame = page.locator("iframe").element_handle().content_frame()
    for scheme, theme, expected in (
        ("light", "auto", IS_LIGHT), ("light", "dark", IS_DARK), ("dark", "auto", IS_DARK), ("dark", "light", IS_LIGHT)
    ):  # fmt: skip
        page.emulate_media(color_scheme=scheme)
        page.evaluate("(theme) => { document.body.dataset.theme = theme; }", theme)
        holds(page, GROUND, expected)
        holds(frame, GROUND, expected)


def test_a_theme_that_was_chosen_before_holds_for_the_frame_from_the_start(visit):
    page = visit("explorer")
    page.evaluate("() => localStorage.setItem('theme', 'dark')")
    page.reload()
    holds(page.locator("iframe").element_handle().content_frame(), GROUND, IS_DARK)


def test_figures_and_pictures_are_no_white_slabs_in_the_dark(visit):
    page = visit("notebooks/01_reading_between_pixels")
    brightness = "(selector) => getComputedStyle(document.querySelector(selector)).filter"
    for theme, expected in (("dark", "brightness(0.78)"), ("light", "brightness(1)")):
        page.evaluate("(theme) => { document.body.dataset.theme = theme; }", theme)
        becomes(page, brightness, expected, "article img")
    page.evaluate("() => { document.body.dataset.theme = 'dark'; }")
    ground = (
        "(selector) => getComputedStyle(document.querySelector(selector)).backgroundColor.match(/\\d+/g).map(Number)"
    )
    for selector in (".defdetr-areas", "div[style*='max-width: 60em']"):
        holds(page, ground, IS_DARK, selector)
    holds(visit("notebooks/00_map"), "() => localStorage.clear()", "() => true")
    page.evaluate("() => { document.body.dataset.theme = 'dark'; }")
    holds(page, ground, IS_DARK, ".defdetr-map > div")


def test_hint_and_solution_are_folded_and_open_by_the_keyboard(visit):
    page = visit("notebooks/03_sampling_offsets")
    folds = page.locator("details.fold")
    expect(folds.locator("summary")).to_have_text(["Hint", "Solution"] * 2)
    becomes(page, "() => document.querySelectorAll('details.fold[open]').length", 0)
    for number, words in ((0, "divided by the larger of"), (1, "def star_by_hand")):
        shown = folds.nth(number).get_by_text(words).first
        expect(shown).to_be_hidden()
        folds.nth(number).locator("summary").focus()
        page.keyboard.press("Enter")
        expect(shown).to_be_visible()


def test_the_map_leads_to_a_notebook(visit):
    page = visit("notebooks/00_map")
    page.locator('.defdetr-map a[href*="03_"]').first.click()
    expect(page).to_have_url(re.compile(r"/03_sampling_offsets\.html$"))


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
        wide = "() => document.documentElement.scrollWidth"
        holds(page, wide, "(seen, { width, name }) => seen <= width", {"width": viewport["width"], "name": name})
