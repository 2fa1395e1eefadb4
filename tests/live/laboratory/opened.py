"""The laboratory in Chromium, opened from disk: what it shows, and what the same model says in PyTorch."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.browser.waiting import box, changes, holds
from tests.live.models import normalised

SIZE = (64, 96)
DRAWN = "() => Number(document.querySelector('.laboratory').dataset.drawn ?? 0)"
AT_REST = "() => !window.laboratory.waiting"
TEXT = "(part) => document.querySelector(`[data-part=${part}]`).innerText"
PIXELS = """() => {
    const { image } = window.laboratory;
    return Array.from(image.getContext("2d").getImageData(0, 0, image.width, image.height).data);
}"""


class Opened:
    """A page that `live.save_page` wrote."""

    def __init__(self, page: Any, path: Path, link: str = ""):
        self.page = page
        self.path = path
        self.open(link)

    def open(self, link: str = "") -> None:
        self.page.goto("about:blank")  # so that another link is another visit
        self.page.goto(self.path.as_uri() + link)
        holds(self.page, DRAWN, "(drawn) => drawn >= 1")

    def part(self, name: str) -> Any:
        return self.page.locator(f"[data-part={name}]")

    def says(self, part: str, words: str) -> str:
        """Wait until a part of the page holds these words; returns all that it says then."""
        condition = f"(text) => text.includes({words!r})"
        return holds(self.page, TEXT, condition, part)

    def texts(self, selector: str, count: int) -> list[str]:
        """What elements say, as soon as there are `count` of them."""
        script = "({ selector }) => [...document.querySelectorAll(selector)].map((each) => each.innerText)"
        condition = "(texts, { count }) => texts.length === count"
        return holds(self.page, script, condition, {"selector": selector, "count": count})

    def state(self, condition: str = "() => true", arg: Any = None) -> dict[str, Any]:
        return holds(self.page, "() => window.laboratory.state", condition, arg)

    def rest(self) -> None:
        """Wait until everything asked for is drawn."""
        holds(self.page, AT_REST, "(rests) => rests")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the image, in pixels, is on the page."""
        view = box(self.part("view"))
        return view["x"] + x * view["width"] / SIZE[1], view["y"] + y * view["height"] / SIZE[0]

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Both in pixels of the image."""
        with changes(self.page, DRAWN):
            self.page.mouse.move(*self.place(*start))
            self.page.mouse.down()
            self.page.mouse.move(*self.place(*end), steps=3)
            self.page.mouse.up()

    def slide(self, part: str, value: float) -> None:
        """Move a slider as a reader does."""
        script = "(one, value) => { one.value = value; one.dispatchEvent(new Event('input')); }"
        self.part(part).evaluate(script, str(value))

    def pixels(self) -> Tensor:
        """The scene, (H, W, 4)."""
        self.rest()
        return torch.tensor(holds(self.page, PIXELS, "() => true"), dtype=torch.uint8).view(*SIZE, 4)

    def answer(self, name: str) -> Tensor:
        """An intermediate result of the last look."""
        self.rest()
        script = "(name) => ((x) => ({ shape: x.shape, numbers: Array.from(x) }))(window.laboratory.look.answer[name])"
        found = holds(self.page, script, "() => true", name)
        return torch.tensor(found["numbers"]).view(found["shape"])

    def outputs(self, model: nn.Module) -> dict[str, Any]:
        """What the model says in PyTorch of the scene as it is."""
        with torch.no_grad():
            return model(normalised(self.pixels()))

    def agrees(self, model: nn.Module) -> None:
        """The page's last look is PyTorch's."""
        torch.testing.assert_close(self.answer("pred_boxes"), self.outputs(model)["pred_boxes"][0], atol=1e-6, rtol=0)
