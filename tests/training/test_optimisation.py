"""Rates, groups of parameters, clipping; and that training learns."""

from dataclasses import asdict, replace

import pytest
import torch

from defdetr_ref import DeformableDETR, DeformableDETRConfig, checkpoints
from defdetr_ref.training import TrainConfig, lr_factor, parameter_groups
from defdetr_ref.training.config import LATER_FIELDS
from defdetr_ref.training.optimisation import warming_average
from tests.training.runs import CONFIG, TRAIN_IMAGES, new_model, run


@pytest.mark.parametrize("preset", ["multi_scale", "two_stage"])
def test_parameter_groups_by_name(preset):
    model = DeformableDETR(DeformableDETRConfig.preset(preset, encoder_layers=1, decoder_layers=2, num_classes=5))
    groups = {group["name"]: group for group in parameter_groups(model, TrainConfig())}
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {group: {names[parameter] for parameter in groups[group]["params"]} for group in groups}
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    assert {name: group["lr"] for name, group in groups.items()} == pytest.approx(
        {"rest": 2e-4, "backbone": 2e-5, "slow": 2e-5}
    )
    assert sum(map(len, found.values())) == len(trainable) and set().union(*found.values()) == trainable
    assert found["backbone"] == {name for name in trainable if name.startswith("backbone.")}
    slow = {f"{room}.sampling_offsets.{kind}" for room in attentions(model) for kind in ("weight", "bias")}
    slow |= {"queries.reference_points.weight", "queries.reference_points.bias"} if preset == "multi_scale" else set()
    assert found["slow"] == slow
    frozen = {name for name, _ in model.named_parameters()} - trainable
    assert frozen and all(name.startswith("backbone.") for name in frozen)


def attentions(model):
    """Names of the deformable attention modules: one in the encoder layer, two in the decoder's."""
    rooms = [name for name, module in model.named_modules() if type(module).__name__ == "MultiScaleDeformableAttention"]
    assert len(rooms) == 3
    return rooms


def test_rates_follow_the_config():
    config = TrainConfig(lr=1e-3, backbone_lr_factor=1.0, lr_slow_factor=0.5)
    rates = {group["name"]: group["lr"] for group in parameter_groups(new_model(), config)}
    assert rates == pytest.approx({"rest": 1e-3, "backbone": 1e-3, "slow": 5e-4})


def test_step_schedule_drops_after_epoch_40_of_50():
    assert [lr_factor(step, 3, TrainConfig()) for step in (0, 119, 120, 149)] == pytest.approx([1, 1, 0.1, 0.1])
    early = TrainConfig(epochs=7, drop_epoch=2, warmup_steps=4)
    assert [lr_factor(step, 3, early) for step in range(8)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.1, 0.1])
    assert lr_factor(2, 3, TrainConfig(epochs=1)) == 1  # a single epoch is not spent at a tenth of the rate


def test_cosine_schedule_falls_to_nothing():
    config = TrainConfig(epochs=5, schedule="cosine")
    factors = [lr_factor(step, 2, config) for step in range(11)]
    assert factors[0] == 1 and factors[5] == pytest.approx(0.5) and factors[10] == pytest.approx(0)
    assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize("clip_norm", [0.1, 0.0])
def test_gradients_are_clipped_together(tmp_path, sets, clip_norm):
    config = replace(CONFIG, epochs=1, batch_size=TRAIN_IMAGES, clip_norm=clip_norm)
    model, result = run(tmp_path / "run", sets[0], config)
    norm = torch.stack([parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]).norm()
    before = result["metrics"][0]["grad_norm"]
    assert before > 1
    assert norm.item() == pytest.approx(clip_norm or before, rel=1e-4)


def test_the_rate_of_each_step_reaches_the_optimizer(tmp_path, sets):
    _, result = run(tmp_path / "run", sets[0])
    assert [record["lr"] for record in result["metrics"]] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])
    groups = checkpoints.read(tmp_path / "run" / "last.pt")["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([1e-4, 1e-4, 1e-5])  # rest, backbone, slow
    assert all(group["weight_decay"] == 1e-4 for group in groups)


def test_training_learns(tmp_path, sets):
    config = replace(CONFIG, epochs=12, drop_epoch=12)
    _, result = run(tmp_path / "run", sets[0], config, model=new_model(dropout=0.0))
    assert result["metrics"][-1]["total"] < 0.85 * result["metrics"][0]["total"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"lr": 0.0},
        {"clip_norm": -1.0},
        {"seed": -1},
        {"schedule": "linear"},
        {"ema_decay": 1.0},
        {"batch_size": -2},
        {"batch_size": 4, "accumulate": 3},
        {"accumulate": 0},
        {"save_every": -1.0},
        {"timeout": 0.0},
        {"precision": "fp16"},
    ],
)
def test_impossible_values_are_named(wrong):
    with pytest.raises(ValueError, match=f"TrainConfig: {next(iter(wrong))} must"):
        TrainConfig(**wrong)


@pytest.mark.parametrize(
    ("decay", "steps", "share"), [(0.9, 1, 2 / 11), (0.9, 50, 51 / 60), (0.9, 500, 0.9), (0.0, 9, 0.0)]
)
def test_the_running_average_warms_up(decay, steps, share):
    averaged = [torch.tensor([[1.0, 5.0]]), torch.tensor([-2.0])]
    current = [torch.tensor([[3.0, 6.0]]), torch.tensor([8.0])]
    warming_average(decay)(averaged, current, torch.tensor(steps))
    torch.testing.assert_close(averaged[0], torch.tensor([[3 - 2 * share, 6 - share]]))
    torch.testing.assert_close(averaged[1], torch.tensor([8 - 10 * share]))
    assert torch.equal(current[1], torch.tensor([8.0]))


def test_later_fields_do_not_change_what_stored_results_say():
    assert set(asdict(TrainConfig())) - set(TrainConfig().identity()) == set(LATER_FIELDS)
    assert TrainConfig(lr=0.1, accumulate=4).identity() == {**TrainConfig(lr=0.1).identity(), "accumulate": 4}
