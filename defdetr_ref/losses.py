"""What training minimises: focal loss on every query and class, L1 and GIoU on the matched boxes, for every layer."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.boxes import cxcywh_to_xyxy, generalized_box_iou
from defdetr_ref.matching import (
    BOX_WEIGHT,
    CLASS_WEIGHT,
    FOCAL_ALPHA,
    FOCAL_GAMMA,
    GIOU_WEIGHT,
    Assignment,
    hungarian_match,
)

Classification = Callable[[Tensor, Tensor], Tensor]


def focal_loss(logits: Float[Tensor, "*batch"], targets: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The focal loss of every logit, with 0/1 targets (Lin et al., 2017; α = 0.25, γ = 2).

        FL(p_t) = -α_t (1 - p_t)^γ log p_t

    p_t is the probability given to the truth: where the model is already right the loss is small, so that the many
    easy background queries do not drown the few objects.
    """
    p = logits.sigmoid()
    p_truth = p * targets + (1 - p) * (1 - targets)
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")  # -log p_t, without overflow
    return alpha * (1 - p_truth) ** FOCAL_GAMMA * cross_entropy


def cross_entropy_loss(logits: Float[Tensor, "*batch"], targets: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """-log p_t for every logit, with 0/1 targets: focal loss without its two factors, to compare it with."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class DetectionLoss(nn.Module):
    """All terms of the published criterion, each layer matched on its own.

    loss(outputs, targets) takes the model's dict and one {"labels": (n,), "boxes": (n, 4) cxcywh in [0, 1]} an image,
    and returns loss_ce, loss_bbox, loss_giou of the last layer, …_0, …_1, … of the other decoder layers, …_enc of the
    first stage, all unweighted sums divided by the number of objects in the batch, and "total", their sum with weights
    2 · 5 · 2. The first stage only has to tell objects from background: there every label is 0, and every token,
    padded ones too, is matched and scored.

    num_classes: of the model's logits.
    classification: the loss of every logit against 0 or 1; the paper's is `focal_loss`.

    Raises ValueError for a label outside [0, num_classes) or a target without boxes or labels.
    """

    def __init__(self, num_classes: int, classification: Classification = focal_loss):
        super().__init__()
        self.num_classes, self.classification = num_classes, classification

    def forward(self, outputs: dict, targets: list[dict]) -> dict[str, Tensor]:
        self._check(outputs, targets)
        num_boxes = average_over_ranks(sum(len(target["labels"]) for target in targets), outputs["pred_logits"].device)
        terms = layer_losses(outputs, targets, num_boxes, "", self.classification)
        for layer, layer_outputs in enumerate(outputs.get("aux_outputs", [])):
            terms += layer_losses(layer_outputs, targets, num_boxes, f"_{layer}", self.classification)
        if "enc_outputs" in outputs:
            foreground = [{**target, "labels": torch.zeros_like(target["labels"])} for target in targets]
            terms += layer_losses(outputs["enc_outputs"], foreground, num_boxes, "_enc", self.classification)
        total = sum(term.weight * term.value for term in terms)
        return {**{term.name: term.value for term in terms}, "total": total}

    def _check(self, outputs: dict, targets: list[dict]) -> None:
        logits = outputs["pred_logits"]
        if len(targets) != len(logits):
            raise ValueError(f"got targets for {len(targets)} images, but outputs for {len(logits)}")
        if logits.shape[-1] != self.num_classes:
            raise ValueError(f"the model predicts {logits.shape[-1]} classes, the loss expects {self.num_classes}")
        for i, target in enumerate(targets):
            missing = {"labels", "boxes"} - target.keys()
            if missing:
                raise ValueError(f"the target of image {i} has no {' and no '.join(sorted(missing))}")
            labels = target["labels"]
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
                wrong = next(int(label) for label in labels if not 0 <= label < self.num_classes)
                raise ValueError(
                    f"image {i} has a label {wrong}, but num_classes is {self.num_classes}; labels are raw category "
                    "ids below num_classes"
                )


class LossTerm(NamedTuple):
    """One term of the sum that training minimises."""

    name: str
    value: Tensor
    weight: float


def layer_losses(
    outputs: dict,
    targets: list[dict],
    num_boxes: float,
    suffix: str = "",
    classification: Classification = focal_loss,
) -> list[LossTerm]:
    """The three terms of one layer.

    outputs: pred_logits and pred_boxes of the layer.
    targets: of every image, as `DetectionLoss` takes them.
    num_boxes: what the sums are divided by.
    suffix: of the terms' names.
    classification: the loss of every logit.
    """
    logits, boxes = outputs["pred_logits"], outputs["pred_boxes"]
    assignments = hungarian_match(logits, boxes, targets)
    image, query = matched_queries(assignments)
    labels = one_hot_labels(logits, targets, assignments)
    matched = boxes[image, query]  # (n, 4)
    wanted = torch.cat(
        [target["boxes"][index] for target, (_, index) in zip(targets, assignments, strict=True)]
    )  # (n, 4)
    giou = generalized_box_iou_pairs(matched, wanted)
    return [
        LossTerm(f"loss_ce{suffix}", classification(logits, labels).sum() / num_boxes, CLASS_WEIGHT),
        LossTerm(f"loss_bbox{suffix}", (matched - wanted).abs().sum() / num_boxes, BOX_WEIGHT),
        LossTerm(f"loss_giou{suffix}", (1 - giou).sum() / num_boxes, GIOU_WEIGHT),
    ]


def one_hot_labels(
    logits: Float[Tensor, "batch query classes"], targets: list[dict], assignments: list[Assignment]
) -> Float[Tensor, "batch query classes"]:
    """1 where a matched query should say its object's class; unmatched queries are a row of zeros."""
    labels = torch.zeros_like(logits)
    wanted = torch.cat(
        [target["labels"][index] for target, (_, index) in zip(targets, assignments, strict=True)]
    )  # (n,)
    labels[*matched_queries(assignments), wanted] = 1
    return labels


def matched_queries(assignments: list[Assignment]) -> tuple[Tensor, Tensor]:
    """Image and query of all matched queries of a batch, (n,) each."""
    image = torch.cat([torch.full_like(query, image) for image, (query, _) in enumerate(assignments)])
    return image, torch.cat([query for query, _ in assignments])


def generalized_box_iou_pairs(a: Float[Tensor, "n 4"], b: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """GIoU of the i-th cxcywh box of `a` with the i-th of `b`."""
    return generalized_box_iou(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b)).diagonal()


def average_over_ranks(count: int, device: torch.device) -> float:
    """The number of objects a process trains on, averaged over all processes of a distributed run, at least 1."""
    if not (dist.is_available() and dist.is_initialized()):
        return float(max(count, 1))
    total = torch.tensor(float(count), device=device)
    dist.all_reduce(total)
    return max(total.item() / dist.get_world_size(), 1.0)
