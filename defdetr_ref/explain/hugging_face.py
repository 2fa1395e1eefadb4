"""How to record the deformable attention of Hugging Face's models. transformers itself is never imported here.

Its operators come in two kinds, told apart by the names of their classes:

| kind                            | models                                            | seen by                       |
|---------------------------------|---------------------------------------------------|-------------------------------|
| a child module of the attention | Deformable DETR, RT-DETR, Grounding DINO, LW-DETR | a forward hook on the module  |
| a function of the model's file  | Mask2Former, OneFormer, RT-DETR v2, D-FINE        | a wrapper around the function |
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from jaxtyping import Float
from torch import Tensor, nn

Sampling = tuple[Tensor, Tensor, tuple[tuple[int, int], ...]]  # locations, weights, (height, width) of every level
OPERATOR_MODULE = "MultiScaleDeformableAttention"
ATTENTION_SUFFIX = "MultiscaleDeformableAttention"  # of the modules around it: "Mask2FormerPixelDecoderEncoder…"
FUNCTIONS = ("multi_scale_deformable_attention", "multi_scale_deformable_attention_v2")


def operators_in(model: nn.Module) -> dict[type[nn.Module], Callable[[Mapping[str, Any]], Sampling]]:
    """For `record(operators=…)`: the classes of operator modules in `model`, and how to read their arguments."""
    kinds = {type(module) for module in model.modules()}
    return {kind: capture for kind in kinds if _is_theirs(kind) and kind.__name__ == OPERATOR_MODULE}


def attentions_in(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Paths and modules of the attentions whose operator is a function."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if _is_theirs(type(module)) and type(module).__name__.endswith(ATTENTION_SUFFIX) and _function_of(module)
    ]


def _is_theirs(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "transformers"


def _function_of(attention: nn.Module) -> str | None:
    """The name of the operator in the file that the attention is written in; None where it is a module."""
    namespace = vars(sys.modules[type(attention).__module__])
    return next((function for function in FUNCTIONS if function in namespace), None)


def capture(arguments: Mapping[str, Any]) -> Sampling:
    """Locations, weights and level shapes from the arguments, by name, of either kind of operator."""
    listed = arguments.get("value_spatial_shapes_list", arguments["value_spatial_shapes"])
    shapes = tuple((int(height), int(width)) for height, width in listed)
    locations = arguments["sampling_locations"].detach()  # (N, Q, M, L, K, 2), or (N, Q, M, points of all levels, 2)
    weights = arguments["attention_weights"].detach()
    if "num_points_list" in arguments:
        counts = arguments["num_points_list"]
        return by_level(locations, counts, dim=-2), by_level(weights, counts, dim=-1, padding=0.0), shapes
    return locations, weights, shapes


def by_level(
    samples: Float[Tensor, "*shape"], counts: Sequence[int], dim: int, padding: float | None = None
) -> Float[Tensor, "*shape_by_level"]:
    """Points of all levels in one row → (…, level, point, …), `counts` of them on each level.

    A level with fewer points than another is filled up: with `padding`, or with its own last point.
    """
    filled = []
    for level in samples.split(list(counts), dim=dim):
        last = level.narrow(dim, level.shape[dim] - 1, 1)
        filler = last if padding is None else torch.full_like(last, padding)
        filled.append(torch.cat([level, *[filler] * (max(counts) - level.shape[dim])], dim=dim))
    return torch.stack(filled, dim=dim - 1)


@contextmanager
def watched_functions(
    attentions: Sequence[tuple[str, nn.Module]], note: Callable[[str, Sampling], None]
) -> Iterator[None]:
    """Inside the block, `note(name, sampling)` is called whenever one of the attentions calls its operator function.

    The function is replaced where the attention looks it up, in its file or on the module, and put back after the
    block. It computes what it computed before.
    """
    running: dict[str, str] = {}

    def watched(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Tensor:
            if "name" in running:  # else it is another model that calls
                note(running.pop("name"), capture(signature.bind(*args, **kwargs).arguments))
            return original(*args, **kwargs)

        return call

    with ExitStack() as cleanup:
        for name, attention in attentions:
            hook = attention.register_forward_pre_hook(lambda *_, name=name: running.update(name=name))
            cleanup.callback(hook.remove)
        for holder, attribute in _places_of_functions(attentions):
            cleanup.enter_context(patch.object(holder, attribute, watched(getattr(holder, attribute))))
        yield


def _places_of_functions(attentions: Sequence[tuple[str, nn.Module]]) -> list[tuple[Any, str]]:
    """Where functions are looked up: (file, name) once for each file, (module, attribute) where one is held."""
    files = {type(attention).__module__: _function_of(attention) for _, attention in attentions}
    places: list[tuple[Any, str]] = [(sys.modules[file], str(function)) for file, function in files.items()]
    for _, attention in attentions:
        original = getattr(sys.modules[type(attention).__module__], str(_function_of(attention)))
        places += [(attention, attribute) for attribute, value in vars(attention).items() if value is original]
    return places
