"""What a recorded forward pass says, in numbers: where heads look, which level counts, what a point is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from defdetr_ref.boxes import box_iou, cxcywh_to_xyxy
from defdetr_ref.explain.recording import AttentionRecord, record
from defdetr_ref.inference import evaluation_mode, postprocess
from defdetr_ref.matching import hungarian_match
from defdetr_ref.questions.interventions import inside, sampling_changed

SMALL_SHARE, LARGE_SHARE = 1 / 8, 3 / 8  # of the image's side; a drawn set's AP by size has the same limits


def point_offsets(record: AttentionRecord) -> Float[Tensor, "batch query head level point 2"]:
    """How far each point is from its reference, in pixels of its level: x, y."""
    sizes = record.sampling_locations.new_tensor([[width, height] for height, width in record.spatial_shapes])
    centres = record.reference_points[:, :, None, :, None, :2]  # (N, Q, 1, L, 1, 2)
    return (record.sampling_locations - centres) * sizes[:, None]


def head_offsets(record: AttentionRecord) -> Float[Tensor, "head level 2"]:
    """Where each head looks on each level: its mean offset (x, y) in pixels of the level, weighted by attention.

    Of the points inside the image alone, as only they are read.
    """
    offsets = point_offsets(record)
    weights = (record.attention_weights * inside(record.sampling_locations))[..., None]
    summed = (offsets * weights).sum(dim=(0, 1, 4))  # (M, L, 2)
    return summed / weights.sum(dim=(0, 1, 4)).clamp(min=torch.finfo(weights.dtype).tiny)


def angles(offsets: Float[Tensor, "*head 2"]) -> Float[Tensor, "*head"]:
    """Directions in degrees, clockwise from the right, as pixels count y downwards: 90 is down."""
    x, y = offsets.unbind(-1)
    return torch.rad2deg(torch.atan2(y, x)) % 360


def turned(before: Float[Tensor, "*head"], after: Float[Tensor, "*head"]) -> Float[Tensor, "*head"]:
    """By how many degrees directions differ, from 0 to 180."""
    return 180 - (180 - (before - after).abs() % 360).abs()


def level_shares(record: AttentionRecord, image: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n level"]:
    """How much of what each query reads inside the image comes from each level; a row sums to 1, if it reads at all."""
    weights = record.attention_weights[image, queries] * inside(record.sampling_locations)[image, queries]
    shares = weights.sum(dim=(1, 3))  # (n, L)
    return shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)


@dataclass
class WithoutPoint:
    """What becomes of a query's answer without each single point of one layer, all (head, level, point)."""

    weight: Float[Tensor, "head level point"]  # the attention weight that the point had
    iou: Float[Tensor, "head level point"]  # of the box with the box as it was
    score: Float[Tensor, "head level point"]  # of the class, minus the score as it was


def leave_one_point_out(
    model: nn.Module, image: Float[Tensor, "3 height width"], query: int, layer: int = -1
) -> WithoutPoint:
    """Give up one point of a decoder layer after the other and see what becomes of a query's box and score.

    A point that is left out reads nothing, for all queries; the other weights stay as they are. One forward pass of as
    many copies of the image as there are points, and one more.

    model: a detector of this package.
    image: normalised.
    query: whose answer is looked at.
    layer: of the decoder, whose points are left out.
    """
    seen: list[Tensor] = []

    def without_one(locations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        copies, queries, *samples = weights.shape
        keep = torch.ones(copies, samples[0] * samples[1] * samples[2], dtype=weights.dtype)
        keep.fill_diagonal_(0)  # copy i lacks point i; the last copy lacks none
        seen.append(weights[-1, query])
        return locations, weights * keep.view(copies, 1, *samples)

    config = model.config
    samples = (config.num_heads, config.num_levels, config.num_points)
    copies = samples[0] * samples[1] * samples[2] + 1
    with evaluation_mode(model), sampling_changed(model, "decoder", without_one, layer=layer):
        outputs = model(image[None].expand(copies, -1, -1, -1))
    boxes = cxcywh_to_xyxy(outputs["pred_boxes"][:, query])
    scores = outputs["pred_logits"][:, query].sigmoid()
    label = scores[-1].argmax()
    change = scores[:-1, label] - scores[-1, label]
    return WithoutPoint(seen[0], box_iou(boxes[:-1], boxes[-1:])[:, 0].view(samples), change.view(samples))


def size_of(box: Float[Tensor, "4"]) -> str:
    """ "small", "medium" or "large", by the longer side of a box, cxcywh in [0, 1] of a square image."""
    side = box[2:].max()
    return "small" if side < SMALL_SHARE else "medium" if side < LARGE_SHARE else "large"


def level_shares_by_size(
    model: nn.Module, images: Float[Tensor, "batch 3 side side"], targets: Sequence[Mapping[str, Any]], layer: int = -1
) -> dict[str, Float[Tensor, "object level"]]:
    """Of small, medium and large objects: how much of what the query of each reads comes from each level.

    model: a detector of this package.
    images, targets: as a data set gives them; the images are square.
    layer: of the decoder.
    """
    with evaluation_mode(model), record(model) as recording:
        outputs = model(images)
    shares: dict[str, list[Tensor]] = {"small": [], "medium": [], "large": []}
    matches = hungarian_match(outputs["pred_logits"], outputs["pred_boxes"], targets)
    for image, (queries, objects) in enumerate(matches):
        rows = level_shares(recording[-1].decoder[layer], image, queries)
        for row, box in zip(rows, targets[image]["boxes"][objects], strict=True):
            shares[size_of(box)].append(row)
    return {size: torch.stack(rows) for size, rows in shares.items() if rows}


def boxes_by_step(
    model: nn.Module, images: Float[Tensor, "batch 3 height width"], targets: Sequence[Mapping[str, Any]]
) -> tuple[list[Float[Tensor, "object point_or_box"]], Float[Tensor, "object 4"]]:
    """What each object's query refers to before the first decoder layer and after every layer; and the true boxes.

    All cxcywh in [0, 1] of the image; learned queries start at a point, (n, 2). An object's query is the one that the
    last layer's answers are matched with.
    """
    with evaluation_mode(model), record(model) as recording:
        outputs = model(images)
    start = recording[-1].decoder[0].reference_points[:, :, 0]  # (N, Q, 2 or 4); without padding all levels have one
    steps = [start, *recording[-1].boxes_by_layer()]
    matches = list(enumerate(hungarian_match(outputs["pred_logits"], outputs["pred_boxes"], targets)))
    truth = torch.cat([targets[image]["boxes"][objects] for image, (_, objects) in matches])
    return [torch.cat([step[image, queries] for image, (queries, _) in matches]) for step in steps], truth


def claims_for_each_object(
    model: nn.Module, images: Float[Tensor, "batch 3 height width"], targets: Sequence[Mapping[str, Any]]
) -> float:
    """How many boxes of its class lie on an object (IoU > 0.5) with at least half the score of the best; the mean.

    Objects on which no box lies do not count.
    """
    with evaluation_mode(model):
        found = postprocess(model(images), [target["size"] for target in targets])
    claims = []
    for boxes, target in zip(found, targets, strict=True):
        height, width = target["size"]
        truth = cxcywh_to_xyxy(target["boxes"]) * torch.tensor([width, height, width, height])
        for box, label in zip(truth, target["labels"], strict=True):
            on_it = (box_iou(box[None], boxes["boxes"])[0] > 0.5) & (boxes["labels"] == label)
            scores = boxes["scores"][on_it]
            if len(scores):
                claims.append(int((scores >= scores.max() / 2).sum()))
    return sum(claims) / len(claims)
