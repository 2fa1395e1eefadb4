"""Notebook 04: mistakes that the checks must refuse."""

import torch

from defdetr_ref.course.exercises.n04 import add_level_embedding, pixels_on_levels
from defdetr_ref.pyramid import FeaturePyramid
from tests.course.exercises import three_ways


def sizes(shapes):
    return torch.tensor([[width, height] for height, width in shapes])


def added(row_of_token):
    """Adds level_embed[row_of_token(shapes)] to the tokens."""
    return lambda positions, level_embed, shapes: positions + level_embed[row_of_token(shapes)]


def levels_of(counts):
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def cut_from_the_end(shapes):
    """The right number of tokens for each level, but the coarsest first."""
    return levels_of([height * width for height, width in shapes]).flip(0)


def tokens_in_turn(shapes):
    return torch.arange(sum(height * width for height, width in shapes)) % len(shapes)


def equal_shares(shapes):
    tokens = sum(height * width for height, width in shapes)
    return torch.arange(tokens) * len(shapes) // tokens


def in_place_of(positions, level_embed, shapes):
    return level_embed[levels_of([height * width for height, width in shapes])].expand_as(positions)


MISTAKES = {
    "04-one-place": {
        "no -0.5": lambda places, shapes: places[:, None] * sizes(shapes),
        "+0.5": lambda places, shapes: places[:, None] * sizes(shapes) + 0.5,
        "H and W swapped": lambda places, shapes: places[:, None] * sizes(shapes).flip(-1) - 0.5,
        "x and y swapped": lambda places, shapes: places.flip(-1)[:, None] * sizes(shapes) - 0.5,
        "row before column": lambda places, shapes: pixels_on_levels(places, shapes).flip(-1),
        "align_corners=True": lambda places, shapes: places[:, None] * (sizes(shapes) - 1),
        "the pixel that holds the place": lambda places, shapes: (places[:, None] * sizes(shapes)).floor(),
        "levels before places": lambda places, shapes: pixels_on_levels(places, shapes).transpose(0, 1),
        "all in pixels of the first level": lambda places, shapes: pixels_on_levels(places, [shapes[0]] * len(shapes)),
        "only the first place": lambda places, shapes: pixels_on_levels(places, shapes)[0],
    },
    "04-level-embedding": {
        "nothing added": lambda positions, level_embed, shapes: positions,
        "the first row everywhere": added(lambda shapes: 0),
        "levels in reverse": lambda positions, level_embed, shapes: add_level_embedding(
            positions, level_embed.flip(0), shapes
        ),
        "coarsest level first": added(cut_from_the_end),
        "equal shares of the tokens": added(equal_shares),
        "rows in turn": added(tokens_in_turn),
        "all rows added to every token": lambda positions, level_embed, shapes: positions + level_embed.sum(0),
        "in place of the position": in_place_of,
        "+= on the positions": lambda positions, level_embed, shapes: positions.add_(
            add_level_embedding(torch.zeros_like(positions), level_embed, shapes)
        ),
        "detached": lambda *inputs: add_level_embedding(*inputs).detach(),
        "level_embed detached": lambda positions, level_embed, shapes: add_level_embedding(
            positions, level_embed.detach(), shapes
        ),
        "subtracted": lambda positions, level_embed, shapes: add_level_embedding(positions, -level_embed, shapes),
        "joined as further features": lambda positions, level_embed, shapes: torch.cat(
            [positions, in_place_of(positions, level_embed, shapes)], dim=-1
        ),
    },
}


def test_the_solution_adds_what_a_pyramid_adds():
    shapes = [(6, 4), (3, 2), (2, 1)]
    pyramid = FeaturePyramid([5] * len(shapes), d_model=32, num_levels=len(shapes)).requires_grad_(False)
    level_embed = pyramid.level_embed.clone()
    maps, mask = [torch.randn(2, 5, *shape) for shape in shapes], torch.zeros(2, 24, 56, dtype=torch.bool)
    expected = pyramid(maps, mask).positions
    pyramid.level_embed.zero_()
    torch.testing.assert_close(add_level_embedding(pyramid(maps, mask).positions, level_embed, shapes), expected)


def test_a_missing_half_pixel_is_shown():
    sentence = three_ways.refuses("04-one-place", MISTAKES["04-one-place"]["no -0.5"])
    assert sentence.startswith("columns and rows on the levels [(2, 3)]: at [") and "yours is" in sentence
