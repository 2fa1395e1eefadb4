"""Many scales without an FPN: feature maps → projected, flattened, masked tokens of all levels (Sec. 4.1, Fig. 4).

Deformable attention itself carries information between levels, so no top-down pathway is built. C3–C5 are projected to
the model's width; coarser levels come from strided convolutions, the first of them on C5 itself.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from defdetr_ref.positions import SpatialShapes, embed_positions, token_centres, valid_ratios

NUM_GROUPS = 32  # of the group norm after each projection; published code, the paper does not name it


@dataclass
class PyramidTokens:
    """What encoder and decoder need to know of a batch of images: N images, L levels, S tokens in all."""

    features: Float[Tensor, "batch token d_model"]
    positions: Float[Tensor, "batch token d_model"]  # sine embedding + level embedding
    mask: Bool[Tensor, "batch token"]  # True on padding
    spatial_shapes: SpatialShapes  # (H, W) of every level, finest first
    valid_ratios: Float[Tensor, "batch level 2"]  # (x, y)
    centres: Float[Tensor, "batch token 2"]  # (x, y) of each pixel, in [0, 1] of the image without its padding


class Projection(nn.Sequential):
    """Convolution to the model's width, then group norm."""

    def __init__(self, in_channels: int, d_model: int, kernel_size: int = 1, stride: int = 1):
        conv = nn.Conv2d(in_channels, d_model, kernel_size, stride=stride, padding=kernel_size // 2)
        nn.init.xavier_uniform_(conv.weight)
        nn.init.zeros_(conv.bias)
        super().__init__(conv, nn.GroupNorm(NUM_GROUPS, d_model))


class FeaturePyramid(nn.Module):
    """Projects the backbone's maps, adds coarser levels up to `num_levels`, and flattens all of them."""

    def __init__(self, backbone_channels: list[int], d_model: int, num_levels: int):
        super().__init__()
        self.projections = nn.ModuleList(Projection(channels, d_model) for channels in backbone_channels)
        in_channels = backbone_channels[-1]  # the first extra level reads raw C5, not its projection
        for _ in range(num_levels - len(backbone_channels)):
            self.projections.append(Projection(in_channels, d_model, kernel_size=3, stride=2))
            in_channels = d_model
        self.level_embed = nn.Parameter(torch.randn(num_levels, d_model))

    def project(self, maps: list[Tensor]) -> list[Tensor]:
        """Backbone maps → L maps (N, C, H_l, W_l)."""
        levels = [project(feature_map) for project, feature_map in zip(self.projections, maps, strict=False)]
        coarsest = maps[-1]
        for project in self.projections[len(maps) :]:
            coarsest = project(coarsest)
            levels.append(coarsest)
        return levels

    def forward(self, maps: list[Tensor], mask: Bool[Tensor, "batch height width"]) -> PyramidTokens:
        """maps: of the backbone, finest first; mask: of the padded images, True on padding."""
        levels = self.project(maps)
        # Every level's mask is taken from the full-resolution mask, so that rounding errors do not add up.
        masks = [resize_mask(mask, tuple(level.shape[2:])) for level in levels]
        positions = [
            rearrange(embed_positions(level_mask, self.level_embed.shape[1]), "n h w c -> n (h w) c").to(
                levels[0].dtype
            )
            + level_embed
            for level_mask, level_embed in zip(masks, self.level_embed, strict=True)
        ]
        spatial_shapes = [tuple(level.shape[2:]) for level in levels]
        ratios = torch.stack([valid_ratios(level_mask) for level_mask in masks], dim=1)
        return PyramidTokens(
            features=torch.cat([rearrange(level, "n c h w -> n (h w) c") for level in levels], dim=1),
            positions=torch.cat(positions, dim=1),
            mask=torch.cat([level_mask.flatten(1) for level_mask in masks], dim=1),
            spatial_shapes=spatial_shapes,
            valid_ratios=ratios,
            centres=token_centres(spatial_shapes, ratios),
        )


def resize_mask(mask: Bool[Tensor, "batch _ _"], size: tuple[int, int]) -> Bool[Tensor, "batch _ _"]:
    """Nearest-neighbour resize to (H, W): each pixel takes the mask at its top-left corner."""
    return F.interpolate(mask[:, None].float(), size=size, mode="nearest")[:, 0].bool()
