"""Notebook 16: mistakes that the checks must refuse."""

import torch

from defdetr_ref.boxes import box_iou, cxcywh_to_xyxy, generalized_box_iou
from defdetr_ref.course.exercises.n16 import FIRST, LAST, NEXT
from defdetr_ref.debugging.bugs import BUGS
from defdetr_ref.decoder import scale_to_padding
from defdetr_ref.losses import generalized_box_iou_pairs
from defdetr_ref.matching import hungarian_match


def exchanged(exercise, one, other):
    """The answer with two cases taken for each other; `other` may be a bug that is no case of the exercise."""
    right = exercise.solution
    return right | {one: right.get(other, other), **({other: right[one]} if other in right else {})}


def only_of_corners(giou):
    box = torch.tensor([[0.3, 0.4, 0.2, 0.1]])
    assert torch.allclose(giou(box, box), torch.ones(1))


def never_above_one(giou):
    a, b = torch.rand(2, 9, 4)
    assert (giou(a, b) <= 1 + 1e-5).all()


def wants_iou(giou):
    a, b = torch.tensor([[0.2, 0.5, 0.1, 0.1]]), torch.tensor([[0.8, 0.5, 0.1, 0.1]])
    assert torch.allclose(giou(a, b), box_iou(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b)).diagonal())


def is_symmetric(giou):
    a, b = torch.tensor([[0.2, 0.5, 0.1, 0.1]]), torch.tensor([[0.8, 0.5, 0.1, 0.1]])
    assert torch.allclose(giou(a, b), giou(b, a))


def one_image(match):
    boxes = torch.tensor([[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.9, 0.9, 0.2, 0.2]])
    ((query, _),) = match(torch.zeros(1, 3, 4), boxes[None], [{"labels": torch.tensor([1]), "boxes": boxes[2:]}])
    assert query.tolist() == [2]


def as_many_as_objects(match):
    boxes = torch.rand(2, 5, 4)
    targets = [{"labels": torch.zeros(count, dtype=torch.int64), "boxes": torch.rand(count, 4)} for count in (2, 3)]
    assert [len(query) for query, _ in match(torch.zeros(2, 5, 4), boxes, targets)] == [2, 3]


def equal_images(match):
    boxes = torch.tensor([[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.9, 0.9, 0.2, 0.2]])
    targets = [{"labels": torch.tensor([1]), "boxes": boxes[2:]}] * 2
    assert [query.tolist() for query, _ in match(torch.zeros(2, 3, 4), boxes.expand(2, 3, 4), targets)] == [[2], [2]]


def answers_exchanged(match):
    boxes = torch.tensor([[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.9, 0.9, 0.2, 0.2]])
    targets = [{"labels": torch.tensor([1]), "boxes": boxes[2:]}] * 2
    assert [
        query.tolist() for query, _ in match(torch.zeros(2, 3, 4), torch.stack([boxes, boxes.flip(0)]), targets)
    ] == [
        [0],
        [2],
    ]


def start_of_next(tokens, spatial_shapes, level):
    sizes = [height * width for height, width in spatial_shapes]
    start = sum(sizes[: level + 1])
    return tokens[:, start : start + sizes[level]]


def squares(tokens, spatial_shapes, level):
    sizes = [height * height for height, _ in spatial_shapes]
    start = sum(sizes[:level])
    return tokens[:, start : start + sizes[level]]


def to_the_end(tokens, spatial_shapes, level):
    return tokens[:, sum(height * width for height, width in spatial_shapes[:level]) :]


def always_the_first(tokens, spatial_shapes, level):
    height, width = spatial_shapes[level]
    return tokens[:, : height * width]


MISTAKES = {
    "16-first-cases": {
        "A and B exchanged": exchanged(FIRST, "A", "B"),
        "B and C exchanged": exchanged(FIRST, "B", "C"),
        "another detach": exchanged(FIRST, "A", "detach forgotten"),
        "another trouble of offsets": exchanged(FIRST, "C", "offsets learn too fast"),
        "no name of the list": exchanged(FIRST, "B", "off by one"),
        "a number": FIRST.solution | {"C": 3},
        "a list": FIRST.solution | {"C": [FIRST.solution["C"]]},
    },
    "16-next-cases": {
        "D and E exchanged": exchanged(NEXT, "D", "E"),
        "E and F exchanged": exchanged(NEXT, "E", "F"),
        "D and F exchanged": exchanged(NEXT, "D", "F"),
        "the wrong level": exchanged(NEXT, "F", "wrong level start"),
    },
    "16-last-cases": {
        "G and H exchanged": exchanged(LAST, "G", "H"),
        "I and J exchanged": exchanged(LAST, "I", "J"),
        "H and J exchanged": exchanged(LAST, "H", "J"),
        "the other detach": exchanged(LAST, "I", "detach in the wrong place"),
    },
    "16-reference": {
        "still swapped": BUGS["x and y swapped"].instead(scale_to_padding),
        "sizes as they were": lambda reference, ratios: torch.cat(
            [
                scale_to_padding(reference[..., :2], ratios),
                reference[:, :, None, 2:].expand(-1, -1, ratios.shape[1], -1),
            ],
            -1,
        ),
        "all levels by the first's ratio": lambda reference, ratios: scale_to_padding(
            reference, ratios[:, :1].expand_as(ratios)
        ),
        "divided": lambda reference, ratios: (
            reference[:, :, None] / torch.cat([ratios, ratios], -1)[:, None, :, : reference.shape[-1]]
        ),
        "ratios swapped": lambda reference, ratios: scale_to_padding(reference, ratios.flip(-1)),
        "cut off from its gradient": lambda reference, ratios: scale_to_padding(reference.detach(), ratios),
    },
    "16-giou": {
        "still centres": BUGS["GIoU of cxcywh"].instead(generalized_box_iou_pairs),
        "IoU alone": lambda a, b: box_iou(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b)).diagonal(),
        "all pairs": lambda a, b: generalized_box_iou(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b)),
        "only one of them converted": lambda a, b: generalized_box_iou(
            cxcywh_to_xyxy(a), torch.cat([b[:, :2], b[:, :2] + b[:, 2:]], -1)
        ).diagonal(),
        "the loss": lambda a, b: 1 - generalized_box_iou_pairs(a, b),
        "cut off from its gradient": lambda a, b: generalized_box_iou_pairs(a.detach(), b),
    },
    "16-level": {
        "the next one's start": start_of_next,
        "height times height": squares,
        "up to the end": to_the_end,
        "always from the first token": always_the_first,
        "levels from the back": lambda tokens, shapes, level: tokens.flip(1)[:, : shapes[level][0] * shapes[level][1]],
    },
    "16-test-giou": {
        "a box with itself": only_of_corners,
        "at most one": never_above_one,
        "the IoU is wanted": wants_iou,
        "symmetry": is_symmetric,
        "always fails": lambda giou: (_ for _ in ()).throw(AssertionError),
        "never fails": lambda giou: None,
    },
    "16-test-matching": {
        "one image": one_image,
        "as many as objects": as_many_as_objects,
        "equal images": equal_images,
        "the answers exchanged": answers_exchanged,
        "never fails": lambda match: None,
        "asks the package, of one image": lambda match: hungarian_match and one_image(match),
    },
}
