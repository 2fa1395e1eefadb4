"""Where things are: sine embeddings, valid ratios, the encoder's reference points and the proposal grid.

Images of a batch are padded on the right and at the bottom. A *valid ratio* is the share of a level's width and height
that is image, so `location in the image × valid ratio = location in the padded map`. Points are (x, y), sizes are
(height, width) as in PyTorch.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SpatialShapes = list[tuple[int, int]]  # (H, W) of every level, finest first

TEMPERATURE = 10_000.0  # published code, after "Attention is all you need"
POSITION_EPS = 1e-6  # published code; keeps the division below finite
SMALLEST_PROPOSAL = 0.05  # paper, appendix A.4: side of a proposal on the finest level, as a share of the image
PROPOSAL_MARGIN = 0.01  # published code only: proposals closer than this to an edge of [0, 1] are not used


def sine_embedding(angles: Float[Tensor, "*batch"], dim: int) -> Float[Tensor, "*batch {dim}"]:
    """`dim` features, sines and cosines in turn.

        sin( angle / T^(2i/dim) ),  cos( angle / T^(2i/dim) )

    Here i counts the pairs from 0, and T = 10,000 (published code).
    """
    exponent = torch.arange(0, dim, 2, dtype=angles.dtype, device=angles.device) / dim  # (dim/2,)
    phase = angles[..., None] / TEMPERATURE**exponent  # (…, dim/2)
    return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(-2)  # (…, dim)


def embed_positions(mask: Bool[Tensor, "batch height width"], dim: int) -> Float[Tensor, "batch height width {dim}"]:
    """Sine embedding of every pixel's place in its own image: the first half of `dim` tells y, the second x.

    Places are counted over valid pixels and scaled to (0, 2π), so an image gets the same embedding with and without
    padding. Published code; the pixel's centre is at -0.5.
    """
    valid = (~mask).to(torch.float32)
    y, x = valid.cumsum(1), valid.cumsum(2)  # (N, H, W): 1 at the first valid pixel
    y = (y - 0.5) / (y[:, -1:, :] + POSITION_EPS) * (2 * math.pi)
    x = (x - 0.5) / (x[:, :, -1:] + POSITION_EPS) * (2 * math.pi)
    return torch.cat([sine_embedding(y, dim // 2), sine_embedding(x, dim // 2)], dim=-1)


def embed_boxes(boxes: Float[Tensor, "*batch 4"], dim: int) -> Float[Tensor, "*batch 4*{dim}"]:
    """Sine embedding of cxcywh boxes in [0, 1], `dim` features for each of the four numbers (published code)."""
    return sine_embedding(boxes * (2 * math.pi), dim).flatten(-2)


def valid_ratios(mask: Bool[Tensor, "batch height width"]) -> Float[Tensor, "batch 2"]:
    """Share of the width and of the height that is image: (x, y), read off the first row and the first column."""
    height, width = mask.shape[1:]
    valid_height = (~mask[:, :, 0]).sum(1)
    valid_width = (~mask[:, 0, :]).sum(1)
    return torch.stack([valid_width / width, valid_height / height], dim=-1)


def pixel_centres(height: int, width: int, device: torch.device | str = "cpu") -> Float[Tensor, "{height}*{width} 2"]:
    """(x, y) of every pixel's centre in pixels, row by row: 0.5, 1.5, …"""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device) + 0.5,
        torch.arange(width, dtype=torch.float32, device=device) + 0.5,
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def token_centres(
    spatial_shapes: SpatialShapes, ratios: Float[Tensor, "batch level 2"]
) -> Float[Tensor, "batch token 2"]:
    """The centre of every token's pixel, in [0, 1] of the image without its padding.

    spatial_shapes: (H, W) of the L levels; ratios: their valid ratios (x, y). Returns (N, S, 2), x and y; beyond 1 on
    padding.
    """
    places = []
    for level, (height, width) in enumerate(spatial_shapes):
        size = torch.tensor([width, height], dtype=ratios.dtype, device=ratios.device)
        centres = pixel_centres(height, width, ratios.device).to(ratios.dtype)  # (HW, 2)
        places.append(centres[None] / (ratios[:, None, level] * size))  # (N, HW, 2)
    return torch.cat(places, dim=1)


def on_every_level(
    centres: Float[Tensor, "batch token 2"], ratios: Float[Tensor, "batch level 2"]
) -> Float[Tensor, "batch token level 2"]:
    """From [0, 1] of the image to [0, 1] of each padded level, by the level's own valid ratio.

    Rounding gives the levels slightly different ratios.
    """
    return centres[:, :, None] * ratios[:, None]


def encoder_reference_points(
    spatial_shapes: SpatialShapes, ratios: Float[Tensor, "batch level 2"]
) -> Float[Tensor, "batch token level 2"]:
    """Every pixel's own place, on every level (paper, Sec. 4.1 "for each query pixel the reference point is itself").

    spatial_shapes: (H, W) of the L levels; ratios: their valid ratios (x, y). Returns (N, S, L, 2), in [0, 1] of the
    padded level: the place is found in the image first, then scaled to each level.
    """
    return on_every_level(token_centres(spatial_shapes, ratios), ratios)


def proposal_boxes(
    centres: Float[Tensor, "batch token 2"], mask: Bool[Tensor, "batch token"], spatial_shapes: SpatialShapes
) -> tuple[Float[Tensor, "batch token 4"], Bool[Tensor, "batch token"]]:
    """A box around every pixel of every level, for the first stage to correct (paper, appendix A.4).

    centres: of the pixels, see `token_centres`; mask: True on padding. Width = height = 0.05 · 2^level of the image,
    level counted from 0. Returns the boxes, cxcywh in [0, 1] of the unpadded image, and which of them are usable:
    unpadded, and all four numbers within (0.01, 0.99), a window that only the published code has.
    """
    boxes = []
    for level, level_centres in enumerate(split_levels(centres, spatial_shapes)):
        side = torch.full_like(level_centres, SMALLEST_PROPOSAL * 2.0**level)
        boxes.append(torch.cat([level_centres, side], dim=-1))  # (N, HW, 4)
    boxes = torch.cat(boxes, dim=1)  # (N, S, 4)
    inside = ((boxes > PROPOSAL_MARGIN) & (boxes < 1 - PROPOSAL_MARGIN)).all(-1)
    return boxes, inside & ~mask


def split_levels(tokens: Tensor, spatial_shapes: SpatialShapes) -> list[Tensor]:
    """(N, S, …) → one (N, H·W, …) for every level."""
    return list(tokens.split([height * width for height, width in spatial_shapes], dim=1))
