"""The cost of every pair by hand, and the assignment against all permutations."""

import itertools
import math

import pytest
import torch

from defdetr_ref.matching import class_cost, hungarian_match, matching_cost


def slow_class_cost(logit: float) -> float:
    """Focal loss if the label is this class, minus focal loss if it is not."""
    p = 1 / (1 + math.exp(-logit))
    return -0.25 * (1 - p) ** 2 * math.log(p) + 0.75 * p**2 * math.log(1 - p)


def slow_giou(a: list[float], b: list[float]) -> float:
    """Of two cxcywh boxes, from the lengths of their sides."""
    intersection, hull = 1.0, 1.0
    for axis in (0, 1):
        low_a, high_a, low_b, high_b = (
            box[axis] + side * box[axis + 2] / 2 for box in (a, b) for side in (-1, 1)
        )  # fmt: skip
        intersection *= max(0.0, min(high_a, high_b) - max(low_a, low_b))
        hull *= max(high_a, high_b) - min(low_a, low_b)
    union = a[2] * a[3] + b[2] * b[3] - intersection
    return intersection / union - (hull - union) / hull


def slow_cost(logits: torch.Tensor, box: torch.Tensor, label: int, target_box: torch.Tensor) -> float:
    a, b = box.tolist(), target_box.tolist()
    distance = sum(abs(x - y) for x, y in zip(a, b, strict=True))
    return 2 * slow_class_cost(logits[label].item()) + 5 * distance - 2 * slow_giou(a, b)


def make_case(queries=6, classes=5, counts=(4, 2, 0), seed=0):
    """Logits, boxes and targets of a batch; boxes overlap or not."""
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.rand(*size, generator=rng, dtype=torch.float64)  # noqa: E731
    logits, boxes = 4 * draw(len(counts), queries, classes) - 2, 0.15 + 0.5 * draw(len(counts), queries, 4)
    targets = [{"labels": torch.randint(0, classes, (n,), generator=rng), "boxes": 0.15 + 0.5 * draw(n, 4)}
               for n in counts]  # fmt: skip
    return logits, boxes, targets


def test_one_cost_worked_out():
    logits = torch.tensor([[1.5, 0.0, -2.0]], dtype=torch.float64)
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4]], dtype=torch.float64)
    target_boxes = torch.tensor([[0.6, 0.5, 0.4, 0.2]], dtype=torch.float64)
    # class 1: p = 0.5, so (0.25 - 0.75) · 0.25 · ln 2; distance 0.1 + 0.2; they share 0.3 · 0.2 of 0.16 + 0.08 - 0.06
    # in a hull of 0.5 · 0.4
    expected = 2 * -0.125 * math.log(2) + 5 * 0.3 - 2 * (0.06 / 0.18 - 0.02 / 0.2)
    cost = matching_cost(logits, boxes, torch.tensor([1]), target_boxes)
    assert cost.item() == pytest.approx(expected, abs=1e-6)  # 1e-8 stands in its logarithms


def test_every_cost_against_loops():
    logits, boxes, targets = make_case()
    labels, target_boxes = targets[0]["labels"], targets[0]["boxes"]
    cost = matching_cost(logits[0], boxes[0], labels, target_boxes)
    assert cost.shape == (6, 4)
    for query, n in itertools.product(range(6), range(4)):
        expected = slow_cost(logits[0, query], boxes[0, query], labels[n].item(), target_boxes[n])
        assert cost[query, n].item() == pytest.approx(expected, abs=1e-6)


def test_the_cost_of_a_class_for_probabilities_zero_and_one():
    """There 1e-8 stands in for the probability, so that no logarithm is infinite."""
    cost = class_cost(torch.tensor([[-200.0, 200.0]], dtype=torch.float64), torch.tensor([1, 0, 1]))
    sure, impossible = 0.75 * math.log(1e-8), -0.25 * math.log(1e-8)
    assert cost[0].tolist() == pytest.approx([sure, impossible, sure])


def test_assignment_is_the_best_of_all_permutations():
    """Of each image alone; the images have 4, 2 and no objects, and other images' objects would be cheaper."""
    logits, boxes, targets = make_case()
    assignments = hungarian_match(logits, boxes, targets)
    assert len(assignments) == 3
    for image, (target, (query, index)) in enumerate(zip(targets, assignments, strict=True)):
        count = len(target["labels"])
        pairs = list(zip(target["labels"].tolist(), target["boxes"], strict=True))
        costs = [[slow_cost(logits[image, q], boxes[image, q], *pair) for pair in pairs] for q in range(6)]
        totals = {
            choice: sum(costs[q][n] for n, q in enumerate(choice)) for choice in itertools.permutations(range(6), count)
        }
        best = min(totals, key=totals.__getitem__)
        assert sorted(zip(index.tolist(), query.tolist(), strict=True)) == list(enumerate(best))
        assert query.tolist() == sorted(query.tolist()), "in the order of the queries"


def test_more_objects_than_queries():
    logits, boxes, targets = make_case(queries=2, counts=(4, 1))
    (query, index), _ = hungarian_match(logits, boxes, targets)
    assert query.tolist() == [0, 1] and len(set(index.tolist())) == 2


def test_a_query_of_a_diverged_model_is_matched_last():
    """NaN would be an error of the assignment, and infinite costs of all queries one as well."""
    logits, boxes, targets = make_case(queries=3, counts=(2, 1))
    logits[0, 1] = float("nan")
    logits[1] = float("nan")
    (query, index), (only, _) = hungarian_match(logits, boxes, targets)
    assert query.tolist() == [0, 2] and sorted(index.tolist()) == [0, 1] and len(only) == 1
    far_away = torch.full((1, 2, 4), 1e38)  # 5 · 1e38 is infinite in float32
    far_away[0, 1] = 0.5
    target = {"labels": torch.tensor([0]), "boxes": torch.full((1, 4), 0.5)}
    ((query, _),) = hungarian_match(torch.zeros(1, 2, 3), far_away, [target])
    assert query.tolist() == [1]


def test_matching_is_outside_of_the_graph():
    logits, boxes, targets = make_case()
    seen = []
    logits.requires_grad_().register_hook(seen.append)
    assignments = hungarian_match(logits, boxes.requires_grad_(), targets)
    assert not any(tensor.requires_grad for pair in assignments for tensor in pair) and seen == []
