"""The studies' images: drawn, turned, stored; what a model sees of them must be what the backbone sees."""

import numpy as np
import pytest
import torch

from defdetr_ref.backbone import SmallResNet
from defdetr_ref.boxes import cxcywh_to_xyxy
from defdetr_ref.data.transforms import PlainTransform, normalize_colours
from defdetr_ref.studies.pictures import (
    TURNS,
    NumberedImages,
    StoredFeatures,
    draw_pictures,
    store_features,
    turn,
    turn_boxes,
)
from defdetr_ref.studies.plan import drawn_canvas

CANVAS = drawn_canvas(64, 3)
STRIDES = (8, 16)


@pytest.fixture(scope="module")
def pictures():
    return draw_pictures(CANVAS, 5, seed=3)


def test_an_image_depends_on_its_number_alone(pictures):
    more = draw_pictures(CANVAS, 7, seed=3)
    assert torch.equal(more.pixels[:5], pictures.pixels) and not torch.equal(more.pixels[5], more.pixels[6])
    assert not torch.equal(draw_pictures(CANVAS, 1, seed=4).pixels[0], pictures.pixels[0])


def test_the_covers_fill_the_boxes(pictures):
    for cover, target in zip(pictures.covers, pictures.targets, strict=True):
        seen = torch.zeros_like(cover)
        for label, box in zip(target["labels"], cxcywh_to_xyxy(target["boxes"]) * 64, strict=True):
            rows, columns = torch.nonzero(cover == label, as_tuple=True)
            left, top, right, bottom = box.tolist()
            inside = (rows + 1 > top) & (rows < bottom) & (columns + 1 > left) & (columns < right)
            assert abs(columns[inside].min() - left) < 1.5 and abs(columns[inside].max() + 1 - right) < 1.5
            assert abs(rows[inside].min() - top) < 1.5 and abs(rows[inside].max() + 1 - bottom) < 1.5
            seen[rows[inside], columns[inside]] = label.byte()
        assert torch.equal(seen, cover)  # nothing is covered outside the boxes


def test_the_annotations_are_those_of_the_targets(pictures):
    assert [row["id"] for row in pictures.coco["annotations"]] == list(range(1, len(pictures.coco["annotations"]) + 1))
    for target in pictures.targets:
        rows = [row for row in pictures.coco["annotations"] if row["image_id"] == target["image_id"]]
        assert [row["category_id"] for row in rows] == target["labels"].tolist()
        corners = cxcywh_to_xyxy(target["boxes"]) * 64
        wanted = [[x, y, x + width, y + height] for x, y, width, height in (row["bbox"] for row in rows)]
        np.testing.assert_allclose(corners.numpy(), wanted, atol=1e-4)
    limits = pictures.coco["info"]["size_classes"]
    assert limits["small"] == [0.0, 8.0**2] and limits["medium"] == [8.0**2, 16.0**2] and limits["large"][0] == 16.0**2


def test_they_are_normalised_as_everywhere(pictures):
    from PIL import Image

    image = Image.fromarray(pictures.pixels[0].permute(1, 2, 0).numpy())
    target = {"boxes": torch.zeros(0, 4), "size": (64, 64)}
    wanted, _ = PlainTransform()(image, target, np.random.default_rng(0))
    torch.testing.assert_close(normalize_colours(pictures.pixels[:1] / 255)[0], wanted)


@pytest.mark.parametrize("number", range(TURNS))
def test_boxes_turn_with_their_image(number):
    image = torch.zeros(16, 16)
    image[2:5, 6:14] = 1  # rows 2 to 5, columns 6 to 14
    box = torch.tensor([[10 / 16, 3.5 / 16, 8 / 16, 3 / 16]])
    left, top, right, bottom = (cxcywh_to_xyxy(turn_boxes(box, number))[0] * 16).round().int().tolist()
    wanted = torch.zeros(16, 16)
    wanted[top:bottom, left:right] = 1
    assert torch.equal(turn(image, number), wanted)


def test_all_turns_are_different():
    image = torch.arange(9.0).reshape(3, 3)
    assert len({tuple(turn(image, number).flatten().tolist()) for number in range(TURNS)}) == TURNS


def test_a_number_gives_what_the_backbone_sees_in_its_image(pictures, tmp_path):
    torch.manual_seed(0)
    backbone = SmallResNet(STRIDES).eval()
    val = draw_pictures(CANVAS, 3, seed=9)
    paths = {stride: tmp_path / f"{stride}.pt" for stride in STRIDES}
    store_features(backbone, pictures, val, paths.__getitem__, STRIDES)
    stored = StoredFeatures([torch.load(paths[stride]) for stride in STRIDES])
    assert stored.channels == backbone.channels
    train_set, val_set = NumberedImages(pictures, 0, seed=1), NumberedImages(val, TURNS * 5)
    drawn = set()
    for epoch in (0, 1, 2):
        train_set.set_epoch(epoch)
        for index in range(5):
            image, target = train_set[index]
            number = int(image[0, 0, 0]) // 5
            drawn.add(number)
            with torch.no_grad():
                wanted = backbone(normalize_colours(turn(pictures.pixels[index][None], number) / 255))
            for one, other in zip(stored(image[None]), wanted, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
            assert torch.equal(target["boxes"], turn_boxes(pictures.targets[index]["boxes"], number))
    assert len(drawn) > 4  # turned by chance
    with torch.no_grad():
        wanted = backbone(normalize_colours(val.pixels / 255))
    for one, other in zip(stored(torch.stack([val_set[i][0] for i in range(3)])), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert list(stored.state_dict()) == []


def test_validation_images_are_never_turned(pictures):
    dataset = NumberedImages(pictures, 40)
    assert [int(dataset[index][0][0, 0, 0]) for index in range(5)] == [40, 41, 42, 43, 44]
    assert dataset.image_ids == [1, 2, 3, 4, 5] and dataset.coco is pictures.coco
