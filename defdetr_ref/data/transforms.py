"""From a picture and its boxes to what the model reads.

A transform is called as `transform(image, target, rng)` with a PIL image in RGB, a target whose "boxes" are xyxy in
pixels of that image, and a NumPy generator that decides all chance. It returns the image as a float32 tensor (3, H, W),
normalised, and a target whose "boxes" are cxcywh in [0, 1] of the transformed image. "size" stays what it was: the
(height, width) of the original picture, in which detections are reported and judged.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from torch import Tensor

from defdetr_ref.boxes import xyxy_to_cxcywh
from defdetr_ref.preparation import EVAL_SHORT_SIDE, IMAGENET_MEAN, IMAGENET_STD, MAX_SIDE

Target = dict[str, Any]

# The published recipe for COCO, all in pixels.
TRAIN_SHORT_SIDES = tuple(range(480, 801, 32))
CROP_SHORT_SIDES = (400, 500, 600)
CROP_LIMITS = (384, 600)


# ---------------------------------------------------------------------------------------- one step at a time


def resized_size(size: tuple[int, int], short_side: int, max_side: int | None = None) -> tuple[int, int]:
    """Published code: (height, width) with the shorter side at `short_side`, or less if the longer exceeded `max_side`.

    The shorter side is rounded when the limit shrinks it; the longer one is cut off to whole pixels.
    """
    short, long = min(size), max(size)
    if max_side is not None and long / short * short_side > max_side:
        short_side = max(1, round(max_side * short / long))
    height, width = size
    if height <= width:
        return short_side, int(short_side * width / height)
    return int(short_side * height / width), short_side


def resize(image: Image.Image, target: Target, size: tuple[int, int]) -> tuple[Image.Image, Target]:
    """To (height, width) in pixels, bilinear."""
    height, width = size
    scale = torch.tensor([width / image.width, height / image.height]).repeat(2)  # x, y, x, y
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized, {**target, "boxes": target["boxes"] * scale}


def crop(image: Image.Image, target: Target, region: tuple[int, int, int, int]) -> tuple[Image.Image, Target]:
    """Cut out `region` (left, top, right, bottom); boxes are clipped to it, and those with no area left are dropped."""
    left, top, right, bottom = region
    boxes = clip_boxes(target["boxes"] - torch.tensor([left, top, left, top]), (bottom - top, right - left))
    kept = has_area(boxes)
    return image.crop(region), {**target, "boxes": boxes[kept], "labels": target["labels"][kept]}


def flip_horizontally(image: Image.Image, target: Target) -> tuple[Image.Image, Target]:
    """Mirror left and right."""
    left, top, right, bottom = target["boxes"].unbind(-1)
    boxes = torch.stack([image.width - right, top, image.width - left, bottom], dim=-1)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {**target, "boxes": boxes}


def flip_vertically(image: Image.Image, target: Target) -> tuple[Image.Image, Target]:
    """Mirror top and bottom."""
    left, top, right, bottom = target["boxes"].unbind(-1)
    boxes = torch.stack([left, image.height - bottom, right, image.height - top], dim=-1)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), {**target, "boxes": boxes}


def clip_boxes(boxes: Float[Tensor, "n 4"], size: tuple[int, int]) -> Float[Tensor, "n 4"]:
    """xyxy boxes cut off at the borders of an image of (height, width)."""
    height, width = size
    return boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))


def has_area(boxes: Float[Tensor, "n 4"]) -> Tensor:
    """(n,) bool: which xyxy boxes are wider and higher than nothing."""
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=-1)


def normalize(image: Image.Image) -> Float32[Tensor, "3 height width"]:
    """Colours in [0, 1], then shifted and scaled by ImageNet's mean and standard deviation."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255  # (3, H, W)
    return normalize_colours(pixels)


def normalize_colours(colours: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 height width"]:
    """The second step of `normalize`, for colours in [0, 1] of one image or several, on any device."""
    mean, std = _mean_and_std(colours.device)
    return (colours - mean) / std


def denormalize(image: Float[Tensor, "3 height width"]) -> Float[Tensor, "3 height width"]:
    """The inverse of `normalize`: colours in [0, 1], to look at."""
    mean, std = _mean_and_std(image.device)
    return (image * std + mean).clamp(0, 1)


def _mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """ImageNet's, (3, 1, 1) each."""
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return mean, std


def to_model(image: Image.Image, target: Target) -> tuple[Tensor, Target]:
    """The last step of every transform: pixels normalised (3, H, W), boxes cxcywh in [0, 1]."""
    whole = torch.tensor([image.width, image.height]).repeat(2)
    return normalize(image), {**target, "boxes": xyxy_to_cxcywh(target["boxes"] / whole)}


# ---------------------------------------------------------------------------------------- the recipes


class PlainTransform:
    """For images that are small already: no resizing, only flips if asked for, each in half of the cases."""

    def __init__(self, flip: bool = False, flip_vertical: bool = False) -> None:
        self.flip = flip
        self.flip_vertical = flip_vertical

    def __call__(self, image: Image.Image, target: Target, rng: np.random.Generator) -> tuple[Tensor, Target]:
        if self.flip and rng.random() < 0.5:
            image, target = flip_horizontally(image, target)
        if self.flip_vertical and rng.random() < 0.5:
            image, target = flip_vertically(image, target)
        return to_model(image, target)


class EvalTransform:
    """Published code, evaluation: shorter side at 800 px, or less where the longer would exceed 1333.

    Raises ValueError unless 1 <= short_side <= max_side.
    """

    def __init__(self, short_side: int = EVAL_SHORT_SIDE, max_side: int = MAX_SIDE) -> None:
        _check_sides([short_side], max_side, type(self).__name__)
        self.short_side = short_side
        self.max_side = max_side

    def __call__(self, image: Image.Image, target: Target, rng: np.random.Generator) -> tuple[Tensor, Target]:
        size = resized_size((image.height, image.width), self.short_side, self.max_side)
        return to_model(*resize(image, target, size))


class PaperTrainTransform:
    """Published code, training: a flip in half of the cases, a crop in half of them, and a random scale.

    flip → [resize shorter side to 400, 500 or 600 → crop 384 to 600 px wide and high] → resize shorter side to one
    of 480, 512, …, 800, longer side at most 1333.

    short_sides: one of them is drawn for the final size, in pixels.
    max_side: limit of the longer side, in pixels.
    crop_short_sides: one of them is drawn for the size before a crop.
    crop_limits: least and largest width and height of a crop, in pixels.

    Raises ValueError for sides below 1 px, or crop limits in the wrong order.
    """

    def __init__(
        self,
        short_sides: Sequence[int] = TRAIN_SHORT_SIDES,
        max_side: int = MAX_SIDE,
        crop_short_sides: Sequence[int] = CROP_SHORT_SIDES,
        crop_limits: tuple[int, int] = CROP_LIMITS,
    ) -> None:
        _check_sides(short_sides, max_side, type(self).__name__)
        low, high = crop_limits
        if not (crop_short_sides and 1 <= low <= high and low <= min(crop_short_sides)):
            raise ValueError(
                f"PaperTrainTransform: crop_limits is {crop_limits} and crop_short_sides {tuple(crop_short_sides)}, "
                "but 1 <= low <= high must hold, and no short side may be below low"
            )
        self.short_sides = tuple(short_sides)
        self.max_side = max_side
        self.crop_short_sides = tuple(crop_short_sides)
        self.crop_limits = crop_limits

    def __call__(self, image: Image.Image, target: Target, rng: np.random.Generator) -> tuple[Tensor, Target]:
        if rng.random() < 0.5:
            image, target = flip_horizontally(image, target)
        if rng.random() < 0.5:
            image, target = self._random_crop(image, target, rng)
        short_side = int(rng.choice(self.short_sides))
        return to_model(*resize(image, target, resized_size((image.height, image.width), short_side, self.max_side)))

    def _random_crop(self, image: Image.Image, target: Target, rng: np.random.Generator) -> tuple[Image.Image, Target]:
        """Resize, then cut out a window; width and height are uniform in the limits, as far as the image reaches."""
        short_side = int(rng.choice(self.crop_short_sides))
        image, target = resize(image, target, resized_size((image.height, image.width), short_side))
        low, high = self.crop_limits
        width, height = (int(rng.integers(low, min(side, high), endpoint=True)) for side in image.size)
        left = int(rng.integers(0, image.width - width, endpoint=True))
        top = int(rng.integers(0, image.height - height, endpoint=True))
        return crop(image, target, (left, top, left + width, top + height))


def _check_sides(short_sides: Sequence[int], max_side: int, name: str) -> None:
    """Raises ValueError unless every short side lies between 1 and max_side."""
    if not short_sides or not 1 <= min(short_sides) <= max(short_sides) <= max_side:
        raise ValueError(
            f"{name}: short side {', '.join(map(str, short_sides))} and max_side {max_side} do not fit together; "
            "1 <= short side <= max_side must hold"
        )
