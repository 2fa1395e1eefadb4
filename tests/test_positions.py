"""Positions against slow loops, on a padded batch with H ≠ W."""

import math

import pytest
import torch

from defdetr_ref import positions

SHAPES = [(6, 10), (3, 5)]


def padded_masks():
    """Two images: 5 of 6 rows by 10 columns, 6 rows by 7 of 10 columns; the coarse level rounds up."""
    fine, coarse = torch.ones(2, 6, 10, dtype=torch.bool), torch.ones(2, 3, 5, dtype=torch.bool)
    fine[0, :5], fine[1, :, :7] = False, False
    coarse[0, :3], coarse[1, :, :4] = False, False
    return [fine, coarse]


def test_embedding_of_a_pixel_by_hand():
    mask = padded_masks()[0]
    embedded = positions.embed_positions(mask, dim=8)
    image, row, column = 1, 2, 4  # 6 rows and 7 columns are valid
    y, x = (row + 1 - 0.5) / (6 + 1e-6) * 2 * math.pi, (column + 1 - 0.5) / (7 + 1e-6) * 2 * math.pi
    waves = [f(angle / 10_000 ** (2 * i / 4)) for angle in (y, x) for i in (0, 1) for f in (math.sin, math.cos)]
    torch.testing.assert_close(embedded[image, row, column], torch.tensor(waves))


def test_angles_of_padded_pixels_are_finite(monkeypatch):
    """A row without image counts nothing, and 1e-6 keeps the division by it finite. y comes first, then x."""
    monkeypatch.setattr(positions, "sine_embedding", lambda angles, dim: angles[..., None].expand(*angles.shape, dim))
    angles = positions.embed_positions(padded_masks()[0], dim=6)[0]
    nothing = -0.5 / 1e-6 * 2 * math.pi
    assert angles[5, 4].tolist() == pytest.approx([4.5 / 5 * 2 * math.pi] * 3 + [nothing] * 3, rel=1e-6)
    fine = padded_masks()[0][1:].mT  # 10 rows, of which 7 are image, by 6 columns
    angles = positions.embed_positions(fine, dim=6)[0]
    assert angles[2, 4].tolist() == pytest.approx([2.5 / 7 * 2 * math.pi] * 3 + [4.5 / 6 * 2 * math.pi] * 3, rel=1e-6)
    columns = torch.zeros(1, 3, 4, dtype=torch.bool)
    columns[:, :, 3] = True
    assert positions.embed_positions(columns, dim=6)[0, 1, 3, 0].item() == pytest.approx(nothing, rel=1e-6)


def test_padding_does_not_change_an_image_s_embedding():
    padded = positions.embed_positions(padded_masks()[0], dim=12)[1, :, :7]
    alone = positions.embed_positions(torch.zeros(1, 6, 7, dtype=torch.bool), dim=12)[0]
    torch.testing.assert_close(padded, alone)


def test_box_embedding_order_is_x_y_w_h():
    box = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    embedded = positions.embed_boxes(box, dim=6).reshape(4, 6)
    for number, features in zip(box[0], embedded, strict=True):
        torch.testing.assert_close(features, positions.sine_embedding(number * 2 * math.pi, 6))


def test_valid_ratios():
    ratios = torch.stack([positions.valid_ratios(mask) for mask in padded_masks()], dim=1)
    torch.testing.assert_close(ratios[0], torch.tensor([[1.0, 5 / 6], [1.0, 1.0]]))
    torch.testing.assert_close(ratios[1], torch.tensor([[0.7, 1.0], [0.8, 1.0]]))
    assert ratios.dtype == torch.float32


@pytest.mark.parametrize("dtype, digits", [(torch.float32, 1e-6), (torch.float64, 1e-14), (torch.bfloat16, 0.02)])
def test_encoder_reference_points_against_loops(dtype, digits):
    """In the dtype of the ratios."""
    exact = torch.tensor([[[1, 5 / 6], [1, 1]], [[0.7, 1], [0.8, 1]]], dtype=torch.float64)  # (2, 2 levels, 2)
    points, ratios = positions.encoder_reference_points(SHAPES, exact.to(dtype)), exact
    assert points.dtype == dtype and points.shape == (2, 75, 2, 2)
    for n in range(2):
        token = 0
        for level, (height, width) in enumerate(SHAPES):
            for row in range(height):
                for column in range(width):
                    for other in range(len(SHAPES)):
                        x = (column + 0.5) / (width * ratios[n, level, 0]) * ratios[n, other, 0]
                        y = (row + 0.5) / (height * ratios[n, level, 1]) * ratios[n, other, 1]
                        assert points[n, token, other].tolist() == pytest.approx([x.item(), y.item()], rel=digits)
                    token += 1


def test_proposals_against_loops():
    masks = padded_masks()
    ratios = torch.stack([positions.valid_ratios(mask) for mask in masks], dim=1)
    every_mask = torch.cat([mask.flatten(1) for mask in masks], dim=1)
    boxes, usable = positions.proposal_boxes(positions.token_centres(SHAPES, ratios), every_mask, SHAPES)
    for n in range(2):
        token = 0
        for level, mask in enumerate(masks):
            valid_height, valid_width = (~mask[n, :, 0]).sum().item(), (~mask[n, 0]).sum().item()
            for row in range(mask.shape[1]):
                for column in range(mask.shape[2]):
                    side = 0.05 * 2**level
                    expected = [(column + 0.5) / valid_width, (row + 0.5) / valid_height, side, side]
                    assert boxes[n, token].tolist() == pytest.approx(expected)
                    inside = all(0.01 < number < 0.99 for number in expected)
                    assert usable[n, token].item() == (inside and not mask[n, row, column])
                    token += 1
    assert 0 < usable.sum() < usable.numel()


def test_proposals_exactly_on_the_margin_are_not_used():
    """50 columns: the first centre is at 0.01, the last at 0.99."""
    centres = positions.token_centres([(3, 50)], torch.ones(2, 1, 2))
    boxes, usable = positions.proposal_boxes(centres, torch.zeros(2, 150, dtype=torch.bool), [(3, 50)])
    assert usable.reshape(2, 3, 50)[:, :, [0, 1, 48, 49]].tolist() == [[[False, True, True, False]] * 3] * 2
    assert boxes[0, [0, 49], 0].tolist() == pytest.approx([0.01, 0.99])


def test_split_levels():
    tokens = torch.arange(2 * 75).reshape(2, 75)
    fine, coarse = positions.split_levels(tokens, SHAPES)
    assert fine.shape == (2, 60) and coarse.shape == (2, 15) and coarse[1, 0] == 75 + 60
