"""Notebook 16: bugs named by their symptoms, buggy functions mended, and tests that would have caught a bug."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.course.exercises.calling import WrongAnswer, call
from defdetr_ref.course.exercises.checking import expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.debugging.bugs import BUGS
from defdetr_ref.decoder import scale_to_padding
from defdetr_ref.losses import generalized_box_iou_pairs
from defdetr_ref.matching import hungarian_match
from defdetr_ref.positions import SpatialShapes, split_levels

TELLING = {  # case → where to look, which fits its symptom and does not name the bug
    "A": "one group of gradients stands out at the very first step: what is between those parts and the loss?",
    "B": "compare the loss with the AP, and the AP with that where any class will do.",
    "C": "how much of the attention reads anything at all, and what can a query know then?",
    "D": "points gather about the reference, and the query's box is elsewhere. The encoder's gradients hardly differ.",
    "E": "one of the loss terms takes values that it cannot have.",
    "F": "the points come near the object, but too low; and images that are alone have a smaller loss, not a larger.",
    "G": "the first step's gradients fall short most of all in the encoder, and no level is preferred: what is read?",
    "H": "compare the loss of some images together with that of the same images one by one.",
    "I": "the curves are those of a healthy run; only the first step's gradients differ. Which, and by how much?",
    "J": "the first step is a healthy one, so what goes wrong is how far a step goes. Which part runs away?",
}
CROSS_OUT = "Cross out what cannot be: which bugs change the first step's gradients, the loss, or nothing but AP?"


def questions(cases: str) -> dict[str, str]:
    """Case → name of its bug, for some letters."""
    names = {bug.case: name for name, bug in BUGS.items()}
    return {case: names[case] for case in cases}


def examine_names(answer: Mapping[str, Any], right: Mapping[str, str]) -> None:
    for case, name in right.items():
        if answer[case] not in list(BUGS):  # whatever it is, also what has no hash
            raise WrongAnswer(
                f"case {case}: {answer[case]!r} is none of the ten; choose from {', '.join(BUGS)}", hint=""
            )
        if answer[case] != name:
            raise WrongAnswer(f"case {case} is not {answer[case]!r}: {TELLING[case]}")


def examine_reference(answer: Callable, right: Callable) -> None:
    """Points and boxes; levels whose valid ratios differ, in x and in y."""
    for images, queries, levels, numbers in ((1, 1, 1, 2), (2, 5, 3, 2), (2, 3, 4, 4), (3, 1, 2, 4)):
        reference, ratios = torch.rand(images, queries, numbers), 0.3 + 0.7 * torch.rand(images, levels, 2)
        what = f"for {'points' if numbers == 2 else 'boxes'} of shape {tuple(reference.shape)}, the result"
        expect_same(answer, right, (reference, ratios), what, gradient=["reference"])


def examine_giou(answer: Callable, right: Callable) -> None:
    """Boxes apart, overlapping, one inside the other, equal; as often as not in the right and lower half."""
    cases = {
        "a box that holds the other": ([[0.5, 0.5, 0.4, 0.8]], [[0.6, 0.5, 0.1, 0.2]]),
        "boxes that do not touch": ([[0.2, 0.3, 0.1, 0.2]], [[0.8, 0.7, 0.2, 0.1]]),
        "equal boxes": ([[0.7, 0.2, 0.1, 0.3]], [[0.7, 0.2, 0.1, 0.3]]),
    }
    for what, boxes in cases.items():
        expect_same(answer, right, tuple(map(torch.tensor, boxes)), f"the GIoU of {what}")
    a, b = (0.05 + 0.9 * torch.rand(7, 4) for _ in range(2))
    expect_same(answer, right, (a, b), "the GIoU of 7 pairs", gradient=["a", "b"])
    expect_same(answer, right, (a[:0], b[:0]), "the GIoU of no pairs")


def tokens_of_level(
    tokens: Float[Tensor, "batch token channel"], spatial_shapes: SpatialShapes, level: int
) -> Float[Tensor, "batch hw channel"]:
    """The tokens of one level, counted from 0, out of those of all levels, one after another."""
    sizes = [height * width for height, width in spatial_shapes]
    start = sum(sizes[:level])
    return tokens[:, start : start + sizes[level]]


def examine_level(answer: Callable, right: Callable) -> None:
    """H ≠ W, levels that do not halve, one level alone."""
    for shapes in ([(2, 3)], [(3, 5), (2, 2)], [(6, 4), (3, 2), (2, 1)], [(2, 7), (4, 4), (1, 3), (5, 1)]):
        tokens = torch.randn(2, sum(height * width for height, width in shapes), 3)
        for level in range(len(shapes)):
            expect_same(answer, right, (tokens, shapes, level), f"level {level} of {shapes}, as counted from 0,")


def giou_is_right(giou: Callable) -> None:
    """Two boxes of 0.1 × 0.1 side by side, 0.6 apart: their hull is 0.7 × 0.1, and 5/7 of it is empty."""
    apart = giou(torch.tensor([[0.2, 0.5, 0.1, 0.1]]), torch.tensor([[0.8, 0.5, 0.1, 0.1]]))
    assert torch.allclose(apart, torch.tensor(-5 / 7))


def matching_is_right(match: Callable) -> None:
    """Both images have the same boxes, in the other order, and one object, where the first image has its third box."""
    boxes = torch.rand(3, 4)
    targets = [{"labels": torch.tensor([1]), "boxes": boxes[2:]}] * 2
    assignments = match(torch.zeros(2, 3, 4), torch.stack([boxes, boxes.flip(0)]), targets)
    assert [query.tolist() for query, _ in assignments] == [[2], [0]]


def _wrong(bug: str, right: Callable) -> Callable:
    return BUGS[bug].instead(right)


GIOUS = {
    "the package's own function": generalized_box_iou_pairs,
    "a GIoU that takes centre and size for two corners": _wrong("GIoU of cxcywh", generalized_box_iou_pairs),
    "an IoU without the hull": lambda a, b: generalized_box_iou_pairs(a, b).clamp(min=0),
}
MATCHINGS = {
    "the package's own function": hungarian_match,
    "a matching on the first image's boxes": _wrong("matching on the wrong image", hungarian_match),
    "a matching on the boxes of the image before": lambda logits, boxes, targets: hungarian_match(
        logits.roll(1, 0), boxes.roll(1, 0), targets
    ),
}


def examine_test(parts: Mapping[str, Callable], answer: Callable, right: Callable) -> None:
    """Each of `parts` is tested by the answer as by `right`: it passes on the same ones, and fails on the others."""
    for what, part in parts.items():
        passes = call(_passes(answer), part)
        if passes != _passes(right)(part):
            raise WrongAnswer(
                f"your test passes on {what}, so it would not have caught that bug"
                if passes
                else f"your test fails on {what}, which is right"
            )


def _passes(test: Callable) -> Callable:
    """Whether the test's assertions hold."""

    @functools.wraps(test)
    def passes(part: Callable) -> bool:
        try:
            test(part)
        except AssertionError:
            return False
        return True

    return passes


FIRST = Exercise("16-first-cases", questions("ABC"), examine_names, CROSS_OUT)
NEXT = Exercise("16-next-cases", questions("DEF"), examine_names, CROSS_OUT)
LAST = Exercise("16-last-cases", questions("GHIJ"), examine_names, CROSS_OUT)
REFERENCE = Exercise(
    "16-reference",
    solution=scale_to_padding,
    examine=examine_reference,
    hint="Places and ratios are both (x, y); a box's width goes with the ratio of x, like its centre's x.",
)
GIOU = Exercise(
    "16-giou",
    solution=generalized_box_iou_pairs,
    examine=examine_giou,
    hint="Boxes are cxcywh in the model; the arithmetic of overlaps is one of corners.",
)
LEVEL = Exercise(
    "16-level",
    solution=tokens_of_level,
    examine=examine_level,
    hint="A level starts behind all finer ones: the first at 0.",
    package=lambda tokens, shapes, level: split_levels(tokens, shapes)[level],
)
TEST_GIOU = Exercise(
    "16-test-giou",
    solution=giou_is_right,
    examine=functools.partial(examine_test, GIOUS),
    hint="Take a pair whose GIoU you can work out on paper, and that is not the same for boxes taken for corners.",
)
TEST_MATCHING = Exercise(
    "16-test-matching",
    solution=matching_is_right,
    examine=functools.partial(examine_test, MATCHINGS),
    hint="Take two images whose right answers differ, and say what they are.",
)
