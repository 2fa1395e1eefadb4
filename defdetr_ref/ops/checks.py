"""The same words for the same mistake, whichever backend is used: shapes, dtypes and devices of the operator.

Only shapes and dtypes are looked at, never numbers, so nothing is read, copied or allocated.
"""

import operator
from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor

from defdetr_ref.positions import SpatialShapes

AXES = {
    "value": ("N (batch)", "S (tokens)", "M (heads)", "D (channels)"),
    "sampling_locations": ("N (batch)", "Q (queries)", "M (heads)", "L (levels)", "K (points)", "2 (x, y)"),
    "attention_weights": ("N (batch)", "Q (queries)", "M (heads)", "L (levels)", "K (points)"),
}
REDUCED = (torch.float16, torch.bfloat16)
DTYPES = (torch.float32, torch.float64, *REDUCED)
INT32_END = 2**31  # the first whole number that a signed 32-bit one cannot hold


def normalise_shapes(spatial_shapes: Sequence[Sequence[int]] | Tensor) -> SpatialShapes:
    """[(H, W), …] or an integer tensor (L, 2) → a list of pairs of ints. ValueError if it is neither."""
    try:
        given = spatial_shapes.tolist() if isinstance(spatial_shapes, Tensor) else spatial_shapes
        pairs = [(_whole(height), _whole(width)) for height, width in given]
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor that holds no numbers, on the meta device
        pairs = []
    if not pairs:
        raise ValueError(
            "ms_deform_attn: `spatial_shapes` must be one (height, width) of whole numbers for every level, "
            f"got {' '.join(repr(spatial_shapes).split())}"  # a tensor's text has several lines
        )
    for level, (height, width) in enumerate(pairs):
        if height < 1 or width < 1:
            raise ValueError(
                f"ms_deform_attn: `spatial_shapes` gives level {level} the size {height}×{width}; "
                "both must be at least 1"
            )
    return pairs


def _whole(size) -> int:
    """`size` as an int; TypeError for 2.5. The symbolic sizes of a compiler must stay as they are."""
    return size if isinstance(size, (int, torch.SymInt)) else operator.index(size)


def check_operator_inputs(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> None:
    """Raises ValueError naming the argument, its shape and what was expected, unless everything fits together."""
    tensors = {"value": value, "sampling_locations": sampling_locations, "attention_weights": attention_weights}
    for name, tensor in tensors.items():
        _check_kind(name, tensor)
    _check_axes(tensors, spatial_shapes)
    _check_dtypes(value, sampling_locations, attention_weights)
    if not value.device == sampling_locations.device == attention_weights.device:
        devices = ", ".join(f"`{name}` on {tensor.device}" for name, tensor in tensors.items())
        raise ValueError(f"ms_deform_attn: the tensors are on different devices: {devices}; move them to one")


def _check_kind(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ValueError(f"ms_deform_attn: `{name}` must be a floating-point tensor, got {kind}")
    if tensor.dim() != len(AXES[name]):
        raise ValueError(
            f"ms_deform_attn: `{name}` has shape {tuple(tensor.shape)}; "
            f"expected {len(AXES[name])} axes: {', '.join(AXES[name])}"
        )


def _check_axes(tensors: dict[str, Tensor], spatial_shapes: SpatialShapes) -> None:
    value, locations = tensors["value"], tensors["sampling_locations"]
    for name, axis in (("value", 2), ("value", 3), ("sampling_locations", 4)):
        if tensors[name].shape[axis] < 1:
            _refuse_axis(name, tensors[name], axis, "at least 1")
    tokens = sum(height * width for height, width in spatial_shapes)
    _check_axis("value", value, 1, tokens, f"the sum of H·W over spatial_shapes {spatial_shapes}")
    for name in ("sampling_locations", "attention_weights"):
        _check_axis(name, tensors[name], 0, value.shape[0], "as in `value`")
        _check_axis(name, tensors[name], 2, value.shape[2], "as in `value`")
        _check_axis(name, tensors[name], 3, len(spatial_shapes), "the number of levels in spatial_shapes")
    _check_axis("sampling_locations", locations, 5, 2, "x then y")
    for axis in (1, 4):
        _check_axis("attention_weights", tensors["attention_weights"], axis, locations.shape[axis],
                    "as in `sampling_locations`")  # fmt: skip


def _check_axis(name: str, tensor: Tensor, axis: int, expected: int, because: str) -> None:
    if tensor.shape[axis] != expected:
        _refuse_axis(name, tensor, axis, f"{expected}, {because}")


def _refuse_axis(name: str, tensor: Tensor, axis: int, expected: str) -> NoReturn:
    raise ValueError(
        f"ms_deform_attn: `{name}` has shape {tuple(tensor.shape)} with {tensor.shape[axis]} on axis {axis}, "
        f"{AXES[name][axis]}; expected {expected}"
    )


def _check_dtypes(value: Tensor, sampling_locations: Tensor, attention_weights: Tensor) -> None:
    """Autocast hands over reduced values; locations and weights may keep float32 (locations need the digits)."""
    allowed = (value.dtype, torch.float32) if value.dtype in REDUCED else (value.dtype,)
    if value.dtype not in DTYPES or sampling_locations.dtype not in allowed or attention_weights.dtype not in allowed:
        raise ValueError(
            f"ms_deform_attn: `value` is {value.dtype}, `sampling_locations` {sampling_locations.dtype} and "
            f"`attention_weights` {attention_weights.dtype}; expected float32 or float64 for all three, or "
            "float16/bfloat16 values, with locations and weights of that dtype or float32"
        )


def token_overflow(value: Tensor) -> str | None:
    """One sentence if an image has too many tokens for 32-bit indices, as the CPU kernels use; None if not."""
    tokens = value.shape[1]
    if tokens < INT32_END:
        return None
    return (
        f"`value` has shape {tuple(value.shape)}, so that S = {tokens}; expected less than 2³¹ = {INT32_END} for one "
        "image, because indices have 32 bits."
    )


def refuse_second_derivative(ctx, *grads) -> NoReturn:
    """The backward function of a backward function that has none."""
    raise NotImplementedError(
        "ms_deform_attn: this backend has no second derivative (the gradient of a gradient); use backend='torch'"
    )
