"""The whole detector in Chromium, against PyTorch: all variants, sizes without a pattern, weights without one."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from defdetr_ref import DetrBaseline, checkpoints, live
from defdetr_ref.explain import record
from tests.live.in_page import LivePage
from tests.live.models import colours, live_model, normalised

LOGITS, BOXES = 1e-4, 1e-6  # how far from PyTorch, in float32
VARIANTS = {
    "one level": (dict(feature_strides=(32,), num_levels=1, encoder_layers=2), [(64, 101), (33, 32)]),
    "plain": (dict(feature_strides=(8, 16), num_levels=3), [(65, 160)]),
    "two extra levels": (dict(feature_strides=(16,), num_levels=3, num_heads=2, num_points=5), [(130, 71)]),
    "refined": (dict(feature_strides=(4, 16), num_levels=3, num_heads=8, box_refine=True), [(71, 50)]),
    "from the paper's box": (
        dict(feature_strides=(8,), num_levels=2, d_model=64, box_refine=True, initial_box="paper"),
        [(40, 33), (87, 49)],
    ),
    "two-stage": (dict(feature_strides=(8, 16), num_levels=3, box_refine=True, two_stage=True), [(97, 130)]),
    "six levels": (  # proposals of the last level are larger than the image
        dict(feature_strides=(4, 8), num_levels=6, num_points=1, box_refine=True, two_stage=True, decoder_layers=1),
        [(128, 161)],
    ),
    "edges of the window": (  # 50 columns: the first centre is at 0.01, where proposals begin not to be used
        dict(feature_strides=(8,), num_levels=1, box_refine=True, two_stage=True, num_queries=60),
        [(17, 400)],
    ),
    "tiny": (dict(preset="tiny", num_classes=6), [(128, 96)]),
    "compact": (dict(preset="compact", num_classes=7, encoder_layers=1), [(75, 122)]),
    "DETR": (dict(model_class=DetrBaseline, feature_strides=(8, 16), num_levels=3, encoder_layers=2), [(67, 98)]),
}
FORWARD = """async ({ weights, images, kernel }) => {
    const { install } = await import("/web/live.js");
    install(async () => ({ weights: await bytesOf(weights), kernel: kernel && await bytesOf(kernel) }));
    await window.defdetr.ready;
    const answers = [];
    for (const { file, height, width } of images) {
        const rgb = new Uint8ClampedArray((await bytesOf(file)).buffer);
        answers.push(packAll(window.defdetr.forward(rgb, height, width)));
    }
    return answers;
}"""


def answers(live_page: LivePage, path, images: list[Tensor], kernel: str | None = "kernel") -> list[dict[str, Tensor]]:
    """What the page says of each image (H, W, 3 or 4)."""
    described = [
        {"file": live_page.put(rgb.numpy().tobytes()), "height": len(rgb), "width": rgb.shape[1]} for rgb in images
    ]
    return live_page.run(FORWARD, {"weights": live_page.put(path), "images": described, "kernel": kernel})


def pairs(found: Tensor, wanted: Tensor) -> Tensor:
    """For each query of `wanted` the one of `found` with its box, each taken once: (Q,)."""
    _, columns = linear_sum_assignment(torch.cdist(wanted, found, p=torch.inf).numpy())
    return torch.as_tensor(columns)


def assert_same_detections(found: dict[str, Tensor], outputs: dict) -> Tensor:
    """Logits and boxes of all layers; returns for each query of PyTorch its number in the page."""
    layers = [*outputs["aux_outputs"], outputs]
    prefixes = [*(f"aux_outputs.{i}." for i in range(len(layers) - 1)), ""]
    order = pairs(found["pred_boxes"], outputs["pred_boxes"][0])
    for prefix, layer in zip(prefixes, layers, strict=True):
        logits, boxes = found[f"{prefix}pred_logits"], found[f"{prefix}pred_boxes"]
        torch.testing.assert_close(logits[order], layer["pred_logits"][0], atol=LOGITS, rtol=0)
        torch.testing.assert_close(boxes[order], layer["pred_boxes"][0], atol=BOXES, rtol=0)
    return order


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_finds_what_pytorch_finds(live_page, tmp_path, name):
    fields, sizes = VARIANTS[name]
    model = live_model(**fields)
    path = live.export_weights(tmp_path / "model.safetensors", model, "float32")
    images = [colours(*size) for size in sizes]
    for rgb, found in zip(images, answers(live_page, path, images), strict=True):
        with torch.no_grad():
            outputs = model(normalised(rgb))
        assert_same_detections(found, outputs)
        if "enc_outputs" in outputs:
            logits, boxes = outputs["enc_outputs"]["pred_logits"][0], outputs["enc_outputs"]["pred_boxes"][0]
            torch.testing.assert_close(found["enc_outputs.pred_logits"], logits, atol=LOGITS, rtol=0)
            torch.testing.assert_close(found["enc_outputs.pred_boxes"], boxes, atol=BOXES, rtol=0)


def test_without_webassembly_it_finds_the_same(live_page, tmp_path):
    model = live_model(feature_strides=(8, 16), num_levels=3, box_refine=True, two_stage=True)
    path = live.export_weights(tmp_path / "model.safetensors", model, torch.float32)
    rgb = colours(67, 85)
    (found,) = answers(live_page, path, [rgb], kernel=None)
    with torch.no_grad():
        assert_same_detections(found, model(normalised(rgb)))


@pytest.mark.parametrize("dtype, largest", [("float16", 0.53), ("int8", 0.31)])
def test_smaller_weights_give_what_pytorch_gives_with_them(live_page, tmp_path, dtype, largest):
    model = live_model(preset="compact", num_classes=6, d_model=64, num_queries=11)
    whole = live.export_weights(tmp_path / "whole.safetensors", model, "float32")
    path = live.export_weights(tmp_path / "small.safetensors", model, dtype)
    assert path.stat().st_size < largest * whole.stat().st_size
    rgb = colours(64, 90)
    (found,) = answers(live_page, path, [rgb])
    with torch.no_grad():
        assert_same_detections(found, checkpoints.build_model(path)(normalised(rgb)))
        away = (found["enc_outputs.pred_logits"] - model(normalised(rgb))["enc_outputs"]["pred_logits"][0]).abs().max()
    assert LOGITS < away < 0.3  # rounded, or nothing was tested; but not far away


@pytest.mark.parametrize("variant", ["refined", "two-stage"])
def test_every_intermediate_result(live_page, tmp_path, variant):
    model = live_model(**{**VARIANTS[variant][0], "encoder_layers": 2})
    path = live.export_weights(tmp_path / "model.safetensors", model, "float32")
    rgb = colours(73, 98)
    (found,) = answers(live_page, path, [rgb])
    stages = {}
    hooks = [
        module.register_forward_hook(lambda _, inputs, output, name=name: stages.__setitem__(name, output))
        for name, module in model.named_modules()
        if name in ("backbone", "pyramid", "queries") or name.startswith(("encoder.layers.", "decoder.layers."))
    ]
    with record(model) as recording, torch.no_grad():
        outputs = model(normalised(rgb))
    for hook in hooks:
        hook.remove()
    order = assert_same_detections(found, outputs)

    wanted = {
        f"backbone.{stride}": feature_map[0].permute(1, 2, 0)
        for stride, feature_map in zip(model.config.feature_strides, stages["backbone"], strict=True)
    }
    tokens, (queries, _) = stages["pyramid"], stages["queries"]
    wanted |= {f"pyramid.{part}": getattr(tokens, part)[0] for part in ("features", "positions", "centres")}
    wanted |= {f"queries.{part}": getattr(queries, part)[0] for part in ("content", "position", "reference")}
    wanted["pyramid.spatial_shapes"] = torch.tensor(tokens.spatial_shapes).float()
    wanted["image"] = normalised(rgb)[0].permute(1, 2, 0)
    for each in recording[-1].records:
        name = f"{each.part}.layers.{each.layer}"
        wanted[f"{name}.output"] = stages[name][0]
        for part in ("reference_points", "sampling_locations", "attention_weights"):
            wanted[f"{name}.{part}"] = getattr(each, part)[0]
    for name, tensor in wanted.items():
        of_queries = name.startswith(("decoder", "queries"))
        assert found[name].shape == tensor.shape, name
        mine = found[name][order] if of_queries else found[name]
        torch.testing.assert_close(mine, tensor, atol=2e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}")

    layers = range(model.config.decoder_layers)
    others = {f"decoder.layers.{i}.self_attention_weights" for i in layers} | {"backbone.2", "backbone.4", "backbone.8"}
    others |= {name for name in found if name.endswith(("pred_logits", "pred_boxes"))}
    others |= {"queries.chosen"} if model.config.two_stage else set()
    assert set(found) == set(wanted) | others
    for i in layers:
        shares = found[f"decoder.layers.{i}.self_attention_weights"]
        assert shares.shape == (model.config.num_heads, model.config.num_queries, model.config.num_queries)
        torch.testing.assert_close(shares.sum(-1), torch.ones(shares.shape[:2]))
    if model.config.two_stage:
        chosen = found["queries.chosen"].long()
        torch.testing.assert_close(found["enc_outputs.pred_boxes"][chosen], found["queries.reference"])


def test_dense_attention_of_every_layer(live_page, tmp_path):
    model = live_model(**{**VARIANTS["DETR"][0], "num_heads": 2})
    path = live.export_weights(tmp_path / "model.safetensors", model, "float32")
    rgb = colours(73, 98)
    (found,) = answers(live_page, path, [rgb])
    weights = {}

    def keep(name):
        def hook(module, args):
            query, key, value, *mask = args
            answer = torch.nn.MultiheadAttention.forward(module, query, key, value, *mask, average_attn_weights=False)
            weights[name] = answer[1][0]

        return hook

    layers = {f"encoder.layers.{i}": layer.attention for i, layer in enumerate(model.encoder_layers)}
    layers |= {f"decoder.layers.{i}": layer.cross_attention for i, layer in enumerate(model.decoder_layers)}
    handles = [module.register_forward_pre_hook(keep(name)) for name, module in layers.items()]
    with torch.no_grad():
        order = assert_same_detections(found, model(normalised(rgb)))
    for handle in handles:
        handle.remove()
    assert order.tolist() == list(range(model.config.num_queries))
    for name, wanted in weights.items():
        torch.testing.assert_close(found[f"{name}.dense_attention_weights"], wanted, atol=2e-5, rtol=0)
        assert f"{name}.sampling_locations" not in found and f"{name}.reference_points" not in found
    assert set(layers) == set(weights) and "queries.reference" not in found


def test_alpha_is_not_looked_at(live_page, tmp_path):
    model = live_model(feature_strides=(16,), num_levels=1)
    path = live.export_weights(tmp_path / "model.safetensors", model, "float32")
    with_alpha = colours(35, 48, channels=4)
    opaque = with_alpha[..., :3].contiguous()
    first, second = answers(live_page, path, [with_alpha, opaque])
    assert torch.equal(first["pred_logits"], second["pred_logits"])
    with torch.no_grad():
        assert_same_detections(first, model(normalised(with_alpha)))


REFUSED = """async ({ weights, images }) => {
    const { install } = await import("/web/live.js");
    const said = [];
    const heard = (call) => { try { call(); said.push(null); } catch (error) { said.push(error.message); } };
    const ready = install(async () => ({ weights: await bytesOf(weights), kernel: null }));
    heard(() => window.defdetr.forward(new Uint8ClampedArray(3 * 64 * 64), 64, 64));
    await ready;
    for (const { length, height, width } of images) {
        heard(() => window.defdetr.forward(new Uint8ClampedArray(length), height, width));
    }
    heard(() => window.defdetr.forward(new Float32Array(3 * 64 * 64), 64, 64));
    return said;
}"""


def test_an_image_that_it_cannot_take_is_refused_in_one_sentence(live_page, tmp_path):
    fields = dict(feature_strides=(8, 16), num_levels=3, box_refine=True, two_stage=True, num_queries=22)
    path = live.export_weights(tmp_path / "model.safetensors", live_model(**fields), "float32")
    images = [(3 * 64 * 64, 64, 64), (3 * 64 * 64, 64, 63), (0, 0, 5), (3 * 31 * 64, 31, 64), (3 * 32 * 32, 32, 32)]
    described = [dict(zip(("length", "height", "width"), image, strict=True)) for image in images]
    said = live_page.run(REFUSED, {"weights": live_page.put(path), "images": described})
    assert said == [
        "forward: the detector is not there yet; await window.defdetr.ready first",
        None,
        "forward: an image of 64×63 (height × width) has 12096 numbers, or 16128 with alpha; got 12288",
        "forward: height 0 and width 5 must be whole numbers of pixels",
        "forward: the image is 31×64 (height × width), smaller than the model's largest stride of 32 pixels; use a "
        "larger image",
        "the first stage has to choose 22 proposals, but the image gives only 21 tokens; use a larger image",
        "forward: the image must be a Uint8ClampedArray of colours from 0 to 255",
    ]
