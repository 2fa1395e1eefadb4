"""The published sizes, and boxes that stay on their objects."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from defdetr_ref.boxes import cxcywh_to_xyxy
from defdetr_ref.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EvalTransform,
    PaperTrainTransform,
    PlainTransform,
    clip_boxes,
    crop,
    denormalize,
    has_area,
    normalize,
    resize,
    resized_size,
)

SIZE = (300, 420)  # height, width
BOXES = [[50.0, 80, 170, 200], [260, 30, 400, 110]]  # xyxy
COLOURS = ["#ff0000", "#00ff00"]  # one channel each: the background is black


def rectangles():
    """A picture with a red and a green rectangle, and their boxes."""
    image = Image.new("RGB", SIZE[::-1])
    for (left, top, right, bottom), colour in zip(BOXES, COLOURS, strict=True):
        ImageDraw.Draw(image).rectangle([left, top, right - 1, bottom - 1], fill=colour)  # Pillow includes the end
    target = {"boxes": torch.tensor(BOXES), "labels": torch.tensor([1, 2]), "image_id": 5, "size": SIZE}
    return image, target


def extents(image, label):
    """xyxy of the rectangle with a label, from the pixels of a normalised image (3, H, W); None if it is not there."""
    rows, columns = np.nonzero(denormalize(image)[label - 1].numpy() > 0.5)
    return None if len(rows) == 0 else [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def assert_boxes_fit(image, target, tolerance):
    """Every box surrounds its rectangle within `tolerance` px, and every visible rectangle has a box."""
    height, width = image.shape[1:]
    boxes = cxcywh_to_xyxy(target["boxes"]) * torch.tensor([width, height, width, height])
    for label, box in zip(target["labels"].tolist(), boxes, strict=True):
        np.testing.assert_allclose(box.numpy(), extents(image, label), atol=tolerance)
    for label in {1, 2} - set(target["labels"].tolist()):
        assert extents(image, label) is None


@pytest.mark.parametrize(
    "size, short_side, max_side, expected",
    [
        ((480, 640), 800, 1333, (800, 1066)),  # 640·800/480 = 1066.67, cut off
        ((640, 480), 800, 1333, (1066, 800)),
        ((500, 500), 800, 1333, (800, 800)),
        ((300, 1000), 800, 1333, (400, 1333)),  # 1333·300/1000 = 399.9, rounded; then 400·1000/300 = 1333.3
        ((1000, 427), 800, 1333, (1332, 569)),  # 1333·427/1000 = 569.19; then 569·1000/427 = 1332.55
        ((375, 500), 480, 1333, (480, 640)),
        ((375, 500), 400, None, (400, 533)),
        ((800, 1201), 800, 1333, (800, 1201)),  # already there
        ((2, 5000), 800, 1333, (1, 2500)),  # 1333·2/5000 = 0.53
        ((1, 5000), 800, 1333, (1, 5000)),  # 0.27: thinner than a pixel is kept at one
    ],
)
def test_published_size_rule(size, short_side, max_side, expected):
    assert resized_size(size, short_side, max_side) == expected


def test_normalisation_is_imagenets():
    image = Image.fromarray(np.full((4, 6, 3), [255, 0, 51], dtype=np.uint8))
    expected = (np.array([1, 0, 0.2]) - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(normalize(image)[:, 2, 5].numpy(), expected, rtol=1e-5)
    assert normalize(image).shape == (3, 4, 6)
    torch.testing.assert_close(denormalize(normalize(image))[:, 0, 0], torch.tensor([1.0, 0.0, 0.2]))


def test_eval_resizes_and_keeps_the_original_size():
    image, target = EvalTransform(short_side=150, max_side=205)(*rectangles(), np.random.default_rng(0))
    assert image.shape == (3, 146, 204)  # 205·300/420 = 146.4; 146·420/300 = 204.4
    assert target["size"] == SIZE and target["image_id"] == 5
    assert_boxes_fit(image, target, tolerance=1)


def test_resizing_scales_each_axis_by_itself():
    image, target = resize(*rectangles(), (150, 840))
    assert image.size == (840, 150)
    torch.testing.assert_close(target["boxes"][0], torch.tensor([100.0, 40, 340, 100]))


def test_cropping_clips_boxes_and_drops_what_is_outside():
    image, target = crop(*rectangles(), (100, 120, 260, 300))
    assert image.size == (160, 180)
    assert target["boxes"].tolist() == [[0, 0, 70, 80]]  # the green rectangle begins where the crop ends
    assert target["labels"].tolist() == [1]


def test_a_box_needs_width_and_height():
    boxes = torch.tensor([[0.0, 0, 3, 2], [1, 1, 1, 5], [1, 1, 5, 1], [4, 4, 2, 6]])
    assert has_area(boxes).tolist() == [True, False, False, False]
    clipped = clip_boxes(torch.tensor([[-3.0, -2, 90, 7], [5, 60, 6, 61]]), (50, 80))
    assert clipped.tolist() == [[0, 0, 80, 7], [5, 50, 6, 50]]


@pytest.mark.parametrize("flip, flip_vertical", [(True, False), (False, True), (True, True)])
def test_plain_transform_flips_in_half_of_the_cases(flip, flip_vertical):
    transform = PlainTransform(flip=flip, flip_vertical=flip_vertical)
    seen = set()
    for seed in range(20):
        image, target = transform(*rectangles(), np.random.default_rng(seed))
        assert image.shape == (3, *SIZE)
        assert_boxes_fit(image, target, tolerance=1e-3)
        seen.add(tuple(extents(image, 1)))
    assert len(seen) == (4 if flip and flip_vertical else 2)


def test_plain_transform_leaves_the_image_alone():
    for seed in range(5):
        image, target = PlainTransform()(*rectangles(), np.random.default_rng(seed))
        assert extents(image, 1) == BOXES[0]
        assert_boxes_fit(image, target, tolerance=1e-3)


def test_paper_training_keeps_boxes_on_their_objects():
    transform = PaperTrainTransform()
    short_sides, aspects, mirrored = set(), set(), 0
    for seed in range(30):
        image, target = transform(*rectangles(), np.random.default_rng(seed))
        # the source is enlarged up to 2.7 times, then cut at whole pixels: its blurred edges move by up to 2 px
        assert_boxes_fit(image, target, tolerance=2)
        short_sides.add(min(image.shape[1:]))
        aspects.add(round(image.shape[2] / image.shape[1], 1))
        red, green = extents(image, 1), extents(image, 2)
        mirrored += bool(red and green and red[0] > green[0])
        assert max(image.shape[1:]) <= 1333 and target["size"] == SIZE
    assert len(short_sides) >= 8 and {480, 800} <= short_sides <= set(range(480, 801, 32))
    assert 0 < mirrored < 30
    assert len(aspects) > 2  # crops have shapes of their own


def test_crop_limits_are_the_published_ones():
    transform = PaperTrainTransform()
    sizes = np.array(
        [transform._random_crop(*rectangles(), np.random.default_rng(seed))[0].size for seed in range(150)]
    )
    assert sizes.min() >= 384 and sizes.max() <= 600
    assert sizes.min() < 390 and sizes.max() > 590
    assert transform.crop_limits == (384, 600) and transform.crop_short_sides == (400, 500, 600)


def test_a_crop_may_lie_anywhere():
    """2 or 3 px wide and high, on 6×4 px whose red tells the column and whose green the row: every window comes."""
    transform = PaperTrainTransform(short_sides=(4,), max_side=10, crop_short_sides=(4,), crop_limits=(2, 3))
    columns, rows = np.meshgrid(np.arange(6), np.arange(4))
    image = Image.fromarray(np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8))
    seen = set()
    for seed in range(800):
        target = {"boxes": torch.tensor([[0.0, 0, 6, 4]]), "labels": torch.tensor([1])}
        window, target = transform._random_crop(image, target, np.random.default_rng(seed))
        seen.add((*window.getpixel((0, 0))[:2], *window.size))
        assert target["boxes"].tolist() == [[0, 0, *window.size]]
    assert seen == {(x, y, w, h) for w in (2, 3) for h in (2, 3) for x in range(7 - w) for y in range(5 - h)}


def test_sizes_at_their_limits():
    EvalTransform(short_side=1, max_side=1)
    PaperTrainTransform(short_sides=(1, 7), max_side=7, crop_short_sides=(1, 5), crop_limits=(1, 1))


def test_images_without_objects_pass_through():
    image, target = rectangles()
    target = {**target, "boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    for transform in (PlainTransform(True, True), EvalTransform(), PaperTrainTransform()):
        for seed in range(4):
            _, result = transform(image, target, np.random.default_rng(seed))
            assert result["boxes"].shape == (0, 4) and result["labels"].shape == (0,)


def test_the_given_target_is_not_changed():
    image, target = rectangles()
    PaperTrainTransform()(image, target, np.random.default_rng(0))
    assert target["boxes"].tolist() == BOXES


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: EvalTransform(short_side=0), "short side 0"),
        (lambda: EvalTransform(short_side=900, max_side=800), "short side 900 and max_side 800"),
        (lambda: PaperTrainTransform(short_sides=(480, 801), max_side=800), "short side 480, 801 and max_side 800"),
        (lambda: PaperTrainTransform(short_sides=(480, 0)), "short side 480, 0 and max_side"),
        (lambda: PaperTrainTransform(crop_limits=(0, 400)), r"crop_limits is \(0, 400\)"),
        (lambda: PaperTrainTransform(crop_short_sides=()), r"crop_short_sides \(\)"),
        (lambda: PaperTrainTransform(short_sides=()), "PaperTrainTransform: short side"),
        (lambda: PaperTrainTransform(crop_limits=(500, 400)), r"crop_limits is \(500, 400\)"),
        (lambda: PaperTrainTransform(crop_limits=(450, 500)), r"crop_limits is \(450, 500\)"),
    ],
)
def test_impossible_sizes(build, words):
    with pytest.raises(ValueError, match=words):
        build()
