"""Ten bugs that detectors have had, each planted by replacing one function or method for the length of a block.

with planted("detach forgotten"):
    model(images, mask)
"""

import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from defdetr_ref import attention, decoder, losses
from defdetr_ref.attention import DeformableSampling
from defdetr_ref.boxes import box_area
from defdetr_ref.debugging import images
from defdetr_ref.decoder import RefiningDecoder
from defdetr_ref.pyramid import FeaturePyramid
from defdetr_ref.training import trainer

TOO_HIGH = 100  # times the rate that offsets and reference points should have


@dataclass(frozen=True)
class Bug:
    """What is wrong, and how it is planted.

    case: the letter under which the lesson shows its run.
    owner, name: the module or class, and its function or method, that is replaced.
    instead: from the right one to the wrong one; its docstring says what is wrong.
    """

    case: str
    owner: Any
    name: str
    instead: Callable[[Callable], Callable]

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return inspect.getdoc(self.instead)


def swap_reference(right: Callable) -> Callable:
    """The decoder's reference reaches the attention as (y, x)."""

    def scale_to_padding(reference: Tensor, ratios: Tensor) -> Tensor:
        centre, size = reference[..., :2], reference[..., 2:]
        return right(torch.cat([centre.flip(-1), size], dim=-1), ratios)

    return scale_to_padding


def forget_mask(right: Callable) -> Callable:
    """The model is told that nothing is padding."""

    def forward(self: FeaturePyramid, maps: list[Tensor], mask: Tensor) -> Any:
        return right(self, maps, torch.zeros_like(mask))

    return forward


def add_whole_offsets(right: Callable) -> Callable:
    """Offsets, in pixels, are added to places in [0, 1]."""

    def sampling_locations(reference_points: Tensor, offsets: Tensor, spatial_shapes: Any) -> Tensor:
        return reference_points[:, :, None, :, None, :2] + offsets

    return sampling_locations


def start_one_level_late(right: Callable) -> Callable:
    """Each level is read from where the next one starts."""

    def forward(
        self: DeformableSampling,
        value: Tensor,
        spatial_shapes: Any,
        sampling_locations: Tensor,
        attention_weights: Tensor,
    ) -> Tensor:
        sizes = [height * width for height, width in spatial_shapes]
        starts = itertools.accumulate(sizes)  # should begin with 0
        longer = F.pad(value, (0, 0, 0, 0, 0, max(sizes)))  # zeros behind the last token
        value = torch.cat([longer[:, start : start + size] for start, size in zip(starts, sizes, strict=True)], dim=1)
        return right(self, value, spatial_shapes, sampling_locations, attention_weights)

    return forward


def keep_gradient(right: Callable) -> Callable:
    """A layer's boxes become the next one's reference with their gradient."""

    def next_reference(self: RefiningDecoder, reference: Tensor, boxes: Tensor) -> Tensor:
        return boxes

    return next_reference


def detach_boxes(right: Callable) -> Callable:
    """The boxes are cut off from the graph before the loss sees them."""

    def refine_boxes(reference: Tensor, delta: Tensor) -> Tensor:
        return right(reference, delta).detach()

    return refine_boxes


def match_first_image(right: Callable) -> Callable:
    """Every image's objects are matched with the first image's boxes."""

    def hungarian_match(logits: Tensor, boxes: Tensor, targets: list[dict]) -> list[tuple[Tensor, Tensor]]:
        return right(logits[:1].expand_as(logits), boxes[:1].expand_as(boxes), targets)

    return hungarian_match


def count_labels_from_zero(right: Callable) -> Callable:
    """The categories 1, 2, … are learned as 0, 1, …."""

    def learnable_boxes(annotations: list[dict], size: tuple[int, int]) -> tuple:
        boxes, labels = right(annotations, size)
        return boxes, labels - 1

    return learnable_boxes


def take_centres_for_corners(right: Callable) -> Callable:
    """The GIoU loss takes centre and size for two corners."""

    def generalized_box_iou_pairs(a: Tensor, b: Tensor) -> Tensor:
        overlap = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
        hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(-1)
        intersection = overlap.clamp(min=0).prod(-1)
        union = box_area(a) + box_area(b) - intersection
        return intersection / union - (hull - union) / hull

    return generalized_box_iou_pairs


def hurry_offsets(right: Callable) -> Callable:
    """Offsets and reference points learn at TOO_HIGH times their rate."""

    def parameter_groups(model: Any, config: Any) -> list[dict[str, Any]]:
        groups = right(model, config)
        return [
            group | {rate: TOO_HIGH * group[rate] for rate in ("lr", "full_lr")} if group["name"] == "slow" else group
            for group in groups
        ]

    return parameter_groups


BUGS = {
    "x and y swapped": Bug("D", decoder, "scale_to_padding", swap_reference),
    "padding not masked": Bug("F", FeaturePyramid, "forward", forget_mask),
    "offsets not divided": Bug("C", attention, "sampling_locations", add_whole_offsets),
    "wrong level start": Bug("G", DeformableSampling, "forward", start_one_level_late),
    "detach forgotten": Bug("I", RefiningDecoder, "next_reference", keep_gradient),
    "detach in the wrong place": Bug("A", decoder, "refine_boxes", detach_boxes),
    "matching on the wrong image": Bug("H", losses, "hungarian_match", match_first_image),
    "labels off by one": Bug("B", images, "learnable_boxes", count_labels_from_zero),
    "GIoU of cxcywh": Bug("E", losses, "generalized_box_iou_pairs", take_centres_for_corners),
    "offsets learn too fast": Bug("J", trainer, "parameter_groups", hurry_offsets),
}


def bug_of_case(case: str) -> str:
    """The name of the bug that the lesson shows as `case`. Raises ValueError for a letter without one."""
    for name, bug in BUGS.items():
        if bug.case == case:
            return name
    raise ValueError(f"there is no case {case!r}; choose from {', '.join(sorted(bug.case for bug in BUGS.values()))}")


@contextmanager
def planted(name: str | None, instead: Callable | None = None) -> Iterator[None]:
    """Inside the block, the package has this bug; None: it has none.

    instead: what stands in the bug's place, for instance a mended function. Raises ValueError for an unknown name.
    """
    if name is None:
        yield
        return
    if name not in BUGS:
        raise ValueError(f"there is no bug {name!r}; choose from {', '.join(BUGS)}")
    bug = BUGS[name]
    right = getattr(bug.owner, bug.name)
    with mock.patch.object(bug.owner, bug.name, instead or bug.instead(right)):
        yield
