"""The explorer in a real browser: a bare page that imports its ES module, with a fake model in Python's place."""

import base64
import json

import pytest
import torch

from defdetr_ref import explain
from defdetr_ref.explain.explorer.page import first_view, module_source, open_images, style_source
from defdetr_ref.explain.explorer.state import describe
from defdetr_ref.explain.explorer.table import pack_rows
from tests.small_models import small_model

HEIGHT, WIDTH = 96, 160
SHAPES = [(12, 20), (6, 10), (3, 5)]
QUERIES, DECODER_LAYERS, SAMPLES = 7, 3, 4 * 3 * 3
ORIGIN = "http://explorer.test"  # answered by the test itself

# What anywidget hands to `render`: values, events, and a record of what Python would have been sent.
PAGE = """<!doctype html><meta charset="utf-8"><style>body { margin: 0 } STYLE</style><div id="here"></div>
<script type="module">
import explorer from "./explorer.js";
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const { table, heat, answer, ...values } = await (await fetch("./state.json")).json();
Object.assign(values, { table: bytes(table), heat: bytes(heat), answer: bytes(answer) });
const listeners = [];
window.sent = [];
window.model = {
  get: (name) => values[name],
  set: (name, value) => {
    values[name] = value;
    listeners.filter(([event]) => event === `change:${name}`).forEach(([, call]) => call());
  },
  save_changes: () => window.sent.push(["image_index", "part", "layer", "query"].map((name) => values[name])),
  on: (event, call) => listeners.push([event, call]),
  off: (event, call) => listeners.splice(listeners.findIndex((each) => each[0] === event && each[1] === call), 1),
};
window.fromPython = (changes) => {
  const turned = Object.entries(changes).map(([name, value]) => [name, name === "answer" ? bytes(value) : value]);
  Object.assign(values, Object.fromEntries(turned));
  turned.forEach(([name]) => listeners.filter(([event]) => event === `change:${name}`).forEach(([, call]) => call()));
};
window.listenerCount = () => listeners.length;
window.leave = explorer.render({ model: window.model, el: document.getElementById("here") });
</script>"""


@pytest.fixture(scope="module")
def explorations():
    image = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    return open_images(small_model("two"), [image, image[:, :64]])


def open_page(page, explorations, **view):
    state = describe(explorations, {0: "circle", 1: "cross", 2: "star", 3: "ring", 4: "disc"})
    values = {**first_view(state), **view, "about": state.about, "answer": "", "status": ""}
    values |= {name: base64.b64encode(getattr(state, name)).decode() for name in ("table", "heat")}
    contents = {
        "/": ("text/html", PAGE.replace("STYLE", style_source())),
        "/explorer.js": ("text/javascript", module_source()),
        "/state.json": ("application/json", json.dumps(values)),
    }

    def answer(route):
        kind, body = contents[route.request.url.removeprefix(ORIGIN)]
        route.fulfill(body=body, content_type=f"{kind}; charset=utf-8")

    page.route(f"{ORIGIN}/**", answer)
    page.goto(f"{ORIGIN}/")
    page.wait_for_selector(".defdetr-explorer[data-drawn]")
    return page


@pytest.fixture
def decoder(page, explorations):
    return open_page(page, explorations)


@pytest.fixture
def encoder(page, explorations):
    return open_page(page, explorations, part="encoder", layer=0, query=0)


def facts(page) -> dict:
    """What the page last drew."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("() => ({ ...document.querySelector('.defdetr-explorer').dataset })")


def query(page) -> int:
    return int(facts(page)["query"])


MARGIN = 0.06  # of the image, on each side of the large picture


def spot(page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the image, in [0, 1], is on the page."""
    box = page.locator("canvas.dd-image").bounding_box()
    return (
        box["x"] + box["width"] * (x + MARGIN) / (1 + 2 * MARGIN),
        box["y"] + box["height"] * (y + MARGIN) / (1 + 2 * MARGIN),
    )


def picture(page, selector: str = "canvas.dd-image") -> str:
    return page.evaluate("(selector) => document.querySelector(selector).toDataURL()", selector)


def test_everything_is_drawn(decoder):
    assert facts(decoder)["points"] == str(SAMPLES)
    colours = """() => [...document.querySelectorAll('canvas')].map((canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    })"""
    assert all(count > 50 for count in decoder.evaluate(colours))
    captions = decoder.locator("figcaption").all_inner_texts()
    names = [caption.split("\n")[0] for caption in captions]
    assert names == ["● level 0: 12×20", "■ level 1: 6×10", "▲ level 2: 3×5"]
    shares = [int(caption.split("\n")[1].split("%")[0]) for caption in captions]
    assert 99 <= sum(shares) <= 101
    assert "36 points of 4 heads on 3 levels" in decoder.locator(".dd-sentence").inner_text()


def test_a_click_picks_the_pixel_under_it(encoder):
    encoder.mouse.click(*spot(encoder, 0.99, 0.01))
    assert query(encoder) == 19
    encoder.mouse.click(*spot(encoder, 0.32, 0.55))
    assert query(encoder) == 6 * 20 + 6
    assert encoder.locator("output").inner_text() == "row 6, column 6 of level 0"
    assert encoder.evaluate("window.sent.at(-1)") == [0, "encoder", 0, 126]


def test_a_click_in_the_grid_of_a_level_picks_its_pixel(encoder):
    box = encoder.locator("canvas.dd-level").nth(1).bounding_box()
    encoder.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + 0.4 * box["height"])
    assert query(encoder) == 240 + 2 * 10 + 9


def test_dragging_moves_the_query_all_the_way(encoder):
    encoder.mouse.move(*spot(encoder, 0.11, 0.51))
    encoder.mouse.down()
    for x in (0.31, 0.51, 0.71):
        encoder.mouse.move(*spot(encoder, x, 0.51))
    encoder.mouse.up()
    encoder.mouse.move(*spot(encoder, 0.9, 0.9))
    assert [each[3] for each in encoder.evaluate("window.sent")] == [120 + column for column in (2, 6, 10, 14)]


def test_a_click_picks_the_nearest_object(decoder, explorations):
    references = explorations[0].stacks["decoder"][-1].reference_points[0, :, 0, :2]
    apart = (torch.cdist(references, references) + torch.eye(QUERIES)).min(-1).values
    chosen = int(apart.argmax())  # no other object is within the reach of a click
    x, y = references[chosen].tolist()
    decoder.mouse.click(*spot(decoder, x, y))
    assert query(decoder) == chosen


def test_arrow_keys_move_the_pixel_and_stop_at_the_border(encoder):
    encoder.locator("canvas.dd-image").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Shift+ArrowDown"):
        encoder.keyboard.press(key)
    assert query(encoder) == 5 * 20 + 2
    for _ in range(3):
        encoder.keyboard.press("Shift+ArrowLeft")
    assert query(encoder) == 5 * 20
    encoder.keyboard.press("PageDown")  # the same place on the next level
    assert query(encoder) == 240 + 2 * 10
    encoder.keyboard.press("Home")
    assert query(encoder) == 6 * 20 + 10


def test_keys_move_between_objects(decoder, explorations):
    best = explorations[0].objects.scores.argsort(descending=True).tolist()
    decoder.locator("canvas.dd-image").focus()
    assert query(decoder) == best[0]
    decoder.keyboard.press("PageDown")
    assert query(decoder) == best[1]
    decoder.keyboard.press("Home")
    references = explorations[0].stacks["decoder"][-1].reference_points[0, :, 0, :2]
    leftmost, visited = int(references[:, 0].argmin()), []
    for _ in range(QUERIES):
        visited.append(query(decoder))
        decoder.keyboard.press("ArrowLeft")
    steps = references[visited][:, 0]
    assert (
        len(set(visited)) > 1
        and bool((steps.diff() <= 0).all())
        and (visited[-1] == leftmost or len(set(visited)) < QUERIES)
    )
    decoder.keyboard.press("[")
    assert facts(decoder)["layer"] == str(DECODER_LAYERS - 2)


def test_every_control_is_reached_by_the_keyboard(decoder):
    wanted = decoder.locator(".defdetr-explorer :is(button, select, input, canvas, summary)").count()
    reached = set()
    for _ in range(wanted + 1):
        decoder.keyboard.press("Tab")
        reached.add(
            decoder.evaluate(
                "() => [...document.querySelectorAll('.defdetr-explorer *')].indexOf(document.activeElement)"
            )
        )
    assert len(reached - {-1}) == wanted and wanted > 15


def test_heads_and_levels_are_switched_on_and_off(decoder):
    decoder.get_by_label("Head 1", exact=True).click()
    assert facts(decoder)["points"] == str(SAMPLES * 3 // 4) and decoder.evaluate("model.get('heads')") == [0, 2, 3]
    decoder.get_by_label("Level 2", exact=True).click(modifiers=["Shift"])
    assert facts(decoder)["points"] == str(3 * 3) and decoder.evaluate("model.get('levels')") == [2]
    decoder.get_by_label("All heads", exact=True).click()
    assert facts(decoder)["points"] == str(4 * 3)
    decoder.get_by_label("Level 2", exact=True).click()  # nothing is left, and nothing breaks
    assert facts(decoder)["points"] == "0"


def test_switching_part_keeps_the_place(decoder, explorations):
    decoder.get_by_text("Encoder: pixels ask").click()
    shown = facts(decoder)
    assert (shown["part"], shown["layer"]) == ("encoder", "0")
    best = int(explorations[0].objects.scores.argmax())
    x, y = explorations[0].stacks["decoder"][-1].reference_points[0, best, 0, :2].clamp(0, 1 - 1e-6).tolist()
    assert int(shown["query"]) == int(y * 12) * 20 + int(x * 20)
    decoder.get_by_text("Decoder: objects ask").click()
    assert facts(decoder)["part"] == "decoder"


def test_the_heat_map_shows_the_proposals(decoder):
    before = picture(decoder)
    decoder.get_by_label("Proposals' heat map").check()
    assert decoder.evaluate("model.get('heat_map')") is True and facts(decoder) and picture(decoder) != before
    assert "proposals' scores" in decoder.locator(".dd-legend").inner_text()


def test_playing_goes_through_the_layers(decoder, explorations):
    decoder.get_by_text("▶ Play").click()
    assert facts(decoder)["layer"] == "0"
    decoder.wait_for_function("() => document.querySelector('.defdetr-explorer').dataset.layer === '2'", timeout=8000)
    best = int(explorations[0].objects.scores.argmax())
    before, after = explorations[0].objects.boxes[2:4, best, :2] * torch.tensor([WIDTH, HEIGHT])
    assert f"Layer 3 moves the box by {(after - before).norm():.1f} px" in decoder.locator(".dd-sentence").inner_text()


def test_another_image_and_another_object_are_chosen_from_lists(decoder):
    decoder.get_by_role("combobox", name="Object").select_option(index=3)
    assert query(decoder) == int(decoder.get_by_role("combobox", name="Object").input_value())
    assert decoder.get_by_role("combobox", name="Object").locator("option").count() == QUERIES
    tall = decoder.locator("canvas.dd-image").bounding_box()["height"]
    decoder.get_by_role("combobox", name="Image").select_option("1")
    assert facts(decoder)["points"] == str(SAMPLES)
    assert decoder.locator("canvas.dd-image").bounding_box()["height"] < 0.8 * tall
    assert decoder.locator("figcaption").first.inner_text().startswith("● level 0: 8×20")


def test_a_tooltip_tells_the_numbers(decoder, explorations):
    one = explorations[0].stacks["decoder"][-1]
    best = int(explorations[0].objects.scores.argmax())
    weights, places = one.attention_weights[0, best].flatten(), one.sampling_locations[0, best].flatten(0, 2)
    inside = ((places > 0) & (places < 1)).all(-1)
    heaviest = int((weights * inside).argmax())
    decoder.mouse.move(*spot(decoder, *places[heaviest].tolist()))
    text = decoder.locator(".dd-tooltip").inner_text()
    assert (
        f"weight {weights[heaviest]:.3f}" in text
        and f"head {heaviest // 9}, level {heaviest // 3 % 3}, point {heaviest % 3}" in text
    )


def test_without_an_answer_the_nearest_query_of_the_table_is_shown(page, explorations, monkeypatch):
    monkeypatch.setattr("defdetr_ref.explain.explorer.table.TABLE_BYTES", 36_000)
    open_page(page, explorations[:1], part="encoder", layer=0, query=0)
    page.mouse.click(*spot(page, 0.32, 0.55))  # pixel (6, 6); the table has those in rows 3, 9 and columns 5, 15
    shown = facts(page)
    assert (shown["query"], shown["shown"]) in {("126", "185"), ("126", "65")}
    assert (
        page.locator(".dd-status").inner_text().startswith("This page holds no points of query 126; shown are those of")
    )

    header = torch.tensor([0, 0, 126], dtype=torch.int32).numpy().tobytes()
    row = header + pack_rows(explorations[0], "encoder", 0, [126])
    page.evaluate("(answer) => fromPython({ answer })", base64.b64encode(row).decode())
    assert facts(page)["shown"] == "126" and page.locator(".dd-status").inner_text() == ""


def test_what_python_refuses_is_told_and_the_page_stays_usable(decoder):
    decoder.evaluate(
        "() => fromPython({ status: 'layer: 9 is out of range, the decoder has 3 layers (0 to 2)', layer: 9 })"
    )
    assert facts(decoder)["layer"] == "2"
    decoder.evaluate("() => fromPython({ layer: 2 })")
    assert facts(decoder)["layer"] == "2"  # which waits until that is drawn
    assert decoder.locator(".dd-status").inner_text().startswith("layer: 9 is out of range")
    decoder.get_by_role("combobox", name="Object").select_option(index=2)
    assert facts(decoder)["points"] == str(SAMPLES)


def test_python_moves_the_page(decoder):
    decoder.evaluate("() => fromPython({ part: 'encoder' })")  # layer 2 is not there: wait
    decoder.evaluate("() => fromPython({ layer: 0, query: 33, heads: [1] })")
    shown = facts(decoder)
    assert (shown["part"], shown["query"], shown["points"]) == ("encoder", "33", str(SAMPLES // 4))
    assert decoder.locator("output").inner_text() == "row 1, column 13 of level 0"


@pytest.mark.parametrize("width", [320, 420, 700, 1400])
def test_it_fits_on_every_width(page, explorations, width):
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, explorations)
    facts(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("canvas.dd-image").bounding_box()["width"] > 0.55 * min(width, 950)


def test_a_model_that_only_encodes(page, explorations):
    from dataclasses import replace

    encoder_only = replace(
        explorations[0], stacks={"encoder": explorations[0].stacks["encoder"]}, objects=None, proposals=None
    )
    open_page(page, [encoder_only])
    assert facts(page)["points"] == str(SAMPLES) and page.get_by_label("Proposals' heat map").count() == 0
    page.mouse.click(*spot(page, 0.99, 0.01))
    assert query(page) == 19


def test_closing_the_cell_leaves_nothing_behind(decoder):
    assert decoder.evaluate("listenerCount()") > 5
    decoder.evaluate("leave()")
    assert decoder.evaluate("listenerCount()") == 0


def test_the_saved_page_works_from_disk_without_network(page, tmp_path):
    image = torch.randn(3, HEIGHT, WIDTH)
    path = explain.save_explorer(tmp_path / "page.html", small_model("two"), image, title="Saved")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector(".defdetr-explorer[data-drawn]")
    assert page.title() == "Saved"
    page.get_by_text("Encoder: pixels ask").click()
    page.mouse.click(*spot(page, 0.99, 0.01))
    shown = facts(page)
    assert (shown["query"], shown["shown"], shown["points"]) == ("19", "19", str(SAMPLES))
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
