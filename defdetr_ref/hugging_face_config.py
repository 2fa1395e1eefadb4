"""The config.json of transformers' Deformable DETR: its fields as ours, and back.

What ours cannot express is refused by the name of their field.
"""

import json
import os
from pathlib import Path
from typing import Any

# Our field -> their fields, which must agree where there are two, and the value that they have when left out.
SHARED: dict[str, tuple[tuple[str, ...], Any]] = {
    "num_levels": (("num_feature_levels",), 4),
    "d_model": (("d_model",), 256),
    "num_heads": (("encoder_attention_heads", "decoder_attention_heads"), 8),
    "num_points": (("encoder_n_points", "decoder_n_points"), 4),
    "encoder_layers": (("encoder_layers",), 6),
    "decoder_layers": (("decoder_layers",), 6),
    "d_ffn": (("encoder_ffn_dim", "decoder_ffn_dim"), 1024),
    "dropout": (("dropout",), 0.1),
    "box_refine": (("with_box_refine",), False),
    "two_stage": (("two_stage",), False),
}
# What this package builds in one way only. Dilation is the published "DC5".
FIXED = {"activation_function": "relu", "dilation": False, "num_channels": 3, "position_embedding_type": "sine"}
RESNET50 = {
    "depths": [3, 4, 6, 3],
    "downsample_in_bottleneck": False,
    "downsample_in_first_stage": False,
    "embedding_size": 64,
    "hidden_act": "relu",
    "hidden_sizes": [256, 512, 1024, 2048],
    "layer_type": "bottleneck",
    "num_channels": 3,
}
NUM_LABELS = 2  # transformers' default, for which config.json says nothing
STRIDES = {1: 4, 2: 8, 3: 16, 4: 32}  # of the stages of a ResNet


def read_config(source: str | os.PathLike | dict | Any) -> dict[str, Any]:
    """The content of a config.json: from a dict, a file, the folder it is in, or a config object of transformers.

    Raises FileNotFoundError, or ValueError for what is no such config.
    """
    if hasattr(source, "to_dict"):
        source = source.to_dict()
    if isinstance(source, dict):
        name, values = "Hugging Face's config", source
    else:
        path = Path(source) / "config.json" if Path(source).is_dir() else Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; it says which model the weights beside it are of")
        name = str(path)
        values = read_json(path)
    kind = values.get("model_type") if isinstance(values, dict) else values
    if kind != "deformable_detr":
        raise ValueError(f"{name} is of the model_type {kind!r:.60}, not of a deformable_detr")
    return values


def read_json(path: Path) -> Any:
    """What a file of transformers holds. Raises ValueError, naming the file, for what is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


def fields_of(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of `DeformableDETRConfig` from the content of a config.json.

    Raises ValueError, naming their field, for what this package does not build.
    """
    for field, wanted in FIXED.items():
        _require(field, values.get(field, wanted), wanted)
    fields: dict[str, Any] = {}
    for ours, (theirs, default) in SHARED.items():
        first, *others = [values.get(name, default) for name in theirs]
        for name, other in zip(theirs[1:], others, strict=True):
            _require(name, other, first, why=f", which {theirs[0]} is too")
        fields[ours] = first
    queries = "two_stage_num_proposals" if fields["two_stage"] else "num_queries"
    strides = _strides_of(values, fields["num_levels"])
    return fields | {
        "num_classes": _num_labels(values),
        "num_queries": values.get(queries, 300),
        "backbone": "resnet50",
        "feature_strides": strides,
        "initial_box": "published",
    }


def categories_of(values: dict[str, Any]) -> dict[int, str]:
    """Label → name, from "id2label"; names that transformers made up ("LABEL_3") are left out."""
    labels = values.get("id2label")
    if not isinstance(labels, dict):
        return {}
    return {
        int(label): str(name)
        for label, name in labels.items()
        if str(label).isdecimal() and str(name) != f"LABEL_{label}"
    }


def to_json(fields: dict[str, Any], categories: dict[int, str]) -> dict[str, Any]:
    """The content of a config.json for these fields of ours, its labels named by `categories`.

    Raises ValueError, naming our field, for what transformers does not build.
    """
    for field, wanted in {"backbone": "resnet50", "initial_box": "published"}.items():
        if fields[field] != wanted:
            raise ValueError(f"config: {field} is {fields[field]!r}; transformers' Deformable DETR has {wanted!r} only")
    values = {name: fields[ours] for ours, (theirs, _) in SHARED.items() for name in theirs}
    stages = [stage for stage, stride in STRIDES.items() if stride in fields["feature_strides"]]
    labels = {str(label): categories.get(label, f"LABEL_{label}") for label in range(fields["num_classes"])}
    return {
        "architectures": ["DeformableDetrForObjectDetection"],
        "model_type": "deformable_detr",
        **values,
        **FIXED,
        "num_queries": fields["num_queries"],
        "two_stage_num_proposals": fields["num_queries"],
        "backbone": None,
        "backbone_config": {"model_type": "resnet", **RESNET50, "out_features": [f"stage{stage}" for stage in stages]},
        "use_pretrained_backbone": False,
        "use_timm_backbone": False,
        "id2label": labels,
        "label2id": {name: int(label) for label, name in labels.items()},
    }


def _require(field: str, value: Any, wanted: Any, why: str = "") -> None:
    if value != wanted:
        raise ValueError(f"Hugging Face's config has {field} = {value!r:.60}; this package builds {wanted!r} only{why}")


def _num_labels(values: dict[str, Any]) -> Any:
    """transformers stores the labels' names, not their number."""
    labels = values.get("id2label")
    return len(labels) if isinstance(labels, dict) else values.get("num_labels", NUM_LABELS)


def _strides_of(values: dict[str, Any], num_levels: Any) -> tuple[int, ...]:
    """Of the maps that the backbone gives. Raises ValueError if it is no ResNet-50."""
    backbone = values.get("backbone_config")
    if backbone is None:  # as transformers 4 stores the published models: a model of timm, by its name
        _require("use_timm_backbone", values.get("use_timm_backbone", True), True, why=" without a backbone_config")
        options = values.get("backbone_kwargs") or {}
        if not isinstance(options, dict):
            raise ValueError(f"Hugging Face's config has backbone_kwargs = {options!r:.60}; it must be a dict")
        backbone = {"model_type": "timm_backbone", "backbone": values.get("backbone") or "resnet50", **options}
        backbone.setdefault("out_indices", [4] if num_levels == 1 else [2, 3, 4])
    if not isinstance(backbone, dict):
        raise ValueError(f"Hugging Face's config has backbone_config = {backbone!r:.60}; it must be a dict")
    if backbone.get("model_type") == "timm_backbone":
        _require("backbone_config.backbone", str(backbone.get("backbone")).partition(".")[0], "resnet50")
        _require("backbone_config.output_stride", backbone.get("output_stride") or 32, 32)
    else:
        _require("backbone_config.model_type", backbone.get("model_type"), "resnet")
        for field, wanted in RESNET50.items():
            value = backbone.get(field, wanted)
            _require(f"backbone_config.{field}", list(value) if isinstance(value, tuple) else value, wanted)
    return _strides_of_stages(backbone)


def _strides_of_stages(backbone: dict[str, Any]) -> tuple[int, ...]:
    """From "out_features" (["stage2", …]) or "out_indices" ([2, …]); the last stage if neither is there."""
    named = {f"stage{stage}": stride for stage, stride in STRIDES.items()}
    for field, strides in (("out_features", named), ("out_indices", STRIDES)):
        chosen = backbone.get(field)
        if chosen:
            if not isinstance(chosen, list | tuple) or any(one not in list(strides) for one in chosen):
                raise ValueError(
                    f"Hugging Face's config has backbone_config.{field} = {chosen!r:.60}; this package takes features "
                    f"from {', '.join(map(str, strides))}"
                )
            return tuple(strides[one] for one in chosen)
    return (STRIDES[max(STRIDES)],)
