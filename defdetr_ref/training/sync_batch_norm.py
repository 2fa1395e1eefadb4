"""Batch norm over the images of all processes, so that two processes train as one does.

PyTorch's own SyncBatchNorm is for GPUs alone; on a CPU each process would normalise by the statistics of its share of
the batch.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class GlobalBatchNorm(torch.autograd.Function):
    """y = γ (x − μ) / √(σ² + ε) + β, with mean μ and variance σ² over the batches of all processes (Ioffe & Szegedy).

    x̂ = (x − μ) / √(σ² + ε) depends on every x through μ and σ², also on those of other processes, so backward needs
    two sums over all processes: ∂L/∂x = γ / √(σ² + ε) · (∂L/∂y − mean(∂L/∂y) − x̂ · mean(x̂ · ∂L/∂y)).
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, count: float, eps: float):
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.count, ctx.eps = count, eps
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx, grad_output: Tensor):
        x, weight, mean, variance = ctx.saved_tensors
        inverse = (variance + ctx.eps).rsqrt()
        normalised = (x - _per_channel(mean)) * _per_channel(inverse)
        sums = torch.stack([grad_output.sum((0, 2, 3)), (grad_output * normalised).sum((0, 2, 3))])  # (2, C)
        grad_bias, grad_weight = sums[0].clone(), sums[1].clone()  # of this process: DDP takes their mean itself
        dist.all_reduce(sums)
        mean_grad, mean_product = sums / ctx.count
        grad_input = grad_output - _per_channel(mean_grad) - normalised * _per_channel(mean_product)
        return grad_input * _per_channel(weight * inverse), grad_weight, grad_bias, None, None, None, None


class SyncBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose statistics, while training, are those of all processes together.

    Parameters, buffers and their names are those of BatchNorm2d, so weights travel between the two.
    """

    def forward(
        self, input: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        if not self.training or not dist.is_initialized():  # the model may be trained on by one process
            return super().forward(input)
        mean, variance, count = global_statistics(input.detach())
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)  # unbiased, as PyTorch keeps it
        return GlobalBatchNorm.apply(input, self.weight, self.bias, mean, variance, count, self.eps)


def global_statistics(x: Float[Tensor, "batch channel height width"]) -> tuple[Tensor, Tensor, float]:
    """Mean and biased variance of each channel over all processes, and how many values each is of.

    The mean comes first and the squares are taken around it: E[x²] − E[x]² would lose digits.
    """
    sums = torch.cat([x.sum((0, 2, 3)), x.new_tensor([x.numel() / x.shape[1]])])  # (C + 1,)
    dist.all_reduce(sums)
    count = float(sums[-1])
    mean = sums[:-1] / count
    squares = (x - _per_channel(mean)).square().sum((0, 2, 3))
    dist.all_reduce(squares)
    return mean, squares / count, count


def synchronise_batch_norms(model: nn.Module) -> None:
    """Replace every trained BatchNorm2d inside `model`, in place, keeping its parameters and buffers."""
    for name, child in model.named_children():
        if type(child) is nn.BatchNorm2d:
            synchronised = SyncBatchNorm(child.num_features, child.eps, child.momentum)
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(synchronised, part, getattr(child, part))  # the very same, which the optimizer may know
            setattr(model, name, synchronised.train(child.training))
        else:
            synchronise_batch_norms(child)


def _per_channel(values: Float[Tensor, " channel"]) -> Float[Tensor, "1 channel 1 1"]:
    return values[None, :, None, None]
