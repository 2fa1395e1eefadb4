"""The study's images: drawn once, kept in memory, and read by the backbone once.

Both models look through the same backbone, which does not learn any more, so what it sees in an image is always the
same: it is stored, and a training step costs a model only what is its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.utils.data import Dataset

from defdetr_ref.boxes import xyxy_to_cxcywh
from defdetr_ref.data.canvas import size_classes
from defdetr_ref.data.coco import learnable_boxes
from defdetr_ref.data.shapes import ShapesConfig, coverage, draw_shapes
from defdetr_ref.data.transforms import normalize_colours

SMALL_SHARE, LARGE_SHARE = 1 / 8, 1 / 4  # of the image; an object whose area is below, or from, its square
TURNS = 8  # mirrored left to right, top to bottom, and both axes exchanged: bits 1, 2 and 4
READ_TOGETHER = 250  # images


@dataclass(frozen=True)
class Pictures:
    """N drawn images with all that is known of them.

    covers: the category whose shape covers a pixel, 0 for the ground. targets: as `CocoDetection` gives them. coco: the
    annotations as in a COCO json; its size classes are the study's own, so that each has many objects.
    """

    pixels: UInt8[Tensor, "image 3 height width"]
    covers: UInt8[Tensor, "image height width"]
    targets: list[dict[str, Any]]
    coco: dict[str, Any]


def draw_pictures(canvas: ShapesConfig, count: int, seed: int) -> Pictures:
    """`count` images; image i is decided by canvas, seed and i alone."""
    height, width = canvas.size
    pixels = torch.empty(count, 3, height, width, dtype=torch.uint8)
    covers = torch.zeros(count, height, width, dtype=torch.uint8)
    targets, annotations = [], []
    for index in range(count):
        drawn = draw_shapes(canvas, np.random.default_rng([seed, index]))
        pixels[index] = torch.from_numpy(drawn.pixels).permute(2, 0, 1)
        for record in drawn.annotations:
            _cover(covers[index], record)
            annotations.append({**record, "id": len(annotations) + 1, "image_id": index + 1})
        boxes, labels = learnable_boxes(drawn.annotations, canvas.size)
        sides = torch.tensor([width, height, width, height])
        targets.append({
            "boxes": xyxy_to_cxcywh(torch.from_numpy(boxes) / sides),
            "labels": torch.from_numpy(labels),
            "image_id": index + 1,
            "size": canvas.size,
        })  # fmt: skip
    coco = {
        "info": {"size_classes": size_classes(canvas.size, SMALL_SHARE, LARGE_SHARE)},
        "images": [{"id": index + 1, "file_name": "", "height": height, "width": width} for index in range(count)],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(canvas.shapes, start=1)],
    }
    return Pictures(pixels, covers, targets, coco)


def _cover(cover: UInt8[Tensor, "height width"], record: dict[str, Any]) -> None:
    """Write the category of one annotation where its outline covers at least half of a pixel."""
    (outline,) = record["segmentation"]
    alpha, (left, top) = coverage(np.reshape(outline, (-1, 2)))
    rows, columns = alpha.shape
    cover[top : top + rows, left : left + columns][torch.from_numpy(alpha >= 0.5)] = record["category_id"]


def turn(image: Tensor, number: int) -> Tensor:
    """`image`, or a batch of square ones, mirrored and transposed in one of the TURNS ways."""
    if number & 1:
        image = image.flip(-1)
    if number & 2:
        image = image.flip(-2)
    return image.transpose(-1, -2) if number & 4 else image


def turn_boxes(boxes: Float[Tensor, "n 4"], number: int) -> Float[Tensor, "n 4"]:
    """The same for cxcywh boxes in [0, 1]."""
    boxes = boxes.clone()
    if number & 1:
        boxes[:, 0] = 1 - boxes[:, 0]
    if number & 2:
        boxes[:, 1] = 1 - boxes[:, 1]
    return boxes[:, [1, 0, 3, 2]] if number & 4 else boxes


class NumberedImages(Dataset):
    """Images that are only their numbers, for a model whose backbone is `StoredFeatures`; targets are real.

    dataset[i] is (image, target) as of `CocoDetection`, but every value of the image is the number under which its
    features are stored.

    pictures: what the images are of.
    first: the number of the first image.
    seed: if given, each image is turned by chance, in another way in each epoch; turn t of image i has the number
        first + t·N + i. None: no image is turned.
    """

    def __init__(self, pictures: Pictures, first: int, seed: int | None = None) -> None:
        self.pictures, self.first, self.seed, self.epoch = pictures, first, seed, 0
        self.coco, self.image_ids = pictures.coco, [image["id"] for image in pictures.coco["images"]]
        self.categories = {row["id"]: row["name"] for row in pictures.coco["categories"]}

    def set_epoch(self, epoch: int) -> None:
        """Choose the turns of `epoch`."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.pictures.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        target = self.pictures.targets[index]
        number = 0 if self.seed is None else int(np.random.default_rng([self.seed, self.epoch, index]).integers(TURNS))
        image = torch.tensor(float(self.first + number * len(self) + index)).expand(3, *target["size"])
        return image, {**target, "boxes": turn_boxes(target["boxes"], number)}


class StoredFeatures(nn.Module):
    """Stands where a backbone does, and gives what the real one saw in the images of these numbers.

    maps: for each stride all images' maps, (images, C, H, W), in half precision.
    """

    def __init__(self, maps: list[Tensor]) -> None:
        super().__init__()
        self.maps = maps  # no buffers: they are no part of a checkpoint
        self.channels = [one.shape[1] for one in maps]

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch channel h w"]]:
        numbers = images[:, 0, 0, 0].long()
        return [one[numbers].float() for one in self.maps]


def store_features(
    backbone: nn.Module, train: Pictures, val: Pictures, path_of: Callable[[int], Path], strides: tuple[int, ...]
) -> None:
    """Write, for each stride, what `backbone` sees: all turns of all training images, then the validation images.

    backbone: frozen, in evaluation mode; it gives the maps of `strides`.
    train, val: the images.
    path_of: the file for a stride.
    strides: of the maps.
    """
    batches = [turn(train.pixels, number) for number in range(TURNS)] + [val.pixels]
    with torch.no_grad():
        parts = [
            [one.half() for one in backbone(normalize_colours(images / 255))]
            for batch in batches
            for images in batch.split(READ_TOGETHER)
        ]
    for level, stride in enumerate(strides):
        partial = path_of(stride).with_suffix(".partial")
        torch.save(torch.cat([part[level] for part in parts]), partial)
        partial.replace(path_of(stride))
