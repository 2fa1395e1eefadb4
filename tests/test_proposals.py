"""Where queries come from: which half of an embedding is what, which tokens are chosen, and in which order."""

import math

import pytest
import torch
from torch import nn

from defdetr_ref.layers import BoxHead
from defdetr_ref.positions import token_centres
from defdetr_ref.proposals import LearnedQueries, LearnedQueriesWithBoxes, TwoStageQueries
from defdetr_ref.pyramid import PyramidTokens

SHAPES = [(3, 4), (2, 3)]
TOKENS, D_MODEL, CLASSES = 18, 12, 5


def make_tokens() -> PyramidTokens:
    """Two images; of the second only two columns and two rows of the fine level are image."""
    fine, coarse = torch.zeros(2, 3, 4, dtype=torch.bool), torch.zeros(2, 2, 3, dtype=torch.bool)
    fine[1, 2], fine[1, :, 2:], coarse[1, :, 2:] = True, True, True
    mask = torch.cat([fine.flatten(1), coarse.flatten(1)], dim=1)
    ratios = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.5, 2 / 3], [2 / 3, 1.0]]])
    return PyramidTokens(
        torch.zeros(2, TOKENS, D_MODEL),
        torch.zeros(2, TOKENS, D_MODEL),
        mask,
        SHAPES,
        ratios,
        token_centres(SHAPES, ratios),
    )


def make_memory() -> torch.Tensor:
    return torch.randn(2, TOKENS, D_MODEL, generator=torch.Generator().manual_seed(2))


def perturbed(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("kind", [LearnedQueries, LearnedQueriesWithBoxes])
def test_learned_queries(kind):
    """The first half of an embedding is position, the second content; all images start from the same queries."""
    torch.manual_seed(0)
    module = perturbed(kind(7, D_MODEL))
    queries, proposals = module(make_memory(), make_tokens())
    assert proposals is None
    for image in range(2):
        for query in range(7):
            numbers = module.embedding.weight[query]
            assert torch.equal(queries.position[image, query], numbers[:D_MODEL])
            assert torch.equal(queries.content[image, query], numbers[D_MODEL:])
            layer = module.reference_points
            point = [1 / (1 + math.exp(-n)) for n in (layer.weight @ numbers[:D_MODEL] + layer.bias).tolist()]
            size = [] if kind is LearnedQueries else [0.1, 0.1]
            assert queries.reference[image, query].tolist() == pytest.approx(point + size)


def make_two_stage(num_queries=4) -> TwoStageQueries:
    torch.manual_seed(0)
    return perturbed(TwoStageQueries(num_queries, D_MODEL, nn.Linear(D_MODEL, CLASSES), BoxHead(D_MODEL)))


def first_boxes() -> tuple[list, list]:
    """Of each image and token: the box before its correction, and whether it is used."""
    boxes, usable = [], []
    for valid in ([(3, 4), (2, 3)], [(2, 2), (2, 2)]):  # rows and columns that are image, on each level
        boxes.append([])
        usable.append([])
        for level, ((height, width), (rows, columns)) in enumerate(zip(SHAPES, valid, strict=True)):
            for row in range(height):
                for column in range(width):
                    boxes[-1].append([(column + 0.5) / columns, (row + 0.5) / rows, *[0.05 * 2**level] * 2])
                    usable[-1].append(row < rows and column < columns)
    return boxes, usable


def test_every_token_proposes_a_box():
    """Padded tokens read a memory of zeros, whatever stands there, and their box is (1, 1, 1, 1)."""
    module, memory = make_two_stage(), make_memory()
    _, proposals = module(memory, make_tokens())
    assert proposals.logits.shape == (2, TOKENS, CLASSES)
    boxes, usable = first_boxes()
    for image in range(2):
        for token in range(TOKENS):
            read = memory[image, token] if usable[image][token] else torch.zeros(D_MODEL)
            features = module.memory_norm(module.memory_proj(read))
            torch.testing.assert_close(proposals.logits[image, token], module.class_head(features))
            logits = torch.tensor([math.log(number / (1 - number)) for number in boxes[image][token]]
                                  if usable[image][token] else [math.inf] * 4)  # fmt: skip
            expected = torch.sigmoid(module.box_head(features) + logits)
            torch.testing.assert_close(proposals.boxes[image, token], expected)
    assert sum(map(sum, usable)) == 18 + 4 + 4


def test_the_best_foreground_scores_become_queries():
    """Channel 0 ranks, best first; a query is its box: sines of x, y, width and height, normed, position first."""
    module = make_two_stage()
    queries, proposals = module(make_memory(), make_tokens())
    for image in range(2):
        ranked = sorted(range(TOKENS), key=lambda token: -proposals.logits[image, token, 0].item())  # noqa: B023
        others = sorted(range(TOKENS), key=lambda token: -proposals.logits[image, token].max().item())  # noqa: B023
        assert ranked[:4] != others[:4], "or else nothing is tested"
        for query, token in enumerate(ranked[:4]):
            box = proposals.boxes[image, token]
            assert torch.equal(queries.reference[image, query], box)
            waves = [
                wave(2 * math.pi * number / 10_000 ** (2 * i / 6))
                for number in box.tolist()
                for i in range(3)
                for wave in (math.sin, math.cos)
            ]
            embedding = module.query_norm(module.query_proj(torch.tensor(waves)))
            torch.testing.assert_close(queries.position[image, query], embedding[:D_MODEL], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(queries.content[image, query], embedding[D_MODEL:], rtol=1e-4, atol=1e-5)


def test_the_gradient_stops_at_the_chosen_boxes():
    module, memory = make_two_stage(), make_memory().requires_grad_()
    queries, proposals = module(memory, make_tokens())
    assert not queries.reference.requires_grad and proposals.boxes.requires_grad and proposals.logits.requires_grad
    (queries.content.sum() + queries.position.square().sum()).backward()
    assert memory.grad is None and module.box_head.layers[0].weight.grad is None
    assert module.query_proj.weight.grad.abs().sum() > 0


def test_as_many_queries_as_tokens_and_not_one_more():
    queries, proposals = make_two_stage(TOKENS)(make_memory(), make_tokens())
    assert torch.equal(queries.reference.sort(dim=1).values, proposals.boxes.sort(dim=1).values)
    with pytest.raises(ValueError, match="has to choose 19 proposals, but the images give only 18 tokens"):
        make_two_stage(TOKENS + 1)(make_memory(), make_tokens())


def test_sizes():
    module = TwoStageQueries(4, D_MODEL, nn.Linear(D_MODEL, CLASSES), BoxHead(D_MODEL))
    assert module.memory_proj.weight.shape == (D_MODEL, D_MODEL)
    assert module.query_proj.weight.shape == (2 * D_MODEL, 2 * D_MODEL)
    assert module.query_norm.normalized_shape == (2 * D_MODEL,) and module.memory_norm.normalized_shape == (D_MODEL,)
