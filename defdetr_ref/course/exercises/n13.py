"""Exercises of notebook 13: kernels, from one read to the whole operator, run thread by thread on Numba's simulator.

Kernels see flat arrays, as memory is. `sizes` is (tokens S, heads M, channels D, queries Q, levels L, points K),
`shapes` is (H, W) of level 0, of level 1, … in a row. The grid's x counts blocks of the Q·M·D threads of one image, its
z the images.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from defdetr_cuda.trace import Case, Trace, random_case, trace
from numba import cuda, float32

from defdetr_ref.course.exercises.calling import TRIAL, Stopped, WrongAnswer, call
from defdetr_ref.course.exercises.checking import expect_close, expect_stopped
from defdetr_ref.course.exercises.exercise import Exercise

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
    yield random_case(1, 1, 1, 1, 1, [(1, 2)], seed=0)
    yield random_case(1, 3, 2, 3, 2, [(2, 5)], seed=1)
    yield _on_centres(random_case(1, 2, 1, 2, 3, [(2, 4)], seed=3))
    yield random_case(2, 3, 3, 2, 2, [(4, 3), (2, 5)], seed=2)


def _on_centres(case: Case) -> Case:
    """Each location moved to the centre of the pixel around it; exact for one level whose sides are powers of two."""
    size = np.array(case.shapes[0][::-1], np.float32)
    return replace(case, locations=(np.floor(case.locations * size) + np.float32(0.5)) / size)


def watched(kernel: Callable, blocks, threads, arrays: list[np.ndarray], *numbers, results: int = 1) -> Trace:
    """Run the answer; the last arrays are its results, and all others have to stay as they are.

    A failing thread, a race and a barrier that not all threads reach become a WrongAnswer.
    """
    before = [array.copy() for array in arrays]

    def run() -> Trace:
        return trace(kernel, blocks, threads, *arrays, *numbers)

    run.__name__ = getattr(kernel, "__name__", type(kernel).__name__)
    try:
        seen = call(run)
    finally:
        TRIAL.get().arguments = (*before, *numbers)
    for sentence in [*seen.uneven_barriers(), *seen.races()]:
        raise Stopped(f"{run.__name__}: {sentence}")
    for number, name in enumerate(list(seen.addresses)[:-results]):
        if not np.array_equal(arrays[number], before[number]):
            raise WrongAnswer(f"{run.__name__} writes into `{name}`, which it was given to read", hint="")
    return seen


def expect_results(answer: Callable, right: Callable, blocks, threads, arrays: list[np.ndarray], *numbers,
                   what: list[str], rtol: float = 1e-4) -> Trace | None:  # fmt: skip
    """The last arrays, one for each name in `what`, must become what they become by `right`. None if that fails."""
    expected = [array.copy() for array in arrays]
    try:
        trace(right, blocks, threads, *expected, *numbers)
    except Exception:  # a known mistake
        return expect_stopped(watched, answer, blocks, threads, arrays, *numbers, results=len(what))
    seen = watched(answer, blocks, threads, arrays, *numbers, results=len(what))
    for name, yours, theirs in zip(what, arrays[-len(what) :], expected[-len(what) :], strict=True):
        expect_close(yours, theirs, name, rtol=rtol)
    return seen


def expect_shared_out(seen: Trace | None, reads: int) -> None:
    """No thread does another's work: each writes one number, and reads at most so many values."""
    if seen is None:
        return
    _, value, output = ("", *list(seen.addresses)[:2])
    for kind, array, most in (("write", output, 1), ("read", value, reads)):
        (block, thread), count = max(
            seen.of_each_thread(kind, array).items(), key=lambda item: item[1], default=((0, 0), 0)
        )
        if count > most:
            raise WrongAnswer(
                f"the numbers are right, but thread {thread} of block {block} {kind}s {count} numbers of {array}, "
                f"expected {most} at most: the threads share the work",
                hint="Thread i does channel i alone.",
            )


def unset(*shape: int) -> np.ndarray:
    """A result is not zero before it is written: memory holds whatever was there."""
    return np.full(shape, 7, np.float32)


def examine_one_read(answer: Callable, right: Callable) -> None:
    height, width = 3, 5
    for channels, row, column in ((1, 0, 1), (3, 2, 0), (20, 1, 3), (33, 2, 4)):
        value = np.random.default_rng(channels).normal(size=height * width * channels).astype(np.float32)
        numbers = row, column, height, width, channels
        what = f"the pixel in row {row}, column {column} of {height} × {width} with {channels} channels"
        blocks = -(-channels // THREADS)
        seen = expect_results(answer, right, blocks, THREADS, [value, unset(channels)], *numbers, what=[what])
        expect_shared_out(seen, reads=1)


PLACES = (
    *((2.7, 1.4), (0.1, 2.9)),  # x, y in pixels: inside …
    *((3.5, -0.3), (-0.75, 1.2), (5.6, 1.8), (2.3, 3.6), (-0.4, -0.2)),  # … partly outside …
    *((-1.5, 2.0), (7.2, 4.5)),  # … and wholly …
    *((2.0, 1.0), (0.0, 0.0), (5.0, 3.0), (1.0, 1.6), (2.4, 3.0), (-1.0, 2.0)),  # … on pixel centres
)


def examine_four_reads(answer: Callable, right: Callable) -> None:
    for height, width, channels, places in ((1, 2, 1, [(0.25, 0.0)]), (4, 6, 5, PLACES)):
        value = np.random.default_rng(0).normal(size=height * width * channels).astype(np.float32)
        for place in places:
            what = f"the value at x = {place[0]}, y = {place[1]} of {height} × {width} pixels"
            arrays, numbers = [value.copy(), unset(channels)], (*place, height, width, channels)
            expect_shared_out(expect_results(answer, right, 1, THREADS, arrays, *numbers, what=[what]), reads=4)


def _examine_operator(
    answer: Callable, right: Callable, given: list[str], results: dict[str, str], empty: Callable
) -> None:
    """given, results: attributes of a case; a result has the shape of one."""
    for case in cases():
        arrays = [getattr(case, name).flatten() for name in given]
        arrays += [empty(getattr(case, like).size) for like in results.values()]
        what = [f"{name} of {case}" for name in results]
        launch = case.blocks(THREADS), THREADS
        expect_results(answer, right, *launch, arrays, *case.scalars, what=what, rtol=1e-3)


def examine_forward(answer: Callable, right: Callable) -> None:
    given = ["value", "locations", "weights"]
    _examine_operator(answer, right, given, {"the output": "grad_output"}, unset)


def examine_backward_value(answer: Callable, right: Callable) -> None:
    given = ["grad_output", "locations", "weights"]
    _examine_operator(answer, right, given, {"grad_value": "value"}, zeros)


def examine_backward_points(answer: Callable, right: Callable) -> None:
    given, results = (
        ["grad_output", "value", "locations", "weights"],
        {"grad_locations": "locations", "grad_weights": "weights"},
    )
    _examine_operator(answer, right, given, results, zeros)


def zeros(*shape: int) -> np.ndarray:
    """What is added to starts as zeros."""
    return np.zeros(shape, np.float32)


def examine_shared_sum(answer: Callable, right: Callable) -> None:
    for points, channels, sums in ((1, 1, zeros), (3, 5, unset), (2, 8, unset)):
        parts = np.random.default_rng(points).normal(size=points * channels).astype(np.float32)
        what = f"the sums over {channels} channels of {points} points"
        seen = expect_results(answer, right, points, channels, [parts, sums(points)], what=[what])
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
