"""Measurements on made-up records, whose answers are known, and on a small model."""

import pytest
import torch

from defdetr_ref.explain import record
from defdetr_ref.explain.recording import AttentionRecord
from defdetr_ref.questions import measurements
from defdetr_ref.questions.measurements import (
    angles,
    boxes_by_step,
    claims_for_each_object,
    head_offsets,
    leave_one_point_out,
    level_shares,
    level_shares_by_size,
    point_offsets,
    size_of,
    turned,
)
from tests.small_models import small_model

SHAPES = ((6, 10), (5, 7))
OFFSETS = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]])  # of three heads, in pixels of each level


def made_up() -> AttentionRecord:
    """2 images, 4 queries in the middle, 3 heads, 2 levels, 2 points: one at the head's offset, one far outside."""
    references = torch.full((2, 4, 2, 2), 0.5)
    sizes = torch.tensor([[width, height] for height, width in SHAPES])
    near = 0.5 + OFFSETS[:, None] / sizes  # (head, level, 2)
    locations = torch.stack([near, torch.full_like(near, 3.0)], dim=2).expand(2, 4, -1, -1, -1, -1)
    weights = torch.tensor([[0.4, 0.3], [0.1, 0.2]]).expand(2, 4, 3, 2, 2)  # (level, point)
    return AttentionRecord("encoder.layers.0.attention", "encoder", 0, references, locations, weights, SHAPES)


def test_offsets_are_in_pixels_of_their_level_and_what_is_outside_does_not_count():
    found = point_offsets(made_up())
    torch.testing.assert_close(found[1, 3, :, :, 0], OFFSETS[:, None].expand(-1, 2, -1))
    torch.testing.assert_close(head_offsets(made_up()), OFFSETS[:, None].expand(-1, 2, -1))


def test_angles_go_clockwise_from_the_right_and_turns_the_short_way():
    torch.testing.assert_close(angles(OFFSETS), torch.tensor([0.0, 90.0, 225.0]))
    before, after = torch.tensor([350.0, 10.0, 90.0, 0.0]), torch.tensor([10.0, 350.0, 60.0, 180.0])
    torch.testing.assert_close(turned(before, after), torch.tensor([20.0, 20.0, 30.0, 180.0]))


def test_shares_of_levels_are_of_what_is_read():
    shares = level_shares(made_up(), 1, torch.tensor([2, 0]))
    torch.testing.assert_close(shares, torch.tensor([[0.8, 0.2], [0.8, 0.2]]))


def test_sizes_have_the_limits_of_ap_by_size():
    sizes = [
        size_of(torch.tensor([0.5, 0.5, width, height])) for width, height in ((0.1, 0.12), (0.13, 0.1), (0.2, 0.4))
    ]
    assert sizes == ["small", "medium", "large"]


def test_objects_are_sorted_by_size_and_none_is_lost():
    model = small_model("two")
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    targets = [
        {
            "labels": torch.tensor([1, 2, 4]),
            "boxes": torch.tensor([[0.5, 0.5, 0.1, 0.1], [0.4, 0.4, 0.2, 0.3]] + [[0.5] * 4]),
        },
        {"labels": torch.tensor([3]), "boxes": torch.tensor([[0.3, 0.6, 0.05, 0.1]])},
    ]
    shares = level_shares_by_size(model, images, targets)
    assert {size: rows.shape for size, rows in shares.items()} == {"small": (2, 3), "medium": (1, 3), "large": (1, 3)}
    torch.testing.assert_close(shares["small"].sum(1), torch.ones(2))


@pytest.mark.parametrize(("variant", "numbers"), [("two", 4), ("refine", 2)])
def test_the_boxes_of_each_step_are_those_of_the_query_that_answers_in_the_end(variant, numbers):
    model = small_model(variant)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), record(model) as recording:
        outputs = model(images)
    answering = [[4, 1], [3]]  # of the two images; their last boxes, a little moved, are called true
    targets = [
        {
            "boxes": outputs["pred_boxes"][image, queries] * 0.999,
            "labels": outputs["pred_logits"][image, queries].argmax(-1),
        }
        for image, queries in enumerate(answering)
    ]
    steps, truth = boxes_by_step(model, images, targets)
    starts = recording[-1].decoder[0].reference_points[:, :, 0]
    expected = [starts, *(layer["pred_boxes"] for layer in outputs["aux_outputs"]), outputs["pred_boxes"]]
    assert len(steps) == len(expected) and starts.shape[-1] == numbers
    order = [(0, 1), (0, 4), (1, 3)]  # by image, then by query
    torch.testing.assert_close(
        truth, torch.stack([targets[0]["boxes"][1], *targets[0]["boxes"][:1], *targets[1]["boxes"]])
    )
    for found, all_boxes in zip(steps, expected, strict=True):
        torch.testing.assert_close(found, torch.stack([all_boxes[image, query] for image, query in order]))


@pytest.mark.parametrize("layer", [0, -1])
def test_without_a_point_is_the_model_without_it(layer):
    model = small_model("two")
    image, query, left_out = torch.randn(3, 64, 96, generator=torch.Generator().manual_seed(0)), 5, (2, 1, 2)
    found = leave_one_point_out(model, image, query, layer)
    assert found.weight.shape == found.iou.shape == found.score.shape == (4, 3, 3)

    def without(locations, weights):
        weights = weights.clone()
        weights[:, :, *left_out] = 0
        return locations, weights

    with torch.no_grad(), record(model) as recording:
        before = model(image[None])
    with torch.no_grad(), measurements.sampling_changed(model, "decoder", without, layer=layer):
        after = model(image[None])
    torch.testing.assert_close(
        found.weight, recording[-1].decoder[layer].attention_weights[0, query], rtol=1e-4, atol=1e-5
    )
    before, after = (outputs["pred_logits"][0, query].sigmoid() for outputs in (before, after))
    label = before.argmax()
    assert found.score[left_out].item() == pytest.approx((after[label] - before[label]).item(), abs=1e-5)


class Answers(torch.nn.Module):
    """Of every image: two boxes on its object, one of them weak; a strong one of another class; one beside it."""

    def forward(self, images):
        boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.38, 0.4], [0.5, 0.5, 0.4, 0.4], [0.1, 0.1, 0.1, 0.1]])
        scores = torch.tensor([[0.9, 0.01], [self.second, 0.01], [0.01, 0.9], [0.9, 0.01]])
        batch = len(images)
        return {"pred_logits": scores.logit().expand(batch, -1, -1), "pred_boxes": boxes.expand(batch, -1, -1)}


@pytest.mark.parametrize(("second", "claims"), [(0.5, 2.0), (0.4, 1.0)])
def test_claims_are_boxes_on_an_object_with_half_the_best_score(second, claims):
    model = Answers()
    model.second = second
    target = {"boxes": torch.tensor([[0.5, 0.5, 0.4, 0.4]]), "labels": torch.tensor([0]), "size": (30, 50)}
    assert claims_for_each_object(model, torch.zeros(2, 3, 30, 50), [target] * 2) == claims
