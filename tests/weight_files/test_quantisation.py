"""Weights in eight bits: how near they come, and what they cannot hold."""

import pytest
import torch

from defdetr_ref import checkpoints
from defdetr_ref.weight_files.quantisation import dequantise, quantise
from tests.training.runs import new_model


def test_each_channel_has_its_own_scale():
    kernel = torch.tensor([[[2.54, -1.0]], [[0.0127, 0.01]], [[0.0, 0.0]]])  # (3, 1, 2)
    stored = quantise({"kernel": kernel, "bias": torch.tensor([0.1, 3.0]), "count": torch.tensor(7)})
    assert stored["kernel"].tolist() == [[[127, -50]], [[127, 100]], [[0, 0]]]
    torch.testing.assert_close(stored["kernel.scale"], torch.tensor([0.02, 0.0001, 0.0]))
    assert stored["bias"].dtype == torch.float16 and stored["count"].dtype == torch.int64
    back = dequantise(stored)
    assert back.keys() == {"kernel", "bias", "count"}
    torch.testing.assert_close(back["kernel"], kernel)
    assert back["count"].item() == 7


def test_no_weight_moves_by_more_than_half_a_step():
    weight = torch.randn(5, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    step = weight.abs().flatten(1).amax(1) / 127
    moved = (dequantise(quantise({"w": weight}))["w"] - weight).abs().flatten(1).amax(1)
    assert (moved <= step / 2 * 1.0001).all() and (moved > step / 10).all()


def test_a_file_of_eight_bits_is_a_quarter_and_builds_the_model(tmp_path):
    model = new_model()
    checkpoints.save_safetensors(tmp_path / "whole.safetensors", model)
    checkpoints.save_safetensors(tmp_path / "small.safetensors", model, dtype=torch.int8, epoch=3)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("small", "whole")]
    assert sizes[0] < 0.4 * sizes[1]
    expected = dequantise(quantise(model.state_dict()))
    built = checkpoints.build_model(tmp_path / "small.safetensors").state_dict()
    assert built.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert built[key].dtype == tensor.dtype
        assert torch.equal(built[key], expected[key].to(tensor.dtype)), key
    assert checkpoints.read(tmp_path / "small.safetensors")["epoch"] == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(bad):
    with pytest.raises(ValueError, match="queries.weight holds NaN or infinity"):
        quantise({"fine": torch.ones(2), "queries.weight": torch.tensor([[1.0, bad]])})
