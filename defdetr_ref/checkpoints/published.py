"""The command line that the published code keeps in its checkpoints, as fields of our config, and back."""

from argparse import Namespace
from typing import Any

from torch import Tensor

# Our field -> the options of the published code's main.py, which must agree where there are two.
OPTIONS: dict[str, tuple[str, ...]] = {
    "backbone": ("backbone",),
    "num_levels": ("num_feature_levels",),
    "d_model": ("hidden_dim",),
    "num_heads": ("nheads",),
    "num_points": ("enc_n_points", "dec_n_points"),
    "encoder_layers": ("enc_layers",),
    "decoder_layers": ("dec_layers",),
    "d_ffn": ("dim_feedforward",),
    "dropout": ("dropout",),
    "num_queries": ("num_queries",),
    "box_refine": ("with_box_refine",),
    "two_stage": ("two_stage",),
}
PLAIN = (bool, int, float, str, list, tuple, type(None))
# What this package builds in one way only. Dilation is the published "DC5", masks are panoptic segmentation.
FIXED = {"dilation": False, "masks": False, "position_embedding": "sine"}


def fields_of_args(args: Namespace, state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """Fields of `DeformableDETRConfig` from the "args" of a published checkpoint, those of which it holds the option.
    The number of classes, which the published code takes from the name of the data set, is that of its weights.

    Raises ValueError, naming the option, for what this package does not build.
    """
    values = vars(args)
    odd = [option for option, value in values.items() if not isinstance(value, PLAIN)]
    if odd:
        raise ValueError(f"its args hold something else than options: {odd[0]}")
    for option, wanted in FIXED.items():
        if values.get(option, wanted) != wanted:
            raise ValueError(f"its args have {option} = {values[option]!r:.60}; this package builds {wanted!r} only")
    fields: dict[str, Any] = {}
    for ours, options in OPTIONS.items():
        found = [values[option] for option in options if option in values]
        if any(one != found[0] for one in found):
            raise ValueError(f"its args have different {' and '.join(options)}; this package has one {ours}")
        if found:
            fields[ours] = found[0]
    if "num_levels" in fields:
        published = (32,) if fields["num_levels"] == 1 else (8, 16, 32)  # C5 alone, or C3 to C5
        fields["feature_strides"] = values.get("feature_strides", published)
    classes = state_dict.get("class_embed.0.bias")
    if classes is not None and classes.dim() == 1:
        fields["num_classes"] = len(classes)
    return fields | {"initial_box": "published"}


def args_of(fields: dict[str, Any]) -> Namespace:
    """The options with which the published code builds the model of these fields; "feature_strides" is ours alone.

    Raises ValueError for a starting box that it does not have, because nothing in the weights would tell.
    """
    if fields["initial_box"] != "published":
        raise ValueError(
            f"config: initial_box is {fields['initial_box']!r:.60}; the published code has 'published' only, and its "
            "boxes would be others"
        )
    options = {option: fields[ours] for ours, options in OPTIONS.items() for option in options}
    return Namespace(**options, **FIXED, feature_strides=fields["feature_strides"])
