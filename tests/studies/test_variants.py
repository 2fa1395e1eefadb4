"""The models of the studies: each changes what it says, and nothing else."""

import pytest
import torch

from defdetr_ref.attention import MultiScaleDeformableAttention
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.losses import DetectionLoss
from defdetr_ref.studies.plan import Settings
from defdetr_ref.studies.variants import VARIANTS

COMMON = {"num_classes": 3, **Settings().model, "d_model": 32, "d_ffn": 24, "num_queries": 7}
CHANNELS = {8: 96, 16: 192, 32: 256}
TARGETS = [
    {"labels": torch.tensor([1, 2]), "boxes": torch.tensor([[0.3, 0.4, 0.2, 0.1], [0.7, 0.6, 0.3, 0.4]])},
    {"labels": torch.tensor([2]), "boxes": torch.tensor([[0.5, 0.5, 0.6, 0.3]])},
]


@pytest.fixture(scope="module")
def maps():
    generator = torch.Generator().manual_seed(0)
    return {s: torch.randn(4, CHANNELS[s], 64 // s, 96 // s, generator=generator) for s in CHANNELS}


def build(name, maps, seed=0):
    torch.manual_seed(seed)
    return VARIANTS[name].build(maps, COMMON).eval()


def images(*numbers):
    return torch.stack([torch.tensor(float(number)).expand(3, 64, 96) for number in numbers])


def different_fields(one, other):
    return {name for name in vars(one) if vars(one)[name] != vars(other)[name]}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_learns_from_a_batch(name, maps):
    model = build(name, maps).train()
    terms = VARIANTS[name].loss(3)(model(images(2, 1)), TARGETS)
    terms["total"].backward()
    assert torch.isfinite(terms["total"])
    assert not [key for key, one in model.named_parameters() if one.grad is None or not torch.isfinite(one.grad).all()]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("deformable-16", {"feature_strides", "num_levels"}),
        ("one-point", {"num_points"}),
        ("two-points", {"num_points"}),
        ("refined", {"box_refine"}),
        ("two-stage", {"box_refine", "two_stage"}),
        ("paper-box", {"box_refine", "initial_box"}),
        ("own-level", set()),
        ("fpn", set()),
        ("cross-entropy", set()),
        ("no-star", set()),
    ],
)
def test_a_variant_changes_what_it_names(name, fields, maps):
    assert different_fields(build(name, maps).config, build("deformable", maps).config) == fields


def test_the_dense_models_differ_in_class_and_levels_only(maps):
    dense, deformable = build("detr-16", maps), build("deformable-16", maps)
    assert isinstance(dense, DetrBaseline) and dense.config == deformable.config
    for name in ("pyramid",):
        one, other = (getattr(model, name).state_dict() for model in (dense, deformable))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert build("detr-8", maps).config.feature_strides == (8,)


def encoder_of(model):
    tokens = model.pyramid(model.backbone(images(0, 3)), torch.zeros(2, 64, 96, dtype=torch.bool))
    return tokens, model.encoder


def test_with_its_own_level_a_token_does_not_feel_the_others(maps):
    own, base = build("own-level", maps), build("deformable", maps)
    for model, reaches in ((own, False), (base, True)):
        tokens, encoder = encoder_of(model)
        before = encoder(tokens)
        counts = [height * width for height, width in tokens.spatial_shapes]
        tokens.features = tokens.features.clone()
        tokens.features[:, counts[0] : counts[0] + counts[1]] += 1.0  # the middle level
        moved = (encoder(tokens) - before).abs().amax(-1)
        assert moved[:, counts[0] : counts[0] + counts[1]].min() > 0
        others = torch.cat([moved[:, : counts[0]], moved[:, sum(counts[:2]) :]], dim=1)
        assert bool(others.max() > 0) == reaches


def test_an_fpn_carries_coarse_maps_down(maps):
    model = build("fpn", maps)
    before = model.backbone(images(1))
    model.backbone.backbone.maps = [*maps.values()][:2] + [maps[32] + 1.0]
    after = model.backbone(images(1))
    assert all(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert [one.shape[2:] for one in after] == [one.shape[2:] for one in maps.values()]


def test_the_gradient_flows_through_boxes_only_where_it_is_not_blocked(maps):
    found = {}
    for name in ("refined", "no-detach"):
        model = build(name, maps)
        with torch.no_grad():  # heads start at zero, and would hide the flow
            for head in model.decoder.box_heads:
                head.layers[-1].weight.normal_()
        model(images(1, 2))["pred_boxes"].sum().backward()
        grad = model.decoder.box_heads[0].layers[-1].weight.grad
        found[name] = 0.0 if grad is None else grad.abs().max().item()
    assert found["refined"] == 0.0 < found["no-detach"]


def test_without_the_star_all_points_start_at_their_reference(maps):
    for name, still in (("no-star", True), ("deformable", False)):
        modules = [one for one in build(name, maps).modules() if isinstance(one, MultiScaleDeformableAttention)]
        assert len(modules) == 3
        for module in modules:
            assert (module.sampling_offsets.bias.abs().max() < 0.1) == still
            assert module.sampling_offsets.bias.unique().numel() > module.num_heads or not still


def test_cross_entropy_is_focal_loss_without_its_factors(maps):
    outputs = build("deformable", maps)(images(1, 2))
    focal, entropy = DetectionLoss(3)(outputs, TARGETS), VARIANTS["cross-entropy"].loss(3)(outputs, TARGETS)
    p = outputs["pred_logits"].sigmoid().double()
    truth = torch.zeros_like(p)
    from defdetr_ref.losses import one_hot_labels
    from defdetr_ref.matching import hungarian_match

    found = hungarian_match(outputs["pred_logits"], outputs["pred_boxes"], TARGETS)
    truth = one_hot_labels(p, TARGETS, found)
    wanted = -(truth * p.log() + (1 - truth) * (1 - p).log()).sum() / 3
    assert entropy["loss_ce"].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert entropy["loss_ce"] > 2 * focal["loss_ce"]
    assert torch.equal(entropy["loss_bbox"], focal["loss_bbox"]) and entropy["loss_ce_0"] > focal["loss_ce_0"]
