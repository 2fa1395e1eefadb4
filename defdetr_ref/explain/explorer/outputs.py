"""What a detector says of its queries, read from its outputs under the names of this package or of transformers."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from defdetr_ref.explain.recording import ForwardPass

UNUSABLE = 1.0  # the first stage writes the box (1, 1, 1, 1) where no proposal is allowed


@dataclass(frozen=True)
class Objects:
    """The decoder's object queries: their boxes from layer to layer, and what the last layer takes them for.

    Boxes are cxcywh in [0, 1] of the image. Step 0 is what the decoder starts from; where that is only a point, or a
    layer predicts no box, the numbers that do not exist are NaN.
    """

    boxes: Float[Tensor, "step query 4"]
    scores: Float[Tensor, " query"]  # of the likeliest class, in [0, 1]
    labels: Int64[Tensor, " query"]


def objects_of(model: nn.Module, forward_pass: ForwardPass, extent: Float[Tensor, "2"]) -> Objects | None:
    """None if the outputs hold no boxes for the decoder's queries: a segmenter, or a part of a model."""
    outputs, decoder = forward_pass.outputs, forward_pass.decoder
    if not isinstance(outputs, Mapping) or not decoder:
        return None
    final, logits = outputs.get("pred_boxes"), outputs.get("pred_logits", outputs.get("logits"))
    queries = decoder[0].attention_weights.shape[1]
    if final is None or logits is None or final.shape[1] != queries:
        return None
    start = _padded_to_boxes(_references(forward_pass, 0, extent))
    scores, labels = logits[0].float().sigmoid().max(-1)
    boxes = torch.stack([start, *_boxes_of_layers(forward_pass, extent)])
    return Objects(boxes.float().cpu(), scores.cpu(), labels.cpu())


def _boxes_of_layers(forward_pass: ForwardPass, extent: Float[Tensor, "2"]) -> list[Float[Tensor, "query 4"]]:
    """The box after each layer. Where the outputs do not say, a refining model's next reference is that box."""
    outputs, depth = forward_pass.outputs, len(forward_pass.decoder)
    if len(outputs.get("aux_outputs") or []) == depth - 1:
        return [boxes[0] for boxes in forward_pass.boxes_by_layer()]
    references = [_references(forward_pass, layer, extent) for layer in range(depth)]
    are_boxes = references[0].shape[-1] == references[-1].shape[-1] == 4
    refined = are_boxes and not torch.equal(references[0], references[-1])
    between = references[1:] if refined else [torch.full_like(outputs["pred_boxes"][0], torch.nan)] * (depth - 1)
    return [*between, outputs["pred_boxes"][0]]


def _references(
    forward_pass: ForwardPass, layer: int, extent: Float[Tensor, "2"]
) -> Float[Tensor, "query point_or_box"]:
    """Of the first image on the first level, in [0, 1] of the image without its padding."""
    references = forward_pass.decoder[layer].reference_points[0, :, 0]
    return references / extent.to(references).repeat(references.shape[-1] // 2)


def _padded_to_boxes(references: Float[Tensor, "query point_or_box"]) -> Float[Tensor, "query 4"]:
    missing = torch.full_like(references[:, :2], torch.nan)
    return torch.cat([references, missing], dim=-1)[:, :4]


def proposal_scores(model: nn.Module, forward_pass: ForwardPass) -> list[Float[Tensor, "_ _"]] | None:
    """How likely the first stage finds an object at each pixel of each level; None in models of one stage."""
    outputs = forward_pass.outputs
    logits = _proposal_logits(model, outputs) if isinstance(outputs, Mapping) else None
    shapes = forward_pass.records[0].spatial_shapes
    sizes = [height * width for height, width in shapes]
    if logits is None or len(logits) != sum(sizes):
        return None
    maps = logits.float().sigmoid().cpu().split(sizes)
    return [scores.view(height, width) for scores, (height, width) in zip(maps, shapes, strict=True)]


def _proposal_logits(model: nn.Module, outputs: Mapping) -> Float[Tensor, " token"] | None:
    """The logit that ranks the pixels of the first image.

    Deformable DETR ranks by channel 0 of its class head, in the published code, here and in transformers; later models
    rank by the likeliest class.
    """
    if "enc_outputs" in outputs:
        usable = (outputs["enc_outputs"]["pred_boxes"][0] != UNUSABLE).any(-1)
        return outputs["enc_outputs"]["pred_logits"][0, :, 0].masked_fill(~usable, -torch.inf)
    theirs = outputs.get("enc_outputs_class")
    if theirs is None:
        return None
    return theirs[0, :, 0] if type(model).__name__.startswith("DeformableDetr") else theirs[0].amax(-1)


def category_names(model: nn.Module, categories: Mapping[int, str] | None) -> dict[int, str]:
    """Names by label: the given ones, or those that a model of transformers holds."""
    if categories is not None:
        return dict(categories)
    return dict(getattr(getattr(model, "config", None), "id2label", None) or {})
