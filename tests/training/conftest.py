"""A drawn set for all tests of training."""

import pytest

from defdetr_ref.data.coco import CocoDetection
from defdetr_ref.data.shapes import ShapesConfig, write_shapes
from defdetr_ref.data.transforms import PlainTransform
from tests.training.runs import TRAIN_IMAGES, VAL_IMAGES


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    canvas = ShapesConfig(image_size=(48, 64), max_side=32)
    folder = tmp_path_factory.mktemp("drawn") / "shapes"
    return write_shapes(folder, canvas, train=TRAIN_IMAGES, val=VAL_IMAGES, progress=False)


@pytest.fixture
def sets(drawn):
    """(training set with random flips, validation set)"""
    train_set = CocoDetection(drawn["train_images"], drawn["train_annotations"], PlainTransform(flip=True))
    return train_set, CocoDetection(drawn["val_images"], drawn["val_annotations"])
