"""The operator compiled for the CPU by Numba: tensors in, tensors out, on as many threads as PyTorch uses.

The kernels (`numba_kernels.py`) release the interpreter lock and are called from a pool of Python threads, each on its
own share of the tasks. So they can be used from several threads at once and after a fork, which Numba's own threads
cannot. Every number is written by one task alone and summed in a fixed order: with the same number of threads the
result is the same to the last bit. (So it is with any number, unless images times heads are fewer than threads: then
`backward` takes each level by itself, and the compiler rounds the shares of few samples otherwise than of many.)
"""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from defdetr_ref.ops.numba_kernels import QUERIES_PER_TASK, kernels, row_width
from defdetr_ref.ops.numba_simd import CACHE_LINE
from defdetr_ref.positions import SpatialShapes

TILE = 16  # queries a side: a tile's neighbours read the same pixels, which then are still in the cache
SERIAL_NUMBERS = 2**19  # fewer numbers read than this take less time than waking other threads
SHARES_PER_THREAD = 4  # so that a thread that is held up does not hold up all


@functools.lru_cache(maxsize=64)
def query_order(spatial_shapes: tuple[tuple[int, int], ...], queries: int) -> np.ndarray:
    """The order in which queries are worked on, (Q). As many as tokens, an encoder's: tile by tile on each level."""
    if queries != sum(height * width for height, width in spatial_shapes):
        return np.arange(queries)
    order, start = [], 0
    for height, width in spatial_shapes:
        row, column = np.divmod(np.arange(height * width), width)
        order.append(start + np.lexsort((column, row, column // TILE, row // TILE)))
        start += height * width
    return np.concatenate(order)


@functools.lru_cache(maxsize=64)
def sample_sizes(spatial_shapes: tuple[tuple[int, int], ...], points: int) -> np.ndarray:
    """Width, height and first token of each sample's level, (L·K·3)."""
    starts = np.cumsum([0] + [height * width for height, width in spatial_shapes])
    levels = [(width, height, start) for (height, width), start in zip(spatial_shapes, starts, strict=False)]
    return np.repeat(np.array(levels, dtype=np.int32).reshape(-1, 3), points, axis=0).ravel()


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """One pool for each process, because a forked child inherits no threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="ms_deform_attn")


def threads_for(numbers: int) -> int:
    """How many threads are worth waking to read this many numbers."""
    return 1 if numbers < SERIAL_NUMBERS else torch.get_num_threads()


def share_out(kernel, arguments: tuple, tasks: int, threads: int) -> None:
    """Call `kernel(*arguments, first_task, last_task)` until all tasks are done."""
    if threads == 1 or tasks < 2:
        kernel(*arguments, 0, tasks)
        return
    shares = min(tasks, threads * SHARES_PER_THREAD)
    bounds = [tasks * i // shares for i in range(shares + 1)]
    pool = _pool(os.getpid(), threads)
    for future in [pool.submit(kernel, *arguments, *pair) for pair in pairwise(bounds)]:
        future.result()


STORED_AS = {torch.float16: "float16", torch.bfloat16: "bfloat16"}  # read as their bits, summed in float32


def _array(tensor: Tensor, *shape: int) -> np.ndarray:
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype in STORED_AS else tensor).numpy().reshape(shape)


def _kernels(value: Tensor):
    return kernels(row_width(value.shape[3]), STORED_AS.get(value.dtype, ""))


def _new(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros, in memory that NumPy took from the system: for large arrays it asks for large pages.

    A page that is new costs the system some microseconds, and a gather from many pages misses the table of them.
    Aligned to cache lines, as PyTorch's own memory is.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return torch.from_numpy(memory[start : start + size]).view(dtype).view(shape)


def forward(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """value (N, S, M, D), sampling_locations (N, Q, M, L, K, 2), attention_weights (N, Q, M, L, K) → (N, Q, M·D).

    float32 or float64 tensors on the CPU, all of one dtype, or float16/bfloat16 values beside float32: these are read
    as they are, without a copy, and the result is the float32 sum.
    """
    batch, queries, heads, levels, points = attention_weights.shape
    channels, shapes = value.shape[3], tuple(spatial_shapes)
    output = _new((batch, queries, heads * channels), attention_weights.dtype)
    arguments = (
        _array(value, *value.shape),
        _array(sampling_locations, batch, queries, heads, levels * points * 2),
        _array(attention_weights, batch, queries, heads, levels * points),
        sample_sizes(shapes, points),
        query_order(shapes, queries),
        output.numpy(),
    )
    threads = threads_for(attention_weights.numel() * channels)
    share_out(_kernels(value)[0], arguments, batch * heads * -(-queries // QUERIES_PER_TASK), threads)
    return output


def backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, sampling_locations and attention_weights, contiguous, each in the shape of its tensor.

    All in the dtype of the weights; grad_output: in the dtype of value.
    """
    batch, queries, heads, levels, points = attention_weights.shape
    channels, shapes = value.shape[3], tuple(spatial_shapes)
    grad_value = _new(value.shape, attention_weights.dtype)
    grad_locations = _new(sampling_locations.shape, attention_weights.dtype)
    grad_weights = _new(attention_weights.shape, attention_weights.dtype)
    places, weights = (batch, queries, heads, levels * points * 2), (batch, queries, heads, levels * points)
    threads = threads_for(attention_weights.numel() * channels)
    # Whole heads are faster; single levels give more threads something to do.
    parts = 1 if batch * heads >= threads else levels
    bounds = np.arange(parts + 1) * (levels * points // parts)
    arguments = (
        _array(grad_output, *grad_output.shape),
        _array(value, *value.shape),
        _array(sampling_locations, *places),
        _array(attention_weights, *weights),
        sample_sizes(shapes, points),
        query_order(shapes, queries),
        np.stack([bounds[:-1], bounds[1:]], axis=1),
        grad_value.numpy(),
        grad_locations.numpy().reshape(places),
        grad_weights.numpy().reshape(weights),
    )
    share_out(_kernels(value)[1], arguments, batch * heads * parts, threads)
    return grad_value, grad_locations, grad_weights
