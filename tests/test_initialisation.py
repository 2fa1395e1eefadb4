"""Every weight before training, piece by piece, as in the published code (and where the paper differs, as it says)."""

import math

import pytest
import torch
from torch import nn

from defdetr_ref import DeformableDETR, DeformableDETRConfig, MultiScaleDeformableAttention
from defdetr_ref.attention import star_offsets

LAYERS = dict(encoder_layers=2, decoder_layers=3, num_queries=11)


@pytest.fixture(scope="module", params=["single_scale", "multi_scale", "box_refine", "two_stage"])
def model(request):
    torch.manual_seed(0)
    return DeformableDETR(DeformableDETRConfig.preset(request.param, **LAYERS))


def is_xavier(weight: torch.Tensor) -> bool:
    """Uniform within ±√(6 / (fan_in + fan_out)): the bound is nearly reached, never passed, and the spread is right."""
    fan_out, fan_in = weight.shape[0], weight[0].numel()
    if weight.dim() == 4:
        fan_out *= weight[0, 0].numel()
    bound = math.sqrt(6 / (fan_in + fan_out))
    within = weight.abs().max() <= bound and weight.abs().max() > 0.97 * bound
    return bool(within) and weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def is_linear_default(linear: nn.Linear) -> bool:
    """PyTorch's own: weight and bias uniform within ±1/√fan_in."""
    bound = 1 / math.sqrt(linear.in_features)
    return 0.9 * bound < linear.weight.abs().max() <= bound and linear.bias.abs().max() <= bound


def default_bias(linear: nn.Linear) -> bool:
    bound = 1 / math.sqrt(linear.in_features)
    return 0.8 * bound < linear.bias.abs().max() <= bound


def test_star():
    star = star_offsets(num_heads=8, num_levels=2, num_points=3)
    neighbours = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    for head, direction in enumerate(neighbours):
        for level in range(2):
            for point in range(3):
                expected = torch.tensor(direction) * (point + 1.0)
                torch.testing.assert_close(star[head, level, point], expected, atol=5e-6, rtol=0)


def test_deformable_attention(model):
    attentions = [module for module in model.modules() if isinstance(module, MultiScaleDeformableAttention)]
    assert len(attentions) == 2 + 3
    for attention in attentions:
        assert (attention.sampling_offsets.weight == 0).all()
        star = star_offsets(8, model.config.num_levels, 4)
        assert torch.equal(attention.sampling_offsets.bias, star.flatten())
        assert (attention.attention_weights.weight == 0).all() and (attention.attention_weights.bias == 0).all()
        for linear in (attention.value_proj, attention.output_proj):
            assert is_xavier(linear.weight) and (linear.bias == 0).all()


def test_transformer_matrices_and_norms(model):
    for layer in [*model.encoder.layers, *model.decoder.layers]:
        for linear in (layer.ffn.linear1, layer.ffn.linear2):
            assert is_xavier(linear.weight) and default_bias(linear)
    for layer in model.decoder.layers:
        assert is_xavier(layer.self_attention.in_proj_weight)
        assert is_xavier(layer.self_attention.out_proj.weight)
        assert (layer.self_attention.in_proj_bias == 0).all() and (layer.self_attention.out_proj.bias == 0).all()
    for norm in (module for module in model.modules() if isinstance(module, nn.LayerNorm)):
        assert (norm.weight == 1).all() and (norm.bias == 0).all()


def test_pyramid(model):
    for conv, norm in model.pyramid.projections:
        assert is_xavier(conv.weight) and (conv.bias == 0).all()
        assert norm.num_groups == 32
    assert model.pyramid.level_embed.std().item() == pytest.approx(1, rel=0.1)
    if model.config.num_levels == 4:
        extra = model.pyramid.projections[3][0]
        assert (extra.in_channels, extra.kernel_size, extra.stride, extra.padding) == (2048, (3, 3), (2, 2), (1, 1))


def test_queries(model):
    queries = model.queries
    if model.config.two_stage:
        for linear in (queries.memory_proj, queries.query_proj):
            assert is_xavier(linear.weight) and default_bias(linear)
        return
    assert queries.embedding.weight.shape == (11, 512)
    assert queries.embedding.weight.std().item() == pytest.approx(1, rel=0.05)
    weight = queries.reference_points.weight
    assert weight.abs().max() <= math.sqrt(6 / (256 + 2)) and weight.std().item() == pytest.approx(
        math.sqrt(2 / (256 + 2)), rel=0.15
    )
    assert (queries.reference_points.bias == 0).all()


def test_heads(model):
    class_heads, box_heads = list(model.decoder.class_heads), list(model.decoder.box_heads)
    if model.config.two_stage:
        class_heads.append(model.queries.class_head)
        box_heads.append(model.queries.box_head)
    distinct = len({id(head) for head in class_heads}), len({id(head) for head in box_heads})
    assert distinct == ((len(class_heads),) * 2 if model.config.box_refine else (1, 1))
    for head in class_heads:
        assert head.out_features == 91
        torch.testing.assert_close(head.bias, torch.full((91,), -math.log(99)))
        assert 0.9 / 16 < head.weight.abs().max() <= 1 / 16
        assert torch.equal(head.weight, class_heads[0].weight), "clones start alike"
    for number, head in enumerate(box_heads):
        first, second, last = head.layers
        assert is_linear_default(first) and is_linear_default(second)
        assert (last.weight == 0).all() and (last.bias[:2] == 0).all()
        has_size_bias = not model.config.two_stage and (number == 0 or not model.config.box_refine)
        assert (last.bias[2:] == (-2.0 if has_size_bias else 0.0)).all()


def test_first_boxes_of_published_code_and_paper():
    """Before training a box is its start: σ(-2.0) of the image in the published code, 0.1 in the paper."""
    images = torch.randn(2, 3, 64, 96)
    sides = {}
    for initial_box in ("published", "paper"):
        config = DeformableDETRConfig.preset("box_refine", **LAYERS, backbone="small", initial_box=initial_box)
        sides[initial_box] = DeformableDETR(config).eval()(images)["pred_boxes"][..., 2:]
    torch.testing.assert_close(sides["published"], torch.full((2, 11, 2), 1 / (1 + math.exp(2.0))))
    torch.testing.assert_close(sides["paper"], torch.full((2, 11, 2), 0.1))


def test_frozen_parts_of_the_backbone(model):
    frozen = {name for name, parameter in model.backbone.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in model.backbone.named_parameters() if name.startswith(("conv1", "layer1."))}
    assert not any("bn" in name for name, _ in model.backbone.named_parameters()), "batch norms are buffers"
