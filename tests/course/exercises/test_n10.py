"""Notebook 10: mistakes that the checks must refuse."""

import torch

from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.course.exercises.n10 import SMALL_DETECTIONS, SMALL_TRUTH, group_of, overlap, recall_and_precision
from defdetr_ref.course.figures.learning import interpolated_precision
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.evaluation import coco_metrics
from defdetr_ref.training import TrainConfig, parameter_groups
from tests.course.exercises import three_ways

SLOW = ("reference_points", "sampling_offsets")


def group_by(backbone=("backbone",), slow=SLOW, matches=lambda part, name: part in name):
    def answer(name):
        if any(matches(part, name) for part in backbone):
            return "backbone"
        return "slow" if any(matches(part, name) for part in slow) else "rest"

    return answer


def scored(*, order=lambda detection: -detection[1], once=True, own_image=True, best=True, shares=None):
    """The right answer, with one thing changed."""

    def answer(detections, truth, threshold):
        taken, right = set(), []
        for image, _, box in sorted(detections, key=order):
            candidates = [
                (overlap(box, other), other_image, index)
                for other_image, boxes in truth.items()
                for index, other in enumerate(boxes)
                if (other_image == image or not own_image) and ((other_image, index) not in taken or not once)
            ]
            candidates = [one for one in candidates if one[0] >= threshold]
            if candidates:
                taken.add((max(candidates) if best else candidates[0])[1:])
            right.append(bool(candidates))
        found = torch.tensor(right).cumsum(0)
        objects, seen = sum(map(len, truth.values())), torch.arange(1, len(right) + 1)
        return shares(found, objects, seen) if shares else (found / objects, found / seen)

    return answer


def takes_no_second_best(detections, truth, threshold):
    taken, right = set(), []
    for image, _, box in sorted(detections, key=lambda detection: -detection[1]):
        overlaps = [overlap(box, other) for other in truth[image]]
        best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
        right.append(best is not None and overlaps[best] >= threshold and (image, best) not in taken)
        if right[-1]:
            taken.add((image, best))
    found = torch.tensor(right).cumsum(0)
    return found / sum(map(len, truth.values())), found / torch.arange(1, len(right) + 1)


MISTAKES = {
    "10-groups": {
        "reference_points forgotten": group_by(slow=("sampling_offsets",)),
        "sampling_offsets forgotten": group_by(slow=("reference_points",)),
        "names must begin with it": group_by(matches=lambda part, name: name.startswith(part)),
        "weights alone": lambda name: group_of(name) if name.endswith("weight") else "rest",
        "the attention weights too": group_by(slow=(*SLOW, "attention_weights")),
        "every layer of attention": group_by(slow=("attention", "reference_points")),
        "backbone at the full rate": group_by(backbone=()),
        "the pyramid counts as backbone": group_by(backbone=("backbone", "pyramid")),
        "a learning rate in place of the group": lambda name: {"rest": 2e-4}.get(group_of(name), 2e-5),
    },
    "10-recall-precision": {
        "in the given order": scored(order=lambda detection: 0),
        "by rising score": scored(order=lambda detection: detection[1]),
        "image by image": scored(order=lambda detection: (detection[0], -detection[1])),
        "duplicates count as right": scored(once=False),
        "objects of other images": scored(own_image=False),
        "precision and recall swapped": scored(shares=lambda found, objects, seen: (found / seen, found / objects)),
        "recall over all detections": scored(shares=lambda found, objects, seen: (found / len(found), found / seen)),
        "precision over all detections": scored(
            shares=lambda found, objects, seen: (found / objects, found / len(found))
        ),
        "first match above the threshold": scored(best=False),
        "the best object even if it is taken": takes_no_second_best,
        "an overlap of exactly the threshold is too little": lambda detections, truth, threshold: recall_and_precision(
            detections, truth, threshold + 1e-9
        ),
        "detections sorted in place": lambda detections, truth, threshold: recall_and_precision(
            detections.sort(key=lambda detection: -detection[1]) or detections, truth, threshold
        ),
        "threshold ignored": lambda detections, truth, threshold: recall_and_precision(detections, truth, 0.5),
        "the last numbers alone": scored(
            shares=lambda found, objects, seen: (found[-1] / objects, found[-1] / len(found))
        ),
        "corners taken for sizes": lambda detections, truth, threshold: recall_and_precision(
            [(image, score, [x, y, abs(w - x), abs(h - y)]) for image, score, (x, y, w, h) in detections],
            truth,
            threshold,
        ),
    },
}


def test_the_groups_are_those_of_training():
    model = DeformableDETR(DeformableDETRConfig.preset("tiny", two_stage=False, box_refine=True))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in parameter_groups(model, TrainConfig()):
        assert {group_of(names[id(parameter)]) for parameter in group["params"]} == {group["name"]}


def test_the_solution_is_what_pycocotools_counts():
    boxes = [(image, box) for image, found in SMALL_TRUTH.items() for box in found]
    annotations = [
        {"id": number, "image_id": image, "category_id": 1, "bbox": box} for number, (image, box) in enumerate(boxes, 1)
    ]
    coco = {
        "images": [{"id": image, "height": 64, "width": 96} for image in SMALL_TRUTH],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "circle"}],
    }
    results = [{"image_id": i, "score": score, "bbox": box, "category_id": 1} for i, score, box in SMALL_DETECTIONS]
    figures = coco_metrics(coco, results, image_ids=list(SMALL_TRUTH))
    for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
        recall, precision = recall_and_precision(SMALL_DETECTIONS, SMALL_TRUTH, threshold)
        average = interpolated_precision(recall.double(), precision.double()).mean().item()
        torch.testing.assert_close(figures[name], average, rtol=1e-5, atol=1e-5)


def test_the_sentences_name_the_parameter_and_the_threshold():
    sentence = three_ways.refuses("10-groups", MISTAKES["10-groups"]["reference_points forgotten"])
    assert sentence == "the group of queries.reference_points.weight: yours is 'rest', expected 'slow'"
    sentence = three_ways.refuses("10-recall-precision", MISTAKES["10-recall-precision"]["duplicates count as right"])
    assert sentence.startswith("at IoU 0.75, of 2 detections and 2 objects in 1 images, the recall: yours is [0.5, 1]")
