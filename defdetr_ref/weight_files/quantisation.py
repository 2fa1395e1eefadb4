"""Weights in eight bits: a quarter of float32, at the price of rounding.

Every matrix and kernel becomes whole numbers from -127 to 127, with a scale of its own for each output channel, so
that a channel of small weights keeps as many digits as one of large weights. Vectors (biases, norms) are few and stay
in half precision.
"""

import torch
from torch import Tensor

SCALE = ".scale"  # name of the entry that holds the scales of another
LARGEST = 127


def quantise(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """For each floating-point tensor with two axes or more an int8 one, and its scales (output channels,), float32.

    The other floating-point tensors become float16; all others stay as they are. Raises ValueError, naming the tensor,
    for numbers that are not finite.
    """
    stored: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            stored[key] = tensor
            continue
        if not tensor.isfinite().all():
            raise ValueError(f"{key} holds NaN or infinity, which eight bits cannot hold; take an earlier checkpoint")
        if tensor.dim() < 2:
            stored[key] = tensor.half()
            continue
        scale = tensor.float().abs().flatten(1).amax(1) / LARGEST  # (channels,)
        divisor = scale.where(scale > 0, 1.0)  # a channel of zeros stays one
        stored[key] = (tensor.float() / _across(divisor, tensor)).round().to(torch.int8)
        stored[key + SCALE] = scale
    return stored


def dequantise(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float32 again, as near as eight bits come. Entries without scales are left alone."""
    tensors = {key: tensor for key, tensor in stored.items() if not key.endswith(SCALE)}
    for key, scale in stored.items():
        if key.endswith(SCALE):
            steps = tensors[key.removesuffix(SCALE)]
            tensors[key.removesuffix(SCALE)] = steps.float() * _across(scale, steps)
    return tensors


def _across(scale: Tensor, tensor: Tensor) -> Tensor:
    """Scales of channels (channels,), shaped to multiply a tensor (channels, …)."""
    return scale.view(-1, *[1] * (tensor.dim() - 1))
