"""Notebook 09: mistakes that the checks must refuse."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from defdetr_ref.boxes import cxcywh_to_xyxy, generalized_box_iou
from defdetr_ref.course import exercises
from defdetr_ref.course.exercises.n09 import brute_force, focal
from defdetr_ref.losses import focal_loss
from defdetr_ref.matching import class_cost, matching_cost
from tests.course.exercises import three_ways


def giou(boxes, target_boxes):
    return generalized_box_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))


def cost(*, class_part=class_cost, distance=lambda a, b: torch.cdist(a, b, p=1), weights=(2, 5, -2), overlap=giou):
    """The right answer, with one thing changed."""

    def answer(logits, boxes, labels, target_boxes):
        parts = class_part(logits, labels), distance(boxes, target_boxes), overlap(boxes, target_boxes)
        return sum(weight * part for weight, part in zip(weights, parts, strict=True))

    return answer


def giou_of_unconverted(a, b):
    """As if cxcywh were xyxy; boxes that this turns inside out are set right, so that nothing is raised."""
    ordered = [torch.cat([torch.minimum(x[:, :2], x[:, 2:]), torch.maximum(x[:, :2], x[:, 2:])], dim=1) for x in (a, b)]
    return generalized_box_iou(*ordered)


def greedy(matrix):
    taken = []
    for column in matrix.T:
        free = [query for query in range(len(matrix)) if query not in taken]
        taken.append(min(free, key=lambda query: column[query]))
    return taken


def ascending_only(matrix):
    choices = itertools.combinations(range(len(matrix)), matrix.shape[1])
    return list(min(choices, key=lambda choice: matrix[list(choice), range(len(choice))].sum()))


def only_matched_logits(logits, targets, alpha=0.25, gamma=2.0):
    return focal(logits, targets, alpha, gamma) * targets


def alpha_truth(targets, alpha):
    return torch.where(targets == 1, alpha, 1 - alpha)


def naive_focal(logits, targets, alpha=0.25, gamma=2.0):
    """1 - σ(20) is 0 in float32."""
    p = logits.sigmoid()
    p_truth = torch.where(targets == 1, p, 1 - p)
    return -alpha_truth(targets, alpha) * (1 - p_truth) ** gamma * p_truth.log()


def factor_detached(logits, targets, alpha=0.25, gamma=2.0):
    truth = torch.where(targets == 1, logits, -logits)
    return -alpha_truth(targets, alpha) * (1 - truth.sigmoid()).detach() ** gamma * F.logsigmoid(truth)


def focal_with(*, share=lambda p_truth: 1 - p_truth, alpha_of=alpha_truth):
    def answer(logits, targets, alpha=0.25, gamma=2):
        p_truth = torch.where(targets == 1, logits.sigmoid(), 1 - logits.sigmoid())
        return -alpha_of(targets, alpha) * share(p_truth) ** gamma * p_truth.log()

    return answer


MISTAKES = {
    "09-cost": {
        "GIoU added": cost(weights=(2, 5, 2)),
        "weights of 1": cost(weights=(1, 1, -1)),
        "weights 5 and 2 swapped": cost(weights=(5, 2, -2)),
        "-p, as in DETR": cost(class_part=lambda logits, labels: -logits.sigmoid()[:, labels]),
        "softmax in place of sigmoid": cost(
            class_part=lambda logits, labels: class_cost(logits.softmax(-1).logit(), labels)
        ),
        "gain and loss swapped": cost(class_part=lambda logits, labels: -class_cost(logits, labels)),
        "channels in place of labels": cost(
            class_part=lambda logits, labels: class_cost(logits, torch.arange(len(labels)))
        ),
        "Euclidean distance": cost(distance=lambda a, b: torch.cdist(a, b)),
        "mean in place of sum over the four numbers": cost(distance=lambda a, b: torch.cdist(a, b, p=1) / 4),
        "L1 of the corners": cost(distance=lambda a, b: torch.cdist(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b), p=1)),
        "GIoU of boxes that are still cxcywh": cost(overlap=giou_of_unconverted),
        "objects × queries": lambda *args: matching_cost(*args).T,
    },
    "09-brute-force": {
        "each object takes its cheapest query": lambda matrix: matrix.argmin(0).tolist(),
        "each object takes its cheapest free query": greedy,
        "the dearest": lambda matrix: brute_force(-matrix),
        "queries in ascending order only": ascending_only,
        "the set of queries, sorted": lambda matrix: sorted(brute_force(matrix)),
        "the total in place of the choice": lambda matrix: float(
            sum(matrix[query, index] for index, query in enumerate(brute_force(matrix)))
        ),
        "each object's neighbour": lambda matrix: list(range(matrix.shape[1])),
    },
    "09-focal": {
        "naive log σ": naive_focal,
        "a logarithm kept from 0": lambda logits, targets, alpha=0.25, gamma=2.0: (
            -alpha_truth(targets, alpha)
            * (1 - (p := torch.where(targets == 1, logits, -logits).sigmoid())) ** gamma
            * p.clamp(min=1e-7).log()
        ),
        "factor detached": factor_detached,
        "detached": lambda *args: focal(*args).detach(),
        "logits clamped in place": lambda logits, *args: focal(logits.clamp_(-40, 40), *args),
        "γ on p_t": focal_with(share=lambda p_truth: p_truth),
        "no focus": focal_with(share=torch.ones_like),
        "α the wrong way round": focal_with(alpha_of=lambda targets, alpha: alpha_truth(targets, 1 - alpha)),
        "α for ones and zeros": focal_with(alpha_of=lambda targets, alpha: alpha),
        "no α": focal_with(alpha_of=lambda targets, alpha: 1.0),
        "sign forgotten": lambda *args: -focal(*args),
        "ones alone": only_matched_logits,
        "mean of all": lambda *args: focal(*args).mean(),
        "softmax in place of sigmoid": lambda logits, *args: focal(logits.softmax(-1).logit(), *args),
        "probabilities taken for logits": lambda logits, *args: focal(logits.sigmoid(), *args),
        "alpha and gamma fixed": lambda logits, targets, alpha=0.25, gamma=2: focal_loss(logits, targets),
        "no logarithm": lambda logits, targets, alpha=0.25, gamma=2: F.l1_loss(
            logits.sigmoid(), targets, reduction="none"
        ),
    },
}


def test_the_solution_is_the_packages_loss():
    logits, targets = 9 * torch.randn(6, 4), torch.eye(6, 4)
    torch.testing.assert_close(focal(logits, targets), focal_loss(logits, targets))


def test_the_sentences_show_yours_and_the_expected():
    sentence = three_ways.refuses("09-brute-force", greedy)
    assert sentence == "each object's query, for 3 queries and 2 objects: yours is [0, 1], expected [1, 0]"
    sentence = three_ways.refuses("09-cost", MISTAKES["09-cost"]["objects × queries"])
    assert sentence == "the cost of 6 queries × 3 objects has shape (3, 6), expected (6, 3)"
    sentence = three_ways.refuses("09-focal", MISTAKES["09-focal"]["alpha and gamma fixed"])
    assert sentence.startswith("with alpha = 0.5 and gamma = 0, the loss: at [")
    with pytest.raises(exercises.WrongAnswer, match="1 - σ.20. is 0 in float32, and its logarithm -∞"):
        exercises.check("09-focal", naive_focal)
