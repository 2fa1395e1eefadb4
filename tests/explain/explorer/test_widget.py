"""The explorer's Python side: what it says of a model equals what `record` says, and what is not there is refused."""

import builtins
import importlib
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import defdetr_ref
from defdetr_ref import explain
from defdetr_ref.data.transforms import denormalize, normalize
from defdetr_ref.explain.explorer.exploration import as_tensor, explore
from defdetr_ref.explain.explorer.outputs import objects_of
from defdetr_ref.explain.explorer.page import first_view, module_source
from defdetr_ref.explain.explorer.state import describe
from tests.small_models import small_config, small_model

anywidget = pytest.importorskip("anywidget")
HEIGHT, WIDTH = 96, 160
ENCODER_LAYERS, DECODER_LAYERS, QUERIES, HEADS, LEVELS, POINTS = 1, 3, 7, 4, 3, 3
SHAPES = [[12, 20], [6, 10], [3, 5]]
TOKENS = sum(height * width for height, width in SHAPES)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def model() -> nn.Module:
    return small_model("two")


@pytest.fixture
def explorer(model, image):
    return explain.Explorer(model, image, categories={0: "circle", 1: "cross", 2: "star", 3: "ring", 4: "disc"})


def recorded(model, image):
    with torch.no_grad(), explain.record(model) as recording:
        model(image[None])
    return recording[-1]


def table_row(explorer, part: str, layer: int, query: int) -> np.ndarray:
    """Read the table as the page does."""
    metadata = next(
        each for each in explorer.metadata["images"][0]["layers"] if (each["part"], each["layer"]) == (part, layer)
    )
    length = 4 + 3 * metadata["heads"] * metadata["levels"] * metadata["points"]
    place = query if metadata["inTable"] is None else metadata["inTable"].index(query)
    start = metadata["offset"] + place * 2 * length
    return np.frombuffer(explorer.table[start : start + 2 * length], "<i2")


def test_points_are_the_recorded_ones(explorer, model, image):
    forward_pass = recorded(model, image)
    for part, stack in (("encoder", forward_pass.encoder), ("decoder", forward_pass.decoder)):
        for layer, one in enumerate(stack):
            points = explorer.points(5, part=part, layer=layer)
            assert torch.equal(points.locations, one.sampling_locations[0, 5])
            assert torch.equal(points.weights, one.attention_weights[0, 5])
            assert torch.equal(points.reference, one.reference_points[0, 5])


def test_the_table_holds_the_same_points_to_its_precision(explorer):
    for part, layer, query in (("encoder", 0, TOKENS - 1), ("decoder", 0, 0), ("decoder", 2, QUERIES - 1)):
        row, points = table_row(explorer, part, layer, query), explorer.points(query, part=part, layer=layer)
        samples = torch.from_numpy(row[4:].astype(float)).view(HEADS, LEVELS, POINTS, 3)
        torch.testing.assert_close(samples[..., :2] / 8192, points.locations.double(), rtol=0, atol=1 / 8192)
        torch.testing.assert_close(samples[..., 2] / 32767, points.weights.double(), rtol=0, atol=1 / 32767)
        reference = points.reference[0].double()
        torch.testing.assert_close(torch.from_numpy(row[: len(reference)] / 8192), reference, rtol=0, atol=1 / 8192)
        assert (row[len(reference) : 4] == -32768).all()


def test_the_page_is_told_what_the_model_is_made_of(explorer):
    (metadata,) = explorer.metadata["images"]
    assert (metadata["height"], metadata["width"], metadata["parts"]) == (HEIGHT, WIDTH, ["encoder", "decoder"])
    assert [(each["part"], each["layer"], each["query_kind"], each["queries"]) for each in metadata["layers"]] == [
        ("encoder", 0, "pixels", TOKENS), *(("decoder", layer, "objects", QUERIES) for layer in range(DECODER_LAYERS)),
    ]  # fmt: skip
    assert all(
        (each["heads"], each["levels"], each["points"]) == (HEADS, LEVELS, POINTS) for each in metadata["layers"]
    )
    assert all(each["shapes"] == SHAPES for each in metadata["layers"])
    json.dumps(explorer.metadata, allow_nan=False)


def test_boxes_go_from_the_reference_to_the_prediction(explorer, model, image):
    forward_pass = recorded(model, image)
    boxes = explorer.exploration.objects.boxes
    assert boxes.shape == (1 + DECODER_LAYERS, QUERIES, 4)
    assert torch.equal(boxes[0], forward_pass.decoder[0].reference_points[0, :, 0])
    assert all(
        torch.equal(mine, theirs[0]) for mine, theirs in zip(boxes[1:], forward_pass.boxes_by_layer(), strict=True)
    )
    scores, labels = forward_pass.outputs["pred_logits"][0].sigmoid().max(-1)
    assert torch.equal(explorer.exploration.objects.scores, scores)
    names = {0: "circle", 1: "cross", 2: "star", 3: "ring", 4: "disc"}
    objects = explorer.metadata["images"][0]["objects"]
    assert objects["names"] == [names[label] for label in labels.tolist()]
    assert objects["best"] == scores.argsort(descending=True).tolist()


def test_boxes_that_the_outputs_leave_out_are_the_next_references(model, image):
    forward_pass = recorded(model, image)
    complete = objects_of(model, forward_pass, torch.ones(2)).boxes
    forward_pass.outputs.pop("aux_outputs")
    torch.testing.assert_close(objects_of(model, forward_pass, torch.ones(2)).boxes, complete)
    # Without refinement all layers have one reference: it is no layer's box.
    first = forward_pass.decoder[0].reference_points
    forward_pass.records = [replace(one, reference_points=first) for one in forward_pass.decoder]
    boxes = objects_of(model, forward_pass, torch.ones(2)).boxes
    assert boxes[1:-1].isnan().all() and torch.equal(boxes[-1], complete[-1])


def test_without_refinement_a_reference_point_has_no_box(image):
    explorer = explain.Explorer(small_model("multi"), image)
    objects = explorer.metadata["images"][0]["objects"]
    assert all(box[2:] == [None, None] and box[0] is not None for box in objects["boxes"][0])
    assert explorer.exploration.proposals is None and explorer.metadata["images"][0]["proposals"] is None
    assert objects["names"][0].startswith("class ")


def test_proposals_are_the_scores_that_rank_the_pixels(model):
    image = torch.randn(3, 64, 416)  # so wide that the pixels at the left and right may not propose
    explorer = explain.Explorer(model, image)
    proposals = recorded(model, image).outputs["enc_outputs"]
    usable = ~(proposals["pred_boxes"][0] == 1).all(-1)
    expected = proposals["pred_logits"][0, :, 0].sigmoid() * usable
    assert 0 < usable.sum() < len(usable)
    torch.testing.assert_close(torch.cat([level.flatten() for level in explorer.exploration.proposals]), expected)
    assert [level.shape for level in explorer.exploration.proposals] == [(8, 52), (4, 26), (2, 13)]
    heat = np.frombuffer(explorer.heat, np.uint8)
    assert len(heat) == len(expected) and heat.max() == 255 and heat.argmax() == int(expected.argmax())


def test_a_query_that_python_is_asked_for_is_answered(explorer):
    explorer.part, explorer.layer, explorer.query = "encoder", 0, 77
    header, row = np.frombuffer(explorer.query_points[:12], "<i4"), np.frombuffer(explorer.query_points[12:], "<i2")
    assert header.tolist() == [0, 0, 77]
    assert np.array_equal(row, table_row(explorer, "encoder", 0, 77))
    explorer.part, explorer.layer = "decoder", 1
    assert np.frombuffer(explorer.query_points[:12], "<i4").tolist()[:2] == [0, 2]


def test_a_large_model_sends_a_part_of_its_queries(model, image, monkeypatch):
    monkeypatch.setattr("defdetr_ref.explain.explorer.table.TABLE_BYTES", 36_000)  # 40 rows for each of 4 layers
    explorer = explain.Explorer(model, image)
    encoder, *decoder = explorer.metadata["images"][0]["layers"]
    assert len(explorer.table) <= 36_000 and all(layer["inTable"] is None for layer in decoder)
    levels = [
        sum(low <= token < high for token in encoder["inTable"]) for low, high in ((0, 240), (240, 300), (300, 315))
    ]
    assert levels == [4, 4, 4]  # a grid of 4×4 would be 16 + 16 + 12 = 44
    assert np.array_equal(table_row(explorer, "encoder", 0, encoder["inTable"][3])[:2], [
        round(8192 * value)
        for value in explorer.points(encoder["inTable"][3], part="encoder", layer=0).reference[0].tolist()
    ])  # fmt: skip


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("layer", 3, "layer: 3 is out of range, the decoder has 3 layers (0 to 2)"),
        ("layer", -1, "layer: -1 is out of range"),
        ("part", "backbone", "part: 'backbone' does not exist; this model has encoder and decoder"),
        ("query", 7, "query: 7 is out of range, decoder layer 2 has 7 queries (0 to 6)"),
        ("heads", [0, 4], "heads: 4 is out of range, there are 4 heads (0 to 3)"),
        ("levels", [3], "levels: 3 is out of range, there are 3 levels (0 to 2)"),
        ("image_index", 1, "image_index: 1 is out of range, there are 1 images (0 to 0)"),
    ],
)
def test_what_is_not_there_is_told_and_changes_nothing(explorer, name, value, sentence):
    before = getattr(explorer, name)
    with pytest.raises(ValueError, match=re.escape(sentence)) as raised:
        setattr(explorer, name, value)
    assert explorer.status == str(raised.value)
    assert getattr(explorer, name) == before
    explorer.set_state({name: value})  # the same from the page, where nobody would see an exception
    assert explorer.status.startswith(sentence) and getattr(explorer, name) == before
    explorer.set_state({"query": 4})
    assert explorer.query == 4 and explorer.status == ""


def test_the_page_may_change_part_layer_and_query_at_once(explorer):
    assert (explorer.part, explorer.layer) == ("decoder", DECODER_LAYERS - 1)
    explorer.set_state({"part": "encoder", "layer": 0, "query": TOKENS - 1})
    assert (explorer.part, explorer.layer, explorer.query, explorer.status) == ("encoder", 0, TOKENS - 1, "")
    explorer.set_state({"part": "decoder", "layer": 1, "query": 3})
    assert (explorer.part, explorer.layer, explorer.query, explorer.status) == ("decoder", 1, 3, "")


def test_a_part_with_fewer_layers_shows_its_last(explorer):
    explorer.part = "encoder"
    assert explorer.layer == ENCODER_LAYERS - 1
    explorer.part = "decoder"
    assert explorer.layer == 0 and 0 <= explorer.query < QUERIES


def test_another_image_is_shown_in_the_same_widget(explorer, model, image):
    explorer.part = "encoder"
    explorer.show(image[:, :, :128])
    assert explorer.metadata["images"][0]["width"] == 128 and explorer.part == "decoder"
    with pytest.raises(ValueError, match="cannot take this image of 20×30"):
        explorer.show(torch.zeros(3, 20, 30))
    assert "smaller than the model's largest stride" in explorer.status
    assert explorer.metadata["images"][0]["width"] == 128
    explorer.query = 1
    assert torch.equal(
        explorer.points().locations, recorded(model, image[:, :, :128]).decoder[-1].sampling_locations[0, 1]
    )


def test_several_images(model, image):
    explorer = explain.Explorer(model, [image, image[:, :64]])
    first = explorer.points()
    explorer.image_index = 1
    assert explorer.metadata["images"][1]["height"] == 64
    assert not torch.equal(explorer.points().locations, first.locations)
    explorer.image_index, explorer.part, explorer.query = 0, "encoder", TOKENS - 1
    explorer.image_index = 1  # has fewer pixels, 8×20 on the finest level: the one at the same place
    same_place = 6 * 20 + 18
    assert explorer.query == same_place
    assert np.frombuffer(explorer.query_points[:12], "<i4").tolist() == [1, 0, same_place]


def test_another_image_and_its_answer_arrive_together(explorer, image, monkeypatch):
    sent = []
    monkeypatch.setattr(
        explorer, "send_state", lambda key=None: sent.append({key} if isinstance(key, str) else set(key))
    )
    explorer.show(image[:, :64])
    (first,) = [names for names in sent if "metadata" in names]
    assert "query_points" in first


@pytest.mark.parametrize(
    "bad, sentence",
    [
        (torch.zeros(1, 3, 96, 96), r"must be \(3, height, width\), got \(1, 3, 96, 96\)"),
        (torch.zeros(4, 96, 96), r"must be \(3, height, width\), got \(4, 96, 96\)"),
        (torch.zeros(3, 96, 96, dtype=torch.uint8), "must hold floats, got torch.uint8"),
        (torch.full((3, 96, 96), torch.nan), "not finite"),
        (torch.zeros(3, 16, 96), "DeformableDETR cannot take this image of 16×96.*smaller than"),
        (np.zeros((96, 96), np.uint8), r"array must be \(height, width, 3\) of uint8, got \(96, 96\)"),
        ("cat.jpg", "got str; give a PIL image"),
        ([], "list of images is empty"),
    ],
)
def test_an_image_that_the_model_cannot_take_is_told_in_one_sentence(model, bad, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        explain.Explorer(model, bad)
    assert "\n" not in str(raised.value)


def test_a_model_without_deformable_attention_is_refused(image):
    baseline = defdetr_ref.DetrBaseline(small_config("single"))
    with pytest.raises(ValueError, match="DetrBaseline holds no deformable attention"):
        explain.Explorer(baseline, image)


def test_a_tensor_is_normalised_unless_said_otherwise(image):
    assert torch.equal(as_tensor(image), image)
    colours = denormalize(image)
    picture = Image.fromarray((colours * 255).round().byte().permute(1, 2, 0).numpy())
    torch.testing.assert_close(as_tensor(picture), normalize(picture))
    torch.testing.assert_close(as_tensor(np.asarray(picture)), normalize(picture))
    torch.testing.assert_close(
        as_tensor(torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255, normalized=False), normalize(picture)
    )
    with pytest.raises(ValueError, match=r"normalized=False its colours must be in \[0, 1\]"):
        as_tensor(image, normalized=False)


def test_a_large_photo_is_made_smaller():
    assert as_tensor(Image.new("L", (2666, 1000))).shape == (3, 500, 1333)
    assert as_tensor(Image.new("RGB", (70, 40))).shape == (3, 40, 70)


def test_the_model_is_left_as_it_was(model, image):
    model.train()
    explain.Explorer(model, image)
    assert model.training and not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_that_gives_nan_is_told(model, image):
    nn.init.constant_(model.decoder.layers[1].cross_attention.sampling_offsets.bias, torch.nan)
    with pytest.raises(ValueError, match="decoder.layers.1.cross_attention looked at places that are not numbers"):
        explain.Explorer(model, image)


def test_the_saved_page_is_one_file_and_shows_what_was_shown(explorer, tmp_path):
    explorer.part, explorer.query = "encoder", 11
    page = explorer.save(tmp_path / "page.html", "A </script> title").read_text(encoding="utf-8")
    assert "://" not in page.replace("http://www.w3.org", "") and "export default" not in page and "src=" not in page
    start = page.index('id="explorer-state">') + len('id="explorer-state">')
    state = json.loads(page[start : page.index("</script>", start)])
    assert (state["part"], state["layer"], state["query"]) == ("encoder", 0, 11)
    assert page.count("</script>") == 3 and "A &lt;/script&gt; title" in page


def test_a_page_is_saved_without_anywidget(model, image, tmp_path, monkeypatch):
    real_import = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "anywidget":
            raise ModuleNotFoundError("No module named 'anywidget'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.delitem(sys.modules, "defdetr_ref.explain.explorer.widget", raising=False)
    assert explain.save_explorer(tmp_path / "page.html", model, image).stat().st_size > 10_000
    with pytest.raises(
        ImportError, match=r"Explorer needs the package anywidget.*pip install 'defdetr-ref\[notebooks\]'"
    ):
        importlib.import_module("defdetr_ref.explain.explorer.widget")


def test_the_module_can_be_loaded_as_it_is():
    source = module_source()
    assert source.rstrip().endswith("export default { render };") and "import " not in source.replace("important", "")


def test_first_comes_the_best_object_or_the_middle_pixel(model, image):
    exploration = explore(model, image)
    view = first_view(describe([exploration], {}))
    assert (view["part"], view["layer"], view["query"]) == ("decoder", 2, int(exploration.objects.scores.argmax()))
    del exploration.stacks["decoder"]
    view = first_view(describe([exploration], {}))
    assert (view["part"], view["layer"], view["query"]) == ("encoder", 0, 6 * 20 + 10)


def test_true_boxes_go_along_with_their_names(model, image):
    targets = [{"labels": torch.tensor([4, 9]), "boxes": torch.tensor([[0.5, 0.25, 0.1, 0.2], [0.1, 0.2, 0.3, 0.4]])}]
    explorer = explain.Explorer(model, image, categories={4: "ring"}, targets=targets)
    truth = explorer.metadata["images"][0]["truth"]
    assert [box["name"] for box in truth] == ["ring", "class 9"]
    assert [truth[0][side] for side in ("x", "y", "width", "height")] == pytest.approx([0.5, 0.25, 0.1, 0.2])
    explorer.show(image)
    assert explorer.metadata["images"][0]["truth"] is None


@pytest.mark.parametrize(
    "targets, words",
    [
        ([], "targets: there are 0, for 1 images; give one for each"),
        (
            [{"labels": torch.tensor([1]), "boxes": torch.rand(2, 4)}],
            r"boxes must be \(1, 4\) for 1 labels, got \(2, 4\)",
        ),
    ],
)
def test_targets_that_do_not_fit_are_refused(model, image, targets, words):
    explorer = explain.Explorer(model, image)
    before = explorer.metadata
    with pytest.raises(ValueError, match=words):
        explorer.show(image, targets)
    assert explorer.metadata == before
    with pytest.raises(ValueError, match=words):
        explain.Explorer(model, image, targets=targets)
