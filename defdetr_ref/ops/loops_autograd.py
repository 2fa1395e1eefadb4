"""The NumPy loops as a differentiable PyTorch function, so that they can stand where any other backend stands."""

import torch
from torch import Tensor

from defdetr_ref.ops import loops
from defdetr_ref.ops.checks import refuse_second_derivative
from defdetr_ref.positions import SpatialShapes


class _Loops(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, spatial_shapes, locations, weights):
        ctx.spatial_shapes = spatial_shapes
        ctx.save_for_backward(value, locations, weights)
        arrays = _arrays(value, locations, weights)
        return torch.from_numpy(loops.forward(arrays[0], spatial_shapes, *arrays[1:])).to(value.device)

    @staticmethod
    def backward(ctx, grad_output):
        grad_value, *grads = _LoopsBackward.apply(grad_output, ctx.spatial_shapes, *ctx.saved_tensors)
        return grad_value, None, *grads


class _LoopsBackward(torch.autograd.Function):
    """A function of its own, so that asking for its derivative is noticed."""

    @staticmethod
    def forward(ctx, grad_output, spatial_shapes, value, locations, weights):
        grad_array, value_array, *arrays = _arrays(grad_output, value, locations, weights)
        grads = loops.backward(grad_array, value_array, spatial_shapes, *arrays)
        return tuple(torch.from_numpy(grad).to(value.device) for grad in grads)

    backward = staticmethod(refuse_second_derivative)


def _arrays(*tensors: Tensor):
    return [tensor.detach().cpu().numpy() for tensor in tensors]


def ms_deform_attn_loops(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """The sums of Eq. 3, one at a time, in the dtype of the locations. See `ms_deform_attn` for the arguments."""
    wide = value.to(sampling_locations.dtype)
    return _Loops.apply(wide, spatial_shapes, sampling_locations, attention_weights).to(value.dtype)
