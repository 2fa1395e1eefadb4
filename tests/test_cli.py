"""The command line from drawing to detecting, on a few small images; and one clear line for every mistake."""

import json
import sys
import types
from pathlib import Path

import pytest
import torch
from PIL import Image

from defdetr_ref import checkpoints
from defdetr_ref.cli import build_parser, main
from defdetr_ref.cli.common import eval_transform, load_dataset, train_transform
from defdetr_ref.cli.detect import draw, output_names
from defdetr_ref.cli.train import overrides, train_config
from defdetr_ref.data.transforms import EvalTransform, PaperTrainTransform, PlainTransform
from defdetr_ref.evaluation import METRICS
from defdetr_ref.training import TrainConfig, notes_of

SMALL = "--set d_model=32 num_heads=4 num_points=2 encoder_layers=1 decoder_layers=2 d_ffn=40 num_queries=9".split()
FAST = ["--epochs", "1", "--batch-size", "2", "--device", "cpu"]


def defdetr(*words):
    """Run the program; the exit code."""
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "shapes"
    assert defdetr("draw", "shapes", "--out", folder, "--train", 4, "--val", 3, "--size", 64) == 0
    return folder


@pytest.fixture(scope="module")
def trained(drawn):
    folder = drawn.parent / "runs" / "first"
    assert defdetr("train", "--data", drawn, "--out", folder, *FAST, *SMALL, "--lr", "1e-3") == 0
    return folder


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


def test_eval_prints_the_figures_and_writes_them(trained, drawn, tmp_path, capsys):
    out = tmp_path / "deep" / "metrics.json"
    assert defdetr("eval", trained / "last.pt", "--data", drawn, "--out", out, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(METRICS)
    assert list(json.loads(out.read_text(encoding="utf-8"))) == list(METRICS)
    files = ["--images", drawn / "val", "--annotations", drawn / "val.json"]
    assert defdetr("eval", trained / "last.pt", *files, "--batch-size", 1, "--device", "cpu") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METRICS)


def test_detect_draws_and_lists(trained, drawn, tmp_path, capsys):
    pictures = sorted((drawn / "val").glob("*.png"))[:2]
    words = ["detect", *pictures, "--checkpoint", trained / "last.pt", "--out", tmp_path / "found", "--device", "cpu"]
    assert defdetr(*words, "--threshold", 0) == 0
    rows = json.loads((tmp_path / "found" / "detections.json").read_text(encoding="utf-8"))
    per_picture = 9 * 6  # all pairs of query and class, which are fewer than 100
    assert [row["image"] for row in rows] == [str(picture) for picture in pictures for _ in range(per_picture)]
    scores = [row["score"] for row in rows[:per_picture]]
    assert scores == sorted(scores, reverse=True)
    assert {"circle", "square", "triangle", "star", "cross", "0"} == {row["category"] for row in rows}
    assert len(capsys.readouterr().out.splitlines()) == len(rows)
    with Image.open(tmp_path / "found" / f"{pictures[0].stem}.boxes.png") as drawn_over:
        assert drawn_over.size == (64, 64)

    assert defdetr(*words, "--threshold", 1) == 0
    assert "nothing above 1.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "found" / "detections.json").read_text(encoding="utf-8")) == []


def test_boxes_are_drawn_where_they_are():
    picture = Image.new("RGB", (60, 40), "white")
    found = [{"score": 0.5, "label": 1, "category": "", "box": [20.0, 10.0, 50.0, 30.0]}]
    drawn_over = draw(picture, found)
    assert picture.getcolors() == [(60 * 40, (255, 255, 255))]  # the picture itself is left alone
    assert drawn_over.getpixel((50, 25)) != (255, 255, 255) and drawn_over.getpixel((55, 25)) == (255, 255, 255)
    assert drawn_over.getpixel((35, 30)) != (255, 255, 255) and drawn_over.getpixel((35, 35)) == (255, 255, 255)
    both = [found[0], {**found[0], "label": 2}]  # the better one comes first and is painted last
    assert draw(picture, both).getpixel((50, 25)) == drawn_over.getpixel((50, 25))
    draw(picture, [{**found[0], "box": [-9.0, -9.0, 900.0, -20.0]}])  # outside and turned inside out: no error


def test_pictures_of_one_name_do_not_overwrite_each_other():
    names = output_names([Path("a/cat.png"), Path("b/cat.jpg"), Path("dog.png"), Path("c/cat.png")])
    assert names == ["cat.boxes.png", "cat.2.boxes.png", "dog.boxes.png", "cat.3.boxes.png"]


def test_demo_is_called_with_its_options(monkeypatch):
    calls = []
    fake = types.ModuleType("defdetr_ref.demo.run")
    fake.run = lambda out, data, seed, quick: calls.append((out, data, seed, quick)) or Path(out) / "index.html"
    monkeypatch.setitem(sys.modules, "defdetr_ref.demo.run", fake)
    monkeypatch.setattr("defdetr_ref.demo.run", fake, raising=False)
    assert defdetr("demo", "--data", "digits", "--out", "runs/x", "--seed", "3", "--quick") == 0
    assert calls == [("runs/x", "digits", 3, True)]


# ------------------------------------------------------------------------------------------ choices


def edited_set(drawn, **info):
    """The drawn training set with other entries in its info; None removes one."""
    args = build_parser().parse_args(["eval", "x", "--data", str(drawn)])
    dataset = load_dataset((drawn / "train", drawn / "train.json"), args)
    dataset.coco["info"] = {key: value for key, value in {**dataset.coco["info"], **info}.items() if value is not None}
    dataset.size_classes = dataset.coco["info"].get("size_classes")
    return dataset


@pytest.mark.parametrize(
    ("augment", "info", "kind", "flip"),
    [
        (None, {}, PlainTransform, True),
        (None, {"flip": False}, PlainTransform, False),
        ("flip", {"flip": False}, PlainTransform, True),
        ("none", {}, PlainTransform, False),
        ("paper", {}, PaperTrainTransform, None),
        (None, {"size_classes": None}, PaperTrainTransform, None),
        ("none", {"size_classes": None}, PlainTransform, False),
    ],
)
def test_augmentation_suits_the_data(drawn, augment, info, kind, flip):
    dataset = edited_set(drawn, **info)
    dataset.transform = transform = train_transform(augment, dataset)
    assert type(transform) is kind
    assert getattr(transform, "flip", None) is flip
    wanted = EvalTransform if kind is PaperTrainTransform else PlainTransform
    assert type(eval_transform(notes_of(dataset)["resize"])) is wanted


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


def test_digits_are_not_mirrored(drawn):
    dataset = edited_set(drawn)
    dataset.categories = {1: "0", 2: "1"}
    assert train_transform(None, dataset).flip is False
    assert train_transform("flip", dataset).flip is True


def test_overrides_are_python_values_or_words():
    words = "num_queries=20 backbone=small feature_strides=(8,16) dropout=0.5 two_stage=False"
    assert overrides(words.split()) == {
        "num_queries": 20,
        "backbone": "small",
        "feature_strides": (8, 16),
        "dropout": 0.5,
        "two_stage": False,
    }


# ------------------------------------------------------------------------------------------ mistakes

MISTAKES = {
    "no command": ("", "command|COMMAND"),
    "unknown command": ("fly", "fly"),
    "unknown option": ("eval {last} --data {drawn} --fly", "--fly"),
    "not a number": ("train --data {drawn} --out {new} --epochs many", "--epochs"),
    "impossible number": ("train --data {drawn} --out {new} --epochs 0", "epochs must be above 0"),
    "no data": ("train --out {new}", "--data FOLDER"),
    "half the data": ("train --images {drawn}/train --out {new}", "--annotations FILE"),
    "data twice": ("eval {last} --data {drawn} --images {drawn}/val", "not both"),
    "missing folder": ("train --data {tmp}/nothing --out {new}", "nothing is not a folder"),
    "missing json": ("eval {last} --images {drawn}/val --annotations {tmp}/no.json", "no.json"),
    "broken json": ("eval {last} --images {drawn}/val --annotations {tmp}/broken.json", "broken.json"),
    "missing images": ("eval {last} --images {tmp} --annotations {drawn}/val.json", "000001.png"),
    "only half of a validation set": (
        "train --data {drawn} --out {new} --val-images {drawn}/val",
        "--val-images and --val-annotations",
    ),
    "an old run": ("train --data {drawn} --out {run} --batch-size 2 --device cpu", "already holds a run"),
    "no run to resume": ("train --data {drawn} --out {new} --resume --batch-size 2 --device cpu", "no run to resume"),
    "another run": ("train --data {drawn} --out {run} --resume --lr 1 --device cpu", "lr=0.001"),
    "batch too large": ("train --data {drawn} --out {new} --batch-size 5 --device cpu", "fewer than one batch of 5"),
    "unknown field": ("train --data {drawn} --out {new} --set nonsense=1", "nonsense"),
    "no field": ("train --data {drawn} --out {new} --set num_queries", "FIELD=VALUE"),
    "impossible field": ("train --data {drawn} --out {new} --set num_queries=0", "num_queries"),
    "weights of no use": ("train --data {drawn} --out {new} --backbone-weights x.pth", "small backbone"),
    "missing weights": ("train --data {drawn} --out {new} --preset single_scale --backbone-weights x.pth", "x.pth"),
    "more classes than the model": (
        "train --images {drawn}/train --annotations {tmp}/many.json --out {new} --init {last} --batch-size 2",
        "num_classes",
    ),
    "missing checkpoint": ("eval {tmp}/no.pt --data {drawn}", "no.pt does not exist"),
    "no checkpoint": ("eval {tmp}/broken.json --data {drawn}", "broken.json"),
    "empty batch": ("eval {last} --data {drawn} --batch-size 0", "--batch-size 0"),
    "nothing trained yet": ("detect {drawn}/val/000001.png", "runs/demo/last.pt"),
    "missing picture": ("detect {tmp}/cat.png --checkpoint {last} --out {new}", "cat.png"),
    "no picture": ("detect {tmp}/broken.json --checkpoint {last} --out {new}", "cannot be read as a picture"),
    "impossible threshold": ("detect {drawn}/val/000001.png --threshold 30", "--threshold 30"),
    "folder in use": ("draw shapes --out {tmp}", "not empty"),
    "nothing to draw": ("draw shapes --out {new} --train 0", "train is 0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(mistake, trained, drawn, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text('{"images": [', encoding="utf-8")
    content = json.loads((drawn / "train.json").read_text(encoding="utf-8"))
    content["categories"].append({"id": 17, "name": "more"})
    (tmp_path / "many.json").write_text(json.dumps(content), encoding="utf-8")
    words, part_of_message = MISTAKES[mistake]
    places = {"drawn": drawn, "run": trained, "last": trained / "last.pt", "tmp": tmp_path, "new": tmp_path / "new"}
    capsys.readouterr()

    assert main(words.format(**places).split()) == 2
    streams = capsys.readouterr()
    assert streams.err.startswith("defdetr: ") and streams.err.count("\n") == 1
    assert any(part in streams.err for part in part_of_message.split("|"))
    assert streams.out == ""
    assert not (tmp_path / "new").exists()


def test_a_mistake_noticed_while_training(trained, drawn, tmp_path, capsys):
    words = ["train", "--data", drawn, "--out", tmp_path / "new", *FAST, *SMALL]
    capsys.readouterr()
    assert defdetr(*words, "num_levels=5") == 2
    bar, message = capsys.readouterr().err.splitlines()[-2:]
    assert bar.lstrip("\r").startswith("train:")
    assert message.startswith("defdetr: images are 64×64") and "largest stride of 128" in message
    assert defdetr(*words) == 0  # nothing was trained, so the folder is not in the way


def test_debug_shows_where_a_mistake_was_noticed(tmp_path):
    with pytest.raises(FileNotFoundError):
        main(["eval", str(tmp_path / "no.pt"), "--data", str(tmp_path), "--debug"])


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("defdetr_ref.cli.evaluate.run", interrupt)
    assert main(["eval", "x", "--data", "d"]) == 130
    assert capsys.readouterr().err == "defdetr: interrupted\n"
