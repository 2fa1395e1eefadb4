"""The explorer in a real browser: a bare page that imports its ES module, with a fake model in Python's place."""

import base64
import json
import re
from dataclasses import replace

import pytest
import torch

from defdetr_ref import explain
from defdetr_ref.explain.explorer.page import first_view, module_source, open_images, style_source, write_explorer_page
from defdetr_ref.explain.explorer.state import describe
from defdetr_ref.explain.explorer.table import pack_rows
from tests.browser.waiting import HOLD_FRAMES, PICTURE, becomes, box, changes, hold_frames, holds, shows
from tests.explain.explorer import fitting
from tests.small_models import small_model

expect = pytest.importorskip("playwright.sync_api").expect

HEIGHT, WIDTH = 96, 160
SHAPES = [(12, 20), (6, 10), (3, 5)]
QUERIES, DECODER_LAYERS, SAMPLES = 7, 3, 4 * 3 * 3
ORIGIN = "http://explorer.test"  # answered by the test itself

# What anywidget hands to `render`: values, events, and a record of what Python would have been sent.
PAGE = """<!doctype html><meta charset="utf-8"><style>body { margin: 0 } STYLE</style><div id="here"></div>
<script type="module">
import explorer from "./explorer.js";
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const { table, heat, query_points, ...values } = await (await fetch("./state.json")).json();
Object.assign(values, { table: bytes(table), heat: bytes(heat), query_points: bytes(query_points) });
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
  const turned = Object.entries(changes).map(([name, value]) => [name, name === "query_points" ? bytes(value) : value]);
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


NAMES = {0: "circle", 1: "cross", 2: "star", 3: "ring", 4: "disc"}


def open_page(page, explorations, ready=".defdetr-explorer[data-pictured=true]", targets=None, **view):
    state = describe(explorations, NAMES, targets)
    values = {**first_view(state), **view, "metadata": state.metadata, "query_points": "", "status": ""}
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
    page.wait_for_selector(ready)
    return page


@pytest.fixture
def decoder(page, explorations):
    return open_page(page, explorations)


@pytest.fixture
def encoder(page, explorations):
    return open_page(page, explorations, part="encoder", layer=0, query=0)


MARGIN = 0.06  # of the image, on each side of the large picture
QUERY = "() => model.get('query')"  # what the page asks Python for
HEADS = "() => model.get('heads')"
LEVELS = "() => model.get('levels')"


def spot(page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the image, in [0, 1], is on the page."""
    area = box(page.locator("canvas.dd-image"))
    return (
        area["x"] + area["width"] * (x + MARGIN) / (1 + 2 * MARGIN),
        area["y"] + area["height"] * (y + MARGIN) / (1 + 2 * MARGIN),
    )


def from_python(page, **changes) -> None:
    page.evaluate("(changes) => fromPython(changes)", changes)


def references_of(exploration, layer: int = -1):
    return exploration.stacks["decoder"][layer].reference_points[0, :, 0, :2]


def test_everything_is_drawn(decoder):
    shows(decoder, points=SAMPLES)
    colours = """() => [...document.querySelectorAll('canvas')].map((canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    })"""
    holds(decoder, colours, "(seen) => seen.length === 4 && seen.every((count) => count > 50)")
    captions = decoder.locator("figcaption")
    expect(captions).to_contain_text(["● level 0: 12×20", "■ level 1: 6×10", "▲ level 2: 3×5"])
    second = "(each) => parseInt(each.innerText.split('\\n')[1])"
    shares = f"() => [...document.querySelectorAll('figcaption')].map({second})"
    holds(decoder, shares, "(seen) => Math.abs(seen.reduce((sum, share) => sum + share, 0) - 100) <= 1")
    expect(decoder.locator(".dd-sentence")).to_contain_text("36 points of 4 heads on 3 levels")


def test_a_click_picks_the_pixel_under_it(encoder):
    encoder.mouse.click(*spot(encoder, 0.99, 0.01))
    shows(encoder, query=19)
    encoder.mouse.click(*spot(encoder, 0.32, 0.55))
    shows(encoder, query=6 * 20 + 6)
    expect(encoder.locator("output")).to_have_text("row 6, column 6 of level 0")
    becomes(encoder, "() => sent.at(-1)", [0, "encoder", 0, 126])


def test_a_click_in_the_grid_of_a_level_picks_its_pixel(encoder):
    area = box(encoder.locator("canvas.dd-level").nth(1))
    encoder.mouse.click(area["x"] + 0.95 * area["width"], area["y"] + 0.4 * area["height"])
    shows(encoder, query=240 + 2 * 10 + 9)


def test_dragging_moves_the_query_all_the_way(encoder):
    places = [spot(encoder, x, 0.51) for x in (0.11, 0.31, 0.51, 0.71)]
    beyond = spot(encoder, 0.9, 0.9)
    encoder.mouse.move(*places[0])
    encoder.mouse.down()
    for place, column in zip(places, (2, 6, 10, 14), strict=True):
        encoder.mouse.move(*place)
        shows(encoder, query=120 + column)  # a browser may leave out a move that the next one overtakes
    encoder.mouse.up()
    encoder.mouse.move(*beyond)
    becomes(encoder, "() => sent.map((each) => each[3])", [122, 126, 130, 134])


def test_a_click_picks_the_nearest_object(decoder, explorations):
    references = references_of(explorations[0])
    apart = (torch.cdist(references, references) + torch.eye(QUERIES)).min(-1).values
    chosen = int(apart.argmax())  # no other object is within the reach of a click
    decoder.mouse.click(*spot(decoder, *references[chosen].tolist()))
    shows(decoder, query=chosen)


def test_arrow_keys_move_the_pixel_and_stop_at_the_border(encoder):
    encoder.locator("canvas.dd-image").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Shift+ArrowDown"):
        encoder.keyboard.press(key)
    shows(encoder, query=5 * 20 + 2)
    for _ in range(3):
        encoder.keyboard.press("Shift+ArrowLeft")
    shows(encoder, query=5 * 20)
    encoder.keyboard.press("PageDown")  # the same place on the next level
    shows(encoder, query=240 + 2 * 10)
    encoder.keyboard.press("Home")
    shows(encoder, query=6 * 20 + 10)


def towards(places: list[tuple[float, float]], query: int, key: str) -> int:
    """The next object in the direction of an arrow: near, and more ahead than aside; else the same one."""
    dx, dy = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}[key]
    costs = {}
    for other, (x, y) in enumerate(places):
        right, down = x - places[query][0], y - places[query][1]
        along, aside = right * dx + down * dy, abs(right * dy) + abs(down * dx)
        if along > 0 and aside <= 2 * along:
            costs[other] = along + 2 * aside
    return min(costs, key=costs.get, default=query)


def test_keys_move_between_objects(decoder, explorations):
    best = explorations[0].objects.scores.argsort(descending=True).tolist()
    places = references_of(explorations[0]).tolist()
    decoder.locator("canvas.dd-image").focus()
    shows(decoder, query=best[0])
    decoder.keyboard.press("PageDown")
    shows(decoder, query=best[1])
    decoder.keyboard.press("Home")
    shows(decoder, query=best[0])
    keys = [key for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown") for _ in range(QUERIES)]
    at, visited = best[0], []
    for key in keys:
        at = towards(places, at, key)
        visited.append(at)
        decoder.keyboard.press(key)
        shows(decoder, query=at)
    becomes(decoder, "() => sent.slice(2).map((each) => each[3])", visited)
    assert len(set(visited)) == QUERIES  # a rule that jumps, or stands still, would come by fewer
    decoder.keyboard.press("[")
    shows(decoder, layer=DECODER_LAYERS - 2)


def test_every_control_is_reached_by_the_keyboard(decoder):
    # Lists: images, objects. The slider of the score. Buttons: 2 parts, 3 layers, play, 4 heads and all, 3 levels and
    # all, 4 zooms. Then the boxes for layers side by side and the heat map, 4 pictures, and the fold of the numbers.
    wanted = 2 + 1 + (2 + DECODER_LAYERS + 1 + 5 + 4 + 4) + 2 + 4 + 1
    controls = ".defdetr-explorer :is(button, select, input, canvas, summary)"
    expect(decoder.locator(controls)).to_have_count(wanted)
    decoder.evaluate("() => { window.reached = new Set(); }")
    decoder.evaluate("() => document.addEventListener('focusin', ({ target }) => reached.add(target))")
    for _ in range(wanted):
        decoder.keyboard.press("Tab")
    missed = "(controls) => [...document.querySelectorAll(controls)].filter((each) => !reached.has(each)).length"
    becomes(decoder, missed, 0, controls)


def test_heads_and_levels_are_switched_on_and_off(decoder):
    decoder.get_by_label("Head 1", exact=True).click()
    shows(decoder, points=SAMPLES * 3 // 4)
    becomes(decoder, HEADS, [0, 2, 3])
    decoder.get_by_label("Level 2", exact=True).click(modifiers=["Shift"])
    shows(decoder, points=3 * 3)
    becomes(decoder, LEVELS, [2])
    decoder.get_by_label("All heads", exact=True).click()
    shows(decoder, points=4 * 3)
    decoder.get_by_label("Level 2", exact=True).click()  # nothing is left, and nothing breaks
    shows(decoder, points=0)


def test_switching_part_keeps_the_place(decoder, explorations):
    best = int(explorations[0].objects.scores.argmax())
    x, y = references_of(explorations[0])[best].clamp(0, 1 - 1e-6).tolist()
    decoder.get_by_text("Encoder: pixels ask").click()
    shows(decoder, part="encoder", layer=0, query=int(y * 12) * 20 + int(x * 20))
    decoder.get_by_text("Decoder: objects ask").click()
    shows(decoder, part="decoder")


# The colour in the middle of a cell of level 0; and that it is what the heat of this cell makes of it.
CELL = """([row, column]) => {
    const canvas = document.querySelector("canvas.dd-image");
    const along = (index, count, length) => Math.round(((index + 0.5) / count + 0.06) / 1.12 * length);
    const [x, y] = [along(column, 20, canvas.width), along(row, 12, canvas.height)];
    return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)];
}"""
HEATED = """(seen, [,, heat, colour]) => seen.every((value, channel) => {
    const opacity = 0.75 * heat, picture = before[channel] * 0.45 / 0.7;
    return Math.abs(value - (opacity * colour[channel] + (1 - opacity) * picture)) <= 4;
})"""


def test_the_heat_map_shows_the_proposals(page, explorations):
    state = describe(explorations, {})
    heat = torch.frombuffer(bytearray(state.heat), dtype=torch.uint8)[: 12 * 20].view(12, 20) / 255
    best, worst = (divmod(int(index), 20) for index in (heat.argmax(), heat.argmin()))
    free = next(query for query in range(240) if all(abs(query // 20 - row) > 2 for row, _ in (best, worst)))
    # No sample, box or other object lies over the cells: the encoder, without heads, and the heat of level 0 alone.
    open_page(page, explorations, part="encoder", layer=0, query=free, heads=[], levels=[0])
    colours = [[int(text[at : at + 2], 16) for at in (1, 3, 5)] for text in state.metadata["style"]["weights"]]
    for row, column in (best, worst):
        value = float(heat[row, column])
        cell = [row, column, value if value >= 0.02 else 0, colours[round(value * (len(colours) - 1))]]
        page.evaluate(f"(cell) => {{ window.before = ({CELL})(cell); }}", cell)
        page.get_by_label("Proposals' heat map").check()
        holds(page, CELL, HEATED, cell)
        expect(page.locator(".dd-legend")).to_contain_text("proposals' scores")
        becomes(page, "() => model.get('heat_map')", True)
        page.get_by_label("Proposals' heat map").uncheck()
        becomes(page, f"(cell) => String(({CELL})(cell)) === String(before)", True, cell)


def test_playing_goes_through_the_layers(decoder, explorations):
    decoder.get_by_text("▶ Play").click()
    becomes(decoder, "() => sent.map((each) => each[2])", [0, 1, 2])
    expect(decoder.get_by_text("▶ Play")).to_be_visible()
    shows(decoder, layer=2)
    best = int(explorations[0].objects.scores.argmax())
    before, after = explorations[0].objects.boxes[2:4, best, :2] * torch.tensor([WIDTH, HEIGHT])
    sentence = f"Layer 3 moves the box by {(after - before).norm():.1f} px"
    expect(decoder.locator(".dd-sentence")).to_contain_text(sentence)


def test_another_image_and_another_object_are_chosen_from_lists(decoder, explorations):
    objects = decoder.get_by_role("combobox", name="Object")
    fourth = explorations[0].objects.scores.argsort(descending=True).tolist()[3]
    expect(objects.locator("option")).to_have_count(QUERIES)
    objects.select_option(index=3)
    shows(decoder, query=fourth)
    expect(objects).to_have_value(str(fourth))
    tall = box(decoder.locator("canvas.dd-image"))["height"]
    decoder.get_by_role("combobox", name="Image").select_option("1")
    expect(decoder.locator("figcaption").first).to_contain_text("● level 0: 8×20")
    shows(decoder, points=SAMPLES)
    height = "() => document.querySelector('canvas.dd-image').clientHeight"
    holds(decoder, height, "(seen, tall) => seen < 0.8 * tall", tall)


def heaviest_inside(exploration, query: int):
    """Index, weight and place of the heaviest sample inside the image."""
    one = exploration.stacks["decoder"][-1]
    weights, places = one.attention_weights[0, query].flatten(), one.sampling_locations[0, query].flatten(0, 2)
    index = int((weights * ((places > 0) & (places < 1)).min(-1).values).argmax())
    return index, weights[index].item(), places[index].tolist()


def test_a_tooltip_tells_the_numbers(decoder, explorations):
    index, weight, place = heaviest_inside(explorations[0], int(explorations[0].objects.scores.argmax()))
    decoder.mouse.move(*spot(decoder, *place))
    tooltip = decoder.locator(".dd-tooltip")
    expect(tooltip).to_contain_text(f"weight {weight:.3f}")
    expect(tooltip).to_contain_text(f"head {index // 9}, level {index // 3 % 3}, point {index % 3}")


def test_without_an_answer_the_nearest_query_of_the_table_is_shown(page, explorations, monkeypatch):
    monkeypatch.setattr("defdetr_ref.explain.explorer.table.TABLE_BYTES", 36_000)
    open_page(page, explorations[:1], part="encoder", layer=0, query=0)
    page.mouse.click(*spot(page, 0.32, 0.55))  # pixel (6, 6); the table has those in rows 3, 9 and columns 5, 15
    shows(page, query=126)
    shown = "() => document.querySelector('.defdetr-explorer').dataset.shown"
    holds(page, shown, "(seen) => ['185', '65'].includes(seen)")
    status = page.locator(".dd-status")
    expect(status).to_contain_text("This page holds no points of query 126; shown are those of")

    header = torch.tensor([0, 0, 126], dtype=torch.int32).numpy().tobytes()
    row = header + pack_rows(explorations[0], "encoder", 0, [126])
    from_python(page, query_points=base64.b64encode(row).decode())
    shows(page, shown=126, answered=126)
    expect(status).to_have_text("")


def test_what_python_refuses_is_told_and_the_page_stays_usable(decoder):
    sentence = "layer: 9 is out of range, the decoder has 3 layers (0 to 2)"
    from_python(decoder, status=sentence, layer=9)
    from_python(decoder, layer=2)
    expect(decoder.locator(".dd-status")).to_have_text(sentence)
    shows(decoder, layer=2)
    with changes(decoder, QUERY):
        decoder.get_by_role("combobox", name="Object").select_option(index=2)
    shows(decoder, points=SAMPLES)


def test_python_moves_the_page(decoder):
    from_python(decoder, part="encoder")  # layer 2 is not there: wait
    from_python(decoder, layer=0, query=33, heads=[1])
    shows(decoder, part="encoder", query=33, points=SAMPLES // 4)
    expect(decoder.locator("output")).to_have_text("row 1, column 13 of level 0")


@pytest.mark.parametrize("width", [320, 420, 700, 1400])
def test_it_fits_on_every_width(page, explorations, width):
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, explorations)
    holds(page, "() => document.documentElement.scrollWidth", "(seen, width) => seen <= width", width)
    assert box(page.locator("canvas.dd-image"))["width"] > 0.55 * min(width, 950)


def test_a_model_that_only_encodes(page, explorations):
    encoder_only = replace(
        explorations[0], stacks={"encoder": explorations[0].stacks["encoder"]}, objects=None, proposals=None
    )
    open_page(page, [encoder_only])
    shows(page, points=SAMPLES)
    expect(page.get_by_label("Proposals' heat map")).to_have_count(0)
    page.mouse.click(*spot(page, 0.99, 0.01))
    shows(page, query=19)


def test_closing_the_cell_leaves_nothing_behind(decoder):
    holds(decoder, "() => listenerCount()", "(seen) => seen > 5")
    decoder.evaluate("leave()")
    becomes(decoder, "() => listenerCount()", 0)


def test_the_saved_page_works_from_disk_without_network(page, tmp_path):
    image = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
    path = explain.save_explorer(tmp_path / "page.html", small_model("two"), image, title="Saved")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    expect(page).to_have_title("Saved")
    shows(page, pictured="true")
    page.get_by_text("Encoder: pixels ask").click()
    shows(page, part="encoder")
    page.mouse.click(*spot(page, 0.99, 0.01))
    shows(page, query=19, shown=19, points=SAMPLES)
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]


# ----------------------------------------------------------------------------------- how it is shown: in the page alone


def set_slider(page, value: float) -> None:
    page.get_by_role("slider").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        value,
    )


def test_only_queries_above_a_score_can_be_chosen(page, explorations):
    objects = explorations[0].objects
    scores = torch.tensor([0.9, 0.1, 0.35, 0.6, 0.2, 0.8, 0.05])
    open_page(page, [replace(explorations[0], objects=replace(objects, scores=scores))])
    options = page.get_by_role("combobox", name="Object").locator("option")
    expect(options).to_have_count(QUERIES)
    set_slider(page, 0.35)
    expect(options).to_have_count(4)
    page.locator("canvas.dd-image").focus()
    for query in (5, 3, 2, 0):
        page.keyboard.press("PageDown")
        shows(page, query=query)
    places = references_of(explorations[0]).clamp(0, 1)
    page.mouse.click(*spot(page, *places[6].tolist()))  # where an object is that cannot be chosen
    nearest = min((0, 2, 3, 5), key=lambda query: float((places[query] - places[6]).norm()))
    shows(page, query=nearest)
    set_slider(page, 0.95)  # above all of them: the one that is shown stays
    expect(options).to_have_count(1)
    page.keyboard.press("PageDown")
    set_slider(page, 0)
    expect(options).to_have_count(QUERIES)
    shows(page, query=nearest)


def test_zoomed_in_a_click_means_what_is_under_it(encoder):
    encoder.mouse.click(*spot(encoder, 0.52, 0.54))
    shows(encoder, query=6 * 20 + 10)
    area = box(encoder.locator("canvas.dd-image"))
    with changes(encoder, PICTURE, "canvas.dd-image"):
        encoder.get_by_role("button", name="4×").click()
    shows(encoder, zoom=4)
    # The middle of the picture is the middle of the query's pixel now, and a cell is 4 times as wide.
    cell = area["width"] / (1 + 2 * MARGIN) / 20 * 4
    encoder.mouse.click(area["x"] + area["width"] / 2 - 2 * cell, area["y"] + area["height"] / 2 + cell)
    shows(encoder, query=7 * 20 + 8)
    encoder.keyboard.press("-")
    shows(encoder, zoom=2)
    encoder.keyboard.press("-")
    encoder.keyboard.press("-")  # there is nothing smaller
    shows(encoder, zoom=1)
    encoder.mouse.click(*spot(encoder, 0.99, 0.01))
    shows(encoder, query=19)


def test_the_zoom_goes_along_with_a_query_that_leaves_it(encoder):
    encoder.get_by_role("button", name="8×").click()
    encoder.locator("canvas.dd-image").focus()
    encoder.keyboard.press("Home")
    with changes(encoder, PICTURE, "canvas.dd-image"):
        for _ in range(2):
            encoder.keyboard.press("Shift+ArrowRight")
    shows(encoder, query=6 * 20 + 18)
    area = box(encoder.locator("canvas.dd-image"))
    encoder.mouse.click(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    holds(encoder, QUERY, "(query) => query % 20 >= 16")  # the middle of what is seen is near the query


def test_layers_stand_side_by_side(decoder):
    expect(decoder.locator("canvas.dd-layer")).to_have_count(0)
    decoder.get_by_label("Layers side by side").check()
    pictures = decoder.locator("canvas.dd-layer")
    expect(pictures).to_have_count(DECODER_LAYERS)
    expect(decoder.locator(".dd-strip figcaption")).to_have_text(["layer 1", "layer 2", "layer 3"])
    drawn = "() => new Set([...document.querySelectorAll('canvas.dd-layer')].map((each) => each.toDataURL())).size"
    becomes(decoder, drawn, DECODER_LAYERS)  # each shows points of its own
    decoder.get_by_text("Encoder: pixels ask").click()  # has but one layer
    expect(pictures).to_have_count(0)
    decoder.get_by_text("Decoder: objects ask").click()
    pictures.first.focus()
    decoder.keyboard.press("Home")
    with changes(decoder, QUERY):
        decoder.keyboard.press("PageDown")
    decoder.get_by_label("Layers side by side").uncheck()
    expect(pictures).to_have_count(0)


def test_a_layer_beside_says_whose_points_it_shows(page, explorations, monkeypatch):
    monkeypatch.setattr("defdetr_ref.explain.explorer.table.TABLE_BYTES", 4_000)
    layers = describe(explorations[:1], {}).metadata["images"][0]["layers"]
    kept = next(layer["inTable"] for layer in layers if layer["part"] == "decoder")
    query = next(query for query in range(QUERIES) if query not in kept)
    open_page(page, explorations[:1], query=query)
    page.get_by_label("Layers side by side").check()
    expect(page.locator(".dd-strip figcaption").first).to_have_text(re.compile(r"layer 1: points of query \d"))


def test_true_boxes_are_shown_and_compared_with(page, explorations):
    best = int(explorations[0].objects.scores.argmax())
    final = explorations[0].objects.boxes[-1, best]
    shifted = final * torch.tensor([1.0, 1.0, 0.5, 1.0])  # half as wide: its IoU is 0.5
    targets = [
        {"labels": torch.tensor([2]), "boxes": shifted[None]},
        {"labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)},
    ]
    open_page(page, explorations, targets=targets)
    sentence = page.locator(".dd-sentence")
    expect(sentence).to_contain_text("Its IoU with the true star is 0.50.")
    expect(page.locator(".dd-legend")).to_contain_text("true box")
    with changes(page, PICTURE, "canvas.dd-image"):
        page.get_by_label("True boxes").uncheck()
    expect(sentence).not_to_contain_text("IoU")
    page.get_by_role("combobox", name="Image").select_option("1")
    expect(page.locator(".dd-legend")).not_to_contain_text("true box")


def test_the_saved_page_is_dark_where_the_reader_wants_it_or_the_page_around_it_says_so(page, explorations, tmp_path):
    state = describe(explorations, {})
    page.goto(write_explorer_page(tmp_path / "page.html", state, first_view(state), "Saved").as_uri())
    colours = """() => ["body", ".defdetr-explorer", "canvas"].map((name) => {
        const { backgroundColor, color } = getComputedStyle(document.querySelector(name));
        return [backgroundColor, color].map((each) => Number(each.match(/\\d+/)[0]));
    })"""
    is_dark = "(seen) => seen.every(([ground, ink]) => ground < 60 && ink > 200)"
    is_light = "(seen) => seen.every(([ground, ink]) => ground > 220 && ink < 60)"
    holds(page, colours, is_light)
    page.emulate_media(color_scheme="dark")
    holds(page, colours, is_dark)
    page.evaluate("() => postMessage({ theme: 'light' }, '*')")
    holds(page, colours, is_light)


# ------------------------------------------------------------- nothing that a user asks for is lost, or meant otherwise


def click_on(page, x: float, y: float) -> None:
    """Click on a place of the image, on a picture that may not be drawn anew and is stretched."""
    script = "() => ['clientWidth', 'clientHeight'].map((side) => document.querySelector('canvas.dd-image')[side])"
    sides = holds(page, script, "(seen) => seen[0] > 0")
    along = [side * (place + MARGIN) / (1 + 2 * MARGIN) for side, place in zip(sides, (x, y), strict=True)]
    page.locator("canvas.dd-image").click(position=dict(zip("xy", along, strict=True)))


def test_a_click_before_the_next_frame_is_meant_for_the_new_part(decoder):
    hold_frames(decoder)
    decoder.get_by_text("Encoder: pixels ask").click()
    becomes(decoder, "() => model.get('part')", "encoder")
    click_on(decoder, 0.325, 0.54)
    becomes(decoder, QUERY, 6 * 20 + 6)


def test_a_click_before_the_first_frame_counts(page, explorations):
    page.add_init_script(f"({HOLD_FRAMES})()")
    open_page(page, explorations, ready=".dd-top button")
    page.get_by_text("Encoder: pixels ask").click()
    becomes(page, "() => model.get('part')", "encoder")
    click_on(page, 0.99, 0.01)
    becomes(page, QUERY, 19)


def test_a_click_before_the_frame_after_a_change_of_width_means_what_is_seen(encoder):
    hold_frames(encoder)
    width = "() => document.querySelector('canvas.dd-image').clientWidth"
    with changes(encoder, width):
        encoder.set_viewport_size({"width": 500, "height": 1100})
    click_on(encoder, 0.325, 0.54)
    becomes(encoder, QUERY, 6 * 20 + 6)


def test_a_layer_that_is_not_there_is_not_drawn(decoder):
    hold_frames(decoder)
    from_python(decoder, query=1)  # now a drawing waits for its frame
    from_python(decoder, layer=9)
    decoder.evaluate("releaseFrames()")
    from_python(decoder, layer=1)
    decoder.evaluate("releaseFrames()")
    shows(decoder, layer=1, query=1)


def test_what_is_asked_for_while_a_change_is_half_here_is_done_after_it(decoder):
    place = spot(decoder, 0.325, 0.54)
    from_python(decoder, part="encoder")  # its layer and query are on their way
    decoder.mouse.click(*place)
    decoder.keyboard.press("ArrowRight")
    decoder.get_by_label("Head 1", exact=True).click()
    from_python(decoder, layer=0, query=33)
    shows(decoder, part="encoder", query=6 * 20 + 7, points=SAMPLES * 3 // 4)
    becomes(decoder, "() => sent.length", 3)


def test_a_button_that_is_pressed_while_the_view_changes_hears_of_its_click(decoder):
    area = box(decoder.get_by_label("Head 1", exact=True))
    decoder.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    decoder.mouse.down()
    from_python(decoder, query=2)
    decoder.mouse.up()
    becomes(decoder, HEADS, [0, 2, 3])


def test_the_focus_stays_on_the_same_control(decoder):
    decoder.get_by_label("Level 2", exact=True).focus()
    from_python(decoder, part="encoder", layer=0, query=33)  # has fewer layers, and no list of objects
    expect(decoder.get_by_label("Level 2", exact=True)).to_be_focused()
    decoder.keyboard.press("Space")
    becomes(decoder, LEVELS, [0, 1])


def test_the_focus_stays_in_the_picture(decoder):
    decoder.locator("canvas.dd-image").focus()
    from_python(decoder, part="encoder", layer=0, query=33)
    decoder.keyboard.press("ArrowRight")
    shows(decoder, part="encoder", query=34)


def test_the_tooltip_tells_of_what_is_shown_now(decoder, explorations):
    best = explorations[0].objects.scores.argsort(descending=True).tolist()
    _, weight, place = heaviest_inside(explorations[0], best[0])
    decoder.locator("canvas.dd-image").focus()
    decoder.mouse.move(*spot(decoder, *place))
    tooltip = decoder.locator(".dd-tooltip")
    expect(tooltip).to_contain_text(f"weight {weight:.3f}")
    decoder.keyboard.press("PageDown")
    shows(decoder, query=best[1])
    expect(tooltip).to_be_hidden()  # no sample of this object is near the pointer, which has not moved


# -------------------------------------- which query is meant: the cases of tests/explain/explorer/fitting.py

VIEW = f"() => {json.dumps(fitting.NAMES)}.map((name) => model.get(name))"


@pytest.fixture(scope="module")
def made_up():
    return fitting.explorations()


@pytest.mark.parametrize("before, changes, after", fitting.CHANGES.values(), ids=fitting.CHANGES)
def test_a_change_leads_to_a_view_that_fits(page, made_up, before, changes, after):
    open_page(page, made_up, **before)
    becomes(page, VIEW, list(before.values()))
    ((name, value),) = changes.items()
    if name == "image_index":
        page.get_by_role("combobox", name="Image").select_option(str(value))
    elif name == "part":
        page.get_by_text({"encoder": "Encoder: pixels ask", "decoder": "Decoder: objects ask"}[value]).click()
    else:
        page.get_by_role("group", name="Layer", exact=True).get_by_role("button", name=str(value + 1)).click()
    becomes(page, VIEW, list(after.values()))
    shows(page, part=after["part"], layer=after["layer"], query=after["query"])


@pytest.mark.parametrize("view, place, level, query", fitting.CLICKS.values(), ids=fitting.CLICKS)
def test_a_click_leads_to_the_query_under_it(page, made_up, view, place, level, query):
    open_page(page, made_up, **view)
    if level is None:
        page.mouse.click(*spot(page, *place))
    else:
        area = box(page.locator("canvas.dd-level").nth(level))
        page.mouse.click(area["x"] + place[0] * area["width"], area["y"] + place[1] * area["height"])
    shows(page, query=query)
