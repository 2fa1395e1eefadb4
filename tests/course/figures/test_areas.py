"""The picture of the four areas, before any script runs."""

import html
import json
import re
from xml.etree import ElementTree

import pytest
import torch

from defdetr_ref.course.figures.areas import CELL, CORNER_COLOURS, areas_picture

HEIGHT, WIDTH = 3, 5


def image() -> torch.Tensor:
    return torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


def parsed(x: float, y: float) -> ElementTree.Element:
    return ElementTree.fromstring(re.sub(r"<script>.*?</script>", "", areas_picture(image(), x, y), flags=re.S))


def element(page: ElementTree.Element, name: str) -> ElementTree.Element:
    (found,) = (node for node in page.iter() if node.get("class") == name)
    return found


def test_an_area_has_its_pixels_colour_and_lies_opposite_to_it():
    page = parsed(2.75, 0.5)
    shares = []
    for corner, colour in enumerate(CORNER_COLOURS):
        area, pixel = element(page, f"area-{corner}"), element(page, f"pixel-{corner}")
        assert area.get("fill") == pixel.get("fill") == colour
        left, top, width, height = (float(area.get(name)) / CELL for name in ("x", "y", "width", "height"))
        centre_x, centre_y = left + width / 2 - 1.5, top + height / 2 - 1.5
        pixel_x, pixel_y = (float(pixel.get(name)) / CELL - 1.5 for name in ("cx", "cy"))
        assert (centre_x > 2.75) == (pixel_x < 2.75) and (centre_y > 0.5) == (pixel_y < 0.5)
        shares.append(width * height)
        assert width * height == pytest.approx((1 - abs(pixel_x - 2.75)) * (1 - abs(pixel_y - 0.5)), abs=1e-4)
    assert sum(shares) == pytest.approx(1, abs=1e-4)


def test_the_sum_is_told_in_words():
    page = parsed(2.75, 0.5)
    values = [[round(value, 2) for value in row] for row in image().tolist()]
    expected = sum(values[row][2] * 0.125 + values[row][3] * 0.375 for row in (0, 1))
    assert element(page, "line-1").text == f"0.38 × {values[0][3]:.2f}   pixel (3, 0)"
    assert float(element(page, "sum").text[2:]) == pytest.approx(expected, abs=6e-4)
    assert element(page, "where").text == "x = 2.75, y = 0.50"


def test_pixels_outside_read_as_zero():
    page = parsed(-0.5, 2.75)
    lines = [element(page, f"line-{corner}").text for corner in range(4)]
    value = round(image()[2, 0].item(), 2)
    assert lines == ["0.12 × 0.00   outside", f"0.12 × {value:.2f}   pixel (0, 2)", "0.38 × 0.00   outside",
                     "0.38 × 0.00   outside"]  # fmt: skip
    assert element(parsed(-1.0, 1.0), "sum").text == "= 0.000"
    assert element(parsed(float(WIDTH), float(HEIGHT)), "sum").text == "= 0.000"


def test_the_script_gets_the_values_and_the_place():
    page = parsed(1.5, 1.0)
    assert json.loads(html.unescape(page.get("data-values"))) == [
        [round(v, 2) for v in row] for row in image().tolist()
    ]
    assert (page.get("data-cell"), page.get("data-x"), page.get("data-y")) == (str(CELL), "1.5", "1.0")
    assert len([node for node in page.iter() if node.get("class") == "map"]) == HEIGHT * WIDTH


def test_nothing_is_loaded():
    assert not re.search(r"https?:|src=|import ", areas_picture(image(), 1.5, 1.0))


def test_a_point_far_outside_is_refused():
    with pytest.raises(
        ValueError, match=r"more than a pixel outside a map of 3×5 .* x from -1 to 5 and y from -1 to 3"
    ):
        areas_picture(image(), 5.5, 1.0)
