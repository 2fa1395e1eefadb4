"""Which config some weights need: as far as names and shapes tell, and as the file that holds them says."""

import dataclasses
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from defdetr_ref.backbone import BACKBONES
from defdetr_ref.checkpoints.published import fields_of_args
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.state_dict_keys import ALIAS, layout_of, source_keys, unified
from defdetr_ref.weight_files.integrity import CheckpointError
from defdetr_ref.weight_files.reading import HUGGING_FACE, state_dict_of
from defdetr_ref.weight_files.writing import FORMAT, SAFETENSORS_DTYPES

SHOWN_KEYS = 5  # of a list of differing keys, in an error message
CHANGE_NOTHING = ("dropout", "attention_backend")  # fields that mean nothing to weights that are only used
POINTS = "num_heads · num_points"  # shapes tell M·K, not M and K
IGNORED_BY_DENSE = ("num_points", "box_refine", "two_stage", "initial_box")  # see DetrBaseline
# Where our weights tell a field: the key, and the dimension of its shape.
TOLD_BY_SHAPES = {
    "DeformableDETR": {
        "num_levels": ("pyramid.level_embed", 0),
        "d_model": ("pyramid.level_embed", 1),
        "num_classes": ("decoder.class_heads.0.bias", 0),
        "d_ffn": ("encoder.layers.0.ffn.linear1.bias", 0),
    },
    "DetrBaseline": {
        "num_levels": ("pyramid.level_embed", 0),
        "d_model": ("pyramid.level_embed", 1),
        "num_classes": ("class_head.bias", 0),
        "d_ffn": ("encoder_layers.0.ffn.linear1.bias", 0),
        "num_queries": ("query_positions.weight", 0),
    },
}
LAYERS = {"DeformableDETR": "{}.layers.{}.ffn_norm.bias", "DetrBaseline": "{}_layers.{}.ffn_norm.bias"}
BACKBONE_KEYS = {"resnet50": "backbone.conv1.weight", "small": "backbone.stem.0.weight"}


@dataclass(frozen=True)
class Weights:
    """A state dict, its layout, and what its source says of the model that it is of.

    name: of the source, for error messages
    layout: "ours", "official" or "huggingface"
    tensors: under the names of that layout, each once (see `unified`)
    model_class: "DeformableDETR" or "DetrBaseline"
    refined: whether the decoder holds box heads of its own, as the published refining models do
    said: fields of the config, as the source says them
    config: those fields, if the source says all of them; else None
    """

    name: str
    layout: str
    tensors: dict[str, Tensor]
    model_class: str
    refined: bool
    said: dict[str, Any]
    config: DeformableDETRConfig | None

    def find(self, key: str) -> Tensor | None:
        """The tensor that is called `key` in our layout, if it is one tensor there as well."""
        return self.tensors.get(source_keys(key, self.layout, decoder_layers=0)[0])

    def told(self) -> dict[str, Any]:
        """The fields of the config that names and shapes tell, and the product `POINTS`; None for those that every
        model of this class would tell, and these weights do not."""
        fields: dict[str, Any] = {}
        for field, (key, dimension) in TOLD_BY_SHAPES[self.model_class].items():
            fields[field] = self._length(key, dimension)
        for stack in ("encoder", "decoder"):
            fields[f"{stack}_layers"] = self._number_of_layers(stack)
        fields |= self._backbone()
        if self.model_class == "DeformableDETR":
            fields[POINTS] = self._number_of_points()
            fields["two_stage"] = self.find("queries.memory_proj.bias") is not None
            if not fields["two_stage"]:
                fields["num_queries"] = self._length("queries.embedding.weight", 0)
            refines = True if fields["two_stage"] else self._refines(fields["decoder_layers"])
            if refines is not None:
                fields["box_refine"] = refines
        return fields

    def _length(self, key: str, dimension: int) -> int | None:
        tensor = self.find(key)
        return None if tensor is None or tensor.dim() <= dimension else tensor.shape[dimension]

    def _number_of_layers(self, stack: str) -> int:
        number = 0
        while self.find(LAYERS[self.model_class].format(stack, number)) is not None:
            number += 1
        return number

    def _number_of_points(self) -> int | None:
        """Of all heads together on one level; an attention weight belongs to each on each."""
        weights = self._length("encoder.layers.0.attention.attention_weights.bias", 0)
        levels = self._length("pyramid.level_embed", 0)
        return weights // levels if weights and levels else None

    def _backbone(self) -> dict[str, Any]:
        """Which one it is, and the strides of its maps: each has its number of channels, which a 1×1 kernel reads."""
        names = [name for name, key in BACKBONE_KEYS.items() if self.find(key) is not None]
        if not names:
            return {"backbone": None, "feature_strides": None}
        stride_of = {channels: stride for stride, channels in BACKBONES[names[0]].CHANNELS.items()}
        strides, level = [], 0
        while (kernel := self.find(f"pyramid.projections.{level}.0.weight")) is not None:
            if kernel.dim() == 4 and kernel.shape[2:] == (1, 1):
                strides.append(stride_of.get(kernel.shape[1]))
            level += 1
        return {"backbone": names[0], "feature_strides": tuple(strides)}

    def _refines(self, decoder_layers: int) -> bool | None:
        """Whether each layer of the decoder has heads of its own; None if it cannot be told.

        One layer is the same model either way. Heads that are alike are those of a plain model, unless nothing was
        trained yet: the last matrix starts at zero, and its bias too where refinement starts from the paper's box.
        """
        if self.refined:
            return True
        if decoder_layers < 2:
            return None
        names = ["class_heads.{}", *(f"box_heads.{{}}.layers.{i}" for i in range(3))]
        first, *others = [
            [self.find(f"decoder.{name.format(layer)}.{part}") for name in names for part in ("weight", "bias")]
            for layer in range(decoder_layers)
        ]
        if any(tensor is None for head in (first, *others) for tensor in head):
            return None
        if any(not torch.equal(a, b) for head in others for a, b in zip(first, head, strict=True)):
            return True
        return False if any(tensor.any() for tensor in first[-2:]) else None


def weights_of(content: dict, name: str) -> Weights:
    """The weights in what a file held, checked for anything that no file of weights holds.

    Raises CheckpointError for entries that are no dense tensors or not finite, for weights that are not of a
    Deformable DETR, and for a config that cannot be built.
    """
    state_dict = state_dict_of(content)
    _check_tensors(state_dict, name)
    try:
        layout = layout_of(set(state_dict))
        tensors = unified(state_dict, layout)
        said, config = _config_in(content, state_dict)
    except ValueError as error:
        raise CheckpointError(f"{name}: {error}") from None
    dense = layout == "ours" and "query_positions.weight" in tensors
    return Weights(
        name=name,
        layout=layout,
        tensors=tensors,
        model_class="DetrBaseline" if dense else "DeformableDETR",
        refined=any(match[1].startswith("bbox_embed.") for key in state_dict if (match := ALIAS.match(key))),
        said=said,
        config=config,
    )


def differing_fields(weights: Weights, config: DeformableDETRConfig) -> dict[str, tuple[Any, Any]]:
    """Each field of `config` that the weights, or what their source says of them, contradict: their value and its.

    A value of None is one that the weights ought to tell and do not.
    """
    wanted = {**asdict(config), POINTS: config.num_heads * config.num_points}
    left_out = {*CHANGE_NOTHING, *(IGNORED_BY_DENSE if weights.model_class == "DetrBaseline" else ())}
    told = weights.told()
    if wanted["two_stage"] and told.get("two_stage"):
        left_out.add("num_queries")  # how many proposals are kept is the user's choice
    return {
        field: (value, wanted[field])
        for field, value in (*weights.said.items(), *told.items())
        if field not in left_out and value != wanted[field]
    }


def listed(keys: list[str] | set[str]) -> str:
    """The first few of them."""
    return ", ".join(sorted(keys)[:SHOWN_KEYS]) + (", …" if len(keys) > SHOWN_KEYS else "")


def _check_tensors(state_dict: Mapping, name: str) -> None:
    odd = [str(key) for key, tensor in state_dict.items() if not (isinstance(key, str) and _is_dense(tensor))]
    if odd:
        raise CheckpointError(f"{name} holds something else than weights: {listed(odd)}")
    not_finite = [key for key, tensor in state_dict.items() if not tensor.isfinite().all()]
    if not_finite:
        raise CheckpointError(
            f"{name} holds NaN or infinity in {listed(not_finite)}; nothing was loaded, take an earlier checkpoint"
        )


def _is_dense(tensor: Any) -> bool:
    """A real tensor, each of whose numbers is there: a file can also hold one number and call it a large matrix."""
    return (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type != "meta"
        and tensor.dtype in SAFETENSORS_DTYPES
        and tensor.nbytes <= tensor.untyped_storage().nbytes()
    )


def _config_in(content: dict, state_dict: dict[str, Tensor]) -> tuple[dict[str, Any], DeformableDETRConfig | None]:
    """What a file says of its model: some fields, and a config if they are all. Raises ValueError if it says what
    cannot be built."""
    if content.get("format") == FORMAT:
        config = DeformableDETRConfig.from_dict(content.get("config"))
    elif content.get("format") == HUGGING_FACE and isinstance(content.get("config"), dict):
        config = DeformableDETRConfig.from_hugging_face(content["config"])
    elif isinstance(content.get("args"), Namespace):
        fields = fields_of_args(content["args"], state_dict)
        if any(field.name not in (*fields, "attention_backend") for field in dataclasses.fields(DeformableDETRConfig)):
            return fields, None
        config = DeformableDETRConfig.from_dict(fields)
    else:
        return {}, None
    return asdict(config), config
