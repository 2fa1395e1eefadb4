"""transformers' preprocessor_config.json: how images are prepared for a model, as our note "resize", and back.

A detector that is shown images in other colours or sizes than it was trained on finds little and says nothing. So what
this package prepares otherwise is refused by the name of their field.
"""

import math
from pathlib import Path
from typing import Any

from defdetr_ref.hugging_face_config import read_json
from defdetr_ref.preparation import EVAL_SHORT_SIDE, IMAGENET_MEAN, IMAGENET_STD, MAX_SIDE, Resize, sides_of

NAME = "preprocessor_config.json"
BILINEAR = 2  # Pillow's number
# What this package does in one way only, and transformers by default: numbers in [0, 1] less the mean of ImageNet's
# colours, over their standard deviation.
FIXED: dict[str, Any] = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": list(IMAGENET_MEAN),
    "image_std": list(IMAGENET_STD),
    "do_center_crop": False,
}


def read_resize(folder: Path) -> Resize | None:
    """The note "resize" that the file in a folder stands for, or None without a file.

    Raises ValueError, naming file and field, for what this package does not do.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}, not how images are prepared")
    for field, wanted in FIXED.items():
        if not _same(values.get(field, wanted), wanted):
            raise _unlike(path, field, values[field], f"this package has {wanted!r:.60} only")
    return _resize_of(path, values)


def to_json(resize: Any) -> dict[str, Any]:
    """The content of a preprocessor_config.json for a note "resize". Raises ValueError for what is none."""
    sides = sides_of(resize)
    short, long = sides or (EVAL_SHORT_SIDE, MAX_SIDE)
    return {
        **FIXED,
        "do_resize": sides is not None,
        "do_pad": True,
        "format": "coco_detection",
        "image_processor_type": "DeformableDetrImageProcessor",
        "resample": BILINEAR,
        "size": {"shortest_edge": short, "longest_edge": long},
    }


def _resize_of(path: Path, values: dict[str, Any]) -> Resize:
    resized = values.get("do_resize", True)
    if not isinstance(resized, bool):
        raise _unlike(path, "do_resize", resized, "it must be true or false")
    if not resized:
        return "none"
    if values.get("resample", BILINEAR) != BILINEAR:
        raise _unlike(path, "resample", values["resample"], f"this package resizes bilinearly, which is {BILINEAR}")
    size = values.get("size", {"shortest_edge": EVAL_SHORT_SIDE, "longest_edge": MAX_SIDE})
    if isinstance(size, int):  # as transformers 4 stored the published models
        size = {"shortest_edge": size, "longest_edge": values.get("max_size", MAX_SIDE)}
    sides = [size.get(name) for name in ("shortest_edge", "longest_edge")] if isinstance(size, dict) else []
    try:
        return "paper" if sides_of(sides) == sides_of("paper") else sides
    except ValueError:
        why = "this package knows a shortest_edge and a longest_edge that is no shorter"
        raise _unlike(path, "size", size, why) from None


def _same(value: Any, wanted: Any) -> bool:
    """Numbers within what a float32 of them is off; null is what is not done."""
    if isinstance(wanted, bool):
        return value is wanted or (value is None and not wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and len(value) == len(wanted) and all(map(_same, value, wanted))
    return type(value) in (int, float) and math.isclose(value, wanted, rel_tol=1e-6)


def _unlike(path: Path, field: str, value: Any, why: str) -> ValueError:
    return ValueError(
        f"{path} has {field} = {value!r:.60}; {why}. If you prepare the images yourself, move the file away"
    )
