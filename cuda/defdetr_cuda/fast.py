"""The fast kernels: a block of threads for one head and a tile of queries that are neighbours in the image.

What they do differently from `textbook.py`:
- Neighbouring queries sample overlapping pixels, so a tile finds most of its pixels in the first-level cache.
- Where to read and with which weight is worked out once for each point, not once for each channel, and left in shared
  memory ("staged"): four corners, each an offset and a share.
- A thread owns several channels of a query, a *lane*: as many as one 128-bit load brings.
- The sums over channels in the gradients are made in shared memory, each by the one thread that writes it: no atomics.

`sizes` is (tokens S, heads M, queries Q); the other counts are constants of the compiled kernel. Values may be float32,
float16 or bfloat16; locations, weights and every sum are float32. The grid counts tiles, heads and images.
"""

from numba import cuda, float32, int32, int64

from defdetr_cuda import memory
from defdetr_cuda.memory import (
    ALIGNMENT,
    advance,
    dot,
    floor,
    load4,
    load_pair,
    load_scalar,
    multiply_add,
    quotient,
    remainder,
    scaled,
    store4,
    store_float32,
    store_scalar,
    to_pixels,
)

LOAD = {"float32": memory.load_float32, "float16": memory.load_float16, "bfloat16": memory.load_bfloat16}
STORE = {"float32": store_float32, "float16": memory.store_float16, "bfloat16": memory.store_bfloat16}
ADD = {True: memory.add_vector, False: memory.add_vector_by_scalars}
ZERO, ONE = float32(0), float32(1)


@cuda.jit(device=True, inline="always")
def query_in_sequence(tile, slot, queries, tile_size):
    """Tiles of consecutive queries: a decoder's. -1 after the last."""
    query = int32(tile * tile_size + slot)
    return query if query < queries else int32(-1)


@cuda.jit(device=True, inline="always")
def query_in_pixels(tile, slot, shapes, tile_height, tile_width):
    """Tiles of an encoder's queries, which are the pixels of all levels. -1 where a tile sticks out of its level."""
    first = int32(0)
    for level in range(len(shapes) // 2):
        height, width = shapes[2 * level], shapes[2 * level + 1]
        across = quotient(width + tile_width - 1, tile_width)
        tiles = int32(quotient(height + tile_height - 1, tile_height) * across)
        if tile < tiles:
            row = int32(quotient(tile, across) * tile_height + quotient(slot, tile_width))
            column = int32(remainder(tile, across) * tile_width + remainder(slot, tile_width))
            return int32(first + row * width + column) if row < height and column < width else int32(-1)
        tile = int32(tile - tiles)
        first = int32(first + height * width)
    return int32(-1)


@cuda.jit(device=True, inline="always")
def fill_level_table(table, shapes):
    """Height, width and first token of every level, where an index is free to vary between threads."""
    first = int32(0)
    for level in range(len(shapes) // 2):
        height, width = shapes[2 * level], shapes[2 * level + 1]
        store4(table, int32(level), height, width, first, int32(0))
        first = int32(first + height * width)


@cuda.jit(device=True, inline="always")
def locate(locations, index, height, width):
    """A point in its level: left column, top row, shares of the right and lower pixels, and which of the four exist.

    A point that reads nothing, because it is too far outside or not a number, has none of the four.
    """
    u, v = load_pair(locations, int32(2 * index))
    x, y = to_pixels(u, width), to_pixels(v, height)
    seen = x > -ONE and x < float32(width) and y > -ONE and y < float32(height)
    x, y = x if seen else ZERO, y if seen else ZERO
    left, top = floor(x), floor(y)
    columns = seen and left >= 0, seen and int32(left + 1) < width
    rows = top >= 0, int32(top + 1) < height
    there = columns[0] and rows[0], columns[1] and rows[0], columns[0] and rows[1], columns[1] and rows[1]
    return left, top, x - float32(left), y - float32(top), there


@cuda.jit(device=True, inline="always")
def stage(shares, offsets, item, locations, weights, index, table, level, stride):
    """Leave a point's four corners in shared memory: weight · share, zero if outside, and where the pixel begins."""
    height, width, first_token, _ = load4(table, level)
    left, top, dx, dy, there = locate(locations, index, height, width)
    weight = load_scalar(weights, index)
    upper, lower = weight * (ONE - dy), weight * dy
    a = upper * (ONE - dx) if there[0] else ZERO
    b = upper * dx if there[1] else ZERO
    c = lower * (ONE - dx) if there[2] else ZERO
    d = lower * dx if there[3] else ZERO
    store4(shares, item, a, b, c, d)
    # An outside corner reads its neighbour instead, with a share of zero: no branch, and never out of range.
    x0, x1 = left if left > 0 else int32(0), int32(left + 1) if int32(left + 1) < width else left
    y0, y1 = top if top > 0 else int32(0), int32(top + 1) if int32(top + 1) < height else top
    upper_row, lower_row = int32(first_token + y0 * width), int32(first_token + y1 * width)
    a, b = int32(int32(upper_row + x0) * stride), int32(int32(upper_row + x1) * stride)
    c, d = int32(int32(lower_row + x0) * stride), int32(int32(lower_row + x1) * stride)
    store4(offsets, item, a, b, c, d)


def make_forward(dtype, channels, levels, points, tile, by_pixels, round_points):
    """The kernel for these constants.

    tile: (rows, columns) of queries; by_pixels: lay it on the levels' pixels, whose order the queries have
    round_points: how many points of a query are staged at a time; divides L · K
    """
    load, store = LOAD[dtype], STORE[dtype]
    per_lane = 4 if dtype == "float32" else 8
    lanes, tile_height, tile_width = channels // per_lane, *tile
    tile_size, all_points, table_size = tile_height * tile_width, levels * points, 4 * levels
    threads, items = int32(tile_size * lanes), int32(tile_size * round_points)
    staged = 4 * tile_size * round_points
    zeros = (ZERO,) * per_lane

    def forward(value, locations, weights, output, sizes, shapes):
        query_of = cuda.shared.array(tile_size, int32)
        table = cuda.shared.array(table_size, int32, ALIGNMENT)
        shares = cuda.shared.array(staged, float32, ALIGNMENT)
        offsets = cuda.shared.array(staged, int32, ALIGNMENT)
        tokens, heads, queries = sizes
        thread = int32(cuda.threadIdx.x)
        tile_number, head, image = int32(cuda.blockIdx.x), int32(cuda.blockIdx.y), int64(cuda.blockIdx.z)
        stride = int32(heads * channels)  # from a token to the next
        if thread < tile_size:
            if by_pixels:
                query_of[thread] = query_in_pixels(tile_number, thread, shapes, tile_height, tile_width)
            else:
                query_of[thread] = query_in_sequence(tile_number, thread, queries, tile_size)
        if thread == 0:
            fill_level_table(table, shapes)
        slot, lane = quotient(thread, lanes), remainder(thread, lanes)
        value = advance(value, image * tokens * stride + head * channels + lane * per_lane)
        weights = advance(weights, image * queries * heads * all_points)
        locations = advance(locations, image * queries * heads * all_points * 2)
        cuda.syncthreads()
        query = query_of[slot]
        total = zeros
        for first in range(0, all_points, round_points):
            for item in range(thread, items, threads):
                item_query, point = query_of[quotient(item, round_points)], first + remainder(item, round_points)
                if item_query >= 0:
                    index = int32(int32(item_query * heads + head) * all_points + point)
                    level = int32(quotient(point, points))
                    stage(shares, offsets, int32(item), locations, weights, index, table, level, stride)
            cuda.syncthreads()
            if query >= 0:
                for i in range(round_points):
                    item = int32(slot * round_points + i)
                    a, b, c, d = load4(shares, item)
                    i_a, i_b, i_c, i_d = load4(offsets, item)
                    total = multiply_add(a, load(value, i_a), total)
                    total = multiply_add(b, load(value, i_b), total)
                    total = multiply_add(c, load(value, i_c), total)
                    total = multiply_add(d, load(value, i_d), total)
            cuda.syncthreads()
        if query >= 0:
            output = advance(output, image * queries * stride)
            store(output, int32(query * stride + head * channels + lane * per_lane), total)

    return forward


def make_backward(dtype, channels, levels, points, tile, by_pixels, round_points, vector_reductions):
    """As `make_forward`. grad_value, float32, must be zero: it is added to; the other two gradients are written."""
    load, add = LOAD[dtype], ADD[vector_reductions]
    per_lane = 4 if dtype == "float32" else 8
    lanes, tile_height, tile_width = channels // per_lane, *tile
    tile_size, all_points, table_size = tile_height * tile_width, levels * points, 4 * levels
    threads, items = int32(tile_size * lanes), int32(tile_size * round_points)
    staged = 4 * tile_size * round_points
    gains_size = 4 * tile_size * lanes * round_points
    zeros = (ZERO,) * per_lane

    def backward(grad_output, value, locations, weights, grad_value, grad_locations, grad_weights, sizes, shapes):
        query_of = cuda.shared.array(tile_size, int32)
        table = cuda.shared.array(table_size, int32, ALIGNMENT)
        shares = cuda.shared.array(staged, float32, ALIGNMENT)
        offsets = cuda.shared.array(staged, int32, ALIGNMENT)
        gains = cuda.shared.array(gains_size, float32, ALIGNMENT)
        tokens, heads, queries = sizes
        thread = int32(cuda.threadIdx.x)
        tile_number, head, image = int32(cuda.blockIdx.x), int32(cuda.blockIdx.y), int64(cuda.blockIdx.z)
        stride = int32(heads * channels)  # from a token to the next
        if thread < tile_size:
            if by_pixels:
                query_of[thread] = query_in_pixels(tile_number, thread, shapes, tile_height, tile_width)
            else:
                query_of[thread] = query_in_sequence(tile_number, thread, queries, tile_size)
        if thread == 0:
            fill_level_table(table, shapes)
        slot, lane = quotient(thread, lanes), remainder(thread, lanes)
        first_value = image * tokens * stride + head * channels + lane * per_lane
        value, grad_value = advance(value, first_value), advance(grad_value, first_value)
        first_point = image * queries * heads * all_points
        weights, grad_weights = advance(weights, first_point), advance(grad_weights, first_point)
        locations, grad_locations = advance(locations, 2 * first_point), advance(grad_locations, 2 * first_point)
        cuda.syncthreads()
        query = query_of[slot]
        grad = zeros
        if query >= 0:
            grad_output = advance(grad_output, image * queries * stride)
            grad = load(grad_output, int32(query * stride + head * channels + lane * per_lane))
        for first in range(0, all_points, round_points):
            for item in range(thread, items, threads):
                item_query, point = query_of[quotient(item, round_points)], first + remainder(item, round_points)
                if item_query >= 0:
                    index = int32(int32(item_query * heads + head) * all_points + point)
                    level = int32(quotient(point, points))
                    stage(shares, offsets, int32(item), locations, weights, index, table, level, stride)
            cuda.syncthreads()
            if query >= 0:
                for i in range(round_points):
                    item = int32(slot * round_points + i)
                    a, b, c, d = load4(shares, item)
                    i_a, i_b, i_c, i_d = load4(offsets, item)
                    # How much the loss wants each corner, in this lane's channels.
                    store4(gains, int32(item * lanes + lane), dot(grad, load(value, i_a)), dot(grad, load(value, i_b)),
                           dot(grad, load(value, i_c)), dot(grad, load(value, i_d)))  # fmt: skip
                    if a != ZERO:
                        add(grad_value, i_a, scaled(a, grad))
                    if b != ZERO:
                        add(grad_value, i_b, scaled(b, grad))
                    if c != ZERO:
                        add(grad_value, i_c, scaled(c, grad))
                    if d != ZERO:
                        add(grad_value, i_d, scaled(d, grad))
            cuda.syncthreads()
            for item in range(thread, items, threads):
                item_query, point = query_of[quotient(item, round_points)], first + remainder(item, round_points)
                if item_query >= 0:
                    index = int32(int32(item_query * heads + head) * all_points + point)
                    level = int32(quotient(point, points))
                    finish(gains, int32(item), lanes, locations, weights, grad_locations, grad_weights,
                           index, table, level)  # fmt: skip

    return backward


@cuda.jit(device=True, inline="always")
def finish(gains, item, lanes, locations, weights, grad_locations, grad_weights, index, table, level):
    """Sum a point's gains over the lanes, and write its gradients."""
    a, b, c, d = ZERO, ZERO, ZERO, ZERO
    for i in range(lanes):
        # Each thread starts at another lane, so that a warp's reads fall into different banks of shared memory.
        e, f, g, h = load4(gains, int32(item * lanes + remainder(item + i, lanes)))
        a, b, c, d = a + e, b + f, c + g, d + h
    height, width, _, _ = load4(table, level)
    _, _, dx, dy, there = locate(locations, index, height, width)
    a, b = a if there[0] else ZERO, b if there[1] else ZERO
    c, d = c if there[2] else ZERO, d if there[3] else ZERO
    upper, lower = (ONE - dx) * a + dx * b, (ONE - dx) * c + dx * d
    weight = load_scalar(weights, index)
    store_scalar(grad_weights, index, (ONE - dy) * upper + dy * lower)
    slope_x = (ONE - dy) * (b - a) + dy * (d - c)
    store_scalar(grad_locations, int32(2 * index), weight * slope_x * float32(width))
    store_scalar(grad_locations, int32(2 * index + 1), weight * (lower - upper) * float32(height))
