"""Exercises of notebook 00: how many tokens there are, and the shape of everything on the way to a box."""

import math
from collections.abc import Callable, Mapping

from defdetr_ref.course.exercises.calling import call
from defdetr_ref.course.exercises.checking import expect_equal
from defdetr_ref.course.exercises.exercise import Exercise


def number_of_tokens(height, width, strides):
    """Tokens of an image of height × width pixels: the pixels of its maps of all strides, together."""
    return sum(math.ceil(height / stride) * math.ceil(width / stride) for stride in strides)


def _examine_tokens(answer: Callable, right: Callable) -> None:
    for height, width, strides in (
        (1, 1, [8]),
        (3, 2, [1]),
        (64, 96, [8]),
        (9, 17, [8]),
        (96, 64, [8, 16, 32]),
        (100, 75, [8]),
        (33, 130, [16, 32, 64]),
    ):
        yours = call(answer, height, width, strides)
        question = f"tokens of {height} × {width} pixels at strides {strides}"
        expect_equal(yours, right(height, width, strides), question)


TOKENS = Exercise(
    "00-tokens",
    number_of_tokens,
    _examine_tokens,
    hint="A map of stride 8 has a pixel for every 8 × 8 pixels begun: both sides are divided and rounded up.",
)

# Two images of at most 96 × 128 pixels through zoo:shapes: C = 96, M = 4 heads, L = 3 levels, K = 4 points.
SHAPES = {
    "images": (2, 3, 96, 128),
    "mask": (2, 96, 128),
    "C3": (2, 96, 12, 16),
    "C4": (2, 192, 6, 8),
    "tokens": (2, 252, 96),
    "memory": (2, 252, 96),
    "object queries": (2, 30, 96),
    "encoder points": (2, 252, 4, 3, 4, 2),
    "decoder points": (2, 30, 4, 3, 4, 2),
    "pred_logits": (2, 30, 6),
    "pred_boxes": (2, 30, 4),
}


def _examine_shapes(answer: Mapping, right: Mapping) -> None:
    for name, shape in right.items():
        expect_equal(answer[name], shape, f"the shape of {name!r}")


PREDICTED = Exercise(
    "00-shapes",
    SHAPES,
    _examine_shapes,
    hint="Batch first; then maps are (channels, height, width), what attention touches is (tokens or queries, …).",
)
