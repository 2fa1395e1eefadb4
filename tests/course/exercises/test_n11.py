"""Notebook 11: mistakes that the checks must refuse."""

import math

import torch

from defdetr_ref.course.exercises.n11 import normalised_entropy, sampling_matrix
from defdetr_ref.explain.matrices import row_shares
from defdetr_ref.ops import ms_deform_attn
from tests.course.exercises import three_ways


def entropy(matrix):
    """Not normalised, in nats."""
    return torch.special.entr(row_shares(matrix)).sum(-1)


def sampled_identity(shapes, locations, weights):
    """(N, Q, M·S), as the operator returns it."""
    tokens = sum(height * width for height, width in shapes)
    value = torch.eye(tokens)[None, :, None].expand(len(weights), -1, weights.shape[2], -1)
    return ms_deform_attn(value, shapes, locations, weights)


def nearest_tokens(shapes, locations, weights):
    """Each point's weight goes to its nearest pixel alone."""
    batch, queries, heads = weights.shape[:3]
    matrix = torch.zeros(batch, heads, queries, sum(height * width for height, width in shapes))
    start = 0
    for level, (height, width) in enumerate(shapes):
        place = (locations[:, :, :, level] * torch.tensor([width, height])).floor().long()
        inside = ((place >= 0) & (place < torch.tensor([width, height]))).all(-1)
        token = start + place[..., 1].clamp(0, height - 1) * width + place[..., 0].clamp(0, width - 1)
        taken = (weights[:, :, :, level] * inside).transpose(1, 2)
        matrix.scatter_add_(-1, token.transpose(1, 2), taken)
        start += height * width
    return matrix


MISTAKES = {
    "11-matrix": {
        "as the operator returns it": sampled_identity,
        "heads and tokens swapped": lambda shapes, locations, weights: (
            sampled_identity(shapes, locations, weights).unflatten(-1, (-1, weights.shape[2])).movedim(-1, 1)
        ),
        "queries before heads": lambda *arguments: sampling_matrix(*arguments).transpose(1, 2),
        "transposed": lambda *arguments: sampling_matrix(*arguments).mT,
        "summed over the heads": lambda *arguments: sampling_matrix(*arguments).sum(1),
        "rows made to sum to 1": lambda *arguments: row_shares(sampling_matrix(*arguments)),
        "nearest pixel, not bilinear": nearest_tokens,
        "x and y swapped": lambda shapes, locations, weights: sampling_matrix(shapes, locations.flip(-1), weights),
        "all points alike": lambda shapes, locations, weights: sampling_matrix(
            shapes, locations, torch.full_like(weights, 1 / weights[0, 0, 0].numel())
        ),
    },
    "11-entropy": {
        "not normalised": entropy,
        "without the minus": lambda matrix: -normalised_entropy(matrix),
        "0·log 0 is NaN": lambda matrix: (
            -(row_shares(matrix) * row_shares(matrix).log()).sum(-1) / math.log(matrix.shape[-1])
        ),
        "rows not divided by their sum": lambda matrix: torch.special.entr(matrix).sum(-1) / math.log(matrix.shape[-1]),
        "over the queries": lambda matrix: normalised_entropy(matrix.mT),
        "mean in place of sum": lambda matrix: torch.special.entr(row_shares(matrix)).mean(-1),
        "divided by S": lambda matrix: entropy(matrix) / matrix.shape[-1],
        "log of the number of queries": lambda matrix: entropy(matrix) / math.log(matrix.shape[-2]),
        "the mean of all rows": lambda matrix: normalised_entropy(matrix).mean(),
        "the largest share": lambda matrix: row_shares(matrix).amax(-1),
    },
}


def test_a_forgotten_norm_is_shown():
    sentence = three_ways.refuses("11-entropy", MISTAKES["11-entropy"]["not normalised"])
    assert sentence.startswith("the entropy of even attention over 2 tokens")
    assert "yours is [[[0.6931]]], expected [[[1]]]" in sentence  # log 2
