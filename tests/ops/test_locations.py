"""Where a location may be: on centres, on borders, far away, nowhere; and nothing outside its level is ever read."""

import math

import pytest
import torch

from defdetr_ref import ms_deform_attn
from tests.ops.cases import EVERY_BACKEND, FAST_BACKENDS, HERE, SHAPES, assert_all_close, make_inputs, run

# Sides that are powers of two: (pixel + 0.5) / side · side - 0.5 is then exact in float32 and in float64.
EXACT_SHAPES = [(4, 8), (2, 1), (1, 4), (1, 1)]
NOWHERE = [math.nan, math.inf, -math.inf, 1e30, -1e30, 50.0, -50.0]


def half_pixel_grid(shapes, dtype=torch.float64):
    """One query for each pair (x, y) of half-pixel steps from 1.5 pixels before each map to 1.5 behind it."""
    per_level = []
    for height, width in shapes:
        rows, columns = (torch.arange(-1.5, side + 1, 0.5) for side in (height, width))
        pixels = torch.cartesian_prod(columns, rows)  # (x, y), pixel centres at whole numbers
        per_level.append((pixels + 0.5) / torch.tensor([width, height]))
    queries = max(len(level) for level in per_level)
    padded = [level[torch.arange(queries) % len(level)] for level in per_level]
    return torch.stack(padded, dim=1).to(dtype)[None, :, None, :, None]  # (1, Q, 1, L, 1, 2)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_exactly_on_centres_and_borders(backend, dtype):
    locations = half_pixel_grid(EXACT_SHAPES, dtype).repeat(2, 1, 3, 1, 1, 1)
    value, _, weights = make_inputs(2, locations.shape[1], 3, 5, 1, EXACT_SHAPES, dtype=dtype)
    actual, expected = (run(name, EXACT_SHAPES, value, locations, weights) for name in (backend, "loops"))
    if backend == "torch":
        # One pixel before a map nothing is read, but the surface begins to rise: grid_sample takes that slope already.
        sides = torch.tensor([[width, height] for height, width in EXACT_SHAPES])[:, None]
        begins = (locations * sides - 0.5 == -1).any(-1, keepdim=True)
        actual[2], expected[2] = (gradient.masked_fill(begins, 0) for gradient in (actual[2], expected[2]))
    rounding = dict(rtol=1e-12, atol=1e-12) if dtype == torch.float64 else dict(rtol=1e-5, atol=1e-5)
    assert_all_close(actual, expected, **rounding)


@pytest.mark.parametrize("backend", EVERY_BACKEND)
@pytest.mark.parametrize("nowhere", NOWHERE)
@pytest.mark.parametrize("axis", [0, 1], ids=["x", "y"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_far_and_non_finite_locations_read_nothing_and_disturb_nobody(backend, nowhere, axis, dtype):
    value, locations, weights = make_inputs(queries=3, spread=0.2, dtype=dtype)
    expected = run(backend, SHAPES, value, locations, weights.index_fill(1, torch.tensor([1]), 0.0))
    spoiled = locations.clone()
    spoiled[:, 1, ..., axis] = nowhere
    output, grad_value, grad_locations, grad_weights = run(backend, SHAPES, value, spoiled, weights)
    torch.testing.assert_close(output, expected[0])
    torch.testing.assert_close(grad_value, expected[1])
    torch.testing.assert_close(grad_locations, expected[2])
    assert (grad_weights[:, 1] == 0).all()
    torch.testing.assert_close(grad_weights[:, [0, 2]], expected[3][:, [0, 2]])


@pytest.mark.parametrize("backend", EVERY_BACKEND)
@pytest.mark.parametrize("nowhere", NOWHERE)
def test_one_bad_point_among_good_points_of_the_same_query(backend, nowhere):
    """The other points of the query, and the other coordinate of the point, go on as if its weight were zero."""
    value, locations, weights = make_inputs(spread=0.2)
    without = weights.clone()
    without[..., 1, 0] = 0.0
    expected = run(backend, SHAPES, value, locations, without)
    spoiled = locations.clone()
    spoiled[..., 1, 0, 0] = nowhere
    output, grad_value, grad_locations, grad_weights = run(backend, SHAPES, value, spoiled, weights)
    torch.testing.assert_close(output, expected[0])
    torch.testing.assert_close(grad_value, expected[1])
    torch.testing.assert_close(grad_locations, expected[2])
    expected[3][..., 1, 0] = 0.0
    torch.testing.assert_close(grad_weights, expected[3])


def guarded(value: torch.Tensor, level: int, shapes) -> torch.Tensor:
    """`value` with NaN in all other levels, and in the middle of a longer buffer of NaN."""
    sizes = [height * width for height, width in shapes]
    start = sum(sizes[:level])
    longer = value.new_full((3, *value.shape), math.nan)  # as much before and behind
    longer[1, :, start : start + sizes[level]] = value[:, start : start + sizes[level]]
    return longer[1]


@pytest.mark.parametrize("backend", EVERY_BACKEND)
@pytest.mark.parametrize("dim", [5, 32])
@pytest.mark.parametrize("level", range(len(SHAPES)))
def test_nothing_is_read_outside_the_level(backend, dim, level):
    """Any stray read would fetch NaN. The points of the other levels are far outside, so they must read nothing."""
    batch, queries, heads, points = 2, 40, 3, 2
    value, locations, weights = make_inputs(batch, queries, heads, dim, points, spread=1.0)
    odd = torch.tensor([0.0, 1.0, -0.01, 1.01, *NOWHERE], dtype=torch.float64)
    pairs = torch.cartesian_prod(odd, odd)[torch.arange(queries) * 3]  # every third: all kinds with all others
    locations[:, :, 0] = pairs[None, :, None, None]  # the first head reads in odd places
    nowhere = torch.tensor(NOWHERE, dtype=torch.float64)[torch.arange(queries) % len(NOWHERE)]
    locations[:, :, :, [other for other in range(len(SHAPES)) if other != level]] = nowhere.view(-1, 1, 1, 1, 1)
    surrounded = guarded(value, level, SHAPES)
    assert surrounded.is_contiguous()  # so that no backend needs to copy it away from its guards
    actual = run(backend, SHAPES, surrounded, locations, weights)
    finite = all(tensor.isfinite().all() for tensor in actual)
    assert finite, f"{backend} read a number outside the level, or multiplied one by 0: a NaN there must not matter"
    assert_all_close(actual, run("loops", SHAPES, surrounded.nan_to_num(0.0), locations, weights))


@pytest.mark.parametrize("backend", HERE)
def test_an_image_never_reads_its_neighbour_in_the_batch(backend):
    value, locations, weights = make_inputs(batch=3, spread=1.0)
    alone = ms_deform_attn(value[1:2], SHAPES, locations[1:2], weights[1:2], backend=backend)
    value[[0, 2]] = math.nan
    torch.testing.assert_close(ms_deform_attn(value, SHAPES, locations, weights, backend=backend)[1:2], alone)


@pytest.mark.parametrize("backend", HERE)
def test_a_level_of_one_pixel_is_a_tent(backend):
    """On a 1×1 map the value at (x, y) pixels is (1 - |x|)(1 - |y|) times the pixel, and zero beyond one pixel."""
    steps = torch.linspace(-0.75, 1.75, 11, dtype=torch.float64)
    locations = torch.cartesian_prod(steps, steps).view(1, -1, 1, 1, 1, 2)
    value, weights = torch.full((1, 1, 1, 1), 3.0).double(), torch.ones(1, 121, 1, 1, 1, dtype=torch.float64)
    output = ms_deform_attn(value, [(1, 1)], locations, weights, backend=backend).flatten()
    tent = (1 - (steps - 0.5).abs()).clamp(min=0)  # pixels = location · 1 - 0.5
    torch.testing.assert_close(output, 3 * (tent[:, None] * tent).flatten())
