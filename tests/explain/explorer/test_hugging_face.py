"""The explorer shows models of transformers: random ones, built from small configs."""

import pytest
import torch

from defdetr_ref.explain.explorer.exploration import explore
from tests import hugging_face_models as models

Explorer = pytest.importorskip("defdetr_ref.explain.explorer.widget", exc_type=ImportError).Explorer
transformers = pytest.importorskip("transformers")
TOKENS, QUERIES = 12 * 20 + 6 * 10 + 3 * 5, 7
IMAGE = torch.randn(3, models.HEIGHT, models.WIDTH, generator=torch.Generator().manual_seed(0))
# name: (stacks, whether it predicts boxes, whether it proposes)
MODELS = {
    "deformable_detr": ({"encoder": 2, "decoder": 3}, True, True),
    "rt_detr": ({"decoder": 2}, True, True),
    "rt_detr_v2": ({"decoder": 2}, True, True),
    "grounding_dino": ({"encoder": 2, "decoder": 2}, True, True),
    "mask2former": ({"encoder": 2}, False, False),
    "oneformer": ({"encoder": 2}, False, False),
}


def build(name: str, **overrides):
    torch.manual_seed(0)
    model, inputs = getattr(models, name)(transformers, **overrides)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return model.eval(), inputs


@pytest.mark.parametrize("name", MODELS)
def test_it_is_explored(name):
    model, inputs = build(name)
    stacks, has_boxes, proposes = MODELS[name]
    explorer = Explorer(model, IMAGE, inputs=inputs)
    exploration = explorer.exploration
    assert {part: len(stack) for part, stack in exploration.stacks.items()} == stacks
    assert (exploration.objects is not None, exploration.proposals is not None) == (has_boxes, proposes)
    for layer in explorer.metadata["images"][0]["layers"]:
        explorer.part, explorer.layer = layer["part"], layer["layer"]
        assert explorer.points().weights.shape == (layer["heads"], layer["levels"], layer["points"])
        assert layer["queries"] == (TOKENS if layer["query_kind"] == "pixels" else QUERIES)


@pytest.mark.parametrize("name", ["deformable_detr", "rt_detr", "grounding_dino"])
def test_boxes_are_those_of_the_refining_layers(name):
    model, inputs = build(name)
    with torch.no_grad():
        outputs = model(pixel_values=IMAGE[None], **inputs)
    objects = explore(model, IMAGE, inputs=inputs).objects
    start = outputs.init_reference_points[0].reshape(QUERIES, 4)
    start = start.sigmoid() if name == "rt_detr" else start  # it returns logits under this name
    torch.testing.assert_close(objects.boxes[0], start, rtol=0, atol=1e-5)
    depth = len(objects.boxes) - 1
    for layer in range(depth - 1):
        torch.testing.assert_close(
            objects.boxes[1 + layer], outputs.intermediate_reference_points[0, layer], rtol=0, atol=1e-5
        )
    torch.testing.assert_close(objects.boxes[-1], outputs.pred_boxes[0])


def test_without_refinement_only_the_last_box_is_known():
    model, _ = build("deformable_detr", two_stage=False, with_box_refine=False)
    exploration = explore(model, IMAGE)
    boxes = exploration.objects.boxes
    assert boxes[0, :, 2:].isnan().all() and boxes[0, :, :2].isfinite().all()
    assert boxes[1:-1].isnan().all() and boxes[-1].isfinite().all()
    assert exploration.proposals is None


def test_proposals_rank_as_the_model_does():
    model, _ = build("deformable_detr")
    with torch.no_grad():
        scores = model(pixel_values=IMAGE[None]).enc_outputs_class[0, :, 0].sigmoid()
    torch.testing.assert_close(torch.cat([level.flatten() for level in explore(model, IMAGE).proposals]), scores)
    model, _ = build("rt_detr")
    with torch.no_grad():
        scores = model(pixel_values=IMAGE[None]).enc_outputs_class[0].max(-1).values.sigmoid()
    torch.testing.assert_close(torch.cat([level.flatten() for level in explore(model, IMAGE).proposals]), scores)


def test_places_are_in_the_image_without_its_padding():
    """A processor pads on the right and at the bottom; a pixel of the image stays at its place in the image."""
    model, _ = build("deformable_detr")
    padded = torch.zeros(1, 3, 128, 192)
    padded[0, :, : models.HEIGHT, : models.WIDTH] = IMAGE
    mask = torch.zeros(1, 128, 192, dtype=torch.long)
    mask[0, : models.HEIGHT, : models.WIDTH] = 1
    exploration = explore(model, IMAGE, inputs={"pixel_values": padded, "pixel_mask": mask})
    assert torch.allclose(exploration.extent, torch.tensor([models.WIDTH / 192, models.HEIGHT / 128]))
    assert exploration.picture.size == (models.WIDTH, models.HEIGHT)
    pixel = 24 * 11 + 19  # row 11, column 19: the last of the image
    points = exploration.points("encoder", 0, pixel)
    locations = exploration.stacks["encoder"][0].sampling_locations[0, pixel]  # in the padded input
    offsets = locations - points.reference[0] * exploration.extent
    torch.testing.assert_close(points.locations, points.reference[0] + offsets / exploration.extent)
    torch.testing.assert_close(points.reference[0], torch.tensor([19.5 / 20, 11.5 / 12]), rtol=0, atol=1e-4)


def test_their_own_names_are_used():
    model, _ = build("deformable_detr")
    model.config.id2label = {label: f"thing {label}" for label in range(6)}
    names = Explorer(model, IMAGE).metadata["images"][0]["objects"]["names"]
    assert all(name.startswith("thing ") for name in names)


def test_what_such_a_model_cannot_take_is_told():
    model, _ = build("grounding_dino")  # its text is missing
    with pytest.raises(
        ValueError, match=r"GroundingDinoForObjectDetection cannot take this image of 96×160.*: ."
    ) as raised:
        explore(model, IMAGE)
    assert "\n" not in str(raised.value)
