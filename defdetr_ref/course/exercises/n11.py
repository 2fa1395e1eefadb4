"""Notebook 11: attention as a matrix, and how evenly its rows are spread."""

from collections.abc import Callable

import torch

from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.explain.matrices import normalised_entropy, sampling_matrix


def examine_entropy(answer: Callable, right: Callable) -> None:
    for shape in ((1, 1, 1, 2), (2, 3, 5, 12), (3, 1, 2, 7)):
        even = torch.full(shape, 1 / shape[-1])
        what = f"over {shape[-1]} tokens"
        expect_same(answer, right, (even,), f"the entropy of even attention {what}")
        peaked = (4 * torch.randn(shape)).softmax(-1)
        expect_same(answer, right, (peaked,), f"the entropy of peaked attention {what}")
        short = 0.8 * peaked  # some of the points lie outside the image
        expect_same(answer, right, (short,), f"the entropy of rows that sum to 0.8 {what}")
        expect_same(answer, right, (torch.zeros(shape),), f"the entropy of rows of zeros {what}")
        single = torch.zeros(shape)
        single[..., 1] = 1.0
        expect_same(answer, right, (single,), f"the entropy of attention to one token {what}")


def examine_matrix(answer: Callable, right: Callable) -> None:
    for batch, queries, heads, points, shapes in (
        (1, 1, 1, 1, [(1, 2)]),
        (2, 5, 3, 2, [(3, 4), (2, 1)]),
        (1, 4, 2, 3, [(2, 5), (1, 3)]),
    ):
        locations = 1.4 * torch.rand(batch, queries, heads, len(shapes), points, 2) - 0.2
        weights = torch.rand(batch, queries, heads, len(shapes) * points).softmax(-1)
        arguments = shapes, locations, weights.unflatten(-1, (len(shapes), points))
        what = f"the matrix (N, M, Q, S) of {heads} heads and {queries} queries on the levels {shapes}"
        expect_same(answer, right, arguments, what)


MATRIX = Exercise(
    "11-matrix",
    solution=sampling_matrix,
    examine=examine_matrix,
    hint="Let `ms_deform_attn` sample values (N, S, M, S) in which token s holds a 1 in channel s and zeros elsewhere.",
)
ENTROPY = Exercise(
    "11-entropy",
    solution=normalised_entropy,
    examine=examine_entropy,
    hint="Divide each row by its sum; 0·log 0 counts as 0 (`torch.special.entr`); log S makes even attention 1.",
)
