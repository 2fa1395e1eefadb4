"""An independent oracle: transformers' Deformable DETR computes the same, in all four variants, from the same weights.

Its models are built from configs with random weights. It ties the class heads of the refining variants when built so
(the published code does not): they are untied first.
"""

import copy

import pytest
import torch

import defdetr_ref
from defdetr_ref import DeformableDETR, DeformableDETRConfig, checkpoints

transformers = pytest.importorskip("transformers")

SIZES = dict(d_model=64, num_heads=4, num_points=3, encoder_layers=2, decoder_layers=3, d_ffn=48, num_queries=30)
VARIANTS = {
    "single": dict(feature_strides=(32,), num_levels=1),
    "multi": dict(),
    "refine": dict(box_refine=True),
    "two": dict(box_refine=True, two_stage=True),
}


def hugging_face_model(config: DeformableDETRConfig):
    stages = {8: "stage2", 16: "stage3", 32: "stage4"}
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
    if config.box_refine:
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
