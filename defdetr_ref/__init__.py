"""Deformable DETR (Zhu et al., 2020), written to be read."""

import importlib
from types import ModuleType

from defdetr_ref import checkpoints
from defdetr_ref.attention import DeformableAttention, MultiScaleDeformableAttention
from defdetr_ref.batching import pad_images
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.inference import postprocess
from defdetr_ref.losses import DetectionLoss
from defdetr_ref.ops import ms_deform_attn

__all__ = [
    "DeformableAttention",
    "DeformableDETR",
    "DeformableDETRConfig",
    "DetectionLoss",
    "DetrBaseline",
    "MultiScaleDeformableAttention",
    "checkpoints",
    "ms_deform_attn",
    "pad_images",
    "postprocess",
]
# Imported when first used: they bring matplotlib and pycocotools.
LATER = ("data", "evaluation", "exercises", "explain", "export", "hugging_face", "live", "training", "zoo")


def __getattr__(name: str) -> ModuleType:
    if name in LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
