"""What the GPU tests share: the reason why they are skipped, and the kernels on NumPy arrays through torch."""

import defdetr_cuda
import numpy as np
import pytest
import torch

from tests.cuda_kernels.comparison import Case

REASON = defdetr_cuda.why_unavailable()
needs_gpu = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def tensors_of(case: Case, dtype: str, device: str = "cuda") -> tuple[torch.Tensor, ...]:
    """value, locations, weights, cotangent; with a 16-bit dtype, locations and weights are float32."""
    narrow = getattr(torch, dtype)
    real = torch.float64 if dtype == "float64" else torch.float32
    arrays = case.value, case.locations, case.weights, case.cotangent
    dtypes = narrow, real, real, narrow
    return tuple(
        torch.from_numpy(array).to(device=device, dtype=kind) for array, kind in zip(arrays, dtypes, strict=True)
    )


def on_gpu(case: Case, kernel: str, dtype: str) -> list[np.ndarray]:
    """The output and the gradients of value, locations and weights: a runner of `comparison.compare`."""
    value, locations, weights, cotangent = tensors_of(case, dtype)
    output = defdetr_cuda.forward(value, case.shapes, locations, weights, kernel=kernel)
    gradients = defdetr_cuda.backward(cotangent, value, case.shapes, locations, weights, kernel=kernel)
    return [tensor.double().cpu().numpy() for tensor in (output, *gradients)]


def by_grid_sample(case: Case) -> list[np.ndarray]:
    """The same on the GPU in float64, by PyTorch's own operators: for cases too large for the loops."""
    from defdetr_ref.ops.torch_ref import ms_deform_attn_torch

    value, locations, weights, cotangent = tensors_of(case, "float64")
    leaves = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    output = ms_deform_attn_torch(leaves[0], case.shapes, *leaves[1:])
    gradients = torch.autograd.grad(output, leaves, cotangent)
    return [tensor.detach().cpu().numpy() for tensor in (output, *gradients)]


def encoder_case(shapes, batch=1, heads=8, channels=32, points=4, sigma=3.0, seed=0) -> Case:
    """An encoder's queries, each sampling around its own pixel on every level: σ in pixels of the level."""
    rng = np.random.default_rng(seed)
    middle = lambda size: (np.arange(size) + 0.5) / size  # noqa: E731
    maps = [np.stack(np.meshgrid(middle(width), middle(height)), axis=-1) for height, width in shapes]
    centres = np.concatenate([centre.reshape(-1, 2) for centre in maps])  # (Q, 2)
    sides = np.array([(width, height) for height, width in shapes])  # (L, 2)
    offsets = rng.normal(0, sigma, size=(batch, len(centres), heads, len(shapes), points, 2)) / sides[:, None]
    weights = rng.random(offsets.shape[:-1])
    weights /= weights.sum((3, 4), keepdims=True)
    value = rng.normal(size=(batch, len(centres), heads, channels))
    cotangent = rng.normal(size=(batch, len(centres), heads * channels))
    return Case(list(shapes), value, centres[:, None, None, None] + offsets, weights, cotangent)
