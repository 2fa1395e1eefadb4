"""The json of a COCO set: read record by record, each of them checked, and kept as columns of numbers.

Only what detection needs is kept: no segmentations, no key points. An annotation takes 65 bytes then, fewer than its
text does. The first thing that is wrong raises `Fault`, one sentence that names the file and the entry; with `on_fault`
every fault is handed over and its record left out, which is how a set is checked as a whole.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from defdetr_ref.data.json_stream import JsonStream

# What this code and COCOeval read from each record of a file.
REQUIRED_KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
LARGEST_NUMBER = 2**53  # whole numbers above are not exact in float64; as an id, size or length they are a mistake
LARGEST_SIDE = 10**6  # px
LONGEST_NAME = 1000  # letters of a file name; no system has longer ones, and sentences repeat it
LARGEST_CATEGORY_ID = 100_000  # labels are raw ids, so a model has a class for each number up to the largest
SIZE_CLASSES = ("small", "medium", "large")


class Fault(ValueError):
    """Something wrong in an annotation file: a whole sentence, and in `reason` a name of all that is wrong so."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


OnFault = Callable[[Fault], None]


class ImageRecord(NamedTuple):
    """An image as the file lists it.

    id: a whole number.
    file_name: relative to the folder of the images.
    height, width: in pixels.
    """

    id: int
    file_name: str
    height: int
    width: int


@dataclass(frozen=True)
class Annotations:
    """A COCO file, checked. The columns of the annotations are in the file's order."""

    images: list[ImageRecord]  # in the file's order
    categories: dict[int, str]  # id → name
    info: dict[str, Any]  # as in the file; {} if there is none
    ids: Int64[np.ndarray, " n"]  # of the annotations
    image_ids: Int64[np.ndarray, " n"]  # each is in `images`
    category_ids: Int64[np.ndarray, " n"]  # each is in `categories`
    boxes: Float64[np.ndarray, "n 4"]  # left, top, width, height in pixels; may be not finite
    areas: Float64[np.ndarray, " n"]  # px², NaN where the file states none
    crowds: Bool[np.ndarray, " n"]  # iscrowd; False where the file says nothing

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_classes(self) -> dict[str, list[float | int]] | None:
        """Limits of "small", "medium" and "large" in px² if the file states its own."""
        return self.info.get("size_classes")

    def chosen(self, rows: Bool[np.ndarray, " n"], images: list[ImageRecord] | None = None) -> "Annotations":
        """The same with these annotations only, and these images."""
        columns = (self.ids, self.image_ids, self.category_ids, self.boxes, self.areas, self.crowds)
        kept = (column[rows] for column in columns)
        return Annotations(self.images if images is None else images, self.categories, self.info, *kept)

    def without_images(self, file_names: Iterable[str]) -> "Annotations":
        """The same without these images and what is annotated in them."""
        gone = set(file_names)
        images = [image for image in self.images if image.file_name not in gone]
        return self.chosen(np.isin(self.image_ids, [image.id for image in images]), images)

    def as_coco(self) -> dict[str, Any]:
        """What pycocotools reads: info, images, annotations and categories as lists of dicts."""
        return {
            "info": self.info,
            "images": [image._asdict() for image in self.images],
            "annotations": list(self.rows()),
            "categories": [{"id": id_, "name": name} for id_, name in self.categories.items()],
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each annotation as a record of a COCO json."""
        for row in range(len(self)):
            annotation = {
                "id": int(self.ids[row]),
                "image_id": int(self.image_ids[row]),
                "category_id": int(self.category_ids[row]),
                "bbox": self.boxes[row].tolist(),
                "iscrowd": int(self.crowds[row]),
            }
            area = float(self.areas[row])
            yield annotation if math.isnan(area) else {**annotation, "area": area}


def read_annotations(path: str | Path, on_fault: OnFault | None = None) -> Annotations:
    """A COCO file: every record complete, every id unique, every reference met.

    Raises FileNotFoundError if there is no file, and ValueError if it is no json or lacks a list. What is wrong with a
    record raises Fault, which is a ValueError, or is handed to `on_fault`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"annotation file {path} does not exist; name a COCO json file")
    reader = _Reader(path, on_fault)
    try:
        with path.open(encoding="utf-8-sig") as file:  # some editors of Windows put a byte order mark in front
            reader.read(JsonStream(file))
    except Fault:
        raise
    except RecursionError:
        raise ValueError(f"{path} nests lists too deeply to be a COCO json file; name one") from None
    except ValueError as error:  # broken json or broken UTF-8
        raise ValueError(f"{path} is not a json file ({error}); name a COCO json file") from error
    return reader.finished()


def check_classes(categories: dict[int, str], path: str | Path, num_classes: int) -> None:
    """Raises ValueError if a category's id is no label below `num_classes`."""
    for category_id, name in categories.items():
        if category_id >= num_classes:
            raise ValueError(
                f"{path}: category {name!r} has id {category_id}, but num_classes is {num_classes} and "
                f"labels are raw ids; set num_classes to at least {max(categories) + 1}, or renumber them from 1"
            )


def different_names(first: tuple[str, dict[int, str]], second: tuple[str, dict[int, str]]) -> str | None:
    """One sentence if two sets call the same id by different names, so that one's labels are wrong in the other.

    Each is (how the sentence calls it, id → name). Upper case, lower case and spaces at the ends do not matter.
    """
    (one, names), (other, other_names) = first, second
    plain = lambda name: name.strip().casefold()  # noqa: E731
    differing = [id_ for id_ in sorted(names.keys() & other_names) if plain(names[id_]) != plain(other_names[id_])]
    if not differing:
        return None
    id_, more = differing[0], f" ({len(differing)} ids differ)" if len(differing) > 1 else ""
    return f"category {id_} is {names[id_]!r} in {one} and {other_names[id_]!r} in {other}{more}; number them alike"


@dataclass
class _Reader:
    """Collects the records of one file."""

    path: Path
    on_fault: OnFault | None
    info: dict[str, Any] = field(default_factory=dict)
    images: list[ImageRecord] = field(default_factory=list)
    categories: dict[int, str] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)  # those that were found
    whole: array = field(default_factory=lambda: array("q"))  # id, image_id and category_id of each annotation
    real: array = field(default_factory=lambda: array("d"))  # bbox and area of each
    crowds: array = field(default_factory=lambda: array("b"))

    def read(self, stream: JsonStream) -> None:
        """The whole file."""
        if stream.peek() != "{":
            stream.value()  # json or not?
        else:
            for key in stream.keys():
                if key in REQUIRED_KEYS and stream.peek() == "[":
                    self._read_list(key, stream)
                else:
                    value = stream.value()
                    if key == "info":
                        try:
                            self._read_info(value)
                        except Fault as fault:
                            self._hand_over(fault)
        stream.end()
        missing = [key for key in REQUIRED_KEYS if key not in self.lists]
        if missing:
            wanted = ", ".join(REQUIRED_KEYS)
            raise Fault("lists", f"{self.path} lacks the list(s) {', '.join(missing)}; a COCO file has {wanted}")

    def finished(self) -> Annotations:
        """All of it, references checked."""
        whole = np.frombuffer(self.whole, dtype=np.int64).reshape(-1, 3) if self.whole else np.zeros((0, 3), np.int64)
        real = np.frombuffer(self.real).reshape(-1, 5) if self.real else np.zeros((0, 5))
        read = Annotations(
            self.images, self.categories, self.info, whole[:, 0], whole[:, 1], whole[:, 2], real[:, :4], real[:, 4],
            np.frombuffer(self.crowds, dtype=bool) if self.crowds else np.zeros(0, dtype=bool),
        )  # fmt: skip
        image_known = np.isin(read.image_ids, [image.id for image in self.images])
        category_known = np.isin(read.category_ids, list(self.categories))
        for row in np.flatnonzero(~(image_known & category_known)):
            kind, id_ = ("category", read.category_ids[row]) if image_known[row] else ("image", read.image_ids[row])
            belongs = f"annotation {read.ids[row]} belongs to {kind} {id_}"
            sentence = f"{belongs}, which is not listed; remove it or add the {kind}"
            self._hand_over(self._wrong(f"boxes whose {kind} is not listed", sentence))
        return read.chosen(image_known & category_known)

    def _read_list(self, kind: str, stream: JsonStream) -> None:
        if kind in self.lists:
            raise Fault("lists", f"{self.path} has two lists called {kind}; join them")
        self.lists.add(kind)
        add = {"images": self._add_image, "annotations": self._add_annotation, "categories": self._add_category}[kind]
        seen: set[int] = set()
        for position, record in enumerate(stream.items()):
            try:
                self._check_record(record, kind, position, seen)
                add(record)
            except Fault as fault:
                self._hand_over(fault)

    def _check_record(self, record: Any, kind: str, position: int, seen: set[int]) -> None:
        """It has the keys, and an id of its own."""
        entry = f"entry {position} of {kind}"
        missing = [key for key in REQUIRED_KEYS[kind] if not isinstance(record, dict) or key not in record]
        if missing:
            raise self._wrong("entries that lack a key", f"{entry} lacks {', '.join(missing)}; add what is missing")
        if not _is_id(record["id"]):  # COCOeval compares ids; True and 1.0 would pass for 1
            raise self._wrong(
                "ids that are no whole numbers", f"{entry} has id {_shown(record['id'])}; ids must be whole numbers"
            )
        if record["id"] in seen:
            raise self._wrong(
                "ids that occur twice", f"id {record['id']} occurs twice in {kind}; give each entry its own"
            )
        seen.add(record["id"])

    def _add_image(self, image: dict[str, Any]) -> None:
        name, sides = image["file_name"], (image["height"], image["width"])
        is_name = isinstance(name, str) and len(name) <= LONGEST_NAME
        if not is_name or not all(type(side) is int and 0 < side <= LARGEST_SIDE for side in sides):
            raise self._wrong(
                "images without a name or a size",
                f"image {image['id']} has file_name {_shown(name)}, height {_shown(sides[0])} and width "
                f"{_shown(sides[1])}; a name and two whole numbers of pixels are needed",
            )
        self.images.append(ImageRecord(image["id"], name, *sides))

    def _add_category(self, category: dict[str, Any]) -> None:
        if not isinstance(category["name"], str):
            raise self._wrong(
                "categories without a name",
                f"category {category['id']} has name {_shown(category['name'])}; a string is needed",
            )
        if not 0 <= category["id"] <= LARGEST_CATEGORY_ID:
            raise self._wrong(
                "categories with an id that is no label",
                f"category {category['name']!r} has id {category['id']}; labels are raw ids, each number up to "
                "the largest is a class: renumber them from 1",
            )
        self.categories[category["id"]] = category["name"]

    def _add_annotation(self, annotation: dict[str, Any]) -> None:
        name = f"annotation {annotation['id']}"
        for key in ("image_id", "category_id"):
            if not _is_id(annotation[key]):
                raise self._wrong(
                    "ids that are no whole numbers",
                    f"{name} has {key} {_shown(annotation[key])}; ids must be whole numbers",
                )
        box = annotation["bbox"]
        if not (isinstance(box, list) and len(box) == 4 and _are_numbers(box)):
            raise self._wrong(
                "boxes that are not four numbers",
                f"{name} has bbox {_shown(box)}; four numbers are needed: left, top, width, height in pixels",
            )
        area = annotation.get("area", math.nan)
        if "area" in annotation and not (_are_numbers([area]) and math.isfinite(area)):
            raise self._wrong(
                "areas that are no numbers",
                f"{name} has area {_shown(area)}; a number of square pixels is needed, or none",
            )
        crowd = annotation.get("iscrowd", 0)
        if type(crowd) not in (int, bool) or crowd not in (0, 1):
            raise self._wrong(
                "iscrowd that is neither 0 nor 1", f"{name} has iscrowd {_shown(crowd)}; 0 or 1 is needed, as a number"
            )
        self.whole.extend((annotation["id"], annotation["image_id"], annotation["category_id"]))
        self.real.extend((*box, area))
        self.crowds.append(crowd)

    def _read_info(self, info: Any) -> None:
        """Two entries change what is done, so they are checked; whatever else an info holds is welcome."""
        if not isinstance(info, dict):
            return
        limits = info.get("size_classes")
        if limits is not None and not (
            isinstance(limits, dict)
            and all(isinstance(limits.get(name), list) and len(limits[name]) == 2 for name in SIZE_CLASSES)
            and all(_are_numbers(limits[name]) and not np.isnan(limits[name]).any() for name in SIZE_CLASSES)
        ):
            raise self._wrong(
                "info that cannot be meant",
                f"info has size_classes {_shown(limits)}; two numbers of square pixels are needed for each of "
                f"{', '.join(SIZE_CLASSES)}, or no size_classes at all",
            )
        if not isinstance(info.get("flip", False), bool):
            raise self._wrong(
                "info that cannot be meant", f"info has flip {_shown(info['flip'])}; true or false is needed"
            )
        self.info = info

    def _wrong(self, reason: str, sentence: str) -> Fault:
        return Fault(reason, f"{self.path}: {sentence}")

    def _hand_over(self, fault: Fault) -> None:
        if self.on_fault is None:
            raise fault
        self.on_fault(fault)


def _are_numbers(values: list[Any]) -> bool:
    """Numbers that float64 holds; they may be not finite. True, False and "3" are none."""
    return all(type(one) is float or (type(one) is int and abs(one) <= LARGEST_NUMBER) for one in values)


def _is_id(value: Any) -> bool:
    return type(value) is int and abs(value) <= LARGEST_NUMBER


def _shown(value: Any) -> str:
    """A value of unknown size, as text for a sentence."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested deeply; a whole number of thousands of digits
        return f"something of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"
