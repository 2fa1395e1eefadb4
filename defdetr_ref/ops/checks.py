"""The same words for the same mistake, whichever backend is used: shapes, dtypes and devices of the operator."""

import torch
from torch import Tensor

AXES = {
    "value": ("N (batch)", "S (tokens)", "M (heads)", "D (channels)"),
    "sampling_locations": ("N (batch)", "Q (queries)", "M (heads)", "L (levels)", "K (points)", "2 (x, y)"),
    "attention_weights": ("N (batch)", "Q (queries)", "M (heads)", "L (levels)", "K (points)"),
}
REDUCED = (torch.float16, torch.bfloat16)


def normalise_shapes(spatial_shapes) -> list[tuple[int, int]]:
    """[(H, W), …] or an integer tensor (L, 2) → a list of pairs of ints. ValueError if it is neither."""
    if isinstance(spatial_shapes, Tensor):
        spatial_shapes = spatial_shapes.tolist()
    try:
        pairs = [(int(height), int(width)) for height, width in spatial_shapes]
    except (TypeError, ValueError):
        raise ValueError(
            f"ms_deform_attn: `spatial_shapes` must be one (height, width) for every level, got {spatial_shapes!r}"
        ) from None
    for level, (height, width) in enumerate(pairs):
        if height < 1 or width < 1:
            raise ValueError(
                f"ms_deform_attn: `spatial_shapes` gives level {level} the size {height}×{width}; both must be at least 1"
            )
    return pairs


def _check_axis(name: str, tensor: Tensor, axis: int, expected: int, because: str) -> None:
    if tensor.shape[axis] != expected:
        raise ValueError(
            f"ms_deform_attn: `{name}` has shape {tuple(tensor.shape)} with {tensor.shape[axis]} on axis {axis}, "
            f"{AXES[name][axis]}; expected {expected}, {because}"
        )


def check_operator_inputs(
    value: Tensor, spatial_shapes: list[tuple[int, int]], sampling_locations: Tensor, attention_weights: Tensor
) -> None:
    """Raises ValueError naming the argument, its shape and what was expected, unless everything fits together."""
    tensors = {"value": value, "sampling_locations": sampling_locations, "attention_weights": attention_weights}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ValueError(f"ms_deform_attn: `{name}` must be a floating-point tensor, got {kind}")
        if tensor.dim() != len(AXES[name]):
            raise ValueError(
                f"ms_deform_attn: `{name}` has shape {tuple(tensor.shape)}; "
                f"expected {len(AXES[name])} axes: {', '.join(AXES[name])}"
            )
    tokens = sum(height * width for height, width in spatial_shapes)
    _check_axis("value", value, 1, tokens, f"the sum of H·W over spatial_shapes {spatial_shapes}")
    for name in ("sampling_locations", "attention_weights"):
        _check_axis(name, tensors[name], 0, value.shape[0], "as in `value`")
        _check_axis(name, tensors[name], 2, value.shape[2], "as in `value`")
        _check_axis(name, tensors[name], 3, len(spatial_shapes), "the number of levels in spatial_shapes")
    _check_axis("sampling_locations", sampling_locations, 5, 2, "x then y")
    for axis in (1, 4):
        expected = sampling_locations.shape[axis]
        _check_axis("attention_weights", attention_weights, axis, expected, "as in `sampling_locations`")
    _check_dtypes(value, sampling_locations, attention_weights)
    if len({tensor.device for tensor in tensors.values()}) > 1:
        devices = ", ".join(f"`{name}` on {tensor.device}" for name, tensor in tensors.items())
        raise ValueError(f"ms_deform_attn: the tensors are on different devices: {devices}; move them to one")


def _check_dtypes(value: Tensor, sampling_locations: Tensor, attention_weights: Tensor) -> None:
    same = value.dtype == sampling_locations.dtype == attention_weights.dtype
    # Autocast hands over reduced values with float32 locations; locations need the digits, values do not.
    mixed = value.dtype in REDUCED and sampling_locations.dtype == attention_weights.dtype == torch.float32
    if not (same or mixed):
        raise ValueError(
            f"ms_deform_attn: `value` is {value.dtype}, `sampling_locations` {sampling_locations.dtype} and "
            f"`attention_weights` {attention_weights.dtype}; expected one dtype, or float16/bfloat16 values with "
            "float32 locations and weights"
        )
