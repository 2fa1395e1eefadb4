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


def test_giou_refuses_boxes_of_the_other_format():
    with pytest.raises(ValueError, match="`b` holds a box whose right or bottom edge lies before"):
        boxes.generalized_box_iou(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[0.5, 0.5, 0.2, 0.2]]))


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
