"""The laboratory's page as it is written, and what it says when it cannot work. Its parts: laboratory/."""

import pytest
import torch

from defdetr_ref import live
from tests.browser.waiting import changes, holds
from tests.live.laboratory.opened import DRAWN, SIZE, Opened
from tests.live.models import live_model


@pytest.fixture(scope="module")
def model():
    return live_model(feature_strides=(8, 16), num_levels=2, box_refine=True, num_classes=6, decoder_layers=2)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return live.save_page(tmp_path_factory.mktemp("page") / "page.html", model, image_size=SIZE, dtype="float32")


def damaged(path, part, folder):
    """A copy of the page with one letter of stored weights changed."""
    text = path.read_text(encoding="utf-8")
    start = text.index(f'data-stored="{part}">') + len(f'data-stored="{part}">')
    middle = start + (text.index("<", start) - start) // 2
    other = "B" if text[middle] == "A" else "A"
    copy = folder / "damaged.html"
    copy.write_text(text[:middle] + other + text[middle + 1 :], encoding="utf-8")
    return copy


def test_damaged_weights_are_told_and_the_scene_still_moves(page, saved, tmp_path):
    laboratory = Opened(page, damaged(saved, 0, tmp_path))
    said = laboratory.says("trouble", "damaged")
    assert said.startswith("weights: the file is damaged: ") and "differs from its checksum; export it again" in said
    with changes(page, DRAWN):
        laboratory.part("view").press("ArrowRight")
    assert laboratory.state("(state) => state.shapes[0].x > 0.32 * 96")


def test_a_damaged_model_leaves_the_others_alone(page, model, tmp_path):
    others = {"another <b>one</b> & more": live_model(**vars(model.config) | {"num_queries": 9}, seed=8)}
    path = live.save_page(tmp_path / "two.html", model, others=others, image_size=SIZE, dtype="float32")
    laboratory = Opened(page, damaged(path, 1, tmp_path))
    laboratory.part("model").select_option("another <b>one</b> & more")
    laboratory.says("trouble", "damaged")
    laboratory.part("model").select_option("model")
    laboratory.says("caption", "The model: AP")
    laboratory.agrees(model)


def test_a_detector_of_digits_is_given_digits(page, tmp_path):
    digits = live_model(feature_strides=(8, 16), num_levels=2, box_refine=True, num_classes=11, decoder_layers=2)
    laboratory = Opened(page, live.save_page(tmp_path / "digits.html", digits, image_size=SIZE, dtype="float32"))
    laboratory.state("(state) => state.shapes.length === 1 && state.shapes[0].kind === '7'")
    laboratory.agrees(digits)


def test_without_webassembly_javascript_does_it(page, saved, model):
    page.add_init_script("delete window.WebAssembly")
    laboratory = Opened(page, saved)
    laboratory.says("time", "in JavaScript alone, as WebAssembly does not run here")
    laboratory.agrees(model)


def test_with_webassembly_it_says_so(page, saved):
    Opened(page, saved).says("time", "in WebAssembly.")


def test_it_is_dark_where_the_reader_wants_it_and_never_wider_than_the_window(page, saved):
    Opened(page, saved)
    colour = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    for scheme, condition in (("light", "(rgb) => rgb[0] > 200"), ("dark", "(rgb) => rgb[0] < 50")):
        page.emulate_media(color_scheme=scheme)
        holds(page, colour, condition)
    for width in (390, 700, 1200):
        page.set_viewport_size({"width": width, "height": 900})
        holds(page, "() => document.documentElement.scrollWidth", "(seen, width) => seen <= width", width)


def test_what_cannot_be_a_page_is_not_written(model, tmp_path):
    def refused(words, *args, **options):
        with pytest.raises(ValueError, match=words):
            live.save_page(tmp_path / "none.html", *args, **options)
        assert not (tmp_path / "none.html").exists()

    refused(
        r"image_size \(15, 40\) is smaller than the largest stride of the model 'model', 16", model, image_size=(15, 40)
    )
    refused("this is a Linear", torch.nn.Linear(1, 1))
    refused("this is a Linear", model, epochs={3: torch.nn.Linear(1, 1)})
    for name in ("", "uncut", "model"):
        refused(f"a model cannot be called '{name}'", model, others={name: model})
    refused("a model cannot be called 'epoch-3'", model, epochs={3: model}, others={"epoch-3": model})
