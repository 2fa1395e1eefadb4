"""Drawn images of different sizes, so that batches are padded."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from defdetr_ref.data.canvas import size_classes
from defdetr_ref.data.coco import learnable_boxes
from defdetr_ref.data.shapes import ShapesConfig, draw_shapes
from defdetr_ref.data.transforms import Target, to_model

SIZES = ((96, 96), (64, 96), (96, 64), (64, 64))  # height, width; one after the other
LARGE_SHARE = 1 / 4  # of the side of the largest, from which on an object is large; small is below half of it


class SizedShapes(Dataset):
    """Images of SIZES in turn, drawn once; dataset[i] is (image, target) as of `CocoDetection`.

    images: how many. seed: another one, other images; image i is decided by seed and i alone.
    """

    def __init__(self, images: int, seed: int) -> None:
        canvases = [
            ShapesConfig(image_size=size, max_objects=4, min_side=6, max_side=40, max_overlap=0, crowd_fraction=0,
                         empty_fraction=0)
            for size in SIZES
        ]  # fmt: skip
        self.drawn = [
            draw_shapes(canvases[index % len(canvases)], np.random.default_rng([seed, index]))
            for index in range(images)
        ]
        self.categories = dict(enumerate(canvases[0].shapes, start=1))
        self.image_ids = list(range(1, images + 1))

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        drawn = self.drawn[index]
        boxes, labels = learnable_boxes(drawn.annotations, drawn.pixels.shape[:2])
        target = {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.from_numpy(labels),
            "image_id": index + 1,
            "size": drawn.pixels.shape[:2],
        }
        return to_model(Image.fromarray(drawn.pixels), target)

    @cached_property
    def coco(self) -> dict[str, Any]:
        """All annotations as in a COCO json; the size classes are those of the largest image."""
        annotations = [
            {**record, "image_id": number}
            for number, drawn in zip(self.image_ids, self.drawn, strict=True)
            for record in drawn.annotations
        ]
        images = [
            {"id": number, "file_name": "", "height": drawn.pixels.shape[0], "width": drawn.pixels.shape[1]}
            for number, drawn in zip(self.image_ids, self.drawn, strict=True)
        ]
        return {
            "info": {"size_classes": size_classes(max(SIZES), LARGE_SHARE / 2, LARGE_SHARE)},
            "images": images,
            "annotations": [{**record, "id": number} for number, record in enumerate(annotations, start=1)],
            "categories": [{"id": number, "name": name} for number, name in self.categories.items()],
        }
