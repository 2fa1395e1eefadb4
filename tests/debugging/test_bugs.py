"""Each bug changes the part that it is planted in, and what follows from it, and is gone after its block."""

from dataclasses import replace

import pytest
import torch

from defdetr_ref.boxes import cxcywh_to_xyxy, generalized_box_iou
from defdetr_ref.data.coco import collate
from defdetr_ref.debugging import images
from defdetr_ref.debugging.bugs import BUGS, TOO_HIGH, bug_of_case, planted
from defdetr_ref.debugging.images import SizedShapes
from defdetr_ref.debugging.runs import Settings, new_model
from defdetr_ref.losses import DetectionLoss, generalized_box_iou_pairs
from defdetr_ref.training import trainer

SETTINGS = Settings()
SETTINGS = replace(SETTINGS, model=SETTINGS.model | {"d_model": 32, "d_ffn": 16, "num_queries": 7, "num_heads": 2})
EVERYTHING = {"outputs", "loss", "gradients"}
CHANGED = {  # of what `observed` returns
    "x and y swapped": EVERYTHING,
    "padding not masked": EVERYTHING,
    "offsets not divided": EVERYTHING,
    "wrong level start": EVERYTHING,
    "detach forgotten": {"gradients"},
    "detach in the wrong place": {"gradients"},
    "matching on the wrong image": {"loss", "gradients"},
    "labels off by one": {"labels", "loss", "gradients"},
    "GIoU of cxcywh": {"loss", "gradients"},
    "offsets learn too fast": {"rates"},
}


@pytest.fixture(scope="module")
def model():
    model = new_model(SETTINGS, seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():  # a model that has moved from its start, where a swap of equal numbers would not be seen
        for name, parameter in model.named_parameters():
            if "backbone" not in name:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def dataset():
    return SizedShapes(3, seed=5)


def observed(model, dataset):
    """What a step of training is made of."""
    pixels, mask, targets = collate(list(dataset))
    outputs = model(pixels, mask)
    loss = DetectionLoss(6)(outputs, targets)
    model.zero_grad()
    loss["total"].backward()
    return {
        "labels": torch.cat([target["labels"] for target in targets]),
        "outputs": torch.cat([outputs["pred_logits"].flatten(), outputs["pred_boxes"].flatten()]).detach(),
        "loss": torch.stack(list(loss.values())).detach(),
        "gradients": torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None]),
        "rates": torch.tensor([group["full_lr"] for group in trainer.parameter_groups(model, SETTINGS.train)]),
    }


def differing(one, other):
    return {name for name in one if one[name].shape != other[name].shape or not torch.allclose(one[name], other[name])}


def test_every_bug_is_observed_and_has_a_letter_of_its_own():
    assert CHANGED.keys() == BUGS.keys() and len(BUGS) == 10
    assert sorted(bug.case for bug in BUGS.values()) == list("ABCDEFGHIJ")
    assert all(BUGS[bug_of_case(bug.case)] is bug for bug in BUGS.values())


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_changes_its_part_and_is_gone_afterwards(name, model, dataset):
    before = observed(model, dataset)
    with planted(name):
        inside = observed(model, dataset)
    assert differing(before, inside) == CHANGED[name]
    assert differing(before, observed(model, dataset)) == set()


def test_a_bug_is_gone_after_an_error():
    before = images.learnable_boxes
    with pytest.raises(KeyError), planted("labels off by one"):
        assert images.learnable_boxes is not before
        raise KeyError
    assert images.learnable_boxes is before


def test_a_mended_function_stands_in_the_bugs_place(model, dataset):
    def mended(a, b):
        return generalized_box_iou(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b)).diagonal()

    before = observed(model, dataset)
    with planted("GIoU of cxcywh", mended):
        assert differing(before, observed(model, dataset)) == set()
    with planted(None):
        assert differing(before, observed(model, dataset)) == set()


def test_the_boxes_get_no_gradient_where_the_detach_is_in_the_wrong_place(model, dataset):
    with planted("detach in the wrong place"):
        observed(model, dataset)
    heads = [one.grad for head in model.decoder.box_heads for one in head.parameters()]
    assert heads and all(gradient is None for gradient in heads)


def test_the_gradient_reaches_further_where_the_detach_is_forgotten(model, dataset):
    lengths = {}
    for name in (None, "detach forgotten"):
        with planted(name):
            observed(model, dataset)
        lengths[name] = [
            sum(one.grad.square().sum() for one in head.parameters()).item() for head in model.decoder.box_heads
        ]
    first, _, last = zip(*lengths.values(), strict=True)
    assert first[1] != pytest.approx(first[0], rel=0.05)  # the later layers' losses pull on it, too
    assert last[1] == pytest.approx(last[0])


def test_offsets_learn_at_so_many_times_their_rate(model):
    with planted("offsets learn too fast"):
        groups = {one["name"]: one["lr"] for one in trainer.parameter_groups(model, SETTINGS.train)}
    assert groups["slow"] == pytest.approx(TOO_HIGH * 0.1 * SETTINGS.train.lr) and groups["rest"] == SETTINGS.train.lr


def test_the_wrong_giou_leaves_its_range_or_misses_what_equal_boxes_have():
    a, b = torch.tensor([[0.2, 0.5, 0.1, 0.2]]), torch.tensor([[0.6, 0.3, 0.3, 0.2]])
    wrong = BUGS["GIoU of cxcywh"].instead(generalized_box_iou_pairs)
    assert not torch.allclose(wrong(a, b), generalized_box_iou_pairs(a, b), atol=0.1)


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="there is no bug 'typo'; choose from x and y swapped, "):
        with planted("typo"):
            pass
    with pytest.raises(ValueError, match="there is no case 'K'; choose from A, B, "):
        bug_of_case("K")
