"""Other models in the page: the course of training, and two models side by side."""

import pytest
import torch

from defdetr_ref import live
from tests.browser.waiting import holds
from tests.live.laboratory.opened import SIZE, Opened
from tests.live.models import live_model, normalised

FIELDS = dict(feature_strides=(8, 16), num_levels=2, box_refine=True, num_classes=6, decoder_layers=2)
BESIDE = "() => Array.from(window.laboratory.look.beside.answer.pred_boxes)"


@pytest.fixture(scope="module")
def models():
    """The last, two epochs, and one of another architecture."""
    others = [live_model(seed=seed, **FIELDS) for seed in (3, 11, 12)]
    return [
        *others,
        live_model(seed=13, feature_strides=(8,), num_levels=3, num_heads=2, num_classes=6, decoder_layers=4),
    ]


@pytest.fixture(scope="module")
def saved(models, tmp_path_factory):
    last, first, ninth, other = models
    options = {"epochs": {9: ninth, 1: first}, "others": {"one stage, 4 layers": other}}
    path = tmp_path_factory.mktemp("models") / "page.html"
    return live.save_page(path, last, **options, image_size=SIZE, dtype="float32")


def beside(laboratory, model):
    laboratory.rest()
    with torch.no_grad():
        wanted = model(normalised(laboratory.pixels()))["pred_boxes"][0]
    found = laboratory.page.wait_for_function(BESIDE).json_value()
    torch.testing.assert_close(torch.tensor(found).view_as(wanted), wanted, atol=1e-6, rtol=0)


def test_the_slider_moves_through_the_training(page, saved, models):
    laboratory = Opened(page, saved)
    last, first, ninth, _ = models
    for place, words, model in (
        (0, "After epoch 1: AP", first),
        (1, "After epoch 9: AP", ninth),
        (2, "The trained model: AP", last),
    ):
        laboratory.slide("course", place)
        laboratory.says("caption", words)
        laboratory.agrees(model)


def test_another_model_looks_and_a_third_lies_beside_it(page, saved, models):
    laboratory = Opened(page, saved)
    last, first, _, other = models
    laboratory.part("beside").select_option("epoch-1")
    laboratory.says("beside-caption", "After epoch 1: AP")
    laboratory.agrees(last)
    beside(laboratory, first)
    laboratory.part("model").select_option("one stage, 4 layers")
    laboratory.says("caption", "one stage, 4 layers: AP")
    laboratory.slide("layer", 4)
    laboratory.state("({ layer }) => layer === 4")
    assert len(laboratory.texts("[data-part=steps] figcaption", 5)) == 5
    assert laboratory.texts("[data-part=levels] figcaption", 3)[0].startswith("Level 0, 8 × 12")
    laboratory.drag((0.31 * SIZE[1], 0.34 * SIZE[0]), (50, 24))
    laboratory.agrees(other)
    beside(laboratory, first)
    laboratory.part("beside").select_option("")
    laboratory.part("beside-figure").wait_for(state="hidden")
    laboratory.part("model").select_option("model")  # layer 4 was chosen, and this one has two
    laboratory.texts("[data-part=steps] figcaption", 3)
    laboratory.agrees(last)


def test_the_sliders_end_where_the_layers_of_what_is_shown_end(page, saved):
    laboratory = Opened(page, saved)  # its model has two decoder layers, another in the page has four
    slider = "() => ((one) => [one.value, one.max])(document.querySelector('[data-part=layer]'))"

    def layers(wanted):
        laboratory.says("layer-words", wanted)
        holds(page, slider, "(found, wanted) => found.every((each) => each === wanted)", wanted)

    layers("2")
    laboratory.part("beside").select_option("one stage, 4 layers")
    layers("4")
    laboratory.part("beside").select_option("")
    layers("2")
    laboratory.part("model").select_option("one stage, 4 layers")
    layers("4")
