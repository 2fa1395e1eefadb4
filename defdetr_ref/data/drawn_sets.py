"""The drawn sets by name, as the demo and the zoo use them: written to disk to judge on, drawn anew to train on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from defdetr_ref.data.canvas import DrawnImage
from defdetr_ref.data.digits import DigitsConfig, draw_digits, load_sources, write_digits
from defdetr_ref.data.drawn import DrawnDataset
from defdetr_ref.data.shapes import ShapesConfig, draw_shapes, write_shapes
from defdetr_ref.data.transforms import PlainTransform


@dataclass(frozen=True)
class DrawnSet:
    """What there is to know of a drawn set.

    write: draws both splits into a folder, as `write_shapes` does.
    painter: returns the function that draws one training image from one generator; called when it is needed, because
        some have sources to read.
    names: of the categories, whose ids are 1, 2, … in this order.
    flips: an object may be mirrored and is still the same.
    """

    write: Callable[..., dict[str, Path]]
    painter: Callable[[], Callable[[np.random.Generator], DrawnImage]]
    names: tuple[str, ...]
    flips: bool

    @property
    def categories(self) -> dict[int, str]:
        """Category id → name."""
        return dict(enumerate(self.names, start=1))

    def training_images(self, *, images: int, seed: int) -> DrawnDataset:
        """New images in each epoch, `images` of them, mirrored at random if that is allowed."""
        transform = PlainTransform(flip=self.flips, flip_vertical=self.flips)
        return DrawnDataset(self.painter(), self.categories, images=images, seed=seed, transform=transform)


DRAWN_SETS: dict[str, DrawnSet] = {
    "shapes": DrawnSet(
        write=write_shapes,
        painter=lambda: partial(draw_shapes, ShapesConfig()),
        names=ShapesConfig().shapes,
        flips=True,
    ),
    "digits": DrawnSet(
        write=write_digits,
        painter=lambda: partial(draw_digits, DigitsConfig(), load_sources()["train"]),
        names=tuple(map(str, range(10))),
        flips=False,  # a mirrored digit is none
    ),
}
