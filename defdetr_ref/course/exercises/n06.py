"""Notebook 06, from query to box: the inverse sigmoid with its clamp, and the decoding of a box."""

import torch

from defdetr_ref.boxes import INVERSE_SIGMOID_EPS, inverse_sigmoid, refine_boxes
from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise

EPSILONS = (INVERSE_SIGMOID_EPS, 1e-3)
SHARES = torch.tensor([[0.02, 0.25, 0.5], [0.75, 0.9, 0.995]])
BEYOND = torch.tensor([0.0, 1.0, -0.3, 1.4])  # the edges of the image, and places outside; named in the message


def examine_inverse_sigmoid(answer, right) -> None:
    expect_same(answer, right, (SHARES[0],), "σ⁻¹ of 0.02, 0.25 and 0.5")
    expect_same(answer, right, (SHARES,), "σ⁻¹ of shares between 0 and 1", gradient=["x"])
    for eps in EPSILONS:
        expect_same(answer, right, (BEYOND, eps), f"σ⁻¹ of 0, 1, -0.3 and 1.4 with eps = {eps:g}", rtol=1e-3)
    expect_same(answer, right, (SHARES[:0],), "σ⁻¹ of no numbers at all")


def examine_box_decoding(answer, right) -> None:
    """Logits of ±50 leave nothing of the reference, and must not give NaN."""
    for length, what in ((2, "a point"), (4, "a box")):
        for leading in ((1,), (2, 3), (5,)):  # queries alone; images and queries
            reference, head_output = torch.rand(*leading, length), torch.randn(*leading, 4)
            sentence = f"the boxes, when the reference is {what}"
            expect_same(answer, right, (reference, head_output), sentence, gradient=["reference", "delta"])
        edge, head_output = torch.zeros(1, length), torch.full((1, 4), 3.0)
        expect_same(answer, right, (edge, head_output), f"the box, when the reference is {what} of zeros")
        large = torch.tensor([[50.0, -50.0, -50.0, 50.0]])
        expect_same(answer, right, (torch.rand(1, length), large), f"the box, when the head says ±50 beside {what}")


INVERSE_SIGMOID = Exercise(
    "06-inverse-sigmoid",
    inverse_sigmoid,
    examine_inverse_sigmoid,
    hint="First bring x into [0, 1]; then neither x nor 1 - x may be smaller than eps.",
)
BOX_DECODING = Exercise(
    "06-box-decoding",
    refine_boxes,
    examine_box_decoding,
    hint="Add in logits. A point knows nothing of the size: add 0 there, and the head alone decides.",
)
