"""The laboratory in Chromium, from disk: by pointer, by keyboard, and when its weights are damaged."""

import pytest
import torch

from defdetr_ref import live
from tests.browser.waiting import box, changes, holds
from tests.live.in_page import unpacked
from tests.live.models import live_model, normalised

SIZE = (64, 96)
FACTS = "() => ({ ...document.querySelector('.laboratory').dataset })"
STATUS = "() => document.querySelector('[data-part=status]').textContent"
SHAPE = "() => ((shape) => [shape.x, shape.y, shape.radius, shape.kind])(window.laboratory.shape)"
LOOKED = "(facts) => Number(facts.drawn) >= 1"
SEEN = """() => {
    const { image, answer } = window.laboratory;
    const pixels = image.getContext("2d").getImageData(0, 0, image.width, image.height).data;
    const boxes = answer.pred_boxes;
    return { pixels: Array.from(pixels), boxes: Array.from(boxes), shape: boxes.shape };
}"""


@pytest.fixture
def saved(tmp_path):
    model = live_model(feature_strides=(8, 16), num_levels=2, box_refine=True, num_classes=6, decoder_layers=2)
    return model, live.save_page(tmp_path / "page.html", model, image_size=SIZE, dtype="float32")


def test_a_shape_is_dragged_and_the_detector_looks_again(page, saved):
    model, path = saved
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    holds(page, FACTS, LOOKED)
    view = box(page.locator("canvas"))
    scale = view["width"] / SIZE[1]
    place = (view["x"] + 0.72 * SIZE[1] * scale, view["y"] + 0.3 * SIZE[0] * scale)  # the square
    page.mouse.move(*place)
    page.mouse.down()
    with changes(page, STATUS):
        page.mouse.move(place[0] - 20 * scale, place[1] + 10 * scale, steps=3)
    page.mouse.up()
    x, y, _, kind = holds(page, SHAPE, "(shape) => shape[3] === 'square' && shape[0] < 0.6 * 96")
    assert kind == "square"
    assert (x, y) == pytest.approx((0.72 * SIZE[1] - 20, 0.3 * SIZE[0] + 10), abs=0.5)
    assert asked == [path.as_uri()]

    holds(page, "() => window.laboratory.waiting", "(waiting) => !waiting")
    seen = unpacked(page.evaluate(SEEN))
    pixels = torch.tensor(seen["pixels"], dtype=torch.uint8).view(*SIZE, 4)
    with torch.no_grad():
        wanted = model(normalised(pixels))["pred_boxes"][0]
    torch.testing.assert_close(torch.tensor(seen["boxes"]).view(seen["shape"]), wanted, atol=1e-6, rtol=0)


def test_a_shape_is_moved_by_keyboard(page, saved):
    _, path = saved
    page.goto(path.as_uri())
    holds(page, FACTS, LOOKED)
    x, _, radius, kind = holds(page, SHAPE, "(shape) => shape[3] === 'circle'")
    view = page.locator("canvas")
    view.press("ArrowRight")
    view.press("+")
    after = holds(page, SHAPE, "(shape, before) => shape[0] > before[0] && shape[2] > before[1]", [x, radius])
    assert after[0] == pytest.approx(x + 2) and after[2] == pytest.approx(1.1 * radius)
    view.press("Enter")
    holds(page, FACTS, "(facts) => facts.held === '1'")


def test_damaged_weights_are_told_in_the_page(page, saved):
    _, path = saved
    text = path.read_text(encoding="utf-8")
    start = text.index('weights: bytesOf("') + len('weights: bytesOf("')
    middle = start + (text.index('"', start) - start) // 2
    path.write_text(text[:middle] + ("B" if text[middle] == "A" else "A") + text[middle + 1 :], encoding="utf-8")
    page.goto(path.as_uri())
    said = holds(page, STATUS, "(text) => /damaged/.test(text)")
    assert said.startswith("weights: the file is damaged: ") and "differs from its checksum; export it again" in said


def test_what_cannot_be_a_page_is_not_written(saved, tmp_path):
    model, _ = saved
    with pytest.raises(ValueError, match=r"image_size \(15, 40\) is smaller than the model's largest stride of 16"):
        live.save_page(tmp_path / "small.html", model, image_size=(15, 40))
    with pytest.raises(ValueError, match="this is a Linear"):
        live.save_page(tmp_path / "small.html", torch.nn.Linear(1, 1))
    assert not (tmp_path / "small.html").exists()
