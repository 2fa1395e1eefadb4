"""The operator by Gather, against the one by grid_sample."""

import pytest
import torch

from defdetr_ref.export.sampling import SAMPLINGS, ms_deform_attn_gather, sampling_by
from defdetr_ref.ops import ms_deform_attn
from tests.small_models import small_batch, small_model

SHAPES = [(5, 7), (1, 4), (3, 1)]
BATCH, HEADS, DIM, QUERIES, POINTS = 2, 3, 5, 6, 4


def case(seed: int = 0):
    """Locations on every side of the border, some far outside, some that are no numbers."""
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(height * width for height, width in SHAPES)
    value = torch.randn(BATCH, tokens, HEADS, DIM, dtype=torch.float64, generator=generator)
    size = (BATCH, QUERIES, HEADS, len(SHAPES), POINTS)
    locations = 1.6 * torch.rand(*size, 2, dtype=torch.float64, generator=generator) - 0.3
    locations[0, 0, 0, 0] = torch.tensor([[0.5, 0.5], [1e9, 0.5], [float("nan"), 0.2], [0.1, -float("inf")]])
    return value, SHAPES, locations, torch.rand(*size, dtype=torch.float64, generator=generator)


def test_gather_is_the_operator():
    arguments = case()
    wanted = ms_deform_attn(*arguments, backend="loops")
    torch.testing.assert_close(ms_deform_attn_gather(*arguments), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SAMPLINGS)
@torch.no_grad()
def test_a_model_reads_by_it_inside_the_block_only(name, monkeypatch):
    model, (images, mask, _) = small_model("refine", dropout=0.0), small_batch()
    wanted = model(images, mask)["pred_boxes"]
    calls = []
    monkeypatch.setitem(SAMPLINGS, name, lambda *args, read=SAMPLINGS[name]: calls.append(1) or read(*args))
    with sampling_by(name, model):
        found = model(images, mask)["pred_boxes"]
    assert len(calls) == model.config.encoder_layers + model.config.decoder_layers
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(model(images, mask)["pred_boxes"], wanted) and len(calls) == 4
