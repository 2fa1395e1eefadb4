"""Deformable attention: each query says by itself where to look and how much to take from there.

    MSDeformAttn(z_q, p̂_q, {x^l}) = Σ_m W_m [ Σ_l Σ_k A_mlqk · W'_m x^l( φ_l(p̂_q) + Δp_mlqk ) ]          (Eq. 3)

| paper   | here                                   | shape                                        |
|---------|----------------------------------------|----------------------------------------------|
| z_q     | `query`                                | (N, Q, C)                                    |
| p̂_q     | `reference_points`                     | (N, Q, L, 2) points or (N, Q, L, 4) boxes    |
| x^l     | `features`, all levels one after other | (N, S, C)                                    |
| Δp_mlqk | `sampling_offsets(query)`              | (N, Q, M, L, K, 2)                           |
| A_mlqk  | `attention_weights(query)`, softmaxed  | (N, Q, M, L, K), sums to 1 over L and K      |
| W'_m    | `value_proj`, all heads at once        | (C, C)                                       |
| W_m     | `output_proj`, all heads at once       | (C, C)                                       |
"""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from defdetr_ref.ops import ms_deform_attn, require_backend
from defdetr_ref.positions import SpatialShapes


def star_offsets(num_heads: int, num_levels: int, num_points: int) -> Float[Tensor, "head level point 2"]:
    """The offsets, in pixels, that every query starts with: head m looks along angle 2πm/M, point k at distance k.

    The directions are scaled to the unit *square* (largest coordinate 1), so with 8 heads the first points are the
    eight neighbours of a pixel. The same on every level. Appendix A.4 of the paper, in the head order of the published
    code.
    """
    angles = 2 * math.pi * torch.arange(num_heads) / num_heads  # (M,)
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)  # (M, 2)
    directions = directions / directions.abs().amax(-1, keepdim=True)
    distances = torch.arange(1, num_points + 1)  # (K,)
    rays = directions[:, None, None, :] * distances[None, None, :, None]  # (M, 1, K, 2)
    return rays.repeat(1, num_levels, 1, 1)


def sampling_locations(
    reference_points: Float[Tensor, "batch query level point_or_box"],
    offsets: Float[Tensor, "batch query head level point 2"],
    spatial_shapes: SpatialShapes,
) -> Float[Tensor, "batch query head level point 2"]:
    """φ_l(p̂_q) + Δp: where every head reads, in [0, 1] of each padded level.

    From a reference *point* offsets are counted in pixels of the level. From a reference *box* they are counted in
    half boxes divided by K, so that the initial star just fills the box (appendix A.4; the division at every forward
    pass is the published code's, the paper speaks of the initial bias alone).
    """
    centre = reference_points[:, :, None, :, None, :2]  # (N, Q, 1, L, 1, 2)
    if reference_points.shape[-1] == 2:
        size = [[width, height] for height, width in spatial_shapes]
        return centre + offsets / torch.tensor(size, dtype=offsets.dtype, device=offsets.device)[:, None]
    num_points = offsets.shape[-2]
    half_box = reference_points[:, :, None, :, None, 2:] / 2
    return centre + offsets / num_points * half_box


class DeformableSampling(nn.Module):
    """The operator as a module without parameters, so that a forward hook can see every location and weight."""

    def __init__(self, backend: str = "auto"):
        super().__init__()
        require_backend(backend)
        self.backend = backend

    def forward(
        self, value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
    ) -> Tensor:
        return ms_deform_attn(value, spatial_shapes, sampling_locations, attention_weights, backend=self.backend)


class MultiScaleDeformableAttention(nn.Module):
    """Eq. 3: every query reads `num_points` points for each head on each level.

    d_model: C, channels of queries, features and output.
    num_heads: M; each reads C/M channels of its own.
    num_levels: L, of the feature pyramid.
    num_points: K, for each head on each level.
    backend: which version of the operator runs, see `ms_deform_attn`.

    Raises ValueError if d_model is no multiple of num_heads, or the backend does not exist.
    """

    def __init__(
        self, d_model: int = 256, num_heads: int = 8, num_levels: int = 4, num_points: int = 4, *, backend: str = "auto"
    ):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(
                f"d_model = {d_model} cannot be split into num_heads = {num_heads} equal heads; choose a divisor"
            )
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(d_model, samples * 2)
        self.attention_weights = nn.Linear(d_model, samples)
        self.value_proj = nn.Linear(d_model, d_model)
        self.output_proj = nn.Linear(d_model, d_model)
        self.sampling = DeformableSampling(backend)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """At the start all queries look the same way: the star, with equal weights 1/(L·K)."""
        nn.init.zeros_(self.sampling_offsets.weight)
        self.sampling_offsets.bias.copy_(star_offsets(self.num_heads, self.num_levels, self.num_points).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        query: Float[Tensor, "batch query d_model"],
        reference_points: Float[Tensor, "batch query level point_or_box"],
        features: Float[Tensor, "batch token d_model"],
        spatial_shapes: SpatialShapes,
        padding_mask: Bool[Tensor, "batch token"] | None = None,
    ) -> Float[Tensor, "batch query d_model"]:
        """What every query reads around its reference, projected: (N, Q, C).

        query: with its position embedding already added.
        reference_points: points or cxcywh boxes for each level, in [0, 1] of the padded level.
        features: the tokens of all levels one after another, finest first.
        spatial_shapes: [(height, width), …] of the levels.
        padding_mask: True where a token is padding; such rows of `features` read as zero.
        """
        value = self.value_proj(features)
        if padding_mask is not None:
            value = value.masked_fill(padding_mask[..., None], 0.0)
        value = rearrange(value, "batch token (head dim) -> batch token head dim", head=self.num_heads)
        locations = sampling_locations(reference_points, self.offsets_of(query), spatial_shapes)
        output = self.sampling(value, spatial_shapes, locations, self.weights_of(query))  # (N, Q, C)
        return self.output_proj(output)

    def offsets_of(
        self, query: Float[Tensor, "batch query d_model"]
    ) -> Float[Tensor, "batch query head level point 2"]:
        """Δp_mlqk, a linear function of the query."""
        axes = dict(head=self.num_heads, level=self.num_levels, xy=2)
        return rearrange(
            self.sampling_offsets(query), "batch query (head level point xy) -> batch query head level point xy", **axes
        )

    def weights_of(self, query: Float[Tensor, "batch query d_model"]) -> Float[Tensor, "batch query head level point"]:
        """A_mlqk: one softmax over all levels and points of a head, jointly."""
        logits = rearrange(self.attention_weights(query), "batch query (head sample) -> batch query head sample",
                           head=self.num_heads)  # fmt: skip
        return logits.softmax(-1).unflatten(-1, (self.num_levels, self.num_points))


class DeformableAttention(MultiScaleDeformableAttention):
    """Eq. 2: the same on one feature map.

        DeformAttn(z_q, p_q, x) = Σ_m W_m [ Σ_k A_mqk · W'_m x( p_q + Δp_mqk ) ]          (Eq. 2)

    d_model: C, channels of queries, feature map and output.
    num_heads: M; each reads C/M channels of its own.
    num_points: K, for each head.
    backend: which version of the operator runs, see `ms_deform_attn`.
    """

    def __init__(self, d_model: int = 256, num_heads: int = 8, num_points: int = 4, *, backend: str = "auto"):
        super().__init__(d_model, num_heads, num_levels=1, num_points=num_points, backend=backend)

    def forward(
        self,
        query: Float[Tensor, "batch query d_model"],
        reference_points: Float[Tensor, "batch query point_or_box"],
        feature_map: Float[Tensor, "batch d_model height width"],
        padding_mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch query d_model"]:
        """Like the multi-scale module, with one map instead of tokens.

        query: with its position embedding already added.
        reference_points: points (N, Q, 2) or cxcywh boxes (N, Q, 4), in [0, 1] of the padded map.
        feature_map: (N, C, H, W).
        padding_mask: True where a pixel is padding; it reads as zero.
        """
        tokens = rearrange(feature_map, "batch channel height width -> batch (height width) channel")
        mask = None if padding_mask is None else padding_mask.flatten(1)
        return super().forward(query, reference_points[:, :, None], tokens, [tuple(feature_map.shape[2:])], mask)
