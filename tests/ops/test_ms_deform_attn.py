"""loops (the specification) = torch = numba, forward and backward, in float64; borders, bad locations and bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defdetr_ref import ms_deform_attn
from defdetr_ref.ops import BACKENDS, loops

SHAPES = [(5, 3), (2, 4), (1, 6)]  # H ≠ W, and a level of a single row


def make_inputs(batch=2, queries=7, heads=3, dim=4, points=2, shapes=SHAPES, seed=0, spread=0.4):
    """value, locations, weights in float64, some locations outside the map; every count is different."""
    rng = torch.Generator().manual_seed(seed)
    tokens = sum(height * width for height, width in shapes)
    draw = lambda *size: torch.randn(*size, generator=rng, dtype=torch.float64)  # noqa: E731
    value = draw(batch, tokens, heads, dim)
    locations = 0.5 + spread * draw(batch, queries, heads, len(shapes), points, 2)
    weights = draw(batch, queries, heads, len(shapes) * points).softmax(-1).unflatten(-1, (len(shapes), points))
    return value, locations, weights


def gradients(backend, shapes, *inputs):
    """Output and the three gradients for a fixed random cotangent."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    output = ms_deform_attn(leaves[0], shapes, *leaves[1:], backend=backend)
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=output.dtype)
    return output.detach(), *torch.autograd.grad(output, leaves, cotangent)


def assert_backends_agree(shapes, *inputs):
    expected = gradients("loops", shapes, *inputs)
    for backend in ("torch", "numba"):
        for loop, other in zip(expected, gradients(backend, shapes, *inputs)):
            torch.testing.assert_close(other, loop, rtol=1e-10, atol=1e-11)


def test_one_point_by_hand():
    """On a 2×3 map, halfway between two columns of the first row: the mean of their pixels, times the weight."""
    value = torch.arange(6.0).reshape(1, 6, 1, 1)  # rows 0 1 2 / 3 4 5
    locations = torch.tensor([1.0 / 3, 0.25]).reshape(1, 1, 1, 1, 1, 2)  # x = 1/3 · 3 - 0.5 = 0.5, y = 0.25 · 2 - 0.5 = 0
    weights = torch.full((1, 1, 1, 1, 1), 0.5)
    for backend in BACKENDS:
        assert ms_deform_attn(value, [(2, 3)], locations, weights, backend=backend).item() == pytest.approx(0.25)


def test_forward_and_gradients_agree():
    assert_backends_agree(SHAPES, *make_inputs())


def test_no_queries():
    value, locations, weights = make_inputs(queries=0)
    for backend in BACKENDS:
        assert gradients(backend, SHAPES, value, locations, weights)[0].shape == (2, 0, 12)


@pytest.mark.parametrize("channels", [1, 8, 16, 17, 24, 32, 64])
def test_numba_for_every_number_of_channels_in_float32(channels):
    inputs = [x.float() for x in make_inputs(queries=70, dim=channels)]  # more than one block of queries
    for expected, actual in zip(gradients("torch", SHAPES, *inputs), gradients("numba", SHAPES, *inputs)):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_numba_gives_the_same_bits_on_any_number_of_threads():
    inputs = [x.float() for x in make_inputs(queries=70, dim=16)]
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(gradients("numba", SHAPES, *inputs))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    queries=st.integers(1, 4),
    heads=st.integers(1, 3),
    dim=st.sampled_from([1, 3, 8]),
    points=st.integers(1, 3),
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_agreement_on_any_shape(batch, queries, heads, dim, points, shapes, seed):
    assert_backends_agree(shapes, *make_inputs(batch, queries, heads, dim, points, shapes, seed))


def test_loops_backward_is_the_derivative_of_loops_forward():
    value, locations, weights = make_inputs(batch=1, queries=2, heads=2, dim=3, points=1)
    function = lambda v, x, a: ms_deform_attn(v, SHAPES, x, a, backend="loops")  # noqa: E731
    assert torch.autograd.gradcheck(function, [x.requires_grad_() for x in (value, locations, weights)])


@pytest.mark.parametrize("backend", BACKENDS)
def test_pixel_centres_read_the_pixel_and_edges_half_of_it(backend):
    height, width = 3, 4
    value = torch.arange(1.0, 13.0, dtype=torch.float64).reshape(1, 12, 1, 1)
    centre = [(2 + 0.5) / width, (1 + 0.5) / height]  # column 2, row 1: pixel 1·4 + 2
    left_edge, corner = [0.0, centre[1]], [1.0, 1.0]
    locations = torch.tensor([centre, left_edge, corner], dtype=torch.float64).reshape(1, 3, 1, 1, 1, 2)
    output = ms_deform_attn(value, [(height, width)], locations, torch.ones(1, 3, 1, 1, 1, dtype=torch.float64),
                            backend=backend)  # fmt: skip
    torch.testing.assert_close(output.flatten(), torch.tensor([7.0, 5.0 / 2, 12.0 / 4], dtype=torch.float64))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 50.0])
def test_far_and_non_finite_locations_read_nothing_and_disturb_nobody(backend, bad):
    value, locations, weights = make_inputs(queries=3, spread=0.2)
    expected = gradients(backend, SHAPES, value, locations, weights.index_fill(1, torch.tensor([1]), 0.0))
    spoiled = locations.clone()
    spoiled[:, 1, ..., 0] = bad
    output, grad_value, grad_locations, grad_weights = gradients(backend, SHAPES, value, spoiled, weights)
    torch.testing.assert_close(output, expected[0])
    torch.testing.assert_close(grad_value, expected[1])
    torch.testing.assert_close(grad_locations, expected[2])
    assert (grad_weights[:, 1] == 0).all()
    torch.testing.assert_close(grad_weights[:, [0, 2]], expected[3][:, [0, 2]])


def test_shapes_as_a_tensor_and_non_contiguous_inputs():
    value, locations, weights = make_inputs()
    expected = ms_deform_attn(value, SHAPES, locations, weights)
    strided = [torch.stack([x, -x], dim=-1)[..., 0] for x in (value, locations, weights)]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(ms_deform_attn(strided[0], torch.tensor(SHAPES), *strided[1:]), expected)


def test_reduced_precision_values_with_float32_locations():
    value, locations, weights = (x.float() for x in make_inputs())
    output = ms_deform_attn(value.bfloat16(), SHAPES, locations, weights)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), ms_deform_attn(value, SHAPES, locations, weights), rtol=0.02, atol=0.02)


BAD = {
    "tokens": (dict(value=(2, 28, 3, 4)), r"`value` has shape \(2, 28, 3, 4\) with 28 on axis 1, S \(tokens\); expected 29"),
    "value rank": (dict(value=(2, 29, 12)), r"`value` has shape \(2, 29, 12\); expected 4 axes"),
    "batch": (dict(locations=(1, 7, 3, 3, 2, 2)), r"`sampling_locations` .* axis 0, N \(batch\); expected 2"),
    "heads": (dict(weights=(2, 7, 5, 3, 2)), r"`attention_weights` .* axis 2, M \(heads\); expected 3"),
    "levels": (dict(locations=(2, 7, 3, 2, 2, 2)), r"`sampling_locations` .* axis 3, L \(levels\); expected 3"),
    "points": (dict(weights=(2, 7, 3, 3, 5)), r"`attention_weights` .* axis 4, K \(points\); expected 2"),
    "queries": (dict(weights=(2, 6, 3, 3, 2)), r"`attention_weights` .* axis 1, Q \(queries\); expected 7"),
    "x and y": (dict(locations=(2, 7, 3, 3, 2, 3)), r"`sampling_locations` .* axis 5, 2 \(x, y\); expected 2"),
}


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
@pytest.mark.parametrize("change, message", BAD.values(), ids=BAD)
def test_shapes_that_do_not_fit_name_the_axis(backend, change, message):
    shapes = dict(value=(2, 29, 3, 4), locations=(2, 7, 3, 3, 2, 2), weights=(2, 7, 3, 3, 2)) | change
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=message):
        ms_deform_attn(tensors["value"], SHAPES, tensors["locations"], tensors["weights"], backend=backend)


def test_other_bad_input():
    value, locations, weights = make_inputs()
    with pytest.raises(ValueError, match="unknown backend 'triton'; choose from auto, loops, torch, numba"):
        ms_deform_attn(value, SHAPES, locations, weights, backend="triton")
    with pytest.raises(ValueError, match="`value` is torch.float32, `sampling_locations` torch.float64"):
        ms_deform_attn(value.float(), SHAPES, locations, weights)
    with pytest.raises(ValueError, match="`value` must be a floating-point tensor, got torch.int64"):
        ms_deform_attn(value.long(), SHAPES, locations, weights)
    with pytest.raises(ValueError, match="level 1 the size 0×4"):
        ms_deform_attn(value, [(5, 3), (0, 4), (1, 6)], locations, weights)
    with pytest.raises(ValueError, match=r"one \(height, width\) for every level, got \[\[5, 3\], \[2\]\]"):
        ms_deform_attn(value, [[5, 3], [2]], locations, weights)
    with pytest.raises(ValueError, match="'numba' takes float32 or float64 on the CPU, got torch.bfloat16 on cpu"):
        ms_deform_attn(*(x.bfloat16() if torch.is_tensor(x) else x for x in (value, SHAPES, locations, weights)),
                       backend="numba")  # fmt: skip


def test_corners_never_leave_the_map():
    for x, y in np.random.default_rng(0).uniform(-3, 8, size=(500, 2)):
        found = list(loops.corners(x, y, height=5, width=4))
        assert all(0 <= row < 5 and 0 <= column < 4 for row, column, *_ in found)
        if 0 <= x <= 3 and 0 <= y <= 4:
            assert sum(share for _, _, share, _, _ in found) == pytest.approx(1)
