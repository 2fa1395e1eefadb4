"""The explorer on the site shows a detector that has learned."""

import numpy as np
import pytest
import torch
from site_parts.explorer import DETECTOR, IMAGES, LEAST_OBJECTS, explorer_state, shown_images

from defdetr_ref import zoo
from defdetr_ref.data.drawn_sets import DRAWN_SETS


@pytest.fixture(scope="module")
def state():
    return explorer_state()


def test_its_table_holds_every_query(state):
    assert len(state.metadata["images"]) == IMAGES
    rows = 0
    for image in state.metadata["images"]:
        for layer in image["layers"]:
            assert layer["inTable"] is None and layer["offset"] == rows
            rows += layer["queries"] * 2 * (4 + 3 * layer["heads"] * layer["levels"] * layer["points"])
    assert rows == len(state.table)


def test_its_model_has_learned(state):
    """An untrained model gives every object a score near 0.01."""
    for image in state.metadata["images"]:
        scores = sorted(image["objects"]["scores"], reverse=True)
        assert scores[LEAST_OBJECTS - 1] > 0.5, "it finds the objects for which the image was taken"
    assert np.frombuffer(state.table, "<i2").std() > 100


def test_its_images_are_those_of_the_card(tmp_path):
    from defdetr_ref.zoo.training import held_out

    test_set = held_out("shapes", tmp_path, images=12, seed=zoo.card("shapes")["test"]["seed"])
    expected = [(image, target) for image, target in test_set if len(target["labels"]) >= LEAST_OBJECTS]
    for (image, target), (right, wanted) in zip(shown_images(), expected[:IMAGES], strict=True):
        assert image.tolist() == right.tolist() and target["labels"].tolist() == wanted["labels"].tolist()
        torch.testing.assert_close(target["boxes"], wanted["boxes"])


def test_the_true_boxes_go_along(state):
    truths = [image["truth"] for image in state.metadata["images"]]
    assert [[box["name"] for box in truth] for truth in truths] == [
        [DRAWN_SETS[DETECTOR].categories[int(label)] for label in target["labels"]] for _, target in shown_images()
    ]
