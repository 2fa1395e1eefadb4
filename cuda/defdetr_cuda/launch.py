"""Torch tensors in, torch tensors out: the kernels launched by pointers on torch's current stream.

Nothing here waits for the GPU or copies to it, so that calls can be captured in a CUDA graph (once each kernel has been
compiled, by a call before the capture). Level sizes travel as kernel arguments.
"""

import functools
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from defdetr_cuda.limits import BFLOAT16_CAPABILITY, MAX_IMAGES, VECTOR_BYTES, VECTOR_REDUCTIONS
from defdetr_cuda.plans import MAX_LANES, PER_LANE, Plan, Sizes, fast_plan, sizes_overflow, textbook_plan

KERNELS = ("fast", "textbook")


def forward(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    kernel: str | None = None,
) -> Tensor:
    """The sums of Eq. 3: value (N, S, M, D), locations (N, Q, M, L, K, 2), weights (N, Q, M, L, K) → (N, Q, M·D).

    spatial_shapes: [(H, W), …] of the levels
    sampling_locations, attention_weights: on the GPU that value is on
    value: float32, float64, float16 or bfloat16; with the last two, locations and weights are used in float32
    kernel: "fast", "textbook", or None for the fast one wherever it applies
    Raises ValueError if `kernel` cannot take `value`, or if an index within an image does not fit into int32.
    """
    sizes, shapes, kernel = _prepare(value, spatial_shapes, attention_weights, kernel)
    numbers, dtype = _value_for(kernel, value)
    real = _coordinate_dtype(numbers)
    output = numbers.new_empty(sizes.batch, sizes.queries, sizes.heads * sizes.channels)
    if not output.numel() or not attention_weights.numel():
        return output.zero_().to(value.dtype)
    arrays = [_ready(numbers), _ready(sampling_locations.to(real)), _ready(attention_weights.to(real)), output]
    _launch(_plan("forward", kernel, dtype, sizes, shapes, value.device), sizes.batch, arrays)
    return output.to(value.dtype)


def backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    kernel: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to value, locations and weights, each in the shape and dtype of its tensor.

    The gradient of value is summed in float32 (float64 for float64) by atomic additions, whose order changes from run
    to run, and with it the last digits.

    grad_output: (N, Q, M·D), of the output of `forward`
    value, spatial_shapes, sampling_locations, attention_weights, kernel: as they were given to `forward`
    """
    sizes, shapes, kernel = _prepare(value, spatial_shapes, attention_weights, kernel)
    numbers, dtype = _value_for(kernel, value)
    real = _coordinate_dtype(numbers)
    inputs = value, sampling_locations, attention_weights
    gradients = [torch.zeros(x.shape, dtype=real, device=x.device) for x in inputs]  # the textbook kernel adds to all
    if grad_output.numel() and attention_weights.numel():
        floats = [_ready(x.to(real)) for x in (sampling_locations, attention_weights)]
        arrays = [_ready(grad_output.to(numbers.dtype)), _ready(numbers), *floats, *gradients]
        _launch(_plan("backward", kernel, dtype, sizes, shapes, value.device), sizes.batch, arrays)
    grad_value, grad_locations, grad_weights = (grad.to(x.dtype) for grad, x in zip(gradients, inputs, strict=True))
    return grad_value, grad_locations, grad_weights


def _prepare(value: Tensor, spatial_shapes, attention_weights: Tensor, kernel: str | None):
    sizes = _sizes(value, attention_weights)
    kernel = kernel or choose_kernel(value)
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; choose from {', '.join(KERNELS)}")
    refused = sizes_overflow(sizes) or (why_not_fast(value) if kernel == "fast" else None)
    if refused:
        raise ValueError(refused)
    return sizes, tuple(int(side) for shape in spatial_shapes for side in shape), kernel


def _sizes(value: Tensor, points: Tensor) -> Sizes:
    """points: the locations or the weights."""
    batch, tokens, heads, channels = value.shape
    _, queries, _, levels, points = points.shape[:5]
    return Sizes(batch, tokens, heads, channels, queries, levels, points)


def _value_for(kernel: str, value: Tensor) -> tuple[Tensor, str]:
    """`value` as the kernel wants it, and the name of its dtype: the textbook kernel reads no 16-bit numbers."""
    if kernel == "textbook" and value.dtype != torch.float64:
        value = value.float()
    return value, _dtype_name(value)


def _dtype_name(value: Tensor) -> str:
    """As the plans name it: "float32"."""
    return str(value.dtype).removeprefix("torch.")


def _coordinate_dtype(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _ready(tensor: Tensor) -> Tensor:
    """The same numbers in C order, at an address that vector loads accept."""
    tensor = tensor.detach().contiguous()
    return tensor if tensor.data_ptr() % VECTOR_BYTES == 0 else tensor.clone()


def _plan(direction: str, kernel: str, dtype: str, sizes: Sizes, shapes: tuple[int, ...], device) -> Plan:
    # The plan is the same for any number of images, so its cache need not tell them apart.
    sizes = sizes._replace(batch=1)
    if kernel == "textbook":
        return textbook_plan(direction, dtype, sizes, shapes)
    vectors = torch.cuda.get_device_capability(device) >= VECTOR_REDUCTIONS
    return fast_plan(direction, dtype, sizes, shapes, vector_reductions=vectors)


def _launch(plan: Plan, batch: int, arrays: list[Tensor]) -> None:
    """`arrays` have one entry for each image on their first axis."""
    device = arrays[0].device
    with torch.cuda.device(device):
        compiled = _compiled(plan.kernel, plan.pointers, tuple(map(len, plan.scalars)), device)
        stream = torch.cuda.current_stream(device).cuda_stream
        for first in range(0, batch, MAX_IMAGES):
            images = min(batch - first, MAX_IMAGES)
            run = _configured(compiled, (*plan.grid, images), plan.threads, device, stream)
            run(*(array[first].data_ptr() for array in arrays), *plan.scalars)


@functools.cache
def _compiled(kernel: Callable, pointers: tuple[str, ...], lengths: tuple[int, ...], device: torch.device):
    """The kernel as machine code for `device`, the current one."""
    from numba import cuda
    from numba.cuda import types

    return cuda.jit(signature(types, pointers, lengths))(kernel)


def signature(types, pointers: tuple[str, ...], lengths: tuple[int, ...]):
    """Pointers make one kernel parameter each, where arrays would make seven and more."""
    arrays = [types.CPointer(getattr(types, name)) for name in pointers]
    return types.void(*arrays, *(types.UniTuple(types.int32, length) for length in lengths))


@functools.lru_cache(maxsize=1024)
def _configured(compiled, grid: tuple[int, int, int], threads: int, device: torch.device, stream: int):
    from numba import cuda

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Numba warns of small grids; a decoder's is small
        return compiled[grid, threads, cuda.external_stream(stream) if stream else 0]


def why_not_fast(value: Tensor) -> str | None:
    """Why the fast kernel cannot take `value` (N, S, M, D), in words; None if it can."""
    dtype, channels = _dtype_name(value), value.shape[-1]
    if dtype not in PER_LANE:
        return f"the fast kernel takes float32, float16 or bfloat16 values, not {value.dtype}"
    together = PER_LANE[dtype]
    if channels % together:
        return f"the fast kernel loads {together} channels of {value.dtype} at a time, and {channels} is no multiple"
    if not 0 < channels <= together * MAX_LANES:
        return f"the fast kernel takes at most {together * MAX_LANES} channels of {value.dtype} a head, not {channels}"
    capability = torch.cuda.get_device_capability(value.device) if value.is_cuda else BFLOAT16_CAPABILITY
    if value.dtype == torch.bfloat16 and capability < BFLOAT16_CAPABILITY:
        return f"bfloat16 needs a GPU of compute capability 8.0, this one has {capability[0]}.{capability[1]}"
    return None


def choose_kernel(value: Tensor) -> str:
    """ "fast" where it applies, else "textbook"."""
    return "textbook" if why_not_fast(value) else "fast"


def index_overflow(value: Tensor, sampling_locations: Tensor) -> str | None:
    """One sentence if an index within one image would not fit into int32; None if all do."""
    return sizes_overflow(_sizes(value, sampling_locations))
