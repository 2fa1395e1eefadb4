"""The compiled kernels as one operator of PyTorch, which autograd, torch.compile and torch.export understand.

PyTorch picks the kernel by the tensors' device: `numba_cpu.py` on a CPU, the package `defdetr_cuda` on an NVIDIA GPU.
For a compiler it is a single node, `torch.ops.defdetr.ms_deform_attn`; the *fake* versions below tell it the shapes of
the results.
"""

import torch
from torch import Tensor

from defdetr_ref.ops import numba_cpu
from defdetr_ref.ops.checks import refuse_second_derivative
from defdetr_ref.positions import SpatialShapes


def _pairs(flat_shapes: list[int]) -> SpatialShapes:
    """H_1, W_1, H_2, W_2, … → [(H_1, W_1), (H_2, W_2), …]; an operator's signature knows no lists of pairs."""
    return list(zip(flat_shapes[::2], flat_shapes[1::2], strict=True))


# Written out, because older versions of PyTorch cannot read `list[int]` off a signature. SymInt: a whole number that a
# compiler may leave open, so that one graph serves all image sizes.
INPUTS = "Tensor value, SymInt[] flat_shapes, Tensor sampling_locations, Tensor attention_weights"
FORWARD = f"({INPUTS}) -> Tensor"
BACKWARD = f"(Tensor grad_output, {INPUTS}) -> (Tensor, Tensor, Tensor)"


@torch.library.custom_op("defdetr::ms_deform_attn", mutates_args=(), device_types="cpu", schema=FORWARD)
def operator(value: Tensor, flat_shapes: list[int], sampling_locations: Tensor, attention_weights: Tensor) -> Tensor:
    """flat_shapes: H_1, W_1, H_2, W_2, …; the rest as in `dispatch.ms_deform_attn`.

    Locations and weights are float32 or float64, value of the same dtype, or float16/bfloat16 beside float32.
    """
    output = numba_cpu.forward(value, _pairs(flat_shapes), sampling_locations, attention_weights)
    return output.to(value.dtype)


@torch.library.custom_op("defdetr::ms_deform_attn_backward", mutates_args=(), device_types="cpu", schema=BACKWARD)
def operator_backward(
    grad_output: Tensor, value: Tensor, flat_shapes: list[int], sampling_locations: Tensor, attention_weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of value, sampling_locations and attention_weights, contiguous, each in the dtype of its tensor."""
    inputs = (value, _pairs(flat_shapes), sampling_locations, attention_weights)
    grad_value, *grads = numba_cpu.backward(grad_output, *inputs)
    return grad_value.to(value.dtype), *grads


@operator.register_kernel("cuda")
def cuda_forward(value, flat_shapes, sampling_locations, attention_weights):
    import defdetr_cuda  # only here: it is a package of its own, not needed without a GPU

    return defdetr_cuda.forward(value, _pairs(flat_shapes), sampling_locations, attention_weights)


@operator_backward.register_kernel("cuda")
def cuda_backward(grad_output, value, flat_shapes, sampling_locations, attention_weights):
    import defdetr_cuda

    return defdetr_cuda.backward(grad_output, value, _pairs(flat_shapes), sampling_locations, attention_weights)


@operator.register_fake
def _(value, flat_shapes, sampling_locations, attention_weights):
    batch, queries, heads = attention_weights.shape[:3]
    return value.new_empty(batch, queries, heads * value.shape[3])


@operator_backward.register_fake
def _(grad_output, value, flat_shapes, sampling_locations, attention_weights):
    inputs = (value, sampling_locations, attention_weights)
    return tuple(torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in inputs)


def _save_inputs(ctx, inputs, output):
    value, ctx.flat_shapes, sampling_locations, attention_weights = inputs
    ctx.save_for_backward(value, sampling_locations, attention_weights)


def _backward(ctx, grad_output):
    value, locations, weights = ctx.saved_tensors
    grad_value, *grads = operator_backward(grad_output, value, ctx.flat_shapes, locations, weights)
    return grad_value, None, *grads


operator.register_autograd(_backward, setup_context=_save_inputs)
operator_backward.register_autograd(refuse_second_derivative)


def ms_deform_attn_compiled(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """The sums of Eq. 3 by the compiled kernel of the tensors' device. See `ms_deform_attn` for the arguments."""
    flat_shapes = [side for shape in spatial_shapes for side in shape]
    return operator(value, flat_shapes, sampling_locations, attention_weights)
