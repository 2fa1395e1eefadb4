"""Two shapes that slide over each other, for the question what a detector sees of them."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from defdetr_ref.data.canvas import add_noise
from defdetr_ref.data.shapes import OUTLINES, coverage

GROUND, BACK, FRONT = (0.45, 0.5, 0.55), (0.85, 0.35, 0.2), (0.15, 0.3, 0.75)  # colours, in [0, 1]
NOISE = 0.03  # as in the drawn sets


def draw_pair(
    shapes: Sequence[str], distance: float | int, *, side: int = 32, image_side: int = 128, seed: int = 0
) -> tuple[UInt8[np.ndarray, "height width 3"], Float[Tensor, "2 4"]]:
    """Two shapes on plain ground, the second over the first, and their boxes, xyxy in pixels.

    shapes: their names, as in OUTLINES.
    distance: of their centres, in pixels, along the picture's middle line.
    side: of a shape's box, in pixels.
    image_side: of the square picture, in pixels.
    seed: of the noise.
    """
    image = np.full((image_side, image_side, 3), GROUND, dtype=np.float32)
    boxes = []
    for shape, colour, shift in zip(shapes, (BACK, FRONT), (-distance / 2, distance / 2), strict=True):
        outline = OUTLINES[shape]()
        outline = outline - outline.min(axis=0)
        outline = outline * (side / outline.max())
        outline = outline + np.array([image_side / 2 + shift, image_side / 2]) - outline.max(axis=0) / 2
        alpha, (left, top) = coverage(outline)
        patch = image[top : top + alpha.shape[0], left : left + alpha.shape[1]]
        patch += alpha[..., None] * (np.float32(colour) - patch)
        boxes.append([*outline.min(axis=0), *outline.max(axis=0)])
    noisy = add_noise(image, NOISE, np.random.default_rng(seed))
    return noisy, torch.tensor(np.array(boxes), dtype=torch.float32)
