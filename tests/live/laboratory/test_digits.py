"""A model of digits: digits are drawn with the pointer, and then are shapes like others."""

import pytest

from defdetr_ref import live
from tests.browser.waiting import holds
from tests.live.laboratory.opened import SIZE, Opened
from tests.live.models import live_model

NAMES = {number + 1: str(number) for number in range(10)}
MOVES = """(view, { places, width }) => {
    const seen = view.getBoundingClientRect();
    const scale = seen.width / width;
    for (const [x, y] of places) {
        const place = { clientX: seen.left + x * scale, clientY: seen.top + y * scale };
        view.dispatchEvent(new PointerEvent("pointermove", place));
    }
}"""
SHAPES = "() => window.laboratory.state.shapes"


@pytest.fixture(scope="module")
def digits():
    return live_model(feature_strides=(8, 16), num_levels=2, box_refine=True, num_classes=11, decoder_layers=2)


def second_shape_is(page, name):
    """Wait until the table of what was found names the second shape so."""
    rows = "() => [...document.querySelectorAll('[data-part=found] tr')].map((row) => row.innerText)"
    holds(page, rows, f"(texts) => texts.length > 1 && texts.some((text) => text.startsWith('{name}\\t'))")


def test_a_digit_is_drawn_moved_and_kept_in_a_link(page, digits, tmp_path):
    path = live.save_page(tmp_path / "page.html", digits, image_size=SIZE, names=NAMES, dtype="float32")
    laboratory = Opened(page, path)
    assert laboratory.texts("[data-part=found] tr", 1)[0].startswith("7\t")  # there is one to begin with
    laboratory.page.get_by_label("draws a digit").check()
    laboratory.part("digit").select_option("4")
    laboratory.drag((10, 10), (10, 30))
    laboratory.drag((18, 20), (18, 42))  # near: a second stroke of the same digit
    second_shape_is(page, "4")
    drawn = holds(page, SHAPES, "(shapes) => shapes[1].strokes.length === 2")[1]
    assert (drawn["x"], drawn["y"], drawn["radius"]) == pytest.approx((14, 26, 16), abs=0.6)
    row = laboratory.pixels()[20, :, :3].float()
    assert (row[9:12].mean(dim=0) - row[30:40].mean(dim=0)).abs().max() > 60  # ink beside the ground
    laboratory.agrees(digits)

    laboratory.page.get_by_label("moves shapes").check()
    laboratory.drag((14, 26), (60, 26))
    assert holds(page, SHAPES, "(shapes) => shapes[1].x > 50")[1]["strokes"] == drawn["strokes"]
    laboratory.part("kind").select_option("9")
    second_shape_is(page, "9")
    laboratory.agrees(digits)
    laboratory.part("copy").click()
    link = holds(page, "() => document.querySelector('[data-part=link]').value", "(text) => text.includes('#')")
    laboratory.open("#" + link.partition("#")[2])
    again = holds(page, SHAPES, "(shapes) => shapes.length === 2")[1]
    assert again["kind"] == "9" and again["x"] == pytest.approx(60, abs=1)
    assert sum(again["strokes"], []) == [pytest.approx(point, abs=2e-3) for point in sum(drawn["strokes"], [])]


def test_strokes_end_where_a_link_could_hold_no_more(page, digits, tmp_path):
    path = live.save_page(tmp_path / "page.html", digits, image_size=SIZE, names=NAMES, dtype="float32")
    laboratory = Opened(page, path)
    laboratory.page.get_by_label("draws a digit").check()
    laboratory.page.mouse.move(*laboratory.place(2, 50))
    laboratory.page.mouse.down()
    row = (
        [(-30, 50)] + [(2 + 1.2 * step, 50) for step in range(70)] + [(86, 50.6)]
    )  # the first is no place of the image, the last too near
    places = [[x, y + 2 * down] for down in range(7) for x, y in row[:: 1 if down % 2 == 0 else -1]]
    laboratory.part("view").evaluate(MOVES, {"places": places, "width": SIZE[1]})
    laboratory.says("trouble", "The digit has 400 points, which is the most; erase it and draw it shorter.")
    laboratory.page.mouse.up()
    drawn = holds(page, SHAPES, "(shapes) => shapes[1].strokes.flat().length === 400")[1]
    gaps = [
        ((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5 * drawn["radius"]
        for (ax, ay), (bx, by) in zip(drawn["strokes"][0], drawn["strokes"][0][1:], strict=False)
    ]
    assert min(gaps) > 0.999
    assert (drawn["x"], drawn["radius"]) == pytest.approx((43, 43))  # from the image's border to 86
    laboratory.part("copy").click()
    link = holds(page, "() => document.querySelector('[data-part=link]').value", "(text) => text.includes('#')")
    laboratory.open("#" + link.partition("#")[2])
    holds(page, SHAPES, "(shapes) => shapes.length === 2 && shapes[1].strokes.flat().length === 400")


def test_a_model_of_shapes_draws_no_digits(laboratory):
    laboratory.page.get_by_label("draws a digit").wait_for(state="hidden")
