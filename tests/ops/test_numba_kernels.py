"""The compiled loops piece by piece, and as a whole against the specification, with everything that has an end."""

import math

import numpy as np
import pytest
import torch

from defdetr_ref.ops import numba_cpu, numba_kernels
from tests.ops.cases import assert_agrees_with_loops, assert_all_close, make_inputs, run
from tests.ops.test_locations import half_pixel_grid

SHAPES = [(5, 3), (2, 4), (1, 6), (1, 1)]


def test_the_widest_row_that_divides_the_channels():
    expected = {1: 1, 2: 2, 6: 2, 12: 4, 40: 8, 48: 24, 64: 64, 71: 1, 80: 16, 96: 32, 256: 64}
    assert {channels: numba_kernels.row_width(channels) for channels in expected} == expected


def test_kernels_release_the_lock_and_are_kept_on_the_disk():
    for kernel in (*numba_kernels.kernels(2, ""), numba_kernels.stage, numba_kernels.finish):
        assert kernel.targetoptions["nogil"] and kernel.stats.cache_path


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_two_pixels_on_an_axis(dtype):
    """On an axis of 5 pixels; compiled or not, the text is the same."""
    half, one = 0.25, 1.0
    for position, expected in {
        1.75: (1, 2, 0.25, 0.75, -one, one, True),
        3.0: (3, 4, one, 0.0, -one, one, True),
        0.0: (0, 1, one, 0.0, -one, one, True),
        4.0: (4, 4, one, 0.0, -one, 0.0, True),  # the last pixel has none behind it
        4.75: (4, 4, half, 0.0, -one, 0.0, True),
        -0.75: (0, 0, 0.0, half, 0.0, one, True),
        5.0: (0, 1, one, 0.0, -one, one, False),
        -1.0: (0, 1, one, 0.0, -one, one, False),
        math.nan: (0, 1, one, 0.0, -one, one, False),
        math.inf: (0, 1, one, 0.0, -one, one, False),
    }.items():
        # exact for these numbers: halves and quarters of 5 are rounded, and rounded back
        found = numba_kernels.along_axis.py_func(dtype((position + 0.5) / 5), np.int32(5))
        assert [float(number) for number in found] == pytest.approx([float(number) for number in expected], abs=1e-6)
        assert all(type(number) is dtype for number in found[2:6])


def test_corners_of_a_sample():
    """On a level of 4 columns and 2 rows that begins at token 10: (1.25, 0.5) in pixels; then one outside."""
    locations = np.array([(1.25 + 0.5) / 4, (0.5 + 0.5) / 2, 0.5, 3.0])
    sizes = np.array([4, 2, 10, 4, 2, 10], dtype=np.int32)
    pixels, shares = np.full(8, 7, np.int32), np.zeros(8)
    numba_kernels.stage(locations, np.array([3.0, 1.0]), sizes, pixels, shares)
    assert pixels[:4].tolist() == [11, 12, 15, 16] and pixels[4] == numba_kernels.OUT_OF_REACH
    assert shares[:4].tolist() == pytest.approx([3 * 0.75 * 0.5, 3 * 0.25 * 0.5, 3 * 0.75 * 0.5, 3 * 0.25 * 0.5])
    locations[:2] = (3.5 + 0.5) / 4, (1.25 + 0.5) / 2  # beside the right edge, below the bottom
    numba_kernels.stage(locations, np.array([3.0, 1.0]), sizes, pixels, shares)
    assert pixels[0] == 10 + 1 * 4 + 3 and all(10 <= pixel < 18 for pixel in pixels[:4])
    assert shares[:4].tolist() == pytest.approx([3 * 0.5 * 0.75, 0, 0, 0])


def test_gradients_of_a_sample():
    """Of weight · Σ share · gain with respect to location and weight, by differences."""
    sizes, gains = np.array([4, 3, 0], dtype=np.int32), np.array([0.7, -0.4, 1.3, 0.2])
    place, weight = np.array([0.41, 0.58]), np.array([1.7])

    def total(x, y, weight):
        pixels, shares = np.zeros(4, np.int32), np.zeros(4)
        numba_kernels.stage(np.array([x, y]), np.array([weight]), sizes, pixels, shares)
        return shares @ gains

    grad_place, grad_weight = np.zeros(2), np.zeros(1)
    numba_kernels.finish(place, weight, sizes, gains, grad_place, grad_weight)
    for axis in range(3):
        arguments = np.array([*place, *weight])
        step = 1e-6 * np.eye(3)[axis]
        slope = (total(*(arguments + step)) - total(*(arguments - step))) / 2e-6
        assert [*grad_place, *grad_weight][axis] == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("queries", [1, 7, 133], ids=["one", "no multiple of the prefetch", "more than two tasks"])
def test_any_number_of_queries(queries):
    """Three rows of two channels for each pixel, locations inside and outside."""
    assert queries == 1 or (queries % numba_kernels.PREFETCH_DISTANCE and 133 > 2 * numba_kernels.QUERIES_PER_TASK)
    inputs = make_inputs(batch=2, queries=queries, heads=3, dim=6, points=5, shapes=SHAPES, spread=0.6)
    assert_agrees_with_loops("numba", SHAPES, *inputs)


def test_float32_stays_float32():
    inputs = make_inputs(batch=2, queries=7, heads=3, dim=6, points=5, shapes=SHAPES, spread=0.6)
    actual = run("numba", SHAPES, *(tensor.float() for tensor in inputs))
    assert all(tensor.dtype == torch.float32 for tensor in actual)
    assert_all_close([tensor.double() for tensor in actual], run("loops", SHAPES, *inputs), rtol=1e-4, atol=1e-4)


def test_on_centres_and_borders_and_beyond():
    """Half-pixel steps over the maps, NaN and infinity among them; 4 levels, 2 images, 3 heads."""
    shapes = [(4, 8), (2, 1), (1, 4), (1, 1)]
    locations = half_pixel_grid(shapes).repeat(2, 1, 3, 1, 1, 1)
    locations[0, ::5, 1, 2, 0, 0], locations[1, ::7, 2, 0, 0, 1] = math.nan, math.inf
    value, _, weights = make_inputs(2, locations.shape[1], 3, 6, 1, shapes)
    assert_agrees_with_loops("numba", shapes, value, locations, weights)


def test_an_encoder_s_queries_in_tiles():
    shapes = [(19, 23), (5, 18)]
    assert_agrees_with_loops("numba", shapes, *make_inputs(1, 527, 2, 2, 3, shapes))


def test_nothing_but_its_slice_is_written():
    """A task writes the queries of its run, image and head, and nothing else."""
    batch, queries, heads, channels, points = 2, 70, 3, 6, 2
    value, locations, weights = make_inputs(batch, queries, heads, channels, points, SHAPES)
    expected = run("loops", SHAPES, value, locations, weights)[0].view(batch, queries, heads, channels)
    output = torch.full((batch, queries, heads * channels), 7.0, dtype=torch.float64)
    arguments = (
        value.numpy(),
        locations.reshape(batch, queries, heads, -1).numpy(),
        weights.reshape(batch, queries, heads, -1).numpy(),
        numba_cpu.sample_sizes(tuple(SHAPES), points),
        np.arange(queries),
        output.numpy(),
    )
    task = (1 * heads + 2) * 2 + 1  # image 1, head 2, the second run
    numba_kernels.kernels(2, "")[0](*arguments, task, task + 1)
    output = output.view(batch, queries, heads, channels)
    torch.testing.assert_close(output[1, 64:, 2], expected[1, 64:, 2])
    output[1, 64:, 2] = 7.0
    assert (output == 7.0).all()


def test_gradients_part_by_part():
    """Two levels and then one: what the first part left behind must not reach the second."""
    shapes, batch, queries, heads, channels, points = SHAPES[:3], 2, 7, 3, 6, 2
    inputs = make_inputs(batch, queries, heads, channels, points, shapes)
    expected = run("loops", shapes, *inputs)
    value, locations, weights = (tensor.numpy() for tensor in inputs)
    grad_output = torch.randn(expected[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = [np.zeros_like(array) for array in (value, locations, weights)]
    by_head = lambda array: array.reshape(batch, queries, heads, -1)  # noqa: E731
    numba_kernels.kernels(2, "")[1](
        grad_output.numpy(), value, by_head(locations), by_head(weights),
        numba_cpu.sample_sizes(tuple(shapes), points), np.arange(queries), np.array([[0, 4], [4, 6]]),
        gradients[0], by_head(gradients[1]), by_head(gradients[2]), 0, batch * heads * 2,
    )  # fmt: skip
    assert_all_close([expected[0], *map(torch.from_numpy, gradients)], expected)
