"""What is said about a json whose numbers are none, and that reading it takes little memory."""

import io
import json
import tracemalloc

import numpy as np
import pytest

from defdetr_ref.data import annotations, json_stream
from defdetr_ref.data.annotations import Fault, read_annotations
from defdetr_ref.data.json_stream import JsonStream

WRONG = [  # kind of record, key, value, what is said
    ("annotations", "iscrowd", "0", "has iscrowd '0'; 0 or 1"),
    ("annotations", "iscrowd", 2, "has iscrowd 2; 0 or 1"),
    ("annotations", "iscrowd", None, "has iscrowd None; 0 or 1"),
    ("annotations", "area", "72", "has area '72'; a number of square pixels"),
    ("annotations", "area", float("nan"), "has area nan; a number of square pixels"),
    ("annotations", "area", {}, "has area {}; a number of square pixels"),
    ("annotations", "bbox", [True, 2, 3, 4], "has bbox .*; four numbers"),
    ("annotations", "bbox", [10**400, 2, 3, 4], "has bbox .*; four numbers"),
    ("annotations", "image_id", {"a": 1}, "has image_id .*; ids must be whole numbers"),
    ("annotations", "image_id", "10", "has image_id '10'; ids must be whole numbers"),
    ("annotations", "category_id", [3], r"has category_id \[3\]; ids must be whole numbers"),
    ("annotations", "category_id", 3.0, r"has category_id 3.0; ids must be whole numbers"),
    ("annotations", "id", 10**30, "has id 10+; ids must be whole numbers"),
    ("images", "width", 10**12, "width 10+; a name and two whole numbers"),
    ("images", "height", True, "height True .*; a name and two whole numbers"),
    ("images", "file_name", "x" * 5000, "has file_name 'xxx.*; a name and two whole numbers"),
    ("images", "file_name", {}, "has file_name {}.*; a name and two whole numbers"),
    ("categories", "name", None, "category 7 has name None; a string is needed"),
    ("categories", "id", -7, "'plate' has id -7; .*renumber them from 1"),
    ("categories", "id", 10**9, "'plate' has id 10+; .*renumber them from 1"),
]


@pytest.mark.parametrize(("kind", "key", "value", "said"), WRONG)
def test_a_wrong_value_is_refused(hand_made, kind, key, value, said):
    hand_made.content[kind][-1][key] = value
    with pytest.raises(Fault, match=said) as error:
        hand_made.open()
    assert str(hand_made.annotations) in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("value", ["small", {"small": [0, 9]}, {name: [0, "9"] for name in annotations.SIZE_CLASSES}])
def test_size_classes_that_are_none(hand_made, value):
    hand_made.content["info"] = {"size_classes": value}
    with pytest.raises(ValueError, match="info has size_classes"):
        hand_made.open()


def test_flip_that_is_neither_true_nor_false(hand_made):
    hand_made.content["info"] = {"flip": "no"}
    with pytest.raises(ValueError, match="info has flip 'no'; true or false"):
        hand_made.open()


def test_an_info_that_is_no_object_says_nothing(hand_made):
    hand_made.content["info"] = ["drawn by hand"]
    assert hand_made.open().info == {}


@pytest.mark.parametrize("bool_or_number", [True, 1])
def test_true_is_a_crowd_as_well(hand_made, bool_or_number):
    hand_made.annotate(iscrowd=bool_or_number)
    assert hand_made.open().dropped["crowd"] == 1


def test_lists_within_lists_without_end(hand_made):
    hand_made.annotations.write_text('{"images": ' + "[" * 200_000, encoding="utf-8")
    with pytest.raises(ValueError, match="nests lists too deeply"):
        read_annotations(hand_made.annotations)


@pytest.mark.parametrize("text", ['{"images": [,]}', '{"images" []}', '{"images": [}', "{1: 2}", "{} {}", "[1, 2", "{"])
def test_text_that_is_almost_json(hand_made, text):
    hand_made.annotations.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is not a json file"):
        read_annotations(hand_made.annotations)


def test_a_list_that_comes_twice(hand_made):
    text = json.dumps(hand_made.content)
    hand_made.annotations.write_text(text[:-1] + ', "images": []}', encoding="utf-8")
    with pytest.raises(ValueError, match="two lists called images"):
        read_annotations(hand_made.annotations)


def test_a_byte_order_mark_is_no_mistake(hand_made):
    hand_made.annotations.write_text(json.dumps(hand_made.content), encoding="utf-8-sig")
    assert len(read_annotations(hand_made.annotations)) == 3


def test_all_faults_are_handed_over_and_the_rest_is_read(hand_made):
    hand_made.annotate(iscrowd="0")
    hand_made.annotate(image_id=99)
    hand_made.annotate(category_id=5)
    hand_made.annotate(id=1)
    hand_made.content["categories"].append({"id": 9})
    hand_made.content["info"] = {"flip": 3, "size_classes": None}
    hand_made.annotations.write_text(json.dumps(hand_made.content), encoding="utf-8")
    faults = []
    read = read_annotations(hand_made.annotations, faults.append)
    reasons = [fault.reason for fault in faults]
    assert sorted(reasons) == sorted(
        [
            "iscrowd that is neither 0 nor 1",
            "boxes whose image is not listed",
            "boxes whose category is not listed",
            "ids that occur twice",
            "entries that lack a key",
            "info that cannot be meant",
        ]
    )
    assert read.ids.tolist() == [1, 2, 3] and read.categories == {3: "cup", 7: "plate"} and len(read.images) == 3


def test_what_evaluation_reads_is_what_was_in_the_file(hand_made):
    hand_made.annotate(bbox=[2.25, 3, 8, 9.125], iscrowd=1)
    del hand_made.content["annotations"][1]["area"]
    hand_made.content["annotations"][0]["segmentation"] = [[5, 6, 25, 6, 25, 16]]
    coco = hand_made.open().coco
    del hand_made.content["annotations"][0]["segmentation"]
    assert coco == {"info": {}, **hand_made.content}


VALUES = [
    0,
    -12.5e3,
    'a"]}é中😀\\',
    None,
    True,
    [],
    {},
    [1, [2, {"a": [3]}]],
    {"k": {"": [False]}},
    "x" * 50,
    123456789,
]


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_stream_reads_what_json_reads(monkeypatch, piece, indent):
    monkeypatch.setattr(json_stream, "PIECE", piece)
    stream = JsonStream(io.StringIO(json.dumps(VALUES, indent=indent, ensure_ascii=False)))
    assert list(stream.items()) == VALUES
    stream.end()
    keyed = {str(number): value for number, value in enumerate(VALUES)}
    stream = JsonStream(io.StringIO(json.dumps(keyed, indent=indent)))
    assert {key: stream.value() for key in stream.keys()} == keyed
    stream.end()


@pytest.mark.parametrize("segmentation", [True, False])
def test_memory_is_less_than_three_times_the_file(tmp_path, monkeypatch, segmentation):
    rng = np.random.default_rng(0)
    polygon = {"segmentation": [rng.uniform(1, 90, 200).round(2).tolist()], "area": 50.5} if segmentation else {}
    rows = [
        {"id": number, "image_id": number % 9, "category_id": 1, "bbox": [1.25 + number, 3.5, 20, 40.125], **polygon}
        for number in range(100 if segmentation else 500)
    ]
    images = [{"id": number, "file_name": f"{number:012}.jpg", "height": 427, "width": 640} for number in range(9)]
    content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "中"}]}
    path = tmp_path / "large.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    monkeypatch.setattr(json_stream, "PIECE", 2**10)
    read_annotations(path)  # what is made once, in any module, is made here
    tracemalloc.start()
    read = read_annotations(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(read) == len(rows)
    assert peak < 3 * path.stat().st_size
