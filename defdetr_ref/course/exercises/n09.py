"""Notebook 09: what an assignment costs, the cheapest one, and the focal loss."""

import itertools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from defdetr_ref.course.exercises.calling import call
from defdetr_ref.course.exercises.checking import expect_equal, expect_same
from defdetr_ref.course.exercises.exercise import Exercise
from defdetr_ref.matching import FOCAL_ALPHA, FOCAL_GAMMA, matching_cost


def examine_cost(answer: Callable, right: Callable) -> None:
    for queries, classes, objects in ((1, 2, 1), (6, 4, 3), (5, 3, 2), (4, 3, 0)):
        logits, labels = torch.randn(queries, classes), torch.randint(classes, (objects,)).flip(0)
        boxes, target_boxes = torch.rand(queries, 4), torch.rand(objects, 4)
        expect_same(
            answer, right, (logits, boxes, labels, target_boxes), f"the cost of {queries} queries × {objects} objects"
        )


def brute_force(cost: Float[np.ndarray, "query object"]) -> list[int]:
    """Each object's query in the cheapest of all choices of a different query for each object."""
    num_queries, num_objects = cost.shape
    choices = itertools.permutations(range(num_queries), num_objects)
    return list(min(choices, key=lambda choice: sum(cost[query, index] for index, query in enumerate(choice))))


def examine_brute_force(answer: Callable, right: Callable) -> None:
    random = np.random.default_rng(0)
    greedy_fails = np.array([[1.0, 2.0], [1.5, 9.0], [8.0, 9.5]])
    for cost in (greedy_fails, *(random.normal(size=(6, objects)) for objects in (1, 3, 5, 6))):
        what = f"each object's query, for {len(cost)} queries and {cost.shape[1]} objects"
        expect_equal(call(answer, cost), right(cost), what)


def focal(
    logits: Float[Tensor, "*batch"],
    targets: Float[Tensor, "*batch"],
    alpha: float = FOCAL_ALPHA,
    gamma: float = FOCAL_GAMMA,
) -> Float[Tensor, "*batch"]:
    """-α_t (1 - p_t)^γ log p_t. As 1 - σ(x) = σ(-x), p_t is σ of the logit or of its negative."""
    truth = torch.where(targets == 1, logits, -logits)  # p_t = σ(truth)
    alpha_truth = torch.where(targets == 1, alpha, 1 - alpha)
    return -alpha_truth * (1 - truth.sigmoid()) ** gamma * F.logsigmoid(truth)


def examine_focal(answer: Callable, right: Callable) -> None:
    expect_same(
        answer, right, (torch.tensor([1.0]), torch.tensor([0.0])), "the focal loss of a logit of 1 where 0 is true"
    )
    logits = 2 * torch.randn(6, 4)
    targets = torch.zeros(6, 4)
    targets[[0, 2, 5], [1, 3, 1]] = 1.0
    expect_same(answer, right, (logits, targets), "the focal loss of 6 × 4 logits", gradient=["logits"])
    expect_same(answer, right, (logits, targets, 0.5, 0.0), "with alpha = 0.5 and gamma = 0, the loss")
    expect_same(answer, right, (logits, targets, 0.3, 1.5), "with alpha = 0.3 and gamma = 1.5, the loss")
    large = torch.tensor([-50.0, -20, 20, 50])
    for truth in (0.0, 1.0):
        what = f"where {truth:g} is true, the focal loss of the logits -50, -20, 20 and 50"
        expect_same(answer, right, (large, torch.full((4,), truth)), what, gradient=["logits"])
    expect_same(answer, right, (logits[:0], targets[:0]), "the focal loss of no logits at all")


COST = Exercise(
    "09-cost",
    solution=matching_cost,
    examine=examine_cost,
    hint="2 · class cost of the object's label + 5 · L1 distance of the cxcywh boxes - 2 · GIoU.",
)
BRUTE_FORCE = Exercise(
    "09-brute-force",
    solution=brute_force,
    examine=examine_brute_force,
    hint="itertools.permutations(range(num_queries), num_objects) gives every choice.",
    package=lambda cost: (lambda queries, objects: queries[objects.argsort()].tolist())(*linear_sum_assignment(cost)),
)
FOCAL = Exercise(
    "09-focal",
    solution=focal,
    examine=examine_focal,
    hint="p_t is p where the target is 1, and 1 - p where it is 0; α_t likewise.",
)
