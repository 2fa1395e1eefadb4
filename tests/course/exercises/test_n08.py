"""Notebook 08: mistakes that the checks must refuse."""

import math

import torch

from defdetr_ref.course.exercises.n08 import choose_queries, embed_box, proposals_of_level
from defdetr_ref.positions import embed_boxes, pixel_centres, proposal_boxes, token_centres, valid_ratios
from tests.course.exercises import three_ways


def proposals(
    *,
    first=0.5,
    swapped=False,
    valid=lambda mask: (int((~mask[0]).sum()), int((~mask[:, 0]).sum())),
    side=lambda level: 0.05 * 2**level,
    usable=lambda boxes, mask: ((boxes > 0.01) & (boxes < 0.99)).all(-1) & ~mask,
):
    """The right answer, with one thing changed."""

    def answer(level_mask, level):
        centres = (pixel_centres(*level_mask.shape) - 0.5 + first) / torch.tensor(valid(level_mask))
        centres = centres.flip(-1) if swapped else centres
        boxes = torch.cat([centres, torch.full_like(centres, side(level))], dim=-1)
        return boxes, usable(boxes, level_mask.flatten())

    return answer


def column_by_column(level_mask, level):
    boxes, usable = proposals_of_level(level_mask, level)
    return boxes.unflatten(0, level_mask.shape).transpose(0, 1).flatten(0, 1), usable


def chosen(ranking, detach=True):
    def answer(logits, boxes, num_queries):
        best = ranking(logits, num_queries)[..., None].expand(-1, -1, 4)
        return boxes.gather(1, best).detach() if detach else boxes.gather(1, best)

    return answer


def best(scores, num_queries):
    return scores.topk(num_queries, dim=1).indices


def embedding(
    *,
    turn=2 * math.pi,
    base=10_000,
    order=lambda pairs: pairs.flatten(-2),
    exponent=lambda i, dim: 2 * i / dim,
):
    def answer(box, dim):
        phase = turn * box[:, None] / base ** exponent(torch.arange(dim // 2), dim)  # (4, dim/2)
        return order(torch.stack([phase.sin(), phase.cos()], dim=-1)).flatten()

    return answer


MISTAKES = {
    "08-proposals": {
        "shares of the padded map": proposals(valid=lambda mask: (mask.shape[1], mask.shape[0])),
        "H and W swapped": proposals(valid=lambda mask: (int((~mask[:, 0]).sum()), int((~mask[0]).sum()))),
        "x and y swapped": proposals(swapped=True),
        "corner in place of centre": proposals(first=0.0),
        "column by column": column_by_column,
        "level counted from 1": proposals(side=lambda level: 0.05 * 2 ** (level + 1)),
        "one side for all levels": proposals(side=lambda level: 0.05),
        "side grows by addition": proposals(side=lambda level: 0.05 * (level + 1)),
        "everything usable": proposals(usable=lambda boxes, mask: torch.ones_like(mask)),
        "no window": proposals(usable=lambda boxes, mask: ~mask),
        "window on centres only": proposals(
            usable=lambda boxes, mask: ((boxes > 0.01) & (boxes < 0.99))[:, :2].all(-1) & ~mask
        ),
        "window on sizes only": proposals(
            usable=lambda boxes, mask: ((boxes > 0.01) & (boxes < 0.99))[:, 2:].all(-1) & ~mask
        ),
        "mask the wrong way round": proposals(
            usable=lambda boxes, mask: ((boxes > 0.01) & (boxes < 0.99)).all(-1) & mask
        ),
        "boxes alone": lambda level_mask, level: proposals_of_level(level_mask, level)[0],
    },
    "08-top-k": {
        "the best of all channels": chosen(lambda logits, k: best(logits.amax(-1), k)),
        "the last channel": chosen(lambda logits, k: best(logits[..., -1], k)),
        "the lowest scores": chosen(lambda logits, k: best(-logits[..., 0], k)),
        "the first image's choice for all": chosen(
            lambda logits, k: best(logits[..., 0], k)[:1].expand(len(logits), -1)
        ),
        "in the order of the tokens": chosen(lambda logits, k: best(logits[..., 0], k).sort(dim=1).values),
        "softmax over the channels": chosen(lambda logits, k: best(logits.softmax(-1)[..., 0], k)),
        "gradient not blocked": chosen(lambda logits, k: best(logits[..., 0], k), detach=False),
        "indices in place of boxes": lambda logits, boxes, k: best(logits[..., 0], k),
        "one box too many": lambda logits, boxes, k: choose_queries(logits, boxes, k + 1),
    },
    "08-embedding": {
        "no 2π": embedding(turn=1.0),
        "π in place of 2π": embedding(turn=math.pi),
        "sines first, then cosines": embedding(order=lambda pairs: pairs.transpose(-1, -2)),
        "cosine before sine": embedding(order=lambda pairs: pairs.flip(-1)),
        "a lower temperature": embedding(base=20),
        "frequencies fall half as fast": embedding(exponent=lambda i, dim: i / dim),
        "frequencies rise": embedding(exponent=lambda i, dim: -2 * i / dim),
        "centre alone": lambda box, dim: embed_box(box, dim)[: 2 * dim],
        "height before width": lambda box, dim: embed_box(box[[0, 1, 3, 2]], dim),
        "y before x": lambda box, dim: embed_box(box[[1, 0, 2, 3]], dim),
        "one row for each number": lambda box, dim: embed_boxes(box, dim).unflatten(0, (4, dim)),
    },
}


def test_the_solution_proposes_what_the_package_does():
    shapes = [(4, 60), (5, 8), (3, 4)]
    masks = [torch.zeros(2, *shape, dtype=torch.bool) for shape in shapes]
    for mask in masks[1:]:
        mask[1, 2:], mask[1, :, 3:] = True, True
    ratios = torch.stack([valid_ratios(mask) for mask in masks], dim=1)
    every_mask = torch.cat([mask.flatten(1) for mask in masks], dim=1)
    boxes, usable = proposal_boxes(token_centres(shapes, ratios), every_mask, shapes)
    for image in range(2):
        found = [proposals_of_level(mask[image], level) for level, mask in enumerate(masks)]
        torch.testing.assert_close(torch.cat([part[0] for part in found]), boxes[image])
        assert torch.equal(torch.cat([part[1] for part in found]), usable[image])


def test_the_sentences_name_level_and_image():
    sentence = three_ways.refuses("08-proposals", MISTAKES["08-proposals"]["shares of the padded map"])
    assert sentence.startswith("level 1 of a padded image, 5×8 pixels: the boxes: at [")
    sentence = three_ways.refuses("08-proposals", MISTAKES["08-proposals"]["boxes alone"])
    assert sentence.endswith("expected two results, the boxes and which of them are usable")
    sentence = three_ways.refuses("08-top-k", MISTAKES["08-top-k"]["gradient not blocked"])
    assert sentence == "the chosen boxes still carry a gradient to the proposals"
