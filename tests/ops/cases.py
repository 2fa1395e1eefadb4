"""What the tests of the operator share: inputs in which every count is different, and one way to run any backend."""

import pytest
import torch
from torch import Tensor

from defdetr_ref import ms_deform_attn
from defdetr_ref.ops import BACKENDS
from defdetr_ref.ops.dispatch import cuda_problem

SHAPES = [(5, 3), (2, 4), (1, 6)]  # H ≠ W, and a level of a single row
NEEDS_GPU = pytest.mark.skipif(cuda_problem() is not None, reason=str(cuda_problem()))
EVERY_BACKEND = [pytest.param(name, marks=NEEDS_GPU) if name == "cuda" else name for name in BACKENDS]
FAST_BACKENDS = EVERY_BACKEND[1:]  # all but the loops, which they are compared with
TWICE_DIFFERENTIABLE = ("torch",)  # the others must refuse a second derivative in words
HERE = [name for name in BACKENDS if name != "cuda"]  # those that need no GPU


def make_inputs(batch=2, queries=7, heads=3, dim=4, points=2, shapes=SHAPES, seed=0, spread=0.4, dtype=torch.float64):
    """value, locations, weights: some locations are outside the map; the default counts are all different."""
    rng = torch.Generator().manual_seed(seed)
    tokens = sum(height * width for height, width in shapes)
    draw = lambda *size: torch.randn(*size, generator=rng, dtype=torch.float64)  # noqa: E731
    value = draw(batch, tokens, heads, dim)
    locations = 0.5 + spread * draw(batch, queries, heads, len(shapes), points, 2)
    weights = draw(batch, queries, heads, len(shapes) * points).softmax(-1).unflatten(-1, (len(shapes), points))
    return tuple(tensor.to(dtype) for tensor in (value, locations, weights))


def run(backend: str, shapes, *inputs: Tensor) -> list[Tensor]:
    """The output and the three gradients for a fixed random cotangent, on the CPU."""
    device = "cuda" if backend == "cuda" else "cpu"
    leaves = [tensor.detach().to(device).requires_grad_() for tensor in inputs]
    output = ms_deform_attn(leaves[0], shapes, *leaves[1:], backend=backend)
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = torch.autograd.grad(output, leaves, cotangent.to(output))
    return [tensor.detach().cpu() for tensor in (output, *gradients)]


def assert_all_close(actual: list[Tensor], expected: list[Tensor], rtol: float = 1e-10, atol: float = 1e-11) -> None:
    names = ("output", "grad_value", "grad_locations", "grad_weights")
    for name, one, other in zip(names, actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol, msg=lambda text: f"{name}: {text}")  # noqa: B023


def assert_agrees_with_loops(backend: str, shapes, *inputs: Tensor) -> None:
    assert_all_close(run(backend, shapes, *inputs), run("loops", shapes, *inputs))
