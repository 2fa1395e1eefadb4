"""Coloured shapes on textured ground: a detection problem small enough for a CPU, in COCO's format.

    paths = write_shapes("data/shapes")
    dataset = CocoDetection(paths["train_images"], paths["train_annotations"])

The boxes are exact because each shape is a polygon first and pixels second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32
from PIL import Image, ImageDraw

from defdetr_ref.data.canvas import (
    CanvasConfig,
    DrawnImage,
    Number,
    add_noise,
    draw_sides,
    lay_out,
    paint,
    run_length,
    size_classes,
)
from defdetr_ref.data.writing import write_set

DRAWING_VERSION = 1  # raised whenever the same settings and seed give other pixels
SUPERSAMPLING = 8  # polygons are filled on a grid this much finer, then averaged: smooth edges
CIRCLE_CORNERS = 48  # a polygon of 64 px across stays within 0.07 px of the circle
STAR_INNER_RADIUS = 0.45  # of the outer one; a thinner star vanishes at 6 px
CROSS_ARM = 0.36  # width of an arm, of the whole
COORDINATE_DECIMALS = 2  # as in COCO's own files
MEMBERS = (10, 18)  # of a crowd, fewest and most
MEMBER_SIDE = (0.04, 0.07)  # of a crowd's members, as a share of the image's shorter side
CROWD_SIDE = (0.25, 0.4)  # of the region they are scattered over, likewise
MIN_MEMBER_SIDE = 3.0  # px

Polygon = Float[np.ndarray, "corners 2"]


def _regular(corners: int, radii: tuple[float, ...] = (1.0,)) -> Polygon:
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.resize(radii, corners)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _cross() -> Polygon:
    corner, arm = [(1, CROSS_ARM), (CROSS_ARM, CROSS_ARM), (CROSS_ARM, 1)], []
    for quarter in range(4):
        turn = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), quarter)
        arm.extend(np.array(corner) @ turn.T)
    return np.array(arm)


OUTLINES: dict[str, Callable[[], Polygon]] = {
    "circle": lambda: _regular(CIRCLE_CORNERS),
    "square": lambda: _regular(4),
    "triangle": lambda: _regular(3),
    "star": lambda: _regular(10, (1.0, STAR_INNER_RADIUS)),
    "cross": _cross,
}


@dataclass(frozen=True)
class ShapesConfig(CanvasConfig):
    """Settings of the drawn shapes, beside those of CanvasConfig.

    shapes: which of circle, square, triangle, star, cross; their category ids are 1, 2, … in this order.
    crowd_fraction: share of images with a crowd: many tiny shapes of one kind under one `iscrowd` annotation.
    texture: strength of the pattern on the ground, in [0, 1].
    """

    shapes: tuple[str, ...] = tuple(OUTLINES)
    crowd_fraction: Number = 0.02
    texture: Number = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [shape for shape in self.shapes if shape not in OUTLINES]
        if unknown or not self.shapes or len(set(self.shapes)) < len(self.shapes):
            raise ValueError(
                f"ShapesConfig: shapes is {self.shapes}, but must be one or more of {', '.join(OUTLINES)}, each once"
            )
        for share in ("crowd_fraction", "texture"):
            if not 0 <= getattr(self, share) <= 1:
                raise ValueError(f"ShapesConfig: {share} is {getattr(self, share)}, but must lie in [0, 1]")
        if self.empty_fraction + self.crowd_fraction > 1:
            raise ValueError(
                f"ShapesConfig: empty_fraction {self.empty_fraction} and crowd_fraction {self.crowd_fraction} "
                "together exceed 1; lower one of them"
            )


@dataclass(frozen=True)
class ShapeSprite:
    """One object before it is placed: polygons whose joint box starts at (0, 0). Only a crowd has several."""

    category_id: int
    polygons: list[Polygon]
    is_crowd: bool = False

    @property
    def size(self) -> Float[np.ndarray, "2"]:
        """(width, height)"""
        return np.concatenate(self.polygons).max(axis=0)


def write_shapes(
    folder: str | Path,
    config: ShapesConfig = ShapesConfig(),
    *,
    train: int = 2000,
    val: int = 500,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Path]:
    """Draw `train` and `val` images into `folder`, or reuse it if this very set is there.

    folder: a new one, an empty one, or one with this very set.
    config: what the images look like.
    train, val: how many images of each split.
    seed: another seed, another set.
    progress: show a bar.

    Returns the paths folder, train_images, train_annotations, val_images, val_annotations. The same config, seed and
    counts give the same bytes. `info["size_classes"]` of the json holds the area limits for AP by size.

    Raises ValueError if the folder holds something else, or the config's objects do not fit into its images.
    """
    info = {
        "description": "defdetr-ref drawn shapes",
        "version": DRAWING_VERSION,
        "config": config.as_json(),
        "size_classes": size_classes(config.size),
    }
    names = enumerate(config.shapes, start=1)
    categories = [{"id": number, "name": shape, "supercategory": "shape"} for number, shape in names]
    return write_set(
        folder,
        lambda split, rng: draw_shapes(config, rng),
        info,
        categories,
        counts={"train": train, "val": val},
        seed=seed,
        progress=progress,
    )


def draw_shapes(config: ShapesConfig, rng: np.random.Generator) -> DrawnImage:
    """One image. Large objects are painted first, so that no small one is hidden under them."""
    sprites, boxes = _layout(config, rng)
    image = _ground(config, rng)
    annotations = []
    for sprite, box in zip(sprites, boxes, strict=True):
        polygons = [np.round(polygon + box[:2], COORDINATE_DECIMALS) for polygon in sprite.polygons]
        mask = np.zeros(config.size, dtype=bool)
        for polygon in polygons:
            alpha, (left, top) = coverage(polygon)
            paint(image, alpha, (left, top), config.min_contrast, rng)
            mask[top : top + alpha.shape[0], left : left + alpha.shape[1]] |= alpha >= 0.5
        annotations.append(_annotation(sprite, polygons, mask))
    return DrawnImage(add_noise(image, config.noise, rng), annotations)


def _layout(config: ShapesConfig, rng: np.random.Generator) -> tuple[list[ShapeSprite], np.ndarray]:
    """The objects of an image, largest first, and their boxes xyxy (objects, 4)."""
    kind = rng.random()
    if kind < config.empty_fraction:
        return [], np.zeros((0, 4))
    has_crowd = kind < config.empty_fraction + config.crowd_fraction

    def draw_sprites() -> list[ShapeSprite]:
        singles = [_single(config, side, rng) for side in draw_sides(config, rng)]
        return [*singles, _crowd(config, rng)] if has_crowd else singles

    return lay_out(config, draw_sprites, rng)


def _single(config: ShapesConfig, side: float, rng: np.random.Generator) -> ShapeSprite:
    """A shape of random kind and rotation whose box has `side` as its longer side."""
    kind = int(rng.integers(len(config.shapes)))
    return ShapeSprite(kind + 1, [_outline(config.shapes[kind], side, rng)])


def _crowd(config: ShapesConfig, rng: np.random.Generator) -> ShapeSprite:
    """Many tiny shapes of one kind, scattered over a square; they may touch and overlap."""
    kind = int(rng.integers(len(config.shapes)))
    short_side = min(config.size)
    region = short_side * rng.uniform(*CROWD_SIDE)
    members = []
    for _ in range(rng.integers(*MEMBERS, endpoint=True)):
        side = max(short_side * rng.uniform(*MEMBER_SIDE), MIN_MEMBER_SIDE)
        members.append(_outline(config.shapes[kind], side, rng) + rng.uniform(0, region - side, size=2))
    corner = np.concatenate(members).min(axis=0)
    return ShapeSprite(kind + 1, [member - corner for member in members], is_crowd=True)


def _outline(shape: str, side: float, rng: np.random.Generator) -> Polygon:
    """A randomly rotated outline with its box's corner at (0, 0) and its box's longer side equal to `side`."""
    angle = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    outline = OUTLINES[shape]() @ rotation.T
    outline -= outline.min(axis=0)
    return outline * (side / outline.max())


def coverage(polygon: Polygon) -> tuple[Float32[np.ndarray, "rows columns"], tuple[int, int]]:
    """How much of each pixel the polygon covers, in [0, 1], for the pixels its box touches; and their (left, top)."""
    low, high = np.floor(polygon.min(axis=0)), np.ceil(polygon.max(axis=0))
    columns, rows = (high - low).astype(int)
    fine = Image.new("L", (columns * SUPERSAMPLING, rows * SUPERSAMPLING))
    corners = (polygon - low) * SUPERSAMPLING
    ImageDraw.Draw(fine).polygon([tuple(corner) for corner in corners.tolist()], fill=255)  # about 1/20 px too wide
    return np.float32(fine.reduce(SUPERSAMPLING)) / 255, (int(low[0]), int(low[1]))


def polygon_area(polygon: Polygon) -> float:
    """Shoelace formula, px²."""
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _annotation(sprite: ShapeSprite, polygons: list[Polygon], mask: Bool[np.ndarray, "height width"]) -> dict[str, Any]:
    """COCO's record of one object: its outline and the outline's area, or for a crowd the pixels and their number."""
    corners = np.concatenate(polygons)
    low, high = corners.min(axis=0), corners.max(axis=0)
    area = float(mask.sum()) if sprite.is_crowd else polygon_area(polygons[0])
    return {
        "category_id": sprite.category_id,
        "bbox": np.round([*low, *(high - low)], COORDINATE_DECIMALS).tolist(),
        "area": round(area, COORDINATE_DECIMALS),
        "segmentation": run_length(mask) if sprite.is_crowd else [polygons[0].ravel().tolist()],
        "iscrowd": int(sprite.is_crowd),
    }


def _ground(config: ShapesConfig, rng: np.random.Generator) -> Float32[np.ndarray, "height width 3"]:
    """A gradient between two related colours along a random direction, with a coarse, a fine and a striped pattern."""
    first = rng.uniform(0.1, 0.9, size=3)
    second = np.clip(first + rng.uniform(-0.35, 0.35, size=3), 0, 1)
    along = _ramp(config.size, rng)[..., None]  # (H, W, 1)
    stripes = np.sin(2 * np.pi * rng.uniform(3, 16) * _ramp(config.size, rng))  # 3 to 16 of them
    pattern = rng.random() * stripes + _clouds(6, config.size, rng) + _clouds(24, config.size, rng)  # cells per axis
    tint = config.texture * 0.5 * rng.uniform(0.5, 1, size=3)  # how far the pattern moves each colour
    image = np.float32(first) + along * np.float32(second - first) + pattern[..., None] * np.float32(tint)
    return np.clip(image, 0, 1)


def _ramp(size: tuple[int, int], rng: np.random.Generator) -> Float32[np.ndarray, "height width"]:
    """From 0 at one border to 1 at the opposite one, along a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = (np.arange(side, dtype=np.float32) for side in size)
    along = np.float32(np.sin(angle)) * rows[:, None] + np.float32(np.cos(angle)) * columns[None, :]
    return (along - along.min()) / np.ptp(along)


def _clouds(cells: int, size: tuple[int, int], rng: np.random.Generator) -> Float32[np.ndarray, "height width"]:
    """Smooth noise in about [-1, 1]: random values on a coarse grid, interpolated."""
    grid = Image.fromarray(rng.uniform(-1, 1, size=(cells, cells)).astype(np.float32))
    return np.asarray(grid.resize(size[::-1], Image.Resampling.BICUBIC))
