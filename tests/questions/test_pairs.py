"""Two shapes, one over the other, with exact boxes."""

import numpy as np
import torch

from defdetr_ref.questions.pairs import BACK, FRONT, GROUND, draw_pair


def near(pixel, colour):
    return bool((abs(pixel / 255 - np.array(colour)) < 0.15).all())


def test_the_second_lies_over_the_first_and_boxes_are_where_they_are_drawn():
    pixels, boxes = draw_pair(("square", "circle"), 20, side=30, image_side=100)
    assert pixels.shape == (100, 100, 3) and pixels.dtype == np.uint8
    torch.testing.assert_close(boxes[:, 2:] - boxes[:, :2], torch.full((2, 2), 30.0))
    torch.testing.assert_close((boxes[:, :2] + boxes[:, 2:]) / 2, torch.tensor([[40.0, 50.0], [60.0, 50.0]]))
    assert near(pixels[50, 30], BACK) and near(pixels[50, 70], FRONT)
    assert near(pixels[50, 50], FRONT)  # both are there
    assert near(pixels[10, 50], GROUND)


def test_the_same_seed_gives_the_same_pixels():
    first, _ = draw_pair(("star", "cross"), 11, seed=3)
    assert np.array_equal(first, draw_pair(("star", "cross"), 11, seed=3)[0])
    assert not np.array_equal(first, draw_pair(("star", "cross"), 11, seed=4)[0])
