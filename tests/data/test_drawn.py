"""Images drawn when they are asked for: never the same twice, always the same again."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from defdetr_ref.boxes import cxcywh_to_xyxy
from defdetr_ref.data.canvas import DrawnImage
from defdetr_ref.data.coco import CocoDetection, collate
from defdetr_ref.data.drawn import DrawnDataset
from defdetr_ref.data.shapes import ShapesConfig, draw_shapes, write_shapes
from defdetr_ref.data.transforms import PlainTransform

CONFIG = ShapesConfig(image_size=(48, 64), max_side=30)
CATEGORIES = dict(enumerate(CONFIG.shapes, start=1))


def shapes(images: int = 5, **options) -> DrawnDataset:
    return DrawnDataset(partial(draw_shapes, CONFIG), CATEGORIES, images=images, **options)


def samples(dataset: DrawnDataset) -> list[torch.Tensor]:
    return [dataset[index][0] for index in range(len(dataset))]


def all_differ(images: list[torch.Tensor]) -> bool:
    return len({image.numpy().tobytes() for image in images}) == len(images)


def test_every_image_of_every_epoch_and_seed_is_another():
    seen = []
    for seed in (0, 3):
        dataset = shapes(seed=seed)
        for epoch in range(3):
            dataset.set_epoch(epoch)
            seen += samples(dataset)
    assert len(seen) == 30 and all_differ(seen)


def test_an_image_is_the_same_in_any_order_and_in_any_process():
    one, other = shapes(seed=4), shapes(seed=4)
    for dataset in (one, other):
        dataset.set_epoch(7)
    backwards = [other[index][0] for index in reversed(range(5))][::-1]
    loaded = DataLoader(other, batch_size=2, num_workers=2, collate_fn=collate)
    batches = torch.cat([images for images, _, _ in loaded])
    assert torch.equal(torch.stack(samples(one)), torch.stack(backwards))
    assert torch.equal(torch.stack(samples(one)), batches)


def test_a_worker_that_runs_already_draws_the_new_epoch():
    dataset = shapes(images=2)
    loader = DataLoader(dataset, num_workers=1, collate_fn=collate, persistent_workers=True)
    first = [images for images, _, _ in loader]
    dataset.set_epoch(1)
    assert all_differ([*first, *(images for images, _, _ in loader)])


def test_no_image_is_in_a_written_set(tmp_path):
    paths = write_shapes(tmp_path / "set", CONFIG, train=4, val=3, seed=2, progress=False)
    written = [
        CocoDetection(paths[f"{split}_images"], paths[f"{split}_annotations"])[index][0]
        for split, count in (("train", 4), ("val", 3))
        for index in range(count)
    ]
    fresh = []
    for epoch in range(3):
        dataset = shapes(images=4, seed=2)
        dataset.set_epoch(epoch)
        fresh += samples(dataset)
    assert all_differ([*written, *fresh])


def test_targets_are_those_of_the_same_image_in_a_written_set(tmp_path):
    paths = write_shapes(tmp_path / "set", CONFIG, train=1, val=1, seed=5, progress=False)
    written = CocoDetection(paths["train_images"], paths["train_annotations"])
    dataset = DrawnDataset(lambda rng: draw_shapes(CONFIG, np.random.default_rng([5, 0, 0])), CATEGORIES, images=1)
    (image, target), (expected_image, expected) = dataset[0], written[0]
    assert torch.equal(image, expected_image)
    assert torch.equal(target["boxes"], expected["boxes"]) and torch.equal(target["labels"], expected["labels"])
    assert (target["image_id"], target["size"]) == (expected["image_id"], expected["size"]) == (1, (48, 64))
    assert len(target["labels"]) > 0


def test_crowds_are_no_objects_to_learn():
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    single = {"category_id": 2, "bbox": [3, 4, 10, 8], "iscrowd": 0}
    crowd = {"category_id": 1, "bbox": [0, 0, 20, 20], "iscrowd": 1}
    dataset = DrawnDataset(lambda rng: DrawnImage(pixels, [crowd, single]), {1: "a", 2: "b"}, images=1)
    target = dataset[0][1]
    assert target["labels"].tolist() == [2]
    expected = torch.tensor([[3 / 30, 4 / 20, 13 / 30, 12 / 20]])
    torch.testing.assert_close(cxcywh_to_xyxy(target["boxes"]), expected)


def test_the_transform_draws_from_the_image_s_own_numbers():
    mirrored = shapes(images=12, transform=PlainTransform(flip=True))
    plain = shapes(images=12)
    same = [torch.equal(mirrored[index][0], plain[index][0]) for index in range(12)]
    assert 0 < sum(same) < 12
    assert torch.equal(torch.stack(samples(mirrored)), torch.stack(samples(mirrored)))


@pytest.mark.parametrize("options", [{"images": 0}, {"images": 3, "seed": -1}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(ValueError, match=f"images is {options['images']} and seed {options.get('seed', 0)}"):
        shapes(**options)


def test_an_index_beyond_the_epoch_is_refused():
    with pytest.raises(IndexError, match="sample 5 does not exist; the set has 5"):
        shapes()[5]
