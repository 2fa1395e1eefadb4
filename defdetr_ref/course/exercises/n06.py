"""Notebook 06, from query to box: the inverse sigmoid with its clamp, and the decoding of a box."""

import torch

from defdetr_ref.boxes import INVERSE_SIGMOID_EPS, inverse_sigmoid, refine_boxes
from defdetr_ref.course.exercises.checking import call, expect_close
from defdetr_ref.course.exercises.exercise import Exercise

EPSILONS = (INVERSE_SIGMOID_EPS, 1e-3)
SHARES = torch.tensor([[0.02, 0.25, 0.5], [0.75, 0.9, 0.995]])
BEYOND = torch.tensor([0.0, 1.0, -0.3, 1.4])  # the edges of the image, and places outside; named in the message


def examine_inverse_sigmoid(answer) -> None:
    expect_close(call(answer, SHARES), inverse_sigmoid(SHARES), "σ⁻¹ of shares between 0 and 1")
    for eps in EPSILONS:
        expected = inverse_sigmoid(BEYOND, eps)
        what = f"σ⁻¹ of 0, 1, -0.3 and 1.4 with eps = {eps:g}"
        expect_close(call(answer, BEYOND, eps), expected, what, rtol=1e-3)


def examine_box_decoding(answer) -> None:
    for length, what in ((2, "a point"), (4, "a box")):
        for leading in ((2, 3), (5,)):  # images and queries; queries alone
            reference, head_output = torch.rand(*leading, length), torch.randn(*leading, 4)
            expected = refine_boxes(reference, head_output)
            expect_close(call(answer, reference, head_output), expected, f"the boxes, when the reference is {what},")
        edge = torch.zeros(1, length)
        expected = refine_boxes(edge, torch.full((1, 4), 3.0))
        what = f"the box, when the reference is {what} of zeros,"
        expect_close(call(answer, edge, torch.full((1, 4), 3.0)), expected, what)


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
