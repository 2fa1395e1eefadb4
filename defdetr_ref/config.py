"""The model's configuration, and the presets of the paper's Table 1 plus two for a CPU."""

import os
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from defdetr_ref import hugging_face_config

NUM_COCO_CLASSES = 91  # raw category ids 1 to 90; id 0 is never used
COARSER_LEVEL_STRIDE = 2  # of each level beyond the backbone's


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Type of a field -> what its values have to be, as a check and in words.
KINDS = {
    int: (_is_int, "a whole number"),
    float: (lambda value: _is_int(value) or isinstance(value, float), "a number"),
    bool: (lambda value: isinstance(value, bool), "True or False"),
    str: (lambda value: isinstance(value, str), "a string"),
    tuple[int, ...]: (
        lambda value: isinstance(value, tuple) and bool(value) and all(map(_is_int, value)),
        "one or more whole numbers, such as (8, 16, 32)",
    ),
}


@dataclass(frozen=True)
class DeformableDETRConfig:
    """Defaults are the published multi-scale model. Raises ValueError for values that cannot be built."""

    num_classes: int = NUM_COCO_CLASSES  # labels are raw category ids, so one more than the largest id
    backbone: str = "resnet50"  # or "small"
    feature_strides: tuple[int, ...] = (8, 16, 32)  # of the backbone's maps: C3, C4, C5
    num_levels: int = 4  # levels beyond the backbone's are strided convolutions
    d_model: int = 256  # C, channels of every token and query
    num_heads: int = 8  # M, of every attention
    num_points: int = 4  # K, for each head on each level
    encoder_layers: int = 6  # each looks around on all levels
    decoder_layers: int = 6  # each predicts, and each is trained
    d_ffn: int = 1024  # hidden channels of the feed-forward networks
    dropout: float = 0.1  # of every attention and feed-forward network, while training
    num_queries: int = 300  # Q, object queries; with two_stage, proposals that are kept
    box_refine: bool = False  # each decoder layer corrects the box of the one before
    two_stage: bool = False  # the encoder's pixels propose, the best become queries; needs box_refine
    initial_box: str = "published"  # or "paper": of one-stage refinement; see proposals.py
    attention_backend: str = "auto"  # which version of the operator runs, see `ms_deform_attn`; changes no weights

    def __post_init__(self):
        object.__setattr__(self, "feature_strides", tuple(self.feature_strides))  # json and checkpoints give a list
        positive = (
            "num_classes",
            "num_heads",
            "num_points",
            "encoder_layers",
            "decoder_layers",
            "d_ffn",
            "num_queries",
        )
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"config: {name} is {getattr(self, name)}; it must be at least 1")
        if self.d_model % 32 or self.d_model % self.num_heads or self.d_model < 32:
            raise ValueError(
                f"config: d_model = {self.d_model} must be a multiple of 32 (group norm) and "
                f"of num_heads = {self.num_heads}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"config: dropout is {self.dropout}; it must be at least 0 and less than 1")
        if self.num_levels < len(self.feature_strides):
            raise ValueError(
                f"config: num_levels = {self.num_levels} is fewer than the {len(self.feature_strides)} feature_strides "
                f"{self.feature_strides}"
            )
        if self.two_stage and not self.box_refine:
            raise ValueError("config: two_stage needs box_refine=True, because its proposals are boxes to be refined")
        if self.initial_box not in ("published", "paper"):
            raise ValueError(f"config: initial_box is {self.initial_box!r:.60}; choose 'published' or 'paper'")
        if self.initial_box == "paper" and (self.two_stage or not self.box_refine):
            raise ValueError(
                "config: initial_box='paper' describes one-stage refinement; set box_refine=True, two_stage=False"
            )

    @property
    def largest_stride(self) -> int:
        """Of the coarsest level, in pixels of the image."""
        return self.feature_strides[-1] * COARSER_LEVEL_STRIDE ** (self.num_levels - len(self.feature_strides))

    @classmethod
    def preset(cls, name: str, **overrides) -> "DeformableDETRConfig":
        """The configuration called `name`, with single fields replaced by `overrides`.

        Raises ValueError for an unknown preset or field.
        """
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; choose from {', '.join(PRESETS)}")
        return replace(cls(**PRESETS[name]), **_checked(overrides))

    @classmethod
    def from_dict(cls, values: Any) -> "DeformableDETRConfig":
        """The configuration with these fields, as a file holds them; fields left out have their default.

        Raises ValueError for an unknown field, and for a value that is not of the field's type or cannot be built.
        """
        return cls(**_checked(values))

    @classmethod
    def from_hugging_face(cls, source: str | os.PathLike | dict | Any) -> "DeformableDETRConfig":
        """The configuration of a Deformable DETR of transformers: `source` is its config.json, the folder that it is
        in, its content, or the config object.

        Raises FileNotFoundError, and ValueError, naming their field, for what this package does not build.
        """
        return cls.from_dict(hugging_face_config.fields_of(hugging_face_config.read_config(source)))

    def to_hugging_face(self, categories: dict[int, str] | None = None) -> dict[str, Any]:
        """The content of a config.json for transformers; `categories` names the labels.

        Raises ValueError, naming the field, for what transformers does not build.
        """
        return hugging_face_config.to_json(asdict(self), categories or {})


def _shown(value: Any) -> str:
    """What it is, on one line, whatever it is."""
    return " ".join(repr(value).split())[:60]


def _checked(values: Any) -> dict[str, Any]:
    """The same values, strides as a tuple. Raises ValueError for an unknown field or a value of another type."""
    if not isinstance(values, dict):
        raise ValueError(f"config is {_shown(values)}; it must be a dict of fields")
    types = {field.name: field.type for field in fields(DeformableDETRConfig)}
    unknown = [f"{name!s:.60}" for name in values if name not in types]
    if unknown:
        raise ValueError(f"config has no field {', '.join(sorted(unknown))}")
    checked = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, value in checked.items():
        fits, kind = KINDS[types[name]]
        if not fits(value):
            raise ValueError(f"config: {name} is {_shown(value)}; it must be {kind}")
    return checked


PRESETS = {
    "single_scale": dict(feature_strides=(32,), num_levels=1),
    "multi_scale": dict(),
    "box_refine": dict(box_refine=True),
    "two_stage": dict(box_refine=True, two_stage=True),
    "tiny": dict(
        backbone="small",
        feature_strides=(8, 16, 32),
        num_levels=3,
        d_model=96,
        num_heads=4,
        encoder_layers=2,
        decoder_layers=3,
        d_ffn=256,
        dropout=0.0,
        num_queries=30,
        box_refine=True,
        two_stage=True,
    ),
}
# The third level is made from the second, instead of being a map of the backbone, which would be 4 by 4 in an image of
# 128 px and costs 0.9 million parameters: equally good there, and small enough to ship.
PRESETS["compact"] = {**PRESETS["tiny"], "feature_strides": (8, 16)}
