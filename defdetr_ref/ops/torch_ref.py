"""The operator in a dozen lines of PyTorch: one `grid_sample` for each level, then a weighted sum."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.positions import SpatialShapes

# In units of the map. Every map, even one of a single pixel, has lost all influence at these two places, so clamping
# changes neither a value nor a gradient, and keeps inf · 0 out of grid_sample.
FAR_LEFT, FAR_RIGHT = -1.0, 2.0


def ms_deform_attn_torch(
    value: Float[Tensor, "batch token head dim"],
    spatial_shapes: SpatialShapes,
    sampling_locations: Float[Tensor, "batch query head level point 2"],
    attention_weights: Float[Tensor, "batch query head level point"],
) -> Float[Tensor, "batch query head*dim"]:
    """The sums of Eq. 3 over levels and points, for every head. See `ms_deform_attn` for the arguments."""
    batch, heads = value.shape[0], value.shape[2]
    dtype = value.dtype
    value = rearrange(value.to(sampling_locations.dtype), "batch token head dim -> (batch head) dim token")
    locations = sampling_locations.nan_to_num(nan=FAR_LEFT).clamp(FAR_LEFT, FAR_RIGHT)
    # grid_sample counts from -1 to 1
    grids = rearrange(2 * locations - 1, "batch query head level point xy -> level (batch head) query point xy")
    sampled = []
    sizes = [height * width for height, width in spatial_shapes]
    for (height, width), pixels, grid in zip(spatial_shapes, value.split(sizes, dim=-1), grids, strict=True):
        image = pixels.unflatten(-1, (height, width))  # (N·M, D, H, W)
        sampled.append(F.grid_sample(image, grid, padding_mode="zeros", align_corners=False))  # (N·M, D, Q, K)
    weights = rearrange(attention_weights, "batch query head level point -> (batch head) 1 query (level point)")
    output = (torch.cat(sampled, dim=-1) * weights).sum(-1)  # (N·M, D, Q)
    output = rearrange(output, "(batch head) dim query -> batch query (head dim)", batch=batch, head=heads)
    return output.to(dtype)
