"""DETR in the page: what its dense attention reads, what can be cut out of it, and it beside deformable attention."""

import pytest
import torch

from defdetr_ref import DetrBaseline, live
from tests.live.laboratory.opened import SIZE, Opened
from tests.live.models import live_model

FIELDS = dict(feature_strides=(8, 16), num_levels=2, num_classes=6, encoder_layers=2, num_heads=2)
LEVELS = [(8, 12), (4, 6)]
TOKENS = 8 * 12 + 4 * 6
POINTS = "() => window.laboratory.look.points"
HEAD, LEVEL = 1, 0
CASES = {
    "head 1 of encoder layer 2": (lambda model: model.encoder_layers[1].attention, "head"),
    "level 0 of decoder layer 1": (lambda model: model.decoder_layers[0].cross_attention, "level"),
}


@pytest.fixture(scope="module")
def dense():
    return live_model(model_class=DetrBaseline, **FIELDS)


@pytest.fixture(scope="module")
def saved(dense, tmp_path_factory):
    deformable = live_model(seed=12, **FIELDS, num_points=3)
    path = tmp_path_factory.mktemp("dense") / "page.html"
    return live.save_page(path, deformable, others={"DETR": dense}, image_size=SIZE, dtype="float32")


@pytest.fixture
def laboratory(page, saved) -> Opened:
    opened = Opened(page, saved)
    opened.part("model").select_option("DETR")
    opened.says("caption", "DETR: AP")
    return opened


def attention_without(module, how):
    """The module's forward with part of its weights set to zero, by its own matrices."""
    dim, heads = module.embed_dim, module.num_heads
    query_proj, key_proj, value_proj = zip(module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)

    def split(x, proj):
        return torch.nn.functional.linear(x, *proj).unflatten(-1, (heads, dim // heads)).transpose(1, 2)

    def forward(query, key, value, padding_mask=None):
        q, k, v = split(query, query_proj), split(key, key_proj), split(value, value_proj)
        weights = (q @ k.transpose(-1, -2) / (dim // heads) ** 0.5).softmax(-1)  # (N, M, Q, S)
        if how == "head":
            weights[:, HEAD] = 0
        else:
            weights[..., : LEVELS[LEVEL][0] * LEVELS[LEVEL][1]] = 0
        return module.out_proj((weights @ v).transpose(1, 2).flatten(2))

    return forward


def test_a_pixel_reads_every_token_and_nothing_outside(laboratory, dense):
    laboratory.agrees(dense)
    laboratory.page.get_by_label("pins a pixel").check()
    laboratory.says("status", "in encoder layer 1: 0 % of its weight reads outside the image")
    points = laboratory.page.wait_for_function(POINTS).json_value()
    pixel = laboratory.page.wait_for_function("() => window.laboratory.look.pixel").json_value()
    weights = laboratory.answer("encoder.layers.0.dense_attention_weights")
    assert weights.shape == (2, TOKENS, TOKENS) and len(points) == TOKENS
    found = torch.tensor([point["weight"] for point in points])
    torch.testing.assert_close(found, weights[:, int(pixel["token"])].sum(0))
    levels = [point["level"] for point in points]
    assert levels == [0] * (8 * 12) + [1] * (4 * 6)
    assert (points[13]["x"], points[13]["y"]) == pytest.approx((1.5 / 12, 1.5 / 8))  # row 1, column 1
    captions = laboratory.texts("[data-part=levels] figcaption", 2)
    share = 100 * found[: 8 * 12].sum() / found.sum()
    assert captions[0] == f"Level 0, 8 × 12: {share:.0f} % of the weight"


@pytest.mark.parametrize("label", CASES)
def test_what_is_cut_is_gone(laboratory, dense, label, monkeypatch):
    module_of, how = CASES[label]
    laboratory.page.get_by_role("button", name=label, exact=True).click()
    laboratory.state("(state) => state.cuts.length === 1")
    module = module_of(dense)
    monkeypatch.setattr(module, "forward", attention_without(module, how))
    laboratory.agrees(dense)
    monkeypatch.undo()
    laboratory.part("mend").click()
    laboratory.state("(state) => state.cuts.length === 0")
    laboratory.agrees(dense)


def test_a_query_has_no_reference_and_lies_beside_deformable_attention(laboratory):
    captions = laboratory.texts("[data-part=steps] figcaption", 3)
    assert [caption.split("\n")[0] for caption in captions] == ["Layer 1", "Layer 2", "Layer 3"]
    laboratory.part("beside").select_option("model")
    laboratory.says("beside-caption", "The model: AP")
    laboratory.part("model").select_option("model")
    captions = laboratory.texts("[data-part=steps] figcaption", 4)
    assert captions[0].startswith("Reference, learned")
