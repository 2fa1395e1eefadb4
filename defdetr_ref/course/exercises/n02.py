"""Exercises of notebook 02: one head of deformable attention in loops, and what attention costs."""

from collections.abc import Callable, Mapping

import torch

from defdetr_ref.course.exercises.checking import expect_predictions, expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.ops.loops import corners


def one_head(value, references, offsets, scores):
    """value (H, W, D), references (Q, 2) in [0, 1], offsets (Q, K, 2) in pixels, scores (Q, K) → (Q, D)."""
    height, width, channels = value.shape
    weights = scores.softmax(-1)  # over the points of a query
    output = torch.zeros(len(references), channels, dtype=value.dtype)
    for query, reference in enumerate(references):
        middle = reference * torch.tensor([width, height]) - 0.5
        for point, offset in enumerate(offsets[query]):
            x, y = (middle + offset).tolist()
            for row, column, share, _, _ in corners(x, y, height, width):
                output[query] += weights[query, point] * share * value[row, column]
    return output


def _examine_one_head(answer: Callable, right: Callable) -> None:
    for height, width, queries, points, channels in (
        (2, 3, 1, 1, 1),
        (3, 2, 1, 2, 1),
        (3, 2, 2, 1, 1),
        (5, 8, 3, 4, 2),
        (9, 4, 6, 2, 5),
        (6, 7, 1, 3, 4),
    ):
        value = torch.randn(height, width, channels)
        references, offsets = torch.rand(queries, 2), 2 * torch.randn(queries, points, 2)
        scores = torch.randn(queries, points)
        case = f"one head of {queries} queries × {points} points on {height} × {width} pixels"
        expect_same(answer, right, (value, references, offsets, scores), case)


ONE_HEAD = Exercise(
    "02-one-head",
    one_head,
    _examine_one_head,
    hint="In pixels a point is at reference · (W, H) - 0.5 + offset, x first; the softmax runs over a query's points.",
)

# 300 object queries, 17,821 tokens on 4 levels (an image of 800 × 1066 pixels), 8 heads, 4 points on each level.
COSTS = {
    "weights of dense attention": 300 * 17_821 * 8,
    "weights of deformable attention": 300 * 8 * 4 * 4,
    "numbers that the offsets are": 300 * 8 * 4 * 4 * 2,
    "pixels touched by one query": 8 * 4 * 4 * 4,
    "dense encoder, sides doubled": 16,
    "deformable encoder, sides doubled": 4,
}


def _examine_costs(answer: Mapping, right: Mapping) -> None:
    expect_predictions(answer, right)


COST = Exercise(
    "02-cost",
    COSTS,
    _examine_costs,
    hint="A weight for each query, head and what is read; a point is read from four pixels; tokens grow with the area.",
)
