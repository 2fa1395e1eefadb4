"""What the drawn data sets share: how many objects, how large, where, in which colour, and how they are painted.

Coordinates are COCO's: x to the right, y down, in pixels, pixel i covers [i, i + 1]. Images are float32 (H, W, 3) in
[0, 1] while they are painted. All chance comes from the generator that the caller hands in.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from pycocotools import mask as coco_mask

from defdetr_ref.boxes import box_iou

Number = float | int

PLACES_TRIED = 64  # positions drawn for one object before it is given up
LAYOUTS_TRIED = 50  # whole layouts drawn before the config is called impossible
COLOURS_TRIED = 32
PIXELS_COMPARED = 7  # per axis, under an object, when its colour is chosen
SMALLEST_IMAGE = 16  # px

# COCO calls an object small below 32² px and large above 96²; in these images the limits are 1/8 and 3/8 of the side.
SMALL_SHARE, LARGE_SHARE = 1 / 8, 3 / 8
NO_LIMIT = 1e10  # COCO's own upper end of "large"


@dataclass(frozen=True)
class CanvasConfig:
    """Settings of every drawn set. Sizes are in pixels.

    image_size: side of a square image, or (height, width).
    min_objects, max_objects: in an image, unless it is empty; counts between are equally common.
    min_side, max_side: longer side of an object's box; the sizes between are log-uniform, so that every doubling of
        the size is equally common and small objects are well represented.
    max_overlap: largest IoU of the boxes of two objects.
    min_contrast: smallest distance of an object's colour from what lies behind it, in RGB of [0, 1]³, as far as a
        colour with it was found.
    noise: standard deviation of the noise on every value, in [0, 1].
    empty_fraction: share of images without any object.

    Raises ValueError for a setting out of range.
    """

    image_size: int | tuple[int, int] = 128
    min_objects: int = 1
    max_objects: int = 6
    min_side: Number = 6
    max_side: Number = 64
    max_overlap: Number = 0.3
    min_contrast: Number = 0.4
    noise: Number = 0.03
    empty_fraction: Number = 0.02

    def __post_init__(self) -> None:
        name = type(self).__name__
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: {field.name} is {value}, but must be a finite number")
        if min(self.size) < SMALLEST_IMAGE:
            raise ValueError(f"{name}: image_size is {self.image_size}, but a side needs at least {SMALLEST_IMAGE} px")
        if not 1 <= self.min_objects <= self.max_objects:
            raise ValueError(
                f"{name}: min_objects is {self.min_objects} and max_objects {self.max_objects}, "
                "but 1 <= min_objects <= max_objects must hold (images without objects are set by empty_fraction)"
            )
        if not 2 <= self.min_side <= self.max_side <= min(self.size):
            raise ValueError(
                f"{name}: min_side is {self.min_side} and max_side {self.max_side}, "
                f"but 2 <= min_side <= max_side <= {min(self.size)} (the image's shorter side) must hold"
            )
        for share in ("max_overlap", "min_contrast", "noise", "empty_fraction"):
            if not 0 <= getattr(self, share) <= 1:
                raise ValueError(f"{name}: {share} is {getattr(self, share)}, but must lie in [0, 1]")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    def as_json(self) -> dict[str, Any]:
        """The settings as they are written into a set; equal settings give equal dictionaries."""
        return {**asdict(self), "image_size": list(self.size)}


@dataclass(frozen=True)
class DrawnImage:
    """pixels (H, W, 3), and the COCO annotations of its objects, without `id` and `image_id`."""

    pixels: UInt8[np.ndarray, "height width 3"]
    annotations: list[dict[str, Any]]


def size_classes(
    size: tuple[int, int], small_share: float = SMALL_SHARE, large_share: float = LARGE_SHARE
) -> dict[str, list[float]]:
    """Limits of an object's area, in px², for AP_small, AP_medium and AP_large in an image of (height, width).

    The shares are of the image's side: an object as large as their square is the first that is medium, or large.
    """
    height, width = size
    small, large = small_share**2 * height * width, large_share**2 * height * width
    return {"small": [0.0, small], "medium": [small, large], "large": [large, NO_LIMIT]}


def draw_sides(config: CanvasConfig, rng: np.random.Generator) -> Float[np.ndarray, " objects"]:
    """How many objects, and the longer side of each: log-uniform between the config's limits."""
    count = rng.integers(config.min_objects, config.max_objects, endpoint=True)
    return np.exp(rng.uniform(math.log(config.min_side), math.log(config.max_side), size=count))


@runtime_checkable
class Sprite(Protocol):
    """An object before it has a place."""

    @property
    def size(self) -> Float[np.ndarray, "2"]:
        """(width, height) of its box."""


AnySprite = TypeVar("AnySprite", bound=Sprite)


def lay_out(
    config: CanvasConfig, draw_sprites: Callable[[], list[AnySprite]], rng: np.random.Generator
) -> tuple[list[AnySprite], Float[np.ndarray, "objects 4"]]:
    """Objects, largest first, and their boxes xyxy. Raises ValueError if no drawn set of them fits into the image."""
    for _ in range(LAYOUTS_TRIED):
        sprites = sorted(draw_sprites(), key=lambda sprite: -float(sprite.size.prod()))
        sizes = np.array([sprite.size for sprite in sprites], dtype=np.float64).reshape(-1, 2)
        boxes = place_boxes(sizes, config.size, config.max_overlap, rng)
        if boxes is not None:
            return sprites, boxes
    raise ValueError(
        f"{type(config).__name__}: found no room for {config.min_objects} to {config.max_objects} objects of "
        f"{config.min_side} to {config.max_side} px with max_overlap {config.max_overlap} in images of {config.size}; "
        "ask for fewer or smaller ones"
    )


def place_boxes(
    sizes: Float[np.ndarray, "objects 2"], size: tuple[int, int], max_overlap: Number, rng: np.random.Generator
) -> Float[np.ndarray, "objects 4"] | None:
    """Boxes xyxy of the given (width, height), inside the image, no two with an IoU above `max_overlap`.

    Boxes of whole width and height get whole corners. None if one found no place in PLACES_TRIED attempts.
    """
    boxes = np.zeros((0, 4))
    room = np.array(size[::-1]) - sizes  # (objects, 2): how far each one can move
    for wanted, free in zip(sizes, room, strict=True):
        corner = rng.uniform(0, free, size=(PLACES_TRIED, 2))
        if (wanted == wanted.round()).all():
            corner = corner.round()  # `free` is whole as well, so the box stays inside
        candidates = np.concatenate([corner, corner + wanted], axis=1)  # (places, 4)
        overlap = box_iou(torch.from_numpy(candidates), torch.from_numpy(boxes)).numpy()  # (places, placed)
        allowed = np.flatnonzero((overlap <= max_overlap).all(axis=1))
        if len(allowed) == 0:
            return None
        boxes = np.concatenate([boxes, candidates[allowed[:1]]])
    return boxes


def contrasting_colour(
    behind: Float32[np.ndarray, "height width 3"], min_contrast: Number, rng: np.random.Generator
) -> Float32[np.ndarray, "3"]:
    """A random colour at least `min_contrast` away from the pixels `behind`, or the farthest if none was drawn."""
    rows, columns = (np.linspace(0, side - 1, PIXELS_COMPARED).astype(int) for side in behind.shape[:2])
    compared = behind[np.ix_(rows, columns)].reshape(-1, 3)
    candidates = rng.random((COLOURS_TRIED, 3), dtype=np.float32)
    distance = np.linalg.norm(candidates[:, None] - compared[None], axis=-1).min(axis=1)  # (candidates,) to the nearest
    return candidates[np.minimum(distance, min_contrast).argmax()]  # argmax takes the first of equals


def paint(
    image: Float32[np.ndarray, "height width 3"],
    alpha: Float32[np.ndarray, "rows columns"],
    corner: tuple[int, int],
    min_contrast: Number,
    rng: np.random.Generator,
) -> None:
    """Lay one colour, as opaque as `alpha`, over `image` in place; `corner` is (left, top) of the patch."""
    left, top = corner
    patch = image[top : top + alpha.shape[0], left : left + alpha.shape[1]]
    colour = contrasting_colour(patch, min_contrast, rng)
    patch += alpha[..., None] * (colour - patch)


def add_noise(
    image: Float32[np.ndarray, "height width 3"], noise: Number, rng: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """The finished picture: Gaussian noise added, clipped, in eight bits."""
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    levels = (image + np.float32(noise) * grain) * 255
    return np.clip(levels + 0.5, 0, 255).astype(np.uint8)  # the half rounds to the nearest level


def run_length(mask: np.ndarray) -> dict[str, Any]:
    """COCO's run-length encoding of a boolean mask (H, W), ready for json."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}
