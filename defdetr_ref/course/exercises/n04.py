"""Notebook 04: one place on the maps of all levels, and how a pixel knows its level."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.positions import SpatialShapes, pixel_centres, split_levels


def pixels_on_levels(places: Float[Tensor, "place 2"], shapes: SpatialShapes) -> Float[Tensor, "place level 2"]:
    """φ_l: from [0, 1] to (column, row) on every level, where pixel i has its centre at i."""
    sizes = torch.tensor([[width, height] for height, width in shapes])  # (L, 2)
    return places[:, None] * sizes - 0.5


def examine_pixels_on_levels(answer: Callable, right: Callable) -> None:
    for shapes in ([(2, 3)], [(16, 24), (8, 12), (4, 6)], [(5, 3), (2, 7)]):
        height, width = shapes[0]
        places = pixel_centres(height, width) / torch.tensor([width, height])  # of the first level's own pixels
        expect_same(answer, right, (places, shapes), f"columns and rows on the levels {shapes}")


def add_level_embedding(
    positions: Float[Tensor, "batch token d_model"],
    level_embed: Float[Tensor, "level d_model"],
    shapes: SpatialShapes,
) -> Float[Tensor, "batch token d_model"]:
    """Every token plus the row of its own level."""
    levels = split_levels(positions, shapes)
    return torch.cat([level + row for level, row in zip(levels, level_embed, strict=True)], dim=1)


def examine_level_embedding(answer: Callable, right: Callable) -> None:
    for batch, shapes in ((1, [(1, 2)]), (1, [(1, 2), (1, 1)]), (2, [(6, 4), (3, 2), (2, 1)]), (3, [(3, 7), (2, 4)])):
        tokens = sum(height * width for height, width in shapes)
        arguments = torch.randn(batch, tokens, 5), torch.randn(len(shapes), 5), shapes
        expect_same(
            answer, right, arguments, f"positions of the levels {shapes}", gradient=["positions", "level_embed"]
        )


ONE_PLACE = Exercise(
    "04-one-place",
    solution=pixels_on_levels,
    examine=examine_pixels_on_levels,
    hint="Shapes are (H, W), places (x, y); the first pixel reaches from 0 to 1 and has its centre at 0.5.",
)
LEVEL_EMBEDDING = Exercise(
    "04-level-embedding",
    solution=add_level_embedding,
    examine=examine_level_embedding,
    hint="Level l has H·W tokens; `positions.split(…, dim=1)` cuts them apart.",
)
