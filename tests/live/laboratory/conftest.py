import pytest

from defdetr_ref import live
from tests.live.laboratory.opened import SIZE, Opened
from tests.live.models import live_model


@pytest.fixture(scope="session")
def model():
    """Two-stage, with unequal counts of everything."""
    fields = dict(feature_strides=(8, 16), num_levels=3, num_points=5, encoder_layers=2)
    return live_model(**fields, box_refine=True, two_stage=True, num_classes=6)


@pytest.fixture(scope="session")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("laboratory") / "page.html"
    return live.save_page(path, model, image_size=SIZE, dtype="float32")


@pytest.fixture
def laboratory(page, saved) -> Opened:
    """A fresh page with `model`."""
    return Opened(page, saved)
