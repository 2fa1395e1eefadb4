"""Focal loss and the criterion, each against a slow version of itself."""

import math

import pytest
import torch
import torch.distributed as dist

from defdetr_ref import DetectionLoss
from defdetr_ref.boxes import cxcywh_to_xyxy, generalized_box_iou
from defdetr_ref.losses import average_over_ranks, cross_entropy_loss, focal_loss
from defdetr_ref.matching import hungarian_match


def make_case(queries=6, classes=5, counts=(3, 1), seed=0):
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.rand(*size, generator=rng, dtype=torch.float64)  # noqa: E731
    batch = len(counts)
    outputs = {"pred_logits": 3 * draw(batch, queries, classes) - 2, "pred_boxes": 0.2 + 0.4 * draw(batch, queries, 4)}
    labels = [torch.randint(1, classes, (n,), generator=rng) for n in counts]
    targets = [{"labels": label, "boxes": 0.2 + 0.4 * draw(len(label), 4)} for label in labels]
    return outputs, targets


def slow_focal(logit: float, target: int) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -0.25 * (1 - p) ** 2 * math.log(p) if target else -0.75 * p**2 * math.log(1 - p)


def test_focal_loss_against_the_formula():
    for logit in (-5.0, -0.7, 0.0, 2.0):
        for target in (0, 1):
            actual = focal_loss(torch.tensor([logit], dtype=torch.float64), torch.tensor([float(target)]).double())
            assert actual.item() == pytest.approx(slow_focal(logit, target))


def test_cross_entropy_is_what_focal_loss_weighs():
    """-log p of the truth: of an object a quarter of it is taken times (1 - p)², of the background the rest."""
    logits, targets = torch.tensor([-5.0, -0.7, 2.0, 2.0]).double(), torch.tensor([1.0, 0.0, 1.0, 0.0]).double()
    p = [1 / (1 + math.exp(-logit)) for logit in logits.tolist()]
    expected = [-math.log(p[0]), -math.log(1 - p[1]), -math.log(p[2]), -math.log(1 - p[3])]
    assert cross_entropy_loss(logits, targets).tolist() == pytest.approx(expected)


def test_focal_loss_stays_finite_for_extreme_logits():
    logits = torch.tensor([-200.0, 200.0, 200.0, -200.0], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.tensor([50.0, 0.0, 150.0, 0.0]))
    assert torch.isfinite(logits.grad).all()


def test_a_model_that_diverged_shows_in_the_loss_and_not_in_the_assignment():
    outputs, targets = make_case()
    outputs["pred_logits"][0, 2] = float("nan")
    losses = DetectionLoss(5)(outputs, targets)
    assert losses["loss_ce"].isnan() and torch.isfinite(losses["loss_bbox"])


def test_every_term_against_loops():
    outputs, targets = make_case()
    losses = DetectionLoss(5)(outputs, targets)
    assignments = hungarian_match(outputs["pred_logits"], outputs["pred_boxes"], targets)
    expected = {"loss_ce": 0.0, "loss_bbox": 0.0, "loss_giou": 0.0}
    for image, (target, (queries, indices)) in enumerate(zip(targets, assignments, strict=True)):
        wanted = dict(zip(queries.tolist(), indices.tolist(), strict=True))
        for query in range(6):
            label = target["labels"][wanted[query]].item() if query in wanted else None
            for c in range(5):
                expected["loss_ce"] += slow_focal(outputs["pred_logits"][image, query, c].item(), int(c == label)) / 4
        for query, n in wanted.items():
            box, truth = outputs["pred_boxes"][image, query], target["boxes"][n]
            expected["loss_bbox"] += sum(abs(a - b) for a, b in zip(box.tolist(), truth.tolist(), strict=True)) / 4
            giou = generalized_box_iou(cxcywh_to_xyxy(box[None]), cxcywh_to_xyxy(truth[None])).item()
            expected["loss_giou"] += (1 - giou) / 4
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value)
    assert losses["total"].item() == pytest.approx(
        2 * expected["loss_ce"] + 5 * expected["loss_bbox"] + 2 * expected["loss_giou"]
    )


def test_names_and_weights_of_all_layers():
    outputs, targets = make_case()
    first, second, tokens = (make_case(queries=q, seed=s)[0] for q, s in ((6, 1), (6, 2), (9, 3)))
    losses = DetectionLoss(5)(outputs | {"aux_outputs": [first, second], "enc_outputs": tokens}, targets)
    names = [f"loss_{term}{suffix}" for suffix in ("", "_0", "_1", "_enc") for term in ("ce", "bbox", "giou")]
    assert sorted(losses) == sorted([*names, "total"])
    weights = {"loss_ce": 2, "loss_bbox": 5, "loss_giou": 2}
    total = sum(weights["_".join(name.split("_")[:2])] * losses[name].item() for name in names)
    assert losses["total"].item() == pytest.approx(total)
    as_objects = [{**target, "labels": 0 * target["labels"]} for target in targets]
    assert losses["loss_ce_enc"].item() == pytest.approx(DetectionLoss(5)(tokens, as_objects)["loss_ce"].item())


def test_a_batch_without_objects():
    outputs, _ = make_case()
    outputs["pred_boxes"].requires_grad_()
    empty = [{"labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4, dtype=torch.float64)}] * 2
    losses = DetectionLoss(5)(outputs, empty)
    assert losses["loss_bbox"] == 0 and losses["loss_giou"] == 0 and losses["loss_ce"] > 0
    losses["total"].backward()


def test_targets_that_are_refused():
    outputs, targets = make_case()
    loss = DetectionLoss(5)
    with pytest.raises(ValueError, match="image 1 has a label 5, but num_classes is 5"):
        loss(outputs, [targets[0], {**targets[1], "labels": torch.tensor([5])}])
    for label in (5, 7, -1):
        with pytest.raises(ValueError, match=f"image 0 has a label {label}, but num_classes is 5; labels are raw"):
            loss(outputs, [{**targets[0], "labels": torch.tensor([4, 0, label, 0])}, targets[1]])
    with pytest.raises(ValueError, match="targets for 1 images, but outputs for 2"):
        loss(outputs, targets[:1])
    with pytest.raises(ValueError, match="the target of image 0 has no boxes"):
        loss(outputs, [{"labels": targets[0]["labels"]}, targets[1]])
    with pytest.raises(ValueError, match="predicts 5 classes, the loss expects 91"):
        DetectionLoss(91)(outputs, targets)


def test_labels_at_both_ends_are_taken():
    outputs, targets = make_case()
    assert DetectionLoss(5)(outputs, [{**targets[0], "labels": torch.tensor([4, 0, 4])}, targets[1]])["total"] > 0


@pytest.mark.parametrize("here, there, expected", [(3, 4, 3.5), (3, 0, 1.5), (1, 0, 1.0), (0, 0, 1.0)])
def test_objects_are_counted_over_all_processes(here, there, expected, monkeypatch):
    """The mean of two processes, never below 1."""
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda total: total.add_(there))
    assert average_over_ranks(here, torch.device("cpu")) == expected
    monkeypatch.setattr(dist, "is_available", lambda: False)
    assert average_over_ranks(3, torch.device("cpu")) == 3.0 and average_over_ranks(0, torch.device("cpu")) == 1.0
