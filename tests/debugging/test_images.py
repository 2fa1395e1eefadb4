"""Drawn images of different sizes."""

import torch

from defdetr_ref.data.coco import collate
from defdetr_ref.debugging.images import SIZES, SizedShapes


def test_sizes_take_turns_and_a_batch_is_padded():
    dataset = SizedShapes(6, seed=2)
    pixels, mask, targets = collate(list(dataset))
    assert [target["size"] for target in targets] == [SIZES[index % len(SIZES)] for index in range(6)]
    assert pixels.shape == (6, 3, 96, 96)
    for image, (height, width) in enumerate(target["size"] for target in targets):
        assert not mask[image, :height, :width].any()
        assert int((~mask[image]).sum()) == height * width


def test_the_annotations_are_what_the_targets_say():
    dataset = SizedShapes(5, seed=2)
    coco = dataset.coco
    assert [row["id"] for row in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    assert [row["id"] for row in coco["images"]] == dataset.image_ids == [1, 2, 3, 4, 5]
    for _, target in dataset:
        rows = [row for row in coco["annotations"] if row["image_id"] == target["image_id"]]
        assert target["labels"].tolist() == [row["category_id"] for row in rows]
        height, width = target["size"]
        corners = torch.tensor([row["bbox"] for row in rows], dtype=torch.float32)
        centres = (corners[:, :2] + corners[:, 2:] / 2) / torch.tensor([width, height])
        torch.testing.assert_close(target["boxes"][:, :2], centres, rtol=0, atol=0.02)


def test_the_seed_and_the_number_decide_an_image():
    few, more, other = SizedShapes(2, seed=2), SizedShapes(4, seed=2), SizedShapes(2, seed=3)
    for index in range(2):
        assert torch.equal(few[index][0], more[index][0]) and not torch.equal(few[index][0], other[index][0])
