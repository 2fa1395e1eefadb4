"""What a launch needs to know, worked out once for each set of sizes: the kernel, its grid, and its scalar arguments.

The same plan serves a GPU, which is given pointers, and the simulator, which is given NumPy arrays.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

from defdetr_cuda.limits import INT32_LIMIT, VECTOR_BYTES


class Sizes(NamedTuple):
    """The letters of the operator's shapes: N, S, M, D, Q, L, K."""

    batch: int
    tokens: int
    heads: int
    channels: int
    queries: int
    levels: int
    points: int


class Plan(NamedTuple):
    """One launch: `kernel` in a grid of blocks of `threads`; the grid's z counts images."""

    kernel: Callable
    pointers: tuple[str, ...]  # what each array argument holds
    grid: tuple[int, int]  # x, y: the blocks of an image
    threads: int
    scalars: tuple[tuple[int, ...], ...]  # the arguments after the arrays: tuples of int32


def sizes_overflow(sizes: Sizes) -> str | None:
    """One sentence if an index within one image would not fit into int32; None if all do."""
    counts = {
        "value": ("S · M · D", sizes.tokens * sizes.heads * sizes.channels),
        "output": ("Q · M · D", sizes.queries * sizes.heads * sizes.channels),
        "sampling_locations": ("Q · M · L · K · 2", sizes.queries * sizes.heads * sizes.levels * sizes.points * 2),
    }
    for name, (letters, count) in counts.items():
        if count > INT32_LIMIT:
            return (
                f"`{name}` has {letters} = {count} numbers in one image, more than the {INT32_LIMIT} that the CUDA "
                "kernels can index; split the queries or the heads over several calls."
            )
    return None


def blocks_of(count: int, size: int) -> int:
    return -(-count // size)


@functools.lru_cache(maxsize=256)
def textbook_plan(direction: str, dtype: str, sizes: Sizes, shapes: tuple[int, ...]) -> Plan:
    """direction: "forward" or "backward"; dtype: "float32" or "float64", of every array."""
    from defdetr_cuda import textbook

    kernel, arrays = {
        "forward": (textbook.make_forward, 4),
        "backward": (textbook.make_backward, 7),
    }[direction]
    threads = sizes.queries * sizes.heads * sizes.channels
    scalars = (sizes.tokens, sizes.heads, sizes.channels, sizes.queries, sizes.levels, sizes.points)
    grid = (blocks_of(threads, textbook.THREADS), 1)
    return Plan(_kernel(kernel, dtype), (dtype,) * arrays, grid, textbook.THREADS, (scalars, shapes))


@functools.cache
def _kernel(make: Callable, dtype: str) -> Callable:
    import numba

    return make(getattr(numba, dtype))


# Threads of a block; how many queries that makes depends on the lanes of a query.
BLOCK_THREADS = {"forward": 512, "backward": 256}
# Points of a query staged at a time, at most: more would take shared memory from the first-level cache.
ROUND_POINTS = {"forward": 8, "backward": 4}
SEQUENCE_TILE = 16  # queries; small, because a decoder has few queries and a GPU many processors
TILES = ((8, 8), (4, 8), (4, 4), (2, 4), (2, 2))  # largest first; a square has the most neighbours in common
MAX_LANES = min(BLOCK_THREADS.values()) // math.prod(TILES[-1])  # threads that share a query, in the smallest tile
PER_LANE = {"float32": VECTOR_BYTES // 4, "float16": VECTOR_BYTES // 2, "bfloat16": VECTOR_BYTES // 2}  # channels
STORED_AS = {"float32": "float32", "float16": "uint16", "bfloat16": "uint16"}


def choose_tile(direction: str, lanes: int, by_pixels: bool) -> tuple[int, int]:
    """Rows and columns of the tile of queries for a block."""
    fitting = [tile for tile in TILES if tile[0] * tile[1] * lanes <= BLOCK_THREADS[direction]]
    height, width = fitting[0]
    return (height, width) if by_pixels else (1, min(height * width, SEQUENCE_TILE))


def divisor_up_to(number: int, limit: int) -> int:
    return max(i for i in range(1, limit + 1) if number % i == 0)


@functools.lru_cache(maxsize=256)
def fast_plan(
    direction: str,
    dtype: str,
    sizes: Sizes,
    shapes: tuple[int, ...],
    *,
    vector_reductions: bool = True,
    tile: tuple[int, int] | None = None,
) -> Plan:
    """dtype: of the values; vector_reductions: whether the GPU adds four numbers in memory at once."""
    by_pixels = sizes.queries == sizes.tokens  # an encoder's queries are the pixels, in their order
    tile = tile or choose_tile(direction, sizes.channels // PER_LANE[dtype], by_pixels)
    round_points = divisor_up_to(sizes.levels * sizes.points, ROUND_POINTS[direction])
    constants = (dtype, sizes.channels, sizes.levels, sizes.points, tile, by_pixels, round_points)
    stored = STORED_AS[dtype]
    if direction == "forward":
        kernel, pointers = _fast_forward(*constants), (stored, "float32", "float32", stored)
    else:
        kernel, pointers = _fast_backward(*constants, vector_reductions), (stored, stored) + ("float32",) * 5
    tiles = _tiles_of_levels(shapes, tile) if by_pixels else blocks_of(sizes.queries, tile[0] * tile[1])
    threads = tile[0] * tile[1] * (sizes.channels // PER_LANE[dtype])
    scalars = (sizes.tokens, sizes.heads, sizes.queries)
    return Plan(kernel, pointers, (tiles, sizes.heads), threads, (scalars, shapes))


def _tiles_of_levels(shapes: tuple[int, ...], tile: tuple[int, int]) -> int:
    pairs = zip(shapes[::2], shapes[1::2], strict=True)
    return sum(blocks_of(height, tile[0]) * blocks_of(width, tile[1]) for height, width in pairs)


@functools.cache
def _fast_forward(*constants) -> Callable:
    from defdetr_cuda import fast

    return fast.make_forward(*constants)


@functools.cache
def _fast_backward(*constants) -> Callable:
    from defdetr_cuda import fast

    return fast.make_backward(*constants)
