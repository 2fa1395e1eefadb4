"""The figures for the objects of one image, on a small detector with random weights."""

import numpy as np
import pytest
import torch

from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.explain import explain_objects, record
from defdetr_ref.matching import hungarian_match

HEIGHT, WIDTH = 64, 96
CATEGORIES = {number: f"category {number}" for number in range(7)}


@pytest.fixture(scope="module")
def model() -> DeformableDETR:
    torch.manual_seed(0)
    small = {"d_model": 32, "d_ffn": 48, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 9}
    model = DeformableDETR(DeformableDETRConfig.preset("tiny", num_classes=7, **small))
    for head in model.decoder.box_heads:  # they start at zero: no layer would move a box
        torch.nn.init.normal_(head.layers[-1].weight, std=0.3)
    return model


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def target() -> dict:
    """Areas 0.04, 0.01, 0.25, 0.16, 0.09: ranked 1, 0, 4, 3, 2."""
    sides = torch.tensor([0.2, 0.1, 0.5, 0.4, 0.3])
    centres = torch.tensor([[0.2, 0.2], [0.8, 0.3], [0.5, 0.5], [0.6, 0.7], [0.3, 0.7]])
    boxes = torch.cat([centres, sides[:, None].expand(5, 2)], dim=1)
    return {"boxes": boxes, "labels": torch.tensor([1, 2, 3, 4, 5]), "image_id": 1, "size": (HEIGHT, WIDTH)}


def drawn_boxes(ax, gid: str) -> np.ndarray:
    boxes = [patch for patch in ax.patches if patch.get_gid() == gid]
    return np.array([[b.get_x(), b.get_y(), b.get_x() + b.get_width(), b.get_y() + b.get_height()] for b in boxes])


def test_a_small_a_medium_and_a_large_object_are_followed(model, image, target):
    model.train()
    figures = explain_objects(model, image, target, CATEGORIES)
    assert model.training
    last_panels = figures["refinement"].axes[2::3]
    centre, side = target["boxes"][[1, 4, 2], :2], target["boxes"][[1, 4, 2], 2:]
    expected = torch.cat([centre - side / 2, centre + side / 2], dim=1) * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    drawn = np.concatenate([drawn_boxes(ax, "truth") for ax in last_panels])
    np.testing.assert_allclose(drawn, expected.numpy(), rtol=1e-5)


def test_the_boxes_are_those_of_the_matched_queries(model, image, target):
    figures = explain_objects(model, image, target, CATEGORIES, count=5)
    model.eval()
    with torch.no_grad(), record(model) as recording:
        outputs = model(image[None])
    ((queries, objects),) = hungarian_match(outputs["pred_logits"], outputs["pred_boxes"], [target])
    query_of = dict(zip(objects.tolist(), queries.tolist(), strict=True))
    ranked = [query_of[number] for number in (1, 0, 4, 3, 2)]
    boxes = outputs["pred_boxes"][0, ranked]
    expected = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], dim=1)
    expected = (expected * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])).numpy()
    last_panels = figures["refinement"].axes[2::3]
    np.testing.assert_allclose(np.concatenate([drawn_boxes(ax, "box") for ax in last_panels]), expected, rtol=1e-4)

    decoder_panels = [ax for ax in figures["attention"].axes if ax.get_title().startswith("decoder")]
    assert [ax.get_title() for ax in decoder_panels] == [f"decoder layer 2, query {query}" for query in ranked]
    np.testing.assert_allclose(np.concatenate([drawn_boxes(ax, "box") for ax in decoder_panels]), expected, rtol=1e-4)
    scores, labels = outputs["pred_logits"][0, ranked].sigmoid().max(-1)
    captions = [ax.texts[0].get_text() for ax in decoder_panels]
    assert captions == [
        f"category {label} {score:.2f}" for label, score in zip(labels.tolist(), scores.tolist(), strict=True)
    ]
    (cross,) = [line for line in decoder_panels[0].lines if line.get_gid() == "reference point"]
    reference = recording[-1].decoder[-1].reference_points[0, ranked[0], 0, :2].numpy()
    np.testing.assert_allclose(np.ravel(cross.get_xydata()), reference * [WIDTH, HEIGHT], rtol=1e-5)


def test_fewer_objects_than_asked_for(model, image, target):
    one = {**target, "boxes": target["boxes"][:1], "labels": target["labels"][:1]}
    figures = explain_objects(model, image, one, CATEGORIES)
    assert len(figures["refinement"].axes) == 3 and len(drawn_boxes(figures["refinement"].axes[-1], "box")) == 1


def test_an_image_without_objects_is_refused(model, image, target):
    empty = {**target, "boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    with pytest.raises(ValueError, match="holds no object to explain"):
        explain_objects(model, image, empty, CATEGORIES)
