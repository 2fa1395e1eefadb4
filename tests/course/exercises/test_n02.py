"""Mistakes that a learner may make in notebook 02; test_course.py shows that each is refused."""

import torch

from defdetr_ref.course.exercises.n02 import COSTS, one_head
from defdetr_ref.ops.loops import corners


def head(value, references, offsets, scores, *, weigh=lambda scores: scores.softmax(-1), place=None, clamp=False):
    """One head with one thing done otherwise; place(reference, offset, size) in pixels, size = (W, H)."""
    height, width, channels = value.shape
    place = place or (lambda reference, offset, size: reference * size - 0.5 + offset)
    weights, size = weigh(scores), torch.tensor([width, height])
    output = torch.zeros(len(references), channels)
    for query in range(len(references)):
        for point in range(offsets.shape[1]):
            x, y = place(references[query], offsets[query, point], size).tolist()
            if clamp:
                x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
            for row, column, share, _, _ in corners(x, y, height, width):
                output[query] += weights[query, point] * share * value[row, column]
    return output


def weighing(weigh):
    return lambda *inputs: head(*inputs, weigh=weigh)


def placing(place):
    return lambda *inputs: head(*inputs, place=place)


def heaviest_alone(value, references, offsets, scores):
    best = scores.argmax(-1)
    chosen = offsets[torch.arange(len(best)), best][:, None]
    return one_head(value, references, chosen, torch.zeros(len(best), 1))


HEAD_MISTAKES = {
    "softmax over the queries": weighing(lambda scores: scores.softmax(0)),
    "softmax over queries and points": weighing(lambda scores: scores.flatten().softmax(0).view_as(scores)),
    "no softmax": weighing(lambda scores: scores),
    "sigmoid": weighing(lambda scores: scores.sigmoid()),
    "plain mean": weighing(lambda scores: torch.full_like(scores, 1 / scores.shape[1])),
    "no -0.5": placing(lambda reference, offset, size: reference * size + offset),
    "offsets taken in [0, 1]": placing(lambda reference, offset, size: (reference + offset) * size - 0.5),
    "height and width swapped": placing(lambda reference, offset, size: reference * size.flip(0) - 0.5 + offset),
    "x and y of the offsets swapped": placing(lambda reference, offset, size: reference * size - 0.5 + offset.flip(0)),
    "x and y of the place swapped": placing(lambda reference, offset, size: (reference * size - 0.5 + offset).flip(0)),
    "offsets forgotten": placing(lambda reference, offset, size: reference * size - 0.5),
    "reference forgotten": placing(lambda reference, offset, size: offset),
    "border clamped": lambda *inputs: head(*inputs, clamp=True),
    "the heaviest point alone": heaviest_alone,
    "nearest pixel": placing(lambda reference, offset, size: (reference * size - 0.5 + offset).round()),
    "the last query for all": lambda *inputs: one_head(*inputs)[-1:].expand(len(inputs[1]), -1),
    "float32 whatever the values are": lambda *inputs: one_head(*inputs).float(),
    "offsets changed to pixels in place": lambda value, references, offsets, scores: one_head(
        value, references, offsets.mul_(1.01).div_(1.01).add_(1).sub_(1), scores
    ),
    "channels summed": lambda *inputs: one_head(*inputs).sum(-1),
}
COST_MISTAKES = {
    "one head": COSTS | {"weights of dense attention": 300 * 17_821},
    "dense compares queries with queries": COSTS | {"weights of dense attention": 300 * 300 * 8},
    "levels forgotten": COSTS | {"weights of deformable attention": 300 * 8 * 4},
    "deformable weighs every token": COSTS | {"weights of deformable attention": 300 * 17_821 * 8},
    "an offset is one number": COSTS | {"numbers that the offsets are": 300 * 8 * 4 * 4},
    "a point is one pixel": COSTS | {"pixels touched by one query": 8 * 4 * 4},
    "dense grows like its tokens": COSTS | {"dense encoder, sides doubled": 4},
    "deformable does not grow": COSTS | {"deformable encoder, sides doubled": 1},
    "deformable grows like a side": COSTS | {"deformable encoder, sides doubled": 2},
}
MISTAKES = {"02-one-head": HEAD_MISTAKES, "02-cost": COST_MISTAKES}
