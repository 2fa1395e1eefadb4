"""Notebook 08: the boxes that pixels propose, the best of them, and how a box becomes a query."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from defdetr_ref.course.exercises.checking import WrongAnswer, call, expect_close, expect_equal
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.positions import (
    PROPOSAL_MARGIN,
    SMALLEST_PROPOSAL,
    TEMPERATURE,
    embed_boxes,
    proposal_boxes,
    split_levels,
    token_centres,
    valid_ratios,
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


def examine_proposals(answer: Callable) -> None:
    shapes = [(4, 60), (5, 8), (3, 4), (3, 2), (1, 2), (2, 3)]  # half a pixel of 60 lies within the margin of 0.01
    masks = [torch.zeros(2, *shape, dtype=torch.bool) for shape in shapes]
    for mask in masks[1:4]:
        mask[1, 2:], mask[1, :, 3:] = True, True  # the second image is smaller
    ratios = torch.stack([valid_ratios(mask) for mask in masks], dim=1)
    every_mask = torch.cat([mask.flatten(1) for mask in masks], dim=1)
    boxes, usable = proposal_boxes(token_centres(shapes, ratios), every_mask, shapes)
    for level, parts in enumerate(zip(masks, split_levels(boxes, shapes), split_levels(usable, shapes), strict=True)):
        for name, mask, right_boxes, right_usable in zip(("an unpadded", "a padded"), *parts, strict=True):
            what = f"level {level} of {name} image, {shapes[level][0]}×{shapes[level][1]} pixels"
            yours = call(answer, mask, level)
            if not isinstance(yours, tuple | list) or len(yours) != 2:
                raise WrongAnswer(f"{what}: expected two results, the boxes and which of them are usable")
            expect_close(yours[0], right_boxes, f"{what}: the boxes")
            expect_equal(yours[1], right_usable, f"{what}: which boxes are usable")


def choose_queries(
    logits: Float[Tensor, "batch token classes"], boxes: Float[Tensor, "batch token 4"], num_queries: int
) -> Float[Tensor, "batch query 4"]:
    """Each image's boxes of the highest scores in channel 0, best first, without their gradient."""
    best = logits[..., 0].topk(num_queries, dim=1).indices  # (N, Q)
    return torch.stack([image_boxes[chosen] for image_boxes, chosen in zip(boxes, best, strict=True)]).detach()


def examine_choice(answer: Callable) -> None:
    for batch, tokens, num_queries in ((2, 13, 5), (3, 9, 4)):
        logits, boxes = torch.randn(batch, tokens, 3), torch.rand(batch, tokens, 4, requires_grad=True)
        expected = choose_queries(logits, boxes, num_queries)
        yours = call(answer, logits, boxes, num_queries)
        expect_close(yours, expected, f"the best {num_queries} of {tokens} boxes in each of {batch} images")
        if yours.requires_grad:
            raise WrongAnswer("the chosen boxes still carry a gradient to the proposals")


def embed_box(box: Float[Tensor, "4"], dim: int) -> Float[Tensor, " features"]:
    """`dim` features for each of the four numbers: sine and cosine in turn, at ever lower frequencies."""
    features = []
    for number in box.tolist():
        for i in range(0, dim, 2):
            phase = 2 * math.pi * number / TEMPERATURE ** (i / dim)
            features += [math.sin(phase), math.cos(phase)]
    return torch.tensor(features)


def examine_embedding(answer: Callable) -> None:
    for dim in (8, 32, 6):
        box = torch.rand(4)
        expect_close(call(answer, box, dim), embed_boxes(box, dim), f"the embedding of a box with dim={dim}")


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
)
