"""`defdetr draw` and `defdetr train`: a run, resumed, started from other weights."""

import json

import pytest
import torch
from PIL import Image

from defdetr_ref import checkpoints
from defdetr_ref.cli import build_parser
from defdetr_ref.cli.train import overrides, train_config
from defdetr_ref.training import TrainConfig
from tests.cli.commands import FAST, SMALL, defdetr


def test_drawn_set(drawn):
    info = json.loads((drawn / "train.json").read_text(encoding="utf-8"))["info"]
    assert info["counts"] == {"train": 4, "val": 3} and "size_classes" in info
    assert Image.open(next((drawn / "val").glob("*.png"))).size == (64, 64)


def test_train_writes_a_run(trained, drawn):
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert config["train"]["lr"] == 1e-3 and config["train"]["batch_size"] == 2
    assert config["train"]["backbone_lr_factor"] == 1.0  # the tiny backbone starts from random weights
    assert config["model"]["num_classes"] == 6 and config["model"]["num_queries"] == 9  # five shapes, and id 0
    last = checkpoints.read(trained / "last.pt")
    assert last["resize"] == "none" and last["categories"][5] == "cross"
    assert "AP" in json.loads((trained / "metrics.jsonl").read_text(encoding="utf-8"))


def test_resume_goes_on_with_the_options_of_the_run(trained, drawn, tmp_path, capsys):
    run = tmp_path / "run"
    start = ["--data", drawn, "--out", run]
    assert defdetr("train", *start, *FAST, *SMALL, "--lr", "3e-4", "--dense") == 0
    assert defdetr("train", *start, "--resume", "--epochs", "2") == 0
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))["train"]
    assert (config["lr"], config["batch_size"], config["epochs"]) == (3e-4, 2, 2)
    assert len((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert type(checkpoints.build_model(run / "last.pt")).__name__ == "DetrBaseline"
    assert "AP_small" in capsys.readouterr().out


def test_init_starts_from_other_weights(trained, drawn, tmp_path):
    words = ["train", "--data", drawn, "--out", tmp_path / "run", *FAST, "--init", trained / "last.pt", "--lr", "1e-12"]
    assert defdetr(*words, "--backbone-lr-factor", "0") == 0
    a, b = (checkpoints.read(folder / "last.pt")["model"] for folder in (trained, tmp_path / "run"))
    name = "encoder.layers.0.attention.value_proj.weight"
    assert torch.allclose(a[name], b[name], atol=1e-6)


def test_the_same_seed_gives_the_same_weights(trained, drawn, tmp_path):
    words = ["train", "--data", drawn, *FAST, *SMALL, "--lr", "1e-3"]
    assert defdetr(*words, "--out", tmp_path / "same") == 0
    assert defdetr(*words, "--out", tmp_path / "other", "--seed", "7") == 0
    folders = (trained, tmp_path / "same", tmp_path / "other")
    runs = [checkpoints.read(folder / "last.pt")["model"] for folder in folders]
    name = "encoder.layers.0.attention.value_proj.weight"
    assert torch.equal(runs[0][name], runs[1][name]) and not torch.equal(runs[0][name], runs[2][name])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {"batch_size": 16, "backbone_lr_factor": 1.0}),
        ("--preset two_stage", {}),
        ("--init weights.pt", {}),
        ("--drop-epoch 3 --ema-decay 0.9 --schedule cosine", {"drop_epoch": 3, "ema_decay": 0.9, "schedule": "cosine"}),
        ("--num-workers 2 --batch-size 5", {"num_workers": 2, "batch_size": 5}),
    ],
)
def test_train_config_from_options(words, expected):
    args = build_parser().parse_args(["train", "--data", "d", "--out", "o", *words.split()])
    tiny = {"batch_size": 16, "backbone_lr_factor": 1.0} if args.preset == "tiny" and not args.init else {}
    assert train_config(args) == TrainConfig(**{**tiny, **expected})


def test_overrides_are_python_values_or_words():
    words = "num_queries=20 backbone=small feature_strides=(8,16) dropout=0.5 two_stage=False"
    assert overrides(words.split()) == {
        "num_queries": 20,
        "backbone": "small",
        "feature_strides": (8, 16),
        "dropout": 0.5,
        "two_stage": False,
    }
