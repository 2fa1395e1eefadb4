"""A photograph behind the shapes: taken, cut to the scene's size, and refused if it is none."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.waiting import holds
from tests.live.laboratory.opened import SIZE


def picture(height, width, format="PNG"):
    """Red on the left, blue on the right, green in a stripe at the top and at the bottom."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    pixels[: height // 8] = pixels[-height // 8 :] = (0, 255, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def choose(laboratory, name, kind, content):
    laboratory.part("photo").set_input_files({"name": name, "mimeType": kind, "buffer": content})


def test_a_photograph_is_looked_at(laboratory, model):
    for _ in range(4):
        laboratory.part("view").press("Delete")
    laboratory.texts("[data-part=found] tr", 0)
    choose(laboratory, "photo.png", "image/png", picture(192, 192))  # its middle, 128 × 192, is taken
    holds(
        laboratory.page, "() => window.laboratory.photograph !== null && !window.laboratory.waiting", "(seen) => seen"
    )
    pixels = laboratory.pixels()[..., :3].float()
    assert pixels[:, :40].mean(dim=(0, 1)).tolist() == pytest.approx([255, 0, 0], abs=3)
    assert pixels[:, -40:].mean(dim=(0, 1)).tolist() == pytest.approx([0, 0, 255], abs=3)
    laboratory.agrees(model)
    laboratory.part("no-photo").click()
    holds(laboratory.page, "() => window.laboratory.photograph", "(seen) => seen === null")
    assert laboratory.pixels()[..., 0].float().mean() < 150
    laboratory.agrees(model)


DROP = """({ name, text = "", bytes = 0 }) => {
    const data = new DataTransfer();
    if (name !== null) data.items.add(new File([text, new Uint8Array(bytes)], name));
    const view = document.querySelector("[data-part=view]");
    view.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def test_what_is_no_photograph_is_refused_and_the_rest_works(laboratory, model):
    laboratory.page.evaluate(DROP, {"name": "notes.txt", "text": "not a picture"})
    laboratory.says("trouble", "notes.txt is not an image that this browser can read; choose a PNG, JPEG or WebP file.")
    laboratory.page.evaluate(DROP, {"name": None})
    laboratory.says("trouble", "Nothing was dropped that is a file")
    laboratory.page.evaluate(DROP, {"name": "huge.png", "bytes": 26_000_000})
    laboratory.says("trouble", "huge.png has 26 MB; choose a photograph of at most 25 MB.")
    choose(laboratory, "long.png", "image/png", picture(16, 12001))
    laboratory.says("trouble", "long.png is 12001 × 16 pixels; choose a photograph of at most 12000 on a side.")
    laboratory.part("view").press("ArrowLeft")
    laboratory.part("view").press("Enter")
    laboratory.says("status", "The square at ")
    laboratory.part("trouble").wait_for(state="hidden")
    laboratory.agrees(model)


def test_the_scene_has_its_size(laboratory):
    assert laboratory.pixels().shape == (*SIZE, 4)
