"""Scanned handwriting on photographs: a step from drawn shapes towards real images, without any download.

    paths = write_digits("data/digits")

The 1,797 scans of single digits (8×8 grey values) and the two photographs come with scikit-learn. Training and
validation share neither a scan nor a piece of a photograph, and those of validation are the same in a set of any seed.
"""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from PIL import Image

from defdetr_ref.data.canvas import (
    CanvasConfig,
    DrawnImage,
    Number,
    add_noise,
    draw_sides,
    lay_out,
    paint,
    size_classes,
)
from defdetr_ref.data.writing import write_set

DRAWING_VERSION = 2  # raised whenever the same settings and seed give other pixels
VAL_SCAN_SHARE = 0.2
VAL_PHOTO_SHARE = 0.45  # the lower part of each photograph
SPLIT_SEED = (0, 0, 2)  # deals out the scans, whatever the seed of a set: who trained on one set may be judged on any
SMALLEST_CROP = 0.5  # of a photograph, as a share of the largest
SCAN_MAX = 16  # a scan's values are 0 … 16
MAGNIFICATION = 8  # scans are enlarged once by this, and from there to the size wanted
INK_START, INK_FULL = 0.35, 0.65  # share of the darkest value where ink begins, and where it is opaque: crisp edges
EDGE = 0.5  # opacity at which the digit's box ends


@dataclass(frozen=True)
class DigitsConfig(CanvasConfig):
    """Settings of the digits: those of CanvasConfig, larger because a digit of 6 px cannot be read."""

    min_side: Number = 12
    noise: Number = 0.02


@dataclass(frozen=True)
class Sources:
    """What one split is drawn from."""

    inks: list[Float32[np.ndarray, "_ _"]]  # opacity of each scan, in [0, 1]
    digits: Int[np.ndarray, " scans"]  # what it shows, 0 … 9
    numbers: Int[np.ndarray, " scans"]  # which of all scans it is
    photos: list[UInt8[np.ndarray, "_ _ 3"]]  # this split's part of each
    crop_height: int  # of the largest piece; the same in both splits, so that they look alike


@dataclass(frozen=True)
class DigitSprite:
    """A digit at its final size, without a place: opacity (height, width) in [0, 1]."""

    alpha: Float32[np.ndarray, "height width"]
    digit: int
    number: int

    @property
    def size(self) -> Float[np.ndarray, "2"]:
        """(width, height)"""
        return np.array(self.alpha.shape[::-1], dtype=np.float64)


def write_digits(
    folder: str | Path,
    config: DigitsConfig = DigitsConfig(),
    *,
    train: int = 2000,
    val: int = 500,
    seed: int = 0,
    image_size: int | tuple[int, int] | None = None,
    progress: bool = True,
) -> dict[str, Path]:
    """Draw `train` and `val` images into `folder`, or reuse it if this very set is there.

    folder: a new one, an empty one, or one with this very set.
    config: what the images look like.
    train, val: how many images of each split.
    seed: another seed, another set.
    image_size: takes the place of the config's.
    progress: show a bar.

    Returns the paths folder, train_images, train_annotations, val_images,
    val_annotations. The same config, seed and counts give the same bytes.

    Category ids are 1 … 10 for the digits 0 … 9. An annotation's area is that of its box, and "scan" says which scan
    it shows.

    Raises ImportError without scikit-learn, and ValueError if the folder holds something else or the objects do not
    fit into the images.
    """
    if image_size is not None:
        config = dataclasses.replace(config, image_size=image_size)
    info = {
        "description": "defdetr-ref scanned digits",
        "version": DRAWING_VERSION,
        "config": config.as_json(),
        "size_classes": size_classes(config.size),
    }
    return write_set(
        folder,
        lambda split, rng: draw_digits(config, load_sources()[split], rng),
        info,
        [{"id": digit + 1, "name": str(digit), "supercategory": "digit"} for digit in range(10)],
        counts={"train": train, "val": val},
        seed=seed,
        progress=progress,
    )


def draw_digits(config: DigitsConfig, sources: Sources, rng: np.random.Generator) -> DrawnImage:
    """One image. Large digits are painted first, so that no small one is hidden under them."""
    is_empty = rng.random() < config.empty_fraction
    sprites, boxes = lay_out(config, lambda: [] if is_empty else _draw_sprites(config, sources, rng), rng)
    image = _ground(config, sources, rng)
    annotations = []
    for sprite, box in zip(sprites, boxes, strict=True):
        left, top, right, bottom = (int(edge) for edge in box)
        paint(image, sprite.alpha, (left, top), config.min_contrast, rng)
        annotations.append(
            {
                "category_id": sprite.digit + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "segmentation": [],
                "iscrowd": 0,
                "scan": sprite.number,
            }
        )
    return DrawnImage(add_noise(image, config.noise, rng), annotations)


@lru_cache(maxsize=1)  # reading and enlarging takes about a second
def load_sources() -> dict[str, Sources]:
    """Scans and photographs of each split: scans dealt out at random, once and for all, photographs cut in two."""
    try:
        from sklearn.datasets import load_digits, load_sample_images
    except ImportError as error:
        raise ImportError(
            "the digits come with scikit-learn, which is not installed; run: pip install defdetr-ref[digits]"
        ) from error
    scans = load_digits()
    inks = [_ink(scan) for scan in scans.images]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(inks))
    val_count = round(VAL_SCAN_SHARE * len(inks))
    photos = load_sample_images().images
    val_height = round(VAL_PHOTO_SHARE * min(len(photo) for photo in photos))
    parts = {
        "train": (np.sort(order[val_count:]), [photo[:-val_height] for photo in photos]),
        "val": (np.sort(order[:val_count]), [photo[-val_height:] for photo in photos]),
    }
    return {
        split: Sources([inks[number] for number in numbers], scans.target[numbers], numbers, pieces, val_height)
        for split, (numbers, pieces) in parts.items()
    }


def _ink(scan: Float[np.ndarray, "8 8"]) -> Float32[np.ndarray, "_ _"]:
    """A scan enlarged, with crisp edges, cut to its ink: opacity in [0, 1]."""
    framed = np.pad(scan / SCAN_MAX, 1).astype(np.float32)  # ink at the border fades out too
    size = MAGNIFICATION * framed.shape[0]
    large = np.asarray(Image.fromarray(framed).resize((size, size), Image.Resampling.BICUBIC))
    alpha = np.clip((large - INK_START) / (INK_FULL - INK_START), 0, 1)
    rows, columns = (np.flatnonzero((alpha >= EDGE).any(axis=axis)) for axis in (1, 0))
    return alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _draw_sprites(config: DigitsConfig, sources: Sources, rng: np.random.Generator) -> list[DigitSprite]:
    """Random scans in random sizes; the longer side of each is what `draw_sides` asks for, in whole pixels."""
    sprites = []
    for side in draw_sides(config, rng):
        choice = int(rng.integers(len(sources.inks)))
        ink = sources.inks[choice]
        height, width = (max(1, round(edge * side / max(ink.shape))) for edge in ink.shape)
        alpha = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BICUBIC))
        digit, number = int(sources.digits[choice]), int(sources.numbers[choice])
        sprites.append(DigitSprite(np.clip(alpha, 0, 1), digit, number))
    return sprites


def _ground(config: DigitsConfig, sources: Sources, rng: np.random.Generator) -> Float32[np.ndarray, "height width 3"]:
    """A random piece of a photograph, mirrored in half of the cases, in [0, 1]."""
    height, width = config.size
    photo = sources.photos[rng.integers(len(sources.photos))]
    photo_height, photo_width = photo.shape[:2]
    scale = rng.uniform(SMALLEST_CROP, 1) * min(sources.crop_height / height, photo_width / width)
    left = rng.uniform(0, photo_width - width * scale)
    top = rng.uniform(0, photo_height - height * scale)
    region = (left, top, left + width * scale, top + height * scale)
    piece = Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC, box=region)
    pixels = np.float32(piece) / 255
    return pixels[:, ::-1].copy() if rng.random() < 0.5 else pixels
