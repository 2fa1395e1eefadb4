"""The specification: multi-scale deformable attention as plain loops over NumPy arrays, forward and backward.

    output[query, head] = Σ_level Σ_point  weight · value(level, location)          (the sums of Eq. 3)

| paper    | here                                                                    |
|----------|-------------------------------------------------------------------------|
| x^l      | `value` (N, S, M, D): rows of level l, after W'_m                       |
| A_mlqk   | `attention_weights` (N, Q, M, L, K)                                     |
| φ_l(p̂)+Δp | `sampling_locations` (N, Q, M, L, K, 2): (x, y) in [0, 1] of the level |

A location is turned into pixels by `x · W - 0.5`, so that 0 and 1 are the outer *edges* of the map and pixel i has its
centre at i. The value there is bilinear: the four pixels around it, weighted by the area of the opposite rectangle.
Pixels outside the map count as zero. A location that is not finite reads nothing, like one that is far outside.
"""

import math
from collections.abc import Iterator

import numpy as np

from defdetr_ref.positions import SpatialShapes


def corners(x: float, y: float, height: int, width: int) -> Iterator[tuple[int, int, float, float, float]]:
    """The pixels around (x, y) that lie in the map: (row, column, weight, ∂weight/∂x, ∂weight/∂y).

    x, y: in pixels, pixel centres at whole numbers. Yields nothing when all four pixels are outside.
    """
    if not (-1 < x < width and -1 < y < height):  # also false for NaN
        return
    left, top = math.floor(x), math.floor(y)
    right_share, bottom_share = x - left, y - top
    for row, share_y, slope_y in ((top, 1 - bottom_share, -1.0), (top + 1, bottom_share, 1.0)):
        for column, share_x, slope_x in ((left, 1 - right_share, -1.0), (left + 1, right_share, 1.0)):
            if 0 <= row < height and 0 <= column < width:
                yield row, column, share_x * share_y, slope_x * share_y, share_x * slope_y


def _points(shape: tuple[int, ...], spatial_shapes: SpatialShapes) -> Iterator[tuple]:
    """Every sampled point as (index of its weight, first row of its level, height, width)."""
    batch, queries, heads, _, points = shape
    level_start = 0
    for level, (height, width) in enumerate(spatial_shapes):
        for n, q, m, k in np.ndindex(batch, queries, heads, points):
            yield (n, q, m, level, k), level_start, height, width
        level_start += height * width


def forward(value: np.ndarray, spatial_shapes: SpatialShapes, locations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """value (N, S, M, D), locations (N, Q, M, L, K, 2), weights (N, Q, M, L, K) → (N, Q, M·D)."""
    batch, queries, heads = weights.shape[:3]
    output = np.zeros((batch, queries, heads, value.shape[-1]), value.dtype)
    for index, start, height, width in _points(weights.shape, spatial_shapes):
        n, q, m, _, _ = index
        x, y = locations[index] * (width, height) - 0.5
        for row, column, share, _, _ in corners(x, y, height, width):
            output[n, q, m] += weights[index] * share * value[n, start + row * width + column, m]
    return output.reshape(batch, queries, heads * value.shape[-1])


def backward(
    grad_output: np.ndarray,
    value: np.ndarray,
    spatial_shapes: SpatialShapes,
    locations: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients with respect to value, locations and weights, each in the shape of its tensor.

    On a whole pixel the bilinear surface has a kink; the slope taken is that of the cell to the right and below.
    """
    batch, queries, heads = weights.shape[:3]
    grad_output = grad_output.reshape(batch, queries, heads, value.shape[-1])
    grad_value, grad_locations, grad_weights = np.zeros_like(value), np.zeros_like(locations), np.zeros_like(weights)
    for index, start, height, width in _points(weights.shape, spatial_shapes):
        n, q, m, _, _ = index
        x, y = locations[index] * (width, height) - 0.5
        for row, column, share, slope_x, slope_y in corners(x, y, height, width):
            token = start + row * width + column
            gain = grad_output[n, q, m] @ value[n, token, m]  # how much the loss wants this pixel
            grad_value[n, token, m] += weights[index] * share * grad_output[n, q, m]
            grad_weights[index] += share * gain
            # x = location · width - 0.5, hence the factor of the chain rule
            grad_locations[index] += weights[index] * gain * np.array([slope_x * width, slope_y * height])
    return grad_value, grad_locations, grad_weights
