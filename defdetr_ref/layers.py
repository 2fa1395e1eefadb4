"""Parts that encoder, decoder and the dense baseline share."""

import math
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.config import DeformableDETRConfig

FOREGROUND_PRIOR = 0.01  # RetinaNet: classes start improbable, so the first focal loss is not all background


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them, on every token alone; the residual sum is the caller's."""

    def __init__(self, d_model: int, hidden: int, dropout: float):
        super().__init__()
        self.linear1 = nn.Linear(d_model, hidden)
        self.linear2 = nn.Linear(hidden, d_model)
        self.dropout_inner = nn.Dropout(dropout)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)  # biases keep PyTorch's default, as in the published code

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        return self.dropout(self.linear2(self.dropout_inner(self.linear1(x).relu())))


class DenseAttention(nn.MultiheadAttention):
    """PyTorch's multi-head attention, batch first; the output matrix is Xavier like every matrix of the transformer."""

    def __init__(self, d_model: int, num_heads: int, dropout: float):
        super().__init__(d_model, num_heads, dropout=dropout, batch_first=True)
        nn.init.xavier_uniform_(self.out_proj.weight)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, padding_mask: Tensor | None = None
    ) -> Float[Tensor, "batch query d_model"]:
        """(N, Q, C) queries over (N, S, C) keys and values; padding_mask (N, S) is True on keys to leave out."""
        return super().forward(query, key, value, key_padding_mask=padding_mask, need_weights=False)[0]


class BoxHead(nn.Module):
    """The 3-layer perceptron that predicts how a reference has to move, (…, 4) in logit space.

    The last layer starts at zero, so before training every box is its reference.
    """

    def __init__(self, d_model: int):
        super().__init__()
        sizes = (d_model, d_model, d_model, 4)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch 4"]:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


def build_heads(config: DeformableDETRConfig) -> tuple[nn.Linear, BoxHead]:
    """The class head, with its focal prior σ(bias) = 0.01, and the box head."""
    class_head = nn.Linear(config.d_model, config.num_classes)
    nn.init.constant_(class_head.bias, -math.log((1 - FOREGROUND_PRIOR) / FOREGROUND_PRIOR))  # -log 99
    return class_head, BoxHead(config.d_model)
