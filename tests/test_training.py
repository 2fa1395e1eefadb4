"""Training: what learns how fast, exact resumption, and stopping before weights are spoiled."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from defdetr_ref import DeformableDETR, DeformableDETRConfig, checkpoints
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.shapes import ShapesConfig, write_shapes
from defdetr_ref.data.transforms import PlainTransform
from defdetr_ref.evaluation import METRICS
from defdetr_ref.training import NonFiniteLoss, TrainConfig, lr_factor, parameter_groups, train
from defdetr_ref.training.distributed import ProcessGroup
from defdetr_ref.training.trainer import Trainer, _train_loader

TRAIN_IMAGES, VAL_IMAGES, CLASSES = 7, 3, 6
SMALL = dict(
    num_classes=CLASSES,
    d_model=32,
    num_heads=4,
    num_points=2,
    encoder_layers=1,
    decoder_layers=2,
    d_ffn=40,
    num_queries=9,
    dropout=0.1,
)
CONFIG = TrainConfig(epochs=4, batch_size=3, lr=1e-3, backbone_lr_factor=1.0, seed=5, drop_epoch=3)  # 2 steps an epoch


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    canvas = ShapesConfig(image_size=(48, 64), max_side=32)
    folder = tmp_path_factory.mktemp("drawn") / "shapes"
    return write_shapes(folder, canvas, train=TRAIN_IMAGES, val=VAL_IMAGES, progress=False)


@pytest.fixture
def sets(drawn):
    """(training set with random flips, validation set)"""
    train_set = CocoDetection(drawn["train_images"], drawn["train_annotations"], PlainTransform(flip=True))
    return train_set, CocoDetection(drawn["val_images"], drawn["val_annotations"])


def new_model(**overrides):
    torch.manual_seed(1)
    return DeformableDETR(DeformableDETRConfig.preset("tiny", **{**SMALL, **overrides}))


def run(folder, train_set, config=CONFIG, model=None, **options):
    """Train a new model; returns it with what train() returns."""
    model = model or new_model()
    return model, train(model, train_set, folder, config, progress=False, **options)


def timeless(records):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def assert_same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


# ------------------------------------------------------------------------------------------ rates and steps


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
    ],
)
def test_impossible_values_are_named(wrong):
    with pytest.raises(ValueError, match=f"TrainConfig: {next(iter(wrong))} must"):
        TrainConfig(**wrong)


# ------------------------------------------------------------------------------------------ data order


def order(loader, epoch):
    loader.sampler.set_epoch(epoch)
    return [[target["image_id"] for target in targets] for _, _, targets in loader]


def test_order_depends_on_seed_and_epoch_only(sets):
    loader = _train_loader(sets[0], CONFIG, ProcessGroup())
    torch.manual_seed(3)
    first = [order(loader, epoch) for epoch in range(3)]
    torch.manual_seed(4)
    assert [order(_train_loader(sets[0], CONFIG, ProcessGroup()), epoch) for epoch in range(3)] == first
    assert first[0] != first[1] != first[2]
    assert order(_train_loader(sets[0], replace(CONFIG, seed=6), ProcessGroup()), 0) not in first  # and no shifted copy
    assert all(len(set(sum(batches, []))) == 6 for batches in first)  # 2 batches of 3; the seventh image waits


def test_processes_share_the_batches_of_one(sets):
    config = replace(CONFIG, batch_size=4)
    alone = order(_train_loader(sets[0], config, ProcessGroup()), 2)
    shares = [order(_train_loader(sets[0], config, ProcessGroup(rank, 2)), 2) for rank in range(2)]
    assert [sorted(batch) for batch in alone] == [sorted(a + b) for a, b in zip(*shares, strict=True)]


def test_batches_that_cannot_be_made(sets):
    with pytest.raises(ValueError, match="batch_size 3 cannot be shared equally by 2 processes"):
        _train_loader(sets[0], CONFIG, ProcessGroup(0, 2))
    with pytest.raises(ValueError, match="7 images, fewer than one batch of 8"):
        _train_loader(sets[0], replace(CONFIG, batch_size=8), ProcessGroup())


def test_augmentation_and_order_change_from_epoch_to_epoch(tmp_path, sets):
    seen = []

    class Watched(Dataset):  # a wrapper, as a Subset is
        dataset = sets[0]

        def __len__(self):
            return len(self.dataset)

        def __getitem__(self, index):
            seen.append((self.dataset._epoch.item(), index))
            return self.dataset[index]

    run(tmp_path / "run", Watched(), replace(CONFIG, epochs=3))
    epochs, order = zip(*seen, strict=True)
    assert epochs == (0,) * 6 + (1,) * 6 + (2,) * 6
    assert order[:6] != order[6:12] != order[12:]


# ------------------------------------------------------------------------------------------ a run and its folder


def test_a_run_writes_what_it_did(tmp_path, sets):
    folder = tmp_path / "deep" / "run"
    config = replace(CONFIG, epochs=3, eval_every=2)
    model, result = run(folder, sets[0], config, val_set=sets[1], notes={"author": "me"})
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert records == result["metrics"] and [record["epoch"] for record in records] == [1, 2, 3]
    assert {"total", "loss_ce", "loss_bbox_0", "loss_giou_enc", "grad_norm", "lr", "seconds"} <= records[0].keys()
    assert ["AP" in record for record in records] == [False, True, True]  # every second epoch, and the last
    assert set(METRICS) <= records[1].keys()
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["train"] == asdict(config)
    last = checkpoints.read(result["checkpoint"])
    assert last["epoch"] == 3 and last["author"] == "me"
    assert last["resize"] == "none" and last["categories"] == sets[0].categories and last["categories"][1] == "circle"
    assert_same_weights(checkpoints.build_model(folder / "last.pt"), model)


def test_metrics_are_means_over_the_steps(tmp_path, sets, monkeypatch):
    steps, original = [], Trainer.train_step
    monkeypatch.setattr(Trainer, "train_step", lambda *args: steps.append(original(*args)) or steps[-1])
    record = run(tmp_path, sets[0], replace(CONFIG, epochs=1))[1]["metrics"][0]
    assert len(steps) == 2
    for name, first in steps[0].items():
        assert record[name] == pytest.approx((first + steps[1][name]) / 2)


def test_what_is_measured_joins_the_record_of_every_epoch(tmp_path, sets):
    seen = []

    def measure(model):
        seen.append(model)
        return {"looked": len(seen)}

    model, result = run(tmp_path, sets[0], replace(CONFIG, epochs=2), measure=measure)
    assert seen == [model, model] and [record["looked"] for record in result["metrics"]] == [1, 2]
    assert json.loads((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])["looked"] == 2


def test_best_is_the_epoch_with_the_highest_ap(tmp_path, sets, monkeypatch):
    figures = iter([math.nan, 0.0, 0.3, 0.3, 0.2])
    monkeypatch.setattr(Trainer, "evaluate", lambda self, val_set: {"AP": next(figures)})
    _, result = run(tmp_path / "run", sets[0], replace(CONFIG, epochs=5), val_set=sets[1])
    best = checkpoints.read(tmp_path / "run" / "best.pt")
    assert (best["epoch"], best["AP"]) == (3, 0.3)
    assert result["metrics"][0]["AP"] is None  # NaN is no JSON
    assert [record["AP"] for record in result["metrics"][1:]] == [0.0, 0.3, 0.3, 0.2]


def test_a_first_ap_of_zero_is_the_best_so_far(tmp_path, sets, monkeypatch):
    monkeypatch.setattr(Trainer, "evaluate", lambda self, val_set: {"AP": 0.0})
    run(tmp_path / "run", sets[0], replace(CONFIG, epochs=1), val_set=sets[1])
    assert checkpoints.read(tmp_path / "run" / "best.pt")["epoch"] == 1


def test_an_old_run_is_not_overwritten(tmp_path, sets):
    run(tmp_path, sets[0], replace(CONFIG, epochs=1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="already holds a run; resume it or choose another folder"):
        run(tmp_path, sets[0], replace(CONFIG, epochs=2))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resuming_nothing(tmp_path, sets):
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        run(tmp_path, sets[0], resume=True)
    assert list(tmp_path.iterdir()) == []


def test_resuming_as_another_run(tmp_path, sets):
    run(tmp_path, sets[0], replace(CONFIG, epochs=1))
    with pytest.raises(ValueError, match=r"started with lr=0.001 and cannot be resumed with 0.01"):
        run(tmp_path, sets[0], replace(CONFIG, lr=0.01), resume=True)
    with pytest.raises(ValueError, match="another architecture"):
        run(tmp_path, sets[0], CONFIG, model=new_model(d_ffn=44), resume=True)


# ------------------------------------------------------------------------------------------ resuming


class PowerCut(Exception):
    """What stops the run in the tests."""


class CutOff(CocoDetection):
    """A data set that fails at its last batch of epoch `cut` (from 0)."""

    cut, reads = 2, 0

    def __getitem__(self, index):
        if int(self._epoch) == self.cut:
            self.reads += 1
            if self.reads > 4:
                raise PowerCut
        return super().__getitem__(index)


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.5}, {"schedule": "cosine", "warmup_steps": 5}])
def test_resumed_equals_uninterrupted(tmp_path, drawn, sets, changes):
    config = replace(CONFIG, **changes)
    straight, expected = run(tmp_path / "straight", sets[0], config, val_set=sets[1])

    cut_off = CutOff(drawn["train_images"], drawn["train_annotations"], PlainTransform(flip=True))
    folder = tmp_path / "cut"
    with pytest.raises(PowerCut):
        run(folder, cut_off, config, val_set=sets[1])
    with (folder / "metrics.jsonl").open(
        "a", encoding="utf-8"
    ) as file:  # as if it had stopped between metrics and checkpoint
        file.write('{"epoch": 3, "total": 0.0}\n{"epoch": 4, "tot')
    torch.manual_seed(99)  # a new process has other random numbers
    other_start = DeformableDETR(DeformableDETRConfig.preset("tiny", **SMALL))
    resumed, result = run(folder, sets[0], config, model=other_start, val_set=sets[1], resume=True)

    assert_same_weights(resumed, straight)
    assert timeless(result["metrics"]) == timeless(expected["metrics"])
    assert [record["epoch"] for record in result["metrics"]] == [1, 2, 3, 4]
    a, b = (checkpoints.read(tmp_path / name / "last.pt") for name in ("straight", "cut"))
    for index, state in a["optimizer"]["state"].items():
        assert all(torch.equal(state[name], b["optimizer"]["state"][index][name]) for name in state)
    assert a["best_ap"] == b["best_ap"]
    best = [checkpoints.read(tmp_path / name / "best.pt")["epoch"] for name in ("straight", "cut")]
    assert best[0] == best[1]


def test_more_epochs_may_be_added(tmp_path, sets):
    straight, expected = run(tmp_path / "straight", sets[0])
    run(tmp_path / "two", sets[0], replace(CONFIG, epochs=2))
    resumed, result = run(tmp_path / "two", sets[0], resume=True)
    assert_same_weights(resumed, straight)
    assert timeless(result["metrics"]) == timeless(expected["metrics"])


def test_a_run_cut_off_in_its_first_epoch_starts_again(tmp_path, drawn, sets):
    straight, _ = run(tmp_path / "straight", sets[0], replace(CONFIG, epochs=2))
    cut_off = CutOff(drawn["train_images"], drawn["train_annotations"], PlainTransform(flip=True))
    cut_off.cut = 0
    with pytest.raises(PowerCut):
        run(tmp_path / "cut", cut_off, replace(CONFIG, epochs=2))
    resumed, result = run(tmp_path / "cut", sets[0], replace(CONFIG, epochs=2), resume=True)
    assert_same_weights(resumed, straight)
    assert len(result["metrics"]) == 2


def test_a_finished_run_has_nothing_left_to_do(tmp_path, sets):
    model, first = run(tmp_path, sets[0], replace(CONFIG, ema_decay=0.9))
    resumed, again = run(tmp_path, sets[0], replace(CONFIG, ema_decay=0.9), resume=True)
    assert again["metrics"] == first["metrics"]
    assert_same_weights(resumed, model)


def test_the_seed_decides(tmp_path, sets):
    config = replace(CONFIG, epochs=1)
    first, second = run(tmp_path / "1", sets[0], config)[0], run(tmp_path / "2", sets[0], config)[0]
    assert_same_weights(first, second)
    loaded = run(tmp_path / "4", sets[0], config, model=new_model().eval())[0]  # as checkpoints.build_model returns it
    assert_same_weights(first, loaded)
    other = run(tmp_path / "3", sets[0], replace(config, seed=6))[0]
    assert not torch.equal(other.queries.memory_proj.weight, first.queries.memory_proj.weight)


def test_evaluating_does_not_disturb_training(tmp_path, sets):
    with_figures, _ = run(tmp_path / "1", sets[0], val_set=sets[1])
    without, _ = run(tmp_path / "2", sets[0])
    assert_same_weights(with_figures, without)


def test_the_average_is_evaluated_and_kept(tmp_path, sets):
    model, _ = run(tmp_path, sets[0], replace(CONFIG, epochs=2, ema_decay=0.5))
    last = checkpoints.read(tmp_path / "last.pt")
    name = "queries.memory_proj.weight"
    assert torch.equal(model.state_dict()[name], last["model"][name])
    assert not torch.equal(last["model"][name], last["unaveraged_model"][name])

    one_step = replace(CONFIG, epochs=1, batch_size=TRAIN_IMAGES)  # after it the average is the model
    run(tmp_path / "1", sets[0], one_step)
    run(tmp_path / "2", sets[0], replace(one_step, epochs=2))
    run(tmp_path / "3", sets[0], replace(one_step, epochs=2, ema_decay=0.75))
    one, two, average = (checkpoints.read(tmp_path / folder / "last.pt")["model"][name] for folder in "123")
    assert torch.allclose(average, 0.75 * one + 0.25 * two, atol=1e-7)


# ------------------------------------------------------------------------------------------ NaN and infinity


class BreakAt:
    """A forward hook that spoils one output of the model in one training step (from 1)."""

    def __init__(self, step):
        self.step, self.calls = step, 0

    def __call__(self, module, inputs, outputs):
        self.calls += module.training
        if module.training and self.calls == self.step:
            outputs["aux_outputs"][0]["pred_logits"] = outputs["aux_outputs"][0]["pred_logits"] * math.nan


def test_a_loss_that_is_no_number_stops_training(tmp_path, sets):
    model = new_model()
    model.register_forward_hook(BreakAt(step=4))
    with pytest.raises(NonFiniteLoss) as caught:
        run(tmp_path, sets[0], model=model)
    message = str(caught.value)
    assert "step 4 (epoch 2): loss_ce_0, total became NaN" in message and str(tmp_path / "last.pt") in message
    assert "\n" not in message
    last = checkpoints.read(tmp_path / "last.pt")
    assert last["epoch"] == 1 and all(value.isfinite().all() for value in last["model"].values())
    assert len((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_loss_that_is_no_number_in_the_first_epoch(tmp_path, sets):
    model = new_model()
    model.register_forward_hook(BreakAt(step=2))
    with pytest.raises(NonFiniteLoss, match="step 2 .*there is no checkpoint yet"):
        run(tmp_path, sets[0], model=model)
    assert not (tmp_path / "last.pt").exists()


def test_a_gradient_that_is_infinite_stops_training(tmp_path, sets):
    model = new_model()
    model.encoder.layers[0].attention.value_proj.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteLoss, match="step 1 .*: gradient became NaN or infinite"):
        run(tmp_path, sets[0], model=model)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


# ------------------------------------------------------------------------------------------ many processes

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.test_training import train_one_step_without_batch_norm
train_one_step_without_batch_norm(Path({drawn!r}), Path(sys.argv[1]))
"""


def train_one_step_without_batch_norm(drawn, folder):
    """One step over 6 images, which one process or two can take. Batch norm would see only its process's images."""
    model = new_model(dropout=0.0)
    for module in list(model.backbone.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.GroupNorm(8, child.num_features))
    train_set, val_set = (CocoDetection(drawn / split, drawn / f"{split}.json") for split in ("train", "val"))
    config = replace(CONFIG, epochs=1, batch_size=6)
    result = train(model, train_set, folder, config, val_set=val_set, progress=False)
    assert len(result["metrics"]) == 1


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path, drawn):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(Path(__file__).parents[1]), drawn=str(drawn["folder"])), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if sys.platform == "win32":
        environment["USE_LIBUV"] = "0"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for folder, before in (("one", []), ("two", launcher)):
        command = [sys.executable, *before, str(script), str(tmp_path / folder)]
        subprocess.run(command, check=True, env=environment, timeout=300)

    one, two = (
        json.loads((tmp_path / folder / "metrics.jsonl").read_text(encoding="utf-8")) for folder in ("one", "two")
    )
    del one["seconds"], two["seconds"]
    assert two == pytest.approx(one, rel=1e-4)
    # After one step, Adam's first moment is a tenth of the (clipped) gradient.
    states = [checkpoints.read(tmp_path / folder / "last.pt")["optimizer"]["state"] for folder in ("one", "two")]
    a, b = (torch.cat([state[index]["exp_avg"].flatten() for index in sorted(state)]) for state in states)
    assert a.norm().item() == pytest.approx(0.1 * CONFIG.clip_norm, rel=1e-3)
    assert (a - b).norm() < 1e-4 * a.norm()
