"""A run, epoch by epoch: what it writes, which epoch is the best, what may be measured."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from defdetr_ref import checkpoints
from defdetr_ref.evaluation import METRICS
from defdetr_ref.training.trainer import Trainer
from tests.training.runs import CONFIG, TRAIN_IMAGES, assert_same_weights, new_model, run


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
    assert last["image_size"] == list(sets[0].image_size) and sets[0].image_size == (48, 64)
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


def test_the_weights_of_chosen_epochs_stay(tmp_path, sets):
    seen = []

    def measure(model):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {}

    run(tmp_path, sets[0], replace(CONFIG, epochs=3, ema_decay=0.5), measure=measure, keep_epochs=(1, 3))
    assert sorted(path.name for path in tmp_path.glob("epoch-*")) == ["epoch-1.pt", "epoch-3.pt"]
    for epoch in (1, 3):
        content = checkpoints.read(tmp_path / f"epoch-{epoch}.pt")
        assert content["epoch"] == epoch and content["categories"] == sets[0].categories
        assert content["model"].keys() == seen[epoch - 1].keys()
        assert all(torch.equal(content["model"][name], tensor) for name, tensor in seen[epoch - 1].items())


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
    share = 2 / 11  # still warming up, far below 0.75
    assert torch.allclose(average, share * one + (1 - share) * two, atol=1e-7)
