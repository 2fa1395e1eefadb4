"""Bad input: the same words from every backend, which name the argument, its shape and what was expected."""

import numpy as np
import pytest
import torch
from defdetr_cuda import index_overflow
from torch._subclasses.fake_tensor import FakeTensorMode

from defdetr_ref import ms_deform_attn
from defdetr_ref.ops import BACKENDS, dispatch, explain_choice
from defdetr_ref.ops.checks import normalise_shapes, token_overflow
from tests.ops.cases import SHAPES, make_inputs

pytestmark = pytest.mark.usefixtures("unchecked")
ASKED = ["auto", *BACKENDS]  # "cuda" too: bad input is told before anything looks for a GPU
NAMES = ("value", "sampling_locations", "attention_weights")
GOOD = dict(value=(2, 29, 3, 4), locations=(2, 7, 3, 3, 2, 2), weights=(2, 7, 3, 3, 2))

BAD_SIZES = {
    "tokens": (dict(value=(2, 28, 3, 4)),
               r"`value` has shape \(2, 28, 3, 4\) with 28 on axis 1, S \(tokens\); expected 29, the sum of H·W over "
               r"spatial_shapes \[\(5, 3\), \(2, 4\), \(1, 6\)\]"),
    "value rank": (dict(value=(2, 29, 12)),
                   r"`value` has shape \(2, 29, 12\); expected 4 axes: N \(batch\), S \(tokens\), M \(heads\), D"),
    "locations rank": (dict(locations=(2, 7, 3, 6, 2)),
                       r"`sampling_locations` has shape \(2, 7, 3, 6, 2\); expected 6 axes"),
    "weights rank": (dict(weights=(2, 7, 3, 6)), r"`attention_weights` has shape \(2, 7, 3, 6\); expected 5 axes"),
    "a single number": (dict(value=()), r"`value` has shape \(\); expected 4 axes"),
    "no heads": (dict(value=(2, 29, 0, 4)), r"`value` has shape .* 0 on axis 2, M \(heads\); expected at least 1"),
    "no channels": (dict(value=(2, 29, 3, 0)),
                    r"`value` has shape .* 0 on axis 3, D \(channels\); expected at least 1"),
    "no points": (dict(locations=(2, 7, 3, 3, 0, 2)),
                  r"`sampling_locations` .* 0 on axis 4, K .*; expected at least 1"),
    "batch": (dict(locations=(1, 7, 3, 3, 2, 2)),
              r"`sampling_locations` .* axis 0, N \(batch\); expected 2, as in `value`"),
    "heads": (dict(weights=(2, 7, 5, 3, 2)),
              r"`attention_weights` .* axis 2, M \(heads\); expected 3, as in `value`"),
    "levels": (dict(locations=(2, 7, 3, 2, 2, 2)),
               r"`sampling_locations` .* axis 3, L \(levels\); expected 3, the number"),
    "points": (dict(weights=(2, 7, 3, 3, 5)),
               r"`attention_weights` .* axis 4, K \(points\); expected 2, as in `sampl"),
    "queries": (dict(weights=(2, 6, 3, 3, 2)),
                r"`attention_weights` .* axis 1, Q \(queries\); expected 7, as in `sampl"),
    "x and y": (dict(locations=(2, 7, 3, 3, 2, 3)),
                r"`sampling_locations` .* axis 5, 2 \(x, y\); expected 2, x then y"),
}  # fmt: skip


@pytest.mark.parametrize("backend", ASKED)
@pytest.mark.parametrize("change, message", BAD_SIZES.values(), ids=BAD_SIZES)
def test_sizes_that_do_not_fit(backend, change, message):
    tensors = {name: torch.zeros(shape) for name, shape in (GOOD | change).items()}
    with pytest.raises(ValueError, match="ms_deform_attn: " + message):
        ms_deform_attn(tensors["value"], SHAPES, tensors["locations"], tensors["weights"], backend=backend)


BAD_SHAPES = {
    "a pair is short": [[5, 3], [2]],
    "three numbers": [(5, 3, 1)],
    "not pairs": [5, 3],
    "a tensor of the wrong rank": torch.tensor([5, 3]),
    "half a pixel": [(5.5, 3)],
    "floating-point sides": torch.tensor([[5.0, 3.0]]),
    "words": ["five by three"],
    "no level": [],
    "a number": 29,
    "nothing": None,
    "a tensor without numbers": torch.ones(3, 2, dtype=torch.long, device="meta"),
}


@pytest.mark.parametrize("backend", ASKED)
@pytest.mark.parametrize("shapes", BAD_SHAPES.values(), ids=BAD_SHAPES)
def test_level_sizes_that_are_none(backend, shapes):
    value, locations, weights = make_inputs()
    with pytest.raises(ValueError, match=r"`spatial_shapes` must be one \(height, width\) of whole numbers .*, got "):
        ms_deform_attn(value, shapes, locations, weights, backend=backend)


@pytest.mark.parametrize("backend", ASKED)
@pytest.mark.parametrize("side", [0, -4])
def test_an_empty_level(backend, side):
    value, locations, weights = make_inputs()
    with pytest.raises(ValueError, match=f"`spatial_shapes` gives level 1 the size {side}×4; both must be at least 1"):
        ms_deform_attn(value, [(5, 3), (side, 4), (1, 6)], locations, weights, backend=backend)
    with pytest.raises(ValueError, match=f"`spatial_shapes` gives level 2 the size 1×{side}; both must be at least 1"):
        ms_deform_attn(value, [(5, 3), (2, 4), (1, side)], locations, weights, backend=backend)


@pytest.mark.parametrize(
    "given", [SHAPES, [list(shape) for shape in SHAPES], torch.tensor(SHAPES), torch.tensor(SHAPES, dtype=torch.int32),
              np.array(SHAPES), [torch.Size(shape) for shape in SHAPES], tuple(torch.tensor(SHAPES))]
)  # fmt: skip
def test_the_many_ways_to_say_level_sizes(given):
    assert normalise_shapes(given) == SHAPES


@pytest.mark.parametrize("backend", ASKED)
@pytest.mark.parametrize(
    "dtypes",
    [
        ("float32", "float64", "float64"),
        ("float64", "float32", "float64"),
        ("float32", "float32", "float64"),
        ("float32", "float32", "bfloat16"),
        ("float32", "float16", "float32"),
        ("bfloat16", "float16", "float32"),
        ("float16", "float64", "float32"),
        ("float8_e5m2", "float32", "float32"),
    ],
)
def test_a_mixture_of_dtypes(backend, dtypes):
    tensors = [tensor.to(getattr(torch, dtype)) for tensor, dtype in zip(make_inputs(), dtypes, strict=True)]
    named = "`value` is torch.{}, `sampling_locations` torch.{} and `attention_weights` torch.{}; expected float32 or "
    with pytest.raises(ValueError, match=named.format(*dtypes)):
        ms_deform_attn(tensors[0], SHAPES, *tensors[1:], backend=backend)


@pytest.mark.parametrize("backend", ASKED)
@pytest.mark.parametrize("place, name", list(enumerate(NAMES)))
def test_what_is_no_floating_point_tensor(backend, place, name):
    for wrong, kind in ((torch.long, "torch.int64"), (torch.complex64, "torch.complex64"), (None, "list")):
        tensors = list(make_inputs())
        tensors[place] = tensors[place].to(wrong) if wrong else tensors[place].tolist()
        with pytest.raises(ValueError, match=f"`{name}` must be a floating-point tensor, got {kind}"):
            ms_deform_attn(tensors[0], SHAPES, *tensors[1:], backend=backend)


@pytest.mark.parametrize("backend", ASKED)
@pytest.mark.parametrize("place", range(3))
def test_a_mixture_of_devices(backend, place):
    tensors = list(make_inputs())
    tensors[place] = tensors[place].to("meta")
    named = ", ".join(f"`{name}` on {tensor.device}" for name, tensor in zip(NAMES, tensors, strict=True))
    with pytest.raises(ValueError, match=f"the tensors are on different devices: {named}; move them to one"):
        ms_deform_attn(tensors[0], SHAPES, *tensors[1:], backend=backend)


def huge(level, counts, queries, points, device="cpu"):
    """Tensors of a single number, seen many times: nothing is allocated."""
    batch, heads, channels = counts
    view = lambda *shape: torch.zeros((), device=device).expand(shape)  # noqa: E731
    value = view(batch, level[0] * level[1], heads, channels)
    return value, view(batch, queries, heads, 1, points, 2), view(batch, queries, heads, 1, points)


LIMITS = {
    "S · M · D": dict(level=(2**14, 2**14), counts=(2, 2, 4), queries=1, points=1),
    "Q · M · L · K · 2": dict(level=(3, 1), counts=(2, 2, 4), queries=2**27, points=4),
    "Q · M · D": dict(level=(3, 1), counts=(2, 2, 64), queries=2**24, points=1),
}


@pytest.mark.parametrize("letters", LIMITS)
def test_indices_that_need_more_than_32_bits(letters, monkeypatch):
    """Refused for the kernels of a GPU before any runs; "auto" takes torch. FakeTensors stand in for the GPU."""
    monkeypatch.setattr(dispatch, "cuda_problem", lambda: None)
    words = rf"`\w+` has {letters} = 2147483648 numbers in one image, more than the 2147483647 that"
    case = LIMITS[letters]
    with FakeTensorMode():
        tensors = huge(**case, device="cuda")
        with pytest.raises(ValueError, match="backend 'cuda' cannot be used. " + words):
            ms_deform_attn(tensors[0], [case["level"]], *tensors[1:], backend="cuda")
        assert dispatch.choose_backend(*tensors[:2]) == "torch"
        assert letters in explain_choice(tensors[0], [case["level"]], *tensors[1:])


def test_indices_that_just_fit():
    value, locations, _ = huge((2**14 - 1, 2**14), (2, 2, 4), 2**24 - 1, 1)
    assert index_overflow(value, locations) is None
    assert "S · M · D" in index_overflow(torch.zeros(()).expand(1, 2**28, 2, 4), locations)


def test_the_cpu_kernels_count_tokens_with_32_bits():
    value = torch.zeros(()).expand(2, 2**31, 3, 4)
    assert "so that S = 2147483648; expected less than" in token_overflow(value)
    assert token_overflow(value[:, 1:]) is None
    locations = torch.zeros(2, 7, 3, 1, 2, 2)
    assert dispatch.choose_backend(value, locations) == "torch"
    with pytest.raises(ValueError, match="backend 'numba' cannot be used. `value` has shape .* so that S = 2147483648"):
        ms_deform_attn(value, [(2**15, 2**16)], locations, locations[..., 0], backend="numba")
