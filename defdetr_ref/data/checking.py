"""A set in COCO's format looked through as a whole: what is in it, and everything that is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from defdetr_ref.data.annotations import SIZE_CLASSES, Annotations, Fault, different_names, read_annotations
from defdetr_ref.data.coco import DROPPED_REASONS, ODD_REASONS, Targets, check_size, inside_of, is_file
from defdetr_ref.data.duplicates import Fingerprint, groups_of_duplicates
from defdetr_ref.data.pictures import UPRIGHT, read_picture

USUAL = ("crowd",)  # of the reasons to drop a box, those that are no mistake


@dataclass(frozen=True)
class Finding:
    """What was found, in words, and each place of it. `problem` is False for what is only worth knowing."""

    what: str
    where: list[str]
    problem: bool = True


@dataclass(frozen=True)
class CheckedSplit:
    """One json and its images."""

    name: str  # as findings call it
    folder: Path  # of the images
    content: Annotations  # the records without a fault
    targets: Targets  # their boxes, as training sees them
    findings: list[Finding]  # problems, and what is worth knowing
    fingerprints: dict[str, Fingerprint]  # by file name, of the images that can be read


def check_split(
    name: str, folder: Path, annotations: Path, *, follow_links: bool = False, progress: bool = True
) -> CheckedSplit:
    """Read a json and every image that it lists.

    name: how the split is called in findings.
    folder, annotations: the images, and their json.
    follow_links: read images that symbolic links inside the folder name, wherever they lie.
    progress: show a bar.

    Raises FileNotFoundError if either is missing, and ValueError for a file that is no COCO json at all.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"images folder {folder} does not exist; name the folder with the image files")
    faults: list[Fault] = []
    content = read_annotations(annotations, faults.append)
    findings = _by_reason((fault.reason, str(fault)) for fault in faults)
    targets = Targets(content)
    findings += _findings_of_boxes(content, targets)
    image_findings, fingerprints = _check_images(content, folder, follow_links, progress, name)
    return CheckedSplit(name, folder, content, targets, findings + image_findings, fingerprints)


def compare_splits(splits: list[CheckedSplit]) -> list[Finding]:
    """Categories that do not mean the same in two splits, and images that occur twice: in one split, which is worth
    knowing, and in two, which spoils every evaluation.
    """
    categories = [(split.name, split.content.categories) for split in splits]
    different = [sentence for pair in pairwise(categories) if (sentence := different_names(*pair)) is not None]
    everything = (((split.name, name), one) for split in splits for name, one in split.fingerprints.items())
    found: list[tuple[str, str]] = []
    for places, identical in groups_of_duplicates(everything):
        kind = "images that are equal" if identical else "images that look the same"
        where = "in two splits" if len({split for split, _ in places}) > 1 else "in one split"
        found.append((f"{kind} {where}", " = ".join(f"{split}: {name}" for split, name in places)))
    twice = [Finding(one.what, one.where, one.what.endswith("in two splits")) for one in _by_reason(found)]
    return ([Finding("ids that stand for different categories", different)] if different else []) + twice


def counts_by_category(split: CheckedSplit, size_classes: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each category its id, name, number of boxes that can be learnt, of images with one, and of boxes by size.

    size_classes: "small", "medium" and "large" → (low, high) in px², unless the file states its own.
    """
    content, limits = split.content, split.content.size_classes or size_classes
    learnable = ~np.logical_or.reduce(list(split.targets.dropped.values()))
    with np.errstate(over="ignore", invalid="ignore"):
        areas = np.where(np.isnan(content.areas), content.boxes[:, 2] * content.boxes[:, 3], content.areas)
    size = np.searchsorted([limits["small"][1], limits["medium"][1]], areas, side="left")
    rows = []
    for category_id, name in content.categories.items():
        own = learnable & (content.category_ids == category_id)
        sizes = {key: int((own & (size == number)).sum()) for number, key in enumerate(SIZE_CLASSES)}
        images = len(np.unique(content.image_ids[own]))
        rows.append({"id": category_id, "name": name, "boxes": int(own.sum()), "images": images, **sizes})
    return rows


def _by_reason(found: Iterable[tuple[str, str]], problem: bool = True) -> list[Finding]:
    """(what, where) gathered into a finding for each `what`, in the order of their first occurrence."""
    where: dict[str, list[str]] = {}
    for what, place in found:
        where.setdefault(what, []).append(place)
    return [Finding(what, places, problem) for what, places in where.items()]


def _findings_of_boxes(content: Annotations, targets: Targets) -> list[Finding]:
    """What is wrong with boxes though each is four numbers."""
    findings = []
    for reason, rows in targets.dropped.items():
        if rows.any():
            what = f"boxes {DROPPED_REASONS[reason]}"
            findings.append(Finding(what, _annotations(content, rows), reason not in USUAL))
    doubt = targets.doubt()
    if doubt is not None:
        findings.append(Finding("boxes of another format", [doubt]))
    for reason, rows in targets.odd.items():
        if rows.any():
            findings.append(Finding(f"boxes {ODD_REASONS[reason]}", _annotations(content, rows), problem=False))
    if not len(targets):
        findings.append(Finding("set without a box that can be learnt", [f"{len(content)} boxes in all"]))
    keys = np.column_stack([content.image_ids, content.category_ids, content.boxes])
    _, first, count = np.unique(keys, axis=0, return_index=True, return_counts=True)
    again = np.ones(len(content), dtype=bool)
    again[first] = False
    if again.any():
        findings.append(Finding("boxes that repeat another one", _annotations(content, again)))
    with_boxes = set(content.image_ids.tolist())
    empty = [image.file_name for image in content.images if image.id not in with_boxes]
    if empty:
        findings.append(Finding("images without any box", empty, problem=False))
    return findings


def _annotations(content: Annotations, rows: np.ndarray) -> list[str]:
    return [
        f"annotation {id_} of image {image_id}: {box}"
        for id_, image_id, box in zip(
            content.ids[rows].tolist(), content.image_ids[rows].tolist(), content.boxes[rows].tolist(), strict=True
        )
    ]


def _check_images(
    content: Annotations, folder: Path, follow_links: bool, progress: bool, name: str
) -> tuple[list[Finding], dict[str, Fingerprint]]:
    """Every image read, upright, and compared with the size that its boxes refer to."""
    problems: list[tuple[str, str]] = []
    turned: list[tuple[str, str]] = []
    fingerprints: dict[str, Fingerprint] = {}
    inside, seen = inside_of(folder, follow_links), set()
    for record in tqdm(content.images, desc=f"reading {name}", leave=False, disable=not progress):
        path = folder / record.file_name
        if record.file_name in seen:
            problems.append(("files that two images share", record.file_name))
            continue
        seen.add(record.file_name)
        if not inside(record.file_name):
            problems.append(("files outside the folder of the images", record.file_name))
        elif not is_file(path):
            problems.append(("files that do not exist", record.file_name))
        else:
            try:
                picture, orientation = read_picture(path)
            except ValueError as error:
                problems.append(("files that cannot be read", str(error)))
                continue
            try:
                check_size(path, picture, orientation, record)
            except ValueError as error:
                problems.append(("images of another size than annotated", str(error)))
            fingerprints[record.file_name] = Fingerprint.of(picture)
            if orientation != UPRIGHT:
                turned.append((f"images that are turned upright, EXIF orientation {orientation}", record.file_name))
    return _by_reason(problems) + _by_reason(sorted(turned), problem=False), fingerprints
