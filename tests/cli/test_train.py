"""`defdetr draw` and `defdetr train`: a run, resumed, started from other weights."""

import dataclasses
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


def test_what_is_left_open_is_as_at_the_start(drawn, tmp_path):
    start = ["train", "--data", drawn, "--out", tmp_path / "run", "--device", "cpu"]
    assert defdetr(*start, *FAST, *SMALL, "--augment", "none", "--overfit", "2", "--precision", "bf16") == 0
    assert defdetr(*start, "--resume", "--epochs", "2") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["train"]["precision"] == "bf16" and config["train"]["epochs"] == 2
    assert config["options"]["augment"] == "none" and config["options"]["overfit"] == 2
    assert config["data"]["images"] == config["val_data"]["images"] == 2


def test_overfitting_trains_and_evaluates_on_the_same_images(drawn, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr("defdetr_ref.cli.train.train", lambda *args, **options: seen.update(args=args, **options))
    monkeypatch.setattr("defdetr_ref.cli.train.report", lambda result: None)
    words = ["train", "--data", drawn, "--out", tmp_path / "run", "--overfit", "3", "--device", "cpu", *SMALL]
    assert defdetr(*words) == 0
    _, train_set, _, config = seen["args"]
    val_set = seen["val_set"]
    assert config.batch_size == 3 and len(train_set) == len(val_set) == 3
    assert train_set.image_ids == val_set.image_ids == [image["id"] for image in train_set.coco["images"][:3]]
    (image, target), (judged, same) = train_set[2], val_set[2]
    assert torch.equal(image, judged) and target["image_id"] == same["image_id"]
    assert train_set.transform.flip is False


def test_every_option_of_training_is_explained_in_a_group(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    groups = [words.index(f" {name}: --") for name in ("data", "model", "training", "run")]
    assert groups == sorted(groups)
    for field in dataclasses.fields(TrainConfig):
        assert f" --{field.name.replace('_', '-')} " in words
    for part in ("(default 0.0002)", "(default step)", "(default 10)", "(default fp32)"):
        assert part in words


def test_init_with_other_classes_keeps_all_but_the_class_heads(trained, drawn, tmp_path, capsys):
    content = json.loads((drawn / "train.json").read_text(encoding="utf-8"))
    content["categories"] = [{**one, "id": one["id"] + 3} for one in content["categories"]]
    content["categories"][0]["name"] = "disc"
    for one in content["annotations"]:
        one["category_id"] += 3
    (tmp_path / "other.json").write_text(json.dumps(content), encoding="utf-8")
    data = ["--images", drawn / "train", "--annotations", tmp_path / "other.json", "--augment", "none"]
    words = ["train", *data, "--out", tmp_path / "run", *FAST, "--init", trained / "last.pt", "--lr", "1e-12"]
    capsys.readouterr()
    assert defdetr(*words, "--backbone-lr-factor", "0") == 0
    out = capsys.readouterr().out
    assert "the class heads start anew, except for what they know of square, triangle, star, cross" in out
    a, b = (checkpoints.read(folder / "last.pt") for folder in (trained, tmp_path / "run"))
    assert b["config"]["num_classes"] == 9 and b["categories"][4] == "disc"
    name = "encoder.layers.0.attention.value_proj.weight"
    assert torch.allclose(a["model"][name], b["model"][name], atol=1e-6)
    head = "decoder.class_heads.1.weight"
    assert torch.allclose(a["model"][head][2:6], b["model"][head][5:9], atol=1e-6)
    assert not torch.allclose(a["model"][head][1], b["model"][head][4], atol=1e-6)


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
    tiny = {"batch_size": 16, "backbone_lr_factor": 1.0} if args.preset is None and not args.init else {}
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
