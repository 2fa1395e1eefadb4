"""What is timed: the operator's arguments as a detector would hand them over.

Uniformly random locations are left out on purpose: nothing is read twice there, which says little about real use.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from defdetr_ref.attention import star_offsets
from defdetr_ref.positions import SpatialShapes, encoder_reference_points

STRIDES = (8, 16, 32, 64)
SPREAD = 3.0  # pixels; the standard deviation of trained-like offsets around a query's own place


@dataclass(frozen=True)
class Workload:
    """value (N, S, M, D), level sizes, locations (N, Q, M, L, K, 2), weights (N, Q, M, L, K), the output's gradient."""

    name: str
    value: Tensor
    spatial_shapes: SpatialShapes
    sampling_locations: Tensor
    attention_weights: Tensor
    grad_output: Tensor

    @property
    def arguments(self) -> tuple[Tensor, SpatialShapes, Tensor, Tensor]:
        return self.value, self.spatial_shapes, self.sampling_locations, self.attention_weights

    def to(self, device: str, dtype: torch.dtype) -> "Workload":
        """Values in `dtype`; locations and weights stay float32."""
        value, grad = self.value.to(device, dtype), self.grad_output.to(device, dtype)
        places, weights = self.sampling_locations.to(device), self.attention_weights.to(device)
        return Workload(self.name, value, self.spatial_shapes, places, weights, grad)


def level_sizes(height: int, width: int) -> SpatialShapes:
    """The four feature levels of an image."""
    return [(-(-height // stride), -(-width // stride)) for stride in STRIDES]


def _workload(name: str, shapes: SpatialShapes, centres: Tensor, offsets: Tensor, channels: int, seed: int) -> Workload:
    """centres (Q, 2) in [0, 1], offsets (Q, M, L, K, 2) in pixels of each level."""
    generator = torch.Generator().manual_seed(seed)
    queries, heads, levels, points, _ = offsets.shape
    size = torch.tensor([[width, height] for height, width in shapes], dtype=torch.float32)
    locations = centres[:, None, None, None] + offsets / size[:, None]
    tokens = sum(height * width for height, width in shapes)
    logits = torch.randn(1, queries, heads, levels * points, generator=generator)
    return Workload(
        name,
        torch.randn(1, tokens, heads, channels, generator=generator),
        shapes,
        locations[None].contiguous(),
        logits.softmax(-1).view(1, queries, heads, levels, points),
        torch.randn(1, queries, heads * channels, generator=generator),
    )


def _random_offsets(queries: int, heads: int, levels: int, points: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return SPREAD * torch.randn(queries, heads, levels, points, 2, generator=generator)


def encoder(name: str, image: tuple[int, int], star: bool, seed: int) -> Workload:
    """Every token is a query and samples around its own pixel: 8 heads of 32 channels, 4 levels, 4 points."""
    shapes = level_sizes(*image)
    tokens = sum(height * width for height, width in shapes)
    centres = encoder_reference_points(shapes, torch.ones(1, len(shapes), 2))[0, :, 0]
    offsets = star_offsets(8, 4, 4).expand(tokens, -1, -1, -1, -1) if star else _random_offsets(tokens, 8, 4, 4, seed)
    return _workload(name, shapes, centres, offsets, 32, seed)


def decoder(name: str, image: tuple[int, int], queries: int, seed: int) -> Workload:
    """Object queries anywhere in the image, 8 heads of 32 channels, 4 levels, 4 points."""
    centres = torch.rand(queries, 2, generator=torch.Generator().manual_seed(seed))
    return _workload(name, level_sizes(*image), centres, _random_offsets(queries, 8, 4, 4, seed), 32, seed)


def tiny(name: str, seed: int) -> Workload:
    """16 queries, 3 heads of 8 channels, 2 levels, 4 points: what a call costs when there is nothing to do."""
    centres = torch.rand(16, 2, generator=torch.Generator().manual_seed(seed))
    return _workload(name, [(6, 9), (3, 5)], centres, _random_offsets(16, 3, 2, 4, seed), 8, seed)


WORKLOADS: dict[str, Callable[[int], Workload]] = {
    "encoder 800×1066, σ = 3 px": lambda seed: encoder("encoder 800×1066, σ = 3 px", (800, 1066), False, seed),
    "encoder 800×1066, star": lambda seed: encoder("encoder 800×1066, star", (800, 1066), True, seed),
    "encoder 480×640, σ = 3 px": lambda seed: encoder("encoder 480×640, σ = 3 px", (480, 640), False, seed),
    "encoder 480×640, star": lambda seed: encoder("encoder 480×640, star", (480, 640), True, seed),
    "decoder, Q = 300": lambda seed: decoder("decoder, Q = 300", (800, 1066), 300, seed),
    "tiny, Q = 16": lambda seed: tiny("tiny, Q = 16", seed),
}
