"""Deformable DETR (Zhu et al., 2020), written to be read."""

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
