"""Deformable DETR (Zhu et al., 2020), written to be read."""

import importlib
from types import ModuleType

from . import checkpoints
from .attention import DeformableAttention, MultiScaleDeformableAttention
from .config import DeformableDETRConfig
from .dense import DetrBaseline
from .detector import DeformableDETR
from .losses import DetectionLoss
from .ops import ms_deform_attn
from .postprocess import postprocess
from .pyramid import pad_images

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
LATER = ("data", "evaluation", "explain", "training")  # imported when first used: they bring matplotlib and pycocotools


def __getattr__(name: str) -> ModuleType:
    if name in LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
