"""Deformable attention against Eq. 3 written as loops, and the two units in which offsets are counted."""

import math

import pytest
import torch
from torch import nn

from defdetr_ref import DeformableAttention, MultiScaleDeformableAttention
from defdetr_ref.attention import sampling_locations, star_offsets

BATCH, QUERIES, HEADS, POINTS, CHANNELS = 2, 5, 3, 4, 2
SHAPES = [(3, 4), (2, 5)]  # H ≠ W
TOKENS, D_MODEL = 22, HEADS * CHANNELS


def make_module() -> MultiScaleDeformableAttention:
    """With weights that are all different, in float64."""
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(D_MODEL, HEADS, len(SHAPES), POINTS).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def make_inputs(coordinates=2):
    """Query, reference and features; a reference differs from level to level."""
    rng = torch.Generator().manual_seed(1)
    draw = lambda *size: torch.rand(*size, generator=rng, dtype=torch.float64)  # noqa: E731
    reference = 0.2 + 0.5 * draw(BATCH, QUERIES, len(SHAPES), coordinates)
    return 2 * draw(BATCH, QUERIES, D_MODEL) - 1, reference, 2 * draw(BATCH, TOKENS, D_MODEL) - 1


def bilinear(level, x: float, y: float):
    """The value of a map (H, W, D) at a location in [0, 1], zero outside: each pixel is a tent."""
    height, width = level.shape[:2]
    total = torch.zeros(level.shape[2], dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            share = max(0, 1 - abs(x * width - 0.5 - column)) * max(0, 1 - abs(y * height - 0.5 - row))
            total += share * level[row, column]
    return total


def slow_attention(module, query, reference, features, padding_mask=None):
    """Eq. 3, one sample at a time; the module is asked for nothing but its matrices."""
    linear = lambda layer, x: layer.weight @ x + layer.bias  # noqa: E731
    output = torch.zeros(BATCH, QUERIES, D_MODEL, dtype=torch.float64)
    for n in range(BATCH):
        value = torch.stack([linear(module.value_proj, token) for token in features[n]])
        if padding_mask is not None:
            value[padding_mask[n]] = 0
        for q in range(QUERIES):
            offsets = linear(module.sampling_offsets, query[n, q]).reshape(HEADS, len(SHAPES), POINTS, 2)
            logits = linear(module.attention_weights, query[n, q]).reshape(HEADS, len(SHAPES) * POINTS)
            sums = torch.zeros(HEADS, CHANNELS, dtype=torch.float64)
            for m in range(HEADS):
                raised = [math.exp(logit) for logit in logits[m].tolist()]
                start = 0
                for level, (height, width) in enumerate(SHAPES):
                    pixels = value[start : start + height * width, m * CHANNELS : (m + 1) * CHANNELS]
                    start += height * width
                    for k in range(POINTS):
                        place = reference[n, q, level].tolist()
                        step = offsets[m, level, k].tolist()
                        if len(place) == 2:
                            x, y = place[0] + step[0] / width, place[1] + step[1] / height
                        else:
                            x, y = (place[axis] + step[axis] / POINTS * place[axis + 2] / 2 for axis in (0, 1))
                        weight = raised[level * POINTS + k] / sum(raised)
                        sums[m] += weight * bilinear(pixels.reshape(height, width, CHANNELS), x, y)
            output[n, q] = linear(module.output_proj, sums.flatten())
    return output


@pytest.mark.parametrize("coordinates", [2, 4], ids=["points", "boxes"])
@pytest.mark.parametrize("padded", [False, True])
def test_eq_3_against_loops(coordinates, padded):
    module, inputs = make_module(), make_inputs(coordinates)
    mask = torch.zeros(BATCH, TOKENS, dtype=torch.bool)
    mask[0, [3, 7, 11]] = mask[1, 16:] = True
    with torch.no_grad():
        expected = slow_attention(module, *inputs, *([mask] if padded else []))
        actual = module(*inputs, SHAPES, *([mask] if padded else []))
    torch.testing.assert_close(actual, expected)


def test_one_map_is_one_level():
    """Eq. 2, on a map of rows and columns, with a mask of rows and columns."""
    torch.manual_seed(0)
    module = DeformableAttention(D_MODEL, HEADS, POINTS).double()
    assert (module.num_heads, module.num_levels, module.num_points) == (HEADS, 1, POINTS)
    nn.init.normal_(module.sampling_offsets.weight)
    query, reference, _ = make_inputs()
    feature_map, mask = torch.randn(BATCH, D_MODEL, 3, 7).double(), torch.zeros(BATCH, 3, 7, dtype=torch.bool)
    mask[0, 2], mask[1, :, 4:] = True, True
    tokens = torch.stack([feature_map[:, :, row, column] for row in range(3) for column in range(7)], dim=1)
    hidden = torch.stack([mask[:, row, column] for row in range(3) for column in range(7)], dim=1)
    for masks in ((None, None), (mask, hidden)):
        actual = module(query, reference[:, :, 0], feature_map, masks[0])
        expected = MultiScaleDeformableAttention.forward(
            module, query, reference[:, :, :1], tokens, [(3, 7)], masks[1]
        )  # fmt: skip
        torch.testing.assert_close(actual, expected)


def test_offsets_are_counted_in_pixels_or_in_parts_of_half_a_box():
    offsets = torch.tensor([2.0, -1.0]).expand(1, 1, 1, 2, 4, 2)
    points = sampling_locations(torch.tensor([[[[0.5, 0.4], [0.3, 0.2]]]]), offsets, [(5, 8), (2, 4)])
    torch.testing.assert_close(
        points[0, 0, 0, :, 3], torch.tensor([[0.5 + 2 / 8, 0.4 - 1 / 5], [0.3 + 2 / 4, 0.2 - 1 / 2]])
    )
    boxes = torch.tensor([[[[0.5, 0.4, 0.8, 0.2], [0.3, 0.2, 0.4, 0.8]]]])
    inside = sampling_locations(boxes, offsets, [(5, 8), (2, 4)])
    torch.testing.assert_close(inside[0, 0, 0, :, 1], torch.tensor([[0.5 + 0.5 * 0.4, 0.4 - 0.25 * 0.1],
                                                                    [0.3 + 0.5 * 0.2, 0.2 - 0.25 * 0.4]]))  # fmt: skip


def test_before_training_every_query_sees_the_star_with_equal_weights():
    module = MultiScaleDeformableAttention(D_MODEL, HEADS, len(SHAPES), POINTS)
    query = torch.randn(BATCH, QUERIES, D_MODEL)
    star = star_offsets(HEADS, len(SHAPES), POINTS)
    torch.testing.assert_close(module.offsets_of(query), star.expand(BATCH, QUERIES, *star.shape))
    shape = (BATCH, QUERIES, HEADS, len(SHAPES), POINTS)
    torch.testing.assert_close(module.weights_of(query), torch.full(shape, 1 / 8))
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in module.parameters())


def test_default_sizes_are_the_paper_s():
    module = MultiScaleDeformableAttention()
    assert module.value_proj.weight.shape == (256, 256)
    assert (module.num_heads, module.num_levels, module.num_points) == (8, 4, 4)
    assert module.sampling_offsets.out_features == 8 * 4 * 4 * 2 and module.attention_weights.out_features == 8 * 4 * 4
    single = DeformableAttention()
    assert (single.num_heads, single.num_points, single.output_proj.in_features) == (8, 4, 256)


def test_the_backend_can_be_chosen():
    module = make_module()
    assert module.sampling.backend == "auto"
    module.sampling.backend = "none such"
    with pytest.raises(ValueError, match="unknown backend 'none such'"):
        module(*make_inputs(), SHAPES)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="d_model = 10 cannot be split into num_heads = 4 equal heads"):
        MultiScaleDeformableAttention(10, 4)
