"""The operator compiled for the CPU by Numba: the loops of `loops.py`, ordered for the cache and split over threads.

The kernels release the interpreter lock and are called from a pool of Python threads, each on its own share of the work,
so they can be used from several threads at once and after a fork. Every number is written by one task alone and summed
in a fixed order: the result is the same for any number of threads.

They are compiled for each number of channels, so that the innermost loops have a fixed length, and cached on disk.
"""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
import torch
from numba import njit
from torch import Tensor

# Sums may be reordered for vector registers; NaN and infinity keep their meaning.
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}
COMPILED_CHANNELS = (8, 16, 24, 32, 64)  # per head; other numbers share one kernel with loops of any length
QUERY_BLOCK = 64  # queries of a forward task: their rows stay in the first-level cache while a head is read


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def corner_rows(left, top, height, width, level_start):
    """Rows of the four pixels around a point, held inside the level, and 1 or 0 for whether each is really there."""
    x0, x1, y0, y1 = max(left, 0), min(left + 1, width - 1), max(top, 0), min(top + 1, height - 1)
    in_left, in_right, in_top, in_bottom = left >= 0, left + 1 < width, top >= 0, top + 1 < height
    upper, lower = level_start + y0 * width, level_start + y1 * width
    rows = (upper + x0, upper + x1, lower + x0, lower + x1)
    return rows, (in_top and in_left, in_top and in_right, in_bottom and in_left, in_bottom and in_right)


@no_type_check
def make_forward(channels):
    """The forward kernel for `channels` numbers a head; None: any number."""
    fixed = 0 if channels is None else channels

    @njit(nogil=True, cache=True, fastmath=FAST_MATH)
    def forward(value, shapes, locations, weights, output, first_task, last_task):
        """Tasks are (image, block of queries, head); `output` (N, Q, M, D) must be zero."""
        queries, heads, levels, points = weights.shape[1:]
        dim = fixed if fixed > 0 else value.shape[3]
        blocks = (queries + QUERY_BLOCK - 1) // QUERY_BLOCK
        real = value.dtype.type  # a plain number or an index would turn float32 into float64
        one, half = real(1), real(0.5)
        for task in range(first_task, last_task):
            n, block, m = task // (blocks * heads), task // heads % blocks, task % heads
            for q in range(block * QUERY_BLOCK, min((block + 1) * QUERY_BLOCK, queries)):
                out = output[n, q, m]
                start = 0
                for level in range(levels):
                    height, width = shapes[level, 0], shapes[level, 1]
                    for k in range(points):
                        x = locations[n, q, m, level, k, 0] * real(width) - half
                        y = locations[n, q, m, level, k, 1] * real(height) - half
                        if not (x > -1 and x < width and y > -1 and y < height):  # also false for NaN
                            continue
                        left, top = math.floor(x), math.floor(y)
                        dx, dy = x - real(left), y - real(top)
                        (r0, r1, r2, r3), inside = corner_rows(left, top, height, width, start)
                        v0, v1, v2, v3 = real(inside[0]), real(inside[1]), real(inside[2]), real(inside[3])
                        weight = weights[n, q, m, level, k]
                        w0, w1 = weight * (one - dx) * (one - dy) * v0, weight * dx * (one - dy) * v1
                        w2, w3 = weight * (one - dx) * dy * v2, weight * dx * dy * v3
                        a, b, c, d = value[n, r0, m], value[n, r1, m], value[n, r2, m], value[n, r3, m]
                        for i in range(dim):
                            out[i] += w0 * a[i] + w1 * b[i] + w2 * c[i] + w3 * d[i]
                    start += height * width

    return forward


@no_type_check
def make_backward(channels):
    """The backward kernel for `channels` numbers a head; None: any number."""
    fixed = 0 if channels is None else channels

    @njit(nogil=True, cache=True, fastmath=FAST_MATH)
    def backward(
        grad, value, shapes, locations, weights, grad_value, grad_locations, grad_weights, first_task, last_task
    ):
        """Tasks are (image, head, level): each alone owns its slices of the three gradients, which must be zero."""
        queries, heads, levels, points = weights.shape[1:]
        dim = fixed if fixed > 0 else value.shape[3]
        real = value.dtype.type
        zero, one, half = real(0), real(1), real(0.5)
        for task in range(first_task, last_task):
            n, m, level = task // (heads * levels), task // levels % heads, task % levels
            height, width = shapes[level, 0], shapes[level, 1]
            start = 0
            for finer in range(level):
                start += shapes[finer, 0] * shapes[finer, 1]
            for q in range(queries):
                g = grad[n, q, m]
                for k in range(points):
                    x = locations[n, q, m, level, k, 0] * real(width) - half
                    y = locations[n, q, m, level, k, 1] * real(height) - half
                    if not (x > -1 and x < width and y > -1 and y < height):
                        continue
                    left, top = math.floor(x), math.floor(y)
                    dx, dy = x - real(left), y - real(top)
                    (r0, r1, r2, r3), inside = corner_rows(left, top, height, width, start)
                    v0, v1, v2, v3 = real(inside[0]), real(inside[1]), real(inside[2]), real(inside[3])
                    weight = weights[n, q, m, level, k]
                    s0, s1 = (one - dx) * (one - dy) * v0, dx * (one - dy) * v1
                    s2, s3 = (one - dx) * dy * v2, dx * dy * v3
                    w0, w1, w2, w3 = weight * s0, weight * s1, weight * s2, weight * s3
                    a, b, c, d = value[n, r0, m], value[n, r1, m], value[n, r2, m], value[n, r3, m]
                    gain0, gain1, gain2, gain3 = zero, zero, zero, zero
                    for i in range(dim):
                        gain0 += g[i] * a[i]
                        gain1 += g[i] * b[i]
                        gain2 += g[i] * c[i]
                        gain3 += g[i] * d[i]
                    # One loop a row: two of the rows can be the same at a border.
                    e = grad_value[n, r0, m]
                    for i in range(dim):
                        e[i] += w0 * g[i]
                    e = grad_value[n, r1, m]
                    for i in range(dim):
                        e[i] += w1 * g[i]
                    e = grad_value[n, r2, m]
                    for i in range(dim):
                        e[i] += w2 * g[i]
                    e = grad_value[n, r3, m]
                    for i in range(dim):
                        e[i] += w3 * g[i]
                    gain0, gain1, gain2, gain3 = gain0 * v0, gain1 * v1, gain2 * v2, gain3 * v3
                    grad_weights[n, q, m, level, k] = (one - dy) * ((one - dx) * gain0 + dx * gain1) + dy * (
                        (one - dx) * gain2 + dx * gain3
                    )
                    slope_x = (one - dy) * (gain1 - gain0) + dy * (gain3 - gain2)
                    slope_y = (one - dx) * (gain2 - gain0) + dx * (gain3 - gain1)
                    grad_locations[n, q, m, level, k, 0] = weight * slope_x * real(width)
                    grad_locations[n, q, m, level, k, 1] = weight * slope_y * real(height)

    return backward


@functools.cache
def kernels(channels: int | None):
    """(forward, backward), compiled on their first call for each dtype."""
    return make_forward(channels), make_backward(channels)


def kernels_for(channels: int):
    return kernels(channels if channels in COMPILED_CHANNELS else None)


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """One pool for each process, because a forked child inherits no threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="ms_deform_attn")


def share_out(kernel, arguments: tuple, tasks: int) -> None:
    """Call `kernel(*arguments, first_task, last_task)` on as many threads as PyTorch uses."""
    threads = max(1, min(torch.get_num_threads(), tasks))
    bounds = [tasks * i // threads for i in range(threads + 1)]
    if threads == 1:
        kernel(*arguments, 0, tasks)
        return
    pool = _pool(os.getpid(), threads)
    waiting = [pool.submit(kernel, *arguments, *pair) for pair in zip(bounds[1:], bounds[2:])]
    kernel(*arguments, bounds[0], bounds[1])  # the calling thread takes the first share
    for future in waiting:
        future.result()


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def forward(
    value: Tensor, spatial_shapes: list[tuple[int, int]], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """value (N, S, M, D), sampling_locations (N, Q, M, L, K, 2), attention_weights (N, Q, M, L, K) → (N, Q, M·D).

    float32 or float64 tensors on the CPU, all of one dtype.
    """
    batch, queries, heads = attention_weights.shape[:3]
    output = value.new_zeros(batch, queries, heads, value.shape[3])
    kernel = kernels_for(value.shape[3])[0]
    shapes = np.array(spatial_shapes, dtype=np.int64)
    value_array, *arrays = _arrays(value, sampling_locations, attention_weights)
    blocks = -(-queries // QUERY_BLOCK)
    share_out(kernel, (value_array, shapes, *arrays, output.numpy()), batch * blocks * heads)
    return output.flatten(2)


def backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: list[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, sampling_locations and attention_weights, contiguous, each in the shape of its tensor."""
    inputs = (value, sampling_locations, attention_weights)
    grads = tuple(torch.zeros(tensor.shape, dtype=tensor.dtype) for tensor in inputs)
    batch, _, heads, levels = attention_weights.shape[:4]
    kernel = kernels_for(value.shape[3])[1]
    shapes = np.array(spatial_shapes, dtype=np.int64)
    grad_array, value_array, *arrays = _arrays(grad_output.unflatten(-1, (heads, value.shape[3])), *inputs)
    share_out(kernel, (grad_array, value_array, shapes, *arrays, *(grad.numpy() for grad in grads)), batch * heads * levels)
    return grads
