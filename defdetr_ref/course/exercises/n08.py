"""Notebook 08: the boxes that pixels propose, the best of them, and how a box becomes a query."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from defdetr_ref.course.exercises.calling import WrongAnswer, call
from defdetr_ref.course.exercises.checking import expect_close, expect_equal, expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.positions import (
    PROPOSAL_MARGIN,
    SMALLEST_PROPOSAL,
    TEMPERATURE,
    embed_boxes,
)


def proposals_of_level(
    level_mask: Bool[Tensor, "height width"], level: int
) -> tuple[Float[Tensor, "token 4"], Bool[Tensor, " token"]]:
    """Pixel by pixel: a square around its centre, in shares of the image, and whether it may be used."""
    height, width = level_mask.shape
    valid_height, valid_width = int((~level_mask[:, 0]).sum()), int((~level_mask[0]).sum())
    side = SMALLEST_PROPOSAL * 2**level
    boxes, usable = [], []
    for row in range(height):
        for column in range(width):
            box = [(column + 0.5) / valid_width, (row + 0.5) / valid_height, side, side]
            boxes.append(box)
            inside = all(PROPOSAL_MARGIN < number < 1 - PROPOSAL_MARGIN for number in box)
            usable.append(inside and not level_mask[row, column])
    return torch.tensor(boxes), torch.tensor(usable)


def examine_proposals(answer: Callable, right: Callable) -> None:
    shapes = [(4, 60), (5, 8), (3, 4), (3, 2), (1, 2), (2, 3)]  # half a pixel of 60 lies within the margin of 0.01
    masks = [torch.zeros(2, *shape, dtype=torch.bool) for shape in shapes]
    for mask in masks[1:4]:
        mask[1, 2:], mask[1, :, 3:] = True, True  # the second image is smaller
    masks[4][1, :, 1:], masks[5][1, 1:] = True, True  # down to one column, and to one row
    for level, image_masks in enumerate(masks):
        for name, mask in zip(("an unpadded", "a padded"), image_masks, strict=True):
            what = f"level {level} of {name} image, {shapes[level][0]}×{shapes[level][1]} pixels"
            yours = call(answer, mask, level)
            if not isinstance(yours, tuple | list) or len(yours) != 2:
                raise WrongAnswer(f"{what}: expected two results, the boxes and which of them are usable", hint="")
            boxes, usable = right(mask, level)
            expect_close(yours[0], boxes, f"{what}: the boxes")
            expect_equal(yours[1], usable, f"{what}: which boxes are usable")


def choose_queries(
    logits: Float[Tensor, "batch token classes"], boxes: Float[Tensor, "batch token 4"], num_queries: int
) -> Float[Tensor, "batch query 4"]:
    """Each image's boxes of the highest scores in channel 0, best first, without their gradient."""
    best = logits[..., 0].topk(num_queries, dim=1).indices  # (N, Q)
    return torch.stack([image_boxes[chosen] for image_boxes, chosen in zip(boxes, best, strict=True)]).detach()


def examine_choice(answer: Callable, right: Callable) -> None:
    for batch, tokens, num_queries in ((1, 3, 1), (2, 13, 5), (3, 9, 4)):
        logits, boxes = torch.randn(batch, tokens, 3), torch.rand(batch, tokens, 4, requires_grad=True)
        what = f"the best {num_queries} of {tokens} boxes in each of {batch} images"
        expect_same(answer, right, (logits, boxes, num_queries), what)
        if call(answer, logits, boxes, num_queries).requires_grad:
            raise WrongAnswer("the chosen boxes still carry a gradient to the proposals", hint="detach() cuts it off.")


def embed_box(box: Float[Tensor, "4"], dim: int) -> Float[Tensor, " features"]:
    """`dim` features for each of the four numbers: sine and cosine in turn, at ever lower frequencies."""
    features = []
    for number in box.tolist():
        for i in range(0, dim, 2):
            phase = 2 * math.pi * number / TEMPERATURE ** (i / dim)
            features += [math.sin(phase), math.cos(phase)]
    return torch.tensor(features, dtype=box.dtype)


def examine_embedding(answer: Callable, right: Callable) -> None:
    for dim in (2, 8, 32, 6):
        expect_same(answer, right, (torch.rand(4), dim), f"the embedding of a box with dim={dim}")


PROPOSALS = Exercise(
    "08-proposals",
    solution=proposals_of_level,
    examine=examine_proposals,
    hint="Row by row; count the valid rows in the first column and the valid columns in the first row.",
)
TOP_K = Exercise(
    "08-top-k",
    solution=choose_queries,
    examine=examine_choice,
    hint="`topk` gives indices for each image; `gather` or indexing fetches their boxes.",
)
EMBEDDING = Exercise(
    "08-embedding",
    solution=embed_box,
    examine=examine_embedding,
    hint="The pair i = 0, 2, 4, … has the phase 2π · number / 10000^(i / dim).",
    package=embed_boxes,
)
