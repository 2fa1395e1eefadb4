"""COCO's figures for results whose quality is known without a detector, and the path from a model to them."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from defdetr_ref.evaluation import METRICS, coco_metrics, evaluate, jsonable, predict, table
from defdetr_ref.inference import evaluation_mode


def annotations(rows, images=(1, 2), categories=(3, 7), **info):
    """A COCO json; rows are (image_id, category_id, left, top, width, height). Some optional keys are left out."""
    return {
        "info": info,
        "images": [{"id": image, "width": 90, "height": 60, "file_name": f"{image}.png"} for image in images],
        "categories": [{"id": category, "name": f"category {category}"} for category in categories],
        "annotations": [
            {"id": index, "image_id": row[0], "category_id": row[1], "bbox": list(row[2:])}
            for index, row in enumerate(rows)  # from 0 on purpose: COCOeval itself mistakes id 0 for "no match"
        ],
    }


def results(rows, score=0.9):
    return [{"image_id": row[0], "category_id": row[1], "bbox": list(row[2:]), "score": score} for row in rows]


OBJECTS = [(1, 3, 5, 5, 20, 10), (1, 7, 40, 10, 40, 40), (2, 3, 10, 20, 12, 30), (2, 3, 50, 5, 36, 36)]


def test_the_truth_itself_scores_one():
    figures = coco_metrics(annotations(OBJECTS), results(OBJECTS), [1, 2])
    assert tuple(figures) == METRICS
    assert figures["AP"] == figures["AP75"] == figures["AP_small"] == figures["AR100"] == pytest.approx(1.0)
    assert figures["AR1"] == pytest.approx((2 / 3 + 1) / 2)  # category 3 has two of its three objects in one image
    assert math.isnan(figures["AP_large"])  # there is no object above 96² px


def test_a_shifted_box_fails_only_the_strict_overlaps():
    truth = [(1, 3, 10, 10, 20, 20)]
    shifted = [(1, 3, 14, 10, 20, 20)]  # IoU 16 · 20 / (2 · 400 − 320) = 2/3: passes 0.50, 0.55, 0.60, 0.65
    figures = coco_metrics(annotations(truth), results(shifted), [1, 2])
    assert figures["AP50"] == pytest.approx(1.0)
    assert figures["AP75"] == pytest.approx(0.0)
    assert figures["AP"] == pytest.approx(0.4)


def test_no_results_at_all():
    figures = coco_metrics(annotations(OBJECTS), [], [1, 2])
    assert figures["AP"] == figures["AR100"] == 0.0
    assert math.isnan(figures["AP_large"])


def test_no_objects_at_all():
    assert all(math.isnan(value) for value in coco_metrics(annotations([]), results(OBJECTS), [1, 2]).values())


def test_only_the_given_images_count():
    assert coco_metrics(annotations(OBJECTS), results(OBJECTS[:2]), [1])["AP"] == pytest.approx(1.0)
    assert coco_metrics(annotations(OBJECTS), results(OBJECTS[:2]), [1, 2])["AP"] < 0.9


def test_labels_that_are_no_category_are_ignored():
    stray = [(1, 5, 5, 5, 20, 10), (2, 0, 1, 1, 9, 9)]
    figures = coco_metrics(annotations(OBJECTS), results(stray, score=0.99) + results(OBJECTS), [1, 2])
    assert figures["AP"] == pytest.approx(1.0)


def test_crowds_neither_help_nor_hurt():
    truth = annotations(OBJECTS[:1] + [(1, 3, 30, 20, 50, 30)])
    truth["annotations"][1]["iscrowd"] = 1
    inside_the_crowd = [(1, 3, 40, 30, 10, 10)]
    figures = coco_metrics(truth, results(inside_the_crowd, score=0.99) + results(OBJECTS[:1]), [1])
    assert figures["AP"] == pytest.approx(1.0)
    truth["annotations"][1]["iscrowd"] = 0
    assert coco_metrics(truth, results(inside_the_crowd, score=0.99) + results(OBJECTS[:1]), [1])["AP"] < 0.6


def test_size_classes_of_the_annotations_are_used():
    # Found: the 12 x 12 object. Missed: the 24 x 24 one. By COCO's limits both are small, by these only the first is.
    found, missed = (1, 3, 5, 5, 12, 12), (1, 3, 40, 10, 24, 24)
    own = {"size_classes": {"small": [0, 400], "medium": [400, 900], "large": [900, 1e10]}}
    by_coco = coco_metrics(annotations([found, missed]), results([found]), [1])
    by_file = coco_metrics(annotations([found, missed], **own), results([found]), [1])
    assert by_coco["AR_small"] == pytest.approx(0.5) and math.isnan(by_coco["AR_medium"])
    assert by_file["AR_small"] == pytest.approx(1.0) and by_file["AR_medium"] == 0.0
    assert by_coco["AP"] == by_file["AP"]


def test_nothing_is_printed_and_nothing_is_changed(capsys):
    truth, found = annotations(OBJECTS), results(OBJECTS)
    coco_metrics(truth, found, [1, 2])
    assert capsys.readouterr().out == ""
    assert truth == annotations(OBJECTS) and found == results(OBJECTS)


class Memory(nn.Module):
    """A "detector" that knows the answers: it reads the image's number from its first pixel."""

    def __init__(self, answers, num_classes):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.5)
        self.answers, self.num_classes, self.seen_training = answers, num_classes, []

    def forward(self, images, mask):
        self.seen_training.append(self.dropout.training)
        batch, queries = len(images), max(len(rows) for rows in self.answers.values())
        logits = torch.full((batch, queries, self.num_classes), -9.0)
        boxes = torch.full((batch, queries, 4), 0.5)
        for index, number in enumerate(images[:, 0, 0, 0].round().int().tolist()):
            for query, (label, box) in enumerate(self.answers[number]):
                logits[index, query, label] = 9.0
                boxes[index, query] = torch.tensor(box)
        return {"pred_logits": logits * self.scale, "pred_boxes": boxes}


class Pictures(Dataset):
    """A data set like CocoDetection: image 2 was skipped, and the model sees images of another size than the files."""

    def __init__(self, coco, image_ids):
        self.coco, self.image_ids = coco, image_ids

    def __len__(self):
        return len(self.image_ids)

    def __getitem__(self, index):
        image_id = self.image_ids[index]
        image = torch.full((3, 30 + index, 45), float(image_id))
        target = {
            "boxes": torch.zeros(0, 4),
            "labels": torch.zeros(0, dtype=torch.long),
            "image_id": image_id,
            "size": (60, 90),
        }
        return image, target


def remembered(rows):
    """What Memory must know: {image_id: [(label, cxcywh in [0, 1] of a 90 x 60 image)]}."""
    answers = {1: [], 2: [], 4: []}
    for image, category, left, top, width, height in rows:
        answers[image].append((category, ((left + width / 2) / 90, (top + height / 2) / 60, width / 90, height / 60)))
    return answers


def test_from_model_to_figures():
    rows = [*OBJECTS, (4, 7, 3, 4, 50, 20)]
    truth = annotations(rows, images=(1, 2, 4))
    model = Memory(remembered(rows), num_classes=8).train()
    model.scale.requires_grad_()
    figures = evaluate(model, Pictures(truth, [4, 1]), batch_size=2, progress=False)
    assert figures["AP"] == pytest.approx(1.0)  # image 2 is in the json, but not in the data set
    assert model.seen_training == [False] and model.training and model.dropout.training
    found = predict(model, Pictures(truth, [4, 1]), batch_size=1, top_k=3, progress=False)
    assert [row["image_id"] for row in found] == [4] * 3 + [1] * 3
    best = found[0]
    assert best["category_id"] == 7 and best["score"] == pytest.approx(torch.tensor(9.0).sigmoid().item())
    assert best["bbox"] == pytest.approx([3, 4, 50, 20], abs=1e-3)


def test_evaluation_mode_gives_every_module_its_own_mode_back():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout())
    model.train()
    model[0].eval()  # a frozen part, as a trained backbone can be
    with pytest.raises(RuntimeError), evaluation_mode(model):
        assert not model[1].training and not torch.is_grad_enabled()
        raise RuntimeError
    assert (model.training, model[0].training, model[1].training) == (True, False, True)


def test_undefined_figures_in_json_and_text():
    figures = {"AP": 0.4321, "AP_large": math.nan}
    assert jsonable(figures) == {"AP": 0.4321, "AP_large": None}
    assert [line.split() for line in table(figures).splitlines()] == [["AP", "43.2"], ["AP_large", "–"]]
