"""Notebook 10: which parameter learns how fast, and how a detector is scored."""

import itertools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from defdetr_ref.boxes import box_iou
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.course.exercises.calling import WrongAnswer, call
from defdetr_ref.course.exercises.checking import expect_close, expect_equal
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.detector import DeformableDETR

Box = list[float | int]  # left, top, width, height


def group_of(name: str) -> str:
    """The parameter's group, told from its name."""
    if "backbone" in name:
        return "backbone"
    if "reference_points" in name or "sampling_offsets" in name:
        return "slow"
    return "rest"


def examine_groups(answer: Callable, right: Callable) -> None:
    model = DeformableDETR(DeformableDETRConfig.preset("tiny", two_stage=False, box_refine=True))
    for name, _ in model.named_parameters():
        expect_equal(call(answer, name), right(name), f"the group of {name}")


def recall_and_precision(
    detections: list[tuple[int, float, Box]], truth: dict[int, list[Box]], threshold: float
) -> tuple[Float[Tensor, " detection"], Float[Tensor, " detection"]]:
    """Recall and precision after each detection, by falling score. An object is found once; the next one is wrong."""
    taken, right = set(), []
    for image_id, _, box in sorted(detections, key=lambda detection: -detection[1]):
        overlaps = {
            index: overlap(box, other) for index, other in enumerate(truth[image_id]) if (image_id, index) not in taken
        }
        best = max(overlaps, key=overlaps.get, default=None)
        right.append(best is not None and overlaps[best] >= threshold)
        if right[-1]:
            taken.add((image_id, best))
    found = torch.tensor(right).cumsum(0)
    return found / sum(map(len, truth.values())), found / torch.arange(1, len(right) + 1)


def overlap(box: Box, other: Box) -> float:
    """Their intersection over union."""
    corners = torch.tensor([box, other], dtype=torch.float64)
    corners[:, 2:] += corners[:, :2]
    return box_iou(corners[:1], corners[1:]).item()


SMALL_TRUTH = {3: [[0, 0, 20, 20], [40, 10, 30, 30]], 7: [[10, 10, 40, 20], [60, 40, 8, 8], [0, 50, 6, 4]], 9: []}
SMALL_DETECTIONS = [  # image, score, box; the best comes last, so that the order has to be made
    (7, 0.20, [61, 41, 8, 8]),
    (3, 0.80, [2, 0, 20, 20]),
    (3, 0.70, [44, 12, 30, 30]),
    (9, 0.75, [42, 11, 30, 30]),  # there is an object here, but in another image
    (7, 0.60, [0, 40, 10, 10]),
    (7, 0.90, [12, 12, 40, 20]),
    (3, 0.95, [1, 1, 20, 20]),
]


# Two objects that overlap by more than half. A detection takes the better of those that are left.
BESIDE = {3: [[0, 0, 20, 20], [6, 0, 20, 20]]}
TAKES_THE_SECOND_BEST = [(3, 0.9, [6, 0, 20, 20]), (3, 0.8, [5, 0, 20, 20])]
LEAVES_THE_FIRST = [(3, 0.9, [6, 0, 20, 20]), (3, 0.8, [-2, 0, 20, 20])]
EXACTLY_HALF = [(3, 0.9, [0, 0, 20, 10])]
SCENES = (
    (EXACTLY_HALF, {3: [[0, 0, 20, 20]]}),
    (TAKES_THE_SECOND_BEST, BESIDE),
    (LEAVES_THE_FIRST, BESIDE),
    (TAKES_THE_SECOND_BEST, BESIDE | {5: [[0, 0, 9, 9]]}),  # an image in which nothing was detected
    (SMALL_DETECTIONS, SMALL_TRUTH),
    ([], BESIDE),
)


def examine_recall_and_precision(answer: Callable, right: Callable) -> None:
    for (detections, truth), threshold in itertools.product(SCENES, (0.5, 0.75)):
        objects = sum(map(len, truth.values()))
        what = f"at IoU {threshold}, of {len(detections)} detections and {objects} objects in {len(truth)} images,"
        yours = call(answer, detections, truth, threshold)
        if not isinstance(yours, tuple | list) or len(yours) != 2:
            raise WrongAnswer(f"{what} expected two results, recall and precision", hint="")
        recall, precision = right(detections, truth, threshold)
        expect_close(yours[0], recall, f"{what} the recall")
        expect_close(yours[1], precision, f"{what} the precision")


GROUPS = Exercise(
    "10-groups",
    solution=group_of,
    examine=examine_groups,
    hint="The layers that say where to look are called reference_points and sampling_offsets, wherever they are.",
)
RECALL_AND_PRECISION = Exercise(
    "10-recall-precision",
    solution=recall_and_precision,
    examine=examine_recall_and_precision,
    hint="Sort by score; each detection takes the best object of its image that nobody has taken.",
)
