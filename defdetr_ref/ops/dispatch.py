"""One function, several backends: which of them runs, and why."""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from defdetr_ref.ops.checks import REDUCED, check_operator_inputs, normalise_shapes, token_overflow
from defdetr_ref.ops.custom_op import ms_deform_attn_compiled
from defdetr_ref.ops.loops_autograd import ms_deform_attn_loops
from defdetr_ref.ops.torch_ref import ms_deform_attn_torch


@dataclasses.dataclass(frozen=True)
class Backend:
    """One way to compute the operator.

    run: the operator; its arguments are those of `ms_deform_attn`, checked and complete.
    why_not: of value and sampling_locations, one sentence on why it cannot take them; None if it can.
    describe: of value, what runs, in a few words.
    device_type: of the tensors for which "auto" considers it, "cpu" or "cuda"; None for those of every device.
    """

    run: Callable[..., Tensor]
    why_not: Callable[[Tensor, Tensor], str | None]
    describe: Callable[[Tensor], str]
    device_type: str | None = None


@torch.compiler.assume_constant_result  # torch.compile takes the answer and does not look into the search
def cuda_problem() -> str | None:
    """One sentence on what the CUDA kernels lack here: numba-cuda, a driver or a GPU; None if nothing."""
    import defdetr_cuda

    return defdetr_cuda.why_unavailable()


def why_not_numba(value: Tensor, sampling_locations: Tensor) -> str | None:
    if value.device.type != "cpu":
        return f"It takes tensors on the CPU, and these are on {value.device}."
    return token_overflow(value)


def why_not_cuda(value: Tensor, sampling_locations: Tensor) -> str | None:
    if problem := cuda_problem():
        return problem
    if value.device.type != "cuda":
        return f"It takes tensors on an NVIDIA GPU, and these are on {value.device}."
    import defdetr_cuda

    return defdetr_cuda.index_overflow(value, sampling_locations)


def describe_cuda(value: Tensor) -> str:
    import defdetr_cuda

    kernel, reason = defdetr_cuda.choose_kernel(value), defdetr_cuda.why_not_fast(value)
    return f"the {kernel} kernel on the GPU" + (f", because {reason}" if reason else "")


def takes_all(value: Tensor, sampling_locations: Tensor) -> None:
    return None


# Slowest first: "auto" takes the last one that can. A new backend is one more entry.
BACKENDS: dict[str, Backend] = {
    "loops": Backend(ms_deform_attn_loops, takes_all, lambda value: "NumPy loops, the specification"),
    "torch": Backend(ms_deform_attn_torch, takes_all, lambda value: "grid_sample, which works on every device"),
    "numba": Backend(ms_deform_attn_compiled, why_not_numba, lambda value: "loops compiled for the CPU", "cpu"),
    "cuda": Backend(ms_deform_attn_compiled, why_not_cuda, describe_cuda, "cuda"),
}


def choose_backend(value: Tensor, sampling_locations: Tensor) -> str:
    """The fastest backend that takes these tensors; "torch" takes all."""
    for name in reversed(list(BACKENDS)):
        backend = BACKENDS[name]
        if backend.device_type in (None, value.device.type) and backend.why_not(value, sampling_locations) is None:
            return name
    raise AssertionError("the torch backend takes all tensors")


def require_backend(name: str) -> None:
    """Raises ValueError if there is no backend of this name, and it is not "auto"."""
    if name != "auto" and name not in BACKENDS:
        raise ValueError(f"ms_deform_attn: unknown backend {name!r:.60}; choose from auto, {', '.join(BACKENDS)}")


def check_backend(name: str, value: Tensor, sampling_locations: Tensor) -> None:
    """Raises ValueError if the backend does not exist or cannot take these tensors."""
    require_backend(name)
    if reason := BACKENDS[name].why_not(value, sampling_locations):
        raise ValueError(f"ms_deform_attn: backend {name!r} cannot be used. {reason} Or choose backend='auto'.")


def explain_choice(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]] | Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> str:
    """Which backend "auto" chooses for these arguments of `ms_deform_attn`, and why not a faster one, in words.

    value, spatial_shapes, sampling_locations, attention_weights: as in `ms_deform_attn`, which refuses the same ones.
    """
    check_operator_inputs(value, normalise_shapes(spatial_shapes), sampling_locations, attention_weights)
    chosen = choose_backend(value, sampling_locations)
    sentences = [f"{chosen}: {BACKENDS[chosen].describe(value)}."]
    if value.dtype in REDUCED:
        sentences.append(f"The {value.dtype} values are summed in float32, the result is rounded.")
    names = list(BACKENDS)
    for faster in reversed(names[names.index(chosen) + 1 :]):
        sentences.append(f"Not {faster}: {BACKENDS[faster].why_not(value, sampling_locations)}")
    return " ".join(sentences)


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]] | Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    backend: str = "auto",
) -> Tensor:
    """Multi-scale deformable attention: every query reads K points on each of L levels (the sums of Eq. 3).

        output_qm = Σ_l Σ_k A_mlqk · x_m^l( φ_l(p̂_q) + Δp_mlqk )

    Here A_mlqk are the attention weights, x_m^l the values of head m on level l, φ_l(p̂_q) + Δp_mlqk the locations.

    value: (N, S, M, D) tokens of all levels, finest first, split into M heads
    spatial_shapes: [(H, W), …] or an integer tensor (L, 2); the H·W add up to S
    sampling_locations: (N, Q, M, L, K, 2), x then y, in [0, 1] of the padded level; outside reads zero, and so does a
        location that is NaN or infinite
    attention_weights: (N, Q, M, L, K), usually softmaxed jointly over levels and points
    backend: "loops" (the specification, slow), "torch" (any device), "numba" (compiled for the CPU), "cuda" (compiled
        for NVIDIA GPUs), or "auto", the fastest that takes these tensors: see `explain_choice`

    float32 or float64, or float16/bfloat16 values with locations and weights of that dtype or float32: these are summed
    in float32. Returns (N, Q, M·D) in the dtype of value, differentiable in value, sampling_locations and
    attention_weights; only "torch" can be differentiated twice, the others then raise NotImplementedError.
    Raises ValueError, naming the argument and the axis, if the tensors do not fit together or the backend not them.
    """
    spatial_shapes = normalise_shapes(spatial_shapes)
    check_operator_inputs(value, spatial_shapes, sampling_locations, attention_weights)
    if backend == "auto":
        backend = choose_backend(value, sampling_locations)
    else:
        check_backend(backend, value, sampling_locations)
    if value.dtype in REDUCED:
        sampling_locations, attention_weights = sampling_locations.float(), attention_weights.float()
    return BACKENDS[backend].run(value, spatial_shapes, sampling_locations, attention_weights)
