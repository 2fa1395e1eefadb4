"""Notebook 03: the star that every query starts with, and what it reads."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.attention import star_offsets
from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise


def star_by_hand(num_heads: int, num_points: int) -> Float[Tensor, "head point 2"]:
    """Head m looks along 2πm/M, stretched to the unit square; point k lies at distance k."""
    star = torch.zeros(num_heads, num_points, 2)
    for head in range(num_heads):
        angle = 2 * math.pi * head / num_heads
        x, y = math.cos(angle), math.sin(angle)
        larger = max(abs(x), abs(y))
        for point in range(num_points):
            star[head, point, 0] = (point + 1) * x / larger
            star[head, point, 1] = (point + 1) * y / larger
    return star


def examine_star(answer: Callable, right: Callable) -> None:
    for heads, points in ((1, 1), (4, 2), (8, 4), (6, 3), (3, 5)):
        expect_same(answer, right, (heads, points), f"the star of {heads} heads × {points} points")


def first_places(
    reference: Float[Tensor, "2"], height: int, width: int, num_heads: int, num_points: int
) -> Float[Tensor, "head 2"]:
    """The mean of the K places on each head's ray, in pixels: the distances 1 … K have the mean (K + 1) / 2."""
    directions = star_offsets(num_heads, 1, 1)[:, 0, 0]  # (M, 2)
    return reference * torch.tensor([width, height]) + (num_points + 1) / 2 * directions


def examine_first_places(answer: Callable, right: Callable) -> None:
    for height, width, heads, points in ((2, 3, 1, 1), (14, 20, 8, 4), (30, 12, 6, 3), (9, 16, 8, 1)):
        reference = torch.rand(2)
        what = f"the places on a map of {height}×{width} with {heads} heads × {points} points"
        expect_same(answer, right, (reference, height, width, heads, points), what)


STAR = Exercise(
    "03-star",
    solution=star_by_hand,
    examine=examine_star,
    hint="(cos, sin) of the angle, divided by the larger of |x| and |y|, times 1, 2, … K.",
    package=lambda heads, points: star_offsets(heads, 1, points)[:, 0],
)
FIRST_PLACES = Exercise(
    "03-first-output",
    solution=first_places,
    examine=examine_first_places,
    hint="With equal weights a head reports the plain mean of its places; pixels are (x, y) = reference × (W, H).",
    package=lambda reference, height, width, heads, points: (
        reference * torch.tensor([width, height]) + star_offsets(heads, 1, points)[:, 0].mean(1)
    ),
)
