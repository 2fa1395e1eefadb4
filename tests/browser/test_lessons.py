"""What the lessons show as HTML, in a browser: the point that can be dragged, and the map's links."""

import pytest
import torch

from defdetr_ref.course.figures.areas import CELL, areas_picture
from defdetr_ref.course.figures.bilinear import read
from defdetr_ref.course.figures.map import model_map, notebook_file

HEIGHT, WIDTH = 3, 5
IMAGE = torch.arange(HEIGHT * WIDTH).view(HEIGHT, WIDTH).remainder(7) / 10  # two decimals, as the picture has


@pytest.fixture
def picture(page):
    page.set_content(areas_picture(IMAGE, 2.7, 1.4))
    return page


def shown(page) -> tuple[float, float, float]:
    """x, y and the sum, as the picture tells them."""
    where = page.locator(".where").text_content()
    x, y = (float(part.split("=")[1]) for part in where.split(","))
    return x, y, float(page.locator(".sum").text_content().removeprefix("= "))


def drag_to(page, x: float, y: float) -> None:
    """Press on the map's first pixel, and move to (x, y) in pixels of the map."""
    svg = page.locator(".defdetr-areas svg")
    box = svg.bounding_box()
    scale = box["width"] / float(svg.get_attribute("viewBox").split()[2])
    places = [(box["x"] + (place_x + 1.5) * CELL * scale, box["y"] + (place_y + 1.5) * CELL * scale)
              for place_x, place_y in ((0.0, 0.0), (x, y))]  # fmt: skip
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1])
    page.mouse.up()


@pytest.mark.parametrize("place", [(1.3, 0.6), (3.75, 1.2), (-0.5, 1.8), (4.6, -0.4), (2.5, 2.7)])
def test_a_dragged_point_reads_what_the_package_reads(picture, place):
    drag_to(picture, *place)
    x, y, total = shown(picture)
    assert (x, y) == pytest.approx(place, abs=0.02)
    areas = [picture.locator(f".area-{corner}") for corner in range(4)]
    sizes = [float(area.get_attribute("width")) * float(area.get_attribute("height")) / CELL**2 for area in areas]
    shares = [float(picture.locator(f".line-{corner}").text_content().split(" ")[0]) for corner in range(4)]
    assert sum(sizes) == pytest.approx(1, abs=1e-3) and shares == pytest.approx(sizes, abs=0.006)
    assert total == pytest.approx(read(IMAGE, x, y)[0], abs=0.02)


def test_drawing_the_first_place_again_changes_nothing(picture):
    names = [*(f"area-{corner}" for corner in range(4)), *(f"pixel-{corner}" for corner in range(4))]
    sides = ("x", "y", "width", "height", "cx", "cy")

    def drawn() -> list[float]:
        found = [picture.locator(f".{name}").get_attribute(side) for name in names for side in sides]
        words = [picture.locator(f".{name}").text_content() for name in ("where", "sum", "line-0", "line-3")]
        return [round(float(number), 2) for number in found if number is not None], words

    python = drawn()
    picture.locator(".point").focus()
    picture.keyboard.press("ArrowRight")
    assert drawn() != python
    picture.keyboard.press("ArrowLeft")
    assert drawn() == python


def test_a_point_cannot_leave_the_ring(picture):
    picture.locator(".point").focus()
    for _ in range(40):
        picture.keyboard.press("ArrowUp")
    x, y, total = shown(picture)
    assert (x, y, total) == (2.7, -1, 0)
    drag_to(picture, WIDTH + 0.45, HEIGHT + 0.45)
    assert shown(picture) == (WIDTH, HEIGHT, 0)


def test_arrow_keys_do_not_reach_the_notebook(picture):
    picture.evaluate("document.addEventListener('keydown', () => (window.reached = true))")
    picture.locator(".point").focus()
    picture.keyboard.press("ArrowDown")
    assert picture.evaluate("window.reached") is None


def test_the_map_shows_its_words_and_links_to_pages_of_the_site(page, tmp_path):
    (tmp_path / "00_map.html").write_text("<meta charset=utf-8>" + model_map(), encoding="utf-8")
    page.goto((tmp_path / "00_map.html").as_uri())
    links = page.locator(".defdetr-map a")
    assert links.count() == 14
    overflowing = links.evaluate_all(
        "links => links.filter(a => a.scrollWidth > a.clientWidth || a.scrollHeight > a.clientHeight)"
        ".map(a => a.textContent)"
    )
    assert overflowing == []
    expected = {notebook_file(number).replace(".ipynb", ".html") for number in range(1, 15)}
    assert {link.get_attribute("href") for link in links.all()} == expected


def test_links_of_the_map_are_notebooks_where_the_page_is_no_file_of_the_site(page):
    page.set_content(model_map())
    assert page.locator(".defdetr-map a").first.get_attribute("href").endswith(".ipynb")
