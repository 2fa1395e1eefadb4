"""DETR (Carion et al., 2020) with dense attention, behind the same interface: the model to compare with.

Backbone, pyramid, loss, matching and data are shared with `DeformableDETR`. What differs is what the paper is about:

| here                                         | `DeformableDETR`                                     |
|----------------------------------------------|------------------------------------------------------|
| every token attends to every token, O(S²)    | every query reads L·K points                         |
| a query's box is predicted from nothing      | as an offset from its reference point                |

With the preset "single_scale" this is DETR on C5, trained with focal loss as in the paper's "DETR-DC5+" (which also
dilates C5). With several levels all tokens attend to all, which is what deformable attention makes affordable.
Differences from the published DETR: 300 queries by default, focal loss. The queries' *content* starts at zero as there.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from defdetr_ref.backbone import build_backbone
from defdetr_ref.batching import check_images
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.decoder import Prediction, as_outputs
from defdetr_ref.layers import DenseAttention, FeedForward, build_heads
from defdetr_ref.pyramid import FeaturePyramid, PyramidTokens


class DenseEncoderLayer(nn.Module):
    """Self-attention of all tokens, then a feed-forward network; post-norm."""

    def __init__(self, config: DeformableDETRConfig):
        super().__init__()
        self.attention = DenseAttention(config.d_model, config.num_heads, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.attention_norm = nn.LayerNorm(config.d_model)
        self.ffn = FeedForward(config.d_model, config.d_ffn, config.dropout)
        self.ffn_norm = nn.LayerNorm(config.d_model)

    def forward(
        self, x: Float[Tensor, "batch token d_model"], tokens: PyramidTokens
    ) -> Float[Tensor, "batch token d_model"]:
        # Self-attention: every token compares itself with all others. There is no reference here: places are all that
        # says which tokens are near, so query and key have them; the values stay without, because they are content.
        place = x + tokens.positions
        x = self.attention_norm(x + self.dropout(self.attention(place, place, x, tokens.mask)))
        # Feed-forward: each token for itself; attention only averages, here what was read is worked on.
        return self.ffn_norm(x + self.ffn(x))


class DenseDecoderLayer(nn.Module):
    """Self-attention among the queries, attention over all tokens, feed-forward; post-norm."""

    def __init__(self, config: DeformableDETRConfig):
        super().__init__()
        self.self_attention = DenseAttention(config.d_model, config.num_heads, config.dropout)
        self.self_norm = nn.LayerNorm(config.d_model)
        self.cross_attention = DenseAttention(config.d_model, config.num_heads, config.dropout)
        self.cross_norm = nn.LayerNorm(config.d_model)
        self.ffn = FeedForward(config.d_model, config.d_ffn, config.dropout)
        self.ffn_norm = nn.LayerNorm(config.d_model)
        self.dropout_self = nn.Dropout(config.dropout)
        self.dropout_cross = nn.Dropout(config.dropout)

    def forward(
        self,
        content: Float[Tensor, "batch query d_model"],
        position: Float[Tensor, "batch query d_model"],
        memory: Float[Tensor, "batch token d_model"],
        tokens: PyramidTokens,
    ) -> Float[Tensor, "batch query d_model"]:
        # Self-attention among the queries: they tell each other what they hold, so that no two answer for one object.
        query = content + position
        content = self.self_norm(content + self.dropout_self(self.self_attention(query, query, content)))
        # Cross-attention to the memory: a query weighs every token of the image, and has to learn where its own are.
        attended = self.cross_attention(content + position, memory + tokens.positions, memory, tokens.mask)
        content = self.cross_norm(content + self.dropout_cross(attended))
        # Feed-forward: each query for itself turns what it has read into what the heads can read off.
        return self.ffn_norm(content + self.ffn(content))


class DetrBaseline(nn.Module):
    """DETR with dense attention. Of the config it ignores what describes deformable attention and its variants:
    num_points, box_refine, two_stage, initial_box."""

    def __init__(self, config: DeformableDETRConfig):
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone, config.feature_strides)
        self.pyramid = FeaturePyramid(self.backbone.channels, config.d_model, config.num_levels)
        self.encoder_layers = nn.ModuleList(DenseEncoderLayer(config) for _ in range(config.encoder_layers))
        self.query_positions = nn.Embedding(config.num_queries, config.d_model)
        self.decoder_layers = nn.ModuleList(DenseDecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(config.d_model)  # before the heads, at every layer, as in DETR
        self.class_head, self.box_head = build_heads(config)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], mask: Bool[Tensor, "batch height width"] | None = None
    ) -> dict[str, Tensor | list | dict]:
        """The same arguments, results and errors as `DeformableDETR.forward`."""
        mask = check_images(images, mask, self.config.largest_stride)
        tokens = self.pyramid(self.backbone(images), mask)
        memory = tokens.features  # (N, S, C)
        for layer in self.encoder_layers:
            memory = layer(memory, tokens)
        position = self.query_positions.weight.expand(images.shape[0], -1, -1)  # (N, Q, C)
        content = torch.zeros_like(position)
        predictions = []
        for layer in self.decoder_layers:
            content = layer(content, position, memory, tokens)
            normed = self.decoder_norm(content)
            predictions.append(Prediction(self.class_head(normed), self.box_head(normed).sigmoid()))
        return as_outputs(predictions, proposals=None)
