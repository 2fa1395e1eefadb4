"""How images are prepared for a model, in numbers: colours, sizes, and the note "resize" that files of weights keep."""

from typing import Any

# Mean and standard deviation of the colours of ImageNet, on which the backbone was trained.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The published recipe for COCO, in pixels.
EVAL_SHORT_SIDE = 800
MAX_SIDE = 1333

Resize = str | list[int]  # "none" (as they are), "paper" (those two), or [short, long]


def sides_of(resize: Any) -> tuple[int, int] | None:
    """Short side and longest side, in pixels, that a note "resize" stands for; None if images stay as they are.

    Raises ValueError for what is no such note.
    """
    if resize in ("none", "paper"):
        return None if resize == "none" else (EVAL_SHORT_SIDE, MAX_SIDE)
    is_two = isinstance(resize, list | tuple) and len(resize) == 2 and all(type(side) is int for side in resize)
    if not is_two or not 1 <= resize[0] <= resize[1]:
        raise ValueError(
            f"the note 'resize' is {resize!r:.60}; it must be 'none', 'paper', or a short and a longest side in pixels"
        )
    return resize[0], resize[1]
