"""Detections as other programs read them: COCO's json, and Label Studio's tasks with predictions."""

import os
from pathlib import Path
from typing import Any, NamedTuple


class Detected(NamedTuple):
    """A picture, its size in pixels, and its detections as `defdetr detect` lists them."""

    path: Path
    width: int
    height: int
    rows: list[dict[str, Any]]

    def clipped(self, box: list[float]) -> tuple[float, float, float, float]:
        """Left, top, width and height in pixels of the part of an xyxy box that lies in the picture."""
        left, right = (min(max(edge, 0.0), self.width) for edge in (box[0], box[2]))
        top, bottom = (min(max(edge, 0.0), self.height) for edge in (box[1], box[3]))
        return left, top, max(right - left, 0.0), max(bottom - top, 0.0)


def as_coco(found: list[Detected], categories: dict[int, str]) -> dict[str, Any]:
    """A set in COCO's format whose annotations are the detections, each with its "score".

    found: whose pictures are named relative to the folder that holds all of them.
    categories: id → name, of the model; detections with another label add theirs.
    """
    folder = os.path.commonpath([one.path.resolve().parent for one in found])
    named = {row["label"]: row["category"] for one in found for row in one.rows}
    annotations = []
    for image_id, one in enumerate(found, start=1):
        for row in one.rows:
            left, top, width, height = one.clipped(row["box"])
            annotations.append({
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": row["label"],
                "bbox": [left, top, width, height],
                "area": width * height,
                "iscrowd": 0,
                "score": row["score"],
            })  # fmt: skip
    return {
        "images": [
            {
                "id": image_id,
                "file_name": one.path.resolve().relative_to(folder).as_posix(),
                "width": one.width,
                "height": one.height,
            }
            for image_id, one in enumerate(found, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in sorted({**named, **categories}.items())],
    }


def as_label_studio(found: list[Detected], model: str) -> list[dict[str, Any]]:
    """Tasks for Label Studio with the detections as predictions, in per cent of the picture.

    found: whose pictures' names become the tasks' "image": serve the folder and put its address in front, or import
        the files first.
    model: what the predictions say that they are from.

    The labelling interface is that of its template for boxes: an Image called "image", RectangleLabels called "label".
    """
    return [
        {
            "data": {"image": one.path.name},
            "predictions": [
                {
                    "model_version": model,
                    "score": max((row["score"] for row in one.rows), default=0.0),
                    "result": [_region(one, number, row) for number, row in enumerate(one.rows)],
                }
            ],
        }
        for one in found
    ]


def _region(one: Detected, number: int, row: dict[str, Any]) -> dict[str, Any]:
    left, top, width, height = one.clipped(row["box"])
    return {
        "id": f"box{number}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": one.width,
        "original_height": one.height,
        "image_rotation": 0,
        "score": row["score"],
        "value": {
            "x": 100 * left / one.width,
            "y": 100 * top / one.height,
            "width": 100 * width / one.width,
            "height": 100 * height / one.height,
            "rotation": 0,
            "rectanglelabels": [row["category"]],
        },
    }
