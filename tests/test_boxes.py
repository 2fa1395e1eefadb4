import math

import pytest
import torch

from defdetr_ref import boxes


def random_boxes(count, seed=0):
    rng = torch.Generator().manual_seed(seed)
    centre, size = torch.rand(count, 2, generator=rng), 0.05 + 0.4 * torch.rand(count, 2, generator=rng)
    return torch.cat([centre, size], dim=-1).double()


def test_formats_undo_each_other():
    cxcywh = random_boxes(5)
    torch.testing.assert_close(boxes.xyxy_to_cxcywh(boxes.cxcywh_to_xyxy(cxcywh)), cxcywh)
    corner = boxes.cxcywh_to_xyxy(torch.tensor([0.5, 0.4, 0.2, 0.6]))
    torch.testing.assert_close(corner, torch.tensor([0.4, 0.1, 0.6, 0.7]))


def test_iou_and_giou_by_counting_pixels():
    """Two boxes on a grid of whole pixels, counted one by one."""
    a, b = torch.tensor([[0.0, 0, 4, 3]]), torch.tensor([[2.0, 1, 6, 5], [7.0, 4, 8, 6]])
    assert boxes.box_area(b).tolist() == [16, 2]
    # first: 2×2 shared, 12 + 16 - 4 = 24 together, hull 6×5 = 30; second: nothing shared, 14 together, hull 8×6 = 48
    torch.testing.assert_close(boxes.box_iou(a, b), torch.tensor([[4 / 24, 0.0]]))
    torch.testing.assert_close(boxes.generalized_box_iou(a, b), torch.tensor([[4 / 24 - 6 / 30, -34 / 48]]))
    moved = torch.tensor([3.0, 5, 3, 5])
    torch.testing.assert_close(boxes.generalized_box_iou(a + moved, b + moved), boxes.generalized_box_iou(a, b))
    for overlap in (boxes.box_iou, boxes.generalized_box_iou):  # which of the two lies to the left makes no difference
        torch.testing.assert_close(overlap(b, a), overlap(a, b).T)
    assert boxes.box_area(b + moved).tolist() == [16, 2]


def test_giou_refuses_boxes_of_the_other_format():
    """One edge of one box is enough; a box without width is fine."""
    good, flat = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[0.2, 0.1, 0.2, 0.6]])
    for wrong in ([0.5, 0.5, 0.2, 0.9], [0.5, 0.5, 0.9, 0.2]):
        pair = torch.cat([good, torch.tensor([wrong])])
        for name, arguments in (("a", (pair, good)), ("b", (good, pair))):
            with pytest.raises(ValueError, match=f"`{name}` holds a box whose right or bottom edge lies before"):
                boxes.generalized_box_iou(*arguments)
    torch.testing.assert_close(boxes.generalized_box_iou(flat, good), torch.zeros(1, 1))


def test_inverse_sigmoid_stays_finite():
    """At 0 and 1 and beyond, 1e-5 is kept from both ends."""
    x = torch.tensor([-0.3, 0.0, 2e-6, 0.2, 1 - 2e-6, 1.0, 1.2], dtype=torch.float64)
    low, high = math.log(1e-5), -math.log(1e-5)
    expected = [low, low, math.log(1e-5 / (1 - 2e-6)), math.log(0.25), math.log((1 - 2e-6) / 1e-5), high, high]
    assert boxes.inverse_sigmoid(x).tolist() == pytest.approx(expected, rel=1e-12)
    assert boxes.inverse_sigmoid(x, eps=0.1)[[0, 6]].tolist() == pytest.approx([math.log(0.1), -math.log(0.1)])


def test_refining_looks_at_the_last_axis_alone():
    """Two images of two queries with boxes, and three of four with points."""
    start, delta = random_boxes(4).reshape(2, 2, 4), random_boxes(4, seed=1).reshape(2, 2, 4)
    expected = torch.sigmoid(delta + torch.log(start / (1 - start)))
    torch.testing.assert_close(boxes.refine_boxes(start, delta), expected)
    points, delta = random_boxes(12).reshape(3, 4, 4)[..., :2], random_boxes(12, seed=1).reshape(3, 4, 4)
    refined = boxes.refine_boxes(points, delta)
    torch.testing.assert_close(refined[..., 2:], delta[..., 2:].sigmoid())
    torch.testing.assert_close(refined[..., :2], torch.sigmoid(delta[..., :2] + torch.log(points / (1 - points))))


def test_refine_a_box_and_a_point():
    delta = torch.tensor([[0.3, -0.2, 0.5, -2.0]], dtype=torch.float64)
    box = random_boxes(1)
    expected = torch.sigmoid(delta + torch.log(box / (1 - box)))
    torch.testing.assert_close(boxes.refine_boxes(box, delta), expected)
    around_point = boxes.refine_boxes(box[:, :2], delta)
    torch.testing.assert_close(around_point[:, :2], expected[:, :2])
    torch.testing.assert_close(around_point[:, 2:], torch.sigmoid(delta[:, 2:]))


def test_no_correction_returns_the_box():
    box = random_boxes(6)
    torch.testing.assert_close(boxes.refine_boxes(box, torch.zeros_like(box)), box)
