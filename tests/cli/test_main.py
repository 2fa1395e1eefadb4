"""What a user mistypes is told in one line."""

import json

import pytest

from defdetr_ref.cli import main
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
    "another run": ("train --data {drawn} --out {run} --resume --lr 1 --device cpu", "lr=0.001"),
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
    "more classes than the model": (
        "train --images {drawn}/train --annotations {tmp}/many.json --out {new} --init {last} --batch-size 2",
        "num_classes",
    ),
    "missing checkpoint": ("eval {tmp}/no.pt --data {drawn}", "no.pt does not exist"),
    "no checkpoint": ("eval {tmp}/broken.json --data {drawn}", "broken.json"),
    "empty batch": ("eval {last} --data {drawn} --batch-size 0", "--batch-size 0"),
    "nothing trained yet": ("detect {drawn}/val/000001.png --checkpoint runs/demo/last.pt", "runs/demo/last.pt"),
    "missing picture": ("detect {tmp}/cat.png --checkpoint {last} --out {new}", "cat.png"),
    "no picture": ("detect {tmp}/broken.json --checkpoint {last} --out {new}", "cannot be read as a picture"),
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
