"""COCO's json: read, trained on and evaluated, or refused in one sentence; `check-data` always ends."""

import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from defdetr_ref.cli.common import train_transform
from defdetr_ref.data.checking import check_split, compare_splits, counts_by_category
from defdetr_ref.data.coco import CocoDetection, collate
from defdetr_ref.evaluation import COCO_SIZE_CLASSES, coco_metrics
from defdetr_ref.training.description import data_identity
from tests.fuzz.campaign import assert_is_a_sentence
from tests.fuzz.mutations import spoil_bytes, spoil_text, spoil_tree

SIZES = {10: (40, 60), 20: (50, 30), 30: (24, 36)}  # image id → (height, width)
GOOD = {
    "info": {"description": "a set", "flip": True, "size_classes": {"small": [0, 99.5], "medium": [99.5, 250],
                                                                    "large": [250, 1e10]}},
    "licenses": [],
    "images": [
        {"id": image_id, "file_name": f"{image_id}.png", "height": height, "width": width}
        for image_id, (height, width) in SIZES.items()
    ],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 3, "bbox": [5, 6.5, 20, 10], "area": 200, "iscrowd": 0},
        {"id": 2, "image_id": 10, "category_id": 7, "bbox": [30, 20, 12, 18], "segmentation": [[30, 20, 42, 38, 3, 4]]},
        {"id": 3, "image_id": 20, "category_id": 7, "bbox": [1, 2, 3, 4], "area": 12.5, "iscrowd": 0},
        {"id": 4, "image_id": 20, "category_id": 3, "bbox": [0, 0, 30, 50], "iscrowd": 1},
        {"id": 5, "image_id": 30, "category_id": 3, "bbox": [-4, 5, 50, 9.25], "area": 462.5, "iscrowd": 0},
    ],
    "categories": [{"id": 3, "name": "cup", "supercategory": "x"}, {"id": 7, "name": "plate"}],
}  # fmt: skip


class Target:
    """Images that stay, and a json that is written anew for each case."""

    def __init__(self, folder: Path) -> None:
        self.images, self.path = folder / "images", folder / "annotations.json"
        self.images.mkdir()
        rng = np.random.default_rng(0)
        for image_id, (height, width) in SIZES.items():
            pixels = rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.images / f"{image_id}.png")

    def case(self, rng: random.Random) -> str:
        self.path.write_bytes(self._spoilt(rng))
        told = self._use()
        self._look_through()
        return told

    def _spoilt(self, rng: random.Random) -> bytes:
        kind = rng.random()
        if kind < 0.7:
            return _dumps(spoil_tree(GOOD, rng)).encode("utf-8")
        good = _dumps(GOOD, ensure_ascii=False, indent=rng.choice((None, 1)))
        if kind < 0.9:
            return spoil_text(good, rng).encode("utf-8", errors="surrogatepass")
        return spoil_bytes(good.encode("utf-8"), rng, [good.encode("utf-8"), bytes(range(256))])

    def _use(self) -> str:
        """All that training and evaluation do with a set."""
        try:
            dataset = CocoDetection(self.images, self.path)
        except (ValueError, FileNotFoundError) as error:
            assert_is_a_sentence(error, self.path.parent)
            return "refused"
        data_identity(dataset)
        dataset.transform = train_transform("none", dataset)
        train_transform(None, dataset)
        samples = []
        for index in range(len(dataset)):
            try:
                samples.append(dataset[index])
            except ValueError as error:  # another size than annotated
                assert_is_a_sentence(error, self.images)
                return "refused, an image"
        _, _, targets = collate(samples)
        for target in targets:
            boxes = target["boxes"]
            assert torch.isfinite(boxes).all() and (boxes >= 0).all() and (boxes <= 1).all(), boxes
            assert (boxes[:, 2:] > 0).all() and set(target["labels"].tolist()) <= set(dataset.categories)
        results = [
            {"image_id": row["image_id"], "category_id": row["category_id"], "bbox": row["bbox"], "score": 0.5}
            for row in dataset.coco["annotations"]
        ]
        coco_metrics(dataset.coco, results, dataset.image_ids)
        return "read"

    def _look_through(self) -> None:
        try:
            split = check_split("train", self.images, self.path, progress=False)
        except ValueError as error:
            assert_is_a_sentence(error, self.path)
            return
        counts_by_category(split, COCO_SIZE_CLASSES)
        compare_splits([split, split])


def _dumps(tree, **options) -> str:
    """Also of whole numbers of more digits than Python writes by itself."""
    try:
        return json.dumps(tree, **options)
    except ValueError:
        return json.dumps(_shortened(tree), **options).replace('"10**5000"', "1" + 5000 * "0")


def _shortened(tree):
    if isinstance(tree, dict):
        return {key: _shortened(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_shortened(value) for value in tree]
    return "10**5000" if type(tree) is int and tree == 10**5000 else tree
