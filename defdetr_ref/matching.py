"""Which query answers for which object: a one-to-one assignment of least cost (replaces non-maximum suppression)."""

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from defdetr_ref.boxes import cxcywh_to_xyxy, generalized_box_iou

CLASS_WEIGHT, BOX_WEIGHT, GIOU_WEIGHT = 2.0, 5.0, 2.0  # paper, appendix A.4
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
LOG_EPS = 1e-8  # published code; keeps the logarithms of the cost finite
IMPOSSIBLE = 1e8  # stands for a cost that is not a number

Assignment = tuple[Tensor, Tensor]  # query index (n,), object index (n,)


def class_cost(logits: Float[Tensor, "query classes"], labels: Int[Tensor, " n"]) -> Float[Tensor, "query n"]:
    """What the focal loss would gain if the query were given this label (published code; DETR used -p)."""
    p = logits.sigmoid()
    positive = FOCAL_ALPHA * (1 - p) ** FOCAL_GAMMA * -torch.log(p + LOG_EPS)
    negative = (1 - FOCAL_ALPHA) * p**FOCAL_GAMMA * -torch.log(1 - p + LOG_EPS)
    return (positive - negative)[:, labels]


def matching_cost(
    logits: Float[Tensor, "query classes"],
    boxes: Float[Tensor, "query 4"],
    labels: Int[Tensor, " n"],
    target_boxes: Float[Tensor, "n 4"],
) -> Float[Tensor, "query n"]:
    """What it would cost to match each query with each object.

        cost = 2 · class + 5 · ‖b - b̂‖₁ - 2 · GIoU(b, b̂)

    Here b and b̂ are the boxes of object and query, cxcywh.
    """
    distance = torch.cdist(boxes, target_boxes, p=1)
    giou = generalized_box_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))
    return CLASS_WEIGHT * class_cost(logits, labels) + BOX_WEIGHT * distance - GIOU_WEIGHT * giou


@torch.no_grad()
def hungarian_match(
    logits: Float[Tensor, "batch query classes"],
    boxes: Float[Tensor, "batch query 4"],
    targets: list[dict],
) -> list[Assignment]:
    """For each image the queries and the objects they are matched to, in the order of the queries.

    targets: [{"labels": (n,), "boxes": (n, 4) cxcywh}], one for each image. Each object gets one query (if there are
    enough), each query at most one object.
    """
    labels = torch.cat([target["labels"] for target in targets])  # (n,), of all images together
    target_boxes = torch.cat([target["boxes"] for target in targets])  # (n, 4)
    cost = matching_cost(logits.flatten(0, 1), boxes.flatten(0, 1), labels, target_boxes)  # (N·Q, n)
    # A diverged model must show up as a loss that is NaN, with its name, not as an error of the assignment.
    cost = cost.nan_to_num(nan=IMPOSSIBLE, posinf=IMPOSSIBLE, neginf=-IMPOSSIBLE).cpu().unflatten(0, logits.shape[:2])
    assignments = []
    for image, image_cost in enumerate(cost.split([len(target["labels"]) for target in targets], dim=-1)):
        query, index = linear_sum_assignment(image_cost[image].numpy())
        assignments.append((torch.as_tensor(query, device=logits.device), torch.as_tensor(index, device=logits.device)))
    return assignments
