"""Digits on photographs: nothing shared between the splits, boxes around the ink."""

import json
import sys

import numpy as np
import pytest
import torch

from defdetr_ref.boxes import box_iou
from defdetr_ref.data import digits
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.digits import DigitsConfig, draw_digits, load_sources, write_digits

pytest.importorskip("sklearn")
SIZE = (96, 144)
NORMAL = DigitsConfig(image_size=SIZE, empty_fraction=0)


@pytest.fixture(scope="module")
def sources():
    return load_sources()


def corners(annotation):
    x, y, width, height = annotation["bbox"]
    return [x, y, x + width, y + height]


def test_no_scan_is_in_both_splits(sources):
    train, val = set(sources["train"].numbers.tolist()), set(sources["val"].numbers.tolist())
    assert not train & val and len(train | val) == 1797 and 0.19 < len(val) / 1797 < 0.21
    for part in sources.values():
        assert np.bincount(part.digits, minlength=10).min() > 20


def test_what_is_held_out_is_held_out_for_every_seed(tmp_path, sources):
    held_out = set(sources["val"].numbers.tolist())
    for seed in (0, 7):
        paths = write_digits(tmp_path / str(seed), train=20, val=30, seed=seed, progress=False)
        shown = {
            split: {
                one["scan"]
                for one in json.loads(paths[f"{split}_annotations"].read_text(encoding="utf-8"))["annotations"]
            }
            for split in ("train", "val")
        }
        assert len(shown["val"]) > 30 and shown["val"] <= held_out and not shown["train"] & held_out


def test_the_photographs_are_cut_in_two(sources):
    from sklearn.datasets import load_sample_images

    for photo, upper, lower in zip(
        load_sample_images().images, sources["train"].photos, sources["val"].photos, strict=True
    ):
        np.testing.assert_array_equal(np.concatenate([upper, lower]), photo)
        assert len(upper) > len(lower) > 0


def test_a_scan_shows_its_digit(sources):
    from sklearn.datasets import load_digits

    scans = load_digits()
    for part in sources.values():
        assert (scans.target[part.numbers] == part.digits).all()
        for ink, number in zip(part.inks[::50], part.numbers[::50], strict=True):
            rows, columns = (np.flatnonzero((scans.images[number] > 8).any(axis=axis)) for axis in (1, 0))
            aspect = (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
            assert 0.6 < ink.shape[0] / ink.shape[1] / aspect < 1.6  # neither turned nor another one's


def test_boxes_are_tight_around_the_ink(sources, monkeypatch):
    monkeypatch.setattr(digits, "_ground", lambda config, sources, rng: np.zeros((*config.size, 3), np.float32))
    config = DigitsConfig(image_size=SIZE, empty_fraction=0, max_objects=1, noise=0)
    sides = []
    for seed in range(60):
        image = draw_digits(config, sources["train"], np.random.default_rng(seed))
        left, top, right, bottom = corners(image.annotations[0])
        brightness = image.pixels.max(axis=-1)
        rows, columns = np.nonzero(brightness > 0.3 * brightness.max())
        extents = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(extents, [left, top, right, bottom], atol=1)
        outside = brightness.copy()
        outside[top:bottom, left:right] = 0
        assert not outside.any() and 0 <= left and right <= SIZE[1] and 0 <= top and bottom <= SIZE[0]
        sides.append(max(right - left, bottom - top))
    assert 12 <= min(sides) < 16 and 50 < max(sides) <= 64


def test_boxes_overlap_within_the_limit(sources):
    largest = 0.0
    for seed in range(60):
        image = draw_digits(NORMAL, sources["val"], np.random.default_rng(seed))
        boxes = torch.tensor([corners(annotation) for annotation in image.annotations], dtype=torch.float32)
        assert 1 <= len(boxes) <= 6
        largest = max(largest, float(box_iou(boxes, boxes).fill_diagonal_(0).max()))
    assert 0.2 < largest <= 0.3 + 1e-6


def test_images_without_digits(sources):
    config = DigitsConfig(image_size=SIZE, empty_fraction=0.5)
    images = [draw_digits(config, sources["val"], np.random.default_rng(seed)) for seed in range(60)]
    assert 15 < sum(not image.annotations for image in images) < 45
    assert all(image.pixels.shape == (*SIZE, 3) for image in images)


def test_same_seed_same_bytes_and_the_set_opens(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_digits(tmp_path / name, train=8, val=4, seed=seed, image_size=(70, 90), progress=False)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 8 + 4 + 2
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()
    dataset = CocoDetection(tmp_path / "a" / "val", tmp_path / "a" / "val.json", num_classes=11)
    assert dataset.categories == {digit + 1: str(digit) for digit in range(10)}
    assert dataset[0][0].shape == (3, 70, 90) and sum(dataset.dropped.values()) == 0
    assert dataset.size_classes["small"] == [0, 70 * 90 / 64]


def test_written_digits_are_those_of_their_scans(tmp_path, sources):
    paths = write_digits(tmp_path / "set", train=10, val=10, progress=False)
    used = {}
    for split in ("train", "val"):
        annotations = json.loads(paths[f"{split}_annotations"].read_text(encoding="utf-8"))["annotations"]
        shown = dict(zip(sources[split].numbers.tolist(), sources[split].digits.tolist(), strict=True))
        assert all(one["category_id"] == shown[one["scan"]] + 1 for one in annotations)
        assert all(one["area"] == one["bbox"][2] * one["bbox"][3] for one in annotations)
        used[split] = {one["scan"] for one in annotations}
    assert used["train"] and used["val"] and not used["train"] & used["val"]


def test_the_same_set_is_reused_and_another_is_not_overwritten(tmp_path, monkeypatch):
    write_digits(tmp_path / "set", train=1, val=1, progress=False)
    with pytest.raises(ValueError, match="differs in config"):
        write_digits(tmp_path / "set", DigitsConfig(noise=0.1), train=1, val=1, progress=False)
    monkeypatch.setattr(digits, "draw_digits", None)
    write_digits(tmp_path / "set", train=1, val=1, progress=False)


def test_without_scikit_learn(tmp_path, monkeypatch):
    load_sources.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install defdetr-ref\[digits\]") as error:
        write_digits(tmp_path / "set", train=1, val=1, progress=False)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []
