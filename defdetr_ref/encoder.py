"""The encoder: every pixel of every level is a query, and its reference point is itself (Sec. 4.1)."""

from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.attention import MultiScaleDeformableAttention
from defdetr_ref.layers import FeedForward
from defdetr_ref.positions import on_every_level
from defdetr_ref.pyramid import PyramidTokens


class EncoderLayer(nn.Module):
    """Deformable self-attention over all levels, then a feed-forward network; post-norm."""

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
        self.attention = MultiScaleDeformableAttention(
            d_model, num_heads, num_levels, num_points, backend=attention_backend
        )
        self.dropout = nn.Dropout(dropout)
        self.attention_norm = nn.LayerNorm(d_model)
        self.ffn = FeedForward(d_model, d_ffn, dropout)
        self.ffn_norm = nn.LayerNorm(d_model)

    def forward(
        self,
        x: Float[Tensor, "batch token d_model"],
        tokens: PyramidTokens,
        reference_points: Float[Tensor, "batch token level 2"],
    ) -> Float[Tensor, "batch token d_model"]:
        # Self-attention: each token reads a few points of all levels around its own place. Places help to decide where
        # to look, so the query has them; the values stay without, because what is read is content.
        query = x + tokens.positions
        attended = self.attention(query, reference_points, x, tokens.spatial_shapes, tokens.mask)
        x = self.attention_norm(x + self.dropout(attended))
        # Feed-forward: each token for itself; attention only adds up, here what was read is worked on.
        return self.ffn_norm(x + self.ffn(x))


class Encoder(nn.Module):
    """A stack of layers over the tokens of all levels. No dropout on its input, no norm at its end."""

    def __init__(self, layers: list[EncoderLayer]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, tokens: PyramidTokens) -> Float[Tensor, "batch token d_model"]:
        """Returns the memory: (N, S, C) for the same tokens, each having looked around on every level."""
        reference_points = on_every_level(tokens.centres, tokens.valid_ratios)  # (N, S, L, 2)
        x = tokens.features
        for layer in self.layers:
            x = layer(x, tokens, reference_points)
        return x
