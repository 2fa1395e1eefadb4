"""See where a model looked: every sampling location and attention weight of a forward pass.

    with record(model) as recording:
        model(images, mask)
    last = recording[-1].decoder[-1]          # an AttentionRecord
    last.sampling_locations                   # (batch, query, head, level, point, 2)

The operator is a child module of every attention module, called with the finished locations and weights. So forward
hooks see everything, and the model needs no "also return your attention" argument.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from defdetr_ref.attention import DeformableSampling
from defdetr_ref.hugging_face.operators import Handler, Sampling, intercept, operators_in, sampling_of
from defdetr_ref.ops.checks import normalise_shapes

PARTS = ("encoder", "decoder")


@dataclass(frozen=True)
class AttentionRecord:
    """What one attention module did in one forward pass. Tensors are detached, on the model's device.

    Locations and reference points are x, y in [0, 1] of the PADDED batch image, the same on every level; `to_pixels`
    turns them into pixels. Queries of the encoder are the tokens of all levels, see `token_at`.
    """

    name: str  # path of the attention module in the model, "decoder.layers.3.cross_attention"
    part: str  # "encoder", "decoder", or "" for an attention module outside both
    layer: int  # counted from 0 within the part
    reference_points: Float[Tensor, "batch query level point_or_box"]  # x, y or cxcywh
    sampling_locations: Float[Tensor, "batch query head level point 2"]  # x, y
    attention_weights: Float[Tensor, "batch query head level point"]  # sums to 1 over (level, point)
    spatial_shapes: tuple[tuple[int, int], ...]  # (height, width) of every level


@dataclass
class ForwardPass:
    """One forward pass: a record for every attention module, in the order they ran, and what the model returned.

    `outputs` is the model's return value with every tensor detached. It is None while the pass runs, and stays None
    if the pass raised.
    """

    records: list[AttentionRecord] = field(default_factory=list)
    outputs: Any = None

    @property
    def encoder(self) -> list[AttentionRecord]:
        """The encoder's records, first layer first."""
        return [record for record in self.records if record.part == "encoder"]

    @property
    def decoder(self) -> list[AttentionRecord]:
        """The decoder's records, first layer first."""
        return [record for record in self.records if record.part == "decoder"]

    def boxes_by_layer(self) -> list[Float[Tensor, "batch query 4"]]:
        """The boxes that each decoder layer predicted, first layer first: cxcywh in [0, 1] of the UNPADDED image.

        Raises ValueError if the pass did not end, or the model returned no boxes.
        """
        if not isinstance(self.outputs, Mapping) or "pred_boxes" not in self.outputs:
            raise ValueError(
                "boxes_by_layer: this pass holds no `pred_boxes`; run the whole detector, not only a part of it, "
                "inside `record`"
            )
        earlier = [output["pred_boxes"] for output in self.outputs.get("aux_outputs", [])]
        return [*earlier, self.outputs["pred_boxes"]]


@dataclass
class Recording:
    """The forward passes that ran inside `record`, oldest first; `recording[-1]` is the newest."""

    passes: list[ForwardPass] = field(default_factory=list)

    def __getitem__(self, index: int) -> ForwardPass:
        if not -len(self.passes) <= index < len(self.passes):
            raise IndexError(f"recording[{index}]: {len(self.passes)} forward passes were recorded")
        return self.passes[index]

    def __len__(self) -> int:
        return len(self.passes)


Capture = Callable[[Mapping[str, Any]], Sampling]


def capture_sampling(arguments: Mapping[str, Any]) -> Sampling:
    """Locations, weights and level shapes from the arguments, by name, of `DeformableSampling.forward`."""
    return arguments["sampling_locations"], arguments["attention_weights"], arguments["spatial_shapes"]


# How to read each kind of operator. Those of transformers are known, see the room hugging_face. Another library's model
# needs one more line in `record(operators=…)`: its operator is a child module called with the same things under other
# names.
OPERATORS: dict[type[nn.Module], Capture] = {DeformableSampling: capture_sampling}


@contextmanager
def record(model: nn.Module, *, operators: Mapping[type[nn.Module], Capture] = OPERATORS) -> Iterator[Recording]:
    """Record every deformable attention of every forward pass of `model` inside the `with` block.

    Each call of the model starts a new pass: `recording.passes` holds all of them. Calling only a part of the model,
    `model.encoder(…)`, is recorded too, in a pass whose outputs stay None. Hooks are gone after the block, also when
    it raises; the model computes exactly what it computes without them.

    model: of this package, or any model of transformers with multi-scale deformable attention (Deformable DETR,
        RT-DETR, Grounding DINO, Mask2Former, OneFormer …).
    operators: for every other class of operator, how to read its arguments.

    Raises ValueError if the model has no deformable attention.
    """
    kinds = tuple(operators)
    modules = [(name, module) for name, module in model.named_modules() if name and isinstance(module, kinds)]
    around = [name.rpartition(".")[0] for name, _ in modules]  # the attention module that holds the operator
    theirs = [one for one in operators_in(model) if not isinstance(one.holder, kinds)]
    if not modules and not theirs:
        raise ValueError(
            f"record: {type(model).__name__} holds no deformable attention to record "
            f"(looked for {', '.join(operator.__name__ for operator in operators)} and those of transformers)"
        )
    recording = Recording()
    references: dict[str, Tensor] = {}  # of the attentions that are running, by their names
    note = functools.partial(_add_record, recording, references)
    with ExitStack() as cleanup:

        def keep(handle: RemovableHandle) -> None:
            cleanup.callback(handle.remove)

        keep(model.register_forward_pre_hook(lambda *_: recording.passes.append(ForwardPass())))
        for name in (*around, *(one.name for one in theirs)):
            keep(_remember_references(model.get_submodule(name), name, references))
        for attention, (_, operator) in zip(around, modules, strict=True):
            capture = next(capture for kind, capture in operators.items() if isinstance(operator, kind))
            keep(_note_call(operator, attention, capture, note))
        cleanup.enter_context(intercept(theirs, _noting(note)))
        keep(model.register_forward_hook(lambda _, __, outputs: _finish(recording, outputs)))
        yield recording


def _remember_references(attention: nn.Module, name: str, references: dict[str, Tensor]) -> RemovableHandle:
    """The reference points are an argument of the attention, not of the operator inside."""

    def remember(module: nn.Module, args: tuple, kwargs: dict) -> None:
        points = _by_name(module, args, kwargs)["reference_points"].detach()
        references[name] = points if points.ndim == 4 else points[:, :, None]  # Eq. 2 has one level

    return attention.register_forward_pre_hook(remember, with_kwargs=True)


def _note_call(
    operator: nn.Module, name: str, capture: Capture, note: Callable[[str, Sampling], None]
) -> RemovableHandle:
    return operator.register_forward_pre_hook(
        lambda module, args, kwargs: note(name, capture(_by_name(module, args, kwargs))), with_kwargs=True
    )


def _noting(note: Callable[[str, Sampling], None]) -> Handler:
    """Note what an operator of transformers is called with, and let it compute what it computes."""

    def handle(name: str, compute: Callable[[], Tensor], arguments: Mapping[str, Any]) -> Tensor:
        note(name, sampling_of(arguments))
        return compute()

    return handle


def _add_record(recording: Recording, references: dict[str, Tensor], name: str, sampling: Sampling) -> None:
    locations, weights, shapes = sampling
    part, layer = _part_and_layer(name)
    found = AttentionRecord(
        name=name,
        part=part,
        layer=layer,
        reference_points=references.pop(name).expand(-1, -1, len(shapes), -1),  # some have one for all levels
        sampling_locations=locations.detach(),
        attention_weights=weights.detach(),
        spatial_shapes=tuple(normalise_shapes(shapes)),
    )
    _running_pass(recording).records.append(found)


def _by_name(module: nn.Module, args: tuple, kwargs: dict) -> dict[str, Any]:
    """The arguments of a call by name, however they were passed."""
    return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)


def _part_and_layer(name: str) -> tuple[str, int]:
    """("decoder", 3) for "decoder.layers.3.cross_attention"; ("", 0) where the path does not say.

    The innermost name counts: "pixel_level_module.decoder.encoder.layers.0.self_attn" is an encoder in a pixel decoder.
    """
    steps = name.split(".")
    start = max((place for place, step in enumerate(steps) if step in PARTS), default=None)
    part = "" if start is None else steps[start]
    return part, next((int(step) for step in steps[start:] if step.isdigit()), 0)


def _running_pass(recording: Recording) -> ForwardPass:
    """The pass that a record belongs to; a new one where only a part of the model was called."""
    if not recording.passes or recording.passes[-1].outputs is not None:
        recording.passes.append(ForwardPass())
    return recording.passes[-1]


def _finish(recording: Recording, outputs: Any) -> None:
    recording.passes[-1].outputs = _detached(outputs)


def _detached(value: Any) -> Any:
    """The same dicts and lists with every tensor cut from the graph."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {key: _detached(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_detached(item) for item in value]
    return value


def to_pixels(locations: Float[Tensor, "*shape 2"], height: int, width: int) -> Float[Tensor, "*shape 2"]:
    """x, y in [0, 1] of an image to pixels of it. The centre of the top left pixel is (0.5, 0.5).

    Recorded locations are relative to the padded image of the batch, so `height` and `width` must be its sides.
    """
    return locations * locations.new_tensor([width, height])


def token_at(record: AttentionRecord, x: float | int, y: float | int, level: int = 0) -> int:
    """The encoder query whose cell on `level` holds the point x, y, both in [0, 1] of the padded image.

    Tokens are all levels one after another, each row by row.

    record: of an encoder's layer, from `record(model)`.
    x, y: of the point.
    level: 0 is the finest.

    Raises ValueError for a level or point that is not there.
    """
    if not 0 <= level < len(record.spatial_shapes):
        raise ValueError(
            f"token_at: level {level} does not exist, {record.name} has {len(record.spatial_shapes)} levels"
        )
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"token_at: the point ({x:g}, {y:g}) is outside the image; x and y must be in [0, 1]")
    before = sum(height * width for height, width in record.spatial_shapes[:level])
    height, width = record.spatial_shapes[level]
    column, row = min(int(x * width), width - 1), min(int(y * height), height - 1)
    return before + row * width + column


def weight_outside(record: AttentionRecord) -> Float[Tensor, " level"]:
    """The share of the attention weight that falls outside the image on each level, where zeros are read.

    The mean over batch, queries and heads, whose weights sum to 1 over all levels: so does this plus what is read
    inside. A head that points there reads less than the whole, which its softmax alone would not allow.
    """
    x, y = record.sampling_locations.unbind(-1)
    outside = (x < 0) | (x > 1) | (y < 0) | (y > 1)  # (N, Q, M, L, K)
    return (record.attention_weights * outside).sum(-1).mean(dim=(0, 1, 2))
