"""How good are the boxes? COCO's twelve metrics, computed by pycocotools.

The path of a prediction: model -> top-k boxes of every image (postprocess) -> COCO's list of results -> COCOeval.
Nothing is suppressed, clipped or thresholded on the way (published code): a set predictor does not need it, and AP
ranks by score anyway.

| figure                       | mean over                                    | of                                  |
|------------------------------|----------------------------------------------|-------------------------------------|
| AP                           | IoU 0.50, 0.55 … 0.95, categories            | average precision, 100 boxes/image  |
| AP50, AP75                   | categories                                   | the same at one IoU                 |
| AP_small, _medium, _large    | as AP, objects of one size class only        |                                     |
| AR1, AR10, AR100             | IoU 0.50 … 0.95, categories                  | recall with 1, 10, 100 boxes/image  |
| AR_small, _medium, _large    | as AR100, objects of one size class only     |                                     |
"""

import contextlib
import io
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from defdetr_ref.data.coco import collate
from defdetr_ref.inference import evaluation_mode, postprocess

METRICS = (  # in the order of COCOeval.stats
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR1",
    "AR10",
    "AR100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
COCO_SIZE_CLASSES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}  # px²; COCO's own


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    *,
    batch_size: int = 16,
    top_k: int = 100,
    num_workers: int = 0,
    progress: bool = True,
) -> dict[str, float]:
    """COCO's twelve metrics of `model` on the images of `dataset`, by name (METRICS), each in [0, 1].

    A figure is NaN where the data do not define it (COCOeval's -1: no object of that size class, say). An image that
    the dataset left out, because its file is damaged, is left out here as well. The model is switched to evaluation
    mode and back again.

    model: a detector, on the device to run on.
    dataset: as `CocoDetection`: it yields (image, target), and has `coco` and `image_ids`.
    batch_size: images of one forward pass; it changes nothing but the time and the memory.
    top_k: boxes of each image, the best first; COCO looks at 100.
    num_workers: processes that load images.
    progress: show a bar.
    """
    options = {"batch_size": batch_size, "top_k": top_k, "num_workers": num_workers, "progress": progress}
    results = predict(model, dataset, **options)
    return coco_metrics(dataset.coco, results, dataset.image_ids)


def predict(
    model: nn.Module,
    dataset: Dataset,
    *,
    batch_size: int = 16,
    top_k: int = 100,
    num_workers: int = 0,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """The `top_k` best boxes of every image, in COCO's format of results.

    Returns dicts with "image_id", "category_id", "bbox" [left, top, width, height] in pixels of the original image,
    and "score" in [0, 1].

    model, batch_size, num_workers, progress: as in `evaluate`.
    dataset: yields (image, target) as CocoDetection does; a Subset of one will do.
    top_k: how many; fewer where the model has fewer pairs of query and class.
    """
    device = next(model.parameters()).device
    loader = DataLoader(dataset, batch_size=batch_size, num_workers=num_workers, collate_fn=collate)
    results: list[dict[str, Any]] = []
    with evaluation_mode(model):
        for images, mask, targets in tqdm(loader, desc="evaluate", leave=False, disable=not progress):
            outputs = model(images.to(device), mask.to(device))
            sizes = [target["size"] for target in targets]
            for target, detections in zip(targets, postprocess(outputs, sizes, top_k=top_k), strict=True):
                results += _coco_results(target["image_id"], detections)
    return results


def _coco_results(image_id: int, detections: dict[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """One dict per box of one image; `detections` is what postprocess returns for it."""
    for score, label, box in zip(
        detections["scores"].tolist(), detections["labels"].tolist(), detections["boxes"].tolist(), strict=True
    ):
        left, top, right, bottom = box
        yield {
            "image_id": int(image_id),
            "category_id": label,  # labels are raw category ids; COCOeval ignores those that are no category
            "bbox": [left, top, right - left, bottom - top],
            "score": score,
        }


def coco_metrics(
    annotations: dict[str, Any], results: list[dict[str, Any]], image_ids: Iterable[int]
) -> dict[str, float]:
    """The twelve metrics of `results` against the annotations of the images `image_ids`.

    annotations: a parsed COCO json. Its info may hold "size_classes", {"small": [low, high], …} in px², for images on
    which COCO's own limits (32² and 96²) would put every object into one class. Missing "iscrowd" means 0, missing
    "area" the area of the box.
    """
    info = annotations.get("info")
    size_classes = (info.get("size_classes") if isinstance(info, dict) else None) or COCO_SIZE_CLASSES
    rows = [_completed(row, number) for number, row in enumerate(annotations["annotations"], start=1)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and its table
        truth = _index(annotations, rows)
        detections = truth.loadRes([dict(row) for row in results]) if results else _index(annotations, [])
        judge = COCOeval(truth, detections, iouType="bbox")
        judge.params.imgIds = sorted(image_ids)
        judge.params.areaRngLbl = ["all", "small", "medium", "large"]
        judge.params.areaRng = [[0, 1e10], *(list(size_classes[name]) for name in judge.params.areaRngLbl[1:])]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    undefined = -1
    return {
        name: math.nan if value == undefined else float(value) for name, value in zip(METRICS, judge.stats, strict=True)
    }


def _index(annotations: dict[str, Any], rows: list[dict[str, Any]]) -> COCO:
    """pycocotools' index over `rows`, with the images and categories of `annotations`."""
    coco = COCO()
    coco.dataset = {**annotations, "info": {}, "annotations": rows}  # it copies the info, however deep that nests
    coco.createIndex()
    return coco


def _completed(row: dict[str, Any], number: int) -> dict[str, Any]:
    """A copy of one annotation with what COCOeval needs. It takes id 0 for "no match", so ids are counted from 1."""
    _, _, width, height = row["bbox"]
    return {"iscrowd": 0, "area": width * height, **row, "id": number}


def table(figures: dict[str, float]) -> str:
    """The figures as two columns of text, in per cent as papers print them; "–" where undefined."""
    return "\n".join(f"{name:<10} {'–' if math.isnan(v) else format(100 * v, '.1f'):>6}" for name, v in figures.items())


def jsonable(figures: dict[str, float]) -> dict[str, float | None]:
    """The same with None for NaN, which JSON does not have."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
