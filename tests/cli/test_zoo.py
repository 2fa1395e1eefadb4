"""`defdetr zoo`, and where else a detector of the zoo may stand for a checkpoint."""

import json

import pytest
from PIL import Image

from defdetr_ref import zoo
from defdetr_ref.zoo.cards import percent
from tests.cli.commands import defdetr


def test_the_list_has_a_line_for_each_detector(capsys):
    assert defdetr("zoo") == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "AP", "AP50", "AP_small", "AP_medium", "AP_large", "MB"]
    assert [line.split()[0] for line in lines] == zoo.names()
    shapes = next(line.split() for line in lines if line.split()[0] == "shapes")
    assert shapes[1] == f"{100 * zoo.card('shapes')['metrics']['AP']:.1f}"


def test_a_card_is_shown_whole(capsys):
    assert defdetr("zoo", "card", "shapes") == 0
    text, card = capsys.readouterr().out, zoo.card("shapes")
    for part in (card["command"], f"{card['parameters']:,}", card["machine"]["processor"], card["versions"]["torch"]):
        assert part in text
    for name, value in card["metrics"].items():
        assert any(line.split() == [name, percent(value)] for line in text.splitlines()), name
    assert all(f"epoch {int(epoch):>3}: AP" in text for epoch in card["epochs"])


def test_train_is_asked_for_by_name_and_folder(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr("defdetr_ref.zoo.training.train_detector", lambda *words: asked.append(words) or "weights")
    assert defdetr("zoo", "train", "digits", "--out", tmp_path) == 0
    assert asked == [("digits", tmp_path)] and "weights in weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["card", "lions"], "the zoo has no detector 'lions'; it has "),
        (["train", "lions"], "there is no recipe for 'lions'; choose from shapes, "),
        (["card"], "zoo card: which one?"),
        (["list", "shapes"], "zoo list takes no name"),
        (["feed"], "invalid choice: 'feed'"),
    ],
)
def test_mistakes_are_told_in_a_line(words, complaint, capsys):
    assert defdetr("zoo", *words) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


def test_detect_without_a_checkpoint_takes_the_zoo_s(drawn, tmp_path, capsys):
    picture = sorted((drawn / "val").glob("*.png"))[0]
    assert defdetr("detect", picture, "--out", tmp_path, "--device", "cpu") == 0
    capsys.readouterr()
    rows = json.loads((tmp_path / "detections.json").read_text(encoding="utf-8"))
    assert {row["category"] for row in rows} <= {"circle", "square", "triangle", "star", "cross"}
    with Image.open(tmp_path / f"{picture.stem}.boxes.png") as drawn_over:
        assert drawn_over.size == (64, 64)


def test_eval_takes_a_name_of_the_zoo(drawn, tmp_path, capsys):
    out = tmp_path / "metrics.json"
    assert defdetr("eval", "zoo:shapes", "--data", drawn, "--device", "cpu", "--out", out) == 0
    assert "AP" in capsys.readouterr().out and json.loads(out.read_text(encoding="utf-8"))["AP"] is not None
    assert defdetr("eval", "zoo:lions", "--data", drawn) == 2
    assert "the zoo has no detector 'lions'" in capsys.readouterr().err
