"""The backbone that all models of a study share, as the paper's share one that was trained on ImageNet.

It is trained once, on drawn images of its own, to tell which shape covers each place; then it does not learn any more.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.backbone import SmallResNet
from defdetr_ref.data.shapes import ShapesConfig
from defdetr_ref.data.transforms import normalize_colours
from defdetr_ref.studies.pictures import TURNS, draw_pictures, turn
from defdetr_ref.training.config import TrainConfig
from defdetr_ref.training.optimisation import lr_factor

STRIDES = (8, 16, 32)
CELLS = {8: 4, 16: 4, 32: 8}  # places per axis that one pixel of a map is asked about
GROUND_WEIGHT = 0.3  # of the loss where there is no shape, which is nearly everywhere
IMAGES, STEPS, BATCH, RATE, WARMUP, SEED = 4000, 3000, 16, 2e-3, 100, 7


class CoverHeads(nn.Module):
    """From each map of the backbone, by one 1×1 convolution, the logits of what covers each of its pixels' places."""

    def __init__(self, channels: list[int], classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Conv2d(width, classes * CELLS[stride] ** 2, 1) for width, stride in zip(channels, STRIDES, strict=True)
        )

    def forward(self, maps: list[Tensor]) -> list[Float[Tensor, "batch classes rows columns"]]:
        return [
            F.pixel_shuffle(head(one), CELLS[stride])
            for head, one, stride in zip(self.heads, maps, STRIDES, strict=True)
        ]


def pretrain(canvas: ShapesConfig, *, steps: int = STEPS, images: int = IMAGES) -> SmallResNet:
    """The backbone after `steps` steps on `images` drawn images, in evaluation mode and frozen."""
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    pictures = draw_pictures(canvas, images, SEED)
    backbone, classes = SmallResNet(STRIDES), 1 + len(canvas.shapes)
    heads = CoverHeads(backbone.channels, classes)
    optimizer = torch.optim.AdamW([*backbone.parameters(), *heads.parameters()], weight_decay=1e-4, fused=True)
    schedule = TrainConfig(epochs=1, schedule="cosine", warmup_steps=WARMUP)
    weight = torch.tensor([GROUND_WEIGHT] + [1.0] * (classes - 1))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * lr_factor(step, steps, schedule)
        chosen = torch.randint(images, (BATCH,), generator=generator)
        colours = torch.randperm(3, generator=generator)  # it should not go by colour
        number = int(torch.randint(TURNS, (), generator=generator))
        pixels, covers = pictures.pixels[chosen][:, colours], pictures.covers[chosen]
        logits = heads(backbone(normalize_colours(turn(pixels, number) / 255)))
        loss = sum(
            cover_loss(one, turn(covers, number), stride, weight) for one, stride in zip(logits, STRIDES, strict=True)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return backbone.eval().requires_grad_(False)


def cover_loss(logits: Tensor, covers: Tensor, stride: int, weight: Tensor) -> Tensor:
    """Cross-entropy of one map's answers with what covers the middle of each place."""
    side = stride // CELLS[stride]  # of a place, in pixels of the image
    middle = slice(side // 2, None, side)
    return F.cross_entropy(logits, covers[:, middle, middle].long(), weight)
