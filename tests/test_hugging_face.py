"""An independent oracle: transformers' Deformable DETR computes the same, in all four variants, from the same weights;
its folders are read, and ours opened by it.

Its models are built from configs with random weights. It ties the class heads of the refining variants when built so
(the published code does not): they are untied first.
"""

import copy
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import defdetr_ref
from defdetr_ref import DeformableDETR, DeformableDETRConfig, checkpoints
from defdetr_ref.cli.common import eval_transform
from defdetr_ref.cli.detect import predict

transformers = pytest.importorskip("transformers")

SIZES = dict(d_model=64, num_heads=4, num_points=3, encoder_layers=2, decoder_layers=3, d_ffn=48, num_queries=30)
VARIANTS = {
    "single": dict(feature_strides=(32,), num_levels=1),
    "multi": dict(),
    "refine": dict(box_refine=True),
    "two": dict(box_refine=True, two_stage=True),
}


def hugging_face_model(config: DeformableDETRConfig, untied: bool = True):
    stages = {4: "stage1", 8: "stage2", 16: "stage3", 32: "stage4"}
    backbone = transformers.ResNetConfig(
        depths=[3, 4, 6, 3],
        hidden_sizes=[256, 512, 1024, 2048],
        embedding_size=64,
        layer_type="bottleneck",
        downsample_in_bottleneck=False,
        out_features=[stages[stride] for stride in config.feature_strides],
    )
    model = transformers.DeformableDetrForObjectDetection(
        transformers.DeformableDetrConfig(
            backbone_config=backbone,
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            num_labels=config.num_classes,
            d_model=config.d_model,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            encoder_attention_heads=config.num_heads,
            decoder_attention_heads=config.num_heads,
            encoder_ffn_dim=config.d_ffn,
            decoder_ffn_dim=config.d_ffn,
            encoder_n_points=config.num_points,
            decoder_n_points=config.num_points,
            num_feature_levels=config.num_levels,
            num_queries=config.num_queries,
            two_stage_num_proposals=config.num_queries,
            two_stage=config.two_stage,
            with_box_refine=config.box_refine,
            auxiliary_loss=True,
        )
    ).eval()
    if config.box_refine and untied:
        heads = torch.nn.ModuleList(copy.deepcopy(head) for head in model.class_embed)
        model.class_embed = heads
        if config.two_stage:
            model.model.decoder.class_embed = heads
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_outputs_from_the_same_weights(variant):
    torch.manual_seed(0)
    config = DeformableDETRConfig(num_classes=11, **SIZES, **VARIANTS[variant])
    oracle = hugging_face_model(config)
    with torch.no_grad():
        for parameter in oracle.parameters():  # zeros would hide mistakes
            parameter.add_(0.02 * torch.randn_like(parameter))
        for name, buffer in oracle.named_buffers():
            if "running_var" in name:
                buffer.add_(0.3 * torch.rand_like(buffer))
    model = DeformableDETR(config).eval()
    checkpoints.load(model, oracle.state_dict())
    images, mask = defdetr_ref.pad_images([torch.randn(3, 211, 161), torch.randn(3, 170, 240)])
    with torch.no_grad():
        ours, theirs = model(images, mask), oracle(pixel_values=images, pixel_mask=(~mask).long())
    tolerance = dict(atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(ours["pred_logits"], theirs.logits, **tolerance)
    torch.testing.assert_close(ours["pred_boxes"], theirs.pred_boxes, **tolerance)
    if config.two_stage:
        torch.testing.assert_close(ours["enc_outputs"]["pred_logits"], theirs.enc_outputs_class, **tolerance)


# ------------------------------------------------------------------------------------------- files of save_pretrained

FOLDER_SIZES = dict(d_model=96, num_heads=3, num_points=2, encoder_layers=1, decoder_layers=2, d_ffn=40, num_queries=7)
FOLDERS = VARIANTS | {"multi": dict(feature_strides=(4, 16), num_levels=4)}  # other levels, too
TIMM = [  # names of transformers' ResNet → timm's, with which the published models are stored
    (r"embedder\.embedder\.convolution\.", "conv1."),
    (r"embedder\.embedder\.normalization\.", "bn1."),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.convolution\.", r"layer{}.\2.downsample.0."),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.normalization\.", r"layer{}.\2.downsample.1."),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.convolution\.", r"layer{}.\2.conv{}."),
    (r"encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.normalization\.", r"layer{}.\2.bn{}."),
]


def same(a, b):
    weights = b.state_dict()
    return all(torch.equal(tensor, weights[key]) for key, tensor in a.state_dict().items()) and a.config == b.config


def in_timm_names(key: str) -> str:
    for pattern, name in TIMM:
        match = re.search(r"^(model\.backbone\.conv_encoder\.model\.)" + pattern + r"(.*)$", key)
        if match:
            numbers = [int(group) + 1 for group in match.groups()[1:-1] if group.isdigit()]
            counted = [numbers[0], numbers[2]] if len(numbers) == 3 else numbers[:1]  # stage and layer; blocks stay
            return match[1] + match.expand(name.replace(r"\2", r"\3").format(*counted)) + match.groups()[-1]
    return key


@pytest.mark.parametrize(("variant", "tied"), [*((variant, False) for variant in FOLDERS), ("refine", True)])
def test_folders_of_transformers_there_and_back(variant, tied, tmp_path):
    """tied: as transformers builds the refining variants, with one class head for all layers."""
    torch.manual_seed(0)
    config = DeformableDETRConfig(num_classes=11, **FOLDER_SIZES, **FOLDERS[variant])
    oracle = hugging_face_model(config, untied=not tied)
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    oracle.save_pretrained(theirs)
    model = checkpoints.build_model(theirs)
    assert model.config == config == DeformableDETRConfig.from_hugging_face(oracle.config) and not model.training

    checkpoints.save_as(model, ours, layout="huggingface", categories={1: "disc"}, resize=[90, 200])
    back, report = transformers.DeformableDetrForObjectDetection.from_pretrained(ours, output_loading_info=True)
    assert not any(report.values()) and back.config.id2label[1] == "disc"
    assert same(model, checkpoints.build_model(ours)) and checkpoints.read(ours)["categories"] == {1: "disc"}
    assert "resize" not in checkpoints.read(theirs) and checkpoints.read(ours)["resize"] == [90, 200]
    images, mask = defdetr_ref.pad_images([torch.randn(3, 140, 97), torch.randn(3, 99, 170)])
    with torch.no_grad():
        a, b = (one(pixel_values=images, pixel_mask=(~mask).long()) for one in (oracle, back.eval()))
        outputs = model(images, mask)
    torch.testing.assert_close(b.logits, a.logits, atol=1e-6, rtol=0)
    torch.testing.assert_close(b.pred_boxes, a.pred_boxes, atol=1e-6, rtol=0)
    torch.testing.assert_close(outputs["pred_logits"], a.logits, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(outputs["pred_boxes"], a.pred_boxes, atol=2e-5, rtol=1e-5)

    other_files(theirs, tmp_path / "bin")
    assert same(model, checkpoints.build_model(tmp_path / "bin"))
    if variant == "refine" and not tied:
        values = json.loads((theirs / "config.json").read_text(encoding="utf-8")) | {"with_box_refine": False}
        (theirs / "config.json").write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(checkpoints.CheckpointError, match="its box_refine is False, but its weights are of True"):
            checkpoints.build_model(theirs)


def other_files(folder, out):
    """The same weights as older versions wrote them: with timm's names, as .bin, in two parts with an index."""
    weights = {in_timm_names(key): tensor for key, tensor in load_file(folder / "model.safetensors").items()}
    assert "model.backbone.conv_encoder.model.layer4.2.conv3.weight" in weights
    assert "model.backbone.conv_encoder.model.layer2.0.downsample.1.running_var" in weights
    assert not any("stages" in key for key in weights)
    out.mkdir()
    index = {key: f"pytorch_model-{1 + number % 2}.bin" for number, key in enumerate(weights)}
    for part in set(index.values()):
        torch.save({key: tensor for key, tensor in weights.items() if index[key] == part}, out / part)
    (out / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}), encoding="utf-8")
    shutil.copy(folder / "config.json", out / "config.json")


def test_a_pipeline_of_transformers_finds_the_same_in_a_picture(tmp_path):
    """From the folder alone: the names of the labels and how the picture is prepared are in it, too."""
    torch.manual_seed(0)
    config = DeformableDETRConfig(num_classes=7, box_refine=True, two_stage=True, **FOLDER_SIZES)
    model = DeformableDETR(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    names = {label: f"name {label}" for label in range(7)}
    checkpoints.save_as(model, tmp_path, layout="huggingface", categories=names, resize=[130, 200])
    read, notes = checkpoints.read_model(tmp_path)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (75, 97, 3), dtype=np.uint8))
    ours = predict(read, picture, eval_transform(notes["resize"]), notes["categories"], 0.0)
    prepare = transformers.DeformableDetrImageProcessorPil.from_pretrained(tmp_path)
    theirs = transformers.pipeline("object-detection", model=str(tmp_path), image_processor=prepare)(
        picture, threshold=0
    )
    assert len(theirs) == config.num_queries * config.num_classes
    for a, b in zip(ours, theirs, strict=False):  # ours are the best hundred at most
        assert (a["category"], a["score"]) == (b["label"], pytest.approx(b["score"], abs=1e-5))
        assert list(b["box"].values()) == pytest.approx([int(edge) for edge in a["box"]], abs=1)  # whole pixels there


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json does not exist"):
        checkpoints.read(tmp_path)
    config = DeformableDETRConfig().to_hugging_face()
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="holds no weights: none of model.safetensors, "):
        checkpoints.read(tmp_path)
    index = tmp_path / "pytorch_model.bin.index.json"
    for text, words in (
        ("{", "is not an index of files of weights"),
        ('{"weight_map": 3}', "is not an index of files of weights"),
        ('{"weight_map": {"a": "../b.bin"}}', r"names '\.\./b\.bin', which is not the name of a file beside it"),
        ('{"weight_map": {"a": "b.bin"}}', "b.bin does not exist"),
    ):
        index.write_text(text, encoding="utf-8")
        with pytest.raises((checkpoints.CheckpointError, FileNotFoundError), match=words):
            checkpoints.read(tmp_path)
