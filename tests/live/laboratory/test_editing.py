"""Shapes are dragged, resized, turned, recoloured, added and erased, by pointer and by keyboard."""

import math

import pytest

from tests.browser.waiting import changes, holds
from tests.live.laboratory.opened import DRAWN, SIZE

CIRCLE = (0.31 * SIZE[1], 0.34 * SIZE[0])
SQUARE = (0.72 * SIZE[1], 0.3 * SIZE[0])
HANDLES = "() => window.laboratory.editor.handles()"


def shape(laboratory, condition="() => true", arg=None):
    laboratory.rest()
    return holds(laboratory.page, "() => window.laboratory.editor.shape", condition, arg)


def test_a_shape_is_dragged_and_the_detector_looks_again(laboratory, model):
    asked = []
    laboratory.page.on("request", lambda request: asked.append(request.url))
    laboratory.agrees(model)
    laboratory.drag(SQUARE, (SQUARE[0] - 20, SQUARE[1] + 10))
    found = shape(laboratory, "(shape) => shape.kind === 'square' && shape.x < 0.6 * 96")
    assert (found["x"], found["y"]) == pytest.approx((SQUARE[0] - 20, SQUARE[1] + 10), abs=0.5)
    laboratory.says("status", f"The square at {found['x']:.0f}, {found['y']:.0f} px is seen by query ")
    laboratory.agrees(model)
    assert asked == []


def test_handles_resize_and_turn(laboratory):
    before = shape(laboratory)
    handles = holds(laboratory.page, HANDLES, "() => true")
    corner, middle = handles["size"], (before["x"], before["y"])
    farther = [start + 0.5 * (start - centre) for start, centre in zip(corner, middle, strict=True)]
    laboratory.drag(corner, farther)
    grown = shape(laboratory, "(shape, before) => shape.radius > before.radius", before)
    assert grown["radius"] == pytest.approx(1.5 * before["radius"], rel=0.02)
    assert (grown["x"], grown["y"], grown["angle"]) == (*middle, before["angle"])

    tip = holds(laboratory.page, HANDLES, "() => true")["turn"]
    length = math.dist(tip, middle)
    laboratory.drag(tip, (middle[0] + length * math.cos(0.7), middle[1] + length * math.sin(0.7)))
    turned = shape(laboratory, "(shape) => shape.angle > 0.6")
    assert turned["angle"] == pytest.approx(before["angle"] + 0.7, abs=0.05)
    assert turned["radius"] == grown["radius"]


def test_everything_by_keyboard(laboratory, model):
    view = laboratory.part("view")
    before = shape(laboratory)
    for key in ("ArrowRight", "Shift+ArrowDown", "+", "r"):
        view.press(key)
    after = shape(laboratory, "(shape, before) => shape.angle > before.angle", before)
    assert (after["x"], after["y"]) == pytest.approx((before["x"] + 2, before["y"] + 10))
    assert after["radius"] == pytest.approx(1.1 * before["radius"])
    view.press("-")
    view.press("R")
    assert shape(laboratory, "(shape) => shape.angle < 0.01")["radius"] == pytest.approx(before["radius"])
    view.press("k")
    laboratory.says("status", "The square at ")
    view.press("c")
    assert shape(laboratory, "(shape, before) => shape.colour !== before.colour", before)["colour"] == "#2f6fe0"
    view.press("Enter")
    assert laboratory.state("(state) => state.held === 1")
    view.press("n")
    assert laboratory.texts("[data-part=found] tr", 5)[-1].startswith("cross")
    view.press("Delete")
    laboratory.texts("[data-part=found] tr", 4)
    laboratory.agrees(model)


def test_controls_show_the_shape_and_change_it(laboratory, model):
    laboratory.page.mouse.click(*laboratory.place(*SQUARE))
    laboratory.state("(state) => state.held === 1")
    laboratory.part("kind").select_option("star")
    laboratory.slide("radius", 12)
    laboratory.slide("angle", 90)
    laboratory.part("colour").fill("#10f0c0")
    found = shape(laboratory, "(shape) => shape.colour === '#10f0c0'")
    assert (found["kind"], found["radius"], found["angle"]) == ("star", 12, pytest.approx(math.pi / 2))
    row, column = int(SQUARE[1]), int(SQUARE[0])
    colour = laboratory.pixels()[row - 2 : row + 3, column - 2 : column + 3, :3].float().mean(dim=(0, 1))
    assert colour.tolist() == pytest.approx([16, 240, 192], abs=12)  # beside the noise
    laboratory.part("add").click()
    laboratory.texts("[data-part=found] tr", 5)
    laboratory.part("erase").click()
    laboratory.texts("[data-part=found] tr", 4)
    laboratory.agrees(model)


def test_a_scene_may_be_empty_and_no_more_than_full(laboratory, model):
    view = laboratory.part("view")
    for _ in range(5):
        view.press("Backspace")
    laboratory.texts("[data-part=found] tr", 0)
    laboratory.says("status", "No shape is held.")
    laboratory.says("ap", "AP of this scene: –.")
    laboratory.agrees(model)
    for _ in range(21):
        view.press("n")
    assert laboratory.says("trouble", "erase one first").startswith("The scene holds 20 shapes")
    laboratory.texts("[data-part=found] tr", 20)


def test_nothing_is_drawn_while_nothing_changes(laboratory):
    laboratory.rest()
    with changes(laboratory.page, DRAWN):
        laboratory.part("view").press("ArrowLeft")
    laboratory.rest()
    before = holds(laboratory.page, DRAWN, "() => true")
    laboratory.part("view").press("x")  # no key of the page
    laboratory.rest()
    assert holds(laboratory.page, DRAWN, "() => true") == before
