"""A pixel of the encoder or an object of the decoder is pinned, and its points are those that PyTorch reads."""

import pytest
import torch

from defdetr_ref.boxes import box_iou, cxcywh_to_xyxy
from defdetr_ref.explain import record
from tests.browser.waiting import box
from tests.live.laboratory.opened import SIZE
from tests.live.models import normalised

POINTS = "() => window.laboratory.look.points"
LEVELS = "[data-part=levels] figcaption"
SHAPES = [(8, 12), (4, 6), (2, 3)]  # of the levels, in an image of SIZE


def captions(laboratory, model, part, layer, query):
    """What the levels' captions have to say of a query, and the share of its weight outside the image."""
    with record(model) as recording, torch.no_grad():
        model(normalised(laboratory.pixels()))
    found = getattr(recording[0], part)[layer]
    weights, locations = found.attention_weights[0, query], found.sampling_locations[0, query]
    shares = weights.sum(dim=(0, 2)) / weights.sum()
    words = [
        f"Level {level}, {height} × {width}: {100 * share:.0f} % of the weight"
        for level, ((height, width), share) in enumerate(zip(SHAPES, shares.tolist(), strict=True))
    ]
    is_outside = ((locations < 0) | (locations > 1)).any(dim=-1)
    return words, (weights * is_outside).sum().item() / weights.sum().item()


def test_a_pixel_is_pinned_with_the_pointer_and_stays_while_the_scene_moves(laboratory, model):
    laboratory.page.get_by_label("pins a pixel").check()
    laboratory.page.mouse.click(*laboratory.place(50.5, 20.5))  # level 0 has pixels of 8 px
    words = laboratory.says("status", "The pixel in row 2, column 6 of level 0, in encoder layer 1")
    wanted, outside = captions(laboratory, model, "encoder", 0, 2 * 12 + 6)
    assert laboratory.texts(LEVELS, 3) == wanted
    assert f": {100 * outside:.0f} % of its weight reads outside the image." in words

    laboratory.slide("encoder", 2)
    laboratory.says("status", "in encoder layer 2")
    assert laboratory.texts(LEVELS, 3) == captions(laboratory, model, "encoder", 1, 2 * 12 + 6)[0]

    laboratory.page.get_by_label("moves shapes").check()
    laboratory.drag((0.31 * SIZE[1], 0.34 * SIZE[0]), (50, 24))
    laboratory.says("status", "The pixel in row 2, column 6 of level 0, in encoder layer 2")
    assert laboratory.texts(LEVELS, 3) == captions(laboratory, model, "encoder", 1, 2 * 12 + 6)[0]


def test_a_pixel_is_pinned_in_the_picture_of_its_level_and_moved_by_keys(laboratory, model):
    laboratory.rest()
    canvas = laboratory.page.locator("canvas[data-level='1']")
    # The picture has a margin of a quarter of the image on each side: its middle is the image's, a corner of pixels.
    area = box(canvas)
    canvas.click(position={"x": 0.53 * area["width"], "y": 0.53 * area["height"]})
    laboratory.says("status", "The pixel in row 2, column 3 of level 1")
    view = laboratory.part("view")
    view.press("ArrowLeft")
    view.press("ArrowUp")
    laboratory.says("status", "The pixel in row 1, column 2 of level 1")
    view.press("PageDown")
    laboratory.says("status", "The pixel in row 0, column 1 of level 2")
    start = 8 * 12 + 4 * 6
    assert laboratory.texts(LEVELS, 3) == captions(laboratory, model, "encoder", 0, start + 1)[0]


def test_the_held_shape_is_seen_by_the_query_that_fits_it(laboratory, model):
    outputs = laboratory.outputs(model)
    truth = laboratory.page.wait_for_function("() => window.laboratory.look.truth").json_value()
    scores, labels = outputs["pred_logits"][0].sigmoid().max(dim=-1)
    overlap = box_iou(*(cxcywh_to_xyxy(boxes) for boxes in (outputs["pred_boxes"][0], torch.tensor([truth]))))[:, 0]
    best = int((scores * overlap).argmax())
    names = {0: "class 0", 1: "circle", 2: "square", 3: "triangle", 4: "star", 5: "cross"}
    laboratory.says(
        "status", f" as {names[int(labels[best])]} {scores[best]:.2f}, IoU with its true box {overlap[best]:.2f}"
    )
    query = laboratory.page.wait_for_function("() => ({ query: window.laboratory.look.pinned.query })").json_value()
    assert laboratory.texts(LEVELS, 3) == captions(laboratory, model, "decoder", 2, query["query"])[0]


def test_objects_are_pinned_by_keys_the_surest_first(laboratory):
    view = laboratory.part("view")
    view.press("p")
    view.press("p")
    laboratory.state("(state) => state.pointer === 'object'")
    seen = []
    for _ in range(7):
        view.press("Enter")
        laboratory.rest()
        seen.append(laboratory.page.wait_for_function("() => window.laboratory.look.pinned").json_value())
    scores = [each["score"] for each in seen]
    falls = [a >= b for a, b in zip(scores, scores[1:], strict=False)]
    assert len({each["query"] for each in seen}) == 7 and falls.count(False) <= 1  # from the last to the first


def test_a_pinned_object_follows_its_box(laboratory):
    laboratory.page.get_by_label("pins an object").check()
    laboratory.page.mouse.click(*laboratory.place(3, SIZE[0] - 3))  # no shape is there
    pin = laboratory.state("(state) => state.pin.kind === 'box' && state.pin.box[2] > 0")["pin"]
    found = laboratory.page.wait_for_function("() => window.laboratory.look.pinned").json_value()
    assert pin["box"] == pytest.approx(found["box"])
    laboratory.page.mouse.click(*laboratory.place(0.72 * SIZE[1], 0.3 * SIZE[0]))
    laboratory.state("(state) => state.pin.kind === 'held' && state.held === 1")
