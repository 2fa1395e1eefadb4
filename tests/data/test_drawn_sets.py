"""The drawn sets by name."""

import json

import pytest

from defdetr_ref.data.drawn_sets import DRAWN_SETS


@pytest.fixture(params=DRAWN_SETS)
def name(request) -> str:
    if request.param == "digits":
        pytest.importorskip("sklearn")
    return request.param


def test_categories_are_those_of_the_written_set(name, tmp_path):
    paths = DRAWN_SETS[name].write(tmp_path / "set", train=1, val=2, seed=0, progress=False)
    content = json.loads(paths["val_annotations"].read_text(encoding="utf-8"))
    assert {one["id"]: one["name"] for one in content["categories"]} == DRAWN_SETS[name].categories


def test_training_images_are_drawn_and_mirrored_only_where_that_is_right(name):
    dataset = DRAWN_SETS[name].training_images(images=6, seed=3)
    assert len(dataset) == 6 and dataset.seed == 3 and dataset.categories == DRAWN_SETS[name].categories
    assert dataset.transform.flip == dataset.transform.flip_vertical == (name != "digits")
    labels = {int(label) for index in range(6) for label in dataset[index][1]["labels"]}
    assert labels and labels <= set(dataset.categories)
