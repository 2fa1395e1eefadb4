"""What the explorer's page is given: words and numbers as JSON, and the table of points as bytes. No widget needed.

`describe` makes both from explorations; `Explorer` sends them to a notebook, `save_explorer` writes them into a file.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.colors import to_hex
from PIL import Image

from defdetr_ref.explain.explorer.exploration import Exploration, asks_pixels
from defdetr_ref.explain.explorer.table import (
    ABSENT,
    PLACE_STEPS,
    REFERENCE_NUMBERS,
    SAMPLE_NUMBERS,
    WEIGHT_STEPS,
    choose_queries,
    pack_rows,
)
from defdetr_ref.explain.style import INK, OKABE_ITO, REFERENCE_GREEN, WEIGHT_COLOURS

DECIMALS = 5  # of places; 0.00001 of an image is less than a pixel of any
COLOUR_STEPS = 32  # of the weights' colours; the page interpolates nothing
LOSSLESS_PIXELS = 300 * 300  # a picture up to this size travels as PNG, a larger one as JPEG
JPEG_QUALITY = 88


@dataclass(frozen=True)
class State:
    """All that the page needs."""

    metadata: dict[str, Any]  # JSON
    table: bytes  # of all images, one after another; "offset" in `metadata` says where each layer begins
    heat: bytes  # proposals' scores, one byte a pixel of every level, 255 the best of the image


def describe(
    explorations: Sequence[Exploration],
    names: Mapping[int, str],
    targets: Sequence[Mapping[str, torch.Tensor]] | None = None,
) -> State:
    """What the page is given.

    explorations: one for each image.
    names: of the categories, by label.
    targets: what is in each image, if that is known: {"labels": (n,), "boxes": (n, 4) cxcywh in [0, 1]}.

    Raises ValueError if there are not as many targets as images, or a target's boxes are not (n, 4) for n labels.
    """
    table, heat, images = b"", b"", []
    if targets is not None and len(targets) != len(explorations):
        raise ValueError(f"targets: there are {len(targets)}, for {len(explorations)} images; give one for each")
    for number, exploration in enumerate(explorations):
        layers = []
        for part, stack in exploration.stacks.items():
            for layer in range(len(stack)):
                queries = choose_queries(exploration, part, layer)
                metadata = _layer(exploration, part, layer, queries, offset=len(table))
                layers.append(metadata)
                table += pack_rows(exploration, part, layer, queries)
        images.append({
            "width": exploration.picture.width,
            "height": exploration.picture.height,
            "picture": _data_url(exploration.picture),
            "parts": list(exploration.stacks),
            "layers": layers,
            "objects": _objects(exploration, names),
            "proposals": _proposals(exploration, len(heat)),
            "truth": None if targets is None else _truth(targets[number], names),
        })  # fmt: skip
        heat += _heat(exploration)
    return State({"images": images, "style": _style(), "steps": _steps()}, table, heat)


def _layer(exploration: Exploration, part: str, layer: int, queries: list[int], offset: int) -> dict[str, Any]:
    record = exploration.record_of(part, layer)
    _, count, heads, levels, points = record.attention_weights.shape
    pixels = asks_pixels(record)
    references = [] if pixels else record.reference_points[0, :, 0, :2] / exploration.extent
    return {
        "part": part,
        "layer": layer,
        "name": record.name,
        "query_kind": "pixels" if pixels else "objects",
        "heads": heads,
        "levels": levels,
        "points": points,
        "shapes": [list(shape) for shape in record.spatial_shapes],
        "extent": exploration.extent.tolist(),
        "queries": count,
        "inTable": None if len(queries) == count else queries,  # None: all of them
        "offset": offset,
        "references": [] if pixels else _numbers(references),
    }


def _objects(exploration: Exploration, names: Mapping[int, str]) -> dict[str, Any] | None:
    objects = exploration.objects
    if objects is None:
        return None
    return {
        "boxes": _numbers(objects.boxes),
        "scores": _numbers(objects.scores),
        "names": _named(objects.labels.tolist(), names),
        "best": objects.scores.argsort(descending=True).tolist(),
    }


def _truth(target: Mapping[str, torch.Tensor], names: Mapping[int, str]) -> list[dict[str, Any]]:
    boxes, labels = target["boxes"], target["labels"].tolist()
    if boxes.shape != (len(labels), 4):
        wanted = (len(labels), 4)
        raise ValueError(f"targets: boxes must be {wanted} for {len(labels)} labels, got {tuple(boxes.shape)}")
    sides = [dict(zip(("x", "y", "width", "height"), box, strict=True)) for box in _numbers(boxes)]
    return [{**box, "name": name} for box, name in zip(sides, _named(labels, names), strict=True)]


def _named(labels: list[int], names: Mapping[int, str]) -> list[str]:
    return [str(names.get(label, f"class {label}")) for label in labels]


def _proposals(exploration: Exploration, offset: int) -> dict[str, Any] | None:
    if exploration.proposals is None:
        return None
    best = max(float(level.max()) for level in exploration.proposals)
    return {"offset": offset, "best": best, "shapes": [list(level.shape) for level in exploration.proposals]}


def _heat(exploration: Exploration) -> bytes:
    if exploration.proposals is None:
        return b""
    scores = torch.cat([level.flatten() for level in exploration.proposals])
    return (scores / scores.max().clamp(min=1e-9) * 255).round().byte().numpy().tobytes()  # all zero stays zero


def _numbers(values: torch.Tensor) -> list:
    """Nested lists, rounded; None for NaN, which JSON does not have."""
    rounded = np.round(values.double().numpy(), DECIMALS).tolist()

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(item) for item in value]
        return None if math.isnan(value) else value

    return clean(rounded)


def _data_url(picture: Image.Image) -> str:
    content = io.BytesIO()
    small = picture.width * picture.height <= LOSSLESS_PIXELS
    picture.save(content, **({"format": "PNG"} if small else {"format": "JPEG", "quality": JPEG_QUALITY}))
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def _style() -> dict[str, Any]:
    """The palette of the package's figures."""
    colours = matplotlib.colormaps[WEIGHT_COLOURS]
    return {
        "weights": [to_hex(colours(step / (COLOUR_STEPS - 1))) for step in range(COLOUR_STEPS)],
        "reference": REFERENCE_GREEN,
        "box": OKABE_ITO[5],
        "start": OKABE_ITO[1],
        "truth": OKABE_ITO[6],
        "ink": INK,
    }


def _steps() -> dict[str, int]:
    """How to read a row of the table."""
    return {
        "place": PLACE_STEPS,
        "weight": WEIGHT_STEPS,
        "absent": ABSENT,
        "referenceNumbers": REFERENCE_NUMBERS,
        "sampleNumbers": SAMPLE_NUMBERS,
    }
