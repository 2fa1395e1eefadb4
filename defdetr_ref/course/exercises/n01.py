"""Exercises of notebook 01: the bilinear read with a zero border, and its slope."""

import math
from collections.abc import Callable

import torch

from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise

# The first one is small, and no two sums of its pixels are alike.
IMAGES = (
    torch.tensor([[1.0, 2, 4], [8, 16, 32]]).double(),
    torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
)
PLACES = (
    (0.5, 0.25),
    (2.7, 1.4),
    (4.25, 0.5),
    (0.1, 2.9),
    (3.5, -0.3),  # half outside, above the map …
    (-0.75, 2.2),  # … to its left …
    (5.6, 1.8),  # … to its right …
    (2.3, 3.6),  # … below …
    (-0.4, -0.2),  # … and at a corner
    (-1.5, 2.0),  # all four pixels are outside, here and below
    (7.2, 1.5),
    (2.5, -3.0),
    (1.5, 4.4),
    (1 / 3, 0.1234),  # more decimals than one would round to
)  # x, y in pixels
ON_ROWS = ((1.3, 1.0), (0.6, 0.0), (-0.4, 1.0), (3.8, 3.0), (2.5, -1.0))  # y is a whole number …
ON_CENTRES = ((1.0, 0.0), (0.0, 0.0), (2.0, 1.0), (1.0, 0.6), (5.0, 3.0), (-1.0, 1.0), (3.0, 2.0))  # … or x, or both


def bilinear(image, x, y):
    """image (H, W), x and y in pixels → the value there; pixels outside are zero."""
    height, width = image.shape
    left, top = math.floor(x), math.floor(y)
    value = 0.0
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < height and 0 <= column < width:
                value += (1 - abs(x - column)) * (1 - abs(y - row)) * image[row, column]
    return value


def slope_x(image, x, y):
    """image (H, W), x and y in pixels, not on a pixel centre → ∂value/∂x."""
    height, width = image.shape
    left, top = math.floor(x), math.floor(y)
    slope = 0.0
    for row in (top, top + 1):
        for column, sign in ((left, -1), (left + 1, 1)):
            if 0 <= row < height and 0 <= column < width:
                slope += sign * (1 - abs(y - row)) * image[row, column]
    return slope


def _examine_at(places: tuple, answer: Callable, right: Callable, what: str) -> None:
    for image in IMAGES:
        size = f"{image.shape[0]} × {image.shape[1]} pixels"
        for x, y in places:
            sentence = f"{what} at x = {x}, y = {y} of {size}"
            expect_same(answer, lambda *arguments: float(right(*arguments)), (image, x, y), sentence)


BILINEAR = Exercise(
    "01-bilinear",
    bilinear,
    lambda answer, right: _examine_at((*PLACES, *ON_ROWS, *ON_CENTRES), answer, right, "the value"),
    hint="Of the four pixels around the point, those outside the map add nothing; index -1 is not outside for Python.",
)
SLOPE = Exercise(
    "01-slope",
    slope_x,
    lambda answer, right: _examine_at((*PLACES, *ON_ROWS), answer, right, "the slope"),
    hint="The share of a pixel is a product; only one of its factors depends on x, and its derivative is -1 or +1.",
)
