"""Notebook 15: mistakes that the checks must refuse."""

import torch

from defdetr_ref.course.exercises.n15 import give_back, share_outside


def outside(locations):
    return ((locations < 0) | (locations > 1)).any(-1)


def softmax_of_the_rest(locations, weights):
    return weights.masked_fill(outside(locations), -torch.inf).flatten(3).softmax(-1).nan_to_num().view(weights.shape)


def spread_evenly(locations, weights):
    inside = ~outside(locations)
    lost = (weights * ~inside).sum((-2, -1), keepdim=True)
    return (weights + lost / inside.sum((-2, -1), keepdim=True).clamp(min=1)) * inside


MISTAKES = {
    "15-outside": {
        "points counted, not weights": lambda locations, weights: outside(locations).float().mean((0, 1, 2, 4)),
        "the edge is outside": lambda locations, weights: (
            (weights * ((locations <= 0) | (locations >= 1)).any(-1)).sum((0, 1, 2, 4)) / weights.sum()
        ),
        "over heads instead of levels": lambda locations, weights: (
            (weights * outside(locations)).sum((0, 1, 3, 4)) / weights.sum()
        ),
        "all levels together": lambda locations, weights: (weights * outside(locations)).sum()[None] / weights.sum(),
        "only x": lambda locations, weights: (weights * outside(locations[..., :1])).sum((0, 1, 2, 4)) / weights.sum(),
        "only the first image": lambda locations, weights: share_outside(locations[:1], weights[:1]),
        "in per cent": lambda locations, weights: 100 * share_outside(locations, weights),
    },
    "15-give-back": {
        "given to all alike": spread_evenly,
        "a softmax of what is left": softmax_of_the_rest,
        "the edge is outside": lambda locations, weights: give_back(
            torch.where((locations == 0) | (locations == 1), -1.0, locations), weights
        ),
        "over all queries": lambda locations, weights: (
            (weights * ~outside(locations)) / (weights * ~outside(locations)).sum()
        ),
        "everything kept where a head has nothing inside": lambda locations, weights: torch.where(
            outside(locations).all(-1).all(-1)[..., None, None], weights, give_back(locations, weights)
        ),
        "locations pulled in instead": lambda locations, weights: weights.clone(),
    },
}
