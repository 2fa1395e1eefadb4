"""The same function as the published code: outputs, losses and gradients on the same weights and images.

The reference numbers in `parity/` were computed by the published code itself, in float32. Ours are computed in float64:
what is left between the two is the rounding of the reference alone, the same on every machine and with any number of
threads. Two float32 runs differ by more than the tolerances here. What no output reveals (a LayerNorm's eps, the clamp
of σ⁻¹, where the coarsest mask comes from) is asserted directly at the end.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import defdetr_ref
from defdetr_ref import checkpoints
from defdetr_ref.boxes import inverse_sigmoid
from defdetr_ref.pyramid import resize_mask
from defdetr_ref.state_dict_keys import official_key, to_official
from tests.parity import official_weights

PRESETS = {"single": "single_scale", "multi": "multi_scale", "refine": "box_refine", "two": "two_stage"}
SIZES = {  # parameters, trainable parameters, keys of the published state dict
    "single": (34_066_593, 33_844_193, 549),
    "multi": (40_069_665, 39_847_265, 561),
    "refine": (40_849_660, 40_627_260, 597),
    "two": (41_181_529, 40_959_129, 630),
}
ORIGINAL_SIZES = [(480, 640), (427, 640)]
EVERY_BOX, EVERY_AUX_LOGIT, EVERY_ENC_BOX = 3, 15, 7  # the reference keeps every n-th query or token
LOGITS, BOXES, LOSS, GRADIENT = 1e-5, 1e-6, 1e-6, 1e-3  # tolerances: absolute, absolute, relative, relative


# One sampled point of the multi-scale reference lies 5.7e-6 pixels (in float64) to the right of a pixel's centre, where
# the slope of bilinear interpolation jumps; the published code's float32 put it to the left. Its jump alone moves one
# gradient norm by 2e-3. The point is put on the side the reference took, and all gradients are compared as strictly as
# the others.
KINK = dict(variant="multi", decoder_layer=2, index=(1, 77, 7, 0, 2, 0), pixels=-1e-5, level_width=77)


def put_on_the_reference_s_side(model: defdetr_ref.DeformableDETR) -> None:
    def nudge(module, args):
        value, spatial_shapes, locations, weights = args
        assert spatial_shapes[0][1] == KINK["level_width"]
        x = locations[KINK["index"]].item() * KINK["level_width"] - 0.5
        assert abs(x - round(x)) < 2e-5, "the point lies on the kink"
        step = torch.zeros_like(locations)
        step[KINK["index"]] = KINK["pixels"] / KINK["level_width"]
        return value, spatial_shapes, locations + step, weights

    model.decoder.layers[KINK["decoder_layer"]].cross_attention.sampling.register_forward_pre_hook(nudge)


def official_state(variant: str, seed: int) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(array) for key, array in official_weights.official_state_dict(variant, seed).items()}


def without_dropout(variant: str) -> defdetr_ref.DeformableDETR:
    config = defdetr_ref.DeformableDETRConfig.preset(PRESETS[variant], dropout=0.0)
    return defdetr_ref.DeformableDETR(config).eval()


@pytest.fixture(scope="module", params=list(PRESETS))
def run(request) -> SimpleNamespace:
    """One forward and backward pass of our model on the published code's weights."""
    variant = request.param
    reference = np.load(official_weights.HERE / f"public_{variant}.npz")
    meta = json.loads(str(reference["meta"]))
    model = without_dropout(variant)
    checkpoints.load(model, official_state(variant, meta["weight_seed"]))
    model.double()
    if variant == KINK["variant"]:
        put_on_the_reference_s_side(model)
    images, mask = defdetr_ref.pad_images(
        [torch.from_numpy(image).double() for image in official_weights.images(meta["image_seed"], meta["image_sizes"])]
    )
    targets = [
        {"labels": torch.from_numpy(target["labels"]), "boxes": torch.from_numpy(target["boxes"]).double()}
        for target in official_weights.targets(meta["target_seed"], meta["target_counts"])
    ]
    outputs = model(images, mask)
    losses = defdetr_ref.DetectionLoss(91)(outputs, targets)
    losses["total"].backward()
    return SimpleNamespace(variant=variant, model=model, reference=reference, outputs=outputs, losses=losses)


def query_order(run) -> torch.Tensor:
    """(N, Q): the two-stage reference lists queries by rising token, because near-ties make score order unstable."""
    if run.variant != "two":
        return torch.arange(300).expand(2, -1)
    index = run.outputs["enc_outputs"]["pred_logits"][..., 0].topk(300, dim=1).indices
    ordered = index.argsort(dim=1)
    np.testing.assert_array_equal(index.gather(1, ordered), run.reference["proposal_index"])
    return ordered


def in_order(run, tensor: torch.Tensor) -> torch.Tensor:
    """Rows of (N, Q, …) in the reference's order."""
    return torch.stack([rows[order] for rows, order in zip(tensor, query_order(run), strict=True)]).detach()


def close(actual: torch.Tensor, expected: np.ndarray, tolerance: float) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=tolerance)


def test_last_layer(run):
    close(in_order(run, run.outputs["pred_logits"])[:, ::EVERY_BOX], run.reference["pred_logits"], LOGITS)
    close(in_order(run, run.outputs["pred_boxes"])[:, ::EVERY_BOX], run.reference["pred_boxes"], BOXES)


def test_other_decoder_layers(run):
    aux = run.outputs["aux_outputs"]
    assert len(aux) == 5
    for layer, outputs in enumerate(aux):
        logits = in_order(run, outputs["pred_logits"])[:, ::EVERY_AUX_LOGIT]
        close(logits, run.reference["aux_logits"][layer], LOGITS)
        close(in_order(run, outputs["pred_boxes"])[:, ::EVERY_BOX], run.reference["aux_boxes"][layer], BOXES)


def test_first_stage(run):
    if run.variant != "two":
        assert "enc_outputs" not in run.outputs
        return
    close(run.outputs["enc_outputs"]["pred_logits"][..., 0], run.reference["enc_logits_channel0"], LOGITS)
    close(run.outputs["enc_outputs"]["pred_boxes"][:, ::EVERY_ENC_BOX], run.reference["enc_boxes"], BOXES)


def test_every_loss_term(run):
    logged_only = ("class_error", "cardinality_error")
    expected = {
        key.removeprefix("loss/"): float(run.reference[key])
        for key in run.reference.files
        if key.startswith("loss/") and not key.removeprefix("loss/").startswith(logged_only)
    }
    assert expected.keys() == run.losses.keys()
    for name, value in expected.items():
        assert run.losses[name].item() == pytest.approx(value, rel=LOSS), name


def test_every_gradient_norm(run):
    names = [name.removeprefix("transformer.decoder.") if "_embed." in name else name
             for name in run.reference["grad_norm_names"].tolist()]  # fmt: skip
    expected = dict(zip(names, run.reference["grad_norms"].tolist(), strict=True))
    actual = {}
    for name, parameter in run.model.named_parameters():
        if parameter.requires_grad:
            actual[official_key(name, decoder_layers=6)] = parameter.grad
    assert actual.keys() == expected.keys()
    for name, gradient in actual.items():
        if name.endswith("in_proj_bias"):
            continue  # the key third of it has a true gradient of zero, which rounding decides
        assert gradient.norm().item() == pytest.approx(expected[name], rel=GRADIENT), name


def test_postprocessing(run):
    results = defdetr_ref.postprocess(run.outputs, ORIGINAL_SIZES, top_k=100)
    assert len(results) == 2
    for image, result in enumerate(results):
        reference = {name: run.reference[f"post/{image}/{name}"] for name in ("scores", "labels", "boxes")}
        np.testing.assert_array_equal(result["labels"], reference["labels"])
        close(result["scores"], reference["scores"], LOGITS)
        # a corner is a centre plus half a size, each of which may be off by BOXES
        close(result["boxes"] / 640, reference["boxes"] / 640, 1.5 * BOXES)


@pytest.mark.parametrize("variant", PRESETS)
def test_size(variant):
    model = without_dropout(variant)
    parameters, trainable, keys = SIZES[variant]
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable
    published = json.loads((official_weights.HERE / f"keys_{variant}.json").read_text(encoding="utf-8"))
    assert len(published) == keys
    ours = to_official(model.state_dict(), model.config)
    assert {key: list(tensor.shape) for key, tensor in ours.items()} == published


# What no output reveals


def test_layer_norm_eps():
    norms = [module for module in without_dropout("two").modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 6 * 2 + 6 * 3 + 2
    assert {norm.eps for norm in norms} == {1e-5}


def test_inverse_sigmoid_clamps_both_sides_at_1e_5():
    x = torch.tensor([0.0, 0.5e-5, 2e-5, 1 - 2e-5, 1.0], dtype=torch.float64)
    limit = np.log(1e5)
    inside = np.log((1 - 2e-5) / 2e-5)
    # below the clamp only the numerator is raised to 1e-5; 1 - x stays as it is
    expected = [-limit, -limit - np.log(1 - 0.5e-5), -inside, inside, limit]
    np.testing.assert_allclose(inverse_sigmoid(x), expected, rtol=1e-9)


def test_coarsest_mask_comes_from_the_full_resolution_one():
    """470 valid rows of 530: resized level by level the mask would end differently than resized at once."""
    model = without_dropout("multi")
    mask = torch.zeros(2, 530, 611, dtype=torch.bool)
    mask[0, 470:], mask[1, :, 480:] = True, True
    maps = [torch.randn(2, c, -(-530 // s), -(-611 // s)) for c, s in ((512, 8), (1024, 16), (2048, 32))]
    tokens = model.pyramid(maps, mask)
    height, width = tokens.spatial_shapes[-1]
    coarsest = tokens.mask[:, -height * width :].unflatten(1, (height, width))
    assert torch.equal(coarsest, resize_mask(mask, (height, width)))
    step_by_step = resize_mask(resize_mask(mask, tokens.spatial_shapes[2]), (height, width))
    assert not torch.equal(coarsest, step_by_step), "choose a mask for which the two ways differ"
