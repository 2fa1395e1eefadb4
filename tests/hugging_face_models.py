"""Small random models of transformers, from configs, and what each is called with. Unequal counts of everything."""

from typing import Any

import torch
from torch import nn

HEIGHT, WIDTH = 96, 160
HEADS, POINTS, D_MODEL = 4, 3, 32


def deformable_detr(transformers: Any, **overrides: Any) -> tuple[nn.Module, dict[str, Any]]:
    config = transformers.DeformableDetrConfig(
        backbone_config=_resnet(transformers, ["stage2", "stage3", "stage4"]), use_timm_backbone=False,
        use_pretrained_backbone=False, num_labels=6, d_model=D_MODEL, encoder_layers=2, decoder_layers=3,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=24, decoder_ffn_dim=24,
        encoder_n_points=POINTS, decoder_n_points=POINTS, num_feature_levels=3, num_queries=7,
        **({"two_stage": True, "with_box_refine": True, "two_stage_num_proposals": 7} | overrides),
    )  # fmt: skip
    return transformers.DeformableDetrForObjectDetection(config), {}


def rt_detr(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    return transformers.RTDetrForObjectDetection(_rt_detr_config(transformers, transformers.RTDetrConfig)), {}


def rt_detr_v2(transformers: Any, **overrides: Any) -> tuple[nn.Module, dict[str, Any]]:
    config = _rt_detr_config(transformers, transformers.RTDetrV2Config, **overrides)
    return transformers.RTDetrV2ForObjectDetection(config), {}


def d_fine(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Its levels have different numbers of points."""
    config = _rt_detr_config(transformers, transformers.DFineConfig, decoder_n_points=[2, POINTS, 1])
    return transformers.DFineForObjectDetection(config), {}


def _rt_detr_config(transformers: Any, config_class: type, **overrides: Any) -> Any:
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    return config_class(
        backbone_config=backbone, encoder_hidden_dim=D_MODEL, encoder_in_channels=[12, 16, 20], encoder_ffn_dim=24,
        encoder_attention_heads=HEADS, d_model=D_MODEL, num_queries=7, decoder_in_channels=[D_MODEL] * 3,
        decoder_ffn_dim=24, num_feature_levels=3, decoder_layers=2, decoder_attention_heads=HEADS,
        feat_strides=[8, 16, 32], num_labels=6, num_denoising=0, eval_size=None, anchor_image_size=None,
        **({"decoder_n_points": POINTS} | overrides),
    )  # fmt: skip


def deimv2(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Its levels have different numbers of points, as those of D-FINE."""
    config = _rt_detr_config(transformers, transformers.Deimv2Config, decoder_n_points=[1, 2, POINTS])
    return transformers.Deimv2ForObjectDetection(config), {}


def grounding_dino(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    config = _grounding_config(transformers, transformers.GroundingDinoConfig)
    return transformers.GroundingDinoForObjectDetection(config), {"input_ids": torch.tensor([[1, 7, 9, 4, 2]])}


def mm_grounding_dino(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    config = _grounding_config(transformers, transformers.MMGroundingDinoConfig)
    return transformers.MMGroundingDinoForObjectDetection(config), {"input_ids": torch.tensor([[1, 7, 9, 4, 2]])}


def _grounding_config(transformers: Any, config_class: type) -> Any:
    text = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32,
    )  # fmt: skip
    return config_class(
        backbone_config=_swin(transformers), text_config=text, d_model=D_MODEL,
        encoder_layers=2, decoder_layers=2, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS,
        encoder_ffn_dim=24, decoder_ffn_dim=24, encoder_n_points=POINTS, decoder_n_points=POINTS, num_feature_levels=3,
        num_queries=7, max_text_len=8,
    )  # fmt: skip


def mask2former(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    config = transformers.Mask2FormerConfig(
        backbone_config=_swin(transformers, ["stage1", "stage2", "stage3", "stage4"]), feature_size=D_MODEL,
        mask_feature_size=D_MODEL, hidden_dim=D_MODEL, encoder_feedforward_dim=24, encoder_layers=2, decoder_layers=2,
        num_attention_heads=HEADS, dim_feedforward=24, num_queries=7, num_labels=6,
    )  # fmt: skip
    return transformers.Mask2FormerForUniversalSegmentation(config), {}


def oneformer(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    config = transformers.OneFormerConfig(
        backbone_config=_swin(transformers, ["stage1", "stage2", "stage3", "stage4"]), conv_dim=D_MODEL,
        mask_dim=D_MODEL, hidden_dim=D_MODEL, encoder_feedforward_dim=24, encoder_layers=2, decoder_layers=2,
        num_attention_heads=HEADS, dim_feedforward=24, num_queries=7, num_labels=6, is_training=False,
        task_seq_len=5, text_encoder_width=16, text_encoder_context_length=5, text_encoder_num_layers=1,
        text_encoder_vocab_size=50,
    )  # fmt: skip
    return transformers.OneFormerForUniversalSegmentation(config), {"task_inputs": torch.tensor([[1, 3, 2, 4, 2]])}


def lw_detr(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    """The one with twice as many heads in its deformable attention as elsewhere."""
    backbone = transformers.LwDetrViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=96, pretrain_image_size=96,
        patch_size=16, num_windows=4, window_block_indices=[0], out_indices=[1, 2],
    )  # fmt: skip
    config = transformers.LwDetrConfig(
        backbone_config=backbone, projector_scale_factors=[2.0, 0.5], d_model=D_MODEL, decoder_ffn_dim=24,
        decoder_n_points=POINTS, decoder_layers=2, decoder_self_attention_heads=HEADS // 2,
        decoder_cross_attention_heads=HEADS, num_queries=7, group_detr=1, num_labels=6,
    )  # fmt: skip
    return transformers.LwDetrForObjectDetection(config), {}


def rf_detr(transformers: Any) -> tuple[nn.Module, dict[str, Any]]:
    """As LW-DETR, on a DINOv2 that computes in windows."""
    backbone = transformers.RfDetrDinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=96, patch_size=16,
        num_windows=2, out_indices=[1, 2],
    )  # fmt: skip
    config = transformers.RfDetrConfig(
        backbone_config=backbone, d_model=D_MODEL, decoder_ffn_dim=24, decoder_n_points=POINTS, decoder_layers=2,
        decoder_self_attention_heads=HEADS // 2, decoder_cross_attention_heads=HEADS, num_queries=7, group_detr=1,
        num_labels=6,
    )  # fmt: skip
    return transformers.RfDetrForObjectDetection(config), {}


def _resnet(transformers: Any, out_features: list[str]) -> Any:
    return transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=out_features,
    )  # fmt: skip


def _swin(transformers: Any, out_features: list[str] | None = None) -> Any:
    return transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=2,
        out_features=out_features or ["stage2", "stage3", "stage4"],
    )  # fmt: skip
