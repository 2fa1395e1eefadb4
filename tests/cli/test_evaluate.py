"""`defdetr eval`."""

import json

import pytest

from defdetr_ref.cli.common import doubt_about_size
from defdetr_ref.evaluation import METRICS
from tests.cli.commands import defdetr


def test_eval_prints_the_figures_and_writes_them(trained, drawn, tmp_path, capsys):
    out = tmp_path / "deep" / "metrics.json"
    assert defdetr("eval", trained / "last.pt", "--data", drawn, "--out", out, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(METRICS)
    assert list(json.loads(out.read_text(encoding="utf-8"))) == list(METRICS)
    files = ["--images", drawn / "val", "--annotations", drawn / "val.json"]
    assert defdetr("eval", trained / "last.pt", *files, "--batch-size", 1, "--device", "cpu") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METRICS)


def test_images_of_another_size_than_those_trained_on_are_told(trained, tmp_path, capsys):
    """A box is told in parts of the image: the AP that a detector of one size has at another is not its own."""
    defdetr("draw", "shapes", "--out", tmp_path / "larger", "--train", 1, "--val", 2, "--size", 96)
    capsys.readouterr()
    assert defdetr("eval", trained / "last.pt", "--data", tmp_path / "larger", "--device", "cpu") == 0
    assert "note:" in (said := capsys.readouterr().out.splitlines()[0])
    assert "trained on images of 64×64 px alone, and this is 96×96: its boxes may be too large or too small" in said
    picture = next((tmp_path / "larger" / "val").iterdir())
    detect = ["detect", picture, "--checkpoint", trained / "last.pt", "--out", tmp_path / "found", "--device", "cpu"]
    assert defdetr(*detect) == 0
    assert f"note: {picture}: the detector was trained on images of 64×64 px" in capsys.readouterr().out


def test_a_size_is_doubted_only_where_one_is_known():
    alone = {"resize": "none", "image_size": [64, 96]}
    assert doubt_about_size(alone, (64, 96)) is None
    assert "images of 96×64 px alone, and this is 64×96" in doubt_about_size(alone, (96, 64))
    assert "these have several sizes" in doubt_about_size(alone, None)
    for garbage in (None, "wide", 64, [64], [1, 2, 3], {"height": 64}):
        assert doubt_about_size({"resize": "none", "image_size": garbage}, (96, 64)) is None
    assert doubt_about_size({"resize": "paper", "image_size": [64, 96]}, (96, 64)) is None


@pytest.fixture
def spoilt(drawn, tmp_path):
    """The validation set with a box without width and a crowd, its images named by links."""
    content = json.loads((drawn / "val.json").read_text(encoding="utf-8"))
    first, second = content["annotations"][:2]
    first["bbox"][2], second["iscrowd"] = 0, 1
    (tmp_path / "links").mkdir()
    for image in content["images"]:
        (tmp_path / "links" / image["file_name"]).symlink_to(drawn / "val" / image["file_name"])
    (tmp_path / "val.json").write_text(json.dumps(content), encoding="utf-8")
    return ["--images", tmp_path / "links", "--annotations", tmp_path / "val.json", "--device", "cpu"]


@pytest.fixture
def renumbered(drawn, tmp_path):
    """The validation set with two ids exchanged."""
    content = json.loads((drawn / "val.json").read_text(encoding="utf-8"))
    first, second = content["categories"][1:3]
    first["id"], second["id"] = second["id"], first["id"]
    (tmp_path / "val.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path / "val.json", f"category {second['id']} is {first['name']!r} in"


def test_ids_that_mean_something_else_than_in_training_are_told(trained, drawn, renumbered, capsys):
    annotations, sentence = renumbered
    files = ["--images", drawn / "val", "--annotations", annotations, "--device", "cpu"]
    assert defdetr("eval", trained / "last.pt", *files) == 0
    out = capsys.readouterr().out
    assert f"note: {sentence} the checkpoint and " in out and "(2 ids differ); number them alike" in out


def test_training_on_them_is_refused(drawn, renumbered, tmp_path, capsys):
    annotations, sentence = renumbered
    train = ["--images", drawn / "train", "--annotations", drawn / "train.json"]
    val = ["--val-images", drawn / "val", "--val-annotations", annotations, "--device", "cpu"]
    assert defdetr("train", *train, *val, "--out", tmp_path / "run") == 2
    assert f"{sentence} the training images and " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_left_out_is_told_once(trained, spoilt, capsys):
    assert defdetr("eval", trained / "last.pt", *spoilt, "--follow-links") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "left out of the targets" in line]
    assert len(told) == 1
    assert "1 of crowds (iscrowd is 1), 1 without width or height inside their image;" in told[0]


def test_one_process_of_several_tells_it(trained, spoilt, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert defdetr("eval", trained / "last.pt", *spoilt, "--follow-links") == 0
    assert "left out" not in capsys.readouterr().out


def test_links_out_of_the_folder_are_refused_in_the_words_of_the_command_line(trained, spoilt, capsys):
    assert defdetr("eval", trained / "last.pt", *spoilt) == 2
    message = capsys.readouterr().err
    assert "leads out of the folder" in message and "pass --follow-links to read" in message
