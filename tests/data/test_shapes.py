"""The drawn shapes: exact boxes, the promised mixture, the same bytes for the same seed."""

import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from defdetr_ref.boxes import box_iou
from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.shapes import OUTLINES, ShapesConfig, coverage, draw_shapes, polygon_area, write_shapes

SIZE = (96, 144)
ALONE = ShapesConfig(
    image_size=SIZE, min_objects=1, max_objects=1, noise=0, texture=0, empty_fraction=0, crowd_fraction=0
)
NORMAL = ShapesConfig(image_size=SIZE, empty_fraction=0, crowd_fraction=0)


def drawn(config, count, first_seed=0):
    return [draw_shapes(config, np.random.default_rng(seed)) for seed in range(first_seed, first_seed + count)]


def corners(annotation):
    x, y, width, height = annotation["bbox"]
    return [x, y, x + width, y + height]


@pytest.mark.parametrize("shape", OUTLINES)
def test_boxes_are_tight_around_the_pixels(shape, monkeypatch):
    monkeypatch.setattr("defdetr_ref.data.shapes._ground", lambda config, rng: np.zeros((*config.size, 3), np.float32))
    config = ShapesConfig(**{**ALONE.as_json(), "image_size": SIZE, "shapes": (shape,)})
    sides = []
    for image in drawn(config, 40):
        left, top, right, bottom = corners(image.annotations[0])
        rows, columns = np.nonzero(image.pixels.max(axis=-1))
        extents = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(extents, [left, top, right, bottom], atol=1)
        assert 0 <= left < right <= SIZE[1] and 0 <= top < bottom <= SIZE[0]
        sides.append(max(right - left, bottom - top))
    assert 5.99 <= min(sides) < 10 and 45 < max(sides) <= 64.01


def test_coverage_adds_up_to_the_area_at_the_right_place():
    errors = []
    for shape, seed in itertools.product(OUTLINES, range(20)):
        rng = np.random.default_rng(seed)
        polygon = OUTLINES[shape]() * rng.uniform(4, 20) + rng.uniform(25, 40, size=2)
        alpha, (left, top) = coverage(polygon)
        perimeter = np.linalg.norm(polygon - np.roll(polygon, -1, axis=0), axis=1).sum()
        assert abs(alpha.sum() - polygon_area(polygon)) < perimeter / 8  # Pillow fills up to a fine pixel too far
        rows, columns = np.mgrid[0 : alpha.shape[0], 0 : alpha.shape[1]] + 0.5
        centre = [left + (alpha * columns).sum() / alpha.sum(), top + (alpha * rows).sum() / alpha.sum()]
        x, y = polygon.T
        ring = x * np.roll(y, -1) - y * np.roll(x, -1)
        centroid = [((v + np.roll(v, -1)) * ring).sum() / (3 * ring.sum()) for v in (x, y)]
        errors.append(np.subtract(centre, centroid))
    np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.015)  # a fine pixel is 0.125 px


def test_coverage_of_a_square_by_hand():
    square = np.array([[2.5, 3.0], [4.5, 3.0], [4.5, 4.5], [2.5, 4.5]])
    alpha, corner = coverage(square)
    assert corner == (2, 3)
    np.testing.assert_allclose(alpha, [[0.5, 1, 0.5], [0.25, 0.5, 0.25]], atol=0.15)  # a fine pixel too far


def test_areas_by_hand():
    assert polygon_area(np.array([[0.0, 0], [4, 0], [4, 3], [0, 3]])) == 12
    assert polygon_area(OUTLINES["circle"]()) == pytest.approx(np.pi, rel=0.005)
    assert polygon_area(OUTLINES["square"]()) == pytest.approx(2)
    assert polygon_area(OUTLINES["cross"]()) == pytest.approx(4 - 4 * (1 - 0.36) ** 2)  # a square less its corners


def test_box_area_and_outline_agree():
    for image in drawn(NORMAL, 20):
        for annotation in image.annotations:
            polygon = np.array(annotation["segmentation"][0]).reshape(-1, 2)
            box = [*polygon.min(axis=0), *polygon.max(axis=0)]
            np.testing.assert_allclose(corners(annotation), box, atol=1e-6)
            assert annotation["area"] == pytest.approx(polygon_area(polygon), abs=0.006)
            assert annotation["iscrowd"] == 0


def test_boxes_overlap_within_the_limit():
    largest = 0.0
    for image in drawn(NORMAL, 80):
        boxes = torch.tensor([corners(annotation) for annotation in image.annotations])
        assert 1 <= len(boxes) <= 6
        largest = max(largest, float(box_iou(boxes, boxes).fill_diagonal_(0).max()))
    assert 0.2 < largest <= 0.3 + 1e-3  # coordinates are rounded to 0.01 px


def test_objects_stand_out_from_what_surrounds_them():
    contrasts = []
    for image in drawn(NORMAL, 60):
        pixels = image.pixels / 255
        smallest = image.annotations[-1]  # painted last, so nothing hides it
        left, top, right, bottom = corners(smallest)
        alpha, (x, y) = coverage(np.array(smallest["segmentation"][0]).reshape(-1, 2))
        inside = pixels[y : y + alpha.shape[0], x : x + alpha.shape[1]][alpha > 0.9].mean(axis=0)
        frame = pixels[max(y - 2, 0) : y + alpha.shape[0] + 2, max(x - 2, 0) : x + alpha.shape[1] + 2]
        border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]]).mean(axis=0)
        contrasts.append(np.linalg.norm(inside - border))
    assert np.mean(np.array(contrasts) > 0.3) > 0.95


def test_kinds_and_images_come_in_the_promised_mixture():
    images = drawn(ShapesConfig(image_size=SIZE, empty_fraction=0.3, crowd_fraction=0.4), 120)
    empty = sum(not image.annotations for image in images)
    crowds = [sum(annotation["iscrowd"] for annotation in image.annotations) for image in images]
    assert 22 <= empty <= 50 and 34 <= sum(crowds) <= 62 and max(crowds) == 1
    singles = [one["category_id"] for image in images for one in image.annotations if not one["iscrowd"]]
    counts = np.bincount(singles, minlength=6)
    assert counts[0] == 0 and counts[1:].min() > 0.15 * len(singles)


def test_a_crowd_is_one_region_of_many():
    config = ShapesConfig(image_size=SIZE, empty_fraction=0, crowd_fraction=1, max_objects=1)
    for image in drawn(config, 20):
        (crowd,) = [annotation for annotation in image.annotations if annotation["iscrowd"]]
        assert len(image.annotations) == 2
        mask = coco_mask.decode(crowd["segmentation"])
        assert mask.shape == SIZE and mask.sum() == crowd["area"]
        rows, columns = np.nonzero(mask)
        extents = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(extents, corners(crowd), atol=1.5)  # the mask lacks tips under half a pixel
        assert 0.05 < mask.sum() / (crowd["bbox"][2] * crowd["bbox"][3]) < 0.8  # scattered, not a block


def test_only_the_asked_shapes_are_drawn(tmp_path):
    config = ShapesConfig(image_size=64, max_side=30, shapes=("star", "circle"))
    paths = write_shapes(tmp_path / "set", config, train=20, val=1, progress=False)
    content = json.loads(paths["train_annotations"].read_text(encoding="utf-8"))
    assert [(one["id"], one["name"]) for one in content["categories"]] == [(1, "star"), (2, "circle")]
    corner_counts = {(one["category_id"], len(one["segmentation"][0])) for one in content["annotations"]}
    assert corner_counts == {(1, 20), (2, 96)}


def test_same_seed_same_bytes_and_the_set_opens(tmp_path):
    config = ShapesConfig(image_size=(48, 64), max_side=30, crowd_fraction=0.2)
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_shapes(tmp_path / name, config, train=12, val=5, seed=seed, progress=False)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 12 + 5 + 2
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()
    dataset = CocoDetection(tmp_path / "a" / "train", tmp_path / "a" / "train.json", num_classes=6)
    assert len(dataset) == 12 and dataset[0][0].shape == (3, 48, 64)
    assert dataset.dropped["not finite"] == dataset.dropped["degenerate"] == 0 < dataset.dropped["crowd"]
    assert dataset.size_classes == {"small": [0, 48], "medium": [48, 432], "large": [432, 1e10]}
    info = dataset.coco["info"]
    assert info["seed"] == 5 and info["config"]["crowd_fraction"] == 0.2 and info["description"]


def test_an_image_does_not_depend_on_how_many_are_drawn(tmp_path):
    config = ShapesConfig(image_size=48, max_side=30)
    few, many = (
        write_shapes(tmp_path / str(count), config, train=count, val=count, progress=False)["train_images"]
        for count in (2, 4)
    )
    for path in few.iterdir():
        assert path.read_bytes() == (many / path.name).read_bytes()
    splits = [tmp_path / "2" / split / "000001.png" for split in ("train", "val")]
    assert not np.array_equal(*[np.asarray(Image.open(path)) for path in splits])


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"shapes": ("circle", "hexagon")}, "hexagon.*must be one or more of circle, square"),
        ({"shapes": ()}, r"shapes is \(\)"),
        ({"shapes": ("star", "star")}, "each once"),
        ({"crowd_fraction": -0.1}, "crowd_fraction is -0.1"),
        ({"texture": 1.1}, "texture is 1.1"),
        ({"texture": float("nan")}, "texture is nan"),
        ({"empty_fraction": 0.6, "crowd_fraction": 0.5}, "together exceed 1"),
        ({"max_side": 500}, "max_side 500"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(ValueError, match=words) as error:
        ShapesConfig(**settings)
    assert "\n" not in str(error.value)


def test_objects_that_do_not_fit(tmp_path):
    config = ShapesConfig(image_size=64, min_side=60, max_side=64, min_objects=6, max_overlap=0.0)
    with pytest.raises(ValueError, match="found no room for 6 to 6 objects"):
        write_shapes(tmp_path / "set", config, train=1, val=1, progress=False)
    assert list(tmp_path.iterdir()) == []
