"""One image through a model, once, and everything the explorer shows of it: where each query looks, boxes, proposals.

Works from what `record` sees, so it takes any model that `record` takes. All coordinates are x, y in [0, 1] of the
image without padding.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from defdetr_ref.data.transforms import EvalTransform, denormalize, normalize_colours
from defdetr_ref.explain.explorer.outputs import Objects, objects_of, proposal_scores
from defdetr_ref.explain.recording import AttentionRecord, ForwardPass, record
from defdetr_ref.inference import evaluation_mode

NO_PART = "attention"  # what a module outside encoder and decoder is called
MAX_SIDE = 1333  # px; a larger photo is made smaller before the model sees it, as in the published evaluation


@dataclass(frozen=True)
class Points:
    """Where one query looks in one layer; or several queries, with an axis for them in front."""

    reference: Float[Tensor, "*query level point_or_box"]  # x, y or cxcywh
    locations: Float[Tensor, "*query head level point 2"]
    weights: Float[Tensor, "*query head level point"]  # of a head, they sum to 1 over levels and points


@dataclass(frozen=True)
class Exploration:
    """What one forward pass on one image left behind, on the CPU."""

    picture: Image.Image  # what the model saw
    stacks: dict[str, list[AttentionRecord]]  # "encoder", "decoder": a record for each layer
    extent: Float[Tensor, "2"]  # share (x, y) of the padded input that is image; 1, 1 without padding
    objects: Objects | None  # of the decoder's queries; None if the model predicts no boxes
    proposals: list[Float[Tensor, "_ _"]] | None  # scores of each level's pixels, (height, width), in [0, 1]

    def record_of(self, part: str, layer: int) -> AttentionRecord:
        """Raises ValueError for a part or layer that is not there. Layers count from 0."""
        if part not in self.stacks:
            raise ValueError(f"part: {part!r} does not exist; this model has {' and '.join(self.stacks)}")
        _check("layer", layer, len(self.stacks[part]), f"the {part} has", "layers")
        return self.stacks[part][layer]

    def points(self, part: str, layer: int, query: int) -> Points:
        """The sampling points of one query. Raises ValueError for a part, layer or query that is not there."""
        layer_record = self.record_of(part, layer)
        _check("query", query, layer_record.attention_weights.shape[1], f"{part} layer {layer} has", "queries")
        return self.points_of(layer_record, query)

    def points_of(self, layer_record: AttentionRecord, queries: int | list[int]) -> Points:
        """The same for a record of this exploration and queries that are there."""
        reference = layer_record.reference_points[0, queries]
        return Points(
            reference / self.extent.repeat(reference.shape[-1] // 2),
            layer_record.sampling_locations[0, queries] / self.extent,
            layer_record.attention_weights[0, queries],
        )


def _check(name: str, index: int, count: int, owner: str, things: str) -> None:
    if not 0 <= index < count:
        raise ValueError(f"{name}: {index} is out of range, {owner} {count} {things} (0 to {count - 1})")


def asks_pixels(layer_record: AttentionRecord) -> bool:
    """Whether the queries are the pixels of all levels, as in the encoder, and not objects."""
    return layer_record.attention_weights.shape[1] == sum(
        height * width for height, width in layer_record.spatial_shapes
    )


def explore(
    model: nn.Module, image: Any, *, normalized: bool = True, inputs: Mapping[str, Any] | None = None
) -> Exploration:
    """Run `model` once on `image`, in evaluation mode, and keep what it did.

    model: of this package, or of transformers.
    image: see `as_tensor`.
    normalized: as there.
    inputs: further arguments of the model, for one image: the text of Grounding DINO; or all that a processor of
        transformers returned, "pixel_values" among them. The picture shown is still `image`.

    Raises ValueError if the model has no deformable attention, or cannot take the image.
    """
    pixels = as_tensor(image, normalized)
    given = {key: _on_device(value, model) for key, value in (inputs or {}).items()}
    arguments = {_image_argument(model): pixels[None].to(next(model.parameters()).device), **given}
    with evaluation_mode(model), record(model) as recording:
        try:
            model(**arguments)
        except Exception as error:  # of any kind: another library's model says in its own way what it does not take
            height, width = pixels.shape[1:]
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"Explorer: {type(model).__name__} cannot take this image of {height}×{width} (height × width): "
                f"{reason}"
            ) from error
    forward_pass = recording[-1]
    if not forward_pass.records:
        raise ValueError(f"Explorer: the deformable attention of {type(model).__name__} did not run on this image")
    return _exploration(model, forward_pass, _picture(pixels), _extent(given))


def _exploration(model: nn.Module, forward_pass: ForwardPass, picture: Image.Image, extent: Tensor) -> Exploration:
    stacks: dict[str, list[AttentionRecord]] = {}
    for layer_record in forward_pass.records:
        if not bool(
            layer_record.attention_weights.isfinite().all() and layer_record.sampling_locations.isfinite().all()
        ):
            raise ValueError(
                f"Explorer: {layer_record.name} looked at places that are not numbers; is the model trained?"
            )
        stacks.setdefault(layer_record.part or NO_PART, []).append(_on_cpu(layer_record))
    objects = objects_of(model, forward_pass, extent)
    return Exploration(picture, stacks, extent, objects, proposal_scores(model, forward_pass))


def _on_cpu(layer_record: AttentionRecord) -> AttentionRecord:
    """The record of the first image alone, in float32."""
    tensors = ("reference_points", "sampling_locations", "attention_weights")
    moved = {name: getattr(layer_record, name)[:1].float().cpu() for name in tensors}
    return AttentionRecord(**{**vars(layer_record), **moved})


def as_tensor(image: Any, normalized: bool = True) -> Float[Tensor, "3 height width"]:
    """The model's input, normalised, from a PIL image, an array (height, width, 3) of bytes, or a tensor.

    A tensor (3, height, width) is what the data sets give, normalised; with normalized=False its colours are in [0, 1].
    A picture is used in its own size, but no side is longer than 1333 px. Raises ValueError for anything else.
    """
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image: an array must be (height, width, 3) of uint8, got {image.shape} of {image.dtype}")
        image = Image.fromarray(image)
    if isinstance(image, Image.Image):
        short_side = min(*image.size, MAX_SIDE)
        target = {"boxes": torch.zeros(0, 4), "size": (image.height, image.width)}
        return EvalTransform(short_side, MAX_SIDE)(image.convert("RGB"), target, np.random.default_rng(0))[0]
    if not isinstance(image, Tensor):
        raise ValueError(
            f"image: got {type(image).__name__}; give a PIL image, a tensor (3, height, width), or a list of them"
        )
    return _checked(image, normalized)


def _checked(image: Tensor, normalized: bool) -> Tensor:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image: a tensor must be (3, height, width), got {tuple(image.shape)}; pick one of the batch")
    if not image.is_floating_point():
        raise ValueError(
            f"image: a tensor must hold floats, got {image.dtype}; divide bytes by 255, pass normalized=False"
        )
    if not image.isfinite().all():
        raise ValueError("image: some of its values are not finite (NaN or infinite)")
    if normalized:
        return image.detach().float()
    if image.min() < 0 or image.max() > 1:
        raise ValueError(
            f"image: with normalized=False its colours must be in [0, 1], got {image.min():.3g} to {image.max():.3g}"
        )
    return normalize_colours(image.detach().float())


def _picture(pixels: Float[Tensor, "3 height width"]) -> Image.Image:
    colours = denormalize(pixels.cpu())
    return Image.fromarray((colours * 255).round().byte().permute(1, 2, 0).numpy())


def _image_argument(model: nn.Module) -> str:
    """The images' name among the arguments: "images" here, "pixel_values" in transformers."""
    names = list(inspect.signature(model.forward).parameters)
    return next((name for name in ("images", "pixel_values") if name in names), names[0] if names else "images")


def _on_device(value: Any, model: nn.Module) -> Any:
    return value.to(next(model.parameters()).device) if isinstance(value, Tensor) else value


def _extent(inputs: Mapping[str, Any]) -> Float[Tensor, "2"]:
    """Read off the pixel mask of transformers, 1 on the image, 0 on padding at the right and the bottom."""
    mask = inputs.get("pixel_mask")
    if not isinstance(mask, Tensor) or not mask.any():
        return torch.ones(2)
    return torch.stack([mask[0].any(0).float().mean(), mask[0].any(1).float().mean()]).cpu()
