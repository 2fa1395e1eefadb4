"""Notebook 07: a correction in logit space, and the gradient that is blocked between two of them."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.boxes import refine_boxes
from defdetr_ref.course.exercises.checking import WrongAnswer, call, expect_close
from defdetr_ref.course.exercises.exercise import Exercise


def examine_refine(answer: Callable) -> None:
    for kind, numbers in (("boxes", 4), ("points", 2)):
        reference, delta = torch.rand(3, 5, numbers), torch.randn(3, 5, 4)
        yours = call(answer, reference, delta)
        expect_close(yours, refine_boxes(reference, delta), f"{kind} {tuple(reference.shape)}, corrected")
    at_the_edge = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    expected = refine_boxes(at_the_edge, torch.ones(1, 4))
    expect_close(call(answer, at_the_edge, torch.ones(1, 4)), expected, "a reference of exactly 0 and 1, corrected")


def correct_in_turn(
    reference: Float[Tensor, "*batch 4"], deltas: list[Tensor], block: bool
) -> list[Float[Tensor, "*batch 4"]]:
    """The box after each correction. With `block`, a correction takes the box before as a mere number."""
    boxes = []
    for delta in deltas:
        boxes.append(refine_boxes(reference, delta))
        reference = boxes[-1].detach() if block else boxes[-1]
    return boxes


def examine_block(answer: Callable) -> None:
    for block in (True, False):
        reference, deltas = torch.rand(2, 5, 4), [torch.randn(2, 5, 4, requires_grad=True) for _ in range(3)]
        yours = call(partial(answer, reference, deltas, block))
        expected = correct_in_turn(reference, deltas, block)
        expect_close(yours, expected, f"boxes with block={block}")
        for layer, (mine, right) in enumerate(zip(yours, expected, strict=True), start=1):
            what = f"with block={block}, the gradient of box {layer}"
            for number, pair in enumerate(
                zip(gradients(mine, deltas, what), gradients(right, deltas, what), strict=True), start=1
            ):
                expect_close(*pair, f"{what} at correction {number}")


def gradients(box: Tensor, deltas: list[Tensor], what: str) -> list[Tensor]:
    """Of the box at every correction, zero where none arrives."""
    if not box.requires_grad:
        raise WrongAnswer(f"{what} is missing: the box itself was detached, so its own correction learns nothing")
    found = torch.autograd.grad(box.sum(), deltas, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(delta) if gradient is None else gradient for delta, gradient in zip(deltas, found, strict=True)
    ]


REFINE = Exercise(
    "07-refine",
    solution=refine_boxes,
    examine=examine_refine,
    hint="σ(delta + σ⁻¹(reference)); the σ⁻¹ of an unknown size is 0.",
)
BLOCK = Exercise(
    "07-block",
    solution=correct_in_turn,
    examine=examine_block,
    hint="The list keeps the box with its gradient; only the reference of the next correction is detached.",
)
