"""Boxes: two formats, how much two of them overlap, and how a detector corrects one.

| format | numbers                                | used                                        |
|--------|----------------------------------------|---------------------------------------------|
| cxcywh | centre x, centre y, width, height      | inside the model, in [0, 1] of the image    |
| xyxy   | left, top, right, bottom               | for overlaps, and in pixels for the outside |
"""

import torch
from jaxtyping import Float
from torch import Tensor

INVERSE_SIGMOID_EPS = 1e-5  # published code; keeps the logit within ±11.5


def cxcywh_to_xyxy(boxes: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Centre and size to corners."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def xyxy_to_cxcywh(boxes: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Corners to centre and size."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def box_area(boxes: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch"]:
    """Area of xyxy boxes."""
    size = boxes[..., 2:] - boxes[..., :2]
    return size[..., 0] * size[..., 1]


def _intersection_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both (n, m), for xyxy boxes a (n, 4) and b (m, 4)."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])  # (n, m, 2)
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])  # (n, m, 2)
    width, height = (high - low).clamp(min=0).unbind(-1)  # (n, m) each
    intersection = width * height
    return intersection, box_area(a)[:, None] + box_area(b)[None, :] - intersection


def box_iou(a: Float[Tensor, "n 4"], b: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Intersection over union of every xyxy box in `a` with every one in `b`."""
    intersection, union = _intersection_and_union(a, b)
    return intersection / union


def generalized_box_iou(a: Float[Tensor, "n 4"], b: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """IoU minus the empty share of the smallest box around both (Rezatofighi et al., 2019), in (-1, 1].

        GIoU(A, B) = |A ∩ B| / |A ∪ B| - |C ∖ (A ∪ B)| / |C|

    Here C is the smallest box around A and B.

    Unlike IoU it still has a gradient when the boxes do not touch. Boxes are xyxy.

    Raises ValueError if a box has its right edge left of its left one, or its bottom above its top.
    """
    for name, boxes in (("a", a), ("b", b)):
        if bool((boxes[:, 2:] < boxes[:, :2]).any()):
            raise ValueError(
                f"generalized_box_iou: `{name}` holds a box whose right or bottom edge lies before its left or top "
                "edge; boxes must be xyxy (convert with cxcywh_to_xyxy)"
            )
    intersection, union = _intersection_and_union(a, b)
    low = torch.minimum(a[:, None, :2], b[None, :, :2])  # (n, m, 2)
    high = torch.maximum(a[:, None, 2:], b[None, :, 2:])  # (n, m, 2)
    width, height = (high - low).clamp(min=0).unbind(-1)
    hull = width * height
    return intersection / union - (hull - union) / hull


def inverse_sigmoid(x: Float[Tensor, "*shape"], eps: float = INVERSE_SIGMOID_EPS) -> Float[Tensor, "*shape"]:
    """The logit of x.

        σ⁻¹(x) = log( x / (1 - x) )

    Both x and 1 - x are kept at least `eps` (published code).
    """
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


def refine_boxes(
    reference: Float[Tensor, "*batch point_or_box"], delta: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch 4"]:
    """Move a reference by a predicted `delta` in logit space.

        box = σ( delta + σ⁻¹(reference) )          (appendix A.4)

    reference: (…, 2) a point, which shifts only the centre and leaves the size to `delta` alone (paper, Sec. 4.1 "box
    = offset w.r.t. the reference point"), or (…, 4) a cxcywh box of the layer before (paper, appendix A.4, iterative
    refinement). All in [0, 1]. Returns cxcywh in [0, 1].
    """
    start = inverse_sigmoid(reference)
    if start.shape[-1] == 2:
        start = torch.nn.functional.pad(start, (0, 2))  # nothing is known of the size
    return (delta + start).sigmoid()
