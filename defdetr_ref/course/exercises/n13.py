"""Exercises of notebook 13: kernels, from one read to the whole operator, run thread by thread on Numba's simulator.

Kernels see flat arrays, as memory is. `sizes` is (tokens S, heads M, channels D, queries Q, levels L, points K),
`shapes` is (H, W) of level 0, of level 1, … in a row. The grid's x counts blocks of the Q·M·D threads of one image, its
z the images.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from defdetr_cuda.trace import Case, Trace, random_case, trace
from numba import cuda, float32

from defdetr_ref.course.exercises.checking import WrongAnswer, call, expect_close
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.ops import loops

THREADS = 16  # in a block; a whole number of blocks is always a few threads more than there are numbers


def one_read(value, output, row, column, height, width, channels):
    """value (H, W, C) flat. Thread i puts channel i of the pixel (row, column) into output[i]."""
    thread = cuda.grid(1)
    if thread < channels:
        output[thread] = value[(row * width + column) * channels + thread]


def four_reads(value, output, x, y, height, width, channels):
    """value (H, W, C) flat; x, y in pixels. Thread i puts channel i of the bilinear value there into output[i]."""
    thread = cuda.grid(1)
    if thread >= channels:
        return
    left, top = math.floor(x), math.floor(y)
    total = 0.0
    for row in range(top, top + 2):
        for column in range(left, left + 2):
            if 0 <= row < height and 0 <= column < width:
                share = (1 - abs(x - column)) * (1 - abs(y - row))
                total += share * value[(row * width + column) * channels + thread]
    output[thread] = total


def forward(value, locations, weights, output, sizes, shapes):
    """A thread is one (query, head, channel); it adds up its channel over all levels and points."""
    tokens, heads, channels, queries, levels, points = sizes
    image, thread = cuda.blockIdx.z, cuda.grid(1)
    if thread >= queries * heads * channels:
        return
    query_head, channel = thread // channels, thread % channels
    head = query_head % heads
    at = (image * queries * heads + query_head) * levels * points  # its first point
    start, total = image * tokens, 0.0
    for level in range(levels):
        height, width = shapes[2 * level], shapes[2 * level + 1]
        for _ in range(points):
            x, y = locations[2 * at] * width - 0.5, locations[2 * at + 1] * height - 0.5
            left, top, weight = math.floor(x), math.floor(y), weights[at]
            for row in range(top, top + 2):
                for column in range(left, left + 2):
                    if 0 <= row < height and 0 <= column < width:
                        share = (1 - abs(x - column)) * (1 - abs(y - row))
                        token = start + row * width + column
                        total += weight * share * value[(token * heads + head) * channels + channel]
            at += 1
        start += height * width
    output[image * queries * heads * channels + thread] = total


def backward_value(grad_output, locations, weights, grad_value, sizes, shapes):
    """The same thread gives its number of grad_output back to every pixel that it read."""
    tokens, heads, channels, queries, levels, points = sizes
    image, thread = cuda.blockIdx.z, cuda.grid(1)
    if thread >= queries * heads * channels:
        return
    query_head, channel = thread // channels, thread % channels
    head = query_head % heads
    at = (image * queries * heads + query_head) * levels * points
    start = image * tokens
    grad = grad_output[image * queries * heads * channels + thread]
    for level in range(levels):
        height, width = shapes[2 * level], shapes[2 * level + 1]
        for _ in range(points):
            x, y = locations[2 * at] * width - 0.5, locations[2 * at + 1] * height - 0.5
            left, top, weight = math.floor(x), math.floor(y), weights[at]
            for row in range(top, top + 2):
                for column in range(left, left + 2):
                    if 0 <= row < height and 0 <= column < width:
                        share = (1 - abs(x - column)) * (1 - abs(y - row))
                        token = start + row * width + column
                        cuda.atomic.add(grad_value, (token * heads + head) * channels + channel, grad * weight * share)
            at += 1
        start += height * width


def backward_points(grad_output, value, locations, weights, grad_locations, grad_weights, sizes, shapes):
    """The same thread adds its channel's part to the gradients of every location and weight that it used."""
    tokens, heads, channels, queries, levels, points = sizes
    image, thread = cuda.blockIdx.z, cuda.grid(1)
    if thread >= queries * heads * channels:
        return
    query_head, channel = thread // channels, thread % channels
    head = query_head % heads
    at = (image * queries * heads + query_head) * levels * points
    start = image * tokens
    grad = grad_output[image * queries * heads * channels + thread]
    for level in range(levels):
        height, width = shapes[2 * level], shapes[2 * level + 1]
        for _ in range(points):
            x, y = locations[2 * at] * width - 0.5, locations[2 * at + 1] * height - 0.5
            left, top, weight = math.floor(x), math.floor(y), weights[at]
            sample, slope_x, slope_y = 0.0, 0.0, 0.0
            for row in range(top, top + 2):
                for column in range(left, left + 2):
                    if 0 <= row < height and 0 <= column < width:
                        number = value[((start + row * width + column) * heads + head) * channels + channel]
                        share_x, share_y = 1 - abs(x - column), 1 - abs(y - row)
                        sample += share_x * share_y * number
                        slope_x += (1 if column > left else -1) * share_y * number
                        slope_y += (1 if row > top else -1) * share_x * number
            cuda.atomic.add(grad_weights, at, grad * sample)
            cuda.atomic.add(grad_locations, 2 * at, grad * weight * slope_x * width)
            cuda.atomic.add(grad_locations, 2 * at + 1, grad * weight * slope_y * height)
            at += 1
        start += height * width


def shared_sum(parts, sums):
    """parts (points, channels) flat; a block is a point, a thread a channel. sums[point] = Σ channels, no atomics."""
    staged = cuda.shared.array(32, float32)
    thread, channels = cuda.threadIdx.x, cuda.blockDim.x
    staged[thread] = parts[cuda.blockIdx.x * channels + thread]
    cuda.syncthreads()
    if thread == 0:
        total = float32(0)
        for channel in range(channels):
            total += staged[channel]
        sums[cuda.blockIdx.x] = total


def cases() -> Iterator[Case]:
    yield random_case(1, 3, 2, 3, 2, [(2, 5)], seed=1)
    yield random_case(2, 3, 3, 2, 2, [(4, 3), (2, 3)], seed=2)


def watched(kernel: Callable, blocks, threads, *arguments) -> Trace:
    """Run the answer; a failing thread, a race and a barrier that not all threads reach become a WrongAnswer."""

    def run() -> Trace:
        return trace(kernel, blocks, threads, *arguments)

    run.__name__ = getattr(kernel, "__name__", type(kernel).__name__)
    seen = call(run)
    for sentence in [*seen.uneven_barriers(), *seen.races()]:
        raise WrongAnswer(f"{run.__name__}: {sentence}")
    return seen


def examine_one_read(answer: Callable) -> None:
    height, width = 3, 5
    for channels, row, column in ((20, 1, 3), (3, 2, 0), (33, 2, 4)):
        value = np.random.default_rng(channels).normal(size=(height, width, channels)).astype(np.float32)
        output = np.zeros(channels, np.float32)
        blocks = -(-channels // THREADS)
        watched(answer, blocks, THREADS, value.ravel(), output, row, column, height, width, channels)
        what = f"the pixel in row {row}, column {column} of {height} × {width} with {channels} channels"
        expect_close(output, value[row, column], what)


PLACES = (
    *((2.7, 1.4), (0.1, 2.9)),  # x, y in pixels: inside …
    *((3.5, -0.3), (-0.75, 1.2), (5.6, 1.8), (2.3, 3.6), (-0.4, -0.2)),  # … partly outside …
    *((-1.5, 2.0), (7.2, 4.5)),  # … and wholly
)


def examine_four_reads(answer: Callable) -> None:
    height, width, channels = 4, 6, 5
    value = np.random.default_rng(0).normal(size=(height, width, channels)).astype(np.float32)
    for x, y in PLACES:
        output, expected = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
        for row, column, share, _, _ in loops.corners(x, y, height, width):
            expected += np.float32(share) * value[row, column]
        watched(answer, 1, THREADS, value.ravel(), output, x, y, height, width, channels)
        expect_close(output, expected, f"the value at x = {x}, y = {y} of {height} × {width} pixels")


def examine_forward(answer: Callable) -> None:
    for case in cases():
        output = np.zeros_like(case.grad_output)
        arrays = [array.ravel() for array in (case.value, case.locations, case.weights, output)]
        watched(answer, case.blocks(THREADS), THREADS, *arrays, *case.scalars)
        expected = loops.forward(case.value, case.shapes, case.locations, case.weights)
        expect_close(output, expected, f"the output of {case}")


def examine_backward_value(answer: Callable) -> None:
    for case in cases():
        grad_value = np.zeros_like(case.value)
        arrays = [array.ravel() for array in (case.grad_output, case.locations, case.weights, grad_value)]
        watched(answer, case.blocks(THREADS), THREADS, *arrays, *case.scalars)
        expected = loops.backward(case.grad_output, case.value, case.shapes, case.locations, case.weights)[0]
        expect_close(grad_value, expected, f"grad_value of {case}")


def examine_backward_points(answer: Callable) -> None:
    for case in cases():
        given = (case.grad_output, case.value, case.locations, case.weights)
        gradients = np.zeros_like(case.locations), np.zeros_like(case.weights)
        arrays = [array.ravel() for array in (*given, *gradients)]
        watched(answer, case.blocks(THREADS), THREADS, *arrays, *case.scalars)
        expected = loops.backward(case.grad_output, case.value, case.shapes, case.locations, case.weights)[1:]
        for name, yours, right in zip(("grad_locations", "grad_weights"), gradients, expected, strict=True):
            expect_close(yours, right, f"{name} of {case}", rtol=1e-3)


def examine_shared_sum(answer: Callable) -> None:
    for points, channels in ((3, 5), (2, 8)):
        parts = np.random.default_rng(points).normal(size=(points, channels)).astype(np.float32)
        sums = np.zeros(points, np.float32)
        seen = watched(answer, points, channels, parts.ravel(), sums)
        expect_close(sums, parts.sum(1), f"the sums over {channels} channels of {points} points")
        if seen.select("atomic", shared=False):
            raise WrongAnswer("the sums are right, but made by atomics, of which this puzzle wants none")
        most = max(seen.of_each_thread("read", shared=False).values())
        if most > 1:
            raise WrongAnswer(f"the sums are right, but one thread reads global memory {most} times, expected once")


ONE_READ = Exercise(
    "13-one-read",
    one_read,
    examine_one_read,
    hint="The channels of a pixel lie side by side, then come those of the next column; some threads have no channel.",
)
FOUR_READS = Exercise(
    "13-four-reads",
    four_reads,
    examine_four_reads,
    hint="Test row and column, each against both ends, before you read; math.floor, not int, goes down below zero.",
)
FORWARD = Exercise(
    "13-forward",
    forward,
    examine_forward,
    hint="thread = (query · M + head) · D + channel; x = location · W - 0.5; a level begins where the last one ended.",
)
BACKWARD_VALUE = Exercise(
    "13-backward-value",
    backward_value,
    examine_backward_value,
    hint="What was read with weight · share gets grad · weight · share, by cuda.atomic.add(array, index, amount).",
)
BACKWARD_POINTS = Exercise(
    "13-backward-points",
    backward_points,
    examine_backward_points,
    hint="D threads share a location and a weight; x = location · W - 0.5, so a factor W comes in by the chain rule.",
)
SHARED_SUM = Exercise(
    "13-shared-sum",
    shared_sum,
    examine_shared_sum,
    hint="Each thread stores its part in shared memory; cuda.syncthreads(), for all threads; then one thread adds up.",
)
