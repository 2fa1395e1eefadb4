"""Images and boxes in COCO's format, checked before any work, as training and evaluation read them.

    dataset = CocoDetection("train2017", "annotations/instances_train2017.json", PaperTrainTransform(), num_classes=91)
    image, target = dataset[0]
    images, mask, targets = collate([dataset[0], dataset[1]])

What is wrong with a set is said when it is opened, in one sentence that names the file or the annotation. Boxes that
no detector can learn (without area, not finite, of a crowd) are left out of the targets and counted in `dropped`.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from defdetr_ref.batching import pad_images
from defdetr_ref.data.transforms import PlainTransform, Target, clip_boxes, has_area

Transform = Callable[[Image.Image, Target, np.random.Generator], tuple[Tensor, Target]]

# What this code and COCOeval read from each record of a file.
REQUIRED_KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises for a broken file


class CocoDetection(Dataset):
    """A folder of images and a COCO json as a PyTorch dataset.

    dataset[i] is (image (3, H, W) float32, normalised; target), with the target of one image:
        "boxes"    (n, 4) float32, cxcywh in [0, 1] of the image; n may be 0
        "labels"   (n,) int64, category ids as in the file
        "image_id" int
        "size"     (height, width) of the image file, in pixels

    images: the folder.
    annotations: the json file.
    transform: see `defdetr_ref.data.transforms`; None only normalises.
    num_classes: if given, every category id must lie below it (labels are raw ids, so COCO's 80 categories need 91).
    skip_bad_images: read every image now and leave out those that are missing or broken, instead of raising.
    seed: with `set_epoch`, decides all chance in the transform. Sample i of an epoch is the same in any order and with
        any number of workers.
    cache: keep decoded images in memory, for small sets. Each worker process of a loader keeps its own.

    Attributes:
        coco         the parsed json for evaluation, less skipped images and boxes that are not finite
        image_ids    id of each sample
        categories   category id → name
        size_classes limits of "small", "medium" and "large" in px² if the file states its own, else None
        skipped      [(file name, why)]
        dropped      number of boxes left out of the targets: {"not finite": …, "crowd": …, "degenerate": …}

    Raises FileNotFoundError for a missing file or folder, ValueError for anything wrong inside.
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
    ) -> None:
        self.folder = Path(images)
        self.transform = transform if transform is not None else PlainTransform()
        self.seed = seed
        content = read_annotations(annotations)
        check_content(content, annotations, num_classes)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"images folder {self.folder} does not exist; name the folder with the image files")

        self.skipped = self._find_bad_images(content["images"], decode=skip_bad_images)
        if self.skipped and not skip_bad_images:
            name, why = self.skipped[0]
            raise FileNotFoundError(
                f"{self.folder / name} {why} ({len(self.skipped)} of {len(content['images'])} images are missing); "
                "complete the folder, or pass skip_bad_images=True to go on without them"
            )
        _remove_images(content, {name for name, _ in self.skipped})
        if not content["images"]:
            raise ValueError(f"{annotations} lists no image that can be used; check it and the folder {self.folder}")

        self._records = content["images"]
        self.image_ids: list[int] = [record["id"] for record in self._records]
        self.categories: dict[int, str] = {category["id"]: category["name"] for category in content["categories"]}
        info = content.get("info")
        self.size_classes: dict[str, list[float]] | None = info.get("size_classes") if isinstance(info, dict) else None
        self._boxes, self._labels, self.dropped = _targets(content)
        self.coco = content
        self._cache: dict[int, Image.Image] | None = {} if cache else None
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that are already running

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
        target = {
            "boxes": torch.from_numpy(self._boxes[index].copy()),
            "labels": torch.from_numpy(self._labels[index].copy()),
            "image_id": record["id"],
            "size": (record["height"], record["width"]),
        }
        rng = np.random.default_rng([self.seed, int(self._epoch), index])
        return self.transform(self.load_image(index), target, rng)

    def load_image(self, index: int) -> Image.Image:
        """The picture of a sample in RGB, as it is on disk. Raises ValueError naming the file if it cannot be read."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        image = _read_image(self.folder, self._records[index])
        if self._cache is not None:
            self._cache[index] = image
        return image

    def _find_bad_images(self, records: list[dict[str, Any]], decode: bool) -> list[tuple[str, str]]:
        """(file name, why) of images that do not exist and, with `decode`, of those that cannot be read."""
        bad = []
        for record in records:
            if not (self.folder / record["file_name"]).is_file():
                bad.append((record["file_name"], "does not exist"))
            elif decode:
                try:
                    _read_image(self.folder, record)
                except ValueError as error:
                    bad.append((record["file_name"], str(error)))
        return bad


def collate(
    samples: list[tuple[Tensor, Target]],
) -> tuple[Float[Tensor, "batch 3 height width"], Bool[Tensor, "batch height width"], list[Target]]:
    """A batch from samples of different sizes: images padded at right and bottom, mask True on padding, targets."""
    images, mask = pad_images([image for image, _ in samples])
    return images, mask, [target for _, target in samples]


# ---------------------------------------------------------------------------------------- reading and checking


def read_annotations(path: str | Path) -> dict[str, Any]:
    """The json of a COCO file. Raises FileNotFoundError or ValueError if there is none."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"annotation file {path} does not exist; name a COCO json file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # broken json or broken UTF-8
        raise ValueError(f"{path} is not a json file ({error}); name a COCO json file") from error
    missing = [key for key in REQUIRED_KEYS if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise ValueError(f"{path} lacks the list(s) {', '.join(missing)}; a COCO file has {', '.join(REQUIRED_KEYS)}")
    return content


def check_content(content: dict[str, Any], path: str | Path, num_classes: int | None = None) -> None:
    """Every record complete, every id unique, every reference met; the first offence raises ValueError."""
    for kind, keys in REQUIRED_KEYS.items():
        _check_records(content[kind], kind, keys, path)
    for image in content["images"]:
        sides = image["height"], image["width"]
        if not isinstance(image["file_name"], str) or not all(type(side) is int and side > 0 for side in sides):
            raise ValueError(
                f"{path}: image {image['id']} has file_name {image['file_name']!r}, height {sides[0]!r} and width "
                f"{sides[1]!r}; a name and two whole numbers of pixels are needed"
            )
    category_ids = {category["id"] for category in content["categories"]}
    for category in content["categories"]:
        if num_classes is not None and not 0 <= category["id"] < num_classes:
            raise ValueError(
                f"{path}: category {category['name']!r} has id {category['id']}, but num_classes is {num_classes} and "
                f"labels are raw ids; set num_classes to at least {max(category_ids) + 1}, or renumber them from 1"
            )
    image_ids = {image["id"] for image in content["images"]}
    for annotation in content["annotations"]:
        name = f"{path}: annotation {annotation['id']}"
        if annotation["image_id"] not in image_ids:
            raise ValueError(
                f"{name} belongs to image {annotation['image_id']}, which is not listed; remove it or add the image"
            )
        if annotation["category_id"] not in category_ids:
            raise ValueError(
                f"{name} has category {annotation['category_id']}, which is not listed; remove it or add the category"
            )
        box = annotation["bbox"]
        if not (isinstance(box, list) and len(box) == 4 and all(isinstance(number, int | float) for number in box)):
            raise ValueError(f"{name} has bbox {box}; four numbers are needed: left, top, width, height in pixels")


def _check_records(records: list[Any], kind: str, keys: Iterable[str], path: str | Path) -> None:
    """Each record of a list has the keys, and an id of its own."""
    seen = set()
    for position, record in enumerate(records):
        missing = [key for key in keys if not isinstance(record, dict) or key not in record]
        if missing:
            raise ValueError(f"{path}: entry {position} of {kind} lacks {', '.join(missing)}; add what is missing")
        if type(record["id"]) is not int:  # COCOeval compares ids; True and 1.0 would pass for 1
            raise ValueError(f"{path}: entry {position} of {kind} has id {record['id']!r}; ids must be whole numbers")
        if record["id"] in seen:
            raise ValueError(f"{path}: id {record['id']} occurs twice in {kind}; give each entry its own")
        seen.add(record["id"])


def _read_image(folder: Path, record: dict[str, Any]) -> Image.Image:
    """Decoded, in RGB. Raises ValueError if it cannot be decoded, or is not of the size that its boxes refer to."""
    path = folder / record["file_name"]
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except UNREADABLE as error:
        raise ValueError(
            f"{path} cannot be read as an image ({error}); replace it, or pass skip_bad_images=True to leave it out"
        ) from error
    if (image.height, image.width) != (record["height"], record["width"]):
        raise ValueError(
            f"{path} is {image.width}×{image.height} px, but the annotations say {record['width']}×{record['height']}"
            ", so its boxes would be wrong; use the image that was annotated, or correct its size there"
        )
    return image


def _remove_images(content: dict[str, Any], file_names: set[str]) -> None:
    """Take images and their annotations out of `content`, so that evaluation does not ask for them either."""
    content["images"] = [image for image in content["images"] if image["file_name"] not in file_names]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [annotation for annotation in content["annotations"] if annotation["image_id"] in kept]


def _targets(content: dict[str, Any]) -> tuple[list[np.ndarray], list[np.ndarray], dict[str, int]]:
    """Boxes xyxy (n, 4) in pixels and labels (n,) per image, and how many annotations were left out and why.

    Boxes that are not finite leave `content` too. Arrays, because a tensor per image would cost worker processes a
    file handle each.
    """
    of_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    dropped = {"not finite": 0, "crowd": 0, "degenerate": 0}
    finite = [annotation for annotation in content["annotations"] if np.isfinite(annotation["bbox"]).all()]
    dropped["not finite"] = len(content["annotations"]) - len(finite)
    content["annotations"] = finite
    for annotation in finite:
        of_image[annotation["image_id"]].append(annotation)

    boxes, labels = [], []
    for record in content["images"]:
        annotations = of_image[record["id"]]
        crowds = sum(bool(annotation.get("iscrowd")) for annotation in annotations)
        image_boxes, image_labels = learnable_boxes(annotations, (record["height"], record["width"]))
        dropped["crowd"] += crowds
        dropped["degenerate"] += len(annotations) - crowds - len(image_labels)
        boxes.append(image_boxes)
        labels.append(image_labels)
    return boxes, labels, dropped


def learnable_boxes(
    annotations: list[dict[str, Any]], size: tuple[int, int]
) -> tuple[Float32[np.ndarray, "n 4"], Int64[np.ndarray, " n"]]:
    """Boxes xyxy in pixels and labels of one image of (height, width), as a detector is trained on them.

    As in the published code: no crowds, boxes clipped to the image, then only those with some width and height.
    """
    single = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    corners = [[x, y, x + width, y + height] for x, y, width, height in (one["bbox"] for one in single)]
    clipped = clip_boxes(torch.tensor(corners, dtype=torch.float32).reshape(-1, 4), size)
    labels = np.array([annotation["category_id"] for annotation in single], dtype=np.int64)
    kept = has_area(clipped).numpy()
    return clipped.numpy()[kept], labels[kept]
