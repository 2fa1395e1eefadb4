"""The state as a link: what a reader set is there again when the link is opened."""

import pytest
import torch

from tests.browser.waiting import changes, holds
from tests.live.laboratory.opened import DRAWN, SIZE

ADDRESS = "() => location.href.split('#')[1] ?? ''"
LINK = "() => document.querySelector('[data-part=link]').value"


def test_a_link_leads_back_to_the_state(laboratory):
    holds(laboratory.page, ADDRESS, "(link) => link === ''")
    laboratory.drag((0.72 * SIZE[1], 0.3 * SIZE[0]), (60, 30))
    laboratory.part("add").click()
    laboratory.slide("angle", 140)
    laboratory.slide("layer", 2)
    laboratory.slide("score", 55)
    laboratory.part("points").uncheck()
    laboratory.part("beside").select_option("uncut")
    laboratory.page.get_by_role("button", name="head 1 of encoder layer 2", exact=True).click()
    laboratory.page.get_by_label("pins a pixel").check()
    laboratory.page.mouse.click(*laboratory.place(70.5, 20.5))
    set_by_hand = laboratory.state(
        "(state) => state.pin.kind === 'pixel' && state.pin.x > 0.7 && state.shapes.length === 5"
    )
    words = laboratory.says("status", "The pixel in row 2, column 8 of level 0")
    laboratory.part("copy").click()
    link = holds(laboratory.page, LINK, "(text) => text.includes('#')")
    holds(laboratory.page, ADDRESS, "(link, wanted) => link === wanted", link.partition("#")[2])

    laboratory.open("#" + link.partition("#")[2])
    read = laboratory.state("(state) => state.shapes.length === 5")
    laboratory.says("status", words)
    shapes, wanted = read.pop("shapes"), set_by_hand.pop("shapes")
    for one, other in zip(shapes, wanted, strict=True):
        assert (one["kind"], one["colour"]) == (other["kind"], other["colour"])
        for key, rounded in (("x", 0.05), ("y", 0.05), ("radius", 0.05), ("angle", 0.01)):
            assert one[key] == pytest.approx(other[key], abs=rounded)
    assert read.pop("pin") == pytest.approx(set_by_hand.pop("pin"), abs=1e-3)
    assert read == set_by_hand
    assert read["cuts"] == ["e1h1"] and (read["layer"], read["score"], read["points"]) == (2, 55, False)


def test_who_opens_a_link_sees_the_same_to_the_pixel(laboratory):
    """Places that no thousandth meets, and an angle between two degrees."""
    laboratory.drag((0.72 * SIZE[1], 0.3 * SIZE[0]), (61.23, 27.77))
    with changes(laboratory.page, DRAWN):
        laboratory.page.keyboard.press("r")
    laboratory.slide("radius", 11.7)
    seen, boxes = laboratory.pixels(), laboratory.answer("pred_boxes")
    laboratory.part("copy").click()
    link = holds(laboratory.page, LINK, "(text) => text.includes('#shapes')")
    laboratory.open("#" + link.partition("#")[2])
    assert torch.equal(laboratory.pixels(), seen)
    assert torch.equal(laboratory.answer("pred_boxes"), boxes)


def test_another_link_in_the_same_page_and_begin_anew(laboratory):
    laboratory.page.evaluate("location.hash = 'held=2&layer=1'")
    laboratory.says("status", "The triangle at ")
    laboratory.part("anew").click()
    laboratory.says("status", "The circle at ")
    holds(laboratory.page, ADDRESS, "(link) => link === ''")


UNREADABLE = [
    ("layer=9", 'at "layer=9": "9" must be a whole number from 1 to 3'),
    ("shapes=cube_1_2_3_ffffff_0", 'at "cube_1_2_3_ffffff_0": the model knows circle, square'),
    ("shapes=star_1_2_3_red_0", "a colour has six hexadecimal digits"),
    ("shapes=star_1_2", "a colour has six hexadecimal digits"),
    ("shapes=star_1_2000_3_ffffff_0", '"2000" must be a whole number from 0 to 1000'),
    ("shapes=&held=0", 'at "held=0": the last of the shapes is number -1'),
    ("pin=pixel_7_500_500", '"7" must be a whole number from 0 to 2'),
    ("pin=everything", "a pin is held, box with 4 numbers, or pixel with 3"),
    ("cuts=e0h1.e7", 'at "cuts=e0h1.e7": it must be one of outside, e0'),
    ("model=none", 'at "model=none": it must be one of model'),
    ("model=%E0%A4%A", "the name is damaged"),
    ("nonsense", 'at "nonsense": it may set shapes, held'),
]


def test_a_link_that_cannot_be_read_is_told(laboratory):
    for link, words in UNREADABLE:
        laboratory.page.evaluate("(link) => { location.hash = link; }", link)
        said = laboratory.says("trouble", words)
        assert said.startswith("The link cannot be read at ") and said.endswith("The scene begins anew.")
        laboratory.says("status", "The circle at 30, 22 px")
