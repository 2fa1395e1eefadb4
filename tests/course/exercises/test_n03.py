"""Notebook 03: mistakes that the checks must refuse."""

import math

import torch

from defdetr_ref.attention import star_offsets
from defdetr_ref.course.exercises.n03 import first_places, star_by_hand
from tests.course.exercises import three_ways


def star(num_heads, num_points):
    return star_offsets(num_heads, 1, num_points)[:, 0]


def circle(num_heads, num_points):
    angles = 2 * math.pi * torch.arange(num_heads) / num_heads
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
    return directions[:, None] * torch.arange(1, num_points + 1)[:, None]


def full_turn_missed(num_heads, num_points):
    angles = 2 * math.pi * torch.arange(num_heads) / (num_heads - 1)
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
    return (directions / directions.abs().amax(-1, keepdim=True))[:, None] * torch.arange(1, num_points + 1)[:, None]


def places(*, size=lambda width, height: (width, height), distance=lambda points: (points + 1) / 2, xy=(0, 1)):
    def answer(reference, height, width, num_heads, num_points):
        directions = star(num_heads, 1)[:, 0][:, list(xy)]
        return reference * torch.tensor(size(width, height)) + distance(num_points) * directions

    return answer


MISTAKES = {
    "03-star": {
        "x and y swapped": lambda heads, points: star(heads, points).flip(-1),
        "a circle, not stretched to the square": circle,
        "stretched by |x| + |y|": lambda heads, points: (
            circle(heads, points) / circle(heads, 1).abs().sum(-1, keepdim=True)
        ),
        "distances from 0": lambda heads, points: star(heads, points) - star(heads, 1),
        "all points at distance 1": lambda heads, points: star(heads, 1).expand(-1, points, -1),
        "distances as shares of K": lambda heads, points: star(heads, points) / points,
        "y counted upwards": lambda heads, points: star(heads, points) * torch.tensor([1, -1]),
        "angle 2πm/(M - 1)": full_turn_missed,
        "heads and points swapped": lambda heads, points: star(heads, points).transpose(0, 1),
        "an axis for the level": lambda heads, points: star_offsets(heads, 1, points),
    },
    "03-first-output": {
        "reference × (H, W)": places(size=lambda width, height: (height, width)),
        "reference not in pixels": places(size=lambda width, height: (1, 1)),
        "the sum in place of the mean": places(distance=lambda points: points * (points + 1) / 2),
        "the farthest point": places(distance=lambda points: points),
        "the nearest point": places(distance=lambda points: 1),
        "distances 0 … K-1": places(distance=lambda points: (points - 1) / 2),
        "x and y of the direction swapped": places(xy=(1, 0)),
        "index in place of centre": lambda *args: first_places(*args) - 0.5,
        "still in [0, 1]": lambda ref, height, width, *counts: (
            first_places(ref, height, width, *counts) / torch.tensor([width, height])
        ),
        "every point on its own": lambda ref, height, width, *counts: (
            ref * torch.tensor([width, height]) + star(*counts)
        ),
    },
}


def test_the_sentence_shows_yours_and_the_expected():
    sentence = three_ways.refuses("03-star", MISTAKES["03-star"]["all points at distance 1"])
    assert sentence.startswith("the star of 4 heads × 2 points: at [0, 1, 0] yours is 1, expected 2 (")
    sentence = three_ways.refuses("03-star", MISTAKES["03-star"]["heads and points swapped"])
    assert sentence == "the star of 4 heads × 2 points has shape (2, 4, 2), expected (4, 2, 2)"


def test_the_loop_is_the_packages_star():
    torch.testing.assert_close(star_by_hand(5, 3), star(5, 3))
