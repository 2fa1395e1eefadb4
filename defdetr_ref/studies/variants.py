"""The models that the studies compare: what each of them changes, and nothing else.

All share the backbone's stored features, widths, numbers of layers and queries, loss, matching, data and their order.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.attention import MultiScaleDeformableAttention
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.dense import DetrBaseline
from defdetr_ref.detector import DeformableDETR
from defdetr_ref.losses import DetectionLoss, cross_entropy_loss, focal_loss
from defdetr_ref.pyramid import FeaturePyramid
from defdetr_ref.studies.pictures import StoredFeatures

MULTI_SCALE = (8, 16, 32)  # strides


@dataclass(frozen=True)
class Variant:
    """A model of a study.

    label: what legends and tables say.
    model_class: DeformableDETR or DetrBaseline.
    strides: of the backbone's maps that it reads; each is one level.
    config: fields that differ from the study's.
    change: done to the built model.
    classification: the loss of every logit.
    """

    label: str
    model_class: type[nn.Module] = DeformableDETR
    strides: tuple[int, ...] = MULTI_SCALE
    config: dict[str, Any] = field(default_factory=dict)
    change: Callable[[nn.Module], None] = lambda model: None
    classification: Callable[[Tensor, Tensor], Tensor] = focal_loss

    def build(self, maps: dict[int, Tensor], common: dict[str, Any]) -> nn.Module:
        """The model on stored features. maps: stride → (images, C, H, W). common: the study's fields of the config."""
        fields = {"feature_strides": self.strides, "num_levels": len(self.strides), **common, **self.config}
        model = self.model_class(DeformableDETRConfig.preset("tiny", **fields))
        model.backbone = StoredFeatures([maps[stride] for stride in self.strides])
        self.change(model)
        return model

    def loss(self, num_classes: int) -> DetectionLoss:
        """What its training minimises."""
        return DetectionLoss(num_classes, classification=self.classification)


def attend_to_own_level(model: nn.Module) -> None:
    """Each token of the encoder reads its own level only; the decoder's queries still read all of them.

    What is left of "multi-scale attention" in the encoder is then K points on one level, as in the rows of the paper's
    Table 2 without it; without the decoder's no query could find objects of all sizes.
    """
    shapes = [tuple(one.shape[2:]) for one in model.backbone.maps]
    counts = torch.tensor([height * width for height, width in shapes])
    level_of = torch.arange(len(shapes)).repeat_interleave(counts)  # (S,)
    foreign = level_of[:, None] != torch.arange(len(shapes))  # (S, L)

    def hide(attention: MultiScaleDeformableAttention) -> None:
        hidden = (
            foreign[:, None, :, None].expand(-1, attention.num_heads, -1, attention.num_points).flatten(1)
        )  # (S, MLK)
        attention.attention_weights.register_forward_hook(
            lambda _, __, logits: logits.masked_fill(hidden, float("-inf"))
        )

    for layer in model.encoder.layers:
        hide(layer.attention)


class FeaturePyramidNetwork(nn.Module):
    """An FPN (Lin et al., 2017) over a backbone: from the coarsest map down, each finer one adds the one above it."""

    def __init__(self, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in backbone.channels)
        self.outputs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in backbone.channels)
        self.channels = [width] * len(backbone.channels)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        laterals = [lateral(one) for lateral, one in zip(self.laterals, self.backbone(images), strict=True)]
        summed = [laterals[-1]]
        for lateral in reversed(laterals[:-1]):
            summed.insert(0, lateral + F.interpolate(summed[0], lateral.shape[2:]))
        return [output(one) for output, one in zip(self.outputs, summed, strict=True)]


def add_fpn(model: nn.Module) -> None:
    """An FPN between backbone and pyramid; its convolutions are trained with the rest."""
    width, levels = model.config.d_model, model.config.num_levels
    model.backbone = FeaturePyramidNetwork(model.backbone, width)
    model.pyramid = FeaturePyramid(model.backbone.channels, width, levels)


def keep_gradient(model: nn.Module) -> None:
    """Box refinement whose gradient flows through the previous boxes."""
    model.decoder.next_reference = lambda reference, boxes: boxes


@torch.no_grad()
def remove_star(model: nn.Module) -> None:
    """All points start at their reference; small random numbers keep them from moving as one."""
    for module in model.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            nn.init.normal_(module.sampling_offsets.bias, std=0.01)


REFINED = {"box_refine": True}

VARIANTS = {
    "deformable": Variant("Deformable DETR"),
    "deformable-16": Variant("Deformable DETR, stride 16 only", strides=(16,)),
    "detr-16": Variant("DETR, stride 16", DetrBaseline, (16,)),
    "detr-8": Variant("DETR, stride 8", DetrBaseline, (8,)),
    "own-level": Variant("encoder reads its own level", change=attend_to_own_level),
    "one-point": Variant("K = 1", config={"num_points": 1}),
    "two-points": Variant("K = 2", config={"num_points": 2}),
    "fpn": Variant("with an FPN", change=add_fpn),
    "refined": Variant("box refinement", config=REFINED),
    "two-stage": Variant("refinement and two stages", config={**REFINED, "two_stage": True}),
    "paper-box": Variant("refinement from boxes of 0.1", config={**REFINED, "initial_box": "paper"}),
    "no-detach": Variant("refinement, gradient not blocked", config=REFINED, change=keep_gradient),
    "cross-entropy": Variant("cross-entropy instead of focal loss", classification=cross_entropy_loss),
    "no-star": Variant("offsets start at zero", change=remove_star),
}
