"""Where a detector looks for the objects of one annotated image, and how it arrives at their boxes."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor, nn

from defdetr_ref.boxes import cxcywh_to_xyxy
from defdetr_ref.explain.figures import plot_refinement
from defdetr_ref.explain.recording import record
from defdetr_ref.explain.sampling import plot_attention_pair
from defdetr_ref.inference import evaluation_mode
from defdetr_ref.matching import hungarian_match


def explain_objects(
    model: nn.Module,
    image: Float[Tensor, "3 height width"],
    target: Mapping[str, Any],
    categories: Mapping[int, str],
    *,
    count: int = 3,
) -> dict[str, Figure]:
    """Two figures, "attention" and "refinement", for `count` objects of an image, from the smallest to the largest.

    For every object they follow the query that the matching of the training loss assigns to it.

    model: a detector of this package.
    image: normalised, on its own.
    target: of this image, as the data sets give it.
    categories: names by category id.
    count: objects at most; fewer are drawn if the image holds fewer.

    Raises ValueError if the target holds no object.
    """
    if len(target["labels"]) == 0:
        raise ValueError("explain_objects: this image holds no object to explain; take one whose target has boxes")
    with evaluation_mode(model), record(model) as recording:
        outputs = model(image[None].to(next(model.parameters()).device))
    logits, boxes = outputs["pred_logits"].cpu(), outputs["pred_boxes"].cpu()
    ((queries, objects),) = hungarian_match(logits, boxes, [target])
    chosen = _spread_by_area(target["boxes"][objects], count)
    queries, objects = queries[chosen], objects[chosen]

    height, width = image.shape[1:]
    pixels = torch.tensor([width, height, width, height])
    scores, labels = logits[0, queries].sigmoid().max(-1)
    captions = [
        f"{categories.get(label, label)} {score:.2f}"
        for label, score in zip(labels.tolist(), scores.tolist(), strict=True)
    ]
    predicted = cxcywh_to_xyxy(boxes[0, queries]) * pixels
    truth = cxcywh_to_xyxy(target["boxes"][objects]) * pixels
    return {
        "attention": plot_attention_pair(recording[-1], queries.tolist(), image, boxes=predicted, captions=captions),
        "refinement": plot_refinement(recording[-1], queries.tolist(), image, truth=truth),
    }


def _spread_by_area(boxes: Float[Tensor, "n 4"], count: int) -> Tensor:
    """Indices of up to `count` cxcywh boxes at equal steps of the ranking by area, smallest first."""
    ranking = boxes[:, 2:].prod(-1).argsort()
    steps = torch.linspace(0, len(ranking) - 1, min(count, len(ranking))).round().long()
    return ranking[steps]
