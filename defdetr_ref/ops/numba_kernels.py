"""The loops of `loops.py`, compiled for the CPU: ordered for the cache and for vector registers.

For each query and head, three steps:

1. *stage*: for all its L·K samples at once, which four pixels are read and with what shares. No branches, so that the
   compiler works on many samples in one instruction.
2. *rows*: read those pixels. A row of D channels is one vector (`numba_simd.py`); the sum stays in registers.
3. backward only, *finish*: from how much each pixel would gain to the gradients of location and weight, again for all
   samples at once.

A sample has two numbers in `locations` (x, y), three in `sizes` (width, height and first token of its level) and four
in the arrays for its corners: upper left, upper right, lower left, lower right.
"""

import functools
from typing import no_type_check

import numpy as np
from numba import njit

from defdetr_ref.ops.numba_simd import FAST_MATH, add_scaled, dot, load, prefetch, store, zeros

JIT = {"nogil": True, "cache": True, "fastmath": set(FAST_MATH), "error_model": "numpy"}
WIDTHS = (64, 32, 24, 16, 8, 4, 2, 1)  # channels in one row; more channels are read in several rows
QUERIES_PER_TASK = 64  # queries of a forward task
PREFETCH_DISTANCE = 4  # queries staged at once: their pixels are asked for while others are summed
OUT_OF_REACH = np.int32(-1)


def row_width(channels: int) -> int:
    """The widest row that divides the channels of a head; 1, a plain loop, for odd numbers."""
    return next(width for width in WIDTHS if channels % width == 0)


@njit(inline="always", **JIT)
@no_type_check
def along_axis(location, size):
    """The two pixels beside a point on one axis of `size` pixels.

    Returns (lower pixel, upper pixel, their shares, the slopes of the shares, whether the point reaches the map). A
    pixel outside has share and slope zero, and the index of the one inside.
    """
    real = type(location)
    zero, one, last = real(0), real(1), real(size) - real(1)
    position = location * real(size) - real(0.5)
    reaches = (position > -one) & (position < real(size))  # also false for NaN
    position = position if reaches else zero
    lower = np.floor(position)
    upper_share = position - lower
    low_there, high_there = lower >= zero, lower < last
    return (
        np.int32(max(lower, zero)),
        np.int32(min(lower + one, last)),
        one - upper_share if low_there else zero,
        upper_share if high_there else zero,
        -one if low_there else zero,
        one if high_there else zero,
        reaches,
    )


@njit(**JIT)
@no_type_check
def stage(locations, weights, sizes, pixels, shares):
    """Fill `pixels`, the tokens at the four corners of each sample, and `shares`, their weights in the sum."""
    for s in range(weights.shape[0]):
        width, height, start = sizes[3 * s], sizes[3 * s + 1], sizes[3 * s + 2]
        left, right, left_share, right_share, _, _, in_x = along_axis(locations[2 * s], width)
        top, bottom, top_share, bottom_share, _, _, in_y = along_axis(locations[2 * s + 1], height)
        upper, lower = np.int32(start + top * width), np.int32(start + bottom * width)
        pixels[4 * s] = upper + left if in_x & in_y else OUT_OF_REACH
        pixels[4 * s + 1] = upper + right
        pixels[4 * s + 2] = lower + left
        pixels[4 * s + 3] = lower + right
        shares[4 * s] = weights[s] * top_share * left_share
        shares[4 * s + 1] = weights[s] * top_share * right_share
        shares[4 * s + 2] = weights[s] * bottom_share * left_share
        shares[4 * s + 3] = weights[s] * bottom_share * right_share


@njit(**JIT)
@no_type_check
def finish(locations, weights, sizes, gains, grad_locations, grad_weights):
    """From `gains`, the loss's slope with each corner's share, to the gradients of a sample's location and weight."""
    real = weights.dtype.type
    for s in range(weights.shape[0]):
        width, height = sizes[3 * s], sizes[3 * s + 1]
        _, _, left_share, right_share, left_slope, right_slope, _ = along_axis(locations[2 * s], width)
        _, _, top_share, bottom_share, top_slope, bottom_slope, _ = along_axis(locations[2 * s + 1], height)
        a, b, c, d = gains[4 * s], gains[4 * s + 1], gains[4 * s + 2], gains[4 * s + 3]
        top, bottom = left_share * a + right_share * b, left_share * c + right_share * d
        grad_weights[s] = top_share * top + bottom_share * bottom
        # location · width - 0.5 is the position, hence the factors of the chain rule
        slope_x = top_share * (left_slope * a + right_slope * b) + bottom_share * (left_slope * c + right_slope * d)
        grad_locations[2 * s] = weights[s] * real(width) * slope_x
        grad_locations[2 * s + 1] = weights[s] * real(height) * (top_slope * top + bottom_slope * bottom)


@no_type_check
def make_forward(width, stored_as):
    @njit(**JIT)
    def forward(value, locations, weights, sizes, order, output, first_task, last_task):
        """Tasks are (image, head, run of queries of `order`)."""
        _, tokens, heads, channels = value.shape
        queries, samples = weights.shape[1], weights.shape[3]
        runs = (queries + QUERIES_PER_TASK - 1) // QUERIES_PER_TASK
        pixels = np.empty((PREFETCH_DISTANCE, 4 * samples), np.int32)
        shares = np.empty((PREFETCH_DISTANCE, 4 * samples), weights.dtype)
        for task in range(first_task, last_task):
            n, m, run = task // (heads * runs), task // runs % heads, task % runs
            head = (n * tokens * heads + m) * channels
            last = min((run + 1) * QUERIES_PER_TASK, queries)
            for first in range(run * QUERIES_PER_TASK, last, PREFETCH_DISTANCE):
                for j in range(min(PREFETCH_DISTANCE, last - first)):
                    q = order[first + j]
                    stage(locations[n, q, m], weights[n, q, m], sizes, pixels[j], shares[j])
                    for pixel in pixels[j]:
                        prefetch(value, head + max(pixel, 0) * heads * channels, width)
                for j in range(min(PREFETCH_DISTANCE, last - first)):
                    out = ((n * queries + order[first + j]) * heads + m) * channels
                    for channel in range(0, channels, width):
                        upper, lower = zeros(weights, width), zeros(weights, width)  # two sums, to wait less for each
                        for s in range(0, 4 * samples, 4):
                            if pixels[j, s] == OUT_OF_REACH:
                                continue
                            for i in range(s, s + 2):
                                row = load(value, head + pixels[j, i] * heads * channels + channel, width, stored_as)
                                upper = add_scaled(upper, shares[j, i], row)
                                row = load(
                                    value, head + pixels[j, i + 2] * heads * channels + channel, width, stored_as
                                )
                                lower = add_scaled(lower, shares[j, i + 2], row)
                        store(output, out + channel, add_scaled(upper, weights.dtype.type(1), lower))

    return forward


@no_type_check
def make_backward(width, stored_as):
    @njit(**JIT)
    def backward(
        grad_output, value, locations, weights, sizes, order, parts,
        grad_value, grad_locations, grad_weights, first_task, last_task,
    ):  # fmt: skip
        """Tasks are (image, head, part of the samples): each alone owns its slices of the three gradients.

        A part is a whole number of levels: first sample, last sample + 1. `grad_value` must be zero.
        """
        _, tokens, heads, channels = value.shape
        queries, samples = weights.shape[1], weights.shape[3]
        pixels, shares = np.empty(4 * samples, np.int32), np.empty(4 * samples, weights.dtype)
        gains = np.empty(4 * samples, weights.dtype)
        for task in range(first_task, last_task):
            n, m, part = task // (heads * len(parts)), task // len(parts) % heads, task % len(parts)
            begin, end = parts[part]
            part_sizes = sizes[3 * begin : 3 * end]
            head = (n * tokens * heads + m) * channels
            for q in order:
                places, part_weights = locations[n, q, m, 2 * begin : 2 * end], weights[n, q, m, begin:end]
                stage(places, part_weights, part_sizes, pixels, shares)
                out = ((n * queries + q) * heads + m) * channels
                gains[:] = 0
                for channel in range(0, channels, width):
                    grad = load(grad_output, out + channel, width, stored_as)
                    for s in range(0, 4 * (end - begin), 4):
                        if pixels[s] == OUT_OF_REACH:
                            continue
                        for i in range(s, s + 4):
                            row = head + pixels[i] * heads * channels + channel
                            gains[i] += dot(grad, load(value, row, width, stored_as))
                            total = load(grad_value, row, width, "")
                            store(grad_value, row, add_scaled(total, shares[i], grad))
                grad_places = grad_locations[n, q, m, 2 * begin : 2 * end]
                finish(places, part_weights, part_sizes, gains, grad_places, grad_weights[n, q, m, begin:end])

    return backward


@functools.cache
def kernels(width: int, stored_as: str):
    """(forward, backward) for rows of `width` channels, compiled on their first call for each dtype.

    stored_as: "float16" or "bfloat16" if value and grad_output are bits of these (uint16) beside float32; else ""
    """
    return make_forward(width, stored_as), make_backward(width, stored_as)
