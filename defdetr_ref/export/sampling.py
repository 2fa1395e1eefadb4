"""The operator out of what ONNX knows: GridSample, or Gather where a runtime's GridSample is missing or wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.attention import DeformableSampling
from defdetr_ref.ops.torch_ref import FAR_LEFT, FAR_RIGHT, ms_deform_attn_torch
from defdetr_ref.positions import SpatialShapes


def ms_deform_attn_gather(
    value: Float[Tensor, "batch token head dim"],
    spatial_shapes: SpatialShapes,
    sampling_locations: Float[Tensor, "batch query head level point 2"],
    attention_weights: Float[Tensor, "batch query head level point"],
) -> Float[Tensor, "batch query head*dim"]:
    """The sums of Eq. 3 with one table lookup for each corner of a cell. See `ms_deform_attn` for the arguments."""
    batch, _, heads, dim = value.shape
    locations = sampling_locations.nan_to_num(nan=FAR_LEFT).clamp(FAR_LEFT, FAR_RIGHT)
    locations = rearrange(locations, "batch query head level point xy -> level xy batch head query point")
    weights = rearrange(attention_weights, "batch query head level point -> level batch head query point")
    values = rearrange(value, "batch token head dim -> batch head token dim")
    output = value.new_zeros(())
    sizes = [height * width for height, width in spatial_shapes]
    for (height, width), pixels, (x, y), weight in zip(
        spatial_shapes, values.split(sizes, dim=2), locations, weights, strict=True
    ):
        table = pixels.reshape(-1, dim)  # the rows of all images and heads, one after another
        first = (table.new_ones(batch * heads).cumsum(0) - 1).long() * (height * width)  # row of each image and head
        first = first.reshape(batch, heads, 1, 1)
        x, y = x * width - 0.5, y * height - 0.5  # (N, M, Q, K), in pixels, counted from the centre of the first one
        for column, row in ((x.floor() + right, y.floor() + below) for right in (0, 1) for below in (0, 1)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            share = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside  # bilinear
            index = first + row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            read = table.index_select(0, index.flatten()).reshape(*index.shape, dim)  # (N, M, Q, K, D)
            output = output + ((weight * share)[..., None] * read).sum(3)  # (N, M, Q, D)
    return rearrange(output, "batch head query dim -> batch query (head dim)")


SAMPLINGS: dict[str, Callable[..., Tensor]] = {"grid_sample": ms_deform_attn_torch, "gather": ms_deform_attn_gather}


@contextmanager
def sampling_by(name: str, model: nn.Module) -> Iterator[None]:
    """Inside the block every attention of the model reads its points by the operator of this name in `SAMPLINGS`."""
    modules = [module for module in model.modules() if isinstance(module, DeformableSampling)]
    read = SAMPLINGS[name]

    def forward(value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor):
        return read(value, spatial_shapes, sampling_locations, attention_weights)

    for module in modules:
        module.forward = forward
    try:
        yield
    finally:
        for module in modules:
            del module.forward
