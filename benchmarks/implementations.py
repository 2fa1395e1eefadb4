"""Who is timed: every backend, PyTorch's compiler, and Hugging Face's layer; each with a reason where it cannot run."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.workloads import Workload
from defdetr_ref import ms_deform_attn
from defdetr_ref.ops.torch_ref import ms_deform_attn_torch
from defdetr_ref.positions import SpatialShapes

Operator = Callable[[Tensor, SpatialShapes, Tensor, Tensor], Tensor]
Gradients = Callable[[], object]
BASELINE = "torch"


@dataclass(frozen=True)
class Implementation:
    """`forward(*workload.arguments)`; `both` runs forward and backward, by autograd unless given."""

    name: str
    forward: Operator
    both: Callable[[Workload], object] | None = None

    def run(self, workload: Workload) -> Tensor:
        with torch.no_grad():
            return self.forward(*workload.arguments)

    def run_with_gradients(self, workload: Workload) -> object:
        if self.both is not None:
            return self.both(workload)
        with torch.enable_grad():
            value, shapes, places, weights = workload.arguments
            inputs = [tensor.detach().requires_grad_() for tensor in (value, places, weights)]
            output = self.forward(inputs[0], shapes, *inputs[1:])
            return torch.autograd.grad(output, inputs, workload.grad_output)


def forget_compilations() -> None:
    """Before each new size: `torch.compile` keeps eight compilations of a function, and runs the next one eagerly."""
    torch.compiler.reset()


def _compiled_by_torch() -> Operator:
    torch._dynamo.config.fail_on_recompile_limit_hit = True  # an eager call under this name would be a wrong figure
    return torch.compile(ms_deform_attn_torch, dynamic=False)


@functools.lru_cache
def _level_tensors(shapes: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Sizes (L, 2) and where each level starts (L,), which a detector makes once for all its layers."""
    sizes = torch.tensor(shapes, device=device)
    return sizes, torch.cat([sizes.new_zeros(1), sizes.prod(1).cumsum(0)[:-1]])


def _hugging_face() -> Operator:
    from transformers.models.deformable_detr.modeling_deformable_detr import MultiScaleDeformableAttention

    layer = MultiScaleDeformableAttention()

    def forward(value: Tensor, shapes: SpatialShapes, places: Tensor, weights: Tensor) -> Tensor:
        levels = _level_tensors(tuple(map(tuple, shapes)), value.device)
        return layer(value, levels[0], shapes, levels[1], places.to(value.dtype), weights.to(value.dtype), 64)

    return forward


def _deformops() -> Operator:
    """Triton kernels of the package deformops (Python 3.12 and newer)."""
    from deformops.registry import Backend, msda

    def forward(value: Tensor, shapes: SpatialShapes, places: Tensor, weights: Tensor) -> Tensor:
        levels = _level_tensors(tuple(map(tuple, shapes)), value.device)
        return msda(value, *levels, places, weights.to(value.dtype), backend=Backend.TRITON)

    return forward


def _cuda(kernel: str) -> Implementation:
    import defdetr_cuda

    def both(workload: Workload) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        output = defdetr_cuda.forward(*workload.arguments, kernel=kernel)
        return output, defdetr_cuda.backward(workload.grad_output, *workload.arguments, kernel=kernel)

    return Implementation(f"cuda, {kernel}", functools.partial(defdetr_cuda.forward, kernel=kernel), both)


def _backend(name: str) -> Implementation:
    return Implementation(name, functools.partial(ms_deform_attn, backend=name))


MAKERS: dict[str, dict[str, Callable[[], Implementation]]] = {
    "cpu": {
        BASELINE: lambda: _backend("torch"),
        "torch.compile": lambda: Implementation("torch.compile", _compiled_by_torch()),
        "transformers": lambda: Implementation("transformers", _hugging_face()),
        "numba": lambda: _backend("numba"),
    },
    "cuda": {
        BASELINE: lambda: _backend("torch"),
        "torch.compile": lambda: Implementation("torch.compile", _compiled_by_torch()),
        "transformers": lambda: Implementation("transformers", _hugging_face()),
        "deformops": lambda: Implementation("deformops", _deformops()),
        "cuda, textbook": lambda: _cuda("textbook"),
        "cuda, fast": lambda: _cuda("fast"),
        "cuda": lambda: _backend("cuda"),  # the fast kernel again, with PyTorch's operator and autograd around it
    },
}


def available(device: str, trial: Workload) -> tuple[list[Implementation], dict[str, str]]:
    """Those that ran `trial` forward and backward, and for the others the first line of why not."""
    found, reasons = [], {}
    for name, make in MAKERS[device].items():
        try:
            implementation = make()
            implementation.run_with_gradients(trial)
            implementation.run(trial)
            found.append(implementation)
        except Exception as error:  # a missing package, compiler, GPU or dtype: the reason is part of the report
            reasons[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return found, reasons
