"""A made-up record and an image for the tests of figures."""

import pytest
import torch

from defdetr_ref.explain import AttentionRecord, ForwardPass
from tests.explain.records import BATCH, HEIGHT, QUERIES, TOKENS, WIDTH, a_record


@pytest.fixture
def record() -> AttentionRecord:
    return a_record("decoder", 1, QUERIES, 4)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def forward_pass(record) -> ForwardPass:
    generator = torch.Generator().manual_seed(5)
    boxes = [0.2 + 0.3 * torch.rand(BATCH, QUERIES, 4, generator=generator) for _ in range(2)]
    encoder = [a_record("encoder", layer, TOKENS, 2, seed=layer + 1) for layer in range(2)]
    records = [*encoder, a_record("decoder", 0, QUERIES, 4, seed=4), record]
    return ForwardPass(records, {"pred_boxes": boxes[1], "aux_outputs": [{"pred_boxes": boxes[0]}]})
