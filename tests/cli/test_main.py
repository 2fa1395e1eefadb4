"""What a user mistypes is told in one line."""

import json

import pytest

from defdetr_ref.cli import build_parser, main
from defdetr_ref.cli.spelling import spelled
from defdetr_ref.training import TrainingInterrupted
from tests.cli.commands import FAST, SMALL, defdetr

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
    "another run": ("train --data {drawn} --out {run} --resume --lr 1 --device cpu", "with --lr 0.001 and cannot"),
    "another model": (
        "train --data {drawn} --out {run} --resume --set d_ffn=44 --device cpu",
        "started with --set d_ffn=40 and cannot be resumed with 44",
    ),
    "another preset": ("train --data {drawn} --out {run} --resume --preset two_stage --device cpu", "backbone='small'"),
    "another augmentation": (
        "train --data {drawn} --out {run} --resume --augment none --device cpu",
        "whose transform are|--augment",
    ),
    "other first weights": ("train --data {drawn} --out {run} --resume --init zoo:shapes --device cpu", "with --init"),
    "more than there are": (
        "train --data {drawn} --out {new} --overfit 9 --device cpu",
        "--overfit 9: the training set",
    ),
    "none of them": ("train --data {drawn} --out {new} --overfit -1 --device cpu", "--overfit -1"),
    "parts that are not equal": (
        "train --data {drawn} --out {new} --batch-size 4 --accumulate 3",
        "--batch-size must be a multiple of --accumulate 3, got 4",
    ),
    "two models": ("train --data {drawn} --out {new} --init {last} --preset compact", "leave --preset, --dense"),
    "weights of another model": (
        "train --data {drawn} --out {new} --init {last} --set d_model=64",
        "--set d_model=64 is not what the weights to start from are of: 32",
    ),
    "batch too large": ("train --data {drawn} --out {new} --batch-size 5 --device cpu", "fewer than one batch of 5"),
    "unknown field": ("train --data {drawn} --out {new} --set nonsense=1", "nonsense"),
    "no field": ("train --data {drawn} --out {new} --set num_queries", "FIELD=VALUE"),
    "impossible field": ("train --data {drawn} --out {new} --set num_queries=0", "num_queries"),
    "impossible type": ("train --data {drawn} --out {new} --set d_model=wide", "d_model is 'wide'; it must be a whole"),
    "no weights": (
        "train --data {drawn} --out {new} --preset single_scale --backbone-weights {tmp}/broken.json",
        "broken.json",
    ),
    "weights of no use": ("train --data {drawn} --out {new} --backbone-weights x.pth", "small backbone"),
    "missing weights": ("train --data {drawn} --out {new} --preset single_scale --backbone-weights x.pth", "x.pth"),
    "a damaged image": (
        "train --images {drawn}/train --annotations {tmp}/gone.json --out {new} --batch-size 2",
        "or pass --skip-bad-images to go on",
    ),
    "more classes than the model": (
        "eval {last} --images {drawn}/train --annotations {tmp}/many.json --batch-size 2",
        "num_classes",
    ),
    "missing checkpoint": ("eval {tmp}/no.pt --data {drawn}", "no.pt does not exist"),
    "no checkpoint": ("eval {tmp}/broken.json --data {drawn}", "broken.json"),
    "empty batch": ("eval {last} --data {drawn} --batch-size 0", "--batch-size 0"),
    "nothing trained yet": ("detect {drawn}/val/000001.png --checkpoint runs/demo/last.pt", "runs/demo/last.pt"),
    "missing picture": ("detect {tmp}/cat.png --checkpoint {last} --out {new}", "cat.png"),
    "no picture": ("detect {tmp}/broken.json --checkpoint {last} --out {new}", "cannot be read as an image"),
    "impossible threshold": ("detect {drawn}/val/000001.png --threshold 30", "--threshold 30"),
    "a model in the way": ("convert {last} {last}", "last.pt exists"),
    "a layout that there is not": ("convert {last} {new} --layout theirs", "--layout"),
    "no model to convert": ("convert {tmp}/no.pt {new}", "no.pt does not exist"),
    "a backbone of ours": ("convert {last} {new} --layout huggingface", "backbone is 'small'"),
    "a field of no preset": ("convert {last} {new} --set d_model=64", "--preset"),
    "folder in use": ("draw shapes --out {tmp}", "not empty"),
    "a course over other work": ("course {tmp}", "not empty"),
    "a course over a file": ("course {tmp}/broken.json", "broken.json is a file"),
    "a course without notebooks": ("course {new} --notebooks {tmp}", "no notebook in this folder"),
    "nothing to grade": ("grade {tmp}", "holds no notebooks of the course"),
    "grading what is not there": ("grade {tmp}/nothing", "nothing is not a folder"),
    "no time for a cell": ("grade {tmp} --cell-seconds 0", "--cell-seconds 0"),
    "nothing to draw": ("draw shapes --out {new} --train 0", "train is 0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(mistake, trained, drawn, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text('{"images": [', encoding="utf-8")
    content = json.loads((drawn / "train.json").read_text(encoding="utf-8"))
    content["categories"].append({"id": 17, "name": "more"})
    (tmp_path / "many.json").write_text(json.dumps(content), encoding="utf-8")
    content["images"][0]["file_name"] = "gone.png"
    (tmp_path / "gone.json").write_text(json.dumps(content), encoding="utf-8")
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


def test_what_ctrl_c_saved_is_told_once(monkeypatch, capsys):
    def interrupt(args):
        raise TrainingInterrupted("training stopped after 1 epoch; go on with resume=True")

    monkeypatch.setattr("defdetr_ref.cli.train.run", interrupt)
    for rank, told in (("0", "defdetr: training stopped after 1 epoch; go on with --resume\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        assert main(["train", "--data", "d", "--out", "o"]) == 130
        assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("pass skip_bad_images=True to leave it out", "pass --skip-bad-images to leave it out"),
        ("started with schedule='step' and cannot", "started with --schedule 'step' and cannot"),
        ("TrainConfig: batch_size must be above 0", "--batch-size must be above 0"),
        ("batch_size 3 cannot be shared", "--batch-size 3 cannot be shared"),
        ("config: d_model = 30 must be", "--set d_model = 30 must be"),
        ("use a smaller num_queries=9", "use a smaller --set num_queries=9"),
        ("runs/batch_size=3/last.pt and lr.json", "runs/batch_size=3/last.pt and lr.json"),
        ("the run in out, of data", "the run in out, of data"),
    ],
)
def test_messages_are_in_the_words_of_the_command_line(message, wanted):
    assert spelled(message, build_parser().parse_args(["train", "--data", "d", "--out", "o"])) == wanted


@pytest.mark.parametrize("words", ["zoo train digits", "demo"])
def test_commands_that_go_on_by_themselves_say_so(words):
    told = spelled("everything is saved in last.pt; go on with resume=True", build_parser().parse_args(words.split()))
    assert told == "everything is saved in last.pt; the same command goes on"
