"""What is noted of a run is what happened."""

import pytest
import torch
from torch import nn

from defdetr_ref.boxes import cxcywh_to_xyxy
from defdetr_ref.data.coco import collate
from defdetr_ref.debugging.images import SizedShapes
from defdetr_ref.debugging.runs import new_model, quick_settings
from defdetr_ref.debugging.symptoms import (
    STEPS_TOGETHER,
    Attention,
    UpToLayer,
    WatchedLoss,
    group_of,
    judge,
    picture,
    rounded,
)
from defdetr_ref.inference import evaluation_mode
from defdetr_ref.losses import DetectionLoss

SETTINGS = quick_settings()


@pytest.fixture(scope="module")
def model():
    return new_model(SETTINGS, seed=2)


@pytest.fixture(scope="module")
def dataset():
    return SizedShapes(5, seed=6)


class Slope(nn.Module):
    """w = 1, a model; as a loss it is s·w of a step's s, whose gradient is s."""

    def __init__(self):
        super().__init__()
        self.queries = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.queries.weight)

    def forward(self, outputs, targets):
        return {"total": outputs["slope"] * self.queries.weight.sum()}


def test_rows_are_the_first_step_and_means_of_ten():
    model = Slope()
    watched = WatchedLoss(model, model)
    slopes = range(1, 2 * STEPS_TOGETHER + 4)  # three steps are left over
    for slope in slopes:
        model.zero_grad()
        watched({"slope": float(slope)}, [])["total"].backward()
    rows = watched.rows()
    assert rows["step"] == [1, 10, 20]
    assert rows["loss"] == {"total": [1.0, 5.5, 15.5]}
    assert rows["gradients"] == {"queries": [1.0, 5.5, 15.5]}


def test_the_groups_make_up_the_whole_gradient(model, dataset):
    pixels, mask, targets = collate(list(dataset))
    watched = WatchedLoss(DetectionLoss(6), model)
    watched(model(pixels, mask), targets)["total"].backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1e-3).item()
    lengths = {name: values[0] for name, values in watched.rows()["gradients"].items()}
    assert sum(length**2 for length in lengths.values()) == pytest.approx(norm**2, rel=1e-3)
    assert set(lengths) == {
        *(f"{head} head {layer}" for head in ("box", "class") for layer in (1, 2, 3)),
        "encoder", "encoder offsets", "decoder", "decoder offsets", "pyramid", "queries",
    }  # fmt: skip


def test_each_parameter_has_its_group():
    assert group_of("decoder.layers.2.cross_attention.sampling_offsets.weight") == "decoder offsets"
    assert group_of("decoder.box_heads.1.layers.0.bias") == "box head 2"
    assert group_of("queries.reference_points.weight") == "queries"


def test_attention_shares_are_shares(model, dataset):
    looks = Attention(dataset, 4)(model)
    assert sum(looks["levels"]) == pytest.approx(1, abs=1e-3) and len(looks["levels"]) == 3
    assert set(looks["outside"]) == {"encoder", "decoder"} and all(0 <= one < 1 for one in looks["outside"].values())


def test_up_to_a_layer_answers_as_that_layer(model, dataset):
    pixels, mask, _ = collate(list(dataset))
    with evaluation_mode(model):
        outputs = model(pixels, mask)
        answers = [UpToLayer(model, layer)(pixels, mask)["pred_logits"] for layer in range(3)]
    assert torch.equal(answers[0], outputs["aux_outputs"][0]["pred_logits"])
    assert torch.equal(answers[2], outputs["pred_logits"]) and not torch.equal(answers[0], answers[2])


class Perfect(nn.Module):
    """Answers with the truth of `dataset`, whose images come in order; layer 1 has no class right."""

    def __init__(self, dataset):
        super().__init__()
        self.targets, self.at = [target for _, target in dataset], 0
        self.decoder = nn.Module()
        self.decoder.layers = nn.ModuleList([nn.Identity(), nn.Identity()])
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images, mask):
        boxes, logits = torch.rand(len(images), 9, 4), torch.full((len(images), 9, 6), -9.0)
        for image in range(len(images)):
            target = self.targets[self.at]
            self.at = (self.at + 1) % len(self.targets)
            count = len(target["labels"])
            boxes[image, :count] = target["boxes"]
            logits[image, range(count), target["labels"]] = 9.0
        wrong = {"pred_logits": logits.roll(1, -1), "pred_boxes": boxes}
        return {"pred_logits": logits, "pred_boxes": boxes, "aux_outputs": [wrong]}


def test_a_perfect_detector_is_judged_so(dataset):
    judged = judge(Perfect(dataset), dataset, DetectionLoss(6), batch_size=5)
    assert judged["alone"] == 1.0 and judged["ignoring classes"] == 1.0
    assert judged["layers"][1] == 1.0 and judged["layers"][0] < 0.3
    assert judged["loss together"] > 0 and judged["loss alone"] > 0


def test_the_picture_is_of_the_largest_object(model, dataset):
    shown = picture(model, dataset, images=4, index=2)
    images, mask, _ = collate([dataset[index] for index in range(4)])
    with evaluation_mode(model):
        outputs = model(images, mask)
    _, target = dataset[2]
    assert shown["image"] == 2
    assert shown["object"] == int(target["boxes"][:, 2:].prod(-1).argmax())
    query = torch.tensor(shown["query"]["weights"])
    assert query.shape == (2, 3, 4) and query.sum().item() == pytest.approx(2, abs=1e-2)
    assert torch.tensor(shown["query"]["locations"]).shape == (2, 3, 4, 2)
    height, width = target["size"]
    shares = torch.tensor(shown["query"]["box"]) / torch.tensor([width, height, width, height])
    distances = (cxcywh_to_xyxy(outputs["pred_boxes"][2]) - shares).abs().amax(-1)
    assert (distances < 1e-3).sum() == 1  # one query's prediction, in pixels of its own image
    place = torch.tensor(shown["pixel"]["reference"]) * 96
    wanted = target["boxes"][shown["object"], :2] * torch.tensor([width, height])
    assert (place - wanted).abs().max() <= 4.1  # the middle of a cell of 8 px


def test_numbers_are_rounded_wherever_they_are():
    assert rounded({"a": [1.23456, {"b": 2}], "c": torch.tensor([0.123456])}) == {"a": [1.235, {"b": 2}], "c": [0.1235]}
