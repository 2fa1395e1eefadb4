"""Where the models of transformers call deformable attention, and with what; transformers itself is not imported.

Its operators come in three kinds, told apart by the names of their classes and functions:

| kind                               | models                                                                      |
|------------------------------------|-----------------------------------------------------------------------------|
| a child module of the attention    | Deformable DETR, RT-DETR, Grounding DINO, LW-DETR, RF-DETR, OmDet-Turbo …   |
| a function of the model's file     | Mask2Former, OneFormer, RT-DETR v2                                          |
| a function held by the attention   | D-FINE, DEIMv2                                                              |
"""

import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Locations, weights, and (height, width) of every level.
Sampling = tuple[Tensor, Tensor, Sequence[Sequence[int]] | Tensor]
Handler = Callable[[str, Callable[[], Tensor], Mapping[str, Any]], Tensor]  # see `intercept`
OPERATOR_MODULE = "MultiScaleDeformableAttention"
ATTENTION_SUFFIX = "MultiscaleDeformableAttention"  # of the modules around it: "Mask2FormerPixelDecoderEncoder…"
FUNCTIONS = ("multi_scale_deformable_attention", "multi_scale_deformable_attention_v2")


@dataclass(frozen=True)
class Operator:
    """An attention of a model, and the place where it looks up its operator."""

    name: str  # path of the attention in the model
    attention: nn.Module
    holder: Any  # a module of the model, or the file of transformers
    attribute: str  # of the holder


def operators_in(model: nn.Module) -> list[Operator]:
    """Of every deformable attention in `model` that is transformers' own, in the order of its modules."""
    return [
        Operator(name, attention, *place)
        for name, attention in model.named_modules()
        if _is_theirs(attention) and (place := _place_of_operator(attention))
    ]


def _is_theirs(module: nn.Module) -> bool:
    return type(module).__module__.split(".")[0] == "transformers"


def _place_of_operator(attention: nn.Module) -> tuple[Any, str] | None:
    """(holder, attribute); None if the module is no deformable attention."""
    for child in attention.children():
        if _is_theirs(child) and type(child).__name__ == OPERATOR_MODULE:
            return child, "forward"
    if not type(attention).__name__.endswith(ATTENTION_SUFFIX):
        return None
    for attribute, value in vars(attention).items():
        if getattr(value, "__name__", None) in FUNCTIONS:
            return attention, attribute
    file = sys.modules[type(attention).__module__]
    return next(((file, function) for function in FUNCTIONS if hasattr(file, function)), None)


def reads_between_pixels(operator: Operator) -> bool:
    """False for the "discrete" method of RT-DETR v2 and its kin, which rounds to whole pixels."""
    attention = operator.attention
    return getattr(attention, "method", getattr(attention, "decoder_method", "default")) == "default"


def sampling_of(arguments: Mapping[str, Any]) -> Sampling:
    """Locations, weights and level shapes from the arguments, by name, of any kind of operator."""
    shapes = arguments.get("value_spatial_shapes_list", arguments["value_spatial_shapes"])
    locations = arguments["sampling_locations"]  # (N, Q, M, L, K, 2), or (N, Q, M, points of all levels, 2)
    weights = arguments["attention_weights"]
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


@dataclass(frozen=True)
class Interception:
    """A handler of the operators of one model, and which of its attentions is running: {"name": its path}, or {}."""

    handle: Handler
    running: dict[str, str] = field(default_factory=dict)


def intercept(operators: Sequence[Operator], handle: Handler, *, innermost: bool = False) -> ExitStack:
    """From now on, `handle(name, compute, arguments)` is called whenever one of the attentions calls its operator.

    It gets the attention's path, a function that computes the operator, and the arguments by name; what it returns, the
    attention gets. Closing the stack that is returned ends it. Handlers may be nested, and end in any order.

    The operator is replaced where the attention looks it up. A function of a file is shared by all models of that file:
    for the others it computes what it computed before, and it is put back when the model is gone.

    operators: of one model.
    handle: see above.
    innermost: whether `compute` of all other handlers, earlier and later ones, calls this one.
    """
    interception, cleanup, in_files = Interception(handle), ExitStack(), ExitStack()
    for holder, attribute in dict.fromkeys((one.holder, one.attribute) for one in operators):
        place = in_files if isinstance(holder, ModuleType) else cleanup
        interceptions = _interceptions_at(holder, attribute, place)
        interceptions.insert(0 if innermost else len(interceptions), interception)
        place.callback(interceptions.remove, interception)
    cleanup.callback(in_files.close)
    if operators:  # files outlive the model; what was put into the model itself goes with it
        weakref.finalize(operators[0].attention, in_files.close).atexit = False
    for one in operators:
        hook = one.attention.register_forward_pre_hook(lambda *_, name=one.name: interception.running.update(name=name))
        cleanup.callback(hook.remove)
    return cleanup


def _interceptions_at(holder: Any, attribute: str, cleanup: ExitStack) -> list[Interception]:
    """The list, innermost first, that the operator at this place consults; an empty one is made to be consulted.

    After `cleanup` an operator whose list is empty is back in its place.
    """
    current = getattr(holder, attribute)
    if not hasattr(current, "interceptions"):
        setattr(holder, attribute, _consulting(current, in_holder=attribute in vars(holder)))

    def restore() -> None:
        consulting = vars(holder).get(attribute)
        if getattr(consulting, "interceptions", None) == []:
            if consulting.in_holder:
                setattr(holder, attribute, consulting.__wrapped__)
            else:  # a method, which is its class's
                delattr(holder, attribute)

    cleanup.callback(restore)
    return getattr(holder, attribute).interceptions


def _consulting(operator: Callable[..., Tensor], in_holder: bool) -> Callable[..., Tensor]:
    """`operator`, handed to each interception in its attribute `interceptions` whose model is calling."""
    signature = inspect.signature(operator)
    interceptions: list[Interception] = []

    @functools.wraps(operator)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        compute = functools.partial(operator, *args, **kwargs)
        for interception in interceptions:
            if "name" in interception.running:
                arguments = signature.bind(*args, **kwargs).arguments
                compute = functools.partial(interception.handle, interception.running.pop("name"), compute, arguments)
        return compute()

    call.interceptions, call.in_holder = interceptions, in_holder
    return call
