"""Mistakes that a learner may make in notebook 13; test_course.py shows that each is refused."""

import inspect
import math
import re

import numpy as np
import pytest
from numba import cuda, float32, float64, int64, types

from defdetr_ref.course import exercises
from defdetr_ref.course.exercises import n13
from defdetr_ref.ops import loops
from tests.course.exercises import three_ways
from tests.cuda_kernels.assembly import why_no_ptx


def reading(*, guard=lambda thread, channels: thread < channels, index=None, to=lambda thread: thread):
    """`one_read` with one thing done otherwise."""
    index = index or (lambda row, column, height, width, channels, thread: (row * width + column) * channels + thread)

    def one_read(value, output, row, column, height, width, channels):
        thread = cuda.grid(1)
        if guard(thread, channels):
            output[to(thread)] = value[index(row, column, height, width, channels, thread)]

    return one_read


def number_in_block(value, output, row, column, height, width, channels):
    thread = cuda.threadIdx.x
    if thread < channels:
        output[thread] = value[(row * width + column) * channels + thread]


def every_thread_reads_all(value, output, row, column, height, width, channels):
    for channel in range(channels):
        output[channel] = value[(row * width + column) * channels + channel]


def one_thread_does_all(value, output, row, column, height, width, channels):
    if cuda.grid(1) == 0:
        for channel in range(channels):
            output[channel] = value[(row * width + column) * channels + channel]


def whole_map_is_read(value, output, row, column, height, width, channels):
    thread = cuda.grid(1)
    if thread < channels:
        for pixel in range(height * width):
            number = value[pixel * channels + thread]
            if pixel == row * width + column:
                output[thread] = number


def adds_to_the_output(value, output, row, column, height, width, channels):
    thread = cuda.grid(1)
    if thread < channels:
        output[thread] += value[(row * width + column) * channels + thread]


def zeroes_the_map(value, output, row, column, height, width, channels):
    thread = cuda.grid(1)
    if thread < channels:
        output[thread] = value[(row * width + column) * channels + thread]
        value[(row * width + column) * channels + thread] = 0.0


def float_index(value, output, row, column, height, width, channels):
    thread = cuda.grid(1)
    if thread < channels:
        output[thread] = value[(row * width + column) * channels / 1 + thread]


ONE_READ_MISTAKES = {
    "no guard": reading(guard=lambda thread, channels: True),
    "guard one too far": reading(guard=lambda thread, channels: thread <= channels),
    "last channel forgotten": reading(guard=lambda thread, channels: thread < channels - 1),
    "number in the block instead of the grid": number_in_block,
    "row and column swapped": reading(index=lambda r, c, h, w, channels, thread: (c * w + r) * channels + thread),
    "height for width": reading(index=lambda r, c, h, w, channels, thread: (r * h + c) * channels + thread),
    "planes (C, H, W)": reading(index=lambda r, c, h, w, channels, thread: (thread * h + r) * w + c),
    "distance of pixels forgotten": reading(index=lambda r, c, h, w, channels, thread: r * w + c + thread),
    "all write to one number": reading(to=lambda thread: 0),
    "channels backwards, by a negative index": reading(to=lambda thread: -thread),
    "every thread reads all channels": every_thread_reads_all,
    "an index that is a float": float_index,
    "one thread does everything": one_thread_does_all,
    "the whole map is read": whole_map_is_read,
    "output +=": adds_to_the_output,
    "zeroes the map": zeroes_the_map,
}


def between(
    *,
    ceil=False,
    all_pixels=False,
    add=False,
    zero=False,
    swap=False,
    floor=math.floor,
    inside=None,
    clamp=False,
    share=None,
    shift=0.0,
    guard=True,
    back=False,
):
    """`four_reads` with one thing done otherwise."""
    inside = inside or (lambda row, column, height, width: 0 <= row < height and 0 <= column < width)
    share = share or (lambda dx, dy: (1 - abs(dx)) * (1 - abs(dy)))

    def four_reads(value, output, x, y, height, width, channels):
        thread = cuda.grid(1)
        if guard and thread >= channels:
            return
        if swap:
            x, y = y, x
        x, y = x - shift, y - shift
        left, top = floor(x), floor(y)
        total = 0.0
        rows, columns = range(top, top + 2), range(left, left + 2)
        if ceil:
            rows, columns = (top, math.ceil(y)), (left, math.ceil(x))
        if all_pixels:
            for number in range(height * width):
                value[number * channels + thread]
        for row in rows:
            for column in columns:
                near_row, near_column = row, column
                if clamp:
                    near_row, near_column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
                if clamp or inside(row, column, height, width):
                    number = value[(near_row * width + near_column) * channels + thread]
                    total += share(x - column, y - row) * number
        output[thread] = output[thread] + total if add else total
        if zero:
            value[thread] = 0.0

    return four_reads


def one_thread_reads_four(value, output, x, y, height, width, channels):
    if cuda.grid(1) > 0:
        return
    for channel in range(channels):
        total = 0.0
        for row in range(math.floor(y), math.floor(y) + 2):
            for column in range(math.floor(x), math.floor(x) + 2):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(x - column)) * (1 - abs(y - row))
                    total += share * value[(row * width + column) * channels + channel]
        output[channel] = total


def forgets_to_store(value, output, x, y, height, width, channels):
    for corner in range(4):
        value[corner]


FOUR_READS_MISTAKES = {
    "x and y swapped": between(swap=True),
    "height and width swapped in the border": between(inside=lambda row, col, h, w: 0 <= row < w and 0 <= col < h),
    "no border": between(inside=lambda row, column, h, w: True),
    "negative indices read": between(inside=lambda row, column, h, w: row < h and column < w),
    "columns run on into the next row": between(inside=lambda row, column, h, w: 0 <= row < h),
    "border clamped": between(clamp=True),
    "int() instead of floor": between(floor=int),
    "shares mixed up": between(share=lambda dx, dy: abs(dx) * abs(dy)),
    "plain mean": between(share=lambda dx, dy: 0.25),
    "half a pixel subtracted": between(shift=0.5),
    "missing guard": between(guard=False),
    "nothing stored": forgets_to_store,
    "ceil instead of floor + 1": between(ceil=True),
    "the whole map is read": between(all_pixels=True),
    "one thread does everything": one_thread_reads_four,
    "output +=": between(add=True),
    "zeroes the map": between(zero=True),
}


def walk(visit, finish=None, *, swap=False, half=0.5, turned=False, guard=True, clamp=False, first_level=False,
         own_image=True, head_of=None, by_block=False, points_first=False, heads_last=False):  # fmt: skip
    """The loops of a kernel with one thing done otherwise; visit(…) is called at each of the four pixels."""

    def run(locations, weights, sizes, shapes):
        tokens, heads, channels, queries, levels, points = sizes
        image, thread = cuda.blockIdx.z if own_image else 0, cuda.threadIdx.x if by_block else cuda.grid(1)
        if guard and thread >= queries * heads * channels:
            return
        query_head, channel = thread // channels, thread % channels
        head = query_head % heads
        if heads_last:  # thread = (query · D + channel) · M + head
            head, channel = thread % heads, thread // heads % channels
            query_head = thread // (heads * channels) * heads + head
        start = image * tokens
        state = {"total": 0.0, "thread": image * queries * heads * channels + thread}
        for level in range(levels):
            height, width = shapes[2 * level], shapes[2 * level + 1]
            if turned:
                height, width = width, height
            for point in range(points):
                at = (image * queries * heads + query_head) * levels * points
                at += point * levels + level if points_first else level * points + point
                u, v = locations[2 * at], locations[2 * at + 1]
                x, y = (v * width, u * height) if swap else (u * width, v * height)
                x, y = x - half, y - half
                left, top, weight = math.floor(x), math.floor(y), weights[at]
                for row in range(top, top + 2):
                    for column in range(left, left + 2):
                        near = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
                        if clamp or near == (row, column):
                            token = start + near[0] * width + near[1]
                            index = (token * heads + (head if head_of is None else head_of)) * channels + channel
                            dx, dy = x - column, y - row
                            visit(state, index, at, weight, dx, dy, (column > left, row > top), (height, width))
                if finish:
                    finish(state, at, weight, (height, width))
            start += 0 if first_level else height * width
        return state

    return run


def share_of(dx, dy):
    return (1 - abs(dx)) * (1 - abs(dy))


def forwards(*, weighed=True, add=False, zero=False, share=share_of, store=lambda thread: thread, **otherwise):
    def forward(value, locations, weights, output, sizes, shapes):
        def visit(state, index, at, weight, dx, dy, far, size):
            state["total"] += (weight if weighed else 1) * share(dx, dy) * value[index]

        state = walk(visit, **otherwise)(locations, weights, sizes, shapes)
        if state:
            at = store(state["thread"])
            output[at] = output[at] + state["total"] if add else state["total"]
            if zero:
                weights[0] = 0.0

    return forward


SHARED_MISTAKES = {
    "x and y swapped": {"swap": True},
    "height and width swapped": {"turned": True},
    "no -0.5": {"half": 0.0},
    "border clamped": {"clamp": True},
    "missing guard": {"guard": False},
    "every level begins at the first token": {"first_level": True},
    "always the first head": {"head_of": 0},
    "always the first image": {"own_image": False},
    "number in the block instead of the grid": {"by_block": True},
    "points before levels": {"points_first": True},
    "thread = (query, channel, head)": {"heads_last": True},
    "shares mixed up": {"share": lambda dx, dy: abs(dx) * abs(dy)},
}


FORWARD_MISTAKES = {name: forwards(**otherwise) for name, otherwise in SHARED_MISTAKES.items()} | {
    "weights forgotten": forwards(weighed=False),
    "all threads write to one number": forwards(store=lambda thread: 0),
    "output +=": forwards(add=True),
    "zeroes a weight": forwards(zero=True),
}


def atomically(array, index, amount):
    cuda.atomic.add(array, index, amount)


def plainly(array, index, amount):
    array[index] += amount


def storing(array, index, amount):
    array[index] = amount


def backwards_value(*, add=atomically, weighed=True, share=share_of, of=lambda thread: thread, **otherwise):
    def backward_value(grad_output, locations, weights, grad_value, sizes, shapes):
        def visit(state, index, at, weight, dx, dy, far, size):
            grad = grad_output[of(state["thread"])]
            add(grad_value, index, grad * (weight if weighed else 1) * share(dx, dy))

        walk(visit, **otherwise)(locations, weights, sizes, shapes)

    return backward_value


BACKWARD_VALUE_MISTAKES = {name: backwards_value(**otherwise) for name, otherwise in SHARED_MISTAKES.items()} | {
    "plain +=": backwards_value(add=plainly),
    "stored instead of added": backwards_value(add=storing),
    "weights forgotten": backwards_value(weighed=False),
    "always the first number of grad_output": backwards_value(of=lambda thread: 0),
    "subtracted": backwards_value(add=lambda array, index, amount: atomically(array, index, -amount)),
}


def backwards_points(
    *, add=atomically, add_weight=atomically, chain=lambda height, width: (width, height), weighed=True,
    weighed_weight=False, share=share_of, sign=1, other_share=True, order=(0, 1), **otherwise,
):  # fmt: skip
    def backward_points(grad_output, value, locations, weights, grad_locations, grad_weights, sizes, shapes):
        def visit(state, index, at, weight, dx, dy, far, size):
            number = value[index]
            slope_x, slope_y = (sign if side else -sign for side in far)
            state["sample"] = state.get("sample", 0.0) + share(dx, dy) * number
            state["x"] = state.get("x", 0.0) + slope_x * (1 - abs(dy) if other_share else 1) * number
            state["y"] = state.get("y", 0.0) + slope_y * (1 - abs(dx) if other_share else 1) * number

        def finish(state, at, weight, size):
            grad = grad_output[state["thread"]]
            across, down = chain(*size)
            factor = grad * (weight if weighed else 1)
            add_weight(grad_weights, at, grad * state.pop("sample", 0.0) * (weight if weighed_weight else 1))
            add(grad_locations, 2 * at + order[0], factor * state.pop("x", 0.0) * across)
            add(grad_locations, 2 * at + order[1], factor * state.pop("y", 0.0) * down)

        walk(visit, finish, **otherwise)(locations, weights, sizes, shapes)

    return backward_points


BACKWARD_POINTS_MISTAKES = {name: backwards_points(**otherwise) for name, otherwise in SHARED_MISTAKES.items()} | {
    "plain += for the locations": backwards_points(add=plainly),
    "plain += for the weights": backwards_points(add_weight=plainly),
    "stored instead of added": backwards_points(add=storing, add_weight=storing),
    "factor W, H of the chain rule forgotten": backwards_points(chain=lambda height, width: (1, 1)),
    "factors W and H swapped": backwards_points(chain=lambda height, width: (height, width)),
    "weight forgotten in the locations' gradient": backwards_points(weighed=False),
    "weight kept in the weights' gradient": backwards_points(weighed_weight=True),
    "sign turned round": backwards_points(sign=-1),
    "share along the other axis forgotten": backwards_points(other_share=False),
    "gradients of x and y swapped": backwards_points(order=(1, 0)),
}


def summing(
    *, barrier="all", own_block=True, reads="shared", count=lambda channels: channels, who=lambda thread: thread == 0
):
    """`shared_sum` with one thing done otherwise."""

    def shared_sum(parts, sums):
        staged = cuda.shared.array(32, float32)
        thread, channels = cuda.threadIdx.x, cuda.blockDim.x
        block = cuda.blockIdx.x if own_block else 0
        staged[thread] = parts[block * channels + thread]
        if barrier == "all" or barrier == "first" and thread == 0:
            cuda.syncthreads()
        if who(thread):
            total = float32(0)
            for channel in range(count(channels)):
                total += staged[channel] if reads == "shared" else parts[block * channels + channel]
            sums[block] = total

    return shared_sum


def adds_by_atomics(parts, sums):
    point = cuda.blockIdx.x
    cuda.atomic.add(sums, point, parts[point * cuda.blockDim.x + cuda.threadIdx.x])


def adds_plainly(parts, sums):
    point = cuda.blockIdx.x
    sums[point] += parts[point * cuda.blockDim.x + cuda.threadIdx.x]


SHARED_SUM_MISTAKES = {
    "syncthreads forgotten": summing(barrier="none"),
    "syncthreads inside the if": summing(barrier="first"),
    "always the first point": summing(own_block=False),
    "thread 0 reads all from global memory": summing(reads="global"),
    "last channel forgotten": summing(count=lambda channels: channels - 1),
    "the whole shared array, with what nobody wrote": summing(count=lambda channels: 32),
    "every thread stores the sum": summing(who=lambda thread: True),
    "atomics": adds_by_atomics,
    "plain +=": adds_plainly,
}


MISTAKES = {
    "13-one-read": ONE_READ_MISTAKES,
    "13-four-reads": FOUR_READS_MISTAKES,
    "13-forward": FORWARD_MISTAKES,
    "13-backward-value": BACKWARD_VALUE_MISTAKES,
    "13-backward-points": BACKWARD_POINTS_MISTAKES,
    "13-shared-sum": SHARED_SUM_MISTAKES,
}

UNCHANGED = {
    "13-one-read": reading(),
    "13-four-reads": between(),
    "13-forward": forwards(),
    "13-backward-value": backwards_value(),
    "13-backward-points": backwards_points(),
    "13-shared-sum": summing(),
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_without_its_mistake_an_answer_is_right(name):
    """Each mistake above is this with one thing changed, so it is the change that is refused."""
    exercises.examine(exercises.find(name), UNCHANGED[name])


SENTENCES = [
    ("13-one-read", "no guard", "one_read raised IndexError: thread 1 of block 0 .* outside of output: .* 0 to 0"),
    ("13-one-read", "channels backwards, by a negative index", r"output\[-1\], which is outside"),
    ("13-four-reads", "no border", r"raised IndexError: thread 0 of block 0 reads value\[2\], which is outside"),
    ("13-backward-value", "plain +=", "use grad_value.*not by an atomic"),
    ("13-one-read", "one thread does everything", "thread 0 of block 0 writes 3 numbers of output, expected 1 at most"),
    ("13-four-reads", "the whole map is read", "thread 0 of block 0 reads 4 numbers of value, expected 4|reads 2[0-9]"),
    ("13-four-reads", "zeroes the map", "four_reads writes into `value`, which it was given to read"),
    ("13-shared-sum", "syncthreads forgotten", r"both use staged\[1\].*no barrier between"),
    ("13-shared-sum", "syncthreads inside the if", "all threads of a block must come to it"),
    ("13-shared-sum", "atomics", "made by atomics"),
]


@pytest.mark.parametrize("name, mistake, sentence", SENTENCES)
def test_what_the_learner_reads(name, mistake, sentence):
    told = three_ways.refuses(name, MISTAKES[name][mistake])
    assert re.search(sentence, told), told


def test_a_race_is_told_although_the_numbers_are_right():
    """Simulated threads take turns, so that a plain += loses nothing here."""
    case = list(n13.cases())[-1]
    results = []
    for kernel in (n13.backward_value, BACKWARD_VALUE_MISTAKES["plain +="]):
        results.append(case.value * 0)
        arrays = (case.grad_output, case.locations, case.weights, results[-1])
        flat = [array.ravel() for array in arrays]
        seen = n13.trace(kernel, case.blocks(n13.THREADS), n13.THREADS, *flat, *case.scalars)
    assert (results[0] == results[1]).all() and seen.races()


REALS, ONE_REAL = float32[::1], float64
SIZES, SHAPES = types.UniTuple(int64, 6), types.UniTuple(int64, 4)
SIGNATURES = [
    (n13.one_read, (REALS,) * 2 + (int64,) * 5),
    (n13.four_reads, (REALS,) * 2 + (ONE_REAL,) * 2 + (int64,) * 3),
    (n13.forward, (REALS,) * 4 + (SIZES, SHAPES)),
    (n13.backward_value, (REALS,) * 4 + (SIZES, SHAPES)),
    (n13.backward_points, (REALS,) * 6 + (SIZES, SHAPES)),
    (n13.shared_sum, (REALS,) * 2),
]


@pytest.mark.slow
@pytest.mark.skipif(why_no_ptx() is not None, reason=str(why_no_ptx()))
@pytest.mark.parametrize("kernel, arguments", SIGNATURES)
def test_solutions_compile_for_a_gpu_as_they_are(kernel, arguments):
    assert ".entry" in cuda.compile_ptx(inspect.unwrap(kernel), types.void(*arguments), cc=(9, 0))[0]


def test_a_blank_inside_a_kernel_counts_as_a_blank():
    def forward(*arguments):
        raise NotImplementedError("about 20 lines")

    with pytest.raises(NotImplementedError, match="20 lines"):
        exercises.examine(exercises.find("13-forward"), forward)


def test_hidden_cases_lie_inside_at_borders_and_outside():
    corners = [
        len(list(loops.corners(float(u * width - 0.5), float(v * height - 0.5), height, width)))
        for case in n13.cases()
        for level, (height, width) in enumerate(case.shapes)
        for u, v in case.locations[:, :, :, level].reshape(-1, 2)
    ]
    assert {0, 1, 2, 4} <= set(corners)


def test_the_solutions_agree_with_the_loops():
    case = list(n13.cases())[-1]
    given = case.value, case.shapes, case.locations, case.weights
    grad_value, grad_locations, grad_weights = loops.backward(case.grad_output, *given)
    for kernel, names, expected in (
        (n13.forward, ("value", "locations", "weights"), [loops.forward(*given)]),
        (n13.backward_value, ("grad_output", "locations", "weights"), [grad_value]),
        (n13.backward_points, ("grad_output", "value", "locations", "weights"), [grad_locations, grad_weights]),
    ):
        results = [np.zeros(array.size, np.float32) for array in expected]
        arrays = [getattr(case, name).ravel() for name in names]
        n13.trace(kernel, case.blocks(n13.THREADS), n13.THREADS, *arrays, *results, *case.scalars)
        for yours, right in zip(results, expected, strict=True):
            np.testing.assert_allclose(yours, right.ravel(), rtol=1e-3, atol=1e-4)
