"""The four variants on a small scale: what comes out, where gradients flow, and what is refused."""

import pytest
import torch

from defdetr_ref import DeformableDETR, DeformableDETRConfig, DetectionLoss, DetrBaseline, pad_images
from defdetr_ref.attention import DeformableSampling
from tests.small_models import VARIANTS, small_batch, small_config, small_model


@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs(variant):
    images, mask, _ = small_batch()
    outputs = small_model(variant)(images, mask)
    predictions = [outputs, *outputs["aux_outputs"]]
    assert len(predictions) == 3
    for prediction in predictions:
        assert prediction["pred_logits"].shape == (2, 7, 5) and prediction["pred_boxes"].shape == (2, 7, 4)
        assert ((prediction["pred_boxes"] > 0) & (prediction["pred_boxes"] < 1)).all()
    assert ("enc_outputs" in outputs) == (variant == "two")
    if variant == "two":
        tokens = 12 * 16 + 6 * 8 + 3 * 4
        assert outputs["enc_outputs"]["pred_boxes"].shape == (2, tokens, 4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_trainable_weight_gets_a_gradient(variant):
    images, mask, targets = small_batch()
    model = small_model(variant)
    DetectionLoss(5)(model(images, mask), targets)["total"].backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []


def test_the_gradient_is_blocked_at_the_previous_box():
    """The last layer's loss moves its own box head, not those of the layers before it."""
    images, mask, _ = small_batch()
    for variant, blocked in (("refine", True), ("two", True)):
        model = small_model(variant)
        model(images, mask)["pred_boxes"].sum().backward()
        grads = [head.layers[-1].bias.grad for head in model.decoder.box_heads]
        assert grads[2] is not None and grads[2].abs().max() > 0
        assert all(grad is None for grad in grads[:2]) == blocked


def test_proposals_are_blocked_too():
    images, mask, _ = small_batch()
    model = small_model("two")
    outputs = model(images, mask)
    (outputs["pred_boxes"].sum() + outputs["pred_logits"].sum()).backward()
    assert model.queries.box_head.layers[-1].bias.grad is None
    assert model.queries.query_proj.weight.grad.abs().max() > 0


def test_references_of_the_decoder_layers():
    """Without refinement every layer gets the same point; with it, points come first and then the boxes before."""
    images, mask, _ = small_batch()
    for variant, sizes in (("multi", [2, 2, 2]), ("refine", [2, 4, 4]), ("refine from the paper's box", [4, 4, 4])):
        model = small_model(variant)
        seen = []
        for layer in model.decoder.layers:
            layer.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[2]))
        outputs = model(images, mask)
        assert [reference.shape[-1] for reference in seen] == sizes
        if variant == "multi":
            assert torch.equal(seen[0], seen[2])
        else:
            for reference, before in zip(seen[1:], outputs["aux_outputs"], strict=True):
                assert torch.equal(reference, before["pred_boxes"]) and not reference.requires_grad


@pytest.mark.parametrize("variant", ["multi", "two"])
def test_padding_never_reaches_a_prediction(variant):
    """What stands in the padded pixels of a *feature* must not matter: only the mask says what is image."""
    images, mask, _ = small_batch()
    model = small_model(variant)
    maps = model.backbone(images)
    tokens = model.pyramid(maps, mask)
    spoiled = model.pyramid(maps, mask)
    spoiled.features = torch.where(tokens.mask[..., None], torch.randn_like(tokens.features), tokens.features)
    results = []
    for pyramid in (tokens, spoiled):
        memory = model.encoder(pyramid)
        queries, _ = model.queries(memory, pyramid)
        results.append(model.decoder(queries, memory, pyramid)[-1].boxes)
    torch.testing.assert_close(*results)


def test_dense_baseline_has_the_same_interface():
    images, mask, targets = small_batch()
    torch.manual_seed(0)
    model = DetrBaseline(small_config("two"))
    losses = DetectionLoss(5)(model(images, mask), targets)
    losses["total"].backward()
    assert {"loss_ce", "loss_bbox_0", "loss_giou_1", "total"} <= losses.keys() and "loss_ce_enc" not in losses
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.eval()
    tokens = model.pyramid(model.backbone(images), mask)
    layer = model.encoder_layers[0]
    noisy = torch.where(tokens.mask[..., None], torch.randn_like(tokens.features), tokens.features)
    seen = ~tokens.mask
    torch.testing.assert_close(layer(noisy, tokens)[seen], layer(tokens.features, tokens)[seen])


def test_dropout_is_where_the_published_code_has_it():
    model = small_model("two", dropout=0.25)
    rates = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    per_encoder_layer, per_decoder_layer = 3, 4
    assert len(rates) == 1 * per_encoder_layer + 3 * per_decoder_layer and set(rates.values()) == {0.25}
    assert all(layer.self_attention.dropout == 0.25 for layer in model.decoder.layers)


def test_pad_images():
    images, mask = pad_images([torch.ones(3, 4, 9), torch.ones(3, 7, 2)])
    assert images.shape == (2, 3, 7, 9) and mask.shape == (2, 7, 9)
    assert torch.equal(images[:, 0] == 0, mask) and mask.sum() == 2 * 63 - 36 - 14
    with pytest.raises(ValueError, match="empty list"):
        pad_images([])
    with pytest.raises(ValueError, match=r"image 1 has shape \(1, 4, 5\); expected \(3, H, W\)"):
        pad_images([torch.ones(3, 4, 5), torch.ones(1, 4, 5)])


@pytest.mark.parametrize("model_class", [DeformableDETR, DetrBaseline])
def test_batches_that_are_refused(model_class):
    model = model_class(small_config("multi"))
    images, mask, _ = small_batch()
    with pytest.raises(ValueError, match="images are 31×80 .* smaller than the model's largest stride of 32"):
        model(images[:, :, :31, :80])
    hiding = mask.clone()
    hiding[1] = True
    with pytest.raises(ValueError, match="the mask hides the whole of image 1"):
        model(images, hiding)
    with pytest.raises(ValueError, match="hides the top-left pixel of image 0; pad on the right"):
        model(images.flip(-1), mask.flip(-1))


def test_too_few_tokens_for_the_first_stage():
    with pytest.raises(ValueError, match="has to choose 300 proposals, but the images give only 21 tokens"):
        small_model("two", num_queries=300)(torch.randn(2, 3, 32, 32))


BAD_CONFIGS = {
    "two-stage without refinement": (dict(two_stage=True), "two_stage needs box_refine=True"),
    "paper's box without refinement": (dict(initial_box="paper"), "describes one-stage refinement"),
    "unknown box": (dict(initial_box="mine", box_refine=True), "choose 'published' or 'paper'"),
    "heads": (dict(num_heads=7), "num_heads = 7"),
    "levels": (dict(num_levels=2), "fewer than the 3 feature_strides"),
    "queries": (dict(num_queries=0), "num_queries is 0"),
}


@pytest.mark.parametrize("fields, message", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_configs_that_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        DeformableDETRConfig(**fields)


def test_presets():
    with pytest.raises(ValueError, match="unknown preset 'huge'; choose from single_scale, multi_scale"):
        DeformableDETRConfig.preset("huge")
    with pytest.raises(ValueError, match="config has no field layers"):
        DeformableDETRConfig.preset("tiny", layers=3)
    assert DeformableDETRConfig.preset("single_scale").largest_stride == 32
    assert DeformableDETRConfig.preset("two_stage").largest_stride == 64


def test_the_configs_backend_reaches_every_attention():
    config = small_config("two", attention_backend="torch")
    model = DeformableDETR(config)
    chosen = [module.backend for module in model.modules() if isinstance(module, DeformableSampling)]
    assert len(chosen) == config.encoder_layers + config.decoder_layers and set(chosen) == {"torch"}
    with pytest.raises(ValueError, match="unknown backend 'nuba'; choose from auto, loops, torch, "):
        DeformableDETR(small_config("two", attention_backend="nuba"))
