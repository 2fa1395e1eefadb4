"""What the lessons show as HTML, in a browser: the point that can be dragged, and the map's links."""

import re

import pytest
import torch

from defdetr_ref.course.figures.areas import CELL, areas_picture
from defdetr_ref.course.figures.bilinear import read
from defdetr_ref.course.figures.map import NOTEBOOKS, model_map
from tests.browser.waiting import becomes, box, changes, holds

expect = pytest.importorskip("playwright.sync_api").expect
HEIGHT, WIDTH = 3, 5
IMAGE = torch.arange(HEIGHT * WIDTH).view(HEIGHT, WIDTH).remainder(7) / 10  # two decimals, as the picture has

# What the picture tells: x and y, the sum, the areas' sizes in square units of the picture, and their shares.
SHOWN = """() => {
    const word = (name) => document.querySelector(`.${name}`).textContent;
    const corners = [0, 1, 2, 3];
    const side = (corner, name) => Number(document.querySelector(`.area-${corner}`).getAttribute(name));
    return {
        place: word("where").split(",").map((part) => Number(part.split("=")[1])),
        total: Number(word("sum").replace("= ", "")),
        sizes: corners.map((corner) => side(corner, "width") * side(corner, "height")),
        shares: corners.map((corner) => Number(word(`line-${corner}`).split(" ")[0])),
    };
}"""
NEAR = "({ place }, wanted) => wanted.every((at, axis) => Math.abs(at - place[axis]) <= 0.02)"

# All that the script moves: numbers to two digits, and words.
DRAWN = """() => {
    const corners = [0, 1, 2, 3];
    const elements = ["area", "pixel"].flatMap((name) => corners.map((corner) => `.${name}-${corner}`));
    const numbers = elements.flatMap((name) => {
        const element = document.querySelector(name);
        const sides = ["x", "y", "width", "height", "cx", "cy"].map((side) => element.getAttribute(side));
        return sides.filter((side) => side !== null).map((side) => Number(side).toFixed(2));
    });
    const words = [".where", ".sum", ".line-0", ".line-3"].map((name) => document.querySelector(name).textContent);
    return [...numbers, ...words];
}"""


@pytest.fixture
def picture(page):
    page.set_content(areas_picture(IMAGE, 2.7, 1.4))
    expect(page.locator(".defdetr-areas")).to_have_attribute("data-alive", "")
    return page


def drag_to(page, x: float, y: float) -> None:
    """Press on the map's first pixel, and move to (x, y) in pixels of the map."""
    area = box(page.locator(".defdetr-areas svg"))
    sides = "() => Number(document.querySelector('.defdetr-areas svg').getAttribute('viewBox').split(' ')[2])"
    scale = area["width"] / holds(page, sides, "(seen) => seen > 0")
    places = [(area["x"] + (place_x + 1.5) * CELL * scale, area["y"] + (place_y + 1.5) * CELL * scale)
              for place_x, place_y in ((0.0, 0.0), (x, y))]  # fmt: skip
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1])
    page.mouse.up()


@pytest.mark.parametrize("place", [(1.3, 0.6), (3.75, 1.2), (-0.5, 1.8), (4.6, -0.4), (2.5, 2.7)])
def test_a_dragged_point_reads_what_the_package_reads(picture, place):
    drag_to(picture, *place)
    seen = holds(picture, SHOWN, NEAR, list(place))
    sizes = [size / CELL**2 for size in seen["sizes"]]
    assert sum(sizes) == pytest.approx(1, abs=1e-3) and seen["shares"] == pytest.approx(sizes, abs=0.006)
    assert seen["total"] == pytest.approx(read(IMAGE, *seen["place"])[0], abs=0.02)


def test_drawing_the_first_place_again_changes_nothing(picture):
    python = holds(picture, DRAWN, "(seen) => seen.length > 0")
    picture.locator(".point").focus()
    with changes(picture, DRAWN):
        picture.keyboard.press("ArrowRight")
    picture.keyboard.press("ArrowLeft")
    becomes(picture, DRAWN, python)


def test_a_point_cannot_leave_the_ring(picture):
    picture.locator(".point").focus()
    for _ in range(40):
        picture.keyboard.press("ArrowUp")
    expect(picture.locator(".where")).to_have_text("x = 2.70, y = -1.00")
    expect(picture.locator(".sum")).to_have_text("= 0.000")
    drag_to(picture, WIDTH + 0.45, HEIGHT + 0.45)
    expect(picture.locator(".where")).to_have_text(f"x = {WIDTH:.2f}, y = {HEIGHT:.2f}")
    expect(picture.locator(".sum")).to_have_text("= 0.000")


def test_arrow_keys_do_not_reach_the_notebook(picture):
    picture.evaluate("() => { window.reached = []; }")
    picture.evaluate("() => document.addEventListener('keydown', (event) => reached.push(event.key))")
    picture.locator(".point").focus()
    picture.keyboard.press("ArrowDown")
    picture.keyboard.press("Shift")  # means nothing here, and so it is the first key that the notebook hears of
    becomes(picture, "() => reached", ["Shift"])
    expect(picture.locator(".where")).to_have_text("x = 2.70, y = 1.50")


def test_the_map_shows_its_words_and_links_to_pages_of_the_site(page, tmp_path):
    (tmp_path / "00_map.html").write_text("<meta charset=utf-8>" + model_map(), encoding="utf-8")
    page.goto((tmp_path / "00_map.html").as_uri())
    expect(page.locator(".defdetr-map a")).to_have_count(len(NOTEBOOKS) - 1)
    overflowing = """() => [...document.querySelectorAll(".defdetr-map a")]
        .filter((a) => a.scrollWidth > a.clientWidth || a.scrollHeight > a.clientHeight)
        .map((a) => a.textContent)"""
    becomes(page, overflowing, [])
    links = "() => [...document.querySelectorAll('.defdetr-map a')].map((a) => a.getAttribute('href')).sort()"
    becomes(page, links, [f"{name}.html" for name in NOTEBOOKS[1:]])


def test_links_of_the_map_are_notebooks_where_the_page_is_no_file_of_the_site(page):
    page.set_content(model_map())
    expect(page.locator(".defdetr-map a").first).to_have_attribute("href", re.compile(r"\.ipynb$"))
