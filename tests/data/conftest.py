"""A hand-made COCO set whose contents a test can spoil before it is opened."""

import json

import numpy as np
import pytest
from PIL import Image

from defdetr_ref.data.coco import CocoDetection

SIZES = {10: (40, 60), 20: (50, 30), 30: (24, 36)}  # image id → (height, width)


class HandMadeSet:
    """images/, annotations.json and its content; `open` writes the content and opens the set."""

    def __init__(self, folder):
        self.images = folder / "images"
        self.annotations = folder / "annotations.json"
        self.images.mkdir()
        rng = np.random.default_rng(0)
        for image_id, (height, width) in SIZES.items():
            pixels = rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.images / f"{image_id}.png")
        self.content = {
            "images": [
                {"id": image_id, "file_name": f"{image_id}.png", "height": height, "width": width}
                for image_id, (height, width) in SIZES.items()
            ],
            "annotations": [
                {"id": 1, "image_id": 10, "category_id": 3, "bbox": [5, 6, 20, 10], "area": 200, "iscrowd": 0},
                {"id": 2, "image_id": 10, "category_id": 7, "bbox": [30, 20, 12, 18], "area": 216, "iscrowd": 0},
                {"id": 3, "image_id": 20, "category_id": 7, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0},
            ],
            "categories": [{"id": 3, "name": "cup"}, {"id": 7, "name": "plate"}],
        }

    def annotate(self, **changes):
        """Another annotation of image 10: a good one but for `changes`."""
        number = len(self.content["annotations"]) + 1
        good = {"id": number, "image_id": 10, "category_id": 3, "bbox": [2, 3, 8, 9], "area": 72, "iscrowd": 0}
        self.content["annotations"].append({**good, **changes})

    def open(self, *args, **settings):
        self.annotations.write_text(json.dumps(self.content), encoding="utf-8")
        return CocoDetection(self.images, self.annotations, *args, **settings)


@pytest.fixture
def hand_made(tmp_path):
    return HandMadeSet(tmp_path)
