"""A trained model at work: evaluation mode, and from its answer to detections. No NMS, no threshold."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from defdetr_ref.boxes import cxcywh_to_xyxy


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Dropout and gradients off inside the block; every module's own train/eval mode back after it."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


@torch.no_grad()
def postprocess(outputs: dict, sizes: list[tuple[int, int]] | Tensor, top_k: int = 100) -> list[dict[str, Tensor]]:
    """The `top_k` highest scores of each image over all queries × classes; one query may answer with several classes.

    sizes: (height, width) in pixels of each original image, before any resizing and padding.
    Returns for each image scores (k,), falling, labels (k,), boxes (k, 4) xyxy in pixels, not clipped;
    k = min(top_k, queries × classes). Raises ValueError if there is not one size an image.
    """
    logits, boxes = outputs["pred_logits"], outputs["pred_boxes"]
    if len(sizes) != len(logits):
        raise ValueError(f"postprocess: got {len(sizes)} sizes for {len(logits)} images")
    num_classes = logits.shape[-1]
    scores, index = logits.sigmoid().flatten(1).topk(min(top_k, logits[0].numel()), dim=1)  # (N, k) each
    query, labels = index // num_classes, index % num_classes
    results = []
    for image, (height, width) in enumerate(sizes):
        scale = boxes.new_tensor([float(width), float(height)] * 2)
        chosen = cxcywh_to_xyxy(boxes[image, query[image]]) * scale  # (k, 4)
        results.append({"scores": scores[image], "labels": labels[image], "boxes": chosen})
    return results
