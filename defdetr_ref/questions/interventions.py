"""Changing one thing in a model for the length of a `with` block, without touching its weights.

with sampling_changed(model, "encoder", outside_cut):
    evaluate(model, dataset)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from defdetr_ref.attention import DeformableSampling
from defdetr_ref.layers import DenseAttention

Locations = Float[Tensor, "batch query head level point 2"]
Weights = Float[Tensor, "batch query head level point"]
Change = Callable[[Locations, Weights], tuple[Locations, Weights]]


@contextmanager
def sampling_changed(model: nn.Module, part: str, change: Change, *, layer: int | None = None) -> Iterator[None]:
    """Inside the block, attention samples at the locations and with the weights that `change` makes of its own.

    model: a detector of this package.
    part: "encoder" or "decoder".
    change: gets locations, x and y in [0, 1] of the padded image, and weights.
    layer: only this layer, counted from 0; −1 is the last; all by default.

    Raises ValueError if the model has no such attention.
    """
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, DeformableSampling)]
    found = [module for name, module in named if name.startswith(f"{part}.")]
    if not found or not (layer is None or -len(found) <= layer < len(found)):
        raise ValueError(f"the model has {len(found)} deformable layers in {part!r}; layer {layer} is not among them")

    def instead(module: nn.Module, arguments: tuple) -> tuple:
        value, shapes, locations, weights = arguments
        return value, shapes, *change(locations, weights)

    chosen = found if layer is None else [found[layer]]
    handles = [module.register_forward_pre_hook(instead) for module in chosen]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def inside(locations: Locations) -> Bool[Tensor, "batch query head level point"]:
    """Which points lie in the image; the others read zeros, but for half a pixel beside the edge."""
    return ((locations >= 0) & (locations <= 1)).all(-1)


def outside_cut(locations: Locations, weights: Weights) -> tuple[Locations, Weights]:
    """Points outside the image are not read at all; the others keep their weights, which then sum to less than 1."""
    return locations, weights * inside(locations)


def outside_given_back(locations: Locations, weights: Weights) -> tuple[Locations, Weights]:
    """Points outside the image are not read, and a head's other weights grow until they sum to 1 again."""
    kept = weights * inside(locations)
    total = kept.sum((-2, -1), keepdim=True)
    return locations, torch.where(total > 0, kept / total.clamp(min=torch.finfo(kept.dtype).tiny), 0.0)


def outside_pulled_in(locations: Locations, weights: Weights) -> tuple[Locations, Weights]:
    """Points outside the image read the nearest place inside, with the weights that they have."""
    return locations.clamp(0, 1), weights


@contextmanager
def queries_alone(model: nn.Module) -> Iterator[None]:
    """Inside the block, each object query attends to itself alone: the decoder's self-attention is cut.

    Raises ValueError if the model has no decoder with self-attention.
    """
    layers = [module.self_attention for module in model.modules() if hasattr(module, "self_attention")]
    layers = [layer for layer in layers if isinstance(layer, DenseAttention)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no self-attention among object queries")
    handles = [layer.register_forward_hook(_own_value) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _own_value(attention: DenseAttention, arguments: tuple, output: Tensor) -> Tensor:
    """What attention gives where a single key takes all the weight: the query's own value, projected twice."""
    _, _, value = arguments[:3]
    rows = slice(2 * attention.embed_dim, None)  # of queries, keys, values: the last third
    projected = F.linear(value, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
    return attention.out_proj(projected)
