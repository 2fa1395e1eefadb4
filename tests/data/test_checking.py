"""Looking through a set: each thing that is wrong is found, counted and placed; a good set has no findings."""

import json
import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image

from defdetr_ref.data.checking import check_split, compare_splits, counts_by_category

LIMITS = {"small": (0, 12), "medium": (12, 300), "large": (300, 1e10)}  # a box has 12 px², which is small


def checked(hand_made, name="train", **options):
    hand_made.annotations.write_text(json.dumps(hand_made.content), encoding="utf-8")
    return check_split(name, hand_made.images, hand_made.annotations, progress=False, **options)


def found(split):
    return {finding.what: (len(finding.where), finding.problem) for finding in split.findings}


@pytest.fixture
def good(hand_made):
    """Each image has a box."""
    hand_made.annotate(image_id=30, bbox=[1, 2, 20, 20], area=400)
    return hand_made


def test_a_good_set(good):
    split = checked(good)
    assert split.findings == [] and compare_splits([split]) == []
    assert list(split.fingerprints) == ["10.png", "20.png", "30.png"] and len(split.targets) == 4


def test_counts_by_category_and_size(good):
    del good.content["annotations"][0]["area"]  # 20 × 10
    good.annotate(category_id=7, iscrowd=1)
    rows = counts_by_category(checked(good), LIMITS)
    assert rows == [
        {"id": 3, "name": "cup", "boxes": 2, "images": 2, "small": 0, "medium": 1, "large": 1},
        {"id": 7, "name": "plate", "boxes": 2, "images": 2, "small": 1, "medium": 1, "large": 0},
    ]
    good.content["info"] = {"size_classes": {"small": [0, 500], "medium": [500, 600], "large": [600, 1e10]}}
    assert [row["small"] for row in counts_by_category(checked(good), LIMITS)] == [2, 2]


def test_bad_boxes_by_reason(good):
    good.annotate(bbox=[5, 5, 0, 9])
    good.annotate(bbox=[500, 5, 9, 9])
    good.annotate(bbox=[5, float("inf"), 9, 9])
    good.annotate(iscrowd=1, bbox=[1, 1, 9, 8])
    good.annotate(iscrowd="1")
    good.annotate(bbox=good.content["annotations"][0]["bbox"])
    good.annotate(image_id=99)
    split = checked(good)
    assert found(split) == {
        "iscrowd that is neither 0 nor 1": (1, True),
        "boxes whose image is not listed": (1, True),
        "boxes without width or height inside their image": (2, True),
        "boxes not finite": (1, True),
        "boxes of crowds (iscrowd is 1)": (1, False),
        "boxes that repeat another one": (1, True),
    }
    where = {finding.what: finding.where for finding in split.findings}
    assert where["boxes that repeat another one"] == ["annotation 10 of image 10: [5.0, 6.0, 20.0, 10.0]"]
    assert len(split.targets) == 5


def test_odd_boxes_are_worth_knowing_and_a_problem_if_they_are_most(good):
    good.annotate(bbox=[50, 5, 12, 9])  # to x = 62 of 60
    good.annotate(bbox=[5, 5, 0.5, 0.9])
    good.annotate(bbox=[5, 5, 0.5, 9])  # thin, as a pole is
    good.annotate(bbox=[-1, 5, 62, 9])  # a pixel is nothing
    beyond, tiny = "boxes partly outside their image by more than a pixel", "boxes smaller than a pixel"
    assert found(checked(good)) == {beyond: (1, False), tiny: (1, False)}
    for shift in range(8):
        good.annotate(bbox=[50, 6 + shift, 12, 9])
    split = checked(good)
    assert found(split) == {"boxes of another format": (1, True), beyond: (9, False), tiny: (1, False)}
    assert "9 of 16 boxes are partly outside" in split.findings[0].where[0]


def test_ids_that_stand_for_different_categories(good):
    good.content["categories"][1]["name"] = "Plate"
    train = checked(good)
    good.content["categories"] = [{"id": 7, "name": " plate"}, {"id": 3, "name": "plate"}, {"id": 5, "name": "cup"}]
    (finding,) = compare_splits([train, checked(good, "val")])[:1]
    assert (finding.what, finding.problem) == ("ids that stand for different categories", True)
    assert finding.where == ["category 3 is 'cup' in train and 'plate' in val; number them alike"]


def test_bad_images_by_reason(good):
    (good.images / "10.png").unlink()
    (good.images / "20.png").write_bytes(b"no picture")
    good.content["images"][2]["height"] = 25
    good.content["images"] += [
        {"id": 40, "file_name": "../annotations.json", "height": 3, "width": 4},
        {"id": 50, "file_name": "30.png", "height": 24, "width": 36},
    ]
    split = checked(good)
    assert found(split) == {
        "files that do not exist": (1, True),
        "files that cannot be read": (1, True),
        "images of another size than annotated": (1, True),
        "files outside the folder of the images": (1, True),
        "files that two images share": (1, True),
        "images without any box": (2, False),
    }


def test_links_are_followed_if_that_is_asked_for(good, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (good.images / "10.png").rename(tmp_path / "elsewhere" / "10.png")
    (good.images / "10.png").symlink_to(tmp_path / "elsewhere" / "10.png")
    assert found(checked(good)) == {"files outside the folder of the images": (1, True)}
    assert checked(good, follow_links=True).findings == []


def test_turned_images_are_worth_knowing(good):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with Image.open(good.images / "10.png") as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save(good.images / "10.png", exif=exif)
    assert found(checked(good)) == {"images that are turned upright, EXIF orientation 6": (1, False)}


def test_a_set_without_a_box(hand_made):
    hand_made.content["annotations"] = []
    assert found(checked(hand_made)) == {
        "set without a box that can be learnt": (1, True),
        "images without any box": (3, False),
    }


def test_a_set_without_images(hand_made):
    hand_made.content["images"] = []
    split = checked(hand_made)
    assert found(split)["boxes whose image is not listed"] == (3, True)
    assert [row["boxes"] for row in counts_by_category(split, LIMITS)] == [0, 0]


def test_images_in_two_splits_are_a_problem_and_in_one_are_not(good, tmp_path):
    train = checked(good)
    shutil.copy(good.images / "10.png", good.images / "20.png")  # of one split now
    good.content["images"][1].update(height=40, width=60)
    rng = np.random.default_rng(9)
    Image.fromarray(rng.integers(0, 256, (24, 36, 3), dtype=np.uint8)).save(good.images / "30.png")
    val = checked(good, "val")
    findings = compare_splits([train, val])
    assert [(one.what, one.where, one.problem) for one in findings] == [
        ("images that are equal in two splits", ["train: 10.png = val: 10.png = val: 20.png"], True)
    ]
    (alone,) = compare_splits([val])
    assert (alone.what, alone.where) == ("images that are equal in one split", ["val: 10.png = val: 20.png"])
    assert not alone.problem


def test_a_missing_folder(hand_made, tmp_path):
    with pytest.raises(FileNotFoundError, match="images folder .*nowhere does not exist"):
        check_split("train", tmp_path / "nowhere", hand_made.annotations)
