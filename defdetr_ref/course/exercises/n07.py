"""Notebook 07: the correction that a box needs, and the gradient that is blocked between two of them."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.boxes import inverse_sigmoid, refine_boxes
from defdetr_ref.course.exercises.calling import WrongAnswer, call
from defdetr_ref.course.exercises.checking import expect_close, expect_same
from defdetr_ref.course.exercises.exercise import Exercise


def correction(
    reference: Float[Tensor, "*batch point_or_box"], target: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch 4"]:
    """The Δ with which `refine_boxes` takes the reference to the target."""
    known = inverse_sigmoid(reference)
    if known.shape[-1] == 2:
        known = torch.nn.functional.pad(known, (0, 2))  # Δ alone says the size
    return inverse_sigmoid(target) - known


def examine_correction(answer: Callable, right: Callable) -> None:
    for shape in ((1,), (3, 5)):
        for kind, numbers in (("boxes", 4), ("points", 2)):
            reference, target = torch.rand(*shape, numbers), torch.rand(*shape, 4)
            what = f"Δ from {kind} {tuple(reference.shape)} to boxes"
            expect_same(answer, right, (reference, target), what, gradient=["reference", "target"])
    edge = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    expect_same(
        answer, right, (edge, edge.flip(-1)), "Δ from a reference of exactly 0 and 1 to its opposite", rtol=1e-3
    )


def correct_in_turn(
    reference: Float[Tensor, "*batch 4"], deltas: list[Tensor], block: bool
) -> list[Float[Tensor, "*batch 4"]]:
    """The box after each correction. With `block`, a correction takes the box before as a mere number."""
    boxes = []
    for delta in deltas:
        boxes.append(refine_boxes(reference, delta))
        reference = boxes[-1].detach() if block else boxes[-1]
    return boxes


def examine_block(answer: Callable, right: Callable) -> None:
    for block, shape, layers in (
        (True, (1,), 1),
        (True, (1,), 2),
        (False, (1,), 2),
        (True, (2, 5), 3),
        (False, (2, 5), 3),
    ):
        reference = torch.rand(*shape, 4, requires_grad=True)
        deltas = [torch.randn(*shape, 4, requires_grad=True) for _ in range(layers)]
        yours = call(partial(answer, reference, deltas, block))
        expected = right(reference, deltas, block)
        expect_close(yours, expected, f"boxes with block={block}")
        for layer, (mine, theirs) in enumerate(zip(yours, expected, strict=True), start=1):
            what = f"with block={block}, the gradient of box {layer}"
            wanted = [*deltas, reference]
            places = [*(f"at correction {number + 1}" for number in range(layers)), "at the first reference"]
            pairs = zip(gradients(mine, wanted, what), gradients(theirs, wanted, what), strict=True)
            for place, pair in zip(places, pairs, strict=True):
                expect_close(*pair, f"{what} {place}")


def gradients(box: Tensor, inputs: list[Tensor], what: str) -> list[Tensor]:
    """Of the box at every input, zero where none arrives."""
    if not box.requires_grad:
        raise WrongAnswer(
            f"{what} is missing: the box or its own correction was detached, so the correction learns nothing", ""
        )
    return list(torch.autograd.grad(box.sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True))


CORRECTION = Exercise(
    "07-correction",
    solution=correction,
    examine=examine_correction,
    hint="Solve target = σ(Δ + σ⁻¹(reference)) for Δ; of a point's size nothing is known, and nothing is subtracted.",
)
BLOCK = Exercise(
    "07-block",
    solution=correct_in_turn,
    examine=examine_block,
    hint="The list keeps the box with its gradient; only the reference of the next correction is detached.",
)
