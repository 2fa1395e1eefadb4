"""One function, several backends."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import loops
from .checks import check_operator_inputs, normalise_shapes
from .compiled import ms_deform_attn_compiled
from .torch_ref import ms_deform_attn_torch


class _LoopsFunction(torch.autograd.Function):
    """The NumPy loops, with their own backward pass."""

    @staticmethod
    def forward(ctx, value, spatial_shapes, sampling_locations, attention_weights):
        arrays = [x.detach().cpu().numpy() for x in (value, sampling_locations, attention_weights)]
        ctx.arrays, ctx.spatial_shapes, ctx.device = arrays, spatial_shapes, value.device
        return torch.from_numpy(loops.forward(arrays[0], spatial_shapes, *arrays[1:])).to(value.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output):
        value, locations, weights = ctx.arrays
        grads = loops.backward(grad_output.cpu().numpy(), value, ctx.spatial_shapes, locations, weights)
        grad_value, grad_locations, grad_weights = (torch.from_numpy(grad).to(ctx.device) for grad in grads)
        return grad_value, None, grad_locations, grad_weights


BACKENDS: dict[str, Callable[..., Tensor]] = {
    "loops": _LoopsFunction.apply,
    "torch": ms_deform_attn_torch,
    "numba": ms_deform_attn_compiled,
}
COMPILED_DTYPES = (torch.float32, torch.float64)


def choose_backend(value: Tensor, sampling_locations: Tensor) -> str:
    """The fastest backend that takes these tensors: "numba" for float32 and float64 on a CPU, else "torch"."""
    compiled = value.device.type == "cpu" and value.dtype == sampling_locations.dtype and value.dtype in COMPILED_DTYPES
    return "numba" if compiled else "torch"


def check_backend(backend: str, value: Tensor, sampling_locations: Tensor) -> None:
    """Raises ValueError if `backend` does not exist or cannot take these tensors."""
    if backend not in BACKENDS:
        raise ValueError(f"ms_deform_attn: unknown backend {backend!r}; choose from auto, {', '.join(BACKENDS)}")
    if backend == "numba" and choose_backend(value, sampling_locations) != "numba":
        raise ValueError(
            f"ms_deform_attn: backend 'numba' takes float32 or float64 on the CPU, got {value.dtype} on {value.device}; "
            "use 'auto' or 'torch'"
        )


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]] | Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    backend: str = "auto",
) -> Tensor:
    """Multi-scale deformable attention: every query reads K points on each of L levels (the sums of Eq. 3).

    value: (N, S, M, D) tokens of all levels, finest first, split into M heads
    spatial_shapes: [(H, W), …] or an integer tensor (L, 2); the H·W add up to S
    sampling_locations: (N, Q, M, L, K, 2), x then y, in [0, 1] of the padded level; outside reads zero, and so does a
        location that is NaN or infinite
    attention_weights: (N, Q, M, L, K), usually softmaxed jointly over levels and points
    backend: "loops" (the specification, slow), "torch" (any device and dtype), "numba" (compiled; float32 and float64
        on the CPU), or "auto", the fastest that takes these tensors

    Returns (N, Q, M·D), differentiable in value, sampling_locations and attention_weights.
    Raises ValueError, naming the argument and the axis, if the tensors do not fit together.
    """
    spatial_shapes = normalise_shapes(spatial_shapes)
    check_operator_inputs(value, spatial_shapes, sampling_locations, attention_weights)
    if backend == "auto":
        backend = choose_backend(value, sampling_locations)
    check_backend(backend, value, sampling_locations)
    return BACKENDS[backend](value, spatial_shapes, sampling_locations, attention_weights)
