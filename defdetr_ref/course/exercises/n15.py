"""Notebook 15: how much attention reads nothing, and weights without what lies outside."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise

SIZES = ((1, 1, 1, 1, 1), (1, 1, 2, 1, 3), (2, 1, 1, 3, 2), (2, 5, 3, 2, 4))  # images, queries, heads, levels, points


def share_outside(
    locations: Float[Tensor, "batch query head level point 2"], weights: Float[Tensor, "batch query head level point"]
) -> Float[Tensor, " level"]:
    """Of all attention weight, the share that lies outside the image on each level; its edge belongs to it."""
    outside = ((locations < 0) | (locations > 1)).any(-1)
    return (weights * outside).sum((0, 1, 2, 4)) / weights.sum()


def give_back(
    locations: Float[Tensor, "batch query head level point 2"], weights: Float[Tensor, "batch query head level point"]
) -> Float[Tensor, "batch query head level point"]:
    """Weights without the points outside: for each query and head they sum to 1 again, or are all zero."""
    inside = ((locations >= 0) & (locations <= 1)).all(-1)
    kept = weights * inside
    total = kept.sum((-2, -1), keepdim=True)
    return torch.where(total > 0, kept / total, 0.0)


def examine_points(answer: Callable, right: Callable) -> None:
    """Points far and near, inside and outside, some on the edge; a head of the last image has none inside."""
    for sizes in SIZES:
        locations = 1.6 * torch.rand(*sizes, 2) - 0.3
        locations[..., 0, :] = torch.where(torch.rand(*sizes[:-1], 2) < 0.5, 0.0, 1.0)  # corners of the image
        if sizes[0] > 1:
            locations[-1, 0, 0] = 1.5
        weights = torch.rand(*sizes).flatten(3).softmax(-1).view(sizes)
        expect_same(answer, right, (locations, weights), f"for locations of shape {(*sizes, 2)}, the result")


OUTSIDE = Exercise(
    "15-outside",
    solution=share_outside,
    examine=examine_points,
    hint="A point is outside if its x or its y is; sum the weights of such points over all but the levels.",
)
GIVE_BACK = Exercise(
    "15-give-back",
    solution=give_back,
    examine=examine_points,
    hint="Set the weights outside to zero, then divide by what is left of each query and head, over levels and points.",
)
