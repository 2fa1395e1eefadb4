"""Images and boxes in COCO's format, checked before any work, as training and evaluation read them.

    dataset = CocoDetection("train2017", "annotations/instances_train2017.json", PaperTrainTransform(), num_classes=91)
    image, target = dataset[0]
    images, mask, targets = collate([dataset[0], dataset[1]])

What is wrong with a set is said when it is opened, in one sentence that names the file or the annotation. Boxes that
no detector can learn (without area, not finite, of a crowd) are left out of the targets, counted in `dropped`, and told
once, through the logger of this module.
"""

import logging
import os
import stat
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from defdetr_ref.batching import pad_images
from defdetr_ref.data.annotations import Annotations, ImageRecord, check_classes, read_annotations
from defdetr_ref.data.pictures import UPRIGHT, read_picture
from defdetr_ref.data.transforms import PlainTransform, Target

Transform = Callable[[Image.Image, Target, np.random.Generator], tuple[Tensor, Target]]

DROPPED_REASONS = {
    "not finite": "not finite",
    "crowd": "of crowds (iscrowd is 1)",
    "degenerate": "without width or height inside their image",
}

# What hardly any box is, unless all were written in another way than COCO's.
ODD_REASONS = {"beyond": "partly outside their image by more than a pixel", "tiny": "smaller than a pixel"}
ANOTHER_FORMAT = {
    "beyond": "COCO's boxes are left, top, width, height: these may be left, top, right, bottom",
    "tiny": "COCO's boxes are in pixels: these may be fractions of the image",
}
ENOUGH_BOXES = 10  # fewer may all be odd by chance

logger = logging.getLogger(__name__)


class CocoDetection(Dataset):
    """A folder of images and a COCO json as a PyTorch dataset.

    dataset[i] is (image (3, H, W) float32, normalised; target), with the target of one image:
        "boxes"    (n, 4) float32, cxcywh in [0, 1] of the image; n may be 0
        "labels"   (n,) int64, category ids as in the file
        "image_id" int
        "size"     (height, width) of the image file, in pixels, upright

    images: the folder.
    annotations: the json file.
    transform: see `defdetr_ref.data.transforms`; None only normalises.
    num_classes: if given, every category id must lie below it (labels are raw ids, so COCO's 80 categories need 91).
    skip_bad_images: read every image now and leave out those that are missing or broken, instead of raising.
    seed: with `set_epoch`, decides all chance in the transform. Sample i of an epoch is the same in any order and with
        any number of workers.
    cache: keep decoded images in memory, for small sets. Each worker process of a loader keeps its own.
    follow_links: take image files that symbolic links inside the folder name, wherever they lie. Without it, none
        outside the folder is read.

    Attributes:
        content      the checked `annotations.Annotations`, less skipped images and boxes that are not finite
        coco         the same as the lists of a COCO json, for evaluation; made anew at each use
        image_ids    id of each sample
        categories   category id → name
        info         what the file says about itself
        size_classes limits of "small", "medium" and "large" in px² if the file states its own, else None
        skipped      [(file name, why)]
        dropped      number of boxes left out of the targets: {"not finite": …, "crowd": …, "degenerate": …}

    Raises FileNotFoundError for a missing file or folder, ValueError for anything wrong inside: also for a set without
    a single box that can be learnt, and for a file name that leads out of the folder.
    """

    def __init__(
        self,
        images: str | Path,
        annotations: str | Path,
        transform: Transform | None = None,
        *,
        num_classes: int | None = None,
        skip_bad_images: bool = False,
        seed: int = 0,
        cache: bool = False,
        follow_links: bool = False,
    ) -> None:
        self.folder = Path(images)
        self.transform = transform if transform is not None else PlainTransform()
        self.seed = seed
        content = read_annotations(annotations)
        if num_classes is not None:
            check_classes(content.categories, annotations, num_classes)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"images folder {self.folder} does not exist; name the folder with the image files")

        self.skipped = list(find_bad_images(self.folder, content.images, skip_bad_images, follow_links))
        if self.skipped and not skip_bad_images:
            name, why = self.skipped[0]
            raise FileNotFoundError(
                f"{self.folder / name} {why} ({len(self.skipped)} of {len(content.images)} images are missing); "
                "complete the folder, or pass skip_bad_images=True to go on without them"
            )
        content = content.without_images(name for name, _ in self.skipped)
        if not content.images:
            raise ValueError(f"{annotations} lists no image that can be used; check it and the folder {self.folder}")

        self._records = content.images
        self.image_ids: list[int] = [record.id for record in self._records]
        self.categories: dict[int, str] = content.categories
        self.info: dict[str, Any] = content.info
        self.size_classes: dict[str, list[float]] | None = content.size_classes
        self._targets = Targets(content)
        self.dropped = {reason: int(rows.sum()) for reason, rows in self._targets.dropped.items()}
        self._report_dropped(annotations)
        doubt = self._targets.doubt()
        if doubt is not None:
            raise ValueError(f"{annotations}: {doubt}")
        self.content = content.chosen(finite_boxes(content.boxes))
        self._cache: dict[int, Image.Image] | None = {} if cache else None
        # Seen by workers that are already running.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._turning_is_reported = torch.zeros((), dtype=torch.bool).share_memory_()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(height, width) in pixels if all images have the same; else None."""
        sizes = {(record.height, record.width) for record in self._records}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def coco(self) -> dict[str, Any]:
        """The lists of a COCO json as evaluation reads them."""
        return self.content.as_coco()

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of `epoch` (0, 1, …); call it before iterating over a loader."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} does not exist; the set has {len(self)}")
        index %= len(self)
        record = self._records[index]
        boxes, labels = self._targets.of_image(index)
        target = {
            "boxes": torch.from_numpy(boxes.copy()),
            "labels": torch.from_numpy(labels.copy()),
            "image_id": record.id,
            "size": (record.height, record.width),
        }
        rng = np.random.default_rng([self.seed, int(self._epoch), index])
        return self.transform(self.load_image(index), target, rng)

    def load_image(self, index: int) -> Image.Image:
        """The picture of a sample in RGB, upright. Raises ValueError naming the file if it cannot be read."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        image, orientation = read_annotated(self.folder, self._records[index])
        if orientation != UPRIGHT and not self._turning_is_reported:
            self._turning_is_reported.fill_(True)
            logger.warning(
                "%s is turned upright, as its EXIF orientation %d asks, and so is every image that asks for it",
                self.folder / self._records[index].file_name,
                orientation,
            )
        if self._cache is not None:
            self._cache[index] = image
        return image

    def _report_dropped(self, annotations: str | Path) -> None:
        """Say once which boxes are no targets. Raises ValueError if none is left.

        Crowds are usual in COCO: they alone are only information, unless they are most of what there is.
        """
        usable, reasons = len(self._targets), format_dropped(self.dropped)
        if not usable:
            raise ValueError(
                f"{annotations} has no box that can be learnt ({reasons or 'no annotations at all'}); check its "
                "annotations and the sizes of its images"
            )
        if reasons:
            crowds = self.dropped["crowd"]
            usual = crowds == sum(self.dropped.values()) and crowds < usable
            level = logging.INFO if usual else logging.WARNING
            logger.log(level, "%s: left out of the targets are %s; %d remain", annotations, reasons, usable)


def collate(
    samples: list[tuple[Tensor, Target]],
) -> tuple[Float[Tensor, "batch 3 height width"], Bool[Tensor, "batch height width"], list[Target]]:
    """A batch from samples of different sizes: images padded at right and bottom, mask True on padding, targets."""
    images, mask = pad_images([image for image, _ in samples])
    return images, mask, [target for _, target in samples]


# ---------------------------------------------------------------------------------------- image files


def find_bad_images(
    folder: Path, records: list[ImageRecord], decode: bool, follow_links: bool = False
) -> Iterator[tuple[str, str]]:
    """(file name, why) of images that do not exist and, with `decode`, of those that cannot be read.

    folder: where the images are.
    records: which there should be.
    decode: read each, which takes its time.
    follow_links: see `CocoDetection`.

    Raises ValueError for a name that leads out of the folder.
    """
    inside = inside_of(folder, follow_links)
    for record in records:
        if not inside(record.file_name):
            raise ValueError(
                f"image {record.id} is called {record.file_name!r}, which leads out of the folder {folder}; name the "
                "folder that holds all images"
                + ("" if follow_links else ", or pass follow_links=True to read what symbolic links name")
            )
        if not is_file(folder / record.file_name):
            yield record.file_name, "does not exist"
        elif decode:
            try:
                read_annotated(folder, record)
            except ValueError as error:
                yield record.file_name, str(error)


def inside_of(folder: Path, follow_links: bool) -> Callable[[str], bool]:
    """Whether a file name stays in the folder: as text always, and without `follow_links` also where links lead.

    An absolute name stays there if it begins with the folder, as it is called or as it really is.
    """
    root = os.path.realpath(folder)
    beginnings = {one.rstrip(os.sep) + os.sep for one in (root, os.path.abspath(folder))}

    @cache  # most images share their folder
    def real_folder_is_inside(parent: str) -> bool:
        real = os.path.realpath(parent)
        return real == root or real.startswith(root.rstrip(os.sep) + os.sep)

    def stays_as_text(name: str) -> bool:
        if os.path.isabs(name):
            return name.startswith(tuple(beginnings))
        return name.split(os.sep)[0] != os.pardir and not os.path.splitdrive(name)[0]

    def inside(name: str) -> bool:
        if not stays_as_text(os.path.normpath(name)):
            return False
        if follow_links:
            return True
        path = os.path.join(root, name)
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                path = os.path.realpath(path)
        except (OSError, ValueError):  # there is no such file, or no file can be called so: nothing will be read
            return True
        return real_folder_is_inside(os.path.dirname(path))

    return inside


def is_file(path: Path) -> bool:
    """Also for a name that no file can have, such as one of a thousand letters."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_annotated(folder: Path, record: ImageRecord) -> tuple[Image.Image, int]:
    """An image as `pictures.read_picture` reads it. Raises ValueError also if it is not of the size that its boxes
    refer to.
    """
    path = folder / record.file_name
    try:
        image, orientation = read_picture(path)
    except ValueError as error:
        raise ValueError(f"{error}; replace it, or pass skip_bad_images=True to leave it out") from error
    check_size(path, image, orientation, record)
    return image, orientation


def check_size(path: Path, image: Image.Image, orientation: int, record: ImageRecord) -> None:
    """Raises ValueError if an image, upright, is not of the size that its boxes refer to.

    path, image, orientation: the file, and what `pictures.read_picture` made of it.
    record: what the annotations say.
    """
    if (image.height, image.width) == (record.height, record.width):
        return
    found, annotated = f"{image.width}×{image.height} px", f"{record.width}×{record.height}"
    if orientation != UPRIGHT and (image.width, image.height) == (record.height, record.width):
        raise ValueError(
            f"{path} is {found} once it is turned upright, as its EXIF orientation {orientation} asks, but the "
            f"annotations say {annotated}, its size as stored, so its boxes would be wrong; remove the orientation "
            "from the file if the boxes were drawn without turning it, or correct the size there if only that is wrong"
        )
    turned = "" if orientation == UPRIGHT else f" (turned upright, EXIF orientation {orientation})"
    raise ValueError(
        f"{path} is {found}{turned}, but the annotations say {annotated}"
        ", so its boxes would be wrong; use the image that was annotated, or correct its size there"
    )


# ---------------------------------------------------------------------------------------- targets


class Targets:
    """Boxes and labels of all images in two arrays: an array for each image would cost more than what it holds.

    dropped: reason → which annotations are no targets because of it, (annotations,) bool.
    odd: a key of ODD_REASONS → which of the others are so, (annotations,) bool.
    """

    def __init__(self, content: Annotations) -> None:
        ids = np.array([image.id for image in content.images], dtype=np.int64)
        by_id = np.argsort(ids)
        image = by_id[np.searchsorted(ids, content.image_ids, sorter=by_id)]  # (annotations,) position in the list
        sizes = np.array([(one.height, one.width) for one in content.images], dtype=np.float32).reshape(-1, 2)
        boxes, has_area = clipped_boxes(content.boxes, sizes[image])
        finite = finite_boxes(content.boxes)
        self.dropped = {
            "not finite": ~finite,
            "crowd": finite & content.crowds,
            "degenerate": finite & ~content.crowds & ~has_area,
        }
        learnable = finite & ~content.crowds & has_area
        self.odd = odd_boxes(content.boxes, sizes[image], learnable)
        order = np.flatnonzero(learnable)
        order = order[np.argsort(image[order], kind="stable")]
        self._boxes, self._labels = boxes[order], content.category_ids[order]
        self._starts = np.searchsorted(image[order], np.arange(len(ids) + 1))

    def __len__(self) -> int:
        return len(self._labels)

    def doubt(self) -> str | None:
        """One sentence if most boxes are odd in the same way, so that they must be of another format."""
        for reason, rows in self.odd.items():
            count = int(rows.sum())
            if len(self) >= ENOUGH_BOXES and 2 * count > len(self):
                return f"{count} of {len(self)} boxes are {ODD_REASONS[reason]}. {ANOTHER_FORMAT[reason]}; convert them"
        return None

    def of_image(self, index: int) -> tuple[Float32[np.ndarray, "n 4"], Int64[np.ndarray, " n"]]:
        """Boxes xyxy in pixels, and labels."""
        rows = slice(self._starts[index], self._starts[index + 1])
        return self._boxes[rows], self._labels[rows]


def finite_boxes(boxes: Float64[np.ndarray, "n 4"]) -> Bool[np.ndarray, " n"]:
    """Which are finite in float32, in which they are learnt."""
    with np.errstate(over="ignore"):
        return np.isfinite(boxes.astype(np.float32)).all(axis=1)


def clipped_boxes(
    boxes: Float64[np.ndarray, "n 4"], sizes: Float32[np.ndarray, "n 2"]
) -> tuple[Float32[np.ndarray, "n 4"], Bool[np.ndarray, " n"]]:
    """Boxes left, top, width, height as xyxy cut off at the borders of their images of (height, width), all in pixels;
    and which of them have some width and height there.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).astype(np.float32)
        clipped = np.clip(corners, 0, sizes[:, [1, 0, 1, 0]])
    return clipped, (clipped[:, 2:] > clipped[:, :2]).all(axis=1)


def odd_boxes(
    boxes: Float64[np.ndarray, "n 4"], sizes: Float32[np.ndarray, "n 2"], among: Bool[np.ndarray, " n"]
) -> dict[str, Bool[np.ndarray, " n"]]:
    """A key of ODD_REASONS → which boxes are so.

    boxes: left, top, width, height in pixels.
    sizes: height and width of each one's image.
    among: which are looked at; the others are not odd.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        ends = boxes[:, :2] + boxes[:, 2:]
        beyond = (ends > sizes[:, ::-1] + 1).any(axis=1) | (boxes[:, :2] < -1).any(axis=1)
        tiny = (np.abs(boxes[:, 2:]) < 1).all(axis=1)
    return {"beyond": among & beyond, "tiny": among & tiny}


def format_dropped(dropped: dict[str, int]) -> str:
    """The counts of `CocoDetection.dropped` that are not 0, as part of a sentence."""
    return ", ".join(f"{count} {DROPPED_REASONS[reason]}" for reason, count in dropped.items() if count)


def learnable_boxes(
    annotations: list[dict[str, Any]], size: tuple[int, int]
) -> tuple[Float32[np.ndarray, "n 4"], Int64[np.ndarray, " n"]]:
    """Boxes xyxy in pixels and labels of one image of (height, width), as a detector is trained on them.

    As in the published code: no crowds, boxes clipped to the image, then only those with some width and height.
    """
    single = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    boxes = np.array([one["bbox"] for one in single], dtype=np.float64).reshape(-1, 4)
    clipped, kept = clipped_boxes(boxes, np.tile(np.float32(size), (len(single), 1)))
    labels = np.array([annotation["category_id"] for annotation in single], dtype=np.int64)
    return clipped[kept], labels[kept]
