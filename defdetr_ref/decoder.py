"""The decoder: object queries look at the memory from their reference, and each layer predicts a box around it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.attention import MultiScaleDeformableAttention
from defdetr_ref.boxes import refine_boxes
from defdetr_ref.layers import BoxHead, DenseAttention, FeedForward
from defdetr_ref.pyramid import PyramidTokens


@dataclass
class Queries:
    """What the decoder starts from: Q object queries for each of N images."""

    content: Float[Tensor, "batch query d_model"]  # what a query holds; the layers change it
    position: Float[Tensor, "batch query d_model"]  # who it is; added before every attention
    reference: Float[Tensor, "batch query point_or_box"]  # points or boxes, in [0, 1] of the unpadded image


@dataclass
class Prediction:
    """Of one layer: class logits and cxcywh boxes in [0, 1] of the unpadded image."""

    logits: Float[Tensor, "batch query classes"]
    boxes: Float[Tensor, "batch query 4"]


class DecoderLayer(nn.Module):
    """Self-attention among the queries, deformable cross-attention to the memory, feed-forward; post-norm."""

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        d_ffn: int,
        dropout: float,
        attention_backend: str = "auto",
    ):
        super().__init__()
        self.self_attention = DenseAttention(d_model, num_heads, dropout)
        self.self_norm = nn.LayerNorm(d_model)
        self.cross_attention = MultiScaleDeformableAttention(
            d_model, num_heads, num_levels, num_points, backend=attention_backend
        )
        self.cross_norm = nn.LayerNorm(d_model)
        self.ffn = FeedForward(d_model, d_ffn, dropout)
        self.ffn_norm = nn.LayerNorm(d_model)
        self.dropout_self = nn.Dropout(dropout)
        self.dropout_cross = nn.Dropout(dropout)

    def forward(
        self,
        content: Float[Tensor, "batch query d_model"],
        position: Float[Tensor, "batch query d_model"],
        reference: Float[Tensor, "batch query point_or_box"],
        memory: Float[Tensor, "batch token d_model"],
        tokens: PyramidTokens,
    ) -> Float[Tensor, "batch query d_model"]:
        # Self-attention among the queries: they tell each other what they hold, so that no two answer for one object.
        query = content + position
        content = self.self_norm(content + self.dropout_self(self.self_attention(query, query, content)))
        # Cross-attention to the memory: the only place where a query sees the image, around its reference. The
        # reference is of the unpadded image, the levels are padded.
        attended = self.cross_attention(
            content + position,
            scale_to_padding(reference, tokens.valid_ratios),
            memory,
            tokens.spatial_shapes,
            tokens.mask,
        )
        content = self.cross_norm(content + self.dropout_cross(attended))
        # Feed-forward: each query for itself turns what it has read into what the heads can read off.
        return self.ffn_norm(content + self.ffn(content))


def scale_to_padding(
    reference: Float[Tensor, "batch query point_or_box"], ratios: Float[Tensor, "batch level 2"]
) -> Float[Tensor, "batch query level point_or_box"]:
    """From [0, 1] of the image to [0, 1] of each padded level; a box's size shrinks like its centre."""
    if reference.shape[-1] == 4:
        ratios = torch.cat([ratios, ratios], dim=-1)  # (N, L, 4)
    return reference[:, :, None] * ratios[:, None]


class Decoder(nn.Module):
    """All layers predict around the same reference, with the same heads (the plain model of Sec. 4.1)."""

    def __init__(self, layers: list[DecoderLayer], class_heads: list[nn.Linear], box_heads: list[BoxHead]):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.class_heads = nn.ModuleList(class_heads)
        self.box_heads = nn.ModuleList(box_heads)

    def forward(
        self, queries: Queries, memory: Float[Tensor, "batch token d_model"], tokens: PyramidTokens
    ) -> list[Prediction]:
        """One prediction for each layer, the last one being the model's answer; the others are trained too."""
        content, reference = queries.content, queries.reference
        predictions = []
        for layer, class_head, box_head in zip(self.layers, self.class_heads, self.box_heads, strict=True):
            content = layer(content, queries.position, reference, memory, tokens)
            boxes = refine_boxes(reference, box_head(content))
            predictions.append(Prediction(class_head(content), boxes))
            reference = self.next_reference(reference, boxes)
        return predictions

    def next_reference(self, reference: Tensor, boxes: Tensor) -> Tensor:
        return reference


class RefiningDecoder(Decoder):
    """Iterative box refinement (appendix A.4): each layer, with heads of its own, corrects the box of the one before.

    The gradient is blocked at the previous box: a layer learns to correct what it is given, and the sampling locations
    of later layers do not pull on the boxes of earlier ones. After the first layer the reference is always a box.
    """

    def next_reference(self, reference: Tensor, boxes: Tensor) -> Tensor:
        return boxes.detach()


def as_outputs(predictions: list[Prediction], proposals: Prediction | None) -> dict[str, Tensor | list | dict]:
    """The field's own names for what a DETR returns."""
    named = [{"pred_logits": prediction.logits, "pred_boxes": prediction.boxes} for prediction in predictions]
    outputs = {**named[-1], "aux_outputs": named[:-1]}
    if proposals is not None:
        outputs["enc_outputs"] = {"pred_logits": proposals.logits, "pred_boxes": proposals.boxes}
    return outputs
