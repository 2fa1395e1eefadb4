"""What a run was started with, as far as its numbers depend on it: kept in config.json, compared when it is resumed."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from torch import nn
from torch.utils.data import Dataset

from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.training.config import TrainConfig

MAY_CHANGE_ON_RESUME = ("epochs", "eval_every", "num_workers", "save_every", "timeout")  # all else makes another run
PLAIN = (bool, int, float, str, type(None))
DATA = {"data": "training data", "val_data": "validation data"}  # sections of config.json, in words


class Difference(NamedTuple):
    """A field of a section that is another one now."""

    section: str
    field: str
    stored: Any
    given: Any

    def summary(self) -> str:
        """What follows after "the run was started "."""
        if self.section in DATA:
            what = f"{DATA[self.section]} whose {self.field}"
            return f"on {what} are {self.stored!r} and cannot be resumed on {what} are {self.given!r}"
        return f"with {self.field}={self.stored!r} and cannot be resumed with {self.given!r}"


def description(
    model: nn.Module,
    config: TrainConfig,
    train_set: Dataset,
    val_set: Dataset | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """The content of config.json.

    model: of which the config is kept.
    config: all of it.
    train_set, val_set: what `data_identity` says of them.
    options: what else was chosen.
    """
    return {
        "train": dataclasses.asdict(config),
        "model": dataclasses.asdict(model.config),
        "data": data_identity(train_set),
        "val_data": None if val_set is None else data_identity(val_set),
        "options": options,
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    """Each field of `now` that would make it another run than `before`.

    Files of earlier versions lack fields, which then have their defaults, and whole sections, about which nothing is
    known. A run may be evaluated on nothing at first and on a set later.
    """
    defaults = {"train": dataclasses.asdict(TrainConfig()), "model": dataclasses.asdict(DeformableDETRConfig())}
    for section, fields in now.items():
        if before.get(section) is None or fields is None:
            continue
        stored = {**json.loads(json.dumps(defaults.get(section, {}))), **before[section]}
        for field in dict.fromkeys([*fields, *stored]):
            may_change = section == "train" and field in MAY_CHANGE_ON_RESUME
            if not may_change and stored.get(field) != fields.get(field):
                yield Difference(section, field, stored.get(field), fields.get(field))


def data_identity(dataset: Dataset) -> dict[str, Any]:
    """What tells a data set from others: how many images it has, and as far as it knows them its categories, its seed,
    its transform, and digests of "files" (names and sizes in bytes) and of "annotations".
    """
    identity: dict[str, Any] = {"images": len(dataset)}
    while not hasattr(dataset, "categories") and hasattr(dataset, "dataset"):  # a Subset, or another wrapper
        dataset = dataset.dataset
    if hasattr(dataset, "categories"):
        identity["categories"] = {str(number): name for number, name in dataset.categories.items()}
    if hasattr(dataset, "seed"):
        identity["seed"] = dataset.seed
    if hasattr(dataset, "transform"):
        identity["transform"] = _described(dataset.transform)
    if hasattr(dataset, "content"):  # one row at a time: those of a large set fill more memory than its file
        images, annotations = [image._asdict() for image in dataset.content.images], dataset.content.rows()
    elif hasattr(dataset, "coco"):
        images, annotations = dataset.coco["images"], dataset.coco["annotations"]
    else:
        return identity
    if hasattr(dataset, "folder"):
        names = [image["file_name"] for image in images]
        identity["files"] = digest((name, (dataset.folder / name).stat().st_size) for name in names)
    keys = ("image_id", "category_id", "bbox", "iscrowd", "area")
    boxes = ([row.get(key) for key in keys] for row in annotations)
    sizes = ([image[key] for key in ("id", "height", "width")] for image in images)
    identity["annotations"] = digest(itertools.chain(sizes, boxes))
    return identity


def digest(rows: Iterable[Any]) -> str:
    """The beginning of a SHA-256 of rows that fit into JSON."""
    found = hashlib.sha256()
    for row in rows:
        found.update(json.dumps(row).encode("utf-8"))
    return found.hexdigest()[:16]


def _described(transform: Any) -> str:
    """A transform as a call, such as PlainTransform(flip=True, flip_vertical=False), as far as its values are plain."""

    def is_plain(value: Any) -> bool:
        return isinstance(value, PLAIN) or (isinstance(value, tuple | list) and all(map(is_plain, value)))

    name = getattr(transform, "__qualname__", type(transform).__qualname__)  # of a function, or of an object's class
    values = getattr(transform, "__dict__", {})
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in values.items() if is_plain(value))})"
