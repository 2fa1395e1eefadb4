"""The moving picture of the laboratory, docs/images/laboratory.png, from the page itself.

    python docs/site_parts/laboratory_picture.py

It needs Chromium and the package playwright. The pointer drags two shapes; each frame is what the page shows then.
"""

import io
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from defdetr_ref import live, zoo

PICTURE = Path(__file__).parents[1] / "images" / "laboratory.png"
WINDOW = {"width": 414, "height": 900}  # px; the picture of the scene gets SIDE
SIDE = 384  # px: three of the page for each of the image, so that its pixels stay squares and the file small
FRAMES, FRAME_MS = 48, 90
COLOURS = 96
LARGEST = 2_000_000  # bytes
DRAWN = "(before) => Number(document.querySelector('.laboratory').dataset.drawn) > before"


def places() -> Iterator[tuple[int, float, float]]:
    """Which of the two shapes is dragged in each frame, and where to, in [0, 1]: each goes around and comes back."""
    middle = {0: (0.31, 0.34), 1: (0.69, 0.75)}
    half = FRAMES // 2
    for frame in range(FRAMES):
        shape = frame // half
        turn = 2 * math.pi * (frame % half + 1) / half
        x, y = middle[shape]
        reach = (0.19, 0.16) if shape == 0 else (-0.17, -0.15)
        yield shape, x + reach[0] * (1 - math.cos(turn)) / 2 + 0.05 * math.sin(turn), y + reach[1] * math.sin(turn / 2)


def frames() -> Iterator[Image.Image]:
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = live.save_page(Path(folder) / "page.html", zoo.load("shapes"))
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=WINDOW)
        page.goto(path.as_uri())
        page.wait_for_function(DRAWN, arg=0)
        view = page.locator("[data-part=view]")
        view.evaluate("(view, side) => { view.style.width = `${side}px`; }", SIDE)
        held = None
        for shape, x, y in places():
            area = view.bounding_box()
            before = page.evaluate("Number(document.querySelector('.laboratory').dataset.drawn)")
            if shape != held:
                page.mouse.up()
                start = page.evaluate(
                    "(i) => { const { x, y } = window.laboratory.state.shapes[i]; return [x, y]; }", 2 * shape
                )
                page.mouse.move(*(area[side] + place / 128 * SIDE for side, place in zip("xy", start, strict=True)))
                page.mouse.down()
                held = shape
            page.mouse.move(area["x"] + x * SIDE, area["y"] + y * SIDE)
            page.wait_for_function(DRAWN, arg=before)
            page.wait_for_function("!window.laboratory.waiting")
            yield Image.open(io.BytesIO(view.screenshot())).convert("RGB")
        browser.close()


def write_picture(path: Path = PICTURE) -> Path:
    """Raises ValueError if it became larger than a README's picture may be."""
    images = list(frames())
    palette = images[0].quantize(COLOURS)  # of all frames, so that what stands still is equal in them
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    content = io.BytesIO()
    images[0].save(content, "PNG", save_all=True, append_images=images[1:], duration=FRAME_MS, loop=0, optimize=True)
    if len(content.getvalue()) > LARGEST:
        raise ValueError(f"the picture has {len(content.getvalue())} bytes; take fewer FRAMES or COLOURS")
    path.write_bytes(content.getvalue())
    return path


if __name__ == "__main__":
    print(write_picture())
