"""Every backend against the loops in float64, forward and backward, over shapes, dtypes and memory layouts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defdetr_ref import ms_deform_attn
from tests.ops.cases import FAST_BACKENDS, HERE, SHAPES, assert_agrees_with_loops, assert_all_close, make_inputs, run

POINT, ROW, COLUMN = (1, 1), (1, 6), (7, 1)  # levels that are a single pixel, row, column
# (batch, queries, heads, channels, points) and the levels: pairwise different counts within each line.
TABLE = [
    ((2, 5, 8, 1, 4), [(4, 7), POINT, (2, 3)]),
    ((1, 7, 2, 3, 4), [(5, 3), (2, 4), ROW, COLUMN, POINT]),
    ((3, 1, 7, 8, 5), [ROW, (3, 2)]),
    ((2, 6, 3, 17, 8), [(5, 4)]),
    ((1, 4, 6, 32, 7), [(3, 8), COLUMN, (2, 1)]),
    ((3, 9, 1, 64, 2), [(6, 5), (3, 4), POINT, ROW]),
    ((1, 5, 4, 71, 6), [POINT, (4, 3)]),
    ((2, 3, 5, 256, 1), [(4, 2), (2, 4), COLUMN, POINT]),
    ((3, 0, 2, 17, 5), [(4, 3), (2, 2), ROW, POINT]),  # no query
    ((1, 301, 2, 8, 3), [(21, 18), (5, 4), (2, 3), POINT]),  # more queries than a kernel takes at once
    ((1, 527, 2, 16, 3), [(19, 23), (5, 18)]),  # as many queries as tokens, like an encoder
]
NAMES = [f"{counts[3]} channels, {counts[1]} queries" for counts, _ in TABLE]


def test_the_table_has_every_count():
    batches, queries, heads, channels, points = (
        set(column) for column in zip(*(counts for counts, _ in TABLE), strict=True)
    )
    assert batches == {1, 2, 3} and {0, 1} <= queries and heads == set(range(1, 9)) and points == set(range(1, 9))
    assert channels >= {1, 3, 8, 17, 32, 64, 71, 256} and {len(shapes) for _, shapes in TABLE} == set(range(1, 6))


@pytest.fixture(scope="module")
def expected():
    """What the loops say about each line of the table, computed once."""
    return [run("loops", shapes, *make_inputs(*counts, shapes)) for counts, shapes in TABLE]


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("line", range(len(TABLE)), ids=NAMES)
def test_table_in_float64(backend, line, expected):
    counts, shapes = TABLE[line]
    assert_all_close(run(backend, shapes, *make_inputs(*counts, shapes)), expected[line])


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("line", range(len(TABLE)), ids=NAMES)
def test_table_in_float32(backend, line, expected):
    """Within 1e-5 of the largest number: a location of the widest map is rounded to 23 pixels · 2⁻²⁴ ≈ 1e-6 pixels."""
    counts, shapes = TABLE[line]
    actual = run(backend, shapes, *make_inputs(*counts, shapes, dtype=torch.float32))
    for one, other in zip(actual, expected[line], strict=True):
        largest = other.abs().max().item() if other.numel() else 0.0
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-5 * (1 + largest))


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("reduced, digits", [(torch.float16, 2**-10), (torch.bfloat16, 2**-7)])
@pytest.mark.parametrize("full_locations", [True, False], ids=["float32 locations", "reduced locations"])
def test_reduced_precision(backend, reduced, digits, full_locations):
    """The only errors are the rounding of the inputs, which the loops see too, and of the results."""
    inputs = [tensor.to(reduced) for tensor in make_inputs(dim=8)]
    if full_locations:
        inputs[1:] = [tensor.float() for tensor in make_inputs(dim=8)[1:]]
    expected = run("loops", SHAPES, *(tensor.double() for tensor in inputs))
    actual = run(backend, SHAPES, *inputs)
    assert [tensor.dtype for tensor in actual] == [reduced, *(tensor.dtype for tensor in inputs)]
    cotangent_too = 3 * digits  # the cotangent of a reduced output is rounded as well
    assert_all_close([tensor.double() for tensor in actual], expected, rtol=cotangent_too, atol=10 * digits)


@pytest.mark.parametrize("backend", HERE[1:])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    queries=st.integers(0, 4),
    heads=st.integers(1, 4),
    dim=st.sampled_from([1, 3, 8, 17]),
    points=st.integers(1, 3),
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=4),
    spread=st.sampled_from([0.2, 0.5, 3.0]),
    seed=st.integers(0, 1000),
)
def test_agreement_on_any_shape(backend, batch, queries, heads, dim, points, shapes, spread, seed):
    assert_agrees_with_loops(backend, shapes, *make_inputs(batch, queries, heads, dim, points, shapes, seed, spread))


LAYOUTS = {
    "every second number": lambda x: torch.stack([x, -x], dim=-1)[..., 0],
    "axes in another order": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
    "a part of a longer tensor": lambda x: torch.cat([x, x], dim=1)[:, : x.shape[1]],
    "starting in the middle": lambda x: torch.cat([x.flatten().new_zeros(3), x.flatten()])[3:].view(x.shape),
}


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_in_memory(backend, layout):
    inputs = make_inputs()
    expected, laid_out = run(backend, SHAPES, *inputs), [layout(tensor) for tensor in inputs]
    assert all(torch.equal(one, other) for one, other in zip(inputs, laid_out, strict=True))
    for one, other in zip(run(backend, SHAPES, *laid_out), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("backend", HERE)
def test_one_image_for_a_whole_batch_and_a_gradient_of_ones(backend):
    """`expand` and `sum().backward()` make tensors in which all steps are zero."""
    value, locations, weights = make_inputs()
    shared = value[:1].clone().requires_grad_()
    ms_deform_attn(shared.expand(2, -1, -1, -1), SHAPES, locations, weights, backend=backend).sum().backward()
    full = shared.detach().repeat(2, 1, 1, 1).requires_grad_()
    output = ms_deform_attn(full, SHAPES, locations, weights, backend="loops")
    output.backward(torch.ones_like(output))
    torch.testing.assert_close(shared.grad, full.grad.sum(0, keepdim=True))


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("asked", range(3), ids=["value", "locations", "weights"])
def test_a_gradient_for_one_input_alone(backend, asked):
    inputs = [tensor.clone() for tensor in make_inputs()]
    inputs[asked].requires_grad_()
    output = ms_deform_attn(inputs[0], SHAPES, *inputs[1:], backend=backend)
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    output.backward(cotangent)
    torch.testing.assert_close(inputs[asked].grad, run("loops", SHAPES, *inputs)[1 + asked])
