"""The parts that both drawn sets share."""

import math

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from defdetr_ref.boxes import box_iou
from defdetr_ref.data.canvas import (
    CanvasConfig,
    add_noise,
    contrasting_colour,
    draw_sides,
    lay_out,
    paint,
    place_boxes,
    run_length,
    size_classes,
)


class Block:
    def __init__(self, width, height):
        self.size = np.array([width, height], dtype=np.float64)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"image_size": 8}, "image_size is 8"),
        ({"image_size": (200, 10)}, r"image_size is \(200, 10\)"),
        ({"min_objects": 0}, "min_objects is 0"),
        ({"min_objects": 5, "max_objects": 4}, "min_objects is 5 and max_objects 4"),
        ({"min_side": 1}, "min_side is 1"),
        ({"min_side": 40, "max_side": 30}, "min_side is 40 and max_side 30"),
        ({"image_size": (48, 90)}, "max_side 64, but .* 48"),
        ({"max_overlap": 1.5}, "max_overlap is 1.5"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"empty_fraction": float("nan")}, "empty_fraction is nan"),
        ({"max_side": math.inf}, "max_side is inf"),
        ({"min_contrast": 2}, "min_contrast is 2"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(ValueError, match=words) as error:
        CanvasConfig(**settings)
    assert "\n" not in str(error.value)


def test_one_side_means_a_square():
    assert CanvasConfig(image_size=96).size == (96, 96) and CanvasConfig(image_size=(70, 90)).size == (70, 90)
    assert CanvasConfig(image_size=96).as_json() == CanvasConfig(image_size=(96, 96)).as_json()


def test_size_classes_keep_cocos_ratio():
    assert size_classes((128, 128)) == {"small": [0, 16**2], "medium": [16**2, 48**2], "large": [48**2, 1e10]}
    assert size_classes((64, 100))["small"][1] == 100


def test_sides_are_log_uniform():
    rng = np.random.default_rng(0)
    drawn = [draw_sides(CanvasConfig(min_side=6, max_side=48, max_objects=5), rng) for _ in range(2000)]
    assert {len(sides) for sides in drawn} == {1, 2, 3, 4, 5}
    sides = np.concatenate(drawn)
    assert sides.min() >= 6 and sides.max() <= 48
    shares = np.histogram(np.log2(sides / 6), bins=[0, 1, 2, 3])[0] / len(sides)  # one bin per doubling
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)


@pytest.mark.parametrize("max_overlap", [0.0, 0.3])
def test_placed_boxes_stay_inside_and_apart(max_overlap):
    overlaps = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sizes = rng.uniform(15, 30, size=(5, 2))
        boxes = place_boxes(sizes, (70, 90), max_overlap, rng)
        if boxes is None:
            continue
        np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], sizes)
        assert (boxes >= 0).all() and (boxes[:, 2] <= 90).all() and (boxes[:, 3] <= 70).all()
        overlaps.append(box_iou(*[torch.from_numpy(boxes)] * 2).fill_diagonal_(0).max())
    assert len(overlaps) > 10 and max(overlaps) <= max_overlap
    assert max_overlap == 0 or max(overlaps) > 0.25  # the limit is used


def test_boxes_of_whole_size_get_whole_corners():
    rng = np.random.default_rng(0)
    boxes = place_boxes(np.array([[20.0, 31.0], [7.0, 7.0]]), (31, 90), 0.3, rng)
    assert (boxes == boxes.round()).all() and (boxes[:, 3] <= 31).all()


def test_layout_is_sorted_and_says_when_there_is_no_room():
    config = CanvasConfig(image_size=(64, 80), max_overlap=0.0)
    rng = np.random.default_rng(0)
    sprites, boxes = lay_out(config, lambda: [Block(5, 6), Block(30, 20), Block(10, 10)], rng)
    assert [tuple(sprite.size) for sprite in sprites] == [(30, 20), (10, 10), (5, 6)]
    np.testing.assert_array_equal(boxes[:, 2:] - boxes[:, :2], [[30, 20], [10, 10], [5, 6]])
    with pytest.raises(ValueError, match=r"CanvasConfig: found no room .* images of \(64, 80\)") as error:
        lay_out(config, lambda: [Block(60, 60), Block(60, 60)], rng)
    assert "\n" not in str(error.value)
    sprites, boxes = lay_out(config, lambda: [], rng)
    assert sprites == [] and boxes.shape == (0, 4)


def test_colours_stand_out():
    behind = np.full((9, 14, 3), [0.2, 0.5, 0.8], dtype=np.float32)
    colours = [contrasting_colour(behind, 0.4, np.random.default_rng(seed)) for seed in range(100)]
    distance = np.linalg.norm(np.array(colours) - behind[0, 0], axis=1)
    assert distance.min() >= 0.4
    assert distance.min() < 0.5  # any colour beyond the limit will do, not only the farthest


def test_the_farthest_colour_is_taken_where_none_is_far_enough():
    behind = np.full((9, 14, 3), 0.5, dtype=np.float32)
    colours = [contrasting_colour(behind, 1.0, np.random.default_rng(seed)) for seed in range(20)]
    assert np.linalg.norm(np.array(colours) - 0.5, axis=1).min() > 0.5


def test_paint_covers_as_much_as_its_opacity():
    image = np.zeros((20, 30, 3), dtype=np.float32)
    alpha = np.array([[0, 0.5, 1]], dtype=np.float32)
    paint(image, alpha, (4, 7), 0.4, np.random.default_rng(0))
    np.testing.assert_allclose(image[7, 5], image[7, 6] / 2)
    painted = np.argwhere(image.any(axis=-1)).tolist()
    assert painted == [[7, 5], [7, 6]]


def test_noise_has_the_asked_strength():
    image = np.full((80, 90, 3), 0.5, dtype=np.float32)
    noisy = add_noise(image, 0.05, np.random.default_rng(0)) / 255
    assert abs(noisy.std() - 0.05) < 0.002 and abs(noisy.mean() - 0.5) < 0.003
    assert (add_noise(image, 0, np.random.default_rng(0)) == 128).all()


def test_run_length_is_cocos():
    mask = np.zeros((5, 8), dtype=bool)
    mask[1:3, 2:7] = True
    encoded = run_length(mask)
    assert encoded["size"] == [5, 8] and isinstance(encoded["counts"], str)
    np.testing.assert_array_equal(coco_mask.decode(encoded), mask)
