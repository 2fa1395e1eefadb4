"""How each detector of the zoo is made: data, model, training."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from defdetr_ref import zoo
from defdetr_ref.checkpoints.loading import CLASSES
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.data.drawn import DrawnDataset
from defdetr_ref.data.drawn_sets import DRAWN_SETS
from defdetr_ref.training import TrainConfig

IMAGES_PER_EPOCH = 2000  # an epoch is a unit of counting here: no image comes twice

PLAIN = {"box_refine": False, "two_stage": False}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the numbers of one detector.

    summary: what it is, in a sentence.
    data: a key of DRAWN_SETS.
    train: how it is trained; one epoch is IMAGES_PER_EPOCH new images.
    model_class: a key of `checkpoints.loading.CLASSES`.
    model: fields that differ from the `compact` preset.
    kept_epochs: epochs whose weights ship as well.
    backbone: a detector of the zoo whose trained backbone it begins with and does not train on; None trains its own.
    """

    summary: str
    data: str
    train: TrainConfig
    model_class: str = "DeformableDETR"
    model: dict[str, Any] = field(default_factory=dict)
    kept_epochs: tuple[int, ...] = ()
    backbone: str | None = None

    def new_model(self) -> nn.Module:
        """The model with the first weights of the recipe's seed."""
        classes = max(DRAWN_SETS[self.data].categories) + 1
        config = DeformableDETRConfig.preset("compact", num_classes=classes, **self.model)
        torch.manual_seed(self.train.seed)
        model = CLASSES[self.model_class](config)
        if self.backbone is not None:
            model.backbone.load_state_dict(zoo.load(self.backbone).backbone.state_dict())
            model.backbone.requires_grad_(False)
        return model

    def train_set(self) -> DrawnDataset:
        """New images in every epoch, drawn as `defdetr draw` does by default."""
        return DRAWN_SETS[self.data].training_images(images=IMAGES_PER_EPOCH, seed=self.train.seed)


def schedule(epochs: int, **changes: Any) -> TrainConfig:
    """For a small model on drawn images; `changes` are fields of TrainConfig. The demo trains so, too.

    The backbone starts from random weights, so everything learns at the full rate; what counts is the average.
    """
    settings = dict(
        epochs=epochs,
        batch_size=8,  # many small steps learn more than few large ones
        lr=1e-3,
        backbone_lr_factor=1.0,
        lr_slow_factor=1.0,
        clip_norm=1.0,
        schedule="cosine",
        warmup_steps=200,
        ema_decay=0.999,
        eval_every=8,
    )
    return TrainConfig(**{**settings, **changes})


RECIPES: dict[str, Recipe] = {
    "shapes": Recipe(
        "Two stages, refined boxes, five kinds of shapes.", "shapes", schedule(72), kept_epochs=(1, 2, 4, 9, 20, 40)
    ),
    "digits": Recipe("Two stages, refined boxes, handwritten digits over photographs.", "digits", schedule(48)),
    "shapes-one-stage": Recipe(
        "Learned queries whose boxes every decoder layer corrects.", "shapes", schedule(48), model={"two_stage": False}
    ),
    "shapes-plain": Recipe(
        "The plain Deformable DETR: learned queries, one stage, no refinement.", "shapes", schedule(48), model=PLAIN
    ),
    # With a backbone that trains, too, its AP was 0.0 after 56 epochs, and with all layers of shapes-plain after 20:
    # the loss stays where attention tells no place from another. The paper's DETR, too, begins with a trained backbone.
    "shapes-detr": Recipe(
        "DETR: dense attention over all levels, smaller than shapes-plain, with the backbone of shapes.",
        "shapes",
        schedule(100, batch_size=16, warmup_steps=500, eval_every=10),
        "DetrBaseline",
        {**PLAIN, "d_model": 64, "d_ffn": 128, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 20},
        backbone="shapes",
    ),
}
