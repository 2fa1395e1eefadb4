"""`defdetr detect`."""

import json
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from defdetr_ref.cli.detect import draw, output_names
from defdetr_ref.cli.exports import Detected, as_label_studio
from defdetr_ref.data.coco import CocoDetection
from tests.cli.commands import defdetr


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


def test_pictures_are_turned_upright_and_that_is_said(trained, drawn, tmp_path, capsys):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    Image.new("RGB", (64, 96)).save(tmp_path / "turned.jpg", exif=exif)
    words = ["detect", tmp_path / "turned.jpg", "--checkpoint", trained / "last.pt", "--out", tmp_path / "found"]
    assert defdetr(*words, "--device", "cpu") == 0
    assert "turned.jpg: turned upright, as its EXIF orientation 8 asks" in capsys.readouterr().out
    with Image.open(tmp_path / "found" / "turned.boxes.png") as drawn_over:
        assert drawn_over.size == (96, 64)


def test_detections_for_other_programs(trained, drawn, tmp_path):
    pictures = [*sorted((drawn / "val").glob("*.png"))[:2], drawn / "train" / "000001.png"]
    words = ["detect", *pictures, "--checkpoint", trained / "last.pt", "--out", tmp_path, "--device", "cpu"]
    assert defdetr(*words, "--threshold", 0, "--also", "coco", "label-studio") == 0
    rows = json.loads((tmp_path / "detections.json").read_text(encoding="utf-8"))

    dataset = CocoDetection(drawn, tmp_path / "coco.json")
    assert [image["file_name"] for image in dataset.coco["images"]] == [
        picture.relative_to(drawn).as_posix() for picture in pictures
    ]
    assert dataset.categories == {0: "0", 1: "circle", 2: "square", 3: "triangle", 4: "star", 5: "cross"}
    content = json.loads((tmp_path / "coco.json").read_text(encoding="utf-8"))
    assert [one["score"] for one in content["annotations"]] == [row["score"] for row in rows]
    assert [one["category_id"] for one in content["annotations"]] == [row["label"] for row in rows]

    tasks = json.loads((tmp_path / "label_studio.json").read_text(encoding="utf-8"))
    assert [task["data"]["image"] for task in tasks] == [picture.name for picture in pictures]
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    assert [region["value"]["rectanglelabels"] for region in regions] == [[row["category"]] for row in rows]
    for row, region, one in zip(rows, regions, content["annotations"], strict=True):
        left, top, right, bottom = (min(max(edge, 0), 64) for edge in row["box"])
        assert one["bbox"] == pytest.approx([left, top, right - left, bottom - top])
        value = [region["value"][name] for name in ("x", "y", "width", "height")]
        assert value == pytest.approx([edge / 64 * 100 for edge in one["bbox"]])


def test_boxes_are_in_per_cent_of_the_picture():
    row = {"score": 0.5, "label": 2, "category": "cat", "box": [-5.0, 10.0, 30.0, 45.0]}
    (task,) = as_label_studio([Detected(Path("a.png"), 60, 40, [row])], "last.pt")
    value = task["predictions"][0]["result"][0]["value"]
    assert [value[name] for name in ("x", "y", "width", "height")] == [0, 25, 50, 75]


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
