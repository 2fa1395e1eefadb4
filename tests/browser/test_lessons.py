"""What the lessons show as HTML, in a browser: the point that can be dragged, and the map's links."""

import itertools
import re

import pytest
import torch

from defdetr_ref.course.figures.areas import CELL, areas_picture
from defdetr_ref.course.figures.bilinear import read
from defdetr_ref.course.figures.map import FRAMES, NOTEBOOKS, model_map
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


PHONE = {"width": 390, "height": 900}
READABLE, TOUCHABLE = 11, 24  # px, of words and of what a finger aims at
DARK = {"--color-background-primary": "#131416", "--color-foreground-primary": "#cfd0d0"}  # as the site has them


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


@pytest.fixture
def phone(browser):
    """A narrow page with a touch screen."""
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto("data:text/html,<meta name=viewport content='width=device-width'><body>")
    yield page
    context.close()


def fill(page, content: str) -> None:
    """Put HTML into a page that has its viewport, and run the scripts in it."""
    page.evaluate("(html) => document.body.append(document.createRange().createContextualFragment(html))", content)


def test_a_finger_drags_the_point_and_scrolls_beside_it(phone):
    fill(phone, areas_picture(IMAGE, 2.7, 1.4))
    words = phone.locator(".where")
    svg = box(phone.locator(".defdetr-areas svg"))
    cell = svg["width"] / (WIDTH + 2)
    target = box(phone.locator(".point circle").first)
    assert min(target["width"], target["height"]) >= TOUCHABLE
    assert 14 * cell / CELL >= READABLE and svg["width"] > 0.85 * PHONE["width"]
    at = {"x": svg["x"] + (2.7 + 1.5) * cell, "y": svg["y"] + (1.4 + 1.5) * cell}
    session = phone.context.new_cdp_session(phone)

    def touch(kind, right=0.0, down=0.0):
        points = [] if kind == "touchEnd" else [{"x": at["x"] + right * cell, "y": at["y"] + down * cell}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for kind, *where in (("touchStart",), ("touchMove", -0.6, 0.3), ("touchMove", -1.2, 0.6), ("touchEnd",)):
        touch(kind, *where)
    moved = re.compile(r"x = 1\.(49|50|51), y = (1\.99|2\.00|2\.01)")
    expect(words).to_have_text(moved)
    touch("touchStart", 1.0, -1.4)  # a finger that is set down elsewhere, and goes away again upwards …
    touch("touchMove", 1.0, -2.4)
    touch("touchEnd")
    phone.locator(".sum").tap()
    expect(words).to_have_text(moved)
    phone.touchscreen.tap(svg["x"] + 4.5 * cell, svg["y"] + 2.5 * cell)  # … and a tap
    expect(words).to_have_text(re.compile(r"x = (2\.99|3\.00|3\.01), y = (0\.99|1\.00|1\.01)"))


def test_the_map_is_a_list_on_a_phone(phone):
    fill(phone, model_map())
    seen = """() => [...document.querySelectorAll(".defdetr-map a")].map((link) => {
        const { left, top, width, height } = link.getBoundingClientRect();
        const sizes = [...link.children].map((words) => parseFloat(getComputedStyle(words).fontSize));
        const fits = link.scrollWidth <= link.clientWidth && link.scrollHeight <= link.clientHeight;
        return { left, top, width, height, fits, smallest: Math.min(...sizes) };
    })"""
    boxes = holds(phone, seen, "(seen) => seen.length > 0")
    assert all(each["fits"] and each["smallest"] >= READABLE for each in boxes)
    assert all(each["height"] >= TOUCHABLE and each["left"] + each["width"] <= PHONE["width"] for each in boxes)
    assert all(one["top"] + one["height"] <= other["top"] for one, other in itertools.pairwise(boxes))
    expect(phone.locator(".defdetr-map svg")).to_be_hidden()
    expect(phone.locator(".defdetr-map p")).to_have_text([frame.title for frame in FRAMES])


@pytest.mark.parametrize(
    "content, inner",
    [(areas_picture(IMAGE, 2.7, 1.4), ".defdetr-areas"), (model_map(), ".defdetr-map > div")],
    ids=["areas", "map"],
)
def test_pictures_take_the_colours_of_the_page(page, content, inner):
    page.set_content(content)
    colours = """(inner) => ["backgroundColor", "color"].map(
        (name) => getComputedStyle(document.querySelector(inner))[name])"""
    becomes(page, colours, ["rgb(255, 255, 255)", "rgb(34, 34, 34)"], inner)
    page.evaluate("(all) => Object.entries(all).forEach((each) => document.body.style.setProperty(...each))", DARK)
    becomes(page, colours, ["rgb(19, 20, 22)", "rgb(207, 208, 208)"], inner)


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
