"""`defdetr check-data`."""

import json
import shutil

from PIL import Image

from tests.cli.commands import defdetr


def test_a_drawn_set_has_no_problem(drawn, tmp_path, capsys):
    assert defdetr("check-data", "--data", drawn, "--out", tmp_path, "--samples", 2) == 0
    text = capsys.readouterr().out
    assert "train: 4 images" in text and "val: 3 images" in text and "PROBLEM" not in text
    content = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in content["categories"]["val"]] == ["circle", "square", "triangle", "star", "cross"]
    assert set(content["findings"]) == {"train", "val", "all images"}
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert len(sheet.getcolors(2**24)) > 1000  # pictures, not white
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 * 2 and "circle" in page


def test_problems_are_listed_and_make_the_exit_code(drawn, tmp_path, capsys):
    folder = tmp_path / "bad"
    shutil.copytree(drawn, folder)
    content = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    content["categories"][0]["name"] = "<b>\ud800"
    content["annotations"][0]["iscrowd"] = "0"
    (folder / "train.json").write_text(json.dumps(content), encoding="utf-8")
    shutil.copy(folder / "train" / "000001.png", folder / "val" / "000002.png")
    assert defdetr("check-data", "--data", folder, "--out", tmp_path / "check") == 1
    text = capsys.readouterr().out
    assert "train: PROBLEM: iscrowd that is neither 0 nor 1: 1" in text
    assert "train: 000001.png = val: 000002.png" in text and "kinds of problems: 3;" in text
    assert "all images: PROBLEM: ids that stand for different categories: 1" in text
    page = (tmp_path / "check" / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in page and "&lt;b&gt;?" in page


def test_one_split_alone(drawn, tmp_path, capsys):
    files = ["--images", drawn / "val", "--annotations", drawn / "val.json"]
    assert defdetr("check-data", *files, "--out", tmp_path) == 0
    assert "train: 3 images" in capsys.readouterr().out


def test_a_json_that_is_none_and_impossible_numbers(drawn, tmp_path, capsys):
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    words = ["check-data", "--images", drawn / "val", "--annotations"]
    assert defdetr(*words, tmp_path / "a.json", "--out", tmp_path / "out") == 2
    assert "lacks the list(s) images" in capsys.readouterr().err
    assert defdetr(*words, drawn / "val.json", "--out", tmp_path / "out", "--samples", 0) == 2
    assert "--samples is 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
