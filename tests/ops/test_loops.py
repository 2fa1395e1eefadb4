"""The specification against numbers worked out by hand, and its gradient against differences."""

import numpy as np
import pytest
import torch

from defdetr_ref import ms_deform_attn
from defdetr_ref.ops import loops
from tests.ops.cases import EVERY_BACKEND, SHAPES, make_inputs, run


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_one_point_by_hand(backend):
    """On a 2×3 map, halfway between two columns of the first row: the mean of their pixels, times the weight."""
    value = torch.arange(6.0).reshape(1, 6, 1, 1)  # rows 0 1 2 / 3 4 5
    # x = 1/3 · 3 - 0.5 = 0.5, y = 0.25 · 2 - 0.5 = 0
    locations = torch.tensor([1.0 / 3, 0.25]).reshape(1, 1, 1, 1, 1, 2)
    weights = torch.full((1, 1, 1, 1, 1), 0.5)
    assert run(backend, [(2, 3)], value, locations, weights)[0].item() == pytest.approx(0.25)


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_pixel_centres_read_the_pixel_and_edges_half_of_it(backend):
    height, width = 3, 4
    value = torch.arange(1.0, 13.0, dtype=torch.float64).reshape(1, 12, 1, 1)
    centre = [(2 + 0.5) / width, (1 + 0.5) / height]  # column 2, row 1: pixel 1·4 + 2
    left_edge, corner = [0.0, centre[1]], [1.0, 1.0]
    locations = torch.tensor([centre, left_edge, corner], dtype=torch.float64).reshape(1, 3, 1, 1, 1, 2)
    output = run(backend, [(height, width)], value, locations, torch.ones(1, 3, 1, 1, 1, dtype=torch.float64))[0]
    torch.testing.assert_close(output.flatten(), torch.tensor([7.0, 5.0 / 2, 12.0 / 4], dtype=torch.float64))


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_each_level_reads_its_own_pixels(backend):
    """Three levels of 6, 2 and 4 pixels, numbered through; the second query's last point reads two of them."""
    shapes = [(2, 3), (1, 2), (4, 1)]
    value = torch.arange(12.0).double().reshape(1, 12, 1, 1)
    centres = torch.tensor([[[2.5 / 3, 0.75], [0.25, 0.5], [0.5, 2.5 / 4]], [[0.5 / 3, 0.25], [0.75, 0.5], [0.5, 0.5]]])
    locations = centres.double().reshape(1, 2, 1, 3, 1, 2)
    weights = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]).double().reshape(1, 2, 1, 3, 1)
    output = run(backend, shapes, value, locations, weights)[0].flatten()
    expected = [0.5 * 5 + 0.3 * 6 + 0.2 * 10, 0.1 * 0 + 0.2 * 7 + 0.7 * 9.5]
    assert output.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_the_gradient_is_the_derivative(backend):
    device = "cuda" if backend == "cuda" else "cpu"
    shapes = [(2, 4), (1, 5), (3, 1)]
    inputs = make_inputs(batch=2, queries=1, heads=2, dim=3, points=1, shapes=shapes, spread=0.3)
    function = lambda value, *rest: ms_deform_attn(value, shapes, *rest, backend=backend)  # noqa: E731
    assert torch.autograd.gradcheck(function, [x.to(device).requires_grad_() for x in inputs])


def test_corners_never_leave_the_map():
    for x, y in np.random.default_rng(0).uniform(-3, 8, size=(500, 2)):
        found = list(loops.corners(x, y, height=5, width=4))
        assert all(0 <= row < 5 and 0 <= column < 4 for row, column, *_ in found)
        if 0 <= x <= 3 and 0 <= y <= 4:
            assert sum(share for _, _, share, _, _ in found) == pytest.approx(1)


def test_corners_by_hand():
    """(row, column, weight, its slope along x and y), on a map of 4 rows and 5 columns."""
    assert sorted(loops.corners(1.25, 2.5, 4, 5)) == [
        (2, 1, 0.375, -0.5, -0.75),
        (2, 2, 0.125, 0.5, -0.25),
        (3, 1, 0.375, -0.5, 0.75),
        (3, 2, 0.125, 0.5, 0.25),
    ]
    assert sorted(loops.corners(-0.25, -0.5, 4, 5)) == [(0, 0, 0.375, 0.5, 0.75)]
    assert sorted(loops.corners(4.0, 3.0, 4, 5)) == [(3, 4, 1.0, -1.0, -1.0)]


@pytest.mark.parametrize("outside", [-1.0, -1.5, 7.0, 1e30, float("inf"), float("-inf"), float("nan")])
def test_a_point_that_reaches_no_pixel_has_no_corners(outside):
    """One pixel before the map the surface begins to rise, but only behind that place is there something to read."""
    assert list(loops.corners(outside, 2.5, 4, 5)) == [] and list(loops.corners(2.5, outside, 4, 5)) == []


def test_reduced_values_are_summed_in_float32():
    inputs = make_inputs(dtype=torch.float32)
    expected = run("loops", SHAPES, inputs[0].bfloat16().float(), *inputs[1:])
    actual = run("loops", SHAPES, inputs[0].bfloat16(), *inputs[1:])
    assert torch.equal(actual[0], expected[0].bfloat16())
