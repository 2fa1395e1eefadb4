"""A drawn set is complete or not there, and never takes another's place."""

import json

import numpy as np
import pytest
from PIL import Image

from defdetr_ref.data.canvas import DrawnImage
from defdetr_ref.data.writing import image_generator, set_paths, write_set

CATEGORIES = [{"id": 4, "name": "dot"}]
COUNTS = {"train": 3, "val": 2}


def draw(split, rng):
    pixels = rng.integers(0, 256, size=(16, 24, 3), dtype=np.uint8)
    return DrawnImage(pixels, [{"category_id": 4, "bbox": [1, 2, 3, 4]}] * int(rng.integers(3)))


def never(split, rng):
    raise AssertionError("drawn again")


def write(folder, draw=draw, info=None, counts=COUNTS, seed=7):
    info = {"description": "dots", "limits": (1, 2)} if info is None else info
    return write_set(folder, draw, info, CATEGORIES, counts=counts, seed=seed, progress=False)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_layout_is_cocos(tmp_path):
    paths = write(tmp_path / "deep" / "set")
    assert paths == set_paths(tmp_path / "deep" / "set")
    for split, count in COUNTS.items():
        content = json.loads(paths[f"{split}_annotations"].read_text(encoding="utf-8"))
        assert list(content) == ["annotations", "categories", "images", "info", "licenses"]
        assert content["info"] == {"description": "dots", "limits": [1, 2], "seed": 7, "counts": COUNTS}
        assert content["categories"] == CATEGORIES and content["licenses"] == []
        assert [image["id"] for image in content["images"]] == list(range(1, count + 1))
        ids = [annotation["id"] for annotation in content["annotations"]]
        assert ids == list(range(1, len(ids) + 1)) and ids  # 0 means "no match" to COCOeval
        for image in content["images"]:
            with Image.open(paths[f"{split}_images"] / image["file_name"]) as file:
                assert file.size == (image["width"], image["height"]) == (24, 16)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["set"]  # nothing left beside it


def test_pixels_are_stored_as_drawn(tmp_path):
    paths = write(tmp_path / "set")
    stored = np.asarray(Image.open(paths["val_images"] / "000002.png"))
    np.testing.assert_array_equal(stored, draw("val", image_generator(7, "val", 1)).pixels)


def test_every_image_has_its_own_stream():
    places = [(seed, split, index) for seed in (0, 1) for split in ("train", "val") for index in (0, 1)]
    assert len({image_generator(*place).random() for place in places}) == len(places)


def test_same_seed_same_bytes(tmp_path):
    write(tmp_path / "a"), write(tmp_path / "b"), write(tmp_path / "c", seed=8)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    different = contents(tmp_path / "c")
    assert all(different[name] != data for name, data in contents(tmp_path / "a").items())


def test_the_same_set_is_reused(tmp_path):
    before = write(tmp_path / "set")
    assert write(tmp_path / "set", draw=never) == before


@pytest.mark.parametrize(
    "change, named",
    [
        ({"seed": 8}, "seed"),
        ({"counts": {"train": 4, "val": 2}}, "counts"),
        ({"info": {"limits": 3}}, "description, limits"),
    ],
)
def test_another_set_is_not_overwritten(tmp_path, change, named):
    write(tmp_path / "set")
    before = contents(tmp_path / "set")
    with pytest.raises(ValueError, match=rf"set holds a different set \(it differs in {named}\)") as error:
        write(tmp_path / "set", **change)
    assert "\n" not in str(error.value) and contents(tmp_path / "set") == before


@pytest.mark.parametrize("name, text", [("notes.txt", "mine"), ("train.json", "{"), ("train.json", '{"info": 3}')])
def test_foreign_files_are_not_touched(tmp_path, name, text):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is not empty and holds no complete drawn set") as error:
        write(tmp_path / "set")
    assert "\n" not in str(error.value) and contents(tmp_path / "set") == {name: text.encode()}


def test_a_set_that_lost_images_is_not_reused(tmp_path):
    paths = write(tmp_path / "set")
    (paths["train_images"] / "000002.png").unlink()
    with pytest.raises(ValueError, match="train holds 2 images instead of 3"):
        write(tmp_path / "set")


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "set").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="set is a file"):
        write(tmp_path / "set")


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "set").mkdir()
    write(tmp_path / "set")
    assert len(contents(tmp_path / "set")) == 3 + 2 + 2


def test_an_interrupted_set_does_not_exist(tmp_path):
    def fail_in_val(split, rng):
        if split == "val":
            raise KeyboardInterrupt
        return draw(split, rng)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "set", draw=fail_in_val)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "set")


def test_two_writers_of_the_same_set_get_along(tmp_path):
    def slow(split, rng):
        if not (tmp_path / "set").exists():
            write(tmp_path / "set")  # the other one finishes first
        return draw(split, rng)

    write(tmp_path / "set", draw=slow)
    assert len(contents(tmp_path / "set")) == 3 + 2 + 2 and [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_writer_of_another_set_that_was_faster_is_noticed(tmp_path):
    def slow(split, rng):
        if not (tmp_path / "set").exists():
            write(tmp_path / "set", seed=8)
        return draw(split, rng)

    with pytest.raises(ValueError, match="differs in seed"):
        write(tmp_path / "set", draw=slow)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"counts": {"train": 0, "val": 2}}, "train is 0"),
        ({"counts": {"train": 3, "val": -1}}, "val is -1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_counts_and_seeds_out_of_range(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        write(tmp_path / "set", **change)
    assert list(tmp_path.iterdir()) == []
