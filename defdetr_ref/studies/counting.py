"""FLOPs and bytes, on paper: what deformable attention, dense attention and a convolution have to do.

A multiplication and an addition are two FLOPs. Softmax, biases and the few operations that turn a location into four
bilinear weights are left out: less than a tenth in all. Numbers are float32.

| symbol  | is                                    |
|---------|---------------------------------------|
| S       | tokens of all levels; in the encoder also the number of queries |
| C       | d_model                               |
| M, L, K | heads, levels, points                 |
"""

import math
from dataclasses import dataclass
from functools import cached_property

from defdetr_ref.positions import SpatialShapes

FLOPS_PER_SUM = 2  # a product added to a sum
CORNERS = 4  # pixels that a bilinear read takes
NUMBER_BYTES = 4  # float32
KERNEL = 3  # sides of the convolution to compare with
CHANNEL_STEP = 8  # its input channels are a multiple of this, as vector registers like them


@dataclass(frozen=True)
class Workload:
    """One encoder layer on one square image. `side` in pixels; levels at `strides`."""

    side: int
    d_model: int = 256
    num_heads: int = 8
    num_points: int = 4
    strides: tuple[int, ...] = (8, 16, 32, 64)

    @property
    def num_levels(self) -> int:
        return len(self.strides)

    @property
    def channels(self) -> int:
        """D, of one head."""
        return self.d_model // self.num_heads

    @cached_property
    def spatial_shapes(self) -> SpatialShapes:
        """(H, W) of every level; a level that the stride does not divide is rounded up."""
        return [(-(-self.side // stride),) * 2 for stride in self.strides]

    @property
    def tokens(self) -> int:
        """S."""
        return sum(height * width for height, width in self.spatial_shapes)

    @property
    def points(self) -> int:
        """All points of a layer: S · M · L · K."""
        return self.tokens * self.num_heads * self.num_levels * self.num_points


@dataclass(frozen=True)
class Cost:
    """What has to be done. `compulsory`: bytes if every input is read once and every output written once.
    `gathered`: bytes that the arithmetic asks for, each time it asks."""

    flops: int
    compulsory: int
    gathered: int

    @property
    def intensity(self) -> float:
        """FLOPs for each compulsory byte."""
        return self.flops / self.compulsory


def operator_cost(work: Workload) -> Cost:
    """The sums of Eq. 3 alone: four corners of each point, times D channels."""
    values = work.points * CORNERS * work.channels  # numbers read from the feature maps
    in_and_out = 2 * work.tokens * work.d_model  # value, output
    per_point = 3 * work.points  # x, y and the weight
    return Cost(
        flops=FLOPS_PER_SUM * values,
        compulsory=NUMBER_BYTES * (in_and_out + per_point),
        gathered=NUMBER_BYTES * (values + per_point + work.tokens * work.d_model),
    )


def linear_cost(positions: int, inputs: int, outputs: int) -> Cost:
    """A linear layer, or a 1×1 convolution."""
    return convolution_cost(positions, inputs, outputs, kernel=1)


def convolution_cost(positions: int, inputs: int, outputs: int, kernel: int = KERNEL) -> Cost:
    """A kernel × kernel convolution with as many output positions as input positions."""
    taps = kernel**2 * inputs
    weights = taps * outputs
    return Cost(
        flops=FLOPS_PER_SUM * positions * weights,
        compulsory=NUMBER_BYTES * (positions * (inputs + outputs) + weights),
        gathered=NUMBER_BYTES * (positions * (taps + outputs) + weights),
    )


def module_cost(work: Workload) -> Cost:
    """The whole of Eq. 3 in the encoder: W', W, the linear layers for offsets and weights, and the operator."""
    samples = work.num_heads * work.num_levels * work.num_points
    outputs = (work.d_model, work.d_model, 2 * samples, samples)
    return total(operator_cost(work), *(linear_cost(work.tokens, work.d_model, size) for size in outputs))


def dense_cost(work: Workload) -> Cost:
    """softmax(QKᵀ)V of all tokens among themselves, without projections and without storing the S × S matrix."""
    size = work.tokens * work.d_model
    return Cost(
        flops=2 * FLOPS_PER_SUM * work.tokens * size,
        compulsory=NUMBER_BYTES * 4 * size,  # queries, keys, values, output
        gathered=NUMBER_BYTES * (2 * work.tokens * size + 2 * size),
    )


def total(*costs: Cost) -> Cost:
    """One after the other."""
    names = ("flops", "compulsory", "gathered")
    return Cost(**{name: sum(getattr(cost, name) for cost in costs) for name in names})


def equal_convolution(flops: int, positions: int) -> tuple[int, int]:
    """Input and output channels of the 3×3 convolution that costs these FLOPs, with about as many in as out."""
    weights = flops / (FLOPS_PER_SUM * positions)
    pairs = weights / KERNEL**2
    inputs = max(CHANNEL_STEP, CHANNEL_STEP * round(math.sqrt(pairs) / CHANNEL_STEP))
    return inputs, max(1, round(pairs / inputs))
